// damage_salvage.c -- salvage against a model, for damages drawn from a seed.
//
// What is salvaged was committed, each value under its own key. With nothing damaged, or only
// what says how the rest belongs together, it is exactly what the database held. When one byte
// is damaged, at most what lay in that block or frame is lost, and nothing that the damaged
// database still answers. Of a damaged table the keys are told between which something is lost.

#include <inttypes.h>
#include <stdio.h>

#include "base/coding.h"
#include "base/file_header.h"
#include "salvage_check.h"

#define CASES 25

struct salvage_test {
    struct campaign campaign;
    struct random random;
    struct images images;
    struct image image;
    uint64_t cases;
    uint64_t complete; // gave everything back
    uint64_t told;     // keys that tables lost
};

static struct env *load(struct salvage_test *t)
{
    struct env *env;

    must(env_memory_new(&env));
    image_load(&t->image, env, DAMAGE_DIR);
    return env;
}

// --- salvage ---

// By its name, or by the one that salvage makes when the name is lost.
static void read_keyspace(struct salvage_test *t, lsm_db *db, unsigned index, const char *what,
                          unsigned *numbers)
{
    lsm_keyspace *keyspace;
    char made[32];
    const char *name = image_keyspace(index);

    (void)snprintf(made, sizeof made, "keyspace-%u", index + 1);
    if (lsm_keyspace_open(db, name, false, NULL, &keyspace) == LSM_OK)
        lsm_keyspace_close(keyspace);
    else
        name = made;
    salvage_read(&t->campaign, db, name, what, numbers);
}

static void salvage(struct salvage_test *t, struct env *env, struct salvage_report *report,
                    struct answers *out, const char *what)
{
    lsm_db *db;

    *out = (struct answers){0};
    *report = (struct salvage_report){.has_manifest = false};
    if (!salvage_image(&t->campaign, env, &t->image, false, what, report, &db))
        return;
    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++)
        read_keyspace(t, db, i, what, out->numbers[i]);
    salvage_close(db);
    t->cases++;
}

static unsigned count_differences(const struct answers *a, const struct answers *b)
{
    unsigned count = 0;

    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++) {
        for (unsigned key = 0; key < IMAGE_KEYS; key++)
            count += a->numbers[i][key] != b->numbers[i][key];
    }
    return count;
}

static void run_whole(struct salvage_test *t, const char *what, uint64_t losses_max)
{
    struct env *env = load(t);
    struct salvage_report report;
    struct answers found;
    unsigned count;

    salvage(t, env, &report, &found, what);
    count = count_differences(&found, &t->images.newer_answers);
    if (count != 0)
        campaign_violation(&t->campaign, "%s: %u keys differ", what, count);
    if (report.loss_count > losses_max)
        campaign_violation(&t->campaign, "%s: %" PRIu64 " losses told", what, report.loss_count);
    t->complete += count == 0;
    salvage_report_release(&report);
    env_memory_free(env);
}

static void restore(struct salvage_test *t)
{
    image_release(&t->image);
    image_copy(&t->images.newer, &t->image);
}

// --- one byte ---

// Whether the newest version of the key is lost in the damaged database, by its own answers.
static bool is_lost(struct env *env, unsigned keyspace, unsigned key)
{
    struct lsm_options options;
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_keyspace *handle;
    lsm_status status;
    char text[16];
    lsm_db *db;

    image_options(&options, env);
    if (lsm_open_read_only(DAMAGE_DIR, &options, &db) != LSM_OK)
        return true;
    must(lsm_keyspace_open(db, image_keyspace(keyspace), false, NULL, &handle));
    status = lsm_get(db, handle, image_key(key, text), &value);
    lsm_keyspace_close(handle);
    must(lsm_close(db));
    return status == LSM_CORRUPT;
}

// How many keys may come out different when a byte of the file is flipped: each commit of the
// images wrote one, and so has a frame of the log; of a table only a data block counts, and
// there what can still be read decides.
static unsigned losses_allowed(const struct image_file *file, size_t at)
{
    const uint8_t *footer = file->bytes + file->size - 64;

    if (file->kind == FILENAME_SEGMENT)
        return at < FILE_HEADER_SIZE ? 0 : 1;
    if (file->kind != FILENAME_TABLE || at < FILE_HEADER_SIZE)
        return 0;
    return at + 64 >= file->size || at >= get_u64(footer + 8) ? 0 : IMAGE_KEYS;
}

static void check_flip(struct salvage_test *t, struct env *env, const struct answers *found,
                       unsigned allowed, const char *what)
{
    const struct answers *wanted = &t->images.newer_answers;

    if (count_differences(found, wanted) > allowed)
        campaign_violation(&t->campaign, "%s: %u keys differ, %u may", what,
                           count_differences(found, wanted), allowed);
    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++) {
        for (unsigned key = 0; key < IMAGE_KEYS; key++) {
            if (found->numbers[i][key] != wanted->numbers[i][key] && !is_lost(env, i, key))
                campaign_violation(&t->campaign, "%s: keyspace %u key %u: %u instead of %u", what,
                                   i, key, found->numbers[i][key], wanted->numbers[i][key]);
        }
    }
}

static void run_flip(struct salvage_test *t)
{
    struct image_file *file;
    struct salvage_report report;
    struct answers found;
    struct env *env;
    unsigned allowed;
    char what[128];
    size_t at;

    restore(t);
    do
        file = &t->image.files[random_below(&t->random, t->image.count)];
    while (!image_is_covered(file->kind));
    at = (size_t)random_below(&t->random, file->size);
    allowed = losses_allowed(file, at);
    file->bytes[at] ^= (uint8_t)(1u << random_below(&t->random, 8));
    (void)snprintf(what, sizeof what, "%s, offset %zu flipped", file->name, at);
    env = load(t);
    salvage(t, env, &report, &found, what);
    check_flip(t, env, &found, allowed, what);
    if (report.loss_count == 0 && count_differences(&found, &t->images.newer_answers) > 0)
        campaign_violation(&t->campaign, "%s: no loss is told", what);
    t->complete += count_differences(&found, &t->images.newer_answers) == 0;
    salvage_report_release(&report);
    env_memory_free(env);
}

// --- one file ---

// A file that is missing is told, and the rest comes out.
static void run_missing(struct salvage_test *t)
{
    for (size_t i = 0; i < t->images.newer.count; i++) {
        const struct image_file *file = &t->images.newer.files[i];
        struct salvage_report report;
        struct answers found;
        struct env *env;
        char what[128];

        if (!image_is_covered(file->kind))
            continue;
        restore(t);
        image_remove(&t->image, file->name);
        (void)snprintf(what, sizeof what, "%s missing", file->name);
        env = load(t);
        salvage(t, env, &report, &found, what);
        if (report.loss_count == 0 && report.uncertain_frame_count == 0)
            campaign_violation(&t->campaign, "%s: no loss is told", what);
        salvage_report_release(&report);
        env_memory_free(env);
    }
}

// --- tables alone ---

// With the log nothing would be lost with a table; without it the table is all that there is.
static void restore_tables(struct salvage_test *t)
{
    restore(t);
    for (size_t i = 0; i < t->images.newer.count; i++)
        if (t->images.newer.files[i].kind == FILENAME_SEGMENT)
            image_remove(&t->image, t->images.newer.files[i].name);
}

// Takes a table away, cuts it, or flips a byte in it.
static void damage_table(struct salvage_test *t, char *what, size_t size)
{
    struct image_file *file;
    size_t at;

    do
        file = &t->image.files[random_below(&t->random, t->image.count)];
    while (file->kind != FILENAME_TABLE);
    at = (size_t)random_below(&t->random, file->size);
    switch (random_below(&t->random, 4)) {
    case 0:
        (void)snprintf(what, size, "%s alone, missing", file->name);
        image_remove(&t->image, file->name);
        break;
    case 1:
        (void)snprintf(what, size, "%s alone, cut to %zu bytes", file->name, at);
        image_put(&t->image, file->name, file->bytes, at);
        break;
    default:
        (void)snprintf(what, size, "%s alone, offset %zu flipped", file->name, at);
        file->bytes[at] ^= 0x20;
    }
}

// Each key that comes out different has been told, and something has when one does.
static void check_told(struct salvage_test *t, const struct answers *whole,
                       const struct answers *found, const char *what)
{
    for (unsigned i = 0; i < IMAGE_KEYSPACES; i++)
        for (unsigned key = 0; key < IMAGE_KEYS; key++)
            if (found->numbers[i][key] != whole->numbers[i][key] && !salvage_has_told(i, key))
                campaign_violation(&t->campaign, "%s: keyspace %u key %u is lost and not told",
                                   what, i, key);
    t->told += count_differences(found, whole);
}

static void run_tables(struct salvage_test *t)
{
    struct salvage_report report;
    struct answers whole, found;
    struct env *env;
    char what[128];

    restore_tables(t);
    env = load(t);
    salvage(t, env, &report, &whole, "tables alone");
    salvage_report_release(&report);
    env_memory_free(env);
    for (int i = 0; i < CASES; i++) {
        restore_tables(t);
        damage_table(t, what, sizeof what);
        env = load(t);
        salvage(t, env, &report, &found, what);
        check_told(t, &whole, &found, what);
        salvage_report_release(&report);
        env_memory_free(env);
    }
}

// --- anything ---

// Whatever is damaged, nothing is invented, and the source stays as it is.
static void run_wild(struct salvage_test *t)
{
    const uint64_t count = 1 + random_below(&t->random, 20);
    struct salvage_report report;
    struct answers found;
    struct env *env;

    restore(t);
    for (uint64_t i = 0; i < count; i++) {
        struct image_file *file = &t->image.files[random_below(&t->random, t->image.count)];
        const size_t at = (size_t)random_below(&t->random, file->size + 1);
        const size_t size = 1 + (size_t)random_below(&t->random, 200);

        if (random_one_in(&t->random, 20) && t->image.count > 4)
            image_remove(&t->image, file->name);
        else if (random_one_in(&t->random, 10))
            image_put(&t->image, file->name, file->bytes, at);
        else
            random_fill(&t->random, file->bytes + at, at + size < file->size ? size : 0);
    }
    env = load(t);
    salvage(t, env, &report, &found, "wild damage");
    t->complete += count_differences(&found, &t->images.newer_answers) == 0;
    salvage_report_release(&report);
    env_memory_free(env);
}

int main(int argc, char **argv)
{
    struct salvage_test t = {.campaign = campaign_begin("damage_salvage", 40, argc, argv)};
    int code;

    images_build(&t.images);
    while (campaign_next(&t.campaign, &t.random)) {
        restore(&t);
        run_whole(&t, "nothing damaged", 0);
        image_remove(&t.image, "CURRENT");
        run_whole(&t, "CURRENT missing", 1);
        run_missing(&t);
        for (int i = 0; i < CASES; i++)
            run_flip(&t);
        run_tables(&t);
        for (int i = 0; i < CASES; i++)
            run_wild(&t);
    }
    printf("%" PRIu64 " of them gave everything back; %" PRIu64
           " keys that tables lost were told\n",
           t.complete, t.told);
    code = campaign_end(&t.campaign, t.cases, "salvages");
    image_release(&t.image);
    images_release(&t.images);
    return code;
}

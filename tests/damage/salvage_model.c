// salvage_model.c -- salvage of random histories, with and without a manifest.
//
// A round writes random transactions, deletions among them, flushes, compacts and reopens at
// random, and takes the files as they are, closed or as a killed process leaves them. Salvage
// must give exactly what the database held: with the manifest, without it, and, when one frame
// of the log is damaged, but for the keys of one transaction. Above all no deleted key is back,
// though old segments still hold what was deleted.

#include <inttypes.h>
#include <stdio.h>

#include "base/file_header.h"
#include "salvage_check.h"
#include "vlog/frame.h"

#define STEPS       120
#define COMMITS_MAX 512

struct model_test {
    struct campaign campaign;
    struct random random;
    struct env *env;
    struct image image;
    lsm_db *db;

    unsigned commits;
    uint64_t touched[COMMITS_MAX]; // bit per key
    unsigned newest[IMAGE_KEYS];   // commit whose value the key has, or 0
    uint64_t cases;
    uint64_t uncertain; // records that were salvaged apart
};

// --- writing ---

static void open_db(struct model_test *t)
{
    struct lsm_options options;

    image_options(&options, t->env);
    options.create_if_missing = true;
    must(lsm_open(DAMAGE_DIR, &options, &t->db));
}

static void run_commit(struct model_test *t)
{
    const unsigned commit = ++t->commits;
    const uint64_t count = 1 + random_below(&t->random, 4);
    uint8_t value[IMAGE_VALUE_ROOM];
    char text[16];
    lsm_txn *txn;

    t->touched[commit] = 0;
    must(lsm_begin(t->db, LSM_TXN_SNAPSHOT, &txn));
    for (uint64_t i = 0; i < count; i++) {
        const unsigned key = (unsigned)random_below(&t->random, IMAGE_KEYS);

        t->touched[commit] |= UINT64_C(1) << key;
        if (random_one_in(&t->random, 3)) {
            must(lsm_txn_delete(txn, NULL, image_key(key, text)));
            t->newest[key] = 0;
        } else {
            must(lsm_txn_put(txn, NULL, image_key(key, text),
                             slice_make(value, image_value(commit, key, value))));
            t->newest[key] = commit;
        }
    }
    must(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
}

static void run_step(struct model_test *t)
{
    switch (random_below(&t->random, 16)) {
    case 0:
        must(lsm_flush(t->db));
        break;
    case 1:
        must(lsm_compact_range(t->db, NULL, NULL, NULL));
        break;
    case 2:
        must(lsm_close(t->db));
        open_db(t);
        break;
    default:
        run_commit(t);
    }
}

// Writes a history and takes its files, closed or not.
static void write_history(struct model_test *t)
{
    const uint64_t steps = 1 + random_below(&t->random, STEPS);
    const bool is_killed = random_one_in(&t->random, 2);

    t->commits = 0;
    memset(t->newest, 0, sizeof t->newest);
    must(env_memory_new(&t->env));
    open_db(t);
    for (uint64_t i = 0; i < steps; i++)
        run_step(t);
    must(lsm_wait_idle(t->db));
    if (is_killed)
        image_read(t->env, DAMAGE_DIR, &t->image);
    must(lsm_close(t->db));
    if (!is_killed)
        image_read(t->env, DAMAGE_DIR, &t->image);
    env_memory_free(t->env);
}

// --- salvage ---

static struct env *load(struct model_test *t)
{
    struct env *env;

    must(env_memory_new(&env));
    image_load(&t->image, env, DAMAGE_DIR);
    return env;
}

// The keys whose salvaged value is not the model's, one bit each.
static uint64_t salvage(struct model_test *t, bool take_uncertain, const char *what)
{
    unsigned found[IMAGE_KEYS], apart[IMAGE_KEYS];
    struct env *env = load(t);
    struct salvage_report report;
    uint64_t different = 0;
    lsm_db *db;

    if (!salvage_image(&t->campaign, env, &t->image, take_uncertain, what, &report, &db))
        return UINT64_MAX;
    salvage_report_release(&report);
    salvage_read(&t->campaign, db, "default", what, found);
    salvage_read(&t->campaign, db, "default.uncertain", what, apart);
    salvage_close(db);
    env_memory_free(env);
    for (unsigned key = 0; key < IMAGE_KEYS; key++) {
        different |= (uint64_t)(found[key] != t->newest[key]) << key;
        if (apart[key] != 0 && apart[key] <= found[key])
            campaign_violation(&t->campaign, "%s: an older value apart", what);
        t->uncertain += apart[key] != 0;
    }
    t->cases++;
    return different;
}

static void expect_all(struct model_test *t, bool take_uncertain, const char *what)
{
    const uint64_t different = salvage(t, take_uncertain, what);

    if (different != 0)
        campaign_violation(&t->campaign, "%s: keys %" PRIx64 " are not as they were", what,
                           different);
}

// Whether one transaction touched all of `keys`.
static bool is_within_commit(const struct model_test *t, uint64_t keys)
{
    for (unsigned commit = 1; commit <= t->commits; commit++) {
        if ((keys & ~t->touched[commit]) == 0)
            return true;
    }
    return keys == 0;
}

// Damages one frame, if the file holds any: one byte of its header or body.
static bool damage_frame(struct model_test *t, struct image_file *file)
{
    struct file_header header;
    struct frame_header frame;
    size_t offsets[COMMITS_MAX];
    size_t count = 0, at;

    must(file_header_decode(slice_make(file->bytes, FILE_HEADER_SIZE), FILE_KIND_LOG, file->name,
                            &header));
    for (at = FILE_HEADER_SIZE; at + FRAME_HEADER_SIZE <= file->size && count < COMMITS_MAX;
         at += (size_t)frame_size(frame.body_size)) {
        if (!frame_header_decode(file->bytes + at, &header.file_uuid, at, &frame))
            break;
        if (frame.type == FRAME_COMMIT)
            offsets[count++] = at;
    }
    if (count == 0)
        return false;
    at = offsets[random_below(&t->random, count)];
    at += (size_t)random_below(&t->random, FRAME_HEADER_SIZE + 8);
    file->bytes[at] ^= 0x10;
    return true;
}

static void run_round(struct model_test *t)
{
    struct image whole;
    struct image_file *file;

    write_history(t);
    image_copy(&t->image, &whole);
    expect_all(t, false, "whole");
    expect_all(t, true, "whole, with what is uncertain");
    file = image_last(&t->image, FILENAME_SEGMENT);
    if (damage_frame(t, file)) {
        const uint64_t different = salvage(t, false, "a bad frame");

        if (!is_within_commit(t, different))
            campaign_violation(&t->campaign, "a bad frame in %s: keys %" PRIx64 " differ",
                               file->name, different);
    }
    image_release(&t->image);
    image_copy(&whole, &t->image);
    image_remove(&t->image, "CURRENT");
    expect_all(t, false, "without CURRENT");
    image_remove(&t->image, image_last(&t->image, FILENAME_MANIFEST)->name);
    expect_all(t, false, "without a manifest");
    expect_all(t, true, "without a manifest, with what is uncertain");
    image_release(&t->image);
    image_release(&whole);
}

int main(int argc, char **argv)
{
    struct model_test t = {.campaign = campaign_begin("salvage_model", 100, argc, argv)};

    while (campaign_next(&t.campaign, &t.random))
        run_round(&t);
    printf("%" PRIu64 " uncertain records salvaged apart\n", t.uncertain);
    return campaign_end(&t.campaign, t.cases, "salvages");
}

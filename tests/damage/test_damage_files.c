// test_damage_files.c -- files that are missing, of another type, foreign or too new.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "damage_check.h"

static struct images images;
static struct campaign campaign;
static struct image image;
static struct env *memory;
static char real_path[64];

static void fixture_open(void)
{
    const char *parent = getenv("TMPDIR");

    campaign = (struct campaign){.name = "damage_files"};
    images_build(&images);
    image_copy(&images.newer, &image);
    must(env_memory_new(&memory));
    (void)snprintf(real_path, sizeof real_path, "%.40s/lsm-damage-XXXXXX",
                   parent == NULL ? "/tmp" : parent);
    cr_assert(mkdtemp(real_path) != NULL);
}

static void fixture_close(void)
{
    const struct image empty = {.count = 0};

    image_load(&empty, env_posix(), real_path);
    cr_assert(eq(int, rmdir(real_path), 0));
    env_memory_free(memory);
    image_release(&image);
    images_release(&images);
}

TestSuite(damage_files, .init = fixture_open, .fini = fixture_close, .timeout = 600);

// Checks the database at `path`; `name` is the file that the report must name, or NULL when
// everything must be right. Whether opening is refused, both for reading and for writing.
static bool check_in(struct env *env, const char *path, const char *what, const char *name)
{
    struct damage_case c = {.campaign = &campaign,
                            .env = env,
                            .path = path,
                            .image = &image,
                            .wanted = &images.newer_answers};
    bool is_spent;

    (void)snprintf(c.what, sizeof c.what, "%s", what);
    damage_check(&c, &is_spent);
    cr_expect(eq(int, c.is_reported, name != NULL), "%s: %s", what, c.words);
    if (name != NULL)
        cr_expect(strstr(c.words, name) != NULL, "%s: told as: %s", what, c.words);
    else
        cr_expect(not(c.is_refused), "%s: %s", what, lsm_errmsg());
    cr_assert(eq(u64, campaign.violations, 0), "%s", what);
    return c.is_reading_refused && c.is_refused;
}

static bool check_image(const char *what, const char *name)
{
    image_load(&image, memory, DAMAGE_DIR);
    return check_in(memory, DAMAGE_DIR, what, name);
}

// The database as it was closed.
static void restore(void)
{
    image_release(&image);
    image_copy(&images.newer, &image);
}

// Changes each file in its turn: where the database depends on it, opening is refused, and the
// file named.
static void check_each_file(void (*change)(const char *name), const char *how)
{
    for (size_t i = 0; i < images.newer.count; i++) {
        const struct image_file *file = &images.newer.files[i];
        const bool is_covered = image_is_covered(file->kind);
        char what[80];

        (void)snprintf(what, sizeof what, "%s is %s", file->name, how);
        restore();
        change(file->name);
        cr_expect(eq(int, check_image(what, is_covered ? file->name : NULL), is_covered), "%s",
                  what);
    }
}

static void remove_file(const char *name)
{
    image_remove(&image, name);
}

static void empty_file(const char *name)
{
    image_put(&image, name, "", 0);
}

Test(damage_files, a_missing_file_is_named)
{
    check_each_file(remove_file, "missing");
}

Test(damage_files, an_empty_file_is_named)
{
    check_each_file(empty_file, "empty");
}

static void cut_file(const char *name)
{
    const struct image_file *file = image_find(&images.newer, name);

    image_put(&image, name, file->bytes, file->size - 1);
}

Test(damage_files, a_file_that_lacks_its_last_byte_is_named)
{
    check_each_file(cut_file, "a byte too short");
}

// --- several that are missing ---

static bool is_of_version(const struct image_file *file)
{
    return file->kind == FILENAME_TABLE || file->kind == FILENAME_SEGMENT;
}

Test(damage_files, all_files_that_are_missing_are_named)
{
    struct lsm_options options;
    lsm_db *db;

    for (size_t i = 0; i < images.newer.count; i++) {
        if (is_of_version(&images.newer.files[i]))
            image_remove(&image, images.newer.files[i].name);
    }
    image_load(&image, memory, DAMAGE_DIR);
    image_options(&options, memory);
    for (int is_reading = 0; is_reading < 2; is_reading++) {
        cr_assert(eq(int,
                     is_reading ? lsm_open_read_only(DAMAGE_DIR, &options, &db)
                                : lsm_open(DAMAGE_DIR, &options, &db),
                     LSM_CORRUPT));
        for (size_t i = 0; i < images.newer.count; i++) {
            if (is_of_version(&images.newer.files[i]))
                cr_expect(strstr(lsm_errmsg(), images.newer.files[i].name) != NULL, "%s in: %s",
                          images.newer.files[i].name, lsm_errmsg());
        }
        cr_expect(strstr(lsm_errmsg(), "open_damaged") != NULL);
        cr_assert(image_is_unchanged(&image, memory, DAMAGE_DIR));
    }
}

// What is not in the missing table is read, and what is written stays.
Test(damage_files, a_damaged_database_opens_when_asked_to)
{
    const struct image_file *table = image_last(&images.newer, FILENAME_TABLE);
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    struct lsm_options options;
    lsm_health_info health;
    lsm_db *db;

    image_remove(&image, table->name);
    image_load(&image, memory, DAMAGE_DIR);
    image_options(&options, memory);
    cr_assert(eq(int, lsm_open(DAMAGE_DIR, &options, &db), LSM_CORRUPT));
    options.open_damaged = true;
    must(lsm_open(DAMAGE_DIR, &options, &db));
    must(lsm_health(db, &health));
    cr_assert(eq(int, health.state, LSM_DEGRADED));
    cr_assert(strstr(health.reason, table->name) != NULL, "%s", health.reason);
    must(lsm_put(db, NULL, slice_of("rescued"), slice_of("value"), NULL));
    (void)lsm_close(db);
    must(lsm_open(DAMAGE_DIR, &options, &db));
    must(lsm_get(db, NULL, slice_of("rescued"), &value));
    cr_assert(eq(int, lsm_verify(db, NULL, NULL), LSM_CORRUPT));
    (void)lsm_close(db);
    options.open_damaged = false;
    cr_assert(eq(int, lsm_open(DAMAGE_DIR, &options, &db), LSM_CORRUPT));
}

// --- what is not a regular file ---

enum stranger { A_DIRECTORY, A_LINK, A_LINK_TO_ITSELF, A_FIFO, STRANGERS };

static const char *const stranger_names[STRANGERS] = {"directory", "link", "circular link", "fifo"};

static void put_stranger(enum stranger stranger, const char *path)
{
    char target[160];

    (void)snprintf(target, sizeof target, "%s.target", real_path);
    switch (stranger) {
    case A_DIRECTORY:
        cr_assert(eq(int, mkdir(path, 0700), 0));
        break;
    case A_LINK: // to the very bytes that were there
        cr_assert(eq(int, rename(path, target), 0));
        cr_assert(eq(int, symlink(target, path), 0));
        break;
    case A_LINK_TO_ITSELF:
        cr_assert(eq(int, symlink(path, path), 0));
        break;
    default:
        cr_assert(eq(int, mkfifo(path, 0600), 0));
    }
}

static void check_stranger(const struct image_file *file, enum stranger stranger)
{
    struct lsm_options options;
    lsm_status reading, writing;
    char path[160], what[80];
    lsm_db *db;

    image_load(&images.newer, env_posix(), real_path);
    (void)snprintf(path, sizeof path, "%s/%s", real_path, file->name);
    (void)snprintf(what, sizeof what, "%s in place of %s", stranger_names[stranger], file->name);
    if (stranger != A_LINK)
        cr_assert(eq(int, unlink(path), 0));
    put_stranger(stranger, path);

    image_options(&options, env_posix());
    reading = lsm_open_read_only(real_path, &options, &db);
    if (reading == LSM_OK) {
        reading = lsm_verify(db, NULL, NULL);
        must(lsm_close(db));
    }
    cr_expect(eq(int, reading != LSM_OK, image_is_covered(file->kind)), "%s: %s", what,
              lsm_errmsg());
    if (reading != LSM_OK)
        cr_expect(strstr(lsm_errmsg(), file->name) != NULL, "%s: told as: %s", what, lsm_errmsg());
    writing = lsm_open(real_path, &options, &db);
    if (writing == LSM_OK)
        (void)lsm_close(db);
    else
        cr_expect(strstr(lsm_errmsg(), file->name) != NULL, "%s: told as: %s", what, lsm_errmsg());
    cr_expect(eq(int, remove(path), 0));
    (void)snprintf(path, sizeof path, "%s.target", real_path);
    (void)remove(path);
}

Test(damage_files, what_is_no_regular_file_is_refused_and_not_followed)
{
    for (size_t i = 0; i < images.newer.count; i++) {
        for (int stranger = 0; stranger < STRANGERS; stranger++)
            check_stranger(&images.newer.files[i], (enum stranger)stranger);
    }
}

// --- files that are nobody's ---

static void expect_kept(const char *name)
{
    struct image now;

    image_read(memory, DAMAGE_DIR, &now);
    cr_expect(image_find(&now, name) != NULL, "%s has been removed", name);
    image_release(&now);
}

Test(damage_files, foreign_files_are_left_alone)
{
    static const char *const names[] = {"notes.txt", "000001.sst.bak", "7.vlog",
                                        "MANIFEST",  "MANIFEST-abc",   "current"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        image_put(&image, names[i], "mine", 4);
    check_image("foreign files", NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        expect_kept(names[i]);
}

Test(damage_files, temporary_files_mean_nothing)
{
    const struct image_file *older = image_find(&images.older, "CURRENT");

    image_put(&image, "CURRENT.new", older->bytes, older->size);
    image_put(&image, "OPTIONS.new", "garbage", 7);
    check_image("temporary files", NULL);
}

// Of a future number, or of one that is long gone: whole files, of ours and of others.
Test(damage_files, files_of_other_numbers_are_not_read)
{
    static const char *const names[] = {"900000.sst", "900000.vlog", "MANIFEST-900000"};
    static const enum filename_kind kinds[] = {FILENAME_TABLE, FILENAME_SEGMENT, FILENAME_MANIFEST};

    for (size_t i = 0; i < 3; i++) {
        const struct image_file *ours = image_last(&images.newer, kinds[i]);
        const struct image_file *others = image_last(&images.other, kinds[i]);

        image_put(&image, names[i], ours->bytes, ours->size);
        check_image("a file of ours under another number", NULL);
        restore();
        image_put(&image, names[i], others->bytes, others->size);
        check_image("a file of another database", NULL);
        expect_kept(names[i]);
        restore();
        image_put(&image, names[i], "garbage", 7);
        check_image("garbage under a future number", NULL);
        expect_kept(names[i]);
        restore();
        image_put(&image, names[i], "", 0);
        check_image("an empty file under a future number", NULL);
        restore();
    }
}

Test(damage_files, a_number_behind_which_few_are_left_is_refused)
{
    static const char *const names[] = {"4293918720.vlog", "4294967294.vlog", "4294967295.vlog"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct lsm_options options;
        lsm_db *db;

        restore();
        image_put(&image, names[i], "garbage", 7);
        image_load(&image, memory, DAMAGE_DIR);
        image_options(&options, memory);
        cr_assert(eq(int, lsm_open(DAMAGE_DIR, &options, &db), LSM_UNSUPPORTED), "%s", names[i]);
        cr_assert(image_is_unchanged(&image, memory, DAMAGE_DIR));
    }
}

// --- a newer format ---

static void make_newer(struct image_file *file)
{
    uint32_t crc;

    file->bytes[8] = 2;
    crc = crc32c(0, file->bytes, 124);
    for (int i = 0; i < 4; i++)
        file->bytes[124 + i] = (uint8_t)(crc >> (8 * i));
}

Test(damage_files, a_newer_format_is_unsupported_and_nothing_is_written)
{
    for (size_t i = 0; i < images.newer.count; i++) {
        const struct image_file *file = &images.newer.files[i];
        struct lsm_options options;
        lsm_status status;
        lsm_db *db;

        if (!image_is_covered(file->kind))
            continue;
        restore();
        make_newer(image_find(&image, file->name));
        check_image(file->name, file->name);
        image_load(&image, memory, DAMAGE_DIR);
        image_options(&options, memory);
        status = lsm_open_read_only(DAMAGE_DIR, &options, &db);
        if (status == LSM_OK) {
            status = lsm_verify(db, NULL, NULL);
            must(lsm_close(db));
        }
        cr_expect(eq(int, status, LSM_UNSUPPORTED), "%s: %s", file->name, lsm_errmsg());
    }
}

// test_db_damage.c -- a closed database with one byte flipped, or a file missing.
//
// Wherever the byte lies, the answers are right or LSM_CORRUPT: never a wrong value, never
// a missing key. And for tables and manifests, opening or lsm_verify() tells of it.

#include "db_script.h"

#define FILES_MAX 64

struct closed_file {
    char name[64];
    uint64_t size;
};

// The database as it was closed.
static struct sim *closed;
static struct history history;
static struct content wanted;
static struct closed_file files[FILES_MAX];
static size_t file_count;

static lsm_status add_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    (void)ctx;
    (void)is_regular;
    if (strncmp(name, "LOCK", 4) == 0 || strncmp(name, "OPTIONS", 7) == 0 ||
        strncmp(name, "EVENTS", 6) == 0)
        return LSM_OK;
    cr_assert(file_count < FILES_MAX);
    (void)snprintf(files[file_count].name, sizeof files[0].name, "%s", name);
    files[file_count++].size = size;
    return LSM_OK;
}

static void list_files(void)
{
    struct dir *dir;

    cr_assert(eq(int, dir_open(sim_env(closed), DB_DIR, false, &dir), LSM_OK));
    cr_assert(eq(int, dir_list(dir, add_file, NULL), LSM_OK));
    dir_close(dir);
}

static void fixture_open(void)
{
    static const struct step steps[] = {
        {BATCH(0, 6, SMALL)}, {PUT(6, SEPARATE)},   {.kind = STEP_FLUSH}, {DELETE(0)},
        {PUT(1, SEPARATE)},   {.kind = STEP_FLUSH}, {PUT(2, SMALL)},      {.kind = STEP_REOPEN},
        {PUT(7, SEPARATE)},   {PUT(8, SMALL)},
    };
    struct script s = {.history = &history};

    cr_assert(eq(int, sim_new(3, &closed), LSM_OK));
    script_options(&s.options, closed);
    history.other = IS_ABSENT;
    cr_assert(eq(int, script_open(&s), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(int, script_run(&s, steps, sizeof steps / sizeof steps[0]), LSM_OK), "%s",
              lsm_errmsg());
    script_read(&s, &wanted);
    cr_assert(eq(int, script_close(&s), LSM_OK), "%s", lsm_errmsg());
    list_files();
}

static void fixture_close(void)
{
    sim_free(closed);
}

TestSuite(db_damage, .init = fixture_open, .fini = fixture_close);

// --- reading what is damaged ---

static void check_get(struct script *s, unsigned key, const char *what)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char text[16];
    lsm_status status = lsm_get(s->db, NULL, script_key(key, text), &value);

    if (status == LSM_CORRUPT)
        return;
    cr_assert(eq(int, status, wanted.numbers[0][key] == 0 ? LSM_NOT_FOUND : LSM_OK), "%s: %s", what,
              lsm_errmsg());
    if (status == LSM_OK)
        cr_assert(
            eq(uint, script_number(s->history, key, slice_of_buf(&value)), wanted.numbers[0][key]),
            "%s: an old value", what);
}

// Every key up to the end, or up to where damage is told.
static void check_scan(struct script *s, const char *what)
{
    unsigned next = 0;
    lsm_status status;
    lsm_slice value;
    lsm_iter *it;

    if (lsm_iter_open(s->db, NULL, NULL, &it) != LSM_OK)
        return;
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        unsigned key = script_key_index(lsm_iter_key(it));

        for (; next < key; next++)
            cr_assert(eq(uint, wanted.numbers[0][next], 0), "%s: key %u is skipped", what, next);
        next = key + 1;
        status = lsm_iter_value(it, &value);
        if (status != LSM_OK)
            break;
        cr_assert(eq(uint, script_number(s->history, key, value), wanted.numbers[0][key]), "%s",
                  what);
    }
    for (; status == LSM_NOT_FOUND && next < KEY_COUNT; next++)
        cr_assert(eq(uint, wanted.numbers[0][next], 0), "%s: key %u is missing", what, next);
    cr_assert(status == LSM_NOT_FOUND || status == LSM_CORRUPT, "%s: %s", what, lsm_errmsg());
    lsm_iter_close(it);
}

// Opens the damaged database, reads all of it, and has it verified.
static void check_damaged(struct sim *sim, const char *what)
{
    struct script s = {.history = &history};
    lsm_status status;

    script_options(&s.options, sim);
    s.options.create_if_missing = false;
    status = lsm_open(DB_DIR, &s.options, &s.db);
    if (status != LSM_OK) {
        cr_assert(status == LSM_CORRUPT || status == LSM_UNSUPPORTED, "%s: %s", what, lsm_errmsg());
        return;
    }
    for (unsigned key = 0; key < KEY_COUNT; key++)
        check_get(&s, key, what);
    check_scan(&s, what);
    status = lsm_verify(s.db, NULL, NULL);
    cr_expect(eq(int, status, LSM_CORRUPT), "%s: not noticed", what);
    (void)lsm_close(s.db); // the damage may keep it from closing well
}

static void check_flip(const struct closed_file *file, uint64_t offset, uint8_t mask)
{
    struct sim *sim;
    char what[96];

    (void)snprintf(what, sizeof what, "%s, offset %llu", file->name, (unsigned long long)offset);
    cr_assert(eq(int, sim_clone(closed, &sim), LSM_OK));
    cr_assert(eq(int, sim_flip(sim, DB_DIR, file->name, offset, mask), LSM_OK));
    check_damaged(sim, what);
    sim_free(sim);
}

// --- the tests ---

Test(db_damage, a_flipped_byte_is_told_wherever_it_lies)
{
    struct random random = random_for_test("db_damage");
    uint64_t stride = 7;

    for (size_t i = 0; i < file_count; i++) {
        for (uint64_t at = random_below(&random, stride); at < files[i].size; at += stride)
            check_flip(&files[i], at, (uint8_t)(1u << random_below(&random, 8)));
    }
}

Test(db_damage, every_byte_of_a_files_head_and_tail_counts)
{
    for (size_t i = 0; i < file_count; i++) {
        for (uint64_t at = 0; at < files[i].size; at++) {
            if (at < 64 || at + 64 >= files[i].size)
                check_flip(&files[i], at, 0x01);
        }
    }
}

Test(db_damage, a_missing_file_is_an_error_and_not_a_missing_key)
{
    for (size_t i = 0; i < file_count; i++) {
        struct sim *sim;
        struct dir *dir;

        cr_assert(eq(int, sim_clone(closed, &sim), LSM_OK));
        cr_assert(eq(int, dir_open(sim_env(sim), DB_DIR, false, &dir), LSM_OK));
        cr_assert(eq(int, file_unlink(dir, files[i].name), LSM_OK));
        cr_assert(eq(int, dir_sync(dir), LSM_OK));
        dir_close(dir);
        check_damaged(sim, files[i].name);
        sim_free(sim);
    }
}

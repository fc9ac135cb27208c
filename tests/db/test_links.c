// test_links.c -- copies of a database by hard links: nobody's past is changed.
//
// `cp -al` of a database that nobody has open is a copy: its files are the original's. Whoever
// opens one of the two writes files of his own. The sim ends the program at any call that
// would change a file with another name.

#include "base/hash.h"
#include "support/db_fixture.h"

#define COPY_DIR  "/copy"
#define FILES_MAX 64

static struct db_fixture f;

static void setup(void)
{
    db_fixture_prepare(&f, 1);
}

static void teardown(void)
{
    sim_free(f.sim);
}

TestSuite(links, .init = setup, .fini = teardown);

// --- a database, and how its process ends ---

enum ending { CLOSED, KILLED, KILLED_BEFORE_ANY_SYNC, ENDINGS };

static const char *const ending_names[ENDINGS] = {"closed", "killed", "killed before any sync"};

static void open_at(const char *path)
{
    assert_ok(lsm_open(path, &f.options, &f.db));
}

// Other directories of the disk must be closed.
static void end_process(enum ending ending)
{
    if (ending != CLOSED)
        sim_crash_at(f.sim, 1);
    if (ending == CLOSED)
        assert_ok(lsm_close(f.db));
    else
        (void)lsm_close(f.db);
    f.db = NULL;
    sim_restart(f.sim, ending == KILLED_BEFORE_ANY_SYNC ? SIM_NONE : SIM_ALL, 0);
}

static void put_number(const char *prefix, int number, size_t size)
{
    char key[32], value[4000];

    (void)snprintf(key, sizeof key, "%s%03d", prefix, number);
    memset(value, 'a' + number % 26, sizeof value);
    assert_ok(lsm_put(f.db, NULL, lsm_str(key), slice_make(value, size), NULL));
}

static void assert_number(const char *prefix, int number, size_t size)
{
    CLEANUP(lsm_buf_free) lsm_buf got = LSM_BUF_INIT;
    char key[32];

    (void)snprintf(key, sizeof key, "%s%03d", prefix, number);
    assert_ok(lsm_get(f.db, NULL, lsm_str(key), &got));
    cr_assert(eq(sz, got.size, size));
    cr_assert(eq(chr, ((const char *)got.data)[size - 1], (char)('a' + number % 26)));
}

static size_t size_of(int number)
{
    return number % 3 == 0 ? 3000 : 20; // a separated value, or not
}

static void put_numbers(const char *prefix, int from, int to)
{
    for (int i = from; i < to; i++)
        put_number(prefix, i, size_of(i));
}

static void assert_numbers(const char *prefix, int from, int to)
{
    for (int i = from; i < to; i++)
        assert_number(prefix, i, size_of(i));
}

static size_t count_entries(void)
{
    size_t count = 0;
    lsm_status status;
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        count++;
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    return count;
}

// A table, a value segment, a log of several entries, and files of every other kind.
static void leave_database(enum ending ending)
{
    open_at(DB_DIR);
    assert_ok(lsm_set_option(f.db, "table_size", "24KiB"));
    put_numbers("old", 0, 20);
    assert_ok(lsm_flush(f.db));
    put_numbers("new", 0, 10);
    end_process(ending);
}

// --- what lies there ---

struct listed_file {
    char name[32];
    uint64_t size, hash;
};

struct files {
    struct listed_file items[FILES_MAX];
    size_t count;
    struct dir *dir;
};

static lsm_status list_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct files *files = ctx;
    struct listed_file *item = &files->items[files->count++];
    struct file *file;
    void *bytes = malloc(size + 1);

    cr_assert(is_regular && files->count <= FILES_MAX && bytes != NULL);
    assert_ok(file_open(files->dir, name, FILE_READ, &file));
    assert_ok(file_read_exact(file, 0, bytes, size));
    assert_ok(file_close(file));
    (void)snprintf(item->name, sizeof item->name, "%s", name);
    item->size = size;
    item->hash = hash64(bytes, size, 0);
    free(bytes);
    return LSM_OK;
}

static void list_files(const char *path, struct files *out)
{
    out->count = 0;
    assert_ok(dir_open(sim_env(f.sim), path, false, &out->dir));
    assert_ok(dir_list(out->dir, list_file, out));
    dir_close(out->dir);
}

static void assert_same_files(const char *path, const struct files *before)
{
    static struct files after;

    list_files(path, &after);
    cr_assert(eq(sz, after.count, before->count));
    for (size_t i = 0; i < before->count; i++) {
        size_t j = 0;

        while (j < after.count && strcmp(after.items[j].name, before->items[i].name) != 0)
            j++;
        cr_assert(lt(sz, j, after.count), "%s is gone", before->items[i].name);
        cr_assert(eq(u64, after.items[j].size, before->items[i].size), "%s", after.items[j].name);
        cr_assert(eq(u64, after.items[j].hash, before->items[i].hash), "%s", after.items[j].name);
    }
}

static bool has_kind(const struct files *files, enum filename_kind kind)
{
    uint64_t number;

    for (size_t i = 0; i < files->count; i++) {
        if (filename_parse(files->items[i].name, &number) == kind)
            return true;
    }
    return false;
}

// --- tests ---

// All that a database does to its files: recover, write, flush, merge, remove, tell events.
static void live(const char *path)
{
    open_at(path);
    assert_ok(lsm_set_option(f.db, "table_size", "32KiB"));
    put_numbers("mine", 0, 30);
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_verify(f.db, NULL, NULL));
    put_numbers("mine", 30, 40);
}

Test(links, whoever_lives_in_a_copy_changes_no_file_of_the_original)
{
    static const enum filename_kind kinds[] = {FILENAME_SEGMENT, FILENAME_TABLE, FILENAME_MANIFEST,
                                               FILENAME_CURRENT, FILENAME_LOCK,  FILENAME_OPTIONS,
                                               FILENAME_EVENTS};

    for (int made = 0; made < ENDINGS; made++) {
        for (int ending = 0; ending < ENDINGS; ending++) {
            static struct files before;

            leave_database((enum ending)made);
            list_files(DB_DIR, &before);
            for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
                cr_assert(has_kind(&before, kinds[i]), "kind %d", (int)kinds[i]);
            assert_ok(sim_link_all(f.sim, DB_DIR, COPY_DIR));
            live(COPY_DIR);
            end_process((enum ending)ending);
            assert_same_files(DB_DIR, &before);
            open_at(DB_DIR);
            assert_numbers("old", 0, 20);
            assert_numbers("new", 0, 10);
            cr_assert(eq(sz, count_entries(), 30), "%s", ending_names[made]);
            end_process(CLOSED);
            teardown();
            setup();
        }
    }
}

// Each has what both had, and what it was given since; none has anything of the other.
static void live_by_turns(enum ending ending, const char *first, const char *second)
{
    const char *const paths[] = {first, second};

    leave_database(ending);
    assert_ok(sim_link_all(f.sim, DB_DIR, COPY_DIR));
    for (int turn = 0; turn < 12; turn++) {
        const char *path = paths[turn % 2];

        open_at(path);
        assert_numbers("old", 0, 20);
        assert_numbers("new", 0, 10);
        assert_numbers(path, 0, turn / 2);
        cr_assert(eq(sz, count_entries(), (size_t)(30 + turn / 2)), "%s, turn %d", path, turn);
        assert_ok(lsm_verify(f.db, NULL, NULL));
        put_number(path, turn / 2, size_of(turn / 2));
        if (turn % 5 == 4)
            assert_ok(lsm_flush(f.db));
        end_process(turn % 3 == 2 ? CLOSED : KILLED_BEFORE_ANY_SYNC);
    }
}

Test(links, original_and_copy_live_by_turns_and_each_keeps_its_own)
{
    for (int ending = 0; ending < ENDINGS; ending++) {
        live_by_turns((enum ending)ending, DB_DIR, COPY_DIR);
        teardown();
        setup();
        live_by_turns((enum ending)ending, COPY_DIR, DB_DIR);
        teardown();
        setup();
    }
}

Test(links, original_and_copy_live_at_the_same_time)
{
    lsm_db *original;

    leave_database(KILLED);
    assert_ok(sim_link_all(f.sim, DB_DIR, COPY_DIR));
    live(DB_DIR);
    original = f.db;
    live(COPY_DIR);
    cr_assert(eq(sz, count_entries(), 70));
    put_numbers("copy", 0, 5);
    assert_ok(lsm_close(f.db));
    f.db = original;
    cr_assert(eq(sz, count_entries(), 70));
    assert_ok(lsm_close(f.db));
    open_at(COPY_DIR);
    cr_assert(eq(sz, count_entries(), 75));
    assert_ok(lsm_close(f.db));
}

static uint64_t size_at(const char *path, const char *name)
{
    struct dir *dir;
    uint64_t size = 0;

    assert_ok(dir_open(sim_env(f.sim), path, false, &dir));
    assert_ok(file_stat(dir, name, &size));
    dir_close(dir);
    return size;
}

// A segment that stays longer than its final length is read to that only: by recovery, verify
// and those who only look.
Test(links, a_segment_that_cannot_be_cut_is_read_to_its_final_length)
{
    open_at(DB_DIR);
    put_numbers("new", 0, 10);
    end_process(KILLED);
    assert_ok(sim_link_all(f.sim, DB_DIR, COPY_DIR));
    for (int round = 0; round < 3; round++) {
        open_at(COPY_DIR);
        assert_numbers("new", 0, 10);
        assert_ok(lsm_verify(f.db, NULL, NULL));
        cr_assert(eq(sz, count_entries(), (size_t)(10 + round)));
        put_number("more", round, 20);
        end_process(round == 1 ? CLOSED : KILLED_BEFORE_ANY_SYNC);
        cr_assert(eq(u64, size_at(COPY_DIR, "000001.vlog"), 1 << 20));
        assert_ok(lsm_open_read_only(COPY_DIR, &f.options, &f.db));
        cr_assert(eq(sz, count_entries(), (size_t)(11 + round)));
        assert_ok(lsm_verify(f.db, NULL, NULL));
        assert_ok(lsm_close(f.db));
    }
}

// Nothing is kept for a copy that is gone.
Test(links, a_segment_is_cut_when_it_has_no_other_name_any_more)
{
    struct dir *dir;

    open_at(DB_DIR);
    put_numbers("new", 0, 10);
    end_process(KILLED);
    assert_ok(sim_link_all(f.sim, DB_DIR, COPY_DIR));
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(file_unlink(dir, "000001.vlog"));
    dir_close(dir);
    cr_assert(eq(u64, sim_name_count(f.sim, COPY_DIR, "000001.vlog"), 1));
    open_at(COPY_DIR);
    end_process(CLOSED);
    open_at(COPY_DIR); // the upkeep of this one, if the first one's did not come to it
    while (scheduler_run_one(f.db->scheduler))
        ;
    cr_assert(lt(u64, size_at(COPY_DIR, "000001.vlog"), 1 << 20));
    assert_numbers("new", 0, 10);
    end_process(CLOSED);
}

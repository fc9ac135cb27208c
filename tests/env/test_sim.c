// test_sim.c -- the simulated disk that other tests trust.

#include "support/sim.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/random.h"

#define assert_ok(call)            cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())
#define assert_status(call, wants) cr_assert(eq(int, (call), (wants)), "%s", lsm_errmsg())

#define DIR_PATH "/db"

static struct {
    struct sim *sim;
    struct dir *dir;
} f;

static void open_dir(void)
{
    assert_ok(dir_open(sim_env(f.sim), DIR_PATH, true, &f.dir));
}

static void close_dir(void)
{
    dir_close(f.dir);
    f.dir = NULL;
}

static void setup(void)
{
    assert_ok(sim_new(1, &f.sim));
    open_dir();
}

static void teardown(void)
{
    dir_closep(&f.dir);
    sim_free(f.sim);
}

TestSuite(sim, .init = setup, .fini = teardown);

static void restart(enum sim_survival survival, uint64_t seed)
{
    close_dir();
    sim_restart(f.sim, survival, seed);
    open_dir();
}

static struct file *create(const char *name, const char *text)
{
    struct file *file = NULL;

    assert_ok(file_open(f.dir, name, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_of(text)));
    return file;
}

static void create_synced(const char *name, const char *text)
{
    struct file *file = create(name, text);

    assert_ok(file_sync(file));
    assert_ok(file_close(file));
    assert_ok(dir_sync(f.dir));
}

static bool exists(const char *name)
{
    uint64_t size;

    return file_stat(f.dir, name, &size) == LSM_OK;
}

// Reads the whole file into `text`, which has `room` bytes, and returns its size.
static size_t read_text(const char *name, char *text, size_t room)
{
    struct file *file = NULL;
    size_t got;

    memset(text, 0, room);
    assert_ok(file_open(f.dir, name, FILE_READ, &file));
    assert_ok(file_read(file, 0, text, room - 1, &got));
    file_close_quietly(file);
    return got;
}

static void assert_text(const char *name, const char *text)
{
    char found[100];

    read_text(name, found, sizeof found);
    cr_assert(eq(str, found, (char *)text));
}

// --- what is durable ---

Test(sim, what_is_synced_survives_every_crash)
{
    create_synced("f", "synced");
    for (uint64_t seed = 0; seed < 50; seed++) {
        restart((enum sim_survival)(seed % 4), seed);
        assert_text("f", "synced");
    }
}

Test(sim, bytes_are_durable_only_when_synced)
{
    struct file *file = create("f", "synced");

    assert_ok(file_sync(file));
    assert_ok(dir_sync(f.dir));
    assert_ok(file_write_one(file, 6, slice_of(" and not")));
    assert_ok(file_close(file));
    cr_assert(sim_is_durable(f.sim, DIR_PATH, "f", 6));
    cr_assert(not(sim_is_durable(f.sim, DIR_PATH, "f", 7)));
    restart(SIM_NONE, 0);
    assert_text("f", "synced");
}

Test(sim, a_name_is_durable_only_after_the_directory_sync)
{
    struct file *file = create("f", "abc");

    assert_ok(file_sync(file));
    assert_ok(file_close(file));
    cr_assert(not(sim_is_durable(f.sim, DIR_PATH, "f", 3)));
    restart(SIM_NONE, 0);
    cr_assert(not(exists("f")));

    create_synced("f", "abc");
    cr_assert(sim_is_durable(f.sim, DIR_PATH, "f", 3));
    restart(SIM_NONE, 0);
    assert_text("f", "abc");
}

Test(sim, a_durable_name_may_have_bytes_that_are_not)
{
    struct file *file = create("f", "abc");

    assert_ok(dir_sync(f.dir));
    assert_ok(file_close(file));
    restart(SIM_NONE, 0);
    assert_text("f", "");
}

Test(sim, everything_may_survive)
{
    assert_ok(file_close(create("f", "abc")));
    restart(SIM_ALL, 0);
    assert_text("f", "abc");
    cr_assert(sim_is_durable(f.sim, DIR_PATH, "f", 3));
}

Test(sim, an_unlink_without_directory_sync_may_be_undone)
{
    create_synced("f", "abc");
    assert_ok(file_unlink(f.dir, "f"));
    cr_assert(not(exists("f")));
    cr_assert(not(sim_is_durable(f.sim, DIR_PATH, "f", 3)));
    restart(SIM_NONE, 0);
    assert_text("f", "abc");

    assert_ok(file_unlink(f.dir, "f"));
    assert_ok(dir_sync(f.dir));
    restart(SIM_NONE, 0);
    cr_assert(not(exists("f")));
}

Test(sim, a_truncation_without_sync_may_be_undone)
{
    struct file *file = NULL;

    create_synced("f", "abcdef");
    assert_ok(file_open(f.dir, "f", FILE_WRITE, &file));
    assert_ok(file_truncate(file, 3));
    cr_assert(not(sim_is_durable(f.sim, DIR_PATH, "f", 6)));
    assert_ok(file_close(file));
    restart(SIM_NONE, 0);
    assert_text("f", "abcdef");
}

// Whoever switches CURRENT relies on this one.
Test(sim, a_rename_leaves_the_old_or_the_new_target)
{
    bool seen_old = false;
    bool seen_new = false;

    for (uint64_t seed = 0; seed < 60; seed++) {
        char text[10];

        teardown();
        setup();
        create_synced("target", "old");
        create_synced("source", "new");
        assert_ok(file_rename(f.dir, "source", "target"));
        assert_text("target", "new");
        restart(SIM_RANDOM, seed);
        read_text("target", text, sizeof text);
        if (strcmp(text, "old") == 0) {
            seen_old = true;
            assert_text("source", "new");
        } else {
            cr_assert(eq(str, text, "new"));
            cr_assert(not(exists("source")));
            seen_new = true;
        }
    }
    cr_assert(seen_old && seen_new);
}

Test(sim, a_prefix_keeps_the_order_of_the_changes)
{
    unsigned counts[5] = {0};

    for (uint64_t seed = 0; seed < 100; seed++) {
        struct file *file = NULL;
        char text[10];
        size_t size;

        teardown();
        setup();
        create_synced("f", "");
        assert_ok(file_open(f.dir, "f", FILE_WRITE, &file));
        for (unsigned i = 0; i < 4; i++)
            assert_ok(file_write_one(file, i, slice_of("X")));
        assert_ok(file_close(file));
        restart(SIM_PREFIX, seed);
        size = read_text("f", text, sizeof text);
        cr_assert(strncmp(text, "XXXX", size) == 0);
        counts[size]++;
    }
    for (unsigned i = 0; i < 5; i++)
        cr_assert(gt(uint, counts[i], 0));
}

// Looks for each kind of damage that a power cut can do to unsynced bytes.
Test(sim, random_survival_drops_tears_reorders_and_leaves_garbage)
{
    bool torn = false, reordered = false, zeroes = false, garbage = false, whole = false;

    for (uint64_t seed = 0; seed < 400; seed++) {
        struct file *file = NULL;
        uint8_t bytes[4096] = {0};
        uint8_t a[1024];
        uint8_t b[1024];
        size_t got;

        memset(a, 'a', sizeof a);
        memset(b, 'b', sizeof b);
        teardown();
        setup();
        create_synced("f", "base");
        assert_ok(file_open(f.dir, "f", FILE_WRITE, &file));
        assert_ok(file_write_one(file, 4, slice_make(a, sizeof a)));
        assert_ok(file_write_one(file, 4 + sizeof a, slice_make(b, sizeof b)));
        assert_ok(file_close(file));
        restart(SIM_RANDOM, seed);
        assert_ok(file_open(f.dir, "f", FILE_READ, &file));
        assert_ok(file_read(file, 0, bytes, sizeof bytes, &got));
        file_close_quietly(file);

        cr_assert(memcmp(bytes, "base", 4) == 0, "what is synced is not touched");
        whole |= got == 4 + sizeof a + sizeof b && memcmp(bytes + 4, a, sizeof a) == 0 &&
                 memcmp(bytes + 4 + sizeof a, b, sizeof b) == 0;
        torn |= got > 4 && got < 4 + sizeof a && memcmp(bytes + 4, a, got - 4) == 0;
        reordered |= got == 4 + sizeof a + sizeof b && bytes[4] != 'a' &&
                     memcmp(bytes + 4 + sizeof a, b, sizeof b) == 0;
        zeroes |= got > 5 && bytes[got - 1] == 0 && bytes[got - 2] == 0;
        garbage |= got > 5 && bytes[got - 1] != 0 && bytes[got - 1] != 'a' && bytes[got - 1] != 'b';
    }
    cr_assert(torn && reordered && zeroes && garbage && whole);
}

Test(sim, random_survival_is_repeatable)
{
    struct sim *clones[2];
    char texts[2][600];

    assert_ok(file_close(create("f", "some text that may be torn anywhere")));
    assert_ok(file_close(create("g", "another one")));
    close_dir();
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct sim *original = f.sim;

        for (int i = 0; i < 2; i++) {
            assert_ok(sim_clone(original, &clones[i]));
            f.sim = clones[i];
            sim_restart(f.sim, SIM_RANDOM, seed);
            open_dir();
            memset(texts[i], 0, sizeof texts[i]);
            if (exists("f"))
                read_text("f", texts[i], 300);
            if (exists("g"))
                read_text("g", texts[i] + 300, 300);
            close_dir();
            sim_free(clones[i]);
        }
        cr_assert(memcmp(texts[0], texts[1], sizeof texts[0]) == 0);
        f.sim = original;
    }
    open_dir();
}

// Six pending operations in the order of time: create a, write "aa", create b, write "bb",
// write "A" into a, rename b to c.
static void do_six_operations(void)
{
    struct file *a = create("a", "aa");
    struct file *b = create("b", "bb");

    assert_ok(file_write_one(a, 0, slice_of("A")));
    assert_ok(file_rename(f.dir, "b", "c"));
    assert_ok(file_close(a));
    assert_ok(file_close(b));
}

// What the disk holds, as one text.
static const char *disk_text(void)
{
    static char all[100];
    static const char *const names[] = {"a", "b", "c"};

    all[0] = '\0';
    for (int i = 0; i < 3; i++) {
        char text[10];

        if (!exists(names[i]))
            continue;
        read_text(names[i], text, sizeof text);
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s=%s ", names[i], text);
    }
    return all;
}

static void assert_survivors(enum sim_survival survival, const char *const *wanted, size_t count)
{
    for (size_t n = 0; n < count; n++) {
        teardown();
        setup();
        do_six_operations();
        cr_assert(eq(u64, sim_pending(f.sim).operations, 6));
        cr_assert(eq(u64, sim_pending(f.sim).bytes, 5));
        restart(survival, n);
        cr_assert(eq(str, (char *)disk_text(), (char *)wanted[n]), "number %zu", n);
        cr_assert(eq(u64, sim_pending(f.sim).operations, 0));
    }
}

Test(sim, the_first_operations_survive_in_the_order_of_time)
{
    static const char *const wanted[] = {
        "", "a= ", "a=aa ", "a=aa b= ", "a=aa b=bb ", "a=Aa b=bb ", "a=Aa c=bb "};

    assert_survivors(SIM_FIRST, wanted, 7);
}

Test(sim, one_operation_alone_survives)
{
    static const char *const wanted[] = {"a= ", "", "b= ", "", "", "c= "};

    assert_survivors(SIM_ONLY, wanted, 6);
}

Test(sim, one_operation_alone_is_lost)
{
    static const char *const wanted[] = {"c=bb ",    "a=A c=bb ",  "a=Aa c=bb ",
                                         "a=Aa c= ", "a=aa c=bb ", "a=Aa b=bb "};

    assert_survivors(SIM_WITHOUT, wanted, 6);
}

// Behind the cut the write leaves nothing, zeroes or garbage, by turns.
Test(sim, the_write_at_the_cut_is_torn_at_any_byte)
{
    for (uint64_t bytes = 0; bytes <= 6; bytes++) {
        struct file *file;
        char text[10];
        size_t size;

        teardown();
        setup();
        file = create("f", "abc");
        assert_ok(dir_sync(f.dir));
        assert_ok(file_write_one(file, 3, slice_of("def")));
        assert_ok(file_close(file));
        restart(SIM_BYTES, bytes);
        size = read_text("f", text, sizeof text);
        cr_assert(memcmp(text, "abcdef", bytes) == 0);
        cr_assert(size == (bytes < 3 && bytes % 3 != 0 ? 3 : bytes == 4 || bytes == 5 ? 6 : bytes));
    }
}

// Number 0: the file is empty; 1: as long as it was, and of zeroes.
Test(sim, names_survive_without_bytes)
{
    for (size_t number = 0; number < 2; number++) {
        char text[10] = "xxx";

        teardown();
        setup();
        assert_ok(file_close(create("f", "abc")));
        restart(SIM_NAMES, number);
        cr_assert(exists("f"));
        cr_assert(eq(sz, read_text("f", text, sizeof text), number * 3));
        cr_assert(number == 0 || memcmp(text, "\0\0\0", 3) == 0);
    }
}

Test(sim, equal_disks_have_equal_hashes)
{
    struct sim *clone = NULL;
    uint64_t hash;

    create_synced("a", "text");
    create_synced("b", "");
    hash = sim_hash(f.sim);
    assert_ok(sim_clone(f.sim, &clone));
    cr_assert(eq(u64, sim_hash(clone), hash));
    sim_free(clone);
    assert_ok(file_rename(f.dir, "b", "c"));
    cr_assert(ne(u64, sim_hash(f.sim), hash));
    assert_ok(file_rename(f.dir, "c", "b"));
    cr_assert(eq(u64, sim_hash(f.sim), hash));
    assert_ok(sim_flip(f.sim, DIR_PATH, "a", 3, 1));
    cr_assert(ne(u64, sim_hash(f.sim), hash));
}

// --- crashing ---

Test(sim, after_the_crash_every_call_fails_and_changes_nothing)
{
    struct file *file = create("f", "abc");
    struct file *other = NULL;
    char text[4];
    size_t got;
    uint64_t size;

    assert_ok(file_sync(file));
    assert_ok(dir_sync(f.dir));
    sim_crash_at(f.sim, 2);
    assert_ok(file_write_one(file, 0, slice_of("ABC")));
    cr_assert(not(sim_has_crashed(f.sim)));
    assert_status(file_sync(file), LSM_IO);
    cr_assert(sim_has_crashed(f.sim));
    assert_status(file_write_one(file, 0, slice_of("xyz")), LSM_IO);
    assert_status(file_read(file, 0, text, 3, &got), LSM_IO);
    assert_status(file_size(file, &size), LSM_IO);
    assert_status(file_stat(f.dir, "f", &size), LSM_IO);
    assert_status(file_open(f.dir, "f", FILE_READ, &other), LSM_IO);
    assert_status(file_unlink(f.dir, "f"), LSM_IO);
    assert_status(dir_sync(f.dir), LSM_IO);
    assert_ok(file_close(file));
    restart(SIM_ALL, 0);
    cr_assert(not(sim_has_crashed(f.sim)));
    assert_text("f", "ABC");
}

Test(sim, every_changing_call_is_a_crash_point)
{
    uint64_t before = sim_call_count(f.sim);
    struct file *file = create("f", "abc"); // 2
    char text[4];

    assert_ok(file_allocate(file, 0, 10)); // 3
    assert_ok(file_truncate(file, 3));     // 4
    assert_ok(file_sync(file));            // 5
    assert_ok(file_read_exact(file, 0, text, 3));
    assert_ok(file_close(file));                         // 6
    assert_ok(file_open(f.dir, "f", FILE_WRITE, &file)); // 7
    assert_ok(file_close(file));
    assert_ok(file_open(f.dir, "f", FILE_READ, &file));
    assert_ok(file_close(file));
    assert_ok(file_rename(f.dir, "f", "g")); // 8
    assert_ok(file_unlink(f.dir, "g"));      // 9
    assert_ok(dir_sync(f.dir));              // 10
    cr_assert(eq(u64, sim_call_count(f.sim) - before, 10));
}

// The shape of all crash tests: do the same with a crash at each call, and look
// at what any crash there may leave.
Test(sim, a_file_replaced_by_the_book_is_always_whole)
{
    for (uint64_t crash_at = 1, done = 0; !done; crash_at++) {
        struct file *file = NULL;
        char text[10];
        lsm_status status;

        teardown();
        setup();
        create_synced("CURRENT", "old");
        sim_crash_at(f.sim, crash_at);
        status = file_open(f.dir, "CURRENT.new", FILE_CREATE, &file);
        if (status == LSM_OK)
            status = file_write_one(file, 0, slice_of("new"));
        if (status == LSM_OK)
            status = file_sync(file);
        if (file != NULL && file_close(file) != LSM_OK)
            status = LSM_IO;
        if (status == LSM_OK)
            status = file_rename(f.dir, "CURRENT.new", "CURRENT");
        if (status == LSM_OK)
            status = dir_sync(f.dir);
        done = status == LSM_OK;
        restart(SIM_RANDOM, crash_at);
        read_text("CURRENT", text, sizeof text);
        cr_assert(strcmp(text, "new") == 0 || (!done && strcmp(text, "old") == 0), "%s", text);
    }
}

Test(sim, a_clone_shares_nothing_with_its_original)
{
    struct sim *original = f.sim;
    struct sim *clone = NULL;
    struct file *file = create("f", "pending");

    assert_ok(sim_clone(f.sim, &clone));
    assert_ok(file_write_one(file, 0, slice_of("PENDING")));
    assert_ok(file_close(file));
    close_dir();
    f.sim = clone;
    sim_restart(f.sim, SIM_ALL, 0);
    open_dir();
    assert_text("f", "pending");
    close_dir();
    sim_free(clone);
    f.sim = original;
    open_dir();
    assert_text("f", "PENDING");
}

Test(sim, locks_are_free_after_a_restart)
{
    struct dir_lock *lock = NULL;
    struct dir_lock *second = NULL;

    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    assert_status(dir_lock(f.dir, "LOCK", &second), LSM_LOCKED);
    sim_crash_at(f.sim, 1);
    assert_status(dir_sync(f.dir), LSM_IO);
    dir_unlock(sim_env(f.sim), lock);
    restart(SIM_NONE, 0);
    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    dir_unlock(sim_env(f.sim), lock);
}

// --- failing ---

Test(sim, a_fault_hits_the_call_it_names_once)
{
    struct sim_fault fault = {
        .ops = SIM_OP_WRITE, .name_part = "f", .at = 2, .status = LSM_NO_SPACE};
    struct file *f_file = create("f", "");
    struct file *g_file = create("g", "");

    sim_set_fault(f.sim, &fault);
    assert_ok(file_write_one(g_file, 0, slice_of("a")));
    assert_ok(file_write_one(f_file, 0, slice_of("a")));
    assert_ok(file_sync(f_file));
    assert_ok(file_write_one(g_file, 0, slice_of("b")));
    assert_status(file_write_one(f_file, 0, slice_of("b")), LSM_NO_SPACE);
    cr_assert(eq(u64, sim_fault_hits(f.sim), 1));
    assert_ok(file_write_one(f_file, 0, slice_of("c")));
    assert_ok(file_close(f_file));
    assert_ok(file_close(g_file));
    assert_text("f", "c");
}

Test(sim, a_lasting_fault_hits_until_it_is_removed)
{
    struct sim_fault fault = {.ops = SIM_OP_OPEN, .at = 1, .for_ever = true, .status = LSM_BUSY};
    struct file *file = NULL;

    sim_set_fault(f.sim, &fault);
    assert_status(file_open(f.dir, "f", FILE_CREATE, &file), LSM_BUSY);
    assert_status(file_open(f.dir, "f", FILE_CREATE, &file), LSM_BUSY);
    cr_assert(eq(u64, sim_fault_hits(f.sim), 2));
    sim_set_fault(f.sim, NULL);
    assert_ok(file_open(f.dir, "f", FILE_CREATE, &file));
    assert_ok(file_close(file));
}

Test(sim, a_failing_write_may_write_a_part)
{
    struct sim_fault fault = {.ops = SIM_OP_WRITE, .at = 1, .status = LSM_IO, .short_by = 4};
    lsm_slice parts[] = {slice_of("abc"), slice_of("def")};
    struct file *file = create("f", "");

    sim_set_fault(f.sim, &fault);
    assert_status(file_write(file, 0, parts, 2), LSM_IO);
    assert_ok(file_close(file));
    assert_text("f", "abcd");
}

// "Can applications recover from fsync failures?", ATC'20.
Test(sim, a_failed_sync_loses_the_pending_bytes_although_they_are_readable)
{
    struct sim_fault fault = {.ops = SIM_OP_SYNC, .at = 1, .status = LSM_IO};
    struct file *file = NULL;

    create_synced("f", "one ");
    assert_ok(file_open(f.dir, "f", FILE_WRITE, &file));
    assert_ok(file_write_one(file, 4, slice_of("two ")));
    sim_set_fault(f.sim, &fault);
    assert_status(file_sync(file), LSM_IO);
    assert_ok(file_sync(file));
    cr_assert(sim_is_durable(f.sim, DIR_PATH, "f", 4));
    cr_assert(not(sim_is_durable(f.sim, DIR_PATH, "f", 8)));
    assert_text("f", "one two ");
    assert_ok(file_write_one(file, 8, slice_of("three")));
    assert_ok(file_sync(file));
    assert_ok(file_close(file));
    restart(SIM_ALL, 0);
    {
        char text[20];

        cr_assert(eq(sz, read_text("f", text, sizeof text), 13));
        cr_assert(memcmp(text, "one \0\0\0\0three", 13) == 0);
    }
}

Test(sim, each_kind_of_call_can_fail)
{
    struct file *file = create("f", "abc");
    struct file *other = NULL;
    struct dir *dir = NULL;
    struct sim_fault fault = {.ops = SIM_OP_ANY, .at = 1, .for_ever = true, .status = LSM_IO};
    uint64_t size;
    size_t got;
    char text[4];

    sim_set_fault(f.sim, &fault);
    assert_status(dir_open(sim_env(f.sim), DIR_PATH, true, &dir), LSM_IO);
    assert_status(dir_sync(f.dir), LSM_IO);
    assert_status(dir_list(f.dir, NULL, NULL), LSM_IO);
    assert_status(file_open(f.dir, "f", FILE_READ, &other), LSM_IO);
    assert_status(file_rename(f.dir, "f", "g"), LSM_IO);
    assert_status(file_unlink(f.dir, "f"), LSM_IO);
    assert_status(file_stat(f.dir, "f", &size), LSM_IO);
    assert_status(file_read(file, 0, text, 3, &got), LSM_IO);
    assert_status(file_write_one(file, 0, slice_of("x")), LSM_IO);
    assert_status(file_sync(file), LSM_IO);
    assert_status(file_allocate(file, 0, 100), LSM_IO);
    assert_status(file_truncate(file, 0), LSM_IO);
    assert_status(file_size(file, &size), LSM_IO);
    assert_status(file_close(file), LSM_IO); // and yet it is closed
    cr_assert(eq(u64, sim_fault_hits(f.sim), 14));
    sim_set_fault(f.sim, NULL);
    assert_text("f", "abc");
}

Test(sim, a_fault_can_name_a_kind_of_file)
{
    struct sim_fault fault = {.ops = SIM_OP_WRITE | SIM_OP_SYNC,
                              .kinds = SIM_KIND(FILENAME_SEGMENT) | SIM_KIND(FILENAME_TABLE),
                              .at = 2,
                              .status = LSM_NO_SPACE};
    struct file *manifest = create("MANIFEST-000001", "");
    struct file *segment = create("000001.vlog", "");

    sim_set_fault(f.sim, &fault);
    assert_ok(file_sync(manifest));
    assert_ok(file_write_one(segment, 0, slice_of("a")));
    assert_ok(file_write_one(manifest, 0, slice_of("a")));
    assert_status(file_sync(segment), LSM_NO_SPACE);
    assert_ok(file_sync(segment));
    cr_assert(eq(u64, sim_fault_matches(f.sim), 3));
    cr_assert(eq(u64, sim_fault_hits(f.sim), 1));
    assert_ok(file_close(manifest));
    assert_ok(file_close(segment));
}

// --- what is called ---

static void hear_call(void *ctx, struct sim *sim, const struct sim_call *call)
{
    char *all = ctx;

    cr_assert(eq(int, call->changes_disk, call->op != SIM_OP_READ && call->op != SIM_OP_STAT));
    (void)sim_pending(sim); // the hook may look
    snprintf(all + strlen(all), 200 - strlen(all), "%s %s %s, ", sim_op_name(call->op),
             sim_kind_name(call->kind), call->name);
}

Test(sim, a_hook_hears_of_every_call_until_the_crash)
{
    char all[200] = "";
    struct file *file = NULL;
    uint64_t size;

    sim_set_call_hook(f.sim, hear_call, all);
    assert_ok(file_open(f.dir, "000001.sst", FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_of("x")));
    assert_ok(file_size(file, &size));
    sim_crash_at(f.sim, 1);
    assert_status(dir_sync(f.dir), LSM_IO);
    assert_status(file_sync(file), LSM_IO);
    assert_ok(file_close(file));
    sim_set_call_hook(f.sim, NULL, NULL);
    cr_assert(eq(str, all,
                 "open table 000001.sst, write table 000001.sst, stat table 000001.sst, "
                 "dir-sync directory /db, "));
}

// --- damage ---

Test(sim, damage_reaches_the_durable_bytes)
{
    create_synced("f", "abc");
    assert_ok(sim_flip(f.sim, DIR_PATH, "f", 1, 'b' ^ 'X'));
    assert_text("f", "aXc");
    assert_ok(sim_cut(f.sim, DIR_PATH, "f", 2));
    assert_text("f", "aX");
    restart(SIM_NONE, 0);
    assert_text("f", "aX");
    assert_status(sim_flip(f.sim, DIR_PATH, "f", 2, 1), LSM_INVALID);
    assert_status(sim_cut(f.sim, DIR_PATH, "f", 3), LSM_INVALID);
    assert_status(sim_cut(f.sim, DIR_PATH, "g", 0), LSM_IO);
}

// --- hooks and clocks ---

struct heard {
    unsigned writes;
    unsigned unlinks;
    bool was_durable;
};

static void hear_write(void *ctx, struct sim *sim, const char *dir, const char *name,
                       uint64_t offset, const lsm_slice *parts, size_t count)
{
    struct heard *heard = ctx;

    heard->writes++;
    heard->was_durable = sim_is_durable(sim, dir, "other", 5);
    cr_assert(eq(str, (char *)name, "f"));
    cr_assert(eq(u64, offset, 7));
    cr_assert(eq(sz, count, 1));
    cr_assert(slice_equal(parts[0], slice_of("abc")));
}

static void hear_unlink(void *ctx, struct sim *sim, const char *dir, const char *name)
{
    struct heard *heard = ctx;

    (void)sim;
    heard->unlinks++;
    cr_assert(eq(str, (char *)dir, DIR_PATH));
    cr_assert(eq(str, (char *)name, heard->unlinks == 1 ? "g" : "f"));
}

Test(sim, hooks_see_what_is_about_to_happen)
{
    struct heard heard = {0};
    struct file *file = create("f", "");

    create_synced("other", "12345");
    assert_ok(file_close(create("h", "")));
    sim_set_write_hook(f.sim, hear_write, &heard);
    sim_set_unlink_hook(f.sim, hear_unlink, &heard);
    assert_ok(file_write_one(file, 7, slice_of("abc")));
    assert_ok(file_close(file));
    cr_assert(eq(uint, heard.writes, 1));
    cr_assert(heard.was_durable);
    assert_ok(file_rename(f.dir, "h", "g"));
    assert_ok(file_unlink(f.dir, "f"));
    cr_assert(eq(uint, heard.unlinks, 2));
    sim_set_write_hook(f.sim, NULL, NULL);
    sim_set_unlink_hook(f.sim, NULL, NULL);
}

Test(sim, time_passes_only_when_told)
{
    struct env *env = sim_env(f.sim);
    uint64_t mono = clock_mono_ns(env);
    uint64_t wall = clock_wall_ns(env);

    cr_assert(eq(u64, clock_mono_ns(env), mono));
    sim_advance(f.sim, 1000);
    cr_assert(eq(u64, clock_mono_ns(env), mono + 1000));
    cr_assert(eq(u64, clock_wall_ns(env), wall + 1000));
    sim_set_wall(f.sim, 5);
    cr_assert(eq(u64, clock_wall_ns(env), 5));
    cr_assert(eq(u64, clock_mono_ns(env), mono + 1000));
}

// A model keeps, per file, the bytes at its last sync and whether its name was
// synced since it was made; nothing of that may ever be lost.
Test(sim, random_histories_never_lose_what_was_synced)
{
    enum { FILES = 4, STEPS = 60 };
    struct random random = random_for_test("random_histories_never_lose_what_was_synced");

    for (int round = 0; round < 60; round++) {
        struct file *files[FILES] = {0};
        char names[FILES][16];
        char synced[FILES][200] = {{0}};
        size_t synced_size[FILES] = {0};
        size_t size[FILES] = {0};
        bool is_named[FILES] = {0};

        teardown();
        setup();
        for (int i = 0; i < FILES; i++) {
            snprintf(names[i], sizeof names[i], "file%d", i);
            assert_ok(file_open(f.dir, names[i], FILE_CREATE, &files[i]));
        }
        for (int step = 0; step < STEPS; step++) {
            int i = (int)random_below(&random, FILES);
            char c = (char)('a' + random_below(&random, 26));

            switch (random_below(&random, 8)) {
            case 0:
                assert_ok(file_sync(files[i]));
                assert_ok(file_read_exact(files[i], 0, synced[i], size[i]));
                synced_size[i] = size[i];
                break;
            case 1:
                assert_ok(dir_sync(f.dir));
                for (int j = 0; j < FILES; j++)
                    is_named[j] = true;
                break;
            default: // appended, so that what is synced is never overwritten
                assert_ok(file_write_one(files[i], size[i]++, slice_make(&c, 1)));
                break;
            }
        }
        for (int i = 0; i < FILES; i++)
            assert_ok(file_close(files[i]));
        restart(SIM_RANDOM, random_next(&random));
        for (int i = 0; i < FILES; i++) {
            char found[300];

            if (!is_named[i])
                continue;
            cr_assert(ge(sz, read_text(names[i], found, sizeof found), synced_size[i]));
            cr_assert(memcmp(found, synced[i], synced_size[i]) == 0);
        }
    }
}

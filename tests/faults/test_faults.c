// test_faults.c -- what becomes of a fault: named cases, many of them bugs of other engines.

#include "support/db_fixture.h"

#define MEMBERS_MAX 16

static struct db_fixture f;

static void start(void)
{
    db_fixture_start(&f);
}

static void set_fault(unsigned ops, const char *name_part, lsm_status status, bool for_ever)
{
    const struct sim_fault fault = {
        .ops = ops, .name_part = name_part, .at = 1, .for_ever = for_ever, .status = status};

    sim_set_fault(f.sim, &fault);
}

static void power_cut(enum sim_survival survival, uint64_t seed)
{
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db); // fails, since the power has gone
    sim_restart(f.sim, survival, seed);
    f.db = NULL;
}

static void run_jobs(void)
{
    for (int i = 0; i < 100 && scheduler_run_one(f.db->scheduler); i++)
        ;
}

// --- groups of commits ---

struct member {
    char key[32];
    bool is_told;
    lsm_status status;
};

static void tell(void *ctx, lsm_status status, uint64_t commit_ts)
{
    struct member *member = ctx;

    (void)commit_ts;
    cr_assert(not(member->is_told));
    member->is_told = true;
    member->status = status;
}

static void submit(struct member *member, unsigned index, bool is_weak)
{
    const lsm_write_options options = {.sync = is_weak ? LSM_SYNC_WRITTEN : LSM_SYNC_FULL};
    lsm_txn *txn;

    *member = (struct member){.is_told = false};
    (void)snprintf(member->key, sizeof member->key, "member-%02u", index);
    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_put(txn, NULL, lsm_str(member->key), lsm_str("value")));
    assert_ok(lsm_commit_async(txn, &options, tell, member));
    lsm_txn_free(txn);
    cr_assert(not(member->is_told), "the members queue until the writer runs");
}

// Queues `count` commits, every third of them a weak one, has one group made of them, and
// expects each to be told `wants`.
static void run_group(struct member *members, unsigned count, lsm_status wants)
{
    for (unsigned i = 0; i < count; i++)
        submit(&members[i], i, i % 3 == 2);
    run_jobs();
    for (unsigned i = 0; i < count; i++) {
        cr_assert(members[i].is_told, "member %u of %u is not told", i, count);
        cr_assert(eq(int, members[i].status, wants), "member %u of %u", i, count);
        assert_holds(&f, NULL, members[i].key, NULL);
    }
}

// The leader's write fails: so has every member's commit. (RocksDB told followers that they
// had succeeded.)
Test(faults, peer_rocksdb_3096_a_failed_write_fails_every_member_of_its_group, .init = start)
{
    struct member members[MEMBERS_MAX];

    for (unsigned count = 1; count <= MEMBERS_MAX; count++) {
        set_fault(SIM_OP_WRITE, ".vlog", LSM_IO, false);
        run_group(members, count, LSM_IO);
        cr_assert(eq(u64, sim_fault_hits(f.sim), 1));
        put_text(&f, "after", "it works again");
        db_fixture_reopen(&f);
        for (unsigned i = 0; i < count; i++)
            assert_holds(&f, NULL, members[i].key, NULL);
        assert_holds(&f, NULL, "after", "it works again");
    }
    db_fixture_end(&f);
}

// The group's sync fails: of each it is unknown whether it will be there, all or none of them
// are, and nothing more is written.
Test(faults, peer_rocksdb_3096_a_failed_sync_leaves_every_member_unknown)
{
    struct member members[MEMBERS_MAX];

    for (unsigned count = 1; count <= MEMBERS_MAX; count++) {
        unsigned there = 0;

        db_fixture_start(&f);
        put_text(&f, "before", "durable");
        set_fault(SIM_OP_SYNC, ".vlog", LSM_IO, false);
        run_group(members, count, LSM_OUTCOME_UNKNOWN);
        assert_status(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("v"), NULL), LSM_POISONED);
        power_cut(count % 2 == 0 ? SIM_NONE : SIM_ALL, count);
        db_fixture_open(&f);
        assert_holds(&f, NULL, "before", "durable");
        for (unsigned i = 0; i < count; i++)
            there += lsm_exists(f.db, NULL, lsm_str(members[i].key)) == LSM_OK;
        cr_assert(eq(uint, there, 0), "a failed sync drops what it was to write");
        db_fixture_end(&f);
    }
}

// Neither can the log be cut back: a commit reported so may be there or not.
Test(faults, a_group_that_cannot_be_cut_off_is_unknown_to_every_member)
{
    struct member members[MEMBERS_MAX];

    for (unsigned count = 1; count <= MEMBERS_MAX; count += 5) {
        db_fixture_start(&f);
        put_text(&f, "before", "durable");
        set_fault(SIM_OP_WRITE | SIM_OP_TRUNCATE, ".vlog", LSM_IO, true);
        run_group(members, count, LSM_OUTCOME_UNKNOWN);
        sim_set_fault(f.sim, NULL);
        assert_status(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("v"), NULL), LSM_POISONED);
        assert_holds(&f, NULL, "before", "durable");
        assert_status(lsm_close(f.db), LSM_POISONED);
        db_fixture_open(&f);
        assert_holds(&f, NULL, "before", "durable");
        db_fixture_end(&f);
    }
}

// --- a failed write of the log ---

struct written {
    char failed[64];
    char next[64];
    bool has_failed;
};

static void note_write(void *ctx, struct sim *sim, const char *dir, const char *name,
                       uint64_t offset, const lsm_slice *parts, size_t count)
{
    struct written *written = ctx;

    (void)sim;
    (void)dir;
    (void)offset;
    (void)parts;
    (void)count;
    if (strstr(name, ".vlog") == NULL)
        return;
    (void)snprintf(written->has_failed ? written->next : written->failed, sizeof written->next,
                   "%s", name);
}

// After a failed write the tail of a segment is unknown: no frame is ever appended behind it,
// or what follows would be lost in a hole.
Test(faults, peer_rocksdb_12995_a_segment_takes_no_frame_after_a_failed_write, .init = start)
{
    for (size_t torn = 0; torn < 120; torn += 7) {
        const struct sim_fault fault = {
            .ops = SIM_OP_WRITE, .name_part = ".vlog", .at = 1, .status = LSM_IO, .short_by = torn};
        struct written written = {.has_failed = false};

        put_text(&f, "before", "there");
        sim_set_write_hook(f.sim, note_write, &written);
        sim_set_fault(f.sim, &fault);
        assert_status(lsm_put(f.db, NULL, lsm_str("torn"), lsm_str("x"), NULL), LSM_IO);
        written.has_failed = true;
        put_text(&f, "after", "there");
        sim_set_write_hook(f.sim, NULL, NULL);
        cr_assert(ne(str, written.failed, written.next), "the same segment goes on");
        power_cut(SIM_NONE, 1);
        db_fixture_open(&f);
        assert_holds(&f, NULL, "before", "there");
        assert_holds(&f, NULL, "torn", NULL);
        assert_holds(&f, NULL, "after", "there");
    }
    db_fixture_end(&f);
}

// --- closing ---

// A table whose close fails may lack bytes: it is not published, the memtable stays, and so does
// the log.
Test(faults, peer_leveldb_1081_a_table_that_fails_to_close_is_not_published, .init = start)
{
    size_t count;
    lsm_table_info *tables;

    put_text(&f, "key", "value");
    set_fault(SIM_OP_CLOSE, ".sst", LSM_IO, false);
    cr_assert(ne(int, lsm_flush(f.db), LSM_OK));
    cr_assert(strstr(lsm_errmsg(), ".sst") != NULL, "%s", lsm_errmsg());
    assert_status(lsm_flush(f.db), LSM_POISONED);
    assert_ok(lsm_tables(f.db, &tables, &count));
    lsm_free(tables);
    cr_assert(eq(sz, count, 0));
    assert_holds(&f, NULL, "key", "value");
    assert_status(lsm_close(f.db), LSM_POISONED);
    db_fixture_open(&f);
    assert_holds(&f, NULL, "key", "value");
    assert_ok(lsm_flush(f.db));
    db_fixture_end(&f);
}

// The close of a segment that has been written is the last chance to hear of lost bytes.
Test(faults, peer_leveldb_1081_a_segment_that_fails_to_close_poisons, .init = start)
{
    static char large[700 << 10];
    const lsm_slice value = slice_make(large, sizeof large);

    for (int i = 0; i < 3; i++) // more than one segment
        assert_ok(lsm_put(f.db, NULL, lsm_str("large"), value, NULL));
    set_fault(SIM_OP_CLOSE, ".vlog", LSM_IO, false);
    run_jobs(); // seals the first ones
    cr_assert(eq(u64, sim_fault_hits(f.sim), 1));
    assert_status(lsm_put(f.db, NULL, lsm_str("k"), lsm_str("v"), NULL), LSM_POISONED);
    cr_assert(strstr(lsm_errmsg(), "simulated") != NULL, "%s", lsm_errmsg());
    assert_status(lsm_close(f.db), LSM_POISONED);
    db_fixture_open(&f);
    assert_ok(lsm_exists(f.db, NULL, lsm_str("large")));
    db_fixture_end(&f);
}

// --- a read error is not an end ---

// No read of the log that fails during recovery passes for the end of the log.
Test(faults, peer_rocksdb_pit_ioerror_a_read_error_is_not_the_end_of_the_log, .init = start)
{
    uint64_t at;
    lsm_status status = LSM_IO;

    for (unsigned i = 0; i < 50; i++) {
        char key[32];

        (void)snprintf(key, sizeof key, "key-%02u", i);
        put_text(&f, key, "value");
    }
    power_cut(SIM_NONE, 1);
    for (at = 1; status == LSM_IO; at++) {
        const struct sim_fault fault = {
            .ops = SIM_OP_READ, .name_part = ".vlog", .at = at, .status = LSM_IO};

        sim_set_fault(f.sim, &fault);
        status = lsm_open(DB_DIR, &f.options, &f.db);
        cr_assert(status == LSM_IO || sim_fault_hits(f.sim) == 0, "read %d is swallowed", (int)at);
    }
    assert_ok(status);
    cr_assert(at > 3, "the log is read by several calls");
    sim_set_fault(f.sim, NULL);
    assert_holds(&f, NULL, "key-00", "value");
    assert_holds(&f, NULL, "key-49", "value");
    db_fixture_end(&f);
}

// --- opening in vain ---

static lsm_status count_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    uint64_t number;
    const enum filename_kind kind = filename_parse(name, &number);

    (void)size;
    (void)is_regular;
    *(unsigned *)ctx +=
        kind == FILENAME_SEGMENT || kind == FILENAME_TABLE || kind == FILENAME_MANIFEST;
    return LSM_OK;
}

static unsigned file_count(void)
{
    unsigned count = 0;
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(dir_list(dir, count_file, &count));
    dir_close(dir);
    return count;
}

// Opens a copy of `disk` with the call that takes space and has number `at` failing. False when
// fewer are made.
static bool open_on_full_disk(const struct sim *disk, uint64_t at, unsigned *failures)
{
    const struct sim_fault fault = {
        .ops = SIM_OP_OPEN | SIM_OP_WRITE | SIM_OP_ALLOCATE, .at = at, .status = LSM_NO_SPACE};
    unsigned before;
    uint64_t hits;

    assert_ok(sim_clone(disk, &f.sim));
    f.options.env = sim_env(f.sim);
    before = file_count();
    sim_set_fault(f.sim, &fault);
    if (lsm_open(DB_DIR, &f.options, &f.db) != LSM_OK) {
        (*failures)++;
        cr_assert(eq(uint, file_count(), before), "after failing at call %u", (unsigned)at);
        db_fixture_open(&f);
    }
    hits = sim_fault_hits(f.sim);
    sim_set_fault(f.sim, NULL);
    assert_holds(&f, NULL, "key", "newer");
    assert_ok(lsm_close(f.db));
    sim_free(f.sim);
    return hits > 0;
}

// Opening fails for lack of space, at each call that needs some: what it has made is removed
// again, or trying once more would fill the disk further.
Test(faults, an_open_that_fails_leaves_no_file_behind, .init = start)
{
    struct sim *disk = f.sim;
    unsigned failures = 0;
    uint64_t at = 1;

    put_text(&f, "key", "value");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "key", "newer");
    power_cut(SIM_NONE, 1);
    while (open_on_full_disk(disk, at, &failures))
        at++;
    cr_assert(gt(uint, failures, 4));
    sim_free(disk);
}

// A merge that cannot read the beginning of an input, or any other part of it, keeps all inputs.
Test(faults, peer_rocksdb_history_a_merge_that_cannot_read_an_input_keeps_all, .init = start)
{
    lsm_status status = LSM_IO;

    for (uint64_t at = 1; status == LSM_IO; at++) {
        const struct sim_fault fault = {
            .ops = SIM_OP_READ, .name_part = ".sst", .at = at, .status = LSM_IO};

        put_text(&f, "a", "old");
        put_text(&f, "only in the first", "value");
        assert_ok(lsm_flush(f.db));
        put_text(&f, "a", "new");
        put_text(&f, "only in the second", "value");
        assert_ok(lsm_flush(f.db));
        db_fixture_reopen(&f); // nothing is cached
        sim_set_fault(f.sim, &fault);
        status = lsm_compact_range(f.db, NULL, NULL, NULL);
        cr_assert(status == LSM_IO || sim_fault_hits(f.sim) == 0);
        sim_set_fault(f.sim, NULL);
        assert_holds(&f, NULL, "a", "new");
        assert_holds(&f, NULL, "only in the first", "value");
        assert_holds(&f, NULL, "only in the second", "value");
        sim_advance(f.sim, 3600 * NS_PER_S); // out of quarantine
        assert_ok(lsm_resume(f.db));
        assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    }
    assert_ok(status);
    db_fixture_end(&f);
}

// --- slow devices ---

static const struct env_ops *real_ops;

#define SLOW_NS (30 * NS_PER_S)

static lsm_status slow_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                             size_t count)
{
    sim_advance(f.sim, SLOW_NS);
    return real_ops->file_write(file, offset, parts, count);
}

static lsm_status slow_sync(struct file *file)
{
    sim_advance(f.sim, SLOW_NS);
    return real_ops->file_sync(file);
}

static lsm_status slow_read(struct file *file, uint64_t offset, void *to, size_t size, size_t *got)
{
    sim_advance(f.sim, SLOW_NS);
    return real_ops->file_read(file, offset, to, size, got);
}

// Every read, write and sync takes half a minute of the virtual clock: all is as before, no
// wait is left hanging, and what time sets off (interval syncs, idle flushes) comes to an end.
Test(faults, a_slow_device_changes_nothing_but_the_time)
{
    struct env_ops ops;

    db_fixture_prepare(&f, 1);
    real_ops = sim_env(f.sim)->ops;
    ops = *real_ops;
    ops.file_write = slow_write;
    ops.file_sync = slow_sync;
    ops.file_read = slow_read;
    sim_env(f.sim)->ops = &ops;
    db_fixture_open(&f);
    for (unsigned i = 0; i < 300; i++) {
        const lsm_write_options weak = {.sync = LSM_SYNC_WRITTEN};
        char key[32];

        (void)snprintf(key, sizeof key, "key-%03u", i);
        assert_ok(lsm_put(f.db, NULL, lsm_str(key), lsm_str("v"), i % 2 == 0 ? &weak : NULL));
        if (i % 50 == 49)
            run_jobs();
    }
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    assert_ok(lsm_wait_idle(f.db));
    db_fixture_reopen(&f);
    assert_holds(&f, NULL, "key-000", "v");
    assert_holds(&f, NULL, "key-299", "v");
    assert_ok(lsm_close(f.db));
    sim_free(f.sim);
}

// --- clocks ---

#define YEAR_NS (365 * 24 * 3600 * NS_PER_S)

static uint64_t commit_ts_of_put(const char *key)
{
    uint64_t ts;
    lsm_txn *txn;

    assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
    assert_ok(lsm_txn_put(txn, NULL, lsm_str(key), lsm_str("v")));
    assert_ok(lsm_commit(txn, NULL));
    ts = lsm_txn_commit_ts(txn);
    lsm_txn_free(txn);
    return ts;
}

// The wall clock steps by years in both directions, also while the database is closed: the
// order of commits does not follow it, and nothing hangs.
Test(faults, commits_stay_in_order_while_the_clock_steps, .init = start)
{
    const uint64_t now = clock_wall_ns(sim_env(f.sim));
    const uint64_t walls[] = {now,           now - 20 * YEAR_NS, now + 5 * YEAR_NS,  now + 1,
                              now - YEAR_NS, NS_PER_S,           now + 50 * YEAR_NS, now};
    uint64_t last_ts = 0;

    for (size_t i = 0; i < sizeof walls / sizeof walls[0]; i++) {
        uint64_t ts;

        sim_set_wall(f.sim, walls[i]);
        ts = commit_ts_of_put("key");
        cr_assert(gt(u64, ts, last_ts));
        last_ts = ts;
        assert_ok(lsm_flush(f.db));
        run_jobs();
        if (i % 2 == 1)
            db_fixture_reopen(&f);
        assert_holds(&f, NULL, "key", "v");
    }
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_end(&f);
}

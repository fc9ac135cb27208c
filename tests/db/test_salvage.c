// test_salvage.c -- what comes out of a damaged database, case by case.

#include "db/salvage.h"

#include "base/file_header.h"
#include "support/alloc_fault.h"
#include "support/db_fixture.h"

#define NEW_DIR "/rescued"

static struct db_fixture f;
static struct salvage_report report;
static unsigned losses;
static char last_loss[256];

static void fixture_open(void)
{
    cr_assert(alloc_fault_install());
    db_fixture_prepare(&f, 1);
    f.options.value_threshold = 100;
    db_fixture_open(&f);
    losses = 0;
    last_loss[0] = '\0';
}

static void fixture_close(void)
{
    salvage_report_release(&report);
    db_fixture_end(&f);
}

TestSuite(salvage, .init = fixture_open, .fini = fixture_close);

static void note_loss(void *ctx, const struct salvage_loss *loss)
{
    (void)ctx;
    losses++;
    (void)snprintf(last_loss, sizeof last_loss, "%s: %s", loss->file, loss->what);
}

static lsm_status try_salvage(bool take_uncertain)
{
    const struct salvage_request request = {.env = sim_env(f.sim),
                                            .from = DB_DIR,
                                            .to = NEW_DIR,
                                            .options = &f.options,
                                            .take_uncertain = take_uncertain,
                                            .on_loss = note_loss};

    return db_salvage(&request, &report);
}

// Salvages what has been closed, and goes on with the new database in its place.
static void salvage(bool take_uncertain)
{
    assert_ok(try_salvage(take_uncertain));
    assert_ok(lsm_open(NEW_DIR, &f.options, &f.db));
    assert_ok(lsm_verify(f.db, NULL, NULL));
}

struct found_file {
    const char *part; // of its name
    char name[64];    // the last one with it
    uint64_t size;
};

static lsm_status find_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct found_file *found = ctx;

    (void)is_regular;
    if (strstr(name, found->part) != NULL && strcmp(name, found->name) > 0) {
        (void)snprintf(found->name, sizeof found->name, "%.63s", name);
        found->size = size;
    }
    return LSM_OK;
}

// The last file whose name contains `part`.
static struct found_file last_file(const char *part)
{
    struct found_file found = {.part = part};
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(dir_list(dir, find_file, &found));
    dir_close(dir);
    cr_assert(found.name[0] != '\0', "no %s", part);
    return found;
}

static void remove_file(const char *name)
{
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dir));
    assert_ok(file_unlink(dir, name));
    assert_ok(dir_sync(dir));
    dir_close(dir);
}

static void flip(const char *name, uint64_t offset)
{
    assert_ok(sim_flip(f.sim, DB_DIR, name, offset, 0x04));
}

Test(salvage, a_whole_database_comes_out_as_it_was)
{
    lsm_keyspace *things;

    put_text(&f, "a", "1");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "a", "2");
    put_text(&f, "b", "1");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("b"), NULL));
    assert_ok(lsm_keyspace_open(f.db, "things", true, NULL, &things));
    assert_ok(lsm_put(f.db, things, lsm_str("c"), lsm_str("3"), NULL));
    lsm_keyspace_close(things);
    db_fixture_close(&f);

    salvage(false);
    cr_assert(eq(uint, losses, 0), "%s", last_loss);
    cr_assert(report.has_manifest);
    cr_assert(eq(u64, report.record_count, 2));
    assert_holds(&f, NULL, "a", "2");
    assert_holds(&f, NULL, "b", NULL);
    assert_ok(lsm_keyspace_open(f.db, "things", false, NULL, &things));
    assert_holds(&f, things, "c", "3");
    lsm_keyspace_close(things);
}

Test(salvage, expiry_user_byte_and_options_of_keyspaces_are_kept)
{
    const lsm_keyspace_options options = {LSM_INHERIT, 3, LSM_INHERIT, 3600};
    const uint64_t far = UINT64_C(1) << 40;
    lsm_keyspace_info *infos;
    lsm_keyspace *keyspace;
    size_t count;
    lsm_iter *it;
    lsm_txn *txn;

    assert_ok(lsm_keyspace_open(f.db, "things", true, NULL, &keyspace));
    assert_ok(lsm_begin(f.db, LSM_TXN_SNAPSHOT, &txn));
    assert_ok(lsm_txn_put_entry(txn, keyspace, lsm_str("a"), lsm_str("1"), far, 7));
    assert_ok(lsm_txn_put(txn, keyspace, lsm_str("b"), lsm_str("2")));
    assert_ok(lsm_commit(txn, NULL));
    lsm_txn_free(txn);
    lsm_keyspace_close(keyspace);
    assert_ok(lsm_keyspace_alter(f.db, "things", &options));
    db_fixture_close(&f);

    salvage(false);
    assert_ok(lsm_keyspace_list(f.db, &infos, &count));
    cr_assert(eq(sz, count, 2));
    cr_assert(eq(uint, infos[1].options.versions_to_keep, 3));
    cr_assert(eq(u64, infos[1].options.ttl_seconds, 3600));
    lsm_free(infos);
    assert_ok(lsm_keyspace_open(f.db, "things", false, NULL, &keyspace));
    assert_ok(lsm_iter_open(f.db, keyspace, NULL, &it));
    assert_ok(lsm_iter_first(it));
    cr_assert(eq(u64, lsm_iter_expiry(it), far));
    cr_assert(eq(uint, lsm_iter_user_byte(it), 7));
    assert_ok(lsm_iter_next(it));
    cr_assert(eq(u64, lsm_iter_expiry(it), 0), "the default came later");
    lsm_iter_close(it);
    lsm_keyspace_close(keyspace);
}

Test(salvage, a_dropped_keyspace_stays_dropped)
{
    lsm_keyspace *keyspace;

    for (int i = 0; i < 2; i++) { // dropped, and made again under its name
        assert_ok(lsm_keyspace_open(f.db, "things", true, NULL, &keyspace));
        assert_ok(lsm_put(f.db, keyspace, lsm_str(i == 0 ? "old" : "new"), lsm_str("1"), NULL));
        lsm_keyspace_close(keyspace);
        if (i == 0)
            assert_ok(lsm_keyspace_drop(f.db, "things"));
    }
    db_fixture_close(&f);

    salvage(false);
    assert_ok(lsm_keyspace_open(f.db, "things", false, NULL, &keyspace));
    assert_holds(&f, keyspace, "old", NULL);
    assert_holds(&f, keyspace, "new", "1");
    lsm_keyspace_close(keyspace);
}

Test(salvage, current_may_be_missing)
{
    put_text(&f, "a", "1");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "b", "2");
    db_fixture_close(&f);
    remove_file("CURRENT");
    assert_status(lsm_open(DB_DIR, &f.options, &f.db), LSM_CORRUPT);

    salvage(false);
    cr_assert(report.has_manifest);
    assert_holds(&f, NULL, "a", "1");
    assert_holds(&f, NULL, "b", "2");
}

Test(salvage, without_a_manifest_tables_and_log_are_enough)
{
    lsm_keyspace *keyspace;

    assert_ok(lsm_keyspace_open(f.db, "things", true, NULL, &keyspace));
    assert_ok(lsm_put(f.db, keyspace, lsm_str("c"), lsm_str("3"), NULL));
    lsm_keyspace_close(keyspace);
    put_text(&f, "a", "1");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "b", "2");
    assert_ok(lsm_delete(f.db, NULL, lsm_str("a"), NULL));
    db_fixture_close(&f);
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);

    salvage(false);
    cr_assert(not(report.has_manifest));
    assert_holds(&f, NULL, "a", NULL);
    assert_holds(&f, NULL, "b", "2");
    assert_ok(lsm_keyspace_open(f.db, "keyspace-2", false, NULL, &keyspace));
    assert_holds(&f, keyspace, "c", "3");
    lsm_keyspace_close(keyspace);
}

static void fill_table(void)
{
    char key[16], value[64];

    for (unsigned i = 0; i < 200; i++) {
        (void)snprintf(key, sizeof key, "key-%03u", i);
        (void)snprintf(value, sizeof value, "value %u of a table with many blocks", i);
        put_text(&f, key, value);
    }
    assert_ok(lsm_flush(f.db));
}

static unsigned count_keys(void)
{
    unsigned count = 0;
    lsm_status status;
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        count++;
    assert_status(status, LSM_NOT_FOUND);
    lsm_iter_close(it);
    return count;
}

// The log no longer holds what the table does: its segment went with the flush.
static void close_flushed(void)
{
    fill_table();
    db_fixture_reopen(&f);
    db_fixture_close(&f);
}

Test(salvage, one_bad_block_costs_its_entries_only)
{
    close_flushed();
    flip(last_file(".sst").name, 200);

    salvage(false);
    cr_assert(eq(uint, losses, 1), "%s", last_loss);
    cr_assert(lt(uint, count_keys(), 200));
    cr_assert(gt(uint, count_keys(), 150));
    assert_holds(&f, NULL, "key-199", "value 199 of a table with many blocks");
}

Test(salvage, blocks_are_found_without_header_index_and_footer)
{
    struct found_file table;

    close_flushed();
    table = last_file(".sst");
    flip(table.name, 5);
    flip(table.name, table.size - 10);
    flip(table.name, table.size - 100);

    salvage(false);
    cr_assert(ge(uint, losses, 2), "%s", last_loss);
    cr_assert(eq(uint, count_keys(), 200));
}

Test(salvage, a_bad_block_is_passed_over_without_an_index)
{
    struct found_file table;

    close_flushed();
    table = last_file(".sst");
    flip(table.name, table.size - 10);
    flip(table.name, 1000);

    salvage(false);
    cr_assert(lt(uint, count_keys(), 200));
    cr_assert(gt(uint, count_keys(), 150));
}

// LevelDB's RepairDB brought back a put of which only a part had reached the log: a commit is
// salvaged whole or not at all, and what lies behind it is, too.
Test(salvage, peer_leveldb_251)
{
    uint64_t start, end;
    lsm_batch *batch;

    put_text(&f, "before", "1");
    start = f.db->log == NULL ? 0 : log_end(f.db->log).offset;
    assert_ok(lsm_batch_new(&batch));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("one"), lsm_str("torn")));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("two"), lsm_str("torn")));
    assert_ok(lsm_write(f.db, batch, NULL));
    lsm_batch_free(batch);
    end = log_end(f.db->log).offset;
    put_text(&f, "behind", "2");
    db_fixture_close(&f);
    cr_assert(gt(u64, end, start + 100));
    flip(last_file(".vlog").name, end - 10); // of the second put

    salvage(false);
    cr_assert(eq(u64, report.lost_frames, 1));
    assert_holds(&f, NULL, "before", "1");
    assert_holds(&f, NULL, "one", NULL);
    assert_holds(&f, NULL, "two", NULL);
    assert_holds(&f, NULL, "behind", "2");
}

Test(salvage, a_key_whose_value_is_lost_is_left_out_and_told)
{
    char large[301];
    struct found_file segment;

    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    put_text(&f, "a", "old");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "a", large);
    assert_ok(lsm_flush(f.db));
    segment = last_file(".vlog");
    db_fixture_reopen(&f); // the segment is no longer log
    db_fixture_close(&f);
    segment = last_file(segment.name); // without the room it had
    for (uint64_t at = segment.size - 300; at < segment.size; at += 50)
        flip(segment.name, at);

    salvage(false);
    cr_assert(eq(u64, report.lost_values, 1), "%s", last_loss);
    assert_holds(&f, NULL, "a", NULL);
}

Test(salvage, the_new_database_must_not_be_there)
{
    put_text(&f, "a", "1");
    db_fixture_close(&f);
    assert_ok(try_salvage(false));
    salvage_report_release(&report);
    assert_status(try_salvage(false), LSM_INVALID);
    assert_ok(lsm_open(NEW_DIR, &f.options, &f.db));
    assert_holds(&f, NULL, "a", "1");
}

// Not even when nothing in it looks like a database: it may be the damaged one.
Test(salvage, the_new_directory_must_not_hold_files_of_a_database)
{
    const struct salvage_request request = {
        .env = sim_env(f.sim), .from = DB_DIR, .to = DB_DIR, .options = &f.options};
    struct found_file segment;

    put_text(&f, "a", "1");
    segment = last_file(".vlog");
    db_fixture_reopen(&f);
    db_fixture_close(&f);
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);
    flip(segment.name, FILE_HEADER_SIZE - 1);
    assert_status(lsm_open(DB_DIR, &f.options, &f.db), LSM_CORRUPT);
    assert_status(db_salvage(&request, &report), LSM_INVALID);

    salvage(false);
    assert_holds(&f, NULL, "a", "1");
}

Test(salvage, a_directory_without_a_database_is_refused)
{
    const struct salvage_request request = {
        .env = sim_env(f.sim), .from = "/empty", .to = NEW_DIR, .options = &f.options};
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), "/empty", true, &dir));
    dir_close(dir);
    assert_status(db_salvage(&request, &report), LSM_INVALID);
}

// A copy of the disk for each try, since a new database is left unfinished.
Test(salvage, no_allocation_that_fails_is_lost_on_it)
{
    struct salvage_request request = {.from = DB_DIR, .to = NEW_DIR, .options = &f.options};
    lsm_status status = LSM_NO_MEMORY;

    fill_table();
    put_text(&f, "z", "1");
    db_fixture_close(&f);
    for (size_t n = 1; status != LSM_OK; n += 1 + n / 16) {
        struct sim *copy;

        assert_ok(sim_clone(f.sim, &copy));
        request.env = sim_env(copy);
        f.options.env = request.env;
        alloc_fault_at(n, true);
        status = db_salvage(&request, &report);
        alloc_fault_at(0, false);
        cr_assert(status == LSM_OK || status == LSM_NO_MEMORY, "%s", lsm_errmsg());
        sim_free(copy);
    }
    cr_assert(eq(u64, report.record_count, 201));
    f.options.env = sim_env(f.sim);
    db_fixture_open(&f);
}

// What the source cannot read is lost and told; what the new database cannot write fails.
Test(salvage, no_call_that_fails_goes_unnoticed)
{
    struct salvage_request request = {
        .from = DB_DIR, .to = NEW_DIR, .options = &f.options, .on_loss = note_loss};
    bool was_hit = true;

    fill_table();
    put_text(&f, "z", "1");
    db_fixture_close(&f);
    for (uint64_t n = 1; was_hit; n++) {
        const struct sim_fault fault = {.ops = SIM_OP_ANY, .at = n, .status = LSM_IO};
        struct sim *copy;
        lsm_status status;

        losses = 0;
        assert_ok(sim_clone(f.sim, &copy));
        request.env = sim_env(copy);
        f.options.env = request.env;
        sim_set_fault(copy, &fault);
        status = db_salvage(&request, &report);
        was_hit = sim_fault_hits(copy) > 0;
        if (status == LSM_OK) {
            if (losses == 0)
                cr_assert(eq(u64, report.record_count, 201), "call %llu", (unsigned long long)n);
            salvage_report_release(&report);
        }
        sim_free(copy);
    }
    f.options.env = sim_env(f.sim);
    db_fixture_open(&f);
}

// A segment is gone whose commits may have deleted what an older one holds.
Test(salvage, what_may_have_been_deleted_is_kept_apart)
{
    char large[301];
    lsm_keyspace *apart;

    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    put_text(&f, "a", large);
    put_text(&f, "b", large);
    db_fixture_reopen(&f);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("a"), NULL));
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_reopen(&f); // the segment with the deletion is gone
    put_text(&f, "c", "3");
    db_fixture_close(&f);
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);

    salvage(true);
    cr_assert(eq(u64, report.uncertain_frame_count, 2));
    assert_holds(&f, NULL, "a", NULL);
    assert_holds(&f, NULL, "b", large);
    assert_holds(&f, NULL, "c", "3");
    assert_ok(lsm_keyspace_open(f.db, "default.uncertain", false, NULL, &apart));
    assert_holds(&f, apart, "a", large);
    assert_holds(&f, apart, "b", NULL);
    assert_holds(&f, apart, "c", NULL);
    lsm_keyspace_close(apart);
}

// The same when no commit follows the one that is gone.
Test(salvage, what_may_have_been_deleted_last_is_kept_apart)
{
    char large[301];
    lsm_keyspace *apart;

    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    put_text(&f, "a", large);
    put_text(&f, "b", large);
    db_fixture_reopen(&f);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("a"), NULL));
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_reopen(&f); // the segment with the deletion is gone
    db_fixture_close(&f);
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);

    salvage(true);
    assert_holds(&f, NULL, "a", NULL);
    assert_holds(&f, NULL, "b", large);
    assert_ok(lsm_keyspace_open(f.db, "default.uncertain", false, NULL, &apart));
    assert_holds(&f, apart, "a", large);
    lsm_keyspace_close(apart);
}

// A segment that is there and cannot be read may have undone what lies before it.
Test(salvage, what_an_unreadable_segment_may_have_deleted_is_kept_apart)
{
    lsm_keyspace *apart;
    struct found_file segment;

    put_text(&f, "a", "1");
    db_fixture_reopen(&f);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("a"), NULL));
    db_fixture_close(&f);
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);
    segment = last_file(".vlog");
    flip(segment.name, 0);
    flip(segment.name, FILE_HEADER_SIZE);

    salvage(true);
    assert_holds(&f, NULL, "a", NULL);
    assert_ok(lsm_keyspace_open(f.db, "default.uncertain", false, NULL, &apart));
    assert_holds(&f, apart, "a", "1");
    lsm_keyspace_close(apart);
}

// Commits that no table holds are certain, however often the database was opened since.
Test(salvage, unflushed_commits_are_certain_without_a_manifest)
{
    put_text(&f, "a", "1");
    put_text(&f, "b", "2");
    for (unsigned i = 0; i < 3; i++)
        db_fixture_reopen(&f);
    db_fixture_close(&f);
    remove_file("CURRENT");
    remove_file(last_file("MANIFEST").name);

    salvage(false);
    cr_assert(eq(u64, report.uncertain_frame_count, 0));
    assert_holds(&f, NULL, "a", "1");
    assert_holds(&f, NULL, "b", "2");
}

// test_salvage.c -- what comes out of a damaged database, case by case.

#include "base/file_header.h"
#include "db/salvage_fixture.h"

TestSuite(salvage, .init = salvage_fixture_open, .fini = salvage_fixture_close);

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
    assert_keyspace_holds("things", "c", "3");
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

// On the day that a database needs salvage its clock may be wrong as well.
Test(salvage, a_clock_that_is_ahead_costs_nothing)
{
    const uint64_t now = clock_wall_ns(sim_env(f.sim));
    const lsm_write_options day = {.ttl_seconds = 24 * 3600};

    assert_ok(lsm_put(f.db, NULL, lsm_str("daily"), lsm_str("1"), &day));
    db_fixture_close(&f);
    sim_set_wall(f.sim, now + 3 * 365 * 24 * 3600 * NS_PER_S);
    salvage(false);
    assert_holds(&f, NULL, "daily", NULL);
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    sim_set_wall(f.sim, now);
    assert_holds(&f, NULL, "daily", "1");
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
    assert_keyspace_holds("things", "old", NULL);
    assert_keyspace_holds("things", "new", "1");
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
    remove_current_and_manifest();

    salvage(false);
    cr_assert(not(report.has_manifest));
    assert_holds(&f, NULL, "a", NULL);
    assert_holds(&f, NULL, "b", "2");
    assert_keyspace_holds("keyspace-2", "c", "3");
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
    struct found_file segment;

    put_text(&f, "a", "old");
    assert_ok(lsm_flush(f.db));
    put_text(&f, "a", large_value());
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

// Makes a database of which a segment is gone that has deleted "a"; an older one holds it still,
// and "b".
static void lose_a_deletion(void)
{
    put_text(&f, "a", large_value());
    put_text(&f, "b", large_value());
    db_fixture_reopen(&f);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("a"), NULL));
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_reopen(&f); // the segment with the deletion is gone
}

// A segment is gone whose commits may have deleted what an older one holds.
Test(salvage, what_may_have_been_deleted_is_kept_apart)
{
    lose_a_deletion();
    put_text(&f, "c", "3");
    db_fixture_close(&f);
    remove_current_and_manifest();

    salvage(true);
    cr_assert(eq(u64, report.uncertain_frame_count, 2));
    assert_holds(&f, NULL, "a", NULL);
    assert_holds(&f, NULL, "b", large_value());
    assert_holds(&f, NULL, "c", "3");
    assert_keyspace_holds("default.uncertain", "a", large_value());
    assert_keyspace_holds("default.uncertain", "b", NULL);
    assert_keyspace_holds("default.uncertain", "c", NULL);
}

// The same when no commit follows the one that is gone.
Test(salvage, what_may_have_been_deleted_last_is_kept_apart)
{
    lose_a_deletion();
    db_fixture_close(&f);
    remove_current_and_manifest();

    salvage(true);
    assert_holds(&f, NULL, "a", NULL);
    assert_holds(&f, NULL, "b", large_value());
    assert_keyspace_holds("default.uncertain", "a", large_value());
}

// A segment that is there and cannot be read may have undone what lies before it.
Test(salvage, what_an_unreadable_segment_may_have_deleted_is_kept_apart)
{
    struct found_file segment;

    put_text(&f, "a", "1");
    db_fixture_reopen(&f);
    assert_ok(lsm_delete(f.db, NULL, lsm_str("a"), NULL));
    db_fixture_close(&f);
    remove_current_and_manifest();
    segment = last_file(".vlog");
    flip(segment.name, 0);
    flip(segment.name, FILE_HEADER_SIZE);

    salvage(true);
    assert_holds(&f, NULL, "a", NULL);
    assert_keyspace_holds("default.uncertain", "a", "1");
}

// Commits that no table holds are certain, however often the database was opened since.
Test(salvage, unflushed_commits_are_certain_without_a_manifest)
{
    put_text(&f, "a", "1");
    put_text(&f, "b", "2");
    for (unsigned i = 0; i < 3; i++)
        db_fixture_reopen(&f);
    db_fixture_close(&f);
    remove_current_and_manifest();

    salvage(false);
    cr_assert(eq(u64, report.uncertain_frame_count, 0));
    assert_holds(&f, NULL, "a", "1");
    assert_holds(&f, NULL, "b", "2");
}

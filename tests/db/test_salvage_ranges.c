// test_salvage_ranges.c -- between which keys something is lost, and what is left apart.

#include "db/salvage_fixture.h"

#define KEYS 400

static char told[1024]; // "keyspace: (from to]" and so on, one behind the other

static void start(void)
{
    salvage_fixture_open();
    told[0] = '\0';
}

TestSuite(salvage_ranges, .init = start, .fini = salvage_fixture_close);

static void note_bound(const struct salvage_bound *bound, char *to, size_t size)
{
    if (bound->is_known)
        (void)snprintf(to, size, "%s:%.*s", bound->keyspace_name, (int)bound->key.size,
                       (const char *)bound->key.data);
    else
        (void)snprintf(to, size, "?");
}

static void note_range(void *ctx, const struct salvage_range *range)
{
    char from[300], to[300];
    const size_t used = strlen(told);

    (void)ctx;
    note_bound(&range->from, from, sizeof from);
    note_bound(&range->to, to, sizeof to);
    (void)snprintf(told + used, sizeof told - used, "%c%s %s%c",
                   range->from.is_included ? '[' : '(', from, to,
                   range->to.is_included ? ']' : ')');
}

static void look(void)
{
    const struct salvage_request request = {.env = sim_env(f.sim),
                                            .from = DB_DIR,
                                            .options = &f.options,
                                            .on_loss = note_loss,
                                            .on_range = note_range};

    salvage_report_release(&report);
    assert_ok(db_salvage(&request, &report));
}

// One table of many blocks, in two keyspaces.
static void write_table(void)
{
    lsm_keyspace *other;
    char key[16];

    assert_ok(lsm_keyspace_open(f.db, "other", true, NULL, &other));
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "%03d", i);
        put_text(&f, key, "some value of a few bytes");
        if (i < 3)
            assert_ok(lsm_put(f.db, other, lsm_str(key), lsm_str("value"), NULL));
    }
    lsm_keyspace_close(other);
    assert_ok(lsm_flush(f.db));
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    db_fixture_close(&f);
}

// The log has it all, as nothing was rotated yet: without it the table is all that there is.
static void remove_log(void)
{
    remove_file(last_file(".vlog").name);
}

Test(salvage_ranges, nothing_lost_is_no_range)
{
    write_table();
    look();
    cr_assert(eq(str, told, ""));
    cr_assert(eq(u64, report.range_count, 0));
    cr_assert(eq(u64, report.offered_record_count, 0));
    db_fixture_open(&f);
}

// The fixture ends with an open database.
static void reopen_salvaged(void)
{
    salvage_report_release(&report);
    salvage(false);
}

// Between the last key before and the first behind, not of the whole table.
Test(salvage_ranges, a_lost_block_lies_between_its_neighbours)
{
    int from, to;

    write_table();
    remove_log();
    flip(last_file(".sst").name, last_file(".sst").size / 3);
    look();
    cr_assert(eq(int, sscanf(told, "(default:%d default:%d)", &from, &to), 2), "%s", told);
    // All that lies between them is lost, and nothing else.
    cr_assert(eq(u64, report.record_count, (uint64_t)(KEYS + 3 - (to - from - 1))));
    cr_assert(lt(int, to - from, KEYS / 4));
    reopen_salvaged();
}

Test(salvage_ranges, a_lost_first_block_begins_with_the_table)
{
    int to;

    write_table();
    remove_log();
    flip(last_file(".sst").name, FILE_HEADER_SIZE + 10);
    look();
    cr_assert(eq(int, sscanf(told, "[default:000 default:%d)", &to), 1), "%s", told);
    cr_assert(eq(u64, report.record_count, (uint64_t)(KEYS + 3 - to)));
    reopen_salvaged();
}

Test(salvage_ranges, a_missing_table_has_the_bounds_of_the_manifest)
{
    write_table();
    remove_file(last_file(".sst").name);
    look();
    cr_assert(eq(str, told, "[default:000 other:002]"));
    f.options.open_damaged = true;
    db_fixture_open(&f);
}

// Without footer and index blocks are searched for, up to where the file ends.
Test(salvage_ranges, a_cut_table_ends_with_its_bound)
{
    struct found_file table;
    int from;

    write_table();
    remove_log();
    table = last_file(".sst");
    assert_ok(sim_cut(f.sim, DB_DIR, table.name, table.size / 2));
    look();
    cr_assert(eq(int, sscanf(told, "(default:%d other:002]", &from), 1), "%s", told);
    cr_assert(eq(u64, report.record_count, (uint64_t)from + 1));
    reopen_salvaged();
}

// Its key is all that is lost of it.
Test(salvage_ranges, a_lost_value_is_told_by_its_key)
{
    struct found_file segment;

    put_text(&f, "before", "1");
    put_text(&f, "large", large_value());
    assert_ok(lsm_flush(f.db));
    segment = last_file(".vlog");
    db_fixture_reopen(&f); // the segment is no longer log
    db_fixture_close(&f);
    segment = last_file(segment.name); // without the room it had
    flip(segment.name, segment.size - 100);
    look();
    cr_assert(eq(str, told, "[default:large default:large]"));
    cr_assert(eq(u64, report.lost_values, 1));
    cr_assert(eq(u64, report.range_count, 0));
    reopen_salvaged();
}

// The log that a lost table was made from may still have its values. They may have been deleted
// in a part of it that is gone: so they are offered, and taken on request only.
Test(salvage_ranges, what_uncertain_would_bring_is_counted)
{
    put_text(&f, "large", large_value());
    put_text(&f, "little", "16 bytes of text");
    db_fixture_reopen(&f);
    put_text(&f, "newer", "1");
    assert_ok(lsm_flush(f.db));
    db_fixture_reopen(&f);
    db_fixture_close(&f);
    remove_file(last_file(".sst").name);
    remove_file(last_file(".vlog").name);
    look();
    cr_assert(eq(str, told, "[default:large default:newer]"));
    cr_assert(eq(u64, report.record_count, 0));
    cr_assert(eq(u64, report.offered_record_count, 2));
    cr_assert(eq(u64, report.offered_value_bytes, strlen(large_value()) + 16));

    salvage_report_release(&report);
    salvage(true);
    cr_assert(eq(u64, report.record_count, 2));
    cr_assert(eq(u64, report.offered_record_count, 0));
    assert_keyspace_holds("default.uncertain", "large", large_value());
}

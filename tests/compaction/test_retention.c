// test_retention.c -- which versions of a key somebody can still see.

#include "compaction/retention.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "support/array_iter.h"
#include "support/random.h"

#define assert_ok(expression) cr_assert(eq(int, (expression), LSM_OK), "%s", lsm_errmsg())

// What the floors above answer.
struct world {
    uint64_t oldest_ts;
    uint64_t oldest_wall;
    uint32_t versions_to_keep; // of keyspace 2
    uint32_t dropped;          // keyspace
    bool may_vanish;
    bool is_dropping;
};

static void oldest_snapshot(void *ctx, uint64_t *ts, uint64_t *wall)
{
    struct world *world = ctx;

    *ts = world->oldest_ts;
    *wall = world->oldest_wall;
}

static lsm_status begin_dropping(void *ctx, uint64_t *ts, uint64_t *wall, void **hold)
{
    struct world *world = ctx;

    oldest_snapshot(ctx, ts, wall);
    cr_assert(not(world->is_dropping));
    world->is_dropping = true;
    *hold = world;
    return LSM_OK;
}

static void end_dropping(void *ctx, void *hold)
{
    struct world *world = ctx;

    cr_assert(hold == ctx && world->is_dropping);
    world->is_dropping = false;
}

static bool keyspace_options(void *ctx, uint32_t id, struct keyspace_options *out, bool *is_dropped)
{
    struct world *world = ctx;

    *out = (struct keyspace_options){.versions_to_keep =
                                         id == 2 ? world->versions_to_keep : KEYSPACE_INHERIT};
    *is_dropped = id == world->dropped;
    return id <= 2;
}

static bool vanish(void *ctx, const struct entry *e)
{
    struct world *world = ctx;

    (void)e;
    return world->may_vanish;
}

static struct entry make_entry(uint32_t keyspace, const char *key, uint64_t ts, char kind)
{
    struct entry e = {.keyspace = keyspace, .key = slice_of(key), .ts = ts};

    e.head = slice_head(e.key);
    e.kind = kind == 'T' ? ENTRY_DELETE : ENTRY_VALUE;
    e.expiry = kind == 'X' ? 100 : 0;
    e.value = slice_of(kind == 'T' ? "" : "value");
    return e;
}

// Runs `in`, as in "1a9V 1a5T 2b3X" (keyspace, key, timestamp; value, tombstone, or a
// value that expires at 100), and returns what stays in the same form.
static const char *filter(struct world *world, const char *in)
{
    static char out[512];
    static char keys[64][2];
    struct engine_options options = {.versions_to_keep = 1};
    struct engine engine = {.begin_dropping = begin_dropping,
                            .end_dropping = end_dropping,
                            .keyspace_options = keyspace_options,
                            .options = &options,
                            .ctx = world};
    struct array_iter_control control = {0};
    struct entry entries[64];
    struct retention r;
    struct iter *source;
    size_t count = 0, used = 0;

    for (const char *at = in; *at != '\0'; at += at[4] == ' ' ? 5 : 4, count++) {
        keys[count][0] = at[1];
        entries[count] =
            make_entry((uint32_t)(at[0] - '0'), keys[count], (uint64_t)(at[2] - '0'), at[3]);
    }
    source = array_iter_new(entries, count, &control);
    out[0] = '\0';
    assert_ok(retention_first(&r, &engine, source, vanish, world));
    while (r.is_valid) {
        char kind = r.entry.kind == ENTRY_DELETE ? 'T' : r.entry.expiry != 0 ? 'X' : 'V';

        used += (size_t)snprintf(
            out + used, sizeof out - used, "%s%u%c%llu%c", used == 0 ? "" : " ", r.entry.keyspace,
            *(const char *)r.entry.key.data, (unsigned long long)r.entry.ts, kind);
        assert_ok(retention_next(&r));
    }
    cr_assert(eq(u64, r.entries_in, count));
    cr_assert(eq(u64, r.entries_out + r.entries_dropped, count));
    retention_release(&r);
    iter_close(source);
    return out;
}

#define assert_kept(world, in, wanted)                                                             \
    cr_assert(eq(str, (char *)filter(&(world), (in)), (char *)(wanted)))

Test(retention, without_snapshots_the_newest_version_stays)
{
    struct world w = {.oldest_ts = 9};

    assert_kept(w, "1a9V 1a5V 1a3V 1b2V 1b1V", "1a9V 1b2V");
    assert_kept(w, "", "");
}

Test(retention, versions_above_the_oldest_snapshot_stay_and_the_newest_below)
{
    struct world w = {.oldest_ts = 5};

    assert_kept(w, "1a9V 1a7T 1a5V 1a3V", "1a9V 1a7T 1a5V");
    assert_kept(w, "1a9V 1a4V 1a3V", "1a9V 1a4V");
    assert_kept(w, "1a9V 1a8V", "1a9V 1a8V");
}

Test(retention, a_tombstone_stays_unless_nothing_older_lies_further_down)
{
    struct world w = {.oldest_ts = 9};

    assert_kept(w, "1a8T 1a5V 1b3V", "1a8T 1b3V");
    w.may_vanish = true;
    assert_kept(w, "1a8T 1a5V 1b3V", "1b3V");
    assert_kept(w, "1a9V 1a8T 1a5V", "1a9V");
}

Test(retention, a_tombstone_above_the_oldest_snapshot_stays)
{
    struct world w = {.oldest_ts = 5, .may_vanish = true};

    assert_kept(w, "1a8T 1a5V", "1a8T 1a5V");
    assert_kept(w, "1a8T 1a6T 1a5T 1a4V", "1a8T 1a6T");
}

Test(retention, more_versions_are_kept_on_request_down_to_a_tombstone)
{
    struct world w = {.oldest_ts = 9, .versions_to_keep = 3};

    assert_kept(w, "2a9V 2a8V 2a7V 2a6V", "2a9V 2a8V 2a7V");
    assert_kept(w, "2a9V 2a8T 2a7V 2a6V", "2a9V 2a8T");
    w.may_vanish = true;
    assert_kept(w, "2a9V 2a8T 2a7V 2a6V", "2a9V");
    assert_kept(w, "1a9V 1a8V 2a8V 2a7V", "1a9V 2a8V 2a7V");
}

Test(retention, an_expired_value_is_a_tombstone)
{
    struct world w = {.oldest_ts = 9, .oldest_wall = 100};

    assert_kept(w, "1a8X 1a5V", "1a8T");
    w.may_vanish = true;
    assert_kept(w, "1a8X 1a5V 1b1V", "1b1V");
    w.oldest_wall = 99;
    assert_kept(w, "1a8X 1a5V", "1a8X");
    w.oldest_wall = 0; // no snapshot has looked at the clock yet
    assert_kept(w, "1a8X", "1a8X");
    w = (struct world){.oldest_ts = 7, .oldest_wall = 100};
    assert_kept(w, "1a8X 1a5V", "1a8X 1a5V");
}

Test(retention, a_dropped_keyspace_goes_whole)
{
    struct world w = {.oldest_ts = 5, .dropped = 2, .versions_to_keep = 9};

    assert_kept(w, "1a9V 2a9V 2a8T 2b1V 3a2V", "1a9V 3a2V");
}

Test(retention, an_unknown_keyspace_is_kept_like_any)
{
    struct world w = {.oldest_ts = 9, .dropped = 7};

    assert_kept(w, "7a9V 7a8V", "7a9V");
}

// A table that was written wrongly, or a merge of tables that overlap where they may not.
Test(retention, a_source_out_of_order_is_corrupt)
{
    struct world w = {.oldest_ts = 9};
    struct engine_options options = {.versions_to_keep = 1};
    struct engine engine = {.begin_dropping = begin_dropping,
                            .end_dropping = end_dropping,
                            .keyspace_options = keyspace_options,
                            .options = &options,
                            .ctx = &w};
    struct entry pairs[][2] = {
        {make_entry(1, "b", 3, 'V'), make_entry(1, "a", 2, 'V')},
        {make_entry(1, "a", 3, 'V'), make_entry(1, "a", 3, 'V')},
        {make_entry(1, "a", 3, 'V'), make_entry(1, "a", 4, 'V')},
        {make_entry(2, "a", 3, 'V'), make_entry(1, "b", 3, 'V')},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        struct array_iter_control control = {0};
        struct iter *source = array_iter_new(pairs[i], 2, &control);
        struct retention r;

        assert_ok(retention_first(&r, &engine, source, NULL, NULL));
        cr_assert(eq(int, retention_next(&r), LSM_CORRUPT));
        retention_release(&r);
        iter_close(source);
    }
}

Test(retention, a_failure_of_the_source_is_passed_on)
{
    struct world w = {.oldest_ts = 9};
    struct engine_options options = {.versions_to_keep = 1};
    struct engine engine = {.begin_dropping = begin_dropping,
                            .end_dropping = end_dropping,
                            .keyspace_options = keyspace_options,
                            .options = &options,
                            .ctx = &w};
    struct entry entries[] = {make_entry(1, "a", 3, 'V'), make_entry(1, "a", 2, 'V'),
                              make_entry(1, "b", 2, 'V')};

    for (size_t fail_at = 1; fail_at <= 3; fail_at++) {
        struct array_iter_control control = {.fail_at = fail_at};
        struct iter *source = array_iter_new(entries, 3, &control);
        struct retention r;
        lsm_status status = retention_first(&r, &engine, source, NULL, NULL);

        while (status == LSM_OK && r.is_valid)
            status = retention_next(&r);
        cr_assert(eq(int, status, LSM_IO));
        retention_release(&r);
        iter_close(source);
    }
}

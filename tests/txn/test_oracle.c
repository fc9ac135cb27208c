// test_oracle.c -- the clock of commits and the snapshots that are open.

#include "txn/oracle.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/alloc_fault.h"

#define SECOND ((uint64_t)1000000000)
#define DAY    (86400 * SECOND)
#define NOW    (1700000000 * SECOND)

// An env of nothing but clocks, set by hand. `on_wall` runs when the wall clock is
// read, once.
struct clocks {
    struct env env;
    uint64_t wall_ns;
    uint64_t mono_ns;
    uint64_t boot_ns;
    void (*on_wall)(void);
};

static uint64_t clocks_mono_ns(struct env *env)
{
    return ((struct clocks *)env)->mono_ns;
}

static uint64_t clocks_boot_ns(struct env *env)
{
    return ((struct clocks *)env)->boot_ns;
}

static uint64_t clocks_wall_ns(struct env *env)
{
    struct clocks *clocks = (struct clocks *)env;
    void (*on_wall)(void) = clocks->on_wall;

    clocks->on_wall = NULL;
    if (on_wall != NULL)
        on_wall();
    return clocks->wall_ns;
}

static const struct env_ops clocks_ops = {.clock_mono_ns = clocks_mono_ns,
                                          .clock_boot_ns = clocks_boot_ns,
                                          .clock_wall_ns = clocks_wall_ns};

static struct clocks clocks = {
    .env = {.ops = &clocks_ops}, .wall_ns = NOW, .mono_ns = SECOND, .boot_ns = 7 * SECOND};
static struct oracle *oracle;

static void assert_ok(lsm_status status)
{
    cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
}

static void open_at(uint64_t last_ts, uint64_t undoubted_ns)
{
    const struct clock_history history = {.undoubted_ns = undoubted_ns};

    assert_ok(oracle_new(&clocks.env, last_ts, &history, &oracle));
}

static void pass(uint64_t ns)
{
    clocks.wall_ns += ns;
    clocks.mono_ns += ns;
    clocks.boot_ns += ns;
}

static void close_oracle(void)
{
    oracle_free(oracle);
    oracle = NULL;
}

static void commit(void)
{
    oracle_publish(oracle, oracle_next_ts(oracle));
}

static struct snapshot_slot *open_snapshot(const char *tag)
{
    struct snapshot_slot *slot;

    assert_ok(oracle_register(oracle, tag, &slot));
    return slot;
}

// --- timestamps ---

Test(oracle, timestamps_go_on_behind_the_last_one)
{
    open_at(41, 0);
    cr_assert(eq(u64, oracle_published(oracle), 41));
    cr_assert(eq(u64, oracle_next_ts(oracle), 42));
    cr_assert(eq(u64, oracle_next_ts(oracle), 43));
    close_oracle();
}

Test(oracle, a_timestamp_is_readable_once_published)
{
    open_at(0, 0);
    (void)oracle_next_ts(oracle);
    cr_assert(eq(u64, oracle_published(oracle), 0));
    oracle_publish(oracle, 1);
    cr_assert(eq(u64, oracle_published(oracle), 1));
    close_oracle();
}

// --- snapshots ---

Test(oracle, a_snapshot_reads_what_is_published_when_it_opens)
{
    struct snapshot_slot *slot;

    open_at(5, 0);
    commit();
    slot = open_snapshot(NULL);
    commit();
    cr_assert(eq(u64, snapshot_slot_ts(slot), 6));
    cr_assert(eq(u64, snapshot_slot_wall(slot), NOW / SECOND));
    oracle_unregister(oracle, slot);
    close_oracle();
}

Test(oracle, a_snapshot_of_an_empty_database_counts)
{
    struct snapshot_slot *slot;

    open_at(0, 0);
    slot = open_snapshot(NULL);
    commit();
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 0));
    oracle_unregister(oracle, slot);
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 1));
    close_oracle();
}

Test(oracle, the_oldest_of_the_open_snapshots_holds_versions)
{
    struct snapshot_slot *slots[3];

    open_at(0, 0);
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 0));
    for (int i = 0; i < 3; i++) {
        commit();
        slots[i] = open_snapshot(NULL);
    }
    commit();
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 1));
    oracle_unregister(oracle, slots[1]);
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 1));
    oracle_unregister(oracle, slots[0]);
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 3));
    oracle_unregister(oracle, slots[2]);
    cr_assert(eq(u64, oracle_oldest(oracle).ts, 4));
    close_oracle();
}

Test(oracle, the_oldest_captured_second_judges_expiry)
{
    struct snapshot_slot *slot;

    open_at(0, 0);
    slot = open_snapshot(NULL);
    pass(10 * SECOND);
    cr_assert(eq(u64, oracle_oldest(oracle).wall, NOW / SECOND));
    oracle_unregister(oracle, slot);
    cr_assert(eq(u64, oracle_oldest(oracle).wall, NOW / SECOND + 10));
    close_oracle();
}

static struct oldest_snapshot seen_while_opening;

static void look_for_the_oldest(void)
{
    seen_while_opening = oracle_oldest(oracle);
}

Test(oracle, a_snapshot_whose_second_is_not_captured_stops_expiry)
{
    open_at(7, 0);
    clocks.on_wall = look_for_the_oldest;
    oracle_unregister(oracle, open_snapshot(NULL));
    cr_assert(eq(u64, seen_while_opening.ts, 7));
    cr_assert(eq(u64, seen_while_opening.wall, 0));
    close_oracle();
}

// A clock that has not started counts from second 1.
Test(oracle, a_clock_at_zero_is_captured_too)
{
    struct snapshot_slot *slot;

    clocks.wall_ns = 0;
    open_at(0, 0);
    slot = open_snapshot("early");
    cr_assert(eq(u64, snapshot_slot_wall(slot), 1));
    cr_assert(eq(sz, oracle_list(oracle, NULL, 0), 1));
    oracle_unregister(oracle, slot);
    close_oracle();
}

// An allocator that lets a job run at the first allocation after it was armed: that
// is when a registering thread holds a timestamp and has no slot yet.
static bool job_is_armed;

static void *resize_with_job(void *ctx, void *block, size_t size)
{
    (void)ctx;
    if (job_is_armed) {
        job_is_armed = false;
        commit();
        seen_while_opening.ts = oracle_oldest_ts(oracle);
    }
    return realloc(block, size);
}

static void release_block(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

Test(oracle, a_snapshot_overtaken_by_a_job_takes_a_newer_timestamp)
{
    const lsm_allocator allocator = {.resize = resize_with_job, .release = release_block};
    struct snapshot_slot *slots[200];
    size_t count = 0;

    assert_ok(lsm_set_allocator(&allocator));
    open_at(0, 0);
    commit();
    slots[0] = open_snapshot(NULL);
    oracle_unregister(oracle, slots[0]);
    for (job_is_armed = true; job_is_armed; count++) {
        cr_assert(lt(sz, count, 200));
        slots[count] = open_snapshot(NULL);
    }
    // All but the last were seen by the job.
    cr_assert(eq(u64, seen_while_opening.ts, 1));
    for (size_t i = 0; i + 1 < count; i++) {
        cr_assert(eq(u64, snapshot_slot_ts(slots[i]), 1));
        oracle_unregister(oracle, slots[i]);
    }
    cr_assert(eq(u64, snapshot_slot_ts(slots[count - 1]), 2));
    oracle_unregister(oracle, slots[count - 1]);
    close_oracle();
}

Test(oracle, any_number_of_snapshots_may_be_open)
{
    enum { COUNT = 1000 };
    static struct snapshot_slot *slots[COUNT];

    open_at(0, 0);
    for (size_t i = 0; i < COUNT; i++) {
        slots[i] = open_snapshot(NULL);
        commit();
    }
    for (size_t i = 0; i < COUNT; i++) {
        cr_assert(eq(u64, snapshot_slot_ts(slots[i]), i));
        cr_assert(eq(u64, oracle_oldest(oracle).ts, i));
        oracle_unregister(oracle, slots[i]);
    }
    oracle_unregister(oracle, NULL);
    close_oracle();
}

Test(oracle, registering_without_memory_fails_and_leaves_the_others)
{
    struct snapshot_slot *slots[200];
    size_t count = 0;

    cr_assert(alloc_fault_install());
    open_at(3, 0);
    alloc_fault_at(1, true);
    while (oracle_register(oracle, NULL, &slots[count]) == LSM_OK)
        cr_assert(lt(sz, ++count, 200));
    cr_assert(eq(sz, oracle_list(oracle, NULL, 0), count));
    alloc_fault_at(0, false);
    slots[count++] = open_snapshot(NULL);
    while (count > 0)
        oracle_unregister(oracle, slots[--count]);
    close_oracle();
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

Test(oracle, making_one_fails_cleanly_without_memory)
{
    lsm_status status;

    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        status = oracle_new(&clocks.env, 0, &(struct clock_history){.undoubted_ns = NOW}, &oracle);
        if (alloc_fault_was_hit())
            cr_assert(eq(int, status, LSM_NO_MEMORY));
    });
    assert_ok(status);
    close_oracle();
    oracle_free(NULL);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// --- listings ---

Test(oracle, a_listing_shows_the_oldest_first_with_tag_and_age)
{
    struct snapshot_slot *slots[5];
    struct snapshot_info infos[3];
    char tag[16];

    open_at(0, 0);
    for (int i = 4; i >= 0; i--) {
        snprintf(tag, sizeof tag, "tag %d", i);
        slots[i] = open_snapshot(i == 3 ? NULL : tag);
        commit();
        clocks.mono_ns += SECOND;
    }
    cr_assert(eq(sz, oracle_list(oracle, infos, 3), 5));
    cr_assert(eq(str, infos[0].tag, "tag 4"));
    cr_assert(eq(str, infos[1].tag, ""));
    cr_assert(eq(str, infos[2].tag, "tag 2"));
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert(eq(u64, infos[i].ts, i));
        cr_assert(eq(u64, infos[i].age_ns, (5 - i) * SECOND));
    }
    for (int i = 0; i < 5; i++)
        oracle_unregister(oracle, slots[i]);
    cr_assert(eq(sz, oracle_list(oracle, infos, 3), 0));
    close_oracle();
}

Test(oracle, a_long_tag_is_cut)
{
    struct snapshot_slot *slot;
    struct snapshot_info info;
    char tag[101] = {0};

    memset(tag, 'x', 100);
    open_at(0, 0);
    slot = open_snapshot(tag);
    cr_assert(eq(sz, oracle_list(oracle, &info, 1), 1));
    cr_assert(eq(sz, strlen(info.tag), 63));
    oracle_unregister(oracle, slot);
    close_oracle();
}

// --- the wall clock ---

Test(oracle, a_snapshot_is_told_what_the_clock_says_and_keeps_it)
{
    struct snapshot_slot *ahead;
    struct snapshot_slot *right;

    open_at(0, NOW);
    clocks.wall_ns = NOW + 1000 * DAY;
    ahead = open_snapshot(NULL);
    clocks.wall_ns = NOW;
    right = open_snapshot(NULL);
    cr_assert(eq(u64, oracle_wall_ns(oracle), NOW));
    cr_assert(eq(u64, snapshot_slot_wall(ahead), (NOW + 1000 * DAY) / SECOND));
    cr_assert(eq(u64, snapshot_slot_wall(right), NOW / SECOND));
    oracle_unregister(oracle, ahead);
    oracle_unregister(oracle, right);
    close_oracle();
}

Test(oracle, nothing_is_dropped_by_a_clock_that_is_ahead)
{
    struct oldest_snapshot oldest;
    struct drop_hold *hold;

    open_at(0, NOW);
    clocks.wall_ns = NOW + 20 * 3600 * SECOND;
    pass(5 * SECOND);
    cr_assert(eq(u64, oracle_oldest(oracle).wall, NOW / SECOND + 5));
    assert_ok(oracle_begin_dropping(oracle, &oldest, &hold));
    cr_assert(eq(u64, oldest.wall, NOW / SECOND + 5));
    oracle_end_dropping(oracle, hold);
    cr_assert(eq(u64, oracle_clock(oracle).line_ns, NOW + 5 * SECOND));
    close_oracle();
}

// The clock is put right while a merge drops by what it said before: a snapshot that the merge
// does not know of would lose what it has seen.
Test(oracle, a_snapshot_is_told_no_second_that_a_job_drops_behind)
{
    struct oldest_snapshot oldest;
    struct drop_hold *first;
    struct drop_hold *second;
    struct snapshot_slot *slot;

    open_at(0, NOW);
    assert_ok(oracle_begin_dropping(oracle, &oldest, &first));
    cr_assert(eq(u64, oldest.wall, NOW / SECOND));
    clocks.wall_ns = NOW - DAY;
    assert_ok(oracle_begin_dropping(oracle, &oldest, &second));
    cr_assert(eq(u64, oldest.wall, (NOW - DAY) / SECOND));
    slot = open_snapshot(NULL);
    cr_assert(eq(u64, snapshot_slot_wall(slot), NOW / SECOND));
    oracle_unregister(oracle, slot);
    oracle_end_dropping(oracle, first);
    slot = open_snapshot(NULL);
    cr_assert(eq(u64, snapshot_slot_wall(slot), (NOW - DAY) / SECOND));
    oracle_unregister(oracle, slot);
    oracle_end_dropping(oracle, second);
    oracle_end_dropping(oracle, NULL);
    close_oracle();
}

Test(oracle, a_job_drops_nothing_that_an_open_snapshot_was_told_is_there)
{
    struct oldest_snapshot oldest;
    struct drop_hold *hold;
    struct snapshot_slot *slot;

    open_at(0, NOW);
    slot = open_snapshot(NULL);
    pass(DAY);
    assert_ok(oracle_begin_dropping(oracle, &oldest, &hold));
    cr_assert(eq(u64, oldest.wall, NOW / SECOND));
    oracle_unregister(oracle, slot);
    oracle_end_dropping(oracle, hold);
    close_oracle();
}

// Whoever writes sees the step back, even where no job looks at the clock meanwhile.
Test(oracle, a_step_back_between_two_looks_of_jobs_is_not_forgotten)
{
    open_at(0, 0);
    clocks.wall_ns = NOW + 1000 * DAY;
    (void)oracle_oldest(oracle); // a new database believes its first reading
    clocks.wall_ns = NOW;
    (void)oracle_wall_ns(oracle); // a commit
    clocks.wall_ns = NOW + 1000 * DAY;
    (void)oracle_wall_ns(oracle);
    cr_assert(eq(u64, oracle_oldest(oracle).wall, NOW / SECOND));
    close_oracle();
}

Test(oracle, beginning_to_drop_fails_cleanly_without_memory)
{
    struct oldest_snapshot oldest;
    struct drop_hold *hold;

    cr_assert(alloc_fault_install());
    open_at(0, NOW);
    alloc_fault_at(1, true);
    cr_assert(eq(int, oracle_begin_dropping(oracle, &oldest, &hold), LSM_NO_MEMORY));
    alloc_fault_at(0, false);
    close_oracle();
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

// test_commit_ring.c -- the keys of recent commits, in bounded memory.

#include "txn/commit_ring.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>
#include <string.h>

#include "support/alloc_fault.h"

#define BYTES    ((size_t)16 << 10)
#define SEGMENTS 32                             // of a ring
#define STEP     (BYTES / SEGMENTS / (14 + 20)) // commits that fill a segment
#define LOTS     1000                           // of commits: more than the ring holds

static struct commit_ring *ring;
static uint64_t last_ts;

static void open_ring(void)
{
    cr_assert(eq(int, commit_ring_new(BYTES, 0, &ring), LSM_OK));
}

// Each commit writes one key, which tells its timestamp.
static void commit(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char key[24];
        const int size =
            snprintf(key, sizeof key, "key of commit %06llu", (unsigned long long)++last_ts);
        const struct ring_write write = {
            .ts = last_ts, .keyspace = 7, .key = slice_make(key, (size_t)size)};

        commit_ring_add(ring, &write);
    }
}

// What a walk has shown, and what to do meanwhile.
struct walk {
    uint64_t next; // timestamp it must show next
    uint64_t stop; // timestamp to end it at
    void (*at_first)(struct walk *walk);
};

static bool walk_step(void *ctx, const struct ring_write *write)
{
    struct walk *walk = ctx;
    void (*at_first)(struct walk *) = walk->at_first;
    char key[24];

    walk->at_first = NULL;
    if (at_first != NULL)
        at_first(walk);
    snprintf(key, sizeof key, "key of commit %06llu", (unsigned long long)write->ts);
    cr_assert(eq(u64, write->ts, walk->next));
    cr_assert(eq(u32, write->keyspace, 7));
    cr_assert(slice_equal(write->key, slice_of(key)));
    walk->next++;
    return write->ts != walk->stop;
}

static bool walk_over(struct walk *walk, uint64_t after, uint64_t up_to)
{
    walk->next = after + 1;
    return commit_ring_walk(ring, after, up_to, walk_step, walk);
}

Test(commit_ring, a_walk_shows_the_commits_asked_for)
{
    struct walk walk = {0};

    open_ring();
    cr_assert(walk_over(&walk, 0, 0));
    commit(100);
    cr_assert(walk_over(&walk, 0, 100));
    cr_assert(eq(u64, walk.next, 101));
    cr_assert(walk_over(&walk, 50, 60));
    cr_assert(eq(u64, walk.next, 61));
    cr_assert(walk_over(&walk, 100, 100));
    cr_assert(eq(u64, walk.next, 101));
    commit_ring_free(ring);
    commit_ring_free(NULL);
}

Test(commit_ring, a_walk_ends_when_told)
{
    struct walk walk = {.stop = 30};

    open_ring();
    commit(100);
    cr_assert(walk_over(&walk, 0, 100));
    cr_assert(eq(u64, walk.next, 31));
    commit_ring_free(ring);
}

Test(commit_ring, it_remembers_most_of_what_fits)
{
    struct walk walk = {0};
    uint64_t floor;

    open_ring();
    commit(LOTS);
    floor = commit_ring_floor(ring);
    cr_assert(gt(u64, floor, 0));
    cr_assert(lt(u64, floor, LOTS - BYTES / (14 + 20) * 3 / 4));
    cr_assert(walk_over(&walk, floor, LOTS));
    cr_assert(eq(u64, walk.next, LOTS + 1));
    cr_assert(not(walk_over(&walk, floor - 1, LOTS)));
    commit_ring_free(ring);
}

static void commit_lots(struct walk *walk)
{
    (void)walk;
    commit(LOTS);
}

// The segment the walk is in stays as it is; what comes behind it is gone.
Test(commit_ring, a_walk_that_is_overtaken_says_so)
{
    struct walk walk = {.at_first = commit_lots};

    open_ring();
    commit(100);
    cr_assert(not(walk_over(&walk, 0, 100)));
    cr_assert(gt(u64, walk.next, 1));
    cr_assert(walk_over(&walk, last_ts, last_ts));
    commit_ring_free(ring);
}

Test(commit_ring, a_walk_that_had_seen_all_it_asked_for_is_whole)
{
    struct walk walk = {.at_first = commit_lots};

    open_ring();
    commit(100);
    cr_assert(walk_over(&walk, 0, 5));
    cr_assert(eq(u64, walk.next, 6));
    commit_ring_free(ring);
}

// Each walk begins one more in a later segment, until there are walks in all of them;
// then the role finds no memory, and goes on without.
static void walk_deeper(struct walk *outer)
{
    const uint64_t after = outer->next - 1 + STEP;

    if (after < last_ts) {
        struct walk walk = {.at_first = walk_deeper};

        (void)walk_over(&walk, after, last_ts);
    } else {
        commit(LOTS);
        cr_assert(eq(u64, commit_ring_floor(ring), last_ts));
    }
}

Test(commit_ring, readers_in_every_segment_do_not_stop_the_role)
{
    struct walk walk = {.at_first = walk_deeper};
    uint64_t floor;

    open_ring();
    commit(STEP * SEGMENTS); // fills each segment to its end
    cr_assert(eq(u64, commit_ring_floor(ring), 0));
    cr_assert(not(walk_over(&walk, 0, last_ts)));
    commit(LOTS);
    floor = commit_ring_floor(ring);
    cr_assert(lt(u64, floor, last_ts));
    cr_assert(walk_over(&walk, floor, last_ts));
    commit_ring_free(ring);
}

Test(commit_ring, making_one_fails_cleanly_without_memory)
{
    lsm_status status;

    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH({
        status = commit_ring_new(BYTES, 0, &ring);
        if (alloc_fault_was_hit())
            cr_assert(eq(int, status, LSM_NO_MEMORY));
    });
    cr_assert(eq(int, status, LSM_OK));
    commit_ring_free(ring);
    cr_assert(eq(sz, alloc_fault_live(), 0));
}

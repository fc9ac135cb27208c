// test_chain.c -- the list of segments that are log: what it says while they come and go.
//
// How the mark moves with syncs of a log is in test_log_sync.c.

#include "vlog/chain.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/sim.h"

static struct sim *sim;
static struct world w;
static struct chain chain;

// A segment with this id; no file.
static struct segment *segment_of(uint32_t id)
{
    struct segment *segment;

    cr_assert(eq(int, segment_new(&w.store, id, &(struct uuid){{0}}, 0, &segment), LSM_OK));
    return segment;
}

static void enter(uint32_t id)
{
    cr_assert(eq(int, chain_reserve(&chain), LSM_OK));
    cr_assert(eq(ptr, chain_enter(&chain, segment_of(id), FIRST_FRAME_AT + 64), NULL));
}

static struct segment *member(size_t i)
{
    return chain.members[i].segment;
}

// Segment 4 grows, and 2 and 3 were found.
static void fixture_open(void)
{
    static const struct paper blank;
    const struct log_link links[] = {{.id = 2, .final_size = 500}, {.id = 3, .final_size = 700}};
    struct log_start start = {
        .end = FIRST_FRAME_AT, .next_segment_id = 5, .chain = links, .chain_count = 2};
    struct segment *segments[2];

    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
    segments[0] = segment_of(2);
    segments[1] = segment_of(3);
    start.active = segment_of(4);
    start.chain_segments = segments;
    cr_assert(eq(int, chain_init(&chain, &start), LSM_OK));
    segment_unref(segments[0]); // the chain has its own
    segment_unref(segments[1]);
}

static void fixture_close(void)
{
    chain_release(&chain);
    world_close(&w);
    sim_free(sim);
}

TestSuite(chain, .init = fixture_open, .fini = fixture_close);

static void assert_position(struct log_position got, uint32_t id, uint64_t offset)
{
    cr_assert(eq(u32, got.segment, id));
    cr_assert(eq(u64, got.offset, offset));
}

Test(chain, what_was_found_is_durable_and_the_mark_lies_at_its_end)
{
    assert_position(chain_mark(&chain), 4, FIRST_FRAME_AT);
    assert_position(chain_end(&chain), 4, FIRST_FRAME_AT);
    cr_assert(eq(ptr, chain_next_to_sync(&chain, (struct log_position){9, 0}), NULL));
}

// --- the mark ---

Test(chain, the_mark_runs_through_segments_synced_to_their_end_and_into_the_next_one)
{
    chain_set_end(&chain, 900);
    enter(5);
    enter(6);
    chain_note_synced(&chain, member(4), FIRST_FRAME_AT + 64, false);
    assert_position(chain_mark(&chain), 4, FIRST_FRAME_AT);
    chain_note_synced(&chain, member(2), 600, false);
    assert_position(chain_mark(&chain), 4, 600);
    chain_note_synced(&chain, member(2), 900, true);
    assert_position(chain_mark(&chain), 4, 900);
    chain_note_synced(&chain, member(3), FIRST_FRAME_AT + 64, false);
    assert_position(chain_mark(&chain), 6, FIRST_FRAME_AT + 64);
}

Test(chain, what_is_known_to_be_synced_never_becomes_less)
{
    chain_set_end(&chain, 900);
    chain_note_synced(&chain, member(2), 900, false);
    chain_note_synced(&chain, member(2), 600, false); // a slower thread
    assert_position(chain_mark(&chain), 4, 900);
    cr_assert(eq(u64, chain.members[2].synced, 900));
}

// --- what is to be synced ---

Test(chain, the_oldest_segment_below_the_position_is_to_be_synced_first)
{
    const struct log_position to = {5, UINT64_MAX};
    struct segment *next;

    chain_set_end(&chain, 900);
    enter(5);
    enter(6);
    next = chain_next_to_sync(&chain, to);
    cr_assert(eq(ptr, next, member(2)));
    segment_unref(next);
    chain_note_synced(&chain, member(2), 900, false);
    next = chain_next_to_sync(&chain, to);
    cr_assert(eq(ptr, next, member(3)));
    segment_unref(next);
    chain_note_synced(&chain, member(3), FIRST_FRAME_AT + 64, false);
    cr_assert(eq(ptr, chain_next_to_sync(&chain, to), NULL), "6 lies behind the position");
}

// Who has waited for its turn looks again: somebody else may have done its work.
Test(chain, a_segment_is_not_to_be_synced_again_unless_it_has_grown_meanwhile)
{
    const struct log_position to = {4, 900};
    uint64_t end = 0;

    chain_set_end(&chain, 900);
    cr_assert(chain_is_to_sync(&chain, member(2), to, &end));
    cr_assert(eq(u64, end, 900));
    chain_set_end(&chain, 950);
    cr_assert(chain_is_to_sync(&chain, member(2), to, &end));
    cr_assert(eq(u64, end, 950), "all of it, in one");
    chain_note_synced(&chain, member(2), 950, false);
    cr_assert(not(chain_is_to_sync(&chain, member(2), to, &end)));
}

Test(chain, a_segment_that_has_been_released_is_not_to_be_synced)
{
    struct segment *released = member(2);
    uint64_t end;

    segment_ref(released);
    chain_set_end(&chain, 900);
    enter(5);
    cr_assert(chain_is_to_sync(&chain, released, (struct log_position){5, 0}, &end));
    chain_drop_below(&chain, 5);
    cr_assert(not(chain_is_to_sync(&chain, released, (struct log_position){5, 0}, &end)));
    segment_unref(released);
}

// --- what is to be sealed ---

Test(chain, segments_that_were_left_are_to_be_sealed_oldest_first)
{
    static const uint32_t ids[] = {2, 3, 4};
    struct chain_member m;

    cr_assert(eq(ptr, chain_keep_prepared(&chain, segment_of(chain_take_id(&chain))), NULL));
    chain_leave(&chain);
    for (size_t i = 0; i < 3; i++) {
        cr_assert(chain_needs_upkeep(&chain));
        cr_assert(chain_next_to_seal(&chain, &m));
        cr_assert(eq(u32, segment_id(m.segment), ids[i]));
        cr_assert(eq(int, m.is_found, i < 2));
        chain_note_synced(&chain, m.segment, m.end, true);
        segment_unref(m.segment);
    }
    cr_assert(not(chain_next_to_seal(&chain, &m)));
    cr_assert(not(chain_needs_upkeep(&chain)));
}

// --- the segment prepared ---

Test(chain, the_segment_prepared_is_given_once)
{
    struct segment *prepared = segment_of(chain_take_id(&chain));

    cr_assert(chain_wants_prepared(&chain));
    cr_assert(eq(ptr, chain_keep_prepared(&chain, prepared), NULL));
    cr_assert(not(chain_wants_prepared(&chain)));
    cr_assert(eq(ptr, chain_take_prepared(&chain), prepared));
    cr_assert(eq(ptr, chain_take_prepared(&chain), NULL));
    segment_unref(prepared);
}

Test(chain, a_second_segment_is_not_kept)
{
    struct segment *second = segment_of(6);

    cr_assert(eq(ptr, chain_keep_prepared(&chain, segment_of(5)), NULL));
    cr_assert(eq(ptr, chain_keep_prepared(&chain, second), second));
    segment_unref(second);
}

// The writer did not wait for it, and has made one for itself.
Test(chain, a_segment_that_the_chain_has_overtaken_is_given_back)
{
    struct segment *late = segment_of(chain_take_id(&chain));

    enter(chain_take_id(&chain));
    cr_assert(eq(ptr, chain_keep_prepared(&chain, late), late));
    segment_unref(late);
}

Test(chain, entering_a_segment_gives_back_the_prepared_one_that_it_overtakes)
{
    struct segment *prepared = segment_of(5);

    cr_assert(eq(ptr, chain_keep_prepared(&chain, prepared), NULL));
    cr_assert(eq(int, chain_reserve(&chain), LSM_OK));
    cr_assert(eq(ptr, chain_enter(&chain, segment_of(6), FIRST_FRAME_AT + 64), prepared));
    segment_unref(prepared);
}

Test(chain, a_prepared_segment_with_a_higher_id_stays)
{
    struct segment *prepared = segment_of(6);

    cr_assert(eq(ptr, chain_keep_prepared(&chain, prepared), NULL));
    enter(5);
    cr_assert(eq(ptr, chain_take_prepared(&chain), prepared));
    segment_unref(prepared);
}

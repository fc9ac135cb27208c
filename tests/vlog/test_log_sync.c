// test_log_sync.c -- everyone's half of the log: syncing and the mark, sealing and preparing,
// the chain, closing.

#include "growing_fixture.h"

TestSuite(log_sync, .init = fixture_open, .fini = fixture_close);
TestSuite(log_sync_memory, .init = install_and_open, .fini = fixture_close);

// --- the mark ---

Test(log_sync, a_full_commit_first_syncs_every_older_unsynced_segment)
{
    fill_segment();
    append(3, 2, SHAPE_VALUES);
    append(5, 1, SHAPE_HUGE);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 3));
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000001.vlog", 3000));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000002.vlog", 3000));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000003.vlog", log_end(w.log).offset));
    cr_assert(eq(int, log_position_compare(log_mark(w.log), log_end(w.log)), 0));
}

Test(log_sync, a_weak_commit_never_waits_for_a_sync)
{
    set_fault(SIM_OP_SYNC, LSM_IO, 0);
    append(1, 1, SHAPE_SMALL);
    append(2, 1, SHAPE_VALUES);
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
}

// A mark behind a link that a crash may take away would turn a torn tail into damage.
Test(log_sync, the_mark_enters_a_segment_only_when_its_link_is_durable)
{
    struct log_position end;

    fill_segment();
    end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK)); // seals, and so syncs, segment 1
    assert_position(log_mark(w.log), 1, end.offset);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    assert_position(log_mark(w.log), 2, log_end(w.log).offset);
}

Test(log_sync, syncing_to_a_position_leaves_the_segments_behind_it_alone)
{
    struct log_position end;

    fill_segment();
    end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(int, log_sync(w.log, end), LSM_OK));
    assert_position(log_mark(w.log), 1, end.offset);
    cr_assert(not(sim_is_durable(sim, WORLD_DIR, "000002.vlog", log_end(w.log).offset)));
}

// A flush may let go of a segment while a thread syncs it.
static void release_first(void *ctx, struct sim *s, const struct sim_call *call)
{
    (void)ctx;
    if (call->op != SIM_OP_SYNC || strcmp(call->name, "000001.vlog") != 0)
        return;
    sim_set_call_hook(s, NULL, NULL);
    log_release(w.log, (struct log_position){2, FILE_HEADER_SIZE});
}

Test(log_sync, a_segment_that_is_released_while_it_is_synced_does_not_move_the_mark)
{
    struct log_position end;

    fill_segment();
    append(3, 1, SHAPE_VALUES);
    end = log_end(w.log);
    sim_set_call_hook(sim, release_first, NULL);
    cr_assert(eq(int, log_sync(w.log, (struct log_position){1, UINT64_MAX}), LSM_OK));
    cr_assert(
        eq(u64, log_bytes_since(w.log, (struct log_position){0}), end.offset - FILE_HEADER_SIZE),
        "it is gone");
    assert_position(log_mark(w.log), 1, FILE_HEADER_SIZE);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    assert_position(log_mark(w.log), end.segment, end.offset);
}

Test(log_sync, syncing_up_to_a_durable_position_syncs_nothing)
{
    struct log_position end;

    append(1, 1, SHAPE_SMALL);
    end = log_end(w.log);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    append(2, 1, SHAPE_SMALL);
    set_fault(SIM_OP_SYNC, LSM_IO, 0);
    cr_assert(eq(int, log_sync(w.log, end), LSM_OK));
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
}

Test(log_sync, a_failed_sync_poisons_and_every_later_sync_and_append_is_refused)
{
    struct log_position mark = log_mark(w.log);

    append(1, 1, SHAPE_SMALL);
    set_fault(SIM_OP_SYNC, LSM_IO, 0);
    cr_assert(eq(int, world_sync(&w), LSM_IO));
    cr_assert(poison_is_set(&w.poison));
    cr_assert(eq(int, world_sync(&w), LSM_POISONED));
    cr_assert(eq(int, log_sync(w.log, mark), LSM_POISONED));
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_POISONED));
    cr_assert(not(log_needs_upkeep(w.log)), "nothing would come of it");
    cr_assert(eq(int, log_upkeep(w.log), LSM_POISONED));
    cr_assert(eq(int, log_finish(w.log), LSM_POISONED));
    assert_position(log_mark(w.log), mark.segment, mark.offset);
}

// --- sealing and preparing ---

Test(log_sync, sealing_truncates_a_segment_to_its_length)
{
    struct log_position end;

    fill_segment();
    end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(u64, size_of(1), WORLD_SEGMENT_SIZE));
    cr_assert(log_needs_upkeep(w.log));
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK));
    cr_assert(eq(u64, size_of(1), end.offset));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000001.vlog", end.offset));
}

Test(log_sync, nothing_is_prepared_while_most_of_the_active_segment_is_free)
{
    append(1, 1, SHAPE_SMALL);
    cr_assert(not(log_needs_upkeep(w.log)));
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK));
    cr_assert(not(exists(2)));
}

// --- the chain, and closing ---

Test(log_sync, every_segment_of_a_chain_but_the_last_is_sealed_and_synced)
{
    struct segment **segments;
    struct log_link *links;
    size_t count;

    fill_segment();
    append(3, 2, SHAPE_VALUES);
    append(5, 2, SHAPE_VALUES);
    cr_assert(eq(int, log_chain_all(w.log, &links, &segments, &count), LSM_OK));
    cr_assert(eq(sz, count, 3));
    for (size_t i = 0; i < count; i++) {
        cr_assert(eq(u32, links[i].id, i + 1));
        cr_assert(eq(u32, segment_id(segments[i]), links[i].id));
        if (i + 1 == count)
            cr_assert(eq(u64, links[i].final_size, 0));
        else
            cr_assert(eq(u64, size_of(links[i].id), links[i].final_size));
    }
    mem_free(links);
    mem_free(segments);
}

Test(log_sync, releasing_drops_segments_before_the_replay_position_from_the_chain)
{
    struct segment **segments;
    struct log_link *links;
    size_t count;

    fill_segment();
    append(3, 2, SHAPE_VALUES);
    append(5, 2, SHAPE_VALUES);
    cr_assert(eq(int, log_chain(w.log, (struct log_position){2, 500}, &links, &segments, &count),
                 LSM_OK));
    cr_assert(eq(sz, count, 2));
    cr_assert(eq(u32, links[0].id, 2));
    mem_free(links);
    mem_free(segments);
    log_release(w.log, (struct log_position){3, 128});
    cr_assert(eq(int, log_chain_all(w.log, &links, &segments, &count), LSM_OK));
    cr_assert(eq(sz, count, 1));
    cr_assert(eq(u32, links[0].id, 3));
    mem_free(links);
    mem_free(segments);
    log_release(w.log, (struct log_position){9, 128});
    cr_assert(eq(u32, log_end(w.log).segment, 3), "the last one stays");
}

Test(log_sync, bytes_since_counts_what_a_replay_would_read)
{
    struct log_position first_end;

    fill_segment();
    first_end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(u64, log_bytes_since(w.log, log_end(w.log)), 0));
    cr_assert(eq(u64, log_bytes_since(w.log, (struct log_position){1, first_end.offset - 8}),
                 8 + log_end(w.log).offset - FILE_HEADER_SIZE));
}

Test(log_sync, a_clean_close_syncs_all_cuts_the_end_and_removes_the_prepared_segment)
{
    struct log_position end;

    fill_segment();
    append(3, 2, SHAPE_VALUES);
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK));
    end = log_end(w.log);
    cr_assert(exists(3));
    cr_assert(eq(int, log_finish(w.log), LSM_OK));
    cr_assert(not(exists(3)));
    cr_assert(eq(u64, size_of(2), end.offset));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000002.vlog", end.offset));
    assert_position(log_mark(w.log), end.segment, end.offset);
}

// --- memory ---

static void look_with_faults(void)
{
    struct segment **segments = NULL;
    struct log_link *links = NULL;
    size_t count = 0;
    const lsm_status status = log_chain_all(w.log, &links, &segments, &count);

    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    cr_assert(eq(sz, count, alloc_fault_was_hit() ? 0 : 2));
    mem_free(links);
    mem_free(segments);
}

Test(log_sync_memory, a_chain_that_cannot_be_copied_is_not_given)
{
    fill_segment();
    append(3, 1, SHAPE_VALUES);
    ALLOC_FAULT_EACH(look_with_faults());
}

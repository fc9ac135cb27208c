// test_log_recovery.c -- what is a torn tail, and what is damage.
//
// Each test names a sentence of docs/design.md, "Recovery". Crashes at every call are
// in test_log_crash.c.

#include "recovery_fixture.h"
#include "support/alloc_fault.h"

static void install_and_open(void)
{
    cr_assert(alloc_fault_install());
    fixture_open();
}

TestSuite(log_recovery, .init = fixture_open, .fini = fixture_close);
TestSuite(log_recovery_memory, .init = install_and_open, .fini = fixture_close);

Test(log_recovery, a_bad_frame_above_the_highest_mark_is_a_torn_tail)
{
    struct log_position durable = append_durable();
    struct log_recovery *recovery;
    struct log_position end;

    append_shape(4, SHAPE_SMALL);
    end = log_end(w.log);
    append_shape(5, SHAPE_SMALL);
    end_world();
    flip(1, end.offset + 40);
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(int, log_position_compare(log_recovery_found(recovery)->mark, durable), 0));
    cr_assert(eq(int, log_position_compare(log_recovery_found(recovery)->end, end), 0));
    cr_assert(eq(u64, log_recovery_found(recovery)->copied_bytes, end.offset - durable.offset));
    cr_assert(gt(u64, log_recovery_found(recovery)->torn_bytes, 0));
    cr_assert(eq(u64, log_recovery_found(recovery)->last_ts, 4));
    cr_assert(eq(u64, log_recovery_found(recovery)->last_sequence, 4));
    log_recovery_free(recovery);
    assert_recovers(4);
}

Test(log_recovery, above_the_mark_one_bad_value_makes_the_frame_bad_and_ends_the_log)
{
    struct log_recovery *recovery;
    struct log_position end;

    append_durable();
    append_shape(4, SHAPE_SMALL);
    append_shape(5, SHAPE_VALUES);
    end = log_end(w.log);
    append_shape(6, SHAPE_SMALL);
    end_world();
    flip(end.segment, end.offset - 500); // in the last value of commit 5
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK));
    cr_assert(eq(u64, log_recovery_found(recovery)->last_ts, 4));
    cr_assert(gt(u64, log_recovery_found(recovery)->torn_bytes, 1704));
    log_recovery_free(recovery);
    assert_recovers(4);
}

Test(log_recovery, a_torn_link_above_the_mark_ends_the_log_at_the_segment_before)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    end_world();
    flip(2, FILE_HEADER_SIZE + 100);
    start_world();
    assert_recovers(2);
}

// Flips each byte of segment 1 below `end`: recovery, or the reader of a value, finds
// it and says where.
static void assert_every_flip_is_found(uint64_t end)
{
    struct seen seen;

    for (uint64_t offset = 0; offset < end; offset++) {
        flip(1, offset);
        start_world();
        cr_assert(eq(int, look(&seen), LSM_CORRUPT), "offset %llu", (unsigned long long)offset);
        assert_names(1);
        end_world();
        flip(1, offset);
    }
}

// The bytes of separated values are not read below the mark; who reads the value
// learns of the damage.
Test(log_recovery, any_flipped_byte_below_the_mark_is_corrupt_or_found_when_the_value_is_read)
{
    struct log_position durable = append_durable();

    append_shape(4, SHAPE_SMALL); // carries the mark
    end_world();
    assert_every_flip_is_found(durable.offset);
    start_world();
    assert_recovers(4);
}

Test(log_recovery, damage_below_the_mark_is_found_before_anything_is_changed)
{
    uint64_t calls;

    append_durable();
    append_shape(4, SHAPE_SMALL);
    end_world();
    flip(1, FILE_HEADER_SIZE + 30);
    start_world();
    calls = sim_call_count(sim);
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
    cr_assert(eq(u64, sim_call_count(sim), calls));
}

Test(log_recovery, the_mark_is_found_in_a_frame_behind_the_stop)
{
    struct log_position first;

    append_shape(1, SHAPE_SMALL);
    first = log_end(w.log);
    append_shape(2, SHAPE_SMALL);
    sync_all();
    append_shape(3, SHAPE_SMALL); // the only frame that carries the mark
    end_world();
    paper.mark = paper.replay;
    flip(1, first.offset + 8);
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
}

// A destroyed link must not hide that the segment behind it was durable.
Test(log_recovery, the_mark_is_found_in_a_later_segment_whose_link_is_destroyed)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES); // in segment 2
    sync_all();
    append_shape(4, SHAPE_SMALL);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
    end_world();
    flip(2, FILE_HEADER_SIZE + 4);
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
}

Test(log_recovery, the_manifests_own_mark_counts)
{
    append_durable();
    w.paper.mark = log_end(w.log);
    end_world();
    flip(1, FILE_HEADER_SIZE + 8);
    start_world();
    assert_walk_is(LSM_CORRUPT);
}

Test(log_recovery, a_read_error_is_never_taken_for_the_end_of_the_log)
{
    uint64_t reads;

    append_durable();
    append_shape(4, SHAPE_VALUES);
    append_shape(5, SHAPE_HUGE);
    end_world();
    start_world();
    for (reads = 1;; reads++) {
        struct sim_fault fault = {.ops = SIM_OP_READ | SIM_OP_OPEN | SIM_OP_STAT | SIM_OP_LIST,
                                  .at = reads,
                                  .status = LSM_IO};
        struct log_recovery *recovery = NULL;
        lsm_status status;

        sim_set_fault(sim, &fault);
        status = walk(&recovery);
        log_recovery_free(recovery);
        if (sim_fault_hits(sim) == 0) {
            cr_assert(eq(int, status, LSM_OK));
            break;
        }
        cr_assert(eq(int, status, LSM_IO), "read %llu: %s", (unsigned long long)reads,
                  lsm_errmsg());
    }
    cr_assert(gt(u64, reads, 8));
}

// --- a clean close ---

static void close_cleanly(void)
{
    append_durable();
    append_shape(4, SHAPE_SMALL);
    cr_assert(eq(int, world_finish(&w), LSM_OK));
    end_world();
}

Test(log_recovery, after_a_clean_close_the_log_ends_exactly_at_the_mark)
{
    struct log_recovery *recovery;

    close_cleanly();
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(u64, log_recovery_found(recovery)->copied_bytes, 0));
    cr_assert(eq(u64, log_recovery_found(recovery)->torn_bytes, 0));
    log_recovery_free(recovery);
    assert_recovers(4);
}

Test(log_recovery, a_cleanly_closed_log_detects_any_flipped_byte)
{
    close_cleanly();
    assert_every_flip_is_found(paper.mark.offset);
    start_world();
    assert_recovers(4);
}

Test(log_recovery, a_cleanly_closed_log_that_is_cut_or_longer_is_damage)
{
    struct file *file;

    close_cleanly();
    start_world();
    cr_assert(eq(int, file_open(w.dir, "000001.vlog", FILE_WRITE, &file), LSM_OK));
    cr_assert(eq(int, file_write_one(file, paper.mark.offset, slice_of("x")), LSM_OK));
    assert_walk_is(LSM_CORRUPT);
    cr_assert(eq(int, file_truncate(file, paper.mark.offset), LSM_OK));
    assert_walk_is(LSM_OK);
    cr_assert(eq(int, file_truncate(file, paper.mark.offset - 8), LSM_OK));
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
    cr_assert(eq(int, file_close(file), LSM_OK));
}

// --- memory ---

static void walk_and_restart(void)
{
    struct log_recovery *recovery = NULL;
    struct segment *restart = NULL;
    struct seen seen = {0};
    uint64_t end;
    lsm_status status = walk(&recovery);

    if (status == LSM_OK)
        status = log_recovery_restart(recovery, 100, 4096, &restart, &end);
    if (status == LSM_OK)
        status = log_recovery_replay(recovery, false, on_frame, &seen);
    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK), "%s", lsm_errmsg());
    segment_unref(restart);
    log_recovery_free(recovery);
    epoch_drain(&w.bin);
    (void)file_unlink(w.dir, name_of(100)); // for the next time
}

Test(log_recovery_memory, when_memory_is_short_recovery_says_so_and_can_be_repeated)
{
    append_durable();
    append_shape(4, SHAPE_VALUES);
    append_shape(5, SHAPE_HUGE);
    end_world();
    start_world();
    ALLOC_FAULT_EACH(walk_and_restart());
    assert_recovers(5);
}

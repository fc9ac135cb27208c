// test_log_recovery.c -- what is a torn tail, and what is damage.
//
// Each test names a sentence of docs/design.md, "Recovery". Crashes at every call are
// in test_log_crash.c.

#include "forge.h"
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

// --- bad values ---

// Above the mark lie commits 2 and 3, with a bad value in the latter, and, in another
// segment, commit 4.
static void append_bad_value(void)
{
    struct log_position end;

    append_shape(1, SHAPE_SMALL);
    sync_all();
    append_shape(2, SHAPE_SMALL);
    end = log_end(w.log);
    append_shape(3, SHAPE_VALUES);
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    append_shape(4, SHAPE_HUGE);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    end_world();
    flip(1, end.offset + 500);
}

Test(log_recovery, what_is_linked_behind_a_bad_value_is_not_log)
{
    struct log_recovery *recovery;

    append_bad_value();
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(u64, log_recovery_found(recovery)->last_ts, 2));
    cr_assert(gt(u64, log_recovery_found(recovery)->torn_bytes, 9107), "commit 4 is given up");
    log_recovery_free(recovery);
    assert_recovers(2);
}

// --- frames behind the end ---

// Behind the end of the log a frame claims an edit that the manifest has not.
static void claim_an_edit(struct log_position at)
{
    struct frame_header header = forge_header(w.dir, at.segment, at.offset);

    header.edit_number = paper.edit_number + 1;
    forge_set_header(w.dir, at.segment, at.offset, &header);
}

Test(log_recovery, a_frame_behind_the_end_with_a_higher_edit_number_is_damage)
{
    struct log_position second, third;

    append_shape(1, SHAPE_SMALL);
    second = log_end(w.log);
    append_shape(2, SHAPE_SMALL);
    third = log_end(w.log);
    append_shape(3, SHAPE_SMALL);
    end_world();
    flip(1, second.offset + 8);
    start_world();
    assert_walk_is(LSM_OK);
    claim_an_edit(third);
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
}

Test(log_recovery, a_frame_in_a_later_segment_with_a_higher_edit_number_is_damage)
{
    struct log_position at;

    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_SMALL);
    append_shape(4, SHAPE_VALUES);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    at = log_end(w.log);
    append_shape(5, SHAPE_SMALL);
    end_world();
    flip(2, FIRST_FRAME_AT + 8);
    start_world();
    assert_walk_is(LSM_OK);
    claim_an_edit(at);
    assert_walk_is(LSM_CORRUPT);
    assert_names(2);
}

// --- marks that nobody can have written ---

// Has the first frame of segment 2 claim the mark.
static void claim_a_mark(struct log_position mark)
{
    struct frame_header header = forge_header(w.dir, 2, FIRST_FRAME_AT);

    header.mark = mark;
    forge_set_header(w.dir, 2, FIRST_FRAME_AT, &header);
}

Test(log_recovery, a_mark_within_a_frame_or_between_two_words_is_damage)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    end_world();
    start_world();
    claim_a_mark((struct log_position){1, FIRST_FRAME_AT + 8});
    assert_walk_is(LSM_CORRUPT);
    claim_a_mark((struct log_position){2, FIRST_FRAME_AT + 3});
    assert_walk_is(LSM_CORRUPT);
    claim_a_mark((struct log_position){2, UINT64_MAX - 8});
    assert_walk_is(LSM_CORRUPT);
    claim_a_mark((struct log_position){UINT32_MAX, 0});
    assert_walk_is(LSM_CORRUPT);
}

// Such a mark says no more than that the segment before is durable.
Test(log_recovery, a_mark_before_the_first_frame_counts_as_the_start_of_its_segment)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    end_world();
    start_world();
    claim_a_mark((struct log_position){2, 0});
    for (size_t opens = 0; opens < 3; opens++) {
        assert_recovers(3);
        cr_assert(eq(u32, w.paper.chain[0].id, 1));
        cr_assert(ne(u32, w.paper.chain[1].id, 2), "all of it has been copied");
        end_world();
        start_world();
    }
}

// --- read errors ---

// Makes each call of a recovery fail that only reads; the one that fails none gives `wanted`.
static void assert_read_errors_are_returned(lsm_status wanted, uint64_t reads_min)
{
    for (uint64_t at = 1;; at++) {
        struct sim_fault fault = {.ops = SIM_OP_READ | SIM_OP_OPEN | SIM_OP_STAT | SIM_OP_LIST,
                                  .at = at,
                                  .status = LSM_IO};
        struct log_recovery *recovery = NULL;
        lsm_status status;

        sim_set_fault(sim, &fault);
        status = walk(&recovery);
        log_recovery_free(recovery);
        if (sim_fault_hits(sim) == 0) {
            cr_assert(eq(int, status, wanted), "%s", lsm_errmsg());
            cr_assert(gt(u64, at, reads_min));
            break;
        }
        cr_assert(eq(int, status, LSM_IO), "call %llu: %s", (unsigned long long)at, lsm_errmsg());
    }
    sim_set_fault(sim, NULL);
}

Test(log_recovery, a_read_error_is_never_taken_for_the_end_of_the_log)
{
    append_durable();
    append_shape(4, SHAPE_VALUES);
    append_shape(5, SHAPE_HUGE);
    end_world();
    start_world();
    assert_read_errors_are_returned(LSM_OK, 8);
}

Test(log_recovery, a_read_error_is_never_taken_for_the_end_of_a_log_of_several_windows)
{
    log_set_segment_size(w.log, 8 << 20);
    for (uint64_t ts = 1; ts <= 4; ts++)
        append_shape(ts, ts % 2 == 0 ? SHAPE_VAST : SHAPE_SMALL);
    end_world();
    start_world();
    assert_read_errors_are_returned(LSM_OK, 12);
    assert_recovers(4);
}

Test(log_recovery, a_read_error_is_never_taken_for_the_end_of_a_long_torn_tail)
{
    log_set_segment_size(w.log, 8 << 20);
    append_shape(1, SHAPE_SMALL);
    append_shape(2, SHAPE_VAST); // in segment 2
    append_shape(3, SHAPE_SMALL);
    end_world();
    flip(2, FIRST_FRAME_AT + frame_size(FRAME_LINK_BODY_SIZE) + 8);
    start_world();
    assert_read_errors_are_returned(LSM_OK, 12);
    assert_recovers(1);
}

Test(log_recovery, a_read_error_is_never_taken_for_a_torn_tail)
{
    append_bad_value(); // the walk is made twice
    start_world();
    assert_read_errors_are_returned(LSM_OK, 16);
}

Test(log_recovery, a_read_error_is_never_taken_for_a_segment_of_somebody_else)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    end_world();
    flip(2, FIRST_FRAME_AT + 8); // no link: searched for marks
    start_world();
    assert_read_errors_are_returned(LSM_OK, 8);
    end_world();
    flip(2, 20); // no header: searched for frames
    start_world();
    assert_read_errors_are_returned(LSM_CORRUPT, 8);
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
    cr_assert(eq(int, sim_open_to_change(w.dir, "000001.vlog", &file), LSM_OK));
    cr_assert(eq(int, file_write_one(file, paper.mark.offset, slice_of("x")), LSM_OK));
    assert_walk_is(LSM_CORRUPT);
    cr_assert(eq(int, file_truncate(file, paper.mark.offset), LSM_OK));
    assert_walk_is(LSM_OK);
    cr_assert(eq(int, file_truncate(file, paper.mark.offset - 8), LSM_OK));
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
    cr_assert(eq(int, file_close(file), LSM_OK));
}

// --- what changes after the walk ---

Test(log_recovery, a_frame_that_is_damaged_between_walk_and_replay_is_corrupt)
{
    struct log_recovery *recovery;
    struct seen seen = {0};

    append_durable();
    end_world();
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK));
    forge_write(w.dir, 1, FIRST_FRAME_AT + 20, slice_of("damage"));
    cr_assert(eq(int, log_recovery_replay(recovery, true, on_frame, &seen), LSM_CORRUPT));
    assert_names(1);
    cr_assert(eq(sz, seen.count, 0));
    log_recovery_free(recovery);
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

// test_log_restart.c -- the segment that a process begins with after a crash.

#include "recovery_fixture.h"

TestSuite(log_restart, .init = fixture_open, .fini = fixture_close);

Test(log_restart, frames_above_the_mark_are_copied_with_new_marks_and_old_sequence)
{
    struct log_position durable = append_durable();
    struct frame_header header;
    struct file_header file;
    struct file *handle;
    struct seen seen;
    uint32_t restart_id;
    uint8_t bytes[FILE_HEADER_SIZE + FRAME_HEADER_SIZE];

    append_shape(4, SHAPE_SMALL);
    append_shape(5, SHAPE_VALUES);
    w.paper.edit_number = 77;
    end_world();
    start_world();
    cr_assert(eq(int, recover(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(u32, seen.positions[2].segment, 1));
    restart_id = w.paper.mark.segment;
    cr_assert(eq(u32, seen.positions[3].segment, restart_id));
    cr_assert(eq(int, file_open(w.dir, name_of(restart_id), FILE_READ, &handle), LSM_OK));
    cr_assert(eq(int, file_read_exact(handle, 0, bytes, sizeof bytes), LSM_OK));
    file_close_quietly(handle);
    cr_assert(eq(int,
                 file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_LOG, "x", &file),
                 LSM_OK));
    cr_assert(
        frame_header_decode(bytes + FILE_HEADER_SIZE, &file.file_uuid, FILE_HEADER_SIZE, &header));
    cr_assert(eq(u64, header.ts, 4));
    cr_assert(eq(u64, header.wall_ns, 4000));
    cr_assert(eq(u64, header.sequence, 4));
    cr_assert(eq(u64, header.edit_number, 77));
    cr_assert(eq(int, log_position_compare(header.mark, durable), 0));
}

Test(log_restart, the_restart_segment_is_durable_with_its_directory_entry)
{
    append_durable();
    append_shape(4, SHAPE_HUGE);
    end_world();
    start_world();
    assert_recovers(4);
    cr_assert(sim_is_durable(sim, WORLD_DIR, name_of(w.paper.mark.segment), w.paper.mark.offset));
}

Test(log_restart, links_above_the_mark_become_marks_so_that_sequence_numbers_stay_dense)
{
    for (uint64_t ts = 1; ts <= 6; ts++)
        append_shape(ts, SHAPE_VALUES);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 3));
    end_world();
    start_world();
    assert_recovers(6);
    append_shape(7, SHAPE_SMALL);
    end_world();
    start_world();
    assert_recovers(7);
}

Test(log_restart, a_restart_segment_that_no_manifest_names_is_ignored)
{
    struct log_recovery *recovery;
    struct segment *restart;
    uint64_t end;

    append_durable();
    append_shape(4, SHAPE_VALUES);
    end_world();
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK));
    cr_assert(eq(int, log_recovery_restart(recovery, 9, 4096, &restart, &end), LSM_OK));
    segment_unref(restart);
    log_recovery_free(recovery);
    world_close(&w);
    sim_restart(sim, SIM_ALL, 0);
    start_world();
    assert_recovers(4);
    cr_assert(eq(u32, w.paper.mark.segment, 10), "with an id above every id in the directory");
}

Test(log_restart, a_restart_segment_is_log_when_the_manifest_names_it)
{
    append_durable();
    append_shape(4, SHAPE_VALUES);
    end_world();
    for (size_t opens = 0; opens < 4; opens++) {
        start_world();
        assert_recovers(4 + opens);
        append_shape(5 + opens, SHAPE_VALUES);
        end_world();
    }
}

Test(log_restart, segments_without_a_frame_do_not_stay_in_the_chain)
{
    end_world();
    for (size_t opens = 0; opens < 5; opens++) {
        start_world();
        assert_recovers(0);
        cr_assert(eq(sz, w.paper.chain_count, 1));
        end_world();
    }
}

Test(log_restart, frames_larger_than_what_is_copied_at_once_are_copied_whole)
{
    log_set_segment_size(w.log, 8 << 20);
    for (uint64_t ts = 1; ts <= 6; ts++)
        append_shape(ts, ts % 2 == 0 ? SHAPE_VAST : SHAPE_VALUES);
    end_world();
    start_world();
    assert_recovers(6);
    cr_assert(gt(u64, w.paper.mark.offset, 3 * 2500001));
    cr_assert(sim_is_durable(sim, WORLD_DIR, name_of(w.paper.mark.segment), w.paper.mark.offset));
}

// Makes each call of a restart fail in turn. Nothing is left of a failed one, and another
// does what it was to do; whatever fails but a sync is soft.
Test(log_restart, a_failed_restart_can_be_repeated)
{
    struct log_recovery *recovery;
    struct segment *restart;
    uint32_t id = 10;
    lsm_status status;
    uint64_t end;

    log_set_segment_size(w.log, 8 << 20);
    append_durable();
    append_shape(4, SHAPE_VALUES);
    append_shape(5, SHAPE_VAST);
    end_world();
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK));
    for (uint64_t at = 1;; at++, id++) {
        const struct sim_fault fault = {.ops = SIM_OP_OPEN | SIM_OP_ALLOCATE | SIM_OP_READ |
                                               SIM_OP_WRITE | SIM_OP_STAT,
                                        .at = at,
                                        .status = LSM_NO_SPACE};
        uint64_t size;

        sim_set_fault(sim, &fault);
        status = log_recovery_restart(recovery, id, 4096, &restart, &end);
        if (sim_fault_hits(sim) == 0)
            break;
        sim_set_fault(sim, NULL);
        cr_assert(eq(int, status, LSM_NO_SPACE));
        cr_assert(not(poison_is_set(&w.poison)));
        epoch_drain(&w.bin);
        (void)unlinker_drain(w.unlinker, 10);
        cr_assert(eq(int, file_stat(w.dir, name_of(id), &size), LSM_IO));
    }
    cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
    cr_assert(gt(u32, id, 20), "several reads, several writes");
    segment_unref(restart);
    log_recovery_free(recovery);
}

Test(log_restart, a_restart_segment_that_cannot_be_synced_is_not_used)
{
    static const unsigned ops[] = {SIM_OP_SYNC, SIM_OP_DIR_SYNC};

    append_durable();
    append_shape(4, SHAPE_VALUES);
    end_world();
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        // The first sync of the file is that of its header: a failure there is soft.
        const struct sim_fault fault = {
            .ops = ops[i], .at = ops[i] == SIM_OP_SYNC ? 2 : 1, .status = LSM_IO};
        struct log_recovery *recovery;
        struct segment *restart;
        uint64_t end;

        start_world();
        cr_assert(eq(int, walk(&recovery), LSM_OK));
        sim_set_fault(sim, &fault);
        cr_assert(
            eq(int, log_recovery_restart(recovery, 9 + (uint32_t)i, 4096, &restart, &end), LSM_IO));
        cr_assert(eq(u64, sim_fault_hits(sim), 1));
        log_recovery_free(recovery);
        end_world();
    }
    start_world();
    assert_recovers(4);
}

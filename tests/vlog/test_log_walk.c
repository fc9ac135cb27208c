// test_log_walk.c -- following the frames of the log, and where that ends.
//
// Each test names a sentence of docs/design.md, "Recovery".

#include "recovery_fixture.h"

TestSuite(log_walk, .init = fixture_open, .fini = fixture_close);

Test(log_walk, all_frames_from_the_replay_position_on_are_handed_over_in_order)
{
    for (uint64_t ts = 1; ts <= 12; ts++)
        append_shape(ts, (enum shape)(ts % SHAPE_COUNT));
    end_world();
    start_world();
    assert_recovers(12);
}

Test(log_walk, walking_writes_nothing)
{
    struct log_recovery *recovery;
    struct seen seen = {0};
    uint32_t last_id;
    uint64_t calls;

    append_durable();
    append_shape(4, SHAPE_VALUES);
    last_id = log_end(w.log).segment;
    end_world();
    start_world();
    calls = sim_call_count(sim);
    cr_assert(eq(int, walk(&recovery), LSM_OK));
    cr_assert(eq(int, log_recovery_replay(recovery, true, on_frame, &seen), LSM_OK));
    cr_assert(eq(sz, seen.count, 4));
    cr_assert(eq(u32, seen.positions[3].segment, last_id), "where it lies, for a reader only");
    cr_assert(eq(u64, sim_call_count(sim), calls));
    log_recovery_free(recovery);
}

Test(log_walk, replay_never_recreates_what_lies_below_its_position)
{
    struct seen seen;

    append_durable();
    cr_assert(eq(int, world_flush(&w, 3), LSM_OK));
    append_shape(4, SHAPE_VALUES);
    append_shape(5, SHAPE_SMALL);
    end_world();
    start_world();
    cr_assert(eq(int, recover(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, 2));
    cr_assert(eq(u64, seen.ts[0], 4));
}

// Makes the frame at `at` one of the group behind its own, with a checksum that fits.
static void skip_a_sequence(struct log_position at)
{
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_header header;
    struct uuid uuid = w.paper.chain[0].uuid;
    struct file *file;
    struct dir *dir;

    cr_assert(eq(int, dir_open(sim_env(sim), WORLD_DIR, false, &dir), LSM_OK));
    cr_assert(eq(int, file_open(dir, name_of(at.segment), FILE_WRITE, &file), LSM_OK));
    cr_assert(eq(int, file_read_exact(file, at.offset, bytes, sizeof bytes), LSM_OK));
    cr_assert(frame_header_decode(bytes, &uuid, at.offset, &header));
    header.sequence++;
    frame_header_encode(&header, &uuid, at.offset, bytes);
    cr_assert(eq(int, file_write_one(file, at.offset, slice_make(bytes, sizeof bytes)), LSM_OK));
    cr_assert(eq(int, file_close(file), LSM_OK));
    dir_close(dir);
}

Test(log_walk, a_frame_that_leaves_a_gap_in_the_sequence_is_not_replayed)
{
    struct log_position first;

    append_shape(1, SHAPE_SMALL);
    first = log_end(w.log);
    append_shape(2, SHAPE_SMALL);
    end_world();
    skip_a_sequence(first);
    start_world();
    assert_recovers(1);
}

Test(log_walk, a_frame_with_a_higher_edit_number_than_the_manifests_is_damage)
{
    append_shape(1, SHAPE_SMALL);
    w.paper.edit_number = 7;
    append_shape(2, SHAPE_SMALL);
    w.paper.edit_number = 6;
    end_world();
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
}

// --- the chain ---

Test(log_walk, the_chain_is_taken_from_the_manifest_and_behind_it_from_links)
{
    append_over_three_segments();
    end_world();
    cr_assert(eq(sz, paper.chain_count, 1));
    start_world();
    assert_recovers(6);
    cr_assert(eq(sz, w.paper.chain_count, 4));
    cr_assert(eq(u32, w.paper.chain[3].id, 4));
}

Test(log_walk, a_segment_that_the_chain_names_and_is_missing_is_damage)
{
    append_over_three_segments();
    name_chain();
    end_world();
    start_world();
    cr_assert(eq(int, file_unlink(w.dir, "000002.vlog"), LSM_OK));
    assert_walk_is(LSM_CORRUPT);
    assert_names(2);
}

Test(log_walk, a_file_shorter_than_its_final_length_is_damage)
{
    append_over_three_segments();
    name_chain();
    end_world();
    cr_assert(
        eq(int, sim_cut(sim, WORLD_DIR, "000002.vlog", paper.chain[1].final_size - 1), LSM_OK));
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(2);
}

Test(log_walk, a_segment_with_another_uuid_than_the_chain_names_is_damage)
{
    append_over_three_segments();
    name_chain();
    w.paper.chain[2].uuid.bytes[0]++;
    end_world();
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(3);
}

Test(log_walk, a_segment_of_another_database_is_no_candidate)
{
    append_over_three_segments();
    end_world();
    start_world();
    w.store.db_uuid.bytes[5]++;
    assert_walk_is(LSM_CORRUPT); // the first one is named
    w.store.db_uuid.bytes[5]--;
    assert_walk_is(LSM_OK);
}

// A header is durable before the first frame behind it: a torn one has none.
Test(log_walk, a_segment_whose_header_is_torn_is_no_candidate)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    end_world();
    cr_assert(eq(int, sim_cut(sim, WORLD_DIR, name_of(2), FILE_HEADER_SIZE), LSM_OK));
    flip(2, 20);
    start_world();
    assert_recovers(2);
}

Test(log_walk, a_segment_with_frames_whose_header_does_not_verify_is_damage)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    end_world();
    flip(2, 20);
    start_world();
    assert_walk_is(LSM_CORRUPT);
}

// Nothing is looked for behind a final length: what lies there was given up once.
Test(log_walk, no_walk_goes_behind_a_final_length)
{
    struct log_position durable = append_durable();

    append_shape(4, SHAPE_SMALL);
    append_shape(5, SHAPE_VALUES);
    end_world();
    start_world();
    assert_recovers(5); // 4 and 5 move to the restart segment
    cr_assert(eq(u64, w.paper.chain[0].final_size, durable.offset));
    end_world();
    start_world();
    assert_recovers(5); // each once, though the old ones still verify where they were
}

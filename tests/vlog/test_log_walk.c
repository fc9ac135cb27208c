// test_log_walk.c -- following the frames of the log, and where that ends.
//
// Each test names a sentence of docs/design.md, "Recovery".

#include "forge.h"
#include "recovery_fixture.h"

TestSuite(log_walk, .init = fixture_open, .fini = fixture_close);

// Makes a segment that lies there without being log.
static void leave_segment(uint32_t id)
{
    struct segment *segment;

    cr_assert(eq(int, segment_create(&w.store, id, WORLD_SEGMENT_SIZE, &segment), LSM_OK));
    segment_unref(segment);
    epoch_drain(&w.bin);
}

static void copy_segment(uint32_t from, uint32_t to)
{
    uint8_t bytes[WORLD_SEGMENT_SIZE];

    forge_read(w.dir, from, 0, bytes, sizeof bytes);
    forge_write(w.dir, to, 0, slice_make(bytes, sizeof bytes));
}

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

// --- which frame is the next ---

// Three commits, none known to be durable, and a new process.
static struct log_position restart_behind_three(void)
{
    struct log_position second;

    append_shape(1, SHAPE_SMALL);
    second = log_end(w.log);
    append_shape(2, SHAPE_SMALL);
    append_shape(3, SHAPE_SMALL);
    end_world();
    start_world();
    return second;
}

Test(log_walk, a_frame_that_leaves_a_gap_in_the_sequence_is_not_replayed)
{
    struct log_position second = restart_behind_three();
    struct frame_header header = forge_header(w.dir, 1, second.offset);

    header.sequence++;
    forge_set_header(w.dir, 1, second.offset, &header);
    assert_recovers(1);
}

Test(log_walk, a_commit_not_later_than_the_one_before_is_not_replayed)
{
    struct log_position second = restart_behind_three();
    struct frame_header header = forge_header(w.dir, 1, second.offset);

    header.ts = 1;
    forge_set_header(w.dir, 1, second.offset, &header);
    assert_recovers(1);
}

Test(log_walk, a_frame_that_only_carries_a_mark_may_have_the_timestamp_before_and_none_below)
{
    struct log_position second = restart_behind_three();
    struct frame_header header = forge_header(w.dir, 1, second.offset);
    struct seen seen;

    header.type = FRAME_MARK;
    header.ts = 1;
    forge_set_header(w.dir, 1, second.offset, &header);
    cr_assert(eq(int, look(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, 2), "the commits around it");
    header.ts = 0;
    forge_set_header(w.dir, 1, second.offset, &header);
    cr_assert(eq(int, look(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, 1));
}

Test(log_walk, a_link_is_the_first_frame_of_its_segment_or_none)
{
    struct log_position second = restart_behind_three();
    struct frame_link link = {.segment = 1, .final_size = second.offset};
    struct frame_header header = forge_header(w.dir, 1, second.offset);
    uint8_t body[FRAME_LINK_BODY_SIZE];

    header.type = FRAME_LINK;
    frame_link_encode(&link, body);
    forge_frame(w.dir, 1, second.offset, header, slice_make(body, sizeof body), slice_make("", 0));
    assert_recovers(1);
}

Test(log_walk, a_link_of_another_size_is_none)
{
    struct frame_header header;

    (void)restart_behind_three();
    header = forge_header(w.dir, 1, FIRST_FRAME_AT);
    header.type = FRAME_LINK;
    forge_set_header(w.dir, 1, FIRST_FRAME_AT, &header);
    assert_recovers(0);
}

Test(log_walk, a_frame_of_a_type_that_is_not_known_is_unsupported)
{
    struct log_position second = restart_behind_three();
    struct frame_header header = forge_header(w.dir, 1, second.offset);

    header.type = FRAME_ADOPT;
    forge_set_header(w.dir, 1, second.offset, &header);
    assert_walk_is(LSM_UNSUPPORTED);
    assert_names(1);
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

Test(log_walk, a_file_shorter_than_the_replay_position_is_damage)
{
    append_durable();
    cr_assert(eq(int, world_flush(&w, 3), LSM_OK));
    end_world();
    cr_assert(eq(int, sim_cut(sim, WORLD_DIR, "000001.vlog", paper.replay.offset - 1), LSM_OK));
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
}

Test(log_walk, a_bad_frame_below_a_final_length_is_damage)
{
    append_over_three_segments();
    name_chain();
    end_world();
    flip(2, FIRST_FRAME_AT + 8);
    start_world();
    paper.mark = paper.replay; // the length alone tells
    assert_walk_is(LSM_CORRUPT);
    assert_names(2);
}

Test(log_walk, a_chain_that_ends_before_the_replay_position_is_damage)
{
    append_over_three_segments();
    name_chain();
    end_world();
    start_world();
    paper.replay = (struct log_position){7, FIRST_FRAME_AT};
    assert_walk_is(LSM_CORRUPT);
    assert_names(7);
}

Test(log_walk, a_log_without_any_file_is_damage)
{
    end_world();
    start_world();
    cr_assert(eq(int, file_unlink(w.dir, "000001.vlog"), LSM_OK));
    paper.chain_count = 0;
    assert_walk_is(LSM_CORRUPT);
    assert_names(1);
}

Test(log_walk, segments_of_the_chain_before_the_replay_position_are_not_walked)
{
    struct seen seen;

    append_over_three_segments();
    name_chain();
    end_world();
    start_world();
    cr_assert(eq(int, file_unlink(w.dir, "000001.vlog"), LSM_OK));
    paper.replay = (struct log_position){2, FIRST_FRAME_AT};
    cr_assert(eq(int, look(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, 4));
    cr_assert(eq(u64, seen.ts[0], 3));
}

Test(log_walk, a_log_of_many_segments_among_many_others_is_walked_whole)
{
    for (uint64_t ts = 1; ts <= 40; ts++)
        append_shape(ts, SHAPE_HUGE); // each in a segment of its own
    cr_assert(eq(u32, segment_id(log_active(w.log)), 41));
    for (uint32_t id = 100; id < 200; id++)
        leave_segment(id);
    end_world();
    start_world();
    assert_recovers(40);
    cr_assert(eq(u32, w.paper.mark.segment, 200));
}

Test(log_walk, what_is_no_segment_file_is_passed_over)
{
    static const char *const names[] = {"000009.sst", "99999999999.vlog", "9.vlog"};
    struct dir *inside;

    append_over_three_segments();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct file *file;

        cr_assert(eq(int, file_open(w.dir, names[i], FILE_CREATE, &file), LSM_OK));
        cr_assert(eq(int, file_close(file), LSM_OK));
    }
    cr_assert(eq(int, dir_open(sim_env(sim), WORLD_DIR "/000009.vlog", true, &inside), LSM_OK));
    dir_close(inside);
    end_world();
    start_world();
    assert_recovers(6);
    cr_assert(eq(u32, w.paper.mark.segment, 4));
}

// Nobody gets so far; a file that is made to be there is read to its end and not beyond.
Test(log_walk, the_segment_with_the_last_id_ends_where_its_file_does)
{
    struct log_recovery *recovery;
    struct log_position third, end;
    struct frame_header header;
    struct frame_link link = {.segment = 1};
    uint8_t body[FRAME_LINK_BODY_SIZE];

    append_shape(1, SHAPE_SMALL);
    append_shape(2, SHAPE_SMALL);
    third = log_end(w.log);
    append_shape(3, SHAPE_SMALL);
    end = log_end(w.log);
    end_world();
    start_world();
    leave_segment(UINT32_MAX);
    header = forge_header(w.dir, 1, third.offset);
    header.type = FRAME_LINK;
    header.entry_count = 0;
    header.sequence++;
    link.uuid = forge_uuid(w.dir, 1);
    link.final_size = end.offset;
    frame_link_encode(&link, body);
    forge_frame(w.dir, UINT32_MAX, FIRST_FRAME_AT, header, slice_make(body, sizeof body),
                slice_make("", 0));
    header.type = FRAME_COMMIT;
    header.sequence++;
    header.body_size = header.entries_size = 1 << 20; // more than there is
    forge_set_header(w.dir, UINT32_MAX, FIRST_FRAME_AT + frame_size(sizeof body), &header);
    cr_assert(eq(int, walk(&recovery), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(u32, log_recovery_found(recovery)->end.segment, UINT32_MAX));
    log_recovery_free(recovery);
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
    leave_segment(8);
    w.store.db_uuid.bytes[5]--;
    assert_recovers(6);
    cr_assert(eq(u32, w.paper.mark.segment, 9), "its number is taken all the same");
}

// A copy of a segment is not the segment.
Test(log_walk, a_segment_under_another_number_is_no_candidate)
{
    append_over_three_segments();
    end_world();
    start_world();
    leave_segment(8);
    copy_segment(2, 8);
    assert_recovers(6);
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

// --- links ---

// Has the link of segment 2 say something else, by turns.
static void assert_bad_links(void (*check)(void))
{
    const struct frame_link good = forge_link_of(w.dir, 2);
    struct frame_link bad[] = {good, good, good, good};

    bad[0].segment = 7;
    bad[1].uuid.bytes[3]++;
    bad[2].final_size += 8;
    bad[3].final_size -= 8;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        forge_link(w.dir, 2, &bad[i]);
        check();
    }
    forge_link(w.dir, 2, &good);
}

static void assert_ends_in_segment_1(void)
{
    struct seen seen;

    cr_assert(eq(int, look(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, 2));
}

static void assert_link_is_damage(void)
{
    assert_walk_is(LSM_CORRUPT);
    assert_names(2);
}

// Three commits, the third behind a link; none is known to be durable.
static void append_over_a_link(void)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_VALUES);
    append_shape(3, SHAPE_VALUES);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
}

Test(log_walk, a_segment_that_is_linked_to_another_end_is_no_successor)
{
    append_over_a_link();
    end_world();
    start_world();
    assert_bad_links(assert_ends_in_segment_1);
    assert_recovers(3);
}

Test(log_walk, a_segment_of_the_chain_that_is_linked_to_another_end_is_damage)
{
    append_over_a_link();
    name_chain();
    w.paper.chain[1].final_size = log_end(w.log).offset;
    end_world();
    start_world();
    assert_bad_links(assert_link_is_damage);
    assert_walk_is(LSM_OK);
}

Test(log_walk, a_link_with_a_timestamp_below_the_one_before_ends_the_log)
{
    struct frame_header header;

    append_over_a_link();
    end_world();
    start_world();
    header = forge_header(w.dir, 2, FIRST_FRAME_AT);
    header.ts--;
    forge_set_header(w.dir, 2, FIRST_FRAME_AT, &header);
    assert_ends_in_segment_1();
}

Test(log_walk, a_segment_that_does_not_begin_with_a_link_is_no_successor)
{
    struct frame_header header;

    append_over_a_link();
    end_world();
    start_world();
    header = forge_header(w.dir, 2, FIRST_FRAME_AT);
    header.type = FRAME_MARK;
    forge_set_header(w.dir, 2, FIRST_FRAME_AT, &header);
    assert_ends_in_segment_1();
}

Test(log_walk, a_segment_whose_link_has_another_size_is_no_successor)
{
    struct frame_header header;

    append_over_a_link();
    end_world();
    start_world();
    header = forge_header(w.dir, 2, FIRST_FRAME_AT);
    forge_frame(w.dir, 2, FIRST_FRAME_AT, header, slice_of("less than a link"), slice_make("", 0));
    assert_ends_in_segment_1();
}

// The log goes on in an empty restart segment, moves on from it, and is recovered: a
// segment without a frame is not kept, but linked to it is.
static void append_behind_an_empty_segment(void)
{
    append_durable();
    w.paper.mark = log_mark(w.log);
    end_world();
    start_world();
    assert_recovers(3);
    append_shape(4, SHAPE_HUGE);
    cr_assert(eq(u64, forge_link_of(w.dir, 3).final_size, FIRST_FRAME_AT));
    sync_all();
    w.paper.mark = log_mark(w.log);
    end_world();
    start_world();
    assert_recovers(4);
    cr_assert(eq(u32, w.paper.chain[0].id, 1));
    cr_assert(eq(u32, w.paper.chain[1].id, 3), "without the empty one");
    end_world();
    start_world();
}

Test(log_walk, a_link_may_reach_over_a_segment_in_which_no_frame_is_left)
{
    append_behind_an_empty_segment();
    assert_recovers(4);
}

Test(log_walk, a_link_that_reaches_over_a_segment_with_frames_is_damage)
{
    struct frame_link link;

    append_behind_an_empty_segment();
    link = forge_link_of(w.dir, 3);
    link.final_size += 8;
    forge_link(w.dir, 3, &link);
    assert_walk_is(LSM_CORRUPT);
    assert_names(3);
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

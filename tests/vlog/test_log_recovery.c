// test_log_recovery.c -- what of the log survived, and what is damage.
//
// Each test names a sentence of docs/design.md, "Recovery". Crashes at every call are
// in test_log_crash.c.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/alloc_fault.h"
#include "support/sim.h"

static struct sim *sim;
static struct paper paper;
static struct world w;

static void start_world(void)
{
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
}

// The process ends without a word; what it wrote is all on disk.
static void end_world(void)
{
    paper = w.paper;
    world_close(&w);
    sim_restart(sim, SIM_ALL, 0);
}

static void fixture_open(void)
{
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    start_world();
    cr_assert(eq(int, world_create(&w), LSM_OK));
}

static void fixture_close(void)
{
    world_close(&w);
    sim_free(sim);
}

static void install_and_open(void)
{
    cr_assert(alloc_fault_install());
    fixture_open();
}

TestSuite(log_recovery, .init = fixture_open, .fini = fixture_close);
TestSuite(log_recovery_memory, .init = install_and_open, .fini = fixture_close);

static void append(uint64_t ts, size_t count, enum shape shape)
{
    cr_assert(eq(int, world_append(&w, ts, count, shape), LSM_OK), "%s", lsm_errmsg());
}

static void sync_all(void)
{
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

static lsm_status walk(struct log_recovery **out)
{
    struct log_recovery_input input = paper_input(&paper);

    return log_recovery_walk(&w.store, &input, out);
}

// --- frames handed over ---

static enum shape shapes[64]; // of the commits, by timestamp

struct seen {
    size_t count;
    uint64_t ts[64];
    struct log_position positions[64];
};

static lsm_status on_frame(void *ctx, const struct frame_header *header,
                           struct log_position position, struct segment *segment, lsm_slice entries)
{
    struct seen *seen = ctx;

    cr_assert(eq(u32, segment_id(segment), position.segment));
    seen->ts[seen->count] = header->ts;
    seen->positions[seen->count++] = position;
    return content_check(header->ts, shapes[header->ts], header, position, segment, entries);
}

static lsm_status recover(struct seen *seen)
{
    *seen = (struct seen){0};
    return world_recover(&w, on_frame, seen);
}

// The commits recovered are those with timestamps 1 to `count`.
static void assert_recovers(size_t count)
{
    struct seen seen;

    cr_assert(eq(int, recover(&seen), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(sz, seen.count, count));
    for (size_t i = 0; i < count; i++)
        cr_assert(eq(u64, seen.ts[i], i + 1));
}

static void append_shape(uint64_t ts, enum shape shape)
{
    shapes[ts] = shape;
    append(ts, 1, shape);
}

// Three durable commits and their end; the first has separated values.
static struct log_position append_durable(void)
{
    append_shape(1, SHAPE_VALUES);
    append_shape(2, SHAPE_SMALL);
    append_shape(3, SHAPE_SMALL);
    sync_all();
    return log_end(w.log);
}

static const char *name_of(uint32_t id)
{
    static struct filename name;

    name = filename_of(FILENAME_SEGMENT, id);
    return name.text;
}

static void flip(uint32_t id, uint64_t offset)
{
    cr_assert(eq(int, sim_flip(sim, WORLD_DIR, name_of(id), offset, 0x10), LSM_OK));
}

static void assert_names(uint32_t id)
{
    cr_assert(ne(ptr, strstr(lsm_errmsg(), name_of(id)), NULL), "%s", lsm_errmsg());
    cr_assert(ne(ptr, strstr(lsm_errmsg(), "offset"), NULL), "%s", lsm_errmsg());
}

static void assert_walk_is(lsm_status wanted)
{
    struct log_recovery *recovery = NULL;
    lsm_status status = walk(&recovery);

    cr_assert(eq(int, status, wanted), "%s", lsm_errmsg());
    log_recovery_free(recovery);
}

// --- the walk and the stop ---

Test(log_recovery, all_frames_from_the_replay_position_on_are_handed_over_in_order)
{
    for (uint64_t ts = 1; ts <= 12; ts++)
        append_shape(ts, (enum shape)(ts % SHAPE_COUNT));
    end_world();
    start_world();
    assert_recovers(12);
}

Test(log_recovery, walking_writes_nothing)
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

Test(log_recovery, a_frame_that_leaves_a_gap_in_the_sequence_is_not_replayed)
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

// Recovers without writing, as a reader would: many times over, leaving nothing.
static lsm_status look(struct seen *seen)
{
    struct log_recovery *recovery = NULL;
    lsm_status status = walk(&recovery);

    *seen = (struct seen){0};
    if (status == LSM_OK)
        status = log_recovery_replay(recovery, true, on_frame, seen);
    log_recovery_free(recovery);
    return status;
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

Test(log_recovery, a_frame_with_a_higher_edit_number_than_the_manifests_is_damage)
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

static void append_over_three_segments(void)
{
    for (uint64_t ts = 1; ts <= 5; ts++)
        append_shape(ts, SHAPE_VALUES);
    sync_all();
    append_shape(6, SHAPE_SMALL);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 3));
}

// Names the whole chain as a flush would, but lets the replay begin at its start.
static void name_chain(void)
{
    struct log_position replay = w.paper.replay;
    struct segment **segments;
    struct log_link *links;
    size_t count;

    cr_assert(eq(int, log_chain_all(w.log, &links, &segments, &count), LSM_OK));
    memcpy(w.paper.chain, links, count * sizeof *links);
    w.paper.chain_count = count;
    w.paper.replay = replay;
    mem_free(links);
    mem_free(segments);
}

Test(log_recovery, the_chain_is_taken_from_the_manifest_and_behind_it_from_links)
{
    append_over_three_segments();
    end_world();
    cr_assert(eq(sz, paper.chain_count, 1));
    start_world();
    assert_recovers(6);
    cr_assert(eq(sz, w.paper.chain_count, 4));
    cr_assert(eq(u32, w.paper.chain[3].id, 4));
}

Test(log_recovery, a_segment_that_the_chain_names_and_is_missing_is_damage)
{
    append_over_three_segments();
    name_chain();
    end_world();
    start_world();
    cr_assert(eq(int, file_unlink(w.dir, "000002.vlog"), LSM_OK));
    assert_walk_is(LSM_CORRUPT);
    assert_names(2);
}

Test(log_recovery, a_file_shorter_than_its_final_length_is_damage)
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

Test(log_recovery, a_segment_with_another_uuid_than_the_chain_names_is_damage)
{
    append_over_three_segments();
    name_chain();
    w.paper.chain[2].uuid.bytes[0]++;
    end_world();
    start_world();
    assert_walk_is(LSM_CORRUPT);
    assert_names(3);
}

Test(log_recovery, a_segment_of_another_database_is_no_candidate)
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
Test(log_recovery, a_segment_whose_header_is_torn_is_no_candidate)
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

Test(log_recovery, a_segment_with_frames_whose_header_does_not_verify_is_damage)
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
Test(log_recovery, no_walk_goes_behind_a_final_length)
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

// --- the restart segment ---

Test(log_recovery, frames_above_the_mark_are_copied_with_new_marks_and_old_sequence)
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

Test(log_recovery, the_restart_segment_is_durable_with_its_directory_entry)
{
    append_durable();
    append_shape(4, SHAPE_HUGE);
    end_world();
    start_world();
    assert_recovers(4);
    cr_assert(sim_is_durable(sim, WORLD_DIR, name_of(w.paper.mark.segment), w.paper.mark.offset));
}

Test(log_recovery, links_above_the_mark_become_marks_so_that_sequence_numbers_stay_dense)
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

Test(log_recovery, a_restart_segment_that_no_manifest_names_is_ignored)
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

Test(log_recovery, a_restart_segment_is_log_when_the_manifest_names_it)
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

Test(log_recovery, segments_without_a_frame_do_not_stay_in_the_chain)
{
    end_world();
    for (size_t opens = 0; opens < 5; opens++) {
        start_world();
        assert_recovers(0);
        cr_assert(eq(sz, w.paper.chain_count, 1));
        end_world();
    }
}

Test(log_recovery, a_failed_restart_can_be_repeated)
{
    static const unsigned ops[] = {SIM_OP_OPEN, SIM_OP_ALLOCATE, SIM_OP_WRITE};
    struct log_recovery *recovery;
    struct segment *restart;
    uint64_t end;

    append_durable();
    append_shape(4, SHAPE_VALUES);
    end_world();
    start_world();
    cr_assert(eq(int, walk(&recovery), LSM_OK));
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        struct sim_fault fault = {.ops = ops[i], .at = 1, .status = LSM_NO_SPACE};

        sim_set_fault(sim, &fault);
        cr_assert(eq(int, log_recovery_restart(recovery, 5 + (uint32_t)i, 4096, &restart, &end),
                     LSM_NO_SPACE));
    }
    sim_set_fault(sim, NULL);
    cr_assert(eq(int, log_recovery_restart(recovery, 9, 4096, &restart, &end), LSM_OK));
    segment_unref(restart);
    log_recovery_free(recovery);
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

// --- replay positions ---

Test(log_recovery, replay_never_recreates_what_lies_below_its_position)
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

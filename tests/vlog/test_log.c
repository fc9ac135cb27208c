// test_log.c -- the growing end: appending, moving on, syncing, failing.
//
// Crashes are in test_log_crash.c, what is read back in test_log_recovery.c.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/alloc_fault.h"
#include "support/sim.h"

#define LARGE_SIZE (1u << 20)

static struct sim *sim;
static struct world w;

static void fixture_open(void)
{
    static const struct paper blank;

    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
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

TestSuite(log, .init = fixture_open, .fini = fixture_close);

static void set_fault(unsigned ops, lsm_status status, size_t written)
{
    struct sim_fault fault = {.ops = ops, .at = 1, .status = status, .short_by = written};

    sim_set_fault(sim, &fault);
}

static void append(uint64_t ts, size_t count, enum shape shape)
{
    cr_assert(eq(int, world_append(&w, ts, count, shape), LSM_OK), "%s", lsm_errmsg());
}

static void assert_position(struct log_position got, uint32_t id, uint64_t offset)
{
    cr_assert(eq(u32, got.segment, id));
    cr_assert(eq(u64, got.offset, offset));
}

// The bytes of a segment's file; freed by the caller.
static lsm_buf file_bytes(uint32_t id)
{
    lsm_buf bytes = {0};
    struct file *file;
    uint64_t size;

    cr_assert(eq(int, file_open(w.dir, filename_of(FILENAME_SEGMENT, id).text, FILE_READ, &file),
                 LSM_OK));
    cr_assert(eq(int, file_size(file, &size), LSM_OK));
    cr_assert(eq(int, buf_reserve(&bytes, size), LSM_OK));
    cr_assert(eq(int, file_read_exact(file, 0, bytes.data, size), LSM_OK));
    bytes.size = size;
    file_close_quietly(file);
    return bytes;
}

// The header of the frame at `offset` of a segment, which must verify.
static struct frame_header frame_at(uint32_t id, uint64_t offset)
{
    lsm_buf bytes = file_bytes(id);
    struct file_header file;
    struct frame_header header;

    cr_assert(eq(int, file_header_decode(slice_of_buf(&bytes), FILE_KIND_LOG, "x", &file), LSM_OK));
    cr_assert(
        frame_header_decode((uint8_t *)bytes.data + offset, &file.file_uuid, offset, &header));
    lsm_buf_free(&bytes);
    return header;
}

static uint64_t size_of(uint32_t id)
{
    uint64_t size;

    cr_assert(eq(int, file_stat(w.dir, filename_of(FILENAME_SEGMENT, id).text, &size), LSM_OK));
    return size;
}

static bool exists(uint32_t id)
{
    uint64_t size;

    return file_stat(w.dir, filename_of(FILENAME_SEGMENT, id).text, &size) == LSM_OK;
}

// Fills the first segment so that the next commit of values moves on to segment 2.
static void fill_segment(void)
{
    append(1, 1, SHAPE_VALUES);
    append(2, 1, SHAPE_VALUES);
}

// --- appending ---

Test(log, frames_are_aligned_dense_in_sequence_and_carry_mark_and_edit_number)
{
    struct frame_header first, second;
    struct log_position end;

    append(10, 1, SHAPE_SMALL);
    end = log_end(w.log);
    cr_assert(eq(u64, end.offset % FRAME_ALIGNMENT, 0));
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    w.paper.edit_number = 5;
    append(11, 1, SHAPE_SMALL);
    first = frame_at(1, FILE_HEADER_SIZE);
    second = frame_at(1, end.offset);
    cr_assert(eq(u64, second.sequence, first.sequence + 1));
    cr_assert(eq(u64, second.ts, 11));
    cr_assert(eq(u64, second.wall_ns, 11000));
    assert_position(first.mark, 1, FILE_HEADER_SIZE);
    assert_position(second.mark, 1, end.offset);
    cr_assert(eq(u64, second.edit_number, 5));
}

static void count_writes(void *ctx, struct sim *s, const char *dir, const char *name,
                         uint64_t offset, const lsm_slice *parts, size_t count)
{
    (void)s, (void)dir, (void)name, (void)offset, (void)parts, (void)count;
    ++*(size_t *)ctx;
}

Test(log, a_group_is_appended_with_one_write)
{
    size_t writes = 0;

    sim_set_write_hook(sim, count_writes, &writes);
    append(1, 4, SHAPE_SMALL);
    cr_assert(eq(sz, writes, 1));
    sim_set_write_hook(sim, NULL, NULL);
}

Test(log, a_separated_value_is_read_where_its_frame_says)
{
    struct content c;
    struct commit_frame frame;
    struct commit_frame *group = &frame;
    struct frame_reader r;
    struct entry e;

    content_make(&c, 1, SHAPE_VALUES);
    commit_frame_init(&frame);
    cr_assert(eq(int, content_encode(&c, &frame), LSM_OK));
    cr_assert(eq(int, log_reserve(w.log, frame.size, 1), LSM_OK));
    cr_assert(eq(int, log_append(w.log, &group, 1, 1), LSM_OK));
    frame_reader_over_commit(&r, &frame);
    for (size_t i = 0; i < c.count; i++) {
        cr_assert(eq(int, frame_reader_next(&r, &e), LSM_OK));
        cr_assert(eq(int, content_check_entry(&c, i, &e, log_active(w.log)), LSM_OK), "%s",
                  lsm_errmsg());
    }
    commit_frame_release(&frame);
    content_release(&c);
}

// --- moving on ---

Test(log, the_first_frame_of_a_segment_links_it_to_the_chain)
{
    struct log_position end;
    struct frame_header header;
    struct frame_link link;
    lsm_buf bytes;

    fill_segment();
    end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
    header = frame_at(2, FILE_HEADER_SIZE);
    cr_assert(eq(int, header.type, FRAME_LINK));
    cr_assert(eq(u64, header.ts, 2), "the timestamp of the last frame before");
    cr_assert(eq(u64, header.sequence, 3), "links are counted too");
    bytes = file_bytes(2);
    cr_assert(frame_link_decode(
        slice_make((uint8_t *)bytes.data + FILE_HEADER_SIZE + FRAME_HEADER_SIZE, header.body_size),
        &link));
    cr_assert(eq(u32, link.segment, 1));
    cr_assert(eq(u64, link.final_size, end.offset));
    cr_assert(uuid_equal(&link.uuid, &w.paper.chain[0].uuid));
    lsm_buf_free(&bytes);
}

Test(log, a_prepared_segment_is_used_and_was_durable_before)
{
    fill_segment();
    cr_assert(log_needs_upkeep(w.log), "more than half is used");
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK));
    cr_assert(not(log_needs_upkeep(w.log)));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000002.vlog", FILE_HEADER_SIZE));
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
    cr_assert(not(exists(3)));
}

Test(log, nothing_is_prepared_while_most_of_the_active_segment_is_free)
{
    append(1, 1, SHAPE_SMALL);
    cr_assert(not(log_needs_upkeep(w.log)));
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK));
    cr_assert(not(exists(2)));
}

Test(log, a_segment_grows_for_an_oversized_frame_which_lies_wholly_in_it)
{
    append(1, 1, SHAPE_HUGE);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
    cr_assert(ge(u64, size_of(2), 9000));
    cr_assert(le(u64, log_end(w.log).offset, size_of(2)));
}

Test(log, a_prepared_segment_too_small_or_below_the_active_id_is_unlinked)
{
    fill_segment();
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK));
    cr_assert(exists(2));
    append(3, 1, SHAPE_HUGE);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 3));
    epoch_drain(&w.bin);
    (void)unlinker_drain(w.unlinker, 10);
    cr_assert(not(exists(2)));
}

Test(log, sealing_truncates_a_segment_to_its_length)
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

// --- the mark ---

Test(log, a_full_commit_first_syncs_every_older_unsynced_segment)
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

Test(log, a_weak_commit_never_waits_for_a_sync)
{
    set_fault(SIM_OP_SYNC, LSM_IO, 0);
    append(1, 1, SHAPE_SMALL);
    append(2, 1, SHAPE_VALUES);
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
}

// A mark behind a link that a crash may take away would turn a torn tail into damage.
Test(log, the_mark_enters_a_segment_only_when_its_link_is_durable)
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

Test(log, syncing_up_to_a_durable_position_syncs_nothing)
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

Test(log, a_failed_sync_poisons_and_every_later_sync_and_append_is_refused)
{
    struct log_position mark = log_mark(w.log);

    append(1, 1, SHAPE_SMALL);
    set_fault(SIM_OP_SYNC, LSM_IO, 0);
    cr_assert(eq(int, world_sync(&w), LSM_IO));
    cr_assert(poison_is_set(&w.poison));
    cr_assert(eq(int, world_sync(&w), LSM_POISONED));
    cr_assert(eq(int, log_sync(w.log, mark), LSM_POISONED));
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_POISONED));
    cr_assert(eq(int, log_upkeep(w.log), LSM_POISONED));
    cr_assert(eq(int, log_finish(w.log), LSM_POISONED));
    assert_position(log_mark(w.log), mark.segment, mark.offset);
}

// --- failing ---

Test(log, a_short_append_is_cut_off_and_the_segment_abandoned_before_the_error_is_returned)
{
    struct log_position end;

    append(1, 1, SHAPE_SMALL);
    end = log_end(w.log);
    set_fault(SIM_OP_WRITE, LSM_NO_SPACE, 150);
    cr_assert(eq(int, world_append(&w, 2, 2, SHAPE_SMALL), LSM_NO_SPACE));
    cr_assert(not(poison_is_set(&w.poison)));
    cr_assert(eq(u64, size_of(1), end.offset));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000001.vlog", end.offset));
    assert_position(log_mark(w.log), 1, end.offset);
}

Test(log, after_a_failed_append_the_log_goes_on_in_another_segment_with_the_same_sequence)
{
    struct log_position end;

    append(1, 1, SHAPE_SMALL);
    end = log_end(w.log);
    set_fault(SIM_OP_WRITE, LSM_NO_SPACE, 0);
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_NO_SPACE));
    append(3, 1, SHAPE_SMALL);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
    cr_assert(eq(u64, frame_at(2, FILE_HEADER_SIZE).sequence, 2));
    cr_assert(eq(u64, frame_at(2, FILE_HEADER_SIZE).ts, 1), "of the last frame in the log");
    cr_assert(eq(u64, log_bytes_since(w.log, end), log_end(w.log).offset - FILE_HEADER_SIZE));
}

Test(log, when_the_cut_fails_too_the_log_is_poisoned)
{
    static const unsigned ops[] = {SIM_OP_TRUNCATE, SIM_OP_SYNC, SIM_OP_CLOSE};
    static const struct paper blank;

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        struct sim_fault fault = {
            .ops = SIM_OP_WRITE | ops[i], .at = 1, .for_ever = true, .status = LSM_IO};

        append(1, 1, SHAPE_SMALL);
        sim_set_fault(sim, &fault);
        cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_IO));
        cr_assert(poison_is_set(&w.poison));
        sim_set_fault(sim, NULL);
        cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_SMALL), LSM_POISONED));
        world_close(&w);
        sim_free(sim);
        cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
        cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
        cr_assert(eq(int, world_create(&w), LSM_OK));
    }
}

Test(log, a_segment_abandoned_before_its_link_was_complete_is_never_named)
{
    struct frame_link link;
    lsm_buf bytes;

    fill_segment();
    set_fault(SIM_OP_WRITE, LSM_NO_SPACE, 100);
    cr_assert(eq(int, log_upkeep(w.log), LSM_NO_SPACE), "the fault hits the preparation first");
    set_fault(SIM_OP_WRITE, LSM_NO_SPACE, 100);
    cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK)); // prepares one: the next write is the link's
    set_fault(SIM_OP_WRITE, LSM_NO_SPACE, 100);
    cr_assert(eq(int, world_append(&w, 4, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(not(poison_is_set(&w.poison)));
    cr_assert(eq(u32, segment_id(log_active(w.log)), 1), "the log has not moved");
    append(5, 1, SHAPE_VALUES);
    bytes = file_bytes(segment_id(log_active(w.log)));
    cr_assert(
        frame_link_decode(slice_make((uint8_t *)bytes.data + FILE_HEADER_SIZE + FRAME_HEADER_SIZE,
                                     FRAME_LINK_BODY_SIZE),
                          &link));
    cr_assert(eq(u32, link.segment, 1), "a link names the last segment of the chain");
    lsm_buf_free(&bytes);
    epoch_drain(&w.bin);
    (void)unlinker_drain(w.unlinker, 10);
    for (uint32_t id = 2; id < segment_id(log_active(w.log)); id++)
        cr_assert(not(exists(id)), "segment %u is not log", id);
}

Test(log, a_soft_failure_to_reserve_leaves_everything_usable)
{
    static const struct {
        unsigned ops;
        lsm_status status;
    } faults[] = {
        {SIM_OP_OPEN, LSM_BUSY},
        {SIM_OP_ALLOCATE, LSM_NO_SPACE},
        {SIM_OP_WRITE, LSM_NO_SPACE},
        {SIM_OP_SYNC, LSM_IO},
    };
    uint64_t ts = 3;

    fill_segment();
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        set_fault(faults[i].ops, faults[i].status, 0);
        cr_assert(eq(int, world_append(&w, ts++, 1, SHAPE_VALUES), faults[i].status));
        cr_assert(not(poison_is_set(&w.poison)));
    }
    sim_set_fault(sim, NULL);
    append(ts++, 1, SHAPE_SMALL); // still has room
    append(ts++, 1, SHAPE_VALUES);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

// Fills the active segment; the next one is to be large.
static uint64_t fill_before_large(void)
{
    uint64_t ts = 3;

    fill_segment();
    log_set_segment_size(w.log, LARGE_SIZE);
    while (segment_capacity(log_active(w.log)) - log_end(w.log).offset > 200)
        append(ts++, 1, SHAPE_SMALL);
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    return ts;
}

// A small segment leaves room for the flush, by which room comes back.
Test(log, with_little_space_the_log_moves_on_to_a_small_segment)
{
    uint64_t ts = fill_before_large();

    set_fault(SIM_OP_ALLOCATE, LSM_NO_SPACE, 0);
    append(ts++, 1, SHAPE_VALUES);
    cr_assert(eq(u64, sim_fault_hits(sim), 1));
    cr_assert(eq(u64, size_of(log_end(w.log).segment), 64 << 10));
    append(ts++, 1, SHAPE_HUGE);
    cr_assert(eq(u64, size_of(log_end(w.log).segment), 64 << 10), "there is room for more");
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    epoch_drain(&w.bin);
    cr_assert(not(exists(2)), "the one that found no room has left nothing");
}

Test(log, with_little_space_a_large_group_gets_a_segment_of_its_size)
{
    uint64_t ts = fill_before_large();
    uint64_t end;

    set_fault(SIM_OP_ALLOCATE, LSM_NO_SPACE, 0);
    append(ts, 8, SHAPE_HUGE);
    end = log_end(w.log).offset;
    cr_assert(gt(u64, end, 64 << 10));
    cr_assert(eq(u64, size_of(log_end(w.log).segment), end));
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

Test(log, without_space_for_a_small_segment_moving_on_fails_softly)
{
    const struct sim_fault full = {
        .ops = SIM_OP_ALLOCATE, .at = 1, .for_ever = true, .status = LSM_NO_SPACE};
    uint64_t ts = fill_before_large();

    sim_set_fault(sim, &full);
    cr_assert(eq(int, world_append(&w, ts++, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(eq(u64, sim_fault_hits(sim), 2));
    cr_assert(not(poison_is_set(&w.poison)));
    sim_set_fault(sim, NULL);
    append(ts, 1, SHAPE_VALUES);
    cr_assert(eq(u64, size_of(log_end(w.log).segment), LARGE_SIZE));
}

Test(log, a_directory_that_cannot_be_synced_for_want_of_space_is_not_tried_again)
{
    uint64_t ts = fill_before_large();

    set_fault(SIM_OP_DIR_SYNC, LSM_NO_SPACE, 0);
    cr_assert(eq(int, world_append(&w, ts, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(poison_is_set(&w.poison));
    cr_assert(eq(u32, log_end(w.log).segment, 1));
    cr_assert(not(exists(3)), "no other segment has been made");
}

Test(log, a_failed_sync_of_the_directory_poisons)
{
    fill_segment();
    set_fault(SIM_OP_DIR_SYNC, LSM_IO, 0);
    cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_VALUES), LSM_IO));
    cr_assert(poison_is_set(&w.poison));
}

static void append_with_faults(uint64_t *ts)
{
    lsm_status status = world_append(&w, (*ts)++, 1, SHAPE_VALUES);

    cr_assert(status == LSM_OK || status == LSM_NO_MEMORY, "%s", lsm_errmsg());
    cr_assert(not(poison_is_set(&w.poison)));
}

TestSuite(log_memory, .init = install_and_open, .fini = fixture_close);

Test(log_memory, an_append_without_memory_fails_softly_and_works_again)
{
    uint64_t ts = 1;

    ALLOC_FAULT_EACH(append_with_faults(&ts));
    append(ts, 1, SHAPE_SMALL);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

// --- the chain, and closing ---

Test(log, every_segment_of_a_chain_but_the_last_is_sealed_and_synced)
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

Test(log, releasing_drops_segments_before_the_replay_position_from_the_chain)
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

Test(log, bytes_since_counts_what_a_replay_would_read)
{
    struct log_position first_end;

    fill_segment();
    first_end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(u64, log_bytes_since(w.log, log_end(w.log)), 0));
    cr_assert(eq(u64, log_bytes_since(w.log, (struct log_position){1, first_end.offset - 8}),
                 8 + log_end(w.log).offset - FILE_HEADER_SIZE));
}

Test(log, a_clean_close_syncs_all_cuts_the_end_and_removes_the_prepared_segment)
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

static void sum_writes(void *ctx, struct sim *s, const char *dir, const char *name, uint64_t offset,
                       const lsm_slice *parts, size_t count)
{
    (void)s, (void)dir, (void)name, (void)offset;
    for (size_t i = 0; i < count; i++)
        *(uint64_t *)ctx += parts[i].size;
}

Test(log, large_values_are_written_once)
{
    uint64_t written = 0;

    sim_set_write_hook(sim, sum_writes, &written);
    append(1, 1, SHAPE_HUGE);
    cr_assert(lt(u64, written, 9107 + 1000), "values, and little else");
    sim_set_write_hook(sim, NULL, NULL);
}

// test_log.c -- the writer's half of the log: appending, moving on, failing.
//
// What is read back is in test_log_recovery.c, room in test_log_settle.c, crashes in
// test_log_crash.c.

#include "forge.h"
#include "growing_fixture.h"

TestSuite(log, .init = fixture_open, .fini = fixture_close);
TestSuite(log_memory, .init = install_and_open, .fini = fixture_close);

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
    first = forge_header(w.dir, 1, FILE_HEADER_SIZE);
    second = forge_header(w.dir, 1, end.offset);
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
        cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
        cr_assert(eq(int, content_check_entry(&c, i, &e, log_active(w.log)), LSM_OK), "%s",
                  lsm_errmsg());
    }
    commit_frame_release(&frame);
    content_release(&c);
}

// What fails between reserving and appending must not be appended to.
Test(log, a_poisoned_log_takes_no_frame_for_which_room_was_reserved)
{
    struct content c;
    struct commit_frame frame;
    struct commit_frame *group = &frame;
    size_t writes = 0;

    content_make(&c, 1, SHAPE_SMALL);
    commit_frame_init(&frame);
    cr_assert(eq(int, content_encode(&c, &frame), LSM_OK));
    cr_assert(eq(int, log_reserve(w.log, frame.size, 1), LSM_OK));
    (void)poison_set(&w.poison, lsm_fail(LSM_IO, "elsewhere"));
    sim_set_write_hook(sim, count_writes, &writes);
    cr_assert(eq(int, log_append(w.log, &group, 1, 1), LSM_POISONED));
    cr_assert(eq(sz, writes, 0));
    sim_set_write_hook(sim, NULL, NULL);
    commit_frame_release(&frame);
    content_release(&c);
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

// --- writing back ---

// An env that notes what is to be written back; all else is the sim's.
static struct env_ops noting_ops;
static struct {
    uint64_t from;
    uint64_t to;
    size_t count;
} noted;

static void note_writeback(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    noted.from = offset;
    noted.to = offset + size;
    noted.count++;
}

static void note_writebacks(void)
{
    noting_ops = *sim_env(sim)->ops;
    noting_ops.file_writeback = note_writeback;
    sim_env(sim)->ops = &noting_ops;
    log_set_segment_size(w.log, 8 << 20);
}

Test(log, writing_back_begins_when_a_mebibyte_has_gathered_and_covers_all_of_it)
{
    note_writebacks();
    append(1, 1, SHAPE_VAST);
    log_writeback(w.log);
    cr_assert(eq(sz, noted.count, 1));
    cr_assert(le(u64, noted.from, frame_size(FRAME_LINK_BODY_SIZE) + FILE_HEADER_SIZE));
    cr_assert(eq(u64, noted.to, log_end(w.log).offset));
    append(2, 1, SHAPE_HUGE);
    log_writeback(w.log);
    cr_assert(eq(sz, noted.count, 1), "too little yet");
}

Test(log, what_is_left_is_written_back_when_the_log_moves_on)
{
    struct log_position end;

    append(1, 1, SHAPE_VALUES);
    end = log_end(w.log);
    note_writebacks();
    append(2, 1, SHAPE_HUGE);
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    cr_assert(eq(sz, noted.count, 1));
    cr_assert(eq(u64, noted.from, FILE_HEADER_SIZE));
    cr_assert(eq(u64, noted.to, end.offset));
}

Test(log, an_abandoned_segment_is_not_written_back)
{
    note_writebacks();
    append(1, 1, SHAPE_VAST);
    set_fault(SIM_OP_WRITE, LSM_NO_SPACE, 0);
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_NO_SPACE));
    noted.count = 0;
    log_writeback(w.log);
    append(3, 1, SHAPE_SMALL);
    cr_assert(eq(sz, noted.count, 0), "it is closed already");
}

// --- moving on ---

Test(log, the_first_frame_of_a_segment_links_it_to_the_chain)
{
    struct log_position end;
    struct frame_header header;
    struct frame_link link;

    fill_segment();
    end = log_end(w.log);
    append(3, 1, SHAPE_VALUES);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 2));
    header = forge_header(w.dir, 2, FILE_HEADER_SIZE);
    cr_assert(eq(int, header.type, FRAME_LINK));
    cr_assert(eq(u64, header.ts, 2), "the timestamp of the last frame before");
    cr_assert(eq(u64, header.sequence, 3), "links are counted too");
    link = forge_link_of(w.dir, 2);
    cr_assert(eq(u32, link.segment, 1));
    cr_assert(eq(u64, link.final_size, end.offset));
    cr_assert(uuid_equal(&link.uuid, &w.paper.chain[0].uuid));
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
    cr_assert(eq(u64, forge_header(w.dir, 2, FILE_HEADER_SIZE).sequence, 2));
    cr_assert(eq(u64, forge_header(w.dir, 2, FILE_HEADER_SIZE).ts, 1),
              "of the last frame in the log");
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

// Beyond a quota some file systems refuse to make a file shorter, too.
static void set_quota_fault(size_t written, unsigned more_ops)
{
    struct sim_fault fault = {.ops = SIM_OP_WRITE | SIM_OP_TRUNCATE | more_ops,
                              .at = 1,
                              .for_ever = true,
                              .status = LSM_NO_SPACE,
                              .short_by = written};

    sim_set_fault(sim, &fault);
}

Test(log, an_append_that_left_nothing_need_not_be_cut_off)
{
    struct log_position end;

    append(1, 1, SHAPE_SMALL);
    end = log_end(w.log);
    set_quota_fault(0, 0);
    for (int i = 0; i < 3; i++)
        cr_assert(eq(int, world_append(&w, 2, 4, SHAPE_SMALL), LSM_NO_SPACE));
    cr_assert(not(poison_is_set(&w.poison)));
    assert_position(log_end(w.log), 1, end.offset);
    sim_set_fault(sim, NULL);
    append(2, 1, SHAPE_SMALL);
    cr_assert(eq(u32, segment_id(log_active(w.log)), 1), "the segment goes on");
    cr_assert(eq(u64, forge_header(w.dir, 1, end.offset).ts, 2));
}

Test(log, an_append_that_left_something_and_cannot_be_cut_off_is_poison)
{
    append(1, 1, SHAPE_SMALL);
    set_quota_fault(100, 0);
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_NO_SPACE));
    cr_assert(poison_is_set(&w.poison));
}

// What a failed sync has lost cannot be known, here as elsewhere.
Test(log, a_cut_that_cannot_be_synced_is_poison_though_the_append_left_nothing)
{
    struct sim_fault fault = {
        .ops = SIM_OP_WRITE | SIM_OP_SYNC, .at = 1, .for_ever = true, .status = LSM_NO_SPACE};

    append(1, 1, SHAPE_SMALL);
    sim_set_fault(sim, &fault);
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_NO_SPACE));
    cr_assert(poison_is_set(&w.poison));
}

Test(log, an_append_of_which_nobody_can_tell_what_it_left_is_poison_when_it_cannot_be_cut_off)
{
    append(1, 1, SHAPE_SMALL);
    set_quota_fault(0, SIM_OP_READ);
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_SMALL), LSM_NO_SPACE));
    cr_assert(poison_is_set(&w.poison));
}

Test(log, a_link_that_left_nothing_need_not_be_cut_off)
{
    fill_segment();
    cr_assert(eq(int, log_upkeep(w.log), LSM_OK)); // prepares the next
    set_quota_fault(0, 0);
    cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_VALUES), LSM_NO_SPACE));
    cr_assert(not(poison_is_set(&w.poison)));
    cr_assert(eq(u32, segment_id(log_active(w.log)), 1), "the log has not moved");
    sim_set_fault(sim, NULL);
    append(4, 1, SHAPE_VALUES);
    cr_assert(eq(u32, forge_link_of(w.dir, segment_id(log_active(w.log))).segment, 1));
}

Test(log, a_segment_abandoned_before_its_link_was_complete_is_never_named)
{
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
    cr_assert(eq(u32, forge_link_of(w.dir, segment_id(log_active(w.log))).segment, 1),
              "a link names the last segment of the chain");
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

Test(log, a_failed_sync_of_the_directory_poisons)
{
    fill_segment();
    set_fault(SIM_OP_DIR_SYNC, LSM_IO, 0);
    cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_VALUES), LSM_IO));
    cr_assert(poison_is_set(&w.poison));
}

// --- memory ---

static void append_with_faults(uint64_t *ts)
{
    lsm_status status = world_append(&w, (*ts)++, 1, SHAPE_VALUES);

    cr_assert(status == LSM_OK || status == LSM_NO_MEMORY, "%s", lsm_errmsg());
    cr_assert(not(poison_is_set(&w.poison)));
}

Test(log_memory, an_append_without_memory_fails_softly_and_works_again)
{
    uint64_t ts = 1;

    ALLOC_FAULT_EACH(append_with_faults(&ts));
    append(ts, 1, SHAPE_SMALL);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

static void start_with_faults(const struct log_start *start)
{
    struct log *log = NULL;
    const lsm_status status = log_new(&w.store, NULL, start, &log);

    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    cr_assert(eq(int, log == NULL, alloc_fault_was_hit()));
    log_free(log);
}

Test(log_memory, a_log_that_cannot_be_made_takes_over_nothing)
{
    struct log_start start = {.end = FILE_HEADER_SIZE, .next_sequence = 1, .next_segment_id = 3};

    cr_assert(eq(int, segment_create(&w.store, 2, WORLD_SEGMENT_SIZE, &start.active), LSM_OK));
    ALLOC_FAULT_EACH(start_with_faults(&start));
    epoch_drain(&w.bin);
    cr_assert(eq(u64, size_of(2), WORLD_SEGMENT_SIZE));
}

static void move_on_with_faults(uint64_t *bytes)
{
    const uint32_t before = segment_id(log_active(w.log));
    const lsm_status status = log_reserve(w.log, (*bytes)++, 1);

    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    cr_assert(eq(int, segment_id(log_active(w.log)) == before, alloc_fault_was_hit()));
}

// Among others the chain grows, and grows again.
Test(log_memory, moving_on_without_memory_fails_softly_and_works_again)
{
    uint64_t bytes = 10 * WORLD_SEGMENT_SIZE;

    for (size_t i = 0; i < 10; i++)
        ALLOC_FAULT_EACH(move_on_with_faults(&bytes));
    append(1, 1, SHAPE_SMALL);
    cr_assert(eq(int, world_sync(&w), LSM_OK));
}

// test_segment_scan.c -- one segment file looked at without a manifest.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/sim.h"
#include "vlog/segment_scan.h"

static struct sim *sim;
static struct paper paper;
static struct world w;
static struct log_position ends[8]; // of the commits, by timestamp

// Four commits in segment 1; the second has separated values. The process has ended.
static void fixture_open(void)
{
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, world_create(&w), LSM_OK));
    ends[0].offset = FILE_HEADER_SIZE;
    for (uint64_t ts = 1; ts <= 4; ts++) {
        enum shape shape = ts == 2 ? SHAPE_VALUES : SHAPE_SMALL;

        cr_assert(eq(int, world_append(&w, ts, 1, shape), LSM_OK));
        ends[ts] = log_end(w.log);
    }
    world_close(&w);
    sim_restart(sim, SIM_ALL, 0);
}

static void fixture_close(void)
{
    world_close(&w);
    sim_free(sim);
}

TestSuite(segment_scan, .init = fixture_open, .fini = fixture_close);

struct piece {
    uint64_t offset;
    uint64_t size;
    uint64_t ts; // 0: a stretch that does not verify
};

struct pieces {
    size_t count;
    struct piece items[16];
};

static lsm_status on_piece(void *ctx, uint64_t offset, uint64_t size,
                           const struct frame_header *header, lsm_slice entries)
{
    struct pieces *pieces = ctx;

    cr_assert(lt(sz, pieces->count, 16));
    if (header != NULL)
        cr_assert(eq(sz, entries.size, header->entries_size));
    pieces->items[pieces->count++] = (struct piece){
        .offset = offset,
        .size = size,
        .ts = header == NULL ? 0 : header->ts,
    };
    return LSM_OK;
}

static struct pieces scan(bool verify_values)
{
    struct pieces pieces = {0};

    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(
        eq(int, segment_scan(w.dir, "000001.vlog", verify_values, on_piece, &pieces), LSM_OK));
    return pieces;
}

static void flip(uint64_t offset)
{
    cr_assert(eq(int, sim_flip(sim, WORLD_DIR, "000001.vlog", offset, 1), LSM_OK));
}

// The pieces cover the log without a gap, and only the one that stands for commit
// `bad` (0: none) does not verify.
static void assert_pieces(const struct pieces *pieces, uint64_t bad)
{
    cr_assert(eq(sz, pieces->count, 4));
    for (uint64_t ts = 1; ts <= 4; ts++) {
        const struct piece *piece = &pieces->items[ts - 1];

        cr_assert(eq(u64, piece->offset, ends[ts - 1].offset));
        cr_assert(eq(u64, piece->offset + piece->size, ends[ts].offset));
        cr_assert(eq(u64, piece->ts, ts == bad ? 0 : ts));
    }
}

Test(segment_scan, all_frames_are_found_and_room_not_used_yet_is_not_reported)
{
    struct pieces pieces = scan(true);

    assert_pieces(&pieces, 0);
}

Test(segment_scan, it_goes_on_behind_a_damaged_header)
{
    struct pieces pieces;

    flip(ends[0].offset + 30);
    pieces = scan(false);
    assert_pieces(&pieces, 1);
}

Test(segment_scan, it_goes_on_behind_damaged_entries)
{
    struct pieces pieces;

    flip(ends[2].offset + FRAME_HEADER_SIZE + 3);
    pieces = scan(false);
    assert_pieces(&pieces, 3);
}

Test(segment_scan, a_bad_value_is_reported_only_when_values_are_verified)
{
    struct pieces pieces;

    flip(ends[2].offset - 300);
    pieces = scan(false);
    assert_pieces(&pieces, 0);
    world_close(&w);
    pieces = scan(true);
    assert_pieces(&pieces, 2);
}

Test(segment_scan, rubbish_behind_the_last_frame_is_a_stretch)
{
    struct pieces pieces;

    flip(ends[4].offset + 77);
    pieces = scan(true);
    cr_assert(eq(sz, pieces.count, 5));
    cr_assert(eq(u64, pieces.items[4].ts, 0));
    cr_assert(eq(u64, pieces.items[4].offset, ends[4].offset));
}

Test(segment_scan, a_frame_cut_by_the_end_of_the_file_is_a_stretch)
{
    struct pieces pieces;

    cr_assert(eq(int, sim_cut(sim, WORLD_DIR, "000001.vlog", ends[4].offset - 5), LSM_OK));
    pieces = scan(true);
    cr_assert(eq(sz, pieces.count, 4));
    cr_assert(eq(u64, pieces.items[3].ts, 0));
}

Test(segment_scan, a_stretch_ends_with_the_file_even_within_a_word)
{
    struct pieces pieces;

    cr_assert(eq(int, sim_cut(sim, WORLD_DIR, "000001.vlog", ends[3].offset + 6), LSM_OK));
    flip(ends[3].offset);
    pieces = scan(false);
    cr_assert(eq(sz, pieces.count, 4));
    cr_assert(eq(u64, pieces.items[3].offset, ends[3].offset));
    cr_assert(eq(u64, pieces.items[3].size, 6));
}

// Somebody who writes gives back the room behind the last frame while the file is looked at.
Test(segment_scan, a_file_that_is_cut_behind_its_frames_meanwhile_is_not_damaged)
{
    CLEANUP(frame_scan_close) struct frame_scan cut = {.file = NULL};
    CLEANUP(file_closep) struct file *file = NULL;
    struct pieces pieces = {0};

    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, frame_scan_open(w.dir, "000001.vlog", &cut), LSM_OK));
    cr_assert(gt(u64, cut.limit, ends[4].offset));
    cr_assert(eq(int, sim_open_to_change(w.dir, "000001.vlog", &file), LSM_OK));
    cr_assert(eq(int, file_truncate(file, ends[4].offset), LSM_OK));
    cr_assert(eq(int, segment_scan_open(&cut, true, on_piece, &pieces), LSM_OK), "%s",
              lsm_errmsg());
    assert_pieces(&pieces, 0);
}

Test(segment_scan, a_file_that_was_cut_and_cannot_be_measured_is_corrupt)
{
    const struct sim_fault fault = {.ops = SIM_OP_STAT, .at = 1, .status = LSM_IO};
    CLEANUP(frame_scan_close) struct frame_scan cut = {.file = NULL};
    CLEANUP(file_closep) struct file *file = NULL;
    struct pieces pieces = {0};

    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, frame_scan_open(w.dir, "000001.vlog", &cut), LSM_OK));
    cr_assert(eq(int, sim_open_to_change(w.dir, "000001.vlog", &file), LSM_OK));
    cr_assert(eq(int, file_truncate(file, ends[4].offset), LSM_OK));
    sim_set_fault(sim, &fault);
    cr_assert(eq(int, segment_scan_open(&cut, true, on_piece, &pieces), LSM_CORRUPT));
    cr_assert(eq(u64, sim_fault_hits(sim), 1));
}

Test(segment_scan, a_file_whose_header_is_damaged_is_corrupt)
{
    struct pieces pieces = {0};

    flip(33);
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, segment_scan(w.dir, "000001.vlog", true, on_piece, &pieces), LSM_CORRUPT));
    cr_assert(eq(sz, pieces.count, 0));
}

static lsm_status refuse(void *ctx, uint64_t offset, uint64_t size,
                         const struct frame_header *header, lsm_slice entries)
{
    (void)ctx, (void)offset, (void)size, (void)header, (void)entries;
    return LSM_BUSY;
}

static lsm_status find_wrong(void *ctx, uint64_t offset, uint64_t size,
                             const struct frame_header *header, lsm_slice entries)
{
    (void)ctx, (void)offset, (void)size, (void)header, (void)entries;
    return LSM_CORRUPT;
}

static lsm_status refuse_stretch(void *ctx, uint64_t offset, uint64_t size,
                                 const struct frame_header *header, lsm_slice entries)
{
    (void)ctx, (void)offset, (void)size, (void)entries;
    return header == NULL ? LSM_BUSY : LSM_OK;
}

Test(segment_scan, a_failure_of_the_caller_over_a_stretch_ends_it)
{
    flip(ends[2].offset + 4);
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, segment_scan(w.dir, "000001.vlog", true, refuse_stretch, NULL), LSM_BUSY));
}

// Damages the second of three commits, which takes many reads: its header at `byte` 4, its
// entries or a value behind.
static void damage_vast(uint64_t byte)
{
    struct log_position end;

    fixture_close();
    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, world_create(&w), LSM_OK));
    log_set_segment_size(w.log, 8 << 20);
    cr_assert(eq(int, world_append(&w, 1, 1, SHAPE_HUGE), LSM_OK)); // in segment 2
    end = log_end(w.log);
    cr_assert(eq(int, world_append(&w, 2, 1, SHAPE_VAST), LSM_OK));
    cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_SMALL), LSM_OK));
    world_close(&w);
    sim_restart(sim, SIM_ALL, 0);
    cr_assert(eq(int, sim_flip(sim, WORLD_DIR, "000002.vlog", end.offset + byte, 1), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
}

Test(segment_scan, each_failed_read_ends_it)
{
    static const uint64_t bytes[] = {4, FRAME_HEADER_SIZE + 4, 2000000};

    for (size_t i = 0; i < sizeof bytes / sizeof bytes[0]; i++) {
        damage_vast(bytes[i]);
        for (uint64_t at = 1;; at++) {
            const struct sim_fault fault = {.ops = SIM_OP_READ, .at = at, .status = LSM_IO};
            struct pieces pieces = {0};
            lsm_status status;

            sim_set_fault(sim, &fault);
            status = segment_scan(w.dir, "000002.vlog", true, on_piece, &pieces);
            cr_assert(eq(int, status, sim_fault_hits(sim) == 0 ? LSM_OK : LSM_IO));
            if (status == LSM_OK) {
                cr_assert(eq(sz, pieces.count, 4), "link, commit, stretch, commit");
                cr_assert(eq(u64, pieces.items[2].ts, 0));
                cr_assert(gt(u64, at, 10));
                break;
            }
        }
    }
}

Test(segment_scan, a_failure_of_the_caller_or_of_a_read_ends_it)
{
    struct sim_fault fault = {.ops = SIM_OP_READ, .at = 2, .status = LSM_IO};
    struct pieces pieces = {0};

    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, segment_scan(w.dir, "000001.vlog", true, refuse, NULL), LSM_BUSY));
    cr_assert(eq(int, segment_scan(w.dir, "000001.vlog", true, find_wrong, NULL), LSM_CORRUPT));
    sim_set_fault(sim, &fault);
    cr_assert(eq(int, segment_scan(w.dir, "000001.vlog", true, on_piece, &pieces), LSM_IO));
}

// Writes `count` headers one behind the other behind the last frame. Each verifies, and its body
// reaches to the end of the file, and does not.
static void forge_headers(uint64_t count)
{
    const uint64_t end = ends[4].offset + (count + 4096) * FRAME_HEADER_SIZE;
    struct frame_header header = {.type = FRAME_COMMIT, .body_crc = 1};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct frame_scan scan;
    struct file *file;

    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, frame_scan_open(w.dir, "000001.vlog", &scan), LSM_OK));
    cr_assert(eq(int, sim_open_to_change(w.dir, "000001.vlog", &file), LSM_OK));
    cr_assert(eq(int, file_truncate(file, end), LSM_OK));
    for (uint64_t i = 0; i < count; i++) {
        const uint64_t at = ends[4].offset + i * FRAME_HEADER_SIZE;

        header.body_size = end - at - FRAME_HEADER_SIZE;
        header.entries_size = header.body_size;
        frame_header_encode(&header, &scan.header.file_uuid, at, bytes);
        cr_assert(eq(int, file_write_one(file, at, slice_make(bytes, sizeof bytes)), LSM_OK));
    }
    file_close_quietly(file);
    frame_scan_close(&scan);
    world_close(&w);
}

Test(segment_scan, bodies_that_overlap_are_not_summed_up_for_each_header)
{
    CLEANUP(frame_scan_close) struct frame_scan forged = {.file = NULL};
    struct pieces pieces = {0};

    forge_headers(2000);
    cr_assert(eq(int, world_open(&w, sim_env(sim), &paper), LSM_OK));
    cr_assert(eq(int, frame_scan_open(w.dir, "000001.vlog", &forged), LSM_OK));
    cr_assert(eq(int, segment_scan_open(&forged, true, on_piece, &pieces), LSM_OK));
    cr_assert(eq(sz, pieces.count, 5));
    cr_assert(eq(u64, pieces.items[4].ts, 0));
    cr_assert(le(u64, forged.bytes_summed, 3 * forged.limit));
}

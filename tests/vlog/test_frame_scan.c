// test_frame_scan.c -- reading the frames of one segment file: the window, and what verifies.

#include "vlog/frame_scan.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "forge.h"
#include "log_fixture.h"
#include "support/sim.h"

#define WINDOW (256u << 10) // what is read at once

static struct sim *sim;
static struct world w;
static struct frame_scan scan;

static void fixture_open(void)
{
    static const struct paper blank;

    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
    cr_assert(eq(int, world_create(&w), LSM_OK));
}

static void fixture_close(void)
{
    frame_scan_close(&scan);
    world_close(&w);
    sim_free(sim);
}

TestSuite(frame_scan, .init = fixture_open, .fini = fixture_close);

static void open_scan(uint32_t id)
{
    sim_set_fault(sim, NULL);
    frame_scan_close(&scan);
    cr_assert(eq(int, frame_scan_open(w.dir, forge_name(id).text, &scan), LSM_OK));
}

static lsm_status look_for_frame(uint64_t at, bool verify_values, bool *verifies)
{
    struct frame_header header;
    lsm_slice entries;

    return frame_scan_at(&scan, at, verify_values, verifies, &header, &entries);
}

static void assert_frame(uint64_t at, bool verify_values, bool wanted)
{
    bool verifies;

    cr_assert(eq(int, look_for_frame(at, verify_values, &verifies), LSM_OK), "%s", lsm_errmsg());
    cr_assert(eq(int, verifies, wanted));
}

static void set_fault(unsigned ops, uint64_t at)
{
    const struct sim_fault fault = {.ops = ops, .at = at, .status = LSM_IO};

    sim_set_fault(sim, &fault);
}

// --- the window ---

// Frames with one inline value of each size, from the first place on; `places` receives where
// they begin, and the end.
static void forge_frames(const size_t *sizes, size_t count, uint64_t *places)
{
    uint64_t at = FIRST_FRAME_AT;

    for (size_t i = 0; i < count; i++) {
        struct frame_header header = {.type = FRAME_COMMIT, .sequence = i + 1, .ts = i + 1};
        uint8_t *entries = calloc(1, sizes[i] + 1);

        memset(entries, (int)i + 1, sizes[i]);
        forge_frame(w.dir, 1, at, header, slice_make(entries, sizes[i]), slice_make("", 0));
        free(entries);
        places[i] = at;
        at += frame_size(sizes[i]);
    }
    places[count] = at;
}

Test(frame_scan, frames_are_found_in_any_order_however_they_lie_in_the_window)
{
    static const size_t sizes[] = {100, WINDOW - 400, 300, WINDOW + 5000, 7, 3 * WINDOW, 40};
    static const size_t order[] = {0, 1, 2, 1, 3, 4, 3, 0, 6, 5, 4, 2, 6, 0, 3, 5};
    uint64_t places[8];

    forge_frames(sizes, 7, places);
    open_scan(1);
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        const size_t nr = order[i];
        struct frame_header header;
        const uint8_t *bytes;
        lsm_slice entries;

        cr_assert(eq(int,
                     frame_scan_at(&scan, places[nr], false, &(bool){false}, &header, &entries),
                     LSM_OK));
        cr_assert(eq(u64, header.ts, nr + 1));
        cr_assert(eq(sz, entries.size, sizes[nr]));
        bytes = entries.data;
        for (size_t k = 0; k < entries.size; k++)
            cr_assert(bytes[k] == nr + 1, "frame %zu, byte %zu", nr, k);
    }
}

Test(frame_scan, small_frames_do_not_cost_a_read_each)
{
    static const size_t sizes[] = {100, 200, 300, 400, 500, 600, 700, 800};
    uint64_t places[9];

    forge_frames(sizes, 8, places);
    open_scan(1);
    set_fault(SIM_OP_READ, 2);
    for (size_t i = 0; i < 8; i++)
        assert_frame(places[i], false, true);
}

// What cannot be read is no verdict, wherever the window ends.
Test(frame_scan, each_failed_read_is_returned)
{
    static const size_t sizes[] = {WINDOW - 250, 300, WINDOW + 5000, 7};
    uint64_t places[5];

    forge_frames(sizes, 4, places);
    for (size_t i = 0; i < 4; i++) {
        uint64_t reads;

        for (reads = 1;; reads++) {
            struct frame_header header;
            lsm_slice entries;
            lsm_status status;

            open_scan(1);
            set_fault(SIM_OP_READ, reads);
            status = frame_scan_at(&scan, places[i], false, &(bool){false}, &header, &entries);
            cr_assert(eq(int, status, sim_fault_hits(sim) == 0 ? LSM_OK : LSM_IO));
            if (status == LSM_OK)
                break;
        }
        cr_assert(gt(u64, reads, 1));
    }
}

Test(frame_scan, a_frame_begins_at_a_multiple_of_8)
{
    const size_t sizes[] = {40};
    uint64_t places[2];

    forge_frames(sizes, 1, places);
    open_scan(1);
    for (uint64_t behind = 1; behind < FRAME_ALIGNMENT; behind++)
        assert_frame(places[0] + behind, false, false);
    assert_frame(places[0], false, true);
}

Test(frame_scan, behind_the_end_of_the_file_there_is_no_frame)
{
    open_scan(1);
    assert_frame(scan.limit, false, false);
    assert_frame(scan.limit + FRAME_ALIGNMENT, false, false);
    assert_frame(UINT64_MAX - 7, false, false);
}

Test(frame_scan, a_header_is_found_behind_what_is_none_and_a_failed_read_is_returned)
{
    static const size_t sizes[] = {2 * WINDOW, 50};
    struct frame_header header;
    uint64_t places[3], at;
    bool found;

    forge_frames(sizes, 2, places);
    open_scan(1);
    cr_assert(eq(int, frame_scan_find(&scan, places[0] + 1, &found, &at, &header), LSM_OK));
    cr_assert(found);
    cr_assert(eq(u64, at, places[1]));
    for (uint64_t reads = 1; reads <= 2; reads++) {
        open_scan(1);
        set_fault(SIM_OP_READ, reads);
        cr_assert(eq(int, frame_scan_find(&scan, places[0] + 1, &found, &at, &header), LSM_IO));
    }
}

Test(frame_scan, padding_that_is_not_zero_is_no_frame_though_it_lies_behind_the_window)
{
    uint64_t end;

    log_set_segment_size(w.log, 8 << 20);
    cr_assert(eq(int, world_append(&w, 1, 1, SHAPE_VAST), LSM_OK));
    end = log_end(w.log).offset;
    cr_assert(eq(u32, log_end(w.log).segment, 2));
    open_scan(2);
    assert_frame(FIRST_FRAME_AT + frame_size(FRAME_LINK_BODY_SIZE), false, true);
    set_fault(SIM_OP_READ, 1);
    cr_assert(
        eq(int,
           look_for_frame(FIRST_FRAME_AT + frame_size(FRAME_LINK_BODY_SIZE), false, &(bool){false}),
           LSM_IO));
    forge_write(w.dir, 2, end - 1, slice_of("x"));
    assert_frame(FIRST_FRAME_AT + frame_size(FRAME_LINK_BODY_SIZE), false, false);
}

// --- values ---

static const lsm_slice key = {"key", 3};
static const lsm_slice value = {"a separated value", 17};

// A frame of one pointer to a record of `record_size` bytes, with a value of `value_size`.
static void forge_pointer(uint64_t record_bytes, uint64_t value_size, lsm_slice record)
{
    struct frame_header header = {.type = FRAME_COMMIT, .sequence = 1, .ts = 1, .entry_count = 1};
    uint8_t entries[] = {ENTRY_POINTER, 5,   (uint8_t)key.size,     'k',
                         'e',           'y', (uint8_t)record_bytes, (uint8_t)value_size};

    forge_frame(w.dir, 1, FIRST_FRAME_AT, header, slice_make(entries, sizeof entries), record);
    open_scan(1);
}

// The record of a value, whose bytes are returned; the caller releases them.
static lsm_buf record_of(uint32_t keyspace, lsm_slice its_key, lsm_slice its_value)
{
    struct record_head head;
    lsm_buf bytes = {0};

    record_head_make(keyspace, its_key, its_value, &head);
    cr_assert(eq(int, buf_append(&bytes, head.bytes, head.size), LSM_OK));
    cr_assert(eq(int, buf_append(&bytes, its_key.data, its_key.size), LSM_OK));
    cr_assert(eq(int, buf_append(&bytes, its_value.data, its_value.size), LSM_OK));
    return bytes;
}

static void assert_record(lsm_buf record, uint64_t value_size, bool wanted)
{
    forge_pointer(record.size, value_size, slice_of_buf(&record));
    assert_frame(FIRST_FRAME_AT, false, true);
    assert_frame(FIRST_FRAME_AT, true, wanted);
    lsm_buf_free(&record);
}

Test(frame_scan, a_frame_whose_record_is_another_keys_does_not_verify)
{
    assert_record(record_of(5, key, value), value.size, true);
    assert_record(record_of(6, key, value), value.size, false);
    assert_record(record_of(5, slice_of("kex"), value), value.size, false);
    assert_record(record_of(5, key, value), value.size - 1, false);
}

Test(frame_scan, a_record_of_a_codec_that_is_not_known_is_unsupported)
{
    lsm_buf record = record_of(5, key, value);

    ((uint8_t *)record.data)[4] = 1;
    put_u32(record.data, crc32c(0, (uint8_t *)record.data + 4, record.size - 4));
    forge_pointer(record.size, value.size, slice_of_buf(&record));
    assert_frame(FIRST_FRAME_AT, false, true);
    cr_assert(eq(int, look_for_frame(FIRST_FRAME_AT, true, &(bool){false}), LSM_UNSUPPORTED));
    lsm_buf_free(&record);
}

Test(frame_scan, entries_that_are_malformed_under_a_checksum_that_fits_do_not_verify)
{
    struct frame_header header = {.type = FRAME_COMMIT, .sequence = 1, .ts = 1, .entry_count = 1};

    forge_frame(w.dir, 1, FIRST_FRAME_AT, header, slice_of("no entry at all"), slice_make("", 0));
    open_scan(1);
    assert_frame(FIRST_FRAME_AT, false, true);
    assert_frame(FIRST_FRAME_AT, true, false);
}

// --- a header that does not verify ---

Test(frame_scan, each_failed_call_of_telling_damage_from_a_torn_header_is_returned)
{
    bool is_damaged = false;

    cr_assert(eq(int, world_append(&w, 1, 1, SHAPE_SMALL), LSM_OK));
    forge_write(w.dir, 1, 20, slice_of("x"));
    for (uint64_t at = 1;; at++) {
        lsm_status status;

        set_fault(SIM_OP_OPEN | SIM_OP_READ | SIM_OP_STAT, at);
        status = frame_scan_is_damaged(w.dir, "000001.vlog", &is_damaged);
        if (sim_fault_hits(sim) == 0) {
            cr_assert(eq(int, status, LSM_OK));
            cr_assert(gt(u64, at, 4), "it was opened, measured, and read twice");
            break;
        }
        cr_assert(eq(int, status, LSM_IO), "call %llu", (unsigned long long)at);
    }
    cr_assert(is_damaged);
}

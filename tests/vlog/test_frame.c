// test_frame.c -- frames: headers, commits on their way, and their entries.

#include "vlog/frame.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/alloc_fault.h"
#include "support/random.h"

static const struct uuid file = {{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

static struct frame_header sample_header(void)
{
    return (struct frame_header){
        .type = FRAME_COMMIT,
        .body_size = 1000,
        .entries_size = 77,
        .sequence = 0x0102030405060708,
        .ts = UINT64_MAX - 1,
        .wall_ns = 1234567890,
        .entry_count = 5,
        .body_crc = 0xCAFE,
        .mark = {7, 4096},
        .edit_number = 99,
    };
}

static struct entry entry_of(uint32_t keyspace, const char *key, const char *value)
{
    return (struct entry){
        .keyspace = keyspace,
        .kind = ENTRY_VALUE,
        .key = slice_of(key),
        .value = slice_of(value),
    };
}

// --- headers ---

Test(frame, a_header_is_decoded_as_it_was_encoded)
{
    struct frame_header in = sample_header();
    struct frame_header out = {0};
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_header_encode(&in, &file, 128, bytes);
    cr_assert(frame_header_decode(bytes, &file, 128, &out));
    cr_assert(eq(int, out.type, in.type));
    cr_assert(eq(u64, out.body_size, in.body_size));
    cr_assert(eq(u64, out.entries_size, in.entries_size));
    cr_assert(eq(u64, out.sequence, in.sequence));
    cr_assert(eq(u64, out.ts, in.ts));
    cr_assert(eq(u64, out.wall_ns, in.wall_ns));
    cr_assert(eq(u32, out.entry_count, in.entry_count));
    cr_assert(eq(u32, out.body_crc, in.body_crc));
    cr_assert(eq(int, log_position_compare(out.mark, in.mark), 0));
    cr_assert(eq(u64, out.edit_number, in.edit_number));
}

Test(frame, any_flipped_bit_of_a_header_makes_it_not_verify)
{
    struct frame_header in = sample_header();
    struct frame_header out;
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_header_encode(&in, &file, 128, bytes);
    for (size_t bit = 0; bit < 8 * sizeof bytes; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert(not(frame_header_decode(bytes, &file, 128, &out)), "bit %zu", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

// Changes a size in an encoded header, and makes the checksum fit again.
static void forge_size(uint8_t *bytes, size_t at, uint64_t size)
{
    uint8_t place[8];
    uint32_t crc = crc32c(0, file.bytes, UUID_SIZE);

    put_u64(bytes + at, size);
    put_u64(place, 128);
    crc = crc32c(crc, place, sizeof place);
    put_u32(bytes, crc32c(crc, bytes + 4, FRAME_HEADER_SIZE - 4));
}

// Sums of sizes are not to overflow, nor the entries to reach behind the body.
Test(frame, a_header_with_sizes_that_cannot_be_does_not_verify_though_its_checksum_fits)
{
    struct frame_header in = sample_header();
    struct frame_header out;
    uint8_t bytes[FRAME_HEADER_SIZE];

    frame_header_encode(&in, &file, 128, bytes);
    forge_size(bytes, 8, 1ull << 60);
    cr_assert(frame_header_decode(bytes, &file, 128, &out));
    forge_size(bytes, 8, (1ull << 60) + 1);
    cr_assert(not(frame_header_decode(bytes, &file, 128, &out)));
    forge_size(bytes, 8, in.entries_size);
    cr_assert(frame_header_decode(bytes, &file, 128, &out));
    forge_size(bytes, 8, in.entries_size - 1);
    cr_assert(not(frame_header_decode(bytes, &file, 128, &out)));
}

Test(frame, peer_rocksdb_12918_a_stale_or_misplaced_frame_never_verifies)
{
    struct frame_header in = sample_header();
    struct frame_header out;
    struct uuid other = file;
    uint8_t bytes[FRAME_HEADER_SIZE];

    other.bytes[15]++;
    frame_header_encode(&in, &file, 128, bytes);
    cr_assert(not(frame_header_decode(bytes, &other, 128, &out)));
    cr_assert(not(frame_header_decode(bytes, &file, 136, &out)));
}

// Memory is taken for the entries that a header claims: no more than its body has room for.
Test(frame, a_header_that_claims_more_entries_than_bytes_is_none)
{
    struct frame_header in = sample_header();
    struct frame_header out;
    uint8_t bytes[FRAME_HEADER_SIZE];

    in.entry_count = (uint32_t)(in.entries_size / 4);
    frame_header_encode(&in, &file, 128, bytes);
    cr_assert(frame_header_decode(bytes, &file, 128, &out));
    in.entry_count++;
    frame_header_encode(&in, &file, 128, bytes);
    cr_assert(not(frame_header_decode(bytes, &file, 128, &out)));
}

Test(frame, zeroes_are_no_header)
{
    struct frame_header out;
    uint8_t bytes[FRAME_HEADER_SIZE] = {0};

    cr_assert(not(frame_header_decode(bytes, &file, 0, &out)));
}

Test(frame, a_frame_takes_a_multiple_of_8_bytes)
{
    cr_assert(eq(u64, frame_size(0), 96));
    cr_assert(eq(u64, frame_size(1), 104));
    cr_assert(eq(u64, frame_size(8), 104));
    cr_assert(eq(u64, frame_size(9), 112));
}

Test(frame, a_link_is_decoded_as_it_was_encoded_and_has_one_size)
{
    struct frame_link in = {.segment = 9, .uuid = file, .final_size = 1 << 20};
    struct frame_link out;
    uint8_t bytes[FRAME_LINK_BODY_SIZE];

    frame_link_encode(&in, bytes);
    cr_assert(frame_link_decode(slice_make(bytes, sizeof bytes), &out));
    cr_assert(eq(u32, out.segment, 9));
    cr_assert(uuid_equal(&out.uuid, &file));
    cr_assert(eq(u64, out.final_size, 1 << 20));
    cr_assert(not(frame_link_decode(slice_make(bytes, sizeof bytes - 1), &out)));
}

Test(frame, positions_order_by_segment_then_offset)
{
    struct log_position a = {1, 500}, b = {2, 100}, c = {2, 101};

    cr_assert(lt(int, log_position_compare(a, b), 0));
    cr_assert(gt(int, log_position_compare(c, b), 0));
    cr_assert(eq(int, log_position_compare(c, c), 0));
}

// --- commits and their entries ---

Test(frame, entries_come_back_with_the_timestamp_of_the_commit)
{
    struct entry value = entry_of(1, "a", "inline");
    struct entry tombstone = {.keyspace = 1, .kind = ENTRY_DELETE, .key = slice_of("b")};
    struct entry adorned = entry_of(2, "a", "");
    struct commit_frame frame;
    struct frame_reader r;
    struct entry e;

    adorned.user_byte = 200;
    adorned.expiry = 1u << 31;
    commit_frame_init(&frame);
    cr_assert(eq(int, commit_frame_add(&frame, &value, false), LSM_OK));
    cr_assert(eq(int, commit_frame_add(&frame, &tombstone, false), LSM_OK));
    cr_assert(eq(int, commit_frame_add(&frame, &adorned, false), LSM_OK));
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    frame.ts = 42;
    cr_assert(eq(u64, frame.key_bytes, 1 + 6 + 1 + 1), "keys and inline values");
    frame_reader_over_commit(&r, &frame);
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
    cr_assert(eq(u64, e.ts, 42));
    cr_assert(eq(u64, e.head, slice_head(slice_of("a"))));
    cr_assert(slice_equal(e.value, slice_of("inline")));
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
    cr_assert(eq(int, e.kind, ENTRY_DELETE));
    cr_assert(eq(sz, e.value.size, 0));
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
    cr_assert(eq(u32, e.keyspace, 2));
    cr_assert(eq(int, e.user_byte, 200));
    cr_assert(eq(u64, e.expiry, 1u << 31));
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_END));
    commit_frame_release(&frame);
}

// A header that claims an entry of less than four bytes does not verify.
Test(frame, the_tombstone_of_the_empty_key_is_as_long_as_an_entry_must_be)
{
    const struct entry tombstone = {.keyspace = 1, .kind = ENTRY_DELETE};
    struct frame_header header = sample_header();
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct commit_frame frame;
    struct frame_reader r;
    struct entry e;

    commit_frame_init(&frame);
    cr_assert(eq(int, commit_frame_add(&frame, &tombstone, false), LSM_OK));
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    header.entries_size = header.body_size = frame.entries.size - FRAME_HEADER_SIZE;
    header.entry_count = 1;
    frame_header_encode(&header, &file, 128, bytes);
    cr_assert(frame_header_decode(bytes, &file, 128, &header));
    frame_reader_over_commit(&r, &frame);
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
    cr_assert(eq(int, e.kind, ENTRY_DELETE));
    cr_assert(eq(u32, e.keyspace, 1));
    cr_assert(eq(sz, e.key.size, 0));
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_END));
    commit_frame_release(&frame);
}

Test(frame, pointers_lead_to_the_records_one_behind_the_other)
{
    struct entry first = entry_of(1, "a", "first value");
    struct entry second = entry_of(1, "b", "second value");
    struct value_pointer p, q;
    struct commit_frame frame;
    struct frame_reader r;
    struct entry e;
    uint64_t entries_size;

    commit_frame_init(&frame);
    cr_assert(eq(int, commit_frame_add(&frame, &first, true), LSM_OK));
    cr_assert(eq(int, commit_frame_add(&frame, &second, true), LSM_OK));
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    entries_size = frame.entries.size - FRAME_HEADER_SIZE;
    frame.position = (struct log_position){3, 1024};
    frame_reader_over_commit(&r, &frame);
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
    cr_assert(eq(int, pointer_decode(e.value, &p), LSM_OK));
    cr_assert(eq(u32, p.segment, 3));
    cr_assert(eq(u64, p.offset, 1024 + FRAME_HEADER_SIZE + entries_size));
    cr_assert(eq(u32, p.record_size, record_size(1, 1, 11)));
    cr_assert(eq(u32, p.value_size, 11));
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
    cr_assert(eq(int, pointer_decode(e.value, &q), LSM_OK));
    cr_assert(eq(u64, q.offset, p.offset + p.record_size));
    cr_assert(eq(u64, frame.body_size, entries_size + p.record_size + q.record_size));
    cr_assert(eq(u64, frame.size, frame_size(frame.body_size)));
    commit_frame_release(&frame);
}

Test(frame, a_commit_of_nothing_is_a_frame)
{
    struct commit_frame frame;
    struct frame_reader r;
    struct entry e;

    commit_frame_init(&frame);
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    cr_assert(eq(u64, frame.size, FRAME_HEADER_SIZE));
    frame_reader_over_commit(&r, &frame);
    cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_END));
    commit_frame_release(&frame);
}

Test(frame, a_commit_that_changes_in_memory_once_it_was_summed_up_is_noticed)
{
    char large[] = "a separated value";
    struct entry first = entry_of(1, "a", "inline");
    struct entry second = entry_of(1, "b", large);
    struct commit_frame frame;
    uint8_t *entries;

    commit_frame_init(&frame);
    cr_assert(eq(int, commit_frame_add(&frame, &first, false), LSM_OK));
    cr_assert(eq(int, commit_frame_add(&frame, &second, true), LSM_OK));
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    cr_assert(eq(int, commit_frame_verify(&frame), LSM_OK));
    large[5] ^= 1;
    cr_assert(eq(int, commit_frame_verify(&frame), LSM_CORRUPT));
    large[5] ^= 1;
    entries = frame.entries.data;
    entries[frame.entries.size - 1] ^= 1;
    cr_assert(eq(int, commit_frame_verify(&frame), LSM_CORRUPT));
    entries[frame.entries.size - 1] ^= 1;
    cr_assert(eq(int, commit_frame_verify(&frame), LSM_OK));
    commit_frame_release(&frame);
}

Test(frame, a_released_commit_is_empty_and_can_be_filled_again)
{
    struct entry entry = entry_of(1, "a", "value");
    struct commit_frame frame;

    commit_frame_init(&frame);
    cr_assert(eq(int, commit_frame_add(&frame, &entry, true), LSM_OK));
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    commit_frame_release(&frame);
    cr_assert(eq(u32, frame.entry_count, 0));
    cr_assert(eq(sz, frame.value_count, 0));
    cr_assert(eq(int, commit_frame_add(&frame, &entry, true), LSM_OK));
    commit_frame_release(&frame);
}

// --- hostile entries ---

// Reads all entries of `bytes` as those of a frame of `count` entries.
static enum frame_next read_all(lsm_slice bytes, uint64_t body_size, uint32_t count)
{
    struct frame_header header = {
        .body_size = body_size, .entries_size = bytes.size, .entry_count = count};
    struct frame_reader r;
    struct entry e;
    enum frame_next next;

    frame_reader_over(&r, &header, (struct log_position){1, 128}, bytes);
    do
        next = frame_reader_next(&r, &e);
    while (next == FRAME_ENTRY);
    return next;
}

#define READ_ALL(body_behind, count, ...)                                                          \
    read_all(slice_make((uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})),               \
             sizeof((uint8_t[]){__VA_ARGS__}) + (body_behind), count)

Test(frame, malformed_entries_are_corrupt)
{
    cr_assert(eq(int, READ_ALL(0, 1, 1, 1, 1, 'k', 1, 'v'), FRAME_END), "a good one");
    cr_assert(eq(int, READ_ALL(0, 2, 1, 1, 1, 'k', 1, 'v'), FRAME_MALFORMED), "fewer than counted");
    cr_assert(eq(int, READ_ALL(0, 0, 1, 1, 1, 'k', 1, 'v'), FRAME_MALFORMED), "more than counted");
    cr_assert(eq(int, READ_ALL(0, 1, 1, 1, 1, 'k', 2, 'v'), FRAME_MALFORMED), "value cut");
    cr_assert(eq(int, READ_ALL(0, 1, 1, 1, 9, 'k', 1, 'v'), FRAME_MALFORMED), "key cut");
    cr_assert(eq(int, READ_ALL(0, 1, 1, 1, 0, 1, 'v'), FRAME_END), "a good one, empty key");
    cr_assert(eq(int, READ_ALL(0, 1, 1, 1, 0x80, 0, 1, 'v'), FRAME_END), "in two bytes");
    cr_assert(eq(int, READ_ALL(0, 1, 9, 1, 1, 'k', 1, 'v'), FRAME_MALFORMED), "unknown kind");
    cr_assert(eq(int, READ_ALL(0, 1, 0x41, 1, 1, 'k', 1, 'v'), FRAME_MALFORMED), "unknown flag");
    cr_assert(eq(int, READ_ALL(9, 1, 1, 1, 1, 'k', 1, 'v'), FRAME_MALFORMED), "records of nobody");
    cr_assert(eq(int, READ_ALL(8, 1, 2, 1, 1, 'k', 9, 1), FRAME_MALFORMED),
              "record behind the frame");
    cr_assert(eq(int, READ_ALL(8, 1, 2, 1, 1, 'k', 8, 9), FRAME_MALFORMED),
              "value larger than record");
    cr_assert(eq(int, READ_ALL(8, 1, 2, 1, 1, 'k', 8, 1), FRAME_END), "a good pointer");
}

// A memtable's node has 16 bits for it.
Test(frame, a_key_that_is_too_long_is_corrupt)
{
    static uint8_t bytes[6 + LSM_KEY_SIZE_MAX + 1] = {ENTRY_DELETE, 1};
    uint8_t *end = put_varint(bytes + 2, LSM_KEY_SIZE_MAX);
    size_t size = (size_t)(end - bytes) + LSM_KEY_SIZE_MAX;

    cr_assert(eq(int, read_all(slice_make(bytes, size), size, 1), FRAME_END));
    (void)put_varint(bytes + 2, LSM_KEY_SIZE_MAX + 1);
    cr_assert(eq(int, read_all(slice_make(bytes, size + 1), size + 1, 1), FRAME_MALFORMED));
}

Test(frame, keys_ascend_each_once)
{
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 1, 'a', 3, 1, 1, 'b'), FRAME_END));
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 1, 'b', 3, 1, 1, 'a'), FRAME_MALFORMED));
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 1, 'a', 3, 1, 1, 'a'), FRAME_MALFORMED));
    cr_assert(eq(int, READ_ALL(0, 2, 3, 2, 1, 'a', 3, 1, 1, 'b'), FRAME_MALFORMED));
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 0, 3, 1, 1, 0), FRAME_END), "the empty key first");
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 0, 3, 1, 0), FRAME_MALFORMED), "the empty key twice");
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 1, 'a', 3, 1, 0), FRAME_MALFORMED),
              "the empty key last");
    cr_assert(eq(int, READ_ALL(0, 2, 3, 1, 1, 'a', 3, 2, 0), FRAME_END), "of the next keyspace");
}

Test(frame, random_bytes_never_lead_a_reader_astray)
{
    struct random random = random_for_test("frame");
    uint8_t bytes[64];

    for (int i = 0; i < 20000; i++) {
        size_t size = (size_t)random_below(&random, sizeof bytes + 1);
        enum frame_next next;

        random_fill(&random, bytes, size);
        if (size > 0)
            bytes[0] = (uint8_t)(1 + random_below(&random, 3));
        next = read_all(slice_make(bytes, size), size + random_below(&random, 64), 3);
        cr_assert(next == FRAME_MALFORMED || next == FRAME_END);
    }
}

// --- memory ---

static void finish_nothing(void)
{
    struct commit_frame frame;
    lsm_status status;

    commit_frame_init(&frame);
    status = commit_frame_finish(&frame);
    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    cr_assert(eq(int, frame.is_finished, status == LSM_OK));
    commit_frame_release(&frame);
}

Test(frame, without_memory_for_its_header_a_commit_of_nothing_is_not_finished)
{
    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH(finish_nothing());
}

static const char *const letters[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

// Adds eight entries, as many as memory allows, and reads back those that were added.
static void add_and_read_back(void)
{
    struct commit_frame frame;
    struct frame_reader r;
    struct entry e;
    uint32_t added = 0;

    commit_frame_init(&frame);
    for (size_t i = 0; i < 8; i++) {
        struct entry entry = entry_of(1, letters[i], "a value of some length");

        if (commit_frame_add(&frame, &entry, i % 2 == 0) == LSM_OK)
            added++;
    }
    if (commit_frame_finish(&frame) == LSM_OK) {
        frame_reader_over_commit(&r, &frame);
        for (uint32_t i = 0; i < added; i++)
            cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_ENTRY));
        cr_assert(eq(int, frame_reader_next(&r, &e), FRAME_END));
    }
    commit_frame_release(&frame);
}

Test(frame, when_memory_is_short_an_entry_is_added_wholly_or_not_at_all)
{
    cr_assert(alloc_fault_install());
    ALLOC_FAULT_EACH(add_and_read_back());
}

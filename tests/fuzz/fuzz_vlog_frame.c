// Any bytes are a frame's entries or LSM_CORRUPT, and no entry reaches outside them.
//
// Checksums stand in front of these decoders, and a fuzzer does not get past them: the
// input is what they would have let through. Its first two bytes are the number of
// entries that the header claims, the next two the size of the records behind them.

#include <stdlib.h>

#include "base/coding.h"
#include "vlog/frame.h"
#include "vlog/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(lsm_slice part, lsm_slice whole)
{
    const uint8_t *start = whole.data;
    const uint8_t *at = part.data;

    return part.size == 0 || (at >= start && at + part.size <= start + whole.size);
}

static void read_entries(lsm_slice entries, uint32_t count, uint64_t record_bytes)
{
    const struct frame_header header = {
        .type = FRAME_COMMIT,
        .body_size = entries.size + record_bytes,
        .entries_size = entries.size,
        .ts = 7,
        .entry_count = count,
    };
    const struct log_position position = {.segment = 3, .offset = 4096};
    struct frame_reader reader;
    struct entry entry;

    frame_reader_over(&reader, &header, position, entries);
    while (frame_reader_next(&reader, &entry) == FRAME_ENTRY) {
        struct value_pointer pointer;

        if (!is_within(entry.key, entries) || entry.ts != header.ts)
            abort();
        if (entry.kind == ENTRY_VALUE && !is_within(entry.value, entries))
            abort();
        if (entry.kind == ENTRY_POINTER &&
            (pointer_decode(entry.value, &pointer) != LSM_OK || pointer.segment != 3 ||
             pointer.offset + pointer.record_size >
                 position.offset + FRAME_HEADER_SIZE + header.body_size))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct uuid uuid = {{1}};
    struct frame_header header;
    struct record record;

    if (size >= 4)
        read_entries(slice_make(data + 4, size - 4), get_u16(data), get_u16(data + 2));
    if (size >= FRAME_HEADER_SIZE)
        (void)frame_header_decode(data, &uuid, 128, &header);
    if (record_decode(slice_make(data, size), "fuzzed", 0, &record) == LSM_OK &&
        !is_within(record.value, slice_make(data, size)))
        abort();
    return 0;
}

#include "sstable/filter.h"

#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/plant.h"

#define LINE_BITS 512

void filter_builder_init(struct filter_builder *b)
{
    *b = (struct filter_builder){.hashes = NULL};
}

void filter_builder_release(struct filter_builder *b)
{
    mem_free(b->hashes);
    filter_builder_init(b);
}

lsm_status filter_builder_add(struct filter_builder *b, uint64_t hash)
{
    if (b->count == b->capacity) {
        size_t capacity = b->capacity == 0 ? 1024 : b->capacity + b->capacity / 4;
        uint64_t *grown = mem_resize_array(b->hashes, capacity, sizeof *grown);

        if (grown == NULL)
            return lsm_fail(LSM_NO_MEMORY, "filter: %zu keys", capacity);
        b->hashes = grown;
        b->capacity = capacity;
    }
    b->hashes[b->count++] = hash;
    return LSM_OK;
}

// The best number for a plain bloom filter is ln 2 times the bits per key. Lines
// are filled unevenly, and full ones err less with fewer probes.
static uint32_t probes_for(double bits_per_key)
{
    long probes = lround(bits_per_key * 0.6);

    if (probes < 1)
        return 1;
    return probes > FILTER_PROBES_MAX ? FILTER_PROBES_MAX : (uint32_t)probes;
}

// The next bit of a line: the upper nine bits of a sequence that starts with the
// hash, each of them fed by all bits below.
static inline uint32_t next_bit(uint64_t *state)
{
    *state *= 0x9e3779b97f4a7c15u;
    return (uint32_t)(*state >> 55);
}

lsm_status filter_builder_encode(const struct filter_builder *b, double bits_per_key, lsm_buf *out)
{
    const uint32_t probes = bits_per_key > 0 ? probes_for(bits_per_key) : 0;
    struct filter filter = {.line_count = 0};
    size_t lines_size;
    uint8_t *tail;

    if (probes > 0)
        filter.line_count = (uint64_t)ceil((double)b->count * bits_per_key / LINE_BITS);
    if (probes > 0 && filter.line_count == 0)
        filter.line_count = 1;
    if (filter.line_count > UINT32_MAX / 2 / FILTER_LINE_SIZE)
        return lsm_fail(LSM_INVALID, "filter: %" PRIu64 " lines are too many for one block",
                        filter.line_count);
    lines_size = (size_t)filter.line_count * FILTER_LINE_SIZE;
    buf_clear(out);
    TRY(buf_reserve(out, lines_size + FILTER_TAIL_SIZE));
    memset(out->data, 0, lines_size);
    filter.lines = out->data;
    for (size_t i = 0; probes > 0 && i < b->count; i++) {
        uint64_t state = b->hashes[i];
        uint8_t *line = (uint8_t *)out->data + (filter_line(&filter, state) - filter.lines);

        for (uint32_t p = 0; p < probes; p++) {
            uint32_t bit = next_bit(&state);

            line[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    }
    tail = (uint8_t *)out->data + lines_size;
    put_u64(tail, b->count);
    put_u32(tail + 8, probes);
    put_u32(tail + 12, 0);
    out->size = lines_size + FILTER_TAIL_SIZE;
    return LSM_OK;
}

lsm_status filter_open(lsm_slice bytes, struct filter *out)
{
    struct filter f = {.lines = bytes.data};
    const uint8_t *tail;

    if (bytes.size < FILTER_TAIL_SIZE || (bytes.size - FILTER_TAIL_SIZE) % FILTER_LINE_SIZE != 0)
        return lsm_fail(LSM_CORRUPT, "malformed filter: %zu bytes", bytes.size);
    f.line_count = (bytes.size - FILTER_TAIL_SIZE) / FILTER_LINE_SIZE;
    tail = f.lines + bytes.size - FILTER_TAIL_SIZE;
    f.key_count = get_u64(tail);
    f.probes = get_u32(tail + 8);
    if ((f.probes == 0) != (f.line_count == 0) || f.probes > FILTER_PROBES_MAX ||
        get_u32(tail + 12) != 0)
        return lsm_fail(LSM_CORRUPT, "malformed filter: %u probes", f.probes);
    *out = f;
    return LSM_OK;
}

bool filter_may_contain(const struct filter *filter, uint64_t hash)
{
    const uint8_t *line = filter_line(filter, hash);
    uint64_t state = hash;
    unsigned all = 1;

    // No early way out: a miss mostly shows at the first or second probe, but
    // which one is a coin toss, and the line is here already.
    for (uint32_t p = 0; p < filter->probes; p++) {
        uint32_t bit = next_bit(&state);

        all &= (unsigned)line[bit / 8] >> bit % 8;
    }
    if (PLANTED(FILTER_LOSES_KEYS) && hash % 64 == 0)
        return false;
    return all & 1;
}

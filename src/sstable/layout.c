#include "sstable/layout.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/plant.h"

static const uint8_t footer_magic[8] = "lsm-tab\n";

#define FOOTER_CRC_AT  60
#define TRAILER_CRC_AT 21

struct trailer {
    uint8_t codec;
    uint32_t raw_size;
};

// The checksum of what identifies a place in a file.
static uint32_t seed_of(const struct uuid *uuid, uint64_t offset)
{
    uint8_t seed[UUID_SIZE + sizeof offset];

    memcpy(seed, uuid->bytes, UUID_SIZE);
    put_u64(seed + UUID_SIZE, offset);
    return crc32c(0, seed, sizeof seed);
}

static uint32_t block_crc(const struct uuid *uuid, uint64_t offset, lsm_slice stored,
                          const uint8_t *trailer)
{
    uint32_t crc = crc32c(seed_of(uuid, offset), stored.data, stored.size);

    return crc32c(crc, trailer, TRAILER_CRC_AT);
}

void layout_trailer_encode(const struct uuid *uuid, uint64_t offset, lsm_slice stored,
                           enum block_codec codec, uint32_t raw_size, uint8_t *to)
{
    memset(to, 0, LAYOUT_TRAILER_SIZE);
    to[0] = (uint8_t)codec;
    put_u32(to + 1, raw_size);
    put_u32(to + TRAILER_CRC_AT, block_crc(uuid, offset, stored, to));
}

static lsm_status trailer_decode(const struct layout_read *read, lsm_slice stored,
                                 const uint8_t *from, struct trailer *out)
{
    static const uint8_t no_tag[16];
    struct trailer t = {.codec = from[0], .raw_size = get_u32(from + 1)};

    if (get_u32(from + TRAILER_CRC_AT) != block_crc(read->uuid, read->place.offset, stored, from) &&
        !PLANTED(SKIP_BLOCK_CRC))
        return lsm_fail(LSM_CORRUPT, "%s: checksum mismatch of the block at offset %" PRIu64,
                        read->file->name, read->place.offset);
    if (t.codec > CODEC_ZSTD || memcmp(from + 5, no_tag, sizeof no_tag) != 0)
        return lsm_fail(LSM_UNSUPPORTED, "%s: block at offset %" PRIu64 " has unknown codec %u",
                        read->file->name, read->place.offset, t.codec);
    if (t.raw_size > read->raw_max || (t.codec == CODEC_NONE && t.raw_size != stored.size))
        return lsm_fail(LSM_CORRUPT,
                        "%s: block at offset %" PRIu64 " of %zu bytes claims %" PRIu32 " bytes",
                        read->file->name, read->place.offset, stored.size, t.raw_size);
    *out = t;
    return LSM_OK;
}

struct block_place layout_place_between(uint64_t offset, uint64_t end)
{
    assert(end - offset >= LAYOUT_TRAILER_SIZE);
    return (struct block_place){.offset = offset,
                                .size = (uint32_t)(end - offset - LAYOUT_TRAILER_SIZE)};
}

void layout_footer_encode(const struct uuid *uuid, const struct footer *footer, uint8_t *to)
{
    memset(to, 0, LAYOUT_FOOTER_SIZE);
    memcpy(to, footer_magic, sizeof footer_magic);
    put_u64(to + 8, footer->filter_offset);
    put_u64(to + 16, footer->references_offset);
    put_u64(to + 24, footer->properties_offset);
    put_u64(to + 32, footer->index_offset);
    put_u64(to + 40, footer->entry_count);
    put_u64(to + 48, footer->block_count);
    put_u32(to + FOOTER_CRC_AT, crc32c(seed_of(uuid, footer->offset), to, FOOTER_CRC_AT));
}

static bool part_has_room(uint64_t offset, uint64_t end)
{
    return end > offset && end - offset > LAYOUT_TRAILER_SIZE && end - offset <= UINT32_MAX;
}

static bool footer_is_consistent(const struct footer *f)
{
    return f->filter_offset > FILE_HEADER_SIZE + LAYOUT_TRAILER_SIZE &&
           part_has_room(f->filter_offset, f->references_offset) &&
           part_has_room(f->references_offset, f->properties_offset) &&
           part_has_room(f->properties_offset, f->index_offset) &&
           part_has_room(f->index_offset, f->offset) && f->block_count > 0 &&
           f->entry_count >= f->block_count;
}

lsm_status layout_footer_read(struct file *file, uint64_t file_size, const struct uuid *uuid,
                              struct footer *out)
{
    uint8_t bytes[LAYOUT_FOOTER_SIZE];
    struct footer f;

    if (file_size < FILE_HEADER_SIZE + LAYOUT_FOOTER_SIZE)
        return lsm_fail(LSM_CORRUPT, "%s: %" PRIu64 " bytes are too few for a table", file->name,
                        file_size);
    f.offset = file_size - LAYOUT_FOOTER_SIZE;
    TRY(file_read_exact(file, f.offset, bytes, sizeof bytes));
    if (memcmp(bytes, footer_magic, sizeof footer_magic) != 0 || get_u32(bytes + 56) != 0 ||
        get_u32(bytes + FOOTER_CRC_AT) != crc32c(seed_of(uuid, f.offset), bytes, FOOTER_CRC_AT))
        return lsm_fail(LSM_CORRUPT, "%s: no valid footer at offset %" PRIu64, file->name,
                        f.offset);
    f.filter_offset = get_u64(bytes + 8);
    f.references_offset = get_u64(bytes + 16);
    f.properties_offset = get_u64(bytes + 24);
    f.index_offset = get_u64(bytes + 32);
    f.entry_count = get_u64(bytes + 40);
    f.block_count = get_u64(bytes + 48);
    if (!footer_is_consistent(&f))
        return lsm_fail(LSM_CORRUPT, "%s: footer at offset %" PRIu64 " is inconsistent", file->name,
                        f.offset);
    *out = f;
    return LSM_OK;
}

static lsm_status fail_no_memory(const struct layout_read *read, size_t size)
{
    return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes for the block at offset %" PRIu64,
                    read->file->name, size, read->place.offset);
}

static lsm_status decompress_block(const struct layout_read *read, lsm_slice stored,
                                   uint32_t raw_size, struct block **out)
{
    CLEANUP(block_unrefp) struct block *raw = block_new(raw_size);
    lsm_status status;

    if (raw == NULL)
        return fail_no_memory(read, raw_size);
    status = decompress(read->decompressors, stored, raw->bytes, raw_size);
    if (status == LSM_CORRUPT)
        return lsm_fail(LSM_CORRUPT, "%s: block at offset %" PRIu64 ": %s", read->file->name,
                        read->place.offset, lsm_errmsg());
    TRY(status);
    *out = MOVE(raw);
    return LSM_OK;
}

lsm_status layout_block_read(const struct layout_read *read, struct block **out)
{
    CLEANUP(block_unrefp) struct block *stored = block_new(read->place.size);
    struct trailer trailer;
    lsm_slice bytes;

    if (stored == NULL)
        return fail_no_memory(read, read->place.size);
    TRY(file_read_exact(read->file, read->place.offset, stored->bytes,
                        (size_t)read->place.size + LAYOUT_TRAILER_SIZE));
    bytes = slice_make(stored->bytes, read->place.size);
    TRY(trailer_decode(read, bytes, stored->bytes + read->place.size, &trailer));
    if (trailer.codec == CODEC_ZSTD)
        return decompress_block(read, bytes, trailer.raw_size, out);
    *out = MOVE(stored);
    return LSM_OK;
}

// --- without an index ---

// Bytes read at first; most blocks are smaller.
#define SEARCH_SIZE_MIN ((size_t)64 << 10)

// A stretch of a file from a block's start, as far as it has been searched.
struct block_search {
    lsm_buf bytes;
    size_t size;   // of the stored bytes that the next candidate has
    size_t summed; // of them in `crc`
    uint32_t crc;
};

static void block_search_release(struct block_search *search)
{
    lsm_buf_free(&search->bytes);
}

// Where in a trailer the tag lies.
#define TRAILER_TAG_AT 5
#define TAG_SIZE       16

// The first place from `from` on in `bytes` that looks like a trailer: known codec, a size, an
// empty tag. `bytes.size` when there is none.
static size_t find_trailer(lsm_slice bytes, size_t from)
{
    static const uint8_t no_tag[TAG_SIZE];
    const uint8_t *start = bytes.data;

    while (from + LAYOUT_TRAILER_SIZE <= bytes.size) {
        const size_t tag_at = from + TRAILER_TAG_AT;
        const uint8_t *tag =
            memmem(start + tag_at, bytes.size - tag_at - sizeof(uint32_t), no_tag, sizeof no_tag);

        if (tag == NULL)
            return bytes.size;
        from = (size_t)(tag - start) - TRAILER_TAG_AT;
        if (start[from] <= CODEC_ZSTD && get_u32(start + from + 1) != 0)
            return from;
        from++;
    }
    return bytes.size;
}

// Whether the trailer behind the first `size` bytes is theirs.
static bool is_trailer(struct block_search *search)
{
    const uint8_t *bytes = search->bytes.data;
    const uint8_t *trailer = bytes + search->size;

    search->crc = crc32c(search->crc, bytes + search->summed, search->size - search->summed);
    search->summed = search->size;
    return get_u32(trailer + TRAILER_CRC_AT) == crc32c(search->crc, trailer, TRAILER_CRC_AT);
}

// Whether a block ends in the bytes read so far; `search->size` is then its size, else where to
// go on once there are more.
static bool search_bytes(struct block_search *search)
{
    const lsm_slice bytes = slice_of_buf(&search->bytes);
    size_t at = search->size;

    while ((at = find_trailer(bytes, at)) < bytes.size) {
        search->size = at;
        if (is_trailer(search))
            return true;
        at++;
    }
    if (bytes.size >= search->size + LAYOUT_TRAILER_SIZE)
        search->size = bytes.size - LAYOUT_TRAILER_SIZE + 1;
    return false;
}

lsm_status layout_block_search(struct file *file, const struct uuid *uuid, uint64_t offset,
                               uint64_t end, uint32_t size_max, struct block_place *out)
{
    CLEANUP(block_search_release)
    struct block_search search = {.size = 1, .crc = seed_of(uuid, offset)};
    const uint64_t limit = (uint64_t)size_max + LAYOUT_TRAILER_SIZE;
    const uint64_t left = end > offset ? end - offset : 0;
    const size_t all = (size_t)(left < limit ? left : limit);
    size_t wanted = SEARCH_SIZE_MIN;

    for (;; wanted *= 2) {
        const size_t had = search.bytes.size;

        if (wanted > all)
            wanted = all;
        TRY(buf_reserve(&search.bytes, wanted));
        TRY(file_read_exact(file, offset + had, (uint8_t *)search.bytes.data + had, wanted - had));
        search.bytes.size = wanted;
        if (search_bytes(&search)) {
            *out = (struct block_place){.offset = offset, .size = (uint32_t)search.size};
            return LSM_OK;
        }
        if (wanted == all)
            return LSM_NOT_FOUND;
    }
}

lsm_status layout_trailer_search(struct file *file, uint64_t offset, uint64_t end, uint64_t *out)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;

    // A trailer ends behind `offset`, so the first one looked at ends right there.
    for (uint64_t at = offset + 1 > LAYOUT_TRAILER_SIZE ? offset + 1 - LAYOUT_TRAILER_SIZE : 0;
         at + LAYOUT_TRAILER_SIZE <= end; at += SEARCH_SIZE_MIN - LAYOUT_TRAILER_SIZE + 1) {
        const uint64_t left = end - at;
        const size_t size = left < SEARCH_SIZE_MIN ? (size_t)left : SEARCH_SIZE_MIN;
        size_t found;

        TRY(buf_reserve(&bytes, size));
        TRY(file_read_exact(file, at, bytes.data, size));
        bytes.size = size;
        found = find_trailer(slice_of_buf(&bytes), 0);
        if (found < size) {
            *out = at + found + LAYOUT_TRAILER_SIZE;
            return LSM_OK;
        }
    }
    *out = end;
    return LSM_OK;
}

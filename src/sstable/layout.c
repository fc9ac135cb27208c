#include "sstable/layout.h"

#include <inttypes.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "base/plant.h"

static const uint8_t footer_magic[8] = "lsm-tab\n";

#define FOOTER_CRC_AT 60

struct trailer {
    uint8_t codec;
    uint32_t raw_size;
};

uint32_t layout_place_crc(const struct uuid *uuid, uint64_t offset)
{
    uint8_t seed[UUID_SIZE + sizeof offset];

    memcpy(seed, uuid->bytes, UUID_SIZE);
    put_u64(seed + UUID_SIZE, offset);
    return crc32c(0, seed, sizeof seed);
}

static uint32_t block_crc(const struct uuid *uuid, uint64_t offset, lsm_slice stored,
                          const uint8_t *trailer)
{
    uint32_t crc = crc32c(layout_place_crc(uuid, offset), stored.data, stored.size);

    return crc32c(crc, trailer, LAYOUT_TRAILER_CRC_AT);
}

void layout_trailer_encode(const struct uuid *uuid, uint64_t offset, lsm_slice stored,
                           enum block_codec codec, uint32_t raw_size, uint8_t *to)
{
    memset(to, 0, LAYOUT_TRAILER_SIZE);
    to[0] = (uint8_t)codec;
    put_u32(to + 1, raw_size);
    put_u32(to + LAYOUT_TRAILER_CRC_AT, block_crc(uuid, offset, stored, to));
}

static lsm_status trailer_decode(const struct layout_read *read, lsm_slice stored,
                                 const uint8_t *from, struct trailer *out)
{
    static const uint8_t no_tag[LAYOUT_TAG_SIZE];
    struct trailer t = {.codec = from[0], .raw_size = get_u32(from + 1)};

    if (get_u32(from + LAYOUT_TRAILER_CRC_AT) !=
            block_crc(read->uuid, read->place.offset, stored, from) &&
        !PLANTED(SKIP_BLOCK_CRC))
        return lsm_fail(LSM_CORRUPT, "%s: checksum mismatch of the block at offset %" PRIu64,
                        read->file->name, read->place.offset);
    if (t.codec > CODEC_ZSTD || memcmp(from + LAYOUT_TRAILER_TAG_AT, no_tag, sizeof no_tag) != 0)
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
    put_u32(to + FOOTER_CRC_AT, crc32c(layout_place_crc(uuid, footer->offset), to, FOOTER_CRC_AT));
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
        get_u32(bytes + FOOTER_CRC_AT) !=
            crc32c(layout_place_crc(uuid, f.offset), bytes, FOOTER_CRC_AT))
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

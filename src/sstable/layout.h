// layout.h -- where the parts of a table file lie, and how each is checked.
//
//   file header (base/file_header.h)
//   data blocks, one behind the other
//   filter block
//   reference block
//   properties block
//   index block
//   footer
//
// There are no gaps: the end of each part is the start of the next, and every
// byte is covered by a checksum. A block is its stored bytes and a trailer:
//
//   offset size
//        0    1  codec (enum block_codec)
//        1    4  size of the block's bytes before compression
//        5   16  zero (room for an authentication tag)
//       21    4  CRC32C
//
// The checksum is over file uuid, offset of the block in the file (u64), stored
// bytes and the trailer before it: a block in the wrong place does not verify.
//
// The footer:
//
//   offset size
//        0    8  magic "lsm-tab\n"
//        8    8  offset of the filter block
//       16    8  offset of the reference block
//       24    8  offset of the properties block
//       32    8  offset of the index block
//       40    8  entries
//       48    8  data blocks
//       56    4  zero
//       60    4  CRC32C of file uuid, offset of the footer (u64), bytes 0 to 59

#ifndef LSM_SSTABLE_LAYOUT_H
#define LSM_SSTABLE_LAYOUT_H

#include <assert.h>

#include "base/file_header.h"
#include "env/env.h"
#include "sstable/cache.h"
#include "sstable/compress.h"

#define LAYOUT_TRAILER_SIZE   25
#define LAYOUT_TRAILER_TAG_AT 5
#define LAYOUT_TRAILER_CRC_AT 21
#define LAYOUT_TAG_SIZE       16
#define LAYOUT_FOOTER_SIZE    64

#define LAYOUT_KEY_SIZE_MAX   65535
#define LAYOUT_VALUE_SIZE_MAX 65536
#define LAYOUT_BLOCK_SIZE_MAX (16u * 1024 * 1024) // of the option
// Of an entry in a block beside its key and value, with what it adds to others'.
#define LAYOUT_ENTRY_OVERHEAD_MAX 64
// What a data block may have before compression: one entry beyond the option.
#define LAYOUT_DATA_RAW_MAX (LAYOUT_BLOCK_SIZE_MAX + 256u * 1024)

// What the reference block may have before compression, where it is compressed: so many times
// the file in front of it. Entries shrink to less than a byte in no file, and have 10 bytes in
// the block at most.
#define LAYOUT_REFERENCES_RATIO_MAX 64

static_assert(LAYOUT_TRAILER_SIZE <= BLOCK_SLACK, "the trailer is read into the slack");

// Where a block lies: `size` bytes as stored, without the trailer behind them.
struct block_place {
    uint64_t offset;
    uint32_t size;
};

static inline uint64_t block_place_end(const struct block_place *place)
{
    return place->offset + place->size + LAYOUT_TRAILER_SIZE;
}

struct footer {
    uint64_t filter_offset;
    uint64_t references_offset;
    uint64_t properties_offset;
    uint64_t index_offset;
    uint64_t offset; // of the footer itself; not stored
    uint64_t entry_count;
    uint64_t block_count;
};

// The checksum of what identifies a place in a file; those of blocks and of the footer go on
// from it.
uint32_t layout_place_crc(const struct uuid *uuid, uint64_t offset);

// The block between two offsets of a checked footer.
struct block_place layout_place_between(uint64_t offset, uint64_t end);

// Writes LAYOUT_TRAILER_SIZE bytes at `to`, for `stored` at `offset`.
void layout_trailer_encode(const struct uuid *uuid, uint64_t offset, lsm_slice stored,
                           enum block_codec codec, uint32_t raw_size, uint8_t *to);

// Writes LAYOUT_FOOTER_SIZE bytes at `to`.
void layout_footer_encode(const struct uuid *uuid, const struct footer *footer, uint8_t *to);

// Reads and checks the footer of a file of `file_size` bytes: its parts lie in
// order within the file, each with room for a trailer.
lsm_status layout_footer_read(struct file *file, uint64_t file_size, const struct uuid *uuid,
                              struct footer *out);

struct layout_read {
    struct file *file;
    const struct uuid *uuid;
    struct decompressor_pool *decompressors;
    struct block_place place;
    uint64_t raw_max; // bytes before compression, at most
};

// Reads the block at `place`, checks it against its trailer and decompresses it;
// the caller owns one reference. A block of more than `raw_max` bytes is refused
// before memory is taken for it.
lsm_status layout_block_read(const struct layout_read *read, struct block **out);

#endif

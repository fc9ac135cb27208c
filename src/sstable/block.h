// block.h -- finding entries inside a data or index block, without decoding it.
//
// Both kinds of block have one form. Keys in it are *full keys*: the keyspace as
// four bytes, most significant first, and the user key; so they order by memcmp
// across keyspaces, which an index needs. In memory, from a multiple of 8:
//
//   offset size
//        0    4  n, entries
//        4    4  p, size of the prefix that all full keys of the block share
//        8    8  base of the timestamps
//       16    1  w, bytes of a timestamp above the base: 0 to 8
//       17    1  o, bytes of an entry offset: 2 or 4
//       18    6  zero
//       24  8*n  heads: the eight bytes of each full key behind the prefix, as a
//                number whose most significant byte is the first, padded with zeroes
//        .  o*(n+1)  start of each entry from the start of the first; the last one
//                is the end of the block
//        .    p  the prefix
//        .       the entries
//
// An entry is what heads and prefix leave over:
//
//   varint  size of the full key behind the prefix
//   u8      bits 0-2 kind, bit 3 has a user byte, bit 4 expires
//   w bytes timestamp above the base
//   u8      user byte, if bit 3
//   varint  expiry, if bit 4
//   bytes   the key behind its head
//   bytes   the value, up to the start of the next entry
//
// A search is a branch-free binary search over the heads, eight keys to a cache
// line, and a comparison of tails among equal heads. Keys are not contiguous: a
// cursor puts one together from prefix, head and tail, two short copies into a
// buffer where the prefix already lies. Storing keys whole behind the heads
// would save it the eight-byte store per entry and cost eight bytes per entry
// on disk and in the cache, which is the worse trade.
//
// block_check() is called once on what was read; all other functions rely on it.

#ifndef LSM_SSTABLE_BLOCK_H
#define LSM_SSTABLE_BLOCK_H

#include <assert.h>

#include "base/coding.h"
#include "base/ikey.h"

#define BLOCK_HEADER_SIZE   24
#define BLOCK_HEAD_SIZE     8
#define BLOCK_KEYSPACE_SIZE 4 // of a full key

#define BLOCK_KIND_MASK     0x07
#define BLOCK_HAS_USER_BYTE 0x08
#define BLOCK_HAS_EXPIRY    0x10
#define BLOCK_FLAGS_MASK    0x1f

// A checked block opened for searching; borrows its bytes.
struct block_view {
    const uint8_t *heads;
    const uint8_t *offsets;
    const uint8_t *prefix;
    const uint8_t *entries;
    uint64_t ts_base;
    uint64_t ts_mask;
    uint32_t count;
    uint32_t prefix_size;
    uint8_t ts_size;
    bool is_wide; // offsets of four bytes
};

// One entry, with its key still in pieces.
struct block_entry {
    uint64_t head;
    uint64_t ts;
    uint64_t expiry;
    lsm_slice tail; // of the full key, behind prefix and head
    lsm_slice value;
    uint32_t suffix_size; // of the full key, behind the prefix
    uint8_t kind;
    uint8_t user_byte;
};

enum block_kind { BLOCK_DATA, BLOCK_INDEX };

// Whether `bytes`, BLOCK_SLACK readable ones behind them, are a whole block whose
// entries are well-formed and in order; LSM_CORRUPT, without a place, if not.
lsm_status block_check(lsm_slice bytes, enum block_kind kind);

// Opens a checked block.
struct block_view block_view_of(const void *bytes);

// Index of the first entry at or after `target`; the count if there is none.
uint32_t block_lower_bound(const struct block_view *view, const struct ikey *target);

static inline uint64_t block_head_at(const struct block_view *view, uint32_t i)
{
    return get_u64(view->heads + (size_t)i * BLOCK_HEAD_SIZE);
}

static inline uint32_t block_offset_at(const struct block_view *view, uint32_t i)
{
    return view->is_wide ? get_u32(view->offsets + (size_t)i * sizeof(uint32_t))
                         : get_u16(view->offsets + (size_t)i * sizeof(uint16_t));
}

// Decodes entry `i` from its bytes up to `end`. What is read stays within them and
// BLOCK_SLACK, and `tail` and `value` are slices of them only if it returns true.
static inline bool block_entry_decode(const struct block_view *view, uint32_t i, const uint8_t *at,
                                      const uint8_t *end, struct block_entry *out)
{
    struct reader r = {.at = at, .end = end, .is_bad = false};
    uint64_t suffix_size = read_varint64(&r);
    uint8_t flags = read_u8(&r);
    size_t tail_size = suffix_size > BLOCK_HEAD_SIZE ? (size_t)suffix_size - BLOCK_HEAD_SIZE : 0;

    // A whole word, of which only w bytes belong to the timestamp.
    out->ts = view->ts_base + (get_u64(r.at) & view->ts_mask);
    (void)read_bytes(&r, view->ts_size);
    out->user_byte = 0;
    out->expiry = 0;
    if (UNLIKELY(flags & (BLOCK_HAS_USER_BYTE | BLOCK_HAS_EXPIRY))) {
        if (flags & BLOCK_HAS_USER_BYTE)
            out->user_byte = read_u8(&r);
        if (flags & BLOCK_HAS_EXPIRY)
            out->expiry = read_varint64(&r);
    }
    out->head = block_head_at(view, i);
    out->suffix_size = (uint32_t)suffix_size;
    out->kind = flags & BLOCK_KIND_MASK;
    out->tail = read_bytes(&r, tail_size);
    out->value = slice_make(r.at, reader_left(&r));
    return reader_ok(&r) && suffix_size <= UINT32_MAX && (flags & ~BLOCK_FLAGS_MASK) == 0;
}

// Decodes entry `i`, which is below the count.
static inline void block_entry_at(const struct block_view *view, uint32_t i,
                                  struct block_entry *out)
{
    bool is_good;

    assert(i < view->count);
    is_good = block_entry_decode(view, i, view->entries + block_offset_at(view, i),
                                 view->entries + block_offset_at(view, i + 1), out);
    assert(is_good);
    if (!is_good)
        __builtin_unreachable(); // block_check() has seen to it
}

// Whether entry `e` of the block is a version of `key`.
bool block_entry_has_key(const struct block_view *view, const struct block_entry *e,
                         const struct ikey *key);

// Size of the full key of an entry.
static inline size_t block_key_size(const struct block_view *view, const struct block_entry *e)
{
    return view->prefix_size + e->suffix_size;
}

// Completes in `key` the full key of `e`: the prefix lies there already, and there
// is room for eight bytes more than the key.
static inline void block_key_complete(const struct block_view *view, const struct block_entry *e,
                                      uint8_t *key)
{
    uint8_t *suffix = key + view->prefix_size;
    uint64_t head = e->head;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    head = __builtin_bswap64(head);
#endif
    memcpy(suffix, &head, sizeof head);
    if (e->tail.size != 0) // in a block of keys side by side the head is mostly all
        memcpy(suffix + sizeof head, e->tail.data, e->tail.size);
}

// Room for any full key and what block_key_complete() writes behind it.
#define BLOCK_KEY_ROOM_MAX (BLOCK_KEYSPACE_SIZE + UINT16_MAX + sizeof(uint64_t))

// Entry `i` as a whole; its full key is put together in `key`, which has
// BLOCK_KEY_ROOM_MAX bytes, and its slices borrow from there and from the block.
struct entry block_assemble(const struct block_view *view, uint32_t i, uint8_t *key);

// Writes what a full key of `keyspace` starts with.
static inline void block_put_keyspace(uint8_t *to, uint32_t keyspace)
{
    for (size_t i = 0; i < BLOCK_KEYSPACE_SIZE; i++)
        to[i] = (uint8_t)(keyspace >> (24 - 8 * i));
}

// The keyspace of a full key.
static inline uint32_t block_keyspace_of(const uint8_t *key)
{
    return (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
}

#endif

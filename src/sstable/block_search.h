// block_search.h -- the blocks of a table whose index is lost, found by their trailers.
//
// Where the bytes before a block are damaged nothing tells where it starts, and a trailer, five
// bytes before sixteen zero ones, may seem to be anywhere: every start would have to be tried
// with every end. A checksum only adds, though. With P(i) the sum of all bytes before i, that of
// a block from s to its trailer's checksum at e is
//
//     shift(place(s) ^ P(s), e - s) ^ P(e)
//
// and it is the one stored there exactly if
//
//     shift(place(s) ^ P(s), end - s) == shift(stored(e) ^ P(e), end - e)
//
// so that each place is summed up once, and starts are found by that number.

#ifndef LSM_SSTABLE_BLOCK_SEARCH_H
#define LSM_SSTABLE_BLOCK_SEARCH_H

#include "sstable/layout.h"

struct block_search {
    // Set by the caller, the rest zero.
    struct file *file;
    struct uuid uuid;  // of the file
    uint64_t end;      // no block reaches behind it
    uint32_t size_max; // of the stored bytes of a block

    lsm_buf window; // the bytes from `window_at` on
    uint64_t window_at;
    struct block_start *starts;
    uint64_t from; // where the search began
    uint64_t at;   // how far it is
    uint32_t sum;  // of the bytes between the two

    uint64_t bytes_read; // the work so far, for tests
    uint64_t candidates; // places that looked like trailers
};

void block_search_release(struct block_search *search);

// The block that ends first of those that verify and start at `from` or behind it, where a block
// or a trailer that does not verify has ended; `*found` is false when there is none.
// Call it with increasing offsets.
lsm_status block_search_next(struct block_search *search, uint64_t from, bool *found,
                             struct block_place *out);

#endif

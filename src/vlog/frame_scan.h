// frame_scan.h -- reading the frames of one segment file.
//
// Recovery and lsmctl walk segments with it. One thread at a time; it reads through
// a window, so that small frames do not cost a read each.

#ifndef LSM_VLOG_FRAME_SCAN_H
#define LSM_VLOG_FRAME_SCAN_H

#include "base/file_header.h"
#include "env/env.h"
#include "vlog/frame.h"

struct frame_scan {
    struct file *file;
    struct file_header header;
    uint64_t limit; // no frame reaches behind this; the file's size, or set lower

    lsm_buf window; // the bytes from `window_at` on
    uint64_t window_at;
    lsm_buf record; // the one being verified

    uint64_t bytes_summed; // of bodies, so far; for tests
};

// Opens a file of the directory and reads its header, which must be a segment's.
// LSM_CORRUPT when it is not, or is not there. On failure there is nothing to close.
lsm_status frame_scan_open(struct dir *dir, const char *name, struct frame_scan *out);
// The same with what the header must have said, when it is known from elsewhere: the file's is
// not read. A frame that verifies proves it.
lsm_status frame_scan_open_as(struct dir *dir, const char *name, const struct file_header *header,
                              struct frame_scan *out);
void frame_scan_close(struct frame_scan *scan);

// Whether a file whose header does not verify is a segment all the same, by a frame that
// verifies with the uuid that the header seems to tell. Frames are written when the header
// has been synced: what a crash has torn has none.
lsm_status frame_scan_is_damaged(struct dir *dir, const char *name, bool *out);

// The frame at `offset`. `*verifies` is false when what is there does not verify as one: its
// header, its entries and, with `verify_values`, its records. `entries` live until the next
// call. A failure to read is no verdict: it is returned.
lsm_status frame_scan_at(struct frame_scan *scan, uint64_t offset, bool verify_values,
                         bool *verifies, struct frame_header *header, lsm_slice *entries);

// The first offset from `from` on at which a frame's header verifies, whatever became
// of its body; `*found` is false when there is none.
lsm_status frame_scan_find(struct frame_scan *scan, uint64_t from, bool *found, uint64_t *at,
                           struct frame_header *header);

// Where the zeroes begin that the file ends with, but not below `from`.
lsm_status frame_scan_used(struct frame_scan *scan, uint64_t from, uint64_t *end);

// Reads `size` bytes at `offset`, past the window.
lsm_status frame_scan_read(struct frame_scan *scan, uint64_t offset, void *to, size_t size);

#endif

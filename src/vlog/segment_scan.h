// segment_scan.h -- one segment file as it is, with no help from a manifest: for those who
// look at damage.

#ifndef LSM_VLOG_SEGMENT_SCAN_H
#define LSM_VLOG_SEGMENT_SCAN_H

#include "vlog/frame_scan.h"

// Called for each thing found in a segment file from its start; `header` is NULL
// for a stretch [offset, offset + size) that does not verify as a frame.
typedef lsm_status (*segment_scan_fn)(void *ctx, uint64_t offset, uint64_t size,
                                      const struct frame_header *header, lsm_slice entries);

// Walks one segment file by name; goes on behind stretches that do not verify, and stops
// where only zeroes are left (room not used yet). `verify_values` also checks every
// record, and reports a frame with a bad one as not verifying.
lsm_status segment_scan(struct dir *dir, const char *name, bool verify_values, segment_scan_fn fn,
                        void *ctx);
// The same over a file that is open, up to the scan's limit.
lsm_status segment_scan_open(struct frame_scan *scan, bool verify_values, segment_scan_fn fn,
                             void *ctx);

#endif

// log_internal.h -- the struct behind log.h, for the two halves of the log: log.c is the
// writer's, log_sync.c is everyone's.

#ifndef LSM_VLOG_LOG_INTERNAL_H
#define LSM_VLOG_LOG_INTERNAL_H

#include "vlog/chain.h"

struct log {
    struct segment_store *store; // immutable
    struct eventlog *events;     // immutable

    struct chain chain; // has a mutex of its own

    // The rest is the writer role's; nobody else looks at it.
    struct segment *active; // the last of the chain, borrowed from it
    uint64_t end;           // of its last frame
    uint64_t allocated;     // of the active segment: its capacity, or less once it was trimmed
    uint64_t pushed;        // written back to the device up to here
    uint64_t value_bytes;   // of separated values in the active segment, at most
    bool is_abandoned;      // a write failed: the active segment takes no more frames
    uint64_t next_sequence;
    uint64_t last_ts;
    uint64_t last_wall_ns;
    lsm_slice *parts; // of the append in progress; kept for its memory
    size_t part_capacity;
};

// Makes a segment of `size` bytes that can be linked: its directory entry is durable. A
// failed sync of the directory may have lost entries that others rely on: poison.
lsm_status log_prepare_segment(struct log *log, uint64_t size, struct segment **out);

// Gives up a segment that no frame names: it is not log. NULL is nothing.
void log_discard_segment(struct segment *segment);

#endif

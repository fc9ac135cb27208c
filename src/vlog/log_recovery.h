// log_recovery.h -- what of the log survived, decided by reading only.
//
// docs/design.md, "Recovery": walks the chain from the
// replay position, finds the highest durable mark M, tells a torn tail from
// damage, hands over the frames in order, and copies those above M into a restart
// segment.

#ifndef LSM_VLOG_LOG_RECOVERY_H
#define LSM_VLOG_LOG_RECOVERY_H

#include "vlog/log.h"

struct log_recovery_input {
    const struct log_link *chain; // as the manifest names it, oldest first
    size_t chain_count;
    struct log_position replay; // in a segment of the chain
    struct log_position mark;   // the highest the manifest knows
    uint64_t edit_number;       // of the manifest's last edit
    uint64_t last_ts;           // of the manifest
    bool is_clean;              // the manifest was closed cleanly: `mark` is the exact end
};

// A commit that survived, in log order. `position` is where it lies now (in the
// restart segment for a copied one), `segment` the file; the entries are verified.
typedef lsm_status (*log_frame_fn)(void *ctx, const struct frame_header *header,
                                   struct log_position position, struct segment *segment,
                                   lsm_slice entries);

struct log_recovery;

// Steps 2 and 3: reads, decides, changes nothing. LSM_CORRUPT with file and offset
// when bytes below M do not verify.
lsm_status log_recovery_walk(struct segment_store *store, const struct log_recovery_input *input,
                             struct log_recovery **out);
void log_recovery_free(struct log_recovery *recovery);

struct log_found {
    struct log_position mark; // M
    struct log_position end;  // of the last frame that verifies in one piece, >= M
    uint64_t frame_count;     // from the replay position on
    uint64_t copied_bytes;    // of frames above M
    uint64_t torn_bytes;      // behind `end`, dropped: not known to be durable
    uint64_t last_sequence;
    uint64_t last_ts; // of frames or of the manifest
    // What the system's clock said at commits, true or not; 0: there is no frame that tells.
    uint64_t last_wall_ns; // at the last one
    uint64_t low_wall_ns;  // the lowest since the manifest's last edit
    uint32_t id_max; // of all segments in the directory
};

const struct log_found *log_recovery_found(const struct log_recovery *recovery);

// Step 4: creates the restart segment with id `id`, copies the frames above M into
// it with their mark set to M and the edit number of the manifest, and syncs it
// with its directory entry. `*out` is the segment, one reference; `*end` its end.
lsm_status log_recovery_restart(struct log_recovery *recovery, uint32_t id, uint64_t size,
                                struct segment **out, uint64_t *end);

// Hands over every surviving commit from the replay position on: those below M
// where they lie, those above from the restart segment (which must exist when
// there are any, unless `read_only`, which hands them over where they lie).
lsm_status log_recovery_replay(struct log_recovery *recovery, bool read_only, log_frame_fn fn,
                               void *ctx);

// The old segments that are still log, with their final lengths (M's segment ends
// at M), oldest first; the arrays are the recovery's.
void log_recovery_chain(const struct log_recovery *recovery, const struct log_link **links,
                        struct segment *const **segments, size_t *count);

#endif

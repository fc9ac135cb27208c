// log_walk.h -- the frames of the log as they follow one another, and the highest mark
// that any of them tells.
//
// From the replay position along the manifest's chain, then along links, to the first
// place where nothing verifies or what verifies is not the next frame. What that end
// means is for log_recovery.c to judge. The walk verifies headers and entries; the bytes
// of separated values are stepped over.
//
// All marks are true, whatever became of the frames that carry them, since a mark is
// written after the sync it tells of. So every header that verifies counts, also behind
// the end, and in every later segment.

#ifndef LSM_VLOG_LOG_WALK_H
#define LSM_VLOG_LOG_WALK_H

#include "vlog/frame_scan.h"
#include "vlog/log_recovery.h"

// A segment of the chain as found.
struct walked {
    struct log_link link;    // `final_size` is where its last frame ends
    struct segment *segment; // a reference
    uint64_t start;          // of its first frame at or behind the replay position
    uint64_t file_size;
};

// One thread at a time.
struct log_walk {
    struct segment_store *store;
    struct log_recovery_input input; // its chain is borrowed, for log_walk_run()
    uint32_t *ids;                   // of the segments in the directory, ascending
    size_t id_count;
    size_t id_capacity;

    struct log_position limit; // the log ends before it, whatever lies there

    struct walked *segments; // from the replay position on, in order
    size_t count;            // at least 1 after log_walk_run()
    size_t capacity;
    uint64_t frame_ts;      // of the frame walked last
    struct log_found found; // all but `copied_bytes`
};

// Lists the segments there are; no limit. After a failure it is still to be released.
lsm_status log_walk_init(struct log_walk *walk, struct segment_store *store,
                         const struct log_recovery_input *input);
void log_walk_release(struct log_walk *walk);

// Walks, anew each time. LSM_CORRUPT when what the chain names is not as it says.
lsm_status log_walk_run(struct log_walk *walk);

// Opens a segment that the log names: whatever is wrong with it is damage.
lsm_status log_walk_open(const struct log_walk *walk, const struct log_link *link,
                         struct frame_scan *out);

// Where the frames of `w` begin that lie at the mark or behind it; its end when there are
// none.
uint64_t log_walk_above_mark(const struct log_walk *walk, const struct walked *w);

// Calls `visit` for each frame of [from, to) of a segment; they are known to verify.
typedef lsm_status (*log_walk_fn)(void *ctx, struct frame_scan *scan, uint64_t at,
                                  const struct frame_header *header, lsm_slice entries);
lsm_status log_walk_visit(const struct log_walk *walk, const struct log_link *link, uint64_t from,
                          uint64_t to, log_walk_fn visit, void *ctx);

#endif

// log.h -- the write-ahead log: a chain of segments, the last of which grows.
//
// One thread at a time, the holder of the writer role, calls the functions marked
// [role]. Syncing, preparing and sealing may be called from any thread.
//
//     prepared ---link frame---> active ---next link---> sealed ---flush---> left
//
// Life of a segment, errors and their classes: docs/design.md, "The log".

#ifndef LSM_VLOG_LOG_H
#define LSM_VLOG_LOG_H

#include "env/eventlog.h"
#include "vlog/segment.h"

struct log;

// One segment of the chain as the manifest names it.
struct log_link {
    uint32_t id;
    struct uuid uuid;
    uint64_t final_size; // 0: still growing, or not known yet
};

// Where appending goes on: in the restart segment that recovery has made, synced
// and had named by the manifest. The log takes over the caller's reference.
struct log_start {
    struct segment *active;
    uint64_t end; // of its last frame
    uint64_t next_sequence;
    uint64_t last_ts;
    uint32_t next_segment_id;              // above every id seen
    const struct log_link *chain;          // older segments that are still log, oldest first
    struct segment *const *chain_segments; // a reference each is taken
    size_t chain_count;
};

lsm_status log_new(struct segment_store *store, struct eventlog *events,
                   const struct log_start *start, struct log **out);
// No thread uses the log any more. Files stay as they are. NULL is nothing.
void log_free(struct log *log);

// Size new segments are prepared with, in bytes; larger for a larger frame.
void log_set_segment_size(struct log *log, uint64_t size);

// [role] Makes sure that the next log_append() of `bytes` bytes of frames, in one
// call, has room: moves on to the prepared segment (or one made here) when the
// active one is too full, writing its link. Soft failures (LSM_NO_SPACE, LSM_BUSY,
// LSM_NO_MEMORY) leave everything usable.
lsm_status log_reserve(struct log *log, uint64_t bytes, uint64_t edit_number);

// [role] When nothing has been written for a while: gives back what is allocated ahead.
// Moves on to a segment of `size` bytes from a larger one with few separated values in
// it, which goes when its memtable is flushed; otherwise cuts the active segment to
// what is used, until it is appended to again. A failure is soft.
lsm_status log_settle(struct log *log, uint64_t size, uint64_t edit_number);

// [role] Appends finished frames, at least one, with one write, in order, stamping sequence,
// mark and `edit_number`; `ts` ascends. Room has been reserved. When the write
// fails, the segment is cut back to its last good end and abandoned before the
// error is returned, or found to hold nothing of it, or the poison is set: the
// sequence numbers are used again, the frames are not in the log. Sets each frame's position.
lsm_status log_append(struct log *log, struct commit_frame *const *frames, size_t count,
                      uint64_t edit_number);

// [role] The segment that the last append went to, borrowed.
struct segment *log_active(struct log *log);

// The end of the log: where the next frame will be, if it stays in this segment.
struct log_position log_end(const struct log *log);

// Makes everything below `to` durable, oldest segment first. A failed sync sets the
// poison before any other sync of that segment can succeed. Any thread.
lsm_status log_sync(struct log *log, struct log_position to);

// The contiguous end of what has been written completely and synced. Any thread.
struct log_position log_mark(const struct log *log);

// Starts writing out what is dirty when more than 1 MiB has gathered; never waits.
// [role]
void log_writeback(struct log *log);

// Whether a segment should be prepared, or a left one cut to its length: work for
// log_upkeep(). Any thread.
bool log_needs_upkeep(const struct log *log);

// Cuts a segment that an earlier process has written to its end, `size`, which a manifest
// states. Failing loses room and nothing else: it is told in the event log only.
void log_cut_found(struct eventlog *events, struct segment *segment, uint64_t size);

// Prepares the next segment (allocated, header and directory entry synced) and
// seals those moved on from (truncated to their end). Those found by recovery are cut to
// their end, too, which is in the manifest by now. A failure to prepare is
// soft. Any thread but the role's, one at a time.
lsm_status log_upkeep(struct log *log);

// The chain from the segment of `from` on, oldest first, with final sizes for all
// but the last; and, in `*segments`, the segments themselves, borrowed until
// log_release(). Every segment but the last is sealed and synced when this
// returns. Any thread. The arrays are the caller's (mem_free).
lsm_status log_chain(struct log *log, struct log_position from, struct log_link **links,
                     struct segment ***segments, size_t *count);

// The whole chain, released segments excluded.
lsm_status log_chain_all(struct log *log, struct log_link **links, struct segment ***segments,
                         size_t *count);

// A durable edit has moved the replay position to `replay`: segments before it are
// log no more, and the log drops its references to them.
void log_release(struct log *log, struct log_position replay);

// How many segments are log, the growing one included: what a replay would open. Any thread.
size_t log_segment_count(const struct log *log);

// Bytes from `from` to the end: what a replay would read. Any thread.
uint64_t log_bytes_since(const struct log *log, struct log_position from);

// [role] At a clean close: syncs all, truncates the active segment to its end and
// syncs it, and removes a prepared one.
lsm_status log_finish(struct log *log);

#endif

// chain.h -- the segments that are log, oldest first, and the durable mark.
//
// What the writer publishes of its work and everyone else goes by: how far each
// segment is written, and how far it is synced. The mark follows from that: it runs
// through every segment that has been left and is synced to its end, and into the next
// one once that one's link is synced. So no mark ever points behind a link that a crash
// could still take away.
//
// For the log alone. Any thread: a mutex inside protects it, never held across I/O.

#ifndef LSM_VLOG_CHAIN_H
#define LSM_VLOG_CHAIN_H

#include <stdatomic.h>

#include "env/sync.h"
#include "vlog/log.h"

struct chain_member {
    struct segment *segment; // a reference
    uint64_t end;            // of its last frame that has been written completely
    uint64_t synced;         // everything below is durable; 0 until its link is
    bool is_left;            // `end` is final, nobody writes it any more
    bool is_found;           // by recovery: durable; its file may be longer than `end`
    bool is_sealed;          // truncated to `end`, synced, closed for writing
};

struct chain {
    atomic_bool needs_upkeep; // written under `mu`, read by anyone

    struct mutex mu; // rank LOCK_LOG; guards everything below
    struct chain_member *members;
    size_t count;
    size_t capacity;
    struct log_position mark; // never goes back
    struct segment *prepared; // the next segment, or NULL
    uint32_t next_id;
    uint64_t segment_size; // of segments to come
};

// What recovery has found, and the segment that grows from now on, whose reference it
// takes over. After a failure it is still to be released.
lsm_status chain_init(struct chain *chain, const struct log_start *start);
void chain_release(struct chain *chain);

// --- the end, for the writer ---

// Makes room for one more segment, so that entering it cannot fail.
lsm_status chain_reserve(struct chain *chain);
// The last segment has frames up to `end` now.
void chain_set_end(struct chain *chain, uint64_t end);
// Nobody writes the last segment any more.
void chain_leave(struct chain *chain);
// Leaves the last segment for `next`, of which it takes over the reference; `end` is that
// of its link. Gives back the prepared segment that `next` has overtaken, or NULL:
// segments are linked in increasing id.
struct segment *chain_enter(struct chain *chain, struct segment *next, uint64_t end);

struct log_position chain_end(const struct chain *chain);

// --- segments to come ---

uint32_t chain_take_id(struct chain *chain);
void chain_set_segment_size(struct chain *chain, uint64_t size);
uint64_t chain_segment_size(const struct chain *chain);
// Whether a segment should be prepared: when half of the last one is used, so that an idle
// database does not keep one for nothing.
bool chain_wants_prepared(const struct chain *chain);
// Keeps `segment` as the one prepared. Gives it back when there is one already, or the
// chain has overtaken it; else NULL.
struct segment *chain_keep_prepared(struct chain *chain, struct segment *segment);
// The one prepared is the caller's now. NULL when there is none.
struct segment *chain_take_prepared(struct chain *chain);

// --- syncing and sealing ---

struct log_position chain_mark(const struct chain *chain);

// The oldest segment that has to be synced for everything below `to` to be durable, with
// a reference, or NULL.
struct segment *chain_next_to_sync(struct chain *chain, struct log_position to);
// Whether that segment still has to be; if so, `*end` is how far it is written by now.
bool chain_is_to_sync(const struct chain *chain, const struct segment *segment,
                      struct log_position to, uint64_t *end);
// Notes that `segment` is durable below `synced`, and whether it is sealed there. Nothing
// to do when it has been released.
void chain_note_synced(struct chain *chain, const struct segment *segment, uint64_t synced,
                       bool is_sealed);
// Whether there is a segment that has been left and is not sealed: `*out` is a copy of
// the oldest, with a reference.
bool chain_next_to_seal(struct chain *chain, struct chain_member *out);
// Whether there is one, or one should be prepared. Takes no lock: the writer asks after every
// append.
static inline bool chain_needs_upkeep(const struct chain *chain)
{
    return atomic_load_explicit(&chain->needs_upkeep, memory_order_relaxed);
}

// --- looking at it ---

// The segments with ids of `from` and above: as log_chain(), but none is sealed by this.
lsm_status chain_copy(const struct chain *chain, uint32_t from, struct log_link **links,
                      struct segment ***segments, size_t *count);
// Drops the segments with ids below `id`, but never the last.
void chain_drop_below(struct chain *chain, uint32_t id);
size_t chain_segment_count(const struct chain *chain);
// Bytes of frames from `from` on.
uint64_t chain_bytes_since(const struct chain *chain, struct log_position from);

#endif

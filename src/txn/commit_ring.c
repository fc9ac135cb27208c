// commit_ring.c -- a list of segments that are filled one after the other.
//
// The oldest segment is forgotten as a whole and becomes the newest. A reader pins
// the one segment it is in. A forgotten segment that is pinned is filled again only
// when its last reader has left it; the role meanwhile takes the next one.

#include "txn/commit_ring.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "base/coding.h"
#include "base/schedule.h"

#define SEGMENTS          32
#define SEGMENT_BYTES_MIN 512

// A write in a segment:
//
//     offset  size
//          0     8  timestamp
//          8     4  keyspace
//         12     2  size of the key
//         14        key
#define WRITE_HEADER 14

struct ring_segment {
    // Guarded by mu of the ring.
    struct ring_segment *newer; // or the next free one
    unsigned pins;              // readers in it
    bool is_listed;             // neither forgotten nor free

    uint64_t last_ts; // the role's, until a newer one is listed; then final, and anyone's
    // Bytes below `used` do not change while the segment is listed or pinned. Stored
    // by the role with release, loaded by readers with acquire.
    _Atomic size_t used;
    uint8_t *bytes;
};

struct commit_ring {
    size_t segment_bytes; // immutable
    uint8_t *memory;      // immutable; of all segments

    _Atomic uint64_t floor; // written by the role under mu, read by anyone; only rises

    struct mutex mu; // rank LOCK_ORACLE; guards the lists
    struct ring_segment *oldest;
    struct ring_segment *newest; // the role reads it without mu, alone in changing it
    struct ring_segment *free;
    struct ring_segment segments[SEGMENTS];
};

lsm_status commit_ring_new(size_t bytes, uint64_t last_ts, struct commit_ring **out)
{
    CLEANUP(mem_freep) struct commit_ring *ring = mem_alloc_zeroed(1, sizeof *ring);

    assert(bytes / SEGMENTS >= SEGMENT_BYTES_MIN);
    if (ring == NULL)
        return lsm_fail(LSM_NO_MEMORY, "commit history: %zu bytes", sizeof *ring);
    ring->segment_bytes = bytes / SEGMENTS;
    ring->memory = mem_alloc(ring->segment_bytes * SEGMENTS);
    if (ring->memory == NULL)
        return lsm_fail(LSM_NO_MEMORY, "commit history: %zu bytes", bytes);
    atomic_init(&ring->floor, last_ts);
    mutex_init(&ring->mu, LOCK_ORACLE);
    for (size_t i = 0; i < SEGMENTS; i++) {
        ring->segments[i].bytes = ring->memory + i * ring->segment_bytes;
        ring->segments[i].newer = ring->free;
        ring->free = &ring->segments[i];
    }
    *out = MOVE(ring);
    return LSM_OK;
}

void commit_ring_free(struct commit_ring *ring)
{
    if (ring == NULL)
        return;
    mutex_release(&ring->mu);
    mem_free(ring->memory);
    mem_free(ring);
}

uint64_t commit_ring_floor(const struct commit_ring *ring)
{
    return atomic_load_explicit(&ring->floor, memory_order_acquire);
}

static void floor_raise_locked(struct commit_ring *ring, uint64_t ts)
{
    mutex_assert_held(&ring->mu);
    if (commit_ring_floor(ring) < ts)
        atomic_store_explicit(&ring->floor, ts, memory_order_release);
}

static void segment_free_locked(struct commit_ring *ring, struct ring_segment *segment)
{
    mutex_assert_held(&ring->mu);
    segment->newer = ring->free;
    ring->free = segment;
}

static void forget_oldest_locked(struct commit_ring *ring)
{
    struct ring_segment *segment = ring->oldest;

    mutex_assert_held(&ring->mu);
    floor_raise_locked(ring, segment->last_ts);
    ring->oldest = segment->newer;
    if (ring->oldest == NULL)
        ring->newest = NULL;
    segment->is_listed = false;
    if (segment->pins == 0)
        segment_free_locked(ring, segment);
}

// Lists an empty segment as the newest, forgetting old ones until there is one to
// be had. False when readers hold them all: then everything is forgotten.
static bool ring_rotate(struct commit_ring *ring, uint64_t ts)
{
    struct ring_segment *segment;

    mutex_lock(&ring->mu);
    while (ring->free == NULL && ring->oldest != NULL)
        forget_oldest_locked(ring);
    segment = ring->free;
    if (segment == NULL) {
        floor_raise_locked(ring, ts);
    } else {
        ring->free = segment->newer;
        segment->newer = NULL;
        segment->is_listed = true;
        atomic_store_explicit(&segment->used, 0, memory_order_relaxed);
        if (ring->newest == NULL)
            ring->oldest = segment;
        else
            ring->newest->newer = segment;
        ring->newest = segment;
    }
    mutex_unlock(&ring->mu);
    return segment != NULL;
}

static void forget_unstored(struct commit_ring *ring, uint64_t ts)
{
    mutex_lock(&ring->mu);
    floor_raise_locked(ring, ts);
    mutex_unlock(&ring->mu);
}

void commit_ring_add(struct commit_ring *ring, const struct ring_write *write)
{
    const size_t size = WRITE_HEADER + write->key.size;
    struct ring_segment *segment = ring->newest;
    size_t used = 0;
    uint8_t *to;

    assert(write->key.size <= UINT16_MAX);
    if (size > ring->segment_bytes) {
        forget_unstored(ring, write->ts);
        return;
    }
    if (segment != NULL)
        used = atomic_load_explicit(&segment->used, memory_order_relaxed);
    if (segment == NULL || size > ring->segment_bytes - used) {
        if (!ring_rotate(ring, write->ts))
            return;
        segment = ring->newest;
        used = 0;
    }
    to = segment->bytes + used;
    put_u64(to, write->ts);
    put_u32(to + 8, write->keyspace);
    put_u16(to + 12, (uint16_t)write->key.size);
    if (write->key.size != 0)
        memcpy(to + WRITE_HEADER, write->key.data, write->key.size);
    segment->last_ts = write->ts;
    // Release: pairs with the acquire in segment_walk().
    SCHEDULE_POINT();
    atomic_store_explicit(&segment->used, used + size, memory_order_release);
}

// Shows the writes of a pinned segment. False when the walk is at its end.
static bool segment_walk(const struct ring_segment *segment, uint64_t after, uint64_t up_to,
                         commit_ring_fn fn, void *ctx)
{
    const uint8_t *at = segment->bytes;
    const uint8_t *end = at + atomic_load_explicit(&segment->used, memory_order_acquire);

    while (at < end) {
        const struct ring_write write = {
            .ts = get_u64(at),
            .keyspace = get_u32(at + 8),
            .key = slice_make(at + WRITE_HEADER, get_u16(at + 12)),
        };

        if (write.ts > up_to || (write.ts > after && !fn(ctx, &write)))
            return false;
        at += WRITE_HEADER + write.key.size;
    }
    return true;
}

// The oldest segment that may hold commits after `after`, or NULL.
static struct ring_segment *segment_after_locked(const struct commit_ring *ring, uint64_t after)
{
    struct ring_segment *segment = ring->oldest;

    mutex_assert_held(&ring->mu);
    while (segment != NULL && segment->newer != NULL && segment->last_ts <= after)
        segment = segment->newer;
    return segment;
}

// Leaves a segment for the next one. False when it has been forgotten meanwhile.
static bool segment_leave_locked(struct commit_ring *ring, struct ring_segment **segment)
{
    struct ring_segment *left = *segment;

    mutex_assert_held(&ring->mu);
    left->pins--;
    if (left->is_listed) {
        *segment = left->newer;
        return true;
    }
    if (left->pins == 0)
        segment_free_locked(ring, left);
    return false;
}

bool commit_ring_walk(struct commit_ring *ring, uint64_t after, uint64_t up_to, commit_ring_fn fn,
                      void *ctx)
{
    struct ring_segment *segment;
    bool is_complete;
    bool goes_on = true;

    mutex_lock(&ring->mu);
    is_complete = commit_ring_floor(ring) <= after;
    segment = segment_after_locked(ring, after);
    while (is_complete && goes_on && segment != NULL) {
        segment->pins++;
        mutex_unlock(&ring->mu);
        goes_on = segment_walk(segment, after, up_to, fn, ctx);
        mutex_lock(&ring->mu);
        is_complete = segment_leave_locked(ring, &segment);
    }
    mutex_unlock(&ring->mu);
    return is_complete || !goes_on;
}

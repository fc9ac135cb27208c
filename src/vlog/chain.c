// chain.c -- a list under a mutex, and the mark that follows from it.

#include "vlog/chain.h"

#include "base/alloc.h"
#include "base/plant.h"

#define SEGMENT_SIZE_DEFAULT (1u << 20)

// Locking it changes nothing of the chain.
static struct mutex *lock_of(const struct chain *chain)
{
    return (struct mutex *)&chain->mu;
}

static struct chain_member *last_locked(const struct chain *chain)
{
    return &chain->members[chain->count - 1];
}

// NULL when it has been released.
static struct chain_member *find_locked(const struct chain *chain, const struct segment *segment)
{
    for (size_t i = 0; i < chain->count; i++) {
        if (chain->members[i].segment == segment)
            return &chain->members[i];
    }
    return NULL;
}

static lsm_status reserve_locked(struct chain *chain, size_t count)
{
    const size_t capacity = 2 * count;
    struct chain_member *members;

    if (count <= chain->capacity)
        return LSM_OK;
    members = mem_resize_array(chain->members, capacity, sizeof *members);
    if (members == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log: chain of %zu segments", capacity);
    chain->members = members;
    chain->capacity = capacity;
    return LSM_OK;
}

static void advance_mark_locked(struct chain *chain)
{
    struct log_position mark = chain->mark;

    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_member *m = &chain->members[i];

        if (m->synced == 0)
            break;
        mark = (struct log_position){segment_id(m->segment),
                                     PLANTED(MARK_TOO_FAR) ? m->end : m->synced};
        if (!m->is_left || m->synced < m->end)
            break;
    }
    if (log_position_compare(mark, chain->mark) > 0)
        chain->mark = mark;
}

static bool wants_prepared_locked(const struct chain *chain)
{
    const struct chain_member *last = last_locked(chain);

    return chain->prepared == NULL && last->end > segment_capacity(last->segment) / 2;
}

static const struct chain_member *next_to_seal_locked(const struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++) {
        if (chain->members[i].is_left && !chain->members[i].is_sealed)
            return &chain->members[i];
    }
    return NULL;
}

// After whatever may change it. Relaxed: who acts on it asks again under the mutex.
static void note_upkeep_locked(struct chain *chain)
{
    const bool needs_upkeep = wants_prepared_locked(chain) || next_to_seal_locked(chain) != NULL;

    atomic_store_explicit(&chain->needs_upkeep, needs_upkeep, memory_order_relaxed);
}

// --- life ---

lsm_status chain_init(struct chain *chain, const struct log_start *start)
{
    *chain = (struct chain){
        .next_id = start->next_segment_id,
        .segment_size = SEGMENT_SIZE_DEFAULT,
    };
    mutex_init(&chain->mu, LOCK_LOG);
    TRY(reserve_locked(chain, start->chain_count + 1));
    for (size_t i = 0; i < start->chain_count; i++) {
        chain->members[chain->count++] = (struct chain_member){
            .segment = start->chain_segments[i],
            .end = start->chain[i].final_size,
            .synced = start->chain[i].final_size,
            .is_left = true,
            .is_found = true,
        };
        segment_ref(start->chain_segments[i]);
    }
    chain->members[chain->count++] = (struct chain_member){
        .segment = start->active,
        .end = start->end,
        .synced = start->end,
    };
    advance_mark_locked(chain);
    note_upkeep_locked(chain);
    return LSM_OK;
}

void chain_release(struct chain *chain)
{
    for (size_t i = 0; i < chain->count; i++)
        segment_unref(chain->members[i].segment);
    segment_unref(chain->prepared);
    mutex_release(&chain->mu);
    mem_free(chain->members);
}

// --- the end, for the writer ---

lsm_status chain_reserve(struct chain *chain)
{
    lsm_status status;

    mutex_lock(&chain->mu);
    status = reserve_locked(chain, chain->count + 1);
    mutex_unlock(&chain->mu);
    return status;
}

void chain_set_end(struct chain *chain, uint64_t end)
{
    mutex_lock(&chain->mu);
    last_locked(chain)->end = end;
    if (wants_prepared_locked(chain)) // nothing else is new, and the chain may be long
        atomic_store_explicit(&chain->needs_upkeep, true, memory_order_relaxed);
    mutex_unlock(&chain->mu);
}

void chain_leave(struct chain *chain)
{
    mutex_lock(&chain->mu);
    last_locked(chain)->is_left = true;
    note_upkeep_locked(chain);
    mutex_unlock(&chain->mu);
}

struct segment *chain_enter(struct chain *chain, struct segment *next, uint64_t end)
{
    struct segment *overtaken = NULL;

    mutex_lock(&chain->mu);
    last_locked(chain)->is_left = true;
    chain->members[chain->count++] = (struct chain_member){.segment = next, .end = end};
    if (chain->prepared != NULL && segment_id(chain->prepared) < segment_id(next))
        overtaken = MOVE(chain->prepared);
    note_upkeep_locked(chain);
    mutex_unlock(&chain->mu);
    return overtaken;
}

struct log_position chain_end(const struct chain *chain)
{
    struct log_position end;

    mutex_lock(lock_of(chain));
    end.segment = segment_id(last_locked(chain)->segment);
    end.offset = last_locked(chain)->end;
    mutex_unlock(lock_of(chain));
    return end;
}

// --- segments to come ---

uint32_t chain_take_id(struct chain *chain)
{
    uint32_t id;

    mutex_lock(&chain->mu);
    id = chain->next_id++;
    mutex_unlock(&chain->mu);
    return id;
}

void chain_set_segment_size(struct chain *chain, uint64_t size)
{
    mutex_lock(&chain->mu);
    chain->segment_size = size;
    mutex_unlock(&chain->mu);
}

uint64_t chain_segment_size(const struct chain *chain)
{
    uint64_t size;

    mutex_lock(lock_of(chain));
    size = chain->segment_size;
    mutex_unlock(lock_of(chain));
    return size;
}

bool chain_wants_prepared(const struct chain *chain)
{
    bool is_wanted;

    mutex_lock(lock_of(chain));
    is_wanted = wants_prepared_locked(chain);
    mutex_unlock(lock_of(chain));
    return is_wanted;
}

struct segment *chain_keep_prepared(struct chain *chain, struct segment *segment)
{
    mutex_lock(&chain->mu);
    if (chain->prepared == NULL && segment_id(segment) > segment_id(last_locked(chain)->segment))
        chain->prepared = MOVE(segment);
    note_upkeep_locked(chain);
    mutex_unlock(&chain->mu);
    return segment;
}

struct segment *chain_take_prepared(struct chain *chain)
{
    struct segment *prepared;

    mutex_lock(&chain->mu);
    prepared = MOVE(chain->prepared);
    note_upkeep_locked(chain);
    mutex_unlock(&chain->mu);
    return prepared;
}

// --- syncing and sealing ---

struct log_position chain_mark(const struct chain *chain)
{
    struct log_position mark;

    mutex_lock(lock_of(chain));
    mark = chain->mark;
    mutex_unlock(lock_of(chain));
    return mark;
}

// Whether bytes of the member below `to` may not be durable.
static bool needs_sync(const struct chain_member *m, struct log_position to)
{
    uint32_t id = segment_id(m->segment);

    if (m->synced == m->end || id > to.segment)
        return false;
    if (PLANTED(SKIP_OLDER_SEGMENT_SYNC) && id < to.segment)
        return false;
    return id < to.segment || m->synced < to.offset;
}

struct segment *chain_next_to_sync(struct chain *chain, struct log_position to)
{
    struct segment *segment = NULL;

    mutex_lock(&chain->mu);
    for (size_t i = 0; i < chain->count && segment == NULL; i++) {
        if (needs_sync(&chain->members[i], to))
            segment = chain->members[i].segment;
    }
    if (segment != NULL)
        segment_ref(segment);
    mutex_unlock(&chain->mu);
    return segment;
}

bool chain_is_to_sync(const struct chain *chain, const struct segment *segment,
                      struct log_position to, uint64_t *end)
{
    const struct chain_member *m;
    bool is_to_sync;

    mutex_lock(lock_of(chain));
    m = find_locked(chain, segment);
    is_to_sync = m != NULL && needs_sync(m, to);
    if (is_to_sync)
        *end = m->end;
    mutex_unlock(lock_of(chain));
    return is_to_sync;
}

void chain_note_synced(struct chain *chain, const struct segment *segment, uint64_t synced,
                       bool is_sealed)
{
    struct chain_member *m;

    mutex_lock(&chain->mu);
    m = find_locked(chain, segment);
    if (m != NULL) {
        if (m->synced < synced)
            m->synced = synced;
        m->is_sealed |= is_sealed;
        advance_mark_locked(chain);
        note_upkeep_locked(chain);
    }
    mutex_unlock(&chain->mu);
}

bool chain_next_to_seal(struct chain *chain, struct chain_member *out)
{
    const struct chain_member *m;

    mutex_lock(&chain->mu);
    m = next_to_seal_locked(chain);
    if (m != NULL) {
        *out = *m;
        segment_ref(m->segment);
    }
    mutex_unlock(&chain->mu);
    return m != NULL;
}

// --- looking at it ---

static size_t copy_locked(const struct chain *chain, uint32_t from, struct log_link *links,
                          struct segment **segments)
{
    size_t copied = 0;

    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_member *m = &chain->members[i];

        if (segment_id(m->segment) < from)
            continue;
        links[copied].id = segment_id(m->segment);
        links[copied].uuid = *segment_uuid(m->segment);
        links[copied].final_size = i + 1 < chain->count ? m->end : 0;
        segments[copied++] = m->segment;
    }
    return copied;
}

lsm_status chain_copy(const struct chain *chain, uint32_t from, struct log_link **links,
                      struct segment ***segments, size_t *count)
{
    CLEANUP(mem_freep) struct log_link *link_copy = NULL;
    CLEANUP(mem_freep) struct segment **segment_copy = NULL;
    size_t copied = 0;

    mutex_lock(lock_of(chain));
    link_copy = mem_alloc(chain->count * sizeof *link_copy);
    segment_copy = mem_alloc(chain->count * sizeof(struct segment *));
    if (link_copy != NULL && segment_copy != NULL)
        copied = copy_locked(chain, from, link_copy, segment_copy);
    mutex_unlock(lock_of(chain));
    if (link_copy == NULL || segment_copy == NULL)
        return lsm_fail(LSM_NO_MEMORY, "log: copy of the chain");
    *links = MOVE(link_copy);
    *segments = MOVE(segment_copy);
    *count = copied;
    return LSM_OK;
}

void chain_drop_below(struct chain *chain, uint32_t id)
{
    size_t kept = 0;

    mutex_lock(&chain->mu);
    for (size_t i = 0; i < chain->count; i++) {
        struct chain_member m = chain->members[i];

        if (segment_id(m.segment) >= id || i + 1 == chain->count)
            chain->members[kept++] = m;
        else
            segment_unref(m.segment);
    }
    chain->count = kept;
    advance_mark_locked(chain);
    note_upkeep_locked(chain);
    mutex_unlock(&chain->mu);
}

size_t chain_segment_count(const struct chain *chain)
{
    size_t count;

    mutex_lock(lock_of(chain));
    count = chain->count;
    mutex_unlock(lock_of(chain));
    return count;
}

uint64_t chain_bytes_since(const struct chain *chain, struct log_position from)
{
    uint64_t bytes = 0;

    mutex_lock(lock_of(chain));
    for (size_t i = 0; i < chain->count; i++) {
        const struct chain_member *m = &chain->members[i];
        uint64_t start = FIRST_FRAME_AT;

        if (segment_id(m->segment) < from.segment)
            continue;
        if (segment_id(m->segment) == from.segment)
            start = from.offset;
        bytes += m->end > start ? m->end - start : 0;
    }
    mutex_unlock(lock_of(chain));
    return bytes;
}

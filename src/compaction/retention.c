#include "compaction/retention.h"

#include <assert.h>

#include "base/plant.h"

static void enter_keyspace(struct retention *r, uint32_t keyspace)
{
    struct keyspace_options options;
    uint32_t versions = KEYSPACE_INHERIT;

    // Of a keyspace nobody knows, what any other would keep is kept.
    r->is_dropped = false;
    if (r->engine->keyspace_options(r->engine->ctx, keyspace, &options, &r->is_dropped))
        versions = options.versions_to_keep;
    else
        r->is_dropped = false;
    if (versions == KEYSPACE_INHERIT)
        versions =
            atomic_load_explicit(&r->engine->options->versions_to_keep, memory_order_relaxed);
    r->versions_to_keep = versions == 0 ? 1 : versions;
    r->keyspace = keyspace;
}

static lsm_status enter_key(struct retention *r, const struct entry *e)
{
    if (!r->has_key || r->keyspace != e->keyspace)
        enter_keyspace(r, e->keyspace);
    r->has_key = true;
    r->kept = 0;
    r->has_ended = false;
    r->was_yielded = false;
    return buf_assign(&r->key, e->key);
}

// How the key read last orders against that of `e`.
static int compare_last_key(const struct retention *r, const struct entry *e)
{
    if (!r->has_key || (PLANTED(EMPTY_KEY_IS_NONE) && r->key.size == 0))
        return -1;
    if (r->keyspace != e->keyspace)
        return r->keyspace < e->keyspace ? -1 : 1;
    return slice_compare(slice_of_buf(&r->key), e->key);
}

// Follows the source to its current entry. Bytes from disk need not be in order.
static lsm_status follow(struct retention *r, const struct entry *e)
{
    int order = compare_last_key(r, e);

    if (order > 0 || (order == 0 && r->ts <= e->ts))
        return lsm_fail(LSM_CORRUPT, "entries out of order in keyspace %u at timestamp %llu",
                        e->keyspace, (unsigned long long)e->ts);
    if (order < 0)
        TRY(enter_key(r, e));
    r->entries_in++;
    r->ts = e->ts;
    return LSM_OK;
}

static bool is_tombstone(const struct retention *r, const struct entry *e)
{
    return e->ts <= r->oldest_ts && entry_is_absent(e, r->oldest_wall);
}

// Whether the source's current entry stays.
static bool judge(struct retention *r, const struct entry *e)
{
    if (r->is_dropped)
        return false;
    if (e->ts > r->oldest_ts)
        return true;
    if (r->has_ended || r->kept == r->versions_to_keep)
        return false;
    r->kept++;
    r->has_ended = is_tombstone(r, e);
    if (PLANTED(DROP_TOMBSTONE_EARLY))
        return !r->has_ended;
    return !r->has_ended || r->may_vanish == NULL || !r->may_vanish(r->ctx, e);
}

static void yield(struct retention *r, const struct entry *e)
{
    r->entry = *e;
    if (is_tombstone(r, e)) {
        r->entry.kind = ENTRY_DELETE;
        r->entry.expiry = 0;
        r->entry.value = slice_make(NULL, 0);
    }
    r->is_valid = true;
    r->is_new_key = !r->was_yielded;
    r->was_yielded = true;
    r->entries_out++;
}

// Yields the first entry that stays, from the source's current one on.
static lsm_status settle(struct retention *r)
{
    while (r->source->is_valid) {
        const struct entry *e = &r->source->entry;

        TRY(follow(r, e));
        if (judge(r, e)) {
            yield(r, e);
            return LSM_OK;
        }
        r->entries_dropped++;
        TRY(iter_next(r->source));
    }
    return LSM_OK;
}

lsm_status retention_first(struct retention *r, struct engine *engine, struct iter *source,
                           retention_vanish_fn may_vanish, void *ctx)
{
    *r = (struct retention){
        .engine = engine, .source = source, .may_vanish = may_vanish, .ctx = ctx};
    TRY(engine->begin_dropping(engine->ctx, &r->oldest_ts, &r->oldest_wall, &r->hold));
    if (PLANTED(IGNORE_SNAPSHOTS))
        r->oldest_ts = TS_MAX;
    TRY(iter_first(source));
    return settle(r);
}

lsm_status retention_next(struct retention *r)
{
    assert(r->is_valid);
    r->is_valid = false;
    TRY(iter_next(r->source));
    return settle(r);
}

void retention_release(struct retention *r)
{
    lsm_buf_free(&r->key);
    if (r->hold != NULL)
        r->engine->end_dropping(r->engine->ctx, r->hold);
    r->hold = NULL;
}

#include "db/visible.h"

#include "db/upkeep.h"

#include "base/plant.h"

// After so many entries passed one by one, seeking past the rest is cheaper.
#define STEPS_BEFORE_SEEK 8
// Deletions in the active memtable, passed on the way to one entry, that are worth a flush.
#define DELETIONS_IN_THE_WAY 4096

void visible_iter_init(struct visible_iter *vi, struct iter *merged,
                       const struct visibility *visibility, struct lsm_db *db)
{
    *vi = (struct visible_iter){
        .merged = merged,
        .visibility = *visibility,
        .db = db,
        .skipped = {.stats = db->stats, .counter = COUNTER_VERSIONS_SKIPPED},
    };
}

void visible_iter_release(struct visible_iter *vi)
{
    if (vi->merged == NULL)
        return; // zeroed
    tally_flush(&vi->skipped);
    iter_close(vi->merged);
    lsm_buf_free(&vi->key);
    lsm_buf_free(&vi->value);
}

// --- what is seen ---

static bool is_in_keyspace(const struct visible_iter *vi)
{
    return vi->merged->is_valid && vi->merged->entry.keyspace == vi->visibility.keyspace;
}

// Committed at or before the reader's time, or its own write.
static bool is_in_time(const struct visible_iter *vi, const struct entry *e)
{
    return e->ts <= vi->visibility.ts || e->ts == TS_MAX;
}

// Whether the newest version in time is one to show.
static bool is_shown(const struct visible_iter *vi, const struct entry *e)
{
    return !entry_is_absent(e, vi->visibility.wall) && e->ts > vi->visibility.since_ts;
}

// Whether the merge stands on a version of the key in `vi->key`.
static bool is_on_key(const struct visible_iter *vi)
{
    return is_in_keyspace(vi) && vi->merged->entry.head == vi->key_head &&
           slice_equal(vi->merged->entry.key, slice_of_buf(&vi->key));
}

// Counts `e`, which is not shown, when it is a deletion in the active memtable: keys that are
// deleted one after the other, as at the head of a queue, cannot be passed by seeking.
static void count_deletion(struct visible_iter *vi, const struct entry *e, unsigned *passed)
{
    const uint64_t above_ts = atomic_load_explicit(&vi->db->active_above_ts, memory_order_relaxed);

    if (e->ts > above_ts && e->ts != TS_MAX && entry_is_absent(e, vi->visibility.wall) &&
        ++*passed == DELETIONS_IN_THE_WAY)
        upkeep_clear_way(vi->db);
}

// Makes the key of the merge's entry the one in `vi->key`.
static lsm_status take_key(struct visible_iter *vi)
{
    vi->key_head = vi->merged->entry.head;
    return buf_assign(&vi->key, vi->merged->entry.key);
}

static struct ikey place(const struct visible_iter *vi, lsm_slice key, uint64_t ts)
{
    return (struct ikey){.keyspace = vi->visibility.keyspace, .key = key, .ts = ts};
}

// --- forward ---

// Passes the versions of the key in `vi->key` that are left. Timestamps start at 1, so none
// lies at 0.
static lsm_status pass_key(struct visible_iter *vi)
{
    const struct ikey behind = place(vi, slice_of_buf(&vi->key), 0);

    for (int steps = 0; is_on_key(vi); steps++) {
        if (steps == STEPS_BEFORE_SEEK)
            return iter_seek(vi->merged, &behind);
        TRY(iter_next(vi->merged));
        tally_add_one(&vi->skipped);
    }
    return LSM_OK;
}

// Passes versions of the current key that are too new.
static lsm_status pass_too_new(struct visible_iter *vi)
{
    for (int steps = 0; is_in_keyspace(vi) && !is_in_time(vi, &vi->merged->entry); steps++) {
        if (steps == STEPS_BEFORE_SEEK) {
            TRY(take_key(vi));
            const struct ikey in_time = place(vi, slice_of_buf(&vi->key), vi->visibility.ts);

            TRY(iter_seek(vi->merged, &in_time));
            steps = 0;
            continue;
        }
        TRY(iter_next(vi->merged));
        tally_add_one(&vi->skipped);
    }
    return LSM_OK;
}

// From the newest version of some key on, finds the next entry to show.
static lsm_status find_forward(struct visible_iter *vi)
{
    unsigned passed = 0;

    for (;;) {
        if (UNLIKELY(is_in_keyspace(vi) && !is_in_time(vi, &vi->merged->entry)))
            TRY(pass_too_new(vi));
        if (!is_in_keyspace(vi))
            return LSM_OK;
        if (is_shown(vi, &vi->merged->entry)) {
            vi->entry = &vi->merged->entry;
            return LSM_OK;
        }
        count_deletion(vi, &vi->merged->entry, &passed);
        TRY(take_key(vi));
        TRY(pass_key(vi));
    }
}

// --- backward ---

// Keeps the version that the merge stands on as the newest visible one so far.
static lsm_status keep_candidate(struct visible_iter *vi)
{
    TRY(buf_assign(&vi->value, vi->merged->entry.value));
    vi->kept = vi->merged->entry;
    vi->kept.key = slice_of_buf(&vi->key);
    vi->kept.value = slice_of_buf(&vi->value);
    return LSM_OK;
}

// Moves the merge to the last entry before all versions of `key`.
static lsm_status seek_merge_before(struct visible_iter *vi, lsm_slice key)
{
    const struct ikey front = place(vi, key, TS_MAX);

    TRY(iter_seek_for_prev(vi->merged, &front));
    if (is_in_keyspace(vi) && slice_equal(vi->merged->entry.key, key))
        TRY(iter_prev(vi->merged)); // an own write stands exactly at the front
    return LSM_OK;
}

// Keeps the newest version in time of the key in `vi->key`, which has one, and moves the merge
// before all of its versions.
static lsm_status jump_over_key(struct visible_iter *vi)
{
    const struct ikey front = place(vi, slice_of_buf(&vi->key), TS_MAX);
    const struct ikey in_time = place(vi, slice_of_buf(&vi->key), vi->visibility.ts);

    TRY(iter_seek(vi->merged, &front)); // the transaction's own write, if there is one
    if (is_on_key(vi) && !is_in_time(vi, &vi->merged->entry))
        TRY(iter_seek(vi->merged, &in_time));
    if (is_on_key(vi))
        TRY(keep_candidate(vi));
    return seek_merge_before(vi, slice_of_buf(&vi->key));
}

// From the oldest version of a key (in `vi->key`) back past its newest; `*is_found` when one
// is in time: the newest of them is then kept.
static lsm_status collect_versions(struct visible_iter *vi, bool *is_found)
{
    const struct ikey front = place(vi, slice_of_buf(&vi->key), TS_MAX);
    int too_new = 0;
    int in_time = 0;

    *is_found = false;
    while (is_on_key(vi)) {
        if (is_in_time(vi, &vi->merged->entry)) {
            TRY(keep_candidate(vi));
            *is_found = true;
            if (++in_time == STEPS_BEFORE_SEEK)
                return jump_over_key(vi);
        } else if (++too_new == STEPS_BEFORE_SEEK) {
            // Only the transaction's own write, at the very front, can still be in time.
            TRY(iter_seek_for_prev(vi->merged, &front));
            continue;
        }
        TRY(iter_prev(vi->merged));
        tally_add_one(&vi->skipped);
    }
    return LSM_OK;
}

// From the oldest version of some key back, finds the previous entry to show.
static lsm_status find_backward(struct visible_iter *vi)
{
    unsigned passed = 0;

    while (is_in_keyspace(vi)) {
        bool is_found;

        TRY(take_key(vi));
        TRY(collect_versions(vi, &is_found));
        if (is_found && is_shown(vi, &vi->kept)) {
            vi->entry = &vi->kept;
            return LSM_OK;
        }
        if (is_found)
            count_deletion(vi, &vi->kept, &passed);
    }
    return LSM_OK;
}

// --- every version ---

// Passes the version that the merge stands on, which is too new; with `at_once`, all that are of
// its key.
static lsm_status pass_version(struct visible_iter *vi, bool at_once)
{
    tally_add_one(&vi->skipped);
    if (!at_once)
        return vi->is_backward ? iter_prev(vi->merged) : iter_next(vi->merged);
    TRY(take_key(vi));
    const struct ikey front = place(vi, slice_of_buf(&vi->key), TS_MAX);
    const struct ikey in_time = place(vi, slice_of_buf(&vi->key), vi->visibility.ts);

    // Backward, only the transaction's own write at the very front can still be in time.
    return vi->is_backward ? iter_seek_for_prev(vi->merged, &front)
                           : iter_seek(vi->merged, &in_time);
}

static lsm_status find_version(struct visible_iter *vi)
{
    for (int steps = 1; is_in_keyspace(vi) && !is_in_time(vi, &vi->merged->entry); steps++)
        TRY(pass_version(vi, steps % STEPS_BEFORE_SEEK == 0));
    if (is_in_keyspace(vi))
        vi->entry = &vi->merged->entry;
    return LSM_OK;
}

// --- moves ---

lsm_status visible_iter_seek(struct visible_iter *vi, lsm_slice key)
{
    const struct ikey target = place(vi, key, TS_MAX);

    vi->entry = NULL;
    vi->is_backward = false;
    TRY(iter_seek(vi->merged, &target));
    return vi->visibility.all_versions ? find_version(vi) : find_forward(vi);
}

// Moves the merge to the last entry of the keyspace.
static lsm_status seek_merge_end(struct visible_iter *vi)
{
    const uint32_t next = vi->visibility.keyspace + 1; // the last id is never given
    const struct ikey end = {.keyspace = next, .key = slice_make("", 0), .ts = TS_MAX};

    TRY(iter_seek_for_prev(vi->merged, &end));
    if (vi->merged->is_valid && vi->merged->entry.keyspace == next &&
        !PLANTED(LAST_MEETS_NEXT_KEYSPACE))
        TRY(iter_prev(vi->merged)); // an own write of the empty key stands exactly there
    return LSM_OK;
}

lsm_status visible_iter_seek_before(struct visible_iter *vi, const lsm_slice *key)
{
    vi->entry = NULL;
    vi->is_backward = true;
    if (key == NULL)
        TRY(seek_merge_end(vi));
    else
        TRY(seek_merge_before(vi, *key));
    return vi->visibility.all_versions ? find_version(vi) : find_backward(vi);
}

lsm_status visible_iter_next(struct visible_iter *vi)
{
    vi->entry = NULL;
    if (vi->visibility.all_versions) {
        vi->is_backward = false;
        TRY(iter_next(vi->merged));
        return find_version(vi);
    }
    if (vi->is_backward) {
        const struct ikey behind = place(vi, slice_of_buf(&vi->key), 0);

        vi->is_backward = false;
        TRY(iter_seek(vi->merged, &behind));
        return find_forward(vi);
    }
    TRY(take_key(vi));
    TRY(iter_next(vi->merged));
    if (UNLIKELY(is_on_key(vi)))
        TRY(pass_key(vi));
    return find_forward(vi);
}

lsm_status visible_iter_prev(struct visible_iter *vi)
{
    vi->entry = NULL;
    if (vi->visibility.all_versions) {
        vi->is_backward = true;
        TRY(iter_prev(vi->merged));
        return find_version(vi);
    }
    if (!vi->is_backward) {
        vi->is_backward = true;
        TRY(take_key(vi));
        TRY(seek_merge_before(vi, slice_of_buf(&vi->key)));
    }
    return find_backward(vi);
}

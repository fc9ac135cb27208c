// The public iterator (lsm_iter_*): bounds, values, and what a transaction has seen.

#include "base/alloc.h"
#include "base/plant.h"
#include "db/commit.h"
#include "db/scan.h"
#include "db/snapshot.h"
#include "db/txn.h"
#include "db/visible.h"
#include "db/window.h"

// Values read ahead once a scan is seen, unless the options say otherwise.
#define PREFETCH_DEFAULT 16
#define PREFETCH_MAX     4096
// Forward moves onto separated values after which a scan is seen.
#define SCAN_SEEN_AFTER 2

// The stretch of keys that a serializable transaction has seen since the last positioning.
struct seen_range {
    bool is_active;
    bool has_low; // false while nothing below the high end has been seen
    bool is_open_above;
    bool excludes_high; // keys were seen up to `high`, but not that one
    lsm_buf low;        // empty: from the beginning
    lsm_buf high;
};

struct lsm_iter {
    struct lsm_db *db;
    struct child child;
    struct lsm_txn *txn; // NULL outside transactions
    struct view *view;   // a reference
    struct keyspace *keyspace;
    struct visible_iter visible;
    struct window *window;     // NULL until a scan is seen
    const struct entry *entry; // the current one, of `visible` or `window`; NULL: on none
    struct tally moves;

    lsm_buf lower;
    lsm_buf upper;
    bool has_lower;
    bool has_upper;
    bool keys_only;
    bool all_versions;
    size_t prefetch;

    unsigned scan_moves; // forward moves in a row onto separated values
    lsm_buf value;       // a separated value read on demand
    bool has_value;
    struct seen_range seen; // of a serializable transaction
};

// --- opening and closing ---

static void iter_free(lsm_iter *it)
{
    visible_iter_release(&it->visible);
    window_free(it->window);
    if (it->view != NULL)
        view_unref(it->view);
    lsm_buf_free(&it->lower);
    lsm_buf_free(&it->upper);
    lsm_buf_free(&it->value);
    lsm_buf_free(&it->seen.low);
    lsm_buf_free(&it->seen.high);
    mem_free(it);
}

static void iter_freep(lsm_iter **it)
{
    if (*it != NULL)
        iter_free(*it);
}

// Raises the lower bound to `bound`, or lowers the upper one.
static lsm_status tighten(lsm_buf *kept, bool *has_bound, lsm_slice bound, int direction)
{
    if (*has_bound && direction * slice_compare(bound, slice_of_buf(kept)) <= 0)
        return LSM_OK;
    *has_bound = true;
    return buf_assign(kept, bound);
}

// Inside, the lower bound always belongs to the range and the upper one never does.
static lsm_status set_bounds(lsm_iter *it, const lsm_iter_options *options)
{
    CLEANUP(lsm_buf_free) lsm_buf successor = LSM_BUF_INIT;
    bool has_successor;

    if (options->lower_exclusive && !PLANTED(LOWER_IS_INCLUSIVE)) {
        TRY(slice_successor(*options->lower, &successor));
        TRY(tighten(&it->lower, &it->has_lower, slice_of_buf(&successor), 1));
    } else if (options->lower != NULL) {
        TRY(tighten(&it->lower, &it->has_lower, *options->lower, 1));
    }
    if (options->upper_inclusive && !PLANTED(UPPER_IS_EXCLUSIVE)) {
        TRY(slice_successor(*options->upper, &successor));
        TRY(tighten(&it->upper, &it->has_upper, slice_of_buf(&successor), -1));
    } else if (options->upper != NULL) {
        TRY(tighten(&it->upper, &it->has_upper, *options->upper, -1));
    }
    if (options->prefix == NULL)
        return LSM_OK;
    TRY(tighten(&it->lower, &it->has_lower, *options->prefix, 1));
    TRY(slice_prefix_successor(*options->prefix, &has_successor, &successor));
    if (!has_successor)
        return LSM_OK; // nothing lies behind the prefix
    return tighten(&it->upper, &it->has_upper, slice_of_buf(&successor), -1);
}

static lsm_status check_options(const lsm_iter_options *options)
{
    TRY(check_bound(options->lower, "lower"));
    TRY(check_bound(options->upper, "upper"));
    TRY(check_bound(options->prefix, "prefix"));
    if (options->lower_exclusive && options->lower == NULL)
        return lsm_fail(LSM_INVALID, "iterator option lower_exclusive is set without a `lower`");
    if (options->upper_inclusive && options->upper == NULL)
        return lsm_fail(LSM_INVALID, "iterator option upper_inclusive is set without an `upper`");
    // Neither knows what merges have dropped since.
    if (options->all_versions && options->since_ts != 0)
        return lsm_fail(LSM_INVALID,
                        "iterator options since_ts and all_versions do not go together: deletions "
                        "and versions that merges have dropped would be missing without a word; a "
                        "change feed that holds them back is to come");
    if (options->prefetch > PREFETCH_MAX)
        return lsm_fail(LSM_INVALID, "iterator option prefetch cannot be %u: it takes 0 to %d",
                        options->prefetch, PREFETCH_MAX);
    return LSM_OK;
}

static lsm_status set_up(lsm_iter *it, const lsm_keyspace *handle, const lsm_iter_options *options)
{
    TRY(db_keyspace(it->db, handle, &it->keyspace));
    TRY(set_bounds(it, options));
    it->keys_only = options->keys_only;
    it->all_versions = options->all_versions;
    it->prefetch = options->prefetch == 0 ? PREFETCH_DEFAULT : options->prefetch;
    it->moves = (struct tally){.stats = it->db->stats, .counter = COUNTER_ITERATOR_MOVES};
    return LSM_OK;
}

// Opens the cursor over what lies between the bounds and is visible at `time`; TS_MAX: now.
static lsm_status open_visible(lsm_iter *it, const lsm_iter_options *options, struct read_time time)
{
    CLEANUP(iter_closep) struct iter *merged = NULL;
    const lsm_slice lower = slice_of_buf(&it->lower);
    const lsm_slice upper = slice_of_buf(&it->upper);
    const struct scan_bounds bounds = {.keyspace = it->keyspace->id,
                                       .low = it->has_lower ? &lower : NULL,
                                       .high = it->has_upper ? &upper : NULL};
    struct visibility visibility = {.keyspace = it->keyspace->id,
                                    .since_ts = options->since_ts,
                                    .all_versions = options->all_versions};

    it->view = views_acquire(&it->db->views);
    if (time.ts == TS_MAX) // only now: a newer view may lack versions that an older time sees
        time = (struct read_time){.ts = oracle_published(it->db->oracle),
                                  .wall = oracle_wall_seconds(it->db->oracle)};
    TRY(commit_check_keyspace(it->keyspace, time.ts));
    TRY(scan_open(it->view, it->txn == NULL ? NULL : it->txn->writes, &bounds,
                  !options->no_fill_cache, &merged));
    visibility.ts = time.ts;
    visibility.wall = time.wall;
    visible_iter_init(&it->visible, MOVE(merged), &visibility, it->db);
    return LSM_OK;
}

static lsm_status open_iter(struct lsm_db *db, struct lsm_txn *txn, const lsm_keyspace *handle,
                            const lsm_iter_options *options, struct read_time time, lsm_iter **out)
{
    static const lsm_iter_options defaults = LSM_ITER_OPTIONS_INIT;
    CLEANUP(iter_freep) lsm_iter *it = NULL;

    if (options == NULL)
        options = &defaults;
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_iter_open: out is NULL");
    TRY(check_options(options));
    it = mem_alloc_zeroed(1, sizeof *it);
    if (it == NULL)
        return lsm_fail(LSM_NO_MEMORY, "iterator: %zu bytes", sizeof *it);
    it->db = db;
    it->txn = txn;
    TRY(set_up(it, handle, options));
    TRY(open_visible(it, options, time));

    if (txn != NULL)
        txn->iter_count++;
    children_add(&db->children, &it->child, CHILD_ITER, txn == NULL ? NULL : txn->child.tag,
                 clock_mono_ns(db->env));
    stats_add(db->stats, COUNTER_ITERATORS, 1);
    *out = MOVE(it);
    return LSM_OK;
}

lsm_status lsm_iter_open(lsm_db *db, lsm_keyspace *keyspace, const lsm_iter_options *options,
                         lsm_iter **out)
{
    TRY(db_check(db, "lsm_iter_open"));
    return open_iter(db, NULL, keyspace, options, (struct read_time){.ts = TS_MAX}, out);
}

lsm_status lsm_snapshot_iter_open(lsm_snapshot *snapshot, lsm_keyspace *keyspace,
                                  const lsm_iter_options *options, lsm_iter **out)
{
    if (snapshot == NULL)
        return lsm_fail(LSM_INVALID, "lsm_snapshot_iter_open: snapshot is NULL");
    TRY(db_check(snapshot->db, "lsm_snapshot_iter_open"));
    return open_iter(snapshot->db, NULL, keyspace, options, snapshot_time(snapshot->slot), out);
}

lsm_status lsm_txn_iter_open(lsm_txn *txn, lsm_keyspace *keyspace, const lsm_iter_options *options,
                             lsm_iter **out)
{
    TRY(txn_check(txn, "lsm_txn_iter_open"));
    return open_iter(txn->db, txn, keyspace, options, snapshot_time(txn->slot), out);
}

// --- what a serializable transaction has seen ---

static bool notes_ranges(const lsm_iter *it)
{
    return it->txn != NULL && it->txn->reads != NULL;
}

// Hands the stretch seen so far to the transaction.
static void seen_flush(lsm_iter *it)
{
    const struct read_range range = {.keyspace = it->keyspace->id,
                                     .low = slice_of_buf(&it->seen.low),
                                     .high = slice_of_buf(&it->seen.high),
                                     .excludes_high = it->seen.excludes_high,
                                     .is_open = it->seen.is_open_above};

    if (!it->seen.is_active || !it->seen.has_low || it->txn->lost_read.status != LSM_OK)
        return; // nothing was seen, or the transaction cannot commit anyway
    it->seen.is_active = false;
    txn_note_range(it->txn, &range);
}

// Keeps a failure to remember a bound: the transaction must not commit without it.
static void seen_check(lsm_iter *it, lsm_status status)
{
    if (status != LSM_OK && it->txn->lost_read.status == LSM_OK)
        failure_capture(&it->txn->lost_read, status);
}

// Starts a stretch that grows upward from `low`.
static void seen_start_at(lsm_iter *it, lsm_slice low)
{
    if (!notes_ranges(it))
        return;
    seen_flush(it);
    it->seen.is_active = true;
    it->seen.has_low = true;
    it->seen.is_open_above = false;
    it->seen.excludes_high = true;
    seen_check(it, buf_assign(&it->seen.low, low));
    seen_check(it, buf_assign(&it->seen.high, low));
}

// Starts a stretch that grows downward from `before`, which is not part of it; NULL: from above
// everything.
static void seen_start_before(lsm_iter *it, const lsm_slice *before)
{
    if (!notes_ranges(it))
        return;
    seen_flush(it);
    it->seen.is_active = true;
    it->seen.has_low = false;
    it->seen.is_open_above = before == NULL;
    it->seen.excludes_high = true;
    if (before != NULL)
        seen_check(it, buf_assign(&it->seen.high, *before));
}

static void seen_lower(lsm_iter *it, lsm_slice to)
{
    if (it->seen.has_low && slice_compare(to, slice_of_buf(&it->seen.low)) >= 0)
        return;
    if (!it->seen.is_open_above && slice_compare(to, slice_of_buf(&it->seen.high)) > 0)
        return; // the search began below the lower bound: it has looked at nothing
    it->seen.has_low = true;
    seen_check(it, buf_assign(&it->seen.low, to));
}

// Raises the high end to `to`, which was itself seen unless `excludes_it`.
static void seen_raise(lsm_iter *it, lsm_slice to, bool excludes_it)
{
    const int order = slice_compare(to, slice_of_buf(&it->seen.high));

    if (order < 0 || (order == 0 && excludes_it))
        return;
    it->seen.excludes_high = excludes_it;
    if (order > 0)
        seen_check(it, buf_assign(&it->seen.high, to));
}

// Stretches what was seen to the current entry, or to the bound where the iterator ran into
// its end.
static void seen_extend(lsm_iter *it, int direction)
{
    if (direction < 0)
        seen_lower(it, it->entry == NULL ? slice_of_buf(&it->lower) : it->entry->key);
    else if (it->entry != NULL)
        seen_raise(it, it->entry->key, false);
    else if (it->has_upper)
        seen_raise(it, slice_of_buf(&it->upper), true);
    else
        it->seen.is_open_above = true;
}

void lsm_iter_close(lsm_iter *it)
{
    struct lsm_txn *txn;

    if (it == NULL)
        return;
    txn = it->txn;
    if (txn != NULL && !txn->is_freed)
        seen_flush(it);
    children_remove(&it->db->children, &it->child);
    tally_flush(&it->moves);
    iter_free(it);
    if (txn != NULL)
        txn_drop_iter(txn);
}

// --- moving ---

static lsm_status check_iter(const lsm_iter *it, const char *function)
{
    if (UNLIKELY(it == NULL))
        return lsm_fail(LSM_INVALID, "%s: the iterator is NULL", function);
    if (UNLIKELY(it->txn != NULL && (it->txn->db == NULL || it->txn->is_freed)))
        return lsm_fail(LSM_INVALID, "%s: the iterator's transaction has finished", function);
    return db_check(it->db, function);
}

static bool is_in_bounds(const lsm_iter *it, lsm_slice key, int direction)
{
    if (direction > 0)
        return !it->has_upper || slice_compare(key, slice_of_buf(&it->upper)) < 0;
    return !it->has_lower || slice_compare(key, slice_of_buf(&it->lower)) >= 0;
}

// Settles where a move in `direction` has led.
static lsm_status arrive(lsm_iter *it, lsm_status status, int direction)
{
    const struct entry *entry;

    it->has_value = false;
    it->entry = NULL;
    if (UNLIKELY(status != LSM_OK))
        return status;
    tally_add_one(&it->moves);
    entry = window_is_active(it->window) ? window_entry(it->window) : it->visible.entry;
    if (LIKELY(entry != NULL && is_in_bounds(it, entry->key, direction)))
        it->entry = entry;
    if (UNLIKELY(it->seen.is_active))
        seen_extend(it, direction);
    return LIKELY(it->entry != NULL) ? LSM_OK : lsm_fail(LSM_NOT_FOUND, "end of the iteration");
}

static void leave_window(lsm_iter *it)
{
    it->scan_moves = 0;
    if (it->window != NULL)
        window_clear(it->window);
}

// Goes to the last entry before `before` (NULL: of all) inside the bounds.
static lsm_status seek_backward(lsm_iter *it, const lsm_slice *before)
{
    const lsm_slice upper = slice_of_buf(&it->upper);

    if (it->has_upper && (before == NULL || slice_compare(*before, upper) > 0))
        before = &upper;
    leave_window(it);
    seen_start_before(it, before);
    return arrive(it, visible_iter_seek_before(&it->visible, before), -1);
}

// Goes to the first entry at or after `key` inside the bounds.
static lsm_status seek_forward(lsm_iter *it, lsm_slice key)
{
    const lsm_slice lower = slice_of_buf(&it->lower);

    if (it->has_lower && slice_compare(key, lower) < 0)
        key = lower;
    leave_window(it);
    seen_start_at(it, key);
    return arrive(it, visible_iter_seek(&it->visible, key), 1);
}

lsm_status lsm_iter_first(lsm_iter *it)
{
    TRY(check_iter(it, "lsm_iter_first"));
    return seek_forward(it, slice_of_buf(&it->lower));
}

lsm_status lsm_iter_last(lsm_iter *it)
{
    TRY(check_iter(it, "lsm_iter_last"));
    return seek_backward(it, NULL);
}

static lsm_status check_seek_key(lsm_slice key, const char *function)
{
    if (key.data == NULL && key.size > 0)
        return lsm_fail(LSM_INVALID, "%s: the key has NULL bytes", function);
    if (key.size > LSM_KEY_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "%s: the key has %zu bytes, at most %u are allowed", function,
                        key.size, LSM_KEY_SIZE_MAX);
    return LSM_OK;
}

lsm_status lsm_iter_seek(lsm_iter *it, lsm_slice key)
{
    TRY(check_iter(it, "lsm_iter_seek"));
    TRY(check_seek_key(key, "lsm_iter_seek"));
    return seek_forward(it, key);
}

lsm_status lsm_iter_seek_for_prev(lsm_iter *it, lsm_slice key)
{
    CLEANUP(lsm_buf_free) lsm_buf successor = LSM_BUF_INIT;
    lsm_slice before;

    TRY(check_iter(it, "lsm_iter_seek_for_prev"));
    TRY(check_seek_key(key, "lsm_iter_seek_for_prev"));
    TRY(slice_successor(key, &successor));
    before = slice_of_buf(&successor);
    return seek_backward(it, &before);
}

static lsm_status check_on_entry(const lsm_iter *it, const char *function)
{
    TRY(check_iter(it, function));
    if (UNLIKELY(it->entry == NULL))
        return lsm_fail(LSM_INVALID, "%s: the iterator is not on an entry: position it first",
                        function);
    return LSM_OK;
}

// Once a scan over separated values is seen, reads a window of them ahead.
static lsm_status maybe_fill_window(lsm_iter *it)
{
    const struct entry *entry = it->visible.entry;
    const lsm_slice upper = slice_of_buf(&it->upper);

    if (entry == NULL || entry->kind != ENTRY_POINTER || it->keys_only || it->all_versions ||
        it->prefetch < 2 || !is_in_bounds(it, entry->key, 1)) {
        it->scan_moves = 0;
        return LSM_OK;
    }
    if (++it->scan_moves < SCAN_SEEN_AFTER)
        return LSM_OK;
    if (it->window == NULL)
        TRY(window_new(it->prefetch, &it->window));
    return window_fill(it->window, it->db, it->view, &it->visible, it->has_upper ? &upper : NULL);
}

lsm_status lsm_iter_next(lsm_iter *it)
{
    lsm_status status = LSM_OK;

    TRY(check_on_entry(it, "lsm_iter_next"));
    if (window_is_active(it->window)) {
        if (window_advance(it->window))
            return arrive(it, LSM_OK, 1);
    } else {
        status = visible_iter_next(&it->visible);
    }
    if (status == LSM_OK)
        status = maybe_fill_window(it);
    return arrive(it, status, 1);
}

lsm_status lsm_iter_prev(lsm_iter *it)
{
    lsm_status status;

    TRY(check_on_entry(it, "lsm_iter_prev"));
    if (window_is_active(it->window)) {
        // The merge stands behind the window: look for what lies before its current key.
        const lsm_slice key = it->entry->key;

        status = visible_iter_seek_before(&it->visible, &key);
    } else {
        status = visible_iter_prev(&it->visible);
    }
    leave_window(it);
    return arrive(it, status, -1);
}

// --- the current entry ---

static bool is_on_entry(const lsm_iter *it)
{
    return LIKELY(it != NULL && it->entry != NULL);
}

lsm_slice lsm_iter_key(const lsm_iter *it)
{
    return is_on_entry(it) ? it->entry->key : slice_make("", 0);
}

// The value of the current entry, which is separated: from the window, or read once.
static lsm_status separated_value(lsm_iter *it, lsm_slice *value)
{
    if (window_is_active(it->window))
        return window_value(it->window, value);
    if (!it->has_value) {
        EPOCH_SECTION();

        TRY(read_value(it->db, it->view, it->entry, -1, &it->value));
        it->has_value = true;
    }
    *value = slice_of_buf(&it->value);
    return LSM_OK;
}

lsm_status lsm_iter_value(lsm_iter *it, lsm_slice *value)
{
    TRY(check_on_entry(it, "lsm_iter_value"));
    if (UNLIKELY(value == NULL))
        return lsm_fail(LSM_INVALID, "lsm_iter_value: value is NULL");
    if (UNLIKELY(it->keys_only))
        return lsm_fail(LSM_INVALID, "lsm_iter_value: the iterator reads keys only");
    if (it->entry->kind == ENTRY_POINTER)
        return separated_value(it, value);
    *value = it->entry->value;
    return LSM_OK;
}

uint64_t lsm_iter_ts(const lsm_iter *it)
{
    return is_on_entry(it) ? it->entry->ts : 0;
}

uint64_t lsm_iter_expiry(const lsm_iter *it)
{
    return is_on_entry(it) ? it->entry->expiry : 0;
}

uint8_t lsm_iter_user_byte(const lsm_iter *it)
{
    return is_on_entry(it) ? it->entry->user_byte : 0;
}

bool lsm_iter_is_deleted(const lsm_iter *it)
{
    return is_on_entry(it) && it->entry->kind == ENTRY_DELETE;
}

uint64_t lsm_iter_value_size(const lsm_iter *it)
{
    return is_on_entry(it) ? read_value_size(it->entry) : 0;
}

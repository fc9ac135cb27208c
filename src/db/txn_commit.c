#include "db/txn_commit.h"

#include "base/alloc.h"
#include "base/container.h"
#include "base/hash.h"
#include "db/commit.h"
#include "db/retry.h"
#include "db/scan.h"
#include "txn/conflict.h"
#include "txn/read_set.h"

#define UPDATE_TRIES 100

// --- asking the tree where the history of commits is too short ---

static lsm_status newest_of_point(void *ctx, const struct read_point *point, uint64_t *newest)
{
    struct lsm_db *db = ctx;
    const struct ikey ikey = {.keyspace = point->keyspace, .key = point->key, .ts = TS_MAX};
    struct found found;
    bool is_found = false;
    EPOCH_SECTION();

    TRY(read_lookup(db, views_current(&db->views), &ikey, point->hash, &found, &is_found));
    *newest = is_found ? found.entry.ts : 0;
    return LSM_OK;
}

static lsm_status newest_in_range(void *ctx, const struct read_range *range, uint64_t *newest)
{
    struct lsm_db *db = ctx;
    const struct ikey low = {.keyspace = range->keyspace, .key = range->low, .ts = TS_MAX};
    const struct scan_bounds bounds = {
        .keyspace = range->keyspace,
        .low = &range->low,
        .high = range->is_open ? NULL : &range->high,
    };
    struct view *view = views_acquire(&db->views);
    struct iter *it = NULL;
    lsm_status status = scan_open(view, NULL, &bounds, false, &it);
    uint64_t found = 0;

    if (status == LSM_OK)
        status = iter_seek(it, &low);
    while (status == LSM_OK && it->is_valid && it->entry.keyspace == range->keyspace &&
           !read_range_ends_before(range, it->entry.key)) {
        if (it->entry.ts > found)
            found = it->entry.ts;
        status = iter_next(it);
    }
    iter_close(it);
    view_unref(view);
    if (status == LSM_OK)
        *newest = found;
    return status;
}

// --- validation before queueing ---

// Validates reads and writes against what is published, so that the writer has only the
// commits after that to look at.
static lsm_status validate(struct lsm_txn *txn, struct write_request *request)
{
    struct lsm_db *db = txn->db;
    const struct conflict_fallback tree = {
        .newest_of_point = newest_of_point, .newest_in_range = newest_in_range, .ctx = db};
    const uint64_t published = oracle_published(db->oracle);

    if (txn->lost_read.status != LSM_OK)
        return failure_raise(&txn->lost_read);
    request->validated_ts = published;
    if (txn->mode == LSM_TXN_SNAPSHOT) {
        request->checks_writes = true;
        return conflict_history_check_writes(db->conflicts, request->writes, request->write_count,
                                             txn->read_ts, published, &tree);
    }
    TRY(read_set_seal(txn->reads));
    if (read_set_is_empty(txn->reads))
        return LSM_OK;
    request->reads = txn->reads;
    return conflict_history_check(db->conflicts, txn->reads, txn->read_ts, published, &tree);
}

// Encodes and validates the transaction's writes.
static lsm_status prepare(struct lsm_txn *txn, struct write_request *request,
                          const lsm_write_options *options)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    lsm_status status;

    TRY(write_set_iter_new(txn->writes, &it));
    TRY(commit_add_all(txn->db, request, it));
    TRY(commit_finish(txn->db, request, options));
    status = validate(txn, request);
    stats_add(txn->db->stats, COUNTER_CONFLICTS, status == LSM_CONFLICT);
    return status;
}

static lsm_status check_commit(const struct lsm_txn *txn, const lsm_write_options *options,
                               const char *function)
{
    TRY(txn_check(txn, function));
    TRY(commit_check_options(options));
    if (txn->iter_count > 0)
        return lsm_fail(LSM_INVALID, "%s: %zu iterators of the transaction are open", function,
                        txn->iter_count);
    return LSM_OK;
}

// A transaction that wrote nothing has read one snapshot: it is serializable as it is.
static bool has_nothing_to_write(const struct lsm_txn *txn)
{
    return txn->writes == NULL || write_set_is_empty(txn->writes);
}

lsm_status lsm_commit(lsm_txn *txn, const lsm_write_options *options)
{
    struct write_request request;
    lsm_status status;

    TRY(check_commit(txn, options, "lsm_commit"));
    if (has_nothing_to_write(txn)) {
        txn_finish(txn);
        return LSM_OK;
    }
    write_request_init(&request, REQUEST_COMMIT);
    status = prepare(txn, &request, options);
    if (status == LSM_OK)
        status = commit_run(txn->db, &request, options);
    if (status == LSM_OK)
        txn->commit_ts = request.ts;
    txn_finish(txn);
    write_request_release(&request);
    return status;
}

// --- without waiting ---

// A commit under way, with what it borrows.
struct async_commit {
    struct write_request request;
    struct lsm_db *db;
    struct write_set *writes;
    struct read_set *reads;
    lsm_commit_fn fn;
    void *ctx;
};

static void async_commit_free(struct async_commit *commit)
{
    write_request_release(&commit->request);
    write_set_free(commit->writes);
    read_set_free(commit->reads);
    mem_free(commit);
}

static void async_commit_done(struct write_request *request)
{
    struct async_commit *commit = CONTAINER_OF(request, struct async_commit, request);
    const lsm_status status = failure_raise(&request->failure);

    stats_add(commit->db->stats, COUNTER_COMMIT_BYTES, request->frame.size);
    db_enter_callback(commit->db);
    commit->fn(commit->ctx, status, status == LSM_OK ? request->ts : 0);
    db_leave_callback();
    async_commit_free(commit);
}

lsm_status lsm_commit_async(lsm_txn *txn, const lsm_write_options *options, lsm_commit_fn fn,
                            void *ctx)
{
    struct async_commit *commit;
    struct lsm_db *db;
    lsm_status status;

    TRY(check_commit(txn, options, "lsm_commit_async"));
    if (fn == NULL)
        return lsm_fail(LSM_INVALID, "lsm_commit_async: fn is NULL");
    db = txn->db;
    if (has_nothing_to_write(txn)) {
        txn_finish(txn);
        db_enter_callback(db);
        fn(ctx, LSM_OK, 0);
        db_leave_callback();
        return LSM_OK;
    }
    commit = mem_alloc_zeroed(1, sizeof *commit);
    if (commit == NULL) {
        txn_finish(txn);
        return lsm_fail(LSM_NO_MEMORY, "commit: %zu bytes", sizeof *commit);
    }
    write_request_init(&commit->request, REQUEST_COMMIT);
    commit->request.on_done = async_commit_done;
    commit->db = db;
    commit->fn = fn;
    commit->ctx = ctx;
    status = prepare(txn, &commit->request, options);
    if (status == LSM_OK)
        status = writer_admit(&db->writer, &commit->request, options != NULL && options->no_wait);
    // The commit borrows from both sets until it is done.
    commit->writes = MOVE(txn->writes);
    commit->reads = MOVE(txn->reads);
    txn_finish(txn);
    if (status != LSM_OK) {
        async_commit_free(commit);
        return status;
    }
    writer_submit(&db->writer, &commit->request);
    return LSM_OK;
}

// --- again until it succeeds ---

lsm_status lsm_update(lsm_db *db, lsm_update_fn fn, void *ctx)
{
    const struct retry retry = {.run = fn, .ctx = ctx, .tries_max = UPDATE_TRIES};
    bool is_exhausted;

    TRY(db_check_writable(db, "lsm_update"));
    if (fn == NULL)
        return lsm_fail(LSM_INVALID, "lsm_update: fn is NULL");
    return retry_run(db, &retry, &is_exhausted);
}

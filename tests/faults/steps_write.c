// steps_write.c -- the calls that write.

#include <stdlib.h>

#include "faults/steps.h"

static struct commit commit_of(const struct step *step, unsigned key, unsigned count)
{
    return (struct commit){
        .keyspace = step->keyspace, .key = key, .count = count, .size = step->size};
}

static lsm_write_options options_of(const struct step *step)
{
    return (lsm_write_options){.sync = step->is_weak ? LSM_SYNC_WRITTEN : LSM_SYNC_FULL};
}

static uint8_t *bytes_new(size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    if (bytes == NULL)
        abort();
    return bytes;
}

// --- single writes ---

static lsm_status put_one(struct world *w, const struct step *step, unsigned key)
{
    const lsm_write_options options = options_of(step);
    const struct commit wanted = commit_of(step, key, 1);
    struct commit *commit = world_begin(w, &wanted);
    uint8_t *value = bytes_new(step->size);
    lsm_status status;
    char text[16];

    world_value(w->history.started, key, value, step->size);
    status = lsm_put(w->db, world_keyspace(w, step->keyspace), world_key(key, text),
                     slice_make(value, step->size), &options);
    free(value);
    return world_end(w, commit, !step->is_weak, status);
}

lsm_status step_put(struct world *w, const struct step *step)
{
    for (unsigned i = 0; i < step->count; i++)
        TRY(put_one(w, step, step->key + i));
    return LSM_OK;
}

lsm_status step_delete(struct world *w, const struct step *step)
{
    const lsm_write_options options = options_of(step);
    struct commit wanted = commit_of(step, step->key, 1);
    struct commit *commit;
    char text[16];

    wanted.is_delete = true;
    commit = world_begin(w, &wanted);
    return world_end(
        w, commit, !step->is_weak,
        lsm_delete(w->db, world_keyspace(w, step->keyspace), world_key(step->key, text), &options));
}

lsm_status step_swap(struct world *w, const struct step *step)
{
    const lsm_write_options options = options_of(step);
    const struct commit wanted = commit_of(step, step->key, 1);
    struct commit *commit;
    struct content now;
    lsm_slice expected = {0};
    lsm_slice desired;
    uint8_t *old_value;
    uint8_t *value = bytes_new(step->size);
    unsigned number;
    lsm_status status;
    char text[16];

    world_expect(w, &now);
    number = now.numbers[step->keyspace][step->key];
    old_value = bytes_new(w->history.commits[number].size);
    if (number != 0) {
        world_value(number, step->key, old_value, w->history.commits[number].size);
        expected = slice_make(old_value, w->history.commits[number].size);
    }
    commit = world_begin(w, &wanted);
    world_value(w->history.started, step->key, value, step->size);
    desired = slice_make(value, step->size);
    status =
        lsm_compare_and_set(w->db, world_keyspace(w, step->keyspace), world_key(step->key, text),
                            number == 0 ? NULL : &expected, &desired, &options);
    free(value);
    free(old_value);
    return world_end(w, commit, !step->is_weak, status);
}

lsm_status step_put_if_absent(struct world *w, const struct step *step)
{
    const lsm_write_options options = options_of(step);
    const struct commit wanted = commit_of(step, step->key, 1);
    struct commit *commit = world_begin(w, &wanted);
    uint8_t *value = bytes_new(step->size);
    lsm_status status;
    char text[16];

    world_value(w->history.started, step->key, value, step->size);
    status = lsm_put_if_absent(w->db, world_keyspace(w, step->keyspace), world_key(step->key, text),
                               slice_make(value, step->size), &options);
    free(value);
    return world_end(w, commit, !step->is_weak, status);
}

// --- batches ---

static lsm_status fill_batch(struct world *w, const struct step *step, bool deletes,
                             lsm_batch *batch)
{
    lsm_keyspace *keyspace = world_keyspace(w, step->keyspace);
    lsm_status status = LSM_OK;
    uint8_t *value = bytes_new(step->size);
    char text[16];

    for (unsigned i = 0; i < step->count && status == LSM_OK; i++) {
        const lsm_slice key = world_key(step->key + i, text);

        world_value(w->history.started, step->key + i, value, step->size);
        status = deletes ? lsm_batch_delete(batch, keyspace, key)
                         : lsm_batch_put(batch, keyspace, key, slice_make(value, step->size));
    }
    free(value);
    return status;
}

static lsm_status write_batch(struct world *w, const struct step *step, bool deletes)
{
    const lsm_write_options options = options_of(step);
    struct commit wanted = commit_of(step, step->key, step->count);
    struct commit *commit;
    lsm_batch *batch = NULL;
    lsm_status status;

    wanted.is_delete = deletes;
    commit = world_begin(w, &wanted);
    status = lsm_batch_new(&batch);
    if (status == LSM_OK)
        status = fill_batch(w, step, deletes, batch);
    if (status == LSM_OK)
        status = lsm_write(w->db, batch, &options);
    lsm_batch_free(batch);
    return world_end(w, commit, !step->is_weak, status);
}

lsm_status step_batch(struct world *w, const struct step *step)
{
    return write_batch(w, step, false);
}

lsm_status step_batch_delete(struct world *w, const struct step *step)
{
    return write_batch(w, step, true);
}

// --- transactions ---

static lsm_status put_in(struct world *w, const struct step *step, lsm_txn *txn)
{
    lsm_keyspace *keyspace = world_keyspace(w, step->keyspace);
    lsm_status status = LSM_OK;
    uint8_t *value = bytes_new(step->size);
    char text[16];

    for (unsigned i = 0; i < step->count && status == LSM_OK; i++) {
        world_value(w->history.started, step->key + i, value, step->size);
        status = lsm_txn_put(txn, keyspace, world_key(step->key + i, text),
                             slice_make(value, step->size));
    }
    free(value);
    return status;
}

// Walks over what the transaction sees, a part of it backwards.
static lsm_status scan_in(lsm_keyspace *keyspace, lsm_txn *txn)
{
    lsm_status status;
    lsm_iter *it;

    TRY(lsm_txn_iter_open(txn, keyspace, NULL, &it));
    status = lsm_iter_first(it);
    for (int i = 0; i < 6 && status == LSM_OK; i++)
        status = lsm_iter_next(it);
    if (status == LSM_OK)
        status = lsm_iter_prev(it);
    lsm_iter_close(it);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static lsm_status get_in(struct world *w, const struct step *step, lsm_txn *txn, unsigned key,
                         const struct content *expected)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    char text[16];
    const unsigned number = expected->numbers[step->keyspace][key];
    const lsm_status status =
        lsm_txn_get(txn, world_keyspace(w, step->keyspace), world_key(key, text), &value);

    if (status == LSM_OK)
        world_check_value(w, number, key, slice_of_buf(&value));
    if (status == LSM_NOT_FOUND && number != 0)
        world_wrong(w, "a transaction does not find key %u of commit %u", key, number);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static lsm_status read_in(struct world *w, const struct step *step, lsm_txn *txn)
{
    struct content expected;

    world_expect(w, &expected);
    for (unsigned key = 0; key < WORLD_KEYS; key += 3)
        TRY(get_in(w, step, txn, key, &expected));
    return LSM_OK;
}

lsm_status step_txn(struct world *w, const struct step *step)
{
    const lsm_write_options options = options_of(step);
    const struct commit wanted = commit_of(step, step->key, step->count);
    struct commit *commit = world_begin(w, &wanted);
    lsm_txn *txn = NULL;
    lsm_status status = lsm_begin_tagged(w->db, LSM_TXN_SERIALIZABLE, "faults", &txn);

    if (status == LSM_OK)
        status = read_in(w, step, txn);
    if (status == LSM_OK)
        status = put_in(w, step, txn);
    if (status == LSM_OK)
        status = scan_in(world_keyspace(w, step->keyspace), txn);
    if (status == LSM_OK)
        status = lsm_commit(txn, &options);
    lsm_txn_free(txn);
    return world_end(w, commit, !step->is_weak, status);
}

struct async_result {
    bool is_done;
    lsm_status status;
};

static void note_result(void *ctx, lsm_status status, uint64_t commit_ts)
{
    struct async_result *result = ctx;

    (void)commit_ts;
    result->is_done = true;
    result->status = status;
}

static lsm_status commit_async(struct world *w, const struct step *step, lsm_txn *txn)
{
    const lsm_write_options options = options_of(step);
    struct async_result result = {.is_done = false};
    unsigned tries = 0;

    TRY(put_in(w, step, txn));
    TRY(lsm_commit_async(txn, &options, note_result, &result));
    while (!result.is_done && tries++ < 100 && scheduler_run_one(w->db->scheduler))
        ;
    if (!result.is_done)
        world_wrong(w, "an asynchronous commit is never told its result");
    return result.status;
}

lsm_status step_async(struct world *w, const struct step *step)
{
    const struct commit wanted = commit_of(step, step->key, step->count);
    struct commit *commit = world_begin(w, &wanted);
    lsm_txn *txn = NULL;
    lsm_status status = lsm_begin(w->db, LSM_TXN_SNAPSHOT, &txn);

    if (status == LSM_OK)
        status = commit_async(w, step, txn);
    lsm_txn_free(txn);
    return world_end(w, commit, !step->is_weak, status);
}

// Queues so many that their frames do not fit onto the writer's stack.
#define MANY 70

static lsm_status submit_one(struct world *w, const struct step *step, unsigned index,
                             struct async_result *result)
{
    const struct step one = {.key = step->key + index % 8, .count = 1, .size = step->size};
    const lsm_write_options options = options_of(step);
    lsm_txn *txn;
    lsm_status status;

    TRY(lsm_begin(w->db, LSM_TXN_SERIALIZABLE, &txn)); // blind writes do not conflict
    status = put_in(w, &one, txn);
    if (status == LSM_OK)
        status = lsm_commit_async(txn, &options, note_result, result);
    lsm_txn_free(txn);
    return status;
}

lsm_status step_async_many(struct world *w, const struct step *step)
{
    struct async_result results[MANY] = {{false}};
    struct commit *commits[MANY];
    lsm_status status = LSM_OK;

    for (unsigned i = 0; i < MANY; i++) {
        const struct commit wanted = commit_of(step, step->key + i % 8, 1);

        commits[i] = world_begin(w, &wanted);
        results[i].status = submit_one(w, step, i, &results[i]);
        results[i].is_done |= results[i].status != LSM_OK;
    }
    for (unsigned tries = 0; tries < 100 && scheduler_run_one(w->db->scheduler); tries++)
        ;
    for (unsigned i = 0; i < MANY; i++) {
        if (!results[i].is_done)
            world_wrong(w, "an asynchronous commit is never told its result");
        (void)world_end(w, commits[i], !step->is_weak, results[i].status);
        if (status == LSM_OK)
            status = results[i].status;
    }
    return status;
}

struct update {
    struct world *world;
    const struct step *step;
    struct commit *commit; // NULL before the first try
};

// The first time another commit comes between.
static lsm_status update_in(lsm_txn *txn, void *ctx)
{
    struct update *update = ctx;
    struct world *w = update->world;
    const struct step *step = update->step;
    const struct step between = {.key = 0, .size = step->size};
    const struct commit wanted = commit_of(step, step->key, step->count);

    TRY(read_in(w, step, txn));
    if (update->commit == NULL) {
        TRY(put_one(w, &between, 0));
        update->commit = world_begin(w, &wanted);
    }
    return put_in(w, step, txn);
}

lsm_status step_update(struct world *w, const struct step *step)
{
    struct update update = {.world = w, .step = step};
    const lsm_status status = lsm_update(w->db, update_in, &update);

    return update.commit == NULL ? status : world_end(w, update.commit, true, status);
}

static lsm_status use_savepoints(struct world *w, const struct step *step, lsm_txn *txn)
{
    uint64_t first;
    uint64_t second;

    TRY(lsm_txn_savepoint(txn, &first));
    TRY(put_in(w, step, txn));
    TRY(lsm_txn_savepoint(txn, &second));
    TRY(put_in(w, step, txn));
    TRY(lsm_txn_release(txn, second));
    TRY(lsm_txn_rollback_to(txn, first));
    return put_in(w, step, txn);
}

lsm_status step_rollback(struct world *w, const struct step *step)
{
    lsm_txn *txn = NULL;
    lsm_status status = lsm_begin(w->db, LSM_TXN_SERIALIZABLE, &txn);

    if (status == LSM_OK)
        status = use_savepoints(w, step, txn);
    if (status == LSM_OK)
        status = lsm_rollback(txn);
    lsm_txn_free(txn);
    return status;
}

#include "isolation/watcher.h"

#include <time.h>

#include "isolation/steps.h"

#define REPEATS_MAX     12
#define EVENTS_PER_VIEW ((size_t)64 * REGISTERS) // all that is seen of one snapshot, amply

static void must(const struct worker *w, lsm_status status, const char *what)
{
    stage_must(w->model->stage, status, what);
}

static uint64_t finished(struct worker *w)
{
    return atomic_load_explicit(&w->model->stage->finished, memory_order_relaxed);
}

// Until `count` more transactions have finished, or the epoch is over.
static void wait_for_others(struct worker *w, uint64_t count)
{
    const struct timespec pause = {.tv_nsec = 500000};
    const uint64_t start = finished(w);

    while (finished(w) - start < count && !stage_is_over(w->model->stage))
        (void)nanosleep(&pause, NULL);
}

static lsm_iter *open_range(struct worker *w, lsm_snapshot *snapshot, uint32_t low, uint32_t high)
{
    struct key_bytes low_bytes;
    struct key_bytes high_bytes;
    const lsm_slice lower = model_key(low, &low_bytes);
    const lsm_slice upper = model_key(high, &high_bytes);
    const lsm_iter_options options = {.lower = &lower, .upper = &upper};
    lsm_iter *it;

    must(w, lsm_snapshot_iter_open(snapshot, NULL, &options, &it), "an iterator of a snapshot");
    return it;
}

static void read_list(struct worker *w, lsm_snapshot *snapshot, uint32_t key)
{
    struct key_bytes bytes;
    lsm_slice list;
    const lsm_status status =
        lsm_snapshot_get(snapshot, w->model->lists, model_key(key, &bytes), &w->buf);

    if (status != LSM_NOT_FOUND)
        must(w, status, "a list of a snapshot");
    list = (lsm_slice){w->buf.data, w->buf.size};
    step_record_list(w, key, status == LSM_OK ? &list : NULL);
}

static void read_register(struct worker *w, lsm_snapshot *snapshot, uint32_t key)
{
    struct key_bytes bytes;
    const lsm_status status = lsm_snapshot_get(snapshot, NULL, model_key(key, &bytes), &w->buf);
    uint64_t value = 0;

    if (status != LSM_NOT_FOUND)
        must(w, status, "a register of a snapshot");
    if (status == LSM_OK)
        value = model_value_number(w->model, (lsm_slice){w->buf.data, w->buf.size});
    record(w->recorder, EVENT_READ, key, value);
}

// Moves an iterator that was opened long ago over a few entries, and tells what they are, and
// what is absent from `*low` on. False at its end.
static bool move_on(struct worker *w, lsm_iter *it, uint32_t *low)
{
    uint32_t high = REGISTERS;
    lsm_status status = LSM_OK;
    lsm_slice value;

    for (int i = 0; i < 8 && status == LSM_OK; i++) {
        status = *low == 0 && i == 0 ? lsm_iter_first(it) : lsm_iter_next(it);
        if (status != LSM_OK)
            break;
        must(w, lsm_iter_value(it, &value), "a value of an old iterator");
        high = model_key_number(w->model, lsm_iter_key(it)) + 1;
        record(w->recorder, EVENT_ITEM, high - 1, model_value_number(w->model, value));
    }
    if (status == LSM_NOT_FOUND)
        high = REGISTERS;
    else
        must(w, status, "an old iterator");
    record(w->recorder, EVENT_SCAN, *low, high);
    *low = high;
    return status == LSM_OK;
}

static void watch(struct worker *w)
{
    const uint64_t start = finished(w);
    const uint32_t list = step_any_list(w);
    uint32_t low = 0;
    bool is_moving = true;
    lsm_snapshot *snapshot;
    lsm_iter *old;

    record_begin(w->recorder, LEVEL_READ_ONLY);
    must(w, lsm_snapshot_new(w->model->db, "watcher", &snapshot), "a snapshot");
    record(w->recorder, EVENT_READ_TS, 0, lsm_snapshot_ts(snapshot));
    old = open_range(w, snapshot, 0, REGISTERS);
    for (int i = 0; i < REPEATS_MAX && !stage_is_over(w->model->stage); i++) {
        step_record_scan(w, open_range(w, snapshot, 0, REGISTERS), 0, REGISTERS, UINT32_MAX,
                         i % 2 != 0);
        read_list(w, snapshot, list);
        read_register(w, snapshot, (uint32_t)random_below(&w->random, REGISTERS));
        worker_audit(w, open_range(w, snapshot, FIRST_ACCOUNT, FIRST_ACCOUNT + ACCOUNTS));
        is_moving = is_moving && move_on(w, old, &low);
        stage_count(w->model->stage, COUNT_REPEATS, 1);
        wait_for_others(w, 200);
    }
    lsm_iter_close(old);
    lsm_snapshot_free(snapshot);
    record_end(w->recorder, EVENT_COMMITTED, 0);
    stage_count(w->model->stage, COUNT_SNAPSHOTS, 1);
    stage_count(w->model->stage, COUNT_OVERWRITES, finished(w) - start);
}

void *watcher_run(void *arg)
{
    struct worker *w = arg;

    while (!stage_is_over(w->model->stage) && recorder_has_room(w->recorder, EVENTS_PER_VIEW))
        watch(w);
    lsm_buf_free(&w->buf);
    return NULL;
}

#include "isolation/single.h"

#include <string.h>

#include "isolation/steps.h"

static const lsm_write_options written = {.sync = LSM_SYNC_WRITTEN};

static void must(const struct worker *w, lsm_status status, const char *what)
{
    stage_must(w->model->stage, status, what);
}

static uint32_t any_place(struct worker *w)
{
    return FIRST_PLACE + (uint32_t)random_below(&w->random, PLACES);
}

// Reads a key's newest value; 0: absent.
static uint64_t get(struct worker *w, uint32_t key)
{
    struct key_bytes bytes;
    const lsm_status status = lsm_get(w->model->db, NULL, model_key(key, &bytes), &w->buf);

    if (status == LSM_NOT_FOUND)
        return 0;
    must(w, status, "a read");
    return model_value_number(w->model, (lsm_slice){w->buf.data, w->buf.size});
}

static void get_place(struct worker *w)
{
    const uint32_t key = any_place(w);

    record_begin(w->recorder, LEVEL_READ_ONLY);
    record(w->recorder, EVENT_READ, key, get(w, key));
    worker_finish(w, EVENT_COMMITTED, 0);
}

static void get_pinned_place(struct worker *w)
{
    const uint32_t key = any_place(w);
    struct key_bytes bytes;
    lsm_status status;
    lsm_pin pin;

    record_begin(w->recorder, LEVEL_READ_ONLY);
    status = lsm_get_pinned(w->model->db, NULL, model_key(key, &bytes), &pin);
    if (status != LSM_NOT_FOUND)
        must(w, status, "a pinned read");
    record(w->recorder, EVENT_READ, key,
           status == LSM_OK ? model_value_number(w->model, pin.value) : 0);
    worker_finish(w, EVENT_COMMITTED, 0);
    if (status == LSM_OK)
        lsm_pin_release(&pin);
}

// One snapshot of several places, without a transaction.
static void get_places(struct worker *w)
{
    struct key_bytes bytes[PLACES];
    lsm_slice keys[PLACES];
    lsm_buf values[PLACES] = {LSM_BUF_INIT};
    lsm_status statuses[PLACES];

    for (uint32_t i = 0; i < PLACES; i++)
        keys[i] = model_key(FIRST_PLACE + i, &bytes[i]);
    record_begin(w->recorder, LEVEL_READ_ONLY);
    must(w, lsm_multi_get(w->model->db, NULL, keys, PLACES, values, statuses), "a read of many");
    for (uint32_t i = 0; i < PLACES; i++) {
        const lsm_slice value = {values[i].data, values[i].size};

        record(w->recorder, EVENT_READ, FIRST_PLACE + i,
               statuses[i] == LSM_OK ? model_value_number(w->model, value) : 0);
        lsm_buf_free(&values[i]);
    }
    worker_finish(w, EVENT_COMMITTED, 0);
}

static void put_place(struct worker *w)
{
    const uint32_t key = any_place(w);
    const uint64_t value = w->next_value++;
    struct value_bytes value_bytes;
    struct key_bytes bytes;

    record_begin(w->recorder, LEVEL_SERIALIZABLE);
    record(w->recorder, EVENT_WRITE, key, value);
    record(w->recorder, EVENT_COMMITTING, 0, 0);
    must(w,
         lsm_put(w->model->db, NULL, model_key(key, &bytes), model_value(value, &value_bytes),
                 &written),
         "a put");
    worker_finish(w, EVENT_COMMITTED, 0);
}

// Two places at once.
static void put_two_places(struct worker *w)
{
    const uint32_t first = any_place(w);
    struct value_bytes value_bytes;
    struct key_bytes bytes;
    lsm_batch *batch;

    must(w, lsm_batch_new(&batch), "a batch");
    record_begin(w->recorder, LEVEL_SERIALIZABLE);
    for (uint32_t i = 0; i < 2; i++) {
        const uint32_t key = FIRST_PLACE + (first - FIRST_PLACE + i) % PLACES;
        const uint64_t value = w->next_value++;

        must(w,
             lsm_batch_put(batch, NULL, model_key(key, &bytes), model_value(value, &value_bytes)),
             "a put into a batch");
        record(w->recorder, EVENT_WRITE, key, value);
    }
    record(w->recorder, EVENT_COMMITTING, 0, 0);
    must(w, lsm_write(w->model->db, batch, &written), "a batch");
    worker_finish(w, EVENT_COMMITTED, 0);
    lsm_batch_free(batch);
}

// Expects what was there a moment before.
static void exchange_place(struct worker *w)
{
    const uint32_t key = any_place(w);
    const uint64_t old = get(w, key);
    const uint64_t value = w->next_value++;
    struct value_bytes old_bytes;
    struct value_bytes new_bytes;
    struct key_bytes bytes;
    const lsm_slice desired = model_value(value, &new_bytes);
    lsm_slice expected = {NULL, 0};
    lsm_status status;

    if (old != 0)
        expected = model_value(old, &old_bytes);
    record_begin(w->recorder, LEVEL_SERIALIZABLE);
    record(w->recorder, EVENT_WRITE, key, value);
    record(w->recorder, EVENT_COMMITTING, 0, 0);
    status = lsm_compare_and_set(w->model->db, NULL, model_key(key, &bytes),
                                 old == 0 ? NULL : &expected, &desired, &written);
    if (status != LSM_CONFLICT)
        must(w, status, "a compare-and-set");
    if (status == LSM_OK)
        record(w->recorder, EVENT_EXPECTED, key, old);
    worker_finish(w, status == LSM_OK ? EVENT_COMMITTED : EVENT_ABORTED, 0);
}

static void append(struct worker *w)
{
    const uint32_t key = step_any_list(w);
    const uint64_t element = w->next_value++;
    struct key_bytes bytes;

    record_begin(w->recorder, LEVEL_SERIALIZABLE);
    record(w->recorder, EVENT_APPEND, key, element);
    record(w->recorder, EVENT_COMMITTING, 0, 0);
    must(w,
         lsm_append(w->model->db, w->model->lists, model_key(key, &bytes),
                    (lsm_slice){&element, sizeof element}, &written),
         "an append");
    worker_finish(w, EVENT_COMMITTED, 0);
}

static void get_list(struct worker *w)
{
    const uint32_t key = step_any_list(w);
    struct key_bytes bytes;
    lsm_status status;
    lsm_slice list;

    record_begin(w->recorder, LEVEL_READ_ONLY);
    status = lsm_get(w->model->db, w->model->lists, model_key(key, &bytes), &w->buf);
    if (status != LSM_NOT_FOUND)
        must(w, status, "a read of a list");
    list = (lsm_slice){w->buf.data, w->buf.size};
    step_record_list(w, key, status == LSM_OK ? &list : NULL);
    worker_finish(w, EVENT_COMMITTED, 0);
}

static void count_up(struct worker *w)
{
    const uint32_t key = FIRST_COUNTER + (uint32_t)random_below(&w->random, COUNTERS);
    struct key_bytes bytes;
    int64_t counter = 0;

    record_begin(w->recorder, LEVEL_SERIALIZABLE);
    must(w, lsm_add_i64(w->model->db, NULL, model_key(key, &bytes), 1, &counter, &written),
         "a counter");
    record(w->recorder, EVENT_COUNTED, key, (uint64_t)counter);
    worker_finish(w, EVENT_COMMITTED, 0);
}

// Not recorded: nobody reads it.
static void make_noise(struct worker *w)
{
    struct key_bytes bytes;
    lsm_batch *batch;

    must(w, lsm_batch_new(&batch), "a batch");
    for (int i = 0; i < 600; i++) {
        const uint32_t key = FIRST_NOISE + (uint32_t)random_below(&w->random, NOISE);

        must(w, lsm_batch_put(batch, NULL, model_key(key, &bytes), lsm_str("noise")),
             "a put into a batch");
    }
    must(w, lsm_write(w->model->db, batch, &written), "a batch");
    lsm_batch_free(batch);
}

void single_run(struct worker *w)
{
    static void (*const operations[])(struct worker *) = {
        get_place,      get_pinned_place, get_places, put_place, put_two_places,
        exchange_place, append,           get_list,   count_up,  make_noise};

    operations[random_below(&w->random, sizeof operations / sizeof operations[0])](w);
}

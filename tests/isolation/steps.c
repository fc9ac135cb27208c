#include "isolation/steps.h"

#include <endian.h>
#include <sched.h>
#include <string.h>

static void must(const struct worker *w, lsm_status status, const char *what)
{
    stage_must(w->model->stage, status, what);
}

void step_yield(struct worker *w)
{
    if (random_one_in(&w->random, 3))
        (void)sched_yield();
}

uint32_t step_any_register(struct worker *w)
{
    return (uint32_t)random_below(&w->random, REGISTERS);
}

uint32_t step_any_list(struct worker *w)
{
    return FIRST_LIST + atomic_load_explicit(&w->model->stage->first_list, memory_order_relaxed) +
           (uint32_t)random_below(&w->random, LISTS_OPEN);
}

// --- reads ---

const lsm_slice *step_get(struct worker *w, uint32_t key, lsm_slice *value)
{
    struct key_bytes bytes;
    const lsm_status status =
        lsm_txn_get(w->txn, model_keyspace(w->model, key), model_key(key, &bytes), &w->buf);

    if (status == LSM_NOT_FOUND)
        return NULL;
    must(w, status, "a read in a transaction");
    *value = (lsm_slice){w->buf.data, w->buf.size};
    return value;
}

void step_read(struct worker *w, uint32_t key)
{
    lsm_slice value;
    const bool is_there = step_get(w, key, &value) != NULL;

    record(w->recorder, EVENT_READ, key, is_there ? model_value_number(w->model, value) : 0);
}

static void read_register(struct worker *w)
{
    step_read(w, step_any_register(w));
}

static void read_place(struct worker *w)
{
    step_read(w, FIRST_PLACE + (uint32_t)random_below(&w->random, PLACES));
}

static void read_many(struct worker *w)
{
    enum { COUNT = 4 };
    struct key_bytes bytes[COUNT];
    lsm_slice keys[COUNT];
    lsm_buf values[COUNT] = {LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT, LSM_BUF_INIT};
    lsm_status statuses[COUNT];
    uint32_t numbers[COUNT];

    for (int i = 0; i < COUNT; i++) {
        numbers[i] = step_any_register(w);
        keys[i] = model_key(numbers[i], &bytes[i]);
    }
    must(w, lsm_txn_multi_get(w->txn, NULL, keys, COUNT, values, statuses), "a read of many");
    for (int i = 0; i < COUNT; i++) {
        const lsm_slice value = {values[i].data, values[i].size};

        record(w->recorder, EVENT_READ, numbers[i],
               statuses[i] == LSM_OK ? model_value_number(w->model, value) : 0);
        lsm_buf_free(&values[i]);
    }
}

void step_record_list(struct worker *w, uint32_t key, const lsm_slice *list)
{
    const size_t size = list == NULL ? 0 : list->size / sizeof(uint64_t);

    if (size >= LIST_SIZE_FULL) {
        uint32_t first = atomic_load_explicit(&w->model->stage->first_list, memory_order_relaxed);

        // Of several that find it full one moves on.
        if (key - FIRST_LIST >= first)
            (void)atomic_compare_exchange_strong_explicit(&w->model->stage->first_list, &first,
                                                          first + 1, memory_order_relaxed,
                                                          memory_order_relaxed);
    }
    for (size_t i = 0; i < size; i++) {
        uint64_t element;

        memcpy(&element, (const uint8_t *)list->data + i * sizeof element, sizeof element);
        record(w->recorder, EVENT_ITEM, key, element);
    }
    record(w->recorder, EVENT_READ_LIST, key, 0);
}

static void read_list(struct worker *w)
{
    const uint32_t key = step_any_list(w);
    lsm_slice list;

    step_record_list(w, key, step_get(w, key, &list));
}

// --- scans ---

void step_record_scan(struct worker *w, lsm_iter *it, uint32_t low, uint32_t high,
                      unsigned count_max, bool is_backward)
{
    lsm_status status = is_backward ? lsm_iter_last(it) : lsm_iter_first(it);
    uint32_t key = low;
    lsm_slice value;

    for (; status == LSM_OK && count_max > 0; count_max--) {
        key = model_key_number(w->model, lsm_iter_key(it));
        must(w, lsm_iter_value(it, &value), "a value of a scan");
        record(w->recorder, EVENT_ITEM, key, model_value_number(w->model, value));
        if (count_max > 1)
            status = is_backward ? lsm_iter_prev(it) : lsm_iter_next(it);
    }
    if (status == LSM_OK && is_backward) // it stands on the last one seen
        low = key;
    else if (status == LSM_OK)
        high = key + 1;
    else if (status != LSM_NOT_FOUND)
        must(w, status, "a scan");
    lsm_iter_close(it);
    record(w->recorder, EVENT_SCAN, low, high);
}

// The same keys lie behind the one before the first, and up to the last.
void step_scan(struct worker *w, uint32_t low, uint32_t high)
{
    const bool is_behind = low > 0 && random_one_in(&w->random, 3);
    const bool is_up_to = high > low && random_one_in(&w->random, 3);
    struct key_bytes low_bytes;
    struct key_bytes high_bytes;
    const lsm_slice lower = model_key(is_behind ? low - 1 : low, &low_bytes);
    const lsm_slice upper = model_key(is_up_to ? high - 1 : high, &high_bytes);
    const lsm_iter_options options = {.lower = &lower,
                                      .upper = &upper,
                                      .lower_exclusive = is_behind,
                                      .upper_inclusive = is_up_to};
    const unsigned count_max =
        random_one_in(&w->random, 3) ? 1 + (unsigned)random_below(&w->random, 6) : UINT32_MAX;
    lsm_iter *it;

    must(w, lsm_txn_iter_open(w->txn, NULL, &options, &it), "a scan cannot begin");
    step_yield(w);
    step_record_scan(w, it, low, high, count_max, random_one_in(&w->random, 2));
}

static void scan(struct worker *w)
{
    const uint32_t low = step_any_register(w);
    const uint32_t width = 1 + (uint32_t)random_below(&w->random, 24);

    step_scan(w, low, low + width < REGISTERS ? low + width : REGISTERS);
}

// What an iterator has shown of the registers so far: a stretch without gaps.
struct stretch {
    uint32_t low;
    uint32_t high;              // not part of it
    uint64_t values[REGISTERS]; // 0: absent
};

// Takes in where a move has led. False at an end.
static bool stretch_to(const struct worker *w, struct stretch *stretch, lsm_iter *it,
                       lsm_status status, bool is_backward)
{
    uint32_t key;
    lsm_slice value;

    if (status == LSM_NOT_FOUND && is_backward)
        stretch->low = 0;
    else if (status == LSM_NOT_FOUND)
        stretch->high = REGISTERS;
    if (status == LSM_NOT_FOUND)
        return false;
    must(w, status, "a move of an iterator");
    must(w, lsm_iter_value(it, &value), "a value of an iterator");
    key = model_key_number(w->model, lsm_iter_key(it));
    stretch->values[key] = model_value_number(w->model, value);
    stretch->low = key < stretch->low ? key : stretch->low;
    stretch->high = key >= stretch->high ? key + 1 : stretch->high;
    return true;
}

// Searches for a register, up or down, and goes to and fro from there.
static void wander(struct worker *w)
{
    const uint32_t from = step_any_register(w);
    unsigned moves = (unsigned)random_below(&w->random, 8);
    bool is_backward = random_one_in(&w->random, 2);
    struct stretch stretch = {.low = from, .high = is_backward ? from + 1 : from};
    struct key_bytes bytes;
    const lsm_slice upper = model_key(REGISTERS, &bytes);
    const lsm_iter_options options = {.upper = &upper};
    struct key_bytes from_bytes;
    const lsm_slice key = model_key(from, &from_bytes);
    lsm_status status;
    lsm_iter *it;

    must(w, lsm_txn_iter_open(w->txn, NULL, &options, &it), "an iterator");
    status = is_backward ? lsm_iter_seek_for_prev(it, key) : lsm_iter_seek(it, key);
    while (stretch_to(w, &stretch, it, status, is_backward) && moves-- > 0) {
        is_backward = random_one_in(&w->random, 3) ? !is_backward : is_backward;
        status = is_backward ? lsm_iter_prev(it) : lsm_iter_next(it);
    }
    lsm_iter_close(it);
    for (uint32_t i = stretch.low; i < stretch.high; i++) {
        if (stretch.values[i] != 0)
            record(w->recorder, EVENT_ITEM, i, stretch.values[i]);
    }
    record(w->recorder, EVENT_SCAN, stretch.low, stretch.high);
}

// --- writes ---

uint64_t step_new_value(struct worker *w)
{
    return w->next_value++;
}

void step_put(struct worker *w, uint32_t key, lsm_slice value)
{
    struct key_bytes bytes;

    must(w, lsm_txn_put(w->txn, model_keyspace(w->model, key), model_key(key, &bytes), value),
         "a write in a transaction");
}

static void write_register(struct worker *w)
{
    const uint32_t key = step_any_register(w);
    const uint64_t value = step_new_value(w);
    struct value_bytes bytes;

    step_put(w, key, model_value(value, &bytes));
    record(w->recorder, EVENT_WRITE, key, value);
}

static void delete_register(struct worker *w)
{
    const uint32_t key = step_any_register(w);
    struct key_bytes bytes;

    must(w, lsm_txn_delete(w->txn, NULL, model_key(key, &bytes)), "a deletion in a transaction");
    record(w->recorder, EVENT_WRITE, key, 0);
}

static void change_register(struct worker *w)
{
    const uint32_t key = step_any_register(w);
    const uint64_t value = step_new_value(w);
    struct value_bytes bytes;

    step_read(w, key);
    step_yield(w);
    step_put(w, key, model_value(value, &bytes));
    record(w->recorder, EVENT_WRITE, key, value);
}

static void insert_register(struct worker *w)
{
    const uint32_t key = step_any_register(w);
    const uint64_t value = step_new_value(w);
    struct value_bytes value_bytes;
    struct key_bytes bytes;
    const lsm_status status = lsm_txn_put_if_absent(w->txn, NULL, model_key(key, &bytes),
                                                    model_value(value, &value_bytes));

    if (status == LSM_CONFLICT)
        return; // it is there, with a value not told
    must(w, status, "an insertion in a transaction");
    record(w->recorder, EVENT_READ, key, 0);
    record(w->recorder, EVENT_WRITE, key, value);
}

void step_append(struct worker *w)
{
    const uint32_t key = step_any_list(w);
    const uint64_t element = step_new_value(w);
    uint64_t longer[VALUE_BYTES_MAX / sizeof element];
    lsm_slice list = {NULL, 0};

    step_record_list(w, key, step_get(w, key, &list));
    if (list.size > sizeof longer - sizeof element)
        return; // full, and no longer in use
    if (list.size > 0)
        memcpy(longer, list.data, list.size);
    longer[list.size / sizeof element] = element;
    step_yield(w);
    step_put(w, key, (lsm_slice){longer, list.size + sizeof element});
    record(w->recorder, EVENT_APPEND, key, element);
}

// A counter has little-endian bytes on every machine, for others add to it by lsm_add_i64().
static void count_up(struct worker *w)
{
    const uint32_t key = FIRST_COUNTER + (uint32_t)random_below(&w->random, COUNTERS);
    lsm_slice old;
    uint64_t counter = 0;
    uint64_t bytes;

    if (step_get(w, key, &old) != NULL)
        counter = le64toh((uint64_t)model_integer(w->model, old));
    counter++;
    bytes = htole64(counter);
    step_put(w, key, (lsm_slice){&bytes, sizeof bytes});
    record(w->recorder, EVENT_COUNTED, key, counter);
}

// --- savepoints ---

static void set_savepoint(struct worker *w)
{
    if (w->savepoint_count == sizeof w->savepoints / sizeof w->savepoints[0])
        return;
    must(w, lsm_txn_savepoint(w->txn, &w->savepoints[w->savepoint_count]), "a savepoint");
    record(w->recorder, EVENT_SAVEPOINT, 0, w->savepoint_count);
    w->savepoint_count++;
}

static void go_back(struct worker *w)
{
    unsigned to;

    if (w->savepoint_count == 0)
        return;
    to = (unsigned)random_below(&w->random, w->savepoint_count);
    must(w, lsm_txn_rollback_to(w->txn, w->savepoints[to]), "rolling back to a savepoint");
    record(w->recorder, EVENT_ROLLBACK_TO, 0, to);
    w->savepoint_count = to + 1;
}

// --- any of them ---

void step_run(struct worker *w)
{
    static void (*const reads[])(struct worker *) = {
        read_register, read_register, read_many, read_place, read_list, scan, scan, wander};
    static void (*const writes[])(struct worker *) = {
        write_register, change_register, change_register, delete_register, insert_register,
        step_append,    step_append,     count_up,        set_savepoint,   go_back};

    if (w->level == LEVEL_READ_ONLY || random_one_in(&w->random, 2))
        reads[random_below(&w->random, sizeof reads / sizeof reads[0])](w);
    else
        writes[random_below(&w->random, sizeof writes / sizeof writes[0])](w);
}

// steps_read.c -- the calls that read.

#include "faults/steps.h"

lsm_status step_read(struct world *w, const struct step *step)
{
    struct content expected;

    (void)step;
    world_expect(w, &expected);
    return world_read(w, &expected);
}

static void check_many(struct world *w, const unsigned *numbers, const lsm_buf *values,
                       const lsm_status *statuses)
{
    for (unsigned key = 0; key < WORLD_KEYS; key++) {
        if (statuses[key] == LSM_OK)
            world_check_value(w, numbers[key], key, slice_of_buf(&values[key]));
        if (statuses[key] == LSM_NOT_FOUND && numbers[key] != 0)
            world_wrong(w, "of many, key %u of commit %u is not found", key, numbers[key]);
    }
}

lsm_status step_multi_get(struct world *w, const struct step *step)
{
    char texts[WORLD_KEYS][16];
    lsm_slice keys[WORLD_KEYS];
    lsm_buf values[WORLD_KEYS] = {{0}};
    lsm_status statuses[WORLD_KEYS];
    struct content expected;
    lsm_status status;

    world_expect(w, &expected);
    for (unsigned key = 0; key < WORLD_KEYS; key++) {
        keys[key] = world_key(key, texts[key]);
        statuses[key] = LSM_BUSY; // what nobody has looked at
    }
    status =
        lsm_multi_get(w->db, world_keyspace(w, step->keyspace), keys, WORLD_KEYS, values, statuses);
    check_many(w, expected.numbers[step->keyspace], values, statuses);
    for (unsigned key = 0; key < WORLD_KEYS; key++)
        lsm_buf_free(&values[key]);
    return status;
}

lsm_status step_pin(struct world *w, const struct step *step)
{
    struct content expected;

    world_expect(w, &expected);
    for (unsigned key = 0; key < WORLD_KEYS; key++) {
        const unsigned number = expected.numbers[step->keyspace][key];
        lsm_status status;
        char text[16];
        lsm_pin pin;

        status =
            lsm_get_pinned(w->db, world_keyspace(w, step->keyspace), world_key(key, text), &pin);
        if (status == LSM_OK) {
            world_check_value(w, number, key, pin.value);
            lsm_pin_release(&pin);
        } else if (status == LSM_NOT_FOUND && number != 0) {
            world_wrong(w, "key %u of commit %u is not there to be pinned", key, number);
        } else if (status != LSM_NOT_FOUND) {
            return status;
        }
    }
    return LSM_OK;
}

// --- snapshots ---

static lsm_status get_by(struct world *w, const struct step *step, lsm_snapshot *snapshot,
                         const struct content *expected, unsigned key)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    const unsigned number = expected->numbers[step->keyspace][key];
    char text[16];
    const lsm_status status =
        lsm_snapshot_get(snapshot, world_keyspace(w, step->keyspace), world_key(key, text), &value);

    if (status == LSM_OK)
        world_check_value(w, number, key, slice_of_buf(&value));
    if (status == LSM_NOT_FOUND && number != 0)
        world_wrong(w, "a snapshot does not find key %u of commit %u", key, number);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// Everything as it was when the snapshot was made, whatever has been written since.
static lsm_status read_by_snapshot(struct world *w, const struct step *step, lsm_snapshot *snapshot,
                                   const struct content *expected)
{
    unsigned count = 0;
    lsm_status status;
    lsm_iter *it;

    for (unsigned key = 0; key < WORLD_KEYS; key++)
        TRY(get_by(w, step, snapshot, expected, key));
    TRY(lsm_snapshot_iter_open(snapshot, world_keyspace(w, step->keyspace), NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        count++;
    lsm_iter_close(it);
    for (unsigned key = 0; key < WORLD_KEYS; key++)
        count -= expected->numbers[step->keyspace][key] != 0;
    if (status == LSM_NOT_FOUND && count != 0)
        world_wrong(w, "an iterator of a snapshot misses keys");
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

lsm_status step_snapshot(struct world *w, const struct step *step)
{
    const struct step put = {.run = step_put,
                             .key = step->key,
                             .count = 2,
                             .size = step->size,
                             .keyspace = step->keyspace};
    lsm_snapshot *snapshot;
    struct content expected;
    lsm_status status;

    world_expect(w, &expected);
    TRY(lsm_snapshot_new(w->db, "faults", &snapshot));
    status = step_put(w, &put);
    if (status == LSM_OK)
        status = read_by_snapshot(w, step, snapshot, &expected);
    lsm_snapshot_free(snapshot);
    return status;
}

// --- iterators ---

// From a key in the middle in both directions, the values left out or read ahead.
static lsm_status walk(struct world *w, const struct step *step, lsm_iter *it, bool is_backward)
{
    struct content expected;
    lsm_status status;
    char text[16];
    const lsm_slice from = world_key(WORLD_KEYS / 2, text);
    unsigned seen = 0;

    world_expect(w, &expected);
    status = is_backward ? lsm_iter_seek_for_prev(it, from) : lsm_iter_seek(it, from);
    while (status == LSM_OK) {
        seen++;
        status = is_backward ? lsm_iter_prev(it) : lsm_iter_next(it);
    }
    if (status != LSM_NOT_FOUND)
        return status;
    for (unsigned key = 0; key < WORLD_KEYS; key++) {
        const bool is_wanted = is_backward ? key <= WORLD_KEYS / 2 : key >= WORLD_KEYS / 2;

        seen -= is_wanted && expected.numbers[step->keyspace][key] != 0;
    }
    if (seen != 0)
        world_wrong(w, "an iterator from the middle misses keys or invents some");
    return LSM_OK;
}

lsm_status step_iterate(struct world *w, const struct step *step)
{
    const lsm_slice lower = lsm_str("");
    const lsm_slice upper = lsm_str("kez");

    for (int way = 0; way < 4; way++) {
        const lsm_iter_options options = {
            .lower = &lower, .upper = &upper, .keys_only = way % 2 == 1, .prefetch = 8};
        lsm_status status;
        lsm_iter *it;

        TRY(lsm_iter_open(w->db, world_keyspace(w, step->keyspace), &options, &it));
        status = walk(w, step, it, way >= 2);
        lsm_iter_close(it);
        TRY(status);
    }
    return LSM_OK;
}

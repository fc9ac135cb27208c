// array_iter.c -- moves over an array.

#include "support/array_iter.h"

#include <assert.h>
#include <stdlib.h>

struct array_iter {
    struct iter iter;
    const struct entry *entries;
    size_t count;
    size_t at;
    uint8_t *copy; // key and value of the current entry
    struct array_iter_control *control;
};

static struct array_iter *array_of(struct iter *it)
{
    return (struct array_iter *)it;
}

// Moves to index `at`, which is `count` or wraps below 0 at either end.
static lsm_status array_go(struct array_iter *a, size_t at)
{
    const struct entry *e;

    free(a->copy);
    a->copy = NULL;
    a->iter.is_valid = false;
    a->control->moves++;
    if (a->control->fail_at != 0 && --a->control->fail_at == 0)
        return lsm_fail(LSM_IO, "array: a move that is told to fail");
    if (at >= a->count)
        return LSM_OK;
    e = &a->entries[at];
    a->copy = malloc(e->key.size + e->value.size + 1);
    assert(a->copy != NULL);
    memcpy(a->copy, e->key.data, e->key.size);
    memcpy(a->copy + e->key.size, e->value.data, e->value.size);
    a->at = at;
    a->iter.entry = *e;
    a->iter.entry.key.data = a->copy;
    a->iter.entry.value.data = a->copy + e->key.size;
    a->iter.is_valid = true;
    return LSM_OK;
}

static lsm_status array_first(struct iter *it)
{
    return array_go(array_of(it), 0);
}

static lsm_status array_last(struct iter *it)
{
    return array_go(array_of(it), array_of(it)->count - 1);
}

static lsm_status array_seek(struct iter *it, const struct ikey *target)
{
    struct array_iter *a = array_of(it);
    size_t at = 0;

    while (at < a->count) {
        struct ikey here = entry_ikey(&a->entries[at]);

        if (ikey_compare(&here, target) >= 0)
            break;
        at++;
    }
    return array_go(a, at);
}

static lsm_status array_seek_for_prev(struct iter *it, const struct ikey *target)
{
    struct array_iter *a = array_of(it);
    size_t at = a->count;

    while (at > 0) {
        struct ikey here = entry_ikey(&a->entries[at - 1]);

        if (ikey_compare(&here, target) <= 0)
            break;
        at--;
    }
    return array_go(a, at - 1);
}

static lsm_status array_next(struct iter *it)
{
    assert(it->is_valid);
    return array_go(array_of(it), array_of(it)->at + 1);
}

static lsm_status array_prev(struct iter *it)
{
    assert(it->is_valid);
    return array_go(array_of(it), array_of(it)->at - 1);
}

static void array_close(struct iter *it)
{
    struct array_iter *a = array_of(it);

    a->control->closed++;
    free(a->copy);
    free(a);
}

static const struct iter_ops array_ops = {
    .first = array_first,
    .last = array_last,
    .seek = array_seek,
    .seek_for_prev = array_seek_for_prev,
    .next = array_next,
    .prev = array_prev,
    .close = array_close,
};

struct iter *array_iter_new(const struct entry *entries, size_t count,
                            struct array_iter_control *control)
{
    struct array_iter *a = malloc(sizeof *a);

    assert(a != NULL);
    *a = (struct array_iter){
        .iter = {.ops = &array_ops}, .entries = entries, .count = count, .control = control};
    return &a->iter;
}

#include "model/op_reducer.h"

#include <string.h>

struct reducer {
    struct op_list *list;
    struct op_list trial;
    op_fails_fn fails;
    void *ctx;
    size_t tries;
    size_t tries_max;
};

// Keeps the trial if it fails too.
static bool try_it(struct reducer *r)
{
    if (r->tries == r->tries_max)
        return false;
    r->tries++;
    if (!r->fails(r->ctx, &r->trial))
        return false;
    op_list_copy(r->list, &r->trial);
    return true;
}

static bool try_without(struct reducer *r, size_t start, size_t count)
{
    op_list_copy(&r->trial, r->list);
    memmove(r->trial.ops + start, r->trial.ops + start + count,
            (r->trial.count - start - count) * sizeof *r->trial.ops);
    r->trial.count -= count;
    return try_it(r);
}

// Drops chunks of a size, from the end, where what failed is.
static bool drop_chunks(struct reducer *r, size_t size)
{
    bool has_dropped = false;

    for (size_t end = r->list->count; end > 0;) {
        const size_t start = end > size ? end - size : 0;

        has_dropped |= try_without(r, start, end - start);
        end = start;
    }
    return has_dropped;
}

static bool drop_ops(struct reducer *r)
{
    bool has_dropped = false;

    for (size_t size = r->list->count / 2; size > 1; size /= 2)
        has_dropped |= drop_chunks(r, size);
    while (drop_chunks(r, 1))
        has_dropped = true;
    return has_dropped;
}

static bool try_number(struct reducer *r, size_t index, int field, uint32_t number)
{
    if (r->list->ops[index].field[field] <= number)
        return false;
    op_list_copy(&r->trial, r->list);
    r->trial.ops[index].field[field] = number;
    return try_it(r);
}

static bool shrink_numbers(struct reducer *r)
{
    bool has_shrunk = false;

    for (size_t i = 0; i < r->list->count; i++) {
        for (int field = 0; field < F_COUNT; field++) {
            if (try_number(r, i, field, 0) || try_number(r, i, field, 1))
                has_shrunk = true;
            while (try_number(r, i, field, r->list->ops[i].field[field] / 2))
                has_shrunk = true;
        }
    }
    return has_shrunk;
}

size_t op_reduce(struct op_list *list, op_fails_fn fails, void *ctx, size_t tries_max)
{
    struct reducer r = {.list = list, .fails = fails, .ctx = ctx, .tries_max = tries_max};

    for (bool is_smaller = true; is_smaller && r.tries < tries_max;) {
        is_smaller = drop_ops(&r);
        is_smaller |= shrink_numbers(&r);
    }
    op_list_release(&r.trial);
    return r.tries;
}

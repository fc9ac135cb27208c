// level_iter.c -- the cursor over the tables of one deeper level.
//
// At most one table's cursor is open: that of the table the cursor stands in. It is
// kept from one positioning to the next, as long as they fall into the same table.

#include <assert.h>

#include "base/alloc.h"
#include "manifest/version.h"

struct level_iter {
    struct iter iter; // what the caller sees; first
    struct table_iter_options options;
    struct iter *current; // of tables[index]; NULL: none is open
    size_t index;
    size_t count;
    struct table *tables[]; // a reference each
};

static struct level_iter *level_iter_of(struct iter *it)
{
    return (struct level_iter *)it;
}

// Opens the cursor of table `index`, unless it is open.
static lsm_status open_table(struct level_iter *li, size_t index)
{
    struct iter *opened;

    if (li->current != NULL && li->index == index)
        return LSM_OK;
    TRY(table_iter_new(li->tables[index], &li->options, &opened));
    iter_close(li->current);
    li->current = opened;
    li->index = index;
    return LSM_OK;
}

// Shows the entry that the current table's cursor stands at.
static void show(struct level_iter *li)
{
    li->iter.is_valid = true;
    li->iter.entry = li->current->entry;
}

// Goes on to the next table with an entry, while the current one has come to its end.
static lsm_status settle_forward(struct level_iter *li)
{
    while (!li->current->is_valid) {
        if (li->index + 1 == li->count)
            return LSM_OK;
        TRY(open_table(li, li->index + 1));
        TRY(iter_first(li->current));
    }
    show(li);
    return LSM_OK;
}

static lsm_status settle_backward(struct level_iter *li)
{
    while (!li->current->is_valid) {
        if (li->index == 0)
            return LSM_OK;
        TRY(open_table(li, li->index - 1));
        TRY(iter_last(li->current));
    }
    show(li);
    return LSM_OK;
}

static lsm_status level_iter_first(struct iter *it)
{
    struct level_iter *li = level_iter_of(it);

    it->is_valid = false;
    if (li->count == 0)
        return LSM_OK;
    TRY(open_table(li, 0));
    TRY(iter_first(li->current));
    return settle_forward(li);
}

static lsm_status level_iter_last(struct iter *it)
{
    struct level_iter *li = level_iter_of(it);

    it->is_valid = false;
    if (li->count == 0)
        return LSM_OK;
    TRY(open_table(li, li->count - 1));
    TRY(iter_last(li->current));
    return settle_backward(li);
}

// Index of the first table that ends at or behind `target`.
static size_t first_ending_at(const struct level_iter *li, const struct ikey *target)
{
    size_t low = 0;
    size_t high = li->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ikey_compare(&table_meta(li->tables[middle])->largest, target) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// Number of tables that start at or before `target`.
static size_t count_starting_until(const struct level_iter *li, const struct ikey *target)
{
    size_t low = 0;
    size_t high = li->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (ikey_compare(&table_meta(li->tables[middle])->smallest, target) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static lsm_status level_iter_seek(struct iter *it, const struct ikey *target)
{
    struct level_iter *li = level_iter_of(it);
    size_t index = first_ending_at(li, target);

    it->is_valid = false;
    if (index == li->count)
        return LSM_OK;
    TRY(open_table(li, index));
    TRY(iter_seek(li->current, target));
    return settle_forward(li);
}

static lsm_status level_iter_seek_for_prev(struct iter *it, const struct ikey *target)
{
    struct level_iter *li = level_iter_of(it);
    size_t count = count_starting_until(li, target);

    it->is_valid = false;
    if (count == 0)
        return LSM_OK;
    TRY(open_table(li, count - 1));
    TRY(iter_seek_for_prev(li->current, target));
    return settle_backward(li);
}

static lsm_status level_iter_next(struct iter *it)
{
    struct level_iter *li = level_iter_of(it);

    assert(it->is_valid);
    it->is_valid = false;
    TRY(iter_next(li->current));
    return settle_forward(li);
}

static lsm_status level_iter_prev(struct iter *it)
{
    struct level_iter *li = level_iter_of(it);

    assert(it->is_valid);
    it->is_valid = false;
    TRY(iter_prev(li->current));
    return settle_backward(li);
}

static void level_iter_close(struct iter *it)
{
    struct level_iter *li = level_iter_of(it);

    iter_close(li->current);
    for (size_t i = 0; i < li->count; i++)
        table_unref(li->tables[i]);
    mem_free(li);
}

static const struct iter_ops level_iter_ops = {
    .first = level_iter_first,
    .last = level_iter_last,
    .seek = level_iter_seek,
    .seek_for_prev = level_iter_seek_for_prev,
    .next = level_iter_next,
    .prev = level_iter_prev,
    .close = level_iter_close,
};

lsm_status level_iter_new(struct table *const *tables, size_t count,
                          const struct table_iter_options *options, struct iter **out)
{
    struct level_iter *li = mem_alloc(sizeof *li + count * sizeof(struct table *));

    if (li == NULL)
        return lsm_fail(LSM_NO_MEMORY, "level cursor: %zu tables", count);
    *li = (struct level_iter){.iter.ops = &level_iter_ops, .options = *options, .count = count};
    for (size_t i = 0; i < count; i++) {
        li->tables[i] = tables[i];
        table_ref(tables[i]);
    }
    *out = &li->iter;
    return LSM_OK;
}

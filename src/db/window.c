#include "db/window.h"

#include <stdlib.h>

#include "base/alloc.h"
#include "base/pointer.h"

// Bytes of values that a window holds at most (one value may exceed it).
#define WINDOW_BYTES_MAX (UINT64_C(4) << 20)

struct item {
    struct entry entry; // borrows from `key` and `encoded`
    lsm_buf key;
    uint8_t encoded[POINTER_SIZE_MAX];
    struct value_pointer pointer;
    lsm_buf value;
    struct failure failure; // of reading the value
};

struct window {
    size_t capacity;
    size_t count;
    size_t at;
    struct item *items;
    struct item **order; // by place in the value log, while filling
};

lsm_status window_new(size_t capacity, struct window **out)
{
    struct window *window = mem_alloc_zeroed(1, sizeof *window);

    if (window != NULL) {
        window->capacity = capacity;
        window->items = mem_alloc_zeroed(capacity, sizeof *window->items);
        window->order = mem_alloc_zeroed(capacity, sizeof *window->order);
    }
    if (window == NULL || window->items == NULL || window->order == NULL) {
        window_free(window);
        return lsm_fail(LSM_NO_MEMORY, "a window of %zu values", capacity);
    }
    *out = window;
    return LSM_OK;
}

void window_free(struct window *window)
{
    if (window == NULL)
        return;
    for (size_t i = 0; window->items != NULL && i < window->capacity; i++) {
        lsm_buf_free(&window->items[i].key);
        lsm_buf_free(&window->items[i].value);
    }
    mem_free(window->items);
    mem_free(window->order);
    mem_free(window);
}

// Copies an entry with a separated value.
static lsm_status item_take(struct item *item, const struct entry *entry)
{
    TRY(pointer_decode(entry->value, &item->pointer));
    TRY(buf_assign(&item->key, entry->key));
    memcpy(item->encoded, entry->value.data, entry->value.size);
    item->entry = *entry;
    item->entry.key = slice_of_buf(&item->key);
    item->entry.value = slice_make(item->encoded, entry->value.size);
    return LSM_OK;
}

static int compare_places(const void *a, const void *b)
{
    const struct value_pointer *first = &(*(struct item *const *)a)->pointer;
    const struct value_pointer *second = &(*(struct item *const *)b)->pointer;

    if (first->segment != second->segment)
        return first->segment < second->segment ? -1 : 1;
    return (first->offset > second->offset) - (first->offset < second->offset);
}

static void read_values(struct window *window, struct lsm_db *db, const struct view *view)
{
    EPOCH_SECTION();

    for (size_t i = 0; i < window->count; i++)
        window->order[i] = &window->items[i];
    qsort(window->order, window->count, sizeof *window->order, compare_places);
    for (size_t i = 0; i < window->count; i++) {
        struct item *item = window->order[i];

        failure_capture(&item->failure, read_value(db, view, &item->entry, -1, &item->value));
    }
}

lsm_status window_fill(struct window *window, struct lsm_db *db, const struct view *view,
                       struct visible_iter *vi, const lsm_slice *upper)
{
    uint64_t bytes = 0;

    window_clear(window);
    while (window->count < window->capacity && vi->entry != NULL) {
        const struct entry *entry = vi->entry;
        struct item *item = &window->items[window->count];

        if (entry->kind != ENTRY_POINTER ||
            (upper != NULL && slice_compare(entry->key, *upper) >= 0) ||
            (window->count > 0 && bytes + read_value_size(entry) > WINDOW_BYTES_MAX))
            break;
        TRY(item_take(item, entry));
        bytes += item->pointer.value_size;
        window->count++;
        TRY(visible_iter_next(vi));
    }
    read_values(window, db, view);
    return LSM_OK;
}

bool window_advance(struct window *window)
{
    if (++window->at < window->count)
        return true;
    window_clear(window);
    return false;
}

void window_clear(struct window *window)
{
    window->count = 0;
    window->at = 0;
}

bool window_holds_entries(const struct window *window)
{
    return window->count > 0;
}

const struct entry *window_entry(const struct window *window)
{
    return &window->items[window->at].entry;
}

lsm_status window_value(const struct window *window, lsm_slice *value)
{
    const struct item *item = &window->items[window->at];

    if (item->failure.status != LSM_OK)
        return failure_raise(&item->failure);
    *value = slice_of_buf(&item->value);
    return LSM_OK;
}

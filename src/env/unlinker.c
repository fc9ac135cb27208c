// unlinker.c -- a queue of names under one mutex; the unlinking itself happens
// outside of it.

#include "env/unlinker.h"

#include <assert.h>

#include "base/alloc.h"
#include "env/sync.h"

struct unlinker_item {
    struct unlinker_item *next;
    enum filename_kind kind;
    uint64_t number;
};

struct unlinker {
    struct dir *dir;       // immutable
    struct poison *poison; // immutable
    void (*on_added)(void *ctx);
    void *on_added_ctx;

    struct mutex mu; // rank LOCK_LEAF; guards the fields below
    struct unlinker_item *oldest;
    struct unlinker_item *newest;
    size_t count;
    size_t holds;
    struct failure failure; // of a file that is still queued
};

lsm_status unlinker_new(struct dir *dir, struct poison *poison, struct unlinker **out)
{
    struct unlinker *u = mem_alloc_zeroed(1, sizeof *u);

    if (u == NULL)
        return lsm_fail(LSM_NO_MEMORY, "unlinker: %zu bytes", sizeof *u);
    u->dir = dir;
    u->poison = poison;
    mutex_init(&u->mu, LOCK_LEAF);
    *out = u;
    return LSM_OK;
}

void unlinker_free(struct unlinker *u)
{
    if (u == NULL)
        return;
    while (u->oldest != NULL) {
        struct unlinker_item *item = u->oldest;

        u->oldest = item->next;
        mem_free(item);
    }
    mutex_release(&u->mu);
    mem_free(u);
}

void unlinker_set_notify(struct unlinker *u, void (*on_added)(void *ctx), void *ctx)
{
    u->on_added = on_added;
    u->on_added_ctx = ctx;
}

static void append_locked(struct unlinker *u, struct unlinker_item *item)
{
    item->next = NULL;
    if (u->newest == NULL)
        u->oldest = item;
    else
        u->newest->next = item;
    u->newest = item;
    u->count++;
}

static void notify(struct unlinker *u)
{
    if (u->on_added != NULL)
        u->on_added(u->on_added_ctx);
}

void unlinker_add(struct unlinker *u, enum filename_kind kind, uint64_t number)
{
    struct unlinker_item *item = mem_alloc(sizeof *item);

    if (item == NULL)
        return; // the next open removes the file as an orphan
    item->kind = kind;
    item->number = number;
    mutex_lock(&u->mu);
    append_locked(u, item);
    mutex_unlock(&u->mu);
    notify(u);
}

void unlinker_hold(struct unlinker *u)
{
    mutex_lock(&u->mu);
    u->holds++;
    mutex_unlock(&u->mu);
}

void unlinker_allow(struct unlinker *u)
{
    bool has_work;

    mutex_lock(&u->mu);
    assert(u->holds > 0);
    u->holds--;
    has_work = u->holds == 0 && u->count > 0;
    mutex_unlock(&u->mu);
    if (has_work)
        notify(u);
}

// The oldest item, or NULL when there is none or removal is not allowed now.
static struct unlinker_item *take_oldest(struct unlinker *u)
{
    struct unlinker_item *item = NULL;

    mutex_lock(&u->mu);
    if (u->holds == 0 && !poison_is_set(u->poison) && u->oldest != NULL) {
        item = u->oldest;
        u->oldest = item->next;
        if (u->oldest == NULL)
            u->newest = NULL;
        u->count--;
    }
    mutex_unlock(&u->mu);
    return item;
}

static lsm_status unlink_item(struct unlinker *u, const struct unlinker_item *item)
{
    struct filename name = filename_of(item->kind, item->number);

    return file_unlink(u->dir, name.text);
}

static void keep_for_later(struct unlinker *u, struct unlinker_item *item, lsm_status status)
{
    mutex_lock(&u->mu);
    append_locked(u, item);
    failure_capture(&u->failure, status);
    mutex_unlock(&u->mu);
}

size_t unlinker_drain(struct unlinker *u, size_t count_max)
{
    size_t removed = 0;
    bool is_whole;
    size_t left;

    // One try for each: a file that cannot be removed waits for the next call.
    mutex_lock(&u->mu);
    is_whole = count_max >= u->count;
    if (is_whole)
        count_max = u->count;
    mutex_unlock(&u->mu);
    for (size_t i = 0; i < count_max; i++) {
        struct unlinker_item *item = take_oldest(u);
        lsm_status status;

        if (item == NULL)
            break;
        status = unlink_item(u, item);
        if (status == LSM_OK) {
            removed++;
            mem_free(item);
        } else {
            keep_for_later(u, item, status);
        }
    }
    mutex_lock(&u->mu);
    if (is_whole && removed == count_max)
        u->failure.status = LSM_OK; // all that had failed went, too
    left = u->count;
    mutex_unlock(&u->mu);
    return left;
}

lsm_status unlinker_health(struct unlinker *u)
{
    struct failure failure;

    mutex_lock(&u->mu);
    failure = u->failure;
    mutex_unlock(&u->mu);
    return failure_raise(&failure);
}

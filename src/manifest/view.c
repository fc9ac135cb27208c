#include "manifest/view.h"

#include <assert.h>

#include "base/alloc.h"
#include "base/container.h"
#include "base/schedule.h"

// --- memtables with their log ---

lsm_status logged_memtable_new(struct epoch_bin *bin, size_t size, struct log_position start,
                               struct logged_memtable **out)
{
    struct logged_memtable *lm = mem_alloc_zeroed(1, sizeof *lm);
    lsm_status status;

    if (lm == NULL)
        return lsm_fail(LSM_NO_MEMORY, "memtable: %zu bytes", sizeof *lm);
    status = memtable_new(size, &lm->mem);
    if (status != LSM_OK) {
        mem_free(lm);
        return status;
    }
    atomic_init(&lm->refs, 1);
    atomic_init(&lm->segments, NULL);
    lm->bin = bin;
    lm->start = start;
    *out = lm;
    return LSM_OK;
}

void logged_memtable_ref(struct logged_memtable *lm)
{
    // Relaxed: who takes a reference has one already.
    atomic_fetch_add_explicit(&lm->refs, 1, memory_order_relaxed);
}

// Readers reach a memtable through a view, whose references go when no section can
// see the view any more: what follows the last one needs no further grace.
void logged_memtable_unref(struct logged_memtable *lm)
{
    // Acquire and release: what any holder did happens before the memory goes.
    if (lm == NULL || atomic_fetch_sub_explicit(&lm->refs, 1, memory_order_acq_rel) != 1)
        return;
    segment_set_retire(atomic_load_explicit(&lm->segments, memory_order_relaxed));
    memtable_free(lm->mem);
    mem_free(lm);
}

lsm_status logged_memtable_add_segment(struct logged_memtable *lm, struct segment *segment)
{
    // Relaxed: only the holder of the role writes it, which is the caller.
    struct segment_set *known = atomic_load_explicit(&lm->segments, memory_order_relaxed);
    struct segment_set *larger;

    if (known != NULL && segment_set_find(known, segment_id(segment)) != NULL)
        return LSM_OK;
    TRY(segment_set_with(known, segment, &larger));
    // Release: pairs with the acquire in logged_memtable_find_segment().
    atomic_store_explicit(&lm->segments, larger, memory_order_release);
    segment_set_retire(known);
    return LSM_OK;
}

struct segment *logged_memtable_find_segment(const struct logged_memtable *lm, uint32_t id)
{
    const struct segment_set *set = atomic_load_explicit(&lm->segments, memory_order_acquire);

    return set == NULL ? NULL : segment_set_find(set, id);
}

// --- views ---

static size_t view_size(size_t memtable_count)
{
    return sizeof(struct view) + memtable_count * sizeof(struct logged_memtable *);
}

// NULL, and the failure described, when memory is short.
static struct view *view_alloc(size_t memtable_count)
{
    struct view *view = mem_alloc(view_size(memtable_count));

    if (view == NULL)
        (void)lsm_fail(LSM_NO_MEMORY, "view: %zu memtables", memtable_count);
    return view;
}

// Takes the references of a view that holds `count` memtables.
static void view_fill(struct view *view, struct version *version,
                      struct logged_memtable *const *memtables, size_t count)
{
    atomic_init(&view->refs, 1);
    view->version = version;
    version_ref(version);
    view->memtable_count = count;
    for (size_t i = 0; i < count; i++) {
        view->memtables[i] = memtables[i];
        logged_memtable_ref(memtables[i]);
    }
}

static void view_free(struct epoch_node *node)
{
    struct view *view = CONTAINER_OF(node, struct view, node);

    for (size_t i = 0; i < view->memtable_count; i++)
        logged_memtable_unref(view->memtables[i]);
    version_unref(view->version);
    mem_free(view);
}

void view_unref(struct view *view)
{
    // Acquire and release: what any holder did happens before the last one retires it.
    if (view != NULL && atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) == 1)
        epoch_retire(view->version->bin, &view->node, view_free);
}

// The current view, for who holds the mutex or is alone: nobody else replaces it.
static struct view *current_locked(struct views *views)
{
    return atomic_load_explicit(&views->current, memory_order_relaxed);
}

lsm_status views_init(struct views *views, struct epoch_bin *bin, struct logged_memtable *active,
                      struct version *version)
{
    struct view *view = view_alloc(1);

    if (view == NULL)
        return LSM_NO_MEMORY;
    view_fill(view, version, &active, 1);
    views->bin = bin;
    views->slots = NULL;
    atomic_init(&views->current, view);
    mutex_init(&views->mu, LOCK_VERSIONS);
    cond_init(&views->changed);
    return LSM_OK;
}

void views_release(struct views *views)
{
    assert(views->slots == NULL);
    view_unref(current_locked(views));
    cond_release(&views->changed);
    mutex_release(&views->mu);
}

// A reference, unless the last one has gone.
static bool view_try_ref(struct view *view)
{
    uint32_t refs = atomic_load_explicit(&view->refs, memory_order_relaxed);

    while (refs != 0) {
        // Relaxed: the section keeps the view, and loading it has ordered its content.
        if (atomic_compare_exchange_weak_explicit(&view->refs, &refs, refs + 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

struct view *views_acquire(struct views *views)
{
    EPOCH_SECTION();
    struct view *view;

    // One whose last reference has gone is not the current one any more.
    do {
        view = views_current(views);
        SCHEDULE_POINT();
    } while (!view_try_ref(view));
    return view;
}

// --- changing the view ---

// Room for the next view, in the list of its views while it is not used.
struct view_slot {
    struct views *views;
    struct view *room;
    size_t capacity; // memtables it has room for
    struct view_slot *next;
    struct view_slot *previous;
};

static lsm_status slot_reserve(struct view_slot *slot, size_t memtable_count)
{
    struct view *room;

    if (slot->capacity >= memtable_count)
        return LSM_OK;
    room = view_alloc(memtable_count);
    if (room == NULL)
        return LSM_NO_MEMORY;
    mem_free(slot->room);
    slot->room = room;
    slot->capacity = memtable_count;
    return LSM_OK;
}

static void slot_unlink_locked(struct view_slot *slot)
{
    if (slot->previous != NULL)
        slot->previous->next = slot->next;
    else
        slot->views->slots = slot->next;
    if (slot->next != NULL)
        slot->next->previous = slot->previous;
}

lsm_status views_prepare(struct views *views, struct view_slot **out)
{
    struct view_slot *slot = mem_alloc_zeroed(1, sizeof *slot);
    lsm_status status;

    if (slot == NULL)
        return lsm_fail(LSM_NO_MEMORY, "view: %zu bytes", sizeof *slot);
    slot->views = views;
    mutex_lock(&views->mu);
    status = slot_reserve(slot, current_locked(views)->memtable_count);
    if (status == LSM_OK) {
        slot->next = views->slots;
        if (slot->next != NULL)
            slot->next->previous = slot;
        views->slots = slot;
    }
    mutex_unlock(&views->mu);
    if (status != LSM_OK) {
        mem_free(slot);
        return status;
    }
    *out = slot;
    return LSM_OK;
}

void view_slot_free(struct view_slot *slot)
{
    struct views *views;

    if (slot == NULL)
        return;
    views = slot->views;
    mutex_lock(&views->mu);
    slot_unlink_locked(slot);
    mutex_unlock(&views->mu);
    mem_free(slot->room);
    mem_free(slot);
}

// Makes `view` the current one, and returns the one before, with its reference.
static struct view *replace_locked(struct views *views, struct view *view)
{
    struct view *before = current_locked(views);

    SCHEDULE_POINT();
    // Release: pairs with the acquire in views_current(). Whoever sees the view sees
    // what it holds.
    atomic_store_explicit(&views->current, view, memory_order_release);
    cond_broadcast(&views->changed);
    return before;
}

static lsm_status reserve_slots_locked(struct views *views, size_t memtable_count)
{
    for (struct view_slot *slot = views->slots; slot != NULL; slot = slot->next)
        TRY(slot_reserve(slot, memtable_count));
    return LSM_OK;
}

lsm_status views_push_memtable(struct views *views, struct logged_memtable *active)
{
    struct view *before = NULL;
    struct view *view = NULL;
    lsm_status status;
    size_t count;

    mutex_lock(&views->mu);
    count = current_locked(views)->memtable_count + 1;
    status = reserve_slots_locked(views, count);
    if (status == LSM_OK) {
        view = view_alloc(count);
        status = view == NULL ? LSM_NO_MEMORY : LSM_OK;
    }
    if (status == LSM_OK) {
        before = current_locked(views);
        view_fill(view, before->version, before->memtables, count - 1);
        memmove(view->memtables + 1, view->memtables, (count - 1) * sizeof *view->memtables);
        view->memtables[0] = active;
        logged_memtable_ref(active);
        view->memtable_count = count;
        before = replace_locked(views, view);
    }
    mutex_unlock(&views->mu);
    view_unref(before);
    return status;
}

void views_install(struct views *views, struct view_slot *slot, struct version *version,
                   size_t flushed)
{
    struct view *before;

    mutex_lock(&views->mu);
    slot_unlink_locked(slot); // from here on no push changes it
    before = current_locked(views);
    assert(flushed < before->memtable_count);
    assert(slot->capacity >= before->memtable_count);
    view_fill(slot->room, version, before->memtables, before->memtable_count - flushed);
    before = replace_locked(views, slot->room);
    mutex_unlock(&views->mu);
    view_unref(before);
    mem_free(slot);
}

struct segment *view_find_segment(const struct view *view, int memtable, uint32_t id)
{
    if (memtable < 0)
        return version_find_segment(view->version, id);
    assert((size_t)memtable < view->memtable_count);
    return logged_memtable_find_segment(view->memtables[memtable], id);
}

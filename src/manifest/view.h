// view.h -- what a read sees: memtables and a version, loaded with one pointer.
//
// One-shot reads load the current view inside an epoch section, *then* the
// published timestamp. Cursors and pinned values hold a reference.

#ifndef LSM_MANIFEST_VIEW_H
#define LSM_MANIFEST_VIEW_H

#include <assert.h>

#include "manifest/version.h"
#include "memtable/memtable.h"

// A memtable and the stretch of log it was built from.
struct logged_memtable {
    _Atomic uint32_t refs;
    struct epoch_bin *bin;
    struct memtable *mem;
    struct log_position start; // its first frame lies at or behind this; immutable
    // The segments its pointers resolve through. Replaced by the writer role when the
    // log moves on (release), read inside an epoch section (acquire).
    _Atomic(struct segment_set *) segments;
    // Set by the role while it is active, read by others once it is not.
    uint64_t first_ts; // 0 while empty
    uint64_t last_ts;
    uint64_t log_bytes; // of its frames
};

lsm_status logged_memtable_new(struct epoch_bin *bin, size_t size, struct log_position start,
                               struct logged_memtable **out);
void logged_memtable_ref(struct logged_memtable *lm);
void logged_memtable_unref(struct logged_memtable *lm);
// [role] Makes `segment` one of those its pointers resolve through, if it is not yet.
lsm_status logged_memtable_add_segment(struct logged_memtable *lm, struct segment *segment);
// [role] How many those are.
static inline size_t logged_memtable_segment_count(const struct logged_memtable *lm)
{
    // Relaxed: only the holder of the role writes it, which is the caller.
    const struct segment_set *set = atomic_load_explicit(&lm->segments, memory_order_relaxed);

    return set == NULL ? 0 : set->count;
}

// Inside an epoch section; NULL when unknown.
struct segment *logged_memtable_find_segment(const struct logged_memtable *lm, uint32_t id);

struct view {
    struct epoch_node node;
    _Atomic uint32_t refs;
    struct version *version;
    size_t memtable_count;               // at least 1
    struct logged_memtable *memtables[]; // the active one, then immutable ones, newest first
};

struct view_slot;

// The current view, and how it changes. `changed` is signalled, with `mu` held, at
// every change.
struct views {
    struct epoch_bin *bin;
    _Atomic(struct view *) current; // release by who changes it, acquire by readers
    struct mutex mu;                // rank LOCK_VERSIONS; serialises changes, guards `slots`
    struct cond changed;
    struct view_slot *slots; // handed out by views_prepare(); a push keeps them large enough
};

// Takes references of its own to both.
lsm_status views_init(struct views *views, struct epoch_bin *bin, struct logged_memtable *active,
                      struct version *version);
// No reader is left.
void views_release(struct views *views);

// Inside an epoch section, valid until it ends. Nobody is exempt, not even who pushes
// memtables: the view is replaced, and released, by every flush and merge.
static inline struct view *views_current(struct views *views)
{
    assert(epoch_is_inside());
    return atomic_load_explicit(&views->current, memory_order_acquire);
}

// The current view with a reference of the caller's.
struct view *views_acquire(struct views *views);
void view_unref(struct view *view);

// Whether a memtable waits for its flush.
static inline bool views_have_immutable(struct views *views)
{
    EPOCH_SECTION();

    return views_current(views)->memtable_count > 1;
}

// Makes `active` the active memtable; the one before becomes immutable.
lsm_status views_push_memtable(struct views *views, struct logged_memtable *active);
// Installs `version`, and drops the `flushed` oldest immutable memtables with it.
// Making the new view is prepared first, so that installing cannot fail: see
// views_prepare().
// Reserves what views_install() needs; LSM_NO_MEMORY before an edit is written beats
// one after it.
lsm_status views_prepare(struct views *views, struct view_slot **out);
void view_slot_free(struct view_slot *slot);
// Takes over `slot`; takes a reference to `version`.
void views_install(struct views *views, struct view_slot *slot, struct version *version,
                   size_t flushed);

// The segment that a pointer found through `view` resolves to. An entry of a memtable
// resolves through that memtable, one of a table through the version: pass the
// memtable's index, or -1. Inside an epoch section.
struct segment *view_find_segment(const struct view *view, int memtable, uint32_t id);

#endif

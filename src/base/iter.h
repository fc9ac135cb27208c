// iter.h -- the cursor over entries that every store offers and the merge joins.
//
// A move sets `entry` and `is_valid`, or returns a failure; after a failure the
// cursor is not valid and may be positioned again. Moving past either end makes
// it not valid and is no failure. `entry` and what its slices borrow live until
// the next move or iter_close(). One thread at a time.

#ifndef LSM_BASE_ITER_H
#define LSM_BASE_ITER_H

#include "base/ikey.h"

struct iter;

struct iter_ops {
    lsm_status (*first)(struct iter *it);
    lsm_status (*last)(struct iter *it);
    // The first entry at or after `target`.
    lsm_status (*seek)(struct iter *it, const struct ikey *target);
    // The last entry at or before `target`.
    lsm_status (*seek_for_prev)(struct iter *it, const struct ikey *target);
    // From a valid position only.
    lsm_status (*next)(struct iter *it);
    lsm_status (*prev)(struct iter *it);
    void (*close)(struct iter *it);
};

struct iter {
    const struct iter_ops *ops;
    bool is_valid;
    struct entry entry;
};

static inline lsm_status iter_first(struct iter *it)
{
    return it->ops->first(it);
}

static inline lsm_status iter_last(struct iter *it)
{
    return it->ops->last(it);
}

static inline lsm_status iter_seek(struct iter *it, const struct ikey *target)
{
    return it->ops->seek(it, target);
}

static inline lsm_status iter_seek_for_prev(struct iter *it, const struct ikey *target)
{
    return it->ops->seek_for_prev(it, target);
}

static inline lsm_status iter_next(struct iter *it)
{
    return it->ops->next(it);
}

static inline lsm_status iter_prev(struct iter *it)
{
    return it->ops->prev(it);
}

// Releases the cursor; NULL is nothing.
static inline void iter_close(struct iter *it)
{
    if (it != NULL)
        it->ops->close(it);
}

static inline void iter_closep(struct iter **it)
{
    iter_close(*it);
}

#endif

// window.h -- entries read ahead of an iterator, with their separated values.
//
// The values of a window are read in the order in which they lie in the value log, not in key
// order, so that a scan of values written at other times seeks less.

#ifndef LSM_DB_WINDOW_H
#define LSM_DB_WINDOW_H

#include "db/read.h"
#include "db/visible.h"

struct window;

lsm_status window_new(size_t capacity, struct window **out);
void window_free(struct window *window);

// Fills the window with the current entry of `vi` and those behind it, as long as they have
// separated values and lie before `upper` (NULL: open), and leaves `vi` behind the last. A
// value that cannot be read fails when it is asked for. At least the current entry is taken.
lsm_status window_fill(struct window *window, struct lsm_db *db, const struct view *view,
                       struct visible_iter *vi, const lsm_slice *upper);

// Goes to the next entry; false when the window is used up, which empties it.
bool window_advance(struct window *window);
void window_clear(struct window *window);
bool window_holds_entries(const struct window *window);
static inline bool window_is_active(const struct window *window)
{
    return window != NULL && window_holds_entries(window);
}

// Of the current entry; borrowed until the window moves.
const struct entry *window_entry(const struct window *window);
lsm_status window_value(const struct window *window, lsm_slice *value);

#endif

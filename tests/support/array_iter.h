// array_iter.h -- a cursor over a sorted array of entries, for tests of what
// stands on cursors.
//
// Each position is a fresh copy of its entry, released by the next move, so that
// a sanitizer sees who keeps a slice too long.

#ifndef LSM_TESTS_SUPPORT_ARRAY_ITER_H
#define LSM_TESTS_SUPPORT_ARRAY_ITER_H

#include "base/iter.h"

struct array_iter_control {
    size_t fail_at; // the move with this number from now fails with LSM_IO; 0: none
    size_t moves;   // made so far
    size_t closed;  // cursors closed
};

// `entries` and `control` outlive the cursor; several may share a control.
struct iter *array_iter_new(const struct entry *entries, size_t count,
                            struct array_iter_control *control);

#endif

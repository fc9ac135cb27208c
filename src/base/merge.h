// merge.h -- many cursors as one, by a loser tree.

#ifndef LSM_BASE_MERGE_H
#define LSM_BASE_MERGE_H

#include "base/iter.h"

// Joins `count` cursors (0 is allowed) into one that yields all their entries in
// order. On success the merge owns the cursors and closes them; on failure the
// caller still does. Entries are distinct across the children: where two compare
// equal, the child with the lower index comes first in both directions.
// Direction may change at any entry.
lsm_status merge_new(struct iter *const *children, size_t count, struct iter **out);

#endif

// flush.h -- from memtable to level 0.

#ifndef LSM_COMPACTION_FLUSH_H
#define LSM_COMPACTION_FLUSH_H

#include "compaction/engine.h"

// Writes the oldest immutable memtable of the current view to one level-0 table (none
// when all its entries are of dropped keyspaces), syncs the segments it points to,
// publishes the edit that adds the table and moves the replay position to the start
// of the next memtable, and installs the view without the memtable. `*has_flushed` is false
// when there was nothing to flush. One at a time.
lsm_status flush_run(struct engine *engine, bool *has_flushed);

#endif

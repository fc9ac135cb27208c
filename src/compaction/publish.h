// publish.h -- making an edit true: the end of every flush, merge and move.

#ifndef LSM_COMPACTION_PUBLISH_H
#define LSM_COMPACTION_PUBLISH_H

#include "compaction/engine.h"

// Makes the names of files in the database directory durable; a failure sets the
// poison. Before an edit that adds a file.
lsm_status publish_sync_names(struct engine *engine);

// Applies `edit` to the current version and installs the result, with the `flushed`
// oldest immutable memtables dropped from the view. All that the edit names is
// durable. On failure the current view stays.
lsm_status publish_edit(struct engine *engine, struct edit *edit, size_t flushed);

// Has the files of the tables that `edit` adds removed, after it could not be
// published: no version names them. While the edit's fate on disk is open, the
// unlinker keeps them.
void publish_discard(struct engine *engine, const struct edit *edit);

#endif

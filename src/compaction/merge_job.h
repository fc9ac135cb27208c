// merge_job.h -- runs one compaction.

#ifndef LSM_COMPACTION_MERGE_JOB_H
#define LSM_COMPACTION_MERGE_JOB_H

#include "compaction/compaction.h"

// Merges, writes, syncs, publishes the edit, installs the view. On failure the
// inputs stay, outputs are removed, and the error names the file. `is_stopping`, when
// it becomes true, ends the merge with LSM_BUSY at the next block.
lsm_status merge_job_run(struct engine *engine, struct compaction *compaction,
                         const _Atomic bool *is_stopping);

#endif

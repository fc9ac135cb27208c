// log_restart.h -- the frames above the mark, copied into the segment that a new process
// begins with.
//
// They were read, but may be in the page cache only: nothing may be appended behind them
// where they lie.

#ifndef LSM_VLOG_LOG_RESTART_H
#define LSM_VLOG_LOG_RESTART_H

#include "vlog/log_walk.h"

// Copies them from the start of `to`, which has room, in order, each with the walk's mark
// and the edit number of the manifest; `*end` is the end of the last. Does not sync.
lsm_status log_restart_copy(const struct log_walk *walk, struct segment *to, uint64_t *end);

#endif

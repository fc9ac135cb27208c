// unlinker.h -- files to be removed, once nothing may name them any more.
//
// Tables and segments put themselves here when their last reference goes after a
// durable edit has removed them. The reclaim job drains the queue. While it is
// held (an edit's fate is open, or the database is poisoned) nothing is removed.

#ifndef LSM_ENV_UNLINKER_H
#define LSM_ENV_UNLINKER_H

#include "env/env.h"
#include "env/filename.h"
#include "env/poison.h"

struct unlinker;

lsm_status unlinker_new(struct dir *dir, struct poison *poison, struct unlinker **out);
// Forgets what is still queued: the next open removes those files as orphans.
void unlinker_free(struct unlinker *unlinker);

// `on_added` is called (outside any lock of this module) whenever there is work,
// so that the owner can submit a job. Set before use by several threads.
void unlinker_set_notify(struct unlinker *unlinker, void (*on_added)(void *ctx), void *ctx);

// Queues one file. Never fails: when memory is short the name is left to the next
// open's removal of orphans. Any thread.
void unlinker_add(struct unlinker *unlinker, enum filename_kind kind, uint64_t number);

// Stops and allows removal; holds count.
void unlinker_hold(struct unlinker *unlinker);
void unlinker_allow(struct unlinker *unlinker);

// Removes up to `count_max` files; returns how many are still queued. A file that
// cannot be removed is kept for a later try.
size_t unlinker_drain(struct unlinker *unlinker, size_t count_max);

// Why a file that is still queued could not be removed; LSM_OK when none has failed. Any thread.
lsm_status unlinker_health(struct unlinker *unlinker);

#endif

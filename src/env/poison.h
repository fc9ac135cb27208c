// poison.h -- the state from which only reopening leads back.
//
// Set by the first failure after which the fate of bytes on disk is unknown: a
// failed sync of the log, the manifest's CURRENT or the directory, a failed close
// of a written file, a failure to cut the log, a broken invariant. Reads go on;
// nothing is written, published or unlinked any more.

#ifndef LSM_ENV_POISON_H
#define LSM_ENV_POISON_H

#include <stdatomic.h>

#include "env/sync.h"

struct poison {
    _Atomic bool is_set; // release after `cause` is written, acquire in poison_check()
    struct mutex mu;     // rank LOCK_POISON; guards `cause` until it is set
    struct failure cause;
};

void poison_init(struct poison *poison);
void poison_release(struct poison *poison);

// Makes the calling thread's last failure, of status `status`, the cause, unless
// there is one; returns `status`. Any thread.
lsm_status poison_set(struct poison *poison, lsm_status status);

static inline bool poison_is_set(struct poison *poison)
{
    return atomic_load_explicit(&poison->is_set, memory_order_acquire);
}

// LSM_OK, or LSM_POISONED with the cause in its words.
lsm_status poison_check(struct poison *poison);

#endif

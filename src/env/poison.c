#include "env/poison.h"

#include <assert.h>

#include "base/plant.h"

void poison_init(struct poison *poison)
{
    atomic_init(&poison->is_set, false);
    mutex_init(&poison->mu, LOCK_POISON);
    poison->cause = (struct failure){.status = LSM_OK};
}

void poison_release(struct poison *poison)
{
    mutex_release(&poison->mu);
}

lsm_status poison_set(struct poison *poison, lsm_status status)
{
    assert(status != LSM_OK);
    mutex_lock(&poison->mu);
    if (!poison_is_set(poison)) {
        failure_capture(&poison->cause, status);
        // Release: pairs with the acquire in poison_is_set(). Whoever sees the
        // flag sees the whole cause, which never changes again.
        atomic_store_explicit(&poison->is_set, true, memory_order_release);
    }
    mutex_unlock(&poison->mu);
    return status;
}

lsm_status poison_check(struct poison *poison)
{
    if (LIKELY(!poison_is_set(poison)) || PLANTED(FORGET_POISON))
        return LSM_OK;
    return lsm_fail(LSM_POISONED, "writing has stopped until the database is reopened: %s",
                    poison->cause.message);
}

#include "db/retry.h"

// The pause after a conflict is random, up to a bound that begins with the first, doubles with
// each try up to about the time of a synced commit, and more slowly from there to the last: a
// few competitors are not kept from the device, many part.
#define PAUSE_NS_MIN       UINT64_C(20000)
#define PAUSE_NS_MAX       UINT64_C(20000000)
#define FAST_DOUBLINGS     7 // to 2.5 ms
#define TRIES_PER_DOUBLING 8

static uint64_t pause_bound_ns(unsigned tries)
{
    const unsigned doublings = tries <= FAST_DOUBLINGS
                                   ? tries
                                   : FAST_DOUBLINGS + (tries - FAST_DOUBLINGS) / TRIES_PER_DOUBLING;
    const uint64_t bound_ns = PAUSE_NS_MIN << (doublings < 16 ? doublings : 16);

    return bound_ns < PAUSE_NS_MAX ? bound_ns : PAUSE_NS_MAX;
}

static lsm_status pause_after_conflict(struct lsm_db *db, unsigned tries)
{
    uint64_t random, deadline_ns;
    struct mutex mu;
    struct cond never;

    if (scheduler_is_manual(db->scheduler))
        return LSM_OK;
    TRY(env_random(db->env, &random, sizeof random));
    deadline_ns = clock_mono_ns(db->env) + random % pause_bound_ns(tries);
    mutex_init(&mu, LOCK_LEAF);
    cond_init(&never);
    mutex_lock(&mu);
    (void)cond_wait_until(&never, &mu, deadline_ns);
    mutex_unlock(&mu);
    cond_release(&never);
    mutex_release(&mu);
    return LSM_OK;
}

// `*is_refused`: it failed for a condition of the transaction's own, which trying again does not
// change. One that it has gone on from is none: what commits after it can lose a race.
static lsm_status try_once(struct lsm_db *db, const struct retry *retry, bool *is_refused)
{
    lsm_txn *txn;
    lsm_status status;

    TRY(lsm_begin(db, LSM_TXN_SERIALIZABLE, &txn));
    status = retry->run(txn, retry->ctx);
    *is_refused = status == LSM_CONFLICT && txn->is_refused;
    if (status == LSM_OK)
        status = lsm_commit(txn, retry->options);
    lsm_txn_free(txn);
    return status;
}

lsm_status retry_run(struct lsm_db *db, const struct retry *retry, bool *is_exhausted)
{
    *is_exhausted = false;
    for (unsigned tries = 1;; tries++) {
        bool is_refused = false;
        const lsm_status status = try_once(db, retry, &is_refused);

        if (status != LSM_CONFLICT || is_refused)
            return status;
        if (tries == retry->tries_max) {
            *is_exhausted = true;
            return status;
        }
        TRY(pause_after_conflict(db, tries));
    }
}

// workload.h -- threads that keep a database as busy as it can be, as a ledger plans.
//
// Writers follow their plans; a housekeeper makes and drops a keyspace, flushes and compacts; a
// reader takes snapshots and checks what it sees. Memtables and tables are tiny, so that every
// background job is active all the time.

#ifndef LSM_TESTS_KERNEL_WORKLOAD_H
#define LSM_TESTS_KERNEL_WORKLOAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/ledger.h"
#include "lsmkv.h"
#include "support/random.h"

// Random options that keep the background busy. Exits when one is refused.
lsm_options *busy_options(struct random *random);

// Gives the process as many descriptors as it may have: a thread that is not run for long holds
// up the closing of files.
void take_all_descriptors(void);

struct load {
    struct ledger *ledger;
    lsm_db *db;               // open; stays the caller's
    uint32_t attempts;        // per thread, at most ATTEMPTS_MAX
    bool writes_may_fail;     // softly or for good: that is noted, and the load goes on
    bool reads_may_fail;      // as long as they fail with an error
    void (*begun)(void);      // when all threads have been made; may be NULL
    _Atomic uint32_t pending; // asynchronous commits whose end has not been told
};

// Begins the life: drops what earlier ones left, trims the journal, then runs all threads to
// their end. False, with the ledger's trouble told, when something happened that must not.
bool load_run(struct load *load);

#endif

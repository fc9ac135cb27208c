// quarantine.h -- tables that no merge touches for a while, after one has failed.
//
// A merge that meets damage would meet it again: its inputs are left alone for a time
// that grows with each failure, so that the rest of the tree is still looked after.

#ifndef LSM_COMPACTION_QUARANTINE_H
#define LSM_COMPACTION_QUARANTINE_H

#include "compaction/table_id_set.h"

struct quarantine_record {
    uint64_t id;       // of the table
    uint64_t until_ns; // of the monotonic clock; 0: free again, but not forgotten
    unsigned failure_count;
};

// Guarded by its owner.
struct quarantine {
    struct quarantine_record *records;
    size_t count;
    size_t capacity;
};

void quarantine_release(struct quarantine *quarantine);

// Makes room for `count` more tables.
lsm_status quarantine_reserve(struct quarantine *quarantine, size_t count);
// Shuts a table in; room has been reserved.
void quarantine_add(struct quarantine *quarantine, uint64_t id, uint64_t now_ns);
// Forgets a table: a merge has taken it.
void quarantine_forget(struct quarantine *quarantine, uint64_t id);

// Lets out of `busy`, where tables shut in are too, those whose time is over.
void quarantine_expire(struct quarantine *quarantine, struct table_id_set *busy, uint64_t now_ns);

#endif

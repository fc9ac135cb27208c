// table_id_set.h -- a set of tables, by their ids.

#ifndef LSM_COMPACTION_TABLE_ID_SET_H
#define LSM_COMPACTION_TABLE_ID_SET_H

#include "base/status.h"

// Guarded by its owner. Zeroed, it is empty.
struct table_id_set {
    uint64_t *ids; // increasing
    size_t count;
    size_t capacity;
};

bool table_id_set_contains(const struct table_id_set *set, uint64_t id);
// Makes room for `count` more ids.
lsm_status table_id_set_reserve(struct table_id_set *set, size_t count);
// Room has been reserved.
void table_id_set_add(struct table_id_set *set, uint64_t id);
void table_id_set_remove(struct table_id_set *set, uint64_t id);
void table_id_set_release(struct table_id_set *set);

#endif

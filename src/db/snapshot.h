// snapshot.h -- a moment that reads can go back to.

#ifndef LSM_DB_SNAPSHOT_H
#define LSM_DB_SNAPSHOT_H

#include "db/read.h"

struct lsm_snapshot {
    struct lsm_db *db;
    struct child child;
    struct snapshot_slot *slot;
};

static inline struct read_time snapshot_time(const struct snapshot_slot *slot)
{
    return (struct read_time){.ts = snapshot_slot_ts(slot), .wall = snapshot_slot_wall(slot)};
}

#endif

// write_group.h -- what the holder of the writer role does with a group.
//
//   validate, stamp -> reserve -> append -> sync -> insert -> publish
//
// Up to the reservation a failure costs nothing. A failed append has been cut off the log
// again, or the database is poisoned; behind it only the sync can fail.

#ifndef LSM_DB_WRITE_GROUP_H
#define LSM_DB_WRITE_GROUP_H

#include "db/writer.h"

// Runs the requests that are linked behind `oldest`, which the caller has taken off the queue:
// commits, or one control request. Each has its outcome then. The caller holds the role.
void write_group_run(struct lsm_db *db, struct write_request *oldest);

#endif

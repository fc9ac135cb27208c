// verify.h -- what lsm_verify() and lsmctl, for a database that does not open, check alike.

#ifndef LSM_DB_VERIFY_H
#define LSM_DB_VERIFY_H

#include "env/env.h"

// LSM_CORRUPT unless whole frames, with the values in them, lie without a gap from the header
// of the segment up to `end`. What lies behind is not judged, and not looked at: the file may be
// cut there meanwhile.
lsm_status verify_segment(struct dir *dir, const char *name, uint64_t end);

#endif

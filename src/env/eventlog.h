// eventlog.h -- what the engine did, one line per event, for people at 3 a.m.
//
// EVENTS.log in the database directory: wall-clock time in UTC, an event's name,
// then key=value pairs. At `size_max` it becomes EVENTS.log.1 and starts again.
// Losing an event is never an error: a failure to write is counted, and writing
// is tried again with the next event.

#ifndef LSM_ENV_EVENTLOG_H
#define LSM_ENV_EVENTLOG_H

#include "env/env.h"
#include "env/sync.h"

struct eventlog;

// `size_max` 0 keeps no file: events are dropped.
lsm_status eventlog_open(struct dir *dir, uint64_t size_max, struct eventlog **out);
void eventlog_close(struct eventlog *log);

// Any thread. `log` may be NULL. `format` gives the key=value pairs.
void eventlog_write(struct eventlog *log, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

uint64_t eventlog_lost_count(struct eventlog *log);

#endif

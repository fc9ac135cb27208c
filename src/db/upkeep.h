// upkeep.h -- the jobs that look after an open database, and the calls that hurry them.

#ifndef LSM_DB_UPKEEP_H
#define LSM_DB_UPKEEP_H

#include "db/db.h"

// A difference between the clock and what is known that is worth a word.
#define NOTABLE_CLOCK_NS (60 * INT64_C(1000000000))

// Sets up the jobs and what wakes them; the scheduler exists.
void upkeep_start(struct lsm_db *db);
// Reads the clocks, tells the event log of a difference that comes or goes, and sees to it that
// merges hear when the system's clock is believed. Not of a read-only database.
struct clock_state upkeep_watch_clock(struct lsm_db *db);
// Takes the jobs out of the scheduler.
void upkeep_stop(struct lsm_db *db);
// Options have changed: what was made due by one of them is due by the new one.
void upkeep_heed_options(struct lsm_db *db, const struct lsm_options *before,
                         const struct lsm_options *after);

// Size that new segments of the value log are to have now; in a small database the first.
uint64_t upkeep_segment_size(struct lsm_db *db);
uint64_t upkeep_segment_size_min(struct lsm_db *db);

// Why one of the jobs keeps failing; LSM_OK when none does. Any thread.
lsm_status upkeep_health(struct lsm_db *db);

// A log of more segments than this is to become shorter: see upkeep_shorten_log().
#define LOG_SEGMENTS_WANTED 16
#define LOG_SEGMENTS_MAX    48
// At open: has the log flushed when it has too many segments, whatever their size. Many short
// lives leave a segment each, and end before a job in the background has come to anything: so
// the flush is waited for when there are more than LOG_SEGMENTS_MAX. It may fail: then the log
// stays as long as it is, and the next open tries again.
void upkeep_shorten_log(struct lsm_db *db);

// A reader has passed so many deletions in the active memtable on its way to one entry that the
// memtable is better flushed. Any thread, with any locks.
void upkeep_clear_way(struct lsm_db *db);

// Makes the active memtable immutable, if it holds anything.
lsm_status upkeep_switch_memtable(struct lsm_db *db);

#endif

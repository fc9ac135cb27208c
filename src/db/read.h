// read.h -- finding the version of a key that a reader sees, and its value.

#ifndef LSM_DB_READ_H
#define LSM_DB_READ_H

#include "db/db.h"

// When a reader looks: it sees commits up to `ts`, and expiry as of `wall` seconds (0: as of
// now).
struct read_time {
    uint64_t ts;
    uint64_t wall;
};

// An entry, and what is needed to read its value or to keep it.
struct found {
    struct entry entry;
    int memtable;        // index in the view; -1: a table
    struct block *block; // the block of a table that the entry lies in
};

// The newest entry of a key at or below `ts`, deletions too. Inside an epoch section, or with
// a reference to `view`; what is found lives until the section ends.
lsm_status read_lookup(struct lsm_db *db, struct view *view, const struct ikey *key, uint64_t hash,
                       struct found *found, bool *is_found);

// Copies the value of an entry found through `view` into `value`, reading it from the value
// log when it is separated. Inside an epoch section.
lsm_status read_value(struct lsm_db *db, const struct view *view, const struct entry *entry,
                      int memtable, lsm_buf *value);

// Copies what a reader at `time` sees; `value` NULL: only whether there is something.
// LSM_NOT_FOUND when there is nothing.
lsm_status read_get(struct lsm_db *db, const struct keyspace *keyspace, lsm_slice key,
                    struct read_time time, lsm_buf *value);

// What an entry has beside its value.
struct entry_marks {
    uint64_t expiry; // seconds since 1970; 0: never
    uint8_t user_byte;
};

// The same with the entry's marks.
lsm_status read_get_marked(struct lsm_db *db, const struct keyspace *keyspace, lsm_slice key,
                           struct read_time time, lsm_buf *value, struct entry_marks *marks);

// The same for many keys of one keyspace, in an order that suits the disk.
lsm_status read_multi_get(struct lsm_db *db, const struct keyspace *keyspace, const lsm_slice *keys,
                          size_t count, struct read_time time, lsm_buf *values,
                          lsm_status *statuses);

// Size of an entry's value as the application gave it.
uint64_t read_value_size(const struct entry *entry);

#endif

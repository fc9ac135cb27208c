// edit.h -- one atomic change of everything the manifest knows.
//
// An edit is encoded as tagged fields; docs/format.md, "Manifest". What it names is
// durable before it is written.

#ifndef LSM_MANIFEST_EDIT_H
#define LSM_MANIFEST_EDIT_H

#include "sstable/table.h"
#include "vlog/log.h"

#define LEVEL_COUNT              7
#define KEYSPACE_DEFAULT_ID      1
#define KEYSPACE_NAME_SIZE_MAX   255
#define KEYSPACE_INHERIT         UINT32_MAX
#define KEYSPACE_COMPRESSION_MAX 22

// What applies to the entries of one keyspace. KEYSPACE_INHERIT: the database's
// option of the same name.
struct keyspace_options {
    uint32_t value_threshold;  // bytes from which a value is separated
    uint32_t versions_to_keep; // per key, at least 1
    uint32_t compression;      // 0 none, else a zstd level
    uint64_t ttl_seconds;      // default expiry of new entries; 0: none
};

enum keyspace_change_kind { KEYSPACE_CREATE = 1, KEYSPACE_ALTER = 2, KEYSPACE_DROP = 3 };

struct keyspace_change {
    enum keyspace_change_kind kind;
    uint32_t id;                     // never reused
    lsm_slice name;                  // of a create; owned by the edit
    struct keyspace_options options; // of a create and an alter
    uint64_t ts;                     // of a drop: later snapshots do not see it
};

struct table_change {
    uint8_t level;
    uint64_t id;
    struct table_meta *meta; // of an added table, owned by the edit; NULL when removed
};

struct edit {
    uint64_t number; // set when it is applied

    // A table that moves between levels is removed from one and added to the other.
    struct table_change *removed;
    size_t removed_count;
    struct table_change *added;
    size_t added_count;

    // The log as of this edit, when `has_log`: replay starts at `replay`; `chain` are
    // the segments from there on, oldest first, the last one growing.
    bool has_log;
    struct log_position replay;
    struct log_link *chain;          // the array is the edit's (mem_free)
    struct segment **chain_segments; // not encoded; array borrowed, same count, may be NULL
    size_t chain_count;
    // Segments that leave the log with this edit, with their final sizes. Those that
    // no table points to leave the database.
    struct log_link *left;          // the array is the edit's (mem_free)
    struct segment **left_segments; // not encoded; array borrowed, same count, may be NULL
    size_t left_count;

    struct keyspace_change *keyspaces;
    size_t keyspace_count;

    // High-water marks: 0 leaves what is known; a lower one is ignored.
    uint64_t last_ts;
    uint64_t last_wall_ns;
    uint64_t next_file_id;     // of tables and manifests
    uint32_t next_keyspace_id; // follows creates by itself; a snapshot states it
    struct log_position mark;

    bool is_clean;    // the last edit of a clean close: the log ends exactly at `mark`
    bool is_snapshot; // the first edit of a manifest: states everything, from nothing
};

void edit_init(struct edit *edit);
void edit_release(struct edit *edit);

// Each copies what it is given, but edit_add_table() takes over `meta` on success.
lsm_status edit_add_table(struct edit *edit, unsigned level, struct table_meta *meta);
lsm_status edit_remove_table(struct edit *edit, unsigned level, uint64_t id);
lsm_status edit_change_keyspace(struct edit *edit, const struct keyspace_change *change);
lsm_status edit_add_chain(struct edit *edit, const struct log_link *link);
lsm_status edit_add_left(struct edit *edit, const struct log_link *link);

// LSM_CORRUPT unless the chain of an edit that has one starts at the segment of the
// replay position and its ids increase.
lsm_status edit_check_chain(const struct edit *edit);

// Appends the encoded form, without the number: a frame carries that.
lsm_status edit_encode(const struct edit *edit, lsm_buf *to);
// Bounded and checked; LSM_CORRUPT when malformed. On success the caller releases
// `out`, which need not be initialised.
lsm_status edit_decode(lsm_slice bytes, struct edit *out);

#endif

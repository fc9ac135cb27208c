// segment.h -- one file of the value log, NNNNNN.vlog.
//
// The log's writer appends to it, through the log; any thread reads bytes below
// its end, which never change. Counted: the log, memtables, versions and cursors
// hold references; with the last one an obsolete segment is handed to the
// unlinker.

#ifndef LSM_VLOG_SEGMENT_H
#define LSM_VLOG_SEGMENT_H

#include "base/epoch.h"
#include "env/fd_cache.h"
#include "env/poison.h"
#include "env/unlinker.h"
#include "vlog/frame.h"
#include "vlog/record.h"

// What all segments of a database share. Immutable after open.
struct segment_store {
    struct dir *dir;
    struct uuid db_uuid;
    struct fd_cache *fds;
    struct epoch_bin *bin;
    struct unlinker *unlinker;
    struct poison *poison;
};

struct segment;

// A segment that exists, for reading; `size` is its final size when known, else 0.
// Touches no file. One reference.
lsm_status segment_new(struct segment_store *store, uint32_t id, const struct uuid *uuid,
                       uint64_t size, struct segment **out);
void segment_ref(struct segment *segment);
void segment_unref(struct segment *segment);
void segment_mark_obsolete(struct segment *segment);

uint32_t segment_id(const struct segment *segment);
const struct uuid *segment_uuid(const struct segment *segment);

// Reads the value of a record and verifies that it is `keyspace`/`key`'s. Copies
// it into `value`, which is unchanged on failure. LSM_CORRUPT with file and
// offset. Opens an epoch section of its own.
lsm_status segment_read_value(struct segment *segment, const struct value_pointer *pointer,
                              uint32_t keyspace, lsm_slice key, lsm_buf *value);

// An immutable set of segments, ordered by id, each held by a reference. What a
// pointer is resolved through.
struct segment_set {
    struct epoch_node node;
    _Atomic uint32_t refs;
    size_t count;
    struct segment *items[];
};

// The segments of `from` (which may be NULL) and `extra` (which may be NULL, and
// is not in `from`).
lsm_status segment_set_with(const struct segment_set *from, struct segment *extra,
                            struct segment_set **out);
void segment_set_ref(struct segment_set *set);
void segment_set_unref(struct segment_set *set);
// NULL when it is not there; borrowed from the set.
struct segment *segment_set_find(const struct segment_set *set, uint32_t id);

#endif

// segment.h -- one file of the value log, NNNNNN.vlog.
//
// The log's writer appends to it, through the log; any thread reads bytes below
// its end, which never change. Counted: the log, memtables, versions and cursors
// hold references; with the last one an obsolete segment is handed to the
// unlinker.

#ifndef LSM_VLOG_SEGMENT_H
#define LSM_VLOG_SEGMENT_H

#include "base/epoch.h"
#include "base/file_header.h"
#include "env/fd_cache.h"
#include "env/poison.h"
#include "env/unlinker.h"
#include "vlog/frame.h"
#include "vlog/record.h"

#define FIRST_FRAME_AT FILE_HEADER_SIZE // nothing lies between a segment's header and its frames

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

// Reads the value of a record, with one read, and verifies that it is
// `keyspace`/`key`'s. The value replaces what `value` holds, which keeps its content
// on failure (its capacity may have grown: the record is read behind the content).
// LSM_CORRUPT with file and offset. Opens an epoch section of its own.
lsm_status segment_read_value(struct segment *segment, const struct value_pointer *pointer,
                              uint32_t keyspace, lsm_slice key, lsm_buf *value);

// --- the writing end, for the log and its recovery ---

// Creates segment `id` with room for `size` bytes: allocated, header written and
// synced, directory entry not. It can be written until it is sealed. When this
// fails nothing is left behind.
lsm_status segment_create(struct segment_store *store, uint32_t id, uint64_t size,
                          struct segment **out);
// Bytes allocated when it was created.
uint64_t segment_capacity(const struct segment *segment);

// One thread at a time writes, and none once it may be sealed.
lsm_status segment_write(struct segment *segment, uint64_t offset, const lsm_slice *parts,
                         size_t count);
// Whether [from, to) holds only the zeroes that it was allocated with: no write has left
// anything there. False, too, when it cannot be read.
bool segment_is_blank(struct segment *segment, uint64_t from, uint64_t to);
// Starts writing a range to the device, without waiting.
void segment_writeback(struct segment *segment, uint64_t offset, uint64_t size);
// Allocates room in front of the writer again, after segment_trim_locked(): [from, to).
lsm_status segment_regain(struct segment *segment, uint64_t from, uint64_t to);
// Cuts a segment that an earlier process has written to its final `size`, if its file is
// longer: a crash leaves the room that was allocated. Whatever becomes of this, the
// bytes below are as durable as they were. LSM_BUSY, and nothing is changed, when the file
// has another name: by that it belongs to a copy, whose commits may lie behind `size`.
lsm_status segment_cut_found(struct segment *segment, uint64_t size);

// Serialises syncs of the segment (LOCK_SEGMENT_SYNC); held for the functions below.
struct mutex *segment_sync_mutex(struct segment *segment);
// Syncs what has been written. Nothing to do once it is sealed. A failure sets the
// poison; once the poison is set, this and the next fail.
lsm_status segment_sync_locked(struct segment *segment);
// Truncates the segment to `size`, syncs and closes it for writing: a read-only file
// from now on. When the truncation fails, all is as before; any other failure sets
// the poison.
lsm_status segment_seal_locked(struct segment *segment, uint64_t size);

// Gives back the room from `size` on, which nothing has been written to: not durable
// until the next sync. When this fails, all is as before.
lsm_status segment_trim_locked(struct segment *segment, uint64_t size);

// An immutable set of segments, ordered by id, each held by a reference. What a
// pointer is resolved through. A set of none is NULL.
struct segment_set {
    struct epoch_node node;
    size_t count; // at least 1
    struct segment *items[];
};

// The segments of `from` and `extra`, which is not among them.
lsm_status segment_set_with(const struct segment_set *from, struct segment *extra,
                            struct segment_set **out);
// Retires the set: it goes when no section can see it any more. NULL is nothing.
void segment_set_retire(struct segment_set *set);
// NULL when it is not there; borrowed from the set.
struct segment *segment_set_find(const struct segment_set *set, uint32_t id);

#endif

// manifest.h -- the file that says what belongs to the database.
//
// MANIFEST-NNNNNN is a file header and then framed edits; CURRENT names the
// manifest. Every open starts a fresh manifest with a snapshot of everything.
//
//   frame:  u32 CRC32C of the file uuid, the frame's offset (u64) and what follows
//           u32 size of the edit; u64 number of the edit; 16 zero bytes; the edit
//
// Numbers are dense and never go back; a bad edit with a verifying one behind it, or a gap,
// is damage; only a bad last edit is a torn tail: docs/format.md, "What a manifest says".

#ifndef LSM_MANIFEST_MANIFEST_H
#define LSM_MANIFEST_MANIFEST_H

#include "env/eventlog.h"
#include "manifest/version.h"

struct keyspace_info {
    uint32_t id;
    char name[KEYSPACE_NAME_SIZE_MAX + 1];
    struct keyspace_options options;
    uint64_t dropped_ts; // 0: not dropped. Kept until no table holds an entry of it.
};

// What the manifest knows beside the tables.
struct manifest_state {
    struct uuid db_uuid;
    uint64_t manifest_number; // of the file read
    uint64_t edit_number;     // of the last edit
    struct log_position replay;
    struct log_position mark;
    struct log_link *chain;
    size_t chain_count;
    uint64_t last_ts;
    uint64_t last_wall_ns;
    uint64_t next_file_id;
    uint32_t next_keyspace_id;
    bool is_clean;
    struct keyspace_info *keyspaces; // by increasing id
    size_t keyspace_count;
};

// A state of nothing: what the creator of a database fills in.
void manifest_state_init(struct manifest_state *state);
void manifest_state_release(struct manifest_state *state);

// Whether the directory holds a database: CURRENT is there. It does not when it is
// empty, or holds only files that are not ours or that a creation has left which did
// not reach its CURRENT: segments without a frame, a manifest with nothing but its
// first snapshot. LSM_CORRUPT when there are tables, commits or edits but no CURRENT
// (with advice in the words).
lsm_status manifest_exists(struct dir *dir, bool *exists);
// Removes what such a creation has left, as far as it can be told from the files of
// others; `segment_id_max` is the highest number of a segment that stays, or 0.
// manifest_exists() has just said no.
lsm_status manifest_remove_unborn(struct dir *dir, uint64_t *segment_id_max);

// The uuid of the database, from CURRENT: what the stores need before the manifest
// can be read.
lsm_status manifest_read_uuid(struct dir *dir, struct uuid *db_uuid);

// Reads CURRENT and the manifest it names; writes nothing. The stores' db_uuid must
// match. `out_version` gets tables and segments that have touched no file.
lsm_status manifest_read(struct table_store *tables, struct segment_store *segments,
                         struct manifest_state *out_state, struct version **out_version);

// The same for the manifest with `number`, whatever CURRENT says, for salvage.
lsm_status manifest_read_numbered(struct table_store *tables, struct segment_store *segments,
                                  uint64_t number, struct manifest_state *out_state,
                                  struct version **out_version);

// Called for each edit of a manifest file, for lsmctl; `edit` is NULL for a stretch
// that does not verify.
typedef lsm_status (*manifest_scan_fn)(void *ctx, uint64_t offset, uint64_t size,
                                       const struct edit *edit);
lsm_status manifest_scan(struct dir *dir, const char *name, manifest_scan_fn fn, void *ctx);

struct manifest;

// Starts a fresh manifest that states `state` (with the chain and replay position it
// is to have) and `version`: written, synced, named by CURRENT, directory synced.
// `state` is copied; `is_clean` is not stated, and an `edit_number` of 0 becomes 1.
// Failure before the rename of CURRENT is soft and leaves what was, but a failed sync
// of the directory and everything from the rename on sets `poison`.
lsm_status manifest_start(struct table_store *tables, struct segment_store *segments,
                          struct poison *poison, struct eventlog *events,
                          const struct manifest_state *state, struct version *version,
                          struct manifest **out);
void manifest_free(struct manifest *manifest);

// Writes `edit` behind the last one and syncs it; `*out` is the version after it, one
// reference. `base` must be the version of the edit before: callers hold the
// manifest's mutex from reading `base` to installing `*out`, with manifest_lock().
// When appending or syncing fails, a fresh manifest is written instead; when that
// fails before its rename the failure is soft: the edit has not happened for this
// process, its fate on disk is open, and the unlinker is held until a later edit
// succeeds. Segments and tables that the edit removes are marked obsolete.
// An edit that contradicts what is known is LSM_CORRUPT and sets the poison, with
// nothing written. An edit with `is_clean` always goes into a fresh manifest of one
// snapshot, of which no damaged byte can pass for a torn tail.
lsm_status manifest_apply(struct manifest *manifest, struct edit *edit, struct version *base,
                          struct version **out);
void manifest_lock(struct manifest *manifest);
void manifest_unlock(struct manifest *manifest);

// Number of the last durable edit; what frames carry. Any thread.
uint64_t manifest_edit_number(const struct manifest *manifest);
// A number for a new table or manifest file, never given out twice. Any thread.
uint64_t manifest_next_file_id(struct manifest *manifest);
// The state as of the last edit; the manifest's mutex is held.
const struct manifest_state *manifest_state_locked(const struct manifest *manifest);
// Whether a failed edit's fate is still open.
bool manifest_is_undecided(const struct manifest *manifest);

// Removes files of this database that neither the manifest, nor `keep_segments`
// (ids), nor `version` names: only such whose header proves them ours, or that are
// empty or torn leftovers with one of our names below the next number. Called at
// open, after manifest_start(). Counts them.
lsm_status manifest_remove_orphans(struct manifest *manifest, struct version *version,
                                   const uint32_t *keep_segments, size_t keep_count,
                                   size_t *removed);

#endif

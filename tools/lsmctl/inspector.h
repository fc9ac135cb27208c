// inspector.h -- reading a database by its files, with no help from the engine.
//
// Works on a database that does not open, and beside a process that has it open:
// it writes nothing, takes no lock, and replays no log.

#ifndef LSM_TOOLS_INSPECTOR_H
#define LSM_TOOLS_INSPECTOR_H

#include "manifest/manifest.h"

// What the manifest of a database says, with the stores to read its files through.
struct inspector {
    struct dir *dir;
    struct epoch_bin bin;
    struct poison poison;
    struct fd_cache *fds;
    struct cache *cache;
    struct unlinker *unlinker; // held: nothing is ever removed
    struct table_store tables;
    struct segment_store segments;
    struct manifest_state state;
    struct version *version;
};

// Opens the directory at `path`; LSM_NOT_FOUND when there is none.
lsm_status inspect_dir_open(const char *path, struct dir **out);

// Reads CURRENT and the manifest it names; once more when a writing process has
// replaced them meanwhile. LSM_NOT_FOUND when there is no database. The caller releases it
// with inspector_close().
lsm_status inspector_open(const char *path, struct inspector **out);
void inspector_close(struct inspector *inspector);
void inspector_closep(struct inspector **inspector);

// The process that has the database open: its id, 0 when there is none (or its name
// is not known, and `*in_use` alone tells).
uint64_t inspect_holder(const char *path, bool *in_use);

// Whether the directory has no file of that name. Keeps the words of the last failure.
bool inspect_is_gone(struct dir *dir, const char *name);

// Files of a directory by what they are.
struct file_sums {
    uint64_t table_count, table_bytes;
    uint64_t segment_count, segment_bytes;
    uint64_t manifest_count, manifest_bytes;
    uint64_t other_count, other_bytes; // CURRENT, OPTIONS, logs; foreign ones too
};

lsm_status inspect_file_sums(struct dir *dir, struct file_sums *out);

// Calls `fn` for each file of `kind` in the directory, by increasing number.
typedef lsm_status (*inspect_file_fn)(void *ctx, const char *name, uint64_t number);
lsm_status inspect_each_file(struct dir *dir, enum filename_kind kind, inspect_file_fn fn,
                             void *ctx);

#endif

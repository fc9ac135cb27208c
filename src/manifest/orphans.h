// orphans.h -- files of the database that nothing names, and files without CURRENT.

#ifndef LSM_MANIFEST_ORPHANS_H
#define LSM_MANIFEST_ORPHANS_H

#include "manifest/manifest.h"

// What names a file.
struct kept_files {
    const struct manifest_state *state; // its manifest and its chain
    const struct version *version;      // its tables, and its segments unless they are log
    const uint32_t *segments;
    size_t segment_count;
    uint64_t next_file_id; // leftovers of ours have lower numbers
};

// As manifest_remove_orphans(). A file that cannot be read or removed is left alone.
lsm_status orphans_remove(struct dir *dir, const struct kept_files *kept, struct eventlog *events,
                          size_t *removed);

#endif

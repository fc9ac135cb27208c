// manifest_file.h -- the bytes of MANIFEST-NNNNNN and of CURRENT.
//
// What bytes mean is decided elsewhere; here is how they get to disk and back, and
// whether they verify.

#ifndef LSM_MANIFEST_MANIFEST_FILE_H
#define LSM_MANIFEST_MANIFEST_FILE_H

#include "base/file_header.h"
#include "env/env.h"
#include "env/filename.h"
#include "manifest/edit.h"

#define MANIFEST_FRAME_HEADER_SIZE 32
#define MANIFEST_EDIT_SIZE_MAX     ((uint64_t)256 << 20)
#define MANIFEST_FILE_SIZE_MAX     ((uint64_t)1 << 30)

// --- writing ---

// A manifest that is being appended to.
struct manifest_file {
    struct file *file;
    struct uuid uuid;
    uint64_t number;
    uint64_t size;          // of header and frames
    uint64_t snapshot_size; // of header and first frame
};

// Creates MANIFEST-`number` with `snapshot` as its first edit, and syncs it; the
// directory is not synced. When this fails nothing is left behind.
lsm_status manifest_file_create(struct dir *dir, const struct uuid *db_uuid, uint64_t number,
                                const struct edit *snapshot, struct manifest_file *out);
// Appends the frame that manifest_frame_encode() has made for the file's end, and
// syncs it. After a failure the frame may be there or not.
lsm_status manifest_file_append(struct manifest_file *mf, lsm_slice frame);
// Closes the file; everything in it that counts has been synced.
void manifest_file_close(struct manifest_file *mf);

// Appends to `to` the frame of `edit` at `offset` of the file `uuid`. LSM_INVALID when
// the edit is too large.
lsm_status manifest_frame_encode(const struct edit *edit, const struct uuid *uuid, uint64_t offset,
                                 lsm_buf *to);

// Creates CURRENT.new, naming the manifest; written, synced and closed. When this
// fails nothing is left behind.
lsm_status current_prepare(struct dir *dir, const struct uuid *db_uuid,
                           const struct manifest_file *mf);

// --- reading ---

// The content of CURRENT, which a database has: LSM_CORRUPT when there is none.
lsm_status current_read(struct dir *dir, struct file_header *out);

// Reads a whole manifest file and checks its header. `*bytes` is grown and filled; the
// caller releases it. LSM_CORRUPT, too, when there is no such file.
lsm_status manifest_file_load(struct dir *dir, const char *name, struct file_header *header,
                              lsm_buf *bytes);

struct manifest_frame {
    uint64_t offset;
    uint64_t size; // header and edit
    uint64_t number;
    lsm_slice edit; // borrows from the file's bytes
};

// Whether a frame verifies at `offset` of a file.
bool manifest_frame_at(lsm_slice file, const struct uuid *uuid, uint64_t offset,
                       struct manifest_frame *out);

// A search for frames among bytes that may be anything. However many of them look like one,
// it takes time in proportion to the file.
struct manifest_search {
    lsm_slice file; // borrowed, as the next
    const struct uuid *uuid;
    uint32_t *sums;        // of all bytes before each multiple of a stride
    uint64_t bytes_summed; // the work done so far
};

lsm_status manifest_search_init(struct manifest_search *search, lsm_slice file,
                                const struct uuid *uuid);
void manifest_search_release(struct manifest_search *search);
// The first frame that verifies at or behind `offset`.
bool manifest_search_find(struct manifest_search *search, uint64_t offset,
                          struct manifest_frame *out);

#endif

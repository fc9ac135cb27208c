// salvage_part.h -- what the parts of salvage share.

#ifndef LSM_DB_SALVAGE_PART_H
#define LSM_DB_SALVAGE_PART_H

#include "db/salvage.h"
#include "manifest/manifest.h"
#include "sstable/table_core.h"

// Of keys whose versions are lost; NULL: not known. Slices live during the call only.
struct lost_keys {
    const char *file;
    const struct ikey *from;
    const struct ikey *to;
    bool has_from; // `from` itself may be among them
    bool has_to;
};

typedef void (*lost_keys_fn)(void *ctx, const struct lost_keys *keys);

// Where losses are told and counted, and how far reading has come.
struct salvage_losses {
    salvage_loss_fn fn; // may be NULL
    void *ctx;
    lost_keys_fn keys_fn; // may be NULL
    void *keys_ctx;
    bool is_muted; // reading a second time
    uint64_t count;
    uint64_t bytes;
    uint64_t range_count;
    salvage_progress_fn progress_fn; // may be NULL
    uint64_t read_bytes;
    uint64_t total_bytes; // to read, as far as known
};

void salvage_lose(struct salvage_losses *losses, const char *file, uint64_t offset, uint64_t size,
                  const char *what);

void salvage_note_read(struct salvage_losses *losses, uint64_t bytes);
void salvage_lose_keys(struct salvage_losses *losses, const struct lost_keys *keys);

// Whether a failure is not damage but want of memory or descriptors, which ends it all.
static inline bool salvage_is_stopped(lsm_status status)
{
    return lsm_status_class(status) == LSM_CLASS_TRANSIENT;
}

// --- tables ---

// A table file that is to be read. `dir` is borrowed.
struct salvage_table {
    struct dir *dir;
    uint64_t id;
    struct uuid uuid; // of the file, once it is known
    bool has_uuid;
    struct table_meta *meta; // owned; NULL when its bounds are not known
};

void salvage_table_release(struct salvage_table *table);

// Looks at a table that no manifest describes: its uuid, and its meta from its properties, as
// far as they verify. LSM_CORRUPT when it is not a table of the database.
lsm_status salvage_table_look(struct salvage_table *table, const struct uuid *db_uuid);

// The entries of `tables`, which do not overlap and are in order, and one of which is open at a
// time; what is damaged is told and left out. Forward only. Borrows the array.
lsm_status salvage_lane_new(const struct salvage_table *tables, size_t count,
                            struct decompressor_pool *decompressors, struct salvage_losses *losses,
                            struct iter **out);

// --- the log ---

struct salvage_log;

struct salvage_log_input {
    struct dir *dir;
    struct uuid db_uuid;
    const struct manifest_state *state; // NULL: there is no manifest
    const struct version *version;      // NULL likewise
    uint64_t flushed_ts;                // without a manifest: tables reach as far as that
    struct salvage_losses *losses;
};

// Reads every segment and finds out which frames are certain.
lsm_status salvage_log_open(const struct salvage_log_input *input, struct salvage_log **out);
void salvage_log_free(struct salvage_log *log);

struct salvage_log_found {
    uint64_t segment_count;
    uint64_t certain_count; // commits
    uint64_t uncertain_count;
    uint64_t lost_frames;
};

struct salvage_log_found salvage_log_found(const struct salvage_log *log);

// Calls `fn` for each commit that is certain, or is not, by increasing timestamp.
typedef lsm_status (*salvage_frame_fn)(void *ctx, const struct frame_header *header,
                                       struct log_position position, lsm_slice entries);
lsm_status salvage_log_each(struct salvage_log *log, bool is_certain, salvage_frame_fn fn,
                            void *ctx);

// The value that `pointer` leads to, when it verifies and is `keyspace`/`key`'s; otherwise the
// loss is told and LSM_CORRUPT returned.
lsm_status salvage_log_value(struct salvage_log *log, const struct value_pointer *pointer,
                             uint32_t keyspace, lsm_slice key, lsm_buf *value);

#endif

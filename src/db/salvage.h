// salvage.h -- what is intact of a damaged database, into a new one.
//
// Nothing is written in the damaged directory and nothing is believed that does not verify:
// a block of a table, a whole frame of the log with its values, a value's record. Of each
// key the newest version that is intact counts, by its timestamp, deletions too.
//
// With a manifest that can be read, its tables and its log are taken. Without one every table
// of the database is, and of the log what nothing is missing behind: an entry with a gap
// between it and the end of the log may have been deleted in that gap. What lies before such
// a gap is *uncertain*; it is taken on request only, into keyspaces of its own.

#ifndef LSM_DB_SALVAGE_H
#define LSM_DB_SALVAGE_H

#include "env/env.h"

// Something that cannot be read as what it was. `size` 0: not known.
struct salvage_loss {
    const char *file;
    uint64_t offset;
    uint64_t size;
    const char *what;
};

typedef void (*salvage_loss_fn)(void *ctx, const struct salvage_loss *loss);

struct salvage_bound {
    bool is_known; // otherwise that of the table, which nothing tells
    bool is_included;
    uint32_t keyspace;
    char keyspace_name[256]; // or one made of its id
    lsm_slice key;
};

// Keys that have lost a version: the value of one (`from` is `to`), or all that a damaged part
// of a table may have held. They are gone, or back at an older version that stands elsewhere.
struct salvage_range {
    const char *file;
    struct salvage_bound from;
    struct salvage_bound to;
};

typedef void (*salvage_range_fn)(void *ctx, const struct salvage_range *range);

// Called often; `total` is an estimate, and may grow.
typedef void (*salvage_progress_fn)(void *ctx, uint64_t read_bytes, uint64_t total_bytes);

struct salvage_request {
    struct env *env;            // of the damaged database
    const char *from;           // its directory; no process has it open
    const struct uuid *whose;   // files of this database count; NULL: of the one of CURRENT, or
                                // of the only one there is
    const char *to;             // where there is no database yet; NULL: only look
    const lsm_options *options; // of the new one; NULL: defaults
    bool take_uncertain;
    salvage_loss_fn on_loss;         // may be NULL
    salvage_range_fn on_range;       // may be NULL
    salvage_progress_fn on_progress; // may be NULL
    void *ctx;
};

struct salvaged_keyspace {
    uint32_t id;       // in the damaged database
    bool is_named;     // the manifest tells its name; otherwise it is made of the id
    bool is_uncertain; // what may have been deleted, apart
    char name[256];
    uint64_t record_count;
    uint64_t value_bytes;
};

struct salvage_report {
    bool has_manifest;
    char manifest[32];    // its name; "" when there is none
    uint64_t table_count; // read
    uint64_t segment_count;
    uint64_t frame_count;           // of the log, taken
    uint64_t uncertain_frame_count; // intact, and not taken unless asked for
    uint64_t loss_count;
    uint64_t lost_bytes;  // of blocks and frames, as far as known
    uint64_t lost_frames; // of the log, by its sequence numbers, beside those before its start
    uint64_t lost_values; // newest versions whose value does not verify: their keys are left out
    uint64_t range_count; // of keys that a damaged part of a table may have held
    // What of the uncertain nothing certain is newer than, and take_uncertain would bring; counted
    // when it was not asked for, and something may be gone that it holds.
    uint64_t offered_record_count;
    uint64_t offered_value_bytes;
    uint64_t record_count;               // of all keyspaces
    struct salvaged_keyspace *keyspaces; // by id, the uncertain ones last
    size_t keyspace_count;
};

// Fails when there is nothing of a database in `from`, or of several and none is named; when
// `to` holds anything; and when the new database cannot be written, which then does not open.
// Damage is no failure. On success the caller releases `out`.
lsm_status db_salvage(const struct salvage_request *request, struct salvage_report *out);
void salvage_report_release(struct salvage_report *report);

#endif

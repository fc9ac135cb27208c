// facts.h -- what can be known of a database, whether or not it opens.
//
// The manifest and the directory are read as files; opening the database for
// reading adds what only the engine knows. Each part may fail by itself, and says
// why.

#ifndef LSM_TOOLS_FACTS_H
#define LSM_TOOLS_FACTS_H

#include "inspector.h"
#include "lsmctl.h"

struct facts {
    const char *path;
    bool in_use;
    uint64_t holder; // process id, 0: none or not known

    struct failure opening; // LSM_OK: `db` is open
    lsm_db *db;
    lsm_health_info health;

    struct failure reading;      // of the manifest, and of finding the files that it names
    struct inspector *inspector; // NULL when the manifest cannot be read

    struct file_sums files;
    lsm_level_info levels[LSM_LEVELS];
    lsm_segment_info *segments;
    size_t segment_count;
    lsm_keyspace_info *keyspaces;
    size_t keyspace_count;
    uint64_t unflushed_bytes; // of the log: what opening reads
};

// Fails only when there is nothing to look at: no such directory, or no database
// in it. The caller releases it with facts_release().
lsm_status facts_gather(struct tool *tool, struct facts *out);
void facts_release(struct facts *facts);

// LSM_OK, or what is wrong with the database, as the command's failure.
lsm_status facts_verdict(const struct facts *facts);

// An estimate of what the newest versions take: the deepest level with what it
// points to, and the unflushed log. 0: not known.
uint64_t facts_live_bytes(const struct facts *facts);
uint64_t facts_total_bytes(const struct facts *facts);

// What of the value log nothing points to any more, in segments that have left the log: values
// that were overwritten or deleted, and what was written for recovery only.
struct dead_bytes {
    uint64_t bytes;
    uint64_t segments; // that hold them
};

struct dead_bytes facts_dead(const struct facts *facts);

#endif

// publish_check.h -- asserts the publish protocol while a database runs in a sim.
//
//     write file -> sync file -> sync directory -> edit -> sync manifest -> unlink
//
// Before every write and unlink it looks at what a crash could leave: an edit names only
// tables and segments whose bytes and names are durable; CURRENT is switched only to a
// manifest that is; a frame claims to be durable only what is; nothing that a manifest which
// may be found names is unlinked; no byte of a file that can be named is written twice.
//
// It takes the write hook and the unlink hook of the sim.

#ifndef LSM_TESTS_SUPPORT_PUBLISH_CHECK_H
#define LSM_TESTS_SUPPORT_PUBLISH_CHECK_H

#include "support/sim.h"

#define PUBLISH_FILES_MAX 256

// How far a file has been written by this process.
struct written_file {
    char name[FILENAME_MAX_SIZE];
    uint64_t end;
};

struct publish_check {
    struct written_file written[PUBLISH_FILES_MAX];
    size_t written_count;
    uint64_t edits;   // looked at
    uint64_t unlinks; // looked at
    uint64_t violations;
    char what[200]; // the first one
};

// Watches until publish_check_stop(), from when on `check` tells what it saw.
void publish_check_start(struct publish_check *check, struct sim *sim);
void publish_check_stop(struct sim *sim);
// The power has gone and come back: what was written may be gone, and another process runs.
void publish_check_restart(struct publish_check *check);

// LSM_CORRUPT, naming it, when the directory holds a table, segment or manifest that the
// manifest in force does not name, although its header verifies. Right after opening there
// is none.
lsm_status publish_find_orphan(struct sim *sim, const char *dir);

#endif

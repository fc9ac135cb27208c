// filename.h -- the names of a database's files.

#ifndef LSM_ENV_FILENAME_H
#define LSM_ENV_FILENAME_H

#include "base/bytes.h"

#define FILENAME_MAX_SIZE 32

// NNNNNN.vlog, NNNNNN.sst and MANIFEST-NNNNNN are numbered, with at least six
// digits; the others are fixed.
enum filename_kind {
    FILENAME_UNKNOWN,
    FILENAME_SEGMENT,
    FILENAME_TABLE,
    FILENAME_MANIFEST,
    FILENAME_CURRENT,     // CURRENT
    FILENAME_CURRENT_NEW, // CURRENT.new, renamed onto CURRENT
    FILENAME_LOCK,        // LOCK
    FILENAME_OPTIONS,     // OPTIONS
    FILENAME_OPTIONS_NEW, // OPTIONS.new
    FILENAME_SALVAGING,   // SALVAGING
    FILENAME_EVENTS,      // EVENTS.log
    FILENAME_EVENTS_OLD,  // EVENTS.log.1
};

struct filename {
    char text[FILENAME_MAX_SIZE];
};

// The name of a numbered kind; `number` is ignored for a fixed one.
struct filename filename_of(enum filename_kind kind, uint64_t number);

// FILENAME_UNKNOWN for every name filename_of() does not give, so that a foreign
// file is never taken for one of ours. `*number` is 0 for the fixed kinds.
enum filename_kind filename_parse(const char *name, uint64_t *number);

#endif

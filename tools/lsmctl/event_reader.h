// event_reader.h -- the lines of a database's event log, the rotated part first, and on as it
// grows, is rotated, or begins anew with another database of that path.
//
// Reads files only, and takes no lock.

#ifndef LSM_TOOLS_EVENT_READER_H
#define LSM_TOOLS_EVENT_READER_H

#include "env/event_line.h"
#include "lsmctl.h"

struct event_reader {
    const char *database;
    int old;     // the file before, held so that no new one gets its number; -1: none
    int current; // being read; -1: none is there yet
    uint64_t offset;
    size_t size; // of the line at hand
    char line[EVENT_LINE_SIZE_MAX + 1];
};

// Called for each line, without its line feed; a failure ends the reading. What is longer than
// an event may be comes in pieces.
typedef lsm_status (*event_line_fn)(void *ctx, lsm_slice line);

// LSM_NOT_FOUND when there is no such directory. The caller closes it.
lsm_status event_reader_open(const char *database, struct event_reader *out);
void event_reader_close(struct event_reader *reader);

// Reads all that is there by now and was not read before.
lsm_status event_reader_read(struct event_reader *reader, event_line_fn fn, void *ctx);

#endif

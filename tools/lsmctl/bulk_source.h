// bulk_source.h -- what `lsmctl load` reads, byte by byte and with the place it has come to.
//
// Nothing is kept of a line but what its reader keeps, so that a line without an end takes
// no memory. Reading ahead goes no further than the format's mark: a pipe that gives
// one line and waits is a source, too.

#ifndef LSM_TOOLS_BULK_SOURCE_H
#define LSM_TOOLS_BULK_SOURCE_H

#include <errno.h>
#include <stdio.h>

#include "base/bytes.h"

#define SOURCE_END       EOF
#define SOURCE_AHEAD_MAX 32

struct bulk_source {
    FILE *from;
    uint64_t bytes; // taken so far
    uint64_t line;  // of the next byte, from 1
    int error;      // errno of the read that failed; 0: none has

    // The line by which JSON was guessed, where a tab would make it TSV; 0: none.
    uint64_t guessed_line;

    // Bytes that have been looked at and not been taken.
    uint8_t ahead[SOURCE_AHEAD_MAX];
    uint8_t ahead_at;
    uint8_t ahead_size;
};

static inline struct bulk_source source_over(FILE *from)
{
    return (struct bulk_source){.from = from, .line = 1};
}

int source_end(struct bulk_source *source);

// The next byte; SOURCE_END behind the last, and when reading fails.
static inline int source_take(struct bulk_source *source)
{
    int c = source->ahead_at < source->ahead_size ? source->ahead[source->ahead_at++]
                                                  : getc_unlocked(source->from);

    if (UNLIKELY(c == EOF))
        return source_end(source);
    source->bytes++;
    source->line += c == '\n';
    return c;
}

// The byte that is `i` (below SOURCE_AHEAD_MAX) behind the next, without taking any.
int source_look(struct bulk_source *source, unsigned i);

static inline int source_peek(struct bulk_source *source)
{
    return source_look(source, 0);
}

// LSM_IO when a read has failed, which its caller took for the end.
lsm_status source_check(const struct bulk_source *source);

#endif

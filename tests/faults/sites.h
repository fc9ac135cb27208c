// sites.h -- the places in the engine that call the env or the allocator.
//
// The engine of the fault campaign is compiled with site_trace.h before each source: every
// such call then has a static `struct site` of its own, which is noted before the call is made.
// The linker gathers them all, so that those never reached are known, too.

#ifndef LSM_TESTS_FAULTS_SITES_H
#define LSM_TESTS_FAULTS_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct site {
    const char *file;
    unsigned line;
    const char *function; // that is called
    bool allocates;
    uint64_t calls;
    uint64_t faults;
};

// The call that is about to be made, or was made last, by this thread.
extern _Thread_local struct site *site_current;

// What the engine takes for the machine's own env.
struct env;
extern struct env *site_machine;

static inline void site_enter(struct site *site)
{
    site->calls++;
    site_current = site;
}

// Counts a failure of the current call.
void site_count_fault(void);

// A site that no fault can reach, and why.
struct site_excuse {
    const char *file;     // as "db/options.c"
    const char *function; // in which, or NULL: anywhere in the file
    const char *why;
};

// Prints a table of sites by file, and each site that was never failed. Returns how many of
// these have no excuse; `excuses` ends with a NULL file.
size_t sites_report(const struct site_excuse *excuses);

#endif

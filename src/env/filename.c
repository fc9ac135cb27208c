#include "env/filename.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

// A name is `prefix`, the number when there is one, `suffix`.
struct pattern {
    const char *prefix;
    const char *suffix;
    bool is_numbered;
};

static const struct pattern patterns[] = {
    [FILENAME_SEGMENT] = {"", ".vlog", true},
    [FILENAME_TABLE] = {"", ".sst", true},
    [FILENAME_MANIFEST] = {"MANIFEST-", "", true},
    [FILENAME_CURRENT] = {"CURRENT", "", false},
    [FILENAME_CURRENT_NEW] = {"CURRENT", ".new", false},
    [FILENAME_LOCK] = {"LOCK", "", false},
    [FILENAME_OPTIONS] = {"OPTIONS", "", false},
    [FILENAME_OPTIONS_NEW] = {"OPTIONS", ".new", false},
    [FILENAME_SALVAGING] = {"SALVAGING", "", false},
    [FILENAME_EVENTS] = {"EVENTS", ".log", false},
    [FILENAME_EVENTS_OLD] = {"EVENTS", ".log.1", false},
};

#define PATTERN_COUNT (sizeof patterns / sizeof *patterns)

struct filename filename_of(enum filename_kind kind, uint64_t number)
{
    const struct pattern *p = &patterns[kind];
    struct filename name;
    int size;

    assert(kind > FILENAME_UNKNOWN && kind < PATTERN_COUNT);
    if (p->is_numbered)
        size = snprintf(name.text, sizeof name.text, "%s%06" PRIu64 "%s", p->prefix, number,
                        p->suffix);
    else
        size = snprintf(name.text, sizeof name.text, "%s%s", p->prefix, p->suffix);
    assert(size > 0 && (size_t)size < sizeof name.text);
    (void)size;
    return name;
}

// The number at the start of `digits`, wrapped around when it is too large: the
// caller compares the name with the one the number gives.
static uint64_t leading_number(const char *digits)
{
    uint64_t number = 0;

    for (; *digits >= '0' && *digits <= '9'; digits++)
        number = number * 10 + (uint64_t)(*digits - '0');
    return number;
}

enum filename_kind filename_parse(const char *name, uint64_t *number)
{
    for (enum filename_kind kind = FILENAME_SEGMENT; kind < PATTERN_COUNT; kind++) {
        const struct pattern *p = &patterns[kind];
        size_t prefix_size = strlen(p->prefix);
        uint64_t found = 0;
        struct filename expected;

        if (strncmp(name, p->prefix, prefix_size) != 0)
            continue;
        if (p->is_numbered)
            found = leading_number(name + prefix_size);
        expected = filename_of(kind, found);
        if (strcmp(name, expected.text) == 0) {
            *number = found;
            return kind;
        }
    }
    return FILENAME_UNKNOWN;
}

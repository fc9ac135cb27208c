// event_line.h -- reading the lines of an event log (env/eventlog.h) back.
//
// The file is text that anybody may have changed: any bytes are an event or not one.

#ifndef LSM_ENV_EVENT_LINE_H
#define LSM_ENV_EVENT_LINE_H

#include "base/bytes.h"

// Longest line that is an event, without its line feed: no writer makes a longer one.
#define EVENT_LINE_SIZE_MAX 8192
#define EVENT_PAIRS_MAX     32

struct event_pair {
    lsm_slice key;
    lsm_slice value; // unescaped
};

struct event {
    uint64_t wall_ns; // since 1970; of whole milliseconds
    lsm_slice name;
    size_t pair_count;
    struct event_pair pairs[EVENT_PAIRS_MAX];
    char text[EVENT_LINE_SIZE_MAX]; // what the slices above point into
};

// False, with `out` undefined, when `line` (without its line feed) is no event.
bool event_parse(lsm_slice line, struct event *out);

// "2026-01-31T23:59:59.123Z", as lines begin; false when `text` is no such time.
bool event_time_parse(lsm_slice text, uint64_t *wall_ns);

// The value of the pair of that key, or NULL.
const lsm_slice *event_find(const struct event *event, const char *key);
// The same as a number in decimal digits; 0 when there is none, or another value.
uint64_t event_number(const struct event *event, const char *key);
// Whether `value` is such a number, and which.
bool event_value_number(lsm_slice value, uint64_t *number);

#endif

// words.h -- numbers in sentences, for people.

#ifndef LSM_BASE_WORDS_H
#define LSM_BASE_WORDS_H

#include <stdint.h>

// What the name of `count` things ends with: "1 table", "2 tables".
static inline const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

struct utc_text {
    char text[40];
};

// "2026-11-21 04:13:19 UTC"; beyond the calendar of the system the number, with its unit.
struct utc_text utc_text(uint64_t seconds_since_1970);

#endif

#include "env/event_line.h"

#include <stdlib.h>
#include <time.h>

#define TIME_SIZE 24 // "2026-01-31T23:59:59.123Z"

// --- time ---

static bool read_digits(const char *at, size_t count, int *out)
{
    int value = 0;

    for (size_t i = 0; i < count; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        value = value * 10 + (at[i] - '0');
    }
    *out = value;
    return true;
}

static bool has_time_form(const char *at)
{
    return at[4] == '-' && at[7] == '-' && at[10] == 'T' && at[13] == ':' && at[16] == ':' &&
           at[19] == '.' && at[23] == 'Z';
}

bool event_time_parse(lsm_slice text, uint64_t *wall_ns)
{
    const char *at = text.data;
    struct tm utc = {0};
    struct tm given;
    int ms;
    time_t seconds;

    if (text.size != TIME_SIZE || !has_time_form(at) || !read_digits(at, 4, &utc.tm_year) ||
        !read_digits(at + 5, 2, &utc.tm_mon) || !read_digits(at + 8, 2, &utc.tm_mday) ||
        !read_digits(at + 11, 2, &utc.tm_hour) || !read_digits(at + 14, 2, &utc.tm_min) ||
        !read_digits(at + 17, 2, &utc.tm_sec) || !read_digits(at + 20, 3, &ms))
        return false;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    given = utc;
    seconds = timegm(&utc);
    // What is no day or hour comes back as another one.
    if (seconds < 0 || (uint64_t)seconds > UINT64_MAX / 1000000000 - 1 ||
        utc.tm_mon != given.tm_mon || utc.tm_mday != given.tm_mday ||
        utc.tm_hour != given.tm_hour || utc.tm_min != given.tm_min || utc.tm_sec != given.tm_sec)
        return false;
    *wall_ns = (uint64_t)seconds * 1000000000 + (uint64_t)ms * 1000000;
    return true;
}

// --- values ---

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Takes the escape at `*at`, behind its backslash, for one byte; false: it is none.
static bool take_escape(const char **at, const char *end, char *out)
{
    const char *from = *at;

    if (from == end)
        return false;
    if (*from == 'x') {
        if (end - from < 3 || hex_digit(from[1]) < 0 || hex_digit(from[2]) < 0)
            return false;
        *out = (char)(hex_digit(from[1]) << 4 | hex_digit(from[2]));
        *at = from + 3;
        return true;
    }
    if (*from != '"' && *from != '\\' && *from != 'n')
        return false;
    *out = (char)(*from == 'n' ? '\n' : *from);
    *at = from + 1;
    return true;
}

// Takes a quoted value behind its first quote, up to behind its last.
static bool take_quoted(const char **at, const char *end, char **to)
{
    while (*at < end && **at != '"') {
        char c = *(*at)++;

        if (c == '\\' && !take_escape(at, end, &c))
            return false;
        *(*to)++ = c;
    }
    if (*at == end)
        return false;
    ++*at;
    return true;
}

static void take_bare(const char **at, const char *end, char **to)
{
    while (*at < end && **at != ' ')
        *(*to)++ = *(*at)++;
}

// Takes "key=value" or "value".
static bool take_pair(const char **at, const char *end, char **to, struct event_pair *out)
{
    const char *key = *to;
    const char *value;

    while (*at < end && **at != '=' && **at != ' ' && **at != '"')
        *(*to)++ = *(*at)++;
    out->key = slice_make(key, (size_t)(*to - key));
    if (*at < end && **at == '=')
        ++*at;
    value = *to;
    if (*at < end && **at == '"') {
        ++*at;
        if (!take_quoted(at, end, to))
            return false;
    } else {
        take_bare(at, end, to);
    }
    out->value = slice_make(value, (size_t)(*to - value));
    return *at == end || **at == ' ';
}

// --- the line ---

bool event_parse(lsm_slice line, struct event *out)
{
    const char *at = line.data;
    const char *end = at + line.size;
    char *to = out->text;

    if (line.size < TIME_SIZE + 2 || line.size > EVENT_LINE_SIZE_MAX || at[TIME_SIZE] != ' ' ||
        !event_time_parse(slice_make(at, TIME_SIZE), &out->wall_ns))
        return false;
    at += TIME_SIZE + 1;
    take_bare(&at, end, &to);
    out->name = slice_make(out->text, (size_t)(to - out->text));
    out->pair_count = 0;
    while (at < end) {
        at++; // the space
        if (out->pair_count == EVENT_PAIRS_MAX ||
            !take_pair(&at, end, &to, &out->pairs[out->pair_count]))
            return false;
        out->pair_count++;
    }
    return out->name.size > 0;
}

const lsm_slice *event_find(const struct event *event, const char *key)
{
    for (size_t i = 0; i < event->pair_count; i++)
        if (slice_equal(event->pairs[i].key, slice_of(key)))
            return &event->pairs[i].value;
    return NULL;
}

bool event_value_number(lsm_slice value, uint64_t *number)
{
    const char *at = value.data;
    uint64_t sum = 0;

    if (value.size == 0 || value.size > 19 || (value.size > 1 && at[0] == '0'))
        return false;
    for (size_t i = 0; i < value.size; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        sum = sum * 10 + (uint64_t)(at[i] - '0');
    }
    *number = sum;
    return true;
}

uint64_t event_number(const struct event *event, const char *key)
{
    const lsm_slice *value = event_find(event, key);
    uint64_t number = 0;

    return value != NULL && event_value_number(*value, &number) ? number : 0;
}

#include "env/eventlog.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include "base/alloc.h"
#include "env/filename.h"

#define NS_PER_S  1000000000
#define NS_PER_MS 1000000

// Longest text of an event before escaping; what is beyond it is cut off.
#define EVENT_TEXT_MAX 1024
// Each of its bytes becomes at most four, and each pair gains two quotes.
#define EVENT_LINE_MAX (EVENT_TEXT_MAX * 6 + 64)

// What a space of the format becomes while values are put in: a control character,
// so that the spaces of values are told from those between pairs.
#define PAIR_END '\x1F'

struct eventlog {
    struct dir *dir;   // immutable, like the next one
    uint64_t size_max; // 0: no file is kept

    // Rank LOCK_EVENTLOG; guards the two below. Held across I/O, so that lines
    // are whole and in order: whoever writes an event holds no other mutex that
    // anybody waits for.
    struct mutex mu;
    struct file *file; // NULL until the first event, and after a failed rotation
    uint64_t size;     // where the next line goes

    _Atomic uint64_t lost_count; // relaxed: a statistic
};

// A line under construction.
struct line {
    char text[EVENT_LINE_MAX];
    size_t size;
};

lsm_status eventlog_open(struct dir *dir, uint64_t size_max, struct eventlog **out)
{
    struct eventlog *log = mem_alloc_zeroed(1, sizeof *log);

    if (log == NULL)
        return lsm_fail(LSM_NO_MEMORY, "event log: %zu bytes", sizeof *log);
    log->dir = dir;
    log->size_max = size_max;
    mutex_init(&log->mu, LOCK_EVENTLOG);
    *out = log;
    return LSM_OK;
}

void eventlog_close(struct eventlog *log)
{
    if (log == NULL)
        return;
    file_close_quietly(log->file); // events may be lost
    mutex_release(&log->mu);
    mem_free(log);
}

uint64_t eventlog_lost_count(struct eventlog *log)
{
    return log == NULL ? 0 : atomic_load_explicit(&log->lost_count, memory_order_relaxed);
}

// --- the line ---

static void put_char(struct line *line, char c)
{
    line->text[line->size++] = c;
}

static void put_text(struct line *line, const char *text)
{
    size_t size = strlen(text);

    memcpy(line->text + line->size, text, size);
    line->size += size;
}

// "2026-01-31T23:59:59.123Z"
static void put_time(struct line *line, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_S);
    unsigned ms = (unsigned)(wall_ns % NS_PER_S / NS_PER_MS);
    char text[40];
    struct tm utc;

    if (gmtime_r(&seconds, &utc) == NULL)
        utc = (struct tm){.tm_mday = 1, .tm_year = 70};
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    put_text(line, text);
    (void)snprintf(text, sizeof text, ".%03uZ", ms);
    put_text(line, text);
}

// Whether a control character begins there that terminals obey: one of ASCII, or one of two
// bytes in UTF-8.
static bool is_control(const char *value, size_t size)
{
    const unsigned char first = (unsigned char)value[0];

    return iscntrl(first) || (first == 0xc2 && size > 1 && (unsigned char)value[1] < 0xa0);
}

static bool needs_quotes(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (value[i] == ' ' || value[i] == '"' || value[i] == '\\' ||
            is_control(value + i, size - i))
            return true;
    }
    return size == 0;
}

static void put_escaped(struct line *line, char c, bool as_number)
{
    char hex[5];

    if (c == '"' || c == '\\') {
        put_char(line, '\\');
        put_char(line, c);
    } else if (c == '\n') {
        put_text(line, "\\n");
    } else if (as_number) {
        (void)snprintf(hex, sizeof hex, "\\x%02x", (unsigned char)c);
        put_text(line, hex);
    } else {
        put_char(line, c);
    }
}

static void put_value(struct line *line, const char *value, size_t size)
{
    bool is_second = false; // byte of a control character

    if (!needs_quotes(value, size)) {
        for (size_t i = 0; i < size; i++)
            put_char(line, value[i]);
        return;
    }
    put_char(line, '"');
    for (size_t i = 0; i < size; i++) {
        const bool begins = is_control(value + i, size - i);

        put_escaped(line, value[i], begins || is_second);
        is_second = begins && (unsigned char)value[i] == 0xc2;
    }
    put_char(line, '"');
}

// Appends " key=value" for the pair of `size` bytes.
static void put_pair(struct line *line, const char *pair, size_t size)
{
    const char *equals = memchr(pair, '=', size);
    size_t key_size = equals == NULL ? 0 : (size_t)(equals + 1 - pair);

    put_char(line, ' ');
    for (size_t i = 0; i < key_size; i++)
        put_char(line, pair[i]);
    put_value(line, pair + key_size, size - key_size);
}

static void put_pairs(struct line *line, const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, (char[]){PAIR_END, '\0'});

        if (size > 0)
            put_pair(line, text, size);
        text += size;
        text += *text == PAIR_END;
    }
}

#pragma GCC diagnostic push
// The format is the caller's, whose arguments were checked there.
#pragma GCC diagnostic ignored "-Wformat-nonliteral"

// Puts the arguments in, with PAIR_END for the spaces of `format` itself.
static void format_pairs(char *text, const char *format, va_list arguments)
{
    char marked[EVENT_TEXT_MAX];
    size_t size = strnlen(format, sizeof marked - 1);

    for (size_t i = 0; i < size; i++)
        marked[i] = (char)(format[i] == ' ' ? PAIR_END : format[i]);
    marked[size] = '\0';
    if (vsnprintf(text, EVENT_TEXT_MAX, marked, arguments) < 0)
        text[0] = '\0';
}

#pragma GCC diagnostic pop

// --- the file ---

static lsm_status open_file_locked(struct eventlog *log)
{
    struct filename name = filename_of(FILENAME_EVENTS, 0);
    CLEANUP(file_closep) struct file *file = NULL;
    uint64_t size = 0;

    if (log->file != NULL)
        return LSM_OK;
    TRY(file_find_once(log->dir, name.text, FILE_WRITE, &file));
    if (file == NULL)
        TRY(file_find_once(log->dir, name.text, FILE_CREATE, &file));
    TRY(file_size(file, &size));
    log->file = MOVE(file);
    log->size = size;
    return LSM_OK;
}

static lsm_status close_file_locked(struct eventlog *log)
{
    struct file *file = MOVE(log->file);

    return file == NULL ? LSM_OK : file_close(file);
}

static lsm_status rotate_locked(struct eventlog *log)
{
    TRY(close_file_locked(log));
    TRY(file_rename(log->dir, filename_of(FILENAME_EVENTS, 0).text,
                    filename_of(FILENAME_EVENTS_OLD, 0).text));
    return open_file_locked(log);
}

// Whether the next line begins a new file: the file is full, or has another name, by which it
// is the history of a copy. Asked for each line, for a copy may be made at any time.
static lsm_status is_complete_locked(struct eventlog *log, const struct line *line, bool *out)
{
    uint64_t names;

    TRY(file_name_count(log->file, &names));
    *out = names > 1 || (log->size > 0 && log->size + line->size > log->size_max);
    return LSM_OK;
}

// After a failure the next event takes the place of the one that is lost, with
// what was written of it.
static lsm_status append_locked(struct eventlog *log, const struct line *line)
{
    bool is_complete = false;
    lsm_status status = open_file_locked(log);

    if (status == LSM_OK)
        status = is_complete_locked(log, line, &is_complete);
    if (status == LSM_OK && is_complete)
        status = rotate_locked(log);
    if (status == LSM_OK)
        status = file_write_one(log->file, log->size, slice_make(line->text, line->size));
    if (status == LSM_OK)
        log->size += line->size;
    return status;
}

void eventlog_write(struct eventlog *log, const char *event, const char *format, ...)
{
    char text[EVENT_TEXT_MAX];
    struct line line = {.size = 0};
    va_list arguments;
    lsm_status status;

    if (log == NULL || log->size_max == 0)
        return;
    va_start(arguments, format);
    format_pairs(text, format, arguments);
    va_end(arguments);

    put_time(&line, clock_wall_ns(log->dir->env));
    put_char(&line, ' ');
    put_value(&line, event, strnlen(event, 64));
    put_pairs(&line, text);
    put_char(&line, '\n');

    mutex_lock(&log->mu);
    status = append_locked(log, &line);
    mutex_unlock(&log->mu);
    if (status != LSM_OK)
        atomic_fetch_add_explicit(&log->lost_count, 1, memory_order_relaxed);
}

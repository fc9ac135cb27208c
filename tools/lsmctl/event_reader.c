#include "event_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "env/filename.h"
#include "env/posix_error.h"

#define CHUNK_SIZE 65536

// --- files ---

static void close_file(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); // it was only read
    *fd = -1;
}

// Opens the log or the rotated one; LSM_OK with -1 when there is none.
static lsm_status open_file(const struct event_reader *r, enum filename_kind kind, int *out)
{
    char path[4096];
    struct stat st;
    int fd;

    snprintf(path, sizeof path, "%s/%s", r->database, filename_of(kind, 0).text);
    fd = RETRY(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (fd < 0 && errno != ENOENT)
        return lsm_fail(LSM_IO, "%s: %s", path, strerror(errno));
    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        (void)close(fd);
        return lsm_fail(LSM_INVALID, "%s: is not a regular file", path);
    }
    *out = fd;
    return LSM_OK;
}

static bool is_same_file(int a, int b)
{
    struct stat one;
    struct stat other;

    return a >= 0 && b >= 0 && fstat(a, &one) == 0 && fstat(b, &other) == 0 &&
           one.st_ino == other.st_ino && one.st_dev == other.st_dev;
}

lsm_status event_reader_open(const char *database, struct event_reader *out)
{
    struct stat st;

    if (stat(database, &st) != 0)
        return lsm_fail(errno == ENOENT ? LSM_NOT_FOUND : LSM_IO, "%s: %s", database,
                        strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return lsm_fail(LSM_INVALID, "%s: not a directory, so not a database", database);
    out->database = database;
    out->old = -1;
    out->current = -1;
    out->offset = 0;
    out->size = 0;
    return LSM_OK;
}

void event_reader_close(struct event_reader *reader)
{
    close_file(&reader->old);
    close_file(&reader->current);
}

// --- lines ---

// Tells the line at hand, whole or not.
static lsm_status tell_line(struct event_reader *r, event_line_fn fn, void *ctx)
{
    const lsm_slice line = slice_make(r->line, r->size);

    r->size = 0;
    return fn(ctx, line);
}

static lsm_status take_chunk(struct event_reader *r, const char *at, size_t size, event_line_fn fn,
                             void *ctx)
{
    for (const char *end = at + size; at < end; at++) {
        if (*at != '\n')
            r->line[r->size++] = *at;
        if (*at == '\n' || r->size == sizeof r->line)
            TRY(tell_line(r, fn, ctx));
    }
    return LSM_OK;
}

static lsm_status drain(struct event_reader *r, int fd, event_line_fn fn, void *ctx)
{
    char chunk[CHUNK_SIZE];
    ssize_t got;

    while ((got = RETRY(pread(fd, chunk, sizeof chunk, (off_t)r->offset))) > 0) {
        r->offset += (uint64_t)got;
        TRY(take_chunk(r, chunk, (size_t)got, fn, ctx));
    }
    return got == 0
               ? LSM_OK
               : lsm_fail(LSM_IO, "%s: reading the event log: %s", r->database, strerror(errno));
}

// Nothing more comes into the file: its last line, too, is told, and the next one begins.
static lsm_status finish_file(struct event_reader *r, int *fd, event_line_fn fn, void *ctx)
{
    TRY(drain(r, *fd, fn, ctx));
    if (r->size > 0)
        TRY(tell_line(r, fn, ctx));
    close_file(&r->old);
    r->old = *fd;
    *fd = -1;
    r->offset = 0;
    return LSM_OK;
}

// Reads the rotated file, unless it is the one that was read last.
static lsm_status read_rotated(struct event_reader *r, event_line_fn fn, void *ctx)
{
    int fd;
    lsm_status status;

    TRY(open_file(r, FILENAME_EVENTS_OLD, &fd));
    if (fd < 0)
        return LSM_OK;
    if (is_same_file(fd, r->old)) {
        close_file(&fd);
        return LSM_OK;
    }
    status = finish_file(r, &fd, fn, ctx);
    close_file(&fd);
    return status;
}

// Begins the next file, behind those that have been rotated meanwhile.
static lsm_status begin_file(struct event_reader *r, event_line_fn fn, void *ctx)
{
    bool is_read;
    int rotated;

    do {
        TRY(read_rotated(r, fn, ctx));
        TRY(open_file(r, FILENAME_EVENTS, &r->current));
        // Between the two calls it may have been rotated: then that one comes first.
        TRY(open_file(r, FILENAME_EVENTS_OLD, &rotated));
        is_read = rotated < 0 || is_same_file(rotated, r->old);
        close_file(&rotated);
        if (!is_read)
            close_file(&r->current);
    } while (!is_read);
    return LSM_OK;
}

// Whether the file being read is still the log; when it has been cut it is read again.
static lsm_status check_current(struct event_reader *r, bool *is_current)
{
    struct stat st;
    int now;

    TRY(open_file(r, FILENAME_EVENTS, &now));
    *is_current = is_same_file(now, r->current);
    close_file(&now);
    if (*is_current && fstat(r->current, &st) == 0 && (uint64_t)st.st_size < r->offset) {
        r->offset = 0;
        r->size = 0;
    }
    return LSM_OK;
}

lsm_status event_reader_read(struct event_reader *r, event_line_fn fn, void *ctx)
{
    bool is_current = true;

    do {
        if (r->current < 0)
            TRY(begin_file(r, fn, ctx));
        if (r->current < 0)
            return LSM_OK;
        TRY(drain(r, r->current, fn, ctx));
        TRY(check_current(r, &is_current));
        if (!is_current)
            TRY(finish_file(r, &r->current, fn, ctx));
    } while (!is_current);
    return LSM_OK;
}

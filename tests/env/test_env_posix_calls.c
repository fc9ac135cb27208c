// test_env_posix_calls.c -- the system interrupts calls and does half of what it is asked.
//
// The functions of the C library that move bytes are replaced here; while `meddling`, each of
// them is interrupted by turns, and otherwise moves a few bytes at most.

#include "env/env.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

#define PIECE 3 // bytes that a call moves

static bool meddling;
static unsigned interruptions;
static unsigned short_counts;

// Whether this call is interrupted.
static bool interrupt(void)
{
    static unsigned calls;

    if (!meddling || calls++ % 2 == 1)
        return false;
    interruptions++;
    errno = EINTR;
    return true;
}

static size_t shorten(size_t size)
{
    if (!meddling || size <= PIECE)
        return size;
    short_counts++;
    return PIECE;
}

ssize_t pread(int fd, void *to, size_t size, off_t offset)
{
    return interrupt() ? -1 : syscall(SYS_pread64, fd, to, shorten(size), offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t done = 0;

    if (interrupt())
        return -1;
    for (int i = 0; i < count; i++) {
        const size_t size = shorten(parts[i].iov_len);
        const ssize_t n = syscall(SYS_pwrite64, fd, parts[i].iov_base, size, offset + done);

        if (n < 0)
            return done > 0 ? done : n;
        done += n;
        if ((size_t)n < parts[i].iov_len)
            break;
    }
    return done;
}

int fdatasync(int fd)
{
    return interrupt() ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t size)
{
    return interrupt() ? -1 : (int)syscall(SYS_ftruncate, fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return interrupt() ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

// --- a file of its own ---

static struct {
    char path[32];
    struct dir *dir;
    struct file *file;
} f;

static void setup(void)
{
    (void)snprintf(f.path, sizeof f.path, "/tmp/lsmkv-calls-XXXXXX");
    cr_assert(mkdtemp(f.path) != NULL);
    assert_ok(dir_open(env_posix(), f.path, false, &f.dir));
    assert_ok(file_open(f.dir, "f", FILE_CREATE, &f.file));
    meddling = true;
}

static void teardown(void)
{
    meddling = false;
    (void)file_close(f.file);
    (void)file_unlink(f.dir, "f");
    dir_close(f.dir);
    (void)rmdir(f.path);
}

TestSuite(posix_calls, .init = setup, .fini = teardown);

// LevelDB took what one read returned for all there was.
Test(posix_calls, peer_leveldb_1285_a_short_read_is_not_the_end)
{
    char text[32] = "";
    size_t got = 0;

    assert_ok(file_write_one(f.file, 0, slice_of("0123456789abcdef")));
    short_counts = 0;
    assert_ok(file_read(f.file, 2, text, 12, &got));
    cr_assert(eq(sz, got, 12));
    cr_assert(eq(str, text, "23456789abcd"));
    cr_assert(eq(uint, short_counts, 3));
    memset(text, 0, sizeof text);
    assert_ok(file_read(f.file, 10, text, 20, &got)); // the end it is
    cr_assert(eq(sz, got, 6));
    cr_assert(eq(str, text, "abcdef"));
    assert_ok(file_read_exact(f.file, 0, text, 16));
    cr_assert(eq(int, file_read_exact(f.file, 0, text, 17), LSM_CORRUPT));
}

Test(posix_calls, a_short_write_goes_on_where_it_stopped)
{
    const lsm_slice parts[] = {slice_of("one "), slice_of(""), slice_of("two, three "),
                               slice_of("x"), slice_of(" and four")};
    char text[32] = "";
    uint64_t size;

    assert_ok(file_write(f.file, 5, parts, 5));
    cr_assert(ge(uint, short_counts, 5));
    assert_ok(file_size(f.file, &size));
    cr_assert(eq(u64, size, 30));
    assert_ok(file_read_exact(f.file, 5, text, 25));
    cr_assert(eq(str, text, "one two, three x and four"));
}

Test(posix_calls, an_interrupted_call_is_made_again)
{
    uint64_t size;

    for (unsigned i = 0; i < 4; i++) {
        interruptions = 0;
        assert_ok(file_allocate(f.file, 0, 8192));
        assert_ok(file_size(f.file, &size));
        cr_assert(eq(u64, size, 8192));
        assert_ok(file_sync(f.file));
        assert_ok(file_truncate(f.file, 100));
        assert_ok(file_size(f.file, &size));
        cr_assert(eq(u64, size, 100));
        cr_assert(eq(uint, interruptions, 3));
    }
}

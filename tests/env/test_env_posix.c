// test_env_posix.c -- what only the machine's own files can do.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "env/fd_cache.h"

#define assert_ok(call)            cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())
#define assert_status(call, wants) cr_assert(eq(int, (call), (wants)), "%s", lsm_errmsg())

static struct {
    char root[64];
    struct env *env;
    struct dir *dir;
} f;

static void setup(void)
{
    snprintf(f.root, sizeof f.root, "/tmp/lsm-test-posix-XXXXXX");
    cr_assert(mkdtemp(f.root) != NULL);
    f.env = env_posix();
    assert_ok(dir_open(f.env, f.root, false, &f.dir));
}

static void teardown(void)
{
    char command[128];

    dir_closep(&f.dir);
    snprintf(command, sizeof command, "rm -rf %s", f.root);
    cr_assert(system(command) == 0);
}

TestSuite(posix, .init = setup, .fini = teardown, .timeout = 600);

static const char *path_of(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", f.root, name);
    return path;
}

static const char *content_of(const char *name)
{
    static char text[256];
    struct file *file = NULL;
    size_t got;

    assert_ok(file_open(f.dir, name, FILE_READ, &file));
    assert_ok(file_read(file, 0, text, sizeof text - 1, &got));
    file_close_quietly(file);
    text[got] = '\0';
    return text;
}

static void create_closed(const char *name, const char *text)
{
    struct file *file = NULL;

    assert_ok(file_open(f.dir, name, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_of(text)));
    assert_ok(file_close(file));
}

// --- files ---

Test(posix, a_new_file_is_private_and_not_inherited)
{
    struct file *file = NULL;
    struct stat st;
    struct stat open_st;
    bool was_found = false;

    umask(0);
    assert_ok(file_open(f.dir, "f", FILE_CREATE, &file));
    cr_assert(stat(path_of("f"), &st) == 0);
    cr_assert(eq(uint, st.st_mode & 07777, 0600));
    for (int fd = 0; fd < 1024; fd++) {
        if (fstat(fd, &open_st) == 0 && open_st.st_ino == st.st_ino) {
            cr_assert(eq(int, fcntl(fd, F_GETFD), FD_CLOEXEC));
            was_found = true;
        }
    }
    cr_assert(was_found);
    assert_ok(file_close(file));
}

Test(posix, only_regular_files_are_opened)
{
    struct file *file = NULL;
    uint64_t size;

    create_closed("target", "abc");
    cr_assert(symlink("target", path_of("link")) == 0);
    cr_assert(mkfifo(path_of("pipe"), 0600) == 0);
    assert_status(file_open(f.dir, "link", FILE_READ, &file), LSM_INVALID);
    assert_status(file_open(f.dir, "link", FILE_WRITE, &file), LSM_INVALID);
    assert_status(file_open(f.dir, "pipe", FILE_READ, &file), LSM_INVALID);
    assert_status(file_open(f.dir, "pipe", FILE_WRITE, &file), LSM_INVALID);
    assert_status(file_stat(f.dir, "link", &size), LSM_INVALID);
    cr_assert(strstr(lsm_errmsg(), "link: is not a regular file") != NULL, "%s", lsm_errmsg());
    cr_assert(file == NULL);
}

Test(posix, a_directory_is_held_whatever_becomes_of_its_path)
{
    struct dir *dir = NULL;
    struct file *file = NULL;
    struct stat st;
    char moved[100];

    assert_ok(dir_open(f.env, path_of("x/y/z"), true, &dir));
    cr_assert(stat(path_of("x/y"), &st) == 0);
    cr_assert(eq(uint, st.st_mode & 0777, 0700));
    snprintf(moved, sizeof moved, "%s/moved", f.root);
    cr_assert(rename(path_of("x"), moved) == 0);
    assert_ok(file_open(dir, "f", FILE_CREATE, &file));
    assert_ok(file_close(file));
    cr_assert(stat(path_of("moved/y/z/f"), &st) == 0);
    dir_close(dir);
}

Test(posix, a_relative_path_is_made_below_the_working_directory)
{
    struct dir *dir = NULL;
    struct stat st;

    cr_assert(chdir(f.root) == 0);
    assert_ok(dir_open(f.env, "one/two", true, &dir));
    dir_close(dir);
    assert_ok(dir_open(f.env, "one//two//", true, &dir));
    dir_close(dir);
    cr_assert(stat(path_of("one/two"), &st) == 0);
    assert_ok(dir_open(f.env, ".", true, &dir));
    dir_close(dir);
    assert_ok(dir_open(f.env, "/", true, &dir));
    dir_close(dir);
    assert_status(dir_open(f.env, "", true, &dir), LSM_IO);
}

Test(posix, errors_of_the_system_become_statuses)
{
    struct rlimit limit = {.rlim_cur = 1000, .rlim_max = 1000};
    struct file *file = NULL;

    assert_ok(file_open(f.dir, "f", FILE_CREATE, &file));
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    assert_status(file_write_one(file, 1000, slice_of("x")), LSM_NO_SPACE); // EFBIG
    cr_assert(strstr(lsm_errmsg(), "f: cannot write 1 bytes at offset 1000") != NULL, "%s",
              lsm_errmsg());
    assert_status(file_truncate(file, 1001), LSM_NO_SPACE);
    assert_status(file_allocate(file, 0, 1001), LSM_NO_SPACE);
    assert_status(file_write_one(file, UINT64_MAX, slice_of("x")), LSM_NO_SPACE);
    assert_status(file_truncate(file, UINT64_MAX), LSM_NO_SPACE);
    assert_status(file_allocate(file, UINT64_MAX, 2), LSM_NO_SPACE);
    assert_ok(file_close(file));
}

// A write that the system takes a part of is continued, and then fails.
Test(posix, a_short_write_is_continued)
{
    struct rlimit limit = {.rlim_cur = 10, .rlim_max = RLIM_INFINITY};
    lsm_slice parts[] = {slice_of("123456"), slice_of("789abc")};
    struct file *file = NULL;
    char found[13] = "";

    assert_ok(file_open(f.dir, "f", FILE_CREATE, &file));
    signal(SIGXFSZ, SIG_IGN);
    cr_assert(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    assert_status(file_write(file, 0, parts, 2), LSM_NO_SPACE);
    cr_assert(strstr(lsm_errmsg(), "at offset 10") != NULL, "%s", lsm_errmsg());
    assert_ok(file_read_exact(file, 0, found, 10));
    cr_assert(eq(str, found, "123456789a"));
    assert_ok(file_close(file));
}

Test(posix, with_no_descriptor_left_the_system_is_busy)
{
    struct rlimit limit;
    struct file *file = NULL;
    struct dir *dir = NULL;
    struct dir_lock *lock = NULL;

    create_closed("f", "");
    cr_assert(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    cr_assert(eq(u64, env_descriptor_limit(f.env), limit.rlim_cur));
    limit.rlim_cur = 0;
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    assert_status(file_open(f.dir, "f", FILE_READ, &file), LSM_BUSY);
    assert_status(dir_open(f.env, f.root, false, &dir), LSM_BUSY);
    assert_status(dir_list(f.dir, NULL, NULL), LSM_BUSY);
    assert_status(dir_lock(f.dir, "LOCK", &lock), LSM_BUSY);
    limit.rlim_cur = limit.rlim_max;
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

// Every descriptor that is left goes into files read through a cache; then a file is made.
Test(posix, a_new_file_finds_a_descriptor_that_was_only_cached)
{
    enum { FILES = 16, LIMIT = 40 };
    struct cached_file files[FILES];
    struct rlimit limit = {.rlim_cur = LIMIT, .rlim_max = LIMIT};
    struct fd_cache *cache = NULL;
    struct epoch_bin bin;
    struct file *made[LIMIT] = {NULL};
    size_t count = 0;
    char name[16];

    epoch_bin_init(&bin);
    assert_ok(fd_cache_new(&bin, FILES, &cache));
    fd_cache_serve(cache, f.dir);
    for (int i = 0; i < FILES; i++) {
        struct file *file = NULL;
        EPOCH_SECTION();

        snprintf(name, sizeof name, "%d", i);
        create_closed(name, "x");
        cached_file_init(&files[i], cache, f.dir, name);
        assert_ok(cached_file_get(&files[i], &file));
    }
    cr_assert(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    // Half of the cache goes each time that none is left, down to the last one.
    for (; count < LIMIT; count++) {
        snprintf(name, sizeof name, "new%zu", count);
        if (file_open(f.dir, name, FILE_CREATE, &made[count]) != LSM_OK)
            break;
    }
    cr_assert(ge(sz, count, FILES));
    cr_assert(lt(sz, count, LIMIT));
    cr_assert(eq(sz, fd_cache_open_count(cache), 0));
    while (count > 0)
        assert_ok(file_close(made[--count]));
    for (int i = 0; i < FILES; i++)
        cached_file_release(&files[i]);
    fd_cache_free(cache);
    epoch_drain(&bin);
    epoch_bin_release(&bin);
}

// --- the lock ---

// Runs `body` in a forked child and returns what it answers.
static int in_child(int (*body)(void))
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(body());
    cr_assert(child > 0);
    cr_assert(waitpid(child, &status, 0) == child);
    cr_assert(eq(int, status & 0xFF, 0), "the child was killed");
    return WEXITSTATUS(status);
}

// The status of locking, from this process, through an open of its own.
static int lock_and_keep(void)
{
    struct dir *dir = NULL;
    struct dir_lock *lock = NULL;

    if (dir_open(f.env, f.root, false, &dir) != LSM_OK)
        return 99;
    return (int)dir_lock(dir, "LOCK", &lock);
}

static int lock_and_see_who_holds_it(void)
{
    char holder[32];

    snprintf(holder, sizeof holder, "process %d ", (int)getppid());
    if (lock_and_keep() != LSM_LOCKED)
        return 98;
    return strstr(lsm_errmsg(), holder) != NULL ? LSM_LOCKED : 97;
}

Test(posix, another_process_is_kept_out_and_told_by_whom)
{
    struct dir_lock *lock = NULL;

    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    cr_assert(eq(int, in_child(lock_and_see_who_holds_it), LSM_LOCKED));
    dir_unlock(f.env, lock);
    cr_assert(eq(int, in_child(lock_and_keep), LSM_OK));
}

Test(posix, the_lock_of_a_dead_process_does_not_block)
{
    struct dir_lock *lock = NULL;

    cr_assert(eq(int, in_child(lock_and_keep), LSM_OK)); // and exits with it
    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    dir_unlock(f.env, lock);
}

Test(posix, a_second_path_to_the_directory_is_no_way_around_the_lock)
{
    struct dir_lock *lock = NULL;
    struct dir *dir = NULL;

    assert_ok(dir_open(f.env, path_of("real"), true, &dir));
    assert_ok(dir_lock(dir, "LOCK", &lock));
    cr_assert(symlink("real", path_of("alias")) == 0);
    {
        struct dir *alias = NULL;
        struct dir_lock *second = NULL;

        assert_ok(dir_open(f.env, path_of("alias"), false, &alias));
        assert_status(dir_lock(alias, "LOCK", &second), LSM_LOCKED);
        cr_assert(unlink(path_of("real/LOCK")) == 0); // nor is a new lock file
        assert_status(dir_lock(alias, "LOCK", &second), LSM_LOCKED);
        dir_close(alias);
    }
    dir_unlock(f.env, lock);
    dir_close(dir);
}

// What has been removed with its files goes on being held; nothing can be made in it.
Test(posix, a_directory_that_is_removed_while_open_fails_and_says_so)
{
    struct dir_lock *lock = NULL;
    struct file *file = NULL;
    struct file_facts facts;
    struct dir *dir = NULL;
    uint64_t size;

    assert_ok(dir_open(f.env, path_of("gone"), true, &dir));
    cr_assert(rmdir(path_of("gone")) == 0);
    assert_status(file_open(dir, "f", FILE_CREATE, &file), LSM_IO);
    cr_assert(strstr(lsm_errmsg(), "gone/f: cannot create: the directory has been removed") !=
              NULL);
    assert_status(dir_lock(dir, "LOCK", &lock), LSM_IO);
    cr_assert(strstr(lsm_errmsg(), "the directory has been removed") != NULL);
    assert_status(file_rename(dir, "f", "g"), LSM_IO);
    assert_status(file_open(dir, "f", FILE_READ, &file), LSM_IO);
    assert_status(file_stat(dir, "f", &size), LSM_IO);
    assert_ok(file_look(dir, "f", &facts));
    cr_assert(not(facts.is_there));
    assert_ok(file_unlink(dir, "f"));
    cr_assert(file == NULL && lock == NULL);
    dir_close(dir);
}

static struct dir_lock *inherited;

static int drop_what_was_inherited(void)
{
    dir_unlock(f.env, inherited); // knows that it is the parent's
    return (int)lock_and_keep();
}

Test(posix, a_forked_child_cannot_give_the_lock_away)
{
    assert_ok(dir_lock(f.dir, "LOCK", &inherited));
    cr_assert(eq(int, in_child(drop_what_was_inherited), LSM_LOCKED));
    cr_assert(eq(int, in_child(lock_and_keep), LSM_LOCKED));
    dir_unlock(f.env, inherited);
}

Test(posix, a_forked_child_does_not_keep_the_lock_alive)
{
    struct dir_lock *lock = NULL;
    int hold[2];
    pid_t child;

    cr_assert(pipe(hold) == 0);
    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    child = fork();
    if (child == 0) {
        char end;

        close(hold[1]);
        _exit((int)read(hold[0], &end, 1)); // until the parent closes the pipe
    }
    close(hold[0]);
    dir_unlock(f.env, lock);
    cr_assert(eq(int, in_child(lock_and_keep), LSM_OK));
    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    dir_unlock(f.env, lock);
    close(hold[1]);
    cr_assert(waitpid(child, NULL, 0) == child);
}

Test(posix, a_child_made_without_fork_handlers_does_not_keep_the_lock_alive)
{
    struct dir_lock *lock = NULL;
    pid_t child;

    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    child = _Fork(); // as a child is before its handlers have run
    if (child == 0) {
        (void)pause();
        _exit(0);
    }
    dir_unlock(f.env, lock);
    cr_assert(eq(int, in_child(lock_and_keep), LSM_OK));
    cr_assert(kill(child, SIGKILL) == 0);
    cr_assert(waitpid(child, NULL, 0) == child);
}

Test(posix, a_lock_file_with_anything_in_it_is_taken)
{
    struct dir_lock *lock = NULL;

    create_closed("LOCK", "not a number, and longer than any process id can possibly be");
    assert_ok(dir_lock(f.dir, "LOCK", &lock));
    dir_unlock(f.env, lock);
    cr_assert(mkdir(path_of("d"), 0700) == 0);
    assert_status(dir_lock(f.dir, "d", &lock), LSM_INVALID);
}

// --- the lock of a copy by hard links ---

static uint64_t name_count_of(const char *name)
{
    struct stat st;

    cr_assert(stat(path_of(name), &st) == 0);
    return st.st_nlink;
}

// Two directories with one lock file, as `cp -al` leaves them.
static void make_copy(struct dir **original, struct dir **copy)
{
    char from[256];
    struct dir_lock *lock;

    assert_ok(dir_open(f.env, path_of("original"), true, original));
    assert_ok(dir_open(f.env, path_of("copy"), true, copy));
    assert_ok(dir_lock(*original, "LOCK", &lock));
    dir_unlock(f.env, lock);
    (void)snprintf(from, sizeof from, "%s", path_of("original/LOCK"));
    cr_assert(link(from, path_of("copy/LOCK")) == 0);
}

static int lock_at(const char *path)
{
    struct dir *dir = NULL;
    struct dir_lock *lock = NULL;

    if (dir_open(f.env, path_of(path), false, &dir) != LSM_OK)
        return 99;
    return (int)dir_lock(dir, "LOCK", &lock);
}

static int lock_original(void)
{
    return lock_at("original");
}

static int lock_copy(void)
{
    return lock_at("copy");
}

Test(posix, a_copy_by_hard_links_is_taken_by_a_lock_file_of_its_own)
{
    struct dir *original, *copy;
    struct dir_lock *lock, *second;
    char before[64];

    make_copy(&original, &copy);
    (void)snprintf(before, sizeof before, "%s", content_of("original/LOCK"));
    assert_ok(dir_lock(copy, "LOCK", &second));
    cr_assert(eq(u64, name_count_of("original/LOCK"), 1));
    cr_assert(eq(u64, name_count_of("copy/LOCK"), 1));
    cr_assert(eq(str, (char *)content_of("original/LOCK"), (char *)before));
    cr_assert(eq(int, in_child(lock_copy), LSM_LOCKED));
    assert_ok(dir_lock(original, "LOCK", &lock));
    cr_assert(eq(int, in_child(lock_original), LSM_LOCKED));
    cr_assert(eq(int, in_child(lock_copy), LSM_LOCKED));
    dir_unlock(f.env, lock);
    cr_assert(eq(int, in_child(lock_original), LSM_OK));
    dir_unlock(f.env, second);
    dir_close(original);
    dir_close(copy);
}

// The lock file has two names while it is held; its holder's directory stays locked all the same.
Test(posix, a_copy_made_while_the_original_is_held_is_free_and_the_original_is_not)
{
    struct dir *original, *copy;
    struct dir_lock *lock;

    make_copy(&original, &copy);
    cr_assert(unlink(path_of("copy/LOCK")) == 0);
    assert_ok(dir_lock(original, "LOCK", &lock));
    {
        char from[256];

        (void)snprintf(from, sizeof from, "%s", path_of("original/LOCK"));
        cr_assert(link(from, path_of("copy/LOCK")) == 0);
    }
    cr_assert(eq(int, in_child(lock_original), LSM_LOCKED));
    cr_assert(eq(u64, name_count_of("original/LOCK"), 2), "and its lock file stays");
    cr_assert(eq(int, in_child(lock_copy), LSM_OK));
    cr_assert(eq(int, in_child(lock_original), LSM_LOCKED));
    dir_unlock(f.env, lock);
    cr_assert(eq(int, in_child(lock_original), LSM_OK));
    dir_close(original);
    dir_close(copy);
}

// Many processes at one lock file with two names: one of them takes each directory.
Test(posix, of_processes_that_race_for_a_copy_one_takes_it)
{
    for (int round = 0; round < 20; round++) {
        struct dir *original, *copy;
        pid_t children[12];
        int taken[2] = {0, 0};
        int gate[2];

        make_copy(&original, &copy);
        cr_assert(pipe(gate) == 0);
        for (int i = 0; i < 12; i++) {
            children[i] = fork();
            if (children[i] == 0) {
                int status;
                char byte;

                close(gate[1]);
                (void)!read(gate[0], &byte, 1); // until the gate opens
                status = i % 2 == 0 ? lock_original() : lock_copy();
                if (status == LSM_OK)
                    (void)pause(); // keeps it
                _exit(status == LSM_LOCKED ? 0 : 1);
            }
        }
        close(gate[0]);
        close(gate[1]);
        // Whoever does not take it ends; the two that do are left.
        for (int left = 12; left > 2; left--) {
            int status = 0;
            const pid_t ended = waitpid(-1, &status, 0);

            cr_assert(eq(int, status, 0));
            for (int i = 0; i < 12; i++) {
                if (children[i] == ended)
                    children[i] = 0;
            }
        }
        for (int i = 0; i < 12; i++) {
            if (children[i] == 0)
                continue;
            taken[i % 2]++;
            cr_assert(kill(children[i], SIGKILL) == 0);
            cr_assert(waitpid(children[i], NULL, 0) == children[i]);
        }
        cr_assert(eq(int, taken[0], 1));
        cr_assert(eq(int, taken[1], 1));
        dir_close(original);
        dir_close(copy);
        cr_assert(unlink(path_of("original/LOCK")) == 0);
        cr_assert(unlink(path_of("copy/LOCK")) == 0);
    }
}

// --- descriptors ---

// What a daemon does that closes all it does not need.
Test(posix, no_file_takes_the_number_of_a_standard_stream)
{
    int kept[3];
    struct dir *dir = NULL;
    struct file *file = NULL;
    struct dir_lock *lock = NULL;
    lsm_status opened, locked, created;
    ssize_t written[3];

    for (int fd = 0; fd < 3; fd++)
        kept[fd] = dup(fd);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    opened = dir_open(f.env, f.root, false, &dir);
    locked = dir_lock(dir, "LOCK", &lock);
    created = file_open(dir, "file", FILE_CREATE, &file);
    for (int fd = 0; fd < 3; fd++)
        written[fd] = write(fd, "words of the application", 24);
    for (int fd = 0; fd < 3; fd++) {
        dup2(kept[fd], fd);
        close(kept[fd]);
    }
    cr_assert(eq(int, opened, LSM_OK));
    cr_assert(eq(int, locked, LSM_OK));
    cr_assert(eq(int, created, LSM_OK));
    for (int fd = 0; fd < 3; fd++)
        cr_expect(eq(int, (int)written[fd], -1));
    assert_ok(file_close(file));
    dir_unlock(f.env, lock);
    dir_closep(&dir);
}

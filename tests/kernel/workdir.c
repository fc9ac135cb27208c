#include "kernel/workdir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "kernel/guard.h"

#define PREFIX       "lsmkv-kernel-"
#define KEPT         "KEPT"
#define MEMORY       "/dev/shm"
#define MEMORY_BYTES (UINT64_C(1) << 30) // that must be free there

static const char *base_dir(void)
{
    const char *base = getenv("TMPDIR");
    struct statvfs room;

    if (access(MEMORY, R_OK | W_OK | X_OK) == 0 && statvfs(MEMORY, &room) == 0 &&
        (uint64_t)room.f_bavail * room.f_frsize >= MEMORY_BYTES)
        return MEMORY;
    return base != NULL && *base != '\0' ? base : "/tmp";
}

// Whether the process that made the directory has died without removing it.
static bool is_stale(const char *path)
{
    const char *number = strstr(path, PREFIX) + strlen(PREFIX);
    char kept[PATH_MAX_HERE + 8];
    long pid = 0;

    number = strchr(number, '-');
    (void)snprintf(kept, sizeof kept, "%s/" KEPT, path);
    return number != NULL && sscanf(number, "-%ld-", &pid) == 1 && pid > 0 &&
           kill((pid_t)pid, 0) != 0 && errno == ESRCH && access(kept, F_OK) != 0;
}

static void remove_stale(const char *base, const char *program)
{
    char pattern[PATH_MAX_HERE];
    glob_t found = {0};

    (void)snprintf(pattern, sizeof pattern, "%s/" PREFIX "%s-*", base, program);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            if (is_stale(found.gl_pathv[i]))
                workdir_remove(found.gl_pathv[i]);
        }
    }
    globfree(&found);
}

void workdir_make(const char *program, char path[PATH_MAX_HERE])
{
    const char *base = base_dir();

    remove_stale(base, program);
    (void)snprintf(path, PATH_MAX_HERE, "%s/" PREFIX "%s-%ld-XXXXXX", base, program,
                   (long)getpid());
    if (mkdtemp(path) == NULL) {
        perror(path);
        exit(1);
    }
    guard_note(workdir_remove, path);
}

static int remove_one(const char *path, const struct stat *what, int type, struct FTW *where)
{
    (void)what;
    (void)type;
    (void)where;
    return remove(path);
}

void workdir_remove(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

void workdir_keep(const char *path)
{
    char kept[PATH_MAX_HERE + 8];
    int fd;

    (void)snprintf(kept, sizeof kept, "%s/" KEPT, path);
    fd = open(kept, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    guard_forget(workdir_remove);
}

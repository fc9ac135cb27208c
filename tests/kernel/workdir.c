#include "kernel/workdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK "lsmkv-kernel-"

void workdir_make(const char *program, char path[PATH_MAX_HERE])
{
    const char *base = getenv("TMPDIR");

    if (base == NULL || *base == '\0')
        base = "/tmp";
    if (access("/dev/shm", R_OK | W_OK | X_OK) == 0)
        base = "/dev/shm";
    (void)snprintf(path, PATH_MAX_HERE, "%s/" MARK "%s-%ld-XXXXXX", base, program, (long)getpid());
    if (mkdtemp(path) == NULL) {
        perror(path);
        exit(1);
    }
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

bool workdir_owner(const char *path, long *pid)
{
    const char *mark = strstr(path, "/" MARK);

    return mark != NULL && sscanf(mark, "/" MARK "%*[a-z_]-%ld-", pid) == 1;
}

// calls.h -- system calls of a process that fail when it is told so.
//
// A seccomp filter hands the calls that a database makes on its files to a second process, which
// lets them pass or answers with an error. So the very code that is shipped meets errors which
// nobody can provoke, as a full table of open files of the whole system.

#ifndef LSM_TESTS_KERNEL_CALLS_H
#define LSM_TESTS_KERNEL_CALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kernel/scene.h"

// Which calls fail, of those on files below the scene's directory.
struct call_fault {
    const char *name; // for the report
    int number;       // of the system call: one of calls.c's list
    int error;
    const char *suffix; // of the path of the file, or of the directory that a name is looked up in
    uint32_t period;    // the first, and every so-manyth behind it; 1: all
    uint32_t count_max; // at most so many; 0: no limit
};

// Shared by the process under test and the one that answers.
struct calls {
    char root[PATH_MAX_HERE];
    _Atomic(const struct call_fault *) fault; // NULL: none; static, so known to both
    _Atomic uint32_t seen;                    // since it was set
    _Atomic uint32_t failed;
};

// Runs `body` in a process of its own, in which calls fail as it tells by calls_fail(). False:
// the ledger's trouble tells. Skips the scene where such a filter is not permitted.
bool calls_run(struct scene *scene, bool (*body)(struct scene *scene, struct calls *calls));

// Has calls fail from now on; NULL: none does.
void calls_fail(struct calls *calls, const struct call_fault *fault);

#endif

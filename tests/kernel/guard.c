#include "kernel/guard.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOTES_MAX 16
#define WHAT_MAX  640

struct note {
    void (*undo)(const char *what); // NULL: forgotten
    char what[WHAT_MAX];
};

// In memory that both processes share; the parent reads it when the child has ended.
struct notes {
    unsigned count;
    struct note notes[NOTES_MAX];
};

static struct notes *notes;

static struct note *newest(void (*undo)(const char *what))
{
    for (unsigned i = notes == NULL ? 0 : notes->count; i-- > 0;) {
        if (notes->notes[i].undo == undo)
            return &notes->notes[i];
    }
    return NULL;
}

void guard_note(void (*undo)(const char *what), const char *what)
{
    struct note *note;

    if (notes == NULL)
        return;
    note = newest(NULL); // a forgotten one may be used again
    if (note == NULL) {
        if (notes->count == NOTES_MAX || strlen(what) >= WHAT_MAX)
            abort();
        note = &notes->notes[notes->count++];
    }
    (void)snprintf(note->what, WHAT_MAX, "%s", what);
    note->undo = undo;
}

void guard_forget(void (*undo)(const char *what))
{
    struct note *note = newest(undo);

    if (note != NULL)
        note->undo = NULL;
}

void guard_undo(void (*undo)(const char *what))
{
    const struct note *note = newest(undo);

    if (note == NULL)
        return;
    undo(note->what);
    guard_forget(undo);
}

// --- the parent ---

static const int fatal_signals[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};

static void catch_signals(sigset_t *caught)
{
    (void)sigemptyset(caught);
    (void)sigaddset(caught, SIGCHLD);
    for (size_t i = 0; i < sizeof fatal_signals / sizeof fatal_signals[0]; i++)
        (void)sigaddset(caught, fatal_signals[i]);
}

static void undo_all(void)
{
    for (unsigned i = notes->count; i-- > 0;) {
        if (notes->notes[i].undo != NULL)
            notes->notes[i].undo(notes->notes[i].what);
    }
}

// The child leads a group that its own children are in. They are killed while its process number
// is still taken, and so is that of the group.
static _Noreturn void wait_for(pid_t child, const sigset_t *caught)
{
    siginfo_t ended = {0};
    int signal = 0;
    int how;

    do {
        if (sigwait(caught, &signal) == 0 && signal != SIGCHLD)
            break;
    } while (waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT) != 0 ||
             ended.si_pid == 0);
    (void)kill(-child, SIGKILL);
    while (waitpid(child, &how, 0) != child && errno == EINTR)
        continue;
    undo_all();
    if (signal != SIGCHLD)
        _exit(128 + signal);
    if (WIFSIGNALED(how))
        fprintf(stderr, "killed by signal %d: %s\n", WTERMSIG(how), strsignal(WTERMSIG(how)));
    _exit(WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how));
}

void guard_begin(void)
{
    sigset_t caught, before;
    pid_t child;

    notes = mmap(NULL, sizeof *notes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (notes == MAP_FAILED) {
        perror("shared memory");
        exit(1);
    }
    catch_signals(&caught);
    (void)sigprocmask(SIG_BLOCK, &caught, &before);
    fflush(NULL);
    child = fork();
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    // Both do it: whoever comes first.
    (void)setpgid(child, child);
    if (child > 0)
        wait_for(child, &caught);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
}

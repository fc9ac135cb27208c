// kill_calls.c -- lsmctl, as it is installed, killed at each of its system calls.
//
// A script of commands makes a database and changes it. Each command is run again and again
// on the files that the one before has left, and killed as one of its threads enters its first
// system call, its second, and so on, until it ends by itself. What it leaves must open, verify,
// and hold what was there before the command or what the command makes of it; of a load, any
// number of its first lines. Of some the process that recovers is killed too, in the same way.
//
// Round N looks at the calls whose number is N modulo SLICES.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "damage/damage_image.h"
#include "kernel/workdir.h"
#include "support/campaign.h"

#define EXIT_SKIPPED   77
#define SLICES         16
#define LINES          1500
#define RECOVERY_SHARE 4   // of so many one has its recovery killed
#define RECOVERY_CALLS 450 // and not behind this call

enum { ARGUMENTS = 10, COMMANDS = 7 };

// `@` in the place of an argument is the database, `<` a file of LINES lines.
static const struct command {
    const char *arguments[ARGUMENTS];
    bool is_load; // holds any number of its lines, in order
} script[COMMANDS] = {
    {{"put", "@", "a", "first", "--create"}, false},
    {{"load", "@", "<", "-o", "memtable_size=64KiB", "-o", "segment_size_max=1MiB"}, true},
    {{"put", "@", "a", "second", "-o", "value_threshold=1"}, false},
    {{"del", "@", "a"}, false},
    {{"compact", "@"}, false},
    {{"put", "@", "b", "third", "-k", "things", "--create"}, false},
    {{"load", "@", "<", "-k", "things", "--sync", "full"}, true},
};

static const struct command recovery = {{"load", "@", "/dev/null"}, false};

struct kill_test {
    struct campaign campaign;
    struct random random;
    char dir[PATH_MAX_HERE];
    char db[PATH_MAX_HERE + 16];
    char lines[PATH_MAX_HERE + 16]; // a file
    struct image image;             // the database before the command
    lsm_buf before, after, now;     // all entries, a line each
    uint64_t kills;
    uint64_t recoveries_killed;
    uint64_t between; // neither as before nor as after
};

// --- running the tool ---

static _Noreturn void become_tool(const struct kill_test *t, const struct command *command)
{
    const char *argv[ARGUMENTS + 3] = {LSMCTL};
    const int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    int count = 1;

    for (int i = 0; i < ARGUMENTS && command->arguments[i] != NULL; i++) {
        const char *argument = command->arguments[i];

        if (argument[0] == '@')
            argument = t->db;
        else if (argument[0] == '<')
            argument = t->lines;
        argv[count++] = argument;
    }
    argv[count] = "-q";
    if (dup2(nowhere, 0) < 0 || dup2(nowhere, 1) < 0 || ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
        _exit(EXIT_SKIPPED);
    (void)execv(LSMCTL, (char *const *)argv);
    _exit(127);
}

static bool is_entering_call(pid_t thread, int status)
{
    struct __ptrace_syscall_info info;

    return WSTOPSIG(status) == (SIGTRAP | 0x80) &&
           ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info) > 0 &&
           info.op == PTRACE_SYSCALL_INFO_ENTRY;
}

// Signals that tracing makes itself are not for the process.
static int signal_for(int status)
{
    const int signal = WSTOPSIG(status) & 0x7f;

    return signal == SIGTRAP || signal == SIGSTOP ? 0 : signal;
}

// Follows all threads of the process to its end; kills it at call number `kill_at`. Returns how
// it ended.
static int follow(pid_t pid, uint64_t kill_at)
{
    uint64_t calls = 0;
    int status;
    pid_t thread;

    while ((thread = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) {
            if (thread == pid)
                return status;
            continue;
        }
        if (is_entering_call(thread, status) && ++calls == kill_at)
            (void)kill(pid, SIGKILL);
        (void)ptrace(PTRACE_SYSCALL, thread, 0, signal_for(status));
    }
    perror("following lsmctl");
    exit(2);
}

// Runs the command; false when it was killed, at call number `kill_at`.
static bool run_tool(struct kill_test *t, const struct command *command, uint64_t kill_at)
{
    const long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE;
    const pid_t pid = fork();
    int status;

    if (pid == 0)
        become_tool(t, command);
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        perror("running lsmctl");
        exit(2);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
        printf("SKIPPED: processes may not be traced here\n");
        exit(EXIT_SKIPPED);
    }
    (void)ptrace(PTRACE_SETOPTIONS, pid, 0, options);
    (void)ptrace(PTRACE_SYSCALL, pid, 0, 0);
    status = follow(pid, kill_at);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return false;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        campaign_violation(&t->campaign, "lsmctl %s ends with %d", command->arguments[0], status);
    return true;
}

// --- what the database holds ---

static void append(lsm_buf *to, lsm_slice part, char end)
{
    must(buf_append(to, part.data, part.size));
    must(buf_append(to, &end, 1));
}

static lsm_status read_keyspace(lsm_db *db, const char *name, lsm_buf *out)
{
    lsm_keyspace *keyspace;
    lsm_status status = lsm_keyspace_open(db, name, false, NULL, &keyspace);
    lsm_slice value;
    lsm_iter *it;

    if (status != LSM_OK)
        return status == LSM_NOT_FOUND ? LSM_OK : status; // not made yet
    must(lsm_iter_open(db, keyspace, NULL, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        status = lsm_iter_value(it, &value);
        if (status != LSM_OK)
            break;
        append(out, lsm_str(name), '\t');
        append(out, lsm_iter_key(it), '\t');
        append(out, value, '\n');
    }
    lsm_iter_close(it);
    lsm_keyspace_close(keyspace);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

// Opens the database, which recovers it, and reads it.
static lsm_status read_database(const char *path, lsm_buf *out)
{
    lsm_status status;
    lsm_db *db;

    out->size = 0;
    TRY(lsm_open(path, NULL, &db));
    status = read_keyspace(db, "default", out);
    if (status == LSM_OK)
        status = read_keyspace(db, "things", out);
    if (status == LSM_OK)
        status = lsm_verify(db, NULL, NULL);
    must(lsm_close(db));
    return status;
}

static bool is_between(const struct kill_test *t)
{
    const lsm_slice before = slice_of_buf(&t->before);
    const lsm_slice after = slice_of_buf(&t->after);
    const lsm_slice now = slice_of_buf(&t->now);

    return now.size >= before.size && now.size <= after.size &&
           memcmp(now.data, after.data, now.size) == 0 &&
           (now.size == 0 || ((const char *)now.data)[now.size - 1] == '\n');
}

// --- a kill ---

static void check(struct kill_test *t, const struct command *command, uint64_t call)
{
    const lsm_status status = read_database(t->db, &t->now);
    const lsm_slice now = slice_of_buf(&t->now);

    if (status != LSM_OK) {
        campaign_violation(&t->campaign, "lsmctl %s, killed at call %" PRIu64 ": %s",
                           command->arguments[0], call, lsm_errmsg());
        return;
    }
    if (slice_equal(now, slice_of_buf(&t->before)) || slice_equal(now, slice_of_buf(&t->after)))
        return;
    t->between++;
    if (!command->is_load || !is_between(t))
        campaign_violation(&t->campaign,
                           "lsmctl %s, killed at call %" PRIu64 ": neither before "
                           "nor after it",
                           command->arguments[0], call);
}

// False when the command makes fewer calls.
static bool kill_at(struct kill_test *t, const struct command *command, uint64_t call)
{
    image_load(&t->image, env_posix(), t->db);
    if (run_tool(t, command, call))
        return false;
    t->kills++;
    if (random_one_in(&t->random, RECOVERY_SHARE) &&
        !run_tool(t, &recovery, 1 + random_below(&t->random, RECOVERY_CALLS)))
        t->recoveries_killed++;
    check(t, command, call);
    return true;
}

// Kills the command at every SLICES-th call, and goes on with what it makes.
static void run_command(struct kill_test *t, const struct command *command)
{
    uint64_t call = 1 + t->campaign.round % SLICES;
    struct image after;
    lsm_buf before;

    image_load(&t->image, env_posix(), t->db);
    (void)run_tool(t, command, 0);
    must(read_database(t->db, &t->after));
    image_read(env_posix(), t->db, &after);
    while (kill_at(t, command, call))
        call += SLICES;
    image_release(&t->image);
    t->image = after;
    before = t->before;
    t->before = t->after;
    t->after = before;
}

static void write_lines(struct kill_test *t)
{
    FILE *file = fopen(t->lines, "w");

    if (file == NULL) {
        perror(t->lines);
        exit(2);
    }
    for (int i = 0; i < LINES; i++) {
        const unsigned size = i % 3 == 0 ? 20 : 200 + (unsigned)random_below(&t->random, 8) * 700;

        fprintf(file, "line-%04d\t%0*d\n", i, (int)size, i);
    }
    if (fclose(file) != 0) {
        perror(t->lines);
        exit(2);
    }
}

// From a directory with nothing in it.
static void run_round(struct kill_test *t)
{
    write_lines(t);
    t->before.size = 0;
    for (int i = 0; i < COMMANDS; i++)
        run_command(t, &script[i]);
    image_release(&t->image);
}

int main(int argc, char **argv)
{
    struct kill_test t = {.campaign = campaign_begin("kill_calls", SLICES, argc, argv)};

    workdir_make("kill_calls", t.dir);
    (void)snprintf(t.db, sizeof t.db, "%s/db", t.dir);
    (void)snprintf(t.lines, sizeof t.lines, "%s/lines", t.dir);
    while (campaign_next(&t.campaign, &t.random))
        run_round(&t);
    workdir_remove(t.dir);
    printf("kill_calls: %" PRIu64 " recoveries killed, %" PRIu64 " loads found half done\n",
           t.recoveries_killed, t.between);
    lsm_buf_free(&t.before);
    lsm_buf_free(&t.after);
    lsm_buf_free(&t.now);
    return campaign_end(&t.campaign, t.kills, "kills");
}

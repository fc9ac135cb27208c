// failing_calls.c -- system calls that fail, under the code that is shipped.
//
// What interrupts a call is not noticed. What lacks for a while (open files of the whole system,
// memory of the kernel, room) fails softly, and everything works again without reopening. What
// cannot be read is told to whoever reads it. A sync that fails once stops all writing until the
// database is reopened, though the next one would succeed.

#include <errno.h>
#include <inttypes.h>
#include <sys/syscall.h>

#include "kernel/calls.h"
#include "kernel/scene.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool is_sick(struct scene *scene)
{
    lsm_health_info health;

    return lsm_health(scene->db, &health) != LSM_OK || health.state == LSM_SICK;
}

// A random life need not make every call.
static void tell_fault(const struct calls *calls, const struct call_fault *fault)
{
    printf("    %s: %" PRIu32 " of %" PRIu32 " calls failed\n", fault->name,
           atomic_load(&calls->failed), atomic_load(&calls->seen));
}

static bool has_failed(struct scene *scene, const struct calls *calls,
                       const struct call_fault *fault)
{
    tell_fault(calls, fault);
    return atomic_load(&calls->failed) > 0 ||
           ledger_trouble(scene->ledger, "%s: no call failed", fault->name);
}

// --- what is not noticed ---

static const struct call_fault unnoticed[] = {
    {"openat, EINTR", SYS_openat, EINTR, "", 2, 0},
    {"pread, EINTR", SYS_pread64, EINTR, "", 2, 0},
    {"pwritev, EINTR", SYS_pwritev, EINTR, "", 2, 0},
    {"fdatasync, EINTR", SYS_fdatasync, EINTR, "", 2, 0},
    {"fsync of the directory, EINTR", SYS_fsync, EINTR, "/db", 2, 0},
    {"fallocate, EINTR", SYS_fallocate, EINTR, "", 2, 0},
    {"fallocate, EOPNOTSUPP", SYS_fallocate, EOPNOTSUPP, "", 1, 0},
    {"ftruncate, EINTR", SYS_ftruncate, EINTR, "", 2, 0},
    {"unlinkat, EINTR", SYS_unlinkat, EINTR, "/db", 2, 0},
};

static bool notice_nothing(struct scene *scene, struct calls *calls)
{
    for (size_t i = 0; i < COUNT(unnoticed); i++) {
        calls_fail(calls, &unnoticed[i]);
        if (!scene_open(scene) || !scene_live(scene, 30, MOOD_FINE) || !scene_close(scene))
            return false;
        tell_fault(calls, &unnoticed[i]);
    }
    return true;
}

static bool interrupted(struct scene *scene)
{
    return calls_run(scene, notice_nothing);
}

// --- what lacks for a while ---

static const struct call_fault soft[] = {
    {"openat, ENFILE", SYS_openat, ENFILE, "", 1, 0},
    {"every third openat, EMFILE", SYS_openat, EMFILE, "", 3, 0},
    {"every third openat, ENOMEM", SYS_openat, ENOMEM, "", 3, 0},
    {"pwritev to the log, ENOSPC", SYS_pwritev, ENOSPC, ".vlog", 1, 0},
    {"every third pwritev to the log, EDQUOT", SYS_pwritev, EDQUOT, ".vlog", 3, 0},
    {"every fifth pwritev to the log, EFBIG", SYS_pwritev, EFBIG, ".vlog", 5, 0},
    {"every third pwritev to tables, EDQUOT", SYS_pwritev, EDQUOT, ".sst", 3, 0},
    {"every fourth pwritev, EDQUOT", SYS_pwritev, EDQUOT, "", 4, 0},
    {"fallocate, EDQUOT", SYS_fallocate, EDQUOT, "", 1, 0},
    {"fallocate, EFBIG", SYS_fallocate, EFBIG, "", 1, 0},
    {"unlinkat, ENOMEM", SYS_unlinkat, ENOMEM, "/db", 1, 0},
};

// A life with the fault, and everything checked without it.
static bool live_with(struct scene *scene, struct calls *calls, const struct call_fault *fault)
{
    static const struct cut rough = {.is_rough = true};

    calls_fail(calls, fault);
    if (!scene_load(scene, 60, MOOD_STARVED, NULL))
        return false;
    tell_fault(calls, fault);
    calls_fail(calls, NULL);
    if (is_sick(scene))
        return ledger_trouble(scene->ledger, "%s: poisoned", fault->name);
    return scene_check(scene, &rough);
}

static bool lack_for_a_while(struct scene *scene, struct calls *calls,
                             const struct call_fault *fault)
{
    return live_with(scene, calls, fault) &&
           scene_expect(scene, "lsm_resume", lsm_resume(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_flush without the fault", lsm_flush(scene->db), LSM_OK) &&
           scene_live(scene, 30, MOOD_FINE) && scene_expect_health(scene, LSM_HEALTHY);
}

static bool lack_everything(struct scene *scene, struct calls *calls)
{
    static const struct cut same = {.is_power = false};

    if (!scene_open(scene) || !scene_live(scene, 60, MOOD_FINE))
        return false;
    for (size_t i = 0; i < COUNT(soft); i++) {
        if (!lack_for_a_while(scene, calls, &soft[i]))
            return false;
    }
    return scene_close(scene) && scene_open(scene) && scene_check(scene, &same) &&
           scene_close(scene);
}

static bool lacking(struct scene *scene)
{
    return calls_run(scene, lack_everything);
}

// --- what cannot be read ---

static const struct call_fault unreadable = {"every tenth pread, EIO", SYS_pread64, EIO, "", 10, 0};

// Merges leave tables alone that they could not read, for a minute or more; not so after
// reopening.
static bool fail_to_read(struct scene *scene, struct calls *calls)
{
    return scene_open(scene) && scene_live(scene, 60, MOOD_FINE) &&
           live_with(scene, calls, &unreadable) && scene_close(scene) && scene_open(scene) &&
           scene_live(scene, 60, MOOD_FINE) && scene_expect_health(scene, LSM_HEALTHY) &&
           scene_close(scene);
}

static bool unread(struct scene *scene)
{
    return calls_run(scene, fail_to_read);
}

// --- what cannot be made good ---

static const struct call_fault fatal[] = {
    {"fdatasync of the log, EIO", SYS_fdatasync, EIO, ".vlog", 1, 1},
    {"fdatasync of the log, ENOSPC", SYS_fdatasync, ENOSPC, ".vlog", 1, 1},
    {"fdatasync of the log, EDQUOT", SYS_fdatasync, EDQUOT, ".vlog", 1, 1},
    {"fdatasync of the log, ENOMEM", SYS_fdatasync, ENOMEM, ".vlog", 1, 1},
};

// Each makes a flush fail, whose table may not be there after a crash.
static const struct call_fault fatal_to_flushes[] = {
    {"fsync of the directory, EIO", SYS_fsync, EIO, "/db", 1, 1},
    {"close of a table, EIO", SYS_close, EIO, ".sst", 1, 0}, // also of those that are read
};

// Each makes opening fail, and only that.
static const struct call_fault fatal_to_opening[] = {
    {"rename of CURRENT, EIO", SYS_renameat, EIO, "/db", 1, 1},
    {"pread of CURRENT, EIO", SYS_pread64, EIO, "/CURRENT", 1, 1},
    {"fdatasync of a segment, EIO", SYS_fdatasync, EIO, ".vlog", 1, 1},
    {"fsync of the directory, EIO", SYS_fsync, EIO, "/db", 1, 1},
    {"openat, EIO", SYS_openat, EIO, "/db", 1, 1},
};

static lsm_status put(struct scene *scene, const char *key)
{
    return lsm_put(scene->db, NULL, lsm_str(key), lsm_str("value"), NULL);
}

static lsm_status get(struct scene *scene, const char *key)
{
    lsm_buf value = LSM_BUF_INIT;
    const lsm_status status = lsm_get(scene->db, NULL, lsm_str(key), &value);

    lsm_buf_free(&value);
    return status;
}

static bool open_plain(struct scene *scene)
{
    return scene_expect(scene, "opening", lsm_open(scene->path, NULL, &scene->db), LSM_OK);
}

// No call fails any more, and yet nothing is written until the database is reopened.
static bool is_stopped(struct scene *scene)
{
    lsm_status status;

    if (!scene_expect_health(scene, LSM_SICK))
        return false;
    for (int i = 0; i < 3; i++) {
        if (!scene_expect(scene, "a later write", put(scene, "late"), LSM_POISONED) ||
            !scene_expect(scene, "a later lsm_sync", lsm_sync(scene->db), LSM_POISONED) ||
            !scene_expect(scene, "a later lsm_flush", lsm_flush(scene->db), LSM_POISONED))
            return false;
    }
    if (!scene_expect(scene, "reading", get(scene, "before"), LSM_OK))
        return false;
    status = lsm_close(scene->db);
    scene->db = NULL;
    return status != LSM_OK || ledger_trouble(scene->ledger, "closing says that all is well");
}

static bool is_there_after_reopening(struct scene *scene)
{
    return open_plain(scene) && scene_expect(scene, "reading", get(scene, "before"), LSM_OK) &&
           scene_expect(scene, "reading", get(scene, "late"), LSM_NOT_FOUND) &&
           scene_expect(scene, "lsm_verify", lsm_verify(scene->db, NULL, NULL), LSM_OK) &&
           scene_expect(scene, "writing again", put(scene, "again"), LSM_OK) && scene_close(scene);
}

static bool fail_a_sync(struct scene *scene, struct calls *calls, const struct call_fault *fault)
{
    if (!open_plain(scene) || !scene_expect(scene, "writing", put(scene, "before"), LSM_OK))
        return false;
    calls_fail(calls, fault);
    return scene_expect(scene, "the commit whose sync fails", put(scene, "doubtful"),
                        LSM_OUTCOME_UNKNOWN) &&
           has_failed(scene, calls, fault) && is_stopped(scene) && is_there_after_reopening(scene);
}

static bool fail_a_flush(struct scene *scene, struct calls *calls, const struct call_fault *fault)
{
    if (!open_plain(scene) || !scene_expect(scene, "writing", put(scene, "before"), LSM_OK))
        return false;
    calls_fail(calls, fault);
    if (lsm_flush(scene->db) == LSM_OK)
        return ledger_trouble(scene->ledger, "%s: a flush succeeds", fault->name);
    if (!has_failed(scene, calls, fault))
        return false;
    calls_fail(calls, NULL);
    return is_stopped(scene) && is_there_after_reopening(scene);
}

static bool fail_to_open(struct scene *scene, struct calls *calls, const struct call_fault *fault)
{
    calls_fail(calls, fault);
    return scene_expect(scene, fault->name, lsm_open(scene->path, NULL, &scene->db), LSM_IO) &&
           has_failed(scene, calls, fault) && is_there_after_reopening(scene);
}

static bool fail_for_good(struct scene *scene, struct calls *calls)
{
    for (size_t i = 0; i < COUNT(fatal); i++) {
        if (!fail_a_sync(scene, calls, &fatal[i]))
            return false;
    }
    for (size_t i = 0; i < COUNT(fatal_to_flushes); i++) {
        if (!fail_a_flush(scene, calls, &fatal_to_flushes[i]))
            return false;
    }
    for (size_t i = 0; i < COUNT(fatal_to_opening); i++) {
        if (!fail_to_open(scene, calls, &fatal_to_opening[i]))
            return false;
    }
    return true;
}

static bool failing_once(struct scene *scene)
{
    return calls_run(scene, fail_for_good);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"calls are interrupted", interrupted},
        {"something lacks for a while", lacking},
        {"reads fail", unread},
        {"a sync fails once", failing_once},
    };

    return scenes_run("failing_calls", NEEDS_NOTHING, scenarios, COUNT(scenarios), argc, argv);
}

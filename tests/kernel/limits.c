// limits.c -- a process that may not have all it asks for: descriptors, file size, memory.
//
// Below a limit that leaves room for its work a database does not notice it. Where the limit is
// tighter, calls fail softly, nothing is lost, and once the limit is raised everything works
// without reopening.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/guard.h"
#include "kernel/scene.h"

#define MIB (UINT64_C(1) << 20)

static const struct cut rough = {.is_rough = true};

static bool limit(struct scene *scene, int resource, rlim_t value, rlim_t *before)
{
    struct rlimit now;

    if (getrlimit(resource, &now) != 0)
        return scene_failed(scene, "getrlimit");
    if (before != NULL)
        *before = now.rlim_cur;
    now.rlim_cur = value == RLIM_INFINITY || value > now.rlim_max ? now.rlim_max : value;
    return setrlimit(resource, &now) == 0 || scene_failed(scene, "setrlimit");
}

// A life with less than it needs; then, with the limit gone, one that has enough.
static bool starve(struct scene *scene, int resource, rlim_t value, uint32_t attempts,
                   enum mood mood)
{
    lsm_health_info health;
    rlim_t before = 0;
    bool is_right;

    if (!limit(scene, resource, value, &before))
        return false;
    is_right = scene_load(scene, attempts, mood, NULL);
    if (!limit(scene, resource, before, NULL) || !is_right)
        return false;
    scene_tell_ends(scene);
    if (lsm_health(scene->db, &health) != LSM_OK || health.state == LSM_SICK)
        return ledger_trouble(scene->ledger, "poisoned by a limit: %s", health.reason);
    return scene_check(scene, &rough) &&
           scene_expect(scene, "lsm_resume", lsm_resume(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_flush without the limit", lsm_flush(scene->db), LSM_OK) &&
           scene_live(scene, 60, MOOD_FINE) && scene_expect_health(scene, LSM_HEALTHY);
}

static bool reopens(struct scene *scene)
{
    static const struct cut same = {.is_power = false};

    return scene_close(scene) && scene_open(scene) && scene_check(scene, &same) &&
           scene_close(scene);
}

// --- descriptors ---

// The lowest descriptor that is free: all below are in use.
static rlim_t descriptors_in_use(void)
{
    const int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    (void)close(fd);
    return (rlim_t)fd;
}

// Opened below `descriptors`, of which the database keeps half for reading.
static bool live_within(struct scene *scene, rlim_t descriptors, enum mood mood)
{
    const struct cut cut = {.is_rough = mood != MOOD_FINE};
    rlim_t before = 0;
    bool is_right;

    if (!limit(scene, RLIMIT_NOFILE, descriptors, &before))
        return false;
    is_right = scene_open(scene) && scene_load(scene, 300, mood, NULL);
    scene_tell_ends(scene);
    return limit(scene, RLIMIT_NOFILE, before, NULL) && is_right && scene_check(scene, &cut) &&
           scene_close(scene);
}

// With few, files that were closed while somebody still reads them may use up the rest for a
// moment: LSM_BUSY, and nothing worse.
static bool few_descriptors(struct scene *scene)
{
    return live_within(scene, 256, MOOD_STARVED) && live_within(scene, 64, MOOD_STARVED) &&
           live_within(scene, 40, MOOD_STARVED) && scene_open(scene) && reopens(scene);
}

static bool no_descriptors(struct scene *scene)
{
    if (!scene_open(scene) || !scene_live(scene, 60, MOOD_FINE))
        return false;
    for (rlim_t more = 0; more < 6; more += 2) {
        if (!starve(scene, RLIMIT_NOFILE, descriptors_in_use() + more, 100, MOOD_STARVED))
            return false;
    }
    return reopens(scene);
}

// --- the size of a file ---

static bool short_files(struct scene *scene)
{
    (void)signal(SIGXFSZ, SIG_IGN); // as an application does that wants to hear of it
    if (!scene_open(scene) || !scene_live(scene, 60, MOOD_FINE))
        return false;
    for (rlim_t kib = 4; kib <= 512; kib *= 8) {
        if (!starve(scene, RLIMIT_FSIZE, kib << 10, 150, MOOD_ROUGH))
            return false;
    }
    return reopens(scene);
}

// --- memory ---

static void take_memory_limit(void)
{
    const rlim_t now = process_status("VmData:") << 10;
    struct rlimit data;

    // All threads run already: their stacks are in it.
    if (getrlimit(RLIMIT_DATA, &data) == 0) {
        data.rlim_cur = now; // whatever grows, fails
        (void)setrlimit(RLIMIT_DATA, &data);
    }
}

static bool no_memory(struct scene *scene)
{
    lsm_health_info health;
    bool is_right;

    if (!scene_open(scene) || !scene_live(scene, 60, MOOD_FINE))
        return false;
    is_right = scene_load(scene, 300, MOOD_STARVED, take_memory_limit);
    if (!limit(scene, RLIMIT_DATA, RLIM_INFINITY, NULL) || !is_right)
        return false;
    scene_tell_ends(scene);
    if (lsm_health(scene->db, &health) != LSM_OK || health.state == LSM_SICK)
        return ledger_trouble(scene->ledger, "poisoned by a limit: %s", health.reason);
    return scene_check(scene, &rough) &&
           scene_expect(scene, "lsm_resume", lsm_resume(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_flush without the limit", lsm_flush(scene->db), LSM_OK) &&
           scene_live(scene, 60, MOOD_FINE) && reopens(scene);
}

// --- a memory cgroup ---

#define MEMTABLE_MIB 4
#define CACHE_MIB    8
#define TOTAL_MIB    (2 * MEMTABLE_MIB + CACHE_MIB)
#define SLACK_MIB    40 // the program, stacks, buffers of merges and values on their way
#define LOAD_MIB     160

static bool write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool is_written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        (void)close(fd);
    return is_written;
}

// Puts this process into a group that may use `bytes` of memory, pages of files included.
static bool enter_group(const char *group, uint64_t bytes)
{
    char path[PATH_MAX_HERE + 32], text[32];

    (void)snprintf(path, sizeof path, "%s/memory.limit_in_bytes", group);
    (void)snprintf(text, sizeof text, "%" PRIu64, bytes);
    if (!write_file(path, text))
        return false;
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", group);
    (void)snprintf(text, sizeof text, "%ld", (long)getpid());
    return write_file(path, text);
}

static lsm_db *open_budgeted(const char *path)
{
    lsm_options *options;
    lsm_db *db = NULL;

    if (lsm_options_new(&options) != LSM_OK ||
        lsm_options_set_memtable_size(options, MEMTABLE_MIB * MIB) != LSM_OK ||
        lsm_options_set_cache_size(options, CACHE_MIB * MIB) != LSM_OK ||
        lsm_open(path, options, &db) != LSM_OK)
        fprintf(stderr, "%s\n", lsm_errmsg());
    lsm_options_free(options);
    return db;
}

// Writes and reads LOAD_MIB of values of every size. Sets `*most` to the most memory it had, in
// KiB, without pages of files.
static bool load_within(const char *path, struct random random, _Atomic uint64_t *most)
{
    static uint8_t value[64 << 10];
    lsm_db *db = open_budgeted(path);
    lsm_buf got = LSM_BUF_INIT;
    char text[KEY_TEXT_MAX];

    if (db == NULL)
        return false;
    random_fill(&random, value, sizeof value);
    for (uint64_t done = 0; done < LOAD_MIB * MIB;) {
        const size_t size = random_below(&random, random_one_in(&random, 8) ? sizeof value : 900);
        const uint32_t slot = (uint32_t)random_below(&random, 200000);
        const lsm_slice key = {text, (size_t)snprintf(text, sizeof text, "%08u", slot)};
        const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
        lsm_status status = lsm_put(db, NULL, key, (lsm_slice){value, size}, &options);

        if (status == LSM_OK && random_one_in(&random, 4))
            status = lsm_get(db, NULL, key, &got);
        if (status != LSM_OK)
            return false;
        done += size + key.size;
        if (random_one_in(&random, 512) && process_status("RssAnon:") > *most)
            *most = process_status("RssAnon:");
    }
    lsm_buf_free(&got);
    return lsm_wait_idle(db) == LSM_OK && lsm_close(db) == LSM_OK;
}

// In a process of its own: it is killed when it takes more.
static bool run_in_group(struct scene *scene, const char *group)
{
    _Atomic uint64_t *most = &scene->ledger->position; // shared with the child
    pid_t child;
    int how;

    fflush(NULL);
    child = fork();
    if (child == 0) {
        if (!enter_group(group, (TOTAL_MIB + SLACK_MIB) * MIB))
            _exit(EXIT_SKIPPED);
        _exit(load_within(scene->path, scene->random, most) ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &how, 0) != child)
        return scene_failed(scene, "a process");
    scene_tell(scene, "%" PRIu64 " KiB of %d MiB and %d MiB", atomic_load(most), TOTAL_MIB,
               SLACK_MIB);
    return scene_judge_child(scene, how, "a memory cgroup cannot be limited and entered here");
}

static void remove_group(const char *group)
{
    (void)rmdir(group);
}

// A tmpfs would count as memory.
static bool make_dir_on_disk(char path[PATH_MAX_HERE])
{
    const char *base = getenv("TMPDIR");
    struct statfs where;

    if (base == NULL || *base == '\0')
        base = "/tmp";
    if (statfs(base, &where) != 0 || where.f_type == TMPFS_MAGIC)
        return false;
    (void)snprintf(path, PATH_MAX_HERE, "%s/lsmkv-kernel-limits-XXXXXX", base);
    if (mkdtemp(path) == NULL)
        return false;
    guard_note(workdir_remove, path);
    return true;
}

static bool memory_group(struct scene *scene)
{
    char group[PATH_MAX_HERE], on_disk[PATH_MAX_HERE];
    bool is_right;

    (void)snprintf(group, sizeof group, "/sys/fs/cgroup/memory/lsmkv-kernel-%ld", (long)getpid());
    if (access("/sys/fs/cgroup/memory/memory.limit_in_bytes", W_OK) != 0 || mkdir(group, 0700) != 0)
        return scene_skip(scene, "no memory cgroup (version 1) here");
    guard_note(remove_group, group);
    if (!make_dir_on_disk(on_disk)) {
        guard_undo(remove_group);
        return scene_skip(scene, "no directory for temporary files on a disk");
    }
    (void)snprintf(scene->path, sizeof scene->path, "%s/db", on_disk);
    is_right = run_in_group(scene, group);
    guard_undo(workdir_remove);
    guard_undo(remove_group);
    return is_right;
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"few descriptors", few_descriptors}, {"no descriptors", no_descriptors},
        {"short files", short_files},         {"no memory", no_memory},
        {"a memory cgroup", memory_group},
    };

    (void)close_range(STDERR_FILENO + 1, ~0u, 0); // what is inherited counts, too
    return scenes_run("limits", NEEDS_NOTHING, scenarios, sizeof scenarios / sizeof scenarios[0],
                      argc, argv);
}

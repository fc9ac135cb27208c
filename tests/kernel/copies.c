// copies.c -- a database is copied while nobody has it open, and original and copy live on.
//
// A family of databases begins with one. Each generation is copied by hard links (`cp -al`), by
// shared blocks (`cp --reflink`, where there is a btrfs) or byte by byte, the copy from any
// member; then members live in processes of their own, one at a time in any order, or two at
// once. A process checks that the member holds all that it and its ancestors had acknowledged
// when it was copied off them, and nothing else; it writes on, every commit durable, and is
// killed or closes.

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/guard.h"
#include "kernel/mount.h"
#include "kernel/workdir.h"
#include "lsmkv.h"
#include "support/campaign.h"

#define MEMBERS    4 // of a family
#define LIVES      24
#define PUTS_MAX   40
#define VALUE_SIZE 3000 // of every fourth value, which is separated then

enum copying { BY_HARD_LINKS, BY_REFLINKS, BYTE_BY_BYTE, COPYINGS };

static const char *const copy_commands[COPYINGS] = {"cp -al", "cp -a --reflink=always", "cp -a"};

// What a member holds: of each member's own keys, the first so many. Written by its process.
struct content {
    _Atomic uint32_t counts[MEMBERS];
};

// In memory that parent and children share.
struct family {
    struct content members[MEMBERS];
    uint32_t count;
    _Atomic bool is_in_trouble;
    char trouble[400];
};

struct lineage {
    struct campaign *campaign;
    struct family *family;
    char dir[PATH_MAX_HERE + 32]; // where the members are
    bool has_reflinks;
    struct random random;
    uint64_t lives, copies[COPYINGS];
};

__attribute__((format(printf, 2, 3))) static _Noreturn void give_up(struct family *family,
                                                                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (!atomic_exchange(&family->is_in_trouble, true))
        (void)vsnprintf(family->trouble, sizeof family->trouble, format, args);
    va_end(args);
    _exit(1);
}

static void path_of(const struct lineage *lineage, uint32_t member, char path[PATH_MAX_HERE + 64])
{
    (void)snprintf(path, PATH_MAX_HERE + 64, "%s/%" PRIu32, lineage->dir, member);
}

// --- a process ---

struct key {
    char text[16];
};

static struct key key_of(uint32_t member, uint32_t number)
{
    struct key key;

    (void)snprintf(key.text, sizeof key.text, "%" PRIu32 "-%06" PRIu32, member, number);
    return key;
}

static lsm_slice value_of(uint32_t member, uint32_t number, char bytes[VALUE_SIZE])
{
    memset(bytes, (int)('a' + (member * 7 + number) % 26), VALUE_SIZE);
    return (lsm_slice){bytes, number % 4 == 0 ? VALUE_SIZE : 20 + number % 50};
}

static void check_count(struct family *family, const char *path, lsm_db *db, uint64_t expected)
{
    uint64_t found = 0;
    lsm_status status;
    lsm_iter *it;

    if (lsm_iter_open(db, NULL, NULL, &it) != LSM_OK)
        give_up(family, "%s: iterator: %s", path, lsm_errmsg());
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        found++;
    if (status != LSM_NOT_FOUND)
        give_up(family, "%s: iterating: %s", path, lsm_errmsg());
    lsm_iter_close(it);
    if (found != expected)
        give_up(family, "%s: %" PRIu64 " entries, %" PRIu64 " were acknowledged", path, found,
                expected);
}

static void check(struct family *family, const char *path, lsm_db *db,
                  const struct content *content)
{
    lsm_buf got = LSM_BUF_INIT;
    uint64_t expected = 0;
    char bytes[VALUE_SIZE];

    for (uint32_t m = 0; m < MEMBERS; m++) {
        for (uint32_t i = 0; i < content->counts[m]; i++) {
            const struct key key = key_of(m, i);
            const lsm_slice value = value_of(m, i, bytes);

            if (lsm_get(db, NULL, lsm_str(key.text), &got) != LSM_OK)
                give_up(family, "%s: key %s: %s", path, key.text, lsm_errmsg());
            if (got.size != value.size || memcmp(got.data, value.data, got.size) != 0)
                give_up(family, "%s: key %s has another value", path, key.text);
            expected++;
        }
    }
    lsm_buf_free(&got);
    check_count(family, path, db, expected);
    if (lsm_verify(db, NULL, NULL) != LSM_OK)
        give_up(family, "%s: verify: %s", path, lsm_errmsg());
}

// A moment's work: another process is finding out whether it may have the lock file.
static lsm_status open_member(const char *path, lsm_db **db)
{
    lsm_status status = lsm_open(path, NULL, db);

    for (int i = 0; i < 100 && status == LSM_LOCKED; i++) {
        (void)usleep(1000);
        status = lsm_open(path, NULL, db);
    }
    return status;
}

static _Noreturn void live(struct lineage *lineage, uint32_t member, uint64_t seed)
{
    struct random random = {.state = seed};
    struct family *family = lineage->family;
    struct content *content = &family->members[member];
    const uint64_t puts = random_below(&random, PUTS_MAX);
    const uint64_t flush_at =
        random_one_in(&random, 3) ? random_below(&random, PUTS_MAX) : PUTS_MAX;
    char path[PATH_MAX_HERE + 64], bytes[VALUE_SIZE];
    lsm_db *db;

    path_of(lineage, member, path);
    if (open_member(path, &db) != LSM_OK)
        give_up(family, "%s: opening: %s", path, lsm_errmsg());
    check(family, path, db, content);
    for (uint64_t i = 0; i < puts; i++) {
        const uint32_t number = atomic_load(&content->counts[member]);
        const struct key key = key_of(member, number);

        if (lsm_put(db, NULL, lsm_str(key.text), value_of(member, number, bytes), NULL) != LSM_OK)
            give_up(family, "%s: putting %s: %s", path, key.text, lsm_errmsg());
        atomic_store(&content->counts[member], number + 1);
        if (i == flush_at && lsm_flush(db) != LSM_OK)
            give_up(family, "%s: flushing: %s", path, lsm_errmsg());
    }
    if (random_one_in(&random, 2)) {
        if (lsm_close(db) != LSM_OK)
            give_up(family, "%s: closing: %s", path, lsm_errmsg());
        _exit(0);
    }
    (void)raise(SIGKILL); // between two commits, so that what is acknowledged is what there is
    _exit(1);
}

static pid_t start(struct lineage *lineage, uint32_t member)
{
    const uint64_t seed = random_next(&lineage->random);
    pid_t child;

    fflush(NULL);
    child = fork();
    if (child == 0)
        live(lineage, member, seed);
    if (child < 0) {
        perror("fork");
        exit(1);
    }
    lineage->lives++;
    return child;
}

static void wait_for(pid_t child)
{
    int how;

    while (waitpid(child, &how, 0) < 0 && errno == EINTR)
        ;
}

// --- copies ---

static bool copy_member(struct lineage *lineage, uint32_t from)
{
    struct family *family = lineage->family;
    const uint32_t to = family->count;
    enum copying how = (enum copying)random_below(&lineage->random, COPYINGS);
    char from_path[PATH_MAX_HERE + 64], to_path[PATH_MAX_HERE + 64];

    if (how == BY_REFLINKS && !lineage->has_reflinks)
        how = BY_HARD_LINKS;
    path_of(lineage, from, from_path);
    path_of(lineage, to, to_path);
    if (!run_command("%s %s %s", copy_commands[how], from_path, to_path)) {
        campaign_violation(lineage->campaign, "%s %s %s failed", copy_commands[how], from_path,
                           to_path);
        return false;
    }
    for (uint32_t m = 0; m < MEMBERS; m++)
        atomic_store(&family->members[to].counts[m], atomic_load(&family->members[from].counts[m]));
    family->count++;
    lineage->copies[how]++;
    return true;
}

// --- a round ---

static void live_alone(struct lineage *lineage, uint32_t member)
{
    wait_for(start(lineage, member));
}

// What the last process has left is copied, and original and copy recover from the same files.
static bool copy_and_live(struct lineage *lineage)
{
    const uint32_t copy = lineage->family->count;
    const uint32_t original = (uint32_t)random_below(&lineage->random, copy);
    const bool is_copy_first = random_one_in(&lineage->random, 2);

    live_alone(lineage, original);
    if (!copy_member(lineage, original))
        return false;
    live_alone(lineage, is_copy_first ? copy : original);
    live_alone(lineage, is_copy_first ? original : copy);
    return true;
}

static void live_once(struct lineage *lineage)
{
    const uint32_t count = lineage->family->count;
    const uint32_t one = (uint32_t)random_below(&lineage->random, count);
    const uint32_t other = (one + 1) % count;
    const bool are_two = other != one && random_one_in(&lineage->random, 3);
    const pid_t first = start(lineage, one);
    const pid_t second = are_two ? start(lineage, other) : -1;

    wait_for(first);
    if (are_two)
        wait_for(second);
}

static bool run_round(struct lineage *lineage)
{
    struct family *family = lineage->family;

    memset(family, 0, sizeof *family);
    family->count = 1;
    if (mkdir(lineage->dir, 0700) != 0) {
        campaign_violation(lineage->campaign, "%s: %s", lineage->dir, strerror(errno));
        return false;
    }
    for (int i = 0; i < LIVES && !atomic_load(&family->is_in_trouble); i++) {
        if (family->count < MEMBERS && i % (LIVES / MEMBERS) == 0 && !copy_and_live(lineage))
            return false;
        live_once(lineage);
    }
    if (atomic_load(&family->is_in_trouble)) {
        campaign_violation(lineage->campaign, "%s", family->trouble);
        return false;
    }
    workdir_remove(lineage->dir);
    return true;
}

// --- where ---

// Whether file systems can be mounted here: asked by a process that ends if not.
static bool may_mount(void)
{
    const pid_t child = fork();
    int how = 0;

    if (child == 0) {
        if (freopen("/dev/null", "w", stdout) == NULL)
            _exit(1);
        mounts_begin(NEEDS_DEVICES);
        _exit(0);
    }
    return child > 0 && waitpid(child, &how, 0) == child && how == 0;
}

// Mounts a btrfs at `mnt`.
static bool mount_btrfs(const char *dir, const char *mnt)
{
    const struct file_system *fs = &file_systems[BTRFS];
    char image[PATH_MAX_HERE + 32];

    if (!may_mount())
        return false;
    mounts_begin(NEEDS_DEVICES);
    (void)snprintf(image, sizeof image, "%s/image", dir);
    return is_mountable(fs, dir) && mkdir(mnt, 0700) == 0 && make_image(fs, image) &&
           mount_image(fs, image, mnt);
}

static void run(struct campaign *campaign, const char *dir)
{
    struct lineage lineage = {.campaign = campaign};
    char mnt[PATH_MAX_HERE + 16];
    bool has_btrfs;

    (void)snprintf(mnt, sizeof mnt, "%s/mnt", dir);
    has_btrfs = mount_btrfs(dir, mnt);
    lineage.family = mmap(NULL, sizeof *lineage.family, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lineage.family == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    while (campaign->violations == 0 && campaign_next(campaign, &lineage.random)) {
        lineage.has_reflinks = has_btrfs && random_one_in(&lineage.random, 2);
        (void)snprintf(lineage.dir, sizeof lineage.dir, "%s/family",
                       lineage.has_reflinks ? mnt : dir);
        if (!run_round(&lineage))
            break;
    }
    if (has_btrfs && campaign->violations == 0 && !unmount(mnt))
        campaign_violation(campaign, "unmounting: %s", strerror(errno));
    printf("copies: %" PRIu64 " by hard links, %" PRIu64 " by reflinks%s, %" PRIu64
           " byte by byte; %" PRIu64 " lives\n",
           lineage.copies[BY_HARD_LINKS], lineage.copies[BY_REFLINKS],
           has_btrfs ? "" : " (no btrfs can be mounted here)", lineage.copies[BYTE_BY_BYTE],
           lineage.lives);
}

int main(int argc, char **argv)
{
    struct campaign campaign = campaign_begin("copies", 40, argc, argv);
    char dir[PATH_MAX_HERE];

    guard_begin();
    workdir_make("copies", dir);
    run(&campaign, dir);
    if (campaign.violations == 0)
        workdir_remove(dir);
    else
        workdir_keep(dir);
    return campaign_end(&campaign, campaign.round, "families");
}

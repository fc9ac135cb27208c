// power_cut.c -- the power fails under a database on ext4, xfs and btrfs.
//
// Each round runs a load once, on a file system over a device that logs writes and flushes.
// Then it makes CUTS images of what a power cut at some moment would have left, mounts each (the
// file system recovers), opens the database (which recovers by itself) and compares it with
// what had been acknowledged, by position in the device's log, up to that moment.

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/device.h"
#include "kernel/guard.h"
#include "kernel/ledger.h"
#include "kernel/mount.h"
#include "kernel/workdir.h"
#include "kernel/workload.h"
#include "support/campaign.h"

#define THREADS  5
#define ATTEMPTS 160 // per thread
#define CUTS     20  // per round

struct rig {
    struct campaign *campaign;
    const struct file_system *fs;
    struct ledger *ledger;
    struct device device;
    struct random random;
    char dir[PATH_MAX_HERE];
    char live[PATH_MAX_HERE + 16];  // the image that is written to
    char base[PATH_MAX_HERE + 16];  // as of record `base_at`
    char image[PATH_MAX_HERE + 16]; // of one cut
    char disk[PATH_MAX_HERE + 16];  // where the device is served
    char mnt[PATH_MAX_HERE + 16];
    char db[PATH_MAX_HERE + 32];
    uint64_t base_at;
    uint64_t cuts[FILE_SYSTEM_COUNT], writes, flushes, commits;
};

static void name_paths(struct rig *rig)
{
    (void)snprintf(rig->live, sizeof rig->live, "%s/live", rig->dir);
    (void)snprintf(rig->base, sizeof rig->base, "%s/base", rig->dir);
    (void)snprintf(rig->image, sizeof rig->image, "%s/image", rig->dir);
    (void)snprintf(rig->disk, sizeof rig->disk, "%s/disk", rig->dir);
    (void)snprintf(rig->mnt, sizeof rig->mnt, "%s/mnt", rig->dir);
    (void)snprintf(rig->db, sizeof rig->db, "%s/db", rig->mnt);
}

static bool failed(struct rig *rig, const char *what)
{
    return ledger_trouble(rig->ledger, "%s: %s: %s", rig->fs->type, what, strerror(errno));
}

// Copies `from` as it is, holes too.
static bool copy_image(struct rig *rig, const char *from, const char *to)
{
    return run_command("cp --sparse=always %s %s", from, to) || failed(rig, "copying an image");
}

// --- the load ---

static bool make_file_system(struct rig *rig)
{
    rig->base_at = 0;
    return (make_image(rig->fs, rig->live) || failed(rig, rig->fs->command)) &&
           copy_image(rig, rig->live, rig->base);
}

static _Noreturn void live(struct rig *rig)
{
    lsm_options *options = busy_options(&rig->random);
    struct load load = {.ledger = rig->ledger, .attempts = ATTEMPTS};

    if (lsm_open(rig->db, options, &load.db) != LSM_OK)
        (void)ledger_trouble(rig->ledger, "opening a new database: %s", lsm_errmsg());
    else if (load_run(&load) && lsm_close(load.db) != LSM_OK)
        (void)ledger_trouble(rig->ledger, "closing: %s", lsm_errmsg());
    _exit(0);
}

static bool run_load(struct rig *rig)
{
    pid_t child;
    int how;

    fflush(NULL);
    child = fork();
    if (child == 0)
        live(rig);
    if (child < 0 || waitpid(child, &how, 0) != child || how != 0)
        return ledger_trouble(rig->ledger, "the process under load ended badly");
    return !atomic_load(&rig->ledger->is_in_trouble);
}

static bool record_load(struct rig *rig)
{
    bool is_right;

    if (!device_start(&rig->device, rig->live, rig->disk, &rig->ledger->position))
        return failed(rig, "the device");
    if (!mount_image(rig->fs, rig->disk, rig->mnt)) {
        device_stop(&rig->device, rig->disk);
        return failed(rig, "mounting the device");
    }
    is_right = run_load(rig);
    if (!unmount(rig->mnt))
        is_right = failed(rig, "unmounting the device");
    device_stop(&rig->device, rig->disk);
    if (atomic_load(&rig->device.log->is_full))
        is_right = ledger_trouble(rig->ledger, "the log of writes is full");
    return is_right;
}

// --- one cut ---

// Makes the image of a cut behind the flush at record `flush`.
static bool make_cut(struct rig *rig, uint64_t flush, struct cut *cut)
{
    const struct device_log *log = rig->device.log;
    const uint64_t next = device_next_flush(log, flush + 1);
    int fd;

    *cut = (struct cut){.is_power = true, .durable = flush + 1};
    cut->last = flush + 1 + random_below(&rig->random, next - flush);
    fd = open(rig->base, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return failed(rig, rig->base);
    device_apply(log, fd, rig->base_at, cut->durable);
    rig->base_at = cut->durable;
    (void)close(fd);
    if (!copy_image(rig, rig->base, rig->image))
        return false;
    fd = open(rig->image, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return failed(rig, rig->image);
    device_apply_some(log, fd, cut->durable, cut->last, rig->fs->sector_size, &rig->random);
    (void)close(fd);
    return true;
}

static bool check_database(struct rig *rig, const struct cut *cut)
{
    const lsm_write_options synced = {.sync = LSM_SYNC_FULL};
    struct model after;
    lsm_db *db;
    bool is_right;

    if (lsm_open(rig->db, NULL, &db) != LSM_OK)
        return ledger_trouble(rig->ledger, "opening after a power cut: %s", lsm_errmsg());
    is_right = ledger_check(rig->ledger, db, cut, &after);
    if (is_right && random_one_in(&rig->random, 4) && lsm_verify(db, NULL, NULL) != LSM_OK)
        is_right = ledger_trouble(rig->ledger, "lsm_verify: %s", lsm_errmsg());
    if (is_right && lsm_put(db, NULL, lsm_str("after"), lsm_str("the cut"), &synced) != LSM_OK)
        is_right = ledger_trouble(rig->ledger, "writing after the cut: %s", lsm_errmsg());
    if (lsm_close(db) != LSM_OK && is_right)
        is_right = ledger_trouble(rig->ledger, "closing after the cut: %s", lsm_errmsg());
    if (is_right)
        rig->commits += after.journal_count;
    return is_right;
}

static bool check_cut(struct rig *rig, uint64_t flush)
{
    struct cut cut;
    bool is_right;

    if (!make_cut(rig, flush, &cut))
        return false;
    if (!mount_image(rig->fs, rig->image, rig->mnt))
        return failed(rig, "mounting an image");
    is_right = check_database(rig, &cut);
    if (!unmount(rig->mnt) && is_right)
        is_right = failed(rig, "unmounting an image");
    rig->cuts[rig->fs - file_systems]++;
    return is_right;
}

// The flush behind which the cut number `i` of `count`, in order, is made: anywhere in its
// share of the log.
static uint64_t pick_flush(struct rig *rig, uint64_t i)
{
    const uint64_t records = atomic_load(&rig->device.log->count);
    const uint64_t from = records * i / CUTS;

    return device_next_flush(rig->device.log,
                             from + random_below(&rig->random, records / CUTS + 1));
}

static void count_records(struct rig *rig)
{
    const struct device_log *log = rig->device.log;

    for (uint64_t i = 0; i < atomic_load(&log->count); i++) {
        rig->writes += log->records[i].size != 0;
        rig->flushes += log->records[i].size == 0;
    }
}

static bool check_cuts(struct rig *rig)
{
    const uint64_t records = atomic_load(&rig->device.log->count);

    count_records(rig);
    for (uint64_t i = 0; i < CUTS; i++) {
        const uint64_t flush = pick_flush(rig, i);

        // Two cuts may be behind one flush, never behind an earlier one than the last.
        if (flush < records && flush + 1 >= rig->base_at && !check_cut(rig, flush))
            return false;
    }
    return true;
}

static void run_round(struct rig *rig)
{
    bool is_right;

    rig->fs = &file_systems[rig->campaign->round % FILE_SYSTEM_COUNT];
    if (!is_mountable(rig->fs, rig->dir)) {
        printf("SKIPPED: %s cannot be made and mounted here\n", rig->fs->type);
        return;
    }
    rig->device = (struct device){0};
    rig->ledger = ledger_new(random_next(&rig->random), THREADS);
    is_right = make_file_system(rig) && record_load(rig) && check_cuts(rig);
    if (!is_right)
        campaign_violation(rig->campaign, "%s: %s\n    the files: %s", rig->fs->type,
                           rig->ledger->trouble, rig->dir);
    if (rig->device.log != NULL)
        device_free(&rig->device);
    ledger_free(rig->ledger);
}

int main(int argc, char **argv)
{
    struct campaign campaign = campaign_begin("power_cut", 51, argc, argv);
    struct rig rig = {.campaign = &campaign};
    uint64_t cuts = 0;

    guard_begin();
    mounts_begin(NEEDS_DEVICES);
    take_all_descriptors();
    workdir_make("power_cut", rig.dir);
    name_paths(&rig);
    if (mkdir(rig.mnt, 0700) != 0)
        return 1;
    while (campaign.violations == 0 && campaign_next(&campaign, &rig.random))
        run_round(&rig);
    if (campaign.violations == 0)
        workdir_remove(rig.dir);
    else
        workdir_keep(rig.dir);
    for (size_t i = 0; i < FILE_SYSTEM_COUNT; i++)
        cuts += rig.cuts[i];
    printf("power_cut: %" PRIu64 " on ext4, %" PRIu64 " on xfs, %" PRIu64 " on btrfs; %" PRIu64
           " writes and %" PRIu64 " flushes logged, %" PRIu64 " commits checked\n",
           rig.cuts[0], rig.cuts[1], rig.cuts[2], rig.writes, rig.flushes, rig.commits);
    return campaign_end(&campaign, cuts, "power cuts") != 0 ? 1 : cuts == 0 ? EXIT_SKIPPED : 0;
}

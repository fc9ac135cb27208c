// slow_disk.c -- a disk that takes its time, and one that hangs and goes on.
//
// Nothing fails and nothing is left waiting: writers slow down to the pace of the disk, what is
// kept in memory stays within its bounds, closing waits and says that all is well. While the disk
// hangs no commit is acknowledged as synced, and what is in memory can be read.

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel/scene.h"
#include "kernel/stage.h"

static bool reopens_on_a_good_disk(struct scene *scene, struct stage *stage)
{
    static const struct cut same = {.is_power = false};

    return scene_close(scene) && stage_repair(scene, stage) && scene_open(scene) &&
           scene_check(scene, &same) && scene_live(scene, 30, MOOD_FINE) && scene_close(scene);
}

static bool slow_life(struct scene *scene, struct stage *stage)
{
    device_slow_down(&stage->device);
    if (!scene_open(scene) || !scene_load(scene, 18, MOOD_FINE, NULL))
        return false;
    scene_tell_ends(scene);
    return scene_expect(scene, "lsm_wait_idle", lsm_wait_idle(scene->db), LSM_OK) &&
           reopens_on_a_good_disk(scene, stage);
}

// --- bounds ---

#define WRITERS       3
#define WRITES        150 // of each
#define VALUE_SIZE    1000
#define MEMTABLE_SIZE (64u << 10)
#define LEVEL0_STOP   5
// What writers that were let in together have on their way, and an arena's last chunk.
#define MEMORY_SLACK (64u << 10)
// Memtables that were full when writers were stopped still become tables.
#define LEVEL0_SLACK 4

struct bounded_load {
    struct scene *scene;
    _Atomic uint32_t writer;
    _Atomic bool is_over;
    uint64_t memory_most; // the watcher's
    uint64_t level0_most;
};

static void *write_ahead(void *ctx)
{
    struct bounded_load *load = ctx;
    const uint32_t writer = atomic_fetch_add(&load->writer, 1);
    uint8_t value[VALUE_SIZE] = {0};
    char text[KEY_TEXT_MAX];

    for (uint32_t i = 0; i < WRITES; i++) {
        const lsm_write_options options = {.sync = i % 100 == 0 ? LSM_SYNC_FULL : LSM_SYNC_WRITTEN};
        const lsm_slice key = {text, (size_t)snprintf(text, sizeof text, "%u/%05u", writer, i)};

        memcpy(value, text, key.size);
        if (lsm_put(load->scene->db, NULL, key, (lsm_slice){value, VALUE_SIZE}, &options) != LSM_OK)
            (void)ledger_trouble(load->scene->ledger, "a write on a slow disk: %s", lsm_errmsg());
    }
    return NULL;
}

static void *watch_bounds(void *ctx)
{
    struct bounded_load *load = ctx;
    lsm_level_info levels[LSM_LEVELS];
    uint64_t bytes;

    while (!atomic_load(&load->is_over)) {
        if (lsm_stat(load->scene->db, "memtable_bytes", &bytes) != LSM_OK ||
            lsm_levels(load->scene->db, levels) != LSM_OK)
            (void)ledger_trouble(load->scene->ledger, "looking at it: %s", lsm_errmsg());
        else if (bytes > load->memory_most)
            load->memory_most = bytes;
        if (levels[0].tables > load->level0_most)
            load->level0_most = levels[0].tables;
        (void)usleep(500);
    }
    return NULL;
}

static bool run_bounded(struct bounded_load *load)
{
    pthread_t writers[WRITERS], watcher;

    if (pthread_create(&watcher, NULL, watch_bounds, load) != 0)
        return scene_failed(load->scene, "a thread");
    for (int i = 0; i < WRITERS; i++) {
        if (pthread_create(&writers[i], NULL, write_ahead, load) != 0)
            abort();
    }
    for (int i = 0; i < WRITERS; i++)
        (void)pthread_join(writers[i], NULL);
    atomic_store(&load->is_over, true);
    (void)pthread_join(watcher, NULL);
    return !atomic_load(&load->scene->ledger->is_in_trouble);
}

static bool is_within(struct scene *scene, const char *what, uint64_t most, uint64_t bound)
{
    scene_tell(scene, "%s at most %" PRIu64 " of %" PRIu64 "; ", what, most, bound);
    return most <= bound || ledger_trouble(scene->ledger, "%s: %" PRIu64 ", allowed are %" PRIu64,
                                           what, most, bound);
}

static bool tell_stalls(struct scene *scene)
{
    uint64_t memtable, level0;

    if (lsm_stat(scene->db, "stalls_memtable", &memtable) != LSM_OK ||
        lsm_stat(scene->db, "stalls_level0", &level0) != LSM_OK)
        return ledger_trouble(scene->ledger, "lsm_stat: %s", lsm_errmsg());
    scene_tell(scene, "stalls: %" PRIu64 " memtable, %" PRIu64 " level 0; ", memtable, level0);
    return true;
}

static bool bounded(struct scene *scene, struct stage *stage)
{
    static const struct setting settings[] = {{"memtable_size", "64KiB"},   {"level0_trigger", "2"},
                                              {"level0_slowdown", "3"},     {"level0_stop", "5"},
                                              {"value_threshold", "64KiB"}, {"table_size", "64KiB"},
                                              {"level_base_size", "64KiB"}};
    struct bounded_load load = {.scene = scene};

    device_slow_down(&stage->device);
    return scene_open_with(scene, settings, sizeof settings / sizeof settings[0]) &&
           run_bounded(&load) && tell_stalls(scene) &&
           is_within(scene, "bytes in memory", load.memory_most,
                     2 * MEMTABLE_SIZE + MEMORY_SLACK) &&
           is_within(scene, "tables in level 0", load.level0_most, LEVEL0_STOP + LEVEL0_SLACK) &&
           scene_expect(scene, "lsm_wait_idle", lsm_wait_idle(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_verify", lsm_verify(scene->db, NULL, NULL), LSM_OK) &&
           scene_close(scene);
}

// --- a disk that hangs ---

#define HANGS           3
#define PUTS_BETWEEN    10
#define READS_MEANWHILE 20000

struct patient {
    struct scene *scene;
    _Atomic uint32_t acked; // puts that are on the disk
    _Atomic bool is_over;
};

static lsm_status put_number(lsm_db *db, uint32_t number)
{
    char text[KEY_TEXT_MAX];
    const lsm_slice key = {text, (size_t)snprintf(text, sizeof text, "number/%06u", number)};

    return lsm_put(db, NULL, key, lsm_str("value"), NULL);
}

static void *put_patiently(void *ctx)
{
    struct patient *patient = ctx;

    while (!atomic_load(&patient->is_over)) {
        if (put_number(patient->scene->db, atomic_load(&patient->acked)) != LSM_OK)
            (void)ledger_trouble(patient->scene->ledger, "a put: %s", lsm_errmsg());
        atomic_fetch_add(&patient->acked, 1);
    }
    return NULL;
}

static bool read_meanwhile(struct scene *scene)
{
    lsm_buf value = LSM_BUF_INIT;
    lsm_status status = LSM_OK;

    for (int i = 0; i < READS_MEANWHILE && status == LSM_OK; i++)
        status = lsm_get(scene->db, NULL, lsm_str("number/000000"), &value);
    lsm_buf_free(&value);
    return scene_expect(scene, "reading while the disk hangs", status, LSM_OK) &&
           scene_expect_health(scene, LSM_HEALTHY);
}

// The put under way when the first request was held up may have been answered before it.
static bool hang_once(struct scene *scene, struct stage *stage, struct patient *patient)
{
    const uint32_t before = atomic_load(&patient->acked);
    uint32_t at_hang;
    bool is_right;

    while (atomic_load(&patient->acked) < before + PUTS_BETWEEN)
        (void)usleep(200);
    device_hang(&stage->device);
    while (!device_is_held_up(&stage->device))
        (void)usleep(200);
    at_hang = atomic_load(&patient->acked);
    is_right = read_meanwhile(scene);
    (void)usleep(200000 + (useconds_t)random_below(&scene->random, 1000000));
    if (atomic_load(&patient->acked) > at_hang + 1)
        is_right = ledger_trouble(scene->ledger, "acknowledged by a disk that hangs");
    device_go_on(&stage->device);
    return is_right;
}

static bool hangs(struct scene *scene, struct stage *stage)
{
    struct patient patient = {.scene = scene};
    pthread_t writer;
    bool is_right = true;

    if (!scene_open_with(scene, NULL, 0))
        return false;
    if (pthread_create(&writer, NULL, put_patiently, &patient) != 0)
        return scene_failed(scene, "a thread");
    for (int i = 0; i < HANGS && is_right; i++)
        is_right = hang_once(scene, stage, &patient);
    atomic_store(&patient.is_over, true);
    (void)pthread_join(writer, NULL);
    scene_tell(scene, "%" PRIu32 " puts around %d hangs", atomic_load(&patient.acked), HANGS);
    return is_right && !atomic_load(&scene->ledger->is_in_trouble) &&
           scene_expect(scene, "lsm_flush", lsm_flush(scene->db), LSM_OK) && scene_close(scene);
}

static bool slow_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_SERVED, slow_life);
}

static bool bounded_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_SERVED, bounded);
}

static bool hanging_ext4(struct scene *scene)
{
    return on_stage(scene, &file_systems[EXT4], DISK_SERVED, hangs);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"a slow disk", slow_ext4},
        {"writers ahead of a slow disk", bounded_ext4},
        {"a disk that hangs", hanging_ext4},
    };

    return scenes_run("slow_disk", NEEDS_DEVICES, scenarios, sizeof scenarios / sizeof scenarios[0],
                      argc, argv);
}

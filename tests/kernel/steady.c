// steady.c -- a long life on a small file system: nothing grows.
//
// The same keys are overwritten again and again, many times what the file system could hold, with
// transactions, snapshots, iterators and keyspaces that come and go. Once the first rounds are
// over, the space in use, the descriptors, the threads and the memory stay where they are. (Values
// lie in the tables: of those in the log, only whole segments are given back so far.)

#include <dirent.h>
#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "kernel/scene.h"

#define WRITERS    2
#define KEYS       1500 // of each writer
#define VALUE_SIZE 600
#define ROUNDS     60
#define WARM_UP    10 // rounds
#define WINDOW     20 // rounds: behind the warm-up, and at the end

#define ROOM "size=16m" // the keys take 2 MiB; in all 100 MiB are written

// How much more than in the first window may be in use in the last one, when least is in use:
// merges are not in step with the rounds. Were something left behind by each round it would be
// more.
#define SPACE_SLACK       (UINT64_C(1) << 20)
#define DESCRIPTORS_SLACK 6
#define MEMORY_SLACK      2048 // KiB

struct use {
    uint64_t space; // bytes of the file system
    uint64_t descriptors;
    uint64_t threads;
    uint64_t memory; // KiB, without pages of files
};

static uint64_t count_descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    uint64_t count = 0;

    while (all != NULL && readdir(all) != NULL)
        count++;
    if (all != NULL)
        (void)closedir(all);
    return count;
}

static struct use measure(const struct scene *scene)
{
    struct statvfs room = {0};

    (void)malloc_trim(0); // what is free is not in use
    (void)statvfs(scene->mnt, &room);
    return (struct use){
        .space = (room.f_blocks - room.f_bfree) * room.f_frsize,
        .descriptors = count_descriptors(),
        .threads = process_status("Threads:"),
        .memory = process_status("RssAnon:"),
    };
}

static uint64_t lower_of(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static struct use least_of(const struct use *uses)
{
    struct use least = uses[0];

    for (int i = 1; i < WINDOW; i++) {
        least.space = lower_of(least.space, uses[i].space);
        least.descriptors = lower_of(least.descriptors, uses[i].descriptors);
        least.threads = lower_of(least.threads, uses[i].threads);
        least.memory = lower_of(least.memory, uses[i].memory);
    }
    return least;
}

static bool is_flat(struct scene *scene, const char *what, uint64_t before, uint64_t after,
                    uint64_t slack)
{
    scene_tell(scene, "%s %" PRIu64 " -> %" PRIu64 ", ", what, before, after);
    return after <= before + slack || ledger_trouble(scene->ledger, "%s grew", what);
}

// `uses` is of each round.
static bool is_all_flat(struct scene *scene, const struct use *uses)
{
    const struct use before = least_of(uses + WARM_UP);
    const struct use after = least_of(uses + ROUNDS - WINDOW);

    return is_flat(scene, "bytes on disk", before.space, after.space, SPACE_SLACK) &&
           is_flat(scene, "descriptors", before.descriptors, after.descriptors,
                   DESCRIPTORS_SLACK) &&
           is_flat(scene, "threads", before.threads, after.threads, 0) &&
           is_flat(scene, "KiB of memory", before.memory, after.memory, MEMORY_SLACK);
}

// --- the load ---

struct writer {
    struct scene *scene;
    uint32_t number;
    uint32_t round;
    struct random random;
    pthread_t handle;
};

static lsm_slice key_of(const struct writer *writer, uint32_t i, char text[KEY_TEXT_MAX])
{
    return (lsm_slice){
        text, (size_t)snprintf(text, KEY_TEXT_MAX, "%" PRIu32 "/%06" PRIu32, writer->number, i)};
}

static lsm_status put_in_txn(lsm_db *db, lsm_slice key, lsm_slice value)
{
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    lsm_buf old = LSM_BUF_INIT;
    lsm_txn *txn;
    lsm_status status = lsm_begin(db, LSM_TXN_SERIALIZABLE, &txn);

    if (status != LSM_OK)
        return status;
    status = lsm_txn_get(txn, NULL, key, &old);
    if (status == LSM_OK || status == LSM_NOT_FOUND)
        status = lsm_txn_put(txn, NULL, key, value);
    if (status == LSM_OK)
        status = lsm_commit(txn, &options);
    lsm_txn_free(txn);
    lsm_buf_free(&old);
    return status;
}

static void *overwrite_all(void *ctx)
{
    struct writer *writer = ctx;
    const lsm_write_options options = {.sync = LSM_SYNC_WRITTEN};
    lsm_db *db = writer->scene->db;
    lsm_status status = LSM_OK;
    uint8_t value[VALUE_SIZE];
    char text[KEY_TEXT_MAX];

    random_fill(&writer->random, value, sizeof value);
    for (uint32_t i = 0; i < KEYS && status == LSM_OK; i++) {
        const lsm_slice key = key_of(writer, i, text);

        memcpy(value, &writer->round, sizeof writer->round);
        if (random_one_in(&writer->random, 10))
            status = lsm_delete(db, NULL, key, &options);
        if (status == LSM_OK)
            status = random_one_in(&writer->random, 5)
                         ? put_in_txn(db, key, (lsm_slice){value, VALUE_SIZE})
                         : lsm_put(db, NULL, key, (lsm_slice){value, VALUE_SIZE}, &options);
    }
    if (status != LSM_OK)
        (void)ledger_trouble(writer->scene->ledger, "round %u: %s", writer->round, lsm_errmsg());
    return NULL;
}

static bool overwrite_by_all(struct scene *scene, uint32_t round)
{
    struct writer writers[WRITERS];

    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.scene = scene, .number = i, .round = round};
        writers[i].random.state = random_next(&scene->random);
        if (pthread_create(&writers[i].handle, NULL, overwrite_all, &writers[i]) != 0)
            abort();
    }
    for (uint32_t i = 0; i < WRITERS; i++)
        (void)pthread_join(writers[i].handle, NULL);
    return !atomic_load(&scene->ledger->is_in_trouble);
}

// All keys, with the values of this round.
static lsm_status count_all(lsm_snapshot *snapshot, uint32_t round, uint32_t *count)
{
    lsm_iter *it;
    lsm_slice value;
    lsm_status status = lsm_snapshot_iter_open(snapshot, NULL, NULL, &it);

    if (status != LSM_OK)
        return status;
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it)) {
        status = lsm_iter_value(it, &value);
        if (status != LSM_OK)
            break;
        *count += memcmp(value.data, &round, sizeof round) == 0;
    }
    lsm_iter_close(it);
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static bool holds_round(struct scene *scene, uint32_t round)
{
    uint32_t count = 0;
    lsm_snapshot *snapshot;

    if (!scene_expect(scene, "a snapshot", lsm_snapshot_new(scene->db, "steady", &snapshot),
                      LSM_OK) ||
        !scene_expect(scene, "a scan", count_all(snapshot, round, &count), LSM_OK))
        return false;
    lsm_snapshot_free(snapshot);
    return count == WRITERS * KEYS ||
           ledger_trouble(scene->ledger, "round %u: %u keys hold it", round, count);
}

static bool come_and_go(struct scene *scene)
{
    lsm_keyspace *keyspace;

    if (!scene_expect(scene, "a keyspace",
                      lsm_keyspace_open(scene->db, "passing", true, NULL, &keyspace), LSM_OK) ||
        !scene_expect(scene, "a put",
                      lsm_put(scene->db, keyspace, lsm_str("key"), lsm_str("value"), NULL), LSM_OK))
        return false;
    lsm_keyspace_close(keyspace);
    return scene_expect(scene, "a drop", lsm_keyspace_drop(scene->db, "passing"), LSM_OK);
}

// --- scenes ---

static bool open_small(struct scene *scene)
{
    static const struct setting settings[] = {{"memtable_size", "256KiB"},
                                              {"cache_size", "1MiB"},
                                              {"value_threshold", "64KiB"},
                                              {"table_size", "256KiB"},
                                              {"level_base_size", "1MiB"},
                                              {"segment_size_max", "1MiB"},
                                              {"events_size_max", "64KiB"},
                                              {"conflict_history_size", "64KiB"},
                                              {"workers", "2"}};

    return scene_open_with(scene, settings, sizeof settings / sizeof settings[0]);
}

static bool run_round(struct scene *scene, uint32_t round)
{
    return overwrite_by_all(scene, round) && holds_round(scene, round) && come_and_go(scene) &&
           scene_expect(scene, "lsm_flush", lsm_flush(scene->db), LSM_OK) &&
           scene_expect(scene, "lsm_wait_idle", lsm_wait_idle(scene->db), LSM_OK);
}

static bool reopen(struct scene *scene)
{
    return scene_close(scene) && open_small(scene);
}

static bool live_steadily(struct scene *scene, uint32_t rounds_per_open)
{
    struct use uses[ROUNDS];

    if (!mount_memory(scene->mnt, ROOM))
        return scene_failed(scene, "tmpfs");
    if (!open_small(scene))
        return false;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if ((round % rounds_per_open == rounds_per_open - 1 && !reopen(scene)) ||
            !run_round(scene, round))
            return false;
        uses[round] = measure(scene);
    }
    return is_all_flat(scene, uses) &&
           scene_expect(scene, "lsm_verify", lsm_verify(scene->db, NULL, NULL), LSM_OK) &&
           scene_close(scene);
}

static bool one_life(struct scene *scene)
{
    return live_steadily(scene, ROUNDS + 1);
}

static bool many_lives(struct scene *scene)
{
    return live_steadily(scene, 2);
}

int main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"one long life", one_life},
        {"many lives", many_lives},
    };

    return scenes_run("steady", NEEDS_MOUNTS, scenarios, sizeof scenarios / sizeof scenarios[0],
                      argc, argv);
}

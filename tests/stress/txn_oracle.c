// txn_oracle.c -- snapshots registering against jobs that raise drop_floor.
//
// A snapshot whose timestamp lies below what any job was told, before it was registered or
// while it was open, could lose what it reads; and so could one whose second lies below that of
// a job that has not ended, however the clock steps.

#include "txn/oracle.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS      2000
#define REGISTERERS 2
#define HELD_MAX    100 // more than fit into the first chunk of slots

static struct env *env;
static struct oracle *oracle;
static _Atomic int registering; // threads
static atomic_bool is_over;
static struct env_ops ops; // of `env`, with a clock that steps
static _Atomic uint64_t readings;
static _Atomic uint64_t dropped_ts;   // highest oldest timestamp a job was told
static _Atomic uint64_t job_number;   // odd while a job drops
static _Atomic uint64_t dropped_wall; // the second it was told

#define check(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static void raise(_Atomic uint64_t *value, uint64_t to)
{
    uint64_t now = atomic_load(value);

    while (now < to && !atomic_compare_exchange_weak(value, &now, to)) {
    }
}

// Set back all the time: whoever reads later is told less than any job before.
static uint64_t stepping_clock(struct env *unused)
{
    (void)unused;
    return UINT64_C(1700000000000000000) - atomic_fetch_add(&readings, 1) * 100000000;
}

static uint64_t commit_until_over(void)
{
    uint64_t ts = 0;

    while (atomic_load(&registering) > 0) {
        ts = oracle_next_ts(oracle);
        oracle_publish(oracle, ts);
    }
    return ts;
}

// A job that drops from before a snapshot is registered until after has a say in its second.
static void register_one(const char *tag, struct snapshot_slot **slot)
{
    const uint64_t job = atomic_load(&job_number);
    const uint64_t wall = atomic_load(&dropped_wall);

    check(oracle_register(oracle, tag, slot) == LSM_OK);
    check(job % 2 == 0 || atomic_load(&job_number) != job || snapshot_slot_wall(*slot) >= wall);
}

static void register_some(void *ctx)
{
    struct snapshot_slot *held[HELD_MAX];
    const char *tag = ctx;

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < HELD_MAX; i++)
            register_one(i % 2 == 0 ? tag : NULL, &held[i]);
        for (int i = 0; i < HELD_MAX; i++) {
            check(snapshot_slot_ts(held[i]) >= atomic_load(&dropped_ts));
            oracle_unregister(oracle, held[i]);
        }
    }
    atomic_fetch_sub(&registering, 1);
}

static void drop_some(void *ctx)
{
    (void)ctx;
    while (!atomic_load(&is_over)) {
        struct oldest_snapshot oldest;
        struct drop_hold *hold;

        check(oracle_begin_dropping(oracle, &oldest, &hold) == LSM_OK);
        raise(&dropped_ts, oldest.ts);
        atomic_store(&dropped_wall, oldest.wall);
        atomic_fetch_add(&job_number, 1);
        for (int i = 0; i < 100; i++)
            (void)oracle_oldest(oracle);
        atomic_fetch_add(&job_number, 1);
        oracle_end_dropping(oracle, hold);
    }
}

// What is listed is whole: a tag is one that was given.
static void list_some(void *ctx)
{
    static struct snapshot_info infos[32];

    (void)ctx;
    while (!atomic_load(&is_over)) {
        const size_t count = oracle_list(oracle, infos, 32);

        for (size_t i = 0; i < count && i < 32; i++) {
            const char *tag = infos[i].tag;

            check(*tag == 0 || strcmp(tag, "the one registerer of snapshots") == 0 ||
                  strcmp(tag, "another registerer that opens them") == 0);
            check(i == 0 || infos[i - 1].ts <= infos[i].ts);
        }
    }
}

int main(void)
{
    static const char *const tags[REGISTERERS] = {"the one registerer of snapshots",
                                                  "another registerer that opens them"};
    const struct clock_history history = {0};
    struct thread registerers[REGISTERERS];
    struct thread dropper;
    struct thread lister;
    uint64_t last_ts;

    check(env_memory_new(&env) == LSM_OK);
    ops = *env->ops;
    ops.clock_wall_ns = stepping_clock;
    env->ops = &ops;
    check(oracle_new(env, 0, &history, &oracle) == LSM_OK);
    atomic_store(&registering, REGISTERERS);
    for (int i = 0; i < REGISTERERS; i++)
        check(thread_start(&registerers[i], "registerer", register_some, (void *)tags[i]) ==
              LSM_OK);
    check(thread_start(&dropper, "dropper", drop_some, NULL) == LSM_OK);
    check(thread_start(&lister, "lister", list_some, NULL) == LSM_OK);
    last_ts = commit_until_over();
    atomic_store(&is_over, true);
    for (int i = 0; i < REGISTERERS; i++)
        thread_join(&registerers[i]);
    thread_join(&dropper);
    thread_join(&lister);
    check(oracle_oldest(oracle).ts == last_ts);
    check(oracle_list(oracle, NULL, 0) == 0);
    oracle_free(oracle);
    env_memory_free(env);
    return 0;
}

#include "crash_judge.h"

#include <inttypes.h>
#include <stdlib.h>

#include "crash_compare.h"

// Of so many images one goes on being used, by how often it was crashed in its recovery.
static const uint64_t life_share[RECOVERIES_MAX + 1] = {1, 16, 16, 16};
// Of so many images that a crash in a recovery left, one has its own recovery crashed.
#define DEEPER_SHARE 400
// And that at one call in so many.
#define DEEPER_CALLS 4
// Of so many images one is recovered under the eyes of the publish check.
#define PUBLISH_SHARE 16
// Of so many images one has every table and segment verified, and is looked over for orphans.
#define VERIFY_SHARE 4
// Of so many images one is opened with a read that fails: one of the first so many.
#define READ_FAULT_SHARE 64
#define READS_MAX        48

// What one crash left.
struct image {
    struct sim *sim;
    struct history history;
    struct random random;
    unsigned depth; // crashes in recoveries before
};

// --- what went wrong ---

static void fail(struct judge *j, const struct image *image, const char *what)
{
    char where[400] = "";
    size_t at = 0;

    j->has_failed = true;
    for (unsigned i = 0; i <= image->depth; i++) {
        const struct place *p = &j->path[i];

        at += (size_t)snprintf(where + at, sizeof where - at,
                               "%s before call %" PRIu64 " (%s of %s), surviving: %s %" PRIu64,
                               i == 0 ? "crash" : "; in recovery", p->call, sim_op_name(p->op),
                               sim_kind_name(p->kind), survival_name(p->survival.kind),
                               p->survival.number);
    }
    campaign_violation(j->campaign, "%s: %s: %s: %s", j->workload->name, where, what, lsm_errmsg());
}

lsm_status judge_stop_publish_check(struct judge *j, struct sim *sim)
{
    const struct publish_check check = j->publish;

    publish_check_stop(sim);
    j->publish = (struct publish_check){.edits = 0};
    j->edits += check.edits;
    j->unlinks += check.unlinks;
    return check.violations == 0 ? LSM_OK : lsm_fail(LSM_CORRUPT, "%s", check.what);
}

// --- a life after the crash ---

static lsm_status check_sound(struct image *image, struct session *s)
{
    TRY(session_compare(s));
    if (!random_one_in(&image->random, VERIFY_SHARE))
        return LSM_OK;
    TRY(publish_find_orphan(s->sim, CRASH_DIR));
    return lsm_verify(s->db, NULL, NULL);
}

static lsm_status write_more(struct image *image, struct session *s)
{
    static const struct step steps[] = {
        {.kind = STEP_PUT, .key = 0, .count = 1, .size = SMALL},
        {.kind = STEP_BATCH, .key = 1, .count = 3, .size = SEPARATE, .is_weak = true},
        {.kind = STEP_DELETE, .key = 5, .count = 1},
    };
    static const struct step upkeep[] = {
        {.kind = STEP_FLUSH}, {.kind = STEP_COMPACT}, {.kind = STEP_SYNC}, {.kind = STEP_IDLE}};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        TRY(session_step(s, &steps[i]));
    return session_step(s, &upkeep[random_below(&image->random, 4)]);
}

static void cut_power(struct session *s)
{
    sim_crash_at(s->sim, 1);
    (void)session_close(s); // fails
}

// Ends the process, in the regular way or by a crash.
static lsm_status end(struct judge *j, struct image *image, struct session *s)
{
    if (random_one_in(&image->random, 2))
        return session_close(s);
    cut_power(s);
    sim_restart(s->sim, SIM_NONE, 0);
    publish_check_restart(&j->publish);
    return LSM_OK;
}

static lsm_status live_on(struct judge *j, struct image *image, struct session *s)
{
    if (!random_one_in(&image->random, life_share[image->depth])) {
        cut_power(s);
        return LSM_OK;
    }
    TRY(write_more(image, s));
    TRY(end(j, image, s));
    TRY(session_open(s));
    TRY(session_compare(s));
    return session_close(s);
}

// The database opens by itself, holds what it should, and is usable. The calls of opening it
// go to `recovery`, unless that is NULL.
static void check_recovery(struct judge *j, struct image *image, struct moments *recovery)
{
    struct session s;
    lsm_status status;

    session_init(&s, j->workload, image->sim, &image->history);
    if (recovery != NULL)
        moments_watch(recovery, image->sim, &image->history);
    if (random_one_in(&image->random, PUBLISH_SHARE))
        publish_check_start(&j->publish, image->sim);
    status = session_open(&s);
    moments_unwatch(image->sim);
    if (status != LSM_OK)
        fail(j, image, "does not open");
    if (status == LSM_OK && (status = check_sound(image, &s)) != LSM_OK)
        fail(j, image, "is not what it should be");
    if (status == LSM_OK && (status = live_on(j, image, &s)) != LSM_OK)
        fail(j, image, "cannot go on");
    (void)session_close(&s);
    if (judge_stop_publish_check(j, image->sim) != LSM_OK && status == LSM_OK)
        fail(j, image, "publishes in the wrong order");
}

// --- reads that fail ---

// Opens and reads everything with one read failing, or all from that one on. Whatever that
// returns is an error of the read; `*has_failed` tells whether there was one.
static lsm_status read_with_fault(struct judge *j, struct image *image, bool *has_failed)
{
    const struct sim_fault fault = {.ops = SIM_OP_READ | SIM_OP_STAT | SIM_OP_LIST,
                                    .at = 1 + random_below(&image->random, READS_MAX),
                                    .for_ever = random_one_in(&image->random, 2),
                                    .status = LSM_IO};
    struct session s;
    lsm_status status;
    uint64_t hits;

    session_init(&s, j->workload, image->sim, &image->history);
    sim_set_fault(image->sim, &fault);
    status = session_open(&s);
    if (status == LSM_OK)
        status = session_compare(&s);
    hits = sim_fault_hits(image->sim);
    sim_set_fault(image->sim, NULL);
    cut_power(&s);
    sim_restart(image->sim, SIM_ALL, 0);
    j->read_faults += hits > 0;
    *has_failed = hits > 0 && status == LSM_IO;
    return *has_failed ? LSM_OK : status;
}

static lsm_status read_without_fault(struct judge *j, struct image *image)
{
    struct session s;
    lsm_status status;

    session_init(&s, j->workload, image->sim, &image->history);
    status = session_open(&s);
    if (status == LSM_OK)
        status = session_compare(&s);
    (void)session_close(&s);
    return status;
}

static void check_read_faults(struct judge *j, const struct image *original)
{
    struct image image = *original;
    bool has_failed = false;

    if (sim_clone(original->sim, &image.sim) != LSM_OK)
        abort();
    if (read_with_fault(j, &image, &has_failed) != LSM_OK)
        fail(j, &image, "with a read that fails");
    else if (read_without_fault(j, &image) != LSM_OK)
        fail(j, &image, "after a read that failed");
    j->read_errors += has_failed;
    sim_free(image.sim);
}

// --- images ---

static uint64_t mix(uint64_t a, uint64_t b)
{
    struct random mixed = {.state = a};

    mixed.state = random_next(&mixed) ^ b;
    return random_next(&mixed);
}

// Of an image and what is known of it.
static uint64_t hash_of(const struct image *image)
{
    const struct history *h = &image->history;

    return mix(sim_hash(image->sim), ((uint64_t)h->started << 32) ^ ((uint64_t)h->durable << 16) ^
                                         ((uint64_t)h->generation << 4) ^ (uint64_t)h->other);
}

static void judge_recovery(struct judge *j, const struct moments *moments, struct image *before);

// Whether the recovery of the image with `hash` is crashed.
static bool is_crashed_again(const struct judge *j, const struct image *image, uint64_t hash)
{
    if (image->depth == 0)
        return hash % j->deep_share == 0;
    return image->depth < RECOVERIES_MAX && hash % DEEPER_SHARE == 0;
}

static void judge_new_image(struct judge *j, struct image *image, uint64_t hash)
{
    const bool is_crashed = is_crashed_again(j, image, hash);
    struct moments recovery = {0};

    image->random.state = mix(hash, j->seed);
    j->distinct++;
    j->by_depth[image->depth]++;
    j->deep += image->depth == 0 && is_crashed;
    if (random_one_in(&image->random, READ_FAULT_SHARE))
        check_read_faults(j, image);
    if (!j->has_failed)
        check_recovery(j, image, is_crashed ? &recovery : NULL);
    if (!j->has_failed)
        judge_recovery(j, &recovery, image);
    moments_release(&recovery);
}

static void judge_image(struct judge *j, const struct moment *moment, struct survival survival,
                        unsigned depth)
{
    struct image image = {.history = moment->history, .depth = depth};
    uint64_t hash;

    if (sim_clone(moment->disk, &image.sim) != LSM_OK)
        abort();
    sim_restart(image.sim, survival.kind, survival.number);
    j->path[depth] = (struct place){moment->call, moment->op, moment->kind, survival};
    j->images++;
    j->by_call[__builtin_ctz((unsigned)moment->op)][moment->kind]++;
    j->by_survival[survival.kind]++;
    if (depth == 0 && survival.kind == SIM_ALL) // as when only the process is killed
        image.history.durable = image.history.acknowledged;
    hash = hash_of(&image);
    j->hash = mix(j->hash, hash);
    if (hash_set_add(&j->seen, hash))
        judge_new_image(j, &image, hash);
    sim_free(image.sim);
}

// The moments of the recovery of `before`: all of them after the first crash, some after others.
static void judge_recovery(struct judge *j, const struct moments *moments, struct image *before)
{
    for (size_t i = 0; i < moments->count; i++) {
        struct survival survivals[SURVIVALS_MAX];
        size_t count;

        if (before->depth > 0 && !random_one_in(&before->random, DEEPER_CALLS))
            continue;
        count = moments_new_survivals(moments, i, &before->random, survivals);
        for (size_t k = 0; k < count && !j->has_failed; k++)
            judge_image(j, &moments->items[i], survivals[k], before->depth + 1);
    }
}

void judge_moments(struct judge *j, const struct moments *moments)
{
    struct random random = {.state = j->seed};

    for (size_t i = 0; i < moments->count; i++) {
        struct survival survivals[SURVIVALS_MAX];
        const size_t count = moment_survivals(&moments->items[i], &random, survivals);

        for (size_t k = 0; k < count && !j->has_failed; k++) {
            if (k < 2 || random_one_in(&random, j->survival_share))
                judge_image(j, &moments->items[i], survivals[k], 0);
        }
    }
}

// --- rounds ---

void judge_begin_round(struct judge *j, const struct workload *workload, uint64_t seed)
{
    j->workload = workload;
    j->seed = seed;
    j->hash = 0;
    j->has_failed = false;
}

void judge_end_round(struct judge *j)
{
    hash_set_clear(&j->seen);
}

// --- figures ---

static void print_calls(const struct judge *j, unsigned op)
{
    bool is_empty = true;

    for (unsigned kind = 0; kind < SIM_KINDS; kind++) {
        if (j->by_call[op][kind] == 0)
            continue;
        if (is_empty)
            printf("%s: at %s", j->campaign->name, sim_op_name((enum sim_op)(1u << op)));
        printf("%s %s %" PRIu64, is_empty ? "" : ",", sim_kind_name(kind), j->by_call[op][kind]);
        is_empty = false;
    }
    if (!is_empty)
        printf("\n");
}

void judge_print(const struct judge *j)
{
    const char *name = j->campaign->name;

    printf("%s: %" PRIu64 " images, %" PRIu64 " distinct; %" PRIu64
           " deep; crashes in recovery: depth 1 %" PRIu64 ", depth 2 %" PRIu64 ", depth 3 %" PRIu64
           "\n",
           name, j->images, j->distinct, j->deep, j->by_depth[1], j->by_depth[2], j->by_depth[3]);
    printf("%s: publish protocol: %" PRIu64 " edits, %" PRIu64 " unlinks\n", name, j->edits,
           j->unlinks);
    printf("%s: reads that fail: %" PRIu64 ", with an error %" PRIu64 "\n", name, j->read_faults,
           j->read_errors);
    printf("%s: surviving", name);
    for (unsigned i = 0; i < SIM_SURVIVALS; i++)
        printf("%s %s %" PRIu64, i == 0 ? ":" : ",", survival_name((enum sim_survival)i),
               j->by_survival[i]);
    printf("\n");
    for (unsigned op = 0; op < SIM_OPS; op++)
        print_calls(j, op);
}

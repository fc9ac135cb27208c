#include "crash_workload.h"

#include <stdio.h>
#include <string.h>

#define IDLE_NS   UINT64_C(11000000000) // longer than idle_flush, sync_interval and retries
#define IDLE_JOBS 40

// --- scripts ---

#define STEPS(...)                                                                                 \
    .steps = {__VA_ARGS__}, .count = sizeof((struct step[]){__VA_ARGS__}) / sizeof(struct step)
#define PUT(k, n, bytes)   .kind = STEP_PUT, .key = (k), .count = (n), .size = (bytes)
#define DELETE(k, n)       .kind = STEP_DELETE, .key = (k), .count = (n)
#define BATCH(k, n, bytes) .kind = STEP_BATCH, .key = (k), .count = (n), .size = (bytes)
#define TXN(k, n, bytes)   .kind = STEP_TXN, .key = (k), .count = (n), .size = (bytes)
#define BREAK(n)                                                                                   \
    {                                                                                              \
        .kind = STEP_BREAK_MANIFEST, .size = (n)                                                   \
    }
#define JOBS(n) .kind = STEP_JOBS, .count = (n)

const struct workload scripts[] = {
    {.name = "creation", STEPS({PUT(0, 1, SMALL)}), .versions_to_keep = 1},
    {.name = "full commits",
     STEPS({PUT(0, 2, SMALL)}, {PUT(1, 1, SEPARATE)}, {BATCH(0, 4, SEPARATE)}, {DELETE(1, 1)},
           {TXN(3, 3, SMALL)}),
     .versions_to_keep = 100},
    {.name = "weak commits",
     STEPS({PUT(0, 1, SMALL), .is_weak = true}, {BATCH(1, 3, SEPARATE), .is_weak = true},
           {.kind = STEP_SYNC}, {DELETE(2, 1), .is_weak = true},
           {PUT(3, 1, SEPARATE), .is_weak = true}, {PUT(4, 1, SMALL)},
           {TXN(0, 3, SEPARATE), .is_weak = true}),
     .versions_to_keep = 100},
    {.name = "flushes",
     STEPS({PUT(0, 2, SMALL)}, {PUT(2, 1, SEPARATE)}, {.kind = STEP_FLUSH}, {BATCH(0, 4, SEPARATE)},
           {DELETE(1, 1)}, {.kind = STEP_FLUSH}, {PUT(2, 1, SMALL), .is_weak = true}),
     .versions_to_keep = 2},
    {.name = "hand-over",
     STEPS({PUT(0, 4, 3000)}, {JOBS(3)}, {PUT(4, 4, 3000), .is_weak = true}, {JOBS(2)},
           {PUT(0, 1, SMALL)}, {PUT(1, 1, HUGE_VALUE)}, {JOBS(3)}, {PUT(2, 1, SMALL)}),
     .versions_to_keep = 1},
    {.name = "weak hand-over",
     STEPS({PUT(0, 6, 4000), .is_weak = true}, {PUT(6, 1, HUGE_VALUE), .is_weak = true},
           {PUT(7, 3, 4000), .is_weak = true}, {PUT(0, 1, SMALL)}),
     .versions_to_keep = 1},
    {.name = "larger than a segment",
     STEPS({PUT(0, 1, SMALL)}, {PUT(1, 1, HUGE_VALUE)}, {JOBS(3)}, {BATCH(2, 3, HUGE_VALUE)},
           {.kind = STEP_FLUSH}, {PUT(0, 1, SEPARATE)}),
     .versions_to_keep = 1},
    {.name = "compactions",
     STEPS({BATCH(0, 6, SMALL)}, {.kind = STEP_FLUSH}, {BATCH(3, 6, SEPARATE)}, {DELETE(0, 1)},
           {.kind = STEP_COMPACT}, {PUT(3, 1, SMALL)}, {DELETE(4, 1)}, {.kind = STEP_COMPACT},
           {JOBS(8)}),
     .versions_to_keep = 1},
    {.name = "versions",
     STEPS({PUT(0, 2, SMALL)}, {PUT(0, 2, SEPARATE)}, {.kind = STEP_FLUSH}, {PUT(0, 1, SMALL)},
           {.kind = STEP_COMPACT}, {DELETE(0, 1)}, {PUT(0, 1, SMALL)}, {.kind = STEP_COMPACT}),
     .versions_to_keep = 3},
    {.name = "keyspaces",
     STEPS({.kind = STEP_CREATE}, {PUT(0, 1, SMALL), .keyspace = IN_OTHER},
           {PUT(1, 1, SEPARATE), .keyspace = IN_OTHER, .is_weak = true},
           {PUT(0, 1, SMALL), .is_weak = true}, {.kind = STEP_FLUSH},
           {PUT(2, 1, SMALL), .keyspace = IN_OTHER, .is_weak = true}, {.kind = STEP_DROP},
           {.kind = STEP_CREATE}, {PUT(3, 1, SMALL), .keyspace = IN_OTHER}, {.kind = STEP_COMPACT}),
     .versions_to_keep = 1},
    {.name = "reopening",
     STEPS({PUT(0, 1, SMALL)}, {.kind = STEP_REOPEN}, {PUT(1, 1, SEPARATE), .is_weak = true},
           {.kind = STEP_REOPEN}, {.kind = STEP_REOPEN}, {DELETE(0, 1)}, {.kind = STEP_FLUSH},
           {.kind = STEP_REOPEN}, {PUT(2, 1, SMALL)}),
     .versions_to_keep = 1,
     .has_events = true},
    {.name = "idle upkeep",
     STEPS({PUT(0, 3, SEPARATE), .is_weak = true}, {.kind = STEP_IDLE}, {PUT(0, 3, SMALL)},
           {.kind = STEP_IDLE}, {DELETE(1, 1), .is_weak = true}, {.kind = STEP_IDLE},
           {.kind = STEP_IDLE}),
     .versions_to_keep = 1},
    {.name = "a manifest that fails",
     STEPS({PUT(0, 2, SMALL)}, BREAK(20), {.kind = STEP_FLUSH}, {PUT(2, 1, SEPARATE)},
           {.kind = STEP_IDLE}, {.kind = STEP_FLUSH}, {PUT(3, 1, SMALL)}, BREAK(0),
           {.kind = STEP_CREATE}, {PUT(0, 1, SMALL), .keyspace = IN_OTHER}, BREAK(100),
           {.kind = STEP_DROP}, {PUT(0, 1, SMALL)}),
     .versions_to_keep = 1},
    {.name = "edits of unknown fate",
     STEPS({PUT(0, 3, SEPARATE)}, BREAK(5000), {.kind = STEP_FLUSH}, {DELETE(1, 1)}, BREAK(5000),
           {.kind = STEP_COMPACT}, {PUT(0, 2, SMALL)}, {.kind = STEP_FLUSH}, BREAK(5000),
           {JOBS(10)}, {.kind = STEP_IDLE}, BREAK(5000), {.kind = STEP_CREATE},
           {PUT(0, 1, SMALL), .keyspace = IN_OTHER}, BREAK(5000), {.kind = STEP_DROP},
           {PUT(1, 1, SMALL)}, BREAK(5000), {.kind = STEP_REOPEN}),
     .versions_to_keep = 1},
    {.name = "many memtables",
     STEPS({PUT(0, 10, 450), .is_weak = true}, {PUT(0, 10, 450)},
           {PUT(0, 10, 450), .is_weak = true}, {JOBS(4)}, {PUT(0, 10, 450), .is_weak = true}),
     .versions_to_keep = 1,
     .memtable_size = 8 << 10},
};

const size_t script_count = sizeof scripts / sizeof scripts[0];

// --- seeded workloads ---

static uint32_t random_size(struct random *random)
{
    static const uint32_t sizes[] = {VALUE_SIZE_MIN, SMALL,    SMALL, 300,
                                     SEPARATE,       SEPARATE, 3000,  HUGE_VALUE};

    return sizes[random_below(random, sizeof sizes / sizeof sizes[0])];
}

static struct step random_step(struct random *random)
{
    static const enum step_kind kinds[] = {
        STEP_PUT,    STEP_PUT,  STEP_PUT,  STEP_DELETE, STEP_DELETE, STEP_BATCH,
        STEP_BATCH,  STEP_TXN,  STEP_SYNC, STEP_FLUSH,  STEP_FLUSH,  STEP_COMPACT,
        STEP_CREATE, STEP_DROP, STEP_JOBS, STEP_IDLE,   STEP_REOPEN, STEP_BREAK_MANIFEST,
    };
    struct step step = {
        .kind = kinds[random_below(random, sizeof kinds / sizeof kinds[0])],
        .keyspace = random_one_in(random, 3) ? IN_OTHER : IN_DEFAULT,
        .count = 1 + (unsigned)random_below(random, 4),
        .size = random_size(random),
        .is_weak = random_one_in(random, 2),
    };

    step.key = (unsigned)random_below(random, CRASH_KEYS - step.count + 1);
    if (step.size == HUGE_VALUE)
        step.count = 1;
    return step;
}

struct workload workload_random(struct random *random)
{
    struct workload workload = {
        .name = "seeded",
        .count = 5 + (size_t)random_below(random, STEPS_MAX / 2),
        .versions_to_keep = random_one_in(random, 2) ? 1 : 1 + (unsigned)random_below(random, 5),
        .compression = random_one_in(random, 4) ? 1 : 0,
        .memtable_size = random_one_in(random, 4) ? 8 << 10 : 0,
        .has_events = random_one_in(random, 8),
    };

    for (size_t i = 0; i < workload.count; i++)
        workload.steps[i] = random_step(random);
    return workload;
}

void workload_print(const struct workload *workload)
{
    static const char *const names[STEP_KINDS] = {
        "put",    "delete", "batch", "txn",  "sync",   "flush",         "compact",
        "create", "drop",   "jobs",  "idle", "reopen", "break-manifest"};

    fprintf(stderr, "%s: %u versions, compression %u, memtable %zu, events %d\n", workload->name,
            workload->versions_to_keep, workload->compression, workload->memtable_size,
            workload->has_events);
    for (size_t i = 0; i < workload->count; i++) {
        const struct step *step = &workload->steps[i];

        fprintf(stderr, "    %s key %u count %u size %u%s%s\n", names[step->kind], step->key,
                step->count, step->size, step->keyspace == IN_OTHER ? " other" : "",
                step->is_weak ? " weak" : "");
    }
}

// --- opening and closing ---

void session_init(struct session *s, const struct workload *workload, struct sim *sim,
                  struct history *history)
{
    *s = (struct session){.workload = workload, .sim = sim, .history = history};
    options_init(&s->options);
    s->options.env = sim_env(sim);
    s->options.is_manual = true;
    s->options.memtable_size = workload->memtable_size != 0 ? workload->memtable_size : 64 << 10;
    s->options.segment_size_max = SEGMENT_MAX;
    s->options.table_size = 4 << 10;
    s->options.block_size = 512;
    s->options.cache_size = 1 << 20;
    s->options.value_threshold = 512;
    s->options.conflict_history_size = 64 << 10;
    s->options.level0_trigger = 2;
    s->options.compression = workload->compression;
    s->options.events_size_max = workload->has_events ? 1000 : 0;
    s->options.versions_to_keep = workload->versions_to_keep;
}

static lsm_status check_other(const struct history *h, lsm_status status)
{
    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if (h->other == IS_EITHER || (h->other == IS_PRESENT) == (status == LSM_OK))
        return LSM_OK;
    return lsm_fail(LSM_CORRUPT, "the other keyspace is %s",
                    status == LSM_OK ? "there again" : "not there any more");
}

lsm_status session_open(struct session *s)
{
    lsm_status status;

    TRY(lsm_open(CRASH_DIR, &s->options, &s->db));
    status = lsm_keyspace_open(s->db, "other", false, NULL, &s->other);
    TRY(check_other(s->history, status));
    return LSM_OK;
}

lsm_status session_close(struct session *s)
{
    lsm_status status;

    if (s->db == NULL)
        return LSM_OK;
    lsm_keyspace_close(s->other);
    s->other = NULL;
    status = lsm_close(s->db);
    s->db = NULL;
    if (status == LSM_OK)
        s->history->durable = s->history->started;
    return status;
}

// --- commits ---

lsm_slice crash_key(unsigned key, char text[16])
{
    if (key == 0)
        return (lsm_slice){text, 0};
    return (lsm_slice){text, (size_t)snprintf(text, 16, "key-%02u", key)};
}

static lsm_keyspace *keyspace_of(const struct session *s, const struct crash_write *write)
{
    return write->keyspace == IN_OTHER ? s->other : NULL;
}

static lsm_status write_alone(struct session *s, const struct crash_commit *c,
                              const lsm_write_options *options)
{
    const struct crash_write *w = &c->writes[0];
    char text[16];

    if (w->is_delete)
        return lsm_delete(s->db, keyspace_of(s, w), crash_key(w->key, text), options);
    return lsm_put(s->db, keyspace_of(s, w), crash_key(w->key, text),
                   crash_value(c->tag, w->key, w->size), options);
}

static lsm_status add_to_batch(struct session *s, lsm_batch *batch, unsigned tag,
                               const struct crash_write *w)
{
    char text[16];

    if (w->is_delete)
        return lsm_batch_delete(batch, keyspace_of(s, w), crash_key(w->key, text));
    return lsm_batch_put(batch, keyspace_of(s, w), crash_key(w->key, text),
                         crash_value(tag, w->key, w->size));
}

static lsm_status write_batch(struct session *s, const struct crash_commit *c,
                              const lsm_write_options *options)
{
    lsm_batch *batch = NULL;
    lsm_status status = lsm_batch_new(&batch);

    for (unsigned i = 0; i < c->count && status == LSM_OK; i++)
        status = add_to_batch(s, batch, c->tag, &c->writes[i]);
    if (status == LSM_OK)
        status = lsm_write(s->db, batch, options);
    lsm_batch_free(batch);
    return status;
}

static lsm_status add_to_txn(struct session *s, lsm_txn *txn, unsigned tag,
                             const struct crash_write *w)
{
    lsm_buf value = LSM_BUF_INIT;
    char text[16];
    lsm_status status = lsm_txn_get(txn, keyspace_of(s, w), crash_key(w->key, text), &value);

    lsm_buf_free(&value);
    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if (w->is_delete)
        return lsm_txn_delete(txn, keyspace_of(s, w), crash_key(w->key, text));
    return lsm_txn_put(txn, keyspace_of(s, w), crash_key(w->key, text),
                       crash_value(tag, w->key, w->size));
}

lsm_status session_prepare(struct session *s, const struct crash_commit *c, lsm_txn **out)
{
    lsm_txn *txn = NULL;
    lsm_status status = lsm_begin(s->db, LSM_TXN_SERIALIZABLE, &txn);

    for (unsigned i = 0; i < c->count && status == LSM_OK; i++)
        status = add_to_txn(s, txn, c->tag, &c->writes[i]);
    if (status != LSM_OK)
        lsm_txn_free(txn);
    else
        *out = txn;
    return status;
}

static lsm_status write_txn(struct session *s, const struct crash_commit *c,
                            const lsm_write_options *options)
{
    lsm_txn *txn;
    lsm_status status;

    TRY(session_prepare(s, c, &txn));
    status = lsm_commit(txn, options);
    lsm_txn_free(txn);
    return status;
}

static lsm_status commit(struct session *s, const struct step *step,
                         const struct crash_commit *what)
{
    const lsm_write_options options = {.sync = step->is_weak ? LSM_SYNC_WRITTEN : LSM_SYNC_FULL};
    struct history *h = s->history;
    const struct crash_commit *c = history_start(h, what);

    if (c == NULL)
        return LSM_OK;
    switch (step->kind) {
    case STEP_BATCH:
        TRY(write_batch(s, c, &options));
        break;
    case STEP_TXN:
        TRY(write_txn(s, c, &options));
        break;
    default:
        TRY(write_alone(s, c, &options));
        break;
    }
    h->acknowledged = h->started;
    if (!step->is_weak)
        h->durable = h->started;
    return LSM_OK;
}

// `count` keys from `key` on, in one commit or in one each.
static lsm_status write_step(struct session *s, const struct step *step)
{
    const bool is_one = step->kind == STEP_BATCH || step->kind == STEP_TXN;
    struct crash_commit c = {.generation = s->history->generation};

    for (unsigned i = 0; i < step->count; i++) {
        c.writes[c.count++] = (struct crash_write){
            .keyspace = (uint8_t)(s->other != NULL ? step->keyspace : IN_DEFAULT),
            .key = (uint8_t)(step->key + i),
            .is_delete = step->kind == STEP_DELETE || (is_one && i % 3 == 2),
            .size = step->size,
        };
        if (is_one)
            continue;
        TRY(commit(s, step, &c));
        c.count = 0;
    }
    return is_one ? commit(s, step, &c) : LSM_OK;
}

// --- everything else ---

static lsm_status create_other(struct session *s)
{
    struct history *h = s->history;

    if (s->other != NULL)
        return LSM_OK;
    h->generation++;
    h->other = IS_EITHER;
    TRY(lsm_keyspace_open(s->db, "other", true, NULL, &s->other));
    h->other = IS_PRESENT;
    return LSM_OK;
}

static lsm_status drop_other(struct session *s)
{
    if (s->other == NULL)
        return LSM_OK;
    s->history->other = IS_EITHER;
    TRY(lsm_keyspace_drop(s->db, "other"));
    s->history->other = IS_ABSENT;
    lsm_keyspace_close(s->other);
    s->other = NULL;
    return LSM_OK;
}

static lsm_status sync_all(struct session *s)
{
    TRY(lsm_sync(s->db));
    s->history->durable = s->history->started;
    return LSM_OK;
}

static lsm_status run_jobs(struct session *s, unsigned count)
{
    while (count-- > 0 && scheduler_run_one(s->db->scheduler))
        ;
    return LSM_OK;
}

// The next write to a manifest fails, after so many bytes of it: all of them, where the edit
// is shorter, so that it may come to be durable although it has failed.
static lsm_status break_manifest(struct session *s, const struct step *step)
{
    const struct sim_fault fault = {.ops = SIM_OP_WRITE,
                                    .kinds = SIM_KIND(FILENAME_MANIFEST),
                                    .at = 1,
                                    .status = LSM_NO_SPACE,
                                    .short_by = step->size};

    sim_set_fault(s->sim, &fault);
    return LSM_OK;
}

static lsm_status take_step(struct session *s, const struct step *step)
{
    switch (step->kind) {
    case STEP_PUT:
    case STEP_DELETE:
    case STEP_BATCH:
    case STEP_TXN:
        return write_step(s, step);
    case STEP_SYNC:
        return sync_all(s);
    case STEP_FLUSH:
        return lsm_flush(s->db);
    case STEP_COMPACT:
        return lsm_compact_range(s->db, NULL, NULL, NULL);
    case STEP_CREATE:
        return create_other(s);
    case STEP_DROP:
        return drop_other(s);
    case STEP_JOBS:
        return run_jobs(s, step->count);
    case STEP_IDLE:
        sim_advance(s->sim, IDLE_NS);
        return run_jobs(s, IDLE_JOBS);
    case STEP_REOPEN:
        TRY(session_close(s));
        return session_open(s);
    case STEP_BREAK_MANIFEST:
        return break_manifest(s, step);
    case STEP_KINDS:
        break;
    }
    return LSM_INVALID;
}

lsm_status session_step(struct session *s, const struct step *step)
{
    lsm_status status = take_step(s, step);

    // Where a fault was asked for, what it hits may fail, and works when tried again.
    if (status == LSM_NO_SPACE && sim_fault_hits(s->sim) > 0) {
        sim_set_fault(s->sim, NULL);
        sim_advance(s->sim, IDLE_NS);
        status = take_step(s, step);
    }
    return status;
}

// ledger_check.c -- ledger_check(): a whole database against what a ledger knows.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/ledger.h"

struct commit {
    uint64_t ts;
    struct attempt_id id;
};

struct check {
    struct ledger *ledger;
    lsm_db *db;
    const struct cut *cut;
    struct model *model;    // becomes what the commits make of the one before
    struct commit *commits; // of this life, found in the journal; by timestamp once sorted
    size_t count;
    uint64_t old_count; // records of earlier lives
    uint64_t old_hash;
    uint64_t commit_ts[THREADS_MAX][ATTEMPTS_MAX]; // 0: not there
};

static struct plan plan_at(const struct check *check, uint32_t thread, uint32_t number)
{
    const struct attempt_id id = {check->ledger->life, thread, number};

    return plan_of(check->ledger->seed, id, check->ledger->threads);
}

static bool failed_call(struct check *check, const char *what)
{
    return ledger_trouble(check->ledger, "%s: %s", what, lsm_errmsg());
}

// Whether the attempt may have left anything before the cut.
static bool may_have_happened(const struct check *check, uint32_t thread, uint32_t number)
{
    const struct attempt *attempt = &check->ledger->attempts[thread][number];
    const uint32_t outcome = atomic_load(&attempt->outcome);

    return (outcome == OUTCOME_STARTED || outcome == OUTCOME_OK) &&
           (!check->cut->is_power || atomic_load(&attempt->started_at) < check->cut->last);
}

// The same of one that makes or drops a keyspace: when it fails, both outcomes are possible.
static bool may_have_changed(const struct check *check, uint32_t thread, uint32_t number)
{
    const struct attempt *attempt = &check->ledger->attempts[thread][number];

    return may_have_happened(check, thread, number) ||
           (check->cut->is_rough && atomic_load(&attempt->outcome) == OUTCOME_FAILED);
}

// Whether the attempt was acknowledged before the cut.
static bool was_acknowledged(const struct check *check, uint32_t thread, uint32_t number)
{
    const struct attempt *attempt = &check->ledger->attempts[thread][number];

    return atomic_load(&attempt->outcome) == OUTCOME_OK &&
           (!check->cut->is_power || atomic_load(&attempt->acked_at) <= check->cut->durable);
}

static uint64_t journal_hash(struct attempt_id id)
{
    return (id.life * UINT64_C(0x9E3779B97F4A7C15)) ^ (id.thread * UINT64_C(0xBF58476D1CE4E5B9)) ^
           (id.number * UINT64_C(0x94D049BB133111EB));
}

// --- the journal ---

static bool check_record(struct check *check, struct attempt_id id, lsm_slice value, uint64_t ts)
{
    struct ledger *ledger = check->ledger;
    const struct plan plan = plan_at(check, id.thread, id.number);
    const struct stamp expected = {id, STORE_COUNT, SLOT_NONE, plan.record_size};
    const uint64_t known_ts = atomic_load(&ledger->attempts[id.thread][id.number].ts);
    struct stamp stamp;

    if (!value_is_whole(value, &stamp) || !stamps_equal(stamp, expected))
        return ledger_trouble(ledger, "the record of %u/%u is another one", id.thread, id.number);
    if (!plan_commits(&plan) || !may_have_happened(check, id.thread, id.number))
        return ledger_trouble(ledger,
                              "commit %u/%u is there, but its outcome was %u, begun at "
                              "%lu, cut at %lu",
                              id.thread, id.number, ledger->attempts[id.thread][id.number].outcome,
                              ledger->attempts[id.thread][id.number].started_at, check->cut->last);
    if (known_ts != 0 && known_ts != ts)
        return ledger_trouble(ledger, "commit %u/%u has timestamp %lu, acknowledged as %lu",
                              id.thread, id.number, ts, known_ts);
    check->commits[check->count++] = (struct commit){ts, id};
    check->commit_ts[id.thread][id.number] = ts;
    return true;
}

static bool take_record(struct check *check, lsm_iter *it)
{
    struct attempt_id id;
    lsm_slice value;

    if (!journal_parse(lsm_iter_key(it), &id) || id.life > check->ledger->life ||
        id.number >= ATTEMPTS_MAX)
        return ledger_trouble(check->ledger, "a strange key in the journal");
    if (lsm_iter_value(it, &value) != LSM_OK)
        return failed_call(check, "a record of the journal");
    if (id.life == check->ledger->life)
        return check_record(check, id, value, lsm_iter_ts(it));
    check->old_count++;
    check->old_hash += journal_hash(id);
    return true;
}

// Calls `take` for every entry of `keyspace`; false as soon as it says so.
static bool scan(struct check *check, lsm_keyspace *keyspace,
                 bool (*take)(struct check *check, lsm_iter *it))
{
    lsm_iter *it;
    lsm_status status;
    bool is_right = true;

    if (lsm_iter_open(check->db, keyspace, NULL, &it) != LSM_OK)
        return failed_call(check, "lsm_iter_open");
    for (status = lsm_iter_first(it); status == LSM_OK && is_right; status = lsm_iter_next(it))
        is_right = take(check, it);
    if (is_right && status != LSM_NOT_FOUND)
        is_right = failed_call(check, "scanning a keyspace");
    lsm_iter_close(it);
    return is_right;
}

// Opens a keyspace that may not be there: `*out` is NULL then.
static bool open_keyspace(struct check *check, const char *name, lsm_keyspace **out)
{
    const lsm_status status = lsm_keyspace_open(check->db, name, false, NULL, out);

    if (status == LSM_NOT_FOUND)
        *out = NULL;
    else if (status != LSM_OK)
        return failed_call(check, name);
    return true;
}

static bool scan_named(struct check *check, const char *name,
                       bool (*take)(struct check *check, lsm_iter *it))
{
    lsm_keyspace *keyspace;
    bool is_right;

    if (!open_keyspace(check, name, &keyspace))
        return false;
    if (keyspace == NULL)
        return true;
    is_right = scan(check, keyspace, take);
    lsm_keyspace_close(keyspace);
    return is_right;
}

static bool check_trimmed(struct check *check)
{
    const struct model *model = check->model;
    const bool is_trimmed = check->commit_ts[0][0] != 0;

    if (!is_trimmed && check->count > 0 && !check->cut->is_rough)
        return ledger_trouble(check->ledger, "commit %u/%u is there, the first of its life is not",
                              check->commits[0].id.thread, check->commits[0].id.number);
    if (check->old_count != (is_trimmed ? 0 : model->journal_count) ||
        check->old_hash != (is_trimmed ? 0 : model->journal_hash))
        return ledger_trouble(check->ledger, "%lu records of earlier lives, not %lu (trimmed: %d)",
                              check->old_count, model->journal_count, is_trimmed);
    return true;
}

// --- what must be there ---

// From the thread's last attempt to its first: a sync covers what was acknowledged before it.
static bool check_thread(struct check *check, uint32_t thread, uint64_t last_ts)
{
    struct ledger *ledger = check->ledger;
    uint32_t number = 0;
    bool is_covered = !check->cut->is_power;

    while (number < ATTEMPTS_MAX &&
           atomic_load(&ledger->attempts[thread][number].outcome) != OUTCOME_NONE)
        number++;
    while (number-- > 0) {
        const struct plan plan = plan_at(check, thread, number);
        const struct attempt *attempt = &ledger->attempts[thread][number];
        const bool is_ok = atomic_load(&attempt->outcome) == OUTCOME_OK;
        const bool is_there = check->commit_ts[thread][number] != 0;
        const uint64_t ts = atomic_load(&attempt->ts);

        if (plan_commits(&plan) && is_ok && !is_there) {
            if (is_covered || (plan.is_sync && was_acknowledged(check, thread, number)))
                return ledger_trouble(ledger, "LOST: commit %u/%u was acknowledged%s", thread,
                                      number, plan.is_sync ? " as synced" : "");
            if (ts != 0 && ts < last_ts)
                return ledger_trouble(ledger, "HOLE: commit %u/%u at %lu is not there, %lu is",
                                      thread, number, ts, last_ts);
        }
        if ((plan.kind == PLAN_SYNC || plan.kind == PLAN_FLUSH) &&
            was_acknowledged(check, thread, number))
            is_covered = true;
    }
    return true;
}

static bool check_required(struct check *check)
{
    const uint64_t last_ts = check->count == 0 ? 0 : check->commits[check->count - 1].ts;

    for (uint32_t t = 0; t < check->ledger->threads; t++) {
        if (!check_thread(check, t, last_ts))
            return false;
    }
    return true;
}

// --- no holes ---

// A drop takes a timestamp and leaves no record: between the housekeeper's records around it.
static bool drop_explains(const struct check *check, uint64_t missing)
{
    const uint32_t thread = check->ledger->threads - 1;
    const struct attempt *attempts = check->ledger->attempts[thread];
    uint64_t before = 0;
    bool is_pending = false; // a drop may have happened since `before`

    for (uint32_t n = 0; n < ATTEMPTS_MAX && attempts[n].outcome != OUTCOME_NONE; n++) {
        const uint64_t ts = check->commit_ts[thread][n];

        if (ts == 0) {
            is_pending |=
                plan_at(check, thread, n).kind == PLAN_DROP && may_have_happened(check, thread, n);
            continue;
        }
        if (is_pending && before < missing && missing < ts)
            return true;
        before = ts;
        is_pending = false;
    }
    return is_pending && before < missing;
}

static bool check_dense(struct check *check)
{
    for (size_t i = 1; i < check->count; i++) {
        const uint64_t before = check->commits[i - 1].ts;
        const uint64_t ts = check->commits[i].ts;

        if (ts == before)
            return ledger_trouble(check->ledger, "two commits at timestamp %lu", ts);
        if (check->cut->is_rough || ts == before + 1)
            continue;
        if (ts > before + 2 || !drop_explains(check, before + 1))
            return ledger_trouble(check->ledger, "HOLE: nothing between timestamps %lu and %lu",
                                  before, ts);
    }
    return true;
}

// --- the state ---

static void apply_change(struct model *model, const struct commit *commit, struct change change)
{
    struct slot *slot = &model->slots[change.store][change.slot];
    const uint32_t generation = temp_generation(commit->id.number);

    if (change.store == STORE_TEMP && model->temp_generation != generation) {
        memset(model->slots[STORE_TEMP], 0, sizeof model->slots[STORE_TEMP]);
        model->temp_generation = generation;
    }
    slot->stamp = (struct stamp){commit->id, change.store, change.slot, change.size};
    slot->ts = commit->ts;
}

static void apply_commits(struct check *check)
{
    struct model *model = check->model;

    memset(model->slots[STORE_TEMP], 0, sizeof model->slots[STORE_TEMP]);
    model->temp_generation = UINT32_MAX;
    if (check->commit_ts[0][0] != 0) { // trimmed
        model->journal_count = 0;
        model->journal_hash = 0;
    }
    for (size_t i = 0; i < check->count; i++) {
        const struct commit *commit = &check->commits[i];
        const struct plan plan = plan_at(check, commit->id.thread, commit->id.number);

        for (uint32_t k = 0; k < plan.change_count; k++)
            apply_change(model, commit, plan.changes[k]);
        for (uint32_t k = 0; k < plan.counter_count; k++)
            model->counters[(plan.counter + k) % COUNTERS]++;
        model->journal_count++;
        model->journal_hash += journal_hash(commit->id);
    }
}

static bool check_slot(struct check *check, lsm_iter *it, enum store store, size_t *seen)
{
    const struct slot *slot;
    struct stamp stamp;
    lsm_slice value;
    uint32_t number;

    if (!slot_parse(lsm_iter_key(it), &number))
        return ledger_trouble(check->ledger, "a strange key in store %d", store);
    slot = &check->model->slots[store][number];
    if (lsm_iter_value(it, &value) != LSM_OK)
        return failed_call(check, "the value of a slot");
    if (!value_is_whole(value, &stamp))
        return ledger_trouble(check->ledger, "store %d slot %u: a damaged value", store, number);
    if (!stamps_equal(stamp, slot->stamp) || lsm_iter_ts(it) != slot->ts)
        return ledger_trouble(check->ledger,
                              "store %d slot %u holds %u/%u/%u of %u bytes at %lu, not %u/%u/%u of "
                              "%u bytes at %lu",
                              store, number, stamp.id.life, stamp.id.thread, stamp.id.number,
                              stamp.size, lsm_iter_ts(it), slot->stamp.id.life,
                              slot->stamp.id.thread, slot->stamp.id.number, slot->stamp.size,
                              slot->ts);
    (*seen)++;
    return true;
}

static bool check_counter(struct check *check, lsm_iter *it, size_t *seen)
{
    uint32_t counter;
    uint64_t count = 0;
    lsm_slice value;

    if (!counter_parse(lsm_iter_key(it), &counter))
        return ledger_trouble(check->ledger, "a strange key among the counters");
    if (lsm_iter_value(it, &value) != LSM_OK)
        return failed_call(check, "the value of a counter");
    if (value.size == sizeof count)
        memcpy(&count, value.data, sizeof count);
    if (count != check->model->counters[counter])
        return ledger_trouble(check->ledger, "counter %u is %lu, not %lu", counter, count,
                              check->model->counters[counter]);
    (*seen)++;
    return true;
}

static size_t slots_in_use(const struct model *model, enum store store)
{
    size_t count = 0;

    for (uint32_t i = 0; i < SLOTS; i++)
        count += model->slots[store][i].stamp.size != 0;
    return count;
}

// Reads `keyspace` in one direction; `expected` entries.
static bool check_store(struct check *check, lsm_keyspace *keyspace, enum store store,
                        size_t expected, bool is_forward)
{
    size_t seen = 0;
    lsm_status status;
    lsm_iter *it;
    bool is_right = true;

    if (lsm_iter_open(check->db, keyspace, NULL, &it) != LSM_OK)
        return failed_call(check, "lsm_iter_open");
    status = is_forward ? lsm_iter_first(it) : lsm_iter_last(it);
    while (status == LSM_OK && is_right) {
        const lsm_slice key = lsm_iter_key(it);

        is_right = key.size > 0 && *(const char *)key.data == 'c'
                       ? check_counter(check, it, &seen)
                       : check_slot(check, it, store, &seen);
        status = is_forward ? lsm_iter_next(it) : lsm_iter_prev(it);
    }
    if (is_right && status != LSM_NOT_FOUND)
        is_right = failed_call(check, "scanning a store");
    lsm_iter_close(it);
    if (is_right && seen != expected)
        return ledger_trouble(check->ledger, "store %d holds %zu entries, not %zu", store, seen,
                              expected);
    return is_right;
}

// A lookup goes another way through the tables than a scan.
static bool check_lookups(struct check *check, lsm_keyspace *keyspace, enum store store)
{
    lsm_buf value = LSM_BUF_INIT;
    bool is_right = true;

    for (uint32_t i = check->ledger->life % 8; i < SLOTS && is_right; i += 8) {
        const struct slot *slot = &check->model->slots[store][i];
        char text[KEY_TEXT_MAX];
        const lsm_status status = lsm_get(check->db, keyspace, slot_key(i, text), &value);
        struct stamp stamp;

        if (status != LSM_OK && status != LSM_NOT_FOUND)
            is_right = failed_call(check, "lsm_get");
        else if ((status == LSM_OK) != (slot->stamp.size != 0))
            is_right = ledger_trouble(check->ledger, "store %d slot %u: lsm_get says %s", store, i,
                                      lsm_status_name(status));
        else if (status == LSM_OK &&
                 (!value_is_whole((lsm_slice){value.data, value.size}, &stamp) ||
                  !stamps_equal(stamp, slot->stamp)))
            is_right = ledger_trouble(check->ledger, "store %d slot %u: lsm_get differs", store, i);
    }
    lsm_buf_free(&value);
    return is_right;
}

static bool check_main_and_twin(struct check *check)
{
    const bool is_forward = check->ledger->life % 2 == 0;
    size_t expected = slots_in_use(check->model, STORE_MAIN);
    lsm_keyspace *twin;
    bool is_right;

    for (uint32_t i = 0; i < COUNTERS; i++)
        expected += check->model->counters[i] != 0;
    if (!check_store(check, NULL, STORE_MAIN, expected, is_forward) ||
        !check_lookups(check, NULL, STORE_MAIN))
        return false;
    expected = slots_in_use(check->model, STORE_TWIN);
    if (!open_keyspace(check, "twin", &twin))
        return false;
    if (twin == NULL)
        return expected == 0 || ledger_trouble(check->ledger, "keyspace twin is not there");
    is_right = check_store(check, twin, STORE_TWIN, expected, !is_forward) &&
               check_lookups(check, twin, STORE_TWIN);
    lsm_keyspace_close(twin);
    return is_right;
}

// --- keyspaces that come and go ---

// Attempt number of the housekeeper's `kind` in `generation`, or ATTEMPTS_MAX.
static uint32_t temp_attempt(const struct check *check, enum plan_kind kind, uint32_t generation)
{
    const uint32_t thread = check->ledger->threads - 1;

    for (uint32_t n = 0; n < ATTEMPTS_MAX && temp_generation(n) <= generation; n++) {
        if (temp_generation(n) == generation && plan_at(check, thread, n).kind == kind)
            return n;
    }
    return ATTEMPTS_MAX;
}

static bool check_listed(struct check *check, const char *name, uint32_t generation)
{
    const uint32_t thread = check->ledger->threads - 1;
    const uint32_t create = temp_attempt(check, PLAN_CREATE, generation);
    const uint32_t drop = temp_attempt(check, PLAN_DROP, generation);
    const bool is_last = generation == check->model->temp_generation;
    lsm_keyspace *keyspace;
    bool is_right;

    if (create == ATTEMPTS_MAX || !may_have_changed(check, thread, create))
        return ledger_trouble(check->ledger, "keyspace %s was never made", name);
    if (drop != ATTEMPTS_MAX && was_acknowledged(check, thread, drop))
        return ledger_trouble(check->ledger, "keyspace %s was dropped", name);
    if (!open_keyspace(check, name, &keyspace))
        return false;
    if (keyspace == NULL)
        return ledger_trouble(check->ledger, "keyspace %s is listed only", name);
    is_right = check_store(check, keyspace, STORE_TEMP,
                           is_last ? slots_in_use(check->model, STORE_TEMP) : 0, true);
    lsm_keyspace_close(keyspace);
    return is_right;
}

// The keyspace whose creation is the last one acknowledged must be listed, unless its drop
// has begun.
static bool check_last_created(struct check *check, const bool *is_listed)
{
    const uint32_t thread = check->ledger->threads - 1;

    for (uint32_t g = 0; g <= temp_generation(ATTEMPTS_MAX - 1); g++) {
        const uint32_t create = temp_attempt(check, PLAN_CREATE, g);
        const uint32_t drop = temp_attempt(check, PLAN_DROP, g);

        if (create == ATTEMPTS_MAX ||
            atomic_load(&check->ledger->attempts[thread][create].outcome) == OUTCOME_NONE)
            break;
        if (was_acknowledged(check, thread, create) && !is_listed[g] &&
            (drop == ATTEMPTS_MAX || !may_have_changed(check, thread, drop)))
            return ledger_trouble(check->ledger, "keyspace temp-%u-%u is gone", check->ledger->life,
                                  g);
    }
    return true;
}

static bool check_temps(struct check *check)
{
    bool is_listed[ATTEMPTS_MAX] = {false};
    lsm_keyspace_info *infos;
    size_t count;
    bool is_right = true;

    if (lsm_keyspace_list(check->db, &infos, &count) != LSM_OK)
        return failed_call(check, "lsm_keyspace_list");
    for (size_t i = 0; i < count && is_right; i++) {
        uint32_t life, generation;

        if (!temp_parse(infos[i].name, &life, &generation) || life != check->ledger->life)
            continue; // a life drops what earlier ones left: some may still be there
        is_right = generation < ATTEMPTS_MAX && check_listed(check, infos[i].name, generation);
        if (is_right)
            is_listed[generation] = true;
    }
    lsm_free(infos);
    return is_right && check_last_created(check, is_listed);
}

static int compare_commits(const void *a, const void *b)
{
    const uint64_t left = ((const struct commit *)a)->ts;
    const uint64_t right = ((const struct commit *)b)->ts;

    return (left > right) - (left < right);
}

bool ledger_check(struct ledger *ledger, lsm_db *db, const struct cut *cut, struct model *after)
{
    struct check *check = calloc(1, sizeof *check);
    struct model *model = malloc(sizeof *model);
    struct commit *commits = calloc(THREADS_MAX * ATTEMPTS_MAX, sizeof *commits);
    bool is_right = check != NULL && model != NULL && commits != NULL;

    if (is_right) {
        *model = ledger->model;
        *check = (struct check){
            .ledger = ledger, .db = db, .cut = cut, .model = model, .commits = commits};
        is_right = scan_named(check, "journal", take_record) && check_trimmed(check);
    }
    if (is_right) {
        qsort(check->commits, check->count, sizeof *check->commits, compare_commits);
        is_right = check_required(check) && check_dense(check);
    }
    if (is_right) {
        apply_commits(check);
        is_right = check_main_and_twin(check) && check_temps(check);
    }
    if (is_right)
        *after = *model;
    free(commits);
    free(model);
    free(check);
    return is_right;
}

// test_late_errors.c -- a device that lies: a sync fails, and the system tells it one call late.
//
// ext4 may do so in its data mode. The bytes are gone and the caller was told that they are
// durable, which nobody can help; the next sync of that file fails, if there is one. From then
// on nothing is acknowledged, and what is there afterwards is a prefix, or called damaged.

#include "support/db_fixture.h"

#define KEYS    7
#define COMMITS 60

static struct db_fixture f;
static const struct env_ops *real_ops;
static uint64_t syncs_until_lie; // 0: no more
static char lied_about[64];      // the file; "" when no report is due
static unsigned acknowledged;    // commits
static unsigned safe;            // acknowledged before the lie

// --- the device ---

static lsm_status lie(struct file *file)
{
    const struct sim_fault fault = {.ops = SIM_OP_SYNC, .at = 1, .status = LSM_IO};

    sim_set_fault(f.sim, &fault);
    cr_assert(eq(int, real_ops->file_sync(file), LSM_IO));
    sim_set_fault(f.sim, NULL);
    (void)snprintf(lied_about, sizeof lied_about, "%.63s", file->name);
    safe = acknowledged;
    return LSM_OK;
}

static lsm_status late_sync(struct file *file)
{
    if (lied_about[0] != '\0' && strcmp(file->name, lied_about) == 0) {
        lied_about[0] = '\0';
        return lsm_fail(LSM_IO, "%s: simulated failure of the sync before", file->name);
    }
    if (syncs_until_lie == 0 || --syncs_until_lie > 0)
        return real_ops->file_sync(file);
    return lie(file);
}

static void start_device(struct env_ops *ops, uint64_t lie_at)
{
    db_fixture_prepare(&f, 1);
    real_ops = sim_env(f.sim)->ops;
    *ops = *real_ops;
    ops->file_sync = late_sync;
    sim_env(f.sim)->ops = ops;
    syncs_until_lie = lie_at;
    lied_about[0] = '\0';
    acknowledged = safe = 0;
    db_fixture_open(&f);
}

static void cut_power(enum sim_survival survival, uint64_t seed)
{
    sim_env(f.sim)->ops = real_ops;
    sim_crash_at(f.sim, 1);
    (void)lsm_close(f.db); // fails, since the power has gone
    sim_restart(f.sim, survival, seed);
    f.db = NULL;
}

// --- commits ---

// Commit `number` writes its number to one key and to "last".
static lsm_status run_commit(unsigned number)
{
    char value[1200], key[16];
    lsm_batch *batch;
    lsm_status status;

    memset(value, 'v', sizeof value);
    (void)snprintf(value, sizeof value, "%u", number);
    (void)snprintf(key, sizeof key, "key-%u", number % KEYS);
    assert_ok(lsm_batch_new(&batch));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str(key),
                            slice_make(value, number % 3 == 0 ? sizeof value : 20)));
    assert_ok(lsm_batch_put(batch, NULL, lsm_str("last"), slice_make(value, 20)));
    status = lsm_write(f.db, batch, NULL);
    lsm_batch_free(batch);
    if (status == LSM_OK)
        acknowledged = number;
    return status;
}

// Commits, with flushes and merges between, until one fails.
static lsm_status run_load(void)
{
    for (unsigned i = 1; i <= COMMITS; i++) {
        TRY(run_commit(i));
        if (i % 10 == 0)
            TRY(lsm_flush(f.db));
        if (i % 25 == 0)
            TRY(lsm_compact_range(f.db, NULL, NULL, NULL));
    }
    return LSM_OK;
}

// --- what is left ---

// The number that the key holds; 0 when it is absent. False when reading it fails as damage does.
static bool read_number(const char *key, unsigned *out)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    const lsm_status status = lsm_get(f.db, NULL, lsm_str(key), &value);

    *out = status == LSM_OK ? number_in(&value) : 0;
    cr_assert(status == LSM_OK || status == LSM_NOT_FOUND || status == LSM_CORRUPT, "%s",
              lsm_errmsg());
    return status != LSM_CORRUPT;
}

// The last commit up to `last` that wrote the key; 0 when none did.
static unsigned writer_of(unsigned key, unsigned last)
{
    for (unsigned i = last; i > 0; i--) {
        if (i % KEYS == key)
            return i;
    }
    return 0;
}

static void check_prefix(void)
{
    unsigned last, found;

    if (!read_number("last", &last))
        return; // called damaged
    cr_assert(ge(uint, last, safe), "what was durable before the lie");
    for (unsigned key = 0; key < KEYS; key++) {
        char name[16];

        (void)snprintf(name, sizeof name, "key-%u", key);
        if (read_number(name, &found))
            cr_assert(eq(uint, found, writer_of(key, last)), "%s after commit %u", name, last);
    }
}

static void check_after_cut(void)
{
    const lsm_status status = lsm_open(DB_DIR, &f.options, &f.db);

    cr_assert(status == LSM_OK || status == LSM_CORRUPT, "%s", lsm_errmsg());
    if (status == LSM_CORRUPT)
        return;
    check_prefix();
    (void)lsm_close(f.db); // damage may keep it from closing well
}

// Every sync of the load lies in its turn, whatever file it is of. False when there are fewer.
static bool lie_at(uint64_t number, enum sim_survival survival)
{
    struct env_ops ops;
    bool has_lied;
    lsm_status status;

    start_device(&ops, number);
    status = run_load();
    has_lied = syncs_until_lie == 0;
    if (status != LSM_OK) {
        cr_assert(has_lied);
        cr_assert(strstr(lsm_errmsg(), "simulated") != NULL, "%s", lsm_errmsg());
    }
    if (status == LSM_OUTCOME_UNKNOWN) {
        assert_status(run_commit(COMMITS + 1), LSM_POISONED);
        assert_status(lsm_sync(f.db), LSM_POISONED);
        assert_status(lsm_flush(f.db), LSM_POISONED);
    }
    cut_power(survival, number);
    check_after_cut();
    sim_free(f.sim);
    return has_lied;
}

Test(late_errors, a_sync_that_lies_leaves_a_prefix_or_is_called_damage)
{
    uint64_t number = 1;

    while (lie_at(number, SIM_NONE) && lie_at(number, SIM_RANDOM) && lie_at(number, SIM_ALL))
        number++;
    cr_assert(gt(u64, number, COMMITS));
}

// Of the log the report comes with the next commit, and no commit after the lie is acknowledged.
Test(late_errors, the_report_stops_all_writing)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct env_ops ops;

        start_device(&ops, 0);
        assert_ok(run_commit(1));
        syncs_until_lie = 1;
        assert_ok(run_commit(2)); // so says the device
        assert_status(run_commit(3), LSM_OUTCOME_UNKNOWN);
        assert_status(run_commit(4), LSM_POISONED);
        assert_status(lsm_sync(f.db), LSM_POISONED);
        cut_power(seed == 0 ? SIM_NONE : SIM_RANDOM, seed);
        check_after_cut();
        sim_free(f.sim);
    }
}

// test_manifest_crash.c -- the manifest under a power cut at every call, and under
// failures of every kind.
//
// After a crash the state read is that after some prefix of the edits: at least all
// that were reported, at most all that were started.

#include "manifest/manifest.h"

#include "manifest_script.h"

// --- the publish protocol ---

struct watch {
    char manifest[64]; // last one written to
    uint64_t size;     // of it
    uint64_t switches;
};

static void watch_write(void *ctx, struct sim *sim, const char *dir, const char *name,
                        uint64_t offset, const lsm_slice *parts, size_t count)
{
    struct watch *watch = ctx;

    (void)sim;
    (void)dir;
    if (strncmp(name, "MANIFEST-", 9) != 0)
        return;
    (void)snprintf(watch->manifest, sizeof watch->manifest, "%s", name);
    watch->size = offset;
    for (size_t i = 0; i < count; i++)
        watch->size += parts[i].size;
}

// CURRENT never names what is not durable, with its directory entry.
static void watch_unlink(void *ctx, struct sim *sim, const char *dir, const char *name)
{
    struct watch *watch = ctx;

    if (strcmp(name, "CURRENT") != 0)
        return;
    cr_assert(sim_is_durable(sim, dir, watch->manifest, watch->size));
    cr_assert(sim_is_durable(sim, dir, "CURRENT.new", 128));
    watch->switches++;
}

static void watch_set(struct sim *sim, struct watch *watch)
{
    sim_set_write_hook(sim, watch_write, watch);
    sim_set_unlink_hook(sim, watch_unlink, watch);
}

// --- crashes ---

struct run {
    int started;  // edits, -1: not even the creation has come to its end
    int reported; // edits
};

// Runs the script until something fails.
static struct run run_script(struct sim *sim)
{
    struct run run = {.started = 0, .reported = -1};
    struct life life;
    lsm_status status = life_create(&life, sim);

    if (status == LSM_OK) {
        run.reported = 0;
        for (size_t n = 0; n < SCRIPT_EDITS && status == LSM_OK; n++) {
            run.started++;
            status = life_apply_script(&life, n);
            if (status == LSM_OK)
                run.reported++;
        }
    }
    life_close(&life);
    return run;
}

// What survived is a prefix; and it stays what it is when it is opened, with a crash
// at the `reopen_at`-th call of that (0: none). False when that call never came.
static bool check_survivor(struct sim *sim, const lsm_buf *signatures, struct run run,
                           uint64_t reopen_at)
{
    lsm_buf found = {.data = NULL};
    lsm_buf again = {.data = NULL};
    bool is_clean = false;
    bool has_crashed;
    struct life life;
    struct stores stores;
    lsm_status status;
    int edits;
    bool exists;

    stores_open(&stores, sim);
    status = manifest_exists(stores.dir, &exists);
    stores_close(&stores);
    assert_ok(status);
    if (!exists) {
        cr_assert(lt(int, run.reported, 0), "a created database is gone");
        assert_ok(life_create(&life, sim)); // leftovers are not in the way
        life_close(&life);
        return false;
    }
    assert_ok(disk_signature(sim, &found, &is_clean));
    edits = find_signature(signatures, &found);
    cr_assert(ge(int, edits, run.reported < 0 ? 0 : run.reported));
    cr_assert(le(int, edits, run.started));
    cr_assert(eq(int, is_clean, edits == SCRIPT_EDITS));

    sim_crash_at(sim, reopen_at);
    status = life_open(&life, sim);
    life_close(&life);
    has_crashed = sim_has_crashed(sim);
    cr_assert(has_crashed || status == LSM_OK);
    if (has_crashed)
        sim_restart(sim, SIM_RANDOM, reopen_at);
    assert_ok(disk_signature(sim, &again, &is_clean));
    cr_assert(slice_equal(slice_of_buf(&found), slice_of_buf(&again)));
    cr_assert(has_crashed || !is_clean); // open databases are not clean
    lsm_buf_free(&found);
    lsm_buf_free(&again);
    return has_crashed;
}

static void crash_everywhere(enum sim_survival survival, uint64_t seeds, bool crash_again)
{
    lsm_buf signatures[SCRIPT_EDITS + 1];
    bool has_crashed = true;

    script_signatures(signatures);
    for (uint64_t call = 1; has_crashed; call++) {
        struct watch watch = {.switches = 0};
        struct sim *sim = sim_with_dir(call);
        struct run run;

        watch_set(sim, &watch);
        sim_crash_at(sim, call);
        run = run_script(sim);
        has_crashed = sim_has_crashed(sim);
        sim_set_write_hook(sim, NULL, NULL);
        sim_set_unlink_hook(sim, NULL, NULL);
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            uint64_t reopen_at = crash_again ? 1 : 0;
            bool goes_on;

            do {
                struct sim *survivor;

                assert_ok(sim_clone(sim, &survivor));
                sim_restart(survivor, survival, seed);
                goes_on = check_survivor(survivor, signatures, run, reopen_at++);
                sim_free(survivor);
            } while (goes_on);
        }
        sim_free(sim);
    }
    signatures_release(signatures);
}

Test(manifest_crash, nothing_unsynced_survives)
{
    crash_everywhere(SIM_NONE, 1, true);
}

Test(manifest_crash, everything_survives)
{
    crash_everywhere(SIM_ALL, 1, true);
}

Test(manifest_crash, a_prefix_survives)
{
    crash_everywhere(SIM_PREFIX, 6, false);
}

Test(manifest_crash, anything_survives)
{
    crash_everywhere(SIM_RANDOM, 20, false);
}

// --- failures ---

static struct sim *sim;
static struct life life;

static void setup(void)
{
    sim = sim_with_dir(1);
    assert_ok(life_create(&life, sim));
    for (size_t n = 0; n < 3; n++)
        assert_ok(life_apply_script(&life, n));
}

static void teardown(void)
{
    sim_set_fault(sim, NULL);
    life_close(&life);
    sim_free(sim);
}

TestSuite(manifest_fault, .init = setup, .fini = teardown);

static void fail_with(unsigned ops, const char *name_part, uint64_t at, bool for_ever,
                      lsm_status status)
{
    struct sim_fault fault = {
        .ops = ops, .name_part = name_part, .at = at, .for_ever = for_ever, .status = status};

    sim_set_fault(sim, &fault);
}

static uint64_t manifest_number(void)
{
    uint64_t number;

    manifest_lock(life.manifest);
    number = manifest_state_locked(life.manifest)->manifest_number;
    manifest_unlock(life.manifest);
    return number;
}

// Whether the unlinker removes nothing now. Leaves nothing behind.
static bool unlinker_is_held(void)
{
    struct file *file;
    uint64_t size;
    bool is_there;

    assert_ok(file_open(life.stores.dir, "000999.sst", FILE_CREATE, &file));
    assert_ok(file_close(file));
    unlinker_add(life.stores.unlinker, FILENAME_TABLE, 999);
    (void)unlinker_drain(life.stores.unlinker, 100);
    is_there = file_stat(life.stores.dir, "000999.sst", &size) == LSM_OK;
    if (is_there)
        assert_ok(file_unlink(life.stores.dir, "000999.sst"));
    return is_there;
}

// The power goes now; the disk states the script after `from` to `to` edits.
static void assert_disk_after(int from, int to)
{
    static const enum sim_survival survivals[] = {SIM_NONE, SIM_ALL, SIM_PREFIX, SIM_RANDOM};
    lsm_buf signatures[SCRIPT_EDITS + 1];

    script_signatures(signatures);
    for (size_t i = 0; i < 4; i++) {
        for (uint64_t seed = 1; seed < 5; seed++) {
            lsm_buf found = {.data = NULL};
            struct sim *survivor;
            bool is_clean;
            int edits;

            assert_ok(sim_clone(sim, &survivor));
            sim_restart(survivor, survivals[i], seed);
            assert_ok(disk_signature(survivor, &found, &is_clean));
            edits = find_signature(signatures, &found);
            cr_assert(ge(int, edits, from));
            cr_assert(le(int, edits, to));
            lsm_buf_free(&found);
            sim_free(survivor);
        }
    }
    signatures_release(signatures);
}

static void assert_failed_append_is_replaced(void)
{
    uint64_t number = manifest_number();

    assert_ok(life_apply_script(&life, 3));
    cr_assert(eq(u64, sim_fault_hits(sim), 1));
    cr_assert(lt(u64, number, manifest_number()));
    cr_assert(not(manifest_is_undecided(life.manifest)));
    cr_assert(not(poison_is_set(&life.stores.poison)));
    cr_assert(not(unlinker_is_held()));
    assert_disk_after(4, 4);
    assert_ok(life_apply_script(&life, 4));
    assert_disk_after(5, 5);
}

Test(manifest_fault, a_failed_write_leads_to_a_fresh_manifest)
{
    fail_with(SIM_OP_WRITE, "MANIFEST", 1, false, LSM_IO);
    assert_failed_append_is_replaced();
}

Test(manifest_fault, a_short_write_leads_to_a_fresh_manifest)
{
    struct sim_fault fault = {
        .ops = SIM_OP_WRITE, .name_part = "MANIFEST", .at = 1, .status = LSM_IO, .short_by = 40};

    sim_set_fault(sim, &fault);
    assert_failed_append_is_replaced();
}

Test(manifest_fault, a_failed_sync_leads_to_a_fresh_manifest)
{
    fail_with(SIM_OP_SYNC, "MANIFEST", 1, false, LSM_IO);
    assert_failed_append_is_replaced();
}

// Neither outcome may lose a file until it is decided.
static void assert_soft_and_undecided(lsm_status wanted)
{
    uint64_t edit_number = manifest_edit_number(life.manifest);

    for (int i = 0; i < 2; i++) { // also when it fails again
        assert_status(life_apply_script(&life, 3), wanted);
        cr_assert(manifest_is_undecided(life.manifest));
        cr_assert(not(poison_is_set(&life.stores.poison)));
        cr_assert(eq(u64, manifest_edit_number(life.manifest), edit_number));
        cr_assert(unlinker_is_held());
        assert_disk_after(3, 4);
    }
    sim_set_fault(sim, NULL);
    assert_ok(life_apply_script(&life, 3));
    cr_assert(not(manifest_is_undecided(life.manifest)));
    cr_assert(eq(u64, manifest_edit_number(life.manifest), edit_number + 1));
    cr_assert(not(unlinker_is_held()));
    assert_disk_after(4, 4);
    for (size_t n = 4; n < SCRIPT_EDITS; n++)
        assert_ok(life_apply_script(&life, n));
    assert_disk_after(SCRIPT_EDITS, SCRIPT_EDITS);
}

// A write that finds no space holds until there is some.
Test(manifest_fault, no_space_is_soft_and_leaves_the_edit_undecided)
{
    fail_with(SIM_OP_WRITE, NULL, 1, true, LSM_NO_SPACE);
    sim_set_fault(sim, NULL);
    fail_with(SIM_OP_WRITE, "MANIFEST", 1, true, LSM_NO_SPACE);
    assert_soft_and_undecided(LSM_NO_SPACE);
}

Test(manifest_fault, failing_syncs_are_soft_and_leave_the_edit_undecided)
{
    fail_with(SIM_OP_SYNC, "MANIFEST", 1, true, LSM_IO);
    assert_soft_and_undecided(LSM_IO);
}

// What is applied next need not be the edit that failed.
Test(manifest_fault, another_edit_may_follow_one_that_is_undecided)
{
    struct edit edit;

    fail_with(SIM_OP_SYNC, "MANIFEST", 1, true, LSM_IO);
    assert_status(life_apply_script(&life, 3), LSM_IO);
    sim_set_fault(sim, NULL);
    edit_init(&edit);
    edit.last_ts = 12345;
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 5));
    life_close(&life);
    sim_restart(sim, SIM_ALL, 1);
    assert_ok(life_open(&life, sim));
    manifest_lock(life.manifest);
    cr_assert(eq(u64, manifest_state_locked(life.manifest)->last_ts, 12345));
    cr_assert(eq(u64, manifest_state_locked(life.manifest)->edit_number, 5));
    manifest_unlock(life.manifest);
    cr_assert(eq(sz, life.version->levels[0].count, 2)); // the merge has not happened
}

// From the rename on, and for every sync of the directory, both manifests may be it.
static void assert_poisoned(lsm_status wanted, int from, int to)
{
    assert_status(life_apply_script(&life, 3), wanted);
    cr_assert(poison_is_set(&life.stores.poison));
    sim_set_fault(sim, NULL);
    assert_status(life_apply_script(&life, 3), LSM_POISONED);
    cr_assert(unlinker_is_held());
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 4));
    assert_disk_after(from, to);
}

static void fail_append_and(unsigned ops, const char *name_part, uint64_t at)
{
    // The append fails first, by a sync of its own: break the file once.
    fail_with(SIM_OP_SYNC, "MANIFEST", 1, true, LSM_IO);
    assert_status(life_apply_script(&life, 3), LSM_IO);
    cr_assert(manifest_is_undecided(life.manifest));
    fail_with(ops, name_part, at, false, LSM_IO);
}

Test(manifest_fault, a_failed_rename_is_poison)
{
    fail_append_and(SIM_OP_RENAME, NULL, 1);
    assert_poisoned(LSM_IO, 3, 4);
}

Test(manifest_fault, a_failed_sync_of_the_directory_is_poison)
{
    fail_append_and(SIM_OP_DIR_SYNC, NULL, 1);
    assert_poisoned(LSM_IO, 3, 4);
}

Test(manifest_fault, a_failed_sync_of_the_directory_behind_the_rename_is_poison)
{
    fail_append_and(SIM_OP_DIR_SYNC, NULL, 2);
    assert_poisoned(LSM_IO, 3, 4);
}

// Everything before the rename, one call after the other.
Test(manifest_fault, a_fresh_manifest_that_fails_before_the_rename_leaves_nothing)
{
    static const struct {
        unsigned ops;
        const char *name_part;
    } calls[] = {
        {SIM_OP_OPEN, "MANIFEST"}, {SIM_OP_WRITE, "MANIFEST"}, {SIM_OP_SYNC, "MANIFEST"},
        {SIM_OP_OPEN, "CURRENT"},  {SIM_OP_WRITE, "CURRENT"},  {SIM_OP_SYNC, "CURRENT"},
        {SIM_OP_CLOSE, "CURRENT"},
    };
    fail_append_and(SIM_OP_RENAME, "none", 1);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        uint64_t size;

        fail_with(calls[i].ops, calls[i].name_part, 1, false, LSM_NO_SPACE);
        assert_status(life_apply_script(&life, 3), LSM_NO_SPACE);
        cr_assert(eq(u64, sim_fault_hits(sim), 1));
        cr_assert(not(poison_is_set(&life.stores.poison)));
        cr_assert(manifest_is_undecided(life.manifest));
        assert_status(file_stat(life.stores.dir, "CURRENT.new", &size), LSM_IO);
    }
    sim_set_fault(sim, NULL);
    assert_ok(life_apply_script(&life, 3));
    assert_disk_after(4, 4);
}

Test(manifest_fault, a_clean_close_that_fails_softly_can_be_tried_again)
{
    for (size_t n = 3; n + 1 < SCRIPT_EDITS; n++)
        assert_ok(life_apply_script(&life, n));
    fail_with(SIM_OP_WRITE, "MANIFEST", 1, false, LSM_NO_SPACE);
    assert_status(life_apply_script(&life, SCRIPT_EDITS - 1), LSM_NO_SPACE);
    cr_assert(not(manifest_is_undecided(life.manifest))); // nothing was appended
    cr_assert(not(unlinker_is_held()));
    assert_ok(life_apply_script(&life, SCRIPT_EDITS - 1));
    assert_disk_after(SCRIPT_EDITS, SCRIPT_EDITS);
}

// An open that fails leaves the database as it was.
Test(manifest_fault, an_open_that_fails_can_be_tried_again)
{
    static const struct {
        unsigned ops;
        const char *name_part;
    } calls[] = {
        {SIM_OP_OPEN, "CURRENT"}, {SIM_OP_OPEN, "MANIFEST"}, {SIM_OP_READ, NULL},
        {SIM_OP_WRITE, NULL},     {SIM_OP_SYNC, NULL},       {SIM_OP_LIST, NULL},
        {SIM_OP_RENAME, NULL},    {SIM_OP_DIR_SYNC, NULL},
    };

    life_close(&life);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        lsm_status status = LSM_IO;

        for (uint64_t at = 1; status != LSM_OK; at++) {
            uint64_t hits;

            fail_with(calls[i].ops, calls[i].name_part, at, false, LSM_IO);
            status = life_open(&life, sim);
            hits = sim_fault_hits(sim);
            life_close(&life);
            sim_set_fault(sim, NULL);
            assert_disk_after(3, 3);
            assert_status(status, hits == 0 ? LSM_OK : LSM_IO);
        }
    }
    assert_ok(life_open(&life, sim));
}

// test_peer_bugs.c -- crashes that other engines did not survive, each as it happened there.
//
// The number is that of the report in the other project.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "crash_compare.h"
#include "crash_workload.h"

#define PUT(k, bytes) .kind = STEP_PUT, .key = (k), .count = 1, .size = (bytes)
#define BATCH(k, n)   .kind = STEP_BATCH, .key = (k), .count = (n), .size = SMALL

// --- one database in one sim ---

static const struct workload workload = {.name = "peer", .versions_to_keep = 1};

static struct {
    struct sim *sim;
    struct history history;
    struct session s;
} f;

static void setup(void)
{
    cr_assert(eq(int, sim_new(1, &f.sim), LSM_OK));
    f.history = (struct history){.other = IS_ABSENT};
    session_init(&f.s, &workload, f.sim, &f.history);
    cr_assert(eq(int, session_open(&f.s), LSM_OK), "%s", lsm_errmsg());
}

static void teardown(void)
{
    (void)session_close(&f.s);
    sim_free(f.sim);
}

TestSuite(peer_bugs, .init = setup, .fini = teardown);

static void run(const struct step *steps, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cr_assert(eq(int, session_step(&f.s, &steps[i]), LSM_OK), "%s", lsm_errmsg());
}

#define RUN(...)                                                                                   \
    run((const struct step[]){__VA_ARGS__},                                                        \
        sizeof((struct step[]){__VA_ARGS__}) / sizeof(struct step))

// The process is gone, and of what it did not sync this survives.
static void crash(enum sim_survival survival, uint64_t number)
{
    sim_crash_at(f.sim, 1);
    (void)session_close(&f.s);
    sim_restart(f.sim, survival, number);
}

// How many commits are there: a prefix of those started, and all that are durable.
static unsigned prefix(void)
{
    cr_assert(eq(int, session_compare(&f.s), LSM_OK), "%s", lsm_errmsg());
    return f.history.started;
}

// Opens by itself, and tells how many commits are there.
static unsigned reopen(void)
{
    cr_assert(eq(int, session_open(&f.s), LSM_OK), "%s", lsm_errmsg());
    return prefix();
}

static void set_fault(unsigned ops, enum filename_kind kind, size_t short_by)
{
    const struct sim_fault fault = {
        .ops = ops, .kinds = SIM_KIND(kind), .at = 1, .status = LSM_NO_SPACE, .short_by = short_by};

    sim_set_fault(f.sim, &fault);
}

// --- badger ---

// An interrupted process left a database that asked for a truncation before it opened.
Test(peer_bugs, peer_badger_1353)
{
    for (uint64_t bytes = 0; bytes < 2400; bytes += 7) {
        teardown();
        setup();
        RUN({PUT(0, SMALL)}, {PUT(1, SEPARATE), .is_weak = true}, {PUT(2, SMALL), .is_weak = true});
        crash(SIM_BYTES, bytes);
        cr_assert(ge(uint, reopen(), 1));
    }
}

// Each entry had a checksum of its own, so that half a transaction passed for a whole one.
Test(peer_bugs, peer_badger_570)
{
    uint64_t size;

    RUN({PUT(0, SMALL)}, {BATCH(1, 4), .is_weak = true});
    size = sim_pending(f.sim).bytes;
    for (uint64_t bytes = 0; bytes + 8 <= size; bytes++) { // what is behind may be padding
        teardown();
        setup();
        RUN({PUT(0, SMALL)}, {BATCH(1, 4), .is_weak = true});
        crash(SIM_BYTES, bytes);
        cr_assert(eq(uint, reopen(), 1), "%u of %u bytes", (unsigned)bytes, (unsigned)size);
    }
}

// --- rocksdb ---

// A newer log was synced while the older one was not: a hole in the middle of the commits.
Test(peer_bugs, peer_rocksdb_13169)
{
    for (uint64_t seed = 0; seed < 40; seed++) {
        teardown();
        setup();
        for (unsigned i = 0; i < 3; i++)
            RUN({PUT(i, SEGMENT_MAX * 2 / 5), .is_weak = true}); // into a second segment
        RUN({PUT(3, SMALL)});
        crash(seed == 0 ? SIM_NONE : SIM_RANDOM, seed);
        cr_assert(eq(uint, reopen(), 4));
    }
}

// The manifest was appended to behind what a full disk had left of an edit.
Test(peer_bugs, peer_rocksdb_6316)
{
    for (size_t written = 0; written < 400; written += 20) {
        lsm_status status;

        teardown();
        setup();
        RUN({PUT(0, SMALL)});
        set_fault(SIM_OP_WRITE, FILENAME_MANIFEST, written);
        status = lsm_flush(f.s.db);
        cr_assert(status == LSM_OK || status == LSM_NO_SPACE, "%s", lsm_errmsg());
        cr_assert(eq(u64, sim_fault_hits(f.sim), 1));
        sim_set_fault(f.sim, NULL);
        sim_advance(f.sim, 20000000000);
        RUN({PUT(1, SMALL)}, {.kind = STEP_FLUSH}, {PUT(2, SMALL)}, {.kind = STEP_FLUSH});
        crash(written % 40 == 0 ? SIM_NONE : SIM_ALL, 0);
        cr_assert(eq(uint, reopen(), 3));
    }
}

// --- leveldb ---

// CURRENT named a manifest whose name or bytes were lost, and its predecessor was gone.
Test(peer_bugs, peer_leveldb_195)
{
    RUN({PUT(0, SMALL)}, {.kind = STEP_FLUSH}, {PUT(1, SMALL)});
    for (uint64_t call = 1, has_crashed = true; has_crashed; call++) {
        struct sim *original = f.sim;
        lsm_status status;

        cr_assert(eq(int, session_close(&f.s), LSM_OK));
        cr_assert(eq(int, sim_clone(original, &f.sim), LSM_OK));
        session_init(&f.s, &workload, f.sim, &f.history);
        sim_crash_at(f.sim, call); // the switch of opening and that of closing are among them
        status = session_open(&f.s);
        if (status == LSM_OK)
            status = session_close(&f.s);
        has_crashed = sim_has_crashed(f.sim);
        cr_assert(has_crashed || status == LSM_OK, "%s", lsm_errmsg());
        (void)session_close(&f.s);
        sim_restart(f.sim, SIM_NONE, 0);
        cr_assert(eq(uint, reopen(), 2));
        (void)session_close(&f.s);
        sim_free(f.sim);
        f.sim = original;
        session_init(&f.s, &workload, f.sim, &f.history);
        cr_assert(eq(int, session_open(&f.s), LSM_OK), "%s", lsm_errmsg());
    }
}

// A log with a torn tail was appended to, and what came behind the tail was never read again.
Test(peer_bugs, peer_leveldb_1287)
{
    for (uint64_t bytes = 1; bytes < 200; bytes += 3) {
        teardown();
        setup();
        RUN({PUT(0, SMALL)}, {PUT(1, SMALL), .is_weak = true});
        crash(SIM_BYTES, bytes);
        (void)reopen();
        RUN({PUT(2, SMALL)}, {PUT(3, SMALL)});
        crash(SIM_NONE, 0);
        cr_assert(eq(uint, reopen(), f.history.durable));
    }
}

static lsm_status count_names(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    (void)name;
    (void)size;
    (void)is_regular;
    ++*(unsigned *)ctx;
    return LSM_OK;
}

// A read that failed was taken for the end of the log: the commits behind it were dropped. It
// is an error, nothing is changed by it, and without it all is there.
Test(peer_bugs, peer_leveldb_1285)
{
    RUN({PUT(0, SMALL)}, {PUT(1, SEPARATE)}, {PUT(2, SMALL)});
    crash(SIM_NONE, 0);
    for (uint64_t at = 1;; at++) {
        const struct sim_fault fault = {
            .ops = SIM_OP_READ, .kinds = SIM_KIND(FILENAME_SEGMENT), .at = at, .status = LSM_IO};
        const uint64_t hash = sim_hash(f.sim);
        lsm_status status;

        sim_set_fault(f.sim, &fault);
        status = lsm_open(CRASH_DIR, &f.s.options, &f.s.db);
        if (sim_fault_hits(f.sim) == 0) {
            cr_assert(eq(int, status, LSM_OK), "%s", lsm_errmsg());
            sim_set_fault(f.sim, NULL);
            cr_assert(eq(uint, prefix(), 3));
            cr_assert(gt(u64, at, 3));
            return;
        }
        cr_assert(eq(int, status, LSM_IO), "%s", lsm_errmsg());
        cr_assert(eq(u64, sim_hash(f.sim), hash), "a failed open has changed the disk");
    }
}

// --- tidesdb ---

// Opening after a kill cut the log that a crash had left, before anything else held its
// content. Here the power goes at every call of the opening, again and again.
Test(peer_bugs, peer_tidesdb_613)
{
    struct dir *dir;
    unsigned names = 0;

    RUN({PUT(0, SMALL)}, {BATCH(1, 4)}, {PUT(5, SMALL)});
    crash(SIM_ALL, 0);
    for (uint64_t call = 1, has_crashed = true; has_crashed; call++) {
        lsm_status status;

        sim_crash_at(f.sim, call);
        status = lsm_open(CRASH_DIR, &f.s.options, &f.s.db);
        has_crashed = sim_has_crashed(f.sim);
        cr_assert(status == LSM_OK || (has_crashed && status == LSM_IO), "%s", lsm_errmsg());
        (void)lsm_close(f.s.db);
        f.s.db = NULL;
        sim_restart(f.sim, call % 2 == 0 ? SIM_NONE : SIM_ALL, 0);
    }
    cr_assert(eq(uint, reopen(), 3));
    cr_assert(eq(int, dir_open(sim_env(f.sim), CRASH_DIR, false, &dir), LSM_OK));
    cr_assert(eq(int, dir_list(dir, count_names, &names), LSM_OK));
    dir_close(dir);
    cr_assert(lt(uint, names, 12), "%u files are left by the attempts", names);
}

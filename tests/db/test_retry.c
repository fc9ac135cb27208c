// test_retry.c -- a transaction that lost a race is run again, with a pause, up to a bound.

#include "db/retry.h"

#include "support/db_fixture.h"

static struct db_fixture f;
static unsigned runs;
static unsigned races;          // still to be lost
static _Atomic unsigned pauses; // numbers asked for, one each

static lsm_status count_pause(struct env *env, void *to, size_t size)
{
    (void)env;
    pauses++;
    memset(to, 0, size); // the shortest of all
    return LSM_OK;
}

static void start(bool is_manual)
{
    static struct env_ops ops;

    db_fixture_prepare(&f, 1);
    f.options.is_manual = is_manual;
    db_fixture_open(&f);
    ops = *f.db->env->ops;
    ops.random_bytes = count_pause;
    f.db->env->ops = &ops;
    runs = 0;
    races = 0;
    pauses = 0;
}

// Reads what another commit changes before this one can.
static lsm_status lose(lsm_txn *txn, void *ctx)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_status status = lsm_txn_get(txn, NULL, lsm_str("a"), &value);

    runs++;
    if (status != LSM_OK && status != LSM_NOT_FOUND)
        return status;
    if (races > 0) {
        races--;
        put_text(&f, "a", "other");
    }
    return lsm_txn_put(txn, NULL, lsm_str("a"), lsm_str(ctx));
}

static lsm_status refuse(lsm_txn *txn, void *ctx)
{
    (void)ctx;
    runs++;
    return lsm_txn_put_if_absent(txn, NULL, lsm_str("a"), lsm_str("mine"));
}

static void end(void)
{
    db_fixture_end(&f);
}

Test(retry, a_lost_race_is_run_again_after_a_pause)
{
    struct retry retry = {.run = lose, .ctx = "mine", .tries_max = 100};
    bool is_exhausted;

    start(false);
    races = 9;
    assert_ok(retry_run(f.db, &retry, &is_exhausted));
    cr_assert(not(is_exhausted));
    cr_assert(eq(uint, runs, 10));
    cr_assert(eq(uint, atomic_load(&pauses), 9));
    assert_holds(&f, NULL, "a", "mine");
    end();
}

Test(retry, after_the_last_try_the_conflict_is_told)
{
    struct retry retry = {.run = lose, .ctx = "mine", .tries_max = 50};
    bool is_exhausted;

    start(false);
    races = 1000;
    assert_status(retry_run(f.db, &retry, &is_exhausted), LSM_CONFLICT);
    cr_assert(is_exhausted);
    cr_assert(eq(uint, runs, 50));
    cr_assert(eq(uint, atomic_load(&pauses), 49));
    assert_holds(&f, NULL, "a", "other");
    end();
}

Test(retry, what_refuses_by_itself_is_run_once)
{
    struct retry retry = {.run = refuse, .tries_max = 100};
    bool is_exhausted;

    start(false);
    put_text(&f, "a", "there");
    assert_status(retry_run(f.db, &retry, &is_exhausted), LSM_CONFLICT);
    cr_assert(not(is_exhausted));
    cr_assert(eq(uint, runs, 1));
    cr_assert(eq(uint, atomic_load(&pauses), 0));
    assert_status(lsm_put_if_absent(f.db, NULL, lsm_str("a"), lsm_str("b"), NULL), LSM_CONFLICT);
    cr_assert(eq(uint, atomic_load(&pauses), 0));
    end();
}

// Is refused one key, does without it, and then loses as lose() does.
static lsm_status go_on_and_lose(lsm_txn *txn, void *ctx)
{
    if (lsm_txn_put_if_absent(txn, NULL, lsm_str("taken"), lsm_str("mine")) != LSM_CONFLICT)
        return lsm_txn_put(txn, NULL, lsm_str("a"), lsm_str("was not refused"));
    return lose(txn, ctx);
}

Test(retry, a_race_lost_after_a_refusal_that_was_gone_on_from_is_run_again)
{
    struct retry retry = {.run = go_on_and_lose, .ctx = "mine", .tries_max = 100};
    bool is_exhausted;

    start(false);
    put_text(&f, "taken", "there");
    races = 1;
    assert_ok(retry_run(f.db, &retry, &is_exhausted));
    cr_assert(eq(uint, runs, 2));
    cr_assert(eq(uint, atomic_load(&pauses), 1));
    assert_holds(&f, NULL, "a", "mine");
    assert_holds(&f, NULL, "taken", "there");
    end();
}

// --- one-shot writes with a condition run in the same loop ---

enum { COUNTERS = 8, ADDITIONS = 200 };

static void *add(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ADDITIONS; i++)
        assert_ok(lsm_add_i64(f.db, NULL, lsm_str("counter"), 1, NULL, NULL));
    return NULL;
}

Test(retry, a_counter_pauses_for_each_race_that_it_loses)
{
    pthread_t threads[COUNTERS];
    uint64_t conflicts;
    int64_t sum;

    start(false);
    for (unsigned i = 0; i < COUNTERS; i++)
        cr_assert(pthread_create(&threads[i], NULL, add, NULL) == 0);
    for (unsigned i = 0; i < COUNTERS; i++)
        cr_assert(pthread_join(threads[i], NULL) == 0);
    assert_ok(lsm_add_i64(f.db, NULL, lsm_str("counter"), 0, &sum, NULL));
    cr_assert(eq(i64, sum, COUNTERS * ADDITIONS));
    assert_ok(lsm_stat(f.db, "conflicts", &conflicts));
    cr_assert(le(u64, conflicts, atomic_load(&pauses)));
    end();
}

// test_sync.c -- mutexes with ranks, conditions, threads.

#include "env/sync.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

#define MS UINT64_C(1000000)

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

Test(sync, mutexes_are_taken_in_increasing_rank_and_released_in_any_order)
{
    struct mutex outer, middle, inner;

    mutex_init(&outer, LOCK_DB);
    mutex_init(&middle, LOCK_WRITER);
    mutex_init(&inner, LOCK_LEAF);
    mutex_lock(&outer);
    mutex_lock(&middle);
    mutex_assert_held(&outer);
    mutex_unlock(&outer);
    mutex_lock(&inner);
    mutex_unlock(&middle);
    mutex_assert_held(&inner);
    mutex_unlock(&inner);
    mutex_lock(&outer);
    mutex_unlock(&outer);
    mutex_release(&outer);
    mutex_release(&middle);
    mutex_release(&inner);
}

#ifndef NDEBUG
static struct mutex high, low, same;

static void init_ranks(void)
{
    mutex_init(&low, LOCK_DB);
    mutex_init(&high, LOCK_CACHE);
    mutex_init(&same, LOCK_CACHE);
}

Test(sync, a_lower_rank_inside_a_higher_one_is_caught, .init = init_ranks, .signal = SIGABRT)
{
    mutex_lock(&high);
    mutex_lock(&low);
}

Test(sync, equal_ranks_do_not_nest, .init = init_ranks, .signal = SIGABRT)
{
    mutex_lock(&high);
    mutex_lock(&same);
}

Test(sync, trying_obeys_the_ranks_too, .init = init_ranks, .signal = SIGABRT)
{
    mutex_lock(&high);
    (void)mutex_try_lock(&low);
}

Test(sync, an_order_broken_behind_a_released_mutex_is_caught, .init = init_ranks, .signal = SIGABRT)
{
    mutex_lock(&low);
    mutex_lock(&high);
    mutex_unlock(&low);
    mutex_lock(&low);
}

Test(sync, who_does_not_hold_a_mutex_is_caught, .init = init_ranks, .signal = SIGABRT)
{
    mutex_lock(&low);
    mutex_assert_held(&high);
}

Test(sync, only_the_holder_unlocks, .init = init_ranks, .signal = SIGABRT)
{
    mutex_unlock(&low);
}
#endif

struct shared {
    struct mutex mu;
    struct cond cond;
    bool is_ready;
    bool could_lock;
    bool signals_are_blocked;
    char name[16];
};

static void answer(void *ctx)
{
    struct shared *shared = ctx;
    sigset_t blocked;

    pthread_getname_np(pthread_self(), shared->name, sizeof shared->name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    shared->signals_are_blocked = sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGTERM);
    shared->could_lock = mutex_try_lock(&shared->mu);
    if (!shared->could_lock)
        mutex_lock(&shared->mu);
    shared->is_ready = true;
    cond_signal(&shared->cond);
    mutex_unlock(&shared->mu);
}

Test(sync, a_thread_signals_a_condition, .timeout = 600)
{
    struct shared shared = {0};
    struct thread thread;
    sigset_t blocked;

    mutex_init(&shared.mu, LOCK_LEAF);
    cond_init(&shared.cond);
    mutex_lock(&shared.mu);
    assert_ok(thread_start(&thread, "a name that is too long", answer, &shared));
    while (!shared.is_ready)
        cond_wait(&shared.cond, &shared.mu);
    mutex_unlock(&shared.mu);
    thread_join(&thread);
    cr_assert(eq(str, shared.name, "a name that is "));
    cr_assert(shared.signals_are_blocked);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    cr_assert(not(sigismember(&blocked, SIGTERM)), "the starting thread's mask is as before");
    cond_release(&shared.cond);
    mutex_release(&shared.mu);
}

static void try(void *ctx)
{
    struct shared *shared = ctx;

    shared->could_lock = mutex_try_lock(&shared->mu);
    if (shared->could_lock)
        mutex_unlock(&shared->mu);
}

Test(sync, trying_tells_whether_the_mutex_is_free)
{
    struct shared shared = {.could_lock = true};
    struct thread thread;

    mutex_init(&shared.mu, LOCK_LEAF);
    mutex_lock(&shared.mu);
    assert_ok(thread_start(&thread, "try", try, &shared));
    thread_join(&thread);
    cr_assert(not(shared.could_lock));
    mutex_unlock(&shared.mu);
    assert_ok(thread_start(&thread, "try", try, &shared));
    thread_join(&thread);
    cr_assert(shared.could_lock);
    mutex_release(&shared.mu);
}

Test(sync, a_wait_ends_at_its_deadline, .timeout = 600)
{
    struct mutex mu;
    struct cond cond;
    uint64_t start = now_ns();

    mutex_init(&mu, LOCK_LEAF);
    cond_init(&cond);
    mutex_lock(&mu);
    while (cond_wait_until(&cond, &mu, start + 10 * MS))
        continue; // woken for no reason
    cr_assert(ge(u64, now_ns(), start + 10 * MS));
    while (cond_wait_for(&cond, &mu, 10 * MS))
        continue;
    cr_assert(ge(u64, now_ns(), start + 20 * MS));
    cr_assert(not(cond_wait_until(&cond, &mu, 0)));
    mutex_unlock(&mu);
    cond_release(&cond);
    mutex_release(&mu);
}

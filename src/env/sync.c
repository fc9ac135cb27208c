#include "env/sync.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000ULL

// The mutexes the thread holds, in the order taken. Ranks increase strictly, so
// there are never more of them than ranks.
#ifndef NDEBUG
static _Thread_local const struct mutex *held[LOCK_LEAF + 1];
static _Thread_local unsigned held_count;

static void check_order(const struct mutex *mu)
{
    // Released in any order, so the newest need not be the highest.
    for (unsigned i = 0; i < held_count; i++)
        assert(held[i]->rank < mu->rank && "mutexes are taken in increasing rank");
}

static void note_locked(const struct mutex *mu)
{
    held[held_count++] = mu;
}

static void note_unlocked(const struct mutex *mu)
{
    unsigned i = held_count;

    while (i > 0 && held[i - 1] != mu)
        i--;
    assert(i > 0 && "only the holder unlocks a mutex");
    held_count--;
    for (i--; i < held_count; i++)
        held[i] = held[i + 1];
}

static bool is_held(const struct mutex *mu)
{
    for (unsigned i = 0; i < held_count; i++) {
        if (held[i] == mu)
            return true;
    }
    return false;
}
#else
static void check_order(const struct mutex *mu)
{
    (void)mu;
}

static void note_locked(const struct mutex *mu)
{
    (void)mu;
}

static void note_unlocked(const struct mutex *mu)
{
    (void)mu;
}
#endif

// What pthreads answers to a correct call is ours to assert: the calls below
// fail only when they are misused.
static void must(int error)
{
    assert(error == 0);
    (void)error;
}

void mutex_init(struct mutex *mu, enum lock_rank rank)
{
    must(pthread_mutex_init(&mu->native, NULL));
    mu->rank = rank;
}

void mutex_release(struct mutex *mu)
{
    must(pthread_mutex_destroy(&mu->native));
}

void mutex_lock(struct mutex *mu)
{
    check_order(mu);
    must(pthread_mutex_lock(&mu->native));
    note_locked(mu);
}

bool mutex_try_lock(struct mutex *mu)
{
    int error;

    check_order(mu);
    error = pthread_mutex_trylock(&mu->native);
    if (error == EBUSY)
        return false;
    must(error);
    note_locked(mu);
    return true;
}

void mutex_unlock(struct mutex *mu)
{
    note_unlocked(mu);
    must(pthread_mutex_unlock(&mu->native));
}

void mutex_assert_held(const struct mutex *mu)
{
    assert(is_held(mu));
    (void)mu;
}

void cond_init(struct cond *cond)
{
    pthread_condattr_t attributes;

    must(pthread_condattr_init(&attributes));
    must(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC));
    must(pthread_cond_init(&cond->native, &attributes));
    must(pthread_condattr_destroy(&attributes));
}

void cond_release(struct cond *cond)
{
    must(pthread_cond_destroy(&cond->native));
}

// A waiting thread keeps `mu` on its list of held mutexes: it takes no other one
// before it has it back.
void cond_wait(struct cond *cond, struct mutex *mu)
{
    mutex_assert_held(mu);
    must(pthread_cond_wait(&cond->native, &mu->native));
}

bool cond_wait_until(struct cond *cond, struct mutex *mu, uint64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                                .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    int error;

    mutex_assert_held(mu);
    error = pthread_cond_timedwait(&cond->native, &mu->native, &deadline);
    if (error == ETIMEDOUT)
        return false;
    must(error);
    return true;
}

bool cond_wait_for(struct cond *cond, struct mutex *mu, uint64_t timeout_ns)
{
    struct timespec now;
    uint64_t now_ns;

    must(clock_gettime(CLOCK_MONOTONIC, &now));
    now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    return cond_wait_until(cond, mu,
                           timeout_ns < UINT64_MAX - now_ns ? now_ns + timeout_ns : UINT64_MAX);
}

void cond_signal(struct cond *cond)
{
    must(pthread_cond_signal(&cond->native));
}

void cond_broadcast(struct cond *cond)
{
    must(pthread_cond_broadcast(&cond->native));
}

static void *thread_main(void *argument)
{
    struct thread *thread = argument;

    (void)pthread_setname_np(pthread_self(), thread->name); // for debuggers only
    thread->run(thread->ctx);
    return NULL;
}

lsm_status thread_start(struct thread *thread, const char *name, void (*run)(void *ctx), void *ctx)
{
    sigset_t all;
    sigset_t before;
    int error;

    thread->run = run;
    thread->ctx = ctx;
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);
    // The new thread inherits the mask: a signal of the application is never
    // delivered to a thread of the library.
    sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before));
    error = pthread_create(&thread->native, NULL, thread_main, thread);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL));
    if (error != 0)
        return lsm_fail(LSM_BUSY, "thread %s: %s", thread->name, strerrordesc_np(error));
    return LSM_OK;
}

void thread_join(struct thread *thread)
{
    must(pthread_join(thread->native, NULL));
}

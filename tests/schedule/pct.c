#include "schedule/pct.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <unistd.h>

#include "base/schedule.h"
#include "env/sync.h"
#include "support/random.h"

#define THREADS_MAX 64
#define CHANGES_MAX 16

enum state { FREE, READY, AT_MUTEX, AT_COND, AT_JOIN, ENDED };

struct actor {
    enum state state;
    uint64_t priority;     // unique
    const void *waits_for; // the mutex, condition or thread
    uint64_t deadline_ns;  // of a wait on a condition; UINT64_MAX: none
    bool has_timed_out;    // how the last one ended
    struct thread *thread; // NULL for the first
    pthread_cond_t its_turn;
};

// What stands in a struct mutex instead of the native one.
struct turn_mutex {
    const struct actor *owner;
};

_Static_assert(sizeof(struct turn_mutex) <= sizeof(pthread_mutex_t), "it stands in its place");

// All guarded by `mu`, which a thread holds whenever it is not running the program.
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct pct_options options;
static bool is_on;
static bool keeps_turn;
static struct random dice;
static struct actor actors[THREADS_MAX];
static struct actor *running;
static uint64_t step_count;
static uint64_t lowest; // priority given last to one that fell behind
static uint64_t change_at[CHANGES_MAX];

static _Atomic uint64_t now_ns = 1; // changed with `mu` held

static _Thread_local struct actor *self;

// --- choosing ---

static struct actor *highest_ready(void)
{
    struct actor *best = NULL;

    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (actors[i].state == READY && (best == NULL || actors[i].priority > best->priority))
            best = &actors[i];
    }
    return best;
}

static struct actor *earliest_deadline(void)
{
    struct actor *earliest = NULL;

    for (size_t i = 0; i < THREADS_MAX; i++) {
        struct actor *a = &actors[i];

        if (a->state == AT_COND && a->deadline_ns != UINT64_MAX &&
            (earliest == NULL || a->deadline_ns < earliest->deadline_ns))
            earliest = a;
    }
    return earliest;
}

static void pass_deadline(struct actor *a)
{
    if (a->deadline_ns > now_ns)
        now_ns = a->deadline_ns;
    a->has_timed_out = true;
    a->state = READY;
}

static _Noreturn void report_stuck(void)
{
    static const char *const names[] = {
        "free", "ready", "waits for a mutex", "waits for a condition", "joins", "ended"};

    fprintf(stderr, "pct: no thread can run, seed %" PRIu64 " step %" PRIu64 "\n", options.seed,
            step_count);
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (actors[i].state != FREE)
            fprintf(stderr, "    %s: %s %p\n",
                    actors[i].thread == NULL ? "main" : actors[i].thread->name,
                    names[actors[i].state], actors[i].waits_for);
    }
    abort();
}

static struct actor *choose(void)
{
    struct actor *next = highest_ready();

    if (next != NULL)
        return next;
    next = earliest_deadline();
    if (next == NULL)
        report_stuck();
    pass_deadline(next);
    return next;
}

// --- taking turns, with `mu` held ---

static void fall_behind(struct actor *a)
{
    a->priority = --lowest;
}

// Gives the turn to whoever is next, and waits until it is this thread's again.
static void take_turns(void)
{
    running = choose();
    if (running != self)
        pthread_cond_signal(&running->its_turn);
    while (running != self)
        pthread_cond_wait(&self->its_turn, &mu);
}

static void step(bool gives_way)
{
    if (keeps_turn)
        return;
    step_count++;
    for (unsigned i = 0; i < options.changes; i++) {
        if (change_at[i] == step_count)
            fall_behind(self);
    }
    if (gives_way || (options.wander != 0 && random_one_in(&dice, options.wander)))
        fall_behind(self);
    if (options.early_deadline != 0 && random_one_in(&dice, options.early_deadline)) {
        struct actor *late = earliest_deadline();

        if (late != NULL)
            pass_deadline(late);
    }
    take_turns();
}

#ifdef LSM_SCHEDULE
static void point(bool gives_way)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&mu);
    step(gives_way);
    pthread_mutex_unlock(&mu);
}
#endif

static void hook_points(bool are_hooked)
{
#ifdef LSM_SCHEDULE
    schedule_hook = are_hooked ? point : NULL;
#else
    (void)are_hooked;
#endif
}

static void block(enum state state, const void *waits_for)
{
    self->state = state;
    self->waits_for = waits_for;
    take_turns();
    self->waits_for = NULL;
}

static void wake_all(enum state state, const void *waits_for)
{
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (actors[i].state == state && actors[i].waits_for == waits_for)
            actors[i].state = READY;
    }
}

static struct actor *actor_new(struct thread *thread)
{
    struct actor *a = actors;

    while (a->state != FREE)
        a++;
    assert(a < actors + THREADS_MAX);
    *a = (struct actor){.state = READY, .thread = thread};
    // Above all that have fallen behind.
    a->priority = UINT64_C(1) << 32 | (uint32_t)random_next(&dice);
    pthread_cond_init(&a->its_turn, NULL);
    return a;
}

// --- beginning and ending ---

void pct_begin(const struct pct_options *with)
{
    pthread_mutex_lock(&mu);
    assert(!is_on && with->changes <= CHANGES_MAX);
    options = *with;
    dice.state = options.seed;
    step_count = 0;
    lowest = UINT64_C(1) << 32;
    for (unsigned i = 0; i < options.changes; i++)
        change_at[i] = 1 + random_below(&dice, options.steps);
    self = actor_new(NULL);
    running = self;
    is_on = true;
    hook_points(true);
    pthread_mutex_unlock(&mu);
}

uint64_t pct_end(void)
{
    pthread_mutex_lock(&mu);
    hook_points(false);
    is_on = false;
    self->state = FREE;
    self = NULL;
    for (size_t i = 0; i < THREADS_MAX; i++)
        assert(actors[i].state == FREE);
    pthread_mutex_unlock(&mu);
    return step_count;
}

void pct_keep_turn(bool is_kept)
{
    keeps_turn = is_kept;
}

void pct_fix_addresses(char **argv)
{
    const int now = personality(0xffffffff);

    if (now == -1 || (now & ADDR_NO_RANDOMIZE) != 0)
        return;
    if (personality((unsigned long)now | ADDR_NO_RANDOMIZE) != -1)
        (void)execv("/proc/self/exe", argv);
}

uint64_t pct_now_ns(void)
{
    return now_ns;
}

// --- mutexes ---

static struct turn_mutex *turn_mutex(struct mutex *m)
{
    return (struct turn_mutex *)(void *)&m->native;
}

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    memset(&m->native, 0, sizeof m->native);
    m->rank = rank;
}

void mutex_release(struct mutex *m)
{
    assert(turn_mutex(m)->owner == NULL);
    (void)m;
}

// With `mu` held.
static void acquire(struct mutex *m)
{
    while (turn_mutex(m)->owner != NULL) {
        assert(turn_mutex(m)->owner != self);
        block(AT_MUTEX, m);
    }
    turn_mutex(m)->owner = self;
}

static void release(struct mutex *m)
{
    assert(turn_mutex(m)->owner == self);
    turn_mutex(m)->owner = NULL;
    wake_all(AT_MUTEX, m);
}

// Outside pct_begin() and pct_end() there is one thread, which needs no mutex.
void mutex_lock(struct mutex *m)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&mu);
    step(false);
    acquire(m);
    pthread_mutex_unlock(&mu);
}

bool mutex_try_lock(struct mutex *m)
{
    bool is_free = true;

    if (self == NULL)
        return true;
    pthread_mutex_lock(&mu);
    step(false);
    is_free = turn_mutex(m)->owner == NULL;
    if (is_free)
        acquire(m);
    pthread_mutex_unlock(&mu);
    return is_free;
}

void mutex_unlock(struct mutex *m)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&mu);
    release(m);
    step(false);
    pthread_mutex_unlock(&mu);
}

void mutex_assert_held(const struct mutex *m)
{
    assert(self == NULL || turn_mutex((struct mutex *)m)->owner == self);
    (void)m;
}

// --- conditions ---

void cond_init(struct cond *cond)
{
    memset(&cond->native, 0, sizeof cond->native);
}

void cond_release(struct cond *cond)
{
    (void)cond;
}

bool cond_wait_until(struct cond *cond, struct mutex *m, uint64_t deadline_ns)
{
    bool is_in_time;

    assert(self != NULL && "nobody else could end the wait");
    pthread_mutex_lock(&mu);
    release(m);
    self->deadline_ns = deadline_ns;
    self->has_timed_out = false;
    block(AT_COND, cond);
    is_in_time = !self->has_timed_out;
    acquire(m);
    pthread_mutex_unlock(&mu);
    return is_in_time;
}

void cond_wait(struct cond *cond, struct mutex *m)
{
    (void)cond_wait_until(cond, m, UINT64_MAX);
}

bool cond_wait_for(struct cond *cond, struct mutex *m, uint64_t timeout_ns)
{
    const uint64_t start_ns = now_ns;

    return cond_wait_until(cond, m,
                           timeout_ns < UINT64_MAX - start_ns ? start_ns + timeout_ns : UINT64_MAX);
}

// Wakes one of those that wait, any.
void cond_signal(struct cond *cond)
{
    struct actor *chosen = NULL;
    uint64_t seen = 0;

    if (self == NULL)
        return;
    pthread_mutex_lock(&mu);
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (actors[i].state == AT_COND && actors[i].waits_for == cond &&
            random_one_in(&dice, ++seen))
            chosen = &actors[i];
    }
    if (chosen != NULL)
        chosen->state = READY;
    step(false);
    pthread_mutex_unlock(&mu);
}

void cond_broadcast(struct cond *cond)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&mu);
    wake_all(AT_COND, cond);
    step(false);
    pthread_mutex_unlock(&mu);
}

// --- threads ---

static void *thread_main(void *arg)
{
    struct actor *own = arg;

    pthread_mutex_lock(&mu);
    self = own;
    while (running != self)
        pthread_cond_wait(&self->its_turn, &mu);
    pthread_mutex_unlock(&mu);
    own->thread->run(own->thread->ctx);
    pthread_mutex_lock(&mu);
    own->state = ENDED;
    wake_all(AT_JOIN, own->thread);
    running = choose();
    pthread_cond_signal(&running->its_turn);
    pthread_mutex_unlock(&mu);
    return NULL;
}

lsm_status thread_start(struct thread *thread, const char *name, void (*run)(void *ctx), void *ctx)
{
    struct actor *actor;
    int error;

    assert(self != NULL && "threads are started between pct_begin() and pct_end()");
    thread->run = run;
    thread->ctx = ctx;
    (void)snprintf(thread->name, sizeof thread->name, "%s", name);
    pthread_mutex_lock(&mu);
    actor = actor_new(thread);
    error = pthread_create(&thread->native, NULL, thread_main, actor);
    if (error != 0)
        actor->state = FREE;
    else
        step(false);
    pthread_mutex_unlock(&mu);
    return error == 0 ? LSM_OK : lsm_fail(LSM_BUSY, "thread %s: error %d", name, error);
}

static struct actor *actor_of(const struct thread *thread)
{
    for (size_t i = 0; i < THREADS_MAX; i++) {
        if (actors[i].state != FREE && actors[i].thread == thread)
            return &actors[i];
    }
    return NULL;
}

void thread_join(struct thread *thread)
{
    struct actor *actor;

    pthread_mutex_lock(&mu);
    actor = actor_of(thread);
    assert(actor != NULL);
    while (actor->state != ENDED)
        block(AT_JOIN, thread);
    pthread_mutex_unlock(&mu);
    pthread_join(thread->native, NULL); // it has nothing left to do
    pthread_mutex_lock(&mu);
    pthread_cond_destroy(&actor->its_turn);
    actor->state = FREE;
    pthread_mutex_unlock(&mu);
}

// test_epoch.c -- what a section holds up, and what it does not.
//
// tests/stress/base_epoch.c runs readers against writers.

#include "base/epoch.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdatomic.h>

struct object {
    struct epoch_node node; // first, so that a node is its object
    int number;
};

static struct epoch_bin bin;
static int released[64]; // numbers, in order of release
static size_t released_count;

static void fixture_open(void)
{
    epoch_bin_init(&bin);
}

static void fixture_close(void)
{
    epoch_drain(&bin);
    epoch_bin_release(&bin);
}

TestSuite(epoch, .init = fixture_open, .fini = fixture_close);

static void object_release(struct epoch_node *node)
{
    struct object *object = (struct object *)node;

    released[released_count++] = object->number;
    free(object);
}

static void retire(int number)
{
    struct object *object = malloc(sizeof *object);

    object->number = number;
    epoch_retire(&bin, &object->node, object_release);
}

Test(epoch, without_sections_everything_is_released_in_order)
{
    for (int i = 0; i < 10; i++)
        retire(i);
    cr_assert(eq(sz, released_count, 0), "only collecting releases");
    cr_assert(eq(sz, epoch_collect(&bin), 0));
    cr_assert(eq(sz, released_count, 10));
    for (int i = 0; i < 10; i++)
        cr_assert(eq(int, released[i], i));
}

Test(epoch, an_open_section_holds_what_is_retired_after_it)
{
    epoch_enter();
    retire(1);
    retire(2);
    cr_assert(eq(sz, epoch_collect(&bin), 2));
    cr_assert(eq(sz, released_count, 0));
    epoch_exit();
    cr_assert(eq(sz, epoch_collect(&bin), 0));
    cr_assert(eq(sz, released_count, 2));
}

Test(epoch, a_section_does_not_hold_what_was_retired_before_it)
{
    retire(1);
    epoch_enter();
    retire(2);
    cr_assert(eq(sz, epoch_collect(&bin), 1));
    cr_assert(eq(sz, released_count, 1));
    cr_assert(eq(int, released[0], 1));
    epoch_exit();
}

Test(epoch, nested_sections_hold_until_the_outermost_is_left)
{
    epoch_enter();
    retire(1);
    epoch_enter();
    retire(2);
    epoch_exit();
    cr_assert(eq(sz, epoch_collect(&bin), 2));
    epoch_exit();
    cr_assert(eq(sz, epoch_collect(&bin), 0));
}

Test(epoch, a_section_may_end_with_its_scope)
{
    {
        EPOCH_SECTION();
        retire(1);
        cr_assert(eq(sz, epoch_collect(&bin), 1));
    }
    cr_assert(eq(sz, epoch_collect(&bin), 0));
}

static void release_and_retire(struct epoch_node *node)
{
    retire(((struct object *)node)->number + 1);
    object_release(node);
}

Test(epoch, draining_releases_what_releases_retire)
{
    struct object *object = malloc(sizeof *object);

    object->number = 7;
    epoch_retire(&bin, &object->node, release_and_retire);
    epoch_drain(&bin);
    cr_assert(eq(sz, released_count, 2));
    cr_assert(eq(int, released[0], 7));
    cr_assert(eq(int, released[1], 8));
}

Test(epoch, bins_do_not_mix)
{
    struct epoch_bin other;

    epoch_bin_init(&other);
    retire(1);
    cr_assert(eq(sz, epoch_collect(&other), 0));
    cr_assert(eq(sz, released_count, 0));
    cr_assert(eq(sz, epoch_collect(&bin), 0));
    cr_assert(eq(sz, released_count, 1));
    epoch_bin_release(&other);
}

// A thread that opens a section and keeps it until it is told.
struct holder {
    pthread_t thread;
    pthread_barrier_t opened;
    pthread_barrier_t leave;
};

static void *hold(void *arg)
{
    struct holder *holder = arg;

    epoch_enter();
    pthread_barrier_wait(&holder->opened);
    pthread_barrier_wait(&holder->leave);
    epoch_exit();
    return NULL;
}

static void holder_open(struct holder *holder)
{
    pthread_barrier_init(&holder->opened, NULL, 2);
    pthread_barrier_init(&holder->leave, NULL, 2);
    cr_assert(pthread_create(&holder->thread, NULL, hold, holder) == 0);
    pthread_barrier_wait(&holder->opened);
}

static void holder_close(struct holder *holder)
{
    pthread_barrier_wait(&holder->leave);
    cr_assert(pthread_join(holder->thread, NULL) == 0);
    pthread_barrier_destroy(&holder->opened);
    pthread_barrier_destroy(&holder->leave);
}

Test(epoch, the_oldest_section_of_any_thread_decides)
{
    struct holder older;
    struct holder newer;

    retire(0);
    holder_open(&older);
    retire(1);
    holder_open(&newer);
    retire(2);
    cr_assert(eq(sz, epoch_collect(&bin), 2));
    cr_assert(eq(sz, released_count, 1));
    holder_close(&older);
    cr_assert(eq(sz, epoch_collect(&bin), 1));
    cr_assert(eq(sz, released_count, 2));
    holder_close(&newer);
    cr_assert(eq(sz, epoch_collect(&bin), 0));
}

static void *collect_elsewhere(void *left)
{
    *(size_t *)left = epoch_collect(&bin);
    return NULL;
}

Test(epoch, any_thread_may_collect)
{
    pthread_t thread;
    size_t left;

    epoch_enter();
    retire(1);
    cr_assert(pthread_create(&thread, NULL, collect_elsewhere, &left) == 0);
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_assert(eq(sz, left, 1));
    epoch_exit();
    cr_assert(pthread_create(&thread, NULL, collect_elsewhere, &left) == 0);
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_assert(eq(sz, left, 0));
}

static void *visit(void *unused)
{
    epoch_enter();
    epoch_exit();
    return unused;
}

Test(epoch, ended_threads_leave_nothing_behind)
{
    for (int i = 0; i < 50; i++) {
        pthread_t threads[4];

        for (int j = 0; j < 4; j++)
            cr_assert(pthread_create(&threads[j], NULL, visit, NULL) == 0);
        for (int j = 0; j < 4; j++)
            cr_assert(pthread_join(threads[j], NULL) == 0);
        retire(i);
        cr_assert(eq(sz, epoch_collect(&bin), 0));
    }
}

static pthread_key_t late_key;
static atomic_int late_visits;
static atomic_int late_held;

// The destructor of another thread-local thing that still uses the library, in
// every round of destructors that the system grants.
static void visit_late(void *value)
{
    epoch_enter();
    retire(atomic_fetch_add(&late_visits, 1));
    if (epoch_collect(&bin) != 0)
        atomic_fetch_add(&late_held, 1);
    epoch_exit();
    (void)epoch_collect(&bin);
    pthread_setspecific(late_key, value);
}

static void *end_late(void *unused)
{
    epoch_enter();
    epoch_exit();
    pthread_setspecific(late_key, &late_visits);
    return unused;
}

Test(epoch, sections_work_until_the_very_end_of_a_thread)
{
    pthread_t thread;

    cr_assert(pthread_key_create(&late_key, visit_late) == 0);
    for (int i = 0; i < 5; i++) {
        cr_assert(pthread_create(&thread, NULL, end_late, NULL) == 0);
        cr_assert(pthread_join(thread, NULL) == 0);
    }
    cr_assert(gt(int, atomic_load(&late_visits), 5), "more than one round per thread");
    cr_assert(eq(int, atomic_load(&late_held), atomic_load(&late_visits)));
    cr_assert(eq(sz, epoch_collect(&bin), 0), "no ended thread is in the way");
    cr_assert(eq(sz, released_count, (size_t)atomic_load(&late_visits)));
}

Test(epoch, sections_work_when_the_system_has_no_key_left)
{
    pthread_key_t key;
    struct holder holder;

    while (pthread_key_create(&key, NULL) == 0)
        ;
    holder_open(&holder);
    retire(1);
    cr_assert(eq(sz, epoch_collect(&bin), 1));
    holder_close(&holder);
    cr_assert(eq(sz, epoch_collect(&bin), 0));
    epoch_enter();
    retire(2);
    cr_assert(eq(sz, epoch_collect(&bin), 1));
    epoch_exit();
}

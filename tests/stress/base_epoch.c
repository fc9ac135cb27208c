// base_epoch.c -- readers, writers and collectors of shared cells, all at once.
//
// Writers replace the object of a cell and retire the old one; a release poisons
// and frees it. A reader that ever sees a poisoned object, or a sanitizer that
// sees a freed one, has found a section that did not hold. Readers come and go,
// so that slots are linked and unlinked all the time.

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/epoch.h"
#include "support/random.h"

#define CELLS         4
#define READERS       4
#define READER_LIVES  40
#define READER_VISITS 10000
#define WRITERS       2
#define WRITES        300000

#define ALIVE    UINT64_C(0xA11FEA11FEA11FE0)
#define POISONED UINT64_C(0xDEADDEADDEADDEAD)

struct object {
    struct epoch_node node; // first, so that a node is its object
    uint64_t canary;        // plain on purpose: only the section protects it
};

static struct object *_Atomic cells[CELLS];
static struct epoch_bin bin;
static atomic_bool is_over;
static _Atomic uint64_t retired;
static _Atomic uint64_t released;
static _Atomic uint64_t visits;
static _Atomic uint64_t bad_visits;

static struct object *object_new(void)
{
    struct object *object = malloc(sizeof *object);

    if (object == NULL)
        abort();
    object->canary = ALIVE;
    return object;
}

static void object_release(struct epoch_node *node)
{
    struct object *object = (struct object *)node;

    object->canary = POISONED;
    free(object);
    atomic_fetch_add_explicit(&released, 1, memory_order_relaxed);
}

static void visit_cells(struct random *random)
{
    const struct object *seen[CELLS];
    uint64_t bad = 0;

    epoch_enter();
    for (size_t i = 0; i < CELLS; i++)
        seen[i] = atomic_load_explicit(&cells[i], memory_order_acquire);
    if (random_one_in(random, 4)) {
        EPOCH_SECTION(); // nested
        for (size_t i = 0; i < CELLS; i++)
            bad += seen[i]->canary != ALIVE;
    }
    for (size_t i = 0; i < CELLS; i++)
        bad += seen[i]->canary != ALIVE;
    epoch_exit();
    atomic_fetch_add_explicit(&visits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bad_visits, bad, memory_order_relaxed);
}

static void *reader_live(void *seed)
{
    struct random random = {.state = (uintptr_t)seed};

    for (int i = 0; i < READER_VISITS; i++)
        visit_cells(&random);
    return NULL;
}

// Starts one short-lived reader after the other.
static void *reader_lives(void *seed)
{
    for (uintptr_t i = 0; i < READER_LIVES; i++) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, reader_live, (void *)((uintptr_t)seed + i)) != 0)
            abort();
        pthread_join(thread, NULL);
    }
    return NULL;
}

static void *write_cells(void *seed)
{
    struct random random = {.state = (uintptr_t)seed};

    for (int i = 0; i < WRITES; i++) {
        struct object *old = atomic_exchange_explicit(&cells[random_below(&random, CELLS)],
                                                      object_new(), memory_order_acq_rel);

        epoch_retire(&bin, &old->node, object_release);
        atomic_fetch_add_explicit(&retired, 1, memory_order_relaxed);
        if (random_one_in(&random, 50))
            (void)epoch_collect(&bin);
    }
    return NULL;
}

static void *collect(void *unused)
{
    while (!atomic_load_explicit(&is_over, memory_order_relaxed))
        (void)epoch_collect(&bin);
    return unused;
}

static void run(uint64_t seed)
{
    pthread_t threads[READERS + WRITERS];
    pthread_t collector;
    int failed = pthread_create(&collector, NULL, collect, NULL);

    for (uintptr_t i = 0; i < READERS + WRITERS; i++)
        failed |= pthread_create(&threads[i], NULL, i < READERS ? reader_lives : write_cells,
                                 (void *)((uintptr_t)seed + (i << 20)));
    if (failed != 0)
        abort();
    for (size_t i = 0; i < READERS + WRITERS; i++)
        pthread_join(threads[i], NULL);
    atomic_store_explicit(&is_over, true, memory_order_relaxed);
    pthread_join(collector, NULL);
}

int main(void)
{
    struct random random = random_for_test("base_epoch");

    epoch_bin_init(&bin);
    for (size_t i = 0; i < CELLS; i++)
        atomic_store(&cells[i], object_new());
    run(random_next(&random));
    epoch_drain(&bin);
    epoch_bin_release(&bin);
    for (size_t i = 0; i < CELLS; i++)
        free(atomic_load(&cells[i]));
    printf("%llu visits, %llu retired, %llu released, %llu bad visits\n",
           (unsigned long long)visits, (unsigned long long)retired, (unsigned long long)released,
           (unsigned long long)bad_visits);
    return bad_visits == 0 && retired == released ? EXIT_SUCCESS : EXIT_FAILURE;
}

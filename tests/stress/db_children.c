// db_children.c -- many threads open and close handles while others count and describe them.

#include "db/children.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random.h"

enum { THREADS = 4, STEPS = 2000, OPEN_MAX = 8 };

static struct children children;

struct worker {
    struct thread thread;
    uint64_t seed;
    struct child handles[OPEN_MAX];
    bool is_open[OPEN_MAX];
};

static void check(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "failed: %s\n", what);
    exit(1);
}

// Every handle tells its tag whole: nobody describes one that is half in the list.
static void look(void)
{
    char text[4096];
    const char *at = text;

    children_describe(&children, 1000, text, sizeof text);
    check(children_count(&children) <= THREADS * OPEN_MAX, "more handles than there are");
    while ((at = strstr(at, "tag '")) != NULL) {
        check(strncmp(at, "tag 'whole'", 11) == 0 || strlen(at) < 11, "a tag is not whole");
        at++;
    }
}

static void work(void *ctx)
{
    struct worker *w = ctx;
    struct random random = {.state = w->seed};

    for (size_t i = 0; i < STEPS; i++) {
        const size_t at = (size_t)random_below(&random, OPEN_MAX);

        if (w->is_open[at])
            children_remove(&children, &w->handles[at]);
        else
            children_add(&children, &w->handles[at], CHILD_ITER, "whole", i);
        w->is_open[at] = !w->is_open[at];
        if (random_one_in(&random, 10))
            look();
    }
    for (size_t at = 0; at < OPEN_MAX; at++) {
        if (w->is_open[at])
            children_remove(&children, &w->handles[at]);
    }
}

int main(void)
{
    static struct worker workers[THREADS];

    children_init(&children);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i].seed = i + 1;
        check(thread_start(&workers[i].thread, "worker", work, &workers[i]) == LSM_OK, "no thread");
    }
    for (size_t i = 0; i < THREADS; i++)
        thread_join(&workers[i].thread);
    check(children_count(&children) == 0, "a handle is left");
    children_release(&children);
    printf("db_children: %u steps\n", THREADS * STEPS);
    return 0;
}

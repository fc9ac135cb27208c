#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "output.h"

#define FIRST_NS  1000000000u
#define PERIOD_NS 100000000u
#define BAR_WIDTH 28

void progress_start(struct progress *p, const char *what, const char *unit, uint64_t total)
{
    *p = (struct progress){
        .what = what,
        .unit = unit,
        .total = total,
        .start_ns = now_ns(),
        .is_terminal = isatty(STDERR_FILENO) != 0,
    };
}

static struct human amount(const struct progress *p, uint64_t number)
{
    struct human out;

    if (strcmp(p->unit, "bytes") == 0)
        return human_bytes(number);
    snprintf(out.text, sizeof out.text, "%.18s %.12s", human_count(number).text, p->unit);
    return out;
}

static struct human time_left(double seconds)
{
    struct human out;

    if (seconds < 100)
        snprintf(out.text, sizeof out.text, "%.0f s", seconds);
    else if (seconds < 100.0 * 60)
        snprintf(out.text, sizeof out.text, "%.0f min", seconds / 60);
    else
        snprintf(out.text, sizeof out.text, "%.1f h", seconds < 1e9 ? seconds / 3600 : 1e9);
    return out;
}

void progress_line(const struct progress *p, uint64_t done, uint64_t elapsed_ns,
                   char line[PROGRESS_LINE_SIZE])
{
    const double seconds = (double)elapsed_ns / 1e9;
    char bar[BAR_WIDTH + 1] = "";
    double part;

    if (p->total == 0) {
        snprintf(line, PROGRESS_LINE_SIZE, "%s: %s, %.0f s", p->what, amount(p, done).text,
                 seconds);
        return;
    }
    if (done > p->total) // the total is an estimate now and then
        done = p->total;
    part = (double)done / (double)p->total;
    memset(bar, '.', BAR_WIDTH);
    memset(bar, '#', (size_t)(part * BAR_WIDTH));
    snprintf(line, PROGRESS_LINE_SIZE, "%s [%s] %3.0f%%, %s of %s%s%s%s", p->what, bar, 100 * part,
             amount(p, done).text, amount(p, p->total).text, done == 0 ? "" : ", ",
             done == 0 ? "" : time_left(seconds / part - seconds).text, done == 0 ? "" : " left");
}

void progress_show(struct progress *p, uint64_t done)
{
    char line[PROGRESS_LINE_SIZE];
    uint64_t now;

    if (!p->is_terminal)
        return;
    now = now_ns();
    if (now - p->start_ns < FIRST_NS || now - p->shown_ns < PERIOD_NS)
        return;
    p->shown_ns = now;
    progress_line(p, done, now - p->start_ns, line);
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

void progress_end(struct progress *p)
{
    if (p->shown_ns != 0)
        fputs("\r\033[K", stderr);
    p->shown_ns = 0;
}

// --- watching ---

// Waits for the next time to look; false when the work is done.
static bool wait_to_look(struct progress_watch *watch)
{
    struct timespec until;
    bool goes_on;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += PERIOD_NS;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&watch->mu);
    if (!watch->is_ending)
        (void)pthread_cond_timedwait(&watch->ending, &watch->mu, &until); // however it ends
    goes_on = !watch->is_ending;
    pthread_mutex_unlock(&watch->mu);
    return goes_on;
}

static void *watch_main(void *ctx)
{
    struct progress_watch *watch = ctx;

    while (wait_to_look(watch))
        progress_show(&watch->progress, watch->done(watch->ctx));
    return NULL;
}

void progress_watch_start(struct progress_watch *watch, const char *what, uint64_t total_bytes,
                          uint64_t (*done)(void *ctx), void *ctx)
{
    *watch = (struct progress_watch){.done = done, .ctx = ctx};
    progress_start(&watch->progress, what, "bytes", total_bytes);
    if (!watch->progress.is_terminal)
        return;
    pthread_mutex_init(&watch->mu, NULL);
    pthread_cond_init(&watch->ending, NULL);
    // Without the thread there is no progress to see, and nothing else is wrong.
    watch->is_running = pthread_create(&watch->thread, NULL, watch_main, watch) == 0;
}

void progress_watch_end(struct progress_watch *watch)
{
    if (!watch->progress.is_terminal)
        return;
    if (watch->is_running) {
        pthread_mutex_lock(&watch->mu);
        watch->is_ending = true;
        pthread_cond_signal(&watch->ending);
        pthread_mutex_unlock(&watch->mu);
        pthread_join(watch->thread, NULL);
    }
    pthread_cond_destroy(&watch->ending);
    pthread_mutex_destroy(&watch->mu);
    progress_end(&watch->progress);
}

// progress.h -- how far long work is, in a line on stderr.
//
// Shown on a terminal only, from the first second on, ten times a second at most.

#ifndef LSM_TOOLS_PROGRESS_H
#define LSM_TOOLS_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;
    const char *unit; // of `done`: "bytes" are shown as sizes, others as counts
    uint64_t total;   // 0: not known
    uint64_t start_ns;
    uint64_t shown_ns; // 0: nothing has been shown
    bool is_terminal;
};

void progress_start(struct progress *p, const char *what, const char *unit, uint64_t total);
void progress_show(struct progress *p, uint64_t done);
// Takes away what has been shown.
void progress_end(struct progress *p);

#define PROGRESS_LINE_SIZE 200

// The line to show after `elapsed_ns`, at least 1: how much of how much, and the time left.
void progress_line(const struct progress *p, uint64_t done, uint64_t elapsed_ns,
                   char line[PROGRESS_LINE_SIZE]);

// Progress of work that cannot show it by itself: a thread asks how far it is.
struct progress_watch {
    struct progress progress; // the thread's while it runs
    uint64_t (*done)(void *ctx);
    void *ctx;
    pthread_t thread;
    bool is_running;    // there is such a thread
    pthread_mutex_t mu; // guards the next one
    bool is_ending;
    pthread_cond_t ending;
};

// `done` is called in another thread until progress_watch_end().
void progress_watch_start(struct progress_watch *watch, const char *what, uint64_t total_bytes,
                          uint64_t (*done)(void *ctx), void *ctx);
void progress_watch_end(struct progress_watch *watch);

#endif

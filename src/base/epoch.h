// epoch.h -- reclamation for readers that take no lock.
//
// A reader enters a section, loads shared pointers, uses what they point to, and
// leaves. A writer unlinks an object, then retires it; it is released once every
// section that was open at that moment has been left. (Fraser, "Practical
// lock-freedom", 2004, chapter 5.) Sections are process-wide; objects are
// retired into a bin, of which each database has one.
//
// No fence is used, so that ThreadSanitizer follows the accesses; epoch.c has the
// proof. A child of fork() may not use this module.

#ifndef LSM_BASE_EPOCH_H
#define LSM_BASE_EPOCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Opens a section of the calling thread; sections nest. Never fails and takes no
// lock, but for the thread's first.
void epoch_enter(void);
void epoch_exit(void);
// Whether the calling thread has a section open: for the assertions of those who need one.
bool epoch_is_inside(void);

// For CLEANUP: `EPOCH_SECTION();` opens a section until the end of the scope.
static inline void epoch_exitp(const int *unused)
{
    (void)unused;
    epoch_exit();
}
#define EPOCH_SECTION()                                                                            \
    __attribute__((cleanup(epoch_exitp), unused)) const int epoch_section_ = (epoch_enter(), 0)

// Embedded in whatever is retired.
struct epoch_node {
    struct epoch_node *next;
    uint64_t epoch;
    void (*release)(struct epoch_node *node);
};

struct epoch_bin {
    pthread_mutex_t mu; // a leaf: guards the fields below
    struct epoch_node *oldest;
    struct epoch_node *newest;
    size_t count; // of nodes not released yet

    void (*on_work)(void *ctx); // set before the bin is shared
    void *ctx;
};

void epoch_bin_init(struct epoch_bin *bin);

// Has `on_work` called, outside the bin's mutex but under whatever the retiring thread
// holds, whenever the bin stops being empty. NULL: nothing is called. No other thread uses
// the bin meanwhile.
void epoch_bin_set_notify(struct epoch_bin *bin, void (*on_work)(void *ctx), void *ctx);

// Hands `node` over; `release` runs later, in the thread that collects, outside
// any lock of this module. Never fails. May be called from a release function.
void epoch_retire(struct epoch_bin *bin, struct epoch_node *node,
                  void (*release)(struct epoch_node *node));

// Releases what no section can still see; returns how many nodes are left. The
// calling thread must not be in a section (or nothing it could see is released).
size_t epoch_collect(struct epoch_bin *bin);

// Collects until the bin is empty, yielding to the sections that hold it up. The
// caller is in no section. Afterwards the bin may be released.
void epoch_drain(struct epoch_bin *bin);
void epoch_bin_release(struct epoch_bin *bin);

#endif

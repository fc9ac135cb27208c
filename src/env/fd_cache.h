// fd_cache.h -- a bound on open descriptors over tables and segments.
//
// What is open here is open for speed only: when the system has no descriptor left for another
// file of the directory that a cache serves, it closes some.
//
// A cached file is a name that is opened when first read and closed again when
// others need the descriptor. It is used inside an epoch section only: eviction
// retires the open file, so it stays open for the sections that see it.

#ifndef LSM_ENV_FD_CACHE_H
#define LSM_ENV_FD_CACHE_H

#include <stdatomic.h>

#include "base/epoch.h"
#include "env/env.h"
#include "env/sync.h"

struct fd_cache;
struct open_file;

// Embedded in its owner, from cached_file_init() to cached_file_release().
struct cached_file {
    struct fd_cache *cache;
    struct dir *dir;
    char name[32];
    _Atomic(struct file *) file; // NULL while not open
    _Atomic bool is_used;        // since the clock's hand passed; set by readers

    // The cache's, under its mutex: the ring of open ones.
    struct cached_file *next;
    struct cached_file *previous;
    struct open_file *open; // owns `file`; NULL while not open
};

// At most `open_max` files (at least 8) stay open. `bin` takes closed files.
lsm_status fd_cache_new(struct epoch_bin *bin, size_t open_max, struct fd_cache **out);
// All cached files have been released.
void fd_cache_free(struct fd_cache *cache);
// Has file_open() in `dir` make room here, until the cache is freed, before the directory is
// closed. Before use by several threads.
void fd_cache_serve(struct fd_cache *cache, struct dir *dir);
// Closes half of the open files, and gives readers a moment to leave them; who is in an epoch
// section itself waits for nobody, and those that it may see stay open until it leaves it.
void fd_cache_make_room(struct fd_cache *cache);
size_t fd_cache_open_count(struct fd_cache *cache);

void cached_file_init(struct cached_file *cf, struct fd_cache *cache, struct dir *dir,
                      const char *name);
// Closes the file (after the sections that see it) and forgets it.
void cached_file_release(struct cached_file *cf);

// The open file, which the caller, who is inside an epoch section, may use until it
// leaves it. Opens the file for reading when it is not open. LSM_BUSY when the system has no
// descriptor left, and sections still open, the caller's among them, see all that were closed
// to make room: a later section succeeds. A file that is missing is LSM_CORRUPT, for something
// names it.
lsm_status cached_file_get(struct cached_file *cf, struct file **out);

#endif

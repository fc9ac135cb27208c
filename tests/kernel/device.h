// device.h -- a disk that remembers every write and every flush.
//
// The disk is one file that a process of ours serves through the kernel's FUSE protocol; a loop
// device over it carries a file system. What the loop device writes is logged, in the order in
// which it is answered, and so is every flush. An image of the disk as a power cut may leave it
// is then: all writes up to some flush, and any part of those behind it, up to the next.

#ifndef LSM_TESTS_KERNEL_DEVICE_H
#define LSM_TESTS_KERNEL_DEVICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "support/random.h"

#define SECTOR_SIZE 512u

struct device_record {
    uint64_t offset;
    uint64_t data; // where in the log's data its bytes are
    uint32_t size; // 0: a flush
};

// In memory that the server and its parent share.
struct device_log {
    _Atomic uint64_t count; // records; what is behind it is not complete
    uint64_t data_size;
    _Atomic bool is_full;        // records are missing
    _Atomic uint64_t fails_from; // this many records on; UINT64_MAX: never
    _Atomic bool is_failing;     // every write and flush gives EIO, and nothing is stored
    _Atomic bool is_slow;        // each waits before it is answered
    _Atomic bool is_hung;        // none is answered
    _Atomic bool is_held_up;     // one waits for is_hung to end
    struct device_record *records;
    uint8_t *data;
};

struct device {
    struct device_log *log;
    pid_t server;
};

// Serves the file `image` at `path`, a new file over which it is mounted, in a process of its
// own. `position` is set to the number of records before each answer. False with errno.
bool device_start(struct device *device, const char *image, const char *path,
                  _Atomic uint64_t *position);

// Has all writes and flushes fail after `records` more, until the device is stopped. A loop device
// takes a write of which only the end fails for a good one, so the failure waits for a write that
// does not go on where the last one ended.
void device_fail_after(struct device *device, uint64_t records);

// Has each write and flush take its time: mostly some milliseconds, at times half a second.
void device_slow_down(struct device *device);

// Has all writes and flushes wait, until device_go_on(). Reads wait behind them.
void device_hang(struct device *device);
bool device_is_held_up(const struct device *device); // whether one waits
void device_go_on(struct device *device);

// Unmounts and ends the server. The log stays until device_free().
void device_stop(struct device *device, const char *path);
void device_free(struct device *device);

// The index of the first flush at or behind record `from`; the number of records if none.
uint64_t device_next_flush(const struct device_log *log, uint64_t from);

// Applies records `from` to `to` - 1 to the file `fd`. Exits when that fails.
void device_apply(const struct device_log *log, int fd, uint64_t from, uint64_t to);

// Applies a random part of those: whole writes, or single sectors of them.
void device_apply_some(const struct device_log *log, int fd, uint64_t from, uint64_t to,
                       uint32_t sector_size, struct random *random);

#endif

// sim.h -- an env in memory that knows what is durable, crashes and fails.
//
// It wraps nothing: files and directories live in memory. Per file it keeps the
// durable bytes and the ordered list of writes, truncations and allocations since
// the last sync; per directory the durable entries and the ordered list of
// creations, renames and unlinks since the last directory sync. A name is durable
// only by dir_sync(), bytes only by file_sync().
//
// Every call that could change the disk (create, open for writing, write, sync,
// allocate, truncate, rename, unlink, directory sync, close of a written file) is
// numbered from 1; so is every other call that can fail, in its own count.

#ifndef LSM_TESTS_SUPPORT_SIM_H
#define LSM_TESTS_SUPPORT_SIM_H

#include "env/env.h"
#include "env/filename.h"

struct sim;

lsm_status sim_new(uint64_t seed, struct sim **out);
void sim_free(struct sim *sim);
struct env *sim_env(struct sim *sim);

// --- crashing ---

// What of the unsynced operations survives a crash.
enum sim_survival {
    SIM_NONE,   // nothing that was not synced
    SIM_ALL,    // everything
    SIM_PREFIX, // per file and directory, a prefix of the pending operations
    SIM_RANDOM, // any subset, writes torn at any byte, extended parts zero or garbage
    // The next ones choose by number among all pending operations in the order of time,
    // which sim_pending() counts.
    SIM_FIRST,   // the first so many
    SIM_ONLY,    // the one with this number alone, from 0
    SIM_WITHOUT, // all but the one with this number
    SIM_BYTES,   // all until so many bytes have been written: the write there is torn
    // As a file system that keeps names in a journal and bytes not: all names, and of the bytes
    // what was synced. With number 1 the sizes too, and zeroes where bytes are missing.
    SIM_NAMES,
};
#define SIM_SURVIVALS (SIM_NAMES + 1)

// From the call with number `call` on (1: the next one), every call fails with
// LSM_IO and changes nothing, as if the power had gone before it. 0: never.
void sim_crash_at(struct sim *sim, uint64_t call);
bool sim_has_crashed(const struct sim *sim);

// Number of calls so far that could have been crashed at.
uint64_t sim_call_count(const struct sim *sim);

// Power returns: the disk now holds what survived, all of it durable; open files
// and directories of before must have been closed (closing works after a crash).
// The fault settings are cleared; locks are free.
void sim_restart(struct sim *sim, enum sim_survival survival, uint64_t seed_or_number);

// What has been done to the disk and is not durable.
struct sim_pending {
    uint64_t operations;
    uint64_t bytes; // of the writes among them
};
struct sim_pending sim_pending(const struct sim *sim);

// A hash of all names and bytes as they are now: equal disks have equal ones.
uint64_t sim_hash(const struct sim *sim);

// A copy of the disk as it is now, pending operations included, so that several
// survivals of one crash can be tried. Pages are shared until one of them writes.
lsm_status sim_clone(const struct sim *sim, struct sim **out);

// --- links ---
//
// A file that was found, and not made through the handle at hand, is somebody's past. The sim
// ends the program when one with another name is written, cut or allocated, and when one
// without is, other than: a segment cut, not below its header; a line appended to the event
// log.

// Makes `to` a copy of the directory by hard links, as `cp -al` does: its names are new and
// durable, its files the same. LSM_NOT_FOUND when there is no such directory.
lsm_status sim_link_all(struct sim *sim, const char *dir, const char *to);
// How many names the file has; 0 when it is not there.
uint64_t sim_name_count(struct sim *sim, const char *dir, const char *name);
// As file_open() with FILE_WRITE, for a test that changes what was found.
lsm_status sim_open_to_change(struct dir *dir, const char *name, struct file **out);

// --- calls ---

enum sim_op {
    SIM_OP_OPEN = 1 << 0,
    SIM_OP_READ = 1 << 1,
    SIM_OP_WRITE = 1 << 2,
    SIM_OP_SYNC = 1 << 3,
    SIM_OP_ALLOCATE = 1 << 4,
    SIM_OP_TRUNCATE = 1 << 5,
    SIM_OP_RENAME = 1 << 6,
    SIM_OP_UNLINK = 1 << 7,
    SIM_OP_DIR_SYNC = 1 << 8,
    SIM_OP_CLOSE = 1 << 9,
    SIM_OP_STAT = 1 << 10,
    SIM_OP_LIST = 1 << 11,
    SIM_OP_ANY = (1 << 12) - 1,
};
#define SIM_OPS 12

// What a call is about: a kind of file (enum filename_kind; FILENAME_UNKNOWN for names that
// are not the database's), or a directory.
#define SIM_DIRECTORY  (FILENAME_EVENTS_OLD + 1)
#define SIM_KINDS      (SIM_DIRECTORY + 1)
#define SIM_KIND(kind) (1u << (kind))

// "write", "directory": for reports.
const char *sim_op_name(enum sim_op op);
const char *sim_kind_name(unsigned kind);

struct sim_call {
    enum sim_op op;
    unsigned kind;     // of the file, below SIM_KINDS; of a rename, of the new name
    bool changes_disk; // and is a crash point
    const char *name;
    const char *other_name; // of a rename, the new one; else NULL
};

// Called before every call that can fail, unless the sim has crashed; without a lock, so
// that it may look at the sim and clone it.
typedef void (*sim_call_hook)(void *ctx, struct sim *sim, const struct sim_call *call);
void sim_set_call_hook(struct sim *sim, sim_call_hook hook, void *ctx);

// --- failing ---

// Statuses by error of the system, as env.h tells: EIO LSM_IO, ENOSPC LSM_NO_SPACE, ENOMEM
// LSM_NO_MEMORY, EMFILE LSM_BUSY, EROFS LSM_READ_ONLY. EINTR and short counts never come out
// of an env; tests/env/test_env_posix_calls.c makes the system return them to the real one.
struct sim_fault {
    unsigned ops;          // mask of enum sim_op
    unsigned kinds;        // mask of SIM_KIND(); 0: all
    const char *name_part; // only files whose name contains this; NULL: all
    uint64_t at;           // the at-th matching call from now, from 1
    bool for_ever;         // and all matching ones after it
    lsm_status status;     // what the call returns
    // ENOENT: who looks for something finds nothing, what is to be removed has just been, and
    // every other call returns `status`.
    bool is_absent;
    size_t short_by; // of a write: bytes written before failing (0: none)
};

// Replaces the fault; NULL removes it. A failed sync leaves the pending bytes
// readable but drops them from what can become durable (ATC'20), and the next
// sync of the file succeeds.
void sim_set_fault(struct sim *sim, const struct sim_fault *fault);
// Calls made to fail, and calls that matched, since the fault was set.
uint64_t sim_fault_hits(const struct sim *sim);
uint64_t sim_fault_matches(const struct sim *sim);

// --- damage, on the durable state, while nothing is open ---

lsm_status sim_flip(struct sim *sim, const char *dir, const char *name, uint64_t offset,
                    uint8_t mask);
lsm_status sim_cut(struct sim *sim, const char *dir, const char *name, uint64_t size);

// --- the publish protocol ---

// Whether the file exists durably: its bytes below `size` and its name are synced.
bool sim_is_durable(struct sim *sim, const char *dir, const char *name, uint64_t size);

// Called before every write with the bytes to be written, so that a test can
// assert what the bytes publish (an edit that names a file, a frame that links).
typedef void (*sim_write_hook)(void *ctx, struct sim *sim, const char *dir, const char *name,
                               uint64_t offset, const lsm_slice *parts, size_t count);
void sim_set_write_hook(struct sim *sim, sim_write_hook hook, void *ctx);
// Called before every unlink and rename onto `name`.
typedef void (*sim_unlink_hook)(void *ctx, struct sim *sim, const char *dir, const char *name);
void sim_set_unlink_hook(struct sim *sim, sim_unlink_hook hook, void *ctx);

// --- the clock ---

void sim_advance(struct sim *sim, uint64_t ns);
// Time passes while the machine sleeps: the monotonic clock stands still.
void sim_suspend(struct sim *sim, uint64_t ns);
void sim_set_wall(struct sim *sim, uint64_t wall_ns);

#endif

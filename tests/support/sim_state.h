// sim_state.h -- what the units of the sim share.
//
//     sim.c        its life, the power, the clock
//     sim_call.c   every call passes here: hook, crash point, fault
//     sim_dirs.c   the env's functions on directories and names
//     sim_files.c  those on open files
//     sim_look.c   questions about the disk, and damage to it
//     sim_disk.c   the disk, on sim_bytes.c (pages); sim_survive.c: what a crash leaves

#ifndef LSM_TESTS_SUPPORT_SIM_STATE_H
#define LSM_TESTS_SUPPORT_SIM_STATE_H

#include <stdatomic.h>

#include "env/sync.h"
#include "support/random.h"
#include "support/sim_disk.h"

struct sim {
    struct env env; // first, so that an env is cast to its sim

    // Rank LOCK_LEAF; guards all below but the atomics. Hooks and listings are
    // called without it.
    struct mutex mu;
    struct disk disk;
    struct random random;
    uint64_t crash_at; // 0: never
    unsigned handle_count;

    struct sim_fault fault; // no `ops`: none
    char fault_name[64];    // what fault.name_part points to
    bool is_faulted;        // the call that holds the mutex

    uint64_t mono_ns;
    uint64_t boot_ns;
    uint64_t wall_ns;

    // Set while no other thread uses the sim.
    sim_call_hook call_hook;
    void *call_hook_ctx;
    sim_write_hook write_hook;
    void *write_hook_ctx;
    sim_unlink_hook unlink_hook;
    void *unlink_hook_ctx;

    // Written under the mutex, read without.
    _Atomic bool has_crashed;
    _Atomic uint64_t call_count;
    _Atomic uint64_t fault_matches;
    _Atomic uint64_t fault_hits;
};

static inline struct sim *sim_of(struct env *env)
{
    return (struct sim *)env;
}

struct sim_dir {
    struct dir base;
    struct directory *directory;
    char path[];
};

static inline struct directory *directory_of(struct dir *dir)
{
    return ((struct sim_dir *)dir)->directory;
}

// --- every call ---

// Tells the hook of the call, takes the mutex and decides: LSM_OK when the call may
// be made. The mutex is held afterwards in any case.
lsm_status sim_begin_and_lock(struct sim *sim, const struct sim_call *call);
// Whether the call that was just to begin answers that there is nothing, though it looks.
bool sim_finds_nothing(const struct sim *sim, lsm_status status);
void sim_set_fault_locked(struct sim *sim, const struct sim_fault *fault);

unsigned sim_kind_of(const char *name);
// An open handle, of `inode` or of something else.
void sim_count_handle_locked(struct sim *sim, struct inode *inode);

// --- the functions of struct env_ops ---

lsm_status sim_dir_open(struct env *env, const char *path, bool create, struct dir **out);
void sim_dir_close(struct dir *dir);
lsm_status sim_dir_sync(struct dir *dir);
lsm_status sim_dir_list(struct dir *dir, dir_list_fn fn, void *ctx);
lsm_status sim_dir_lock(struct dir *dir, const char *name, struct dir_lock **out);
void sim_dir_unlock(struct dir_lock *lock);
lsm_status sim_file_rename(struct dir *dir, const char *from, const char *to);
lsm_status sim_file_unlink(struct dir *dir, const char *name);
lsm_status sim_file_look(struct dir *dir, const char *name, struct file_facts *out);

lsm_status sim_file_open(struct dir *dir, const char *name, enum file_mode mode, struct file **out);
lsm_status sim_file_read(struct file *file, uint64_t offset, void *to, size_t size, size_t *got);
lsm_status sim_file_write(struct file *file, uint64_t offset, const lsm_slice *parts, size_t count);
lsm_status sim_file_sync(struct file *file);
void sim_file_writeback(struct file *file, uint64_t offset, uint64_t size);
lsm_status sim_file_allocate(struct file *file, uint64_t offset, uint64_t size);
lsm_status sim_file_truncate(struct file *file, uint64_t size);
lsm_status sim_file_size(struct file *file, uint64_t *size);
lsm_status sim_file_name_count(struct file *file, uint64_t *count);
void sim_file_prefetch(struct file *file, uint64_t offset, uint64_t size);
lsm_status sim_file_close(struct file *file);

#endif

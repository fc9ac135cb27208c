#include "support/sim.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "env/sync.h"
#include "support/random.h"
#include "support/sim_disk.h"

#define FILE_SIZE_MAX    (UINT64_C(1) << 32)
#define FREE_SPACE       (UINT64_C(1) << 40)
#define DESCRIPTOR_LIMIT 1024
#define PROCESS_ID       1
#define FIRST_MONO_NS    UINT64_C(1000000000)
#define FIRST_WALL_NS    UINT64_C(1700000000000000000)

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
    uint64_t fault_calls;   // that matched
    bool is_faulted;        // the call that holds the mutex

    uint64_t mono_ns;
    uint64_t wall_ns;

    // Set while no other thread uses the sim.
    sim_write_hook write_hook;
    void *write_hook_ctx;
    sim_unlink_hook unlink_hook;
    void *unlink_hook_ctx;

    // Written under the mutex, read without.
    _Atomic bool has_crashed;
    _Atomic uint64_t call_count;
    _Atomic uint64_t fault_hits;
};

struct sim_dir {
    struct dir base;
    struct directory *directory;
    char path[];
};

struct sim_file {
    struct file base;
    struct inode *inode;
    char *dir_path; // behind `name`
    bool is_writable;
    bool is_written;
    char name[];
};

struct dir_lock {
    struct sim *sim;
    struct directory *directory;
};

static struct sim *sim_of(struct env *env)
{
    return (struct sim *)env;
}

// --- crashing and failing ---

// A call about to be made.
struct call {
    enum sim_op op;
    bool changes_disk;
    const char *name;
    const char *other_name; // of a rename, else NULL
};

static lsm_status fail_without_power(const char *name)
{
    return lsm_fail(LSM_IO, "%s: the simulated power is off", name);
}

static bool fault_matches(const struct sim_fault *fault, const struct call *call)
{
    if ((fault->ops & (unsigned)call->op) == 0)
        return false;
    return fault->name_part == NULL || strstr(call->name, fault->name_part) != NULL ||
           (call->other_name != NULL && strstr(call->other_name, fault->name_part) != NULL);
}

// Counts the call; LSM_OK when it may be made.
static lsm_status begin_locked(struct sim *sim, struct call call)
{
    struct sim_fault *fault = &sim->fault;

    sim->is_faulted = false;
    if (atomic_load(&sim->has_crashed))
        return fail_without_power(call.name);
    if (call.changes_disk && atomic_fetch_add(&sim->call_count, 1) + 1 == sim->crash_at) {
        atomic_store(&sim->has_crashed, true);
        return fail_without_power(call.name);
    }
    if (!fault_matches(fault, &call))
        return LSM_OK;
    sim->fault_calls++;
    if (sim->fault_calls != fault->at && !(fault->for_ever && sim->fault_calls > fault->at))
        return LSM_OK;
    sim->is_faulted = true;
    atomic_fetch_add(&sim->fault_hits, 1);
    return lsm_fail(fault->status, "%s: simulated failure of call %" PRIu64, call.name,
                    sim->fault_calls);
}

void sim_crash_at(struct sim *sim, uint64_t call)
{
    mutex_lock(&sim->mu);
    sim->crash_at = call == 0 ? 0 : atomic_load(&sim->call_count) + call;
    mutex_unlock(&sim->mu);
}

bool sim_has_crashed(const struct sim *sim)
{
    return atomic_load(&sim->has_crashed);
}

uint64_t sim_call_count(const struct sim *sim)
{
    return atomic_load(&sim->call_count);
}

static void set_fault_locked(struct sim *sim, const struct sim_fault *fault)
{
    sim->fault_calls = 0;
    sim->fault = (struct sim_fault){0};
    if (fault == NULL)
        return;
    sim->fault = *fault;
    if (fault->name_part != NULL) {
        (void)snprintf(sim->fault_name, sizeof sim->fault_name, "%s", fault->name_part);
        sim->fault.name_part = sim->fault_name;
    }
}

void sim_set_fault(struct sim *sim, const struct sim_fault *fault)
{
    mutex_lock(&sim->mu);
    set_fault_locked(sim, fault);
    atomic_store(&sim->fault_hits, 0);
    mutex_unlock(&sim->mu);
}

uint64_t sim_fault_hits(const struct sim *sim)
{
    return atomic_load(&sim->fault_hits);
}

void sim_restart(struct sim *sim, enum sim_survival survival, uint64_t seed)
{
    mutex_lock(&sim->mu);
    assert(sim->handle_count == 0 && "all is closed before the power returns");
    disk_survive(&sim->disk, survival, seed);
    sim->crash_at = 0;
    set_fault_locked(sim, NULL);
    atomic_store(&sim->has_crashed, false);
    mutex_unlock(&sim->mu);
}

// --- directories ---

static void count_handle_locked(struct sim *sim, struct inode *inode)
{
    sim->handle_count++;
    if (inode != NULL)
        inode->open_count++;
}

static lsm_status open_dir_locked(struct sim *sim, const char *path, const char *canonical,
                                  bool create, struct directory **out)
{
    struct directory *directory = disk_find(&sim->disk, canonical);

    TRY(begin_locked(sim, (struct call){.op = SIM_OP_OPEN,
                                        .changes_disk = create && directory == NULL,
                                        .name = path}));
    if (directory == NULL && disk_names_file(&sim->disk, canonical))
        return lsm_fail(LSM_INVALID, "%s: is not a directory", path);
    if (directory == NULL && create)
        directory = disk_make(&sim->disk, canonical);
    if (directory == NULL)
        return lsm_fail(LSM_NOT_FOUND, "%s: there is no such directory", path);
    count_handle_locked(sim, NULL);
    *out = directory;
    return LSM_OK;
}

static lsm_status sim_dir_open(struct env *env, const char *path, bool create, struct dir **out)
{
    struct sim *sim = sim_of(env);
    size_t path_size = strlen(path) + 1;
    CLEANUP(mem_freep) struct sim_dir *d = mem_alloc(sizeof *d + path_size);
    char *canonical;
    lsm_status status;

    if (d == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", path, sizeof *d + path_size);
    memcpy(d->path, path, path_size);
    d->base = (struct dir){.env = env, .path = d->path};
    canonical = disk_canonical_path(path);
    if (canonical == NULL)
        return lsm_fail(LSM_INVALID, "%s: the simulated disk has no '..'", path);
    mutex_lock(&sim->mu);
    status = open_dir_locked(sim, path, canonical, create, &d->directory);
    mutex_unlock(&sim->mu);
    free(canonical);
    TRY(status);
    *out = &MOVE(d)->base;
    return LSM_OK;
}

static struct directory *directory_of(struct dir *dir)
{
    return ((struct sim_dir *)dir)->directory;
}

static void sim_dir_close(struct dir *dir)
{
    struct sim *sim = sim_of(dir->env);

    mutex_lock(&sim->mu);
    sim->handle_count--;
    mutex_unlock(&sim->mu);
    mem_free(dir);
}

static lsm_status sim_dir_sync(struct dir *dir)
{
    struct sim *sim = sim_of(dir->env);
    lsm_status status;

    mutex_lock(&sim->mu);
    status = begin_locked(
        sim, (struct call){.op = SIM_OP_DIR_SYNC, .changes_disk = true, .name = dir->path});
    if (status == LSM_OK) {
        directory_sync(directory_of(dir));
        disk_collect(&sim->disk);
    }
    mutex_unlock(&sim->mu);
    return status;
}

static lsm_status sim_dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    struct sim *sim = sim_of(dir->env);
    struct listing listing = {0};
    lsm_status status;

    mutex_lock(&sim->mu);
    status = begin_locked(sim, (struct call){.op = SIM_OP_LIST, .name = dir->path});
    if (status == LSM_OK)
        directory_list(&sim->disk, directory_of(dir), &listing);
    mutex_unlock(&sim->mu);
    for (size_t i = 0; i < listing.count && status == LSM_OK; i++)
        status = fn(ctx, listing.items[i].name, listing.items[i].size, listing.items[i].is_file);
    listing_release(&listing);
    return status;
}

static lsm_status lock_dir_locked(struct sim *sim, struct dir *dir, const char *name)
{
    struct directory *directory = directory_of(dir);
    bool is_new = directory_lookup(directory, name) == NULL;
    static const char holder[] = "1\n";

    TRY(begin_locked(sim, (struct call){.op = SIM_OP_OPEN, .changes_disk = is_new, .name = name}));
    if (directory->is_locked)
        return lsm_fail(LSM_LOCKED, "%s: this process (%d) has it open already", dir->path,
                        PROCESS_ID);
    if (is_new)
        inode_write(directory_create(&sim->disk, directory, name), 0, holder, sizeof holder - 1);
    directory->is_locked = true;
    count_handle_locked(sim, NULL);
    return LSM_OK;
}

static lsm_status sim_dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    struct sim *sim = sim_of(dir->env);
    CLEANUP(mem_freep) struct dir_lock *lock = mem_alloc(sizeof *lock);
    lsm_status status;

    if (lock == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", dir->path, sizeof *lock);
    *lock = (struct dir_lock){.sim = sim, .directory = directory_of(dir)};
    mutex_lock(&sim->mu);
    status = lock_dir_locked(sim, dir, name);
    mutex_unlock(&sim->mu);
    TRY(status);
    *out = MOVE(lock);
    return LSM_OK;
}

static void sim_dir_unlock(struct dir_lock *lock)
{
    mutex_lock(&lock->sim->mu);
    lock->directory->is_locked = false;
    lock->sim->handle_count--;
    mutex_unlock(&lock->sim->mu);
    mem_free(lock);
}

static lsm_status sim_free_space(struct dir *dir, uint64_t *bytes)
{
    struct sim *sim = sim_of(dir->env);
    lsm_status status;

    mutex_lock(&sim->mu);
    status = begin_locked(sim, (struct call){.op = SIM_OP_STAT, .name = dir->path});
    mutex_unlock(&sim->mu);
    if (status == LSM_OK)
        *bytes = FREE_SPACE;
    return status;
}

// --- names ---

static lsm_status fail_absent(const char *name)
{
    return lsm_fail(LSM_NOT_FOUND, "%s: there is no such file", name);
}

static lsm_status open_file_locked(struct sim *sim, struct dir *dir, const char *name,
                                   enum file_mode mode, struct inode **out)
{
    struct directory *directory = directory_of(dir);
    struct inode *inode = directory_lookup(directory, name);

    TRY(begin_locked(
        sim, (struct call){.op = SIM_OP_OPEN, .changes_disk = mode != FILE_READ, .name = name}));
    if (directory_has_subdirectory(&sim->disk, directory, name))
        return lsm_fail(LSM_INVALID, "%s: is not a regular file", name);
    if (mode == FILE_CREATE && inode != NULL)
        return lsm_fail(LSM_IO, "%s: exists already", name);
    if (mode == FILE_CREATE)
        inode = directory_create(&sim->disk, directory, name);
    if (inode == NULL)
        return fail_absent(name);
    count_handle_locked(sim, inode);
    *out = inode;
    return LSM_OK;
}

static lsm_status sim_file_open(struct dir *dir, const char *name, enum file_mode mode,
                                struct file **out)
{
    struct sim *sim = sim_of(dir->env);
    size_t name_size = strlen(name) + 1;
    size_t path_size = strlen(dir->path) + 1;
    CLEANUP(mem_freep) struct sim_file *f = mem_alloc(sizeof *f + name_size + path_size);
    lsm_status status;

    if (f == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", name, sizeof *f + name_size + path_size);
    memcpy(f->name, name, name_size);
    f->dir_path = memcpy(f->name + name_size, dir->path, path_size);
    f->base = (struct file){.env = dir->env, .name = f->name};
    f->is_writable = mode != FILE_READ;
    f->is_written = mode == FILE_CREATE;
    mutex_lock(&sim->mu);
    status = open_file_locked(sim, dir, name, mode, &f->inode);
    mutex_unlock(&sim->mu);
    TRY(status);
    *out = &MOVE(f)->base;
    return LSM_OK;
}

static void call_unlink_hook(struct dir *dir, const char *name)
{
    struct sim *sim = sim_of(dir->env);

    if (sim->unlink_hook != NULL && !sim_has_crashed(sim))
        sim->unlink_hook(sim->unlink_hook_ctx, sim, dir->path, name);
}

static lsm_status rename_locked(struct sim *sim, struct dir *dir, const char *from, const char *to)
{
    struct directory *directory = directory_of(dir);

    TRY(begin_locked(
        sim,
        (struct call){.op = SIM_OP_RENAME, .changes_disk = true, .name = from, .other_name = to}));
    if (directory_lookup(directory, from) == NULL)
        return fail_absent(from);
    if (directory_has_subdirectory(&sim->disk, directory, to))
        return lsm_fail(LSM_IO, "%s: is a directory", to);
    directory_rename(directory, from, to);
    return LSM_OK;
}

static lsm_status sim_file_rename(struct dir *dir, const char *from, const char *to)
{
    struct sim *sim = sim_of(dir->env);
    lsm_status status;

    call_unlink_hook(dir, to);
    mutex_lock(&sim->mu);
    status = rename_locked(sim, dir, from, to);
    mutex_unlock(&sim->mu);
    return status;
}

static lsm_status unlink_locked(struct sim *sim, struct dir *dir, const char *name)
{
    TRY(begin_locked(sim, (struct call){.op = SIM_OP_UNLINK, .changes_disk = true, .name = name}));
    if (directory_lookup(directory_of(dir), name) == NULL)
        return fail_absent(name);
    directory_unlink(directory_of(dir), name);
    return LSM_OK;
}

static lsm_status sim_file_unlink(struct dir *dir, const char *name)
{
    struct sim *sim = sim_of(dir->env);
    lsm_status status;

    call_unlink_hook(dir, name);
    mutex_lock(&sim->mu);
    status = unlink_locked(sim, dir, name);
    mutex_unlock(&sim->mu);
    return status;
}

static lsm_status sim_file_stat(struct dir *dir, const char *name, uint64_t *size)
{
    struct sim *sim = sim_of(dir->env);
    struct inode *inode;
    lsm_status status;

    mutex_lock(&sim->mu);
    status = begin_locked(sim, (struct call){.op = SIM_OP_STAT, .name = name});
    if (status == LSM_OK) {
        inode = directory_lookup(directory_of(dir), name);
        if (inode == NULL)
            status = fail_absent(name);
        else
            *size = inode->live.size;
    }
    mutex_unlock(&sim->mu);
    return status;
}

// --- content ---

static struct sim_file *sim_file(struct file *file)
{
    return (struct sim_file *)file;
}

// Takes the mutex for a call on an open file; the caller releases it.
static lsm_status begin_on_file_and_lock(struct file *file, enum sim_op op, bool changes_disk)
{
    struct sim *sim = sim_of(file->env);

    mutex_lock(&sim->mu);
    sim->is_faulted = false;
    if (changes_disk && !sim_file(file)->is_writable)
        return lsm_fail(LSM_IO, "%s: is not open for writing", file->name);
    TRY(begin_locked(sim,
                     (struct call){.op = op, .changes_disk = changes_disk, .name = file->name}));
    if (changes_disk)
        sim_file(file)->is_written = true;
    return LSM_OK;
}

static lsm_status end_on_file(struct file *file, lsm_status status)
{
    mutex_unlock(&sim_of(file->env)->mu);
    return status;
}

static lsm_status check_reach(struct file *file, uint64_t offset, uint64_t size)
{
    if (size > FILE_SIZE_MAX || offset > FILE_SIZE_MAX - size)
        return lsm_fail(LSM_NO_SPACE, "%s: no simulated file has %" PRIu64 " bytes at %" PRIu64,
                        file->name, size, offset);
    return LSM_OK;
}

static lsm_status sim_file_read(struct file *file, uint64_t offset, void *to, size_t size,
                                size_t *got)
{
    lsm_status status = begin_on_file_and_lock(file, SIM_OP_READ, false);

    if (status == LSM_OK) {
        const struct bytes *live = &sim_file(file)->inode->live;
        size_t left = offset < live->size ? live->size - (size_t)offset : 0;
        size_t n = size < left ? size : left;

        if (n > 0)
            memcpy(to, live->data + offset, n);
        *got = n;
    }
    return end_on_file(file, status);
}

// Writes the first `limit` bytes of the parts, as one change.
static lsm_status write_locked(struct file *file, uint64_t offset, const lsm_slice *parts,
                               size_t count, size_t limit)
{
    uint8_t *joined;
    size_t size = 0;
    size_t at = 0;

    for (size_t i = 0; i < count; i++)
        size += parts[i].size;
    if (size > limit)
        size = limit;
    TRY(check_reach(file, offset, size));
    joined = malloc(size + 1);
    assert(joined != NULL);
    for (size_t i = 0; i < count && at < size; i++) {
        size_t n = parts[i].size < size - at ? parts[i].size : size - at;

        if (n > 0)
            memcpy(joined + at, parts[i].data, n);
        at += n;
    }
    if (size > 0)
        inode_write(sim_file(file)->inode, offset, joined, size);
    free(joined);
    return LSM_OK;
}

static lsm_status sim_file_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                                 size_t count)
{
    struct sim *sim = sim_of(file->env);
    lsm_status status;

    if (sim->write_hook != NULL && !sim_has_crashed(sim))
        sim->write_hook(sim->write_hook_ctx, sim, sim_file(file)->dir_path, file->name, offset,
                        parts, count);
    status = begin_on_file_and_lock(file, SIM_OP_WRITE, true);
    if (status == LSM_OK)
        status = write_locked(file, offset, parts, count, SIZE_MAX);
    else if (sim->is_faulted)
        (void)write_locked(file, offset, parts, count, sim->fault.short_by);
    return end_on_file(file, status);
}

static lsm_status sim_file_sync(struct file *file)
{
    struct sim *sim = sim_of(file->env);
    struct inode *inode = sim_file(file)->inode;
    lsm_status status = begin_on_file_and_lock(file, SIM_OP_SYNC, true);

    if (status == LSM_OK)
        inode_sync(inode);
    else if (sim->is_faulted)
        inode_lose_changes(inode);
    return end_on_file(file, status);
}

// What is written back early may survive a crash, as any pending change may.
static void sim_file_writeback(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

static lsm_status sim_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    lsm_status status = begin_on_file_and_lock(file, SIM_OP_ALLOCATE, true);

    if (status == LSM_OK)
        status = check_reach(file, offset, size);
    if (status == LSM_OK && size > 0)
        inode_extend(sim_file(file)->inode, offset + size);
    return end_on_file(file, status);
}

static lsm_status sim_file_truncate(struct file *file, uint64_t size)
{
    lsm_status status = begin_on_file_and_lock(file, SIM_OP_TRUNCATE, true);

    if (status == LSM_OK)
        status = check_reach(file, 0, size);
    if (status == LSM_OK)
        inode_resize(sim_file(file)->inode, size);
    return end_on_file(file, status);
}

static lsm_status sim_file_size(struct file *file, uint64_t *size)
{
    lsm_status status = begin_on_file_and_lock(file, SIM_OP_STAT, false);

    if (status == LSM_OK)
        *size = sim_file(file)->inode->live.size;
    return end_on_file(file, status);
}

static void sim_file_prefetch(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

// Releases the handle whatever happens; after a crash there is nobody to tell.
static lsm_status sim_file_close(struct file *file)
{
    struct sim *sim = sim_of(file->env);
    struct sim_file *f = sim_file(file);
    lsm_status status = LSM_OK;

    mutex_lock(&sim->mu);
    if (!sim_has_crashed(sim))
        status = begin_locked(
            sim,
            (struct call){.op = SIM_OP_CLOSE, .changes_disk = f->is_written, .name = file->name});
    f->inode->open_count--;
    sim->handle_count--;
    mutex_unlock(&sim->mu);
    mem_free(f);
    return status;
}

// --- the rest of the machine ---

static uint64_t read_locking(struct sim *sim, const uint64_t *clock)
{
    uint64_t ns;

    mutex_lock(&sim->mu);
    ns = *clock;
    mutex_unlock(&sim->mu);
    return ns;
}

static uint64_t sim_clock_mono_ns(struct env *env)
{
    return read_locking(sim_of(env), &sim_of(env)->mono_ns);
}

static uint64_t sim_clock_wall_ns(struct env *env)
{
    return read_locking(sim_of(env), &sim_of(env)->wall_ns);
}

static lsm_status sim_random_bytes(struct env *env, void *to, size_t size)
{
    struct sim *sim = sim_of(env);

    mutex_lock(&sim->mu);
    random_fill(&sim->random, to, size);
    mutex_unlock(&sim->mu);
    return LSM_OK;
}

static uint64_t sim_process_id(struct env *env)
{
    (void)env;
    return PROCESS_ID;
}

static uint64_t sim_descriptor_limit(struct env *env)
{
    (void)env;
    return DESCRIPTOR_LIMIT;
}

void sim_advance(struct sim *sim, uint64_t ns)
{
    mutex_lock(&sim->mu);
    sim->mono_ns += ns;
    sim->wall_ns += ns;
    mutex_unlock(&sim->mu);
}

void sim_set_wall(struct sim *sim, uint64_t wall_ns)
{
    mutex_lock(&sim->mu);
    sim->wall_ns = wall_ns;
    mutex_unlock(&sim->mu);
}

// --- looking and damaging ---

static struct directory *find_directory_locked(struct sim *sim, const char *path)
{
    char *canonical = disk_canonical_path(path);
    struct directory *directory = canonical == NULL ? NULL : disk_find(&sim->disk, canonical);

    free(canonical);
    return directory;
}

static struct inode *durable_inode_locked(struct sim *sim, const char *dir, const char *name)
{
    struct directory *directory = find_directory_locked(sim, dir);

    return directory == NULL ? NULL : directory_lookup_durable(directory, name);
}

lsm_status sim_flip(struct sim *sim, const char *dir, const char *name, uint64_t offset,
                    uint8_t mask)
{
    struct inode *inode;
    lsm_status status = LSM_OK;

    mutex_lock(&sim->mu);
    inode = durable_inode_locked(sim, dir, name);
    if (inode == NULL)
        status = fail_absent(name);
    else if (offset >= inode->durable.size)
        status = lsm_fail(LSM_INVALID, "%s: ends before offset %" PRIu64, name, offset);
    else
        inode_flip(inode, offset, mask);
    mutex_unlock(&sim->mu);
    return status;
}

lsm_status sim_cut(struct sim *sim, const char *dir, const char *name, uint64_t size)
{
    struct inode *inode;
    lsm_status status = LSM_OK;

    mutex_lock(&sim->mu);
    inode = durable_inode_locked(sim, dir, name);
    if (inode == NULL)
        status = fail_absent(name);
    else if (size > inode->durable.size)
        status = lsm_fail(LSM_INVALID, "%s: has less than %" PRIu64 " bytes", name, size);
    else
        inode_cut(inode, size);
    mutex_unlock(&sim->mu);
    return status;
}

bool sim_is_durable(struct sim *sim, const char *dir, const char *name, uint64_t size)
{
    struct directory *directory;
    bool is_durable;

    mutex_lock(&sim->mu);
    directory = find_directory_locked(sim, dir);
    is_durable = directory != NULL && directory_name_is_durable(directory, name) &&
                 inode_is_durable(directory_lookup_durable(directory, name), size);
    mutex_unlock(&sim->mu);
    return is_durable;
}

void sim_set_write_hook(struct sim *sim, sim_write_hook hook, void *ctx)
{
    sim->write_hook = hook;
    sim->write_hook_ctx = ctx;
}

void sim_set_unlink_hook(struct sim *sim, sim_unlink_hook hook, void *ctx)
{
    sim->unlink_hook = hook;
    sim->unlink_hook_ctx = ctx;
}

// --- life ---

static const struct env_ops sim_ops = {
    .dir_open = sim_dir_open,
    .dir_close = sim_dir_close,
    .dir_sync = sim_dir_sync,
    .dir_list = sim_dir_list,
    .dir_lock = sim_dir_lock,
    .dir_unlock = sim_dir_unlock,
    .free_space = sim_free_space,
    .file_open = sim_file_open,
    .file_rename = sim_file_rename,
    .file_unlink = sim_file_unlink,
    .file_stat = sim_file_stat,
    .file_read = sim_file_read,
    .file_write = sim_file_write,
    .file_sync = sim_file_sync,
    .file_writeback = sim_file_writeback,
    .file_allocate = sim_file_allocate,
    .file_truncate = sim_file_truncate,
    .file_size = sim_file_size,
    .file_prefetch = sim_file_prefetch,
    .file_close = sim_file_close,
    .clock_mono_ns = sim_clock_mono_ns,
    .clock_wall_ns = sim_clock_wall_ns,
    .random_bytes = sim_random_bytes,
    .process_id = sim_process_id,
    .descriptor_limit = sim_descriptor_limit,
};

// All but the disk.
static struct sim *sim_without_disk(void)
{
    struct sim *sim = calloc(1, sizeof *sim);

    if (sim == NULL)
        return NULL;
    sim->env.ops = &sim_ops;
    mutex_init(&sim->mu, LOCK_LEAF);
    return sim;
}

static lsm_status fail_memory(void)
{
    return lsm_fail(LSM_NO_MEMORY, "sim: %zu bytes", sizeof(struct sim));
}

lsm_status sim_new(uint64_t seed, struct sim **out)
{
    struct sim *sim = sim_without_disk();

    if (sim == NULL)
        return fail_memory();
    disk_init(&sim->disk);
    sim->random.state = seed;
    sim->mono_ns = FIRST_MONO_NS;
    sim->wall_ns = FIRST_WALL_NS;
    *out = sim;
    return LSM_OK;
}

void sim_free(struct sim *sim)
{
    if (sim == NULL)
        return;
    disk_release(&sim->disk);
    mutex_release(&sim->mu);
    free(sim);
}

struct env *sim_env(struct sim *sim)
{
    return &sim->env;
}

lsm_status sim_clone(const struct sim *original, struct sim **out)
{
    // Taking the mutex changes nothing that the caller can see.
    struct mutex *mu = (struct mutex *)&original->mu;
    struct sim *sim = sim_without_disk();

    if (sim == NULL)
        return fail_memory();
    mutex_lock(mu);
    disk_copy(&original->disk, &sim->disk);
    sim->random = original->random;
    sim->mono_ns = original->mono_ns;
    sim->wall_ns = original->wall_ns;
    mutex_unlock(mu);
    *out = sim;
    return LSM_OK;
}

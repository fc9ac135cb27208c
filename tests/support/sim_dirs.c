#include <stdlib.h>

#include "base/alloc.h"
#include "support/sim_state.h"

#define PROCESS_ID 1

struct dir_lock {
    struct sim *sim;
    struct directory *directory;
};

void sim_count_handle_locked(struct sim *sim, struct inode *inode)
{
    sim->handle_count++;
    if (inode != NULL)
        inode->open_count++;
}

static struct sim_call call_on_dir(enum sim_op op, const char *path)
{
    return (struct sim_call){.op = op, .kind = SIM_DIRECTORY, .name = path};
}

// --- directories ---

static bool is_directory(struct sim *sim, const char *canonical)
{
    bool is_there;

    mutex_lock(&sim->mu);
    is_there = disk_find(&sim->disk, canonical) != NULL;
    mutex_unlock(&sim->mu);
    return is_there;
}

static lsm_status open_dir_locked(struct sim *sim, const char *path, const char *canonical,
                                  bool create, struct directory **out)
{
    struct directory *directory = disk_find(&sim->disk, canonical);

    if (directory == NULL && disk_names_file(&sim->disk, canonical))
        return lsm_fail(LSM_INVALID, "%s: is not a directory", path);
    if (directory == NULL && create)
        directory = disk_make(&sim->disk, canonical);
    if (directory != NULL)
        sim_count_handle_locked(sim, NULL);
    *out = directory;
    return LSM_OK;
}

lsm_status sim_dir_open(struct env *env, const char *path, bool create, struct dir **out)
{
    struct sim *sim = sim_of(env);
    struct sim_call call = call_on_dir(SIM_OP_OPEN, path);
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
    call.changes_disk = create && !is_directory(sim, canonical);
    d->directory = NULL;
    status = sim_begin_and_lock(sim, &call);
    if (status == LSM_OK)
        status = open_dir_locked(sim, path, canonical, create, &d->directory);
    else if (!create && sim_finds_nothing(sim, status))
        status = LSM_OK;
    mutex_unlock(&sim->mu);
    free(canonical);
    TRY(status);
    *out = d->directory == NULL ? NULL : &MOVE(d)->base;
    return LSM_OK;
}

void sim_dir_close(struct dir *dir)
{
    struct sim *sim = sim_of(dir->env);

    mutex_lock(&sim->mu);
    sim->handle_count--;
    mutex_unlock(&sim->mu);
    mem_free(dir);
}

lsm_status sim_dir_sync(struct dir *dir)
{
    struct sim *sim = sim_of(dir->env);
    struct sim_call call = call_on_dir(SIM_OP_DIR_SYNC, dir->path);
    lsm_status status;

    call.changes_disk = true;
    status = sim_begin_and_lock(sim, &call);
    if (status == LSM_OK) {
        directory_sync(directory_of(dir));
        disk_collect(&sim->disk);
    }
    mutex_unlock(&sim->mu);
    return status;
}

lsm_status sim_dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    struct sim *sim = sim_of(dir->env);
    const struct sim_call call = call_on_dir(SIM_OP_LIST, dir->path);
    struct listing listing = {0};
    lsm_status status = sim_begin_and_lock(sim, &call);

    if (status == LSM_OK)
        directory_list(&sim->disk, directory_of(dir), &listing);
    mutex_unlock(&sim->mu);
    for (size_t i = 0; i < listing.count && status == LSM_OK; i++)
        status = fn(ctx, listing.items[i].name, listing.items[i].size, listing.items[i].is_file);
    listing_release(&listing);
    return status;
}

// --- the lock ---

static lsm_status lock_dir_locked(struct sim *sim, struct dir *dir, const char *name)
{
    struct directory *directory = directory_of(dir);
    static const char holder[] = "1\n";

    if (directory->is_locked)
        return lsm_fail(LSM_LOCKED, "%s: this process (%d) has it open already", dir->path,
                        PROCESS_ID);
    if (directory_lookup(directory, name) == NULL)
        inode_write(&sim->disk, directory_create(&sim->disk, directory, name), 0, holder,
                    sizeof holder - 1);
    directory->is_locked = true;
    sim_count_handle_locked(sim, NULL);
    return LSM_OK;
}

static bool is_file(struct dir *dir, const char *name)
{
    struct sim *sim = sim_of(dir->env);
    bool is_there;

    mutex_lock(&sim->mu);
    is_there = directory_lookup(directory_of(dir), name) != NULL;
    mutex_unlock(&sim->mu);
    return is_there;
}

lsm_status sim_dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    struct sim *sim = sim_of(dir->env);
    const struct sim_call call = {.op = SIM_OP_OPEN,
                                  .kind = sim_kind_of(name),
                                  .changes_disk = !is_file(dir, name),
                                  .name = name};
    CLEANUP(mem_freep) struct dir_lock *lock = mem_alloc(sizeof *lock);
    lsm_status status;

    if (lock == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", dir->path, sizeof *lock);
    *lock = (struct dir_lock){.sim = sim, .directory = directory_of(dir)};
    status = sim_begin_and_lock(sim, &call);
    if (status == LSM_OK)
        status = lock_dir_locked(sim, dir, name);
    mutex_unlock(&sim->mu);
    TRY(status);
    *out = MOVE(lock);
    return LSM_OK;
}

void sim_dir_unlock(struct dir_lock *lock)
{
    mutex_lock(&lock->sim->mu);
    lock->directory->is_locked = false;
    lock->sim->handle_count--;
    mutex_unlock(&lock->sim->mu);
    mem_free(lock);
}

// --- names ---

static void call_unlink_hook(struct dir *dir, const char *name)
{
    struct sim *sim = sim_of(dir->env);

    if (sim->unlink_hook != NULL && !sim_has_crashed(sim))
        sim->unlink_hook(sim->unlink_hook_ctx, sim, dir->path, name);
}

static lsm_status rename_locked(struct sim *sim, struct dir *dir, const char *from, const char *to)
{
    struct directory *directory = directory_of(dir);

    if (directory_lookup(directory, from) == NULL)
        return lsm_fail(LSM_IO, "%s: there is no such file", from);
    if (directory_has_subdirectory(&sim->disk, directory, to))
        return lsm_fail(LSM_IO, "%s: is a directory", to);
    directory_rename(&sim->disk, directory, from, to);
    return LSM_OK;
}

lsm_status sim_file_rename(struct dir *dir, const char *from, const char *to)
{
    struct sim *sim = sim_of(dir->env);
    const struct sim_call call = {.op = SIM_OP_RENAME,
                                  .kind = sim_kind_of(to),
                                  .changes_disk = true,
                                  .name = from,
                                  .other_name = to};
    lsm_status status;

    call_unlink_hook(dir, to);
    status = sim_begin_and_lock(sim, &call);
    if (status == LSM_OK)
        status = rename_locked(sim, dir, from, to);
    mutex_unlock(&sim->mu);
    return status;
}

lsm_status sim_file_unlink(struct dir *dir, const char *name)
{
    struct sim *sim = sim_of(dir->env);
    struct directory *directory = directory_of(dir);
    const struct sim_call call = {
        .op = SIM_OP_UNLINK, .kind = sim_kind_of(name), .changes_disk = true, .name = name};
    lsm_status status;

    call_unlink_hook(dir, name);
    status = sim_begin_and_lock(sim, &call);
    if (sim_finds_nothing(sim, status))
        status = LSM_OK;
    if (status == LSM_OK && directory_lookup(directory, name) != NULL)
        directory_unlink(&sim->disk, directory, name);
    mutex_unlock(&sim->mu);
    return status;
}

lsm_status sim_file_look(struct dir *dir, const char *name, struct file_facts *out)
{
    struct sim *sim = sim_of(dir->env);
    const struct sim_call call = {.op = SIM_OP_STAT, .kind = sim_kind_of(name), .name = name};
    const struct inode *inode;
    lsm_status status = sim_begin_and_lock(sim, &call);

    if (sim_finds_nothing(sim, status)) {
        *out = (struct file_facts){.is_there = false};
        status = LSM_OK;
    } else if (status == LSM_OK) {
        inode = directory_lookup(directory_of(dir), name);
        *out = (struct file_facts){.is_there = inode != NULL};
        if (inode != NULL)
            out->size = inode->live.size;
    }
    mutex_unlock(&sim->mu);
    return status;
}

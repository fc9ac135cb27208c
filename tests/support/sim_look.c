#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "support/sim_state.h"

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

static lsm_status fail_absent(const char *name)
{
    return lsm_fail(LSM_IO, "%s: there is no such file", name);
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

lsm_status sim_link_all(struct sim *sim, const char *dir, const char *to)
{
    char *canonical = disk_canonical_path(to);
    struct directory *from;
    lsm_status status = LSM_OK;

    assert(canonical != NULL);
    mutex_lock(&sim->mu);
    from = find_directory_locked(sim, dir);
    if (from == NULL)
        status = fail_absent(dir);
    else
        directory_link_all(&sim->disk, from, disk_make(&sim->disk, canonical));
    mutex_unlock(&sim->mu);
    free(canonical);
    return status;
}

uint64_t sim_name_count(struct sim *sim, const char *dir, const char *name)
{
    const struct directory *directory;
    const struct inode *inode;
    uint64_t count;

    mutex_lock(&sim->mu);
    directory = find_directory_locked(sim, dir);
    inode = directory == NULL ? NULL : directory_lookup(directory, name);
    count = inode == NULL ? 0 : disk_name_count(&sim->disk, inode);
    mutex_unlock(&sim->mu);
    return count;
}

struct sim_pending sim_pending(const struct sim *sim)
{
    struct mutex *mu = (struct mutex *)&sim->mu;
    struct sim_pending pending;

    mutex_lock(mu);
    pending = disk_pending(&sim->disk);
    mutex_unlock(mu);
    return pending;
}

uint64_t sim_hash(const struct sim *sim)
{
    struct mutex *mu = (struct mutex *)&sim->mu;
    uint64_t hash;

    mutex_lock(mu);
    hash = disk_hash(&sim->disk);
    mutex_unlock(mu);
    return hash;
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

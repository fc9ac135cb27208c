#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/file_header.h"
#include "support/sim_state.h"

#define FILE_SIZE_MAX (UINT64_C(1) << 32)

struct sim_file {
    struct file base;
    struct inode *inode;
    char *dir_path; // behind `name`
    unsigned kind;  // of the name it was opened by
    bool is_writable;
    bool is_written;
    bool is_found;       // not made through this handle
    uint64_t found_size; // as it was then
    char name[];
};

static struct sim_file *sim_file(struct file *file)
{
    return (struct sim_file *)file;
}

// --- opening ---

static lsm_status find_or_create_locked(struct sim *sim, struct dir *dir, const char *name,
                                        enum file_mode mode, struct inode **out)
{
    struct directory *directory = directory_of(dir);
    struct inode *inode = directory_lookup(directory, name);

    if (directory_has_subdirectory(&sim->disk, directory, name))
        return lsm_fail(LSM_INVALID, "%s: is not a regular file", name);
    if (mode == FILE_CREATE && inode != NULL)
        return lsm_fail(LSM_IO, "%s: exists already", name);
    if (mode == FILE_CREATE)
        inode = directory_create(&sim->disk, directory, name);
    if (inode != NULL)
        sim_count_handle_locked(sim, inode);
    *out = inode;
    return LSM_OK;
}

lsm_status sim_file_open(struct dir *dir, const char *name, enum file_mode mode, struct file **out)
{
    struct sim *sim = sim_of(dir->env);
    const struct sim_call call = {.op = SIM_OP_OPEN,
                                  .kind = sim_kind_of(name),
                                  .changes_disk = mode != FILE_READ,
                                  .name = name};
    size_t name_size = strlen(name) + 1;
    size_t path_size = strlen(dir->path) + 1;
    CLEANUP(mem_freep) struct sim_file *f = mem_alloc(sizeof *f + name_size + path_size);
    lsm_status status;

    if (f == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", name, sizeof *f + name_size + path_size);
    memcpy(f->name, name, name_size);
    f->dir_path = memcpy(f->name + name_size, dir->path, path_size);
    f->base = (struct file){.env = dir->env, .name = f->name};
    f->kind = call.kind;
    f->is_writable = mode != FILE_READ;
    f->is_written = mode == FILE_CREATE;
    f->is_found = mode == FILE_WRITE;
    f->inode = NULL;
    status = sim_begin_and_lock(sim, &call);
    if (status == LSM_OK)
        status = find_or_create_locked(sim, dir, name, mode, &f->inode);
    else if (mode != FILE_CREATE && sim_finds_nothing(sim, status))
        status = LSM_OK;
    if (f->inode != NULL)
        f->found_size = f->inode->live.size;
    mutex_unlock(&sim->mu);
    TRY(status);
    *out = f->inode == NULL ? NULL : &MOVE(f)->base;
    return LSM_OK;
}

lsm_status sim_open_to_change(struct dir *dir, const char *name, struct file **out)
{
    struct file *file;

    TRY(file_open(dir, name, FILE_WRITE, &file));
    sim_file(file)->is_found = false;
    *out = file;
    return LSM_OK;
}

// --- what was found ---

static void end_program(const struct sim_file *f, const char *what)
{
    (void)fprintf(stderr, "sim: %s/%s was found, has %" PRIu64 " names, and is %s\n", f->dir_path,
                  f->name, disk_name_count(&sim_of(f->base.env)->disk, f->inode), what);
    abort();
}

static bool has_one_name(const struct sim_file *f)
{
    return disk_name_count(&sim_of(f->base.env)->disk, f->inode) <= 1;
}

// Lines go behind what was there; one that was lost is replaced by the next.
static void check_write_of_found(const struct sim_file *f, uint64_t offset)
{
    const bool is_line = f->kind == FILENAME_EVENTS && offset >= f->found_size;

    if (f->is_found && f->kind != FILENAME_UNKNOWN && !(is_line && has_one_name(f)))
        end_program(f, "written");
}

static void check_cut_of_found(const struct sim_file *f, uint64_t size)
{
    const bool is_cut =
        f->kind == FILENAME_SEGMENT && size <= f->inode->live.size && size >= FILE_HEADER_SIZE;

    if (f->is_found && f->kind != FILENAME_UNKNOWN && !(is_cut && has_one_name(f)))
        end_program(f, "cut");
}

static void check_allocation_of_found(const struct sim_file *f)
{
    if (f->is_found && f->kind != FILENAME_UNKNOWN)
        end_program(f, "allocated");
}

// --- content ---

// Takes the mutex for a call on an open file; end_on_file() releases it.
static lsm_status begin_on_file(struct file *file, enum sim_op op, bool changes_disk)
{
    const struct sim_call call = {
        .op = op, .kind = sim_file(file)->kind, .changes_disk = changes_disk, .name = file->name};

    TRY(sim_begin_and_lock(sim_of(file->env), &call));
    if (changes_disk && !sim_file(file)->is_writable)
        return lsm_fail(LSM_IO, "%s: is not open for writing", file->name);
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

lsm_status sim_file_read(struct file *file, uint64_t offset, void *to, size_t size, size_t *got)
{
    lsm_status status = begin_on_file(file, SIM_OP_READ, false);

    if (status == LSM_OK) {
        const struct bytes *live = &sim_file(file)->inode->live;
        size_t left = offset < live->size ? live->size - (size_t)offset : 0;
        size_t n = size < left ? size : left;

        if (n > 0)
            bytes_read(live, offset, to, n);
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
        inode_write(&sim_of(file->env)->disk, sim_file(file)->inode, offset, joined, size);
    free(joined);
    return LSM_OK;
}

lsm_status sim_file_write(struct file *file, uint64_t offset, const lsm_slice *parts, size_t count)
{
    struct sim *sim = sim_of(file->env);
    lsm_status status;

    if (sim->write_hook != NULL && !sim_has_crashed(sim))
        sim->write_hook(sim->write_hook_ctx, sim, sim_file(file)->dir_path, file->name, offset,
                        parts, count);
    status = begin_on_file(file, SIM_OP_WRITE, true);
    if (status == LSM_OK || sim->is_faulted)
        check_write_of_found(sim_file(file), offset);
    if (status == LSM_OK)
        status = write_locked(file, offset, parts, count, SIZE_MAX);
    else if (sim->is_faulted)
        (void)write_locked(file, offset, parts, count, sim->fault.short_by);
    return end_on_file(file, status);
}

lsm_status sim_file_sync(struct file *file)
{
    struct sim *sim = sim_of(file->env);
    struct inode *inode = sim_file(file)->inode;
    lsm_status status = begin_on_file(file, SIM_OP_SYNC, true);

    if (status == LSM_OK)
        inode_sync(inode);
    else if (sim->is_faulted)
        inode_lose_changes(inode);
    return end_on_file(file, status);
}

// What is written back early may survive a crash, as any pending change may.
void sim_file_writeback(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

lsm_status sim_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    lsm_status status = begin_on_file(file, SIM_OP_ALLOCATE, true);

    if (status == LSM_OK)
        check_allocation_of_found(sim_file(file));
    if (status == LSM_OK)
        status = check_reach(file, offset, size);
    if (status == LSM_OK && size > 0)
        inode_extend(&sim_of(file->env)->disk, sim_file(file)->inode, offset + size);
    return end_on_file(file, status);
}

lsm_status sim_file_truncate(struct file *file, uint64_t size)
{
    lsm_status status = begin_on_file(file, SIM_OP_TRUNCATE, true);

    if (status == LSM_OK)
        check_cut_of_found(sim_file(file), size);
    if (status == LSM_OK)
        status = check_reach(file, 0, size);
    if (status == LSM_OK)
        inode_resize(&sim_of(file->env)->disk, sim_file(file)->inode, size);
    return end_on_file(file, status);
}

lsm_status sim_file_size(struct file *file, uint64_t *size)
{
    lsm_status status = begin_on_file(file, SIM_OP_STAT, false);

    if (status == LSM_OK)
        *size = sim_file(file)->inode->live.size;
    return end_on_file(file, status);
}

lsm_status sim_file_name_count(struct file *file, uint64_t *count)
{
    lsm_status status = begin_on_file(file, SIM_OP_STAT, false);

    if (status == LSM_OK)
        *count = disk_name_count(&sim_of(file->env)->disk, sim_file(file)->inode);
    return end_on_file(file, status);
}

void sim_file_prefetch(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

// Releases the handle whatever happens; after a crash there is nobody to tell.
lsm_status sim_file_close(struct file *file)
{
    struct sim *sim = sim_of(file->env);
    struct sim_file *f = sim_file(file);
    const struct sim_call call = {
        .op = SIM_OP_CLOSE, .kind = f->kind, .changes_disk = f->is_written, .name = file->name};
    const bool was_off = sim_has_crashed(sim);
    lsm_status status = sim_begin_and_lock(sim, &call);

    f->inode->open_count--;
    sim->handle_count--;
    mutex_unlock(&sim->mu);
    mem_free(f);
    return was_off ? LSM_OK : status;
}

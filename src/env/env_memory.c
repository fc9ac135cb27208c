// env_memory.c -- files and directories in this process's memory.
//
// Nothing is lost before the env is freed, so syncing does nothing. Content is in
// memory_node.c, names in memory_tree.c. Clocks, randomness and the process are the
// machine's own.

#include <inttypes.h>

#include "base/alloc.h"
#include "env/env.h"
#include "env/memory_tree.h"

struct memory_env {
    struct env base; // first, so that an env is cast to it
    struct memory_tree tree;
};

struct memory_dir {
    struct dir base;
    struct memory_folder *folder;
    char path[];
};

struct memory_file {
    struct file base;
    struct memory_node *node;
    bool is_writable;
    char name[];
};

struct dir_lock {
    struct memory_tree *tree;
    struct memory_folder *folder;
};

static struct memory_tree *tree_of(struct env *env)
{
    return &((struct memory_env *)env)->tree;
}

static struct memory_folder *folder_of(struct dir *dir)
{
    return ((struct memory_dir *)dir)->folder;
}

static struct memory_file *memory_file(struct file *file)
{
    return (struct memory_file *)file;
}

static lsm_status fail_memory(const char *name, size_t size)
{
    return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", name, size);
}

// --- directories ---

static lsm_status memory_dir_open(struct env *env, const char *path, bool create, struct dir **out)
{
    struct memory_tree *tree = tree_of(env);
    size_t path_size = strlen(path) + 1;
    CLEANUP(mem_freep) struct memory_dir *d = mem_alloc(sizeof *d + path_size);
    CLEANUP(mem_freep) char *canonical = mem_alloc(path_size);
    lsm_status status;

    if (d == NULL || canonical == NULL)
        return fail_memory(path, sizeof *d + path_size);
    memcpy(d->path, path, path_size);
    d->base = (struct dir){.env = env, .path = d->path};
    if (!canonical_path(path, canonical))
        return lsm_fail(LSM_INVALID, "%s: a path in memory has no '..'", path);
    mutex_lock(&tree->mu);
    status = memory_folder_open_locked(tree, canonical, create, &d->folder);
    mutex_unlock(&tree->mu);
    TRY(status);
    if (d->folder == NULL) {
        *out = NULL;
        return LSM_OK;
    }
    *out = &MOVE(d)->base;
    return LSM_OK;
}

static void memory_dir_close(struct dir *dir)
{
    mem_free(dir);
}

static lsm_status memory_dir_sync(struct dir *dir)
{
    (void)dir;
    return LSM_OK;
}

// A copy of the names, so that the caller's function may change the directory.
struct listed {
    struct listed *next;
    uint64_t size;
    bool is_regular;
    char name[];
};

static void listed_freep(struct listed **list)
{
    while (*list != NULL) {
        struct listed *first = *list;

        *list = first->next;
        mem_free(first);
    }
}

static lsm_status listed_add(struct listed **list, const char *name, uint64_t size, bool is_regular)
{
    size_t name_size = strlen(name) + 1;
    struct listed *listed = mem_alloc(sizeof *listed + name_size);

    if (listed == NULL)
        return fail_memory(name, sizeof *listed + name_size);
    memcpy(listed->name, name, name_size);
    listed->size = size;
    listed->is_regular = is_regular;
    listed->next = *list;
    *list = listed;
    return LSM_OK;
}

static lsm_status list_locked(const struct memory_tree *tree, const struct memory_folder *folder,
                              struct listed **list)
{
    for (const struct memory_node *node = folder->nodes; node != NULL; node = node->next)
        TRY(listed_add(list, node->name, memory_node_size(node), true));
    for (const struct memory_folder *child = tree->folders; child != NULL; child = child->next) {
        const char *name = memory_subfolder_name(folder, child);

        if (name != NULL)
            TRY(listed_add(list, name, 0, false));
    }
    return LSM_OK;
}

static lsm_status memory_dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    struct memory_tree *tree = tree_of(dir->env);
    CLEANUP(listed_freep) struct listed *list = NULL;
    lsm_status status;

    mutex_lock(&tree->mu);
    status = list_locked(tree, folder_of(dir), &list);
    mutex_unlock(&tree->mu);
    TRY(status);
    for (const struct listed *at = list; at != NULL; at = at->next)
        TRY(fn(ctx, at->name, at->size, at->is_regular));
    return LSM_OK;
}

// Nobody outside this process can see the directory, so no file is needed.
static lsm_status memory_dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    struct memory_tree *tree = tree_of(dir->env);
    CLEANUP(mem_freep) struct dir_lock *lock = mem_alloc(sizeof *lock);
    bool was_locked;

    (void)name;
    if (lock == NULL)
        return fail_memory(dir->path, sizeof *lock);
    *lock = (struct dir_lock){.tree = tree, .folder = folder_of(dir)};
    mutex_lock(&tree->mu);
    was_locked = lock->folder->is_locked;
    lock->folder->is_locked = true;
    mutex_unlock(&tree->mu);
    if (was_locked)
        return lsm_fail(LSM_LOCKED, "%s: this process (%" PRIu64 ") has it open already", dir->path,
                        env_process_id(dir->env));
    *out = MOVE(lock);
    return LSM_OK;
}

static void memory_dir_unlock(struct dir_lock *lock)
{
    mutex_lock(&lock->tree->mu);
    lock->folder->is_locked = false;
    mutex_unlock(&lock->tree->mu);
    mem_free(lock);
}

// --- names ---

// `*out` is NULL when there is no such file.
static lsm_status open_node_locked(struct dir *dir, const char *name, enum file_mode mode,
                                   struct memory_node **out)
{
    struct memory_folder *folder = folder_of(dir);
    struct memory_node *node = memory_node_find_locked(folder, name);

    if (memory_has_subfolder_locked(tree_of(dir->env), folder, name))
        return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", dir->path, name);
    if (mode == FILE_CREATE) {
        if (node != NULL)
            return lsm_fail(LSM_IO, "%s/%s: cannot create: exists already", dir->path, name);
        node = memory_node_new(name);
        if (node == NULL)
            return fail_memory(name, sizeof *node);
        node->next = folder->nodes;
        folder->nodes = node;
    }
    if (node != NULL)
        node->handle_count++;
    *out = node;
    return LSM_OK;
}

static lsm_status memory_file_open(struct dir *dir, const char *name, enum file_mode mode,
                                   struct file **out)
{
    struct memory_tree *tree = tree_of(dir->env);
    size_t name_size = strlen(name) + 1;
    CLEANUP(mem_freep) struct memory_file *f = mem_alloc(sizeof *f + name_size);
    lsm_status status;

    if (f == NULL)
        return fail_memory(name, sizeof *f + name_size);
    memcpy(f->name, name, name_size);
    f->base = (struct file){.env = dir->env, .name = f->name};
    f->is_writable = mode != FILE_READ;
    mutex_lock(&tree->mu);
    status = open_node_locked(dir, name, mode, &f->node);
    mutex_unlock(&tree->mu);
    TRY(status);
    if (f->node == NULL) {
        *out = NULL;
        return LSM_OK;
    }
    *out = &MOVE(f)->base;
    return LSM_OK;
}

// Takes the name from the node at `*at`; returns the node when it is to be freed,
// because no handle is left either.
static struct memory_node *unlink_locked(struct memory_node **at)
{
    struct memory_node *node = *at;

    *at = node->next;
    node->next = NULL;
    mem_free(node->name);
    node->name = NULL;
    return node->handle_count == 0 ? node : NULL;
}

static lsm_status memory_file_unlink(struct dir *dir, const char *name)
{
    struct memory_tree *tree = tree_of(dir->env);
    struct memory_node *orphan = NULL;
    struct memory_node **at;

    mutex_lock(&tree->mu);
    at = memory_node_link_locked(folder_of(dir), name);
    if (*at != NULL)
        orphan = unlink_locked(at);
    mutex_unlock(&tree->mu);
    memory_node_free(orphan);
    return LSM_OK;
}

// Gives the file called `from` the name `*to`, an allocation that it takes.
static lsm_status rename_locked(struct dir *dir, const char *from, char **to,
                                struct memory_node **orphan)
{
    struct memory_folder *folder = folder_of(dir);
    struct memory_node *node = memory_node_find_locked(folder, from);
    struct memory_node **target;

    if (node == NULL)
        return lsm_fail(LSM_IO, "%s/%s: there is no such file", dir->path, from);
    if (strcmp(from, *to) == 0)
        return LSM_OK;
    if (memory_has_subfolder_locked(tree_of(dir->env), folder, *to))
        return lsm_fail(LSM_IO, "%s/%s: is a directory", dir->path, *to);
    target = memory_node_link_locked(folder, *to);
    if (*target != NULL)
        *orphan = unlink_locked(target);
    mem_free(node->name);
    node->name = MOVE(*to);
    return LSM_OK;
}

static lsm_status memory_file_rename(struct dir *dir, const char *from, const char *to)
{
    struct memory_tree *tree = tree_of(dir->env);
    size_t name_size = strlen(to) + 1;
    CLEANUP(mem_freep) char *name = mem_alloc(name_size);
    struct memory_node *orphan = NULL;
    lsm_status status;

    if (name == NULL)
        return fail_memory(to, name_size);
    memcpy(name, to, name_size);
    mutex_lock(&tree->mu);
    status = rename_locked(dir, from, &name, &orphan);
    mutex_unlock(&tree->mu);
    memory_node_free(orphan);
    return status;
}

static lsm_status memory_file_look(struct dir *dir, const char *name, struct file_facts *out)
{
    struct memory_tree *tree = tree_of(dir->env);
    const struct memory_node *node;

    mutex_lock(&tree->mu);
    node = memory_node_find_locked(folder_of(dir), name);
    *out = (struct file_facts){.is_there = node != NULL};
    if (node != NULL)
        out->size = memory_node_size(node);
    mutex_unlock(&tree->mu);
    return LSM_OK;
}

// --- content ---

static lsm_status check_writable(struct file *file)
{
    if (!memory_file(file)->is_writable)
        return lsm_fail(LSM_IO, "%s: is not open for writing", file->name);
    return LSM_OK;
}

static lsm_status memory_file_read(struct file *file, uint64_t offset, void *to, size_t size,
                                   size_t *got)
{
    *got = memory_node_read(memory_file(file)->node, offset, to, size);
    return LSM_OK;
}

static lsm_status memory_file_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                                    size_t count)
{
    TRY(check_writable(file));
    return memory_node_write(memory_file(file)->node, file->name, offset, parts, count);
}

static lsm_status memory_file_sync(struct file *file)
{
    (void)file;
    return LSM_OK;
}

// What is in memory needs no hint, about writing or about reading.
static void memory_file_hint(struct file *file, uint64_t offset, uint64_t size)
{
    (void)file;
    (void)offset;
    (void)size;
}

static lsm_status memory_file_allocate(struct file *file, uint64_t offset, uint64_t size)
{
    TRY(check_writable(file));
    return memory_node_allocate(memory_file(file)->node, file->name, offset, size);
}

static lsm_status memory_file_truncate(struct file *file, uint64_t size)
{
    TRY(check_writable(file));
    return memory_node_truncate(memory_file(file)->node, file->name, size);
}

static lsm_status memory_file_size(struct file *file, uint64_t *size)
{
    *size = memory_node_size(memory_file(file)->node);
    return LSM_OK;
}

// There are no links in memory.
static lsm_status memory_file_name_count(struct file *file, uint64_t *count)
{
    struct memory_tree *tree = tree_of(file->env);

    mutex_lock(&tree->mu);
    *count = memory_file(file)->node->name == NULL ? 0 : 1;
    mutex_unlock(&tree->mu);
    return LSM_OK;
}

static lsm_status memory_file_close(struct file *file)
{
    struct memory_tree *tree = tree_of(file->env);
    struct memory_node *node = memory_file(file)->node;
    bool is_orphan;

    mutex_lock(&tree->mu);
    is_orphan = --node->handle_count == 0 && node->name == NULL;
    mutex_unlock(&tree->mu);
    if (is_orphan)
        memory_node_free(node);
    mem_free(file);
    return LSM_OK;
}

// --- the rest of the machine ---

static uint64_t memory_clock_mono_ns(struct env *env)
{
    (void)env;
    return clock_mono_ns(env_posix());
}

static uint64_t memory_clock_boot_ns(struct env *env)
{
    (void)env;
    return clock_boot_ns(env_posix());
}

static uint64_t memory_clock_wall_ns(struct env *env)
{
    (void)env;
    return clock_wall_ns(env_posix());
}

static lsm_status memory_random_bytes(struct env *env, void *to, size_t size)
{
    (void)env;
    return env_random(env_posix(), to, size);
}

static uint64_t memory_process_id(struct env *env)
{
    (void)env;
    return env_process_id(env_posix());
}

static uint64_t memory_descriptor_limit(struct env *env)
{
    (void)env;
    return UINT64_MAX;
}

lsm_status env_memory_new(struct env **out)
{
    static const struct env_ops ops = {
        .dir_open = memory_dir_open,
        .dir_close = memory_dir_close,
        .dir_sync = memory_dir_sync,
        .dir_list = memory_dir_list,
        .dir_lock = memory_dir_lock,
        .dir_unlock = memory_dir_unlock,
        .file_open = memory_file_open,
        .file_rename = memory_file_rename,
        .file_unlink = memory_file_unlink,
        .file_look = memory_file_look,
        .file_read = memory_file_read,
        .file_write = memory_file_write,
        .file_sync = memory_file_sync,
        .file_writeback = memory_file_hint,
        .file_allocate = memory_file_allocate,
        .file_truncate = memory_file_truncate,
        .file_size = memory_file_size,
        .file_name_count = memory_file_name_count,
        .file_prefetch = memory_file_hint,
        .file_close = memory_file_close,
        .clock_mono_ns = memory_clock_mono_ns,
        .clock_boot_ns = memory_clock_boot_ns,
        .clock_wall_ns = memory_clock_wall_ns,
        .random_bytes = memory_random_bytes,
        .process_id = memory_process_id,
        .descriptor_limit = memory_descriptor_limit,
    };
    CLEANUP(mem_freep) struct memory_env *env = mem_alloc_zeroed(1, sizeof *env);

    if (env == NULL)
        return fail_memory("memory", sizeof *env);
    env->base.ops = &ops;
    TRY(memory_tree_init(&env->tree));
    *out = &MOVE(env)->base;
    return LSM_OK;
}

void env_memory_free(struct env *env)
{
    if (env == NULL)
        return;
    memory_tree_release(tree_of(env));
    mem_free(env);
}

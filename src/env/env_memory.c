// env_memory.c -- files and directories in this process's memory.
//
// Nothing is lost before the env is freed, so syncing does nothing. A file's bytes
// lie in chunks, allocated when first written; what was never written reads as
// zeroes. Clocks, randomness and the process are the machine's own.

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "base/alloc.h"
#include "env/env.h"
#include "env/sync.h"

#define CHUNK_SIZE    ((size_t)64 * 1024)
#define FILE_SIZE_MAX ((uint64_t)1 << 44)
#define FREE_SPACE    ((uint64_t)1 << 40)

// A file, there while it has a name or a handle.
struct node {
    // Under the env's mutex.
    struct node *next; // in its folder; unused once it has no name
    char *name;        // NULL once it has none
    size_t handle_count;

    struct mutex mu;       // rank LOCK_LEAF; guards the chunks and writes of `size`
    _Atomic uint64_t size; // read without the mutex where no byte is looked at
    uint8_t **chunks;      // NULL where nothing was written
    size_t chunk_count;
};

// A directory, there until the env is freed.
struct folder {
    struct folder *next;
    struct node *nodes; // those with a name
    bool is_locked;
    char path[]; // canonical: names joined by '/', empty for the root
};

struct memory_env {
    struct env base;     // first, so that an env is cast to it
    struct mutex mu;     // rank LOCK_LEAF, so never together with a node's; guards all names
    struct folder *root; // the last of `folders`
    struct folder *folders;
};

struct memory_dir {
    struct dir base;
    struct folder *folder;
    char path[];
};

struct memory_file {
    struct file base;
    struct node *node;
    bool is_writable;
    char name[];
};

struct dir_lock {
    struct memory_env *env;
    struct folder *folder;
};

static struct memory_env *memory_env(struct env *env)
{
    return (struct memory_env *)env;
}

static struct folder *folder_of(struct dir *dir)
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

static lsm_status fail_absent(const char *name)
{
    return lsm_fail(LSM_NOT_FOUND, "%s: there is no such file", name);
}

// --- nodes ---

static struct node *node_new(const char *name)
{
    struct node *node = mem_alloc_zeroed(1, sizeof *node);
    size_t name_size = strlen(name) + 1;

    if (node == NULL)
        return NULL;
    node->name = mem_alloc(name_size);
    if (node->name == NULL) {
        mem_free(node);
        return NULL;
    }
    memcpy(node->name, name, name_size);
    mutex_init(&node->mu, LOCK_LEAF);
    return node;
}

static void node_free(struct node *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->chunk_count; i++)
        mem_free(node->chunks[i]);
    mem_free(node->chunks);
    mem_free(node->name);
    mutex_release(&node->mu);
    mem_free(node);
}

static uint64_t node_size(const struct node *node)
{
    return atomic_load_explicit(&node->size, memory_order_relaxed);
}

static void set_size_locked(struct node *node, uint64_t size)
{
    atomic_store_explicit(&node->size, size, memory_order_relaxed);
}

// Makes the chunk with `index` there, zeroed when it is new.
static lsm_status ensure_chunk_locked(struct node *node, const char *name, size_t index)
{
    if (index >= node->chunk_count) {
        size_t count = index + 1 > node->chunk_count * 2 ? index + 1 : node->chunk_count * 2;
        uint8_t **chunks = mem_resize_array(node->chunks, count, sizeof *chunks);

        if (chunks == NULL)
            return fail_memory(name, count * sizeof *chunks);
        memset(chunks + node->chunk_count, 0, (count - node->chunk_count) * sizeof *chunks);
        node->chunks = chunks;
        node->chunk_count = count;
    }
    if (node->chunks[index] == NULL)
        node->chunks[index] = mem_alloc_zeroed(1, CHUNK_SIZE);
    return node->chunks[index] == NULL ? fail_memory(name, CHUNK_SIZE) : LSM_OK;
}

// The bytes from `offset` on that lie in one chunk, `left` at most.
static size_t run_in_chunk(uint64_t offset, size_t left)
{
    size_t room = CHUNK_SIZE - (size_t)(offset % CHUNK_SIZE);

    return left < room ? left : room;
}

static void read_locked(const struct node *node, uint64_t offset, uint8_t *to, size_t size)
{
    while (size > 0) {
        size_t index = (size_t)(offset / CHUNK_SIZE);
        size_t n = run_in_chunk(offset, size);

        if (index < node->chunk_count && node->chunks[index] != NULL)
            memcpy(to, node->chunks[index] + offset % CHUNK_SIZE, n);
        else
            memset(to, 0, n);
        offset += n;
        to += n;
        size -= n;
    }
}

static lsm_status write_locked(struct node *node, const char *name, uint64_t offset,
                               const uint8_t *from, size_t size)
{
    while (size > 0) {
        size_t index = (size_t)(offset / CHUNK_SIZE);
        size_t n = run_in_chunk(offset, size);

        TRY(ensure_chunk_locked(node, name, index));
        memcpy(node->chunks[index] + offset % CHUNK_SIZE, from, n);
        offset += n;
        from += n;
        size -= n;
        if (offset > node_size(node))
            set_size_locked(node, offset);
    }
    return LSM_OK;
}

// Cuts, or grows with zeroes: bytes behind the end are zero already.
static void truncate_locked(struct node *node, uint64_t size)
{
    size_t whole = (size_t)((size + CHUNK_SIZE - 1) / CHUNK_SIZE);

    for (size_t i = whole; i < node->chunk_count; i++) {
        mem_free(node->chunks[i]);
        node->chunks[i] = NULL;
    }
    if (size % CHUNK_SIZE != 0 && whole <= node->chunk_count && node->chunks[whole - 1] != NULL)
        memset(node->chunks[whole - 1] + size % CHUNK_SIZE, 0, CHUNK_SIZE - size % CHUNK_SIZE);
    set_size_locked(node, size);
}

// --- folders ---

// Writes the canonical form of `path` at `to`, which has room for it; false when
// it has a "..".
static bool canonical_path(const char *path, char *to)
{
    char *start = to;

    while (*path != '\0') {
        size_t size = strcspn(path, "/");

        if (size == 2 && memcmp(path, "..", 2) == 0)
            return false;
        if (size > 0 && !(size == 1 && *path == '.')) {
            if (to > start)
                *to++ = '/';
            memcpy(to, path, size);
            to += size;
        }
        path += size;
        path += *path == '/';
    }
    *to = '\0';
    return true;
}

static struct folder *folder_find_locked(struct memory_env *env, const char *path, size_t size)
{
    struct folder *folder = env->folders;

    while (folder != NULL && (strncmp(folder->path, path, size) != 0 || folder->path[size] != '\0'))
        folder = folder->next;
    return folder;
}

static struct node **node_link_locked(struct folder *folder, const char *name, size_t size)
{
    struct node **at = &folder->nodes;

    while (*at != NULL && (strncmp((*at)->name, name, size) != 0 || (*at)->name[size] != '\0'))
        at = &(*at)->next;
    return at;
}

static struct node *node_find_locked(struct folder *folder, const char *name)
{
    return *node_link_locked(folder, name, strlen(name));
}

static lsm_status folder_new_locked(struct memory_env *env, const char *path, size_t size,
                                    struct folder **out)
{
    struct folder *folder = mem_alloc_zeroed(1, sizeof *folder + size + 1);

    if (folder == NULL)
        return fail_memory(path, sizeof *folder + size + 1);
    memcpy(folder->path, path, size);
    folder->next = env->folders;
    env->folders = folder;
    *out = folder;
    return LSM_OK;
}

// Walks down `path`, which is canonical, from the root.
static lsm_status folder_open_locked(struct memory_env *env, const char *path, bool create,
                                     struct folder **out)
{
    struct folder *folder = env->root;

    for (size_t start = 0, end; path[start] != '\0'; start = end + (path[end] == '/')) {
        struct folder *child;

        end = start + strcspn(path + start, "/");
        child = folder_find_locked(env, path, end);
        if (child == NULL && *node_link_locked(folder, path + start, end - start) != NULL)
            return lsm_fail(LSM_INVALID, "%s: is not a directory", path);
        if (child == NULL && !create)
            return lsm_fail(LSM_NOT_FOUND, "%s: there is no such directory", path);
        if (child == NULL)
            TRY(folder_new_locked(env, path, end, &child));
        folder = child;
    }
    *out = folder;
    return LSM_OK;
}

// The name of `child` in `folder`, or NULL when it is not directly in it.
static const char *subfolder_name(const struct folder *folder, const struct folder *child)
{
    size_t size = strlen(folder->path);
    const char *name = child->path;

    if (child == folder || strncmp(name, folder->path, size) != 0)
        return NULL;
    name += size;
    if (size > 0 && *name++ != '/')
        return NULL;
    return *name == '\0' || strchr(name, '/') != NULL ? NULL : name;
}

static bool has_subfolder_locked(struct memory_env *env, const struct folder *folder,
                                 const char *name)
{
    for (const struct folder *child = env->folders; child != NULL; child = child->next) {
        const char *child_name = subfolder_name(folder, child);

        if (child_name != NULL && strcmp(child_name, name) == 0)
            return true;
    }
    return false;
}

// --- directories ---

static lsm_status memory_dir_open(struct env *base, const char *path, bool create, struct dir **out)
{
    struct memory_env *env = memory_env(base);
    size_t path_size = strlen(path) + 1;
    CLEANUP(mem_freep) struct memory_dir *d = mem_alloc(sizeof *d + path_size);
    CLEANUP(mem_freep) char *canonical = mem_alloc(path_size);
    lsm_status status;

    if (d == NULL || canonical == NULL)
        return fail_memory(path, sizeof *d + path_size);
    memcpy(d->path, path, path_size);
    d->base = (struct dir){.env = base, .path = d->path};
    if (!canonical_path(path, canonical))
        return lsm_fail(LSM_INVALID, "%s: a path in memory has no '..'", path);
    mutex_lock(&env->mu);
    status = folder_open_locked(env, canonical, create, &d->folder);
    mutex_unlock(&env->mu);
    TRY(status);
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

static lsm_status list_locked(struct memory_env *env, const struct folder *folder,
                              struct listed **list)
{
    for (const struct node *node = folder->nodes; node != NULL; node = node->next)
        TRY(listed_add(list, node->name, node_size(node), true));
    for (const struct folder *child = env->folders; child != NULL; child = child->next) {
        const char *name = subfolder_name(folder, child);

        if (name != NULL)
            TRY(listed_add(list, name, 0, false));
    }
    return LSM_OK;
}

static lsm_status memory_dir_list(struct dir *dir, dir_list_fn fn, void *ctx)
{
    struct memory_env *env = memory_env(dir->env);
    CLEANUP(listed_freep) struct listed *list = NULL;
    lsm_status status;

    mutex_lock(&env->mu);
    status = list_locked(env, folder_of(dir), &list);
    mutex_unlock(&env->mu);
    TRY(status);
    for (const struct listed *at = list; at != NULL; at = at->next)
        TRY(fn(ctx, at->name, at->size, at->is_regular));
    return LSM_OK;
}

// Nobody outside this process can see the directory, so no file is needed.
static lsm_status memory_dir_lock(struct dir *dir, const char *name, struct dir_lock **out)
{
    struct memory_env *env = memory_env(dir->env);
    CLEANUP(mem_freep) struct dir_lock *lock = mem_alloc(sizeof *lock);
    bool was_locked;

    (void)name;
    if (lock == NULL)
        return fail_memory(dir->path, sizeof *lock);
    *lock = (struct dir_lock){.env = env, .folder = folder_of(dir)};
    mutex_lock(&env->mu);
    was_locked = lock->folder->is_locked;
    lock->folder->is_locked = true;
    mutex_unlock(&env->mu);
    if (was_locked)
        return lsm_fail(LSM_LOCKED, "%s: this process (%" PRIu64 ") has it open already", dir->path,
                        env_process_id(dir->env));
    *out = MOVE(lock);
    return LSM_OK;
}

static void memory_dir_unlock(struct dir_lock *lock)
{
    mutex_lock(&lock->env->mu);
    lock->folder->is_locked = false;
    mutex_unlock(&lock->env->mu);
    mem_free(lock);
}

static lsm_status memory_free_space(struct dir *dir, uint64_t *bytes)
{
    (void)dir;
    *bytes = FREE_SPACE; // nothing better is known than what can be addressed
    return LSM_OK;
}

// --- names ---

static lsm_status open_node_locked(struct dir *dir, const char *name, enum file_mode mode,
                                   struct node **out)
{
    struct folder *folder = folder_of(dir);
    struct node *node = node_find_locked(folder, name);

    if (has_subfolder_locked(memory_env(dir->env), folder, name))
        return lsm_fail(LSM_INVALID, "%s/%s: is not a regular file", dir->path, name);
    if (mode == FILE_CREATE) {
        if (node != NULL)
            return lsm_fail(LSM_IO, "%s/%s: cannot create: exists already", dir->path, name);
        node = node_new(name);
        if (node == NULL)
            return fail_memory(name, sizeof *node);
        node->next = folder->nodes;
        folder->nodes = node;
    }
    if (node == NULL)
        return fail_absent(name);
    node->handle_count++;
    *out = node;
    return LSM_OK;
}

static lsm_status memory_file_open(struct dir *dir, const char *name, enum file_mode mode,
                                   struct file **out)
{
    struct memory_env *env = memory_env(dir->env);
    size_t name_size = strlen(name) + 1;
    CLEANUP(mem_freep) struct memory_file *f = mem_alloc(sizeof *f + name_size);
    lsm_status status;

    if (f == NULL)
        return fail_memory(name, sizeof *f + name_size);
    memcpy(f->name, name, name_size);
    f->base = (struct file){.env = dir->env, .name = f->name};
    f->is_writable = mode != FILE_READ;
    mutex_lock(&env->mu);
    status = open_node_locked(dir, name, mode, &f->node);
    mutex_unlock(&env->mu);
    TRY(status);
    *out = &MOVE(f)->base;
    return LSM_OK;
}

// Takes the name from the node at `*at`; returns the node when it is to be freed,
// because no handle is left either.
static struct node *unlink_locked(struct node **at)
{
    struct node *node = *at;

    *at = node->next;
    node->next = NULL;
    mem_free(node->name);
    node->name = NULL;
    return node->handle_count == 0 ? node : NULL;
}

static lsm_status memory_file_unlink(struct dir *dir, const char *name)
{
    struct memory_env *env = memory_env(dir->env);
    struct node *orphan = NULL;
    struct node **at;
    bool is_there;

    mutex_lock(&env->mu);
    at = node_link_locked(folder_of(dir), name, strlen(name));
    is_there = *at != NULL;
    if (is_there)
        orphan = unlink_locked(at);
    mutex_unlock(&env->mu);
    node_free(orphan);
    return is_there ? LSM_OK : fail_absent(name);
}

// Gives `node` the name `to`, which is an allocation of its own.
static lsm_status rename_locked(struct dir *dir, const char *from, char **to, struct node **orphan)
{
    struct folder *folder = folder_of(dir);
    struct node *node = node_find_locked(folder, from);
    struct node **target;

    if (node == NULL)
        return fail_absent(from);
    if (strcmp(from, *to) == 0)
        return LSM_OK;
    if (has_subfolder_locked(memory_env(dir->env), folder, *to))
        return lsm_fail(LSM_IO, "%s/%s: is a directory", dir->path, *to);
    target = node_link_locked(folder, *to, strlen(*to));
    if (*target != NULL)
        *orphan = unlink_locked(target);
    mem_free(node->name);
    node->name = MOVE(*to);
    return LSM_OK;
}

static lsm_status memory_file_rename(struct dir *dir, const char *from, const char *to)
{
    struct memory_env *env = memory_env(dir->env);
    size_t name_size = strlen(to) + 1;
    CLEANUP(mem_freep) char *name = mem_alloc(name_size);
    struct node *orphan = NULL;
    lsm_status status;

    if (name == NULL)
        return fail_memory(to, name_size);
    memcpy(name, to, name_size);
    mutex_lock(&env->mu);
    status = rename_locked(dir, from, &name, &orphan);
    mutex_unlock(&env->mu);
    node_free(orphan);
    return status;
}

static lsm_status memory_file_stat(struct dir *dir, const char *name, uint64_t *size)
{
    struct memory_env *env = memory_env(dir->env);
    const struct node *node;

    mutex_lock(&env->mu);
    node = node_find_locked(folder_of(dir), name);
    if (node != NULL)
        *size = node_size(node);
    mutex_unlock(&env->mu);
    return node == NULL ? fail_absent(name) : LSM_OK;
}

// --- content ---

static lsm_status check_change(struct file *file, uint64_t offset, uint64_t size)
{
    if (!memory_file(file)->is_writable)
        return lsm_fail(LSM_IO, "%s: is not open for writing", file->name);
    if (size > FILE_SIZE_MAX || offset > FILE_SIZE_MAX - size)
        return lsm_fail(LSM_NO_SPACE, "%s: no file has %" PRIu64 " bytes at offset %" PRIu64,
                        file->name, size, offset);
    return LSM_OK;
}

static lsm_status memory_file_read(struct file *file, uint64_t offset, void *to, size_t size,
                                   size_t *got)
{
    struct node *node = memory_file(file)->node;
    uint64_t left;

    mutex_lock(&node->mu);
    left = offset < node_size(node) ? node_size(node) - offset : 0;
    if (size > left)
        size = (size_t)left;
    read_locked(node, offset, to, size);
    mutex_unlock(&node->mu);
    *got = size;
    return LSM_OK;
}

static lsm_status memory_file_write(struct file *file, uint64_t offset, const lsm_slice *parts,
                                    size_t count)
{
    struct node *node = memory_file(file)->node;
    lsm_status status = LSM_OK;

    mutex_lock(&node->mu);
    for (size_t i = 0; i < count && status == LSM_OK; i++) {
        status = check_change(file, offset, parts[i].size);
        if (status == LSM_OK)
            status = write_locked(node, file->name, offset, parts[i].data, parts[i].size);
        offset += parts[i].size;
    }
    mutex_unlock(&node->mu);
    return status;
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
    struct node *node = memory_file(file)->node;
    uint64_t end = offset + size;
    lsm_status status = LSM_OK;

    TRY(check_change(file, offset, size));
    if (size == 0)
        return LSM_OK;
    mutex_lock(&node->mu);
    for (uint64_t i = offset / CHUNK_SIZE; i <= (end - 1) / CHUNK_SIZE && status == LSM_OK; i++)
        status = ensure_chunk_locked(node, file->name, (size_t)i);
    if (status == LSM_OK && end > node_size(node))
        set_size_locked(node, end);
    mutex_unlock(&node->mu);
    return status;
}

static lsm_status memory_file_truncate(struct file *file, uint64_t size)
{
    struct node *node = memory_file(file)->node;

    TRY(check_change(file, 0, size));
    mutex_lock(&node->mu);
    truncate_locked(node, size);
    mutex_unlock(&node->mu);
    return LSM_OK;
}

static lsm_status memory_file_size(struct file *file, uint64_t *size)
{
    *size = node_size(memory_file(file)->node);
    return LSM_OK;
}

static lsm_status memory_file_close(struct file *file)
{
    struct memory_env *env = memory_env(file->env);
    struct node *node = memory_file(file)->node;
    bool is_orphan;

    mutex_lock(&env->mu);
    is_orphan = --node->handle_count == 0 && node->name == NULL;
    mutex_unlock(&env->mu);
    if (is_orphan)
        node_free(node);
    mem_free(file);
    return LSM_OK;
}

// --- the rest of the machine ---

static uint64_t memory_clock_mono_ns(struct env *env)
{
    (void)env;
    return clock_mono_ns(env_posix());
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
        .free_space = memory_free_space,
        .file_open = memory_file_open,
        .file_rename = memory_file_rename,
        .file_unlink = memory_file_unlink,
        .file_stat = memory_file_stat,
        .file_read = memory_file_read,
        .file_write = memory_file_write,
        .file_sync = memory_file_sync,
        .file_writeback = memory_file_hint,
        .file_allocate = memory_file_allocate,
        .file_truncate = memory_file_truncate,
        .file_size = memory_file_size,
        .file_prefetch = memory_file_hint,
        .file_close = memory_file_close,
        .clock_mono_ns = memory_clock_mono_ns,
        .clock_wall_ns = memory_clock_wall_ns,
        .random_bytes = memory_random_bytes,
        .process_id = memory_process_id,
        .descriptor_limit = memory_descriptor_limit,
    };
    CLEANUP(mem_freep) struct memory_env *env = mem_alloc_zeroed(1, sizeof *env);

    if (env == NULL)
        return fail_memory("memory", sizeof *env);
    env->base.ops = &ops;
    TRY(folder_new_locked(env, "", 0, &env->root)); // nobody else has it yet
    mutex_init(&env->mu, LOCK_LEAF);
    *out = &MOVE(env)->base;
    return LSM_OK;
}

static void folder_free(struct folder *folder)
{
    while (folder->nodes != NULL) {
        struct node *node = folder->nodes;

        folder->nodes = node->next;
        assert(node->handle_count == 0 && "files are closed before their env is freed");
        node_free(node);
    }
    mem_free(folder);
}

void env_memory_free(struct env *base)
{
    struct memory_env *env = memory_env(base);

    if (env == NULL)
        return;
    while (env->folders != NULL) {
        struct folder *folder = env->folders;

        env->folders = folder->next;
        folder_free(folder);
    }
    mutex_release(&env->mu);
    mem_free(env);
}

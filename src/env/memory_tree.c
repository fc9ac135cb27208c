#include "env/memory_tree.h"

#include <assert.h>

#include "base/alloc.h"

static lsm_status folder_new_locked(struct memory_tree *tree, const char *path, size_t size,
                                    struct memory_folder **out)
{
    struct memory_folder *folder = mem_alloc_zeroed(1, sizeof *folder + size + 1);

    if (folder == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", path, sizeof *folder + size + 1);
    memcpy(folder->path, path, size);
    folder->next = tree->folders;
    tree->folders = folder;
    *out = folder;
    return LSM_OK;
}

static void folder_free(struct memory_folder *folder)
{
    while (folder->nodes != NULL) {
        struct memory_node *node = folder->nodes;

        folder->nodes = node->next;
        assert(node->handle_count == 0 && "files are closed before their env is freed");
        memory_node_free(node);
    }
    mem_free(folder);
}

lsm_status memory_tree_init(struct memory_tree *tree)
{
    *tree = (struct memory_tree){.folders = NULL};
    TRY(folder_new_locked(tree, "", 0, &tree->root)); // nobody else has it yet
    mutex_init(&tree->mu, LOCK_LEAF);
    return LSM_OK;
}

void memory_tree_release(struct memory_tree *tree)
{
    while (tree->folders != NULL) {
        struct memory_folder *folder = tree->folders;

        tree->folders = folder->next;
        folder_free(folder);
    }
    mutex_release(&tree->mu);
}

bool canonical_path(const char *path, char *to)
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

// Whether the `size` bytes at `name` are all of `text`.
static bool is_name(const char *text, const char *name, size_t size)
{
    return strncmp(text, name, size) == 0 && text[size] == '\0';
}

static struct memory_node **find_link_locked(struct memory_folder *folder, const char *name,
                                             size_t size)
{
    struct memory_node **at = &folder->nodes;

    while (*at != NULL && !is_name((*at)->name, name, size))
        at = &(*at)->next;
    return at;
}

static struct memory_folder *folder_find_locked(struct memory_tree *tree, const char *path,
                                                size_t size)
{
    struct memory_folder *folder = tree->folders;

    while (folder != NULL && !is_name(folder->path, path, size))
        folder = folder->next;
    return folder;
}

lsm_status memory_folder_open_locked(struct memory_tree *tree, const char *path, bool create,
                                     struct memory_folder **out)
{
    struct memory_folder *folder = tree->root;

    for (size_t start = 0, end; path[start] != '\0'; start = end + (path[end] == '/')) {
        struct memory_folder *child;

        end = start + strcspn(path + start, "/");
        child = folder_find_locked(tree, path, end);
        if (child == NULL && *find_link_locked(folder, path + start, end - start) != NULL)
            return lsm_fail(LSM_INVALID, "%s: is not a directory", path);
        if (child == NULL && !create) {
            *out = NULL;
            return LSM_OK;
        }
        if (child == NULL)
            TRY(folder_new_locked(tree, path, end, &child));
        folder = child;
    }
    *out = folder;
    return LSM_OK;
}

const char *memory_subfolder_name(const struct memory_folder *folder,
                                  const struct memory_folder *child)
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

bool memory_has_subfolder_locked(const struct memory_tree *tree, const struct memory_folder *folder,
                                 const char *name)
{
    for (const struct memory_folder *child = tree->folders; child != NULL; child = child->next) {
        const char *child_name = memory_subfolder_name(folder, child);

        if (child_name != NULL && strcmp(child_name, name) == 0)
            return true;
    }
    return false;
}

struct memory_node **memory_node_link_locked(struct memory_folder *folder, const char *name)
{
    return find_link_locked(folder, name, strlen(name));
}

struct memory_node *memory_node_find_locked(struct memory_folder *folder, const char *name)
{
    return *memory_node_link_locked(folder, name);
}

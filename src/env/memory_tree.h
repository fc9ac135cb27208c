// memory_tree.h -- the names of files and directories in this process's memory.
//
// One mutex guards them all; the caller holds it. Folders are few: they are one list.

#ifndef LSM_ENV_MEMORY_TREE_H
#define LSM_ENV_MEMORY_TREE_H

#include "env/memory_node.h"

// A directory, there until the tree is released.
struct memory_folder {
    struct memory_folder *next;
    struct memory_node *nodes; // those with a name
    bool is_locked;            // as by dir_lock()
    char path[];               // canonical: names joined by '/', empty for the root
};

struct memory_tree {
    struct mutex mu;            // rank LOCK_LEAF, so never together with a node's; guards all names
    struct memory_folder *root; // the last of `folders`
    struct memory_folder *folders;
};

lsm_status memory_tree_init(struct memory_tree *tree);
// No handle of a node is open.
void memory_tree_release(struct memory_tree *tree);

// Writes the canonical form of `path` at `to`, which has room for it; false when
// it has a "..".
bool canonical_path(const char *path, char *to);

// Walks down `path`, which is canonical, from the root; with `create`, makes what is missing,
// otherwise `*out` is NULL when something is.
lsm_status memory_folder_open_locked(struct memory_tree *tree, const char *path, bool create,
                                     struct memory_folder **out);
// The name of `child` in `folder`, or NULL when it is not directly in it.
const char *memory_subfolder_name(const struct memory_folder *folder,
                                  const struct memory_folder *child);
bool memory_has_subfolder_locked(const struct memory_tree *tree, const struct memory_folder *folder,
                                 const char *name);

// Where the node called `name` hangs in the list of its folder, or a new one would.
struct memory_node **memory_node_link_locked(struct memory_folder *folder, const char *name);
// NULL when there is none.
struct memory_node *memory_node_find_locked(struct memory_folder *folder, const char *name);

#endif

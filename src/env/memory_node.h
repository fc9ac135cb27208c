// memory_node.h -- the content of a file in this process's memory.
//
// Bytes lie in chunks, allocated when first written; what was never written reads
// as zeroes. The names of nodes, and how many handles are open, are the business of
// env_memory.c and memory_tree.c.

#ifndef LSM_ENV_MEMORY_NODE_H
#define LSM_ENV_MEMORY_NODE_H

#include <stdatomic.h>

#include "base/bytes.h"
#include "env/sync.h"

// There while it has a name or a handle.
struct memory_node {
    // Under the tree's mutex.
    struct memory_node *next; // in its folder; unused once it has no name
    char *name;               // NULL once it has none
    size_t handle_count;

    struct mutex mu;       // rank LOCK_LEAF; guards the chunks and writes of `size`
    _Atomic uint64_t size; // read without the mutex where no byte is looked at
    uint8_t **chunks;      // NULL where nothing was written
    size_t chunk_count;
};

// A node of no bytes and no handle. NULL when there is no memory.
struct memory_node *memory_node_new(const char *name);
void memory_node_free(struct memory_node *node);

uint64_t memory_node_size(const struct memory_node *node);

// Returns how many bytes were read: less than `size` only where the content ends.
size_t memory_node_read(struct memory_node *node, uint64_t offset, void *to, size_t size);

// These take `name`, of the handle, for their words: a node may have lost its own.
// LSM_NO_SPACE beyond the size that a file can have.
lsm_status memory_node_write(struct memory_node *node, const char *name, uint64_t offset,
                             const lsm_slice *parts, size_t count);
lsm_status memory_node_allocate(struct memory_node *node, const char *name, uint64_t offset,
                                uint64_t size);
lsm_status memory_node_truncate(struct memory_node *node, const char *name, uint64_t size);

#endif

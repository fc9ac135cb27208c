// skiplist.h -- the versions of the keys of one keyspace, in order, in an arena.
//
// Nodes hold key and value inline and are never unlinked or changed, but for the
// links. One thread inserts at a time; any thread reads, taking no lock. (Pugh,
// "Skip lists: a probabilistic alternative to balanced trees", 1990.)

#ifndef LSM_MEMTABLE_SKIPLIST_H
#define LSM_MEMTABLE_SKIPLIST_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/ikey.h"

#define SKIPLIST_HEIGHT_MAX 16

struct skiplist_node;
typedef _Atomic(struct skiplist_node *) skiplist_link;

// Behind the struct: `height` links, an expiry when there is one, key, value. What
// a descent compares, the head, and the links it follows lie side by side.
//
// The links are stored with release by the inserting thread and loaded with
// acquire by readers: who reaches a node sees all of it. Everything else is
// written before the node is linked, and immutable from then on. `chain` and `tag`
// are the memtable's, written and read for its index only.
struct skiplist_node {
    skiplist_link chain; // the next key of the bucket
    skiplist_link prev;  // the node before, the root for the first
    uint64_t ts;
    uint32_t keyspace;
    uint32_t value_size;
    uint16_t key_size;
    uint16_t tag; // bits of the key's hash
    uint8_t kind; // enum entry_kind
    uint8_t user_byte;
    uint8_t height;
    bool has_expiry;
    uint64_t head; // slice_head() of the key
    skiplist_link next[];
};

static inline const uint8_t *skiplist_node_key_bytes(const struct skiplist_node *node)
{
    return (const uint8_t *)&node->next[node->height] + (node->has_expiry ? sizeof(uint64_t) : 0);
}

static inline lsm_slice skiplist_node_key(const struct skiplist_node *node)
{
    return slice_make(skiplist_node_key_bytes(node), node->key_size);
}

// The node as an entry that borrows from it.
struct entry skiplist_node_entry(const struct skiplist_node *node);

struct skiplist;

// An empty list for keyspace `keyspace` with towers of at most `height_max` links, or
// NULL when memory is short. It lives as long as the arena.
struct skiplist *skiplist_new(struct arena *arena, uint32_t keyspace, unsigned height_max);

// How many bytes of the arena skiplist_new() takes, at most.
size_t skiplist_size(unsigned height_max);

// A node for `entry`, copied, with a tower of at most `links_max` links (at least 1). The
// arena has room for skiplist_node_size() bytes. Inserting thread only.
struct skiplist_node *skiplist_node_new(struct skiplist *list, struct arena *arena,
                                        const struct entry *entry, size_t links_max);

// Puts the node in. It is newer than all versions of its key in the list; `older` is the
// newest of them where the caller knows it, or NULL. Inserting thread only.
void skiplist_insert(struct skiplist *list, struct skiplist_node *node,
                     struct skiplist_node *older);

// Bytes of a node with one link for `entry_bytes` bytes of key and value, at most;
// each further link takes sizeof(skiplist_link).
static inline size_t skiplist_node_size(size_t entry_bytes)
{
    return sizeof(struct skiplist_node) + sizeof(skiplist_link) + sizeof(uint64_t) + entry_bytes;
}

uint32_t skiplist_keyspace(const struct skiplist *list);

// Each returns NULL where there is no such node.
const struct skiplist_node *skiplist_first(const struct skiplist *list);
const struct skiplist_node *skiplist_last(const struct skiplist *list);
// The first node at or after, and the last at or before `target`, whose keyspace
// is taken to be that of the list.
const struct skiplist_node *skiplist_seek(const struct skiplist *list, const struct ikey *target);
const struct skiplist_node *skiplist_seek_for_prev(const struct skiplist *list,
                                                   const struct ikey *target);
const struct skiplist_node *skiplist_prev(const struct skiplist *list,
                                          const struct skiplist_node *node);

static inline const struct skiplist_node *skiplist_next(const struct skiplist_node *node)
{
    return atomic_load_explicit(&node->next[0], memory_order_acquire);
}

#endif

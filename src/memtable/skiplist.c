// skiplist.c -- towers of links over a sorted list.
//
// Backward moves follow `prev` at the bottom rather than descend again: eight bytes
// per entry buy a backward scan the speed of a forward one. An insert stores the
// link of the node before it last but one and the `prev` of the node behind it
// last, so a backward reader may step over a node that is being inserted, as a
// forward one may, and over no other.
//
// The inserting thread remembers between which two nodes of each level it put the
// last entry (the splice). The next entry climbs from the bottom to the first level
// whose pair encloses it and descends from there: entries in ascending order cost
// no descent at all, neighbours a short one.

#include "memtable/skiplist.h"

#include <assert.h>

#include "base/coding.h"
#include "base/schedule.h"

struct skiplist {
    struct skiplist_node *root; // before all nodes; it has a full tower and no key
    uint32_t keyspace;
    unsigned height_max;
    atomic_uint height; // of the tallest tower; relaxed: to descend from a level too low
                        // is slower, from one too high finds nothing there

    // The inserting thread's.
    uint64_t random;
    struct skiplist_node *before[SKIPLIST_HEIGHT_MAX]; // the splice: neighbours in
    struct skiplist_node *behind[SKIPLIST_HEIGHT_MAX]; // the list of their level
};

// What a descent looks for.
struct target {
    uint64_t head;
    lsm_slice key;
    uint64_t ts;
};

// Two neighbours at the bottom: the last node before the target, the first at or
// after it.
struct place {
    struct skiplist_node *before;
    struct skiplist_node *behind;
};

static struct skiplist_node *node_next(const struct skiplist_node *node, unsigned level)
{
    return atomic_load_explicit(&node->next[level], memory_order_acquire);
}

// Equal heads mean equal first eight bytes where both keys have as many.
static int compare_tails(const struct skiplist_node *node, lsm_slice key)
{
    lsm_slice mine = skiplist_node_key(node);

    if (mine.size < sizeof node->head || key.size < sizeof node->head)
        return slice_compare(mine, key);
    return slice_compare(slice_from(mine, sizeof node->head), slice_from(key, sizeof node->head));
}

static bool node_is_before(const struct skiplist_node *node, const struct target *target)
{
    int order;

    if (LIKELY(node->head != target->head))
        return node->head < target->head;
    order = compare_tails(node, target->key);
    if (order != 0)
        return order < 0;
    return node->ts > target->ts;
}

static bool node_is_at(const struct skiplist_node *node, const struct target *target)
{
    return node->ts == target->ts && node->head == target->head &&
           compare_tails(node, target->key) == 0;
}

// The last node of `level` before the target, not before `from`; `*behind` is the one
// after it. The node after the next is fetched while the next one is compared.
static struct skiplist_node *advance(struct skiplist_node *from, unsigned level,
                                     const struct target *target, struct skiplist_node **behind)
{
    struct skiplist_node *next = node_next(from, level);

    while (next != NULL) {
        struct skiplist_node *after = node_next(next, level);

        __builtin_prefetch(after);
        if (!node_is_before(next, target))
            break;
        from = next;
        next = after;
    }
    *behind = next;
    return from;
}

static struct place descend(const struct skiplist *list, const struct target *target)
{
    struct place place = {.before = list->root};

    for (unsigned level = atomic_load_explicit(&list->height, memory_order_relaxed); level-- > 0;)
        place.before = advance(place.before, level, target, &place.behind);
    return place;
}

static struct target target_of(const struct ikey *ikey)
{
    return (struct target){.head = slice_head(ikey->key), .key = ikey->key, .ts = ikey->ts};
}

struct entry skiplist_node_entry(const struct skiplist_node *node)
{
    const uint8_t *key = skiplist_node_key_bytes(node);

    return (struct entry){
        .keyspace = node->keyspace,
        .kind = node->kind,
        .user_byte = node->user_byte,
        .ts = node->ts,
        .expiry = node->has_expiry ? get_u64(key - sizeof(uint64_t)) : 0,
        .head = node->head,
        .key = slice_make(key, node->key_size),
        .value = slice_make(key + node->key_size, node->value_size),
    };
}

static size_t node_size(unsigned height, size_t entry_bytes)
{
    return skiplist_node_size(entry_bytes) + (height - 1) * sizeof(skiplist_link);
}

size_t skiplist_size(unsigned height_max)
{
    return sizeof(struct skiplist) + node_size(height_max, 0);
}

struct skiplist *skiplist_new(struct arena *arena, uint32_t keyspace, unsigned height_max)
{
    struct skiplist *list = arena_alloc(arena, skiplist_size(height_max));

    assert(height_max >= 1 && height_max <= SKIPLIST_HEIGHT_MAX);
    if (list == NULL)
        return NULL;
    memset(list, 0, skiplist_size(height_max));
    list->root = (struct skiplist_node *)(list + 1);
    list->root->height = (uint8_t)height_max;
    list->keyspace = keyspace;
    list->height_max = height_max;
    atomic_init(&list->height, 1);
    list->random = (uint64_t)keyspace * 2 + 1; // anything but 0 will do
    for (unsigned level = 0; level < height_max; level++)
        list->before[level] = list->root;
    return list;
}

uint32_t skiplist_keyspace(const struct skiplist *list)
{
    return list->keyspace;
}

// One more link with probability 1/4 each.
static unsigned draw_height(struct skiplist *list, size_t links_max)
{
    unsigned height;

    // Xorshift (Marsaglia 2003), multiplied so that the top bits are good ones.
    list->random ^= list->random << 13;
    list->random ^= list->random >> 7;
    list->random ^= list->random << 17;
    height = 1 + (unsigned)__builtin_clzll((list->random * 0x9E3779B97F4A7C15u) | 1) / 2;
    if (height > list->height_max)
        height = list->height_max;
    return height > links_max ? (unsigned)links_max : height;
}

struct skiplist_node *skiplist_node_new(struct skiplist *list, struct arena *arena,
                                        const struct entry *entry, size_t links_max)
{
    const unsigned height = draw_height(list, links_max);
    struct skiplist_node *node =
        arena_alloc(arena, node_size(height, entry->key.size + entry->value.size));
    uint8_t *at;

    assert(node != NULL); // reserved by the caller
    assert(entry->keyspace == list->keyspace && links_max >= 1);
    assert(entry->head == slice_head(entry->key));
    assert(entry->key.size <= UINT16_MAX && entry->value.size <= UINT32_MAX);
    node->ts = entry->ts;
    node->keyspace = entry->keyspace;
    node->value_size = (uint32_t)entry->value.size;
    node->key_size = (uint16_t)entry->key.size;
    node->kind = entry->kind;
    node->user_byte = entry->user_byte;
    node->height = (uint8_t)height;
    node->has_expiry = entry->expiry != 0;
    node->head = entry->head;
    atomic_init(&node->chain, NULL);
    at = (uint8_t *)&node->next[height];
    if (node->has_expiry) {
        put_u64(at, entry->expiry);
        at += sizeof(uint64_t);
    }
    if (entry->key.size != 0)
        memcpy(at, entry->key.data, entry->key.size);
    if (entry->value.size != 0)
        memcpy(at + entry->key.size, entry->value.data, entry->value.size);
    return node;
}

static bool splice_encloses(const struct skiplist *list, unsigned level,
                            const struct target *target)
{
    const struct skiplist_node *before = list->before[level];
    const struct skiplist_node *behind = list->behind[level];

    return (before == list->root || node_is_before(before, target)) &&
           (behind == NULL || !node_is_before(behind, target));
}

// Moves the splice around `target`. Its pairs are neighbours and nest, so the lowest
// pair that encloses the target has only such pairs above it.
static void splice_move(struct skiplist *list, const struct target *target)
{
    const unsigned height = atomic_load_explicit(&list->height, memory_order_relaxed);
    struct skiplist_node *from = list->root;
    unsigned level = 0;

    while (level < height && !splice_encloses(list, level, target))
        level++;
    if (level < height)
        from = list->before[level];
    while (level-- > 0) {
        from = advance(from, level, target, &list->behind[level]);
        list->before[level] = from;
    }
}

// Puts `node` between two neighbours of the bottom list.
static void link_bottom(struct skiplist_node *node, struct skiplist_node *before,
                        struct skiplist_node *behind)
{
    atomic_init(&node->next[0], behind);
    atomic_init(&node->prev, before);
    SCHEDULE_POINT();
    atomic_store_explicit(&before->next[0], node, memory_order_release);
    if (behind != NULL)
        atomic_store_explicit(&behind->prev, node, memory_order_release);
}

// The place of a further version of a key is right before the version it follows: a
// node with one link needs no search. The splice keeps its pair at the bottom only
// as far as it is still one of neighbours.
static void link_before(struct skiplist *list, struct skiplist_node *node,
                        struct skiplist_node *older)
{
    struct skiplist_node *before = atomic_load_explicit(&older->prev, memory_order_relaxed);

    link_bottom(node, before, older);
    if (list->behind[0] == older)
        list->behind[0] = node;
}

static void link_by_splice(struct skiplist *list, struct skiplist_node *node)
{
    const struct target target = {
        .head = node->head, .key = skiplist_node_key(node), .ts = node->ts};

    if (node->height > atomic_load_explicit(&list->height, memory_order_relaxed))
        atomic_store_explicit(&list->height, node->height, memory_order_relaxed);
    splice_move(list, &target);
    link_bottom(node, list->before[0], list->behind[0]);
    for (unsigned level = 1; level < node->height; level++) {
        atomic_init(&node->next[level], list->behind[level]);
        atomic_store_explicit(&list->before[level]->next[level], node, memory_order_release);
    }
    for (unsigned level = 0; level < node->height; level++)
        list->before[level] = node;
}

void skiplist_insert(struct skiplist *list, struct skiplist_node *node, struct skiplist_node *older)
{
    assert(older == NULL || older->ts < node->ts);
    if (older != NULL && node->height == 1)
        link_before(list, node, older);
    else
        link_by_splice(list, node);
}

const struct skiplist_node *skiplist_first(const struct skiplist *list)
{
    return skiplist_next(list->root);
}

const struct skiplist_node *skiplist_last(const struct skiplist *list)
{
    const struct skiplist_node *node = list->root;

    for (unsigned level = atomic_load_explicit(&list->height, memory_order_relaxed); level-- > 0;) {
        for (const struct skiplist_node *next = node; next != NULL; next = node_next(node, level))
            node = next;
    }
    return node == list->root ? NULL : node;
}

const struct skiplist_node *skiplist_seek(const struct skiplist *list, const struct ikey *target)
{
    const struct target t = target_of(target);

    return descend(list, &t).behind;
}

const struct skiplist_node *skiplist_seek_for_prev(const struct skiplist *list,
                                                   const struct ikey *target)
{
    const struct target t = target_of(target);
    struct place place = descend(list, &t);

    if (place.behind != NULL && node_is_at(place.behind, &t))
        return place.behind;
    return place.before == list->root ? NULL : place.before;
}

const struct skiplist_node *skiplist_prev(const struct skiplist *list,
                                          const struct skiplist_node *node)
{
    const struct skiplist_node *prev = atomic_load_explicit(&node->prev, memory_order_acquire);

    return prev == list->root ? NULL : prev;
}

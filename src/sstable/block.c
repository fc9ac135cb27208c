#include "sstable/block.h"

#include <assert.h>

#include "sstable/layout.h"

struct block_view block_view_of(const void *bytes)
{
    const uint8_t *at = bytes;
    struct block_view v;

    v.count = get_u32(at);
    v.prefix_size = get_u32(at + 4);
    v.ts_base = get_u64(at + 8);
    v.ts_size = at[16];
    v.is_wide = at[17] == sizeof(uint32_t);
    v.ts_mask = v.ts_size == 0 ? 0 : UINT64_MAX >> (64 - 8 * v.ts_size);
    v.heads = at + BLOCK_HEADER_SIZE;
    v.offsets = v.heads + (size_t)v.count * BLOCK_HEAD_SIZE;
    v.prefix = v.offsets + ((size_t)v.count + 1) * at[17];
    v.entries = v.prefix + v.prefix_size;
    return v;
}

// The eight bytes of the full key of `target` from `from` on, as a head.
static uint64_t target_head(const struct ikey *target, size_t from)
{
    uint8_t start[BLOCK_KEYSPACE_SIZE + BLOCK_HEAD_SIZE] = {0};
    uint64_t head = slice_head(target->key);

    if (from == BLOCK_KEYSPACE_SIZE + target->key.size)
        return 0; // nothing is left; an empty key may lie nowhere
    if (from >= BLOCK_KEYSPACE_SIZE)
        return slice_head(slice_from(target->key, from - BLOCK_KEYSPACE_SIZE));
    block_put_keyspace(start, target->keyspace);
    for (size_t i = 0; i < BLOCK_HEAD_SIZE; i++)
        start[BLOCK_KEYSPACE_SIZE + i] = (uint8_t)(head >> (56 - 8 * i));
    return slice_head(slice_make(start + from, BLOCK_HEAD_SIZE));
}

// Compares the start of the full key of `target` with the prefix of the block.
static int compare_prefix(const struct block_view *view, const struct ikey *target)
{
    uint8_t keyspace[BLOCK_KEYSPACE_SIZE];
    size_t prefix_left;
    size_t common;
    int order;

    block_put_keyspace(keyspace, target->keyspace);
    if (view->prefix_size <= BLOCK_KEYSPACE_SIZE)
        return memcmp(keyspace, view->prefix, view->prefix_size);
    order = memcmp(keyspace, view->prefix, BLOCK_KEYSPACE_SIZE);
    if (order != 0)
        return order;
    prefix_left = view->prefix_size - BLOCK_KEYSPACE_SIZE;
    common = target->key.size < prefix_left ? target->key.size : prefix_left;
    order = common == 0 ? 0 : memcmp(target->key.data, view->prefix + BLOCK_KEYSPACE_SIZE, common);
    return order != 0 ? order : -(target->key.size < prefix_left);
}

// What of a full key is compared where heads are equal.
struct suffix {
    lsm_slice tail;
    size_t size;
    uint64_t ts;
};

static struct suffix target_suffix(const struct block_view *view, const struct ikey *target)
{
    struct suffix s = {.ts = target->ts, .tail = slice_make("", 0)};

    s.size = BLOCK_KEYSPACE_SIZE + target->key.size - view->prefix_size;
    if (s.size > BLOCK_HEAD_SIZE)
        s.tail = slice_from(target->key, target->key.size - (s.size - BLOCK_HEAD_SIZE));
    return s;
}

// Orders two full keys with equal heads. A key that ends within its head is padded
// with zeroes there, so it is a prefix of the other, or the other way round, and
// the sizes decide; only two longer ones have tails to compare.
static inline int compare_suffix(const struct suffix *a, const struct suffix *b)
{
    size_t common = a->tail.size < b->tail.size ? a->tail.size : b->tail.size;
    int order = common == 0 ? 0 : memcmp(a->tail.data, b->tail.data, common);

    if (order == 0)
        order = (a->size > b->size) - (a->size < b->size);
    if (order == 0)
        order = (a->ts < b->ts) - (a->ts > b->ts);
    return order;
}

// Index of the first head that is at least `head`.
static uint32_t lower_bound_head(const struct block_view *view, uint64_t head)
{
    uint32_t base = 0;
    uint32_t left = view->count;

    while (left > 1) {
        uint32_t half = left / 2;

        // A conditional move, not a branch: its outcome is a coin toss.
        base += block_head_at(view, base + half - 1) < head ? half : 0;
        left -= half;
    }
    return base + (left == 1 && block_head_at(view, base) < head);
}

static int compare_entry(const struct block_view *view, uint32_t i, const struct suffix *target)
{
    struct block_entry e;
    struct suffix s;

    block_entry_at(view, i, &e);
    s = (struct suffix){.tail = e.tail, .size = e.suffix_size, .ts = e.ts};
    return compare_suffix(&s, target);
}

uint32_t block_lower_bound(const struct block_view *view, const struct ikey *target)
{
    int order = compare_prefix(view, target);
    struct suffix suffix;
    uint64_t head;
    uint32_t low;
    uint32_t high;

    if (order != 0)
        return order < 0 ? 0 : view->count;
    suffix = target_suffix(view, target);
    head = target_head(target, view->prefix_size);
    low = lower_bound_head(view, head);
    if (low == view->count || block_head_at(view, low) != head ||
        compare_entry(view, low, &suffix) >= 0)
        return low;
    // Many keys, or versions of one, share this head: search among them.
    high = head == UINT64_MAX ? view->count : lower_bound_head(view, head + 1);
    low++;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (compare_entry(view, middle, &suffix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool block_entry_has_key(const struct block_view *view, const struct block_entry *e,
                         const struct ikey *key)
{
    struct suffix suffix;

    if (block_key_size(view, e) != BLOCK_KEYSPACE_SIZE + key->key.size ||
        compare_prefix(view, key) != 0)
        return false;
    suffix = target_suffix(view, key);
    return e->head == target_head(key, view->prefix_size) && slice_equal(e->tail, suffix.tail);
}

struct entry block_assemble(const struct block_view *view, uint32_t i, uint8_t *key)
{
    struct block_entry e;
    struct entry entry;

    block_entry_at(view, i, &e);
    memcpy(key, view->prefix, view->prefix_size);
    block_key_complete(view, &e, key);
    entry.keyspace = block_keyspace_of(key);
    entry.kind = e.kind;
    entry.user_byte = e.user_byte;
    entry.ts = e.ts;
    entry.expiry = e.expiry;
    entry.key =
        slice_make(key + BLOCK_KEYSPACE_SIZE, block_key_size(view, &e) - BLOCK_KEYSPACE_SIZE);
    entry.head = slice_head(entry.key);
    entry.value = e.value;
    return entry;
}

static lsm_status fail_malformed(const char *what)
{
    return lsm_fail(LSM_CORRUPT, "malformed block: %s", what);
}

static lsm_status check_frame(lsm_slice bytes)
{
    const uint8_t *at = bytes.data;
    uint64_t size;

    if (bytes.size < BLOCK_HEADER_SIZE)
        return fail_malformed("shorter than its header");
    if (at[16] > sizeof(uint64_t) || (at[17] != sizeof(uint16_t) && at[17] != sizeof(uint32_t)))
        return fail_malformed("width of timestamps or offsets");
    for (size_t i = 18; i < BLOCK_HEADER_SIZE; i++) {
        if (at[i] != 0)
            return fail_malformed("reserved bytes are not zero");
    }
    size = BLOCK_HEADER_SIZE + (uint64_t)get_u32(at) * (BLOCK_HEAD_SIZE + at[17]) + at[17] +
           get_u32(at + 4);
    if (get_u32(at) == 0 || get_u32(at + 4) > BLOCK_KEYSPACE_SIZE + LAYOUT_KEY_SIZE_MAX ||
        size > bytes.size)
        return fail_malformed("more entries than bytes");
    return LSM_OK;
}

// Each entry starts where the one before ends, and the last ends with the block.
static bool offsets_are_good(const struct block_view *view, size_t entries_size)
{
    if (block_offset_at(view, 0) != 0 || block_offset_at(view, view->count) != entries_size)
        return false;
    for (uint32_t i = 0; i < view->count; i++) {
        if (block_offset_at(view, i) >= block_offset_at(view, i + 1))
            return false;
    }
    return true;
}

static bool entry_is_good(const struct block_view *view, const struct block_entry *e,
                          enum block_kind kind)
{
    size_t key_size = block_key_size(view, e);

    if (key_size < BLOCK_KEYSPACE_SIZE || key_size > BLOCK_KEYSPACE_SIZE + LAYOUT_KEY_SIZE_MAX)
        return false;
    if (e->suffix_size < BLOCK_HEAD_SIZE &&
        (e->suffix_size == 0 ? e->head : e->head << 8 * e->suffix_size) != 0)
        return false;
    if (e->value.size > LAYOUT_VALUE_SIZE_MAX || e->ts < view->ts_base)
        return false;
    if (kind == BLOCK_INDEX)
        return e->kind == ENTRY_VALUE;
    return entry_kind_is_known(e->kind) && (e->kind != ENTRY_DELETE || e->value.size == 0);
}

lsm_status block_check(lsm_slice bytes, enum block_kind kind)
{
    struct block_view view;
    struct suffix previous = {.size = 0};
    uint64_t previous_head = 0;

    TRY(check_frame(bytes));
    view = block_view_of(bytes.data);
    if (kind == BLOCK_DATA && view.prefix_size < BLOCK_KEYSPACE_SIZE)
        return fail_malformed("spans keyspaces");
    if (!offsets_are_good(&view, (size_t)((const uint8_t *)bytes.data + bytes.size - view.entries)))
        return fail_malformed("offsets of entries");
    for (uint32_t i = 0; i < view.count; i++) {
        struct block_entry e;
        struct suffix suffix;

        if (!block_entry_decode(&view, i, view.entries + block_offset_at(&view, i),
                                view.entries + block_offset_at(&view, i + 1), &e) ||
            !entry_is_good(&view, &e, kind))
            return fail_malformed("an entry");
        suffix = (struct suffix){.tail = e.tail, .size = e.suffix_size, .ts = e.ts};
        if (i > 0 && (e.head < previous_head ||
                      (e.head == previous_head && compare_suffix(&previous, &suffix) >= 0)))
            return fail_malformed("entries out of order");
        previous = suffix;
        previous_head = e.head;
    }
    return LSM_OK;
}

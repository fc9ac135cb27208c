#include "env/memory_node.h"

#include <inttypes.h>

#include "base/alloc.h"

#define CHUNK_SIZE    ((size_t)64 * 1024)
#define FILE_SIZE_MAX ((uint64_t)1 << 44)

struct memory_node *memory_node_new(const char *name)
{
    struct memory_node *node = mem_alloc_zeroed(1, sizeof *node);
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

void memory_node_free(struct memory_node *node)
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

uint64_t memory_node_size(const struct memory_node *node)
{
    return atomic_load_explicit(&node->size, memory_order_relaxed);
}

static void set_size_locked(struct memory_node *node, uint64_t size)
{
    atomic_store_explicit(&node->size, size, memory_order_relaxed);
}

static lsm_status fail_memory(const char *name, size_t size)
{
    return lsm_fail(LSM_NO_MEMORY, "%s: %zu bytes", name, size);
}

static lsm_status check_size(const char *name, uint64_t offset, uint64_t size)
{
    if (size > FILE_SIZE_MAX || offset > FILE_SIZE_MAX - size)
        return lsm_fail(LSM_NO_SPACE, "%s: no file has %" PRIu64 " bytes at offset %" PRIu64, name,
                        size, offset);
    return LSM_OK;
}

// The bytes from `offset` on that lie in one chunk, `left` at most.
static size_t run_in_chunk(uint64_t offset, size_t left)
{
    size_t room = CHUNK_SIZE - (size_t)(offset % CHUNK_SIZE);

    return left < room ? left : room;
}

static void read_locked(const struct memory_node *node, uint64_t offset, uint8_t *to, size_t size)
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

size_t memory_node_read(struct memory_node *node, uint64_t offset, void *to, size_t size)
{
    uint64_t left;

    mutex_lock(&node->mu);
    left = offset < memory_node_size(node) ? memory_node_size(node) - offset : 0;
    if (size > left)
        size = (size_t)left;
    read_locked(node, offset, to, size);
    mutex_unlock(&node->mu);
    return size;
}

// Makes the chunk with `index` there, zeroed when it is new.
static lsm_status ensure_chunk_locked(struct memory_node *node, const char *name, size_t index)
{
    if (index >= node->chunk_count) {
        const size_t old = node->chunk_count;

        if (!mem_reserve(&node->chunks, &node->chunk_count, old, index + 1 - old,
                         sizeof *node->chunks))
            return fail_memory(name, (index + 1) * sizeof *node->chunks);
        memset(node->chunks + old, 0, (node->chunk_count - old) * sizeof *node->chunks);
    }
    if (node->chunks[index] == NULL)
        node->chunks[index] = mem_alloc_zeroed(1, CHUNK_SIZE);
    return node->chunks[index] == NULL ? fail_memory(name, CHUNK_SIZE) : LSM_OK;
}

static lsm_status write_locked(struct memory_node *node, const char *name, uint64_t offset,
                               lsm_slice bytes)
{
    const uint8_t *from = bytes.data;

    TRY(check_size(name, offset, bytes.size));
    for (size_t left = bytes.size; left > 0;) {
        size_t index = (size_t)(offset / CHUNK_SIZE);
        size_t n = run_in_chunk(offset, left);

        TRY(ensure_chunk_locked(node, name, index));
        memcpy(node->chunks[index] + offset % CHUNK_SIZE, from, n);
        offset += n;
        from += n;
        left -= n;
        if (offset > memory_node_size(node))
            set_size_locked(node, offset);
    }
    return LSM_OK;
}

lsm_status memory_node_write(struct memory_node *node, const char *name, uint64_t offset,
                             const lsm_slice *parts, size_t count)
{
    lsm_status status = LSM_OK;

    mutex_lock(&node->mu);
    for (size_t i = 0; i < count && status == LSM_OK; i++) {
        status = write_locked(node, name, offset, parts[i]);
        offset += parts[i].size;
    }
    mutex_unlock(&node->mu);
    return status;
}

lsm_status memory_node_allocate(struct memory_node *node, const char *name, uint64_t offset,
                                uint64_t size)
{
    const uint64_t end = offset + size;
    lsm_status status = LSM_OK;

    TRY(check_size(name, offset, size));
    if (size == 0)
        return LSM_OK;
    mutex_lock(&node->mu);
    for (uint64_t i = offset / CHUNK_SIZE; i <= (end - 1) / CHUNK_SIZE && status == LSM_OK; i++)
        status = ensure_chunk_locked(node, name, (size_t)i);
    if (status == LSM_OK && end > memory_node_size(node))
        set_size_locked(node, end);
    mutex_unlock(&node->mu);
    return status;
}

// Cuts, or grows with zeroes: bytes behind the end are zero already.
static void truncate_locked(struct memory_node *node, uint64_t size)
{
    const size_t whole = (size_t)((size + CHUNK_SIZE - 1) / CHUNK_SIZE);
    const size_t part = (size_t)(size % CHUNK_SIZE); // of the last chunk that stays

    for (size_t i = whole; i < node->chunk_count; i++) {
        mem_free(node->chunks[i]);
        node->chunks[i] = NULL;
    }
    if (part != 0 && whole <= node->chunk_count && node->chunks[whole - 1] != NULL)
        memset(node->chunks[whole - 1] + part, 0, CHUNK_SIZE - part);
    set_size_locked(node, size);
}

lsm_status memory_node_truncate(struct memory_node *node, const char *name, uint64_t size)
{
    TRY(check_size(name, 0, size));
    mutex_lock(&node->mu);
    truncate_locked(node, size);
    mutex_unlock(&node->mu);
    return LSM_OK;
}

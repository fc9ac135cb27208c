#include "support/sim_bytes.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "support/random.h"

#define PAGE_SIZE     4096
#define GARBAGE_PAGES 16

struct page {
    _Atomic unsigned copies; // that share it
    uint8_t data[PAGE_SIZE];
};

// --- memory that cannot run out ---

void *must_resize(void *block, size_t size)
{
    void *resized = realloc(block, size > 0 ? size : 1);

    if (resized == NULL) {
        fprintf(stderr, "sim: out of memory, %zu bytes\n", size);
        abort();
    }
    return resized;
}

void *must_zeroed(size_t size)
{
    return memset(must_resize(NULL, size), 0, size);
}

void *must_copy(const void *data, size_t size)
{
    void *copy = must_resize(NULL, size);

    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *must_copy_text(const char *text)
{
    return must_copy(text, strlen(text) + 1);
}

void *must_grow(void *array, size_t count, size_t *capacity, size_t element_size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 4 : *capacity * 2;
    return must_resize(array, *capacity * element_size);
}

// --- pages ---

static void page_unref(struct page *page)
{
    // Release and acquire: whoever frees it sees what the other copies read of it done.
    if (page != NULL && atomic_fetch_sub_explicit(&page->copies, 1, memory_order_acq_rel) == 1)
        free(page);
}

static struct page *page_ref(struct page *page)
{
    if (page != NULL)
        atomic_fetch_add_explicit(&page->copies, 1, memory_order_relaxed);
    return page;
}

// The page at `*slot`, made this copy's own.
static struct page *page_own(struct page **slot)
{
    struct page *page = *slot;

    if (page != NULL && atomic_load_explicit(&page->copies, memory_order_acquire) == 1)
        return page;
    *slot = must_resize(NULL, sizeof **slot);
    atomic_init(&(*slot)->copies, 1);
    if (page == NULL)
        memset((*slot)->data, 0, PAGE_SIZE);
    else
        memcpy((*slot)->data, page->data, PAGE_SIZE);
    page_unref(page);
    return *slot;
}

static size_t pages_for(uint64_t size)
{
    return (size_t)((size + PAGE_SIZE - 1) / PAGE_SIZE);
}

// --- bytes ---

void bytes_release(struct bytes *bytes)
{
    for (size_t i = 0; i < bytes->page_count; i++)
        page_unref(bytes->pages[i]);
    free(bytes->pages);
    *bytes = (struct bytes){0};
}

void bytes_resize(struct bytes *bytes, uint64_t size)
{
    const size_t page_count = pages_for(size);
    const size_t in_last = (size_t)(size % PAGE_SIZE);

    for (size_t i = page_count; i < bytes->page_count; i++)
        page_unref(bytes->pages[i]);
    if (page_count != bytes->page_count)
        bytes->pages = must_resize(bytes->pages, page_count * sizeof(struct page *));
    for (size_t i = bytes->page_count; i < page_count; i++)
        bytes->pages[i] = NULL;
    if (size < bytes->size && in_last > 0 && bytes->pages[page_count - 1] != NULL)
        memset(page_own(&bytes->pages[page_count - 1])->data + in_last, 0, PAGE_SIZE - in_last);
    bytes->page_count = page_count;
    bytes->size = (size_t)size;
}

void bytes_write(struct bytes *bytes, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *from = data;

    if (size > 0 && offset + size > bytes->size)
        bytes_resize(bytes, offset + size);
    while (size > 0) {
        const size_t at = (size_t)(offset % PAGE_SIZE);
        const size_t n = size < PAGE_SIZE - at ? size : PAGE_SIZE - at;

        memcpy(page_own(&bytes->pages[offset / PAGE_SIZE])->data + at, from, n);
        from += n;
        offset += n;
        size -= n;
    }
}

void bytes_read(const struct bytes *bytes, uint64_t offset, void *to, size_t size)
{
    uint8_t *at = to;

    while (size > 0) {
        const struct page *page = bytes->pages[offset / PAGE_SIZE];
        const size_t in_page = (size_t)(offset % PAGE_SIZE);
        const size_t n = size < PAGE_SIZE - in_page ? size : PAGE_SIZE - in_page;

        if (page == NULL)
            memset(at, 0, n);
        else
            memcpy(at, page->data + in_page, n);
        at += n;
        offset += n;
        size -= n;
    }
}

void bytes_copy(const struct bytes *from, struct bytes *to)
{
    bytes_release(to);
    to->pages = must_copy(from->pages, from->page_count * sizeof(struct page *));
    to->page_count = from->page_count;
    to->size = from->size;
    for (size_t i = 0; i < to->page_count; i++)
        (void)page_ref(to->pages[i]);
}

// Random bytes that are made once; a file preallocated with garbage shares them.
static struct page *garbage_page(uint64_t number)
{
    static _Atomic(struct page *) pages[GARBAGE_PAGES];
    _Atomic(struct page *) *slot = &pages[number % GARBAGE_PAGES];
    struct page *page = atomic_load_explicit(slot, memory_order_acquire);
    struct random random = {.state = number % GARBAGE_PAGES};

    if (page != NULL)
        return page;
    page = must_zeroed(sizeof *page);
    page->copies = 1;
    random_fill(&random, page->data, PAGE_SIZE);
    atomic_store_explicit(slot, page, memory_order_release); // one of equal ones stays
    return page;
}

void bytes_grow_with_garbage(struct bytes *bytes, uint64_t size, uint64_t seed)
{
    uint64_t at = bytes->size;

    while (at < size) {
        const size_t in_page = (size_t)(at % PAGE_SIZE);
        const uint64_t end = at - in_page + PAGE_SIZE < size ? at - in_page + PAGE_SIZE : size;
        struct page *garbage = garbage_page(seed + at / PAGE_SIZE);

        if (end - at == PAGE_SIZE) {
            bytes_resize(bytes, end);
            bytes->pages[at / PAGE_SIZE] = page_ref(garbage);
        } else {
            bytes_write(bytes, at, garbage->data + in_page, (size_t)(end - at));
        }
        at = end;
    }
}

static bool pages_equal(const struct page *a, const struct page *b, size_t size)
{
    static const uint8_t zeroes[PAGE_SIZE];

    return a == b || memcmp(a == NULL ? zeroes : a->data, b == NULL ? zeroes : b->data, size) == 0;
}

bool bytes_equal(const struct bytes *a, const struct bytes *b, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += PAGE_SIZE) {
        const size_t n = size - at < PAGE_SIZE ? (size_t)(size - at) : PAGE_SIZE;

        if (!pages_equal(a->pages[at / PAGE_SIZE], b->pages[at / PAGE_SIZE], n))
            return false;
    }
    return true;
}

uint64_t bytes_hash(const struct bytes *bytes, uint64_t seed)
{
    uint64_t hash = XXH3_64bits_withSeed(&bytes->size, sizeof bytes->size, seed);

    for (size_t i = 0; i < bytes->page_count; i++) {
        if (bytes->pages[i] != NULL)
            hash = XXH3_64bits_withSeed(bytes->pages[i]->data, PAGE_SIZE, hash + i);
    }
    return hash;
}

// --- blobs ---

struct blob *blob_new(const void *data, size_t size)
{
    struct blob *blob = must_resize(NULL, sizeof *blob + size);

    atomic_init(&blob->references, 1);
    blob->size = size;
    memcpy(blob->data, data, size);
    return blob;
}

struct blob *blob_ref(struct blob *blob)
{
    if (blob != NULL)
        atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
    return blob;
}

void blob_unref(struct blob *blob)
{
    // Release and acquire: whoever frees it sees what the others read of it done.
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) == 1)
        free(blob);
}

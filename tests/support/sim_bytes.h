// sim_bytes.h -- the bytes of a file on the simulated disk, in pages that copies share.
//
// Copying costs a pointer per page: an explorer of crashes copies a disk thousands of times a
// second. Memory comes from malloc and not through base/alloc.h, so that a test which fails
// allocations never fails the disk; should it run out, the test ends.
//
// Copies may be used by different threads, one of them by one thread at a time.

#ifndef LSM_TESTS_SUPPORT_SIM_BYTES_H
#define LSM_TESTS_SUPPORT_SIM_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Zeroed, it is empty.
struct bytes {
    struct page **pages; // NULL: a page of zeroes
    size_t page_count;
    size_t size; // what is behind it in the last page is zero
};

void bytes_release(struct bytes *bytes);
// Growing fills with zeroes.
void bytes_resize(struct bytes *bytes, uint64_t size);
// Grows as needed.
void bytes_write(struct bytes *bytes, uint64_t offset, const void *data, size_t size);
// The range is there.
void bytes_read(const struct bytes *bytes, uint64_t offset, void *to, size_t size);
// What `to` had is gone.
void bytes_copy(const struct bytes *from, struct bytes *to);
// Grows to `size` with bytes that look random, the same for the same `seed`.
void bytes_grow_with_garbage(struct bytes *bytes, uint64_t size, uint64_t seed);
// Whether the first `size` bytes, which both have, are the same.
bool bytes_equal(const struct bytes *a, const struct bytes *b, uint64_t size);
uint64_t bytes_hash(const struct bytes *bytes, uint64_t seed);

// Bytes that nobody changes, shared by those who have a reference.
struct blob {
    _Atomic unsigned references;
    size_t size;
    uint8_t data[];
};

struct blob *blob_new(const void *data, size_t size);
struct blob *blob_ref(struct blob *blob);
void blob_unref(struct blob *blob); // NULL is nothing

// Memory that cannot run out.
void *must_resize(void *block, size_t size);
void *must_zeroed(size_t size);
void *must_copy(const void *data, size_t size);
char *must_copy_text(const char *text);
// `array` with room for an element more than the `count` it has.
void *must_grow(void *array, size_t count, size_t *capacity, size_t element_size);

// The address of a new last element.
#define APPEND(array, count, capacity)                                                             \
    ((array) = must_grow((array), (count), &(capacity), sizeof *(array)), &(array)[(count)++])

#endif

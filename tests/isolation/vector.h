// vector.h -- arrays that grow, for tests.
//
//     struct { VECTOR(struct edge); } edges = {0};
//     VECTOR_PUSH(&edges, (struct edge){...});
//     free(edges.at);

#ifndef LSM_TESTS_ISOLATION_VECTOR_H
#define LSM_TESTS_ISOLATION_VECTOR_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define VECTOR(type)                                                                               \
    type *at;                                                                                      \
    size_t count;                                                                                  \
    size_t capacity

#define VECTOR_PUSH(vector, ...)                                                                   \
    ((vector)->at =                                                                                \
         vector_grow((vector)->at, (vector)->count, &(vector)->capacity, sizeof *(vector)->at),    \
     (vector)->at[(vector)->count++] = (__VA_ARGS__))

// Zeroed memory for `count` elements; never NULL.
static inline void *vector_zeroed(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);

    if (memory == NULL) {
        fprintf(stderr, "no memory for %zu elements\n", count);
        abort();
    }
    return memory;
}

static inline void *vector_grow(void *at, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return at;
    *capacity = *capacity * 2 + 64;
    at = realloc(at, *capacity * size);
    if (at == NULL) {
        fprintf(stderr, "no memory for %zu elements\n", *capacity);
        abort();
    }
    return at;
}

#endif

/* lsmkv.h -- an embedded, transactional key-value store. (vocabulary first; the rest follows) */

#ifndef LSMKV_H
#define LSMKV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LSM_API        __attribute__((visibility("default")))
#define LSM_MUST_CHECK __attribute__((warn_unused_result))

typedef enum lsm_status {
    LSM_OK = 0,
    LSM_NOT_FOUND = 1,
    LSM_CONFLICT = 2,
    LSM_BUSY = 3,
    LSM_LOCKED = 4,
    LSM_INVALID = 5,
    LSM_READ_ONLY = 6,
    LSM_NO_SPACE = 7,
    LSM_NO_MEMORY = 8,
    LSM_IO = 9,
    LSM_CORRUPT = 10,
    LSM_OUTCOME_UNKNOWN = 11,
    LSM_POISONED = 12,
    LSM_UNSUPPORTED = 13,
} lsm_status;

typedef struct lsm_slice {
    const void *data;
    size_t size;
} lsm_slice;

typedef struct lsm_buf {
    void *data;
    size_t size;
    size_t capacity;
} lsm_buf;

LSM_API const char *lsm_status_name(lsm_status status);
LSM_API const char *lsm_errmsg(void);
LSM_API void lsm_buf_free(lsm_buf *buf);

typedef struct lsm_allocator {
    void *(*resize)(void *ctx, void *block, size_t size);
    void (*release)(void *ctx, void *block);
    void *ctx;
} lsm_allocator;

LSM_API LSM_MUST_CHECK lsm_status lsm_set_allocator(const lsm_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif

// uuid.h -- 16 random bytes that tell files and databases apart.

#ifndef LSM_BASE_UUID_H
#define LSM_BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define UUID_SIZE      16
#define UUID_TEXT_SIZE 37 // 8-4-4-4-12 hexadecimal digits and a zero

struct uuid {
    uint8_t bytes[UUID_SIZE];
};

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, UUID_SIZE) == 0;
}

// Writes the usual text form into `text`, which has UUID_TEXT_SIZE bytes.
void uuid_format(const struct uuid *uuid, char *text);

// Reads that form; false when `text` is anything else.
bool uuid_parse(const char *text, struct uuid *out);

#endif

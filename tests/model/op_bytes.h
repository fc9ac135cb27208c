// op_bytes.h -- the keys, places and values that operations name by number.

#ifndef LSM_TESTS_MODEL_OP_BYTES_H
#define LSM_TESTS_MODEL_OP_BYTES_H

#include "base/bytes.h"

#define OP_KEYS      96u
#define OP_KEYSPACES 5u // names, the default one included
#define OP_VALUE_MAX 6000u

// Key `number` modulo OP_KEYS; keys order as their numbers, from the empty one to the greatest
// there is. Static.
lsm_slice op_key(uint32_t number);
// The number of a key; OP_KEYS when it is none of them.
uint32_t op_key_number(lsm_slice key);

// A place: on key `place / 4`, just behind it, a prefix of it, or beyond all keys. Static.
lsm_slice op_place(uint32_t place);

// The bytes of a value, written to `to`; at most OP_VALUE_MAX.
lsm_slice op_value(uint32_t stamp, uint32_t size, uint8_t *to);

// "default" for 0.
const char *op_keyspace_name(uint32_t ks);

// --- lines of a history ---

// Text that grows; without memory the program ends.
struct line {
    char *text;
    size_t size;
    size_t capacity;
};

void line_release(struct line *line);
static inline void line_clear(struct line *line)
{
    line->size = 0;
}
void line_text(struct line *line, const char *text);
void line_append(struct line *line, const struct line *other);
void line_number(struct line *line, uint64_t number);
void line_status(struct line *line, lsm_status status);
// `size:hash` of a value's bytes.
void line_value(struct line *line, lsm_slice value);
bool line_equal(const struct line *a, const struct line *b);

#endif

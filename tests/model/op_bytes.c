#include "model/op_bytes.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"

#define PLACES (OP_KEYS * 4)

static struct {
    bool is_ready;
    lsm_slice keys[OP_KEYS];
    lsm_slice places[PLACES];
} table;

static lsm_slice keep(const void *bytes, size_t size)
{
    void *copy = malloc(size == 0 ? 1 : size);

    if (copy == NULL)
        abort();
    memcpy(copy, bytes, size);
    return slice_make(copy, size);
}

// Groups of eight keys: a stem, what it is a prefix of, and a few siblings; among them a key
// with zero bytes, one of 0xFF, and a long one. The first of all is the empty key, the last one
// the greatest there can be.
static size_t make_key(uint32_t number, uint8_t *to)
{
    const uint32_t member = number % 8;
    size_t size = 0;

    if (number == 0)
        return 0;
    if (number == OP_KEYS - 1) {
        memset(to, 0xFF, LSM_KEY_SIZE_MAX);
        return LSM_KEY_SIZE_MAX;
    }
    size = (size_t)sprintf((char *)to, "%c%02u", 'a' + (int)(number / 32), number / 8);
    if (member == 1)
        to[size++] = 0;
    if (member == 2)
        to[size++] = 1;
    if (member >= 3 && member < 6)
        size += (size_t)sprintf((char *)to + size, "/%u", member);
    if (member == 6) {
        memset(to + size, 'm', 300);
        size += 300;
    }
    if (member == 7)
        to[size++] = 0xFF;
    return size;
}

static lsm_slice make_place(uint32_t place)
{
    const lsm_slice key = table.keys[place / 4];
    static uint8_t bytes[LSM_KEY_SIZE_MAX];

    memcpy(bytes, key.data, key.size);
    switch (place % 4) {
    case 1:
        if (key.size == LSM_KEY_SIZE_MAX)
            return key; // there is no key just behind it
        bytes[key.size] = 0;
        return keep(bytes, key.size + 1);
    case 2:
        return keep(bytes, key.size == 0 ? 0 : key.size - 1);
    case 3:
        bytes[0] = place / 4 < OP_KEYS / 2 ? 'A' : 0xFF;
        return keep(bytes, 1);
    default:
        return key;
    }
}

static void make_table(void)
{
    static uint8_t bytes[LSM_KEY_SIZE_MAX];

    table.is_ready = true;
    for (uint32_t i = 0; i < OP_KEYS; i++)
        table.keys[i] = keep(bytes, make_key(i, bytes));
    for (uint32_t i = 0; i < PLACES; i++)
        table.places[i] = make_place(i);
}

lsm_slice op_key(uint32_t number)
{
    if (!table.is_ready)
        make_table();
    return table.keys[number % OP_KEYS];
}

uint32_t op_key_number(lsm_slice key)
{
    uint32_t low = 0;
    uint32_t high = OP_KEYS;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const int order = slice_compare(op_key(middle), key);

        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return OP_KEYS;
}

lsm_slice op_place(uint32_t place)
{
    if (!table.is_ready)
        make_table();
    return table.places[place % PLACES];
}

lsm_slice op_value(uint32_t stamp, uint32_t size, uint8_t *to)
{
    uint64_t word = (stamp + UINT64_C(1)) * 0x9E3779B97F4A7C15u;

    if (size > OP_VALUE_MAX)
        size = OP_VALUE_MAX;
    // Half of it repeats, so that compression has something to do.
    for (uint32_t i = 0; i < size; i++) {
        if (i % 16 == 0)
            word = word * 0xD1342543DE82EF95u + 1;
        to[i] = (uint8_t)(i % 16 < 8 ? word >> (i % 8 * 8) : stamp);
    }
    return slice_make(to, size);
}

const char *op_keyspace_name(uint32_t ks)
{
    static const char *const names[OP_KEYSPACES] = {"default", "a", "b", "long-name-of-a-keyspace",
                                                    "d"};

    return names[ks % OP_KEYSPACES];
}

// --- lines ---

void line_release(struct line *line)
{
    free(line->text);
    *line = (struct line){0};
}

static void append(struct line *line, const char *bytes, size_t size)
{
    if (line->size + size > line->capacity) {
        line->capacity = (line->size + size) * 2 + 64;
        line->text = realloc(line->text, line->capacity);
        if (line->text == NULL)
            abort();
    }
    if (size > 0)
        memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

void line_text(struct line *line, const char *text)
{
    append(line, text, strlen(text));
}

void line_append(struct line *line, const struct line *other)
{
    append(line, other->text, other->size);
}

void line_number(struct line *line, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    append(line, digits + at, sizeof digits - at);
}

void line_status(struct line *line, lsm_status status)
{
    line_text(line, lsm_status_name(status) + strlen("LSM_"));
}

void line_value(struct line *line, lsm_slice value)
{
    line_number(line, value.size);
    line_text(line, ":");
    line_number(line, hash64(value.data, value.size, 0) >> 32);
}

bool line_equal(const struct line *a, const struct line *b)
{
    return slice_equal(slice_make(a->text, a->size), slice_make(b->text, b->size));
}

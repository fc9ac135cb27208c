// output.h -- how lsmctl shows things: bytes as text, sizes, grids, JSON, progress.
//
// Data goes to stdout, talk to stderr. What is for eyes only (colour, progress)
// appears on a terminal only. Running out of memory ends the program with a
// message, so that none of these functions can fail.

#ifndef LSM_TOOLS_OUTPUT_H
#define LSM_TOOLS_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "base/bytes.h"

// Ends the program when `status`, of a function that only allocates, is a failure.
void must(lsm_status status);
void *must_alloc(size_t count, size_t size);

// --- bytes as text ---

// Appends `bytes` to `text`: printable UTF-8 as it is; backslash, tab, line feed and
// carriage return as \\ \t \n \r; all else, and the mark of UTF-8 (U+FEFF), as \xNN. No
// line break or tab is left.
void text_escape(lsm_slice bytes, lsm_buf *text);
// Appends what `text` stands for. LSM_INVALID for an unknown or cut-off escape.
lsm_status text_unescape(lsm_slice text, lsm_buf *bytes);

// What a backslash before `letter` stands for; false when that is no escape of one byte.
bool text_escaped(int letter, uint8_t *byte);
#define TEXT_ESCAPES "\\\\ \\t \\n \\r \\0 \\xNN" // for words

// LSM_INVALID for an odd number of digits or another character.
lsm_status hex_decode(lsm_slice text, lsm_buf *bytes);
int hex_digit(uint8_t c); // -1 for another character

// Whether `bytes` are well-formed UTF-8, zeroes included.
bool bytes_are_utf8(lsm_slice bytes);

// Writes bytes, escaped or as hexadecimal digits.
void write_bytes(FILE *to, lsm_slice bytes, bool as_hex);
void print_bytes(lsm_slice bytes, bool as_hex); // to stdout

// --- numbers for people ---

struct human {
    char text[32];
};

struct human human_bytes(uint64_t bytes);  // "1.4 MiB"
struct human human_count(uint64_t count);  // "1,234,567"
struct human human_ns(uint64_t ns);        // "12.3 us"
struct human human_time(uint64_t wall_ns); // "2026-11-21 04:13:19 UTC", "-" for 0

// --- JSON ---

cJSON *json_object(void);
cJSON *json_array(void);
// Adds an empty array under `key` and returns it.
cJSON *json_add_array(cJSON *to, const char *key);
// Adds an object to the end of an array and returns it.
cJSON *json_append_object(cJSON *array);
void json_add_u64(cJSON *to, const char *key, uint64_t value); // exact, all 64 bits
void json_add_i64(cJSON *to, const char *key, int64_t value);  // the same
void json_add_double(cJSON *to, const char *key, double value);
void json_add_bool(cJSON *to, const char *key, bool value);
void json_add_null(cJSON *to, const char *key);
void json_add_text(cJSON *to, const char *key, const char *value);
// A string under `key`, or hexadecimal digits under `key`_hex when the bytes are no
// text or `as_hex` asks for it.
void json_add_bytes(cJSON *to, const char *key, lsm_slice value, bool as_hex);
// Prints one line and frees the value.
void json_print(cJSON *value);
// Writes `value` as a member of an object, as json_add_bytes() adds it, however large.
void json_write_bytes(FILE *to, const char *key, lsm_slice value, bool as_hex);

// --- grids ---

// Columns of text, as wide as their widest cell.
#define GRID_COLUMNS_MAX 12

struct grid {
    const char *align; // one character per column: 'l' or 'r'
    size_t columns;
    char **cells; // row by row
    size_t count;
    size_t capacity;
};

// `align` is static; its length is the number of columns.
void grid_init(struct grid *grid, const char *align);
// One cell, formatted; fill a row from left to right.
void grid_add(struct grid *grid, const char *format, ...) __attribute__((format(printf, 2, 3)));
// One cell of bytes, escaped.
void grid_add_bytes(struct grid *grid, lsm_slice bytes);
// A row of cells separated by '|'.
void grid_head(struct grid *grid, const char *heads);
// Empties the grid.
void grid_release(struct grid *grid);
// Prints to stdout, each line behind `indent` spaces, and empties the grid.
void grid_print(struct grid *grid, int indent);

// --- colour ---

enum colour { COLOUR_NONE, COLOUR_BOLD, COLOUR_DIM, COLOUR_RED, COLOUR_GREEN, COLOUR_YELLOW };

// The sequence that begins `colour` on `stream`, or "" where none is wanted: not on a
// terminal, or NO_COLOR is set. COLOUR_NONE ends one.
const char *colour(FILE *stream, enum colour colour);

uint64_t now_ns(void); // never steps back

#endif

#include "output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/words.h"

#define PROGRESS_FIRST_NS  1000000000u
#define PROGRESS_PERIOD_NS 100000000u
#define BAR_WIDTH          28
#define UTF8_MARK          0xfeffu // in front of a file, it is none of its text
#define WRITE_CHUNK        65536

static void out_of_memory(void)
{
    fputs("lsmctl: out of memory\n", stderr);
    exit(1);
}

void must(lsm_status status)
{
    if (status != LSM_OK)
        out_of_memory();
}

void *must_alloc(size_t count, size_t size)
{
    void *memory = calloc(count == 0 ? 1 : count, size == 0 ? 1 : size);

    if (memory == NULL)
        out_of_memory();
    return memory;
}

// --- bytes as text ---

static const char digits[] = "0123456789abcdef";

// Length of the well-formed UTF-8 sequence at `at`, 0 when there is none; its code
// point in `*code`.
static size_t utf8_sequence(const uint8_t *at, size_t left, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : (at[0] & 0xe0) == 0xc0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : 4;

    if (size == 1) {
        *code = at[0];
        return 1;
    }
    if ((size == 4 && (at[0] & 0xf8) != 0xf0) || size > left)
        return 0;
    *code = at[0] & (0x7fu >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (at[i] & 0x3fu);
    }
    if (*code < smallest[size] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff))
        return 0;
    return size;
}

bool bytes_are_utf8(lsm_slice bytes)
{
    const uint8_t *at = bytes.data;
    uint32_t code = 0;

    for (size_t i = 0, size; i < bytes.size; i += size) {
        size = utf8_sequence(at + i, bytes.size - i, &code);
        if (size == 0)
            return false;
    }
    return true;
}

// Whether a string of JSON holds `bytes`: few readers take one with a zero.
static bool is_json_text(lsm_slice bytes)
{
    return bytes.size == 0 ||
           (memchr(bytes.data, '\0', bytes.size) == NULL && bytes_are_utf8(bytes));
}

// Appends the escape of one byte that does not stand for itself.
static void escape_byte(uint8_t byte, lsm_buf *text)
{
    const char numbered[] = {'\\', 'x', digits[byte >> 4], digits[byte & 15]};

    switch (byte) {
    case '\\':
        must(buf_append(text, "\\\\", 2));
        break;
    case '\t':
        must(buf_append(text, "\\t", 2));
        break;
    case '\n':
        must(buf_append(text, "\\n", 2));
        break;
    case '\r':
        must(buf_append(text, "\\r", 2));
        break;
    default:
        must(buf_append(text, numbered, sizeof numbered));
    }
}

void text_escape(lsm_slice bytes, lsm_buf *text)
{
    const uint8_t *at = bytes.data;
    size_t i = 0;

    must(buf_reserve(text, text->size + bytes.size));
    while (i < bytes.size) {
        uint32_t code = 0;
        size_t size = utf8_sequence(at + i, bytes.size - i, &code);
        bool is_printable = size != 0 && code >= 0x20 && code != '\\' &&
                            (code < 0x7f || code > 0x9f) && code != UTF8_MARK;

        if (is_printable) {
            must(buf_append(text, at + i, size));
            i += size;
        } else {
            escape_byte(at[i], text);
            i++;
        }
    }
}

int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool text_escaped(int letter, uint8_t *byte)
{
    static const char names[] = "\\tnr0";
    static const uint8_t bytes[] = {'\\', '\t', '\n', '\r', '\0'};
    const char *name = letter <= 0 ? NULL : strchr(names, letter);

    if (name == NULL)
        return false;
    *byte = bytes[name - names];
    return true;
}

// Decodes the escape behind a backslash; returns its size, 0 for a bad one.
static size_t unescape_one(const uint8_t *at, size_t left, uint8_t *byte)
{
    if (left == 0)
        return 0;
    if (at[0] == 'x') {
        if (left < 3 || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
            return 0;
        *byte = (uint8_t)(hex_digit(at[1]) << 4 | hex_digit(at[2]));
        return 3;
    }
    return text_escaped(at[0], byte) ? 1 : 0;
}

lsm_status text_unescape(lsm_slice text, lsm_buf *bytes)
{
    const uint8_t *at = text.data;
    size_t i = 0;

    while (i < text.size) {
        const uint8_t *backslash = memchr(at + i, '\\', text.size - i);
        size_t plain = backslash == NULL ? text.size - i : (size_t)(backslash - (at + i));
        uint8_t byte = 0;
        size_t size;

        must(buf_append(bytes, at + i, plain));
        i += plain;
        if (backslash == NULL)
            break;
        size = unescape_one(backslash + 1, text.size - i - 1, &byte);
        if (size == 0)
            return lsm_fail(LSM_INVALID, "a bad escape at byte %zu: known are " TEXT_ESCAPES, i);
        must(buf_append_u8(bytes, byte));
        i += 1 + size;
    }
    return LSM_OK;
}

static void hex_encode(lsm_slice bytes, lsm_buf *text)
{
    const uint8_t *at = bytes.data;

    must(buf_reserve(text, text->size + 2 * bytes.size));
    for (size_t i = 0; i < bytes.size; i++) {
        const char pair[2] = {digits[at[i] >> 4], digits[at[i] & 15]};

        must(buf_append(text, pair, 2));
    }
}

lsm_status hex_decode(lsm_slice text, lsm_buf *bytes)
{
    const uint8_t *at = text.data;

    if (text.size % 2 != 0)
        return lsm_fail(LSM_INVALID, "an odd number of hexadecimal digits: %zu", text.size);
    for (size_t i = 0; i < text.size; i += 2) {
        int high = hex_digit(at[i]);
        int low = hex_digit(at[i + 1]);

        if (high < 0 || low < 0)
            return lsm_fail(LSM_INVALID, "not a hexadecimal digit at byte %zu", i);
        must(buf_append_u8(bytes, (uint8_t)(high << 4 | low)));
    }
    return LSM_OK;
}

// The size of a piece of `bytes` that ends where no character is cut.
static size_t chunk_size(lsm_slice bytes)
{
    const uint8_t *at = bytes.data;
    size_t size = WRITE_CHUNK;

    if (bytes.size <= WRITE_CHUNK)
        return bytes.size;
    while (size > WRITE_CHUNK - 4 && (at[size] & 0xc0) == 0x80)
        size--;
    return size;
}

void write_bytes(FILE *to, lsm_slice bytes, bool as_hex)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;

    while (bytes.size > 0) {
        lsm_slice chunk = slice_make(bytes.data, chunk_size(bytes));

        buf_clear(&text);
        if (as_hex)
            hex_encode(chunk, &text);
        else
            text_escape(chunk, &text);
        fwrite(text.data, 1, text.size, to);
        bytes = slice_from(bytes, chunk.size);
    }
}

void print_bytes(lsm_slice bytes, bool as_hex)
{
    write_bytes(stdout, bytes, as_hex);
}

// --- numbers for people ---

struct human human_bytes(uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    struct human out;
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(out.text, sizeof out.text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

struct human human_count(uint64_t count)
{
    struct human out;
    char number[24];
    int size = snprintf(number, sizeof number, "%" PRIu64, count);
    size_t to = 0;

    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            out.text[to++] = ',';
        out.text[to++] = number[i];
    }
    out.text[to] = '\0';
    return out;
}

struct human human_ns(uint64_t ns)
{
    struct human out;

    if (ns < 1000)
        snprintf(out.text, sizeof out.text, "%" PRIu64 " ns", ns);
    else if (ns < 1000000)
        snprintf(out.text, sizeof out.text, "%.1f us", (double)ns / 1e3);
    else if (ns < 1000000000)
        snprintf(out.text, sizeof out.text, "%.1f ms", (double)ns / 1e6);
    else
        snprintf(out.text, sizeof out.text, "%.2f s", (double)ns / 1e9);
    return out;
}

struct human human_time(uint64_t wall_ns)
{
    struct human out = {"-"};

    if (wall_ns != 0)
        snprintf(out.text, sizeof out.text, "%.31s", utc_text(wall_ns / 1000000000).text);
    return out;
}

// --- JSON ---

static cJSON *json_checked(cJSON *value)
{
    if (value == NULL)
        out_of_memory();
    return value;
}

cJSON *json_object(void)
{
    return json_checked(cJSON_CreateObject());
}

cJSON *json_array(void)
{
    return json_checked(cJSON_CreateArray());
}

cJSON *json_add_array(cJSON *to, const char *key)
{
    return json_checked(cJSON_AddArrayToObject(to, key));
}

cJSON *json_append_object(cJSON *array)
{
    cJSON *object = json_object();

    cJSON_AddItemToArray(array, object);
    return object;
}

void json_add_u64(cJSON *to, const char *key, uint64_t value)
{
    char number[24];

    // cJSON keeps numbers as doubles, which are exact to 53 bits only.
    snprintf(number, sizeof number, "%" PRIu64, value);
    json_checked(cJSON_AddRawToObject(to, key, number));
}

void json_add_i64(cJSON *to, const char *key, int64_t value)
{
    char number[24];

    snprintf(number, sizeof number, "%" PRId64, value);
    json_checked(cJSON_AddRawToObject(to, key, number));
}

void json_add_double(cJSON *to, const char *key, double value)
{
    char number[40];

    snprintf(number, sizeof number, "%.3f", value);
    json_checked(cJSON_AddRawToObject(to, key, number));
}

void json_add_bool(cJSON *to, const char *key, bool value)
{
    json_checked(cJSON_AddBoolToObject(to, key, value));
}

void json_add_null(cJSON *to, const char *key)
{
    json_checked(cJSON_AddNullToObject(to, key));
}

void json_add_text(cJSON *to, const char *key, const char *value)
{
    json_checked(cJSON_AddStringToObject(to, key, value));
}

void json_add_bytes(cJSON *to, const char *key, lsm_slice value, bool as_hex)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    char hex_key[64];

    if (!as_hex && is_json_text(value)) {
        must(buf_append(&text, value.data, value.size));
    } else {
        hex_encode(value, &text);
        snprintf(hex_key, sizeof hex_key, "%s_hex", key);
        key = hex_key;
    }
    must(buf_append_u8(&text, 0));
    json_add_text(to, key, text.data);
}

// Whether a control character beyond ASCII, of two bytes in UTF-8, begins at `text`.
static bool is_high_control(const char *text, size_t left)
{
    return left > 1 && (uint8_t)text[0] == 0xc2 && (uint8_t)text[1] >= 0x80 &&
           (uint8_t)text[1] <= 0x9f;
}

// Writes text of JSON, escaping the control characters that JSON allows and terminals obey.
static void put_json(FILE *to, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (is_high_control(text + i, size - i))
            fprintf(to, "\\u%04x", (uint8_t)text[++i]);
        else if (text[i] == '\x7f')
            fputs("\\u007f", to);
        else
            putc_unlocked(text[i], to);
    }
}

// Writes what a string of JSON says for one of the characters it must escape.
static void put_json_escape(FILE *to, char c)
{
    static const char letters[] = "\"\\bfnrt";
    static const char bytes[] = "\"\\\b\f\n\r\t";
    const char *at = strchr(bytes, c);

    if (at != NULL)
        fprintf(to, "\\%c", letters[at - bytes]);
    else
        fprintf(to, "\\u%04x", (uint8_t)c);
}

static void put_json_text(FILE *to, lsm_slice value)
{
    const char *text = value.data;
    size_t from = 0;

    for (size_t i = 0; i < value.size; i++) {
        if ((uint8_t)text[i] >= 0x20 && text[i] != '"' && text[i] != '\\')
            continue;
        put_json(to, text + from, i - from);
        put_json_escape(to, text[i]);
        from = i + 1;
    }
    if (from < value.size)
        put_json(to, text + from, value.size - from);
}

void json_write_bytes(FILE *to, const char *key, lsm_slice value, bool as_hex)
{
    as_hex = as_hex || !is_json_text(value);
    fprintf(to, "\"%s%s\":\"", key, as_hex ? "_hex" : "");
    if (as_hex)
        write_bytes(to, value, true);
    else
        put_json_text(to, value);
    putc('"', to);
}

void json_print(cJSON *value)
{
    char *text = cJSON_PrintUnformatted(value);

    if (text == NULL)
        out_of_memory();
    put_json(stdout, text, strlen(text));
    putchar('\n');
    cJSON_free(text);
    cJSON_Delete(value);
}

// --- grids ---

void grid_init(struct grid *grid, const char *align)
{
    *grid = (struct grid){.align = align, .columns = strlen(align)};
}

static void grid_take(struct grid *grid, char *cell)
{
    if (cell == NULL)
        out_of_memory();
    if (grid->count == grid->capacity) {
        grid->capacity = grid->capacity == 0 ? 64 : 2 * grid->capacity;
        grid->cells = reallocarray(grid->cells, grid->capacity, sizeof *grid->cells);
        if (grid->cells == NULL)
            out_of_memory();
    }
    grid->cells[grid->count++] = cell;
}

void grid_add(struct grid *grid, const char *format, ...)
{
    char *cell = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&cell, format, args) < 0)
        cell = NULL;
    va_end(args);
    grid_take(grid, cell);
}

void grid_add_bytes(struct grid *grid, lsm_slice bytes)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;

    text_escape(bytes, &text);
    grid_add(grid, "%.*s", (int)text.size, (const char *)text.data);
}

void grid_head(struct grid *grid, const char *heads)
{
    for (const char *at = heads;; at++) {
        size_t size = strcspn(at, "|");

        grid_take(grid, strndup(at, size));
        at += size;
        if (*at == '\0')
            break;
    }
}

void grid_release(struct grid *grid)
{
    for (size_t i = 0; i < grid->count; i++)
        free(grid->cells[i]);
    free(grid->cells);
    *grid = (struct grid){.align = grid->align, .columns = grid->columns};
}

// Columns that UTF-8 text takes, counting each code point as one.
static size_t text_width(const char *text)
{
    size_t width = 0;

    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80;
    return width;
}

static void print_cell(const char *cell, size_t width, char align, bool is_last)
{
    int space = (int)(width - text_width(cell));

    if (align == 'r')
        printf("%*s%s", space, "", cell);
    else
        printf("%s%*s", cell, is_last ? 0 : space, "");
    fputs(is_last ? "\n" : "  ", stdout);
}

void grid_print(struct grid *grid, int indent)
{
    size_t widths[GRID_COLUMNS_MAX] = {0};

    for (size_t i = 0; i < grid->count; i++) {
        size_t width = text_width(grid->cells[i]);

        if (width > widths[i % grid->columns])
            widths[i % grid->columns] = width;
    }
    for (size_t i = 0; i < grid->count; i++) {
        size_t column = i % grid->columns;

        if (column == 0)
            printf("%*s", indent, "");
        print_cell(grid->cells[i], widths[column], grid->align[column],
                   column + 1 == grid->columns);
    }
    grid_release(grid);
}

// --- colour ---

const char *colour(FILE *stream, enum colour colour)
{
    static const char *const sequences[] = {
        [COLOUR_NONE] = "\033[0m", [COLOUR_BOLD] = "\033[1m",   [COLOUR_DIM] = "\033[2m",
        [COLOUR_RED] = "\033[31m", [COLOUR_GREEN] = "\033[32m", [COLOUR_YELLOW] = "\033[33m",
    };
    const char *no_color = getenv("NO_COLOR");

    if ((no_color != NULL && *no_color != '\0') || !isatty(fileno(stream)))
        return "";
    return sequences[colour];
}

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

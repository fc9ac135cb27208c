#include "bulk_json.h"

#include <inttypes.h>

#define FIELD_NAME_MAX 64

// What a field of an object says. A name ending in _hex is the same field, in digits.
enum field { FIELD_KEY, FIELD_VALUE, FIELD_KEYSPACE, FIELD_EXPIRY, FIELD_USER_BYTE };

static const struct field_name {
    const char *name;
    enum field field;
    bool is_hex;
} field_names[] = {
    {"key", FIELD_KEY, false},
    {"key_hex", FIELD_KEY, true},
    {"value", FIELD_VALUE, false},
    {"value_hex", FIELD_VALUE, true},
    {"keyspace", FIELD_KEYSPACE, false},
    {"keyspace_hex", FIELD_KEYSPACE, true},
    {"expiry_seconds", FIELD_EXPIRY, false},
    {"user_byte", FIELD_USER_BYTE, false},
};

// An object being read.
struct object {
    struct bulk_source *source;
    struct bulk_entry *entry;
    unsigned seen; // a bit for each enum field
};

// --- characters ---

// A byte of the input, for words.
struct shown {
    char text[24];
};

static struct shown show(int c)
{
    struct shown out;

    if (c == SOURCE_END)
        snprintf(out.text, sizeof out.text, "the end of the input");
    else if (c == '\n')
        snprintf(out.text, sizeof out.text, "the end of the line");
    else if (c > 0x20 && c < 0x7f)
        snprintf(out.text, sizeof out.text, "'%c'", c);
    else
        snprintf(out.text, sizeof out.text, "byte 0x%02x", (unsigned)c);
    return out;
}

lsm_status json_skip_space(struct bulk_source *source)
{
    for (;;) {
        switch (source_peek(source)) {
        case '\t':
            if (source->line == source->guessed_line)
                return lsm_fail(
                    LSM_INVALID,
                    "a tab outside of a string, which TSV could have: say by --format which it is");
            break;
        case ' ':
        case '\n':
        case '\r':
            break;
        default:
            return LSM_OK;
        }
        (void)source_take(source); // it has been looked at
    }
}

// Takes `wanted`, and blanks before it.
static lsm_status expect(struct object *object, int wanted, const char *where)
{
    int c;

    TRY(json_skip_space(object->source));
    c = source_take(object->source);
    if (c != wanted)
        return lsm_fail(LSM_INVALID, "JSON: wanted '%c' %s, found %s", wanted, where, show(c).text);
    return LSM_OK;
}

// --- strings ---

// Where the bytes of a string go.
struct target {
    const char *name; // of the field; NULL: it is the name that is read
    lsm_buf *to;
    size_t size_max;
};

struct field_words {
    char text[48];
};

static struct field_words field_words(const struct target *target)
{
    struct field_words out;

    if (target->name == NULL)
        snprintf(out.text, sizeof out.text, "the name of a field");
    else
        snprintf(out.text, sizeof out.text, "field \"%.32s\"", target->name);
    return out;
}

static lsm_status append(const struct target *target, uint8_t byte)
{
    if (!bulk_append(target->to, target->size_max, byte))
        return lsm_fail(LSM_INVALID, "%s: more than the %zu bytes it may have",
                        field_words(target).text, target->size_max);
    return LSM_OK;
}

static lsm_status append_code_point(const struct target *target, uint32_t code)
{
    if (code < 0x80)
        return append(target, (uint8_t)code);
    if (code < 0x800) {
        TRY(append(target, (uint8_t)(0xc0 | code >> 6)));
    } else if (code < 0x10000) {
        TRY(append(target, (uint8_t)(0xe0 | code >> 12)));
        TRY(append(target, (uint8_t)(0x80 | (code >> 6 & 0x3f))));
    } else {
        TRY(append(target, (uint8_t)(0xf0 | code >> 18)));
        TRY(append(target, (uint8_t)(0x80 | (code >> 12 & 0x3f))));
        TRY(append(target, (uint8_t)(0x80 | (code >> 6 & 0x3f))));
    }
    return append(target, (uint8_t)(0x80 | (code & 0x3f)));
}

// The four digits behind \u.
static lsm_status read_four(struct bulk_source *source, const struct target *target, uint32_t *out)
{
    uint32_t code = 0;

    for (int i = 0; i < 4; i++) {
        int c = source_take(source);
        int digit = c == SOURCE_END ? -1 : hex_digit((uint8_t)c);

        if (digit < 0)
            return lsm_fail(LSM_INVALID, "%s: \\u wants four digits, found %s",
                            field_words(target).text, show(c).text);
        code = code << 4 | (uint32_t)digit;
    }
    *out = code;
    return LSM_OK;
}

// Behind \u: a code point beyond 16 bits is a pair of surrogates.
static lsm_status read_unicode(struct bulk_source *source, const struct target *target)
{
    uint32_t code, low;

    TRY(read_four(source, target, &code));
    if (code >= 0xd800 && code <= 0xdbff) {
        low = 0;
        if (source_take(source) == '\\' && source_take(source) == 'u')
            TRY(read_four(source, target, &low));
        if (low < 0xdc00 || low > 0xdfff)
            return lsm_fail(LSM_INVALID, "%s: half of a pair, \\u%04" PRIx32,
                            field_words(target).text, code);
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code <= 0xdfff) {
        return lsm_fail(LSM_INVALID, "%s: half of a pair, \\u%04" PRIx32, field_words(target).text,
                        code);
    }
    return append_code_point(target, code);
}

static lsm_status read_escape(struct bulk_source *source, const struct target *target)
{
    static const char letters[] = "\"\\/bfnrt";
    static const uint8_t bytes[] = "\"\\/\b\f\n\r\t";
    int c = source_take(source);
    const char *letter;

    if (c == 'u')
        return read_unicode(source, target);
    letter = c <= 0 ? NULL : strchr(letters, c);
    if (letter == NULL)
        return lsm_fail(LSM_INVALID, "%s: a backslash before %s", field_words(target).text,
                        show(c).text);
    return append(target, bytes[letter - letters]);
}

// The text of a string behind its first quote, to its last.
static lsm_status read_text(struct bulk_source *source, const struct target *target)
{
    for (;;) {
        int c = source_take(source);

        if (c == '"')
            break;
        if (c == '\\')
            TRY(read_escape(source, target));
        else if (c < 0x20)
            return lsm_fail(LSM_INVALID, "%s: the string is not closed before %s",
                            field_words(target).text, show(c).text);
        else
            TRY(append(target, (uint8_t)c));
    }
    if (!bytes_are_utf8(slice_of_buf(target->to)))
        return lsm_fail(LSM_INVALID,
                        "%s: is not UTF-8; bytes of any kind are written under a name with _hex",
                        field_words(target).text);
    return LSM_OK;
}

static lsm_status read_hex(struct bulk_source *source, const struct target *target)
{
    int high = -1; // a digit that waits for the second

    for (;;) {
        int c = source_take(source);
        int digit = c == SOURCE_END ? -1 : hex_digit((uint8_t)c);

        if (c == '"')
            break;
        if (digit < 0)
            return lsm_fail(LSM_INVALID, "%s: wanted a hexadecimal digit, found %s",
                            field_words(target).text, show(c).text);
        if (high >= 0)
            TRY(append(target, (uint8_t)(high << 4 | digit)));
        high = high >= 0 ? -1 : digit;
    }
    if (high >= 0)
        return lsm_fail(LSM_INVALID, "%s: an odd number of hexadecimal digits",
                        field_words(target).text);
    return LSM_OK;
}

// --- fields ---

static lsm_status read_string(struct object *object, const struct field_name *name, lsm_buf *to,
                              size_t size_max)
{
    const struct target target = {.name = name->name, .to = to, .size_max = size_max};
    int c = source_take(object->source);

    if (c != '"')
        return lsm_fail(LSM_INVALID, "field \"%s\": wanted a string, found %s", name->name,
                        show(c).text);
    return (name->is_hex ? read_hex : read_text)(object->source, &target);
}

// A whole number as JSON writes it; doubles, which others take numbers for, are exact up to
// 2^53 only.
static lsm_status read_number(struct object *object, const struct field_name *name, uint64_t max,
                              uint64_t *out)
{
    uint64_t value = 0;
    unsigned digits = 0;
    bool is_good = true;
    int c;

    while (c = source_peek(object->source), c >= '0' && c <= '9') {
        const unsigned digit = (unsigned)c - '0';

        (void)source_take(object->source); // the digit
        is_good = is_good && !(digits > 0 && value == 0) && value <= (max - digit) / 10;
        value = is_good ? value * 10 + digit : 0;
        digits++;
    }
    if (!is_good || digits == 0 || c == '.' || c == 'e' || c == 'E')
        return lsm_fail(LSM_INVALID, "field \"%s\": wanted a whole number from 0 to %" PRIu64,
                        name->name, max);
    *out = value;
    return LSM_OK;
}

static lsm_status read_keyspace(struct object *object, const struct field_name *name)
{
    lsm_buf *to = &object->entry->keyspace;

    TRY(read_string(object, name, to, KEYSPACE_NAME_MAX));
    if (to->size == 0 || memchr(to->data, '\0', to->size) != NULL)
        return lsm_fail(LSM_INVALID, "field \"%s\": %s", name->name,
                        to->size == 0 ? "is empty" : "a zero in the name of a keyspace");
    must(buf_append_u8(to, 0));
    return LSM_OK;
}

static lsm_status read_value(struct object *object, const struct field_name *name)
{
    struct bulk_entry *entry = object->entry;
    uint64_t number;

    switch (name->field) {
    case FIELD_KEY:
        return read_string(object, name, &entry->key, LSM_KEY_SIZE_MAX);
    case FIELD_VALUE:
        return read_string(object, name, &entry->value, LSM_VALUE_SIZE_MAX);
    case FIELD_KEYSPACE:
        return read_keyspace(object, name);
    case FIELD_EXPIRY:
        entry->has_expiry = true;
        return read_number(object, name, UINT64_MAX, &entry->expiry_seconds);
    case FIELD_USER_BYTE:
        TRY(read_number(object, name, UINT8_MAX, &number));
        entry->user_byte = (uint8_t)number;
        return LSM_OK;
    }
    return LSM_OK;
}

static lsm_status find_name(lsm_slice typed, const struct field_name **out)
{
    lsm_buf text = LSM_BUF_INIT;
    lsm_status status;

    for (size_t i = 0; i < sizeof field_names / sizeof field_names[0]; i++) {
        if (slice_equal(slice_of(field_names[i].name), typed)) {
            *out = &field_names[i];
            return LSM_OK;
        }
    }
    if (slice_equal(typed, slice_of("ts")) || slice_equal(typed, slice_of("deleted")))
        return lsm_fail(LSM_INVALID,
                        "field \"%.*s\": is of `lsmctl scan --versions`, whose history cannot be "
                        "loaded",
                        (int)typed.size, (const char *)typed.data);
    text_escape(typed, &text);
    status = lsm_fail(LSM_INVALID,
                      "field \"%.*s\": is not known; an entry has key, value, keyspace (each "
                      "perhaps with _hex), expiry_seconds and user_byte",
                      (int)text.size, (const char *)text.data);
    lsm_buf_free(&text);
    return status;
}

// Reads the name of a field, and finds it.
static lsm_status read_name(struct object *object, const struct field_name **out)
{
    CLEANUP(lsm_buf_free) lsm_buf typed = LSM_BUF_INIT;
    const struct target target = {.to = &typed, .size_max = FIELD_NAME_MAX};

    TRY(expect(object, '"', "before the name of a field"));
    TRY(read_text(object->source, &target));
    TRY(find_name(slice_of_buf(&typed), out));
    if ((object->seen & 1u << (*out)->field) != 0)
        return lsm_fail(LSM_INVALID, "field \"%s\": is there twice", (*out)->name);
    object->seen |= 1u << (*out)->field;
    return LSM_OK;
}

static lsm_status read_field(struct object *object)
{
    const struct field_name *name = NULL;

    TRY(read_name(object, &name));
    TRY(expect(object, ':', "behind the name of a field"));
    TRY(json_skip_space(object->source));
    return read_value(object, name);
}

static lsm_status read_object(struct object *object)
{
    struct bulk_source *source = object->source;

    if (source_peek(source) == '[')
        return lsm_fail(LSM_INVALID, "an array: what loads is objects, one behind the other");
    TRY(expect(object, '{', "at the start of an entry"));
    do {
        TRY(read_field(object));
        TRY(json_skip_space(source));
    } while (source_peek(source) == ',' && source_take(source) == ',');
    TRY(expect(object, '}', "or ',' behind a field"));
    for (enum field field = FIELD_KEY; field <= FIELD_VALUE; field++)
        if ((object->seen & 1u << field) == 0)
            return lsm_fail(LSM_INVALID, "field \"%s\" (or \"%s_hex\") is missing",
                            field_names[2 * field].name, field_names[2 * field].name);
    return LSM_OK;
}

lsm_status json_read_entry(struct bulk_source *source, struct bulk_entry *entry)
{
    struct object object = {.source = source, .entry = entry};
    const bool is_guess = source->line == source->guessed_line;
    lsm_status status = read_object(&object);

    if (status == LSM_OK || object.seen != 0 || !is_guess)
        return status;
    return lsm_fail(status, "%s (taken for JSON by its '{'; --format tsv takes it as text)",
                    lsm_errmsg());
}

#include "bulk_input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

lsm_status bulk_fail_since(const struct bulk_input *in, uint64_t first, lsm_status status)
{
    char place[256];

    if (first == in->line_number)
        snprintf(place, sizeof place, "%.200s: line %" PRIu64, in->name, first);
    else
        snprintf(place, sizeof place, "%.200s: lines %" PRIu64 " to %" PRIu64, in->name, first,
                 in->line_number);
    return lsm_fail_in(status, place);
}

static lsm_status read_line(struct bulk_input *in, bool *at_end)
{
    ssize_t size;

    *at_end = false;
    if (in->is_pushed_back) {
        in->is_pushed_back = false;
        return LSM_OK;
    }
    errno = 0;
    size = getline(&in->line, &in->capacity, in->from);
    if (size < 0) {
        if (ferror(in->from) || errno == ENOMEM)
            return lsm_fail(LSM_IO, "%s: %s", in->name, strerror(errno));
        *at_end = true;
        return LSM_OK;
    }
    in->bytes += (uint64_t)size;
    in->line_number++;
    in->is_whole = in->line[size - 1] == '\n';
    in->size = (size_t)size - in->is_whole;
    in->line[in->size] = '\0';
    return LSM_OK;
}

static lsm_slice line_slice(const struct bulk_input *in)
{
    return slice_make(in->line, in->size);
}

lsm_status bulk_open(struct bulk_input *in, FILE *from, const char *name, enum bulk_format format)
{
    bool at_end;

    *in = (struct bulk_input){.from = from, .name = name, .format = format};
    TRY(read_line(in, &at_end));
    if (at_end) {
        if (format == BULK_DUMP)
            return lsm_fail(LSM_INVALID, "%s: is empty, not a dump", name);
        in->format = format == BULK_AUTO ? BULK_TSV : format;
        return LSM_OK;
    }
    if (format == BULK_AUTO && slice_has_prefix(line_slice(in), slice_of("lsmkv-dump ")))
        in->format = BULK_DUMP;
    else if (format == BULK_AUTO)
        in->format = in->line[0] == '{' ? BULK_JSONL : BULK_TSV;
    if (in->format != BULK_DUMP)
        in->is_pushed_back = true;
    else if (strcmp(in->line, DUMP_HEADER) != 0)
        return lsm_fail(LSM_UNSUPPORTED, "%s: does not begin with \"%s\"", name, DUMP_HEADER);
    return LSM_OK;
}

void bulk_release(struct bulk_input *in)
{
    free(in->line);
    lsm_buf_free(&in->key);
    lsm_buf_free(&in->value);
    lsm_buf_free(&in->keyspace);
}

// --- fields ---

// Cuts the next field off the front of `*line`; false when none is left.
static bool take_field(lsm_slice *line, lsm_slice *field)
{
    const char *tab;

    if (line->data == NULL)
        return false;
    tab = memchr(line->data, '\t', line->size);
    if (tab == NULL) {
        *field = *line;
        *line = slice_make(NULL, 0);
        return true;
    }
    *field = slice_make(line->data, (size_t)(tab - (const char *)line->data));
    *line = slice_from(*line, field->size + 1);
    return true;
}

static lsm_status decode_field(const struct bulk_input *in, lsm_slice field, lsm_buf *to)
{
    to->size = 0;
    return in->as_hex ? hex_decode(field, to) : text_unescape(field, to);
}

static lsm_status field_u64(lsm_slice field, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    const char *digits = field.data;

    for (size_t i = 0; i < field.size; i++) {
        if (digits[i] < '0' || digits[i] > '9' || value > max / 10 ||
            value * 10 > max - (uint64_t)(digits[i] - '0'))
            return lsm_fail(LSM_INVALID, "not a number up to %" PRIu64, max);
        value = value * 10 + (uint64_t)(digits[i] - '0');
    }
    if (field.size == 0)
        return lsm_fail(LSM_INVALID, "a number is missing");
    *out = value;
    return LSM_OK;
}

static lsm_status parse_pair(struct bulk_input *in, lsm_slice *line)
{
    lsm_slice key, value;

    if (!take_field(line, &key) || !take_field(line, &value))
        return lsm_fail(LSM_INVALID, "wanted key, tab, value");
    TRY(decode_field(in, key, &in->key));
    return decode_field(in, value, &in->value);
}

static lsm_status parse_tsv(struct bulk_input *in)
{
    lsm_slice line = line_slice(in);

    TRY(parse_pair(in, &line));
    if (line.data != NULL)
        return lsm_fail(LSM_INVALID, "more than two fields; a tab in a value is written \\t");
    return LSM_OK;
}

// --- JSON lines ---

// Whether a string of the line holds an escaped zero, which cJSON would end it at.
static bool has_escaped_zero(lsm_slice line)
{
    const char *at = line.data;

    for (size_t i = 0; i + 6 <= line.size; i++) {
        if (at[i] != '\\')
            continue;
        if (memcmp(at + i, "\\u0000", 6) == 0)
            return true;
        i++; // what the backslash escapes
    }
    return false;
}

static lsm_status json_field(const cJSON *object, const char *name, lsm_buf *to)
{
    char hex_name[32];
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(object, name);
    const cJSON *digits;

    snprintf(hex_name, sizeof hex_name, "%s_hex", name);
    digits = cJSON_GetObjectItemCaseSensitive(object, hex_name);
    to->size = 0;
    if (cJSON_IsString(text)) {
        must(buf_append(to, text->valuestring, strlen(text->valuestring)));
        return LSM_OK;
    }
    if (cJSON_IsString(digits))
        return hex_decode(slice_of(digits->valuestring), to);
    return lsm_fail(LSM_INVALID, "a string \"%s\" or \"%s_hex\" is missing", name, name);
}

static lsm_status parse_object(struct bulk_input *in, const cJSON *object)
{
    const cJSON *keyspace = cJSON_GetObjectItemCaseSensitive(object, "keyspace");
    const cJSON *expiry = cJSON_GetObjectItemCaseSensitive(object, "expiry_seconds");

    TRY(json_field(object, "key", &in->key));
    TRY(json_field(object, "value", &in->value));
    if (expiry != NULL) {
        if (!cJSON_IsNumber(expiry) || !(expiry->valuedouble >= 0 && expiry->valuedouble < 1e15))
            return lsm_fail(LSM_INVALID, "\"expiry_seconds\" is not a number of seconds");
        in->expiry_seconds = (uint64_t)expiry->valuedouble;
    }
    if (keyspace != NULL) {
        if (!cJSON_IsString(keyspace))
            return lsm_fail(LSM_INVALID, "\"keyspace\" is not a string");
        must(buf_append(&in->keyspace, keyspace->valuestring, strlen(keyspace->valuestring) + 1));
    }
    return LSM_OK;
}

static lsm_status parse_jsonl(struct bulk_input *in)
{
    lsm_slice line = line_slice(in);
    cJSON *object;
    lsm_status status;

    if (has_escaped_zero(line) || memchr(line.data, '\0', line.size) != NULL)
        return lsm_fail(LSM_INVALID, "a zero in a string; write it as key_hex or value_hex");
    object = cJSON_ParseWithLength(in->line, in->size);
    if (object == NULL)
        return lsm_fail(LSM_INVALID, "not a JSON object");
    status = parse_object(in, object);
    cJSON_Delete(object);
    return status;
}

// --- dumps ---

static lsm_status parse_dump_option(struct bulk_input *in, char *word)
{
    lsm_keyspace_options *options = &in->keyspace_options;
    char *equals = strchr(word, '=');
    uint64_t value = LSM_INHERIT;

    if (equals == NULL)
        return lsm_fail(LSM_INVALID, "keyspace option without a value: %s", word);
    *equals = '\0';
    if (strcmp(equals + 1, "inherit") != 0)
        TRY(field_u64(slice_of(equals + 1), UINT64_MAX, &value));
    if (strcmp(word, "ttl_seconds") == 0) {
        options->ttl_seconds = value;
        return LSM_OK;
    }
    if (value > UINT32_MAX)
        return lsm_fail(LSM_INVALID, "keyspace option %s is out of range", word);
    if (strcmp(word, "value_threshold") == 0)
        options->value_threshold = (uint32_t)value;
    else if (strcmp(word, "versions_to_keep") == 0)
        options->versions_to_keep = (uint32_t)value;
    else if (strcmp(word, "compression") == 0)
        options->compression = (uint32_t)value;
    else
        return lsm_fail(LSM_UNSUPPORTED, "keyspace option %s is not known", word);
    return LSM_OK;
}

static lsm_status parse_dump_keyspace(struct bulk_input *in)
{
    char *rest = in->line + strlen("@keyspace ");
    char *name = strsep(&rest, " ");
    char *word;

    in->keyspace_options = (lsm_keyspace_options)LSM_KEYSPACE_OPTIONS_INIT;
    in->keyspace.size = 0;
    TRY(text_unescape(slice_of(name), &in->keyspace));
    must(buf_append_u8(&in->keyspace, 0));
    while ((word = strsep(&rest, " ")) != NULL)
        TRY(parse_dump_option(in, word));
    return LSM_OK;
}

static lsm_status parse_dump_end(struct bulk_input *in)
{
    uint64_t count;

    TRY(field_u64(slice_of(in->line + strlen("@end ")), UINT64_MAX, &count));
    if (count != in->entries)
        return lsm_fail(LSM_INVALID, "the dump had %" PRIu64 " entries, here are %" PRIu64, count,
                        in->entries);
    in->has_end = true;
    return LSM_OK;
}

static lsm_status parse_dump_entry(struct bulk_input *in)
{
    lsm_slice line = line_slice(in);
    lsm_slice expiry, user_byte;
    uint64_t value = 0;

    TRY(parse_pair(in, &line));
    if (take_field(&line, &expiry)) {
        TRY(field_u64(expiry, UINT64_MAX, &in->expiry_seconds));
        if (!take_field(&line, &user_byte) || line.data != NULL)
            return lsm_fail(LSM_INVALID, "wanted two or four fields");
        TRY(field_u64(user_byte, UINT8_MAX, &value));
        in->user_byte = (uint8_t)value;
    }
    in->entries++;
    return LSM_OK;
}

// Reads on to the next entry; marks on the way leave their state in `in`.
static lsm_status next_of_dump(struct bulk_input *in, bool *at_end)
{
    for (;;) {
        TRY(read_line(in, at_end));
        // A partial dump may end within a line.
        if (in->is_partial && !*at_end && !in->is_whole)
            *at_end = true;
        if (*at_end && !in->has_end && !in->is_partial)
            return lsm_fail(LSM_INVALID, "the end mark is missing: the dump was cut off");
        if (*at_end)
            return LSM_OK;
        if (in->has_end)
            return lsm_fail(LSM_INVALID, "there is more behind the end mark");
        if (in->line[0] != '@')
            return parse_dump_entry(in);
        if (strncmp(in->line, "@keyspace ", 10) == 0)
            TRY(parse_dump_keyspace(in));
        else if (strncmp(in->line, "@end ", 5) == 0)
            TRY(parse_dump_end(in));
        else
            return lsm_fail(LSM_INVALID, "an unknown mark: %.40s", in->line);
    }
}

static lsm_status next_of_lines(struct bulk_input *in, bool *at_end)
{
    do {
        TRY(read_line(in, at_end));
        if (*at_end)
            return LSM_OK;
    } while (in->size == 0);
    return in->format == BULK_TSV ? parse_tsv(in) : parse_jsonl(in);
}

lsm_status bulk_next(struct bulk_input *in, bool *at_end)
{
    lsm_status status;
    bool is_over = false;

    in->expiry_seconds = 0;
    in->user_byte = 0;
    in->keyspace.size = 0;
    status = in->format == BULK_DUMP ? next_of_dump(in, &is_over) : next_of_lines(in, &is_over);
    if (status != LSM_OK)
        return bulk_fail_since(in, in->line_number, status);
    *at_end = is_over;
    return LSM_OK;
}

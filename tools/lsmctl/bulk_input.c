#include "bulk_input.h"

#include <inttypes.h>

#include "bulk_json.h"

#define WORD_SIZE_MAX 4096 // room for a keyspace of a dump: 255 bytes, escaped, and its options

lsm_status bulk_fail_since(const struct bulk_input *in, uint64_t first, lsm_status status)
{
    char place[256];

    if (first == in->first_line)
        snprintf(place, sizeof place, "%.200s: line %" PRIu64, in->name, first);
    else
        snprintf(place, sizeof place, "%.200s: lines %" PRIu64 " to %" PRIu64, in->name, first,
                 in->first_line);
    return lsm_fail_in(status, place);
}

// --- lines and fields ---

// What a field ended at. A line ends at an end of the input, too.
enum stop { STOP_TAB, STOP_LINE, STOP_INPUT };

static lsm_status note_line_end(struct bulk_input *in, enum line_end end)
{
    if (in->line_end == LINE_END_UNKNOWN)
        in->line_end = end;
    if (in->line_end != end)
        return lsm_fail(LSM_INVALID,
                        "the line ends with %s, those before with %s: whether the carriage return "
                        "is part of the value is not known; in one it is written \\r",
                        end == LINE_END_LF ? "LF" : "CR LF", end == LINE_END_LF ? "CR LF" : "LF");
    return LSM_OK;
}

// Whether `c` ends a field; in `*stop` what it is.
static lsm_status check_stop(struct bulk_input *in, int c, bool *is_stop, enum stop *stop)
{
    *is_stop = c == '\t' || c == '\n' || c == '\r' || c == SOURCE_END;
    if (c == '\t')
        *stop = STOP_TAB;
    if (c == SOURCE_END)
        *stop = STOP_INPUT;
    if (c != '\n' && c != '\r')
        return LSM_OK;
    if (c == '\r' && source_take(&in->source) != '\n')
        return lsm_fail(
            LSM_INVALID,
            "a carriage return that ends no line; in a key or a value it is written \\r");
    *stop = STOP_LINE;
    return note_line_end(in, c == '\r' ? LINE_END_CRLF : LINE_END_LF);
}

// A field being read.
struct bulk_field {
    const char *name; // for the words
    lsm_buf *to;
    size_t size_max;
    bool as_hex;
};

static lsm_status append(const struct bulk_field *field, uint8_t byte)
{
    if (!bulk_append(field->to, field->size_max, byte))
        return lsm_fail(LSM_INVALID, "%s: more than the %zu bytes it may have", field->name,
                        field->size_max);
    return LSM_OK;
}

static int take_digit(struct bulk_source *source)
{
    int c = source_take(source);

    return c == SOURCE_END ? -1 : hex_digit((uint8_t)c);
}

// What stands behind a backslash.
static lsm_status read_escape(struct bulk_input *in, const struct bulk_field *field)
{
    int c = source_take(&in->source);
    uint8_t byte = 0;

    if (c == 'x') {
        int high = take_digit(&in->source);
        int low = high < 0 ? -1 : take_digit(&in->source);

        if (low >= 0)
            return append(field, (uint8_t)(high << 4 | low));
    } else if (text_escaped(c, &byte)) {
        return append(field, byte);
    }
    return lsm_fail(LSM_INVALID, "%s: a bad escape behind %zu bytes: known are " TEXT_ESCAPES,
                    field->name, field->to->size);
}

static lsm_status read_pair(struct bulk_input *in, const struct bulk_field *field, int c)
{
    int high = hex_digit((uint8_t)c);
    int low = high < 0 ? -1 : take_digit(&in->source);

    if (low < 0)
        return lsm_fail(LSM_INVALID, "%s: no pair of hexadecimal digits behind %zu bytes",
                        field->name, field->to->size);
    return append(field, (uint8_t)(high << 4 | low));
}

// Reads one field and what ends it.
static lsm_status read_field(struct bulk_input *in, const struct bulk_field *field, enum stop *stop)
{
    for (;;) {
        int c = source_take(&in->source);
        bool is_stop = false;

        if (UNLIKELY(c < ' ')) {
            TRY(check_stop(in, c, &is_stop, stop));
            if (is_stop)
                return LSM_OK;
        }
        if (field->as_hex)
            TRY(read_pair(in, field, c));
        else if (c == '\\')
            TRY(read_escape(in, field));
        else
            TRY(append(field, (uint8_t)c));
    }
}

// Reads a small field as it stands into `in->word`, with a zero behind.
static lsm_status read_word(struct bulk_input *in, enum stop *stop)
{
    for (buf_clear(&in->word);;) {
        int c = source_take(&in->source);
        bool is_stop;

        TRY(check_stop(in, c, &is_stop, stop));
        if (is_stop)
            break;
        if (!bulk_append(&in->word, WORD_SIZE_MAX, (uint8_t)c))
            return lsm_fail(LSM_INVALID, "a field that is too long");
    }
    if (in->word.size > 0 && memchr(in->word.data, '\0', in->word.size) != NULL)
        return lsm_fail(LSM_INVALID, "a zero where none can be");
    must(buf_append_u8(&in->word, 0));
    return LSM_OK;
}

static lsm_status parse_u64(const char *name, const char *digits, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (*digits == '\0')
        return lsm_fail(LSM_INVALID, "%s: a number is missing", name);
    for (; *digits != '\0'; digits++) {
        const unsigned digit = (unsigned)*digits - '0';

        if (digit > 9 || value > (max - digit) / 10)
            return lsm_fail(LSM_INVALID, "%s: wanted a whole number from 0 to %" PRIu64, name, max);
        value = value * 10 + digit;
    }
    *out = value;
    return LSM_OK;
}

static lsm_status read_pair_of_fields(struct bulk_input *in, bool as_hex, enum stop *stop)
{
    struct bulk_entry *entry = &in->entry;
    const struct bulk_field key = {"key", &entry->key, LSM_KEY_SIZE_MAX, as_hex};
    const struct bulk_field value = {"value", &entry->value, LSM_VALUE_SIZE_MAX, as_hex};

    TRY(read_field(in, &key, stop));
    if (*stop != STOP_TAB)
        return lsm_fail(LSM_INVALID, "wanted key, tab, value");
    return read_field(in, &value, stop);
}

// --- TSV ---

// What may stand behind the value: NAME=N, each once.
static lsm_status read_attribute(struct bulk_input *in, bool *has_user_byte, enum stop *stop)
{
    static const char expiry[] = "expiry_seconds=", user_byte[] = "user_byte=";
    const char *word;
    uint64_t number;

    TRY(read_word(in, stop));
    word = in->word.data;
    if (strncmp(word, expiry, strlen(expiry)) == 0 && !in->entry.has_expiry) {
        in->entry.has_expiry = true;
        return parse_u64("expiry_seconds", word + strlen(expiry), UINT64_MAX,
                         &in->entry.expiry_seconds);
    }
    if (strncmp(word, user_byte, strlen(user_byte)) == 0 && !*has_user_byte) {
        *has_user_byte = true;
        TRY(parse_u64("user_byte", word + strlen(user_byte), UINT8_MAX, &number));
        in->entry.user_byte = (uint8_t)number;
        return LSM_OK;
    }
    return lsm_fail(LSM_INVALID,
                    "behind key and value stands one field too many (a tab in a value is written "
                    "\\t); expiry_seconds=N and user_byte=N may be there, each once");
}

static lsm_status read_tsv(struct bulk_input *in)
{
    bool has_user_byte = false;
    enum stop stop = STOP_INPUT;

    TRY(read_pair_of_fields(in, in->as_hex, &stop));
    while (stop == STOP_TAB)
        TRY(read_attribute(in, &has_user_byte, &stop));
    in->whole_line = in->first_line;
    return LSM_OK;
}

// Takes what ends an empty line, if one is next.
static lsm_status skip_empty_lines(struct bulk_input *in)
{
    int c;

    while (c = source_peek(&in->source), c == '\n' || c == '\r') {
        enum stop stop;
        bool is_stop;

        TRY(check_stop(in, source_take(&in->source), &is_stop, &stop));
    }
    return LSM_OK;
}

static lsm_status next_of_tsv(struct bulk_input *in, bool *at_end)
{
    in->first_line = in->source.line;
    TRY(skip_empty_lines(in));
    in->first_line = in->source.line;
    *at_end = source_peek(&in->source) == SOURCE_END;
    return *at_end ? LSM_OK : read_tsv(in);
}

// --- JSON ---

static lsm_status next_of_json(struct bulk_input *in, bool *at_end)
{
    int c;

    in->first_line = in->source.line;
    TRY(json_skip_space(&in->source));
    in->first_line = in->source.line;
    *at_end = source_peek(&in->source) == SOURCE_END;
    if (*at_end)
        return LSM_OK;
    TRY(json_read_entry(&in->source, &in->entry));
    // Another object may follow on the line.
    while (c = source_peek(&in->source), c == ' ' || c == '\r')
        (void)source_take(&in->source); // it has been looked at
    in->whole_line = c == '\n' || c == SOURCE_END ? in->source.line : in->source.line - 1;
    return LSM_OK;
}

// --- dumps ---

static lsm_status parse_dump_option(struct bulk_input *in, const char *word)
{
    static const struct {
        const char *option;
        size_t offset;
    } names[] = {
        {"value_threshold", offsetof(lsm_keyspace_options, value_threshold)},
        {"versions_to_keep", offsetof(lsm_keyspace_options, versions_to_keep)},
        {"compression", offsetof(lsm_keyspace_options, compression)},
    };
    static const char ttl[] = "ttl_seconds=";
    uint64_t value = LSM_INHERIT;

    if (strncmp(word, ttl, strlen(ttl)) == 0)
        return parse_u64("ttl_seconds", word + strlen(ttl), UINT64_MAX,
                         &in->keyspace_options.ttl_seconds);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t size = strlen(names[i].option);
        const char *number = word + size + 1;

        if (strncmp(word, names[i].option, size) != 0 || word[size] != '=')
            continue;
        if (strcmp(number, "inherit") != 0)
            TRY(parse_u64(names[i].option, number, LSM_INHERIT - 1, &value));
        *(uint32_t *)((char *)&in->keyspace_options + names[i].offset) = (uint32_t)value;
        return LSM_OK;
    }
    return lsm_fail(LSM_UNSUPPORTED, "keyspace option %.40s is not known", word);
}

static lsm_status parse_dump_keyspace(struct bulk_input *in, char *rest)
{
    lsm_buf *to = &in->entry.keyspace;
    char *name = strsep(&rest, " ");
    char *word;

    in->keyspace_options = (lsm_keyspace_options)LSM_KEYSPACE_OPTIONS_INIT;
    buf_clear(to);
    TRY(text_unescape(slice_of(name), to));
    if (to->size == 0 || to->size > KEYSPACE_NAME_MAX || memchr(to->data, '\0', to->size) != NULL)
        return lsm_fail(LSM_INVALID, "not the name of a keyspace: '%.40s'", name);
    must(buf_append_u8(to, 0));
    while ((word = strsep(&rest, " ")) != NULL)
        TRY(parse_dump_option(in, word));
    in->has_keyspace = true;
    return LSM_OK;
}

static lsm_status parse_dump_end(struct bulk_input *in, const char *number)
{
    uint64_t count;

    TRY(parse_u64("@end", number, UINT64_MAX, &count));
    if (count != in->entries)
        return lsm_fail(LSM_INVALID, "the dump had %" PRIu64 " entries, here are %" PRIu64, count,
                        in->entries);
    in->has_end = true;
    return LSM_OK;
}

static lsm_status read_dump_mark(struct bulk_input *in, enum stop *stop)
{
    static const char keyspace[] = "@keyspace ", end[] = "@end ";
    char *word;

    TRY(read_word(in, stop));
    word = in->word.data;
    if (*stop != STOP_TAB && strncmp(word, keyspace, strlen(keyspace)) == 0)
        return parse_dump_keyspace(in, word + strlen(keyspace));
    if (*stop != STOP_TAB && strncmp(word, end, strlen(end)) == 0)
        return parse_dump_end(in, word + strlen(end));
    return lsm_fail(LSM_INVALID, "an unknown mark: %.40s", word);
}

static lsm_status read_dump_entry(struct bulk_input *in, enum stop *stop)
{
    uint64_t user_byte = 0;

    if (!in->has_keyspace)
        return lsm_fail(LSM_INVALID, "an entry before the first @keyspace");
    TRY(read_pair_of_fields(in, false, stop));
    if (*stop == STOP_TAB) {
        TRY(read_word(in, stop));
        TRY(parse_u64("expiry", in->word.data, UINT64_MAX, &in->entry.expiry_seconds));
        if (*stop != STOP_TAB)
            return lsm_fail(LSM_INVALID, "the user byte is missing behind the expiry");
        TRY(read_word(in, stop));
        TRY(parse_u64("user byte", in->word.data, UINT8_MAX, &user_byte));
    }
    if (*stop == STOP_TAB)
        return lsm_fail(LSM_INVALID, "wanted two or four fields");
    in->entry.user_byte = (uint8_t)user_byte;
    in->entry.has_expiry = true; // none is never
    in->entries++;
    in->whole_line = in->first_line;
    return LSM_OK;
}

// Whether the line that has failed, or whose last field ended at `stop`, has its end.
static bool line_is_whole(struct bulk_input *in, lsm_status status, enum stop stop)
{
    int c;

    if (status == LSM_OK)
        return stop == STOP_LINE;
    if (in->source.line > in->first_line)
        return true;
    do
        c = source_take(&in->source);
    while (c != '\n' && c != SOURCE_END);
    return c == '\n';
}

// Reads a line: an entry, or a mark that leaves its state in `in`.
static lsm_status read_dump_line(struct bulk_input *in, bool *is_entry, bool *at_end)
{
    enum stop stop = STOP_INPUT;
    lsm_status status;

    *is_entry = source_peek(&in->source) != '@';
    status = *is_entry ? read_dump_entry(in, &stop) : read_dump_mark(in, &stop);
    // A partial dump may end within a line.
    *at_end = in->is_partial && !line_is_whole(in, status, stop);
    return *at_end ? LSM_OK : status;
}

static lsm_status next_of_dump(struct bulk_input *in, bool *at_end)
{
    for (bool is_entry = false; !is_entry && !*at_end;) {
        in->first_line = in->source.line;
        if (source_peek(&in->source) == SOURCE_END) {
            if (!in->has_end && !in->is_partial)
                return lsm_fail(LSM_INVALID, "the end mark is missing: the dump was cut off");
            *at_end = true;
            return LSM_OK;
        }
        if (in->has_end)
            return lsm_fail(LSM_INVALID, "there is more behind the end mark");
        TRY(read_dump_line(in, &is_entry, at_end));
    }
    return LSM_OK;
}

// --- formats ---

// Takes the mark of UTF-8. That of UTF-16 means another encoding, whose bytes only who asks
// for them gets.
static lsm_status take_utf_mark(struct bulk_input *in)
{
    int first = source_look(&in->source, 0);
    int second = first < 0x80 ? SOURCE_END : source_look(&in->source, 1);

    if (in->format == BULK_AUTO &&
        ((first == 0xff && second == 0xfe) || (first == 0xfe && second == 0xff)))
        return lsm_fail(LSM_INVALID, "is UTF-16: make it UTF-8, or take the bytes as they are with "
                                     "--format tsv");
    if (first == 0xef && second == 0xbb && source_look(&in->source, 2) == 0xbf)
        for (int i = 0; i < 3; i++)
            (void)source_take(&in->source); // it has been looked at
    return LSM_OK;
}

// Whether the header of a dump, of any version, is next.
static bool is_dump_header(struct bulk_input *in)
{
    static const char mark[] = DUMP_MARK;
    unsigned i;
    int c = SOURCE_END;

    for (i = 0; mark[i] != '\0'; i++)
        if (source_look(&in->source, i) != mark[i])
            return false;
    while (i < SOURCE_AHEAD_MAX && (c = source_look(&in->source, i), c >= '0' && c <= '9'))
        i++;
    return c == '\n' || c == '\r' || c == SOURCE_END;
}

static lsm_status read_dump_header(struct bulk_input *in)
{
    enum stop stop;

    if (source_peek(&in->source) == SOURCE_END)
        return lsm_fail(LSM_INVALID, "is empty, not a dump");
    TRY(read_word(in, &stop));
    if (stop == STOP_TAB || strcmp(in->word.data, DUMP_HEADER) != 0)
        return lsm_fail(LSM_UNSUPPORTED, "does not begin with \"%s\"", DUMP_HEADER);
    return LSM_OK;
}

static lsm_status find_format(struct bulk_input *in)
{
    TRY(take_utf_mark(in));
    if (in->format == BULK_AUTO && is_dump_header(in))
        in->format = BULK_DUMP;
    if (in->format == BULK_DUMP)
        return read_dump_header(in);
    TRY(skip_empty_lines(in));
    if (in->format == BULK_AUTO && source_peek(&in->source) == '{') {
        in->format = BULK_JSONL;
        in->source.guessed_line = in->source.line;
    }
    if (in->format == BULK_AUTO)
        in->format = BULK_TSV;
    return LSM_OK;
}

lsm_status bulk_open(struct bulk_input *in, FILE *from, const char *name, enum bulk_format format)
{
    lsm_status status;

    *in = (struct bulk_input){.source = source_over(from), .name = name, .format = format};
    status = find_format(in);
    if (source_check(&in->source) != LSM_OK)
        status = LSM_IO;
    return status == LSM_OK ? LSM_OK : lsm_fail_in(status, name);
}

void bulk_release(struct bulk_input *in)
{
    lsm_buf_free(&in->word);
    bulk_entry_release(&in->entry);
}

lsm_status bulk_next(struct bulk_input *in, bool *at_end)
{
    lsm_status status;
    bool is_over = false;

    bulk_entry_clear(&in->entry);
    status = in->format == BULK_DUMP    ? next_of_dump(in, &is_over)
             : in->format == BULK_JSONL ? next_of_json(in, &is_over)
                                        : next_of_tsv(in, &is_over);
    if (source_check(&in->source) != LSM_OK)
        status = LSM_IO;
    if (status != LSM_OK)
        return bulk_fail_since(in, in->first_line, status);
    *at_end = is_over;
    return LSM_OK;
}

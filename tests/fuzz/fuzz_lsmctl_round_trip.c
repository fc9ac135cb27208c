// Entries of any bytes, as `lsmctl scan`, `scan --json` and `dump` write them: what `load`
// reads of that, without being told the format, are the same entries.

#include <stdlib.h>
#include <string.h>

#include "base/coding.h"
#include "bulk_input.h"
#include "bulk_output.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ENTRIES_MAX 16

enum form { FORM_TEXT, FORM_HEX, FORM_JSON, FORM_JSON_HEX, FORM_DUMP, FORM_COUNT };

static void check(bool fact)
{
    if (!fact)
        abort();
}

// One entry off the front of the input: sizes of key and value, flags, what they ask for.
static bool take_entry(struct reader *r, struct bulk_view *view)
{
    size_t key_size = read_u8(r);
    size_t value_size = read_u8(r);
    uint8_t flags = read_u8(r);

    *view = (struct bulk_view){.has_value = true};
    if (flags & 1)
        view->expiry_seconds = read_u64(r);
    if (flags & 2)
        view->user_byte = read_u8(r);
    if (flags & 4)
        value_size *= 257;
    view->key = read_bytes(r, key_size);
    view->value = read_bytes(r, value_size);
    return reader_ok(r);
}

static void write_all(FILE *to, enum form form, const struct bulk_view *views, size_t count)
{
    if (form == FORM_DUMP)
        fputs(DUMP_HEADER "\n@keyspace default\n", to);
    for (size_t i = 0; i < count; i++) {
        if (form == FORM_DUMP)
            bulk_write_dump(to, &views[i]);
        else if (form == FORM_JSON || form == FORM_JSON_HEX)
            bulk_write_json(to, &views[i], form == FORM_JSON_HEX);
        else
            bulk_write_text(to, &views[i], form == FORM_HEX);
    }
    if (form == FORM_DUMP)
        fprintf(to, "@end %zu\n", count);
}

static void check_entry(struct bulk_input *in, const struct bulk_view *view)
{
    bool at_end = true;

    check(bulk_next(in, &at_end) == LSM_OK && !at_end);
    check(slice_equal(slice_of_buf(&in->entry.key), view->key));
    check(slice_equal(slice_of_buf(&in->entry.value), view->value));
    check(in->entry.expiry_seconds == view->expiry_seconds);
    check(in->entry.user_byte == view->user_byte);
}

static void read_all(FILE *from, enum form form, const struct bulk_view *views, size_t count)
{
    struct bulk_input in;
    bool at_end = false;

    check(bulk_open(&in, from, "input", BULK_AUTO) == LSM_OK);
    in.as_hex = form == FORM_HEX;
    for (size_t i = 0; i < count; i++)
        check_entry(&in, &views[i]);
    check(bulk_next(&in, &at_end) == LSM_OK && at_end);
    bulk_release(&in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_over(slice_make(data, size));
    struct bulk_view views[ENTRIES_MAX];
    size_t count = 0;

    while (count < ENTRIES_MAX && take_entry(&r, &views[count]))
        count++;
    for (enum form form = FORM_TEXT; count > 0 && form < FORM_COUNT; form++) {
        char *text = NULL;
        size_t text_size = 0;
        FILE *stream = open_memstream(&text, &text_size);

        check(stream != NULL);
        write_all(stream, form, views, count);
        check(fclose(stream) == 0);
        stream = fmemopen(text, text_size, "r");
        check(stream != NULL);
        read_all(stream, form, views, count);
        fclose(stream);
        free(text);
    }
    return 0;
}

#include "bulk_output.h"

#include <inttypes.h>

// Writes a key in front of a line, its first byte escaped when that is `mark`: a line that
// begins with it is another thing.
static void write_key(FILE *to, lsm_slice key, char mark, bool as_hex)
{
    if (!as_hex && key.size > 0 && *(const char *)key.data == mark) {
        fprintf(to, "\\x%02x", (unsigned)mark);
        key = slice_from(key, 1);
    }
    write_bytes(to, key, as_hex);
}

void bulk_write_text(FILE *to, const struct bulk_view *view, bool as_hex)
{
    // A first line that begins with a brace is JSON.
    write_key(to, view->key, '{', as_hex);
    if (view->has_version)
        fprintf(to, "\t%" PRIu64 "\t%s", view->ts, view->is_deleted ? "delete" : "put");
    if (view->has_value) {
        putc('\t', to);
        write_bytes(to, view->value, as_hex);
    }
    if (view->has_value || view->has_version) {
        if (view->has_expiry || view->expiry_seconds != 0)
            fprintf(to, "\texpiry_seconds=%" PRIu64, view->expiry_seconds);
        if (view->user_byte != 0)
            fprintf(to, "\tuser_byte=%u", view->user_byte);
    }
    putc('\n', to);
}

void bulk_write_json(FILE *to, const struct bulk_view *view, bool as_hex)
{
    putc('{', to);
    json_write_bytes(to, "key", view->key, as_hex);
    if (view->has_value) {
        putc(',', to);
        json_write_bytes(to, "value", view->value, as_hex);
    }
    if (view->has_version)
        fprintf(to, ",\"ts\":%" PRIu64 ",\"deleted\":%s", view->ts,
                view->is_deleted ? "true" : "false");
    if (view->has_expiry || view->expiry_seconds != 0)
        fprintf(to, ",\"expiry_seconds\":%" PRIu64, view->expiry_seconds);
    if (view->user_byte != 0)
        fprintf(to, ",\"user_byte\":%u", view->user_byte);
    fputs("}\n", to);
}

void bulk_write_dump(FILE *to, const struct bulk_view *view)
{
    write_key(to, view->key, '@', false);
    putc('\t', to);
    write_bytes(to, view->value, false);
    if (view->expiry_seconds != 0 || view->user_byte != 0)
        fprintf(to, "\t%" PRIu64 "\t%u", view->expiry_seconds, view->user_byte);
    putc('\n', to);
}

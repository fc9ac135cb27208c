// bulk_output.h -- entries as text, in the forms that bulk_input.h reads: what is written
// here loads as the same entry.

#ifndef LSM_TOOLS_BULK_OUTPUT_H
#define LSM_TOOLS_BULK_OUTPUT_H

#include "output.h"

// An entry as scan and dump show it.
struct bulk_view {
    lsm_slice key;
    lsm_slice value;
    bool has_value;          // false: keys only, or deleted
    uint64_t expiry_seconds; // 0: never
    bool has_expiry;         // shown even when it is 0: the keyspace has a default
    uint8_t user_byte;

    bool has_version; // with timestamp and kind, which cannot be loaded
    bool is_deleted;
    uint64_t ts;
};

// One line each. Text has the expiry and the user byte behind the value, where they are set; a
// key without its value, and without its version, stands alone.
void bulk_write_text(FILE *to, const struct bulk_view *view, bool as_hex);
void bulk_write_json(FILE *to, const struct bulk_view *view, bool as_hex);
// `view` has a value.
void bulk_write_dump(FILE *to, const struct bulk_view *view);

#endif

// bulk_json.h -- entries out of JSON objects.
//
// A reader of its own: one for any JSON keeps numbers as doubles, takes a field that is there
// twice, and ends a string at a zero. This one knows the fields of an entry, and refuses
// what is not one of them.

#ifndef LSM_TOOLS_BULK_JSON_H
#define LSM_TOOLS_BULK_JSON_H

#include "bulk_entry.h"
#include "bulk_source.h"

// Takes blanks and line breaks. LSM_INVALID at a tab on the line by which JSON was guessed.
lsm_status json_skip_space(struct bulk_source *source);

// Reads one object, from its brace on, into the cleared `entry`.
lsm_status json_read_entry(struct bulk_source *source, struct bulk_entry *entry);

#endif

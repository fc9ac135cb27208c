// bulk_input.h -- entries out of the text formats that `lsmctl load` takes.
//
//   tsv    key, tab, value; both escaped as text_escape() does
//   jsonl  {"key": "...", "value": "..."}, or key_hex and value_hex; keyspace and
//          expiry_seconds may be there too
//   dump   what `lsmctl dump` writes:
//
//            lsmkv-dump 1
//            @keyspace NAME value_threshold=N versions_to_keep=N compression=N ttl_seconds=N
//            KEY <tab> VALUE [<tab> EXPIRY_SECONDS <tab> USER_BYTE]
//            @end COUNT
//
//          Names, keys and values are escaped, '@' at the start of a key as \x40. An
//          option that follows the database's says "inherit". COUNT is of entries.

#ifndef LSM_TOOLS_BULK_INPUT_H
#define LSM_TOOLS_BULK_INPUT_H

#include <stdio.h>

#include "output.h"

#define DUMP_HEADER "lsmkv-dump 1"

enum bulk_format { BULK_AUTO, BULK_TSV, BULK_JSONL, BULK_DUMP };

struct bulk_input {
    FILE *from;
    const char *name; // for the words
    enum bulk_format format;
    bool as_hex;     // TSV fields are digits
    bool is_partial; // a dump without its end mark is taken

    uint64_t line_number; // of the line last read, from 1
    uint64_t bytes;       // read so far
    uint64_t entries;     // of the dump
    bool has_end;

    char *line;
    size_t capacity;
    size_t size;         // of the line, without its line feed
    bool is_whole;       // the line ended with a line feed
    bool is_pushed_back; // the line is read again

    // What bulk_next() has read; it lives until the next call.
    lsm_buf key;
    lsm_buf value;
    lsm_buf keyspace;                      // zero-terminated, empty: the one before
    lsm_keyspace_options keyspace_options; // of a dump, with `keyspace`
    uint64_t expiry_seconds;
    uint8_t user_byte;
};

// Finds the format by the first line when it is BULK_AUTO.
lsm_status bulk_open(struct bulk_input *in, FILE *from, const char *name, enum bulk_format format);
void bulk_release(struct bulk_input *in);

// The next entry, or `*at_end` behind the last. LSM_INVALID, naming file and line, for
// what is malformed, and for a dump that lacks its end mark or entries.
lsm_status bulk_next(struct bulk_input *in, bool *at_end);

// Names file and lines, from `first` to the one last read, in front of the words of the
// thread's last failure, and returns `status`.
lsm_status bulk_fail_since(const struct bulk_input *in, uint64_t first, lsm_status status);

#endif

// bulk_input.h -- entries out of the text formats that `lsmctl load` takes.
//
//   tsv    key, tab, value, as `lsmctl scan` writes them: escaped as text_escape() does, or
//          digits. Behind the value, tabs between: expiry_seconds=N, user_byte=N
//   jsonl  {"key": "...", "value": "..."}, or key_hex and value_hex; keyspace (or keyspace_hex),
//          expiry_seconds and user_byte may be there too. Objects stand one behind the
//          other, with or without line breaks between them and within
//   dump   what `lsmctl dump` writes:
//
//            lsmkv-dump 1
//            @keyspace NAME value_threshold=N versions_to_keep=N compression=N ttl_seconds=N
//            KEY <tab> VALUE [<tab> EXPIRY_SECONDS <tab> USER_BYTE]
//            @end COUNT
//
//          Names, keys and values are escaped, '@' at the start of a key as \x40. An
//          option that follows the database's says "inherit". COUNT is of entries.
//
// An expiry of 0 is never; where none is told, but in a dump, the keyspace's default decides.
//
// The format is told, or found once by how the input begins: "lsmkv-dump N" alone on a line
// is a dump, '{' is JSON, all else is TSV. A key that begins with a brace is written \x7b
// therefore; where a line could be meant both ways, it is refused. The mark of UTF-8 that
// some editors put in front is left out, and so are empty lines. Lines end with LF or CR LF,
// all of them alike: a CR that belongs to a value is written \r.

#ifndef LSM_TOOLS_BULK_INPUT_H
#define LSM_TOOLS_BULK_INPUT_H

#include "bulk_entry.h"
#include "bulk_source.h"

#define DUMP_MARK   "lsmkv-dump "
#define DUMP_HEADER DUMP_MARK "1"

enum bulk_format { BULK_AUTO, BULK_TSV, BULK_JSONL, BULK_DUMP };

enum line_end { LINE_END_UNKNOWN, LINE_END_LF, LINE_END_CRLF };

struct bulk_input {
    struct bulk_source source;
    const char *name; // for the words
    enum bulk_format format;
    bool as_hex;     // TSV fields are digits
    bool is_partial; // a dump without its end mark is taken

    enum line_end line_end; // of the lines so far
    lsm_buf word;           // a mark of a dump, or a small field
    uint64_t entries;       // of the dump
    bool has_keyspace;
    bool has_end;

    // What bulk_next() has read; it lives until the next call.
    struct bulk_entry entry;
    lsm_keyspace_options keyspace_options; // of a dump, with entry.keyspace
    uint64_t first_line;                   // of the entry
    uint64_t whole_line;                   // no line up to this one holds more entries
};

// Finds the format by the first bytes when it is BULK_AUTO.
lsm_status bulk_open(struct bulk_input *in, FILE *from, const char *name, enum bulk_format format);
void bulk_release(struct bulk_input *in);

// The next entry, or `*at_end` behind the last. LSM_INVALID, naming file and line, for
// what is malformed, and for a dump that lacks its end mark or entries.
lsm_status bulk_next(struct bulk_input *in, bool *at_end);

// Names file and lines, from `first` to those of the entry last read, in front of the words
// of the thread's last failure, and returns `status`.
lsm_status bulk_fail_since(const struct bulk_input *in, uint64_t first, lsm_status status);

#endif

// lsmctl.h -- what the commands of the tool share.
//
// A command is a row of a table: its name, operands, flags and a function. The
// table drives parsing, help and suggestions, so that a command holds its work
// only. It returns a status and leaves the words to lsm_fail(); main() prints them
// and turns the status into an exit code.

#ifndef LSM_TOOLS_LSMCTL_H
#define LSM_TOOLS_LSMCTL_H

#include "lsmkv.h"

#include "output.h"
#include "progress.h"

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,
    EXIT_CODE_USAGE = 2,
    EXIT_CODE_NOT_FOUND = 3,
    EXIT_CODE_CORRUPT = 4,
    EXIT_CODE_LOCKED = 5,
};

enum flag_type {
    FLAG_BOOL,  // bool, set to true
    FLAG_TEXT,  // const char *
    FLAG_BYTES, // struct bytes_flag: escaped text, or digits with --hex
    FLAG_COUNT, // uint64_t
    FLAG_SIZE,  // uint64_t, takes KiB, MiB, GiB
    FLAG_REAL,  // double
};

struct flag {
    const char *name; // long, without dashes; NULL ends the table
    char letter;      // 0: none
    const char *argument;
    const char *help;
    enum flag_type type;
    size_t offset; // of the field in the command's settings
};

// Bytes given on the command line.
struct bytes_flag {
    bool is_set;
    lsm_buf bytes;
};

struct tool;

struct command {
    const char *name;
    const char *group;    // heading in the list of commands
    const char *operands; // as shown
    int operands_min;
    int operands_max;
    const char *summary;
    const char *details; // more, and examples, for `lsmctl help COMMAND`
    const struct flag *flags;
    size_t settings_size;
    lsm_status (*run)(struct tool *tool);
};

// One run of the tool.
struct tool {
    const struct command *command;
    bool json;
    bool hex;
    bool files;
    bool quiet;
    bool verbose;
    const char *keyspace;   // NULL: "default"
    lsm_options *options;   // from -o
    bool has_create_option; // create_if_missing is one of them
    const char **operands;  // the database first
    int operand_count;
    void *settings;
    bool is_usage_error;
};

// The tables of commands, each ended by a nameless one.
extern const struct command create_commands[];
extern const struct command data_commands[];
extern const struct command bulk_commands[];
extern const struct command look_commands[];
extern const struct command stats_commands[];
extern const struct command event_commands[];
extern const struct command file_commands[];
extern const struct command upkeep_commands[];
extern const struct command salvage_commands[];
extern const struct command bench_commands[];

// A mistake of the caller's that parsing could not see: exit code 2.
lsm_status usage_error(struct tool *tool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Says something on stderr, unless --quiet.
void say(const struct tool *tool, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Hands the output so far to the system. LSM_IO once any of it could not be written.
lsm_status output_flush(void);

// An operand as bytes: escaped text, digits with --hex, or what a file holds with --files.
// Appends to `bytes`.
lsm_status operand_bytes(const struct tool *tool, const char *text, lsm_buf *bytes);
// Appends what the file holds, "-" being the standard input: no more than a value may have.
lsm_status file_bytes(const char *name, lsm_buf *bytes);

// "64KiB" and the like. LSM_INVALID otherwise.
lsm_status parse_size(const char *text, uint64_t *size);

// --- opening a database ---

struct session {
    lsm_db *db;
    lsm_keyspace *keyspace; // of --keyspace; NULL when none was given
    bool is_new;            // the database was made
};

enum session_mode {
    SESSION_READ,   // reads only, beside another process if need be
    SESSION_WRITE,  // must exist
    SESSION_ASKED,  // made, and the keyspace too, when -o create_if_missing says so
    SESSION_CREATE, // made, and the keyspace too, when it is not there
};

// Opens the database of the first operand and the keyspace asked for. LSM_NOT_FOUND, with the
// nearest of those there are, when one of them is not there and is not made.
lsm_status session_open(struct tool *tool, enum session_mode mode, struct session *out);
// Closes it; the failure is of what did not reach the disk.
lsm_status session_close(struct session *session);
// For CLEANUP on a path that has failed already.
void session_closep(struct session *session);

// Fails for want of a database at `path`; words about the one that may have been meant, and
// `hint`, which may be empty.
lsm_status fail_no_database(const char *path, const char *hint);

// Opens for reading only, again and again when a process that is writing takes away
// a file that was just being opened.
lsm_status open_read_only(const char *path, const lsm_options *options, lsm_db **out);

#endif

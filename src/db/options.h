// options.h -- every option of a database: one table of names, types and ranges.
//
// An option belongs to the database or to the process that opens it. What belongs to the
// database is kept in its file OPTIONS (options_file.h) once somebody has said it, and stays in
// force until somebody says otherwise:
//
//   what the caller says  >  what the database keeps  >  the default

#ifndef LSM_DB_OPTIONS_H
#define LSM_DB_OPTIONS_H

#include "base/bytes.h"
#include "env/env.h"

// Field by field what `lsm_options_set()` sets; docs/tuning.md explains them.
struct lsm_options {
    uint64_t create_if_missing;
    uint64_t error_if_exists;
    uint64_t open_damaged;
    uint64_t in_memory;
    uint64_t sync; // enum lsm_sync_mode, never the default
    uint64_t sync_interval_ns;

    uint64_t memtable_size;
    uint64_t cache_size;
    uint64_t open_files_max; // 0: half of what the system allows
    uint64_t workers;        // 0: half of the processors, at least 2
    uint64_t txn_bytes_max;
    uint64_t check_memory;
    uint64_t conflict_history_size;
    uint64_t idle_flush_ns;

    uint64_t value_threshold;
    uint64_t segment_size_max;

    uint64_t block_size;
    uint64_t compressed_block_size;
    uint64_t table_size;
    uint64_t compression;
    uint64_t compression_upper;
    double filter_bits;

    uint64_t versions_to_keep;
    uint64_t level0_trigger;
    uint64_t level0_slowdown;
    uint64_t level0_stop;
    uint64_t level_base_size;
    uint64_t level_multiplier;
    uint64_t debt_slowdown;
    uint64_t debt_stop;

    uint64_t events_size_max;
    uint64_t keys_in_errors;

    // What the caller says of each option, a bit by its place in the table; nothing: as the
    // database keeps it, else as the field is.
    uint64_t set;   // the value of the field
    uint64_t once;  // of those, for this opening only: the database does not keep it
    uint64_t reset; // the default; the database is to forget what it keeps

    // Not an option by name: a database inside another env, for tests and the
    // in-memory mode. Borrowed. NULL: the machine's.
    struct env *env;
    // Not an option by name: jobs run only when a test says so.
    bool is_manual;
    // Not an option by name: a salvage opens what it is still writing.
    bool is_salvage;
    uint64_t salvaged_wall_ns; // then: what the old manifest says is past without doubt, or 0
};

void options_init(struct lsm_options *options);

// Whether what lies in memory is summed up and checked: in debug builds always.
static inline bool options_check_memory(const struct lsm_options *options)
{
#ifdef NDEBUG
    return options->check_memory != 0;
#else
    (void)options;
    return true;
#endif
}

// LSM_INVALID when options contradict each other.
lsm_status options_check(const struct lsm_options *options);
// The same of what is to be kept, where the rest has its default: what holds only beside options
// that somebody has set for this time would keep everybody else out.
lsm_status options_check_kept(const struct lsm_options *kept);

// Brings together what the caller says in `options` and what the database has kept: `options`
// becomes what is in force, `kept` what is to be kept. Doing it again changes nothing.
void options_merge(struct lsm_options *options, struct lsm_options *kept);

// Whether two of what databases keep are the same.
bool options_keep_same(const struct lsm_options *a, const struct lsm_options *b);

// From where the value of an option is, when `options` is in force and `kept` is kept.
lsm_status options_source(const struct lsm_options *options, const struct lsm_options *kept,
                          const char *name, lsm_option_source *out);

// Takes over what `kept` sets, as what the caller says.
void options_take(struct lsm_options *options, const struct lsm_options *kept);

// Appends all options as a text file to `to`: those that are set, the others as comments.
lsm_status options_format(const struct lsm_options *options, lsm_buf *to);

// Sets what the lines of `text` name; `name` is of the file, for the words.
lsm_status options_parse(struct lsm_options *options, lsm_slice text, const char *name);

// The same of what a database keeps: its own options only, behind a line with a checksum.
lsm_status options_format_kept(const struct lsm_options *kept, lsm_buf *to);

// Reads what options_format_kept() or an older lsmkv has written, which told all options of the
// last open. LSM_CORRUPT, telling how to go on, when it is not as it was written; LSM_UNSUPPORTED
// for an option that only a newer lsmkv knows.
lsm_status options_parse_kept(struct lsm_options *kept, lsm_slice text, const char *name);

// Whether the option may change while the database is open; LSM_INVALID, suggesting the
// nearest name, when there is no such option.
lsm_status options_is_changeable(const char *name, bool *is_changeable);

#endif

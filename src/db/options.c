#include "db/options.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/crc32c.h"

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define TIB (UINT64_C(1) << 40)

// What is kept in memory has less room where addresses have 32 bits.
#if UINTPTR_MAX > UINT32_MAX
#define MEMTABLE_MAX   (4 * GIB)
#define MEMTABLE_RANGE "64KiB to 4GiB"
#define CACHE_MAX      (1 * TIB)
#define CACHE_RANGE    "1MiB to 1TiB"
#else
#define MEMTABLE_MAX   (512 * MIB)
#define MEMTABLE_RANGE "64KiB to 512MiB"
#define CACHE_MAX      (2 * GIB)
#define CACHE_RANGE    "1MiB to 2GiB"
#endif

#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S  UINT64_C(1000000000)

enum option_type {
    OPTION_SIZE,
    OPTION_COUNT,
    OPTION_DURATION,
    OPTION_NUMBER,
    OPTION_BOOL,
    OPTION_SYNC
};

struct option_spec {
    const char *name;
    enum option_type type;
    size_t field; // offset in struct lsm_options
    double number_default;
    uint64_t integer_default;
    uint64_t min;
    uint64_t max;
    bool changeable;
    bool kept; // belongs to the database, not to the process
    const char *default_text;
    const char *range;
    const char *help;
};

// Whose an option is. Of the database is what shapes its files and how they are looked after. Of
// the process are its memory, threads and descriptors, what opening may do, and how long a commit
// waits: nobody is given a weaker promise than he has asked for by an earlier process.
#define OF_DATABASE true
#define OF_PROCESS  false

#define OPTION(name_, type_, default_, default_text_, min_, max_, range_, changeable_, kept_,      \
               help_)                                                                              \
    {                                                                                              \
        .name = #name_, .type = (type_), .field = offsetof(struct lsm_options, name_),             \
        .integer_default = (default_), .min = (min_), .max = (max_), .changeable = (changeable_),  \
        .kept = (kept_), .default_text = (default_text_), .range = (range_), .help = (help_)       \
    }

static const struct option_spec specs[] = {
    OPTION(create_if_missing, OPTION_BOOL, 1, "true", 0, 1, "true or false", false, OF_PROCESS,
           "make the database when it is not there"),
    OPTION(error_if_exists, OPTION_BOOL, 0, "false", 0, 1, "true or false", false, OF_PROCESS,
           "refuse to open a database that exists"),
    OPTION(open_damaged, OPTION_BOOL, 0, "false", 0, 1, "true or false", false, OF_PROCESS,
           "open although tables or segments are missing or too short, to rescue what is left"),
    OPTION(in_memory, OPTION_BOOL, 0, "false", 0, 1, "true or false", false, OF_PROCESS,
           "keep everything in memory; gone when closed"),
    OPTION(sync, OPTION_SYNC, LSM_SYNC_FULL, "full", 0, 0, "full or written", true, OF_PROCESS,
           "what a commit waits for: the device, or the operating system"),
    {.name = "sync_interval",
     .type = OPTION_DURATION,
     .field = offsetof(struct lsm_options, sync_interval_ns),
     .integer_default = NS_PER_S,
     .min = NS_PER_MS,
     .max = 3600 * NS_PER_S,
     .changeable = true,
     .kept = OF_PROCESS,
     .default_text = "1s",
     .range = "1ms to 1h",
     .help = "longest time that commits of sync mode written stay unsynced"},
    OPTION(memtable_size, OPTION_SIZE, 64 * MIB, "64MiB", 64 * KIB, MEMTABLE_MAX, MEMTABLE_RANGE,
           true, OF_DATABASE, "bytes gathered in memory before they are written to a table"),
    OPTION(cache_size, OPTION_SIZE, 256 * MIB, "256MiB", 1 * MIB, CACHE_MAX, CACHE_RANGE, true,
           OF_PROCESS, "bytes of blocks, indexes and filters kept in memory"),
    OPTION(open_files_max, OPTION_COUNT, 0, "0", 0, 1000000, "0 (half of the limit) to 1000000",
           false, OF_PROCESS, "descriptors kept open for tables and segments"),
    OPTION(workers, OPTION_COUNT, 0, "0", 0, 64, "0 (half of the processors, at least 2) to 64",
           false, OF_PROCESS, "background threads"),
    OPTION(txn_bytes_max, OPTION_SIZE, 256 * MIB, "256MiB", 64 * KIB, 16 * GIB, "64KiB to 16GiB",
           true, OF_PROCESS, "keys and values that one transaction may commit"),
    OPTION(check_memory, OPTION_BOOL, 0, "false", 0, 1, "true or false", false, OF_PROCESS,
           "sum up what waits in memory for the disk, and check it on its way there"),
    OPTION(conflict_history_size, OPTION_SIZE, 8 * MIB, "8MiB", 64 * KIB, 1 * GIB, "64KiB to 1GiB",
           false, OF_PROCESS, "memory for recent commits, to find conflicts without a read"),
    {.name = "idle_flush",
     .type = OPTION_DURATION,
     .field = offsetof(struct lsm_options, idle_flush_ns),
     .integer_default = 10 * NS_PER_S,
     .min = 100 * NS_PER_MS,
     .max = 86400 * NS_PER_S,
     .changeable = true,
     .kept = OF_DATABASE,
     .default_text = "10s",
     .range = "100ms to 24h",
     .help = "quiet time after which memtables are written out"},
    OPTION(value_threshold, OPTION_SIZE, 1 * KIB, "1KiB", 0, 64 * KIB, "0 to 64KiB", true,
           OF_DATABASE, "values of this size and above stay in the value log"),
    OPTION(segment_size_max, OPTION_SIZE, 256 * MIB, "256MiB", 1 * MIB, 4 * GIB, "1MiB to 4GiB",
           true, OF_DATABASE, "size that segments of the value log grow to"),
    OPTION(block_size, OPTION_SIZE, 4 * KIB, "4KiB", 256, 1 * MIB, "256 to 1MiB", true, OF_DATABASE,
           "uncompressed blocks of tables"),
    OPTION(compressed_block_size, OPTION_SIZE, 16 * KIB, "16KiB", 256, 1 * MIB, "256 to 1MiB", true,
           OF_DATABASE, "blocks of tables before compression"),
    OPTION(table_size, OPTION_SIZE, 64 * MIB, "64MiB", 16 * KIB, 4 * GIB, "16KiB to 4GiB", true,
           OF_DATABASE, "size at which a merge starts a new table"),
    OPTION(compression, OPTION_COUNT, 1, "1", 0, 22, "0 (none) to 22 (zstd level)", true,
           OF_DATABASE, "compression of the last level"),
    OPTION(compression_upper, OPTION_COUNT, 0, "0", 0, 22, "0 (none) to 22 (zstd level)", true,
           OF_DATABASE, "compression of the levels above the last, but the first two"),
    {.name = "filter_bits",
     .type = OPTION_NUMBER,
     .field = offsetof(struct lsm_options, filter_bits),
     .number_default = 10,
     .min = 0,
     .max = 32,
     .changeable = true,
     .kept = OF_DATABASE,
     .default_text = "10",
     .range = "0 (no filter) to 32",
     .help = "bloom filter bits per key"},
    OPTION(versions_to_keep, OPTION_COUNT, 1, "1", 1, UINT32_MAX - 1, "1 to 4294967294", true,
           OF_DATABASE, "versions of a key that merges keep when no snapshot needs more"),
    OPTION(level0_trigger, OPTION_COUNT, 4, "4", 1, 1000, "1 to 1000", true, OF_DATABASE,
           "tables in level 0 from which it is merged"),
    OPTION(level0_slowdown, OPTION_COUNT, 20, "20", 2, 10000, "2 to 10000", true, OF_DATABASE,
           "tables in level 0 from which writes are slowed down"),
    OPTION(level0_stop, OPTION_COUNT, 48, "48", 3, 10000, "3 to 10000", true, OF_DATABASE,
           "tables in level 0 at which writes wait"),
    OPTION(level_base_size, OPTION_SIZE, 256 * MIB, "256MiB", 64 * KIB, 1 * TIB, "64KiB to 1TiB",
           true, OF_DATABASE, "largest target of the first level below level 0"),
    OPTION(level_multiplier, OPTION_COUNT, 8, "8", 2, 100, "2 to 100", true, OF_DATABASE,
           "how much larger a level is than the one above"),
    OPTION(debt_slowdown, OPTION_SIZE, 4 * GIB, "4GiB", 1 * MIB, 1024 * TIB, "1MiB to 1024TiB",
           true, OF_DATABASE, "bytes waiting to be merged from which writes are slowed down"),
    OPTION(debt_stop, OPTION_SIZE, 64 * GIB, "64GiB", 1 * MIB, 1024 * TIB, "1MiB to 1024TiB", true,
           OF_DATABASE, "bytes waiting to be merged at which writes wait"),
    OPTION(events_size_max, OPTION_SIZE, 4 * MIB, "4MiB", 0, 1 * GIB, "0 (none) to 1GiB", false,
           OF_DATABASE, "size at which the event log is rotated"),
    OPTION(keys_in_errors, OPTION_BOOL, 0, "false", 0, 1, "true or false", false, OF_PROCESS,
           "show in the words of a conflict which key it was about"),
};

#define SPEC_COUNT (sizeof specs / sizeof specs[0])
static_assert(SPEC_COUNT <= 64, "a bit for each option");

static uint64_t bit_of(const struct option_spec *spec)
{
    return UINT64_C(1) << (spec - specs);
}

static uint64_t *integer_field(const struct option_spec *spec, struct lsm_options *options)
{
    return (uint64_t *)((char *)options + spec->field);
}

static double *number_field(const struct option_spec *spec, struct lsm_options *options)
{
    return (double *)((char *)options + spec->field);
}

static void set_default(const struct option_spec *spec, struct lsm_options *options)
{
    if (spec->type == OPTION_NUMBER)
        *number_field(spec, options) = spec->number_default;
    else
        *integer_field(spec, options) = spec->integer_default;
}

// Integers and numbers alike.
static void copy_value(const struct option_spec *spec, struct lsm_options *to,
                       const struct lsm_options *from)
{
    static_assert(sizeof(double) == sizeof(uint64_t), "the fields of all options have one size");
    memcpy((char *)to + spec->field, (const char *)from + spec->field, sizeof(uint64_t));
}

static bool has_same_value(const struct option_spec *spec, const struct lsm_options *a,
                           const struct lsm_options *b)
{
    return memcmp((const char *)a + spec->field, (const char *)b + spec->field, sizeof(uint64_t)) ==
           0;
}

void options_init(struct lsm_options *options)
{
    memset(options, 0, sizeof *options);
    for (size_t i = 0; i < SPEC_COUNT; i++)
        set_default(&specs[i], options);
}

// --- finding a name ---

// Edits (insert, delete, replace) between two words, of which only the beginnings count;
// Wagner and Fischer, 1974.
static size_t edit_distance(const char *a, const char *b)
{
    enum { WORD_SIZE_MAX = 32 };
    size_t row[WORD_SIZE_MAX + 1];
    const size_t rows = strnlen(a, WORD_SIZE_MAX);
    const size_t columns = strnlen(b, WORD_SIZE_MAX);

    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            const size_t replace = diagonal + (a[i - 1] != b[j - 1]);
            const size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;

            diagonal = row[j];
            row[j] = replace < shift ? replace : shift;
        }
    }
    return row[columns];
}

static const char *nearest_name(const char *name)
{
    const char *nearest = NULL;
    size_t nearest_distance = SIZE_MAX;

    for (size_t i = 0; i < SPEC_COUNT; i++) {
        const size_t distance = edit_distance(name, specs[i].name);

        if (distance < nearest_distance) {
            nearest = specs[i].name;
            nearest_distance = distance;
        }
    }
    return nearest;
}

static lsm_status find_spec(const char *name, const struct option_spec **out)
{
    if (name == NULL)
        return lsm_fail(LSM_INVALID, "the name of the option is NULL");
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (strcmp(name, specs[i].name) == 0) {
            *out = &specs[i];
            return LSM_OK;
        }
    }
    return lsm_fail(LSM_INVALID, "there is no option '%s'; the nearest is '%s'", name,
                    nearest_name(name));
}

lsm_status options_is_changeable(const char *name, bool *is_changeable)
{
    const struct option_spec *spec;

    TRY(find_spec(name, &spec));
    *is_changeable = spec->changeable;
    return LSM_OK;
}

// --- values as text ---

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit size_units[] = {
    {"", 1},      {"B", 1},   {"KiB", KIB}, {"MiB", MIB}, {"GiB", GIB},
    {"TiB", TIB}, {"K", KIB}, {"M", MIB},   {"G", GIB},   {"T", TIB},
};
static const struct unit duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"ms", NS_PER_MS},
    {"s", NS_PER_S},
    {"m", 60 * NS_PER_S},
    {"h", 3600 * NS_PER_S},
    {"d", 86400 * NS_PER_S},
};
static const struct unit count_units[] = {{"", 1}};

static lsm_status bad_value(const struct option_spec *spec, const char *text)
{
    return lsm_fail(LSM_INVALID, "option %s cannot be '%s': it takes %s", spec->name, text,
                    spec->range);
}

static lsm_status parse_with_units(const struct option_spec *spec, const char *text,
                                   const struct unit *units, size_t unit_count, uint64_t *out)
{
    char *rest;
    unsigned long long number;
    uint64_t value;

    errno = 0;
    number = strtoull(text, &rest, 10);
    if (rest == text || !isdigit((unsigned char)text[0]) || errno != 0)
        return bad_value(spec, text);
    while (*rest == ' ')
        rest++;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcasecmp(rest, units[i].name) == 0) {
            if (__builtin_mul_overflow(number, units[i].factor, &value) || value < spec->min ||
                value > spec->max)
                return bad_value(spec, text);
            *out = value;
            return LSM_OK;
        }
    }
    return bad_value(spec, text);
}

static lsm_status parse_number(const struct option_spec *spec, const char *text, double *out)
{
    char *rest;
    double number;

    errno = 0;
    number = strtod(text, &rest);
    if (rest == text || *rest != '\0' || errno != 0 || !(number >= (double)spec->min) ||
        !(number <= (double)spec->max))
        return bad_value(spec, text);
    *out = number;
    return LSM_OK;
}

static lsm_status parse_integer(const struct option_spec *spec, const char *text, uint64_t *out)
{
    switch (spec->type) {
    case OPTION_SIZE:
        return parse_with_units(spec, text, size_units, sizeof size_units / sizeof size_units[0],
                                out);
    case OPTION_DURATION:
        return parse_with_units(spec, text, duration_units,
                                sizeof duration_units / sizeof duration_units[0], out);
    case OPTION_COUNT:
        return parse_with_units(spec, text, count_units, 1, out);
    case OPTION_BOOL:
        if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
            return bad_value(spec, text);
        *out = strcmp(text, "true") == 0;
        return LSM_OK;
    case OPTION_SYNC:
        if (strcmp(text, "full") != 0 && strcmp(text, "written") != 0)
            return bad_value(spec, text);
        *out = strcmp(text, "full") == 0 ? LSM_SYNC_FULL : LSM_SYNC_WRITTEN;
        return LSM_OK;
    case OPTION_NUMBER:
        break;
    }
    return bad_value(spec, text);
}

// From now on the caller says that the option has the value of its field.
static void note_set(struct lsm_options *options, const struct option_spec *spec)
{
    options->set |= bit_of(spec);
    options->once &= ~bit_of(spec);
    options->reset &= ~bit_of(spec);
}

static lsm_status set_by_spec(struct lsm_options *options, const struct option_spec *spec,
                              const char *text)
{
    if (spec->type == OPTION_NUMBER)
        TRY(parse_number(spec, text, number_field(spec, options)));
    else
        TRY(parse_integer(spec, text, integer_field(spec, options)));
    note_set(options, spec);
    return LSM_OK;
}

// Writes `value` with the largest unit that divides it.
static int format_with_units(char *to, size_t size, uint64_t value, const struct unit *units,
                             size_t unit_count)
{
    const struct unit *best = &units[0];

    for (size_t i = 0; i < unit_count; i++) {
        if (units[i].factor > best->factor && value != 0 && value % units[i].factor == 0)
            best = &units[i];
    }
    return snprintf(to, size, "%llu%s", (unsigned long long)(value / best->factor), best->name);
}

// With as few digits as read back the same.
static void format_number(char *to, size_t size, double number)
{
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(to, size, "%.*g", digits, number);
        if (strtod(to, NULL) == number)
            return;
    }
}

static void format_by_spec(const struct lsm_options *options, const struct option_spec *spec,
                           char *to, size_t size)
{
    struct lsm_options *readable = (struct lsm_options *)options; // read through only
    const uint64_t value = spec->type == OPTION_NUMBER ? 0 : *integer_field(spec, readable);

    switch (spec->type) {
    case OPTION_SIZE:
        (void)format_with_units(to, size, value, size_units, 6);
        break;
    case OPTION_DURATION:
        (void)format_with_units(to, size, value, duration_units,
                                sizeof duration_units / sizeof duration_units[0]);
        break;
    case OPTION_COUNT:
        (void)snprintf(to, size, "%llu", (unsigned long long)value);
        break;
    case OPTION_NUMBER:
        format_number(to, size, *number_field(spec, readable));
        break;
    case OPTION_BOOL:
        (void)snprintf(to, size, "%s", value != 0 ? "true" : "false");
        break;
    case OPTION_SYNC:
        (void)snprintf(to, size, "%s", value == LSM_SYNC_FULL ? "full" : "written");
        break;
    }
}

// --- what the caller says, and what the database keeps ---

void options_merge(struct lsm_options *options, struct lsm_options *kept)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        const struct option_spec *spec = &specs[i];
        const uint64_t bit = bit_of(spec);

        if (!spec->kept || (options->once & bit) != 0)
            continue;
        if ((options->reset & bit) != 0) {
            set_default(spec, kept);
            kept->set &= ~bit;
        } else if ((options->set & bit) != 0) {
            copy_value(spec, kept, options);
            kept->set |= bit;
        } else if ((kept->set & bit) != 0) {
            copy_value(spec, options, kept);
        }
    }
}

bool options_keep_same(const struct lsm_options *a, const struct lsm_options *b)
{
    if (a->set != b->set)
        return false;
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if ((a->set & bit_of(&specs[i])) != 0 && !has_same_value(&specs[i], a, b))
            return false;
    }
    return true;
}

lsm_status options_source(const struct lsm_options *options, const struct lsm_options *kept,
                          const char *name, lsm_option_source *out)
{
    const struct option_spec *spec;

    TRY(find_spec(name, &spec));
    if ((options->set & bit_of(spec)) != 0)
        *out = LSM_OPTION_CALLER;
    else
        *out = (kept->set & bit_of(spec)) != 0 ? LSM_OPTION_DATABASE : LSM_OPTION_DEFAULT;
    return LSM_OK;
}

void options_take(struct lsm_options *options, const struct lsm_options *kept)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if ((kept->set & bit_of(&specs[i])) != 0) {
            copy_value(&specs[i], options, kept);
            note_set(options, &specs[i]);
        }
    }
}

// --- options that contradict each other ---

lsm_status options_check(const struct lsm_options *options)
{
    if (options->level0_slowdown < options->level0_trigger ||
        options->level0_stop <= options->level0_slowdown)
        return lsm_fail(LSM_INVALID,
                        "options level0_trigger <= level0_slowdown < level0_stop must hold: "
                        "they are %llu, %llu, %llu",
                        (unsigned long long)options->level0_trigger,
                        (unsigned long long)options->level0_slowdown,
                        (unsigned long long)options->level0_stop);
    if (options->debt_stop <= options->debt_slowdown)
        return lsm_fail(LSM_INVALID, "option debt_stop (%llu) must be above debt_slowdown (%llu)",
                        (unsigned long long)options->debt_stop,
                        (unsigned long long)options->debt_slowdown);
    return LSM_OK;
}

lsm_status options_check_kept(const struct lsm_options *kept)
{
    lsm_status status = options_check(kept);

    return status == LSM_OK ? LSM_OK : lsm_fail_in(status, "what the database would keep");
}

// --- text files ---

// An option that is not set is told in a comment.
static lsm_status format_option(const struct lsm_options *options, const struct option_spec *spec,
                                lsm_buf *to)
{
    const char *mark = (options->set & bit_of(spec)) != 0 ? "" : "# ";
    char line[256];
    char value[64];
    int size;

    format_by_spec(options, spec, value, sizeof value);
    size = snprintf(line, sizeof line, "\n# %s (%s)\n%s%s = %s\n", spec->help, spec->range, mark,
                    spec->name, value);
    return buf_append(to, line, (size_t)size < sizeof line ? (size_t)size : sizeof line - 1);
}

lsm_status options_format(const struct lsm_options *options, lsm_buf *to)
{
    TRY(buf_append(to, "# lsmkv options\n", 16));
    for (size_t i = 0; i < SPEC_COUNT; i++)
        TRY(format_option(options, &specs[i], to));
    return LSM_OK;
}

// The checksum is that of all behind its line.
#define CHECKSUM_BEGIN "# lsmkv options, crc32c "
#define CHECKSUM_LINE                                                                              \
    CHECKSUM_BEGIN "%08x of what follows; remove this line when you change that by hand\n"

lsm_status options_format_kept(const struct lsm_options *kept, lsm_buf *to)
{
    static const char intro[] =
        "# Lines without # are what this database keeps, whoever opens it, until it is set or\n"
        "# reset: lsm_set_option(), lsm_reset_option(), `lsmctl put DB ... -o NAME=VALUE`.\n";
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    char line[128];
    int size;

    TRY(buf_append(&text, intro, sizeof intro - 1));
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (specs[i].kept)
            TRY(format_option(kept, &specs[i], &text));
    }
    size = snprintf(line, sizeof line, CHECKSUM_LINE, crc32c(0, text.data, text.size));
    TRY(buf_append(to, line, (size_t)size));
    return buf_append(to, text.data, text.size);
}

// Cuts `line` into name and value, both trimmed and zero-terminated; false for a
// line that is empty or a comment.
static bool split_line(char *line, char **name, char **value)
{
    char *end;

    line += strspn(line, " \t\r");
    if (*line == '\0' || *line == '#')
        return false;
    *name = line;
    *value = strchr(line, '=');
    if (*value != NULL)
        *(*value)++ = '\0';
    else
        *value = line + strlen(line);
    *value += strspn(*value, " \t");
    for (end = *value + strlen(*value); end > *value && strchr(" \t\r", end[-1]) != NULL;)
        *--end = '\0';
    for (end = *name + strlen(*name); end > *name && strchr(" \t", end[-1]) != NULL;)
        *--end = '\0';
    return true;
}

// Takes one option of a file.
typedef lsm_status (*take_fn)(struct lsm_options *options, const char *name, const char *value);

static lsm_status parse_line(struct lsm_options *options, lsm_slice bytes, take_fn take)
{
    char line[256];
    char *name;
    char *value;

    if (bytes.size >= sizeof line)
        return lsm_fail(LSM_INVALID, "longer than %zu characters", sizeof line - 1);
    if (memchr(bytes.data, '\0', bytes.size) != NULL)
        return lsm_fail(LSM_INVALID, "a zero byte is no text");
    memcpy(line, bytes.data, bytes.size);
    line[bytes.size] = '\0';
    return split_line(line, &name, &value) ? take(options, name, value) : LSM_OK;
}

// Sets nothing unless every line is taken.
static lsm_status parse_lines(struct lsm_options *options, lsm_slice text, const char *name,
                              take_fn take)
{
    struct lsm_options parsed = *options;
    const char *at = text.data;
    const char *end = at + text.size;

    for (unsigned number = 1; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const size_t size = newline == NULL ? (size_t)(end - at) : (size_t)(newline - at);
        const lsm_status status = parse_line(&parsed, slice_make(at, size), take);

        if (status != LSM_OK) {
            char where[128];

            (void)snprintf(where, sizeof where, "%s, line %u", name, number);
            return lsm_fail_in(status, where);
        }
        at += newline == NULL ? size : size + 1;
    }
    *options = parsed;
    return LSM_OK;
}

lsm_status options_parse(struct lsm_options *options, lsm_slice text, const char *name)
{
    return parse_lines(options, text, name, lsm_options_set);
}

// What an older lsmkv told of the process that had the database open is not the database's.
static lsm_status take_kept(struct lsm_options *kept, const char *name, const char *value)
{
    const struct option_spec *spec;

    if (find_spec(name, &spec) != LSM_OK)
        return lsm_fail(LSM_UNSUPPORTED, "lsmkv %s knows no option '%s'", lsm_version(), name);
    return spec->kept ? set_by_spec(kept, spec, value) : LSM_OK;
}

static lsm_status check_sum(lsm_slice text, const char *name)
{
    const char *first = text.data;
    const char *newline = text.size == 0 ? NULL : memchr(first, '\n', text.size);
    const size_t begin = sizeof CHECKSUM_BEGIN - 1;
    unsigned long stated;
    uint32_t sum;

    if (text.size == 0)
        return lsm_fail(LSM_CORRUPT, "%s: empty", name);
    if (text.size < begin || memcmp(first, CHECKSUM_BEGIN, begin) != 0)
        return LSM_OK; // of an older lsmkv, or changed by hand
    if (newline == NULL || newline < first + begin + 8)
        return lsm_fail(LSM_CORRUPT, "%s: ends in its first line", name);
    stated = strtoul(first + begin, NULL, 16);
    sum = crc32c(0, newline + 1, text.size - (size_t)(newline + 1 - first));
    if (stated != sum)
        return lsm_fail(LSM_CORRUPT, "%s: the checksum is %08x, not the stated %08lx", name, sum,
                        stated);
    return LSM_OK;
}

lsm_status options_parse_kept(struct lsm_options *kept, lsm_slice text, const char *name)
{
    lsm_status status = check_sum(text, name);

    if (status == LSM_OK)
        status = parse_lines(kept, text, name, take_kept);
    if (status == LSM_OK || status == LSM_NO_MEMORY)
        return status;
    return lsm_fail(status == LSM_UNSUPPORTED ? status : LSM_CORRUPT,
                    "%s; it holds what the database keeps: look at it, and either remove its first "
                    "line to have it taken as it is, mend it, or remove the file to keep nothing",
                    lsm_errmsg());
}

// --- the public functions ---

lsm_status lsm_options_new(lsm_options **out)
{
    lsm_options *options;

    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_new: out is NULL");
    options = mem_alloc(sizeof *options);
    if (options == NULL)
        return lsm_fail(LSM_NO_MEMORY, "options: %zu bytes", sizeof *options);
    options_init(options);
    *out = options;
    return LSM_OK;
}

void lsm_options_free(lsm_options *options)
{
    mem_free(options);
}

lsm_status lsm_options_set(lsm_options *options, const char *name, const char *value)
{
    const struct option_spec *spec;

    if (options == NULL || value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_set: %s is NULL",
                        options == NULL ? "options" : "value");
    TRY(find_spec(name, &spec));
    return set_by_spec(options, spec, value);
}

lsm_status lsm_options_set_once(lsm_options *options, const char *name, const char *value)
{
    const struct option_spec *spec;

    TRY(lsm_options_set(options, name, value));
    TRY(find_spec(name, &spec));
    options->once |= bit_of(spec);
    return LSM_OK;
}

// Nothing is said of the option; its field is the default.
static lsm_status forget(lsm_options *options, const char *name, const char *function,
                         const struct option_spec **out)
{
    const struct option_spec *spec;

    if (options == NULL)
        return lsm_fail(LSM_INVALID, "%s: options is NULL", function);
    TRY(find_spec(name, &spec));
    set_default(spec, options);
    options->set &= ~bit_of(spec);
    options->once &= ~bit_of(spec);
    options->reset &= ~bit_of(spec);
    *out = spec;
    return LSM_OK;
}

lsm_status lsm_options_unset(lsm_options *options, const char *name)
{
    const struct option_spec *spec;

    return forget(options, name, "lsm_options_unset", &spec);
}

lsm_status lsm_options_reset(lsm_options *options, const char *name)
{
    const struct option_spec *spec;

    TRY(forget(options, name, "lsm_options_reset", &spec));
    options->reset |= bit_of(spec);
    return LSM_OK;
}

lsm_status lsm_options_get(const lsm_options *options, const char *name, lsm_buf *value)
{
    const struct option_spec *spec;
    char text[64];

    if (options == NULL || value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_get: %s is NULL",
                        options == NULL ? "options" : "value");
    TRY(find_spec(name, &spec));
    format_by_spec(options, spec, text, sizeof text);
    TRY(buf_reserve(value, strlen(text) + 1));
    memcpy(value->data, text, strlen(text) + 1);
    value->size = strlen(text);
    return LSM_OK;
}

static lsm_status set_integer(lsm_options *options, const char *name, uint64_t number)
{
    const struct option_spec *spec;

    if (options == NULL)
        return lsm_fail(LSM_INVALID, "lsm_options_set_%s: options is NULL", name);
    TRY(find_spec(name, &spec));
    if (number < spec->min || number > spec->max)
        return lsm_fail(LSM_INVALID, "option %s cannot be %llu: it takes %s", name,
                        (unsigned long long)number, spec->range);
    *integer_field(spec, options) = number;
    note_set(options, spec);
    return LSM_OK;
}

lsm_status lsm_options_set_create(lsm_options *options, bool create_if_missing)
{
    return set_integer(options, "create_if_missing", create_if_missing);
}

lsm_status lsm_options_set_error_if_exists(lsm_options *options, bool error)
{
    return set_integer(options, "error_if_exists", error);
}

lsm_status lsm_options_set_in_memory(lsm_options *options, bool in_memory)
{
    return set_integer(options, "in_memory", in_memory);
}

lsm_status lsm_options_set_memtable_size(lsm_options *options, uint64_t bytes)
{
    return set_integer(options, "memtable_size", bytes);
}

lsm_status lsm_options_set_cache_size(lsm_options *options, uint64_t bytes)
{
    return set_integer(options, "cache_size", bytes);
}

lsm_status lsm_options_set_value_threshold(lsm_options *options, uint32_t bytes)
{
    return set_integer(options, "value_threshold", bytes);
}

lsm_status lsm_options_set_compression(lsm_options *options, unsigned zstd_level)
{
    return set_integer(options, "compression", zstd_level);
}

lsm_status lsm_options_set_workers(lsm_options *options, unsigned count)
{
    return set_integer(options, "workers", count);
}

lsm_status lsm_options_set_txn_bytes_max(lsm_options *options, uint64_t bytes)
{
    return set_integer(options, "txn_bytes_max", bytes);
}

bool lsm_option_at(size_t index, lsm_option_info *info)
{
    static const char *const type_names[] = {
        [OPTION_SIZE] = "size",     [OPTION_COUNT] = "count", [OPTION_DURATION] = "duration",
        [OPTION_NUMBER] = "number", [OPTION_BOOL] = "bool",   [OPTION_SYNC] = "enum",
    };

    if (index >= SPEC_COUNT || info == NULL)
        return false;
    *info = (lsm_option_info){
        .name = specs[index].name,
        .type = type_names[specs[index].type],
        .default_value = specs[index].default_text,
        .range = specs[index].range,
        .changeable = specs[index].changeable,
        .help = specs[index].help,
        .kept = specs[index].kept,
    };
    return true;
}

// cmd_bulk.c -- load and dump: whole databases as text.

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/words.h"
#include "bulk_input.h"
#include "bulk_output.h"
#include "lsmctl.h"

#define COMMIT_BYTES_MAX   ((uint64_t)1 << 20)
#define COMMIT_ENTRIES_MAX 4096
#define FLUSH_BYTES        65536 // of a dump

// --- load ---

struct load_settings {
    const char *format;
    const char *sync;
    bool partial;
};

static const struct flag load_flags[] = {
    {"format", 'f', "FORMAT", "tsv, jsonl or dump; found by the beginning otherwise", FLAG_TEXT,
     offsetof(struct load_settings, format)},
    {"sync", 0, "MODE", "written (default: synced at the end) or full (synced every commit)",
     FLAG_TEXT, offsetof(struct load_settings, sync)},
    {"partial", 0, NULL, "Take a dump that was cut off, as far as it goes", FLAG_BOOL,
     offsetof(struct load_settings, partial)},
    {0},
};

struct load_tally {
    uint64_t commits;
    uint64_t entries;
    uint64_t bytes;
    uint64_t line; // up to which all are in; 0: not even the first
};

// A load under way.
struct load {
    struct tool *tool;
    struct session session;
    struct bulk_input in;
    lsm_write_options write;
    lsm_keyspace *named;    // the last keyspace that an entry named
    lsm_keyspace *keyspace; // of the entry: `named` or the session's
    lsm_txn *txn;           // NULL between commits
    uint64_t txn_line;      // of its first entry
    uint64_t txn_bytes;
    uint64_t txn_entries;
    struct load_tally done; // by the commits that succeeded
    lsm_buf last_key;
    bool is_sorted;
    bool is_synced; // `done` is on the device
    uint64_t start_ns;
};

static void load_begin_tally(struct load *load)
{
    load->txn_line = load->in.first_line;
    load->txn_bytes = 0;
    load->txn_entries = 0;
}

// Counts as loaded what has been committed, and nothing before.
static void load_settle(struct load *load)
{
    load->done.commits++;
    load->done.entries += load->txn_entries;
    load->done.bytes += load->txn_bytes;
    load->done.line = load->in.whole_line;
}

static lsm_status load_commit(struct load *load)
{
    lsm_status status;

    if (load->txn == NULL)
        return LSM_OK;
    status = lsm_commit(load->txn, &load->write);
    lsm_txn_free(load->txn);
    load->txn = NULL;
    if (status != LSM_OK)
        return bulk_fail_since(&load->in, load->txn_line, status);
    load_settle(load);
    return LSM_OK;
}

static bool same_options(const lsm_keyspace_options *a, const lsm_keyspace_options *b)
{
    return a->value_threshold == b->value_threshold && a->versions_to_keep == b->versions_to_keep &&
           a->compression == b->compression && a->ttl_seconds == b->ttl_seconds;
}

// The keyspace of a dump may have been there with options of its own: "default" always is. In
// a new database it gets those of the dump, in another it keeps them.
static lsm_status load_settle_options(struct load *load, const char *name,
                                      const lsm_keyspace_options *options)
{
    lsm_keyspace_info *infos;
    bool is_same = false;
    size_t count;

    TRY(lsm_keyspace_list(load->session.db, &infos, &count));
    for (size_t i = 0; i < count; i++)
        is_same = is_same ||
                  (strcmp(infos[i].name, name) == 0 && same_options(&infos[i].options, options));
    lsm_free(infos);
    if (is_same)
        return LSM_OK;
    if (load->session.is_new)
        return lsm_keyspace_alter(load->session.db, name, options);
    say(load->tool, "keyspace '%s' keeps its options, which are not those of the dump\n", name);
    return LSM_OK;
}

static lsm_status load_open_keyspace(struct load *load, const char *name)
{
    const lsm_keyspace_options *options =
        load->in.format == BULK_DUMP ? &load->in.keyspace_options : NULL;
    lsm_keyspace *keyspace;
    lsm_status status = LSM_OK;

    if (load->named != NULL && strcmp(lsm_keyspace_name(load->named), name) == 0)
        return LSM_OK;
    TRY(lsm_keyspace_open(load->session.db, name, true, options, &keyspace));
    if (options != NULL)
        status = load_settle_options(load, name, options);
    if (status != LSM_OK) {
        lsm_keyspace_close(keyspace);
        return status;
    }
    lsm_keyspace_close(load->named);
    load->named = keyspace;
    load->last_key.size = 0;
    return LSM_OK;
}

// An entry of a dump belongs to the keyspace named last; others that name none, to the
// session's.
static lsm_status load_choose_keyspace(struct load *load)
{
    const lsm_buf *name = &load->in.entry.keyspace;

    if (name->size != 0)
        TRY(load_open_keyspace(load, name->data));
    load->keyspace =
        name->size != 0 || load->in.format == BULK_DUMP ? load->named : load->session.keyspace;
    return LSM_OK;
}

// Puts the entry that was read into the transaction.
static lsm_status load_put(struct load *load)
{
    const struct bulk_entry *entry = &load->in.entry;
    const uint64_t expiry =
        entry->has_expiry && entry->expiry_seconds == 0 ? LSM_EXPIRY_NONE : entry->expiry_seconds;

    TRY(load_choose_keyspace(load));
    if (load->txn == NULL) {
        TRY(lsm_begin_tagged(load->session.db, LSM_TXN_SNAPSHOT, "lsmctl load", &load->txn));
        load_begin_tally(load);
    }
    return lsm_txn_put_entry(load->txn, load->keyspace, slice_of_buf(&entry->key),
                             slice_of_buf(&entry->value), expiry, entry->user_byte);
}

static lsm_status load_entry(struct load *load)
{
    lsm_slice key = slice_of_buf(&load->in.entry.key);
    lsm_status status = load_put(load);

    if (status != LSM_OK)
        return bulk_fail_since(&load->in, load->in.first_line, status);
    if (slice_compare(slice_of_buf(&load->last_key), key) > 0)
        load->is_sorted = false;
    must(buf_assign(&load->last_key, key));
    load->txn_entries++;
    load->txn_bytes += key.size + load->in.entry.value.size;
    if (load->txn_bytes >= COMMIT_BYTES_MAX || load->txn_entries >= COMMIT_ENTRIES_MAX)
        return load_commit(load);
    return LSM_OK;
}

// The size of what is read when that is a regular file, else 0.
static uint64_t stream_size(FILE *from)
{
    struct stat st;

    return fstat(fileno(from), &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static void load_report(const struct load *load)
{
    uint64_t ns = now_ns() - load->start_ns;
    double seconds = (double)ns / 1e9;
    cJSON *object;

    if (load->tool->json) {
        object = json_object();
        json_add_u64(object, "entries_count", load->done.entries);
        json_add_u64(object, "commits_count", load->done.commits);
        json_add_u64(object, "data_bytes", load->done.bytes);
        json_add_u64(object, "last_line", load->done.line);
        json_add_u64(object, "elapsed_ns", ns);
        json_add_bool(object, "input_is_sorted", load->is_sorted);
        json_add_bool(object, "is_synced", load->is_synced);
        json_print(object);
        return;
    }
    say(load->tool, "loaded %s %s (%s%s) in %s commit%s, %s: %s/s\n",
        human_count(load->done.entries).text, load->done.entries == 1 ? "entry" : "entries",
        human_bytes(load->done.bytes).text, load->is_sorted ? ", sorted" : "",
        human_count(load->done.commits).text, plural(load->done.commits), human_ns(ns).text,
        human_bytes((uint64_t)((double)load->done.bytes / (seconds > 0 ? seconds : 1))).text);
}

static lsm_status load_all(struct load *load)
{
    struct progress progress;
    bool at_end = false;
    lsm_status status;

    progress_start(&progress, "loading", "bytes", stream_size(load->in.source.from));
    for (;;) {
        status = bulk_next(&load->in, &at_end);
        if (status != LSM_OK || at_end)
            break;
        status = load_entry(load);
        if (status != LSM_OK)
            break;
        progress_show(&progress, load->in.source.bytes);
    }
    progress_end(&progress);
    if (status == LSM_OK)
        status = load_commit(load);
    if (status == LSM_OK)
        status = lsm_sync(load->session.db);
    load->is_synced = status == LSM_OK;
    return status;
}

// Tells what a load that failed with `status` has left in the database, so that it can be
// resumed from there: no entry is counted that may be missing.
static void load_tell_rest(struct load *load, lsm_status status)
{
    const struct load_tally *done = &load->done;
    const char *unsure =
        status == LSM_OUTCOME_UNKNOWN ? "; those of the last commit may be there, too" : "";
    struct failure first;

    failure_capture(&first, status);
    load->is_synced = lsm_sync(load->session.db) == LSM_OK;
    if (load->tool->json)
        load_report(load);
    else if (done->commits == 0)
        say(load->tool, "no entry is loaded%s\n", unsure);
    else
        say(load->tool, "the first %s entries, up to line %" PRIu64 ", are %s%s\n",
            human_count(done->entries).text, done->line,
            load->is_synced ? "loaded" : "written, but may not be on the device", unsure);
    (void)failure_raise(&first);
}

static lsm_status parse_format(struct tool *tool, const char *name, enum bulk_format *out)
{
    static const char *const names[] = {"auto", "tsv", "jsonl", "dump"};

    *out = BULK_AUTO;
    for (size_t i = 0; name != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum bulk_format)i;
            return LSM_OK;
        }
    }
    return name == NULL ? LSM_OK : usage_error(tool, "no format '%s': tsv, jsonl or dump", name);
}

static lsm_status parse_load_sync(struct tool *tool, const char *name, lsm_sync_mode *out)
{
    *out = LSM_SYNC_WRITTEN;
    if (name == NULL || strcmp(name, "written") == 0)
        return LSM_OK;
    *out = LSM_SYNC_FULL;
    return strcmp(name, "full") == 0
               ? LSM_OK
               : usage_error(tool, "no sync mode '%s': full or written", name);
}

static void load_release(struct load *load)
{
    struct failure first;

    failure_capture(&first, LSM_INVALID);
    lsm_txn_free(load->txn);
    lsm_keyspace_close(load->named);
    bulk_release(&load->in);
    lsm_buf_free(&load->last_key);
    session_closep(&load->session);
    (void)failure_raise(&first);
}

static lsm_status load_from(struct tool *tool, FILE *from, const char *name)
{
    const struct load_settings *settings = tool->settings;
    CLEANUP(load_release)
    struct load load = {.tool = tool, .is_sorted = true, .start_ns = now_ns()};
    enum bulk_format format;
    lsm_status status;

    TRY(parse_format(tool, settings->format, &format));
    TRY(parse_load_sync(tool, settings->sync, &load.write.sync));
    TRY(bulk_open(&load.in, from, name, format));
    load.in.as_hex = tool->hex && load.in.format == BULK_TSV;
    load.in.is_partial = settings->partial;
    if (load.in.format == BULK_DUMP && tool->keyspace != NULL)
        return usage_error(tool, "a dump names its keyspaces itself; leave out -k");
    if (load.in.format != BULK_DUMP && settings->partial)
        return usage_error(tool, "--partial is of a dump; %s is none", name);
    TRY(session_open(tool, SESSION_CREATE, &load.session));
    status = load_all(&load);
    if (status != LSM_OK) {
        load_tell_rest(&load, status);
        return status;
    }
    load_report(&load);
    lsm_keyspace_close(MOVE(load.named));
    return session_close(&load.session);
}

static lsm_status run_load(struct tool *tool)
{
    const char *name = tool->operand_count == 2 ? tool->operands[1] : "-";
    FILE *from;
    lsm_status status;

    if (strcmp(name, "-") == 0)
        return load_from(tool, stdin, "standard input");
    from = fopen(name, "rb");
    if (from == NULL)
        return lsm_fail(LSM_INVALID, "%s: %s", name, strerror(errno));
    status = load_from(tool, from, name);
    (void)fclose(from); // it was only read
    return status;
}

// --- dump ---

struct dump_settings {
    struct bytes_flag from;
    const char *from_keyspace;
};

static const struct flag dump_flags[] = {
    {"from", 'f', "KEY", "Begin at this key of the first keyspace that is dumped", FLAG_BYTES,
     offsetof(struct dump_settings, from)},
    {"from-keyspace", 0, "NAME", "Leave out the keyspaces before this one", FLAG_TEXT,
     offsetof(struct dump_settings, from_keyspace)},
    {0},
};

// An entry of a dump, at which another can go on.
struct dump_place {
    const char *keyspace; // NULL: there is none
    lsm_buf key;
    uint64_t entries; // before it
};

// A dump under way.
struct dump {
    const struct tool *tool;
    lsm_db *db;
    uint64_t entries;
    struct progress progress;
    const char *keyspace; // being dumped

    lsm_buf key; // of the entry being dumped

    // What stdout buffers may never be written: the bytes of it, and its first entry.
    uint64_t buffered;
    struct dump_place flushed;
};

static void print_option(const char *name, uint32_t value)
{
    if (value == LSM_INHERIT)
        printf(" %s=inherit", name);
    else
        printf(" %s=%" PRIu32, name, value);
}

static void dump_keyspace_head(const lsm_keyspace_info *info)
{
    CLEANUP(lsm_buf_free) lsm_buf name = LSM_BUF_INIT;
    const char *text;

    text_escape(slice_of(info->name), &name);
    text = name.data;
    fputs("@keyspace ", stdout);
    // Blanks separate the words of the line.
    for (size_t i = 0; i < name.size; i++)
        text[i] == ' ' ? fputs("\\x20", stdout) : putchar(text[i]);
    print_option("value_threshold", info->options.value_threshold);
    print_option("versions_to_keep", info->options.versions_to_keep);
    print_option("compression", info->options.compression);
    printf(" ttl_seconds=%" PRIu64 "\n", info->options.ttl_seconds);
}

static void dump_place_here(const struct dump *dump, struct dump_place *place)
{
    place->keyspace = dump->keyspace;
    must(buf_assign(&place->key, slice_of_buf(&dump->key)));
    place->entries = dump->entries;
}

// Hands to the system what stdout has buffered.
static lsm_status dump_flush(struct dump *dump)
{
    TRY(output_flush());
    dump->buffered = 0;
    return LSM_OK;
}

static lsm_status dump_entry(struct dump *dump, lsm_iter *it)
{
    struct bulk_view view = {
        .key = lsm_iter_key(it),
        .has_value = true,
        .expiry_seconds = lsm_iter_expiry(it),
        .user_byte = lsm_iter_user_byte(it),
    };

    must(buf_assign(&dump->key, view.key));
    if (dump->buffered == 0)
        dump_place_here(dump, &dump->flushed);
    TRY(lsm_iter_value(it, &view.value));
    dump->buffered += 1 + view.key.size + view.value.size;
    bulk_write_dump(stdout, &view);
    progress_show(&dump->progress, ++dump->entries);
    return LSM_OK;
}

static lsm_status dump_entries(struct dump *dump, lsm_iter *it)
{
    lsm_status status = lsm_iter_first(it);

    while (status == LSM_OK) {
        TRY(dump_entry(dump, it));
        if (dump->buffered >= FLUSH_BYTES)
            TRY(dump_flush(dump));
        status = lsm_iter_next(it);
    }
    return status == LSM_NOT_FOUND ? LSM_OK : status;
}

static lsm_status dump_keyspace(struct dump *dump, const lsm_keyspace_info *info,
                                const lsm_slice *from)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;
    lsm_keyspace *keyspace = NULL;
    lsm_iter *it = NULL;
    lsm_status status;

    dump->keyspace = info->name;
    dump_keyspace_head(info);
    options.lower = from;
    options.no_fill_cache = true;
    status = lsm_keyspace_open(dump->db, info->name, false, NULL, &keyspace);
    if (status == LSM_OK)
        status = lsm_iter_open(dump->db, keyspace, &options, &it);
    if (status == LSM_OK)
        status = dump_entries(dump, it);
    lsm_iter_close(it);
    lsm_keyspace_close(keyspace);
    return status;
}

// Index of the keyspace called `name` (NULL: the first).
static lsm_status find_keyspace(const lsm_keyspace_info *infos, size_t count, const char *name,
                                size_t *index)
{
    for (size_t i = 0; i < count; i++) {
        if (name == NULL || strcmp(infos[i].name, name) == 0) {
            *index = i;
            return LSM_OK;
        }
    }
    return lsm_fail(LSM_NOT_FOUND, "there is no keyspace '%s'", name == NULL ? "" : name);
}

static lsm_status dump_keyspaces(struct dump *dump, const lsm_keyspace_info *infos, size_t count)
{
    const struct dump_settings *settings = dump->tool->settings;
    const char *only = dump->tool->keyspace;
    lsm_slice from = slice_of_buf(&settings->from.bytes);
    size_t first;

    TRY(find_keyspace(infos, count, only != NULL ? only : settings->from_keyspace, &first));
    puts(DUMP_HEADER);
    for (size_t i = first; i < (only != NULL ? first + 1 : count); i++)
        TRY(dump_keyspace(dump, &infos[i], i == first && settings->from.is_set ? &from : NULL));
    printf("@end %" PRIu64 "\n", dump->entries);
    return dump_flush(dump);
}

// Writes an argument for a shell to stderr.
static void say_quoted(const char *text, size_t size)
{
    fputc('\'', stderr);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\'')
            fputs("'\\''", stderr);
        else
            fputc(text[i], stderr);
    }
    fputc('\'', stderr);
}

// Tells how to go on behind the part that has been written, which may hold some entries more
// than it tells of: the second file then has them again.
static void dump_advise(struct dump *dump)
{
    CLEANUP(lsm_buf_free) lsm_buf key = LSM_BUF_INIT;
    const struct dump_place *place = &dump->flushed;

    if (place->keyspace == NULL)
        return;
    if (dump_flush(dump) == LSM_OK)
        dump_place_here(dump, &dump->flushed);
    if (dump->tool->quiet)
        return;
    text_escape(slice_of_buf(&place->key), &key);
    fprintf(stderr,
            "the dump broke off behind %s entries; to go on in a second file:\n"
            "  lsmctl dump ",
            human_count(place->entries).text);
    say_quoted(dump->tool->operands[0], strlen(dump->tool->operands[0]));
    fputs(dump->tool->keyspace == NULL ? " --from-keyspace " : " -k ", stderr);
    say_quoted(place->keyspace, strlen(place->keyspace));
    fputs(" --from ", stderr);
    say_quoted(key.data, key.size);
    fputs("\nand load the first one with --partial\n", stderr);
}

static lsm_status run_dump(struct tool *tool)
{
    const struct dump_settings *settings = tool->settings;
    CLEANUP(session_closep) struct session session = {0};
    struct dump dump = {.tool = tool};
    struct failure failure;
    lsm_keyspace_info *infos;
    size_t count;
    lsm_status status;

    if (tool->keyspace != NULL && settings->from_keyspace != NULL)
        return usage_error(tool, "give either -k or --from-keyspace");
    TRY(session_open(tool, SESSION_READ, &session));
    TRY(lsm_keyspace_list(session.db, &infos, &count));
    dump.db = session.db;
    progress_start(&dump.progress, "dumping", "entries", 0);
    status = dump_keyspaces(&dump, infos, count);
    progress_end(&dump.progress);
    if (status != LSM_OK) {
        failure_capture(&failure, status);
        dump_advise(&dump);
        status = failure_raise(&failure);
    }
    lsm_buf_free(&dump.key);
    lsm_buf_free(&dump.flushed.key);
    lsm_free(infos);
    TRY(status);
    say(tool, "dumped %s %s\n", human_count(dump.entries).text,
        dump.entries == 1 ? "entry" : "entries");
    return session_close(&session);
}

const struct command bulk_commands[] = {
    {.name = "load",
     .group = "Bulk",
     .operands = "DB [FILE]",
     .operands_min = 1,
     .operands_max = 2,
     .summary = "Put many entries: TSV, JSON lines or a dump",
     .details =
         "Reads FILE or standard input, commits about every MiB. Formats:\n"
         "  tsv    KEY<tab>VALUE, with escapes \\\\ \\t \\n \\r \\0 \\xNN (--hex: digits); behind\n"
         "         them, tabs between, expiry_seconds=N and user_byte=N: what scan writes\n"
         "  jsonl  {\"key\": \"...\", \"value\": \"...\"}; key_hex and value_hex for any bytes;\n"
         "         keyspace, expiry_seconds and user_byte may be added: what scan --json writes\n"
         "  dump   what `lsmctl dump` writes; refused when it was cut off\n"
         "The beginning decides, unless --format does: the header of a dump, or '{' for JSON;\n"
         "all else is TSV, where a first key that begins so is written \\x7b. What could be two\n"
         "things, or has a field that is not known or there twice, is refused with its line.\n"
         "When it fails, what is loaded by then is told. Expiry is in seconds since 1970.\n\n"
         "Examples:\n"
         "  lsmctl load people people.tsv\n"
         "  zcat people.dump.gz | lsmctl load copy\n"
         "  lsmctl load -k cities world cities.jsonl --sync full\n",
     .flags = load_flags,
     .settings_size = sizeof(struct load_settings),
     .run = run_load},
    {.name = "dump",
     .group = "Bulk",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Write everything as portable text",
     .details =
         "All keyspaces with their options, or the one of -k, as of one moment: newest values,\n"
         "their expiry and user byte, not their timestamps. Ends with a mark and a count, so\n"
         "that `load` knows a whole dump. When it breaks off it says where to go on.\n\n"
         "Examples:\n"
         "  lsmctl dump people | gzip > people.dump.gz\n"
         "  lsmctl dump people -k default --from m > second-half.dump\n",
     .flags = dump_flags,
     .settings_size = sizeof(struct dump_settings),
     .run = run_dump},
    {0},
};

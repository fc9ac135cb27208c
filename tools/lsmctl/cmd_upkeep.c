// cmd_upkeep.c -- verify and compact.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/words.h"
#include "db/verify.h"
#include "facts.h"
#include "lsmctl.h"

static lsm_status sum_files(const char *path, struct file_sums *out)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;

    TRY(dir_open(env_posix(), path, false, &dir));
    return inspect_file_sums(dir, out);
}

// --- verify ---

struct verify {
    const struct tool *tool;
    cJSON *array; // with --json
    struct progress progress;
    uint64_t files;
    uint64_t bad;
    uint64_t bytes;
};

// lsm_verify_fn.
static void verify_file(void *ctx, const char *file, uint64_t size, lsm_status status,
                        const char *message)
{
    struct verify *verify = ctx;
    const char *words = status == LSM_OK ? "ok" : message;
    cJSON *object;

    verify->files++;
    verify->bad += status != LSM_OK;
    verify->bytes += size;
    if (verify->tool->json) {
        object = json_append_object(verify->array);
        json_add_text(object, "file", file);
        json_add_u64(object, "file_bytes", size);
        json_add_text(object, "status", lsm_status_name(status));
        json_add_bytes(object, "message", slice_of(status == LSM_OK ? "" : message), false);
    } else {
        progress_end(&verify->progress);
        printf("%-16s %10s  %s%s%s\n", file, human_bytes(size).text,
               colour(stdout, status == LSM_OK ? COLOUR_GREEN : COLOUR_RED), words,
               colour(stdout, COLOUR_NONE));
    }
    progress_show(&verify->progress, verify->bytes);
}

static void check_segment(struct verify *verify, struct inspector *in, uint32_t id, uint64_t end)
{
    const struct filename name = filename_of(FILENAME_SEGMENT, id);

    verify_file(verify, name.text, end, verify_segment(in->dir, name.text, end), lsm_errmsg());
}

// Of the log, segments whose end the manifest tells.
static void check_segments(struct verify *verify, struct inspector *in)
{
    const struct manifest_state *state = &in->state;

    for (size_t i = 0; i < in->version->segment_count; i++) {
        if (in->version->segments[i].final_size != 0)
            check_segment(verify, in, in->version->segments[i].id,
                          in->version->segments[i].final_size);
    }
    for (size_t i = 0; i < state->chain_count; i++) {
        const struct log_link *link = &state->chain[i];
        const bool is_marked = state->is_clean && state->mark.segment == link->id;
        const uint64_t end = is_marked ? state->mark.offset : link->final_size;

        if (end != 0)
            check_segment(verify, in, link->id, end);
    }
}

// Checks the files one by one when the database does not open: most may be whole.
static lsm_status verify_apart(struct verify *verify, const char *path)
{
    CLEANUP(inspector_closep) struct inspector *in = NULL;

    TRY(inspector_open(path, &in));
    check_segments(verify, in);
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        const struct level *level = &in->version->levels[i];

        for (size_t j = 0; j < level->count; j++) {
            const struct table_meta *meta = table_meta(level->tables[j]);
            lsm_status status = table_verify(level->tables[j]);

            verify_file(verify, filename_of(FILENAME_TABLE, meta->id).text, meta->size, status,
                        lsm_errmsg());
        }
    }
    return LSM_OK;
}

static lsm_status verify_all(struct verify *verify, struct tool *tool)
{
    const char *path = tool->operands[0];
    lsm_db *db;
    lsm_status status;
    struct failure failure;
    bool in_use;

    must(lsm_options_set(tool->options, "open_damaged", "true")); // each file has its line
    status = open_read_only(path, tool->options, &db);
    (void)inspect_holder(path, &in_use);
    if (status == LSM_CORRUPT && in_use)
        return lsm_fail_in(LSM_LOCKED, "no verdict while another process is writing");
    if (status == LSM_CORRUPT) {
        failure_capture(&failure, status);
        (void)verify_apart(verify, path); // the first failure is the one to tell
        return failure_raise(&failure);
    }
    TRY(status);
    status = lsm_verify(db, verify_file, verify);
    if (status == LSM_CORRUPT && in_use)
        status = lsm_fail_in(LSM_LOCKED, "no verdict while another process replaces files");
    failure_capture(&failure, status);
    (void)lsm_close(db); // it was only read
    return failure_raise(&failure);
}

static void verify_report(const struct verify *verify, lsm_status status)
{
    if (verify->tool->json)
        return;
    if (status == LSM_OK)
        printf("%" PRIu64 " file%s, %s: everything is as it was written\n", verify->files,
               plural(verify->files), human_bytes(verify->bytes).text);
    else if (status == LSM_CORRUPT)
        printf("%" PRIu64 " file%s, %s: DAMAGED\n", verify->files, plural(verify->files),
               human_bytes(verify->bytes).text);
}

static lsm_status run_verify(struct tool *tool)
{
    struct verify verify = {.tool = tool};
    struct file_sums sums = {0};
    cJSON *object = json_object();
    lsm_status status;

    verify.array = json_add_array(object, "files");
    (void)sum_files(tool->operands[0], &sums); // what is wrong with it will be told
    progress_start(&verify.progress, "verifying", "bytes",
                   sums.table_bytes + sums.segment_bytes + sums.manifest_bytes);
    status = verify_all(&verify, tool);
    progress_end(&verify.progress);
    verify_report(&verify, status);
    json_add_u64(object, "checked_bytes", verify.bytes);
    json_add_text(object, "status", lsm_status_name(status));
    if (tool->json)
        json_print(object);
    else
        cJSON_Delete(object);
    return status;
}

// --- compact ---

#define NEW_TABLES_MAX (1u << 20) // that are looked at: a foreign file may have any number

struct compact_settings {
    struct bytes_flag from;
    struct bytes_flag to;
};

static const struct flag compact_flags[] = {
    {"from", 'f', "KEY", "Begin at this key", FLAG_BYTES, offsetof(struct compact_settings, from)},
    {"to", 't', "KEY", "End with this key", FLAG_BYTES, offsetof(struct compact_settings, to)},
    {0},
};

static lsm_status total_bytes(const char *path, uint64_t *bytes)
{
    struct file_sums sums;

    TRY(sum_files(path, &sums));
    *bytes = sums.table_bytes + sums.segment_bytes + sums.manifest_bytes + sums.other_bytes;
    return LSM_OK;
}

// Says where the room is that merging tables does not give back, and what does.
static void say_dead(const struct tool *tool, const struct facts *facts)
{
    const struct dead_bytes dead = facts_dead(facts);
    const char *path = tool->operands[0];

    if (dead.bytes < facts_total_bytes(facts) / 10)
        return;
    say(tool,
        "  %s of it are dead values, in %" PRIu64
        " segment%s of the value log; a segment gives its "
        "room back once all\n  in it are dead (collecting them is not in this version)\n",
        human_bytes(dead.bytes).text, dead.segments, plural(dead.segments));
    say(tool,
        "  `lsmctl dump %s | lsmctl load NEWDB` leaves them behind; with a smaller "
        "segment_size_max "
        "fewer pile up\n",
        path);
}

static void compact_report(const struct tool *tool, uint64_t before, const struct facts *facts,
                           uint64_t ns)
{
    const struct dead_bytes dead = facts_dead(facts);
    const uint64_t after = facts_total_bytes(facts);
    cJSON *object;

    if (!tool->json) {
        say(tool, "compacted in %s: %s before, %s after\n", human_ns(ns).text,
            human_bytes(before).text, human_bytes(after).text);
        say_dead(tool, facts);
        return;
    }
    object = json_object();
    json_add_u64(object, "before_bytes", before);
    json_add_u64(object, "after_bytes", after);
    json_add_u64(object, "table_bytes", facts->files.table_bytes);
    json_add_u64(object, "value_log_bytes", facts->files.segment_bytes);
    json_add_u64(object, "dead_value_bytes", dead.bytes);
    json_add_u64(object, "dead_value_segments_count", dead.segments);
    json_add_u64(object, "elapsed_ns", ns);
    json_print(object);
}

// About what merging everything writes: each level with the one below it, down to the last.
static lsm_status bytes_to_merge(lsm_db *db, uint64_t *out)
{
    lsm_level_info levels[LSM_LEVELS];
    uint64_t moving = 0, bytes = 0;

    TRY(lsm_levels(db, levels));
    for (unsigned i = 0; i < LSM_LEVELS; i++) {
        if (levels[i].tables == 0)
            continue;
        moving += levels[i].bytes;
        bytes += i == 0 || moving == levels[i].bytes ? 0 : moving;
    }
    *out = bytes > moving ? bytes : moving;
    return LSM_OK;
}

// What has been written of tables with new numbers, by their files: a merge may take minutes
// until the engine counts it.
struct written {
    const char *path;
    uint64_t first;  // new number
    uint64_t *sizes; // by number from there on, as large as ever seen; those merged again stay
    size_t count;
};

static lsm_status note_last_table(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct written *written = ctx;
    uint64_t number;

    (void)size;
    if (is_regular && filename_parse(name, &number) == FILENAME_TABLE && number >= written->first)
        written->first = number + 1;
    return LSM_OK;
}

static lsm_status note_table(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    struct written *written = ctx;
    uint64_t number;
    size_t at;

    if (!is_regular || filename_parse(name, &number) != FILENAME_TABLE || number < written->first ||
        number - written->first >= NEW_TABLES_MAX)
        return LSM_OK;
    at = (size_t)(number - written->first);
    if (at >= written->count) {
        written->sizes = reallocarray(written->sizes, at + 1, sizeof *written->sizes);
        if (written->sizes == NULL)
            must(LSM_NO_MEMORY);
        memset(written->sizes + written->count, 0,
               (at + 1 - written->count) * sizeof *written->sizes);
        written->count = at + 1;
    }
    if (size > written->sizes[at])
        written->sizes[at] = size;
    return LSM_OK;
}

static lsm_status list_tables(const char *path,
                              lsm_status (*fn)(void *, const char *, uint64_t, bool),
                              struct written *written)
{
    CLEANUP(dir_closep) struct dir *dir = NULL;

    TRY(dir_open(env_posix(), path, false, &dir));
    return dir_list(dir, fn, written);
}

static uint64_t bytes_written(void *ctx)
{
    struct written *written = ctx;
    uint64_t bytes = 0;

    (void)list_tables(written->path, note_table, written); // what is not seen is seen later
    for (size_t i = 0; i < written->count; i++)
        bytes += written->sizes[i];
    return bytes;
}

static lsm_status compact(struct tool *tool, struct session *session)
{
    const struct compact_settings *settings = tool->settings;
    const lsm_slice from = slice_of_buf(&settings->from.bytes);
    const lsm_slice to = slice_of_buf(&settings->to.bytes);
    struct written written = {.path = tool->operands[0]};
    struct progress_watch watch;
    uint64_t total;
    lsm_status status;

    TRY(lsm_flush(session->db));
    TRY(bytes_to_merge(session->db, &total));
    TRY(list_tables(written.path, note_last_table, &written));
    progress_watch_start(&watch, "compacting", total, bytes_written, &written);
    status = lsm_compact_range(session->db, session->keyspace, settings->from.is_set ? &from : NULL,
                               settings->to.is_set ? &to : NULL);
    if (status == LSM_OK)
        status = lsm_wait_idle(session->db);
    progress_watch_end(&watch);
    free(written.sizes);
    return status;
}

static lsm_status run_compact(struct tool *tool)
{
    CLEANUP(session_closep) struct session session = {0};
    CLEANUP(facts_release) struct facts facts = {0};
    uint64_t before, start_ns = now_ns();

    TRY(session_open(tool, SESSION_WRITE, &session));
    TRY(total_bytes(tool->operands[0], &before));
    TRY(compact(tool, &session));
    TRY(session_close(&session));
    TRY(facts_gather(tool, &facts));
    compact_report(tool, before, &facts, now_ns() - start_ns);
    return facts_verdict(&facts);
}

const struct command upkeep_commands[] = {
    {.name = "verify",
     .group = "Upkeep",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Read every file and check every checksum and cross-reference",
     .details = "One line per file. Exit code 4 and file and offset when something is damaged.\n"
                "Writes nothing. While a process is writing there is no verdict of damage: exit\n"
                "code 5.\n\n"
                "Example:\n"
                "  lsmctl verify people\n",
     .run = run_verify},
    {.name = "compact",
     .group = "Upkeep",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Flush, and merge the tables of a range, or all",
     .details =
         "The engine compacts by itself; this is for the impatient. Old versions and\n"
         "deleted keys give their space in tables back. Separated values lie in segments of\n"
         "the value log, which are not merged: what of them is dead is told at the end.\n\n"
         "Examples:\n"
         "  lsmctl compact people\n"
         "  lsmctl compact people -k default --from a --to m\n",
     .flags = compact_flags,
     .settings_size = sizeof(struct compact_settings),
     .run = run_compact},
    {0},
};

// cmd_salvage.c -- what is intact of a damaged database, into a new one.

#include "db/salvage.h"

#include <inttypes.h>

#include "base/words.h"

#include "inspector.h"
#include "lsmctl.h"

struct salvage_settings {
    bool dry_run;
    bool uncertain;
    const char *database;
};

static const struct flag salvage_flags[] = {
    {"dry-run", 'n', NULL, "Write nothing; report what would be salvaged", FLAG_BOOL,
     offsetof(struct salvage_settings, dry_run)},
    {"uncertain", 0, NULL, "Also take what may have been deleted, into keyspaces of its own",
     FLAG_BOOL, offsetof(struct salvage_settings, uncertain)},
    {"database", 0, "UUID", "Of the files of several databases take those of this one", FLAG_TEXT,
     offsetof(struct salvage_settings, database)},
    {0},
};

struct salvage_output {
    const struct tool *tool;
    cJSON *losses; // with --json
    cJSON *ranges;
    struct progress progress;
};

// salvage_loss_fn.
static void tell_loss(void *ctx, const struct salvage_loss *loss)
{
    struct salvage_output *output = ctx;
    cJSON *object;

    progress_end(&output->progress);
    if (!output->tool->json) {
        printf("%slost%s  %s, offset %" PRIu64 ", %s: %s\n", colour(stdout, COLOUR_RED),
               colour(stdout, COLOUR_NONE), loss->file, loss->offset,
               loss->size == 0 ? "no data by itself" : human_bytes(loss->size).text, loss->what);
        return;
    }
    object = json_append_object(output->losses);
    json_add_text(object, "file", loss->file);
    json_add_u64(object, "offset_bytes", loss->offset);
    json_add_u64(object, "size_bytes", loss->size);
    json_add_bytes(object, "message", slice_of(loss->what), false);
}

static void bound_to_json(cJSON *object, const struct salvage_bound *bound,
                          const char *const keys[3])
{
    if (!bound->is_known)
        return;
    json_add_bytes(object, keys[0], slice_of(bound->keyspace_name), false);
    json_add_bytes(object, keys[1], bound->key, false);
    json_add_bool(object, keys[2], bound->is_included);
}

static void print_key(const char *words, const struct salvage_bound *bound)
{
    printf(" %s '", words);
    print_bytes(bound->key, false);
    putchar('\'');
}

static void print_keyspace(const struct salvage_bound *bound)
{
    fputs(" of ", stdout);
    print_bytes(slice_of(bound->keyspace_name), false);
}

static bool is_one_key(const struct salvage_range *range)
{
    return range->from.is_known && range->to.is_known &&
           range->from.keyspace == range->to.keyspace &&
           slice_equal(range->from.key, range->to.key);
}

static void print_range(const struct salvage_range *range)
{
    const bool is_one_keyspace =
        range->from.is_known && range->to.is_known && range->from.keyspace == range->to.keyspace;

    printf("%slost%s ", colour(stdout, COLOUR_RED), colour(stdout, COLOUR_NONE));
    if (is_one_key(range)) {
        print_key("the newest of key", &range->to);
        print_keyspace(&range->to);
    } else if (!range->from.is_known && !range->to.is_known) {
        fputs(" keys that nothing tells", stdout);
    } else {
        fputs(" keys", stdout);
        if (range->from.is_known) {
            print_key(range->from.is_included ? "from" : "after", &range->from);
            if (!is_one_keyspace)
                print_keyspace(&range->from);
        }
        if (range->to.is_known) {
            if (range->from.is_known && !range->from.is_included)
                fputs(" and", stdout);
            print_key(range->to.is_included ? "up to" : "before", &range->to);
            print_keyspace(&range->to);
        }
    }
    printf(" in %s\n", range->file);
}

// salvage_range_fn.
static void tell_range(void *ctx, const struct salvage_range *range)
{
    static const char *const from_keys[3] = {"from_keyspace", "from_key", "from_included"};
    static const char *const to_keys[3] = {"to_keyspace", "to_key", "to_included"};
    struct salvage_output *output = ctx;
    cJSON *object;

    progress_end(&output->progress);
    if (!output->tool->json) {
        print_range(range);
        return;
    }
    object = json_append_object(output->ranges);
    json_add_text(object, "file", range->file);
    bound_to_json(object, &range->from, from_keys);
    bound_to_json(object, &range->to, to_keys);
}

// salvage_progress_fn.
static void show_progress(void *ctx, uint64_t read_bytes, uint64_t total_bytes)
{
    struct salvage_output *output = ctx;

    output->progress.total = total_bytes;
    progress_show(&output->progress, read_bytes);
}

// --- the report ---

static void print_keyspaces(const struct salvage_report *report)
{
    struct grid grid;

    grid_init(&grid, "lrrl");
    grid_head(&grid, "keyspace|records|values|");
    for (size_t i = 0; i < report->keyspace_count; i++) {
        const struct salvaged_keyspace *keyspace = &report->keyspaces[i];

        grid_add_bytes(&grid, slice_of(keyspace->name));
        grid_add(&grid, "%s", human_count(keyspace->record_count).text);
        grid_add(&grid, "%s", human_bytes(keyspace->value_bytes).text);
        grid_add(&grid, "%s",
                 keyspace->is_uncertain ? "may have been deleted"
                 : !keyspace->is_named  ? "named by its id: the manifest is lost"
                                        : "");
    }
    grid_print(&grid, 2);
    grid_release(&grid);
}

static void print_report(const struct salvage_report *report)
{
    printf("read %" PRIu64 " table%s, %" PRIu64 " segment%s with %" PRIu64 " commit%s of the log\n",
           report->table_count, plural(report->table_count), report->segment_count,
           plural(report->segment_count), report->frame_count, plural(report->frame_count));
    if (!report->has_manifest)
        printf("without a manifest: all tables are taken, and keys that were deleted before may "
               "be back\n");
    if (report->lost_frames > 0)
        printf("%" PRIu64 " commit%s of the log %s lost\n", report->lost_frames,
               plural(report->lost_frames), report->lost_frames == 1 ? "is" : "are");
    if (report->lost_values > 0)
        printf("%" PRIu64 " key%s left out: the newest value is lost\n", report->lost_values,
               report->lost_values == 1 ? " is" : "s are");
    if (report->lost_frames > 0)
        puts("of commits of the log nothing tells the keys");
    if (report->range_count > 0)
        puts("of these keys, what stands nowhere else is gone, or an older version is back");
    if (report->offered_record_count > 0)
        printf("--uncertain would bring %" PRIu64
               " record%s with %s of values, which may have been "
               "deleted, apart\n",
               report->offered_record_count, plural(report->offered_record_count),
               human_bytes(report->offered_value_bytes).text);
    else if (report->uncertain_frame_count > 0 && !report->has_manifest)
        printf("%" PRIu64 " commit%s may have been undone later; --uncertain salvages %s apart\n",
               report->uncertain_frame_count, plural(report->uncertain_frame_count),
               report->uncertain_frame_count == 1 ? "it" : "them");
    print_keyspaces(report);
}

static void print_json(const struct salvage_report *report, const struct salvage_output *output)
{
    cJSON *object = json_object();
    cJSON *keyspaces = json_add_array(object, "keyspaces");

    for (size_t i = 0; i < report->keyspace_count; i++) {
        const struct salvaged_keyspace *keyspace = &report->keyspaces[i];
        cJSON *item = json_append_object(keyspaces);

        json_add_u64(item, "id", keyspace->id);
        json_add_bytes(item, "name", slice_of(keyspace->name), false);
        json_add_bool(item, "is_named", keyspace->is_named);
        json_add_bool(item, "is_uncertain", keyspace->is_uncertain);
        json_add_u64(item, "records", keyspace->record_count);
        json_add_u64(item, "value_bytes", keyspace->value_bytes);
    }
    json_add_bool(object, "has_manifest", report->has_manifest);
    json_add_u64(object, "tables", report->table_count);
    json_add_u64(object, "segments", report->segment_count);
    json_add_u64(object, "commits", report->frame_count);
    json_add_u64(object, "uncertain_commits", report->uncertain_frame_count);
    json_add_u64(object, "records", report->record_count);
    json_add_u64(object, "lost_commits", report->lost_frames);
    json_add_u64(object, "lost_values", report->lost_values);
    json_add_u64(object, "lost_bytes", report->lost_bytes);
    json_add_u64(object, "offered_records", report->offered_record_count);
    json_add_u64(object, "offered_value_bytes", report->offered_value_bytes);
    cJSON_AddItemToObject(object, "losses", output->losses);
    cJSON_AddItemToObject(object, "lost_ranges", output->ranges);
    json_print(object);
}

static lsm_status salvage_verdict(const struct tool *tool, const struct salvage_report *report)
{
    const struct salvage_settings *settings = tool->settings;

    if (report->loss_count == 0)
        return LSM_OK;
    return lsm_fail(LSM_CORRUPT, "%s: damaged in %" PRIu64 " place%s; %" PRIu64 " record%s %s %s",
                    tool->operands[0], report->loss_count, plural(report->loss_count),
                    report->record_count, plural(report->record_count),
                    report->record_count == 1 ? "is" : "are",
                    settings->dry_run ? "intact" : "salvaged");
}

static lsm_status check_unused(const char *path)
{
    bool in_use;
    const uint64_t holder = inspect_holder(path, &in_use);

    if (!in_use)
        return LSM_OK;
    return lsm_fail(LSM_LOCKED, "%s: process %" PRIu64 " has it open; salvage reads files at rest",
                    path, holder);
}

static lsm_status run_salvage(struct tool *tool)
{
    const struct salvage_settings *settings = tool->settings;
    struct salvage_output output = {.tool = tool};
    struct uuid whose;
    const struct salvage_request request = {
        .env = env_posix(),
        .from = tool->operands[0],
        .whose = settings->database == NULL ? NULL : &whose,
        .to = settings->dry_run ? NULL : tool->operands[1],
        .options = tool->options,
        .take_uncertain = settings->uncertain,
        .on_loss = tell_loss,
        .on_range = tell_range,
        .on_progress = show_progress,
        .ctx = &output,
    };
    struct salvage_report report;
    lsm_status status;

    if (settings->dry_run != (tool->operand_count == 1))
        return usage_error(tool, "%s",
                           settings->dry_run ? "--dry-run takes no new database"
                                             : "the new database is not named");
    if (settings->database != NULL && !uuid_parse(settings->database, &whose))
        return usage_error(tool, "'%s' is not a uuid", settings->database);
    TRY(check_unused(request.from));
    output.losses = json_array();
    output.ranges = json_array();
    progress_start(&output.progress, "salvaging", "bytes", 0);
    status = db_salvage(&request, &report);
    progress_end(&output.progress);
    if (status == LSM_OK && tool->json) {
        print_json(&report, &output);
    } else {
        cJSON_Delete(output.losses);
        cJSON_Delete(output.ranges);
    }
    TRY(status);
    if (!tool->json)
        print_report(&report);
    status = salvage_verdict(tool, &report);
    salvage_report_release(&report);
    return status;
}

const struct command salvage_commands[] = {
    {.name = "salvage",
     .group = "Upkeep",
     .operands = "DB [NEWDB]",
     .operands_min = 1,
     .operands_max = 2,
     .summary = "Rebuild what is intact of a damaged database as a new one",
     .details =
         "Of each key the newest version that verifies is taken, from tables and from the log; a\n"
         "commit of the log is taken whole or not at all. Each place that is damaged is told, and\n"
         "of a table the keys between which something is lost: those are gone, or back at an "
         "older\n"
         "version. DB is not written to, and must not be open anywhere.\n\n"
         "Works without CURRENT and without a manifest, too: then all tables are taken, keyspaces\n"
         "may be named by their ids, and keys that were deleted long ago may be back. What of the\n"
         "log may have been deleted in a part that is gone, --uncertain salvages into keyspaces\n"
         "called NAME.uncertain; what it would bring is told.\n\n"
         "When CURRENT is lost and files of several databases lie in DB, their uuids are told, "
         "and\n"
         "--database names the one to take. NEWDB does not open until the salvage has finished.\n\n"
         "Exit code 0 when nothing is lost, 4 when something is and the rest is salvaged.\n\n"
         "Examples:\n"
         "  lsmctl salvage people --dry-run\n"
         "  lsmctl salvage people rescued && lsmctl verify rescued\n",
     .flags = salvage_flags,
     .settings_size = sizeof(struct salvage_settings),
     .run = run_salvage},
    {0},
};

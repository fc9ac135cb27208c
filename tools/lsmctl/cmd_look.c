// cmd_look.c -- info, levels, segments, keyspaces, options: the whole at a
// glance. Nothing is opened for writing.

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "activity.h"
#include "base/words.h"
#include "facts.h"
#include "lsmctl.h"

#define ROW_SIZE 11 // width of the first column of `info`

static void row(const char *name)
{
    printf("  %s%-*s%s", colour(stdout, COLOUR_DIM), ROW_SIZE, name, colour(stdout, COLOUR_NONE));
}

// --- levels ---

static void print_levels(const struct facts *facts, int indent)
{
    struct grid grid;

    grid_init(&grid, "lrrrrrrr");
    grid_head(&grid, "level|tables|size|target|score|entries|tombstones|values");
    for (unsigned i = 0; i < LSM_LEVELS; i++) {
        const lsm_level_info *level = &facts->levels[i];

        if (level->tables == 0)
            continue;
        grid_add(&grid, "%u", i);
        grid_add(&grid, "%" PRIu64, level->tables);
        grid_add(&grid, "%s", human_bytes(level->bytes).text);
        grid_add(&grid, "%s",
                 level->target_bytes == 0 ? "-" : human_bytes(level->target_bytes).text);
        grid_add(&grid, "%.2f", level->score);
        grid_add(&grid, "%s", human_count(level->entries).text);
        grid_add(&grid, "%s", human_count(level->tombstones).text);
        grid_add(&grid, "%s", human_bytes(level->referenced_bytes).text);
    }
    grid_print(&grid, indent);
}

static void levels_to_json(const struct facts *facts, cJSON *to)
{
    cJSON *array = json_add_array(to, "levels");

    for (unsigned i = 0; i < LSM_LEVELS; i++) {
        const lsm_level_info *level = &facts->levels[i];
        cJSON *object = json_append_object(array);

        json_add_u64(object, "level", i);
        json_add_u64(object, "tables_count", level->tables);
        json_add_u64(object, "table_bytes", level->bytes);
        json_add_u64(object, "target_bytes", level->target_bytes);
        json_add_double(object, "score_ratio", level->score);
        json_add_u64(object, "entries_count", level->entries);
        json_add_u64(object, "tombstones_count", level->tombstones);
        json_add_u64(object, "referenced_bytes", level->referenced_bytes);
    }
}

static lsm_status run_levels(struct tool *tool)
{
    CLEANUP(facts_release) struct facts facts = {0};
    cJSON *object;

    TRY(facts_gather(tool, &facts));
    if (tool->json) {
        object = json_object();
        levels_to_json(&facts, object);
        json_print(object);
    } else {
        print_levels(&facts, 0);
    }
    return facts_verdict(&facts);
}

// --- segments ---

static void print_segments(const struct facts *facts)
{
    struct grid grid;

    grid_init(&grid, "lrrrrl");
    grid_head(&grid, "segment|size|values|referenced|of it|state");
    for (size_t i = 0; i < facts->segment_count; i++) {
        const lsm_segment_info *segment = &facts->segments[i];

        grid_add(&grid, "%s", filename_of(FILENAME_SEGMENT, segment->id).text);
        grid_add(&grid, "%s", human_bytes(segment->bytes).text);
        grid_add(&grid, "%s", human_count(segment->referenced_count).text);
        grid_add(&grid, "%s", human_bytes(segment->referenced_bytes).text);
        grid_add(&grid, "%.0f%%",
                 segment->bytes == 0
                     ? 0
                     : 100 * (double)segment->referenced_bytes / (double)segment->bytes);
        grid_add(&grid, "%s", segment->is_log ? "log" : "values");
    }
    grid_print(&grid, 0);
}

static void segments_to_json(const struct facts *facts, cJSON *to)
{
    cJSON *array = json_add_array(to, "segments");

    for (size_t i = 0; i < facts->segment_count; i++) {
        const lsm_segment_info *segment = &facts->segments[i];
        cJSON *object = json_append_object(array);

        json_add_u64(object, "segment", segment->id);
        json_add_text(object, "file", filename_of(FILENAME_SEGMENT, segment->id).text);
        json_add_u64(object, "file_bytes", segment->bytes);
        json_add_u64(object, "referenced_bytes", segment->referenced_bytes);
        json_add_u64(object, "referenced_count", segment->referenced_count);
        json_add_bool(object, "is_log", segment->is_log);
    }
}

static lsm_status run_segments(struct tool *tool)
{
    CLEANUP(facts_release) struct facts facts = {0};
    cJSON *object;

    TRY(facts_gather(tool, &facts));
    if (tool->json) {
        object = json_object();
        segments_to_json(&facts, object);
        json_print(object);
    } else {
        print_segments(&facts);
    }
    return facts_verdict(&facts);
}

// --- keyspaces ---

// About what a keyspace takes in tables and values; false when it cannot be known.
static bool keyspace_bytes(const struct facts *facts, const char *name, uint64_t *bytes)
{
    lsm_keyspace *keyspace = NULL;
    lsm_status status;

    if (facts->db == NULL || lsm_keyspace_open(facts->db, name, false, NULL, &keyspace) != LSM_OK)
        return false;
    status = lsm_approximate_size(facts->db, keyspace, NULL, NULL, bytes);
    lsm_keyspace_close(keyspace);
    return status == LSM_OK;
}

static void add_inheritable(struct grid *grid, uint32_t value)
{
    if (value == LSM_INHERIT)
        grid_add(grid, "inherit");
    else
        grid_add(grid, "%" PRIu32, value);
}

static void print_keyspaces(const struct facts *facts)
{
    struct grid grid;

    grid_init(&grid, "rlrrrrr");
    grid_head(&grid, "id|name|about|value_threshold|versions_to_keep|compression|ttl");
    for (size_t i = 0; i < facts->keyspace_count; i++) {
        const lsm_keyspace_info *info = &facts->keyspaces[i];
        uint64_t bytes;

        grid_add(&grid, "%" PRIu32, info->id);
        grid_add_bytes(&grid, slice_of(info->name));
        grid_add(&grid, "%s",
                 keyspace_bytes(facts, info->name, &bytes) ? human_bytes(bytes).text : "?");
        add_inheritable(&grid, info->options.value_threshold);
        add_inheritable(&grid, info->options.versions_to_keep);
        add_inheritable(&grid, info->options.compression);
        if (info->options.ttl_seconds == 0)
            grid_add(&grid, "-");
        else
            grid_add(&grid, "%" PRIu64 " s", info->options.ttl_seconds);
    }
    grid_print(&grid, 0);
}

static void json_add_inheritable(cJSON *to, const char *key, uint32_t value)
{
    // A field of numbers has no strings: null is what follows the database's option.
    if (value == LSM_INHERIT)
        json_add_null(to, key);
    else
        json_add_u64(to, key, value);
}

static void keyspaces_to_json(const struct facts *facts, cJSON *to)
{
    cJSON *array = json_add_array(to, "keyspaces");

    for (size_t i = 0; i < facts->keyspace_count; i++) {
        const lsm_keyspace_info *info = &facts->keyspaces[i];
        cJSON *object = json_append_object(array);
        uint64_t bytes;

        json_add_u64(object, "id", info->id);
        json_add_bytes(object, "name", slice_of(info->name), false);
        if (keyspace_bytes(facts, info->name, &bytes))
            json_add_u64(object, "approximate_bytes", bytes);
        json_add_inheritable(object, "value_threshold_bytes", info->options.value_threshold);
        json_add_inheritable(object, "versions_to_keep_count", info->options.versions_to_keep);
        json_add_inheritable(object, "compression_level", info->options.compression);
        json_add_u64(object, "ttl_seconds", info->options.ttl_seconds);
    }
}

static lsm_status run_keyspaces(struct tool *tool)
{
    CLEANUP(facts_release) struct facts facts = {0};
    cJSON *object;

    TRY(facts_gather(tool, &facts));
    if (tool->json) {
        object = json_object();
        keyspaces_to_json(&facts, object);
        json_print(object);
    } else {
        print_keyspaces(&facts);
    }
    return facts_verdict(&facts);
}

// --- info ---

static const char *health_name(const struct facts *facts)
{
    static const char *const names[] = {"healthy", "degraded", "sick"};

    if (facts_verdict(facts) != LSM_OK)
        return "damaged";
    if (facts->opening.status != LSM_OK)
        return "changing while it is read";
    return names[facts->health.state];
}

static const char *health_reason(const struct facts *facts)
{
    if (facts->reading.status != LSM_OK)
        return facts->reading.message;
    return facts->opening.status != LSM_OK ? facts->opening.message : facts->health.reason;
}

static double amplification(const struct facts *facts)
{
    uint64_t live = facts_live_bytes(facts);

    return live == 0 ? 0 : (double)facts_total_bytes(facts) / (double)live;
}

// Who has it open may have been sure of the clock since the manifest was last written.
static void print_clock(const struct facts *facts)
{
    if (facts->health.clock_note[0] == '\0')
        return;
    row("clock");
    printf("%s%s\n", facts->health.clock_note,
           facts->in_use ? " (by the manifest; the process that has it open may know better)" : "");
}

static void print_state(const struct facts *facts)
{
    const char *health = health_name(facts);
    bool is_well = strcmp(health, "healthy") == 0;

    row("health");
    printf("%s%s%s", colour(stdout, is_well ? COLOUR_GREEN : COLOUR_RED), health,
           colour(stdout, COLOUR_NONE));
    printf("%s%s\n", *health_reason(facts) == '\0' ? "" : ": ", health_reason(facts));
    row("state");
    if (facts->in_use && facts->holder != 0)
        printf("open in process %" PRIu64 "\n", facts->holder);
    else if (facts->in_use)
        puts("open in another process");
    else if (facts->inspector == NULL)
        puts("not known");
    else if (facts->inspector->state.is_clean)
        puts("closed cleanly");
    else
        puts("not closed; the next open recovers it");
    print_clock(facts);
}

// Whether the process that writes is held back, by its event log.
static void print_writes(const struct facts *facts)
{
    struct activity activity = {0};
    struct stall_text stall;

    if (!facts->in_use || activity_read(facts->path, true, &activity) != LSM_OK)
        return;
    stall = activity_stall(&activity);
    if (*stall.text == '\0')
        return;
    row("writes");
    printf("%s%s%s\n", activity.stall == STALL_NONE ? "" : colour(stdout, COLOUR_YELLOW),
           stall.text, activity.stall == STALL_NONE ? "" : colour(stdout, COLOUR_NONE));
}

static void print_size(const struct facts *facts)
{
    const struct file_sums *files = &facts->files;

    row("size");
    printf("%s: %" PRIu64 " table%s %s, %" PRIu64 " log segment%s %s, other %s\n",
           human_bytes(facts_total_bytes(facts)).text, files->table_count,
           plural(files->table_count), human_bytes(files->table_bytes).text, files->segment_count,
           plural(files->segment_count), human_bytes(files->segment_bytes).text,
           human_bytes(files->manifest_bytes + files->other_bytes).text);
    if (facts->inspector == NULL)
        return;
    row("live");
    printf("about %s, space amplification %.2f\n", human_bytes(facts_live_bytes(facts)).text,
           amplification(facts));
}

static void print_manifest_state(const struct facts *facts)
{
    const struct manifest_state *state = &facts->inspector->state;
    char uuid[UUID_TEXT_SIZE];

    uuid_format(&state->db_uuid, uuid);
    row("uuid");
    puts(uuid);
    row("commits");
    printf("recorded up to timestamp %" PRIu64 ", %s\n", state->last_ts,
           human_time(state->last_wall_ns).text);
    row("log");
    printf("%s to replay, from %s offset %" PRIu64 "\n", human_bytes(facts->unflushed_bytes).text,
           filename_of(FILENAME_SEGMENT, state->replay.segment).text, state->replay.offset);
    row("manifest");
    printf("%s, edit %" PRIu64 "\n", filename_of(FILENAME_MANIFEST, state->manifest_number).text,
           state->edit_number);
    row("keyspaces");
    for (size_t i = 0; i < facts->keyspace_count; i++) {
        fputs(i == 0 ? "" : ", ", stdout);
        print_bytes(slice_of(facts->keyspaces[i].name), false);
    }
    putchar('\n');
}

static void print_value_log(const struct facts *facts)
{
    uint64_t bytes = 0, referenced = 0, log = 0;

    for (size_t i = 0; i < facts->segment_count; i++) {
        bytes += facts->segments[i].bytes;
        referenced += facts->segments[i].referenced_bytes;
        log += facts->segments[i].is_log;
    }
    row("value log");
    printf("%zu segment%s of %s (%" PRIu64 " still log), %s referenced\n", facts->segment_count,
           plural(facts->segment_count), human_bytes(bytes).text, log,
           human_bytes(referenced).text);
}

static void print_info(const struct facts *facts)
{
    printf("%s%s%s\n", colour(stdout, COLOUR_BOLD), facts->path, colour(stdout, COLOUR_NONE));
    print_state(facts);
    print_writes(facts);
    print_size(facts);
    if (facts->inspector == NULL)
        return;
    print_manifest_state(facts);
    print_value_log(facts);
    if (version_table_count(facts->inspector->version) == 0) {
        row("levels");
        puts("no tables yet: everything is in the log");
        return;
    }
    printf("  %slevels%s\n", colour(stdout, COLOUR_DIM), colour(stdout, COLOUR_NONE));
    print_levels(facts, 4);
}

static void print_info_json(const struct facts *facts)
{
    cJSON *object = json_object();
    char uuid[UUID_TEXT_SIZE];

    json_add_bytes(object, "path", slice_of(facts->path), false);
    json_add_text(object, "health", health_name(facts));
    json_add_bytes(object, "reason", slice_of(health_reason(facts)), false);
    if (facts->opening.status == LSM_OK)
        json_add_i64(object, "clock_ahead_ns", facts->health.clock_ahead_ns);
    json_add_bool(object, "in_use", facts->in_use);
    json_add_u64(object, "in_use_by_process_id", facts->holder);
    json_add_u64(object, "total_bytes", facts_total_bytes(facts));
    json_add_u64(object, "tables_count", facts->files.table_count);
    json_add_u64(object, "tables_bytes", facts->files.table_bytes);
    json_add_u64(object, "segments_count", facts->files.segment_count);
    json_add_u64(object, "segments_bytes", facts->files.segment_bytes);
    if (facts->inspector != NULL) {
        const struct manifest_state *state = &facts->inspector->state;

        uuid_format(&state->db_uuid, uuid);
        json_add_text(object, "uuid", uuid);
        json_add_bool(object, "is_clean", state->is_clean);
        json_add_u64(object, "live_estimate_bytes", facts_live_bytes(facts));
        json_add_double(object, "space_amplification_ratio", amplification(facts));
        json_add_u64(object, "last_ts", state->last_ts);
        json_add_u64(object, "last_wall_ns", state->last_wall_ns);
        json_add_u64(object, "replay_segment", state->replay.segment);
        json_add_u64(object, "replay_offset_bytes", state->replay.offset);
        json_add_u64(object, "unflushed_log_bytes", facts->unflushed_bytes);
        json_add_u64(object, "manifest_number", state->manifest_number);
        json_add_u64(object, "edit_number", state->edit_number);
        keyspaces_to_json(facts, object);
        levels_to_json(facts, object);
        segments_to_json(facts, object);
    }
    json_print(object);
}

static lsm_status run_info(struct tool *tool)
{
    CLEANUP(facts_release) struct facts facts = {0};

    TRY(facts_gather(tool, &facts));
    (tool->json ? print_info_json : print_info)(&facts);
    return facts_verdict(&facts);
}

// --- options ---

static void print_option_json(cJSON *array, const lsm_option_info *info, const char *value)
{
    cJSON *object = json_append_object(array);

    json_add_text(object, "name", info->name);
    json_add_text(object, "value", value);
    json_add_text(object, "default", info->default_value);
    json_add_text(object, "type", info->type);
    json_add_text(object, "range", info->range);
    json_add_bool(object, "kept", info->kept);
    json_add_bool(object, "changeable", info->changeable);
    json_add_text(object, "help", info->help);
}

static void print_option_row(struct grid *grid, const lsm_option_info *info, const char *value)
{
    bool is_default = strcmp(value, info->default_value) == 0;

    grid_add(grid, "%s", info->name);
    grid_add(grid, "%s%s", value, is_default ? "" : " *");
    grid_add(grid, "%s", info->default_value);
    grid_add(grid, "%s", info->range);
    grid_add(grid, "%s", info->kept ? "database" : "process");
    grid_add(grid, "%s", info->changeable ? "yes" : "no");
    grid_add(grid, "%s", info->help);
}

static lsm_status load_database_options(struct tool *tool)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", tool->operands[0], filename_of(FILENAME_CURRENT, 0).text);
    if (access(path, F_OK) != 0)
        return lsm_fail(LSM_NOT_FOUND, "%s: there is no such file", path);
    return lsm_options_load_from_db(tool->options, tool->operands[0]);
}

static lsm_status run_options(struct tool *tool)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;
    lsm_option_info info;
    cJSON *root = json_object();
    cJSON *array = json_add_array(root, "options");
    lsm_status status = LSM_OK;
    CLEANUP(grid_release) struct grid grid;

    if (tool->operand_count == 1)
        status = load_database_options(tool);
    grid_init(&grid, "lllllll");
    grid_head(&grid, "option|value|default|range|of|changeable|meaning");
    for (size_t i = 0; status == LSM_OK && lsm_option_at(i, &info); i++) {
        status = lsm_options_get(tool->options, info.name, &value);
        if (status != LSM_OK)
            break;
        must(buf_append_u8(&value, 0));
        print_option_json(array, &info, value.data);
        print_option_row(&grid, &info, value.data);
    }
    if (status == LSM_OK && tool->json)
        json_print(MOVE(root));
    if (status == LSM_OK && !tool->json)
        grid_print(&grid, 0);
    cJSON_Delete(root);
    return status;
}

const struct command look_commands[] = {
    {.name = "info",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Everything at a glance: size, levels, value log, health",
     .details =
         "Works on a database that does not open (then it tells what can be known, and what\n"
         "is wrong; exit code 4) and on one that another process has open. `live` is an\n"
         "estimate: the deepest level, what it points to, and the unflushed log.\n\n"
         "Examples:\n"
         "  lsmctl info people\n"
         "  lsmctl info people --json | jq .space_amplification_ratio\n",
     .run = run_info},
    {.name = "levels",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Tables by level",
     .details = "`values` is what the tables point to in the value log. A level with a score of 1\n"
                "or more is due for compaction.\n\n"
                "Example:\n"
                "  lsmctl levels people\n",
     .run = run_levels},
    {.name = "segments",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Files of the value log, and how much of each is referenced",
     .details =
         "`log` segments are still needed for recovery; the others live for their values.\n\n"
         "Example:\n"
         "  lsmctl segments people\n",
     .run = run_segments},
    {.name = "keyspaces",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "Keyspaces, their options and about their size",
     .details = "`about` is what a keyspace takes of tables, values and unflushed log, old\n"
                "versions too; a question mark: damage is in the way. `inherit` follows the\n"
                "database's option of that name.\n\n"
                "Example:\n"
                "  lsmctl keyspaces people --json\n",
     .run = run_keyspaces},
    {.name = "options",
     .group = "Look",
     .operands = "[DB]",
     .operands_min = 0,
     .operands_max = 1,
     .summary = "Options: values, defaults, ranges, meaning",
     .details =
         "With a database: what it keeps, as its file OPTIONS says; a star marks what is not\n"
         "the default. Without one: the defaults. An option of the database is kept there\n"
         "once it is set, by -o or by an application, whoever opens it next; one of the\n"
         "process is not.\n\n"
         "Examples:\n"
         "  lsmctl options\n"
         "  lsmctl options people\n",
     .run = run_options},
    {0},
};

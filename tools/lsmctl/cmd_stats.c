// cmd_stats.c -- what can be known of a running engine, or of the last one, from outside.
//
// Counters are in the memory of the process that writes, where nobody else can read them: a
// counter of ours would be 0 and mean nothing. So what is told here is told by files: gauges by
// the manifest and the log, what jobs and stalls there were by the event log. What is not known
// is left out.

#include <inttypes.h>
#include <string.h>

#include "activity.h"
#include "base/words.h"
#include "facts.h"

struct stats_settings {
    bool prometheus;
};

static const struct flag stats_flags[] = {
    {"prometheus", 0, NULL, "In the text exposition format", FLAG_BOOL,
     offsetof(struct stats_settings, prometheus)},
    {0},
};

struct stats {
    struct facts facts;
    struct activity activity;
};

// --- named numbers ---

struct number {
    const char *name;
    bool is_counter;
    uint64_t value;
};

#define NUMBERS_MAX 40

struct numbers {
    struct number items[NUMBERS_MAX];
    size_t count;
};

static void add(struct numbers *numbers, bool is_counter, const char *name, uint64_t value)
{
    numbers->items[numbers->count++] = (struct number){name, is_counter, value};
}

static void add_files(struct numbers *n, const struct facts *facts)
{
    const struct version *version = facts->inspector->version;

    add(n, false, "total_bytes", facts_total_bytes(facts));
    add(n, false, "tables", version_table_count(version));
    add(n, false, "table_bytes", version_table_bytes(version));
    add(n, false, "referenced_value_bytes", version_referenced_bytes(version));
    add(n, false, "value_segments", version->segment_count);
    add(n, false, "unflushed_log_bytes", facts->unflushed_bytes);
}

static void add_job(struct numbers *n, const struct job_sums *sums, const char *const names[4])
{
    const uint64_t values[4] = {sums->count, sums->write_bytes, sums->ns, sums->read_bytes};

    for (size_t i = 0; i < 4; i++)
        if (names[i] != NULL)
            add(n, true, names[i], values[i]);
}

// By the names that lsm_stats() gives them, where it has the same.
static void add_activity(struct numbers *n, const struct activity *a)
{
    static const char *const counts[STALL_CAUSE_COUNT] = {
        [STALL_MEMTABLE] = "slowed_by_memtable",
        [STALL_LEVEL0] = "slowed_by_level0",
        [STALL_DEBT] = "slowed_by_debt",
        [STALL_LOG] = "slowed_by_log",
    };
    static const char *const times[STALL_CAUSE_COUNT] = {
        [STALL_MEMTABLE] = "slowed_by_memtable_ns",
        [STALL_LEVEL0] = "slowed_by_level0_ns",
        [STALL_DEBT] = "slowed_by_debt_ns",
        [STALL_LOG] = "slowed_by_log_ns",
    };

    add_job(n, &a->flushes, (const char *const[4]){"flushes", "flush_bytes", "flush_ns"});
    add_job(n, &a->merges,
            (const char *const[4]){"merges", "merge_write_bytes", "merge_ns", "merge_read_bytes"});
    add(n, true, "moves", a->moves.count);
    add(n, true, "merge_entries_dropped", a->merge_entries_dropped);
    add(n, true, "background_errors", a->error_count);
    for (unsigned i = STALL_NONE + 1; i < STALL_CAUSE_COUNT; i++) {
        add(n, true, counts[i], a->stalls[i].count);
        add(n, true, times[i], a->stalls[i].ns);
    }
}

static struct numbers collect(const struct stats *stats)
{
    struct numbers numbers = {.count = 0};

    if (stats->facts.inspector != NULL)
        add_files(&numbers, &stats->facts);
    // Of a log that does not reach back to the open they would be too few.
    if (stats->activity.is_since_open)
        add_activity(&numbers, &stats->activity);
    return numbers;
}

// --- as text ---

static void print_job(struct grid *grid, const char *name, const struct job_sums *sums)
{
    if (sums->count == 0)
        return;
    grid_add(grid, "%s", name);
    grid_add(grid, "%s", human_count(sums->count).text);
    grid_add(grid, "%s", sums->read_bytes == 0 ? "-" : human_bytes(sums->read_bytes).text);
    grid_add(grid, "%s", human_bytes(sums->write_bytes).text);
    grid_add(grid, "%s", sums->ns == 0 ? "-" : human_ns(sums->ns).text);
    grid_add(grid, "%s", sums->ns == 0 ? "-" : human_ns(sums->ns_max).text);
    grid_add(grid, "%s", human_time(sums->last_ns).text);
}

static void print_jobs(const struct activity *a)
{
    struct grid grid;

    if (a->flushes.count + a->merges.count + a->moves.count == 0) {
        puts("no flush and no merge yet");
        return;
    }
    grid_init(&grid, "lrrrrrl");
    grid_head(&grid, "job|count|read|written|time|longest|last");
    print_job(&grid, "flush", &a->flushes);
    print_job(&grid, "merge", &a->merges);
    print_job(&grid, "move", &a->moves);
    grid_print(&grid, 0);
}

static void print_stalls(const struct activity *a, bool is_running)
{
    const struct stall_text now = activity_stall(a);

    for (unsigned i = STALL_NONE + 1; i < STALL_CAUSE_COUNT; i++) {
        const struct stall_sums *stall = &a->stalls[i];

        if (stall->count != 0)
            printf("writers were held back by %s %s time%s, for %s in all\n", stall_cause_name(i),
                   human_count(stall->count).text, plural(stall->count), human_ns(stall->ns).text);
    }
    if (is_running && *now.text != '\0')
        printf("%swriters are %s%s\n", a->stall == STALL_NONE ? "" : colour(stdout, COLOUR_YELLOW),
               now.text, a->stall == STALL_NONE ? "" : colour(stdout, COLOUR_NONE));
}

static void print_errors(const struct activity *a)
{
    if (a->error_count == 0)
        return;
    printf("%s%s error%s of background jobs%s, the last %s: ", colour(stdout, COLOUR_RED),
           human_count(a->error_count).text, plural(a->error_count), colour(stdout, COLOUR_NONE),
           human_time(a->last_error_ns).text);
    print_bytes(slice_of(a->last_error), false);
    putchar('\n');
}

static void print_activity(const struct stats *stats)
{
    const struct activity *a = &stats->activity;

    if (!a->is_known || a->since_ns == 0) {
        puts("\nno event log is kept (option events_size_max)");
        return;
    }
    if (a->is_since_open)
        printf("\nby the event log, opened %s:\n", human_time(a->since_ns).text);
    else
        printf("\nby the event log, which reaches back to %s:\n", human_time(a->since_ns).text);
    print_jobs(a);
    print_stalls(a, stats->facts.in_use);
    print_errors(a);
}

static void print_text(const struct stats *stats, const struct numbers *numbers)
{
    const struct facts *facts = &stats->facts;

    if (facts->in_use && facts->holder != 0)
        printf("process %" PRIu64 " has it open; counters are in its memory, and only it can read "
               "them (lsm_stats())\n\n",
               facts->holder);
    else if (facts->in_use)
        puts("another process has it open; counters are in its memory, and only it can read them "
             "(lsm_stats())\n");
    else
        puts("no process has it open; counters end with the process that counts\n");
    for (size_t i = 0; i < numbers->count; i++)
        if (!numbers->items[i].is_counter)
            printf("%-28s %" PRIu64 "\n", numbers->items[i].name, numbers->items[i].value);
    print_activity(stats);
}

// --- for programs ---

static void print_json(const struct stats *stats, const struct numbers *numbers)
{
    const struct activity *a = &stats->activity;
    cJSON *object = json_object();

    json_add_bool(object, "in_use", stats->facts.in_use);
    if (stats->facts.holder != 0)
        json_add_u64(object, "in_use_by_process_id", stats->facts.holder);
    for (size_t i = 0; i < numbers->count; i++)
        json_add_u64(object, numbers->items[i].name, numbers->items[i].value);
    if (a->is_known && a->since_ns != 0) {
        json_add_u64(object, "events_since_ns", a->since_ns);
        json_add_bool(object, "events_since_open", a->is_since_open);
        json_add_u64(object, "events_last_ns", a->last_ns);
        if (stats->facts.in_use && a->is_stall_known) {
            json_add_text(object, "stall_cause", stall_cause_name(a->stall));
            json_add_bool(object, "stall_is_stopped", a->stall != STALL_NONE && a->is_stopped);
        }
        if (a->error_count != 0)
            json_add_bytes(object, "last_error", slice_of(a->last_error), false);
    }
    json_print(object);
}

static void print_prometheus(const struct stats *stats, const struct numbers *numbers)
{
    printf("# TYPE lsmkv_in_use gauge\nlsmkv_in_use %d\n", stats->facts.in_use);
    for (size_t i = 0; i < numbers->count; i++) {
        const struct number *number = &numbers->items[i];
        const char *suffix = number->is_counter ? "_total" : "";

        printf("# TYPE lsmkv_%s%s %s\nlsmkv_%s%s %" PRIu64 "\n", number->name, suffix,
               number->is_counter ? "counter" : "gauge", number->name, suffix, number->value);
    }
}

// --- the command ---

static lsm_status run_stats(struct tool *tool)
{
    const struct stats_settings *settings = tool->settings;
    struct stats stats = {.activity = {0}};
    struct numbers numbers;
    lsm_status status;

    if (tool->json && settings->prometheus)
        return usage_error(tool, "give either --json or --prometheus");
    TRY(facts_gather(tool, &stats.facts));
    status = activity_read(tool->operands[0], stats.facts.in_use, &stats.activity);
    if (status == LSM_OK) {
        numbers = collect(&stats);
        if (tool->json)
            print_json(&stats, &numbers);
        else if (settings->prometheus)
            print_prometheus(&stats, &numbers);
        else
            print_text(&stats, &numbers);
        status = facts_verdict(&stats.facts);
    }
    facts_release(&stats.facts);
    return status;
}

const struct command stats_commands[] = {
    {.name = "stats",
     .group = "Look",
     .operands = "DB",
     .operands_min = 1,
     .operands_max = 1,
     .summary = "What is known of the running engine: sizes, jobs, stalls",
     .details =
         "Counters are in the memory of the process that has the database open, which reads\n"
         "them with lsm_stats(); from outside they cannot be read, and are left out. Sizes are\n"
         "told by the files; flushes, merges, stalls and errors since the open by the event log\n"
         "(`lsmctl help events`), as far as it reaches back.\n\n"
         "Examples:\n"
         "  lsmctl stats people\n"
         "  lsmctl stats people --prometheus\n",
     .flags = stats_flags,
     .settings_size = sizeof(struct stats_settings),
     .run = run_stats},
    {0},
};

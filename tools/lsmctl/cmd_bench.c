// cmd_bench.c -- bench: named workloads, one after the other, and a row for each.

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/words.h"
#include "bench_run.h"
#include "lsmctl.h"

#define DEFAULT_WORKLOADS "fillseq,readrandom,readseq"

struct bench_settings {
    uint64_t num;
    uint64_t operations;
    uint64_t key_size;
    uint64_t value_size;
    uint64_t threads;
    uint64_t batch;
    uint64_t read_percent;
    uint64_t seek_nexts;
    uint64_t seed;
    double duration;
    double compression_ratio;
    const char *sync;
    const char *workloads;
    bool create;
};

#define FIELD(name) offsetof(struct bench_settings, name)

static const struct flag bench_flags[] = {
    {"workloads", 'w', "NAMES", "Comma-separated, as the second operand", FLAG_TEXT,
     FIELD(workloads)},
    {"create", 0, NULL, "Make the database, and the keyspace, when it is not there", FLAG_BOOL,
     FIELD(create)},
    {"num", 'n', "COUNT", "Keys, and operations of all threads together (1000000)", FLAG_COUNT,
     FIELD(num)},
    {"operations", 0, "COUNT", "Operations, when not as many as keys", FLAG_COUNT,
     FIELD(operations)},
    {"key-size", 0, "BYTES", "Size of keys (16)", FLAG_SIZE, FIELD(key_size)},
    {"value-size", 0, "BYTES", "Size of values (100)", FLAG_SIZE, FIELD(value_size)},
    {"threads", 't', "COUNT", "Threads (1)", FLAG_COUNT, FIELD(threads)},
    {"sync", 0, "MODE", "written (default: handed to the system) or full (on the device)",
     FLAG_TEXT, FIELD(sync)},
    {"batch", 'b', "COUNT", "Entries per write (1)", FLAG_COUNT, FIELD(batch)},
    {"duration", 'd', "SECONDS", "Run each workload so long, not by count", FLAG_REAL,
     FIELD(duration)},
    {"compression-ratio", 0, "RATIO", "What values compress to (0.5)", FLAG_REAL,
     FIELD(compression_ratio)},
    {"read-percent", 0, "PERCENT", "Reads of `mixed` (50)", FLAG_COUNT, FIELD(read_percent)},
    {"seek-nexts", 0, "COUNT", "Moves behind each seek of `seekrandom` (10)", FLAG_COUNT,
     FIELD(seek_nexts)},
    {"seed", 0, "NUMBER", "Of the random numbers (301)", FLAG_COUNT, FIELD(seed)},
    {0},
};

#undef FIELD

// --- what was asked for ---

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value != 0 ? value : otherwise;
}

static lsm_status check_config(struct tool *tool, const struct bench_config *config)
{
    uint64_t keys = 1;

    if (config->key_size < BENCH_KEY_SIZE_MIN || config->key_size > BENCH_KEY_SIZE_MAX)
        return usage_error(tool, "--key-size is %d to %d", BENCH_KEY_SIZE_MIN, BENCH_KEY_SIZE_MAX);
    for (uint64_t i = 0; i < config->key_size && keys < config->num; i++)
        keys = keys > UINT64_MAX / 10 ? UINT64_MAX : keys * 10;
    if (keys < config->num)
        return usage_error(tool, "--key-size %" PRIu64 " is too small for %" PRIu64 " keys",
                           config->key_size, config->num);
    if (config->value_size > LSM_VALUE_SIZE_MAX)
        return usage_error(tool, "--value-size is at most %u", LSM_VALUE_SIZE_MAX);
    if (config->threads > 1024)
        return usage_error(tool, "--threads is at most 1024");
    if (config->read_percent > 100)
        return usage_error(tool, "--read-percent is at most 100");
    return LSM_OK;
}

static lsm_status make_config(struct tool *tool, struct bench_config *out)
{
    const struct bench_settings *s = tool->settings;

    *out = (struct bench_config){
        .num = or_default(s->num, 1000000),
        .operations = s->operations,
        .key_size = or_default(s->key_size, 16),
        .value_size = or_default(s->value_size, 100),
        .threads = or_default(s->threads, 1),
        .batch = or_default(s->batch, 1),
        .duration = s->duration,
        .compression_ratio = s->compression_ratio > 0 ? s->compression_ratio : 0.5,
        .read_percent = or_default(s->read_percent, 50),
        .seek_nexts = or_default(s->seek_nexts, 10),
        .seed = or_default(s->seed, 301),
        .sync = LSM_SYNC_WRITTEN,
    };
    if (s->sync != NULL && strcmp(s->sync, "full") == 0)
        out->sync = LSM_SYNC_FULL;
    else if (s->sync != NULL && strcmp(s->sync, "written") != 0)
        return usage_error(tool, "no sync mode '%s': full or written", s->sync);
    return check_config(tool, out);
}

static lsm_status check_workloads(struct tool *tool, const char *names)
{
    for (const char *at = names;; at++) {
        size_t size = strcspn(at, ",");
        char name[32];

        snprintf(name, sizeof name, "%.*s", (int)size, at);
        if (!bench_is_workload(name))
            return usage_error(tool, "no workload '%s'; `lsmctl help bench` lists them", name);
        at += size;
        if (*at == '\0')
            return LSM_OK;
    }
}

// --- showing it ---

static void show_live(void *ctx, const char *name, uint64_t operations, uint64_t elapsed_ns)
{
    const struct tool *tool = ctx;

    if (tool->quiet || !isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r\033[K%s: %s operations, %s/s", name, human_count(operations).text,
            human_count((uint64_t)((double)operations * 1e9 / (double)elapsed_ns)).text);
    fflush(stderr);
}

static void clear_live(const struct tool *tool)
{
    if (!tool->quiet && isatty(STDERR_FILENO))
        fputs("\r\033[K", stderr);
}

static double per_second(uint64_t amount, uint64_t elapsed_ns)
{
    return elapsed_ns == 0 ? 0 : (double)amount * 1e9 / (double)elapsed_ns;
}

static void print_heads(const struct tool *tool, const struct bench_config *config)
{
    say(tool,
        "%s keys of %" PRIu64 " bytes, values of %" PRIu64 " bytes, %" PRIu64
        " thread%s, sync %s, batch %" PRIu64 "\n",
        human_count(config->num).text, config->key_size, config->value_size, config->threads,
        plural(config->threads), config->sync == LSM_SYNC_FULL ? "full" : "written", config->batch);
    printf("%-12s %12s %10s %9s %9s %9s %9s %9s %9s  %s\n", "workload", "operations", "ops/s",
           "MB/s", "us/op", "p50 us", "p99 us", "p99.9 us", "max us", "entries");
}

static double us_at(const struct bench_result *result, double fraction)
{
    return (double)histogram_percentile(&result->latency, fraction) / 1e3;
}

static void print_result(const struct bench_result *result)
{
    if (result->is_upkeep) {
        printf("%-12s %s\n", result->name, human_ns(result->elapsed_ns).text);
        return;
    }
    printf("%-12s %12" PRIu64 " %10.0f %9.1f %9.2f %9.2f %9.2f %9.2f %9.1f  %" PRIu64 "\n",
           result->name, result->operations, per_second(result->operations, result->elapsed_ns),
           per_second(result->bytes, result->elapsed_ns) / 1e6,
           histogram_mean(&result->latency) / 1e3, us_at(result, 0.5), us_at(result, 0.99),
           us_at(result, 0.999), us_at(result, 1), result->entries);
}

static void print_result_json(const struct bench_result *result, const struct bench_config *config)
{
    cJSON *object = json_object();

    json_add_text(object, "workload", result->name);
    json_add_u64(object, "keys_count", config->num);
    json_add_u64(object, "key_bytes", config->key_size);
    json_add_u64(object, "value_bytes", config->value_size);
    json_add_u64(object, "threads_count", config->threads);
    json_add_u64(object, "batch_count", config->batch);
    json_add_text(object, "sync", config->sync == LSM_SYNC_FULL ? "full" : "written");
    json_add_u64(object, "operations_count", result->operations);
    json_add_u64(object, "entries_count", result->entries);
    json_add_u64(object, "data_bytes", result->bytes);
    json_add_u64(object, "elapsed_ns", result->elapsed_ns);
    json_add_double(object, "operations_per_second",
                    per_second(result->operations, result->elapsed_ns));
    json_add_double(object, "bytes_per_second", per_second(result->bytes, result->elapsed_ns));
    json_add_double(object, "latency_mean_ns", histogram_mean(&result->latency));
    json_add_u64(object, "latency_p50_ns", histogram_percentile(&result->latency, 0.5));
    json_add_u64(object, "latency_p99_ns", histogram_percentile(&result->latency, 0.99));
    json_add_u64(object, "latency_p999_ns", histogram_percentile(&result->latency, 0.999));
    json_add_u64(object, "latency_max_ns", histogram_percentile(&result->latency, 1));
    json_print(object);
}

// --- running ---

static lsm_status run_workloads(struct tool *tool, struct session *session,
                                const struct bench_config *config, const char *names)
{
    CLEANUP(bench_freep) struct bench *bench = NULL;
    struct bench_result result;

    TRY(bench_new(session, config, &bench));
    if (!tool->json)
        print_heads(tool, config);
    for (const char *at = names;; at++) {
        size_t size = strcspn(at, ",");
        char name[32];

        snprintf(name, sizeof name, "%.*s", (int)size, at);
        TRY(bench_run(bench, name, show_live, tool, &result));
        clear_live(tool);
        if (tool->json)
            print_result_json(&result, config);
        else
            print_result(&result);
        fflush(stdout);
        at += size;
        if (*at == '\0')
            return LSM_OK;
    }
}

static lsm_status run_bench(struct tool *tool)
{
    const struct bench_settings *settings = tool->settings;
    const char *names = tool->operand_count == 2      ? tool->operands[1]
                        : settings->workloads != NULL ? settings->workloads
                                                      : DEFAULT_WORKLOADS;
    CLEANUP(session_closep) struct session session = {0};
    struct bench_config config;

    TRY(make_config(tool, &config));
    TRY(check_workloads(tool, names));
    TRY(session_open(tool, settings->create ? SESSION_CREATE : SESSION_ASKED, &session));
    TRY(run_workloads(tool, &session, &config, names));
    return session_close(&session);
}

const struct command bench_commands[] = {
    {.name = "bench",
     .group = "Measure",
     .operands = "DB [WORKLOAD,...]",
     .operands_min = 1,
     .operands_max = 2,
     .summary = "Run named workloads and measure them",
     .details =
         "Workloads, run one after the other on the same database, which is kept:\n"
         "  fillseq      put keys in order\n"
         "  fillrandom   put keys in random order, some again (overwrite: the same, later)\n"
         "  readrandom   get random keys       readmissing  get keys that are not there\n"
         "  readseq      scan forwards         readreverse  scan backwards\n"
         "  seekrandom   seek and move on      mixed        reads and writes\n"
         "  flush, compact, wait               upkeep in between, timed as one\n"
         "MB/s counts keys and values of the entries written or found. Latency is of one\n"
         "operation: one put or batch, one get, one move (of 16 one is timed), one seek with\n"
         "its moves.\n\n"
         "Examples:\n"
         "  lsmctl bench DB fillseq,readrandom,readseq --num 1000000 --create\n"
         "  lsmctl bench DB fillrandom --sync full --threads 16 --duration 10\n"
         "  lsmctl bench DB readrandom -o cache_size=1GiB --json\n",
     .flags = bench_flags,
     .settings_size = sizeof(struct bench_settings),
     .run = run_bench},
    {0},
};

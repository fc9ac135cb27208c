// Statistics as text, JSON and Prometheus exposition (lsm_stats(), lsm_stat()).
//
// One table of metrics feeds all three; names are stable and carry their unit.

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/alloc.h"
#include "db/db.h"

enum metric_kind { METRIC_COUNTER, METRIC_GAUGE };

struct metric {
    const char *name;
    enum metric_kind kind;
    uint64_t value;
};

#define METRICS_MAX 96

struct metrics {
    struct metric items[METRICS_MAX];
    size_t count;
};

static void add(struct metrics *m, enum metric_kind kind, const char *name, uint64_t value)
{
    assert(m->count < METRICS_MAX);
    m->items[m->count++] = (struct metric){.name = name, .kind = kind, .value = value};
}

static uint64_t load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void collect_counters(struct lsm_db *db, struct metrics *m)
{
    static const char *const names[COUNTER_COUNT] = {
        [COUNTER_GETS] = "gets",
        [COUNTER_GETS_FOUND] = "gets_found",
        [COUNTER_GETS_MEMTABLE] = "gets_from_memtable",
        [COUNTER_VALUE_READS] = "value_reads",
        [COUNTER_VALUE_READ_BYTES] = "value_read_bytes",
        [COUNTER_ITERATORS] = "iterators_opened",
        [COUNTER_ITERATOR_MOVES] = "iterator_moves",
        [COUNTER_VERSIONS_SKIPPED] = "iterator_versions_skipped",
        [COUNTER_COMMITS] = "commits",
        [COUNTER_COMMIT_ENTRIES] = "commit_entries",
        [COUNTER_COMMIT_BYTES] = "commit_bytes",
        [COUNTER_COMMIT_GROUPS] = "commit_groups",
        [COUNTER_CONFLICTS] = "conflicts",
        [COUNTER_SYNCS] = "commit_syncs",
        [COUNTER_LOG_BYTES] = "log_bytes_written",
        [COUNTER_MEMTABLE_SWITCHES] = "memtable_switches",
        [COUNTER_FLUSHES_FOR_READERS] = "memtable_switches_for_readers",
    };

    for (unsigned i = 0; i < COUNTER_COUNT; i++)
        add(m, METRIC_COUNTER, names[i], stats_read(db->stats, i));
}

static void collect_background(struct lsm_db *db, struct metrics *m)
{
    struct compaction_stats *c = &db->compaction_stats;

    add(m, METRIC_COUNTER, "flushes", load(&c->flush_count));
    add(m, METRIC_COUNTER, "flush_bytes", load(&c->flush_bytes));
    add(m, METRIC_COUNTER, "flush_ns", load(&c->flush_ns));
    add(m, METRIC_COUNTER, "merges", load(&c->merge_count));
    add(m, METRIC_COUNTER, "merge_read_bytes", load(&c->merge_read_bytes));
    add(m, METRIC_COUNTER, "merge_write_bytes", load(&c->merge_write_bytes));
    add(m, METRIC_COUNTER, "merge_ns", load(&c->merge_ns));
    add(m, METRIC_COUNTER, "moves", load(&c->move_count));
    add(m, METRIC_COUNTER, "merge_entries_in", load(&c->entries_in));
    add(m, METRIC_COUNTER, "merge_entries_out", load(&c->entries_out));
    add(m, METRIC_COUNTER, "merge_entries_dropped", load(&c->entries_dropped));
    add(m, METRIC_COUNTER, "background_errors", load(&c->errors));
}

static void collect_stalls(struct lsm_db *db, struct metrics *m)
{
    static const char *const delay_names[STALL_CAUSE_COUNT] = {
        [STALL_MEMTABLE] = "stall_memtable_ns",
        [STALL_LEVEL0] = "stall_level0_ns",
        [STALL_DEBT] = "stall_debt_ns",
        [STALL_LOG] = "stall_log_ns",
    };
    static const char *const count_names[STALL_CAUSE_COUNT] = {
        [STALL_MEMTABLE] = "stalls_memtable",
        [STALL_LEVEL0] = "stalls_level0",
        [STALL_DEBT] = "stalls_debt",
        [STALL_LOG] = "stalls_log",
    };
    struct throttle_stats *stats = throttle_stats(db->throttle);

    for (unsigned i = STALL_NONE + 1; i < STALL_CAUSE_COUNT; i++) {
        add(m, METRIC_COUNTER, count_names[i], load(&stats->delay_count[i]));
        add(m, METRIC_COUNTER, delay_names[i], load(&stats->delay_ns[i]));
    }
}

static void collect_cache(struct lsm_db *db, struct metrics *m)
{
    struct cache_stats stats;

    cache_read_stats(db->cache, &stats);
    add(m, METRIC_COUNTER, "cache_hits", stats.hits);
    add(m, METRIC_COUNTER, "cache_misses", stats.misses);
    add(m, METRIC_COUNTER, "cache_insertions", stats.insertions);
    add(m, METRIC_COUNTER, "cache_evictions", stats.evictions);
    add(m, METRIC_GAUGE, "cache_used_bytes", cache_used(db->cache));
    add(m, METRIC_GAUGE, "cache_resident_bytes", cache_charged(db->cache));
    add(m, METRIC_GAUGE, "cache_budget_bytes", cache_budget(db->cache));
}

static void collect_gauges(struct lsm_db *db, struct metrics *m)
{
    struct view *view = views_acquire(&db->views);
    uint64_t memtable_bytes = 0;

    for (size_t i = 0; i < view->memtable_count; i++)
        memtable_bytes += memtable_used(view->memtables[i]->mem);
    add(m, METRIC_GAUGE, "memtables", view->memtable_count);
    add(m, METRIC_GAUGE, "memtable_bytes", memtable_bytes);
    add(m, METRIC_GAUGE, "tables", version_table_count(view->version));
    add(m, METRIC_GAUGE, "table_bytes", version_table_bytes(view->version));
    add(m, METRIC_GAUGE, "referenced_value_bytes", version_referenced_bytes(view->version));
    add(m, METRIC_GAUGE, "value_segments", view->version->segment_count);
    if (db->log != NULL)
        add(m, METRIC_GAUGE, "unflushed_log_bytes",
            log_bytes_since(db->log, view->memtables[view->memtable_count - 1]->start));
    if (!db->is_read_only)
        add(m, METRIC_GAUGE, "compaction_debt_bytes",
            compaction_debt(view->version, &db->engine_options));
    view_unref(view);
    add(m, METRIC_GAUGE, "open_files", fd_cache_open_count(db->fds));
    add(m, METRIC_COUNTER, "events_lost", eventlog_lost_count(db->events));
    add(m, METRIC_GAUGE, "open_children", children_count(&db->children));
    add(m, METRIC_GAUGE, "last_commit_ts", oracle_published(db->oracle));
    add(m, METRIC_GAUGE, "uptime_ns", clock_mono_ns(db->env) - db->opened_ns);
}

static void collect(struct lsm_db *db, struct metrics *m)
{
    m->count = 0;
    collect_counters(db, m);
    if (!db->is_read_only) {
        collect_background(db, m);
        collect_stalls(db, m);
    }
    collect_cache(db, m);
    collect_gauges(db, m);
}

// --- formats ---

static lsm_status print(lsm_buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static lsm_status print(lsm_buf *out, const char *format, ...)
{
    char text[256];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return buf_append(out, text, (size_t)size < sizeof text ? (size_t)size : sizeof text - 1);
}

struct summary {
    const char *name;
    uint64_t count;
    uint64_t p50;
    uint64_t p99;
    uint64_t p999;
    uint64_t max;
    uint64_t sum;
};

static struct summary summarize(const struct lsm_db *db, enum latency latency)
{
    static const char *const names[LATENCY_COUNT] = {
        [LATENCY_GET] = "get_sampled",
        [LATENCY_COMMIT] = "commit",
        [LATENCY_SYNC] = "commit_sync",
    };
    const struct histogram *h = &db->stats->latencies[latency];

    return (struct summary){.name = names[latency],
                            .count = load(&h->count),
                            .p50 = histogram_percentile(h, 0.5),
                            .p99 = histogram_percentile(h, 0.99),
                            .p999 = histogram_percentile(h, 0.999),
                            .max = load(&h->max),
                            .sum = load(&h->sum)};
}

static lsm_status format_text(const struct lsm_db *db, const struct metrics *m, lsm_buf *out)
{
    for (size_t i = 0; i < m->count; i++)
        TRY(print(out, "%-28s %llu\n", m->items[i].name, (unsigned long long)m->items[i].value));
    for (unsigned i = 0; i < LATENCY_COUNT; i++) {
        const struct summary s = summarize(db, i);

        TRY(print(out, "%-28s count %llu, p50 %.1f us, p99 %.1f us, p99.9 %.1f us, max %.1f us\n",
                  s.name, (unsigned long long)s.count, (double)s.p50 / 1e3, (double)s.p99 / 1e3,
                  (double)s.p999 / 1e3, (double)s.max / 1e3));
    }
    return LSM_OK;
}

static lsm_status format_json(const struct lsm_db *db, const struct metrics *m, lsm_buf *out)
{
    TRY(print(out, "{"));
    for (size_t i = 0; i < m->count; i++)
        TRY(print(out, "\"%s\":%llu,", m->items[i].name, (unsigned long long)m->items[i].value));
    for (unsigned i = 0; i < LATENCY_COUNT; i++) {
        const struct summary s = summarize(db, i);

        TRY(print(out,
                  "%s\"%s_latency\":{\"count\":%llu,\"p50_ns\":%llu,\"p99_ns\":%llu,"
                  "\"p999_ns\":%llu,\"max_ns\":%llu}",
                  i == 0 ? "" : ",", s.name, (unsigned long long)s.count, (unsigned long long)s.p50,
                  (unsigned long long)s.p99, (unsigned long long)s.p999,
                  (unsigned long long)s.max));
    }
    return print(out, "}");
}

static lsm_status format_prometheus(const struct lsm_db *db, const struct metrics *m, lsm_buf *out)
{
    for (size_t i = 0; i < m->count; i++) {
        const struct metric *metric = &m->items[i];
        const char *suffix = metric->kind == METRIC_COUNTER ? "_total" : "";

        TRY(print(out, "# TYPE lsmkv_%s%s %s\nlsmkv_%s%s %llu\n", metric->name, suffix,
                  metric->kind == METRIC_COUNTER ? "counter" : "gauge", metric->name, suffix,
                  (unsigned long long)metric->value));
    }
    for (unsigned i = 0; i < LATENCY_COUNT; i++) {
        const struct summary s = summarize(db, i);

        TRY(print(out, "# TYPE lsmkv_%s_seconds summary\n", s.name));
        TRY(print(out, "lsmkv_%s_seconds{quantile=\"0.5\"} %.9f\n", s.name, (double)s.p50 / 1e9));
        TRY(print(out, "lsmkv_%s_seconds{quantile=\"0.99\"} %.9f\n", s.name, (double)s.p99 / 1e9));
        TRY(print(out, "lsmkv_%s_seconds{quantile=\"0.999\"} %.9f\n", s.name,
                  (double)s.p999 / 1e9));
        TRY(print(out, "lsmkv_%s_seconds_sum %.9f\nlsmkv_%s_seconds_count %llu\n", s.name,
                  (double)s.sum / 1e9, s.name, (unsigned long long)s.count));
    }
    return LSM_OK;
}

static lsm_status format(struct lsm_db *db, lsm_stats_format kind, const struct metrics *m,
                         lsm_buf *out)
{
    switch (kind) {
    case LSM_STATS_TEXT:
        return format_text(db, m, out);
    case LSM_STATS_JSON:
        return format_json(db, m, out);
    case LSM_STATS_PROMETHEUS:
        return format_prometheus(db, m, out);
    }
    return lsm_fail(LSM_INVALID, "lsm_stats: there is no format %d", (int)kind);
}

lsm_status lsm_stats(lsm_db *db, lsm_stats_format kind, lsm_buf *out)
{
    struct metrics metrics;
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;

    TRY(db_check(db, "lsm_stats"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_stats: out is NULL");
    collect(db, &metrics);
    TRY(format(db, kind, &metrics, &text));
    TRY(buf_reserve(out, text.size + 1));
    memcpy(out->data, text.data, text.size);
    ((char *)out->data)[text.size] = '\0';
    out->size = text.size;
    return LSM_OK;
}

lsm_status lsm_stat(lsm_db *db, const char *name, uint64_t *value)
{
    struct metrics metrics;

    TRY(db_check(db, "lsm_stat"));
    if (name == NULL || value == NULL)
        return lsm_fail(LSM_INVALID, "lsm_stat: %s is NULL", name == NULL ? "name" : "value");
    collect(db, &metrics);
    for (size_t i = 0; i < metrics.count; i++) {
        if (strcmp(metrics.items[i].name, name) == 0) {
            *value = metrics.items[i].value;
            return LSM_OK;
        }
    }
    return lsm_fail(LSM_NOT_FOUND, "there is no statistic '%s'", name);
}

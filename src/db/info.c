// What a database looks like inside: levels, segments, tables, sizes, health, options.

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"
#include "db/db.h"
#include "db/options_file.h"
#include "db/upkeep.h"

lsm_status lsm_levels(lsm_db *db, lsm_level_info out[LSM_LEVELS])
{
    struct level_targets targets;
    struct view *view;

    static_assert(LSM_LEVELS == LEVEL_COUNT, "the header's number of levels is the engine's");
    TRY(db_check(db, "lsm_levels"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_levels: out is NULL");
    view = views_acquire(&db->views);
    level_targets_compute(view->version, &db->engine_options, &targets);
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        const struct level *level = &view->version->levels[i];

        out[i] = (lsm_level_info){.level = i,
                                  .tables = level->count,
                                  .bytes = level->bytes,
                                  .target_bytes = targets.bytes[i],
                                  .score = targets.score[i],
                                  .entries = level->entries,
                                  .tombstones = level->tombstones,
                                  .referenced_bytes = level->referenced_bytes};
    }
    view_unref(view);
    return LSM_OK;
}

// Bytes of a segment: exact once it has left the log, else of the file as it is.
static uint64_t segment_bytes(struct lsm_db *db, const struct segment_use *use)
{
    uint64_t size = use->final_size;

    if (size == 0 &&
        file_stat(db->dir, filename_of(FILENAME_SEGMENT, use->id).text, &size) != LSM_OK)
        size = 0; // removed meanwhile
    return size;
}

// The log's own segments: those of the version, and those linked since its edit.
static lsm_status list_segments(struct lsm_db *db, const struct version *version,
                                struct log_link *links, size_t link_count, lsm_segment_info **out,
                                size_t *count)
{
    lsm_segment_info *infos =
        mem_alloc_zeroed(version->segment_count + link_count + 1, sizeof *infos);
    size_t n = 0;

    if (infos == NULL)
        return lsm_fail(LSM_NO_MEMORY, "a list of %zu segments", version->segment_count);
    for (size_t i = 0; i < version->segment_count; i++) {
        const struct segment_use *use = &version->segments[i];

        infos[n++] = (lsm_segment_info){.id = use->id,
                                        .bytes = segment_bytes(db, use),
                                        .referenced_bytes = use->referenced_bytes,
                                        .referenced_count = use->referenced_count,
                                        .is_log = use->final_size == 0};
    }
    for (size_t i = 0; i < link_count; i++) {
        const struct segment_use use = {.id = links[i].id, .final_size = links[i].final_size};

        if (version_find_segment(version, use.id) == NULL)
            infos[n++] =
                (lsm_segment_info){.id = use.id, .bytes = segment_bytes(db, &use), .is_log = true};
    }
    *out = infos;
    *count = n;
    return LSM_OK;
}

lsm_status lsm_segments(lsm_db *db, lsm_segment_info **out, size_t *count)
{
    CLEANUP(mem_freep) struct log_link *links = NULL;
    CLEANUP(mem_freep) struct segment **segments = NULL;
    size_t link_count = 0;
    struct view *view;
    lsm_status status;

    TRY(db_check(db, "lsm_segments"));
    if (out == NULL || count == NULL)
        return lsm_fail(LSM_INVALID, "lsm_segments: %s is NULL", out == NULL ? "out" : "count");
    if (db->log != NULL)
        TRY(log_chain_all(db->log, &links, &segments, &link_count));
    view = views_acquire(&db->views);
    status = list_segments(db, view->version, links, link_count, out, count);
    view_unref(view);
    return status;
}

// Where the bytes of the keys behind the array go.
static lsm_slice copy_key(lsm_slice key, char **at)
{
    lsm_slice copy = slice_make(*at, key.size);

    memcpy(*at, key.data, key.size);
    *at += key.size;
    return copy;
}

static lsm_status list_tables(const struct version *version, lsm_table_info **out, size_t *count)
{
    const size_t table_count = (size_t)version_table_count(version);
    size_t key_bytes = 0;
    lsm_table_info *infos;
    char *keys;
    size_t n = 0;

    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct table_meta *meta = table_meta(version->levels[l].tables[i]);

            key_bytes += meta->smallest.key.size + meta->largest.key.size;
        }
    }
    infos = mem_alloc(table_count * sizeof *infos + key_bytes);
    if (infos == NULL)
        return lsm_fail(LSM_NO_MEMORY, "a list of %zu tables", table_count);
    keys = (char *)(infos + table_count);
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct table_meta *meta = table_meta(version->levels[l].tables[i]);

            infos[n++] = (lsm_table_info){.id = meta->id,
                                          .level = l,
                                          .bytes = meta->size,
                                          .entries = meta->entry_count,
                                          .tombstones = meta->tombstone_count,
                                          .ts_min = meta->ts_min,
                                          .ts_max = meta->ts_max,
                                          .smallest_keyspace = meta->smallest.keyspace,
                                          .largest_keyspace = meta->largest.keyspace,
                                          .smallest = copy_key(meta->smallest.key, &keys),
                                          .largest = copy_key(meta->largest.key, &keys)};
        }
    }
    *out = infos;
    *count = n;
    return LSM_OK;
}

lsm_status lsm_tables(lsm_db *db, lsm_table_info **out, size_t *count)
{
    struct view *view;
    lsm_status status;

    TRY(db_check(db, "lsm_tables"));
    if (out == NULL || count == NULL)
        return lsm_fail(LSM_INVALID, "lsm_tables: %s is NULL", out == NULL ? "out" : "count");
    view = views_acquire(&db->views);
    status = list_tables(view->version, out, count);
    view_unref(view);
    return status;
}

// --- health ---

static void note_reason(lsm_health_info *info, lsm_health_state state)
{
    info->state = state;
    (void)snprintf(info->reason, sizeof info->reason, "%s", lsm_errmsg());
}

// "1 day 4 h", "59 min 10 s": the two largest units that are not zero.
static void format_duration(uint64_t ns, char *text, size_t size)
{
    static const struct {
        const char *name;
        const char *plural;
        uint64_t seconds;
    } units[] = {{"year", "years", 365 * 86400},
                 {"day", "days", 86400},
                 {"h", "h", 3600},
                 {"min", "min", 60},
                 {"s", "s", 1}};
    uint64_t seconds = ns / 1000000000u;
    size_t used = 0;
    int shown = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0] && shown < 2; i++) {
        const uint64_t count = seconds / units[i].seconds;

        seconds %= units[i].seconds;
        if (count == 0)
            continue;
        used += (size_t)snprintf(text + used, size - used, "%s%llu %s", shown == 0 ? "" : " ",
                                 (unsigned long long)count,
                                 count == 1 ? units[i].name : units[i].plural);
        shown++;
    }
}

static void note_clock(lsm_db *db, lsm_health_info *info)
{
    const struct clock_state clock = oracle_clock(db->oracle);
    const int64_t ahead_ns = clock_state_ahead_ns(&clock);
    char difference[32];
    char doubted[32];

    info->clock_ahead_ns = ahead_ns;
    format_duration((uint64_t)(ahead_ns < 0 ? -ahead_ns : ahead_ns), difference, sizeof difference);
    format_duration(clock.doubted_ns, doubted, sizeof doubted);
    if (ahead_ns >= NOTABLE_CLOCK_NS)
        (void)snprintf(info->clock_note, sizeof info->clock_note,
                       "the system's clock is %s ahead of the time known to have passed; what "
                       "expired in between is hidden, and kept until the clock has gone on for "
                       "another %s without being set",
                       difference, doubted);
    else if (ahead_ns <= -NOTABLE_CLOCK_NS)
        (void)snprintf(info->clock_note, sizeof info->clock_note,
                       "the system's clock is %s behind the latest time known; what expired since "
                       "is seen again where it is still there, and kept",
                       difference);
}

lsm_status lsm_health(lsm_db *db, lsm_health_info *out)
{
    struct snapshot_info oldest;

    TRY(db_check(db, "lsm_health"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_health: out is NULL");
    *out = (lsm_health_info){.state = LSM_HEALTHY};
    out->open_children = children_count(&db->children);
    if (oracle_list(db->oracle, &oldest, 1) > 0) {
        out->oldest_snapshot_age_ns = oldest.age_ns;
        (void)snprintf(out->oldest_snapshot_tag, sizeof out->oldest_snapshot_tag, "%s", oldest.tag);
    }
    note_clock(db, out);
    if (poison_check(&db->poison) != LSM_OK)
        note_reason(out, LSM_SICK);
    else if (!db->is_read_only &&
             (compactor_health(db->compactor) != LSM_OK || upkeep_health(db) != LSM_OK))
        note_reason(out, LSM_DEGRADED);
    else if (failure_raise(&db->damage) != LSM_OK)
        note_reason(out, LSM_DEGRADED);
    return LSM_OK;
}

// --- options of the open database ---

// Has everything that works by options look at them again.
static void tell_change(struct lsm_db *db, const struct lsm_options *before,
                        const struct lsm_options *after)
{
    cache_set_budget(db->cache, (size_t)after->cache_size);
    throttle_update(db->throttle);
    compactor_wake(db->compactor);
    upkeep_heed_options(db, before, after);
}

// A change of one option by its name.
typedef lsm_status (*change_fn)(lsm_options *options, const char *name, const char *value);

static lsm_status reset(lsm_options *options, const char *name, const char *value)
{
    (void)value;
    return lsm_options_reset(options, name);
}

// What the database keeps of the change is on disk before it takes effect: a failure leaves the
// old value in force.
static lsm_status change_locked(struct lsm_db *db, change_fn change, const char *name,
                                const char *value)
{
    const struct lsm_options before = db->options;
    struct lsm_options after = before;
    struct lsm_options kept = db->kept;

    mutex_assert_held(&db->set_option_mu);
    TRY(change(&after, name, value));
    options_merge(&after, &kept);
    TRY(options_check(&after));
    if (!options_keep_same(&kept, &db->kept)) {
        TRY(options_check_kept(&kept));
        TRY(options_file_write(db->dir, &kept));
    }

    mutex_lock(&db->options_mu);
    db->options = after;
    db->kept = kept;
    mutex_unlock(&db->options_mu);
    db_apply_options(db, &after);
    tell_change(db, &before, &after);
    eventlog_write(db->events, "option_changed", "name=%s value=%s", name,
                   value == NULL ? "default" : value);
    return LSM_OK;
}

static lsm_status change_option(struct lsm_db *db, change_fn change, const char *name,
                                const char *value, const char *function)
{
    bool is_changeable;
    lsm_status status;

    TRY(db_check_writable(db, function));
    TRY(options_is_changeable(name, &is_changeable));
    if (!is_changeable)
        return lsm_fail(LSM_INVALID, "option %s cannot change while the database is open", name);
    mutex_lock(&db->set_option_mu);
    status = change_locked(db, change, name, value);
    mutex_unlock(&db->set_option_mu);
    return status;
}

lsm_status lsm_set_option(lsm_db *db, const char *name, const char *value)
{
    return change_option(db, lsm_options_set, name, value, "lsm_set_option");
}

lsm_status lsm_set_option_once(lsm_db *db, const char *name, const char *value)
{
    return change_option(db, lsm_options_set_once, name, value, "lsm_set_option_once");
}

lsm_status lsm_reset_option(lsm_db *db, const char *name)
{
    return change_option(db, reset, name, NULL, "lsm_reset_option");
}

lsm_status lsm_get_option(lsm_db *db, const char *name, lsm_buf *value)
{
    struct lsm_options options;

    TRY(db_check(db, "lsm_get_option"));
    mutex_lock(&db->options_mu);
    options = db->options;
    mutex_unlock(&db->options_mu);
    return lsm_options_get(&options, name, value);
}

lsm_status lsm_option_from(lsm_db *db, const char *name, lsm_option_source *out)
{
    lsm_option_source source;
    lsm_status status;

    TRY(db_check(db, "lsm_option_from"));
    if (out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_option_from: out is NULL");
    mutex_lock(&db->options_mu);
    status = options_source(&db->options, &db->kept, name, &source);
    mutex_unlock(&db->options_mu);
    if (status == LSM_OK)
        *out = source;
    return status;
}

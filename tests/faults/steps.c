#include "faults/steps.h"

#include "env/filename.h"
#include "faults/sites.h"

lsm_status steps_run(struct world *w, const struct step *steps)
{
    for (; steps->run != NULL; steps++) {
        TRY(steps->run(w, steps));
        if (world_is_wrong(w))
            break;
    }
    return LSM_OK;
}

// --- keyspaces ---

lsm_status step_create(struct world *w, const struct step *step)
{
    const lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;

    (void)step;
    w->history.generation++;
    w->history.other = IS_EITHER;
    TRY(lsm_keyspace_open(w->db, "other", true, &options, &w->other));
    w->history.other = IS_PRESENT;
    return LSM_OK;
}

lsm_status step_drop(struct world *w, const struct step *step)
{
    (void)step;
    lsm_keyspace_close(w->other);
    w->other = NULL;
    w->history.other = IS_EITHER;
    TRY(lsm_keyspace_drop(w->db, "other"));
    w->history.other = IS_ABSENT;
    return LSM_OK;
}

lsm_status step_alter(struct world *w, const struct step *step)
{
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;

    (void)step;
    options.versions_to_keep = 2;
    return lsm_keyspace_alter(w->db, "other", &options);
}

// --- upkeep ---

lsm_status step_flush(struct world *w, const struct step *step)
{
    (void)step;
    TRY(lsm_flush(w->db));
    world_all_durable(w);
    return LSM_OK;
}

lsm_status step_sync(struct world *w, const struct step *step)
{
    (void)step;
    TRY(lsm_sync(w->db));
    world_all_durable(w);
    return LSM_OK;
}

lsm_status step_compact(struct world *w, const struct step *step)
{
    (void)step;
    return lsm_compact_range(w->db, NULL, NULL, NULL);
}

lsm_status step_wait_idle(struct world *w, const struct step *step)
{
    (void)step;
    return lsm_wait_idle(w->db);
}

lsm_status step_resume(struct world *w, const struct step *step)
{
    (void)step;
    return lsm_resume(w->db);
}

lsm_status step_jobs(struct world *w, const struct step *step)
{
    for (unsigned i = 0; i < step->count && scheduler_run_one(w->db->scheduler); i++)
        ;
    return LSM_OK;
}

lsm_status step_advance(struct world *w, const struct step *step)
{
    const struct step jobs = {.count = 100};

    sim_advance(w->sim, (uint64_t)step->size * 1000000u);
    return step_jobs(w, &jobs);
}

lsm_status step_set_option(struct world *w, const struct step *step)
{
    (void)step;
    return lsm_set_option(w->db, "table_size", "32KiB");
}

// --- looking ---

static void note_file(void *ctx, const char *file, uint64_t size, lsm_status status,
                      const char *message)
{
    struct world *w = ctx;

    (void)size;
    if (w->is_file_hidden && strstr(message, " is missing") != NULL)
        return;
    if (status == LSM_CORRUPT)
        world_wrong(w, "lsm_verify() finds damage in %s: %s", file, message);
}

lsm_status step_verify(struct world *w, const struct step *step)
{
    (void)step;
    return lsm_verify(w->db, note_file, w);
}

static lsm_status look_at_stats(struct world *w)
{
    CLEANUP(lsm_buf_free) lsm_buf text = LSM_BUF_INIT;
    lsm_health_info health;
    uint64_t bytes;

    for (lsm_stats_format format = LSM_STATS_TEXT; format <= LSM_STATS_PROMETHEUS; format++)
        TRY(lsm_stats(w->db, format, &text));
    TRY(lsm_get_option(w->db, "memtable_size", &text));
    TRY(lsm_health(w->db, &health));
    return lsm_approximate_size(w->db, NULL, NULL, NULL, &bytes);
}

lsm_status step_look(struct world *w, const struct step *step)
{
    lsm_level_info levels[LSM_LEVELS];
    lsm_keyspace_info *keyspaces;
    lsm_segment_info *segments;
    lsm_table_info *tables;
    size_t count;

    (void)step;
    TRY(look_at_stats(w));
    TRY(lsm_levels(w->db, levels));
    TRY(lsm_keyspace_list(w->db, &keyspaces, &count));
    lsm_free(keyspaces);
    TRY(lsm_segments(w->db, &segments, &count));
    lsm_free(segments);
    TRY(lsm_tables(w->db, &tables, &count));
    lsm_free(tables);
    return LSM_OK;
}

// --- opening and closing ---

lsm_status step_open(struct world *w, const struct step *step)
{
    (void)step;
    return world_open(w);
}

lsm_status step_close(struct world *w, const struct step *step)
{
    (void)step;
    return world_close(w);
}

// A power cut while the database is made.
lsm_status step_unborn(struct world *w, const struct step *step)
{
    sim_crash_at(w->sim, step->count);
    if (world_open(w) == LSM_OK)
        (void)world_close(w);
    if (!sim_has_crashed(w->sim))
        world_wrong(w, "making a database needs less than %u calls", step->count);
    sim_restart(w->sim, SIM_ALL, 1);
    return LSM_OK;
}

// --- files beside the database, and lsmctl's look at it ---

static lsm_status save_and_load(struct world *w, lsm_options *options, const char *path)
{
    CLEANUP(lsm_buf_free) lsm_buf value = LSM_BUF_INIT;

    TRY(lsm_options_set(options, "table_size", "3MiB"));
    TRY(lsm_options_save(options, path));
    TRY(lsm_options_set(options, "table_size", "5MiB"));
    TRY(lsm_options_load(options, path));
    TRY(lsm_options_get(options, "table_size", &value));
    if (!slice_equal(slice_of_buf(&value), lsm_str("3MiB")))
        world_wrong(w, "options are not loaded as they were saved");
    return LSM_OK;
}

lsm_status step_options_file(struct world *w, const struct step *step)
{
    struct env *machine = site_machine;
    lsm_options *options = NULL;
    lsm_status status;

    (void)step;
    site_machine = sim_env(w->sim);
    status = lsm_options_new(&options);
    if (status == LSM_OK)
        status = save_and_load(w, options, WORLD_DIR "/saved");
    if (status == LSM_OK)
        status = save_and_load(w, options, "saved");
    lsm_options_free(options);
    site_machine = machine;
    return status;
}

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

static lsm_status inspect_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    uint64_t number;

    (void)size;
    (void)is_regular;
    if (filename_parse(name, &number) != FILENAME_TABLE)
        return LSM_OK;
    return table_inspect(ctx, name, ignore_line, NULL);
}

lsm_status step_inspect(struct world *w, const struct step *step)
{
    (void)step;
    return dir_list(w->db->dir, inspect_file, w->db->dir);
}

// --- reading only ---

// Reads a closed database through another handle, which is gone afterwards.
static lsm_status read_by(struct world *w, const struct content *expected)
{
    const lsm_status status = lsm_keyspace_open(w->db, "other", false, NULL, &w->other);

    if (status != LSM_NOT_FOUND)
        TRY(status);
    TRY(world_read(w, expected));
    return lsm_verify(w->db, note_file, w);
}

lsm_status step_read_only(struct world *w, const struct step *step)
{
    struct content expected;
    lsm_status status;

    (void)step;
    world_expect(w, &expected);
    TRY(lsm_open_read_only(WORLD_DIR, &w->options, &w->db));
    status = read_by(w, &expected);
    lsm_keyspace_close(w->other);
    w->other = NULL;
    if (lsm_close(w->db) != LSM_OK)
        world_wrong(w, "closing a read-only database: %s", lsm_errmsg());
    w->db = NULL;
    return status;
}

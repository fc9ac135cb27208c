// Opening, closing, and the checks that every public function makes.

#include "db/db.h"

#include <assert.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "db/options_file.h"
#include "db/recovery.h"
#include "db/upkeep.h"
#include "env/machine.h"

#define WORKERS_MIN 2
// The unflushed log is bounded by this, or twice the memtable size if that is more.
#define LOG_BYTES_MIN (UINT64_C(512) << 20)
// Descriptors kept for the manifest, the lock, the event log and files being written.
#define DESCRIPTORS_RESERVED 32
#define DESCRIPTORS_MIN      16
#define DESCRIPTORS_MAX      65536
// A reader beside a writer may catch the log in the middle of an append, or find that a file
// has been removed since it read the manifest. Tries on one state of the manifest, and on any.
#define READ_ONLY_TRIES     5
#define READ_ONLY_TRIES_MAX 100

const char *lsm_version(void)
{
#define TEXT_OF(number)                   #number
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)
    return VERSION_TEXT(LSM_VERSION_MAJOR, LSM_VERSION_MINOR, LSM_VERSION_PATCH);
#undef VERSION_TEXT
#undef TEXT_OF
}

// --- checks ---

// The database whose callback the thread is running, or NULL.
static _Thread_local const struct lsm_db *callback_db;

_Atomic unsigned db_callback_count;

void db_enter_callback(const struct lsm_db *db)
{
    callback_db = db;
    atomic_fetch_add_explicit(&db_callback_count, 1, memory_order_relaxed);
}

void db_leave_callback(void)
{
    callback_db = NULL;
    atomic_fetch_sub_explicit(&db_callback_count, 1, memory_order_relaxed);
}

lsm_status db_check_closely(const struct lsm_db *db, const char *function)
{
    if (UNLIKELY(db == NULL))
        return lsm_fail(LSM_INVALID, "%s: the database is NULL", function);
    if (UNLIKELY(db->fork_generation != fork_generation()))
        return lsm_fail(LSM_INVALID, "%s: the database was opened before fork()", function);
    if (UNLIKELY(callback_db == db))
        return lsm_fail(LSM_INVALID, "%s: a callback may not call its database", function);
    return LSM_OK;
}

lsm_status db_check_writable(const struct lsm_db *db, const char *function)
{
    TRY(db_check(db, function));
    if (UNLIKELY(db->is_read_only))
        return lsm_fail(LSM_READ_ONLY, "%s: the database was opened read-only", function);
    return LSM_OK;
}

lsm_status db_keyspace(struct lsm_db *db, const lsm_keyspace *handle, struct keyspace **out)
{
    if (handle == NULL) {
        *out = db->default_keyspace;
        return LSM_OK;
    }
    if (UNLIKELY(handle->db != db))
        return lsm_fail(LSM_INVALID, "keyspace '%s' is of another database",
                        handle->keyspace->name);
    *out = handle->keyspace;
    return LSM_OK;
}

lsm_status check_key(lsm_slice key)
{
    if (UNLIKELY(key.data == NULL && key.size > 0))
        return lsm_fail(LSM_INVALID, "the key has %zu bytes at NULL", key.size);
    if (UNLIKELY(key.size > LSM_KEY_SIZE_MAX))
        return lsm_fail(LSM_INVALID, "the key has %zu bytes, at most %u are allowed", key.size,
                        LSM_KEY_SIZE_MAX);
    return LSM_OK;
}

lsm_status check_value(lsm_slice value)
{
    if (UNLIKELY(value.data == NULL && value.size > 0))
        return lsm_fail(LSM_INVALID, "the value has %zu bytes at NULL", value.size);
    if (UNLIKELY(value.size > LSM_VALUE_SIZE_MAX))
        return lsm_fail(LSM_INVALID, "the value has %zu bytes, at most %u are allowed", value.size,
                        LSM_VALUE_SIZE_MAX);
    return LSM_OK;
}

lsm_status check_bound(const lsm_slice *bound, const char *name)
{
    if (bound == NULL)
        return LSM_OK;
    if (bound->data == NULL && bound->size > 0)
        return lsm_fail(LSM_INVALID, "the bound `%s` has %zu bytes at NULL", name, bound->size);
    if (bound->size > LSM_KEY_SIZE_MAX)
        return lsm_fail(LSM_INVALID, "the bound `%s` has %zu bytes, a key has at most %u", name,
                        bound->size, LSM_KEY_SIZE_MAX);
    return LSM_OK;
}

// --- what background work asks of the database ---

static void answer_oldest_snapshot(void *ctx, uint64_t *ts, uint64_t *wall)
{
    struct lsm_db *db = ctx;
    const struct oldest_snapshot oldest = oracle_oldest(db->oracle);

    *ts = oldest.ts;
    *wall = oldest.wall;
}

static lsm_status answer_begin_dropping(void *ctx, uint64_t *ts, uint64_t *wall, void **hold)
{
    struct lsm_db *db = ctx;
    struct oldest_snapshot oldest;
    struct drop_hold *held;

    TRY(oracle_begin_dropping(db->oracle, &oldest, &held));
    *ts = oldest.ts;
    *wall = oldest.wall;
    *hold = held;
    return LSM_OK;
}

static void answer_end_dropping(void *ctx, void *hold)
{
    struct lsm_db *db = ctx;

    oracle_end_dropping(db->oracle, hold);
}

// The options that hold for a keyspace once what it inherits is filled in.
static bool answer_keyspace_options(void *ctx, uint32_t id, struct keyspace_options *out,
                                    bool *is_dropped)
{
    struct lsm_db *db = ctx;
    const struct keyspace *keyspace = keyspaces_find_id(&db->keyspaces, id);

    if (keyspace == NULL)
        return false;
    *out = keyspace_get_options(keyspace);
    if (out->versions_to_keep == KEYSPACE_INHERIT)
        out->versions_to_keep =
            atomic_load_explicit(&db->engine_options.versions_to_keep, memory_order_relaxed);
    *is_dropped = (atomic_load_explicit(&keyspace->is_drop_durable, memory_order_acquire) ||
                   PLANTED(FORGET_UNDURABLE_DROP)) &&
                  keyspace_is_dropped_at(keyspace, oracle_oldest_ts(db->oracle));
    return true;
}

static void answer_clock(void *ctx, uint64_t *last_ts, uint64_t *last_wall_ns)
{
    struct lsm_db *db = ctx;

    *last_ts = oracle_published(db->oracle);
    *last_wall_ns = upkeep_watch_clock(db).line_ns;
}

// --- putting the parts together ---

void db_apply_options(struct lsm_db *db, const struct lsm_options *o)
{
    struct engine_options *e = &db->engine_options;

    atomic_store_explicit(&e->table_size, o->table_size, memory_order_relaxed);
    atomic_store_explicit(&e->block_size, o->block_size, memory_order_relaxed);
    atomic_store_explicit(&e->compressed_block_size, o->compressed_block_size,
                          memory_order_relaxed);
    atomic_store_explicit(&e->level0_trigger, o->level0_trigger, memory_order_relaxed);
    atomic_store_explicit(&e->level_multiplier, o->level_multiplier, memory_order_relaxed);
    atomic_store_explicit(&e->level_base_size, o->level_base_size, memory_order_relaxed);
    atomic_store_explicit(&e->compression, (uint32_t)o->compression, memory_order_relaxed);
    atomic_store_explicit(&e->compression_upper, (uint32_t)o->compression_upper,
                          memory_order_relaxed);
    atomic_store_explicit(&e->filter_bits, o->filter_bits, memory_order_relaxed);
    atomic_store_explicit(&e->versions_to_keep, (uint32_t)o->versions_to_keep,
                          memory_order_relaxed);
    atomic_store_explicit(&e->memtable_size, o->memtable_size, memory_order_relaxed);
    atomic_store_explicit(&e->level0_slowdown, o->level0_slowdown, memory_order_relaxed);
    atomic_store_explicit(&e->level0_stop, o->level0_stop, memory_order_relaxed);
    atomic_store_explicit(&e->debt_slowdown, o->debt_slowdown, memory_order_relaxed);
    atomic_store_explicit(&e->debt_stop, o->debt_stop, memory_order_relaxed);
    atomic_store_explicit(&e->log_bytes_min, LOG_BYTES_MIN, memory_order_relaxed);
    atomic_store_explicit(&db->value_threshold, o->value_threshold, memory_order_relaxed);
    atomic_store_explicit(&db->txn_bytes_max, o->txn_bytes_max, memory_order_relaxed);
    atomic_store_explicit(&db->sync_mode, o->sync, memory_order_relaxed);
    atomic_store_explicit(&db->sync_interval_ns, o->sync_interval_ns, memory_order_relaxed);
    atomic_store_explicit(&db->idle_flush_ns, o->idle_flush_ns, memory_order_relaxed);
    atomic_store_explicit(&db->segment_size_max, o->segment_size_max, memory_order_relaxed);
    // Release: pairs with the acquire in throttle_update(), which measures again.
    atomic_fetch_add_explicit(&e->revision, 1, memory_order_release);
}

static size_t descriptor_budget(struct lsm_db *db)
{
    const uint64_t limit = env_descriptor_limit(db->env);
    uint64_t budget = db->options.open_files_max;

    if (budget == 0)
        budget = limit / 2 > DESCRIPTORS_RESERVED ? limit / 2 - DESCRIPTORS_RESERVED : 0;
    if (budget > DESCRIPTORS_MAX)
        budget = DESCRIPTORS_MAX;
    return budget < DESCRIPTORS_MIN ? DESCRIPTORS_MIN : (size_t)budget;
}

// The parts that need no file of the database.
static lsm_status make_ground(struct lsm_db *db, const struct uuid *db_uuid)
{
    TRY(stats_new(&db->stats));
    TRY(unlinker_new(db->dir, &db->poison, &db->unlinker));
    TRY(fd_cache_new(&db->bin, descriptor_budget(db), &db->fds));
    fd_cache_serve(db->fds, db->dir);
    TRY(cache_new((size_t)db->options.cache_size, &db->bin, &db->cache));
    if (options_check_memory(&db->options))
        cache_watch(db->cache);
    db->tables = (struct table_store){.dir = db->dir,
                                      .db_uuid = *db_uuid,
                                      .fds = db->fds,
                                      .cache = db->cache,
                                      .bin = &db->bin,
                                      .unlinker = db->unlinker};
    db->segments = (struct segment_store){.dir = db->dir,
                                          .db_uuid = *db_uuid,
                                          .fds = db->fds,
                                          .bin = &db->bin,
                                          .unlinker = db->unlinker,
                                          .poison = &db->poison};
    return LSM_OK;
}

static lsm_status add_keyspaces(struct lsm_db *db, const struct manifest_state *state)
{
    for (size_t i = 0; i < state->keyspace_count; i++) {
        struct keyspace *keyspace;

        TRY(keyspaces_prepare(&db->keyspaces, &state->keyspaces[i], &keyspace));
        keyspaces_insert(&db->keyspaces, keyspace);
        if (keyspace->id == KEYSPACE_DEFAULT_ID)
            db->default_keyspace = keyspace;
    }
    if (db->default_keyspace == NULL)
        return lsm_fail(LSM_CORRUPT, "the manifest does not name the keyspace 'default'");
    return LSM_OK;
}

static lsm_status make_scheduler(struct lsm_db *db, unsigned workers)
{
    if (db->options.is_manual)
        return scheduler_new_manual(db->env, &db->scheduler);
    return scheduler_new_threaded(db->env, workers, &db->scheduler);
}

static void note_progress(void *ctx)
{
    struct lsm_db *db = ctx;

    throttle_update(db->throttle);
}

// The parts that stand on what recovery has set up: who works in the background, and who
// writes.
static lsm_status make_workers(struct lsm_db *db)
{
    unsigned workers = (unsigned)db->options.workers;

    if (workers == 0)
        workers = machine_processor_count() / 2;
    if (workers < WORKERS_MIN)
        workers = WORKERS_MIN;
    TRY(make_scheduler(db, workers));
    db->engine = (struct engine){.env = db->env,
                                 .dir = db->dir,
                                 .tables = &db->tables,
                                 .segments = &db->segments,
                                 .views = &db->views,
                                 .manifest = db->manifest,
                                 .log = db->log,
                                 .poison = &db->poison,
                                 .events = db->events,
                                 .options = &db->engine_options,
                                 .stats = &db->compaction_stats,
                                 .checks_memory = options_check_memory(&db->options),
                                 .oldest_snapshot = answer_oldest_snapshot,
                                 .begin_dropping = answer_begin_dropping,
                                 .end_dropping = answer_end_dropping,
                                 .keyspace_options = answer_keyspace_options,
                                 .clock = answer_clock,
                                 .ctx = db};
    TRY(throttle_new(&db->engine, &db->throttle));
    TRY(compactor_new(&db->engine, db->scheduler, workers - 1, &db->compactor));
    compactor_set_notify(db->compactor, note_progress, db);
    upkeep_start(db);
    writer_init(&db->writer, db);
    return LSM_OK;
}

// What needs to know where time had got to.
static lsm_status make_time(struct lsm_db *db, const struct recovery *recovery)
{
    TRY(add_keyspaces(db, &recovery->state));
    TRY(oracle_new(db->env, recovery->last_ts, &recovery->clock, &db->oracle));
    TRY(conflict_history_new((size_t)db->options.conflict_history_size, recovery->last_ts,
                             &db->conflicts));
    if (db->options.keys_in_errors)
        conflict_history_show_keys(db->conflicts);
    return LSM_OK;
}

static lsm_status recover(struct lsm_db *db, bool is_new)
{
    struct recovery recovery;
    lsm_status status = recovery_read(db, is_new, &recovery);

    if (status == LSM_OK)
        status = make_time(db, &recovery);
    if (status == LSM_OK)
        status = recovery_start(db, &recovery);
    if (status == LSM_OK && db->damage.status != LSM_OK)
        eventlog_write(db->events, "opened_damaged", "reason=\"%s\"", db->damage.message);
    if (status == LSM_OK)
        eventlog_write(db->events, "open", "version=%s new=%d last_ts=%llu memtables=%zu",
                       lsm_version(), is_new, (unsigned long long)recovery.last_ts,
                       recovery.memtable_count);
    recovery_release(&recovery);
    return status;
}

static lsm_status read_and_replay(struct lsm_db *db, struct recovery *recovery)
{
    TRY(recovery_read(db, false, recovery));
    return recovery_start_read_only(db, recovery);
}

// Reads manifest and log, again when a writer beside us was faster.
static lsm_status recover_read_only(struct lsm_db *db)
{
    struct recovery recovery;
    lsm_status status = read_and_replay(db, &recovery);
    int same = 1;

    for (int i = 1; status == LSM_CORRUPT && same < READ_ONLY_TRIES && i < READ_ONLY_TRIES_MAX;
         i++) {
        const uint64_t edit_number = recovery.edit_number;

        recovery_release(&recovery);
        status = read_and_replay(db, &recovery);
        same = recovery.edit_number == edit_number ? same + 1 : 1;
    }
    if (status == LSM_OK)
        status = make_time(db, &recovery);
    recovery_release(&recovery);
    TRY(status);
    TRY(make_scheduler(db, WORKERS_MIN));
    upkeep_start(db); // gives back what readers no longer see
    return LSM_OK;
}

// --- taking them apart ---

// Ends what runs in the background and in the queue.
static void stop_workers(struct lsm_db *db)
{
    if (db->scheduler == NULL)
        return;
    atomic_store_explicit(&db->is_closing, true, memory_order_relaxed);
    if (db->writer.db != NULL)
        writer_finish(&db->writer);
    if (db->upkeep_job.run != NULL)
        upkeep_stop(db);
    compactor_free(db->compactor);
    db->compactor = NULL;
    epoch_bin_set_notify(&db->bin, NULL, NULL);
    if (db->unlinker != NULL)
        unlinker_set_notify(db->unlinker, NULL, NULL);
}

// Releases every part there is, of a database that may be half open.
static void db_free(struct lsm_db *db)
{
    stop_workers(db);
    if (db->writer.db != NULL)
        writer_release(&db->writer);
    throttle_free(db->throttle);
    scheduler_free(db->scheduler);
    if (atomic_load_explicit(&db->views.current, memory_order_relaxed) != NULL)
        views_release(&db->views);
    log_free(db->log);
    manifest_free(db->manifest);
    mem_free(db->read_only_chain);
    conflict_history_free(db->conflicts);
    oracle_free(db->oracle);
    keyspaces_release(&db->keyspaces);
    epoch_drain(&db->bin);
    if (db->unlinker != NULL && !poison_is_set(&db->poison))
        (void)unlinker_drain(db->unlinker, SIZE_MAX); // what is left is an orphan to the next open
    cache_free(db->cache);
    epoch_drain(&db->bin);
    fd_cache_free(db->fds);
    epoch_drain(&db->bin);
    unlinker_free(db->unlinker);
    eventlog_close(db->events);
    if (db->dir != NULL)
        dir_unlock(db->env, db->lock);
    dir_close(db->dir);
    stats_free(db->stats);
    children_release(&db->children);
    mutex_release(&db->upkeep_mu);
    mutex_release(&db->ddl_mu);
    mutex_release(&db->options_mu);
    mutex_release(&db->set_option_mu);
    poison_release(&db->poison);
    epoch_bin_release(&db->bin);
    if (db->owned_env != NULL)
        env_memory_free(db->owned_env);
    mem_free(db);
}

static void db_freep(struct lsm_db **db)
{
    if (*db != NULL)
        db_free(*db);
}

// --- opening ---

static lsm_status db_new(const lsm_options *options, bool is_read_only, struct lsm_db **out)
{
    CLEANUP(db_freep) struct lsm_db *db = mem_alloc_zeroed(1, sizeof *db);

    if (db == NULL)
        return lsm_fail(LSM_NO_MEMORY, "database: %zu bytes", sizeof *db);
    if (options != NULL)
        db->options = *options;
    else
        options_init(&db->options);
    db->is_read_only = is_read_only;
    epoch_bin_init(&db->bin);
    poison_init(&db->poison);
    mutex_init(&db->set_option_mu, LOCK_DB);
    mutex_init(&db->options_mu, LOCK_LEAF);
    mutex_init(&db->ddl_mu, LOCK_DB);
    mutex_init(&db->upkeep_mu, LOCK_LEAF);
    keyspaces_init(&db->keyspaces);
    children_init(&db->children);
    fork_watch();
    db->fork_generation = fork_generation();
    options_init(&db->kept);
    if (db->options.in_memory && db->options.env == NULL) {
        TRY(env_memory_new(&db->owned_env));
        db->env = db->owned_env;
    } else {
        db->env = db->options.env == NULL ? env_posix() : db->options.env;
    }
    db->opened_ns = clock_mono_ns(db->env);
    *out = MOVE(db);
    return LSM_OK;
}

static lsm_status fail_no_database(const char *path)
{
    return lsm_fail(LSM_NOT_FOUND, "there is no database in %s", path);
}

static lsm_status check_existence(const struct lsm_db *db, bool is_new)
{
    if (is_new && (db->is_read_only || !db->options.create_if_missing))
        return fail_no_database(db->dir->path);
    if (!is_new && db->options.error_if_exists)
        return lsm_fail(LSM_INVALID,
                        "there is a database in %s already, and error_if_exists is set",
                        db->dir->path);
    return LSM_OK;
}

// What a salvage was writing when it was cut short is a part of a database only.
static lsm_status check_salvage(const struct lsm_db *db)
{
    struct file_facts mark;

    if (db->options.is_salvage)
        return LSM_OK;
    TRY(file_look(db->dir, filename_of(FILENAME_SALVAGING, 0).text, &mark));
    if (mark.is_there)
        return lsm_fail(LSM_INVALID,
                        "%s: a salvage into it has not finished; unless it is running, "
                        "remove the directory and salvage again",
                        db->dir->path);
    return LSM_OK;
}

// Makes the directory when it is not there, unless the options of the caller, which are all that
// a new database has, contradict each other.
static lsm_status open_directory(struct lsm_db *db, const char *path)
{
    TRY(dir_find(db->env, path, &db->dir));
    if (db->dir != NULL)
        return LSM_OK;
    if (db->is_read_only || !db->options.create_if_missing)
        return fail_no_database(path);
    TRY(options_check(&db->options));
    return dir_open(db->env, path, true, &db->dir);
}

// What the database keeps is in force where the caller says nothing. Who only reads can destroy
// nothing by a default, and goes on without what cannot be read.
static lsm_status settle_options(struct lsm_db *db, bool *is_kept)
{
    struct lsm_options found;
    lsm_status status = options_file_read(db->dir, &db->kept);

    if (db->is_read_only && (status == LSM_CORRUPT || status == LSM_UNSUPPORTED))
        status = LSM_OK;
    TRY(status);
    found = db->kept;
    options_merge(&db->options, &db->kept);
    TRY(options_check(&db->options));
    *is_kept = options_keep_same(&found, &db->kept);
    if (!*is_kept && !db->is_read_only)
        TRY(options_check_kept(&db->kept));
    db_apply_options(db, &db->options);
    return LSM_OK;
}

// Looks at the directory, takes it, and looks again: only what is seen under the lock counts.
static lsm_status take_directory(struct lsm_db *db, const char *path, bool *is_new,
                                 struct uuid *db_uuid)
{
    TRY(open_directory(db, path));
    TRY(check_salvage(db));
    TRY(recovery_look(db->env, db->dir, is_new, db_uuid));
    TRY(check_existence(db, *is_new));
    if (db->is_read_only)
        return LSM_OK;
    if (*is_new)
        TRY(options_check(&db->options));
    TRY(dir_lock(db->dir, filename_of(FILENAME_LOCK, 0).text, &db->lock));
    TRY(recovery_look(db->env, db->dir, is_new, db_uuid));
    return check_existence(db, *is_new);
}

static lsm_status open_db(const char *path, const lsm_options *options, bool is_read_only,
                          lsm_db **out)
{
    CLEANUP(db_freep) struct lsm_db *db = NULL;
    struct uuid db_uuid;
    bool is_new, is_kept;

    if (path == NULL || path[0] == '\0' || out == NULL)
        return lsm_fail(LSM_INVALID, "lsm_open: %s is %s", out == NULL ? "out" : "path",
                        path == NULL || out == NULL ? "NULL" : "empty");
    TRY(db_new(options, is_read_only, &db));
    TRY(take_directory(db, path, &is_new, &db_uuid));
    TRY(settle_options(db, &is_kept));
    if (!is_read_only)
        TRY(eventlog_open(db->dir, db->options.events_size_max, &db->events));
    TRY(make_ground(db, &db_uuid));
    if (is_read_only) {
        TRY(recover_read_only(db));
    } else {
        TRY(recover(db, is_new));
        if (!is_kept) // before anything is merged by it
            TRY(options_file_write(db->dir, &db->kept));
        TRY(make_workers(db));
        throttle_update(db->throttle);
        compactor_wake(db->compactor);
        upkeep_shorten_log(db);
    }
    *out = MOVE(db);
    return LSM_OK;
}

lsm_status lsm_open(const char *path, const lsm_options *options, lsm_db **out)
{
    return open_db(path, options, false, out);
}

lsm_status lsm_open_read_only(const char *path, const lsm_options *options, lsm_db **out)
{
    return open_db(path, options, true, out);
}

// --- closing ---

// Syncs the log and has the manifest say exactly where it ends.
static lsm_status mark_clean(struct lsm_db *db)
{
    struct view *view = views_acquire(&db->views);
    CLEANUP(mem_freep) struct segment **segments = NULL; // borrowed ones, an array of ours
    struct version *version = NULL;
    struct edit edit;
    lsm_status status;

    edit_init(&edit);
    edit.is_clean = true;
    edit.has_log = true;
    edit.replay = view->memtables[view->memtable_count - 1]->start;
    status = log_finish(db->log);
    if (status == LSM_OK)
        status = log_chain(db->log, edit.replay, &edit.chain, &segments, &edit.chain_count);
    if (status == LSM_OK) {
        edit.chain_segments = segments;
        edit.mark = log_end(db->log);
        edit.last_ts = oracle_published(db->oracle);
        edit.last_wall_ns = oracle_clock(db->oracle).line_ns;
        manifest_lock(db->manifest);
        status = manifest_apply(db->manifest, &edit, view->version, &version);
        manifest_unlock(db->manifest);
    }
    if (status == LSM_OK)
        version_unref(version);
    edit_release(&edit);
    view_unref(view);
    return status;
}

static lsm_status refuse_close(struct lsm_db *db)
{
    char list[384];

    children_describe(&db->children, clock_mono_ns(db->env), list, sizeof list);
    return lsm_fail(LSM_INVALID, "lsm_close: close what the database has handed out first: %s",
                    list);
}

lsm_status lsm_close(lsm_db *db)
{
    lsm_status status = LSM_OK;
    struct failure failure;

    if (db == NULL)
        return LSM_OK;
    TRY(db_check(db, "lsm_close"));
    if (children_count(&db->children) > 0)
        return refuse_close(db);
    stop_workers(db);
    if (!db->is_read_only) {
        status = poison_check(&db->poison);
        if (status == LSM_OK)
            status = mark_clean(db);
        eventlog_write(db->events, "close", "status=%s", lsm_status_name(status));
    }
    failure_capture(&failure, status);
    db_free(db);
    return failure_raise(&failure);
}

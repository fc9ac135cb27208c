#include "db/recovery.h"

#include "base/alloc.h"
#include "base/file_header.h"
#include "base/hash.h"
#include "db/upkeep.h"
#include "manifest/presence.h"
#include "vlog/log_recovery.h"

#define NS_PER_SECOND UINT64_C(1000000000)

void recovery_release(struct recovery *recovery)
{
    for (size_t i = 0; i < recovery->memtable_count; i++)
        logged_memtable_unref(recovery->memtables[i]);
    mem_free(recovery->memtables);
    log_recovery_free(recovery->log);
    if (recovery->version != NULL)
        version_unref(recovery->version);
    manifest_state_release(&recovery->state);
}

// --- looking at a directory ---

static lsm_status refuse_foreign(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    const struct dir *dir = ctx;
    uint64_t number;

    (void)size;
    (void)is_regular;
    if (filename_parse(name, &number) != FILENAME_UNKNOWN)
        return LSM_OK;
    return lsm_fail(LSM_INVALID, "%s is not a database, and not empty: it holds '%s'", dir->path,
                    name);
}

lsm_status recovery_look(struct env *env, struct dir *dir, bool *is_new, struct uuid *db_uuid)
{
    bool exists;

    TRY(manifest_exists(dir, &exists));
    if (exists) {
        *is_new = false;
        return manifest_read_uuid(dir, db_uuid);
    }
    TRY(dir_list(dir, refuse_foreign, dir));
    *is_new = true;
    return env_random(env, db_uuid->bytes, sizeof db_uuid->bytes);
}

// --- reading ---

// The state of a database that is about to be made.
static lsm_status new_state(struct lsm_db *db, struct manifest_state *state)
{
    *state = (struct manifest_state){
        .db_uuid = db->tables.db_uuid,
        .next_file_id = 1,
        .next_keyspace_id = KEYSPACE_DEFAULT_ID + 1,
        .keyspace_count = 1,
    };
    state->keyspaces = mem_alloc_zeroed(1, sizeof *state->keyspaces);
    if (state->keyspaces == NULL)
        return lsm_fail(LSM_NO_MEMORY, "keyspace: %zu bytes", sizeof *state->keyspaces);
    state->keyspaces[0] = (struct keyspace_info){
        .id = KEYSPACE_DEFAULT_ID,
        .name = "default",
        .options = {.value_threshold = KEYSPACE_INHERIT,
                    .versions_to_keep = KEYSPACE_INHERIT,
                    .compression = KEYSPACE_INHERIT},
    };
    return LSM_OK;
}

// No counter of 64 bits comes this near to its end in the life of a database; one that is said
// to be there would start again at 0, or pass for a mark that means something else.
#define COUNTER_MAX (UINT64_MAX - (UINT64_C(1) << 48))

static lsm_status check_counter(const struct lsm_db *db, const char *what, uint64_t value)
{
    if (value <= COUNTER_MAX)
        return LSM_OK;
    return lsm_fail(LSM_UNSUPPORTED,
                    "%s: its manifest or log states %s %llu, behind which few are left",
                    db->dir->path, what, (unsigned long long)value);
}

static lsm_status check_counters(const struct lsm_db *db, const struct recovery *recovery)
{
    TRY(check_counter(db, "a timestamp of", recovery->last_ts));
    TRY(check_counter(db, "the edit", recovery->state.edit_number));
    TRY(check_counter(db, "the file number", recovery->state.next_file_id));
    return check_counter(db, "the sequence number",
                         log_recovery_found(recovery->log)->last_sequence);
}

// What the system's clock said when the newest table was made; 0 when there is none.
static uint64_t newest_table_wall_ns(const struct version *version)
{
    const struct table_meta *newest = NULL;

    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct table_meta *meta = table_meta(version->levels[l].tables[i]);

            if (newest == NULL || meta->id > newest->id)
                newest = meta;
        }
    }
    return newest == NULL || newest->created_wall > UINT64_MAX / NS_PER_SECOND
               ? 0
               : newest->created_wall * NS_PER_SECOND;
}

// What the manifest says is past without doubt, unless the clock has been seen to step back
// since; and the last time that anybody looked at it.
static struct clock_history read_clock_history(const struct manifest_state *state,
                                               const struct log_found *found,
                                               const struct version *version)
{
    struct clock_history clock = {.undoubted_ns = state->last_wall_ns,
                                  .reading_ns = found->last_wall_ns};

    if (found->low_wall_ns != 0 && found->low_wall_ns < clock.undoubted_ns)
        clock.undoubted_ns = found->low_wall_ns;
    if (clock.reading_ns == 0)
        clock.reading_ns = newest_table_wall_ns(version);
    return clock;
}

// Damage that reading would meet one day is told now, before anything is written; for a rescue
// it is only kept, for lsm_health().
static lsm_status check_presence(struct lsm_db *db, const struct recovery *recovery)
{
    lsm_status status = presence_check(db->dir, &recovery->state, recovery->version);

    if (status == LSM_CORRUPT && !db->options.open_damaged)
        return lsm_fail(LSM_CORRUPT,
                        "%s. Copies from a backup help, or lsmctl salvage; option open_damaged "
                        "opens what is left",
                        lsm_errmsg());
    if (status != LSM_OK && status != LSM_CORRUPT)
        return status;
    failure_capture(&db->damage, status); // of this try, also when there is none
    return LSM_OK;
}

static lsm_status read_existing(struct lsm_db *db, struct recovery *recovery)
{
    struct manifest_state *state = &recovery->state;
    const struct log_found *found;

    TRY(manifest_read(&db->tables, &db->segments, state, &recovery->version));
    recovery->edit_number = state->edit_number;
    TRY(check_presence(db, recovery));
    const struct log_recovery_input input = {
        .chain = state->chain,
        .chain_count = state->chain_count,
        .replay = state->replay,
        .mark = state->mark,
        .edit_number = state->edit_number,
        .last_ts = state->last_ts,
        .is_clean = state->is_clean,
    };

    TRY(log_recovery_walk(&db->segments, &input, &recovery->log));
    found = log_recovery_found(recovery->log);
    recovery->last_ts = found->last_ts > state->last_ts ? found->last_ts : state->last_ts;
    recovery->clock = read_clock_history(state, found, recovery->version);
    return check_counters(db, recovery);
}

lsm_status recovery_read(struct lsm_db *db, bool is_new, struct recovery *recovery)
{
    *recovery = (struct recovery){.is_new = is_new};
    if (!is_new)
        return read_existing(db, recovery);
    TRY(new_state(db, &recovery->state));
    if (db->options.is_salvage) // its entries are as old as those of the database they come from
        recovery->clock.undoubted_ns = db->options.salvaged_wall_ns > TIMEKEEPER_BIRTH_NS
                                           ? db->options.salvaged_wall_ns
                                           : TIMEKEEPER_BIRTH_NS;
    return version_new(&db->bin, &recovery->version);
}

// --- replaying ---

struct replay {
    struct lsm_db *db;
    struct recovery *recovery;
};

static struct logged_memtable *newest_memtable(const struct recovery *recovery)
{
    return recovery->memtable_count == 0 ? NULL : recovery->memtables[recovery->memtable_count - 1];
}

static lsm_status add_memtable(struct lsm_db *db, struct recovery *recovery,
                               struct log_position start)
{
    struct logged_memtable **memtables = mem_resize_array(
        recovery->memtables, recovery->memtable_count + 1, sizeof(struct logged_memtable *));

    if (memtables == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%zu memtables", recovery->memtable_count + 1);
    recovery->memtables = memtables;
    TRY(logged_memtable_new(&db->bin, (size_t)db->options.memtable_size, start,
                            &memtables[recovery->memtable_count]));
    if (options_check_memory(&db->options))
        memtable_watch(memtables[recovery->memtable_count]->mem);
    recovery->memtable_count++;
    return LSM_OK;
}

static lsm_status insert_entries(struct logged_memtable *lm, const struct frame_header *header,
                                 struct log_position position, lsm_slice entries,
                                 size_t keyspace_count)
{
    struct frame_reader reader;
    struct entry entry;
    enum frame_next next;

    TRY(memtable_reserve(lm->mem, header->entry_count,
                         entries.size + header->entry_count * (uint64_t)POINTER_SIZE_MAX,
                         keyspace_count));
    frame_reader_over(&reader, header, position, entries);
    while ((next = frame_reader_next(&reader, &entry)) == FRAME_ENTRY)
        memtable_insert(lm->mem, &entry, key_hash(entry.keyspace, entry.key));
    return frame_end_status(next);
}

static lsm_status replay_commit(void *ctx, const struct frame_header *header,
                                struct log_position position, struct segment *segment,
                                lsm_slice entries)
{
    const struct replay *replay = ctx;
    struct recovery *recovery = replay->recovery;
    struct logged_memtable *lm = newest_memtable(recovery);
    const uint64_t keyspaces = recovery->state.next_keyspace_id;

    if (lm == NULL || memtable_used(lm->mem) + entries.size > replay->db->options.memtable_size) {
        TRY(add_memtable(replay->db, recovery, position));
        lm = newest_memtable(recovery);
    }
    TRY(logged_memtable_add_segment(lm, segment));
    TRY(insert_entries(lm, header, position, entries,
                       keyspaces < header->entry_count ? (size_t)keyspaces : header->entry_count));
    if (lm->first_ts == 0)
        lm->first_ts = header->ts;
    lm->last_ts = header->ts;
    lm->log_bytes += frame_size(header->body_size);
    return LSM_OK;
}

// Replays what survived; there is at least one memtable afterwards, which starts at
// `restart` when nothing did.
static lsm_status replay_log(struct lsm_db *db, struct recovery *recovery, bool is_read_only,
                             struct log_position restart)
{
    struct replay replay = {.db = db, .recovery = recovery};

    if (recovery->log != NULL)
        TRY(log_recovery_replay(recovery->log, is_read_only, replay_commit, &replay));
    if (recovery->memtable_count > 0)
        return LSM_OK;
    return add_memtable(db, recovery, restart);
}

// The oldest memtable first, the newest one active.
static lsm_status set_views(struct lsm_db *db, struct recovery *recovery, struct version *version)
{
    TRY(views_init(&db->views, &db->bin, recovery->memtables[0], version));
    for (size_t i = 1; i < recovery->memtable_count; i++)
        TRY(views_push_memtable(&db->views, recovery->memtables[i]));
    return LSM_OK;
}

// Notes how the log was found, for lsm_verify().
static lsm_status keep_chain(struct lsm_db *db, const struct recovery *recovery)
{
    const struct log_link *links;
    struct segment *const *segments;
    struct log_link *kept;
    size_t count;

    log_recovery_chain(recovery->log, &links, &segments, &count);
    kept = mem_alloc_zeroed(count, sizeof *kept);
    if (kept == NULL)
        return lsm_fail(LSM_NO_MEMORY, "a chain of %zu segments", count);
    for (size_t i = 0; i < count; i++)
        kept[i] = links[i];
    mem_free(db->read_only_chain); // of an earlier try
    db->read_only_chain = kept;
    db->read_only_chain_count = count;
    db->read_only_mark = log_recovery_found(recovery->log)->mark;
    return LSM_OK;
}

lsm_status recovery_start_read_only(struct lsm_db *db, struct recovery *recovery)
{
    TRY(keep_chain(db, recovery));
    TRY(replay_log(db, recovery, true, recovery->state.replay));
    return set_views(db, recovery, recovery->version);
}

// --- starting to write ---

// The log as it goes on: the restart segment, and the older ones still needed.
struct restart {
    struct segment *segment;
    uint32_t id;
    uint64_t end;
    struct log_position replay;
    struct log_link *links;    // those still needed, then the restart segment
    struct segment **segments; // the same
    size_t count;
    struct log_link *left; // those no longer needed
    struct segment **left_segments;
    size_t left_count;
};

static void restart_release(struct restart *restart)
{
    if (restart->segment != NULL)
        segment_unref(restart->segment);
    mem_free(restart->links);
    mem_free(restart->segments);
    mem_free(restart->left);
    mem_free(restart->left_segments);
}

// The highest number of a segment at which a database opens: it leaves a million for the time
// that it is open, so that they never run out, nor start again at 0.
#define SEGMENT_ID_MAX (UINT32_MAX - (1u << 20))

// An id above all others, those of files that are nobody's included.
static lsm_status id_above(const struct lsm_db *db, uint64_t id_max, uint32_t *out)
{
    if (id_max > SEGMENT_ID_MAX)
        return lsm_fail(LSM_UNSUPPORTED,
                        "%s holds a segment with the number %llu, behind which few are left; "
                        "move it away if it is not of this database",
                        db->dir->path, (unsigned long long)id_max);
    *out = (uint32_t)id_max + 1;
    return LSM_OK;
}

static lsm_status make_segment(struct lsm_db *db, struct recovery *recovery,
                               struct restart *restart)
{
    uint64_t id_max;

    if (!recovery->is_new) {
        TRY(id_above(db, log_recovery_found(recovery->log)->id_max, &restart->id));
        return log_recovery_restart(recovery->log, restart->id, upkeep_segment_size_min(db),
                                    &restart->segment, &restart->end);
    }
    TRY(manifest_remove_unborn(db->dir, &id_max)); // left by a crash while it was being made
    TRY(id_above(db, id_max, &restart->id));
    restart->end = FILE_HEADER_SIZE;
    TRY(segment_create(&db->segments, restart->id, upkeep_segment_size_min(db), &restart->segment));
    return dir_sync(db->dir);
}

// Sorts the old chain into what replay still needs and what has left the log.
static lsm_status sort_chain(struct recovery *recovery, struct restart *restart)
{
    const struct log_link *links = NULL;
    struct segment *const *segments = NULL;
    size_t count = 0;

    if (recovery->log != NULL)
        log_recovery_chain(recovery->log, &links, &segments, &count);
    restart->links = mem_alloc_zeroed(count + 1, sizeof *restart->links);
    restart->segments = mem_alloc_zeroed(count + 1, sizeof(struct segment *));
    restart->left = mem_alloc_zeroed(count + 1, sizeof *restart->left);
    restart->left_segments = mem_alloc_zeroed(count + 1, sizeof(struct segment *));
    if (restart->links == NULL || restart->segments == NULL || restart->left == NULL ||
        restart->left_segments == NULL)
        return lsm_fail(LSM_NO_MEMORY, "a chain of %zu segments", count);
    for (size_t i = 0; i < count; i++) {
        if (links[i].id >= restart->replay.segment) {
            restart->links[restart->count] = links[i];
            restart->segments[restart->count++] = segments[i];
        } else {
            restart->left[restart->left_count] = links[i];
            restart->left_segments[restart->left_count++] = segments[i];
        }
    }
    restart->links[restart->count] =
        (struct log_link){.id = restart->id, .uuid = *segment_uuid(restart->segment)};
    restart->segments[restart->count++] = restart->segment;
    return LSM_OK;
}

// The version with the log as it goes on.
static lsm_status restarted_version(struct lsm_db *db, struct recovery *recovery,
                                    const struct restart *restart, struct version **out)
{
    struct segment_set *dropped = NULL;
    const struct edit edit = {
        .number = recovery->state.edit_number,
        .has_log = true,
        .replay = restart->replay,
        .chain = restart->links,
        .chain_segments = restart->segments,
        .chain_count = restart->count,
        .left = restart->left,
        .left_segments = restart->left_segments,
        .left_count = restart->left_count,
    };

    TRY(version_apply(recovery->version, &edit, &db->tables, &db->segments, out, &dropped));
    if (dropped != NULL)
        segment_set_retire(dropped); // files that nothing names are removed as orphans
    return LSM_OK;
}

static lsm_status start_manifest(struct lsm_db *db, struct recovery *recovery,
                                 const struct restart *restart, struct version *version)
{
    struct manifest_state state = recovery->state;

    // Borrows the keyspaces of the recovered state and the links of the restart.
    state.replay = restart->replay;
    state.chain = restart->links;
    state.chain_count = restart->count;
    state.mark = (struct log_position){.segment = restart->id, .offset = restart->end};
    state.last_ts = recovery->last_ts;
    state.last_wall_ns = oracle_clock(db->oracle).line_ns;
    state.is_clean = false;
    return manifest_start(&db->tables, &db->segments, &db->poison, db->events, &state, version,
                          &db->manifest);
}

static lsm_status remove_orphans(struct lsm_db *db, const struct restart *restart,
                                 struct version *version)
{
    CLEANUP(mem_freep) uint32_t *ids = mem_resize_array(NULL, restart->count, sizeof *ids);
    size_t removed = 0;

    if (ids == NULL)
        return lsm_fail(LSM_NO_MEMORY, "%zu segments", restart->count);
    for (size_t i = 0; i < restart->count; i++)
        ids[i] = restart->links[i].id;
    TRY(manifest_remove_orphans(db->manifest, version, ids, restart->count, &removed));
    if (removed > 0)
        eventlog_write(db->events, "orphans_removed", "files=%zu", removed);
    return LSM_OK;
}

// Segments that have left the log may keep values, and after a crash room behind them. Those
// that stay in the log it cuts by itself.
static void cut_left(struct lsm_db *db, const struct version *version,
                     const struct restart *restart)
{
    for (size_t i = 0; i < restart->left_count; i++) {
        if (version_find_segment(version, restart->left[i].id) != NULL)
            log_cut_found(db->events, restart->left_segments[i], restart->left[i].final_size);
    }
}

static lsm_status start_log(struct lsm_db *db, struct recovery *recovery, struct restart *restart)
{
    const struct log_start start = {
        .active = restart->segment,
        .end = restart->end,
        .next_sequence =
            recovery->log == NULL ? 1 : log_recovery_found(recovery->log)->last_sequence + 1,
        .last_ts = recovery->last_ts,
        .next_segment_id = restart->id + 1,
        .chain = restart->links,
        .chain_segments = restart->segments,
        .chain_count = restart->count - 1,
    };

    TRY(log_new(&db->segments, db->events, &start, &db->log));
    restart->segment = NULL; // the log has it now
    return LSM_OK;
}

static lsm_status start_writing(struct lsm_db *db, struct recovery *recovery,
                                struct restart *restart)
{
    struct version *version;
    lsm_status status;

    TRY(make_segment(db, recovery, restart));
    restart->replay = (struct log_position){.segment = restart->id, .offset = FILE_HEADER_SIZE};
    TRY(replay_log(db, recovery, false, restart->replay));
    restart->replay = recovery->memtables[0]->start;
    TRY(sort_chain(recovery, restart));
    TRY(restarted_version(db, recovery, restart, &version));
    status = start_manifest(db, recovery, restart, version);
    if (status == LSM_OK)
        status = remove_orphans(db, restart, version);
    if (status == LSM_OK)
        status = start_log(db, recovery, restart);
    if (status == LSM_OK)
        status = set_views(db, recovery, version);
    if (status == LSM_OK)
        cut_left(db, version, restart);
    version_unref(version);
    return status;
}

lsm_status recovery_start(struct lsm_db *db, struct recovery *recovery)
{
    struct restart restart = {.segment = NULL};
    lsm_status status = start_writing(db, recovery, &restart);

    // No manifest names the new segment. Were it left, opening again and again while the disk
    // is full would fill it further. (Poisoned, nothing is removed: the fate of CURRENT is open.)
    if (status != LSM_OK && db->manifest == NULL && restart.segment != NULL)
        segment_mark_obsolete(restart.segment);
    restart_release(&restart);
    return status;
}

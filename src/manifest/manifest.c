// manifest.c -- writing edits, and what happens when that fails.
//
// An edit is appended to the manifest, or a fresh manifest states everything after it:
// at open, when the one before has failed, when the file has outgrown its content, and
// for the edit of a clean close. A fresh manifest goes through these steps:
//
//   MANIFEST-N written and synced    failure: soft, both files removed
//   CURRENT.new written and synced   failure: soft, both files removed
//   directory synced                 failure: poison
//   CURRENT.new renamed to CURRENT   failure: poison
//   directory synced                 failure: poison
//   the manifest before unlinked
//
// Every failed sync of the directory is poison, also the first: it may have dropped
// the entries of tables and segments that other threads believe they have synced.
//
// After a failed append the edit may be on disk or not. No byte is appended to that
// file any more; until a fresh manifest is in force, which decides it, the unlinker is
// held, so that the files of either outcome are there. What is retried may be another
// edit with the same number: nothing has been told the number, and the fresh manifest
// states everything, so that the undecided one is never looked at again.
//
// A clean close leaves a manifest of one snapshot and nothing else. Whatever byte of
// it is damaged, it does not verify, and there is no edit that could be mistaken for
// a torn tail. Nothing is ever appended to it.

#include "manifest/manifest.h"

#include <assert.h>
#include <inttypes.h>

#include "base/alloc.h"
#include "base/plant.h"
#include "manifest/manifest_file.h"
#include "manifest/manifest_state.h"
#include "manifest/orphans.h"

#define OUTGROWN_SIZE_MIN ((uint64_t)1 << 20)
#define OUTGROWN_FACTOR   2 // times the size of the snapshot it starts with

struct manifest {
    struct table_store *tables; // immutable, as the next three
    struct segment_store *segments;
    struct poison *poison;
    struct eventlog *events;

    _Atomic uint64_t next_file_id; // relaxed: only uniqueness matters
    // Written with `mu` held. Release: pairs with the acquire in
    // manifest_edit_number(): what an edit names is durable before its number is seen.
    _Atomic uint64_t edit_number;
    _Atomic bool is_undecided; // written with `mu` held; relaxed, it orders nothing

    struct mutex mu; // rank LOCK_MANIFEST, held across I/O; guards the fields below
    struct manifest_state state;
    struct manifest_file file;
};

// --- fresh manifests ---

// The two directory syncs and the rename between them: from here on a failure leaves
// open which manifest CURRENT names.
static lsm_status switch_current(struct manifest *m)
{
    struct filename from = filename_of(FILENAME_CURRENT_NEW, 0);
    struct filename to = filename_of(FILENAME_CURRENT, 0);
    lsm_status status = dir_sync(m->tables->dir);

    if (status == LSM_OK)
        status = file_rename(m->tables->dir, from.text, to.text);
    if (status == LSM_OK && !PLANTED(SKIP_CURRENT_DIR_SYNC))
        status = dir_sync(m->tables->dir);
    return status == LSM_OK ? LSM_OK : poison_set(m->poison, status);
}

// MANIFEST-N and CURRENT.new. When this fails nothing is left behind.
static lsm_status write_fresh_files(struct manifest *m, const struct manifest_state *state,
                                    struct version *version, struct manifest_file *out)
{
    struct dir *dir = m->tables->dir;
    CLEANUP(edit_release) struct edit snapshot;
    struct manifest_file fresh;
    struct filename name;
    lsm_status status;

    edit_init(&snapshot);
    TRY(manifest_state_snapshot(state, version, &snapshot));
    TRY(manifest_file_create(dir, &state->db_uuid, state->manifest_number, &snapshot, &fresh));
    status = current_prepare(dir, &state->db_uuid, &fresh);
    if (status == LSM_OK) {
        *out = fresh;
        return LSM_OK;
    }
    // No CURRENT names this file.
    name = filename_of(FILENAME_MANIFEST, fresh.number);
    manifest_file_close(&fresh);
    (void)file_unlink(dir, name.text);
    return status;
}

// Puts a fresh manifest in force that states `state`, whose number of the manifest
// this sets, and `version`.
static lsm_status start_fresh(struct manifest *m, struct manifest_state *state,
                              struct version *version)
{
    struct manifest_file fresh;
    lsm_status status;

    state->manifest_number = manifest_next_file_id(m);
    state->next_file_id = atomic_load_explicit(&m->next_file_id, memory_order_relaxed);
    TRY(write_fresh_files(m, state, version, &fresh));
    status = switch_current(m);
    if (status != LSM_OK) {
        manifest_file_close(&fresh); // CURRENT may name it: it stays
        return status;
    }
    eventlog_write(m->events, "manifest_started",
                   "number=%" PRIu64 " edit=%" PRIu64 " size=%" PRIu64, fresh.number,
                   state->edit_number, fresh.size);
    if (m->file.file != NULL) {
        manifest_file_close(&m->file);
        unlinker_add(m->tables->unlinker, FILENAME_MANIFEST, m->file.number);
    }
    m->file = fresh;
    return LSM_OK;
}

// --- starting ---

static void raise(uint64_t *mark, uint64_t value)
{
    if (value > *mark)
        *mark = value;
}

// Raises the next number above that of a file which is there, whoever left it: a new
// file must not meet it.
static lsm_status see_file(void *ctx, const char *name, uint64_t size, bool is_regular)
{
    uint64_t number;
    enum filename_kind kind = filename_parse(name, &number);

    (void)size;
    (void)is_regular;
    if ((kind == FILENAME_TABLE || kind == FILENAME_MANIFEST) && number < UINT64_MAX / 2)
        raise(ctx, number + 1);
    return LSM_OK;
}

lsm_status manifest_start(struct table_store *tables, struct segment_store *segments,
                          struct poison *poison, struct eventlog *events,
                          const struct manifest_state *state, struct version *version,
                          struct manifest **out)
{
    CLEANUP(manifest_state_release) struct manifest_state own = {.chain = NULL};
    uint64_t next_file_id = state->next_file_id;
    struct manifest *m;
    lsm_status status;

    TRY(poison_check(poison));
    raise(&next_file_id, 1);
    TRY(dir_list(tables->dir, see_file, &next_file_id));
    TRY(manifest_state_copy(state, &own));
    own.db_uuid = tables->db_uuid;
    raise(&own.edit_number, 1);
    own.is_clean = false; // from now on the database is open
    manifest_state_purge(&own, version);

    m = mem_alloc_zeroed(1, sizeof *m);
    if (m == NULL)
        return lsm_fail(LSM_NO_MEMORY, "manifest: %zu bytes", sizeof *m);
    m->tables = tables;
    m->segments = segments;
    m->poison = poison;
    m->events = events;
    atomic_init(&m->next_file_id, next_file_id);
    atomic_init(&m->edit_number, own.edit_number);
    atomic_init(&m->is_undecided, false);
    mutex_init(&m->mu, LOCK_MANIFEST);
    status = start_fresh(m, &own, version);
    if (status != LSM_OK) {
        manifest_free(m);
        return status;
    }
    m->state = own;
    own = (struct manifest_state){.chain = NULL}; // given away
    *out = m;
    return LSM_OK;
}

void manifest_free(struct manifest *manifest)
{
    if (manifest == NULL)
        return;
    manifest_file_close(&manifest->file);
    manifest_state_release(&manifest->state);
    mutex_release(&manifest->mu);
    mem_free(manifest);
}

// --- applying edits ---

static bool has_outgrown(const struct manifest_file *file)
{
    return file->size > OUTGROWN_SIZE_MIN && file->size > OUTGROWN_FACTOR * file->snapshot_size;
}

static bool is_undecided(const struct manifest *m)
{
    return atomic_load_explicit(&m->is_undecided, memory_order_relaxed);
}

// The last append has failed: from here on both outcomes are possible.
static void leave_undecided(struct manifest *m, const struct edit *edit)
{
    if (!PLANTED(UNLINK_WHILE_UNDECIDED))
        unlinker_hold(m->tables->unlinker);
    atomic_store_explicit(&m->is_undecided, true, memory_order_relaxed);
    eventlog_write(m->events, "manifest_append_failed", "number=%" PRIu64 " edit=%" PRIu64,
                   m->file.number, edit->number);
}

static void decide(struct manifest *m)
{
    if (!is_undecided(m))
        return;
    atomic_store_explicit(&m->is_undecided, false, memory_order_relaxed);
    unlinker_allow(m->tables->unlinker);
}

// Appends `edit`. After a failure either nothing has been written, or the edit is
// left undecided.
static lsm_status append_edit(struct manifest *m, const struct edit *edit)
{
    CLEANUP(lsm_buf_free) lsm_buf frame = {.data = NULL};
    lsm_status status;

    TRY(manifest_frame_encode(edit, &m->file.uuid, m->file.size, &frame));
    status = manifest_file_append(&m->file, slice_of_buf(&frame));
    if (status != LSM_OK && !PLANTED(APPEND_AFTER_FAILED_EDIT))
        leave_undecided(m, edit);
    return status;
}

// States everything after an edit in a fresh manifest.
static lsm_status rewrite(struct manifest *m, struct manifest_state *state, struct version *version)
{
    manifest_state_purge(state, version);
    TRY(start_fresh(m, state, version));
    decide(m);
    return LSM_OK;
}

// Makes `edit` durable, which leads to `state` and `version`.
static lsm_status write_edit(struct manifest *m, const struct edit *edit,
                             struct manifest_state *state, struct version *version)
{
    lsm_status status;

    if (edit->is_clean || m->state.is_clean || is_undecided(m))
        return rewrite(m, state, version);
    if (has_outgrown(&m->file)) {
        status = rewrite(m, state, version);
        // No room for a whole manifest may still be room for an edit.
        if (status == LSM_OK || poison_is_set(m->poison))
            return status;
        state->manifest_number = m->file.number;
    }
    status = append_edit(m, edit);
    if (status != LSM_OK && is_undecided(m))
        return rewrite(m, state, version);
    return status;
}

// The version and state that `edit` leads to, with nothing written. What fails here as
// corrupt is a broken invariant: whoever made the edit cannot be trusted any more.
static lsm_status prepare(struct manifest *m, struct edit *edit, struct version *base,
                          struct manifest_state *state, struct version **next,
                          struct segment_set **dropped)
{
    lsm_status status;

    assert(base->edit_number <= m->state.edit_number);
    edit->number = m->state.edit_number + 1;
    edit->next_file_id = atomic_load_explicit(&m->next_file_id, memory_order_relaxed);
    TRY(manifest_state_copy(&m->state, state));
    status = manifest_state_apply(state, edit);
    if (status == LSM_OK)
        status = version_apply(base, edit, m->tables, m->segments, next, dropped);
    return status == LSM_CORRUPT ? poison_set(m->poison, status) : status;
}

// --- after an edit ---

static bool adds_table(const struct edit *edit, uint64_t id)
{
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i].id == id)
            return true;
    }
    return false;
}

static struct table *find_table(const struct level *level, uint64_t id)
{
    for (size_t i = 0;; i++) {
        assert(i < level->count); // the version was made by removing this table
        if (level->spans[i].id == id)
            return level->tables[i];
    }
}

static void mark_obsolete(const struct edit *edit, const struct version *base,
                          const struct segment_set *dropped)
{
    for (size_t i = 0; i < edit->removed_count; i++) {
        const struct table_change *removed = &edit->removed[i];

        if (!adds_table(edit, removed->id))
            table_mark_obsolete(find_table(&base->levels[removed->level], removed->id));
    }
    for (size_t i = 0; dropped != NULL && i < dropped->count; i++)
        segment_mark_obsolete(dropped->items[i]);
}

static void version_unrefp(struct version **version)
{
    version_unref(*version);
}

static void segment_set_retirep(struct segment_set **set)
{
    segment_set_retire(*set);
}

lsm_status manifest_apply(struct manifest *manifest, struct edit *edit, struct version *base,
                          struct version **out)
{
    CLEANUP(manifest_state_release) struct manifest_state state = {.chain = NULL};
    CLEANUP(version_unrefp) struct version *next = NULL;
    CLEANUP(segment_set_retirep) struct segment_set *dropped = NULL;

    mutex_assert_held(&manifest->mu);
    assert(!edit->is_snapshot);
    TRY(poison_check(manifest->poison));
    TRY(prepare(manifest, edit, base, &state, &next, &dropped));
    TRY(write_edit(manifest, edit, &state, next));

    manifest_state_release(&manifest->state);
    manifest->state = state;
    state = (struct manifest_state){.chain = NULL}; // given away
    atomic_store_explicit(&manifest->edit_number, edit->number, memory_order_release);
    mark_obsolete(edit, base, dropped);
    *out = MOVE(next);
    return LSM_OK;
}

void manifest_lock(struct manifest *manifest)
{
    mutex_lock(&manifest->mu);
}

void manifest_unlock(struct manifest *manifest)
{
    mutex_unlock(&manifest->mu);
}

// --- asking ---

uint64_t manifest_edit_number(const struct manifest *manifest)
{
    return atomic_load_explicit(&manifest->edit_number, memory_order_acquire);
}

uint64_t manifest_next_file_id(struct manifest *manifest)
{
    return atomic_fetch_add_explicit(&manifest->next_file_id, 1, memory_order_relaxed);
}

const struct manifest_state *manifest_state_locked(const struct manifest *manifest)
{
    mutex_assert_held(&manifest->mu);
    return &manifest->state;
}

bool manifest_is_undecided(const struct manifest *manifest)
{
    return is_undecided(manifest);
}

lsm_status manifest_remove_orphans(struct manifest *manifest, struct version *version,
                                   const uint32_t *keep_segments, size_t keep_count,
                                   size_t *removed)
{
    struct kept_files kept = {
        .version = version,
        .segments = keep_segments,
        .segment_count = keep_count,
        .next_file_id = atomic_load_explicit(&manifest->next_file_id, memory_order_relaxed),
    };
    lsm_status status;

    TRY(poison_check(manifest->poison));
    manifest_lock(manifest);
    kept.state = &manifest->state;
    status = orphans_remove(manifest->tables->dir, &kept, manifest->events, removed);
    manifest_unlock(manifest);
    return status;
}

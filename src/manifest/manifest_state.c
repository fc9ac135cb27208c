#include "manifest/manifest_state.h"

#include <assert.h>

#include "base/alloc.h"

void manifest_state_init(struct manifest_state *state)
{
    *state = (struct manifest_state){.next_file_id = 1, .next_keyspace_id = KEYSPACE_DEFAULT_ID};
}

void manifest_state_release(struct manifest_state *state)
{
    mem_free(state->chain);
    mem_free(state->keyspaces);
    state->chain = NULL;
    state->chain_count = 0;
    state->keyspaces = NULL;
    state->keyspace_count = 0;
}

// A copy of `count` items; NULL only when memory is short.
static void *copy_array(const void *from, size_t count, size_t item_size)
{
    void *copy = mem_alloc_zeroed(count, item_size);

    if (copy != NULL && count > 0)
        memcpy(copy, from, count * item_size);
    return copy;
}

lsm_status manifest_state_copy(const struct manifest_state *state, struct manifest_state *out)
{
    struct log_link *chain = copy_array(state->chain, state->chain_count, sizeof *chain);
    struct keyspace_info *keyspaces =
        copy_array(state->keyspaces, state->keyspace_count, sizeof *keyspaces);

    if (chain == NULL || keyspaces == NULL) {
        mem_free(chain);
        mem_free(keyspaces);
        return lsm_fail(LSM_NO_MEMORY, "manifest: %zu segments, %zu keyspaces", state->chain_count,
                        state->keyspace_count);
    }
    *out = *state;
    out->chain = chain;
    out->keyspaces = keyspaces;
    return LSM_OK;
}

static void raise(uint64_t *mark, uint64_t value)
{
    if (value > *mark)
        *mark = value;
}

// --- keyspaces ---

static struct keyspace_info *find_keyspace(struct manifest_state *state, uint32_t id)
{
    for (size_t i = 0; i < state->keyspace_count; i++) {
        if (state->keyspaces[i].id == id)
            return &state->keyspaces[i];
    }
    return NULL;
}

static bool name_is_taken(const struct manifest_state *state, lsm_slice name)
{
    for (size_t i = 0; i < state->keyspace_count; i++) {
        const struct keyspace_info *known = &state->keyspaces[i];

        if (known->dropped_ts == 0 && slice_equal(slice_of(known->name), name))
            return true;
    }
    return false;
}

static lsm_status create_keyspace(struct manifest_state *state,
                                  const struct keyspace_change *change)
{
    struct keyspace_info *grown;
    struct keyspace_info *created;

    if (change->id < state->next_keyspace_id || change->id == UINT32_MAX)
        return lsm_fail(LSM_CORRUPT, "edit: keyspace id %u is used again", change->id);
    if (change->name.size == 0 || change->name.size > KEYSPACE_NAME_SIZE_MAX ||
        memchr(change->name.data, '\0', change->name.size) != NULL)
        return lsm_fail(LSM_CORRUPT, "edit: keyspace %u has no proper name", change->id);
    if (name_is_taken(state, change->name))
        return lsm_fail(LSM_CORRUPT, "edit: keyspace %u takes a name that is in use", change->id);
    grown = mem_resize_array(state->keyspaces, state->keyspace_count + 1, sizeof *grown);
    if (grown == NULL)
        return lsm_fail(LSM_NO_MEMORY, "manifest: %zu keyspaces", state->keyspace_count + 1);
    state->keyspaces = grown;
    created = &grown[state->keyspace_count++];
    memset(created, 0, sizeof *created);
    created->id = change->id;
    memcpy(created->name, change->name.data, change->name.size);
    created->options = change->options;
    state->next_keyspace_id = change->id + 1;
    return LSM_OK;
}

static lsm_status change_keyspace(struct manifest_state *state,
                                  const struct keyspace_change *change)
{
    struct keyspace_info *known;

    if (change->kind == KEYSPACE_CREATE)
        return create_keyspace(state, change);
    known = find_keyspace(state, change->id);
    if (known == NULL || known->dropped_ts != 0)
        return lsm_fail(LSM_CORRUPT, "edit: keyspace %u does not exist", change->id);
    if (change->kind == KEYSPACE_ALTER) {
        known->options = change->options;
        return LSM_OK;
    }
    if (change->ts == 0 || change->id == KEYSPACE_DEFAULT_ID)
        return lsm_fail(LSM_CORRUPT, "edit: keyspace %u cannot be dropped at %llu", change->id,
                        (unsigned long long)change->ts);
    known->dropped_ts = change->ts;
    raise(&state->last_ts, change->ts); // a drop takes a timestamp, as a commit does
    return LSM_OK;
}

// --- edits ---

static lsm_status change_log(struct manifest_state *state, const struct edit *edit)
{
    struct log_link *chain;

    if (log_position_compare(edit->replay, state->replay) < 0)
        return lsm_fail(LSM_CORRUPT, "edit: replay goes back from %u:%llu to %u:%llu",
                        state->replay.segment, (unsigned long long)state->replay.offset,
                        edit->replay.segment, (unsigned long long)edit->replay.offset);
    chain = copy_array(edit->chain, edit->chain_count, sizeof *chain);
    if (chain == NULL)
        return lsm_fail(LSM_NO_MEMORY, "manifest: %zu segments", edit->chain_count);
    mem_free(state->chain);
    state->chain = chain;
    state->chain_count = edit->chain_count;
    state->replay = edit->replay;
    return LSM_OK;
}

lsm_status manifest_state_apply(struct manifest_state *state, const struct edit *edit)
{
    if (edit->has_log)
        TRY(change_log(state, edit));
    for (size_t i = 0; i < edit->keyspace_count; i++)
        TRY(change_keyspace(state, &edit->keyspaces[i]));
    raise(&state->last_ts, edit->last_ts);
    if (edit->last_wall_ns != 0) // falls when the clock turns out to have been ahead
        state->last_wall_ns = edit->last_wall_ns;
    raise(&state->next_file_id, edit->next_file_id);
    for (size_t i = 0; i < edit->added_count; i++) {
        if (edit->added[i].id == UINT64_MAX)
            return lsm_fail(LSM_CORRUPT, "edit: a table with the last possible id");
        raise(&state->next_file_id, edit->added[i].id + 1);
    }
    if (edit->next_keyspace_id > state->next_keyspace_id)
        state->next_keyspace_id = edit->next_keyspace_id;
    if (log_position_compare(edit->mark, state->mark) > 0)
        state->mark = edit->mark;
    state->edit_number = edit->number;
    state->is_clean = edit->is_clean;
    return LSM_OK;
}

// --- snapshots ---

static lsm_status state_tables(const struct version *version, struct edit *edit)
{
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            CLEANUP(table_meta_freep) struct table_meta *meta = NULL;

            TRY(table_meta_copy(table_meta(version->levels[l].tables[i]), &meta));
            TRY(edit_add_table(edit, l, meta));
            meta = NULL; // the edit's now
        }
    }
    return LSM_OK;
}

static bool chain_contains(const struct manifest_state *state, uint32_t id)
{
    for (size_t i = 0; i < state->chain_count; i++) {
        if (state->chain[i].id == id)
            return true;
    }
    return false;
}

static lsm_status state_segments(const struct manifest_state *state, const struct version *version,
                                 struct edit *edit)
{
    edit->has_log = state->chain_count > 0;
    edit->replay = state->replay;
    for (size_t i = 0; i < state->chain_count; i++)
        TRY(edit_add_chain(edit, &state->chain[i]));
    for (size_t i = 0; i < version->segment_count; i++) {
        const struct segment_use *use = &version->segments[i];
        struct log_link link = {
            .id = use->id, .uuid = *segment_uuid(use->segment), .final_size = use->final_size};

        if (chain_contains(state, use->id))
            continue;
        if (use->final_size != 0)
            TRY(edit_add_left(edit, &link));
        else if (use->referenced_count > 0)
            return lsm_fail(LSM_CORRUPT, "manifest: segment %u is in use and no longer log",
                            use->id);
    }
    return LSM_OK;
}

static lsm_status state_keyspaces(const struct manifest_state *state, struct edit *edit)
{
    for (size_t i = 0; i < state->keyspace_count; i++) {
        const struct keyspace_info *known = &state->keyspaces[i];
        struct keyspace_change change = {.kind = KEYSPACE_CREATE,
                                         .id = known->id,
                                         .name = slice_of(known->name),
                                         .options = known->options,
                                         .ts = known->dropped_ts};

        TRY(edit_change_keyspace(edit, &change));
        if (known->dropped_ts == 0)
            continue;
        change.kind = KEYSPACE_DROP;
        TRY(edit_change_keyspace(edit, &change));
    }
    return LSM_OK;
}

lsm_status manifest_state_snapshot(const struct manifest_state *state,
                                   const struct version *version, struct edit *out)
{
    CLEANUP(edit_release) struct edit edit;

    edit_init(&edit);
    TRY(state_tables(version, &edit));
    TRY(state_segments(state, version, &edit));
    TRY(state_keyspaces(state, &edit));
    edit.number = state->edit_number;
    edit.last_ts = state->last_ts;
    edit.last_wall_ns = state->last_wall_ns;
    edit.next_file_id = state->next_file_id;
    edit.next_keyspace_id = state->next_keyspace_id;
    edit.mark = state->mark;
    edit.is_clean = state->is_clean;
    edit.is_snapshot = true;
    TRY(edit_check_chain(&edit));
    *out = edit;
    edit_init(&edit); // given away
    return LSM_OK;
}

// --- purging ---

static bool tables_may_hold(const struct version *version, uint32_t keyspace)
{
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        const struct level *level = &version->levels[l];

        for (size_t i = 0; i < level->count; i++) {
            if (level->spans[i].smallest_keyspace <= keyspace &&
                keyspace <= level->spans[i].largest_keyspace)
                return true;
        }
    }
    return false;
}

// A timestamp that the flushed tables reach: memtables are flushed oldest first and
// whole, so that replay yields later ones only.
static uint64_t flushed_ts(const struct version *version)
{
    uint64_t ts = 0;

    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++)
            raise(&ts, table_meta(version->levels[l].tables[i])->ts_max);
    }
    return ts;
}

void manifest_state_purge(struct manifest_state *state, const struct version *version)
{
    uint64_t flushed = flushed_ts(version);
    size_t kept = 0;

    for (size_t i = 0; i < state->keyspace_count; i++) {
        struct keyspace_info *known = &state->keyspaces[i];
        bool is_gone = known->dropped_ts != 0 && known->dropped_ts <= flushed &&
                       !tables_may_hold(version, known->id);

        if (!is_gone)
            state->keyspaces[kept++] = *known;
    }
    state->keyspace_count = kept;
}

// manifest_script.h -- a life of a manifest, edit by edit, for tests that crash or
// fail somewhere in it.

#ifndef LSM_TESTS_MANIFEST_MANIFEST_SCRIPT_H
#define LSM_TESTS_MANIFEST_MANIFEST_SCRIPT_H

#include "manifest/manifest_file.h"
#include "manifest/manifest_state.h"
#include "manifest_fixture.h"

// A manifest that is open, with the current version.
struct life {
    struct stores stores;
    struct manifest *manifest;
    struct version *version;
};

// The state that the creator of a database starts from.
static inline void newborn_state(struct manifest_state *state)
{
    manifest_state_init(state);
    state->db_uuid = fixture_db_uuid;
    state->chain = mem_alloc(sizeof *state->chain);
    state->chain[0] = link_of(1, 0);
    state->chain_count = 1;
    state->replay = (struct log_position){.segment = 1, .offset = 128};
    state->keyspaces = mem_alloc_zeroed(1, sizeof *state->keyspaces);
    state->keyspaces[0].id = KEYSPACE_DEFAULT_ID;
    (void)snprintf(state->keyspaces[0].name, sizeof state->keyspaces[0].name, "default");
    state->keyspaces[0].options.versions_to_keep = 1;
    state->keyspace_count = 1;
    state->next_keyspace_id = KEYSPACE_DEFAULT_ID + 1;
}

static inline void life_close(struct life *life)
{
    manifest_free(life->manifest);
    version_unref(life->version);
    stores_close(&life->stores);
    memset(life, 0, sizeof *life);
}

// Creates a database. After a failure only life_close() may follow.
static inline lsm_status life_create(struct life *life, struct sim *sim)
{
    struct manifest_state state;
    lsm_status status;

    memset(life, 0, sizeof *life);
    stores_open(&life->stores, sim);
    assert_ok(version_new(&life->stores.bin, &life->version));
    newborn_state(&state);
    status = manifest_start(&life->stores.tables, &life->stores.segments, &life->stores.poison,
                            NULL, &state, life->version, &life->manifest);
    manifest_state_release(&state);
    return status;
}

// Opens it again: reads, and starts a fresh manifest.
static inline lsm_status life_open(struct life *life, struct sim *sim)
{
    struct manifest_state state;
    lsm_status status;

    memset(life, 0, sizeof *life);
    stores_open(&life->stores, sim);
    status = manifest_read(&life->stores.tables, &life->stores.segments, &state, &life->version);
    if (status != LSM_OK)
        return status;
    status = manifest_start(&life->stores.tables, &life->stores.segments, &life->stores.poison,
                            NULL, &state, life->version, &life->manifest);
    manifest_state_release(&state);
    return status;
}

// Applies `edit` and installs what comes of it.
static inline lsm_status life_apply(struct life *life, struct edit *edit)
{
    struct version *next;
    lsm_status status;

    manifest_lock(life->manifest);
    status = manifest_apply(life->manifest, edit, life->version, &next);
    if (status == LSM_OK) {
        version_unref(life->version);
        life->version = next;
    }
    manifest_unlock(life->manifest);
    return status;
}

// --- files of its directory ---

// The manifest that CURRENT names.
static inline struct filename life_manifest_name(const struct life *life)
{
    struct file_header current;

    assert_ok(current_read(life->stores.dir, &current));
    return filename_of(FILENAME_MANIFEST, current.number);
}

static inline bool life_has_file(const struct life *life, const char *name)
{
    uint64_t size;

    return file_stat(life->stores.dir, name, &size) == LSM_OK;
}

static inline void life_write_file(const struct life *life, const char *name, const void *bytes,
                                   size_t size)
{
    struct file *file;

    assert_ok(file_open(life->stores.dir, name, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_make(bytes, size)));
    assert_ok(file_close(file));
}

// Appends bytes to the manifest.
static inline void life_write_tail(const struct life *life, const char *bytes)
{
    struct file *file;
    uint64_t size;

    assert_ok(sim_open_to_change(life->stores.dir, life_manifest_name(life).text, &file));
    assert_ok(file_size(file, &size));
    assert_ok(file_write_one(file, size, slice_of(bytes)));
    assert_ok(file_close(file));
}

// --- a script ---

#define SCRIPT_EDITS 9

// Edit `n` of the script, from 0. It follows from `n` alone, so that it can be retried.
static inline void script_edit(size_t n, struct edit *edit)
{
    struct keyspace_change create = {
        .kind = KEYSPACE_CREATE, .id = 2, .name = slice_of("users"), .options = {100, 1, 0, 0}};
    struct keyspace_change drop = {.kind = KEYSPACE_DROP, .id = 2, .ts = 1000};

    edit_init(edit);
    edit->last_ts = 10 * n;
    edit->last_wall_ns = 1000 * n;
    switch (n) {
    case 0: // flushes
        edit_add_spec(edit, &(struct table_spec){101, 0, "a", "m", 1, 9, 1, 5, 500, 0, 0});
        edit_set_log(edit, 1, 2);
        break;
    case 1:
        edit_add_spec(edit, &(struct table_spec){102, 0, "k", "z", 10, 19, 2, 4, 400, 0, 0});
        edit_set_log(edit, 3, 3);
        edit_leave(edit, 1);
        edit_leave(edit, 2);
        break;
    case 2:
        assert_ok(edit_change_keyspace(edit, &create));
        break;
    case 3: // a merge
        assert_ok(edit_remove_table(edit, 0, 101));
        assert_ok(edit_remove_table(edit, 0, 102));
        edit_add_spec(edit, &(struct table_spec){103, 1, "a", "k", 1, 19, 1, 5, 500, 0, 0});
        edit_add_spec(edit, &(struct table_spec){104, 1, "l", "z", 1, 19, 2, 3, 300, 0, 0});
        break;
    case 4: // a move
        assert_ok(edit_remove_table(edit, 1, 103));
        edit_add_spec(edit, &(struct table_spec){103, 2, "a", "k", 1, 19, 1, 5, 500, 0, 0});
        break;
    case 5:
        edit_add_spec(edit, &(struct table_spec){105, 0, "a", "z", 30, 39, 3, 1, 100, 0, 0});
        edit_set_log(edit, 3, 5);
        edit->mark = (struct log_position){.segment = 5, .offset = 640};
        break;
    case 6:
        assert_ok(edit_change_keyspace(edit, &drop));
        break;
    case 7: // segment 2 loses its last reference
        assert_ok(edit_remove_table(edit, 1, 104));
        break;
    default: // the clean close
        edit_set_log(edit, 5, 5);
        edit_leave(edit, 3);
        edit_leave(edit, 4);
        edit->mark = (struct log_position){.segment = 5, .offset = 1280};
        edit->is_clean = true;
        break;
    }
}

static inline lsm_status life_apply_script(struct life *life, size_t n)
{
    struct edit edit;
    lsm_status status;

    script_edit(n, &edit);
    status = life_apply(life, &edit);
    edit_release(&edit);
    return status;
}

// All that is stated, as bytes to compare; numbers of files apart, which depend on how
// often a manifest was started.
static inline void life_signature(const struct manifest_state *state, const struct version *version,
                                  lsm_buf *out)
{
    struct edit edit;

    assert_ok(manifest_state_snapshot(state, version, &edit));
    edit.next_file_id = 0;
    edit.is_clean = false;
    buf_clear(out);
    assert_ok(buf_append_u64(out, edit.number));
    assert_ok(edit_encode(&edit, out));
    edit_release(&edit);
}

// Reads what is on disk into a signature.
static inline lsm_status disk_signature(struct sim *sim, lsm_buf *out, bool *is_clean)
{
    struct stores stores;
    struct manifest_state state;
    struct version *version;
    lsm_status status;

    stores_open(&stores, sim);
    status = manifest_read(&stores.tables, &stores.segments, &state, &version);
    if (status == LSM_OK) {
        life_signature(&state, version, out);
        *is_clean = state.is_clean;
        manifest_state_release(&state);
        version_unref(version);
    }
    stores_close(&stores);
    return status;
}

// The signatures after the creation and after each edit.
static inline void script_signatures(lsm_buf signatures[SCRIPT_EDITS + 1])
{
    struct sim *sim = sim_with_dir(7);
    struct life life;

    assert_ok(life_create(&life, sim));
    for (size_t n = 0; n <= SCRIPT_EDITS; n++) {
        signatures[n] = (lsm_buf){.data = NULL};
        manifest_lock(life.manifest);
        life_signature(manifest_state_locked(life.manifest), life.version, &signatures[n]);
        manifest_unlock(life.manifest);
        if (n < SCRIPT_EDITS)
            assert_ok(life_apply_script(&life, n));
    }
    life_close(&life);
    sim_free(sim);
}

static inline void signatures_release(lsm_buf signatures[SCRIPT_EDITS + 1])
{
    for (size_t n = 0; n <= SCRIPT_EDITS; n++)
        lsm_buf_free(&signatures[n]);
}

// The number of edits after which the state is that of `signature`; -1: none.
static inline int find_signature(const lsm_buf signatures[SCRIPT_EDITS + 1],
                                 const lsm_buf *signature)
{
    for (int n = 0; n <= SCRIPT_EDITS; n++) {
        if (slice_equal(slice_of_buf(&signatures[n]), slice_of_buf(signature)))
            return n;
    }
    return -1;
}

#endif

// test_manifest_state.c -- what the manifest knows beside the tables, edit by edit.

#include "manifest/manifest_state.h"

#include "manifest_script.h"
#include "support/alloc_fault.h"

static struct manifest_state state;

static void setup(void)
{
    newborn_state(&state);
}

static void teardown(void)
{
    manifest_state_release(&state);
}

TestSuite(manifest_state, .init = setup, .fini = teardown);

static lsm_status change(enum keyspace_change_kind kind, uint32_t id, lsm_slice name, uint64_t ts)
{
    struct keyspace_change c = {.kind = kind, .id = id, .name = name, .ts = ts};
    struct edit edit;
    lsm_status status;

    edit_init(&edit);
    assert_ok(edit_change_keyspace(&edit, &c));
    status = manifest_state_apply(&state, &edit);
    edit_release(&edit);
    return status;
}

Test(manifest_state, a_keyspace_has_a_name_of_1_to_255_bytes_without_a_zero)
{
    char name[KEYSPACE_NAME_SIZE_MAX + 1];

    memset(name, 'n', sizeof name);
    assert_status(change(KEYSPACE_CREATE, 2, slice_make("", 0), 0), LSM_CORRUPT);
    assert_status(change(KEYSPACE_CREATE, 2, slice_make(name, sizeof name), 0), LSM_CORRUPT);
    assert_status(change(KEYSPACE_CREATE, 2, slice_make("a\0b", 3), 0), LSM_CORRUPT);
    cr_assert(eq(sz, state.keyspace_count, 1));
    assert_ok(change(KEYSPACE_CREATE, 2, slice_make(name, sizeof name - 1), 0));
    cr_assert(eq(sz, strlen(state.keyspaces[1].name), KEYSPACE_NAME_SIZE_MAX));
}

Test(manifest_state, options_of_a_keyspace_are_replaced_until_it_is_dropped)
{
    struct keyspace_change alter = {
        .kind = KEYSPACE_ALTER, .id = 2, .options = {.versions_to_keep = 9}};
    struct edit edit;

    assert_ok(change(KEYSPACE_CREATE, 2, slice_of("users"), 0));
    edit_init(&edit);
    assert_ok(edit_change_keyspace(&edit, &alter));
    assert_ok(manifest_state_apply(&state, &edit));
    cr_assert(eq(u32, state.keyspaces[1].options.versions_to_keep, 9));
    assert_ok(change(KEYSPACE_DROP, 2, slice_of(""), 5));
    assert_status(manifest_state_apply(&state, &edit), LSM_CORRUPT);
    edit_release(&edit);
}

// --- snapshots ---

static struct sim *sim;
static struct stores stores;
static struct version *version; // its log: segments 1 and 2

static void open_version(void)
{
    struct version *empty;
    struct edit edit;

    sim = sim_with_dir(1);
    stores_open(&stores, sim);
    assert_ok(version_new(&stores.bin, &empty));
    edit_init(&edit);
    edit_set_log(&edit, 1, 2);
    edit_add_spec(&edit, &(struct table_spec){7, 3, "a", "b", 1, 2, 1, 4, 400, 0, 0});
    assert_ok(version_apply(empty, &edit, &stores.tables, &stores.segments, &version, NULL));
    version_unref(empty);
    edit_release(&edit);
}

static void close_version(void)
{
    version_unref(version);
    stores_close(&stores);
    sim_free(sim);
}

static void set_chain(uint32_t id, uint32_t replay)
{
    state.chain[0] = link_of(id, 0);
    state.replay = (struct log_position){.segment = replay, .offset = 128};
}

Test(manifest_state, a_snapshot_states_segments_that_are_log_or_have_a_final_length)
{
    struct edit snapshot;

    open_version();
    set_chain(1, 1);
    // Segment 2 is unused and no longer log: recovery found it behind the end.
    assert_ok(manifest_state_snapshot(&state, version, &snapshot));
    cr_assert(eq(sz, snapshot.chain_count, 1));
    cr_assert(eq(sz, snapshot.left_count, 0));
    cr_assert(eq(sz, snapshot.added_count, 1));
    edit_release(&snapshot);
    set_chain(2, 2);
    // Segment 1 is pointed to, and nobody knows where it ends.
    assert_status(manifest_state_snapshot(&state, version, &snapshot), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "segment 1 is in use") != NULL);
    close_version();
}

Test(manifest_state, a_snapshot_has_the_log_begin_where_replay_does)
{
    struct edit snapshot;

    open_version();
    set_chain(1, 2);
    assert_status(manifest_state_snapshot(&state, version, &snapshot), LSM_CORRUPT);
    close_version();
}

Test(manifest_state_memory, out_of_memory_is_told_and_leaks_nothing)
{
    struct edit edit;

    cr_assert(alloc_fault_install());
    setup();
    open_version();
    set_chain(1, 1);
    assert_ok(change(KEYSPACE_CREATE, 2, slice_of("users"), 0));
    assert_ok(change(KEYSPACE_DROP, 2, slice_of(""), 5));
    edit_init(&edit);
    edit_set_log(&edit, 1, 2);
    assert_ok(edit_change_keyspace(
        &edit,
        &(struct keyspace_change){.kind = KEYSPACE_CREATE, .id = 3, .name = slice_of("more")}));
    size_t live = alloc_fault_live();
    ALLOC_FAULT_EACH({
        struct manifest_state copy = {.chain = NULL};
        struct edit snapshot;
        lsm_status status = manifest_state_copy(&state, &copy);

        if (status == LSM_OK)
            status = manifest_state_apply(&copy, &edit);
        if (status == LSM_OK)
            status = manifest_state_snapshot(&copy, version, &snapshot);
        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        if (status == LSM_OK) {
            cr_assert(eq(sz, snapshot.keyspace_count, 4));
            edit_release(&snapshot);
        }
        manifest_state_release(&copy);
        cr_assert(eq(sz, alloc_fault_live(), live));
    });
    edit_release(&edit);
    close_version();
    teardown();
}

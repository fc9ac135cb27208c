// test_manifest.c -- what is stated comes back, and damage is told.

#include "manifest/manifest.h"

#include "manifest/manifest_file.h"
#include "manifest_life.h"
#include "support/alloc_fault.h"

TestSuite(manifest, .init = setup, .fini = teardown);

static void touch(const char *name)
{
    life_write_file(&life, name, "", 0);
}

// --- round trips ---

Test(manifest, a_new_database_has_its_first_edit)
{
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 1));
    reopen();
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 1));
    cr_assert(eq(sz, state()->keyspace_count, 1));
    cr_assert(eq(str, (char *)state()->keyspaces[0].name, "default"));
    cr_assert(eq(u32, state()->next_keyspace_id, 2));
    cr_assert(eq(sz, state()->chain_count, 1));
    cr_assert(eq(u64, version_table_count(life.version), 0));
}

Test(manifest, everything_applied_is_there_after_reopening)
{
    lsm_buf before = {.data = NULL};
    lsm_buf after = {.data = NULL};

    for (size_t n = 0; n < SCRIPT_EDITS; n++) {
        assert_ok(life_apply_script(&life, n));
        life_signature(state(), life.version, &before);
        reopen();
        life_signature(state(), life.version, &after);
        cr_assert(slice_equal(slice_of_buf(&before), slice_of_buf(&after)));
    }
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 1 + SCRIPT_EDITS));
    cr_assert(eq(u32, state()->replay.segment, 5));
    cr_assert(eq(u64, state()->mark.offset, 1280));
    cr_assert(eq(u64, state()->last_ts, 1000)); // of the drop
    cr_assert(eq(u64, state()->last_wall_ns, 8000));
    lsm_buf_free(&before);
    lsm_buf_free(&after);
}

Test(manifest, high_water_marks_never_go_back)
{
    struct edit edit;

    play(6);
    edit_init(&edit);
    edit.last_ts = 3;
    edit.mark = (struct log_position){.segment = 1, .offset = 5000};
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    reopen();
    cr_assert(eq(u64, state()->last_ts, 50));
    cr_assert(eq(u32, state()->mark.segment, 5));
}

// The clock can turn out to have been ahead.
Test(manifest, the_time_last_stated_counts)
{
    struct edit edit;

    play(6);
    edit_init(&edit);
    edit.last_wall_ns = 3;
    assert_ok(life_apply(&life, &edit));
    edit.last_wall_ns = 0; // states none
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    reopen();
    cr_assert(eq(u64, state()->last_wall_ns, 3));
}

Test(manifest, file_numbers_are_never_given_out_twice)
{
    uint64_t last = 0;

    for (int round = 0; round < 3; round++) {
        struct file *file;
        struct filename name;

        for (int i = 0; i < 10; i++) {
            uint64_t id = manifest_next_file_id(life.manifest);

            cr_assert(lt(u64, last, id));
            last = id;
        }
        // A file that no edit came to name; the number is not used again.
        name = filename_of(FILENAME_TABLE, last);
        assert_ok(file_open(life.stores.dir, name.text, FILE_CREATE, &file));
        assert_ok(file_close(file));
        reopen();
    }
}

Test(manifest, the_version_follows_the_edits)
{
    play(4);
    cr_assert(eq(sz, life.version->levels[0].count, 0));
    cr_assert(eq(sz, life.version->levels[1].count, 2));
    cr_assert(eq(u64, life.version->edit_number, 5));
    cr_assert(version_find_segment(life.version, 1) != NULL);
    reopen();
    cr_assert(eq(sz, life.version->levels[1].count, 2));
    cr_assert(eq(u64, version_referenced_bytes(life.version), 800));
    cr_assert(eq(sz, life.version->segment_count, 3));
    cr_assert(eq(u64, life.version->segments[0].final_size, 4097));
    cr_assert(eq(u64, life.version->segments[2].final_size, 0)); // still log
}

// --- what leaves ---

static void reclaim(void)
{
    epoch_drain(&life.stores.bin);
    (void)unlinker_drain(life.stores.unlinker, 1000);
}

Test(manifest, removed_tables_and_dropped_segments_are_unlinked_once_unused)
{
    struct version *pinned;

    play(3);
    touch("000101.sst");
    touch("000103.sst");
    touch("000002.vlog");
    pinned = life.version;
    version_ref(pinned);
    assert_ok(life_apply_script(&life, 3)); // a merge
    reclaim();
    cr_assert(is_there("000101.sst")); // pinned
    version_unref(pinned);
    reclaim();
    cr_assert(not(is_there("000101.sst")));
    assert_ok(life_apply_script(&life, 4)); // a move
    reclaim();
    cr_assert(is_there("000103.sst"));
    for (size_t n = 5; n < 8; n++)
        assert_ok(life_apply_script(&life, n));
    reclaim();
    cr_assert(not(is_there("000002.vlog")));
}

Test(manifest, a_moved_table_keeps_its_file)
{
    play(5);
    touch("000103.sst");
    version_unref(life.version);
    assert_ok(version_new(&life.stores.bin, &life.version));
    reclaim();
    cr_assert(is_there("000103.sst"));
}

// --- fresh manifests ---

// An edit of a few hundred bytes which replaces the table of the one before.
static lsm_status replace_one_table(void)
{
    static uint64_t id = 1000;
    char key[300];
    struct edit edit;
    lsm_status status;

    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    edit_init(&edit);
    if (id > 1000)
        assert_ok(edit_remove_table(&edit, 3, id - 1));
    edit_add_spec(&edit, &(struct table_spec){id++, 3, key, key, 1, 2, 0, 0, 0, 0, 0});
    status = life_apply(&life, &edit);
    edit_release(&edit);
    return status;
}

static void replace_table(uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        assert_ok(replace_one_table());
}

Test(manifest, a_manifest_that_has_outgrown_its_content_is_rewritten)
{
    struct filename first = life_manifest_name(&life);
    uint64_t size;

    replace_table(1500);
    cr_assert(is_there(first.text)); // below 1 MiB
    replace_table(500);
    reclaim();
    cr_assert(not(is_there(first.text)));
    assert_ok(file_stat(life.stores.dir, life_manifest_name(&life).text, &size));
    cr_assert(lt(u64, size, 1 << 20));
    reopen();
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 2001));
    cr_assert(eq(u64, version_table_count(life.version), 1));
}

// No room for a whole manifest may still be room for an edit.
Test(manifest, an_outgrown_manifest_goes_on_while_it_cannot_be_rewritten)
{
    struct sim_fault fault = {
        .ops = SIM_OP_OPEN, .name_part = "MANIFEST", .at = 1, .for_ever = true, .status = LSM_BUSY};
    uint64_t number = state()->manifest_number;

    sim_set_fault(sim, &fault);
    replace_table(2000);
    cr_assert(lt(u64, 0, sim_fault_hits(sim)));
    cr_assert(eq(u64, state()->manifest_number, number));
    cr_assert(not(manifest_is_undecided(life.manifest)));
    sim_set_fault(sim, NULL);
    replace_table(1);
    cr_assert(lt(u64, number, state()->manifest_number));
    reopen();
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 2002));
}

Test(manifest, nothing_is_appended_to_a_clean_manifest)
{
    struct edit edit;
    uint64_t number;

    play(SCRIPT_EDITS);
    cr_assert(state()->is_clean);
    number = state()->manifest_number;
    edit_init(&edit);
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    cr_assert(not(state()->is_clean));
    cr_assert(lt(u64, number, state()->manifest_number));
}

// A manifest of a large database is large from the beginning.
Test(manifest, a_manifest_is_not_rewritten_for_the_size_of_its_content)
{
    uint64_t number;
    uint64_t size;
    struct edit edit;
    char key[1024];

    edit_init(&edit);
    for (uint64_t id = 1; id <= 700; id++) {
        (void)snprintf(key, sizeof key, "%06llu%01000d", (unsigned long long)id, 0);
        edit_add_spec(&edit, &(struct table_spec){id, 3, key, key, 1, 2, 0, 0, 0, 0, 0});
    }
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    reopen();
    number = state()->manifest_number;
    assert_ok(file_stat(life.stores.dir, life_manifest_name(&life).text, &size));
    cr_assert(lt(u64, 1 << 20, size));
    for (int i = 0; i < 3; i++) {
        edit_init(&edit);
        assert_ok(life_apply(&life, &edit));
    }
    cr_assert(eq(u64, state()->manifest_number, number));
}

// An append behind a CURRENT of which nobody knows what it names would be lost.
Test(manifest, an_outgrown_manifest_takes_nothing_after_a_rewrite_that_is_poison)
{
    struct sim_fault fault = {.ops = SIM_OP_RENAME, .at = 1, .status = LSM_IO};
    struct filename name = life_manifest_name(&life);
    uint64_t size = 0;
    uint64_t before;
    lsm_status status;

    sim_set_fault(sim, &fault);
    do {
        before = size;
        status = replace_one_table();
        assert_ok(file_stat(life.stores.dir, name.text, &size));
    } while (status == LSM_OK);
    assert_status(status, LSM_IO);
    cr_assert(poison_is_set(&life.stores.poison));
    cr_assert(eq(u64, size, before));
    cr_assert(lt(u64, 1 << 20, size));
}

// --- keyspaces ---

static lsm_status change(enum keyspace_change_kind kind, uint32_t id, const char *name, uint64_t ts)
{
    struct keyspace_change c = {.kind = kind, .id = id, .name = slice_of(name), .ts = ts};
    struct edit edit;
    lsm_status status;

    edit_init(&edit);
    assert_ok(edit_change_keyspace(&edit, &c));
    status = life_apply(&life, &edit);
    edit_release(&edit);
    return status;
}

static void add_table(uint64_t id, unsigned level, uint32_t keyspace, uint64_t ts)
{
    struct edit edit;

    edit_init(&edit);
    edit_add_spec(&edit, &(struct table_spec){id, level, "a", "b", ts, ts, 0, 0, 0, keyspace, 0});
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
}

Test(manifest, a_dropped_keyspace_is_kept_while_something_may_hold_its_entries)
{
    struct edit edit;

    assert_ok(change(KEYSPACE_CREATE, 2, "users", 0));
    assert_ok(change(KEYSPACE_CREATE, 3, "mail", 0));
    add_table(201, 0, 2, 10);
    assert_ok(change(KEYSPACE_DROP, 2, "", 15));
    assert_ok(change(KEYSPACE_CREATE, 4, "users", 0)); // the name is free, the id is not
    reopen();
    cr_assert(eq(sz, state()->keyspace_count, 4)); // a table holds entries
    cr_assert(eq(u64, state()->keyspaces[1].dropped_ts, 15));
    edit_init(&edit);
    assert_ok(edit_remove_table(&edit, 0, 201));
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    reopen();
    cr_assert(eq(sz, state()->keyspace_count, 4)); // the log may hold entries
    add_table(202, 0, 1, 20); // a memtable later than the drop has been flushed
    reopen();
    cr_assert(eq(sz, state()->keyspace_count, 3));
    cr_assert(eq(u32, state()->keyspaces[1].id, 3));
    cr_assert(eq(u32, state()->keyspaces[2].id, 4));
    assert_ok(change(KEYSPACE_DROP, 4, "", 16));
    reopen();
    cr_assert(eq(sz, state()->keyspace_count, 2));
    cr_assert(eq(u32, state()->next_keyspace_id, 5)); // ids are not used again
}

Test(manifest, the_id_of_a_keyspace_is_not_used_again)
{
    assert_ok(change(KEYSPACE_CREATE, 2, "users", 0));
    assert_status(change(KEYSPACE_CREATE, 2, "other", 0), LSM_CORRUPT);
    cr_assert(poison_is_set(&life.stores.poison));
}

Test(manifest, a_name_is_not_taken_twice)
{
    assert_status(change(KEYSPACE_CREATE, 2, "default", 0), LSM_CORRUPT);
}

Test(manifest, a_keyspace_that_is_not_there_cannot_be_dropped)
{
    assert_status(change(KEYSPACE_DROP, 2, "", 5), LSM_CORRUPT);
}

Test(manifest, the_default_keyspace_cannot_be_dropped)
{
    assert_status(change(KEYSPACE_DROP, KEYSPACE_DEFAULT_ID, "", 5), LSM_CORRUPT);
}

// --- broken invariants ---

Test(manifest, an_edit_that_contradicts_the_version_is_poison_and_not_written)
{
    struct edit edit;

    play(2);
    edit_init(&edit);
    assert_ok(edit_remove_table(&edit, 5, 101));
    assert_status(life_apply(&life, &edit), LSM_CORRUPT);
    edit_release(&edit);
    assert_status(life_apply_script(&life, 2), LSM_POISONED);
    reopen();
    cr_assert(eq(u64, manifest_edit_number(life.manifest), 3));
}

Test(manifest, replay_does_not_go_back)
{
    struct edit edit;

    play(2);
    edit_init(&edit);
    edit_set_log(&edit, 2, 3);
    assert_status(life_apply(&life, &edit), LSM_CORRUPT);
    edit_release(&edit);
}

// --- starting ---

static lsm_status start_from(const struct manifest_state *from, struct manifest **out)
{
    return manifest_start(&life.stores.tables, &life.stores.segments, &life.stores.poison, NULL,
                          from, life.version, out);
}

static lsm_status start_another(struct manifest **out)
{
    struct manifest_state newborn;
    lsm_status status;

    newborn_state(&newborn);
    status = start_from(&newborn, out);
    manifest_state_release(&newborn);
    return status;
}

Test(manifest, a_poisoned_database_starts_no_manifest)
{
    struct filename name = life_manifest_name(&life);
    uint64_t calls = sim_call_count(sim);
    struct manifest *other;

    (void)poison_set(&life.stores.poison, lsm_fail(LSM_IO, "test"));
    assert_status(start_another(&other), LSM_POISONED);
    cr_assert(eq(u64, sim_call_count(sim), calls)); // nothing has been changed
    cr_assert(eq(str, life_manifest_name(&life).text, name.text));
}

// Somebody else's file with a number behind which none is left: ours go on counting.
Test(manifest, numbers_of_files_do_not_follow_one_that_is_beyond_all_use)
{
    touch("9223372036854775807.sst");
    touch("000300.sst");
    reopen();
    cr_assert(eq(u64, state()->manifest_number, 301));
    cr_assert(lt(u64, manifest_next_file_id(life.manifest), 400));
}

static lsm_status no_random(struct env *env, void *to, size_t size)
{
    (void)env;
    (void)to;
    return lsm_fail(LSM_IO, "no %zu random bytes", size);
}

Test(manifest, no_manifest_is_made_without_random_numbers_for_its_uuid)
{
    struct filename name = life_manifest_name(&life);
    struct env *env = sim_env(sim);
    const struct env_ops *ops = env->ops;
    struct env_ops without = *ops;
    struct manifest *other;

    without.random_bytes = no_random;
    env->ops = &without;
    assert_status(start_another(&other), LSM_IO);
    env->ops = ops;
    cr_assert(eq(str, life_manifest_name(&life).text, name.text));
    cr_assert(not(poison_is_set(&life.stores.poison)));
    reopen();
}

// --- memory ---

Test(manifest_memory, out_of_memory_while_starting_leaves_the_manifest_before)
{
    struct manifest *other = NULL;
    struct manifest_state newborn;
    struct filename name;

    cr_assert(alloc_fault_install());
    setup();
    newborn_state(&newborn);
    name = life_manifest_name(&life);
    size_t live = alloc_fault_live();
    ALLOC_FAULT_EACH({
        lsm_status status = start_from(&newborn, &other);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        if (status != LSM_OK) {
            cr_assert(eq(str, life_manifest_name(&life).text, name.text));
            cr_assert(eq(sz, alloc_fault_live(), live));
        }
    });
    cr_assert(ne(str, life_manifest_name(&life).text, name.text));
    manifest_free(other);
    manifest_state_release(&newborn);
    teardown();
}

Test(manifest_memory, out_of_memory_is_soft)
{
    lsm_buf signature = {.data = NULL};
    lsm_buf found = {.data = NULL};
    bool is_clean;

    cr_assert(alloc_fault_install());
    setup();
    for (size_t n = 0; n < SCRIPT_EDITS; n++) {
        lsm_status status;

        for (size_t at = 1;; at++) {
            struct edit edit;

            script_edit(n, &edit);
            alloc_fault_at(at, false);
            status = life_apply(&life, &edit);
            alloc_fault_at(0, false);
            edit_release(&edit);
            if (status == LSM_OK)
                break;
            assert_status(status, LSM_NO_MEMORY);
            cr_assert(eq(u64, manifest_edit_number(life.manifest), 1 + n));
            cr_assert(not(manifest_is_undecided(life.manifest)));
        }
        life_signature(state(), life.version, &signature);
        assert_ok(disk_signature(sim, &found, &is_clean));
        cr_assert(slice_equal(slice_of_buf(&signature), slice_of_buf(&found)));
    }
    lsm_buf_free(&signature);
    lsm_buf_free(&found);
    teardown();
}

Test(manifest_memory, out_of_memory_while_reading_leaks_nothing)
{
    cr_assert(alloc_fault_install());
    setup();
    play(SCRIPT_EDITS);
    epoch_drain(&life.stores.bin);
    size_t live = alloc_fault_live();
    ALLOC_FAULT_EACH({
        struct manifest_state read;
        struct version *version;
        lsm_status status =
            manifest_read(&life.stores.tables, &life.stores.segments, &read, &version);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        if (status == LSM_OK) {
            manifest_state_release(&read);
            version_unref(version);
        }
        epoch_drain(&life.stores.bin);
        cr_assert(eq(sz, alloc_fault_live(), live));
    });
    teardown();
}

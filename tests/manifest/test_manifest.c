// test_manifest.c -- what is stated comes back, and damage is told.

#include "manifest/manifest.h"

#include "manifest/manifest_file.h"
#include "manifest_script.h"
#include "support/alloc_fault.h"

static struct sim *sim;
static struct life life;

static void setup(void)
{
    sim = sim_with_dir(1);
    assert_ok(life_create(&life, sim));
}

static void teardown(void)
{
    life_close(&life);
    sim_free(sim);
}

TestSuite(manifest, .init = setup, .fini = teardown);

static const struct manifest_state *state(void)
{
    const struct manifest_state *s;

    manifest_lock(life.manifest);
    s = manifest_state_locked(life.manifest);
    manifest_unlock(life.manifest);
    return s;
}

static void reopen(void)
{
    life_close(&life);
    assert_ok(life_open(&life, sim));
}

static void play(size_t count)
{
    for (size_t n = 0; n < count; n++)
        assert_ok(life_apply_script(&life, n));
}

// The file that CURRENT names.
static struct filename manifest_name(void)
{
    struct file_header current;

    assert_ok(current_read(life.stores.dir, &current));
    return filename_of(FILENAME_MANIFEST, current.number);
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
    cr_assert(eq(u64, state()->last_ts, 80));
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
    edit.last_wall_ns = 3;
    edit.mark = (struct log_position){.segment = 1, .offset = 5000};
    assert_ok(life_apply(&life, &edit));
    edit_release(&edit);
    reopen();
    cr_assert(eq(u64, state()->last_ts, 50));
    cr_assert(eq(u64, state()->last_wall_ns, 5000));
    cr_assert(eq(u32, state()->mark.segment, 5));
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

static void touch(const char *name)
{
    struct file *file;

    assert_ok(file_open(life.stores.dir, name, FILE_CREATE, &file));
    assert_ok(file_close(file));
}

static bool is_there(const char *name)
{
    uint64_t size;

    return file_stat(life.stores.dir, name, &size) == LSM_OK;
}

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

// Applies `count` edits of a few hundred bytes which replace each other's table.
static void replace_table(uint64_t count)
{
    static uint64_t id = 1000;
    char key[300];

    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    for (uint64_t i = 0; i < count; i++) {
        struct edit edit;

        edit_init(&edit);
        if (id > 1000)
            assert_ok(edit_remove_table(&edit, 3, id - 1));
        edit_add_spec(&edit, &(struct table_spec){id++, 3, key, key, 1, 2, 0, 0, 0, 0, 0});
        assert_ok(life_apply(&life, &edit));
        edit_release(&edit);
    }
}

Test(manifest, a_manifest_that_has_outgrown_its_content_is_rewritten)
{
    struct filename first = manifest_name();
    uint64_t size;

    replace_table(1500);
    cr_assert(is_there(first.text)); // below 1 MiB
    replace_table(500);
    reclaim();
    cr_assert(not(is_there(first.text)));
    assert_ok(file_stat(life.stores.dir, manifest_name().text, &size));
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

// --- damage ---

// How reading went after a byte was flipped.
static lsm_status read_flipped(const char *name, uint64_t offset, lsm_buf *found, bool *is_clean)
{
    lsm_status status;

    assert_ok(sim_flip(sim, DB_DIR, name, offset, (uint8_t)(1u << (offset % 8))));
    status = disk_signature(sim, found, is_clean);
    assert_ok(sim_flip(sim, DB_DIR, name, offset, (uint8_t)(1u << (offset % 8))));
    return status;
}

// A damaged last edit looks as if it had been torn; every other byte is missed.
Test(manifest, a_flipped_byte_is_damage_or_the_end_of_the_last_edit)
{
    lsm_buf before = {.data = NULL};
    lsm_buf found = {.data = NULL};
    struct filename name = manifest_name();
    uint64_t last_edit, size;
    bool is_clean;

    play(7);
    life_signature(state(), life.version, &before);
    assert_ok(file_stat(life.stores.dir, name.text, &last_edit));
    assert_ok(life_apply_script(&life, 7));
    assert_ok(file_stat(life.stores.dir, name.text, &size));
    life_close(&life);
    for (uint64_t offset = 0; offset < size; offset++) {
        lsm_status status = read_flipped(name.text, offset, &found, &is_clean);

        if (offset < last_edit) {
            assert_status(status, LSM_CORRUPT);
            cr_assert(strstr(lsm_errmsg(), name.text) != NULL);
            cr_assert(strstr(lsm_errmsg(), "offset") != NULL);
            continue;
        }
        assert_ok(status);
        cr_assert(slice_equal(slice_of_buf(&found), slice_of_buf(&before)));
    }
    for (uint64_t offset = 0; offset < 128; offset++)
        assert_status(read_flipped("CURRENT", offset, &found, &is_clean), LSM_CORRUPT);
    lsm_buf_free(&before);
    lsm_buf_free(&found);
}

Test(manifest, any_flipped_byte_of_a_cleanly_closed_database_is_damage)
{
    lsm_buf found = {.data = NULL};
    struct filename name;
    bool is_clean;
    uint64_t size;

    play(SCRIPT_EDITS);
    name = manifest_name();
    assert_ok(file_stat(life.stores.dir, name.text, &size));
    life_close(&life);
    for (uint64_t offset = 0; offset < size; offset++)
        assert_status(read_flipped(name.text, offset, &found, &is_clean), LSM_CORRUPT);
    for (uint64_t cut = 0; cut < size; cut++) {
        struct sim *copy;

        assert_ok(sim_clone(sim, &copy));
        assert_ok(sim_cut(copy, DB_DIR, name.text, cut));
        assert_status(disk_signature(copy, &found, &is_clean), LSM_CORRUPT);
        sim_free(copy);
    }
    assert_ok(disk_signature(sim, &found, &is_clean));
    cr_assert(is_clean);
    lsm_buf_free(&found);
}

Test(manifest, bytes_behind_the_edit_of_a_clean_close_are_damage)
{
    lsm_buf found = {.data = NULL};
    struct filename name;
    struct file *file;
    bool is_clean;
    uint64_t size;

    play(SCRIPT_EDITS);
    name = manifest_name();
    assert_ok(file_open(life.stores.dir, name.text, FILE_WRITE, &file));
    assert_ok(file_size(file, &size));
    assert_ok(file_write_one(file, size, slice_of("x")));
    assert_ok(file_close(file));
    life_close(&life);
    assert_status(disk_signature(sim, &found, &is_clean), LSM_CORRUPT);
    lsm_buf_free(&found);
}

// A tail cut at any byte loses the edits behind the cut and no other.
Test(manifest, a_tail_cut_anywhere_leaves_the_whole_edits_before_it)
{
    lsm_buf signatures[SCRIPT_EDITS + 1];
    lsm_buf found = {.data = NULL};
    struct filename name = manifest_name();
    uint64_t ends[SCRIPT_EDITS];
    bool is_clean;
    size_t whole = 0;

    script_signatures(signatures);
    assert_ok(file_stat(life.stores.dir, name.text, &ends[0]));
    for (size_t n = 0; n + 1 < SCRIPT_EDITS; n++) {
        assert_ok(life_apply_script(&life, n));
        assert_ok(file_stat(life.stores.dir, name.text, &ends[n + 1]));
    }
    life_close(&life);
    for (uint64_t cut = ends[0]; cut <= ends[SCRIPT_EDITS - 1]; cut++) {
        struct sim *copy;

        if (cut == ends[whole + 1])
            whole++;
        assert_ok(sim_clone(sim, &copy));
        assert_ok(sim_cut(copy, DB_DIR, name.text, cut));
        assert_ok(disk_signature(copy, &found, &is_clean));
        cr_assert(eq(int, find_signature(signatures, &found), (int)whole));
        sim_free(copy);
        if (whole == SCRIPT_EDITS - 1)
            break;
    }
    signatures_release(signatures);
    lsm_buf_free(&found);
}

Test(manifest, a_gap_in_the_numbers_is_damage)
{
    lsm_buf found = {.data = NULL};
    lsm_buf frame = {.data = NULL};
    struct filename name = manifest_name();
    struct edit edit;
    struct file *file;
    bool is_clean;

    for (uint64_t number = 2; number <= 4; number += 2) { // 2 follows, 4 does not
        uint64_t size;
        struct file_header current;

        assert_ok(current_read(life.stores.dir, &current));
        assert_ok(file_open(life.stores.dir, name.text, FILE_WRITE, &file));
        assert_ok(file_size(file, &size));
        edit_init(&edit);
        edit.number = number;
        edit.last_ts = number;
        buf_clear(&frame);
        assert_ok(manifest_frame_encode(&edit, &current.file_uuid, size, &frame));
        assert_ok(file_write_one(file, size, slice_of_buf(&frame)));
        assert_ok(file_close(file));
        assert_status(disk_signature(sim, &found, &is_clean), number == 2 ? LSM_OK : LSM_CORRUPT);
    }
    lsm_buf_free(&frame);
    lsm_buf_free(&found);
}

Test(manifest, a_manifest_of_another_database_is_refused)
{
    struct manifest_state read;
    struct version *version;
    struct uuid uuid;

    assert_ok(manifest_read_uuid(life.stores.dir, &uuid));
    cr_assert(uuid_equal(&uuid, &fixture_db_uuid));
    life.stores.tables.db_uuid.bytes[0]++;
    assert_status(manifest_read(&life.stores.tables, &life.stores.segments, &read, &version),
                  LSM_CORRUPT);
}

Test(manifest, a_missing_manifest_is_damage)
{
    lsm_buf found = {.data = NULL};
    bool is_clean;

    assert_ok(file_unlink(life.stores.dir, manifest_name().text));
    assert_status(disk_signature(sim, &found, &is_clean), LSM_CORRUPT);
}

Test(manifest, current_is_exactly_one_header)
{
    lsm_buf found = {.data = NULL};
    bool is_clean;
    struct file *file;

    assert_ok(file_open(life.stores.dir, "CURRENT", FILE_WRITE, &file));
    assert_ok(file_write_one(file, 128, slice_of("x")));
    assert_ok(file_close(file));
    assert_status(disk_signature(sim, &found, &is_clean), LSM_CORRUPT);
}

// --- looking ---

struct seen {
    size_t edits;
    size_t bad;
    uint64_t next;
};

static lsm_status see(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    struct seen *seen = ctx;

    cr_assert(eq(u64, offset, seen->next)); // without a gap
    seen->next = offset + size;
    if (edit == NULL)
        seen->bad++;
    else
        cr_assert(eq(u64, edit->number, ++seen->edits + seen->bad));
    return LSM_OK;
}

Test(manifest, a_scan_shows_every_edit_and_goes_on_behind_damage)
{
    struct filename name = manifest_name();
    struct seen seen = {.next = 128};
    uint64_t second, size;

    assert_ok(file_stat(life.stores.dir, name.text, &second));
    play(4);
    assert_ok(file_stat(life.stores.dir, name.text, &size));
    assert_ok(manifest_scan(life.stores.dir, name.text, see, &seen));
    cr_assert(eq(sz, seen.edits, 5));
    cr_assert(eq(sz, seen.bad, 0));
    cr_assert(eq(u64, seen.next, size));
    life_close(&life);
    assert_ok(sim_flip(sim, DB_DIR, name.text, second + 50, 1));
    assert_ok(life_open(&life, sim) == LSM_CORRUPT ? LSM_OK : LSM_IO);
    seen = (struct seen){.next = 128};
    assert_ok(manifest_scan(life.stores.dir, name.text, see, &seen));
    cr_assert(eq(sz, seen.edits, 4));
    cr_assert(eq(sz, seen.bad, 1));
    cr_assert(eq(u64, seen.next, size));
}

// --- orphans ---

static void write_file(const char *name, const void *bytes, size_t size)
{
    struct file *file;

    assert_ok(file_open(life.stores.dir, name, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_make(bytes, size)));
    assert_ok(file_close(file));
}

static void write_header(const char *name, enum file_kind kind, uint64_t number, bool is_ours)
{
    struct file_header header = {.kind = kind, .db_uuid = fixture_db_uuid, .number = number};
    uint8_t bytes[FILE_HEADER_SIZE];

    header.db_uuid.bytes[15] = is_ours ? header.db_uuid.bytes[15] : 0xFF;
    file_header_encode(&header, bytes);
    write_file(name, bytes, sizeof bytes);
}

// What a crash and other people may have left beside the files that are in use.
static void leave_files(void)
{
    static const uint8_t zeroes[300];

    write_header("000103.sst", FILE_KIND_TABLE, 103, true); // in use
    write_header("000104.sst", FILE_KIND_TABLE, 104, true);
    write_header("000001.vlog", FILE_KIND_LOG, 1, true); // pointed to
    write_header("000005.vlog", FILE_KIND_LOG, 5, true); // log
    write_header("000009.vlog", FILE_KIND_LOG, 9, true); // named by the caller

    write_header("000070.sst", FILE_KIND_TABLE, 70, false); // of another database
    write_file("000053.sst", "not ours at all", 15);
    write_file("000071.vlog", zeroes, 10); // an id that was never given out
    write_file("notes.txt", "x", 1);
    write_file("54.sst", "", 0);                              // not a name of ours
    write_header("000055.sst", FILE_KIND_TABLE, 99, true);    // a copy
    write_header("000056.sst", FILE_KIND_MANIFEST, 56, true); // of another kind

    write_header("000050.sst", FILE_KIND_TABLE, 50, true); // orphans
    write_file("000051.sst", "", 0);
    write_file("000052.sst", zeroes, sizeof zeroes);
    write_file("000057.sst", "lsmkv\r\n\x1a torn", 13);
    write_header("000003.vlog", FILE_KIND_LOG, 3, true);
    write_header("000004.vlog", FILE_KIND_LOG, 4, true);
    write_header("MANIFEST-000060", FILE_KIND_MANIFEST, 60, true);
}

// Opens it as recovery does that found the log to end before segment 3, of which the
// version read still thinks that it is log.
static void open_with_log(uint32_t id)
{
    struct manifest_state read;

    assert_ok(manifest_read(&life.stores.tables, &life.stores.segments, &read, &life.version));
    cr_assert(version_find_segment(life.version, 3) != NULL);
    cr_assert(eq(sz, read.chain_count, 1));
    read.chain[0] = link_of(id, 0);
    read.replay = (struct log_position){.segment = id, .offset = 128};
    assert_ok(manifest_start(&life.stores.tables, &life.stores.segments, &life.stores.poison, NULL,
                             &read, life.version, &life.manifest));
    manifest_state_release(&read);
}

Test(manifest, orphans_are_removed_and_nothing_else)
{
    static const char *const gone[] = {"000050.sst",  "000051.sst",      "000052.sst",
                                       "000057.sst",  "000003.vlog",     "000004.vlog",
                                       "CURRENT.new", "MANIFEST-000060", "MANIFEST-000001"};
    static const char *const kept[] = {"000103.sst",  "000104.sst", "000001.vlog", "000005.vlog",
                                       "000009.vlog", "000070.sst", "000053.sst",  "000071.vlog",
                                       "notes.txt",   "54.sst",     "000055.sst",  "000056.sst",
                                       "CURRENT"};
    uint32_t keep = 9;
    size_t removed = 0;

    play(4);
    life_close(&life);
    stores_open(&life.stores, sim);
    leave_files();
    open_with_log(5);
    write_header("CURRENT.new", FILE_KIND_CURRENT, 61, true); // starting replaces one
    assert_ok(manifest_remove_orphans(life.manifest, life.version, &keep, 1, &removed));
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        cr_assert(is_there(kept[i]), "%s is gone", kept[i]);
    for (size_t i = 0; i < sizeof gone / sizeof *gone; i++)
        cr_assert(not(is_there(gone[i])), "%s is there", gone[i]);
    cr_assert(eq(sz, removed, sizeof gone / sizeof *gone));
    cr_assert(is_there(filename_of(FILENAME_MANIFEST, state()->manifest_number).text));
    assert_ok(manifest_remove_orphans(life.manifest, life.version, &keep, 1, &removed));
    cr_assert(eq(sz, removed, 0));
}

Test(manifest, a_poisoned_database_removes_no_orphan)
{
    size_t removed;

    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    (void)poison_set(&life.stores.poison, lsm_fail(LSM_IO, "test"));
    assert_status(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed),
                  LSM_POISONED);
    cr_assert(is_there("000050.sst"));
}

// --- without CURRENT ---

static void lose_current(void)
{
    life_close(&life);
    stores_open(&life.stores, sim);
    assert_ok(file_unlink(life.stores.dir, "CURRENT"));
}

Test(manifest, an_empty_directory_holds_no_database)
{
    struct sim *empty = sim_with_dir(2);
    struct dir *dir;
    uint64_t id_max = 7;

    assert_ok(manifest_exists(life.stores.dir));
    assert_ok(dir_open(sim_env(empty), DB_DIR, false, &dir));
    assert_status(manifest_exists(dir), LSM_NOT_FOUND);
    assert_ok(manifest_remove_unborn(dir, &id_max));
    cr_assert(eq(u64, id_max, 0));
    dir_close(dir);
    sim_free(empty);
}

Test(manifest, a_database_without_current_is_damaged)
{
    play(1);
    lose_current();
    assert_status(manifest_exists(life.stores.dir), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "CURRENT") != NULL);
}

Test(manifest, a_table_without_current_is_damage)
{
    lose_current();
    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    assert_status(manifest_exists(life.stores.dir), LSM_CORRUPT);
}

// A creation that crashed has left a manifest and a segment, whole or torn.
Test(manifest, what_an_unfinished_creation_has_left_is_no_database)
{
    struct filename name = manifest_name();
    uint64_t id_max;

    lose_current();
    write_header("000001.vlog", FILE_KIND_LOG, 1, true);
    write_file("000002.vlog", "lsmkv", 5);
    write_file("MANIFEST-000009", "", 0);
    write_file("CURRENT.new", "", 0);
    write_file("000003.vlog", "somebody else's", 15);
    assert_status(manifest_exists(life.stores.dir), LSM_NOT_FOUND);
    assert_ok(manifest_remove_unborn(life.stores.dir, &id_max));
    cr_assert(eq(u64, id_max, 3));
    cr_assert(not(is_there(name.text)));
    cr_assert(not(is_there("000001.vlog")));
    cr_assert(not(is_there("000002.vlog")));
    cr_assert(not(is_there("MANIFEST-000009")));
    cr_assert(not(is_there("CURRENT.new")));
    cr_assert(is_there("000003.vlog"));
}

// --- memory ---

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

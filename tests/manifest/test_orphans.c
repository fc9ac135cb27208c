// test_orphans.c -- which files are removed, and which are somebody else's.

#include "manifest/orphans.h"

#include "base/coding.h"
#include "base/crc32c.h"
#include "manifest_life.h"
#include "support/alloc_fault.h"

TestSuite(orphans, .init = setup, .fini = teardown);

// --- what nothing names ---

static void write_file(const char *name, const void *bytes, size_t size)
{
    life_write_file(&life, name, bytes, size);
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

Test(orphans, orphans_are_removed_and_nothing_else)
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

Test(orphans, a_poisoned_database_removes_no_orphan)
{
    size_t removed;

    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    (void)poison_set(&life.stores.poison, lsm_fail(LSM_IO, "test"));
    assert_status(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed),
                  LSM_POISONED);
    cr_assert(is_there("000050.sst"));
}

// What may be ours only by its name stays: the format may be a later one's.
Test(orphans, a_file_of_a_newer_format_stays)
{
    struct file_header header = {.kind = FILE_KIND_TABLE, .db_uuid = fixture_db_uuid, .number = 50};
    uint8_t bytes[FILE_HEADER_SIZE];
    size_t removed;

    file_header_encode(&header, bytes);
    put_u16(bytes + 8, FILE_FORMAT_VERSION + 1);
    put_u32(bytes + 124, crc32c(0, bytes, 124));
    write_file("000050.sst", bytes, sizeof bytes);
    assert_ok(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed));
    cr_assert(eq(sz, removed, 0));
    cr_assert(is_there("000050.sst"));
}

Test(orphans, a_torn_current_new_is_removed)
{
    size_t removed;

    write_file("CURRENT.new", "lsmkv", 5);
    assert_ok(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed));
    cr_assert(eq(sz, removed, 1));
    cr_assert(not(is_there("CURRENT.new")));
}

Test(orphans, a_file_that_cannot_be_read_or_removed_is_left_alone)
{
    static const unsigned ops[] = {SIM_OP_OPEN, SIM_OP_READ, SIM_OP_UNLINK};
    size_t removed;

    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    for (size_t i = 0; i < 3; i++) {
        struct sim_fault fault = {.ops = ops[i], .name_part = "000050", .at = 1, .status = LSM_IO};

        sim_set_fault(sim, &fault);
        assert_ok(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed));
        cr_assert(eq(u64, sim_fault_hits(sim), 1));
        cr_assert(eq(sz, removed, 0));
        cr_assert(is_there("000050.sst"));
    }
    sim_set_fault(sim, NULL);
    assert_ok(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed));
    cr_assert(eq(sz, removed, 1));
}

Test(orphans, nothing_is_removed_where_the_directory_cannot_be_listed)
{
    struct sim_fault fault = {.ops = SIM_OP_LIST, .at = 1, .status = LSM_IO};
    size_t removed;

    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    sim_set_fault(sim, &fault);
    assert_status(manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed), LSM_IO);
    cr_assert(is_there("000050.sst"));
}

// A segment with references whose final length nobody has stated, and that no chain names.
Test(orphans, what_is_pointed_to_stays_whatever_else_is_said_of_it)
{
    struct manifest_state nothing;
    struct kept_files kept = {.state = &nothing, .next_file_id = 100};
    size_t removed;

    assert_ok(life_apply_script(&life, 0));
    write_header("000001.vlog", FILE_KIND_LOG, 1, true); // pointed to
    write_header("000002.vlog", FILE_KIND_LOG, 2, true);
    write_file("000003.vlog", "", 0); // of no chain that could have given out its number
    manifest_state_init(&nothing);
    nothing.db_uuid = fixture_db_uuid;
    nothing.manifest_number = state()->manifest_number;
    kept.version = life.version;
    assert_ok(orphans_remove(life.stores.dir, &kept, NULL, &removed));
    cr_assert(eq(sz, removed, 1));
    cr_assert(is_there("000001.vlog"));
    cr_assert(not(is_there("000002.vlog")));
    cr_assert(is_there("000003.vlog"));
    cr_assert(is_there(life_manifest_name(&life).text));
}

// --- without CURRENT ---

static void lose_current(void)
{
    life_close(&life);
    stores_open(&life.stores, sim);
    assert_ok(file_unlink(life.stores.dir, "CURRENT"));
}

static void assert_no_database(struct dir *dir)
{
    bool exists;

    assert_ok(manifest_exists(dir, &exists));
    cr_assert(not(exists));
}

Test(orphans, an_empty_directory_holds_no_database)
{
    struct sim *empty = sim_with_dir(2);
    struct dir *dir;
    uint64_t id_max = 7;
    bool exists;

    assert_ok(manifest_exists(life.stores.dir, &exists));
    cr_assert(exists);
    assert_ok(dir_open(sim_env(empty), DB_DIR, false, &dir));
    assert_no_database(dir);
    assert_ok(manifest_remove_unborn(dir, &id_max));
    cr_assert(eq(u64, id_max, 0));
    dir_close(dir);
    sim_free(empty);
}

Test(orphans, a_database_without_current_is_damaged)
{
    play(1);
    lose_current();
    assert_status(manifest_exists(life.stores.dir, &(bool){false}), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "CURRENT") != NULL);
}

Test(orphans, a_table_without_current_is_damage)
{
    lose_current();
    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    assert_status(manifest_exists(life.stores.dir, &(bool){false}), LSM_CORRUPT);
}

// A creation that crashed has left a manifest and a segment, whole or torn.
Test(orphans, what_an_unfinished_creation_has_left_is_no_database)
{
    struct filename name = life_manifest_name(&life);
    uint64_t id_max;

    lose_current();
    write_header("000001.vlog", FILE_KIND_LOG, 1, true);
    write_file("000002.vlog", "lsmkv", 5);
    write_file("MANIFEST-000009", "", 0);
    write_file("CURRENT.new", "", 0);
    write_file("000003.vlog", "somebody else's", 15);
    assert_no_database(life.stores.dir);
    assert_ok(manifest_remove_unborn(life.stores.dir, &id_max));
    cr_assert(eq(u64, id_max, 3));
    cr_assert(not(is_there(name.text)));
    cr_assert(not(is_there("000001.vlog")));
    cr_assert(not(is_there("000002.vlog")));
    cr_assert(not(is_there("MANIFEST-000009")));
    cr_assert(not(is_there("CURRENT.new")));
    cr_assert(is_there("000003.vlog"));
}

// Its header was written, and what follows was not.
Test(orphans, a_manifest_without_an_edit_that_verifies_is_of_no_database)
{
    uint8_t bytes[FILE_HEADER_SIZE + 40];
    struct file_header header = {
        .kind = FILE_KIND_MANIFEST, .db_uuid = fixture_db_uuid, .number = 20};
    uint64_t id_max;

    memset(bytes, 0x55, sizeof bytes);
    file_header_encode(&header, bytes);
    lose_current();
    write_file("MANIFEST-000020", bytes, sizeof bytes);
    assert_no_database(life.stores.dir);
    assert_ok(manifest_remove_unborn(life.stores.dir, &id_max));
    cr_assert(not(is_there("MANIFEST-000020")));
}

// A manifest that says more than that a database is being made.
Test(orphans, a_manifest_of_a_database_that_has_lived_is_damage_without_current)
{
    enum { LATER, TABLE, KEYSPACES, NO_SNAPSHOT, CASES };

    lose_current();
    for (int i = 0; i < CASES; i++) {
        struct keyspace_change create = {.kind = KEYSPACE_CREATE, .name = slice_of("name")};
        struct manifest_file file;
        struct edit edit;
        uint64_t id_max;

        edit_init(&edit);
        edit.number = i == LATER ? 2 : 1;
        edit.is_snapshot = i != NO_SNAPSHOT;
        edit.last_ts = 1;
        if (i == TABLE)
            edit_add_spec(&edit, &(struct table_spec){5, 1, "a", "b", 1, 2, 0, 0, 0, 0, 0});
        for (create.id = 1; i == KEYSPACES && create.id <= 2; create.id++)
            assert_ok(edit_change_keyspace(&edit, &create));
        assert_ok(manifest_file_create(life.stores.dir, &fixture_db_uuid, 20, &edit, &file));
        manifest_file_close(&file);
        edit_release(&edit);
        assert_status(manifest_exists(life.stores.dir, &(bool){false}), LSM_CORRUPT);
        assert_ok(manifest_remove_unborn(life.stores.dir, &id_max));
        cr_assert(is_there("MANIFEST-000020"));
        assert_ok(file_unlink(life.stores.dir, "MANIFEST-000020"));
    }
    assert_no_database(life.stores.dir);
}

Test(orphans, the_highest_number_of_a_segment_that_stays_counts)
{
    uint64_t id_max;

    lose_current();
    write_file("1000000.vlog", "somebody else's", 15); // first by name
    write_file("999999.vlog", "somebody else's", 15);
    write_file("MANIFEST-2000000", "somebody else's", 15);
    assert_ok(manifest_remove_unborn(life.stores.dir, &id_max));
    cr_assert(eq(u64, id_max, 1000000));
    cr_assert(is_there("MANIFEST-2000000"));
}

// --- without CURRENT, and failing ---

typedef lsm_status (*look_fn)(struct dir *dir);

static lsm_status look(struct dir *dir)
{
    bool exists;

    return manifest_exists(dir, &exists);
}

static lsm_status sweep(struct dir *dir)
{
    uint64_t id_max;

    return manifest_remove_unborn(dir, &id_max);
}

// Each call of the env fails, one after the other, each time over a copy of the disk.
static void fail_each_call(look_fn fn)
{
    bool is_hit = true;

    for (uint64_t at = 1; is_hit; at++) {
        struct sim_fault fault = {.ops = SIM_OP_ANY & ~SIM_OP_CLOSE, .at = at, .status = LSM_IO};
        struct sim *copy;
        struct dir *dir;
        lsm_status status;

        assert_ok(sim_clone(sim, &copy));
        assert_ok(dir_open(sim_env(copy), DB_DIR, false, &dir));
        sim_set_fault(copy, &fault);
        status = fn(dir);
        is_hit = sim_fault_hits(copy) > 0;
        cr_assert(lt(u64, at, 100));
        assert_status(status, is_hit ? LSM_IO : LSM_OK);
        dir_close(dir);
        sim_free(copy);
    }
}

static void leave_unborn(void)
{
    lose_current();
    write_header("000001.vlog", FILE_KIND_LOG, 1, true);
    write_file("000002.vlog", "lsmkv", 5);
    write_file("000003.vlog", "somebody else's", 15);
    write_file("MANIFEST-000009", "", 0);
    write_file("CURRENT.new", "", 0);
}

// Else a database would be made over one that is there.
Test(orphans, a_failure_while_looking_is_never_taken_for_an_empty_directory)
{
    leave_unborn();
    fail_each_call(look);
    fail_each_call(sweep);
}

Test(orphans_memory, out_of_memory_is_never_taken_for_an_empty_directory)
{
    cr_assert(alloc_fault_install());
    setup();
    write_header("000050.sst", FILE_KIND_TABLE, 50, true);
    ALLOC_FAULT_EACH({
        size_t removed = 0;
        lsm_status status = manifest_remove_orphans(life.manifest, life.version, NULL, 0, &removed);

        // A file that cannot be opened stays for the next time.
        cr_assert(status == LSM_OK || status == LSM_NO_MEMORY);
        cr_assert(ne(int, removed > 0, is_there("000050.sst")));
    });
    leave_unborn();
    ALLOC_FAULT_EACH(
        { assert_status(look(life.stores.dir), alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK); });
    ALLOC_FAULT_EACH(
        { assert_status(sweep(life.stores.dir), alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK); });
    teardown();
}

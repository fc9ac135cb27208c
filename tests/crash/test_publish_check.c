// test_publish_check.c -- the check that other tests rely on finds each planted mistake.

#include "support/publish_check.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "manifest/manifest_file.h"

#define DIR_PATH "/db"

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

static const struct uuid db_uuid = {.bytes = {1}};

static struct {
    struct sim *sim;
    struct dir *dir;
    struct publish_check check;
} f;

static void setup(void)
{
    assert_ok(sim_new(1, &f.sim));
    assert_ok(dir_open(sim_env(f.sim), DIR_PATH, true, &f.dir));
    publish_check_start(&f.check, f.sim);
}

static void teardown(void)
{
    publish_check_stop(f.sim);
    dir_close(f.dir);
    sim_free(f.sim);
}

TestSuite(publish_check, .init = setup, .fini = teardown);

static void assert_violation(const char *what)
{
    cr_assert(gt(u64, f.check.violations, 0), "it was not noticed");
    cr_assert(strstr(f.check.what, what) != NULL, "'%s'", f.check.what);
}

// --- steps of a database ---

// A file of `size` bytes; its name is durable with the next sync of the directory.
static void make_file(const char *name, size_t size, bool is_synced)
{
    struct file *file;
    uint8_t bytes[1024] = {0};

    assert_ok(file_open(f.dir, name, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_make(bytes, size)));
    if (is_synced)
        assert_ok(file_sync(file));
    assert_ok(file_close(file));
}

static void make_table_and_segment(void)
{
    make_file("000007.sst", 500, true);
    make_file("000001.vlog", 300, true);
    assert_ok(dir_sync(f.dir));
}

// A manifest that names table 7, which points to segment 1, and the log: segment 2.
static void make_edit(struct edit *edit, struct table_meta *meta)
{
    static struct segment_reference reference = {.segment = 1, .count = 1, .bytes = 10};
    const struct log_link link = {.id = 2};
    struct table_meta *copy;

    *meta = (struct table_meta){
        .id = 7,
        .size = 500,
        .smallest = {.keyspace = 1, .key = slice_of("a"), .ts = 1},
        .largest = {.keyspace = 1, .key = slice_of("a"), .ts = 1},
        .entry_count = 1,
        .ts_min = 1,
        .ts_max = 1,
        .references = &reference,
        .reference_count = 1,
    };
    assert_ok(table_meta_copy(meta, &copy));
    edit_init(edit);
    edit->number = 1;
    edit->is_snapshot = true;
    assert_ok(edit_add_table(edit, 0, copy));
    edit->has_log = true;
    edit->replay = (struct log_position){.segment = 2, .offset = FILE_HEADER_SIZE};
    assert_ok(edit_add_chain(edit, &link));
}

static void write_manifest(struct manifest_file *out)
{
    struct table_meta meta;
    struct edit edit;

    make_edit(&edit, &meta);
    assert_ok(manifest_file_create(f.dir, &db_uuid, 5, &edit, out));
    edit_release(&edit);
}

static void switch_current(const struct manifest_file *manifest)
{
    assert_ok(current_prepare(f.dir, &db_uuid, manifest));
    assert_ok(dir_sync(f.dir));
    assert_ok(file_rename(f.dir, "CURRENT.new", "CURRENT"));
    assert_ok(dir_sync(f.dir));
}

// All by the book.
static void make_database(void)
{
    struct manifest_file manifest;

    make_table_and_segment();
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    assert_ok(dir_sync(f.dir));
    switch_current(&manifest);
    manifest_file_close(&manifest);
}

// --- the book, and mistakes ---

Test(publish_check, says_nothing_about_what_is_done_by_the_book)
{
    make_file("000009.sst", 10, false);
    make_database();
    assert_ok(file_unlink(f.dir, "000009.sst"));
    cr_assert(eq(u64, f.check.edits, 1));
    cr_assert(eq(u64, f.check.unlinks, 3)); // an old CURRENT.new, CURRENT, the table
    cr_assert(eq(u64, f.check.violations, 0), "%s", f.check.what);
}

Test(publish_check, notices_an_edit_that_names_a_table_without_its_bytes)
{
    struct manifest_file manifest;

    make_file("000007.sst", 500, false);
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    manifest_file_close(&manifest);
    assert_violation("MANIFEST-000005 names 000007.sst");
}

Test(publish_check, notices_an_edit_that_names_a_table_shorter_than_it_says)
{
    struct manifest_file manifest;

    make_file("000007.sst", 499, true);
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    manifest_file_close(&manifest);
    assert_violation("MANIFEST-000005 names 000007.sst");
}

Test(publish_check, notices_an_edit_that_names_a_segment_without_its_name)
{
    struct manifest_file manifest;

    make_table_and_segment();
    make_file("000002.vlog", 128, true);
    write_manifest(&manifest);
    manifest_file_close(&manifest);
    assert_violation("MANIFEST-000005 names 000002.vlog");
}

Test(publish_check, notices_a_later_edit_as_well_as_the_first)
{
    struct manifest_file manifest;
    struct edit edit;
    lsm_buf frame = LSM_BUF_INIT;

    make_table_and_segment();
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    edit_init(&edit);
    edit.number = 2;
    edit.mark = (struct log_position){.segment = 2, .offset = 129};
    assert_ok(manifest_frame_encode(&edit, &manifest.uuid, manifest.size, &frame));
    assert_ok(manifest_file_append(&manifest, slice_of_buf(&frame)));
    edit_release(&edit);
    lsm_buf_free(&frame);
    manifest_file_close(&manifest);
    assert_violation("MANIFEST-000005 names 000002.vlog, of which 129 bytes");
}

Test(publish_check, notices_a_switch_to_a_manifest_without_its_name)
{
    struct manifest_file manifest;

    make_table_and_segment();
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    assert_ok(current_prepare(f.dir, &db_uuid, &(struct manifest_file){.number = 5}));
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    assert_ok(file_rename(f.dir, "CURRENT.new", "CURRENT"));
    manifest_file_close(&manifest);
    assert_violation("CURRENT is switched to MANIFEST-000005");
}

Test(publish_check, notices_a_switch_before_the_new_one_is_durable)
{
    struct manifest_file manifest;

    make_table_and_segment();
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    assert_ok(dir_sync(f.dir));
    make_file("CURRENT.new", 128, false);
    assert_ok(file_rename(f.dir, "CURRENT.new", "CURRENT"));
    manifest_file_close(&manifest);
    assert_violation("CURRENT is switched before CURRENT.new is durable");
}

Test(publish_check, notices_the_unlink_of_anything_that_is_named)
{
    static const char *const names[] = {"000007.sst", "000001.vlog", "000002.vlog",
                                        "MANIFEST-000005"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        teardown();
        setup();
        make_database();
        cr_assert(eq(u64, f.check.violations, 0), "%s", f.check.what);
        assert_ok(file_unlink(f.dir, names[i]));
        assert_violation(names[i]);
    }
}

// The edit that removes the table is there, but a crash may lose it.
Test(publish_check, notices_an_unlink_before_the_edit_is_durable)
{
    struct manifest_file manifest;
    struct edit edit;
    struct file *file;
    lsm_buf frame = LSM_BUF_INIT;

    make_table_and_segment();
    make_file("000002.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    write_manifest(&manifest);
    assert_ok(dir_sync(f.dir));
    switch_current(&manifest);
    edit_init(&edit);
    edit.number = 2;
    assert_ok(edit_remove_table(&edit, 0, 7));
    assert_ok(manifest_frame_encode(&edit, &manifest.uuid, manifest.size, &frame));
    assert_ok(sim_open_to_change(f.dir, "MANIFEST-000005", &file));
    assert_ok(file_write_one(file, manifest.size, slice_of_buf(&frame)));
    assert_ok(file_unlink(f.dir, "000007.sst"));
    assert_ok(file_close(file));
    edit_release(&edit);
    lsm_buf_free(&frame);
    manifest_file_close(&manifest);
    assert_violation("000007.sst is unlinked");
}

Test(publish_check, notices_bytes_written_twice)
{
    struct file *file;

    assert_ok(file_open(f.dir, "000001.vlog", FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_of("abcd")));
    assert_ok(file_write_one(file, 4, slice_of("efgh")));
    cr_assert(eq(u64, f.check.violations, 0));
    assert_ok(file_write_one(file, 7, slice_of("x")));
    assert_ok(file_close(file));
    assert_violation("000001.vlog: bytes at 7 are written a second time");
}

Test(publish_check, notices_a_frame_that_claims_too_much)
{
    struct frame_header header = {.type = FRAME_COMMIT, .sequence = 1, .ts = 1};
    const struct uuid uuid = {.bytes = {2}};
    uint8_t bytes[FRAME_HEADER_SIZE];
    struct file *file;

    make_file("000001.vlog", 128, true);
    assert_ok(dir_sync(f.dir));
    header.mark = (struct log_position){.segment = 1, .offset = 128};
    assert_ok(sim_open_to_change(f.dir, "000001.vlog", &file));
    frame_header_encode(&header, &uuid, 128, bytes);
    assert_ok(file_write_one(file, 128, slice_make(bytes, sizeof bytes)));
    cr_assert(eq(u64, f.check.violations, 0), "%s", f.check.what);
    header.mark.offset = 224; // written, but not synced
    frame_header_encode(&header, &uuid, 224, bytes);
    assert_ok(file_write_one(file, 224, slice_make(bytes, sizeof bytes)));
    assert_ok(file_close(file));
    assert_violation("segment 1 is durable up to 224");
}

Test(publish_check, finds_an_orphan)
{
    struct edit edit;
    struct manifest_file manifest;

    make_database();
    make_file("000009.sst", 10, true); // nobody can tell whose it is
    assert_ok(publish_find_orphan(f.sim, DIR_PATH));
    edit_init(&edit);
    assert_ok(manifest_file_create(f.dir, &db_uuid, 4, &edit, &manifest));
    manifest_file_close(&manifest);
    cr_assert(eq(int, publish_find_orphan(f.sim, DIR_PATH), LSM_CORRUPT));
    cr_assert(strstr(lsm_errmsg(), "MANIFEST-000004 is an orphan") != NULL, "%s", lsm_errmsg());
    edit_release(&edit);
}

// test_salvage_places.c -- whose files salvage reads, and where it writes.

#include "base/file_header.h"
#include "db/salvage_fixture.h"

TestSuite(salvage_places, .init = salvage_fixture_open, .fini = salvage_fixture_close);

// --- the new directory ---

Test(salvage_places, the_new_database_must_not_be_there)
{
    put_text(&f, "a", "1");
    db_fixture_close(&f);
    assert_ok(try_salvage(false));
    salvage_report_release(&report);
    assert_status(try_salvage(false), LSM_INVALID);
    assert_ok(lsm_open(NEW_DIR, &f.options, &f.db));
    assert_holds(&f, NULL, "a", "1");
}

// Not even when nothing in it looks like a database: it may be the damaged one.
Test(salvage_places, the_new_directory_must_not_hold_files_of_a_database)
{
    const struct salvage_request request = {
        .env = sim_env(f.sim), .from = DB_DIR, .to = DB_DIR, .options = &f.options};
    struct found_file segment;

    put_text(&f, "a", "1");
    segment = last_file(".vlog");
    db_fixture_reopen(&f);
    db_fixture_close(&f);
    remove_current_and_manifest();
    flip(segment.name, FILE_HEADER_SIZE - 1);
    assert_status(lsm_open(DB_DIR, &f.options, &f.db), LSM_CORRUPT);
    assert_status(db_salvage(&request, &report), LSM_INVALID);

    salvage(false);
    assert_holds(&f, NULL, "a", "1");
}

Test(salvage_places, a_directory_without_a_database_is_refused)
{
    const struct salvage_request request = {
        .env = sim_env(f.sim), .from = "/empty", .to = NEW_DIR, .options = &f.options};
    struct dir *dir;

    assert_ok(dir_open(sim_env(f.sim), "/empty", true, &dir));
    dir_close(dir);
    assert_status(db_salvage(&request, &report), LSM_INVALID);
}

// --- files of several databases ---

#define OTHER_DIR "/other"

static void copy_file(const char *from_dir, const char *from, const char *to)
{
    struct dir *dirs[2];
    struct file *file;
    uint8_t *bytes;
    uint64_t size;

    assert_ok(dir_open(sim_env(f.sim), from_dir, false, &dirs[0]));
    assert_ok(dir_open(sim_env(f.sim), DB_DIR, false, &dirs[1]));
    assert_ok(file_stat(dirs[0], from, &size));
    bytes = malloc((size_t)size);
    assert_ok(file_open(dirs[0], from, FILE_READ, &file));
    assert_ok(file_read_exact(file, 0, bytes, (size_t)size));
    assert_ok(file_close(file));
    assert_ok(file_open(dirs[1], to, FILE_CREATE, &file));
    assert_ok(file_write_one(file, 0, slice_make(bytes, (size_t)size)));
    assert_ok(file_close(file));
    free(bytes);
    dir_close(dirs[0]);
    dir_close(dirs[1]);
}

// Leaves "a" in the database, its uuid in `ours`, and beside its files one of another database,
// with a higher number than any.
static void mix_databases(struct uuid *ours)
{
    lsm_db *other;

    put_text(&f, "a", "1");
    assert_ok(lsm_flush(f.db));
    *ours = f.db->tables.db_uuid;
    db_fixture_close(&f);
    assert_ok(lsm_open(OTHER_DIR, &f.options, &other));
    assert_ok(lsm_put(other, NULL, lsm_str("stranger"), lsm_str("1"), NULL));
    assert_ok(lsm_close(other));
    copy_file(OTHER_DIR, "000001.vlog", "900000.vlog");
}

// Ours has been salvaged, and nothing else.
static void assert_ours_alone(void)
{
    cr_assert(report.has_manifest);
    assert_ok(lsm_open(NEW_DIR, &f.options, &f.db));
    assert_holds(&f, NULL, "a", "1");
    assert_holds(&f, NULL, "stranger", NULL);
}

// CURRENT says whose files count.
Test(salvage_places, a_file_of_another_database_is_told_and_not_taken)
{
    struct uuid ours;

    mix_databases(&ours);
    assert_ok(try_salvage(false));
    cr_assert(eq(uint, losses, 1));
    cr_assert(strstr(last_loss, "another database") != NULL, "%s", last_loss);
    assert_ours_alone();
}

// Without CURRENT nobody but the user knows.
Test(salvage_places, files_of_several_databases_are_refused_until_one_is_named)
{
    const struct uuid nobody = {.bytes = {1}};
    char text[UUID_TEXT_SIZE];
    struct uuid ours;

    mix_databases(&ours);
    remove_file("CURRENT");
    assert_status(try_salvage(false), LSM_INVALID);
    uuid_format(&ours, text);
    cr_assert(strstr(lsm_errmsg(), text) != NULL, "%s", lsm_errmsg());
    cr_assert(strstr(lsm_errmsg(), "2 databases") != NULL, "%s", lsm_errmsg());
    assert_status(try_salvage_of(&nobody, false), LSM_INVALID);
    assert_ok(try_salvage_of(&ours, false));
    assert_ours_alone();
}

// Who names a database means it, whatever CURRENT says.
Test(salvage_places, the_database_that_is_named_counts_more_than_current)
{
    struct uuid ours;

    mix_databases(&ours);
    remove_file("CURRENT");
    copy_file(OTHER_DIR, "CURRENT", "CURRENT");
    assert_ok(try_salvage_of(&ours, false));
    assert_ours_alone();
}

// --- cut short ---

// The power goes at every call of a salvage: what is there then of the new database does not
// open, until all of it is there; the damaged one is as it was.
Test(salvage_places, a_part_of_a_salvage_does_not_open)
{
    bool has_crashed = true;

    put_text(&f, "a", large_value());
    assert_ok(lsm_flush(f.db));
    put_text(&f, "b", "2");
    db_fixture_close(&f);
    for (uint64_t call = 1; has_crashed; call++) {
        struct sim *disk = f.sim;
        lsm_status status;

        assert_ok(sim_clone(disk, &f.sim));
        f.options.env = sim_env(f.sim);
        f.options.create_if_missing = false;
        sim_crash_at(f.sim, call);
        if (try_salvage(false) == LSM_OK)
            salvage_report_release(&report);
        has_crashed = sim_has_crashed(f.sim);
        sim_restart(f.sim, call % 2 == 0 ? SIM_NONE : SIM_ALL, 0);
        status = lsm_open(NEW_DIR, &f.options, &f.db);
        cr_assert(status == LSM_OK || status == LSM_INVALID || status == LSM_NOT_FOUND, "%s",
                  lsm_errmsg());
        if (status == LSM_OK) {
            assert_holds(&f, NULL, "a", large_value());
            assert_holds(&f, NULL, "b", "2");
            assert_ok(lsm_verify(f.db, NULL, NULL));
            db_fixture_close(&f);
        }
        cr_assert(status == LSM_OK || has_crashed);
        assert_ok(lsm_open(DB_DIR, &f.options, &f.db));
        assert_holds(&f, NULL, "a", large_value());
        assert_holds(&f, NULL, "b", "2");
        db_fixture_close(&f);
        sim_free(f.sim);
        f.sim = disk;
    }
    f.options.env = sim_env(f.sim);
    db_fixture_open(&f);
}

Test(salvage_places, a_salvage_that_was_cut_short_is_named_when_it_is_in_the_way)
{
    put_text(&f, "a", "1");
    db_fixture_close(&f);
    sim_crash_at(f.sim, 45);
    assert_status(try_salvage(false), LSM_IO);
    sim_restart(f.sim, SIM_ALL, 0);
    assert_status(lsm_open(NEW_DIR, &f.options, &f.db), LSM_INVALID);
    cr_assert(strstr(lsm_errmsg(), "salvage") != NULL, "%s", lsm_errmsg());
    assert_status(lsm_open_read_only(NEW_DIR, &f.options, &f.db), LSM_INVALID);
    assert_status(try_salvage(false), LSM_INVALID);
    db_fixture_open(&f);
}

// Nor may anything else be there: it is not a salvage's to judge.
Test(salvage_places, the_new_directory_must_be_empty)
{
    struct dir *dir;
    struct file *file;

    db_fixture_close(&f);
    assert_ok(dir_open(sim_env(f.sim), NEW_DIR, true, &dir));
    assert_ok(file_open(dir, "notes.txt", FILE_CREATE, &file));
    assert_ok(file_close(file));
    assert_status(try_salvage(false), LSM_INVALID);
    cr_assert(strstr(lsm_errmsg(), "notes.txt") != NULL, "%s", lsm_errmsg());
    assert_ok(file_unlink(dir, "notes.txt"));
    dir_close(dir);
    assert_ok(try_salvage(false));
    db_fixture_open(&f);
}

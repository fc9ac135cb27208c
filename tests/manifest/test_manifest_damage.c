// test_manifest_damage.c -- a manifest of which some bytes are not what was written.

#include "manifest_life.h"

TestSuite(manifest_damage, .init = setup, .fini = teardown);

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
Test(manifest_damage, a_flipped_byte_is_damage_or_the_end_of_the_last_edit)
{
    lsm_buf before = {.data = NULL};
    lsm_buf found = {.data = NULL};
    struct filename name = life_manifest_name(&life);
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

Test(manifest_damage, any_flipped_byte_of_a_cleanly_closed_database_is_damage)
{
    lsm_buf found = {.data = NULL};
    struct filename name;
    bool is_clean;
    uint64_t size;

    play(SCRIPT_EDITS);
    name = life_manifest_name(&life);
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

Test(manifest_damage, bytes_behind_the_edit_of_a_clean_close_are_damage)
{
    lsm_buf found = {.data = NULL};
    bool is_clean;

    play(SCRIPT_EDITS);
    life_write_tail(&life, "x");
    life_close(&life);
    assert_status(disk_signature(sim, &found, &is_clean), LSM_CORRUPT);
    lsm_buf_free(&found);
}

// A tail cut at any byte loses the edits behind the cut and no other.
Test(manifest_damage, a_tail_cut_anywhere_leaves_the_whole_edits_before_it)
{
    lsm_buf signatures[SCRIPT_EDITS + 1];
    lsm_buf found = {.data = NULL};
    struct filename name = life_manifest_name(&life);
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

Test(manifest_damage, a_gap_in_the_numbers_is_damage)
{
    lsm_buf found = {.data = NULL};
    lsm_buf frame = {.data = NULL};
    struct filename name = life_manifest_name(&life);
    struct edit edit;
    struct file *file;
    bool is_clean;

    for (uint64_t number = 2; number <= 4; number += 2) { // 2 follows, 4 does not
        uint64_t size;
        struct file_header current;

        assert_ok(current_read(life.stores.dir, &current));
        assert_ok(sim_open_to_change(life.stores.dir, name.text, &file));
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

Test(manifest_damage, a_manifest_of_another_database_is_refused)
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

Test(manifest_damage, a_missing_manifest_is_damage)
{
    lsm_buf found = {.data = NULL};
    bool is_clean;

    assert_ok(file_unlink(life.stores.dir, life_manifest_name(&life).text));
    assert_status(disk_signature(sim, &found, &is_clean), LSM_CORRUPT);
}

Test(manifest_damage, current_is_exactly_one_header)
{
    lsm_buf found = {.data = NULL};
    bool is_clean;
    struct file *file;

    assert_ok(sim_open_to_change(life.stores.dir, "CURRENT", &file));
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

Test(manifest_damage, a_scan_shows_every_edit_and_goes_on_behind_damage)
{
    struct filename name = life_manifest_name(&life);
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

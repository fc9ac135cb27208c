// test_edit.c -- edits survive being written, and hostile bytes are refused.

#include "manifest/edit.h"

#include "manifest_fixture.h"
#include "support/alloc_fault.h"
#include "support/random.h"

// An edit that uses every field.
static void fill(struct edit *edit)
{
    struct keyspace_change create = {.kind = KEYSPACE_CREATE,
                                     .id = 7,
                                     .name = slice_of("users"),
                                     .options = {.value_threshold = 512,
                                                 .versions_to_keep = 3,
                                                 .compression = KEYSPACE_INHERIT,
                                                 .ttl_seconds = 86400}};
    struct keyspace_change alter = {
        .kind = KEYSPACE_ALTER, .id = 2, .options = {.value_threshold = KEYSPACE_INHERIT}};
    struct keyspace_change drop = {.kind = KEYSPACE_DROP, .id = 3, .ts = 991};

    edit_init(edit);
    edit_add_spec(edit, &(struct table_spec){11, 0, "a", "k", 5, 9, 3, 4, 4000, 0, 0});
    edit_add_spec(edit, &(struct table_spec){12, 6, "l", "z", 1, 2, 0, 0, 0, 2, 5});
    assert_ok(edit_remove_table(edit, 1, 4));
    assert_ok(edit_remove_table(edit, 2, UINT64_MAX));
    edit_set_log(edit, 5, 8);
    edit_leave(edit, 3);
    edit_leave(edit, 4);
    assert_ok(edit_change_keyspace(edit, &create));
    assert_ok(edit_change_keyspace(edit, &alter));
    assert_ok(edit_change_keyspace(edit, &drop));
    edit->last_ts = 1000;
    edit->last_wall_ns = UINT64_MAX;
    edit->next_file_id = 13;
    edit->next_keyspace_id = 8;
    edit->mark = (struct log_position){.segment = 8, .offset = 4096};
    edit->is_clean = true;
    edit->is_snapshot = true;
}

static bool options_equal(const struct keyspace_options *a, const struct keyspace_options *b)
{
    return a->value_threshold == b->value_threshold && a->versions_to_keep == b->versions_to_keep &&
           a->compression == b->compression && a->ttl_seconds == b->ttl_seconds;
}

static void assert_links_equal(const struct log_link *a, const struct log_link *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cr_assert(eq(u32, a[i].id, b[i].id));
        cr_assert(eq(u64, a[i].final_size, b[i].final_size));
        cr_assert(uuid_equal(&a[i].uuid, &b[i].uuid));
    }
}

static void assert_edits_equal(const struct edit *a, const struct edit *b)
{
    cr_assert(eq(sz, a->added_count, b->added_count));
    for (size_t i = 0; i < a->added_count; i++) {
        cr_assert(eq(u8, a->added[i].level, b->added[i].level));
        cr_assert(eq(u64, a->added[i].id, b->added[i].id));
        cr_assert(eq(u64, a->added[i].meta->size, b->added[i].meta->size));
        cr_assert(slice_equal(a->added[i].meta->largest.key, b->added[i].meta->largest.key));
        cr_assert(eq(u64, table_meta_referenced_bytes(a->added[i].meta),
                     table_meta_referenced_bytes(b->added[i].meta)));
    }
    cr_assert(eq(sz, a->removed_count, b->removed_count));
    for (size_t i = 0; i < a->removed_count; i++) {
        cr_assert(eq(u8, a->removed[i].level, b->removed[i].level));
        cr_assert(eq(u64, a->removed[i].id, b->removed[i].id));
    }
    cr_assert(eq(int, a->has_log, b->has_log));
    cr_assert(log_position_compare(a->replay, b->replay) == 0);
    cr_assert(eq(sz, a->chain_count, b->chain_count));
    assert_links_equal(a->chain, b->chain, a->chain_count);
    cr_assert(eq(sz, a->left_count, b->left_count));
    assert_links_equal(a->left, b->left, a->left_count);
    cr_assert(eq(sz, a->keyspace_count, b->keyspace_count));
    for (size_t i = 0; i < a->keyspace_count; i++) {
        cr_assert(a->keyspaces[i].kind == b->keyspaces[i].kind);
        cr_assert(eq(u32, a->keyspaces[i].id, b->keyspaces[i].id));
        cr_assert(slice_equal(a->keyspaces[i].name, b->keyspaces[i].name));
        cr_assert(options_equal(&a->keyspaces[i].options, &b->keyspaces[i].options));
        cr_assert(eq(u64, a->keyspaces[i].ts, b->keyspaces[i].ts));
    }
    cr_assert(eq(u64, a->last_ts, b->last_ts));
    cr_assert(eq(u64, a->last_wall_ns, b->last_wall_ns));
    cr_assert(eq(u64, a->next_file_id, b->next_file_id));
    cr_assert(eq(u32, a->next_keyspace_id, b->next_keyspace_id));
    cr_assert(log_position_compare(a->mark, b->mark) == 0);
    cr_assert(eq(int, a->is_clean, b->is_clean));
    cr_assert(eq(int, a->is_snapshot, b->is_snapshot));
}

static lsm_status decode(const void *bytes, size_t size)
{
    struct edit edit;
    lsm_status status = edit_decode(slice_make(bytes, size), &edit);

    if (status == LSM_OK)
        edit_release(&edit);
    return status;
}

Test(edit, comes_back_as_it_was_written)
{
    lsm_buf bytes = {.data = NULL};
    struct edit edit, back;

    fill(&edit);
    assert_ok(edit_encode(&edit, &bytes));
    assert_ok(edit_decode(slice_of_buf(&bytes), &back));
    assert_edits_equal(&edit, &back);
    edit_release(&back);
    edit_release(&edit);
    lsm_buf_free(&bytes);
}

Test(edit, names_a_keyspace_in_255_bytes_at_most)
{
    uint8_t bytes[300] = {7, 1, 2, 0x80, 2}; // create 2, with a name of 256 bytes

    assert_status(decode(bytes, 5 + 256 + 4), LSM_CORRUPT);
    bytes[3] = 0xFF;
    bytes[4] = 1;
    assert_ok(decode(bytes, 5 + 255 + 4));
}

Test(edit, says_nothing_in_no_bytes)
{
    lsm_buf bytes = {.data = NULL};
    struct edit edit, back;

    edit_init(&edit);
    assert_ok(edit_encode(&edit, &bytes));
    cr_assert(eq(sz, bytes.size, 0));
    assert_ok(edit_decode(slice_of_buf(&bytes), &back));
    assert_edits_equal(&edit, &back);
    lsm_buf_free(&bytes);
}

// What was cut decodes to a shorter edit, at the border of two fields, or not at all.
Test(edit, cut_anywhere_is_malformed_or_a_prefix_of_fields)
{
    lsm_buf bytes = {.data = NULL};
    struct edit edit, back;
    size_t refused = 0;

    fill(&edit);
    assert_ok(edit_encode(&edit, &bytes));
    for (size_t size = 0; size < bytes.size; size++) {
        // A copy of exactly that size, so that a sanitizer sees what is read behind it.
        uint8_t *copy = malloc(size + 1);
        lsm_status status;

        memcpy(copy + 1, bytes.data, size);
        status = edit_decode(slice_make(copy + 1, size), &back);
        if (status == LSM_OK)
            edit_release(&back);
        else
            refused++;
        cr_assert(status == LSM_OK || status == LSM_CORRUPT);
        free(copy);
    }
    cr_assert(lt(sz, bytes.size / 2, refused));
    edit_release(&edit);
    lsm_buf_free(&bytes);
}

Test(edit, random_damage_is_refused_or_harmless)
{
    struct random random = random_for_test("edit");
    lsm_buf bytes = {.data = NULL};
    struct edit edit, back;

    fill(&edit);
    assert_ok(edit_encode(&edit, &bytes));
    for (int round = 0; round < 20000; round++) {
        uint8_t *copy = malloc(bytes.size);
        lsm_status status;

        memcpy(copy, bytes.data, bytes.size);
        for (uint64_t i = random_below(&random, 3) + 1; i > 0; i--)
            copy[random_below(&random, bytes.size)] = (uint8_t)random_next(&random);
        status = edit_decode(slice_make(copy, bytes.size), &back);
        if (status == LSM_OK)
            edit_release(&back);
        cr_assert(status == LSM_OK || status == LSM_CORRUPT);
        free(copy);
    }
    edit_release(&edit);
    lsm_buf_free(&bytes);
}

#define DECODE(...) decode((uint8_t[]){__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__}))

Test(edit, only_known_fields_in_order_are_taken)
{
    assert_ok(DECODE(8, 100, 9, 100));
    assert_status(DECODE(9, 100, 8, 100), LSM_CORRUPT); // order
    assert_status(DECODE(8, 100, 8, 100), LSM_CORRUPT); // twice
    assert_ok(DECODE(2, 1, 100, 2, 1, 101));            // a field that repeats
    assert_status(DECODE(2, 7, 100), LSM_CORRUPT);      // level
    assert_status(DECODE(0, 1), LSM_CORRUPT);           // unknown fields
    assert_status(DECODE(13, 1), LSM_CORRUPT);
    assert_status(DECODE(1, 4), LSM_CORRUPT);                   // unknown flag
    assert_status(DECODE(7, 4, 1, 1), LSM_CORRUPT);             // unknown change of a keyspace
    assert_status(DECODE(7, 3, 0, 1), LSM_CORRUPT);             // keyspace 0
    assert_status(DECODE(7, 1, 2, 0, 0, 0, 0, 0), LSM_CORRUPT); // no name
    assert_status(DECODE(7, 2, 2, 0, 1, 22, 0), LSM_OK);
    assert_status(DECODE(7, 2, 2, 0, 1, 23, 0), LSM_CORRUPT);             // no such zstd level
    assert_status(DECODE(11, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F), LSM_CORRUPT); // 2^35 - 1
    assert_status(DECODE(5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9),
                  LSM_CORRUPT); // a chain, but no replay position
}

Test(edit, out_of_memory_changes_nothing)
{
    lsm_buf bytes = {.data = NULL};
    struct edit edit;

    cr_assert(alloc_fault_install());
    fill(&edit);
    assert_ok(edit_encode(&edit, &bytes));
    size_t live = alloc_fault_live();
    ALLOC_FAULT_EACH({
        struct edit back;
        lsm_status status = edit_decode(slice_of_buf(&bytes), &back);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        if (status == LSM_OK)
            edit_release(&back);
        cr_assert(eq(sz, alloc_fault_live(), live));
    });
    edit_release(&edit);
    lsm_buf_free(&bytes);
}

// Whatever is written next, there may be no room for it.
Test(edit, out_of_memory_while_encoding_is_told_wherever_it_is)
{
    lsm_buf whole = {.data = NULL};
    struct edit edit;

    cr_assert(alloc_fault_install());
    fill(&edit);
    assert_ok(edit_encode(&edit, &whole));
    for (size_t room = 0; room < whole.size; room++) {
        lsm_buf bytes = {.data = NULL};

        assert_ok(buf_reserve(&bytes, whole.size));
        bytes.capacity = room; // what is behind it is not to be used
        alloc_fault_at(1, true);
        assert_status(edit_encode(&edit, &bytes), LSM_NO_MEMORY);
        alloc_fault_at(0, false);
        cr_assert(memcmp(bytes.data, whole.data, bytes.size) == 0);
        lsm_buf_free(&bytes);
    }
    edit_release(&edit);
    lsm_buf_free(&whole);
}

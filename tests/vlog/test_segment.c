// test_segment.c -- one file of the log: reading values, writing, sets.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/alloc_fault.h"
#include "support/sim.h"

static struct sim *sim;
static struct world w;
static struct segment *segment;

#define RECORD_AT 200
static const lsm_slice key = {"the key", 7};
static const lsm_slice value = {"the separated value", 19};

static struct value_pointer pointer;

static void put_record(void)
{
    struct record_head head;
    lsm_slice parts[3];

    record_head_make(5, key, value, &head);
    parts[0] = slice_make(head.bytes, head.size);
    parts[1] = key;
    parts[2] = value;
    cr_assert(eq(int, segment_write(segment, RECORD_AT, parts, 3), LSM_OK));
    pointer = (struct value_pointer){
        .segment = 7,
        .offset = RECORD_AT,
        .record_size = (uint32_t)record_size(5, key.size, value.size),
        .value_size = (uint32_t)value.size,
    };
}

static void fixture_open(void)
{
    static const struct paper blank;

    cr_assert(eq(int, sim_new(1, &sim), LSM_OK));
    cr_assert(eq(int, world_open(&w, sim_env(sim), &blank), LSM_OK));
    cr_assert(eq(int, segment_create(&w.store, 7, 4096, &segment), LSM_OK));
    put_record();
}

static void fixture_close(void)
{
    segment_unref(segment);
    world_close(&w);
    sim_free(sim);
}

TestSuite(segment, .init = fixture_open, .fini = fixture_close);

static lsm_status seal(uint64_t size)
{
    lsm_status status;

    mutex_lock(segment_sync_mutex(segment));
    status = segment_seal_locked(segment, size);
    mutex_unlock(segment_sync_mutex(segment));
    return status;
}

static lsm_status sync_it(void)
{
    lsm_status status;

    mutex_lock(segment_sync_mutex(segment));
    status = segment_sync_locked(segment);
    mutex_unlock(segment_sync_mutex(segment));
    return status;
}

static void set_fault(unsigned ops, lsm_status status)
{
    struct sim_fault fault = {.ops = ops, .at = 1, .status = status};

    sim_set_fault(sim, &fault);
}

// --- reading ---

Test(segment, a_value_is_read_back)
{
    lsm_buf got = {0};

    cr_assert(eq(int, segment_read_value(segment, &pointer, 5, key, &got), LSM_OK));
    cr_assert(slice_equal(slice_of_buf(&got), value));
    lsm_buf_free(&got);
}

Test(segment, a_value_replaces_what_the_buffer_held)
{
    lsm_buf got = {0};

    cr_assert(eq(int, buf_assign(&got, slice_of("something longer than the value itself")), 0));
    cr_assert(eq(int, segment_read_value(segment, &pointer, 5, key, &got), LSM_OK));
    cr_assert(slice_equal(slice_of_buf(&got), value));
    lsm_buf_free(&got);
}

// Expects a failure that leaves the content of the buffer alone.
static void assert_unchanged(lsm_status wanted, const struct value_pointer *p, uint32_t keyspace,
                             lsm_slice k)
{
    lsm_buf got = {0};

    cr_assert(eq(int, buf_assign(&got, slice_of("before")), LSM_OK));
    cr_assert(eq(int, segment_read_value(segment, p, keyspace, k, &got), wanted));
    cr_assert(slice_equal(slice_of_buf(&got), slice_of("before")));
    lsm_buf_free(&got);
}

Test(segment, the_check_is_end_to_end_another_keys_record_is_corrupt)
{
    assert_unchanged(LSM_CORRUPT, &pointer, 6, key);
    assert_unchanged(LSM_CORRUPT, &pointer, 5, slice_of("the kez"));
}

Test(segment, a_record_is_read_with_one_read)
{
    lsm_buf got = {0};
    struct sim_fault fault = {.ops = SIM_OP_READ, .at = 2, .status = LSM_IO};

    sim_set_fault(sim, &fault);
    cr_assert(eq(int, segment_read_value(segment, &pointer, 5, key, &got), LSM_OK));
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
    lsm_buf_free(&got);
}

Test(segment, a_read_error_reaches_the_caller)
{
    set_fault(SIM_OP_READ, LSM_IO);
    assert_unchanged(LSM_IO, &pointer, 5, key);
}

Test(segment, a_flipped_byte_is_corrupt_and_names_file_and_offset)
{
    lsm_buf got = {0};

    cr_assert(eq(int, dir_sync(w.dir), LSM_OK));
    cr_assert(eq(int, seal(512), LSM_OK));
    segment_unref(segment);
    epoch_drain(&w.bin);
    cr_assert(eq(int, sim_flip(sim, WORLD_DIR, "000007.vlog", RECORD_AT + 20, 1), LSM_OK));
    cr_assert(eq(int, segment_new(&w.store, 7, &(struct uuid){{0}}, 512, &segment), LSM_OK));
    cr_assert(eq(int, segment_read_value(segment, &pointer, 5, key, &got), LSM_CORRUPT));
    cr_assert(ne(ptr, strstr(lsm_errmsg(), "000007.vlog"), NULL));
    cr_assert(ne(ptr, strstr(lsm_errmsg(), "200"), NULL));
    lsm_buf_free(&got);
}

// A pointer comes from a table and is hostile: nothing is allocated for it.
Test(segment, a_pointer_whose_sizes_do_not_fit_is_corrupt)
{
    struct value_pointer p = pointer;

    p.record_size++;
    assert_unchanged(LSM_CORRUPT, &p, 5, key);
    p = pointer;
    p.value_size = UINT32_MAX;
    assert_unchanged(LSM_CORRUPT, &p, 5, key);
    p.record_size = UINT32_MAX;
    assert_unchanged(LSM_CORRUPT, &p, 5, key);
    cr_assert(eq(int, seal(512), LSM_OK));
    segment_unref(segment);
    cr_assert(eq(int, segment_new(&w.store, 7, &(struct uuid){{0}}, 512, &segment), LSM_OK));
    p = pointer;
    p.offset = UINT64_MAX - 10;
    assert_unchanged(LSM_CORRUPT, &p, 5, key);
    p.offset = 512 - p.record_size + 1;
    assert_unchanged(LSM_CORRUPT, &p, 5, key);
    p.offset = 513;
    assert_unchanged(LSM_CORRUPT, &p, 5, key);
}

// A number may be encoded in more bytes than it needs: the record is then as long as it should
// be, and the value is not.
Test(segment, a_record_with_a_value_of_another_size_is_corrupt_though_its_checksum_fits)
{
    const lsm_slice shorter = slice_make(value.data, value.size - 1);
    struct record_head head;
    uint8_t bytes[64];
    uint8_t *at = bytes + 4;

    record_head_make(5, key, shorter, &head);
    *at++ = head.bytes[4]; // codec
    *at++ = 5 | 0x80;      // keyspace, with a second byte that adds nothing
    *at++ = 0;
    memcpy(at, head.bytes + 6, head.size - 6);
    at += head.size - 6;
    memcpy(at, key.data, key.size);
    memcpy(at + key.size, shorter.data, shorter.size);
    put_u32(bytes, crc32c(0, bytes + 4, pointer.record_size - 4));
    cr_assert(eq(
        int,
        segment_write(segment, RECORD_AT, (lsm_slice[]){{(char *)bytes, pointer.record_size}}, 1),
        LSM_OK));
    assert_unchanged(LSM_CORRUPT, &pointer, 5, key);
}

Test(segment, a_missing_file_is_corrupt_never_not_found)
{
    struct segment *missing;
    lsm_buf got = {0};

    cr_assert(eq(int, segment_new(&w.store, 8, &(struct uuid){{0}}, 0, &missing), LSM_OK));
    cr_assert(eq(int, segment_read_value(missing, &pointer, 5, key, &got), LSM_CORRUPT));
    segment_unref(missing);
}

// --- writing ---

Test(segment, a_new_segment_is_durable_once_its_directory_is)
{
    cr_assert(not(sim_is_durable(sim, WORLD_DIR, "000007.vlog", FILE_HEADER_SIZE)));
    cr_assert(eq(int, dir_sync(w.dir), LSM_OK));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000007.vlog", FILE_HEADER_SIZE));
}

Test(segment, a_failed_creation_leaves_nothing_behind_and_is_soft)
{
    static const unsigned ops[] = {SIM_OP_OPEN, SIM_OP_ALLOCATE, SIM_OP_WRITE, SIM_OP_SYNC};
    struct segment *created;
    uint64_t size;

    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        set_fault(ops[i], LSM_NO_SPACE);
        cr_assert(eq(int, segment_create(&w.store, 8, 4096, &created), LSM_NO_SPACE));
        cr_assert(eq(int, file_stat(w.dir, "000008.vlog", &size), LSM_IO));
        cr_assert(not(poison_is_set(&w.poison)));
    }
}

static lsm_status no_random(struct env *env, void *to, size_t size)
{
    (void)env, (void)to, (void)size;
    return lsm_fail(LSM_IO, "no entropy");
}

Test(segment, without_random_bytes_for_its_uuid_no_segment_is_made)
{
    const struct env_ops *all = sim_env(sim)->ops;
    struct env_ops ops = *all;
    struct segment *created = NULL;
    uint64_t size;

    ops.random_bytes = no_random;
    sim_env(sim)->ops = &ops;
    cr_assert(eq(int, segment_create(&w.store, 8, 4096, &created), LSM_IO));
    cr_assert(eq(ptr, created, NULL));
    cr_assert(eq(int, file_stat(w.dir, "000008.vlog", &size), LSM_IO));
    sim_env(sim)->ops = all;
}

Test(segment, room_is_blank_until_something_is_written_there)
{
    const uint64_t behind = RECORD_AT + pointer.record_size;
    const lsm_slice last = slice_of("x");

    cr_assert(segment_is_blank(segment, behind, 4096));
    cr_assert(segment_is_blank(segment, behind, 1 << 20), "the file ends there");
    cr_assert(not(segment_is_blank(segment, behind - 1, 4096)));
    cr_assert(eq(int, segment_write(segment, 9999, &last, 1), LSM_OK));
    cr_assert(segment_is_blank(segment, behind, 5000));
    cr_assert(not(segment_is_blank(segment, behind, 10000)));
}

Test(segment, room_that_cannot_be_read_is_not_known_to_be_blank)
{
    set_fault(SIM_OP_READ, LSM_IO);
    cr_assert(not(segment_is_blank(segment, 1024, 4096)));
}

Test(segment, a_sealed_segment_needs_no_sync)
{
    cr_assert(eq(int, dir_sync(w.dir), LSM_OK));
    cr_assert(eq(int, seal(512), LSM_OK));
    set_fault(SIM_OP_SYNC, LSM_IO);
    cr_assert(eq(int, sync_it(), LSM_OK));
    cr_assert(eq(u64, sim_fault_hits(sim), 0));
}

Test(segment, once_poisoned_no_segment_is_cut)
{
    uint64_t size;

    (void)poison_set(&w.poison, lsm_fail(LSM_IO, "elsewhere"));
    cr_assert(eq(int, segment_cut_found(segment, 512), LSM_POISONED));
    cr_assert(eq(int, file_stat(w.dir, "000007.vlog", &size), LSM_OK));
    cr_assert(eq(u64, size, 4096));
}

// By its other name it is a segment of a copy, for which commits may lie behind the cut.
Test(segment, one_that_was_found_is_cut_unless_it_has_another_name)
{
    uint64_t size;

    cr_assert(eq(int, dir_sync(w.dir), LSM_OK));
    cr_assert(eq(int, sim_link_all(sim, WORLD_DIR, "/copy"), LSM_OK));
    cr_assert(eq(int, segment_cut_found(segment, 512), LSM_BUSY));
    cr_assert(strstr(lsm_errmsg(), "000007.vlog: has 2 names") != NULL, "%s", lsm_errmsg());
    cr_assert(eq(int, segment_cut_found(segment, 4096), LSM_OK), "nothing to cut");
    cr_assert(eq(int, file_stat(w.dir, "000007.vlog", &size), LSM_OK));
    cr_assert(eq(u64, size, 4096));
    cr_assert(eq(u64, sim_name_count(sim, "/copy", "000007.vlog"), 2));
}

Test(segment, one_that_was_found_with_one_name_is_cut)
{
    uint64_t size;

    cr_assert(eq(int, segment_cut_found(segment, 512), LSM_OK));
    cr_assert(eq(int, file_stat(w.dir, "000007.vlog", &size), LSM_OK));
    cr_assert(eq(u64, size, 512));
}

Test(segment, sealing_truncates_syncs_and_closes_it_for_writing)
{
    uint64_t size;

    cr_assert(eq(int, dir_sync(w.dir), LSM_OK));
    cr_assert(eq(int, seal(512), LSM_OK));
    cr_assert(eq(int, file_stat(w.dir, "000007.vlog", &size), LSM_OK));
    cr_assert(eq(u64, size, 512));
    cr_assert(sim_is_durable(sim, WORLD_DIR, "000007.vlog", 512));
    cr_assert(eq(int, seal(512), LSM_OK), "again: nothing to do");
}

Test(segment, a_failed_sync_sets_the_poison_and_no_later_sync_succeeds)
{
    set_fault(SIM_OP_SYNC, LSM_IO);
    cr_assert(eq(int, sync_it(), LSM_IO));
    cr_assert(poison_is_set(&w.poison));
    sim_set_fault(sim, NULL);
    cr_assert(eq(int, sync_it(), LSM_POISONED));
    cr_assert(eq(int, seal(512), LSM_POISONED));
}

Test(segment, a_failed_close_of_a_written_file_sets_the_poison)
{
    set_fault(SIM_OP_CLOSE, LSM_IO);
    cr_assert(eq(int, seal(512), LSM_IO));
    cr_assert(poison_is_set(&w.poison));
}

Test(segment, a_failed_truncation_can_be_tried_again)
{
    set_fault(SIM_OP_TRUNCATE, LSM_NO_SPACE);
    cr_assert(eq(int, seal(512), LSM_NO_SPACE));
    cr_assert(not(poison_is_set(&w.poison)));
    sim_set_fault(sim, NULL);
    cr_assert(eq(int, seal(512), LSM_OK));
}

// --- life and sets ---

Test(segment, the_last_reference_hands_an_obsolete_segment_to_the_unlinker)
{
    uint64_t size;

    segment_ref(segment);
    segment_mark_obsolete(segment);
    segment_unref(segment);
    epoch_drain(&w.bin);
    cr_assert(eq(sz, unlinker_drain(w.unlinker, 10), 0));
    cr_assert(eq(int, file_stat(w.dir, "000007.vlog", &size), LSM_OK), "a reference is left");
    segment_unref(segment);
    segment = NULL;
    epoch_drain(&w.bin);
    (void)unlinker_drain(w.unlinker, 10);
    cr_assert(eq(int, file_stat(w.dir, "000007.vlog", &size), LSM_IO));
}

Test(segment, a_set_finds_its_segments_by_id_whatever_order_they_came_in)
{
    static const uint32_t ids[] = {9, 2, 30, 4};
    struct segment_set *set = NULL, *next;
    struct segment *s;

    for (size_t i = 0; i < 4; i++) {
        cr_assert(eq(int, segment_new(&w.store, ids[i], &(struct uuid){{0}}, 0, &s), LSM_OK));
        cr_assert(eq(int, segment_set_with(set, s, &next), LSM_OK));
        segment_unref(s); // the set has its own
        segment_set_retire(set);
        set = next;
    }
    cr_assert(eq(sz, set->count, 4));
    for (size_t i = 0; i < 4; i++) {
        s = segment_set_find(set, ids[i]);
        cr_assert(ne(ptr, s, NULL));
        cr_assert(eq(u32, segment_id(s), ids[i]));
    }
    cr_assert(eq(ptr, segment_set_find(set, 3), NULL));
    cr_assert(eq(ptr, segment_set_find(set, 31), NULL));
    segment_set_retire(set);
}

static void extend_with_faults(const struct segment_set *set)
{
    struct segment_set *larger = NULL;
    const lsm_status status = segment_set_with(set, segment, &larger);

    cr_assert(eq(int, status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK));
    cr_assert(eq(int, larger == NULL, alloc_fault_was_hit()));
    segment_set_retire(larger);
}

static void install_and_open(void)
{
    cr_assert(alloc_fault_install());
    fixture_open();
}

TestSuite(segment_memory, .init = install_and_open, .fini = fixture_close);

Test(segment_memory, a_set_that_cannot_be_extended_stays)
{
    struct segment_set *set;
    struct segment *other;

    cr_assert(eq(int, segment_new(&w.store, 2, &(struct uuid){{0}}, 0, &other), LSM_OK));
    cr_assert(eq(int, segment_set_with(NULL, other, &set), LSM_OK));
    ALLOC_FAULT_EACH(extend_with_faults(set));
    cr_assert(eq(sz, set->count, 1));
    cr_assert(eq(ptr, segment_set_find(set, 2), other));
    segment_unref(other);
    segment_set_retire(set);
}

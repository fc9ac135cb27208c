// test_manifest_hostile.c -- manifests that somebody made on purpose: every checksum is right,
// and what it covers is not.

#include "base/coding.h"
#include "base/crc32c.h"
#include "manifest_life.h"
#include "support/alloc_fault.h"

TestSuite(manifest_hostile, .init = setup, .fini = teardown);

// --- making one ---

static const struct uuid forged_uuid = {.bytes = "a forged file"};

// Appends the frame of an edit of any bytes.
static void forge_bytes(lsm_buf *frames, uint64_t number, const void *edit, size_t size)
{
    uint8_t header[MANIFEST_FRAME_HEADER_SIZE] = {0};
    uint8_t place[sizeof(uint64_t)];
    uint32_t crc;

    put_u64(place, FILE_HEADER_SIZE + frames->size);
    put_u32(header + 4, (uint32_t)size);
    put_u64(header + 8, number);
    crc = crc32c(0, forged_uuid.bytes, UUID_SIZE);
    crc = crc32c(crc, place, sizeof place);
    crc = crc32c(crc, header + 4, sizeof header - 4);
    put_u32(header, crc32c(crc, edit, size));
    assert_ok(buf_append(frames, header, sizeof header));
    assert_ok(buf_append(frames, edit, size));
}

// Appends the frame of `edit`, which is released.
static void forge(lsm_buf *frames, struct edit *edit)
{
    lsm_buf bytes = {.data = NULL};

    assert_ok(edit_encode(edit, &bytes));
    forge_bytes(frames, edit->number, bytes.data, bytes.size);
    lsm_buf_free(&bytes);
    edit_release(edit);
}

static struct edit snapshot_of_nothing(void)
{
    struct edit edit;

    edit_init(&edit);
    edit.is_snapshot = true;
    edit.number = 1;
    edit.last_ts = 7;
    return edit;
}

static struct edit edit_of_number(uint64_t number)
{
    struct edit edit;

    edit_init(&edit);
    edit.number = number;
    edit.last_ts = 8;
    return edit;
}

static struct file_header forged_header(enum file_kind kind)
{
    return (struct file_header){
        .kind = kind, .db_uuid = fixture_db_uuid, .file_uuid = forged_uuid, .number = 9};
}

// Replaces the file `name` with `header` and what follows it.
static void put_file(const char *name, const struct file_header *header, const lsm_buf *frames)
{
    uint8_t bytes[FILE_HEADER_SIZE];
    lsm_buf whole = {.data = NULL};

    file_header_encode(header, bytes);
    assert_ok(buf_append(&whole, bytes, sizeof bytes));
    assert_ok(buf_append(&whole, frames->data, frames->size));
    (void)file_unlink(life.stores.dir, name);
    life_write_file(&life, name, whole.data, whole.size);
    lsm_buf_free(&whole);
}

static lsm_status read_named(struct manifest_state *read)
{
    struct version *version;
    lsm_status status = manifest_read(&life.stores.tables, &life.stores.segments, read, &version);

    if (status == LSM_OK)
        version_unref(version);
    return status;
}

#define FORGED_NAME "MANIFEST-000009"

// How a manifest of `frames` reads when CURRENT names it.
static lsm_status read_forged(const lsm_buf *frames)
{
    static const lsm_buf nothing;
    struct file_header current = forged_header(FILE_KIND_CURRENT);
    struct file_header header = forged_header(FILE_KIND_MANIFEST);
    struct manifest_state read;
    lsm_status status;

    put_file("CURRENT", &current, &nothing);
    put_file(FORGED_NAME, &header, frames);
    status = read_named(&read);
    if (status == LSM_OK)
        manifest_state_release(&read);
    return status;
}

// That reading is refused, with the name of the file and where its last frame begins.
static void assert_refused(const lsm_buf *frames, uint64_t last_frame, const char *why)
{
    char place[64];

    (void)snprintf(place, sizeof place, FORGED_NAME ": offset %llu",
                   (unsigned long long)(FILE_HEADER_SIZE + last_frame));
    assert_status(read_forged(frames), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), place) != NULL, "%s", lsm_errmsg());
    cr_assert(strstr(lsm_errmsg(), why) != NULL, "%s", lsm_errmsg());
}

// The same for a manifest of a snapshot and then `edit`, which is released.
static void assert_edit_refused(struct edit edit, const char *why)
{
    lsm_buf frames = {.data = NULL};
    struct edit first = snapshot_of_nothing();
    uint64_t last;

    forge(&frames, &first);
    last = frames.size;
    forge(&frames, &edit);
    assert_refused(&frames, last, why);
    lsm_buf_free(&frames);
}

// --- reading ---

Test(manifest_hostile, a_forged_manifest_reads_as_any_other)
{
    lsm_buf frames = {.data = NULL};
    struct file_header current = forged_header(FILE_KIND_CURRENT);
    struct edit edit = snapshot_of_nothing();
    struct manifest_state read;

    forge(&frames, &edit);
    edit = edit_of_number(2);
    forge(&frames, &edit);
    assert_ok(read_forged(&frames));
    put_file("CURRENT", &current, &(lsm_buf){.data = NULL});
    assert_ok(read_named(&read));
    cr_assert(eq(u64, read.edit_number, 2));
    cr_assert(eq(u64, read.last_ts, 8));
    cr_assert(eq(u64, read.next_file_id, 10)); // above its own number, though it says 1
    manifest_state_release(&read);
    lsm_buf_free(&frames);
}

Test(manifest_hostile, a_malformed_edit_is_refused_with_its_place)
{
    lsm_buf frames = {.data = NULL};
    struct edit edit = snapshot_of_nothing();
    uint64_t second;

    forge(&frames, &edit);
    second = frames.size;
    forge_bytes(&frames, 2, "\x7F", 1);
    assert_refused(&frames, second, "unknown field 127");
    lsm_buf_free(&frames);
}

Test(manifest_hostile, the_first_edit_and_no_other_is_a_snapshot)
{
    lsm_buf frames = {.data = NULL};
    struct edit edit = edit_of_number(1);

    forge(&frames, &edit);
    assert_refused(&frames, 0, "a snapshot must be the first edit");
    lsm_buf_free(&frames);
    edit = snapshot_of_nothing();
    edit.number = 2;
    assert_edit_refused(edit, "a snapshot must be the first edit");
}

Test(manifest_hostile, only_the_first_edit_may_be_that_of_a_clean_close)
{
    struct edit edit = edit_of_number(2);

    edit.is_clean = true;
    assert_edit_refused(edit, "an edit of a clean close must be the first");
}

Test(manifest_hostile, numbers_of_edits_begin_above_0_and_are_dense)
{
    lsm_buf frames = {.data = NULL};
    struct edit edit = snapshot_of_nothing();

    edit.number = 0;
    forge(&frames, &edit);
    assert_refused(&frames, 0, "have a gap");
    lsm_buf_free(&frames);
    assert_edit_refused(edit_of_number(1), "have a gap");
    assert_edit_refused(edit_of_number(3), "have a gap");
}

Test(manifest_hostile, an_edit_that_contradicts_those_before_it_is_refused)
{
    struct edit edit = edit_of_number(2);

    assert_ok(edit_remove_table(&edit, 3, 55));
    assert_edit_refused(edit, "table 55 is not in level 3");
    edit = edit_of_number(2);
    edit_add_spec(&edit, &(struct table_spec){UINT64_MAX, 1, "a", "b", 1, 2, 0, 0, 0, 0, 0});
    assert_edit_refused(edit, "the last possible id");
    edit = edit_of_number(2);
    edit.has_log = true;
    edit.replay = (struct log_position){.segment = 3, .offset = 128};
    assert_edit_refused(edit, "does not start at segment 3");
}

// Sums of what tables point to would wrap, and a segment in use look like an unused one.
Test(manifest_hostile, tables_cannot_point_to_more_than_can_be)
{
    static const struct {
        uint64_t pointers, bytes;
    } pairs[] = {{UINT64_MAX - 20, 5}, {2, UINT64_MAX - 20}};

    for (size_t i = 0; i < 2; i++) {
        struct edit edit = edit_of_number(2);
        struct table_spec spec = {1, 3, "a", "b", 1, 2, 5, pairs[i].pointers, pairs[i].bytes, 0, 0};

        edit_set_log(&edit, 5, 5);
        edit_add_spec(&edit, &spec);
        spec.id = 2;
        spec.from = "c";
        spec.to = "d";
        edit_add_spec(&edit, &spec);
        for (size_t t = 0; t < 2; t++)
            edit.added[t].meta->entry_count = UINT64_MAX;
        assert_edit_refused(edit, "points to more bytes than can be");
    }
}

static struct edit keyspace_edit(enum keyspace_change_kind kind, uint32_t id, lsm_slice name,
                                 uint64_t ts)
{
    struct keyspace_change change = {.kind = kind, .id = id, .name = name, .ts = ts};
    struct edit edit = edit_of_number(2);

    assert_ok(edit_change_keyspace(&edit, &change));
    return edit;
}

// Appends one more change of keyspace 5, which `edit` has created.
static struct edit and_change(struct edit edit, enum keyspace_change_kind kind, uint64_t ts)
{
    struct keyspace_change change = {.kind = kind, .id = 5, .ts = ts};

    assert_ok(edit_change_keyspace(&edit, &change));
    return edit;
}

Test(manifest_hostile, keyspaces_that_cannot_be_are_refused)
{
    const lsm_slice name = slice_of("users");
    struct edit edit;

    assert_edit_refused(keyspace_edit(KEYSPACE_CREATE, UINT32_MAX, name, 0), "is used again");
    assert_edit_refused(keyspace_edit(KEYSPACE_CREATE, 5, slice_make("a\0b", 3), 0),
                        "has no proper name");
    assert_edit_refused(keyspace_edit(KEYSPACE_ALTER, 5, name, 0), "does not exist");
    edit = and_change(keyspace_edit(KEYSPACE_CREATE, 5, name, 0), KEYSPACE_DROP, 0);
    assert_edit_refused(edit, "cannot be dropped at 0");
    edit = and_change(keyspace_edit(KEYSPACE_CREATE, 5, name, 0), KEYSPACE_DROP, 3);
    assert_edit_refused(and_change(edit, KEYSPACE_DROP, 4), "does not exist");
    edit = and_change(keyspace_edit(KEYSPACE_CREATE, 5, name, 0), KEYSPACE_DROP, 3);
    assert_edit_refused(and_change(edit, KEYSPACE_ALTER, 0), "does not exist");
}

// Files that were exchanged, each in itself whole.
Test(manifest_hostile, a_manifest_that_current_does_not_mean_is_refused)
{
    lsm_buf frames = {.data = NULL};
    struct edit edit = snapshot_of_nothing();
    struct manifest_state read;

    forge(&frames, &edit);
    for (int i = 0; i < 3; i++) {
        struct file_header header = forged_header(FILE_KIND_MANIFEST);

        assert_ok(read_forged(&frames));
        header.db_uuid.bytes[0] ^= i == 0;
        header.file_uuid.bytes[0] ^= i == 1;
        header.number += i == 2;
        put_file(FORGED_NAME, &header, &frames);
        assert_status(read_named(&read), LSM_CORRUPT);
        cr_assert(strstr(lsm_errmsg(), "is not the manifest that CURRENT names") != NULL);
    }
    lsm_buf_free(&frames);
}

Test(manifest_hostile, a_manifest_read_by_number_must_be_of_the_database_and_number)
{
    struct file_header header = forged_header(FILE_KIND_MANIFEST);
    lsm_buf frames = {.data = NULL};
    struct edit edit = snapshot_of_nothing();
    struct stores *s = &life.stores;
    struct manifest_state read;
    struct version *version;

    assert_status(manifest_read_numbered(&s->tables, &s->segments, 9, &read, &version),
                  LSM_CORRUPT);
    forge(&frames, &edit);
    put_file(FORGED_NAME, &header, &frames);
    assert_ok(manifest_read_numbered(&s->tables, &s->segments, 9, &read, &version));
    cr_assert(eq(u64, read.last_ts, 7));
    manifest_state_release(&read);
    version_unref(version);
    header.number = 8;
    put_file(FORGED_NAME, &header, &frames);
    assert_status(manifest_read_numbered(&s->tables, &s->segments, 9, &read, &version),
                  LSM_CORRUPT);
    header.number = 9;
    header.db_uuid.bytes[3]++;
    put_file(FORGED_NAME, &header, &frames);
    assert_status(manifest_read_numbered(&s->tables, &s->segments, 9, &read, &version),
                  LSM_CORRUPT);
    lsm_buf_free(&frames);
}

Test(manifest_hostile, a_manifest_of_more_than_a_gibibyte_is_not_read)
{
    struct filename name = life_manifest_name(&life);
    struct manifest_state read;
    struct file *file;

    assert_ok(sim_open_to_change(life.stores.dir, name.text, &file));
    assert_ok(file_truncate(file, MANIFEST_FILE_SIZE_MAX + 1));
    assert_ok(file_close(file));
    assert_status(read_named(&read), LSM_CORRUPT);
    cr_assert(strstr(lsm_errmsg(), "cannot have 1073741825 bytes") != NULL);
}

// --- looking ---

// Says of each stretch what it is, until there are `left`; then it gives up.
struct teller {
    int left;
    char seen[8];
};

static lsm_status tell(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    struct teller *teller = ctx;

    (void)offset;
    cr_assert(lt(u64, 0, size));
    if (teller->left-- == 0)
        return LSM_BUSY;
    teller->seen[strlen(teller->seen)] = edit == NULL ? '-' : 'e';
    return LSM_OK;
}

// A manifest of an edit, bytes that are none, an edit, a malformed one, and a torn tail.
static void put_mixed_file(void)
{
    struct file_header header = forged_header(FILE_KIND_MANIFEST);
    struct edit edit = snapshot_of_nothing();
    lsm_buf frames = {.data = NULL};

    forge(&frames, &edit);
    assert_ok(buf_append(&frames, "not an edit", 11));
    edit = edit_of_number(2);
    forge(&frames, &edit);
    forge_bytes(&frames, 3, "\x7F", 1);
    assert_ok(buf_append(&frames, "torn", 4));
    put_file(FORGED_NAME, &header, &frames);
    lsm_buf_free(&frames);
}

Test(manifest_hostile, a_scan_tells_edits_from_what_is_none)
{
    struct teller teller = {.left = -1};

    put_mixed_file();
    assert_ok(manifest_scan(life.stores.dir, FORGED_NAME, tell, &teller));
    cr_assert(eq(str, teller.seen, "e-e--"));
    assert_status(manifest_scan(life.stores.dir, "MANIFEST-000999", tell, &teller), LSM_CORRUPT);
}

Test(manifest_hostile, a_scan_ends_when_its_caller_has_seen_enough)
{
    put_mixed_file();
    for (int enough = 0; enough < 5; enough++) {
        struct teller teller = {.left = enough};

        assert_status(manifest_scan(life.stores.dir, FORGED_NAME, tell, &teller), LSM_BUSY);
        cr_assert(eq(sz, strlen(teller.seen), enough));
    }
}

Test(manifest_hostile_memory, out_of_memory_is_not_taken_for_damage)
{
    cr_assert(alloc_fault_install());
    setup();
    put_mixed_file();
    ALLOC_FAULT_EACH({
        struct teller teller = {.left = -1};
        lsm_status status = manifest_scan(life.stores.dir, FORGED_NAME, tell, &teller);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        cr_assert(status != LSM_OK || strcmp(teller.seen, "e-e--") == 0);
    });
    for (size_t n = 0; n < 3; n++)
        assert_ok(life_apply_script(&life, n));
    life_write_tail(&life, "torn");
    ALLOC_FAULT_EACH({
        struct manifest_state read;
        lsm_status status = read_named(&read);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        if (status == LSM_OK) {
            cr_assert(eq(u64, read.edit_number, 4));
            manifest_state_release(&read);
        }
    });
    teardown();
}

// test_manifest_file.c -- frames, and the bytes that the format promises.

#include "manifest/manifest_file.h"

#include "base/coding.h"
#include "manifest_fixture.h"
#include "support/alloc_fault.h"
#include "support/golden.h"
#include "support/random.h"

static const struct uuid file_uuid = {.bytes = {0xF0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}};

// A manifest of a snapshot and one more edit, which use every field.
static void make_file(lsm_buf *to)
{
    struct file_header header = {.kind = FILE_KIND_MANIFEST,
                                 .db_uuid = fixture_db_uuid,
                                 .file_uuid = file_uuid,
                                 .number = 7};
    struct keyspace_change create = {.kind = KEYSPACE_CREATE,
                                     .id = 2,
                                     .name = slice_of("users"),
                                     .options = {512, 3, KEYSPACE_INHERIT, 86400}};
    struct keyspace_change alter = {.kind = KEYSPACE_ALTER, .id = 2, .options = {1024, 1, 3, 0}};
    struct keyspace_change drop = {.kind = KEYSPACE_DROP, .id = 2, .ts = 991};
    struct edit edit;

    assert_ok(buf_reserve(to, FILE_HEADER_SIZE));
    file_header_encode(&header, to->data);
    to->size = FILE_HEADER_SIZE;

    edit_init(&edit);
    edit.is_snapshot = true;
    edit.is_clean = true;
    edit.number = 41;
    edit_add_spec(&edit, &(struct table_spec){11, 0, "a", "k", 500, 900, 3, 4, 4000, 0, 0});
    edit_add_spec(&edit, &(struct table_spec){12, 6, "l", "z", 1, 2, 0, 0, 0, 1, 2});
    edit_set_log(&edit, 5, 8);
    edit_leave(&edit, 3);
    assert_ok(edit_change_keyspace(&edit, &create));
    edit.last_ts = 900;
    edit.last_wall_ns = 1700000000000000000;
    edit.next_file_id = 13;
    edit.next_keyspace_id = 3;
    edit.mark = (struct log_position){.segment = 8, .offset = 4096};
    assert_ok(manifest_frame_encode(&edit, &file_uuid, to->size, to));
    edit_release(&edit);

    edit.number = 42;
    assert_ok(edit_remove_table(&edit, 0, 11));
    assert_ok(edit_change_keyspace(&edit, &alter));
    assert_ok(edit_change_keyspace(&edit, &drop));
    edit.next_file_id = 300;
    assert_ok(manifest_frame_encode(&edit, &file_uuid, to->size, to));
    edit_release(&edit);
}

// tests/golden/`name`; written when LSM_UPDATE_GOLDEN is set.
static void read_golden(const char *name, const lsm_buf *fresh, lsm_buf *out)
{
    char path[4096];
    FILE *file;
    size_t got;

    golden_path(name, path, sizeof path);
    if (getenv("LSM_UPDATE_GOLDEN") != NULL) {
        file = fopen(path, "wb");
        cr_assert(file != NULL && fwrite(fresh->data, 1, fresh->size, file) == fresh->size);
        cr_assert(fclose(file) == 0);
    }
    file = fopen(path, "rb");
    cr_assert(file != NULL, "%s is missing", path);
    assert_ok(buf_reserve(out, 2 * fresh->size));
    got = fread(out->data, 1, out->capacity, file);
    out->size = got;
    (void)fclose(file);
}

// The format is on people's disks: it changes only together with its version.
Test(manifest_file, bytes_are_those_of_the_golden_file)
{
    lsm_buf fresh = {.data = NULL};
    lsm_buf golden = {.data = NULL};

    make_file(&fresh);
    read_golden("manifest_v1", &fresh, &golden);
    cr_assert(slice_equal(slice_of_buf(&fresh), slice_of_buf(&golden)));
    lsm_buf_free(&fresh);
    lsm_buf_free(&golden);
}

Test(manifest_file, the_golden_file_reads_back)
{
    lsm_buf fresh = {.data = NULL};
    lsm_buf golden = {.data = NULL};
    lsm_buf again = {.data = NULL};
    struct manifest_frame frame;
    struct file_header header;
    uint64_t offset = FILE_HEADER_SIZE;

    make_file(&fresh);
    read_golden("manifest_v1", &fresh, &golden);
    assert_ok(file_header_decode(slice_of_buf(&golden), FILE_KIND_MANIFEST, "golden", &header));
    cr_assert(eq(u64, header.number, 7));
    for (uint64_t number = 41; number <= 42; number++) {
        struct edit edit;

        cr_assert(manifest_frame_at(slice_of_buf(&golden), &header.file_uuid, offset, &frame));
        cr_assert(eq(u64, frame.number, number));
        assert_ok(edit_decode(frame.edit, &edit));
        buf_clear(&again);
        assert_ok(edit_encode(&edit, &again)); // nothing is lost on the way
        cr_assert(slice_equal(frame.edit, slice_of_buf(&again)));
        edit_release(&edit);
        offset += frame.size;
    }
    cr_assert(eq(u64, offset, golden.size));
    lsm_buf_free(&fresh);
    lsm_buf_free(&golden);
    lsm_buf_free(&again);
}

Test(manifest_file, a_frame_verifies_in_its_place_only)
{
    struct manifest_frame frame;
    struct uuid other = file_uuid;
    lsm_buf bytes = {.data = NULL};
    size_t moved;

    make_file(&bytes);
    cr_assert(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, FILE_HEADER_SIZE, &frame));
    other.bytes[15]++;
    cr_assert(not(manifest_frame_at(slice_of_buf(&bytes), &other, FILE_HEADER_SIZE, &frame)));
    cr_assert(not(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, UINT64_MAX, &frame)));
    cr_assert(not(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, bytes.size, &frame)));

    // The same frame once more behind the others.
    moved = bytes.size;
    cr_assert(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, FILE_HEADER_SIZE, &frame));
    assert_ok(buf_reserve(&bytes, moved + frame.size));
    assert_ok(buf_append(&bytes, (uint8_t *)bytes.data + FILE_HEADER_SIZE, frame.size));
    cr_assert(not(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, moved, &frame)));
    lsm_buf_free(&bytes);
}

// --- sizes ---

Test(manifest_file, an_edit_of_more_than_a_quarter_gibibyte_is_refused)
{
    size_t count = MANIFEST_EDIT_SIZE_MAX / UINT16_MAX / 2 + 1;
    struct table_change *tables = calloc(count, sizeof *tables);
    struct table_spec spec = {1, 3, NULL, NULL, 1, 2, 0, 0, 0, 0, 0};
    struct edit edit = {.number = 5, .added = tables, .added_count = count};
    lsm_buf frame = {.data = NULL};
    struct table_meta *meta;
    char *key = calloc(1, UINT16_MAX + 1);

    memset(key, 'k', UINT16_MAX);
    spec.from = key;
    spec.to = key;
    meta = spec_meta(&spec);
    for (size_t i = 0; i < count; i++)
        tables[i] = (struct table_change){.level = 3, .id = i, .meta = meta};
    assert_status(manifest_frame_encode(&edit, &file_uuid, 128, &frame), LSM_INVALID);
    lsm_buf_free(&frame);
    table_meta_free(meta);
    free(tables);
    free(key);
}

Test(manifest_file, a_frame_of_more_than_a_quarter_gibibyte_is_none)
{
    size_t size = MANIFEST_EDIT_SIZE_MAX + 4096;
    uint8_t *bytes = calloc(1, size); // untouched but for its beginning
    struct manifest_frame frame;

    put_u32(bytes + 4, MANIFEST_EDIT_SIZE_MAX + 1);
    cr_assert(not(manifest_frame_at(slice_make(bytes, size), &file_uuid, 0, &frame)));
    free(bytes);
}

// --- searching ---

// As a search does that looks nowhere else; returns the work that took.
static uint64_t search_once(const lsm_buf *bytes, uint64_t offset, bool *is_found,
                            struct manifest_frame *out)
{
    struct manifest_search search;
    uint64_t work;

    assert_ok(manifest_search_init(&search, slice_of_buf(bytes), &file_uuid));
    *is_found = manifest_search_find(&search, offset, out);
    work = search.bytes_summed;
    manifest_search_release(&search);
    return work;
}

Test(manifest_file, a_search_finds_the_next_frame_that_verifies)
{
    struct manifest_frame first, second, found;
    lsm_buf bytes = {.data = NULL};
    bool is_found;

    make_file(&bytes);
    cr_assert(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, FILE_HEADER_SIZE, &first));
    cr_assert(manifest_frame_at(slice_of_buf(&bytes), &file_uuid, FILE_HEADER_SIZE + first.size,
                                &second));
    (void)search_once(&bytes, 0, &is_found, &found);
    cr_assert(is_found);
    cr_assert(eq(u64, found.offset, first.offset));
    cr_assert(eq(u64, found.size, first.size));
    cr_assert(eq(u64, found.number, first.number));
    cr_assert(slice_equal(found.edit, first.edit));
    (void)search_once(&bytes, first.offset + 1, &is_found, &found);
    cr_assert(is_found);
    cr_assert(eq(u64, found.offset, second.offset));
    (void)search_once(&bytes, second.offset + 1, &is_found, &found);
    cr_assert(not(is_found));
    lsm_buf_free(&bytes);
}

Test(manifest_file, zeroes_are_no_frame)
{
    static uint8_t zeroes[4096];
    lsm_buf bytes = {.data = zeroes, .size = sizeof zeroes};
    struct manifest_frame frame;
    bool is_found;

    (void)search_once(&bytes, 0, &is_found, &frame);
    cr_assert(not(is_found));
}

// Sparse bytes, so that many places look like a frame, and here and there one that is.
static void make_sparse_file(struct random *random, lsm_buf *to)
{
    size_t pieces = 1 + random_below(random, 6);

    buf_clear(to);
    for (size_t i = 0; i < pieces; i++) {
        uint8_t noise[400] = {0};
        size_t size = random_below(random, sizeof noise);
        struct edit edit;

        for (size_t at = 0; at < size; at += random_below(random, 60))
            noise[at++] = (uint8_t)random_below(random, 200);
        assert_ok(buf_append(to, noise, size));
        if (random_one_in(random, 3))
            continue;
        edit_init(&edit);
        edit.number = i;
        edit.last_ts = 1 + random_below(random, UINT64_MAX);
        assert_ok(manifest_frame_encode(&edit, &file_uuid, to->size, to));
        if (random_one_in(random, 3))
            ((uint8_t *)to->data)[to->size - 1] ^= 1;
    }
}

Test(manifest_file, a_search_finds_what_a_look_at_each_place_finds)
{
    struct random random = random_for_test(__func__);
    lsm_buf bytes = {.data = NULL};
    size_t hits = 0;

    for (int round = 0; round < 2000; round++) {
        struct manifest_search search;
        struct manifest_frame here, found;

        make_sparse_file(&random, &bytes);
        assert_ok(manifest_search_init(&search, slice_of_buf(&bytes), &file_uuid));
        for (uint64_t from = 0; from <= bytes.size; from = here.offset + 1) {
            here.offset = from;
            while (here.offset < bytes.size &&
                   !manifest_frame_at(slice_of_buf(&bytes), &file_uuid, here.offset, &here))
                here.offset++;
            if (here.offset >= bytes.size) {
                cr_assert(not(manifest_search_find(&search, from, &found)));
                break;
            }
            cr_assert(manifest_search_find(&search, from, &found));
            cr_assert(eq(u64, found.offset, here.offset));
            cr_assert(slice_equal(found.edit, here.edit));
            hits++;
        }
        manifest_search_release(&search);
    }
    cr_assert(lt(sz, 1000, hits));
    lsm_buf_free(&bytes);
}

// Each place that looks like a frame may reach to the end of the file: summing up every one is
// quadratic.
Test(manifest_file, a_search_among_many_likely_frames_sums_each_byte_a_few_times_only)
{
    enum { LIKELY = 20000, PERIOD = MANIFEST_FRAME_HEADER_SIZE + 1 };
    lsm_buf bytes = {.data = NULL};
    struct manifest_frame frame;
    uint64_t naive = 0;
    uint64_t work;
    bool is_found;

    assert_ok(buf_reserve(&bytes, LIKELY * PERIOD));
    bytes.size = LIKELY * PERIOD;
    memset(bytes.data, 0, bytes.size);
    for (size_t at = 0; at + PERIOD < bytes.size; at += PERIOD) {
        uint32_t size = (uint32_t)(bytes.size - at - PERIOD);

        put_u32((uint8_t *)bytes.data + at + 4, size);
        naive += size;
    }
    work = search_once(&bytes, 0, &is_found, &frame);
    cr_assert(not(is_found));
    cr_assert(lt(u64, bytes.size, work)); // there is some
    cr_assert(lt(u64, work, 32 * bytes.size));
    cr_assert(lt(u64, 100 * work, naive));
    lsm_buf_free(&bytes);
}

Test(manifest_file, a_search_without_memory_says_so)
{
    lsm_buf bytes = {.data = NULL};
    struct manifest_search search;

    cr_assert(alloc_fault_install());
    make_file(&bytes);
    alloc_fault_at(1, false);
    assert_status(manifest_search_init(&search, slice_of_buf(&bytes), &file_uuid), LSM_NO_MEMORY);
    lsm_buf_free(&bytes);
}

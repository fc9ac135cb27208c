// test_segment_golden.c -- the format of the log does not change by accident.
//
// tests/golden/segment_v1.vlog was written by this program, run with
// LSM_GOLDEN_WRITE=1 in its environment. A change that makes it differ changes the
// format: it needs a new format version, a new file beside the old one, and old files
// that can still be read.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "log_fixture.h"
#include "support/golden.h"
#include "vlog/segment_scan.h"

#define GOLDEN_ID 2 // the second segment: its first frame is a link

static struct env *env;
static struct env_ops fixed_ops;
static struct world w;

static lsm_status fixed_random(struct env *unused, void *to, size_t size)
{
    (void)unused;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)(0xA0 + i);
    return LSM_OK;
}

// A directory in memory, where files get the same uuid every time.
static void fixture_open(void)
{
    static const struct paper blank;

    cr_assert(eq(int, env_memory_new(&env), LSM_OK));
    fixed_ops = *env->ops;
    fixed_ops.random_bytes = fixed_random;
    env->ops = &fixed_ops;
    cr_assert(eq(int, world_open(&w, env, &blank), LSM_OK));
    cr_assert(eq(int, world_create(&w), LSM_OK));
}

static void fixture_close(void)
{
    world_close(&w);
    env_memory_free(env);
}

TestSuite(segment_golden, .init = fixture_open, .fini = fixture_close);

// One of each kind of entry, adorned and not, inline and separated.
static void append_kinds(uint64_t ts)
{
    const struct entry entries[] = {
        {.keyspace = 1, .kind = ENTRY_VALUE, .key = slice_of("a"), .value = slice_of("inline")},
        {.keyspace = 1, .kind = ENTRY_DELETE, .key = slice_of("b")},
        {.keyspace = 1, .kind = ENTRY_VALUE, .key = slice_of("c"), .value = slice_of("apart")},
        {.keyspace = 300,
         .kind = ENTRY_VALUE,
         .user_byte = 0x7E,
         .expiry = 1800000000,
         .key = slice_of("a"),
         .value = slice_of("adorned")},
        {.keyspace = 300, .kind = ENTRY_VALUE, .key = slice_of("b"), .value = slice_of("")},
    };
    struct commit_frame frame = {0};
    struct commit_frame *group = &frame;

    for (size_t i = 0; i < sizeof entries / sizeof entries[0]; i++)
        cr_assert(eq(int, commit_frame_add(&frame, &entries[i], i == 2 || i == 4), LSM_OK));
    cr_assert(eq(int, commit_frame_finish(&frame), LSM_OK));
    frame.ts = ts;
    frame.wall_ns = 1700000000123456789;
    cr_assert(eq(int, log_reserve(w.log, frame.size, 7), LSM_OK));
    cr_assert(eq(int, log_append(w.log, &group, 1, 7), LSM_OK));
    commit_frame_release(&frame);
}

// The segment as this program writes it; freed by the caller.
static lsm_buf write_now(void)
{
    const char *name = filename_of(FILENAME_SEGMENT, GOLDEN_ID).text;
    lsm_buf bytes = {0};
    struct file *file;
    uint64_t size;

    cr_assert(eq(int, world_append(&w, 1, 2, SHAPE_VALUES), LSM_OK));
    cr_assert(eq(int, world_append(&w, 3, 1, SHAPE_VALUES), LSM_OK));
    cr_assert(eq(int, world_sync(&w), LSM_OK));
    append_kinds(4);
    cr_assert(eq(int, log_finish(w.log), LSM_OK));
    cr_assert(eq(int, file_open(w.dir, name, FILE_READ, &file), LSM_OK));
    cr_assert(eq(int, file_size(file, &size), LSM_OK));
    cr_assert(eq(int, buf_reserve(&bytes, size), LSM_OK));
    cr_assert(eq(int, file_read_exact(file, 0, bytes.data, size), LSM_OK));
    bytes.size = size;
    file_close_quietly(file);
    return bytes;
}

static FILE *open_golden(const char *mode)
{
    char path[4096];
    FILE *file;

    golden_path("segment_v1.vlog", path, sizeof path);
    file = fopen(path, mode);
    cr_assert(file != NULL, "cannot open %s", path);
    return file;
}

static lsm_buf read_golden(void)
{
    FILE *file = open_golden("rb");
    lsm_buf bytes = {0};

    cr_assert(eq(int, buf_reserve(&bytes, 1 << 16), LSM_OK));
    bytes.size = fread(bytes.data, 1, bytes.capacity, file);
    (void)fclose(file);
    return bytes;
}

Test(segment_golden, a_segment_is_written_byte_for_byte_as_ever)
{
    lsm_buf fresh = write_now();
    lsm_buf golden;

    if (getenv("LSM_GOLDEN_WRITE") != NULL) {
        FILE *file = open_golden("wb");

        cr_assert(eq(sz, fwrite(fresh.data, 1, fresh.size, file), fresh.size));
        cr_assert(eq(int, fclose(file), 0));
    }
    golden = read_golden();
    cr_assert(slice_equal(slice_of_buf(&fresh), slice_of_buf(&golden)));
    lsm_buf_free(&fresh);
    lsm_buf_free(&golden);
}

struct golden_frame {
    enum frame_type type;
    uint64_t sequence;
    uint64_t ts;
    uint32_t entry_count;
};

static const struct golden_frame golden_frames[] = {
    {FRAME_LINK, 3, 2, 0},
    {FRAME_COMMIT, 4, 3, 3},
    {FRAME_COMMIT, 5, 4, 5},
};

static lsm_status on_frame(void *ctx, uint64_t offset, uint64_t size,
                           const struct frame_header *header, lsm_slice entries)
{
    size_t *count = ctx;
    const struct golden_frame *wanted = &golden_frames[*count];

    (void)size, (void)entries;
    cr_assert(ne(ptr, (void *)header, NULL), "nothing verifies at %llu",
              (unsigned long long)offset);
    cr_assert(lt(sz, *count, 3));
    cr_assert(eq(int, header->type, wanted->type));
    cr_assert(eq(u64, header->sequence, wanted->sequence));
    cr_assert(eq(u64, header->ts, wanted->ts));
    cr_assert(eq(u32, header->entry_count, wanted->entry_count));
    ++*count;
    return LSM_OK;
}

Test(segment_golden, the_golden_file_is_read_frame_by_frame)
{
    lsm_buf golden = read_golden();
    struct file *file;
    size_t count = 0;

    cr_assert(eq(int, file_open(w.dir, "000009.vlog", FILE_CREATE, &file), LSM_OK));
    cr_assert(eq(int, file_write_one(file, 0, slice_of_buf(&golden)), LSM_OK));
    cr_assert(eq(int, file_close(file), LSM_OK));
    cr_assert(eq(int, segment_scan(w.dir, "000009.vlog", true, on_frame, &count), LSM_OK));
    cr_assert(eq(sz, count, 3));
    lsm_buf_free(&golden);
}

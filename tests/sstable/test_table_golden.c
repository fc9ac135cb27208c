// test_table_golden.c -- the table format does not change by accident.
//
// tests/golden/table_v1.sst and table_v1_zstd.sst were written by this program,
// run with LSM_GOLDEN_WRITE=1 in its environment. A change that makes it differ
// changes the format: it needs a new format version, new files beside the old
// ones, and old files that can still be read.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/table_core.h"
#include "sstable/table_fixture.h"
#include "support/golden.h"

#define ID 12

static struct env *env;
static struct env_ops fixed_ops;
static struct table_fixture f; // without its simulated disk

static lsm_status fixed_random(struct env *unused, void *to, size_t size)
{
    (void)unused;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)to)[i] = (uint8_t)(0xa0 + i);
    return LSM_OK;
}

static uint64_t fixed_clock(struct env *unused)
{
    (void)unused;
    return 1700000000ull * 1000000000;
}

// A directory in memory whose random bytes and clock are always the same.
static void setup(void)
{
    MUST(env_memory_new(&env));
    fixed_ops = *env->ops;
    fixed_ops.random_bytes = fixed_random;
    fixed_ops.clock_wall_ns = fixed_clock;
    env->ops = &fixed_ops;
    MUST(dir_open(env, "/db", true, &f.dir));
    poison_init(&f.poison);
    epoch_bin_init(&f.bin);
    f.store = (struct table_store){.dir = f.dir, .bin = &f.bin};
    memset(f.store.db_uuid.bytes, 0xdb, UUID_SIZE);
    MUST(fd_cache_new(&f.bin, 8, &f.store.fds));
    MUST(cache_new(1 << 20, &f.bin, &f.store.cache));
}

static void teardown(void)
{
    epoch_drain(&f.bin);
    cache_free(f.store.cache);
    fd_cache_free(f.store.fds);
    epoch_drain(&f.bin);
    epoch_bin_release(&f.bin);
    poison_release(&f.poison);
    dir_close(f.dir);
    env_memory_free(env);
}

TestSuite(table_golden, .init = setup, .fini = teardown);

static struct entry make_entry(size_t i)
{
    struct entry e = {.keyspace = (uint32_t)(i / 70), .kind = ENTRY_VALUE, .ts = 1000 - i % 3};
    struct value_pointer p = {.segment = (uint32_t)(1 + i % 2),
                              .offset = 4096 + i * 64,
                              .record_size = 48,
                              .value_size = 9};
    uint8_t pointer[POINTER_SIZE_MAX];
    char text[64];

    snprintf(text, sizeof text, "golden/key/%03zu%.*s", i / 3, (int)(i % 5), "-tail");
    e.key = bytes_copy(text, strlen(text));
    e.head = slice_head(e.key);
    e.user_byte = i % 7 == 0 ? 0x7e : 0;
    e.expiry = i % 11 == 0 ? 1800000000 + i : 0;
    if (i % 9 == 0)
        e.kind = ENTRY_DELETE;
    else if (i % 4 == 0)
        e.kind = ENTRY_POINTER;
    snprintf(text, sizeof text, "value %zu of the golden table", i);
    if (e.kind == ENTRY_VALUE)
        e.value = bytes_copy(text, strlen(text));
    else
        e.value = bytes_copy(pointer, e.kind == ENTRY_DELETE ? 0 : pointer_encode(&p, pointer));
    return e;
}

static struct entry_array golden_entries(void)
{
    struct entry_array a = {.items = calloc(200, sizeof *a.items), .count = 200};

    for (size_t i = 0; i < a.count; i++)
        a.items[i] = make_entry(i);
    entry_array_sort(&a);
    return a;
}

static lsm_slice file_bytes(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 20);
    size_t size;

    cr_assert(file != NULL, "%s is missing", path);
    size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return slice_make(bytes, size);
}

static void write_bytes(const char *path, lsm_slice bytes)
{
    FILE *file = fopen(path, "wb");

    cr_assert(file != NULL && fwrite(bytes.data, 1, bytes.size, file) == bytes.size);
    cr_assert(eq(int, fclose(file), 0));
}

// The table as this program writes it.
static lsm_slice build_now(const struct table_options *options, const struct entry_array *a)
{
    struct filename name = filename_of(FILENAME_TABLE, ID);
    struct table_meta *meta;
    struct file *file;
    uint8_t *bytes;
    size_t size;

    MUST(build_table(&f, ID, options, a, &meta));
    size = (size_t)meta->size;
    table_meta_free(meta);
    bytes = malloc(size);
    MUST(file_open(f.dir, name.text, FILE_READ, &file));
    MUST(file_read_exact(file, 0, bytes, size));
    file_close_quietly(file);
    MUST(file_unlink(f.dir, name.text));
    return slice_make(bytes, size);
}

// What the table in `bytes` says of itself.
static struct table_meta *meta_of(struct file *file, lsm_slice bytes)
{
    struct decompressor_pool pool;
    struct table_source source = {.file = file, .decompressors = &pool};
    struct properties properties;
    struct file_header header;
    struct footer footer;

    decompressor_pool_init(&pool);
    MUST(file_header_decode(bytes, FILE_KIND_TABLE, "golden", &header));
    source.uuid = header.file_uuid;
    MUST(layout_footer_read(file, bytes.size, &source.uuid, &footer));
    MUST(source_read_properties(&source, &footer, &properties));
    return properties.meta;
}

static void check_bytes(lsm_slice bytes, const struct entry_array *a)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    struct filename name = filename_of(FILENAME_TABLE, ID);
    struct table *table;
    struct file *file;

    MUST(file_open(f.dir, name.text, FILE_CREATE, &file));
    MUST(file_write_one(file, 0, bytes));
    MUST(table_new(&f.store, meta_of(file, slice_make(bytes.data, bytes.size)), &table));
    MUST(file_close(file));
    MUST(table_verify(table));
    MUST(table_iter_new(table, &(struct table_iter_options){.sequential = true}, &it));
    MUST(iter_first(it));
    for (size_t i = 0; i < a->count; i++) {
        cr_assert(it->is_valid && entry_equal(&it->entry, &a->items[i]), "entry %zu", i);
        MUST(iter_next(it));
    }
    cr_assert(not(it->is_valid));
    table_unref(table);
}

static void check_golden(const char *name, const struct table_options *options, bool exact)
{
    struct entry_array a = golden_entries();
    lsm_slice now = build_now(options, &a);
    const uint8_t *bytes_now = now.data;
    const uint8_t *bytes_golden;
    lsm_slice golden;
    char path[512];

    golden_path(name, path, sizeof path);
    if (getenv("LSM_GOLDEN_WRITE") != NULL)
        write_bytes(path, now);
    golden = file_bytes(path);
    bytes_golden = golden.data;
    check_bytes(golden, &a);
    if (exact) {
        cr_assert(eq(sz, now.size, golden.size));
        for (size_t i = 0; i < now.size; i++)
            cr_assert(bytes_now[i] == bytes_golden[i], "byte %zu differs", i);
    }
    free((void *)now.data);
    free((void *)golden.data);
    entry_array_release(&a);
}

Test(table_golden, a_table_of_version_1_is_written_and_read_byte_for_byte)
{
    check_golden("table_v1.sst", &(struct table_options){.block_size = 1024, .filter_bits = 10},
                 true);
}

// What zstd makes of the same bytes may change with its version.
Test(table_golden, a_compressed_table_of_version_1_is_read)
{
    check_golden("table_v1_zstd.sst",
                 &(struct table_options){.block_size = 4096, .compression = 3, .filter_bits = 7.5},
                 false);
}

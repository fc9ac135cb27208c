// Any bytes as a table: inspected, opened, searched, walked both ways and verified. A table
// that verifies yields as many entries in order as it says. Blocks are searched without the index,
// too. Checksums are repaired by the mutator.

#include <stdlib.h>

#include "base/hash.h"
#include "fuzz_file.h"
#include "reseal.h"
#include "sstable/block_search.h"
#include "sstable/table.h"
#include "sstable/table_core.h"

#define NAME "000001.sst"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    return reseal_mutate(data, size, size_max, seed, reseal_table);
}

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx;
    (void)line;
}

// The facts that a manifest would hold: here, what the file says of itself.
static lsm_status read_meta(struct dir *dir, struct table_meta **out)
{
    struct decompressor_pool decompressors;
    struct table_source source = {.decompressors = &decompressors};
    struct file_header header;
    struct properties properties;
    struct footer footer;
    uint8_t bytes[FILE_HEADER_SIZE];
    uint64_t size;
    lsm_status status;

    TRY(file_open(dir, NAME, FILE_READ, &source.file));
    decompressor_pool_init(&decompressors);
    status = file_size(source.file, &size);
    if (status == LSM_OK)
        status = file_read_exact(source.file, 0, bytes, sizeof bytes);
    if (status == LSM_OK)
        status =
            file_header_decode(slice_make(bytes, sizeof bytes), FILE_KIND_TABLE, NAME, &header);
    source.uuid = header.file_uuid;
    if (status == LSM_OK)
        status = layout_footer_read(source.file, size, &source.uuid, &footer);
    if (status == LSM_OK)
        status = source_read_properties(&source, &footer, &properties);
    if (status == LSM_OK)
        status = table_meta_copy(properties.meta, out);
    if (status == LSM_OK)
        properties_release(&properties);
    decompressor_pool_release(&decompressors);
    file_close_quietly(source.file);
    return status;
}

static uint64_t walk(struct iter *it, lsm_status (*start)(struct iter *it),
                     lsm_status (*step)(struct iter *it))
{
    lsm_status status = start(it);
    uint64_t count = 0;

    for (; status == LSM_OK && it->is_valid; status = step(it))
        count++;
    fuzz_expect_refusal(status);
    return status == LSM_OK ? count : UINT64_MAX;
}

static void read_table(struct table *table)
{
    static const struct table_iter_options options = {.fill_cache = true};
    const lsm_status verified = table_verify(table);
    struct iter *it = NULL;
    struct entry entry;
    bool found;

    fuzz_expect_refusal(verified);
    {
        const struct ikey key = {.keyspace = 0, .key = slice_of("golden/key/010"), .ts = TS_MAX};
        EPOCH_SECTION();

        fuzz_expect_refusal(
            table_get(table, &key, key_hash(key.keyspace, key.key), &entry, &found, NULL));
    }
    if (table_iter_new(table, &options, &it) != LSM_OK)
        return;
    if (walk(it, iter_first, iter_next) != table_meta(table)->entry_count && verified == LSM_OK)
        abort();
    if (walk(it, iter_last, iter_prev) != table_meta(table)->entry_count && verified == LSM_OK)
        abort();
    iter_close(it);
}

// Blocks found without the index lie within the file, behind one another, and are whole.
static void search_blocks(struct fuzz_file *f)
{
    struct block_search search = {
        .file = &f->file, .end = f->size, .size_max = LAYOUT_DATA_RAW_MAX};
    uint64_t at = FILE_HEADER_SIZE;
    struct block_place place;
    bool found;

    if (f->size < FILE_HEADER_SIZE)
        return;
    memcpy(search.uuid.bytes, f->data + FILE_HEADER_UUID_AT, UUID_SIZE);
    while (block_search_next(&search, at, &found, &place) == LSM_OK && found) {
        if (place.offset < at || block_place_end(&place) > f->size || place.size == 0)
            abort();
        at = block_place_end(&place);
    }
    // A block ends where the next window may begin again.
    if (search.bytes_read > 2 * f->size || search.candidates > f->size)
        abort();
    block_search_release(&search);
}

static void open_table(struct dir *dir, struct table_meta *meta)
{
    struct epoch_bin bin;
    struct table_store store = {.dir = dir, .bin = &bin, .db_uuid = {{0}}};
    struct table *table;

    epoch_bin_init(&bin);
    memset(store.db_uuid.bytes, 0xdb, UUID_SIZE);
    if (fd_cache_new(&bin, 4, &store.fds) != LSM_OK ||
        cache_new(1 << 20, &bin, &store.cache) != LSM_OK ||
        table_new(&store, meta, &table) != LSM_OK)
        abort();
    read_table(table);
    table_unref(table);
    epoch_drain(&bin);
    cache_free(store.cache);
    fd_cache_free(store.fds);
    epoch_drain(&bin);
    epoch_bin_release(&bin);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table_meta *meta = NULL;
    struct fuzz_file f;
    lsm_status status;

    fuzz_file_init(&f, NAME, data, size);
    if (size % 8 == 0) // it takes longer than all else
        search_blocks(&f);
    fuzz_expect_refusal(table_inspect(&f.dir, NAME, ignore_line, NULL));
    status = read_meta(&f.dir, &meta);
    fuzz_expect_refusal(status);
    if (status == LSM_OK)
        open_table(&f.dir, meta);
    fuzz_file_release(&f);
    return 0;
}

// test_layout.c -- blocks and footers whose checksum is right and whose content is
// hostile.

#include "sstable/layout.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/table_core.h"
#include "sstable/table_fixture.h"

#define FILE_NAME "000001.sst"

static struct sim *sim;
static struct dir *dir;
static struct file *file;
static struct decompressor_pool pool;
static const struct uuid uuid = {.bytes = "sixteen letters"};

static void setup(void)
{
    MUST(sim_new(1, &sim));
    MUST(dir_open(sim_env(sim), "/db", true, &dir));
    MUST(file_open(dir, FILE_NAME, FILE_CREATE, &file));
    decompressor_pool_init(&pool);
}

static void teardown(void)
{
    decompressor_pool_release(&pool);
    MUST(file_close(file));
    dir_close(dir);
    sim_free(sim);
}

TestSuite(layout, .init = setup, .fini = teardown);

static void write_block(uint64_t offset, lsm_slice stored, int codec, uint32_t raw_size)
{
    uint8_t trailer[LAYOUT_TRAILER_SIZE];

    layout_trailer_encode(&uuid, offset, stored, (enum block_codec)codec, raw_size, trailer);
    MUST(file_write_one(file, offset, stored));
    MUST(file_write_one(file, offset + stored.size, slice_make(trailer, sizeof trailer)));
}

static lsm_status read_block(const struct uuid *of, uint64_t offset, size_t size, size_t raw_max,
                             struct block **out)
{
    struct layout_read read = {.file = file,
                               .uuid = of,
                               .decompressors = &pool,
                               .place = {.offset = offset, .size = (uint32_t)size},
                               .raw_max = raw_max};

    return layout_block_read(&read, out);
}

static void expect(lsm_status expected, uint64_t offset, size_t size, size_t raw_max)
{
    struct block *block;

    cr_assert(eq(int, read_block(&uuid, offset, size, raw_max, &block), expected), "%s",
              lsm_errmsg());
    if (expected == LSM_OK)
        block_unref(block);
    else
        cr_assert(strstr(lsm_errmsg(), FILE_NAME) != NULL, "%s", lsm_errmsg());
}

Test(layout, peer_rocksdb_format_6_a_block_is_read_where_it_was_written_and_nowhere_else)
{
    const lsm_slice text = slice_of("some bytes of a block");
    struct uuid other = uuid;
    struct block *block;
    uint8_t copy[64];

    write_block(200, text, CODEC_NONE, (uint32_t)text.size);
    MUST(read_block(&uuid, 200, text.size, 100, &block));
    cr_assert(slice_equal(slice_make(block->bytes, block->size), text));
    block_unref(block);
    expect(LSM_CORRUPT, 200, text.size - 1, 100);
    other.bytes[5] ^= 1;
    cr_assert(eq(int, read_block(&other, 200, text.size, 100, &block), LSM_CORRUPT));
    MUST(file_read_exact(file, 200, copy, text.size + LAYOUT_TRAILER_SIZE));
    MUST(file_write_one(file, 400, slice_make(copy, text.size + LAYOUT_TRAILER_SIZE)));
    expect(LSM_CORRUPT, 400, text.size, 100);
    expect(LSM_CORRUPT, 4000, text.size, 100); // behind the end
}

Test(layout, sizes_that_a_block_claims_are_bounded)
{
    const lsm_slice text = slice_of("some bytes of a block");

    write_block(0, text, CODEC_NONE, (uint32_t)text.size);
    expect(LSM_CORRUPT, 0, text.size, text.size - 1);
    expect(LSM_OK, 0, text.size, text.size);
    write_block(0, text, CODEC_NONE, (uint32_t)text.size + 1);
    expect(LSM_CORRUPT, 0, text.size, 100);
    write_block(0, text, CODEC_ZSTD, UINT32_MAX);
    expect(LSM_CORRUPT, 0, text.size, 1000);
    write_block(0, text, CODEC_ZSTD, 100); // no zstd frame
    expect(LSM_CORRUPT, 0, text.size, 1000);
    write_block(0, text, 2, (uint32_t)text.size);
    expect(LSM_UNSUPPORTED, 0, text.size, 1000);
}

Test(layout, a_compressed_block_has_exactly_the_size_it_claims)
{
    static uint8_t raw[5000];
    struct compressor *compressor;
    enum block_codec codec;
    lsm_slice stored;
    struct block *block;

    memset(raw, 'x', sizeof raw);
    MUST(compressor_new(1, &compressor));
    MUST(compressor_run(compressor, slice_make(raw, sizeof raw), &codec, &stored));
    cr_assert(eq(int, codec, CODEC_ZSTD));
    write_block(0, stored, codec, sizeof raw);
    MUST(read_block(&uuid, 0, stored.size, sizeof raw, &block));
    cr_assert(slice_equal(slice_make(block->bytes, block->size), slice_make(raw, sizeof raw)));
    block_unref(block);
    write_block(0, stored, codec, sizeof raw - 1);
    expect(LSM_CORRUPT, 0, stored.size, sizeof raw);
    write_block(0, stored, codec, sizeof raw + 1);
    expect(LSM_CORRUPT, 0, stored.size, 2 * sizeof raw);
    compressor_free(compressor);
}

// 4 MiB from 200 bytes: the counts that allow for it are the file's own.
Test(layout, a_small_file_has_no_large_reference_block)
{
    const uint32_t raw_size = 4 << 20;
    CLEANUP(mem_freep) uint8_t *raw = mem_alloc_zeroed(1, raw_size);
    struct segment_reference reference = {.segment = 1, .count = raw_size};
    const struct table_meta meta = {.references = &reference, .reference_count = 1};
    const struct table_source source = {.file = file, .uuid = uuid, .decompressors = &pool};
    struct footer footer = {.references_offset = 100};
    struct compressor *compressor;
    enum block_codec codec;
    lsm_slice stored;
    struct block *block;

    MUST(compressor_new(1, &compressor));
    MUST(compressor_run(compressor, slice_make(raw, raw_size), &codec, &stored));
    write_block(footer.references_offset, stored, codec, raw_size);
    footer.properties_offset = footer.references_offset + stored.size + LAYOUT_TRAILER_SIZE;
    cr_assert(eq(int, source_read_references(&source, &footer, &meta, &block), LSM_CORRUPT));
    cr_assert(strstr(lsm_errmsg(), "claims") != NULL, "%s", lsm_errmsg());
    footer.references_offset = raw_size / LAYOUT_REFERENCES_RATIO_MAX;
    footer.properties_offset = footer.references_offset + stored.size + LAYOUT_TRAILER_SIZE;
    write_block(footer.references_offset, stored, codec, raw_size);
    MUST(source_read_references(&source, &footer, &meta, &block));
    block_unref(block);
    compressor_free(compressor);
}

Test(layout, what_does_not_shrink_is_stored_as_it_is)
{
    struct random rng = {.state = 5};
    struct compressor *compressor;
    enum block_codec codec;
    uint8_t raw[3000];
    lsm_slice stored;

    random_fill(&rng, raw, sizeof raw);
    MUST(compressor_new(3, &compressor));
    MUST(compressor_run(compressor, slice_make(raw, sizeof raw), &codec, &stored));
    cr_assert(eq(int, codec, CODEC_NONE));
    cr_assert(eq(ptr, (void *)stored.data, raw));
    compressor_free(compressor);
}

static struct footer good_footer(void)
{
    return (struct footer){.filter_offset = 1000,
                           .references_offset = 1100,
                           .properties_offset = 1200,
                           .index_offset = 1300,
                           .offset = 1400,
                           .entry_count = 10,
                           .block_count = 2};
}

static lsm_status read_footer(const struct footer *footer)
{
    uint8_t bytes[LAYOUT_FOOTER_SIZE];
    struct footer out;

    layout_footer_encode(&uuid, footer, bytes);
    MUST(file_write_one(file, 1400, slice_make(bytes, sizeof bytes)));
    TRY(layout_footer_read(file, 1400 + LAYOUT_FOOTER_SIZE, &uuid, &out));
    cr_assert(eq(u64, out.index_offset, footer->index_offset));
    cr_assert(eq(u64, out.entry_count, footer->entry_count));
    return LSM_OK;
}

Test(layout, a_footer_names_parts_in_order_within_the_file)
{
    struct footer f = good_footer();

    MUST(read_footer(&f));
    f.filter_offset = 100;
    cr_assert(eq(int, read_footer(&f), LSM_CORRUPT));
    f = good_footer();
    f.references_offset = f.filter_offset + LAYOUT_TRAILER_SIZE; // no room for a byte
    cr_assert(eq(int, read_footer(&f), LSM_CORRUPT));
    f = good_footer();
    f.index_offset = UINT64_MAX - 5;
    cr_assert(eq(int, read_footer(&f), LSM_CORRUPT));
    f = good_footer();
    f.properties_offset = f.filter_offset;
    cr_assert(eq(int, read_footer(&f), LSM_CORRUPT));
    f = good_footer();
    f.block_count = 11;
    cr_assert(eq(int, read_footer(&f), LSM_CORRUPT));
    f = good_footer();
    f.offset = 1401; // summed for another place
    cr_assert(eq(int, read_footer(&f), LSM_CORRUPT));
}

// test_block_search.c -- blocks found without an index.

#include "sstable/block_search.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "base/coding.h"
#include "sstable/table_fixture.h"
#include "support/alloc_fault.h"

#define FIRST_AT FILE_HEADER_SIZE

static struct sim *sim;
static struct dir *dir;
static struct file *file;
static const struct uuid uuid = {.bytes = "sixteen letters"};

static void setup(void)
{
    cr_assert(alloc_fault_install());
    MUST(sim_new(1, &sim));
    MUST(dir_open(sim_env(sim), "/db", true, &dir));
    MUST(file_open(dir, "000001.sst", FILE_CREATE, &file));
    MUST(file_allocate(file, 0, FIRST_AT));
}

static void teardown(void)
{
    MUST(file_close(file));
    dir_close(dir);
    sim_free(sim);
}

TestSuite(block_search, .init = setup, .fini = teardown);

// Appends a block of `size` bytes; returns where it starts.
static uint64_t add_block(lsm_buf *bytes, size_t size, uint64_t seed)
{
    const uint64_t offset = FIRST_AT + bytes->size;
    uint8_t trailer[LAYOUT_TRAILER_SIZE];
    struct random rng = {.state = seed + 1};
    lsm_slice stored;

    MUST(buf_reserve(bytes, bytes->size + size));
    random_fill(&rng, (uint8_t *)bytes->data + bytes->size, size);
    stored = slice_make((uint8_t *)bytes->data + bytes->size, size);
    layout_trailer_encode(&uuid, offset, stored, CODEC_ZSTD, (uint32_t)(size + 7), trailer);
    bytes->size += size;
    MUST(buf_append(bytes, trailer, sizeof trailer));
    return offset;
}

static struct block_search search_in(lsm_slice bytes)
{
    MUST(file_write_one(file, FIRST_AT, bytes));
    return (struct block_search){
        .file = file, .uuid = uuid, .end = FIRST_AT + bytes.size, .size_max = LAYOUT_DATA_RAW_MAX};
}

// Blocks of all sizes, about which the window and the start sets know nothing.
Test(block_search, finds_every_block_where_the_one_before_ends)
{
    static const size_t sizes[] = {1, 24, 25, 4096, 65535, 65536 - 25, 65536, 300000, 2, 1 << 20};
    uint64_t offsets[sizeof sizes / sizeof sizes[0]];
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    struct block_place place;
    bool found;
    uint64_t at = FIRST_AT;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        offsets[i] = add_block(&bytes, sizes[i], i);
    search = search_in(slice_of_buf(&bytes));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        MUST(block_search_next(&search, at, &found, &place));
        cr_assert(found);
        cr_assert(eq(u64, place.offset, offsets[i]));
        cr_assert(eq(sz, place.size, sizes[i]));
        at = block_place_end(&place);
    }
    MUST(block_search_next(&search, at, &found, &place));
    cr_assert(not(found));
}

// A byte of a block, and one of a block's trailer: the next start is behind the trailer.
Test(block_search, goes_on_behind_a_block_that_does_not_verify)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    struct block_place place;
    bool found;
    uint64_t second, fourth;

    (void)add_block(&bytes, 5000, 1);
    second = add_block(&bytes, 5000, 2);
    (void)add_block(&bytes, 5000, 3);
    fourth = add_block(&bytes, 5000, 4);
    ((uint8_t *)bytes.data)[77] ^= 1;                                           // of the first
    ((uint8_t *)bytes.data)[fourth - FIRST_AT - LAYOUT_TRAILER_SIZE + 24] ^= 1; // of the third
    search = search_in(slice_of_buf(&bytes));
    MUST(block_search_next(&search, FIRST_AT, &found, &place));
    cr_assert(found);
    cr_assert(eq(u64, place.offset, second));
    MUST(block_search_next(&search, block_place_end(&place), &found, &place));
    cr_assert(found);
    cr_assert(eq(u64, place.offset, fourth));
}

Test(block_search, takes_no_block_that_is_too_large_or_of_another_file)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    struct block_place place;
    bool found;

    (void)add_block(&bytes, 5000, 1);
    search = search_in(slice_of_buf(&bytes));
    search.size_max = 4999;
    MUST(block_search_next(&search, FIRST_AT, &found, &place));
    cr_assert(not(found));
    search.size_max = 5000;
    MUST(block_search_next(&search, FIRST_AT, &found, &place));
    cr_assert(found);
    block_search_release(&search);
    search = search_in(slice_of_buf(&bytes));
    search.uuid.bytes[0] ^= 1;
    MUST(block_search_next(&search, FIRST_AT, &found, &place));
    cr_assert(not(found));
}

// Values of zeroes look like trailers everywhere.
Test(block_search, finds_blocks_that_are_full_of_what_looks_like_trailers)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    const size_t size = 64 << 10;
    struct block_place place;
    bool found;
    uint8_t trailer[LAYOUT_TRAILER_SIZE];
    uint64_t at = FIRST_AT;

    for (unsigned i = 0; i < 3; i++) {
        const size_t from = bytes.size;

        (void)add_block(&bytes, size, i);
        for (size_t j = 0; j < size; j++)
            ((uint8_t *)bytes.data)[from + j] = j % 24 == 0 ? (uint8_t)(j / 24) : 0;
        layout_trailer_encode(&uuid, FIRST_AT + from,
                              slice_make((uint8_t *)bytes.data + from, size), CODEC_NONE,
                              (uint32_t)size, trailer);
        memcpy((uint8_t *)bytes.data + from + size, trailer, sizeof trailer);
    }
    search = search_in(slice_of_buf(&bytes));
    for (unsigned i = 0; i < 3; i++) {
        MUST(block_search_next(&search, at, &found, &place));
        cr_assert(found);
        cr_assert(eq(u64, place.offset, at));
        cr_assert(eq(sz, place.size, size));
        at = block_place_end(&place);
    }
    cr_assert(gt(u64, search.candidates, 3 * size / 24), "they do look like trailers");
}

// Nothing but trailers that verify nowhere: summing up each start as far as a block may reach
// would take 10,000 times the file.
Test(block_search, work_grows_with_the_file_and_not_with_its_square)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    const size_t size = 256 << 10;
    struct block_place place;
    bool found;

    MUST(buf_reserve(&bytes, size));
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)bytes.data)[i] = i % LAYOUT_TRAILER_SIZE == 1 ? 1 : 0;
    bytes.size = size;
    search = search_in(slice_of_buf(&bytes));
    MUST(block_search_next(&search, FIRST_AT, &found, &place));
    cr_assert(not(found));
    cr_assert(gt(u64, search.candidates, size / LAYOUT_TRAILER_SIZE));
    cr_assert(lt(u64, search.candidates, size));
    cr_assert(lt(u64, search.bytes_read, size + size / 1000));
}

Test(block_search, a_failing_read_is_no_verdict)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    const struct sim_fault fault = {.ops = SIM_OP_READ, .at = 2, .status = LSM_IO};
    struct block_place place;
    bool found;

    (void)add_block(&bytes, 200000, 1);
    search = search_in(slice_of_buf(&bytes));
    sim_set_fault(sim, &fault);
    cr_assert(eq(int, block_search_next(&search, FIRST_AT, &found, &place), LSM_IO));
    MUST(block_search_next(&search, FIRST_AT, &found, &place));
    cr_assert(found);
    cr_assert(eq(sz, place.size, 200000));
}

Test(block_search, fails_cleanly_without_memory)
{
    CLEANUP(lsm_buf_free) lsm_buf bytes = LSM_BUF_INIT;
    CLEANUP(block_search_release) struct block_search search = {0};
    struct block_place place;
    bool found;
    size_t failed = 0;
    lsm_status status;

    (void)add_block(&bytes, 5000, 1);
    search = search_in(slice_of_buf(&bytes));
    for (size_t n = 1;; n++) {
        alloc_fault_at(n, false);
        status = block_search_next(&search, FIRST_AT, &found, &place);
        if (!alloc_fault_was_hit())
            break;
        cr_assert(eq(int, status, LSM_NO_MEMORY));
        block_search_release(&search);
        failed++;
    }
    alloc_fault_at(0, false);
    MUST(status);
    cr_assert(eq(sz, failed, 2)); // places and window
    cr_assert(eq(sz, place.size, 5000));
}

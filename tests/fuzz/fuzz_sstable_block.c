// Any bytes are a block or LSM_CORRUPT. What block_check() lets through can be walked
// and searched, and its entries lie in the block.
//
// The first byte chooses the kind: data block, index block, reference block.

#include <stdlib.h>

#include "sstable/block.h"
#include "sstable/cache.h"
#include "sstable/references.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void search(const struct block_view *view)
{
    static const char *const keys[] = {"", "a", "key", "zzzzzzzzzzzzzz"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        for (uint64_t ts = 0; ts < 3; ts++) {
            const struct ikey target = {
                .keyspace = 1, .key = slice_of(keys[i]), .ts = ts == 2 ? TS_MAX : ts};

            if (block_lower_bound(view, &target) > view->count)
                abort();
        }
    }
}

static void walk(const struct block_view *view, lsm_slice bytes)
{
    const uint8_t *start = bytes.data;

    for (uint32_t i = 0; i < view->count; i++) {
        struct block_entry entry;
        const uint8_t *value;

        block_entry_at(view, i, &entry);
        value = entry.value.data;
        if (entry.value.size != 0 &&
            (value < start || value + entry.value.size > start + bytes.size))
            abort();
        if (block_key_size(view, &entry) < BLOCK_KEYSPACE_SIZE)
            abort();
    }
}

static void read_block(lsm_slice input, enum block_kind kind)
{
    struct block *block = block_new(input.size);
    struct block_view view;

    if (block == NULL)
        return;
    memcpy(block->bytes, input.data, input.size);
    memset(block->bytes + input.size, 0xa5, BLOCK_SLACK);
    if (block_check(slice_make(block->bytes, input.size), kind) == LSM_OK) {
        view = block_view_of(block->bytes);
        walk(&view, slice_make(block->bytes, input.size));
        search(&view);
    }
    block_unref(block);
}

static lsm_status visit_offset(void *ctx, uint32_t segment, uint64_t offset)
{
    uint64_t *sum = ctx;

    *sum += segment + offset;
    return LSM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t sum = 0;
    const struct references_visitor visitor = {.offset = visit_offset, .ctx = &sum};

    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        read_block(slice_make(data + 1, size - 1), BLOCK_DATA);
        break;
    case 1:
        read_block(slice_make(data + 1, size - 1), BLOCK_INDEX);
        break;
    default:
        (void)references_walk(slice_make(data + 1, size - 1), &visitor);
    }
    return 0;
}

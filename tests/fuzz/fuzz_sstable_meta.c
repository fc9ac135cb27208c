// Any bytes as the small blocks of a table: filter, properties, facts in a manifest. What is
// taken is within its bounds and can be used; facts survive being encoded again.
//
// The first byte chooses.

#include <stdlib.h>

#include "base/coding.h"
#include "sstable/filter.h"
#include "sstable/properties.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_filter(lsm_slice bytes)
{
    struct filter filter;

    if (filter_open(bytes, &filter) != LSM_OK || filter.line_count == 0)
        return;
    for (uint64_t i = 0; i < 8; i++)
        (void)filter_may_contain(&filter, i * 0x9E3779B97F4A7C15u);
}

static void read_properties(lsm_slice bytes)
{
    struct properties properties;

    if (properties_decode(bytes, &properties) == LSM_OK)
        properties_release(&properties);
}

static void read_meta(lsm_slice bytes)
{
    struct reader reader = reader_over(bytes);
    struct table_meta *meta = NULL;
    struct table_meta *again = NULL;
    lsm_buf encoded = LSM_BUF_INIT;

    if (table_meta_decode(&reader, &meta) == LSM_OK) {
        if (table_meta_encode(meta, &encoded) != LSM_OK)
            abort();
        reader = reader_over(slice_of_buf(&encoded));
        if (table_meta_decode(&reader, &again) != LSM_OK || !reader_done(&reader))
            abort();
        table_meta_free(again);
        table_meta_free(meta);
    }
    lsm_buf_free(&encoded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    switch (data[0] % 3) {
    case 0:
        read_filter(slice_make(data + 1, size - 1));
        break;
    case 1:
        read_properties(slice_make(data + 1, size - 1));
        break;
    default:
        read_meta(slice_make(data + 1, size - 1));
    }
    return 0;
}

// Any bytes as a table file: the footer and what stands in front of it are refused or
// lie within the file. The footer's checksum is made to fit, since a fuzzer does not
// find it.

#include <stdlib.h>

#include "base/coding.h"
#include "base/crc32c.h"
#include "fuzz_file.h"
#include "sstable/layout.h"

#define FILE_SIZE_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct uuid uuid = {{2}};

// Replaces the checksum over uuid, offset and the footer's other bytes.
static void seal_footer(uint8_t *footer, uint64_t offset)
{
    uint8_t place[UUID_SIZE + 8];
    uint32_t crc;

    memcpy(place, uuid.bytes, UUID_SIZE);
    put_u64(place + UUID_SIZE, offset);
    crc = crc32c(0, place, sizeof place);
    put_u32(footer + LAYOUT_FOOTER_SIZE - 4, crc32c(crc, footer, LAYOUT_FOOTER_SIZE - 4));
}

static void check_footer(struct file *file, uint64_t size)
{
    struct footer footer;

    if (layout_footer_read(file, size, &uuid, &footer) != LSM_OK)
        return;
    if (footer.filter_offset > footer.references_offset ||
        footer.references_offset > footer.properties_offset ||
        footer.properties_offset > footer.index_offset || footer.index_offset > footer.offset ||
        footer.offset + LAYOUT_FOOTER_SIZE != size)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t bytes[FILE_SIZE_MAX];
    struct fuzz_file f;

    if (size < LAYOUT_FOOTER_SIZE || size > sizeof bytes)
        return 0;
    memcpy(bytes, data, size);
    seal_footer(bytes + size - LAYOUT_FOOTER_SIZE, size - LAYOUT_FOOTER_SIZE);
    fuzz_file_init(&f, "000001.sst", bytes, size);
    check_footer(&f.file, size);
    fuzz_file_release(&f);
    return 0;
}

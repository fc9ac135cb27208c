// Any bytes are a segment whose frames are found, or are refused; what is found lies within
// the file, and no byte is summed up again and again. Checksums are repaired by the mutator.

#include <stdlib.h>

#include "fuzz_file.h"
#include "reseal.h"
#include "vlog/segment_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    return reseal_mutate(data, size, size_max, seed, reseal_segment);
}

static lsm_status check_frame(void *ctx, uint64_t offset, uint64_t size,
                              const struct frame_header *header, lsm_slice entries)
{
    const size_t *file_size = ctx;

    if (offset > *file_size || size > *file_size - offset || entries.size > size)
        abort();
    if (header != NULL && frame_size(header->body_size) != size)
        abort();
    return LSM_OK;
}

static void scan_segment(struct fuzz_file *f, bool verify_values)
{
    struct frame_scan scan;
    lsm_status status = frame_scan_open(&f->dir, f->file.name, &scan);

    fuzz_expect_refusal(status);
    if (status != LSM_OK)
        return;
    fuzz_expect_refusal(segment_scan_open(&scan, verify_values, check_frame, &f->size));
    // A frame that does not verify where one is expected is tried once more.
    if (scan.bytes_summed > 2 * f->size)
        abort();
    frame_scan_close(&scan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file f;

    fuzz_file_init(&f, "000001.vlog", data, size);
    scan_segment(&f, false);
    scan_segment(&f, true);
    fuzz_file_release(&f);
    return 0;
}

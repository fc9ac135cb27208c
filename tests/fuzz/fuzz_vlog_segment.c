// Any bytes are a segment whose frames are found, or are refused; what is found lies within
// the file. Checksums are repaired by the mutator.

#include <stdlib.h>

#include "fuzz_file.h"
#include "reseal.h"
#include "vlog/log_recovery.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file f;

    fuzz_file_init(&f, "000001.vlog", data, size);
    fuzz_expect_refusal(segment_scan(&f.dir, "000001.vlog", false, check_frame, &size));
    fuzz_expect_refusal(segment_scan(&f.dir, "000001.vlog", true, check_frame, &size));
    fuzz_file_release(&f);
    return 0;
}

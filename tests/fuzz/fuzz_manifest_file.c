// Any bytes are a manifest whose edits are found, or are refused. Checksums are repaired by
// the mutator.

#include <stdlib.h>

#include "fuzz_file.h"
#include "manifest/manifest.h"
#include "reseal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned seed)
{
    return reseal_mutate(data, size, size_max, seed, reseal_manifest);
}

static lsm_status check_edit(void *ctx, uint64_t offset, uint64_t size, const struct edit *edit)
{
    const size_t *file_size = ctx;

    (void)edit;
    if (offset > *file_size || size > *file_size - offset || size == 0)
        abort();
    return LSM_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_file f;

    fuzz_file_init(&f, "MANIFEST-000001", data, size);
    fuzz_expect_refusal(manifest_scan(&f.dir, "MANIFEST-000001", check_edit, &size));
    fuzz_file_release(&f);
    return 0;
}

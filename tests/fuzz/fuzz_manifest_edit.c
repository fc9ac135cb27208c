// Any bytes are an edit or LSM_CORRUPT; an edit survives being encoded again.

#include <stdlib.h>

#include "manifest/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lsm_buf first = LSM_BUF_INIT;
    lsm_buf second = LSM_BUF_INIT;
    struct edit edit, again;
    lsm_status status = edit_decode(slice_make(data, size), &edit);

    if (status != LSM_OK) {
        if (status != LSM_CORRUPT && status != LSM_UNSUPPORTED)
            abort();
        return 0;
    }
    if (edit_encode(&edit, &first) != LSM_OK || edit_decode(slice_of_buf(&first), &again) != LSM_OK)
        abort();
    if (edit_encode(&again, &second) != LSM_OK ||
        !slice_equal(slice_of_buf(&first), slice_of_buf(&second)))
        abort();
    edit_release(&edit);
    edit_release(&again);
    lsm_buf_free(&first);
    lsm_buf_free(&second);
    return 0;
}

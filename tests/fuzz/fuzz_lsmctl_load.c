// Any text as the input of `lsmctl load`, in each of its formats: entries within the limits
// of the library, or LSM_INVALID that names a line.

#include <stdlib.h>
#include <string.h>

#include "bulk_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void load(const uint8_t *data, size_t size, enum bulk_format format, bool as_hex)
{
    FILE *from = fmemopen((void *)data, size, "r");
    struct bulk_input in = {.name = NULL};
    lsm_status status;
    bool at_end = false;

    if (from == NULL)
        abort();
    status = bulk_open(&in, from, "input", format);
    in.as_hex = as_hex;
    while (status == LSM_OK && !at_end)
        status = bulk_next(&in, &at_end);
    if (status != LSM_OK && status != LSM_INVALID && status != LSM_UNSUPPORTED)
        abort();
    if (status == LSM_INVALID && strstr(lsm_errmsg(), "input: ") == NULL)
        abort();
    bulk_release(&in);
    fclose(from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    load(data + 1, size - 1, (enum bulk_format)(data[0] % 4), data[0] & 0x80);
    return 0;
}

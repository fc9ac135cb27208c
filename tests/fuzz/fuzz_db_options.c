// Any text as an options file: taken or refused with words, and what was taken reads the same
// when it is written and taken again.

#include <stdlib.h>

#include "base/bytes.h"
#include "db/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lsm_options options, again;
    lsm_buf text = LSM_BUF_INIT;
    lsm_buf first = LSM_BUF_INIT;
    lsm_buf second = LSM_BUF_INIT;

    options_init(&options);
    options_init(&again);
    // The parser splits the text where it stands.
    if (buf_append(&text, data, size) != LSM_OK || buf_append_u8(&text, 0) != LSM_OK)
        abort();
    text.size--;
    if (options_parse(&options, slice_of_buf(&text), "OPTIONS") != LSM_OK) {
        if (lsm_errmsg()[0] == '\0')
            abort();
    } else if (options_format(&options, &first) != LSM_OK ||
               buf_append(&second, first.data, first.size) != LSM_OK ||
               buf_append_u8(&second, 0) != LSM_OK ||
               options_parse(&again, slice_make(second.data, first.size), "OPTIONS") != LSM_OK) {
        abort();
    }
    lsm_buf_free(&text);
    lsm_buf_free(&first);
    lsm_buf_free(&second);
    return 0;
}

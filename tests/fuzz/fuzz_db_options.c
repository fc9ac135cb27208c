// Any text as an options file: taken or refused with words, and what was taken reads the same
// when it is written and taken again.

#include <stdlib.h>

#include "base/bytes.h"
#include "db/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The same as the file that a database keeps.
static void take_kept(lsm_slice text)
{
    struct lsm_options kept, again;
    lsm_buf written = LSM_BUF_INIT;

    options_init(&kept);
    options_init(&again);
    if (options_parse_kept(&kept, text, "OPTIONS") != LSM_OK) {
        if (lsm_errmsg()[0] == '\0' || kept.set != 0)
            abort();
        return;
    }
    if (options_format_kept(&kept, &written) != LSM_OK ||
        options_parse_kept(&again, slice_of_buf(&written), "OPTIONS") != LSM_OK ||
        !options_keep_same(&kept, &again))
        abort();
    lsm_buf_free(&written);
}

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
    take_kept(slice_of_buf(&text));
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

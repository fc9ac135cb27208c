#include "bulk_source.h"

#include <assert.h>

int source_end(struct bulk_source *source)
{
    if (ferror(source->from) && source->error == 0)
        source->error = errno != 0 ? errno : EIO;
    return SOURCE_END;
}

int source_look(struct bulk_source *source, unsigned i)
{
    assert(i < SOURCE_AHEAD_MAX);
    if (source->ahead_at == source->ahead_size)
        source->ahead_at = source->ahead_size = 0;
    assert(source->ahead_at == 0 || i == 0); // only one byte once the format is known
    while (source->ahead_size <= source->ahead_at + i) {
        int c = getc_unlocked(source->from);

        if (c == EOF)
            return source_end(source);
        source->ahead[source->ahead_size++] = (uint8_t)c;
    }
    return source->ahead[source->ahead_at + i];
}

lsm_status source_check(const struct bulk_source *source)
{
    if (source->error != 0)
        return lsm_fail(LSM_IO, "reading fails: %s", strerror(source->error));
    return LSM_OK;
}

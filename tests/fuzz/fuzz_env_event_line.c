// Any bytes are an event or not one, and no part of an event reaches outside its text.

#include <stdlib.h>

#include "env/event_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_within(lsm_slice part, const struct event *event)
{
    const char *at = part.data;

    return at >= event->text && at + part.size <= event->text + sizeof event->text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct event event;
    uint64_t number;

    if (!event_parse(slice_make(data, size), &event))
        return 0;
    if (event.name.size == 0 || !is_within(event.name, &event) ||
        event.pair_count > EVENT_PAIRS_MAX)
        abort();
    for (size_t i = 0; i < event.pair_count; i++) {
        if (!is_within(event.pairs[i].key, &event) || !is_within(event.pairs[i].value, &event))
            abort();
        (void)event_value_number(event.pairs[i].value, &number);
    }
    return 0;
}

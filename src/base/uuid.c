// uuid.c -- uuids as text.

#include "base/uuid.h"

static const char digits[] = "0123456789abcdef";

static bool has_dash_before(size_t i)
{
    return i == 4 || i == 6 || i == 8 || i == 10;
}

void uuid_format(const struct uuid *uuid, char *text)
{
    for (size_t i = 0; i < UUID_SIZE; i++) {
        if (has_dash_before(i))
            *text++ = '-';
        *text++ = digits[uuid->bytes[i] >> 4];
        *text++ = digits[uuid->bytes[i] & 15];
    }
    *text = '\0';
}

// The value of a digit; 16 when it is none.
static unsigned digit_value(char digit)
{
    const char *found = digit == '\0' ? NULL : strchr(digits, digit);

    return found == NULL ? 16 : (unsigned)(found - digits);
}

bool uuid_parse(const char *text, struct uuid *out)
{
    struct uuid uuid;

    for (size_t i = 0; i < UUID_SIZE; i++) {
        unsigned high, low;

        if (has_dash_before(i) && *text++ != '-')
            return false;
        high = digit_value(text[0]);
        low = high == 16 ? 16 : digit_value(text[1]);
        if (low == 16)
            return false;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    if (*text != '\0')
        return false;
    *out = uuid;
    return true;
}

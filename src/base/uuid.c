// uuid.c -- uuids as text.

#include "base/uuid.h"

void uuid_format(const struct uuid *uuid, char *text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < UUID_SIZE; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *text++ = '-';
        *text++ = digits[uuid->bytes[i] >> 4];
        *text++ = digits[uuid->bytes[i] & 15];
    }
    *text = '\0';
}

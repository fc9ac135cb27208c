// test_uuid.c -- uuids as bytes and as text.

#include "base/uuid.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(uuid, the_text_form_has_four_dashes)
{
    struct uuid uuid;
    char text[UUID_TEXT_SIZE];

    for (int i = 0; i < UUID_SIZE; i++)
        uuid.bytes[i] = (uint8_t)(i * 17);
    uuid_format(&uuid, text);
    cr_assert(eq(str, text, "00112233-4455-6677-8899-aabbccddeeff"));
}

Test(uuid, equal_means_every_byte)
{
    struct uuid a = {{1, 2, 3}};

    for (int i = 0; i < UUID_SIZE; i++) {
        struct uuid b = a;

        cr_assert(uuid_equal(&a, &b));
        b.bytes[i] ^= 0x80;
        cr_assert(not(uuid_equal(&a, &b)));
    }
}

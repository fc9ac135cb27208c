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

Test(uuid, its_text_form_and_nothing_else_is_read)
{
    static const char text[] = "00112233-4455-6677-8899-aabbccddeeff";
    struct uuid uuid = {{9}};
    char changed[UUID_TEXT_SIZE + 1];
    char back[UUID_TEXT_SIZE];

    for (size_t i = 0; i < sizeof text - 1; i++) {
        (void)strcpy(changed, text);
        changed[i] = '\0'; // cut
        cr_assert(not(uuid_parse(changed, &uuid)), "%zu", i);
        changed[i] = text[i] == '-' ? '0' : 'g';
        cr_assert(not(uuid_parse(changed, &uuid)), "%zu", i);
    }
    (void)strcpy(changed, text);
    (void)strcat(changed, "0");
    cr_assert(not(uuid_parse(changed, &uuid)));
    cr_assert(eq(int, uuid.bytes[0], 9));
    cr_assert(uuid_parse(text, &uuid));
    uuid_format(&uuid, back);
    cr_assert(eq(str, back, (char *)text));
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

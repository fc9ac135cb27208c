// test_words.c -- numbers in sentences.

#include "base/words.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

Test(words, one_thing_has_no_plural)
{
    cr_assert(eq(str, (char *)plural(1), ""));
    cr_assert(eq(str, (char *)plural(0), "s"));
    cr_assert(eq(str, (char *)plural(2), "s"));
}

Test(words, seconds_are_shown_as_a_date_in_utc)
{
    cr_assert(eq(str, utc_text(0).text, "1970-01-01 00:00:00 UTC"));
    cr_assert(eq(str, utc_text(1796086013).text, "2026-12-01 00:46:53 UTC"));
    cr_assert(eq(str, utc_text(UINT32_MAX + UINT64_C(1)).text, "2106-02-07 06:28:16 UTC"));
}

// A file of anybody's may hold any number.
Test(words, seconds_beyond_the_calendar_stay_a_number)
{
    cr_assert(eq(str, utc_text(UINT64_MAX).text, "18446744073709551615 s since 1970"));
    cr_assert(eq(str, utc_text(UINT64_MAX / 2 - 1).text, "9223372036854775806 s since 1970"));
}

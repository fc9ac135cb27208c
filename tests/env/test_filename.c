// test_filename.c -- the names of a database's files.

#include "env/filename.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

static void assert_name(enum filename_kind kind, uint64_t number, const char *text)
{
    struct filename name = filename_of(kind, number);
    uint64_t found = 99;

    cr_assert(eq(str, name.text, (char *)text));
    cr_assert(eq(int, filename_parse(text, &found), (int)kind));
    cr_assert(eq(u64, found, number));
}

Test(filename, names_and_kinds_are_inverse)
{
    assert_name(FILENAME_SEGMENT, 7, "000007.vlog");
    assert_name(FILENAME_SEGMENT, 0, "000000.vlog");
    assert_name(FILENAME_TABLE, 123456, "123456.sst");
    assert_name(FILENAME_TABLE, 1234567, "1234567.sst");
    assert_name(FILENAME_MANIFEST, 42, "MANIFEST-000042");
    assert_name(FILENAME_MANIFEST, UINT64_MAX, "MANIFEST-18446744073709551615");
    assert_name(FILENAME_CURRENT, 0, "CURRENT");
    assert_name(FILENAME_CURRENT_NEW, 0, "CURRENT.new");
    assert_name(FILENAME_LOCK, 0, "LOCK");
    assert_name(FILENAME_OPTIONS, 0, "OPTIONS");
    assert_name(FILENAME_OPTIONS_NEW, 0, "OPTIONS.new");
    assert_name(FILENAME_SALVAGING, 0, "SALVAGING");
    assert_name(FILENAME_EVENTS, 0, "EVENTS.log");
    assert_name(FILENAME_EVENTS_OLD, 0, "EVENTS.log.1");
}

Test(filename, a_fixed_name_ignores_the_number)
{
    cr_assert(eq(str, filename_of(FILENAME_LOCK, 12).text, "LOCK"));
}

Test(filename, foreign_names_are_unknown)
{
    static const char *const foreign[] = {
        "",
        ".",
        "..",
        "7.vlog",
        "00007.vlog",
        "0000007.vlog",
        "000007.vlog~",
        "000007.VLOG",
        "000007",
        "a000007.vlog",
        "+00007.vlog",
        " 00007.sst",
        ".vlog",
        "MANIFEST-",
        "MANIFEST-7",
        "MANIFEST-000007 ",
        "MANIFEST-18446744073709551616",
        "99999999999999999999999999.sst",
        "current",
        "CURRENT.",
        "CURRENT.new.new",
        "LOCK.1",
        "EVENTS.log.2",
        "EVENTS.log.10",
        "a name that is much longer than any name of a file of a database ever gets",
    };
    uint64_t number = 99;

    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        cr_assert(eq(int, filename_parse(foreign[i], &number), FILENAME_UNKNOWN), "%s", foreign[i]);
}

// test_event_line.c -- events are read back as they were written.

#include "env/event_line.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "env/eventlog.h"
#include "env/filename.h"
#include "support/random.h"
#include "support/sim.h"

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

#define TIME    "2026-01-31T23:59:59.123Z"
#define TIME_NS UINT64_C(1769903999123000000)

static struct event event;

static bool parses(const char *line)
{
    return event_parse(slice_of(line), &event);
}

static void assert_pair(size_t i, const char *key, const char *value)
{
    cr_assert(lt(sz, i, event.pair_count));
    cr_assert(slice_equal(event.pairs[i].key, slice_of(key)));
    cr_assert(slice_equal(event.pairs[i].value, slice_of(value)));
}

Test(event_line, a_line_is_a_time_a_name_and_pairs)
{
    cr_assert(parses(TIME " flush table=7 of=a=b"));
    cr_assert(eq(u64, event.wall_ns, TIME_NS));
    cr_assert(slice_equal(event.name, slice_of("flush")));
    cr_assert(eq(sz, event.pair_count, 2));
    assert_pair(0, "table", "7");
    assert_pair(1, "of", "a=b");
    cr_assert(eq(u64, event_number(&event, "table"), 7));
    cr_assert(eq(u64, event_number(&event, "of"), 0));
    cr_assert(event_find(&event, "offset") == NULL);
    cr_assert(parses(TIME " open"));
    cr_assert(eq(sz, event.pair_count, 0));
}

Test(event_line, quotes_and_escapes_are_undone)
{
    cr_assert(parses(TIME " error job=\"\" message=\"a \\\"b\\\" \\\\\\n\\x1b\" n=1"));
    assert_pair(0, "job", "");
    assert_pair(1, "message", "a \"b\" \\\n\x1b");
    assert_pair(2, "n", "1");
}

Test(event_line, what_no_writer_makes_is_no_event)
{
    static const char *const lines[] = {
        "",
        TIME,
        TIME " ",
        TIME "  a=1",
        "x" TIME " open",
        "2026-02-31T23:59:59.123Z open",
        "2026-01-31T24:00:00.123Z open",
        "2026-13-01T00:00:00.123Z open",
        "2026-01-31 23:59:59.123Z open",
        "2026-01-3aT23:59:59.123Z open",
        "1969-12-31T23:59:59.123Z open",
        TIME " e a=\"",
        TIME " e a=\"b",
        TIME " e a=\"b\"c",
        TIME " e a=\"\\",
        TIME " e a=\"\\x\"",
        TIME " e a=\"\\x1G\"",
        TIME " e a=\"\\q\"",
    };

    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        cr_assert(not(parses(lines[i])), "%s", lines[i]);
}

Test(event_line, too_many_pairs_and_too_long_a_line_are_no_event)
{
    static char line[EVENT_LINE_SIZE_MAX + 2];
    size_t size = strlen(strcpy(line, TIME " e"));

    for (int i = 0; i < EVENT_PAIRS_MAX; i++)
        size = strlen(strcat(line, " a=1"));
    cr_assert(parses(line));
    cr_assert(not(parses(strcat(line, " a=1"))));
    memset(line + size, 'x', sizeof line - size);
    cr_assert(event_parse(slice_make(line, EVENT_LINE_SIZE_MAX), &event));
    cr_assert(not(event_parse(slice_make(line, EVENT_LINE_SIZE_MAX + 1), &event)));
}

Test(event_line, only_digits_are_a_number)
{
    static const char *const others[] = {"", "-1", "01", "1a", "99999999999999999999", " 1"};
    uint64_t number = 0;

    cr_assert(event_value_number(slice_of("0"), &number));
    cr_assert(event_value_number(slice_of("9999999999999999999"), &number));
    cr_assert(eq(u64, number, UINT64_C(9999999999999999999)));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        cr_assert(not(event_value_number(slice_of(others[i]), &number)), "%s", others[i]);
}

// Whatever a value holds, a line is written for it that gives it back.
Test(event_line, every_value_is_read_back)
{
    struct random rng = random_for_test("event_line");
    char line[EVENT_LINE_SIZE_MAX];
    char value[201];
    struct sim *sim;
    struct dir *dir;

    assert_ok(sim_new(1, &sim));
    assert_ok(dir_open(sim_env(sim), "/db", true, &dir));
    sim_set_wall(sim, TIME_NS + 456789);
    for (int i = 0; i < 500; i++) {
        const size_t size = random_below(&rng, sizeof value);
        struct eventlog *log = NULL;
        struct file *file = NULL;
        size_t got;

        random_fill(&rng, value, size);
        for (size_t j = 0; j < size; j++)
            value[j] = (char)(value[j] == '\0' || value[j] == '\x1f' ? ' ' : value[j]);
        value[size] = '\0';
        assert_ok(eventlog_open(dir, 1 << 20, &log));
        eventlog_write(log, "event", "first=%d value=%s last=%s", i, value, "x");
        eventlog_close(log);
        assert_ok(file_open(dir, filename_of(FILENAME_EVENTS, 0).text, FILE_READ, &file));
        assert_ok(file_read(file, 0, line, sizeof line, &got));
        file_close_quietly(file);
        assert_ok(file_unlink(dir, filename_of(FILENAME_EVENTS, 0).text));

        cr_assert(event_parse(slice_make(line, got - 1), &event));
        cr_assert(eq(u64, event.wall_ns, TIME_NS));
        cr_assert(eq(u64, event_number(&event, "first"), (uint64_t)i));
        assert_pair(1, "value", value);
        assert_pair(2, "last", "x");
    }
    dir_close(dir);
    sim_free(sim);
}

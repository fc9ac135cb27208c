// test_eventlog.c -- what the engine did, one line per event.

#include "env/eventlog.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdio.h>

#include "support/alloc_fault.h"
#include "support/sim.h"

#define assert_ok(call) cr_assert(eq(int, (call), LSM_OK), "%s", lsm_errmsg())

static struct {
    struct sim *sim;
    struct dir *dir;
    struct eventlog *log;
} f;

static void open_log(uint64_t size_max)
{
    assert_ok(eventlog_open(f.dir, size_max, &f.log));
}

static void setup(void)
{
    assert_ok(sim_new(1, &f.sim));
    assert_ok(dir_open(sim_env(f.sim), "/db", true, &f.dir));
    // 2026-01-31 23:59:59.123456789 UTC
    sim_set_wall(f.sim, UINT64_C(1769903999123456789));
}

static void teardown(void)
{
    eventlog_close(f.log);
    dir_close(f.dir);
    sim_free(f.sim);
}

TestSuite(eventlog, .init = setup, .fini = teardown);

static const char *content_of(const char *name)
{
    static char text[20000];
    struct file *file = NULL;
    size_t got;

    assert_ok(file_open(f.dir, name, FILE_READ, &file));
    assert_ok(file_read(file, 0, text, sizeof text - 1, &got));
    file_close_quietly(file);
    text[got] = '\0';
    return text;
}

static void assert_log(const char *text)
{
    cr_assert(eq(str, (char *)content_of("EVENTS.log"), (char *)text));
}

#define TIME "2026-01-31T23:59:59.123Z "

Test(eventlog, an_event_is_a_line)
{
    open_log(1 << 20);
    eventlog_write(f.log, "flush", "table=%d bytes=%zu level=%s", 7, (size_t)4096, "L0");
    eventlog_write(f.log, "open", "%s", "");
    sim_set_wall(f.sim, 0);
    eventlog_write(f.log, "close", "took_ms=%u", 3u);
    assert_log(TIME "flush table=7 bytes=4096 level=L0\n" TIME
                    "open\n1970-01-01T00:00:00.000Z close took_ms=3\n");
    cr_assert(eq(u64, eventlog_lost_count(f.log), 0));
}

Test(eventlog, strange_values_are_quoted_and_escaped)
{
    open_log(1 << 20);
    eventlog_write(f.log, "e", "a=%s b=%s c=%s", "two words", "", "x\ny=\"1\" \\\x1B");
    eventlog_write(f.log, "e", "a=%s b=%d", "f=1 g=2", 3);
    eventlog_write(f.log, "e", "path=%s", "/d\xC3\xB6rt/a=b");
    eventlog_write(f.log, "e", "name=%s", "\xC2\xA0\xC2\x9B[2J"); // clears some terminals
    assert_log(TIME "e a=\"two words\" b=\"\" c=\"x\\ny=\\\"1\\\" \\\\\\x1b\"\n" TIME
                    "e a=\"f=1 g=2\" b=3\n" TIME "e path=/d\xC3\xB6rt/a=b\n" TIME
                    "e name=\"\xC2\xA0\\xc2\\x9b[2J\"\n");
}

Test(eventlog, a_very_long_value_is_cut_and_the_line_stays_one)
{
    static char value[5000];
    const char *text;

    memset(value, '\n', sizeof value - 1);
    open_log(1 << 20);
    eventlog_write(f.log, "long", "a=%s b=1", value);
    eventlog_write(f.log, "next", "b=%d", 2);
    text = content_of("EVENTS.log");
    cr_assert(strchr(text, '\n') == strstr(text, "\n" TIME "next"));
    cr_assert(lt(sz, strlen(text), 3000));
}

Test(eventlog, a_reopened_log_is_continued)
{
    open_log(1 << 20);
    eventlog_write(f.log, "one", "n=%d", 1);
    eventlog_close(f.log);
    open_log(1 << 20);
    eventlog_write(f.log, "two", "n=%d", 2);
    assert_log(TIME "one n=1\n" TIME "two n=2\n");
}

Test(eventlog, a_full_log_becomes_the_old_one)
{
    char line[64];
    uint64_t size;

    open_log(100); // two lines of 36 bytes
    for (int i = 1; i <= 5; i++)
        eventlog_write(f.log, "event", "n=%03d", i);
    snprintf(line, sizeof line, TIME "event n=%03d\n", 5);
    assert_log(line);
    cr_assert(
        eq(str, (char *)content_of("EVENTS.log.1"), TIME "event n=003\n" TIME "event n=004\n"));
    assert_ok(file_stat(f.dir, "EVENTS.log.1", &size));
    cr_assert(le(u64, size, 100));
    cr_assert(eq(u64, eventlog_lost_count(f.log), 0));
}

Test(eventlog, a_lost_event_is_counted_and_the_next_is_written)
{
    struct sim_fault fault = {.ops = SIM_OP_WRITE, .at = 1, .status = LSM_IO, .short_by = 7};

    open_log(1 << 20);
    eventlog_write(f.log, "first", "n=%d", 1);
    sim_set_fault(f.sim, &fault);
    eventlog_write(f.log, "lost", "n=%d", 2);
    eventlog_write(f.log, "third", "n=%d", 3);
    cr_assert(eq(u64, eventlog_lost_count(f.log), 1));
    assert_log(TIME "first n=1\n" TIME "third n=3\n");
}

// What was written before is the history of the copy, too, and stays as it is.
Test(eventlog, a_file_with_another_name_is_rotated_away_and_not_appended_to)
{
    open_log(1 << 20);
    eventlog_write(f.log, "first", "n=%d", 1);
    assert_ok(sim_link_all(f.sim, "/db", "/copy"));
    eventlog_write(f.log, "second", "n=%d", 2);
    assert_log(TIME "second n=2\n");
    eventlog_close(f.log);
    open_log(1 << 20);
    eventlog_write(f.log, "third", "n=%d", 3);
    assert_log(TIME "second n=2\n" TIME "third n=3\n");
    cr_assert(eq(str, (char *)content_of("EVENTS.log.1"), (char *)(TIME "first n=1\n")));
    cr_assert(eq(u64, sim_name_count(f.sim, "/copy", "EVENTS.log"), 2));
    cr_assert(eq(u64, eventlog_lost_count(f.log), 0));
}

Test(eventlog, no_failing_call_does_more_than_lose_events)
{
    for (unsigned op = 1; op < SIM_OP_ANY; op <<= 1) {
        struct sim_fault fault = {.ops = op, .at = 1, .for_ever = true, .status = LSM_IO};

        open_log(100);
        sim_set_fault(f.sim, &fault);
        for (int i = 1; i <= 5; i++)
            eventlog_write(f.log, "event", "n=%03d", i);
        if (sim_fault_hits(f.sim) > 0)
            cr_assert(gt(u64, eventlog_lost_count(f.log), 0), "op %x", op);
        else
            cr_assert(eq(u64, eventlog_lost_count(f.log), 0), "op %x", op);
        sim_set_fault(f.sim, NULL);
        eventlog_write(f.log, "event", "last=%d", 1);
        cr_assert(strstr(content_of("EVENTS.log"), "last=1\n") != NULL, "op %x", op);
        eventlog_close(f.log);
        f.log = NULL;
    }
}

Test(eventlog, a_log_without_room_keeps_no_file)
{
    uint64_t size;

    open_log(0);
    eventlog_write(f.log, "event", "n=%d", 1);
    eventlog_write(NULL, "event", "n=%d", 1);
    cr_assert(eq(int, file_stat(f.dir, "EVENTS.log", &size), LSM_IO));
    cr_assert(eq(u64, eventlog_lost_count(f.log), 0));
    cr_assert(eq(u64, eventlog_lost_count(NULL), 0));
}

Test(eventlog_memory, opening_needs_memory)
{
    cr_assert(alloc_fault_install());
    setup();
    alloc_fault_at(1, true);
    cr_assert(eq(int, eventlog_open(f.dir, 1, &f.log), LSM_NO_MEMORY));
    alloc_fault_at(0, false);
    cr_assert(f.log == NULL);
    teardown();
}

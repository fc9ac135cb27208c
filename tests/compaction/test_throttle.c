// test_throttle.c -- back-pressure.

#include "compaction/throttle.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "compaction/flush.h"
#include "support/engine_fixture.h"

#define assert_ok(expression) cr_assert(eq(int, (expression), LSM_OK), "%s", lsm_errmsg())

static struct engine_fixture f;
static struct throttle *throttle;

// What limits writers; 0: nothing of that kind does.
struct limits {
    uint64_t memtable_size;
    uint64_t level0_slowdown, level0_stop;
    uint64_t debt_slowdown, debt_stop;
    uint64_t log_bytes_min;
};

static void set_limits(struct limits limits)
{
    atomic_store(&f.options.memtable_size, limits.memtable_size);
    atomic_store(&f.options.level0_slowdown, limits.level0_slowdown);
    atomic_store(&f.options.level0_stop, limits.level0_stop);
    atomic_store(&f.options.debt_slowdown, limits.debt_slowdown);
    atomic_store(&f.options.debt_stop, limits.debt_stop);
    atomic_store(&f.options.log_bytes_min, limits.log_bytes_min);
}

static void setup_with(struct limits limits)
{
    engine_fixture_init(&f, 1);
    set_limits(limits);
    assert_ok(throttle_new(&f.engine, &throttle));
}

static void teardown(void)
{
    throttle_free(throttle);
    engine_fixture_release(&f);
}

// Nanoseconds for a KiB as things are now; UINT64_MAX when stopped.
static uint64_t delay_now(enum stall_cause *cause)
{
    bool is_stopped;
    uint64_t delay_ns;

    throttle_update(throttle);
    delay_ns = throttle_delay_ns(throttle, 1024, cause, &is_stopped);
    return is_stopped ? UINT64_MAX : delay_ns;
}

static void add_level0_table(void)
{
    for (unsigned i = 0; i < 20; i++)
        engine_put(&f, i, 50);
    engine_flush(&f);
}

Test(throttle, without_debt_a_write_waits_for_nothing)
{
    enum stall_cause cause;

    setup_with((struct limits){.memtable_size = 1 << 19,
                               .level0_slowdown = 4,
                               .level0_stop = 8,
                               .debt_slowdown = 1 << 20,
                               .debt_stop = 1 << 22});
    cr_assert(eq(u64, delay_now(&cause), 0));
    cr_assert(eq(int, (int)cause, STALL_NONE));
    add_level0_table();
    cr_assert(eq(u64, delay_now(&cause), 0));
    teardown();
}

Test(throttle, the_delay_grows_with_level_0_until_writers_stop)
{
    enum stall_cause cause;
    uint64_t before = 0;

    setup_with((struct limits){.level0_slowdown = 2, .level0_stop = 8});
    for (unsigned count = 1; count <= 8; count++) {
        uint64_t delay_ns;

        add_level0_table();
        delay_ns = delay_now(&cause);
        if (count <= 2)
            cr_assert(eq(u64, delay_ns, 0));
        else
            cr_assert(gt(u64, delay_ns, before));
        cr_assert(eq(int, (int)cause, count <= 2 ? STALL_NONE : STALL_LEVEL0));
        before = delay_ns;
    }
    cr_assert(eq(u64, before, UINT64_MAX));
    cr_assert(eq(u64, atomic_load(&throttle_stats(throttle)->delay_count[STALL_LEVEL0]), 5));
    cr_assert(eq(u64, atomic_load(&throttle_stats(throttle)->stop_count[STALL_LEVEL0]), 1));
    cr_assert(gt(u64, atomic_load(&throttle_stats(throttle)->delay_ns[STALL_LEVEL0]), 0));
    teardown();
}

Test(throttle, memtables_that_wait_for_a_flush_are_counted)
{
    enum stall_cause cause;

    setup_with((struct limits){.memtable_size = 1, .log_bytes_min = 1 << 30});
    cr_assert(eq(u64, delay_now(&cause), 0));
    engine_put(&f, 1, 10);
    cr_assert(eq(u64, delay_now(&cause), 0)); // the active one is not waiting
    engine_rotate(&f);
    cr_assert(eq(u64, delay_now(&cause), UINT64_MAX));
    cr_assert(eq(int, (int)cause, STALL_MEMTABLE));
    assert_ok(flush_run(&f.engine, &(bool){false}));
    cr_assert(eq(u64, delay_now(&cause), 0));
    teardown();
}

Test(throttle, the_debt_of_the_levels_is_counted)
{
    enum stall_cause cause;

    setup_with((struct limits){.debt_slowdown = 1, .debt_stop = 1 << 20});
    add_level0_table();
    add_level0_table();
    cr_assert(eq(u64, delay_now(&cause), 0));
    add_level0_table(); // the trigger
    (void)delay_now(&cause);
    cr_assert(eq(int, (int)cause, STALL_DEBT));
    teardown();
}

Test(throttle, the_unflushed_log_is_counted)
{
    enum stall_cause cause;

    setup_with((struct limits){.log_bytes_min = 4096});
    while (delay_now(&cause) == 0)
        engine_put(&f, 1, 90);
    cr_assert(eq(int, (int)cause, STALL_LOG));
    cr_assert(gt(u64, log_bytes_since(f.engine.log, f.model->marks[0].start), 4096));
    engine_flush(&f);
    cr_assert(eq(u64, delay_now(&cause), 0));
    teardown();
}

// Limits are looked up, not remembered: an option that changes counts at once.
Test(throttle, limits_that_change_count_from_the_next_update_on)
{
    enum stall_cause cause;

    setup_with((struct limits){
        .memtable_size = 1, .level0_slowdown = 1, .level0_stop = 2, .log_bytes_min = 1 << 30});
    engine_put(&f, 1, 10);
    engine_rotate(&f);
    cr_assert(eq(u64, delay_now(&cause), UINT64_MAX));
    cr_assert(eq(int, (int)cause, STALL_MEMTABLE));
    set_limits((struct limits){.memtable_size = 1 << 20, .level0_slowdown = 1, .level0_stop = 2});
    cr_assert(eq(u64, delay_now(&cause), 0));
    assert_ok(flush_run(&f.engine, &(bool){false}));
    add_level0_table();
    cr_assert(eq(u64, delay_now(&cause), UINT64_MAX));
    cr_assert(eq(int, (int)cause, STALL_LEVEL0));
    set_limits((struct limits){.memtable_size = 1 << 20, .level0_slowdown = 4, .level0_stop = 8});
    cr_assert(eq(u64, delay_now(&cause), 0));
    teardown();
}

Test(throttle, the_strongest_cause_decides)
{
    enum stall_cause cause;

    setup_with((struct limits){.memtable_size = 1 << 29,
                               .level0_slowdown = 1,
                               .level0_stop = 1000,
                               .debt_slowdown = 1,
                               .debt_stop = 2});
    for (unsigned i = 0; i < 3; i++)
        add_level0_table();
    cr_assert(eq(u64, delay_now(&cause), UINT64_MAX));
    cr_assert(eq(int, (int)cause, STALL_DEBT));
    teardown();
}

Test(throttle, one_call_never_waits_longer_than_a_second)
{
    enum stall_cause cause;
    bool is_stopped;

    setup_with((struct limits){.level0_slowdown = 1, .level0_stop = 3});
    add_level0_table();
    add_level0_table();
    throttle_update(throttle);
    cr_assert(eq(u64, throttle_delay_ns(throttle, UINT64_MAX, &cause, &is_stopped), 1000000000));
    cr_assert(not(is_stopped));
    teardown();
}

Test(throttle, every_cause_has_a_name)
{
    for (int i = 0; i < STALL_CAUSE_COUNT; i++)
        cr_assert(ne(str, (char *)stall_cause_name((enum stall_cause)i), "unknown"));
}

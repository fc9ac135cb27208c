// test_timekeeper.c -- what time it is at least.

#include "txn/timekeeper.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/random.h"

#define SECOND ((uint64_t)1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define YEAR   (365 * DAY)
#define NOW    (1700000000 * SECOND)

// An env of nothing but clocks. `slow` passes between any two readings.
struct clocks {
    struct env env;
    uint64_t wall_ns;
    uint64_t boot_ns;
    uint64_t slow_ns;
};

static uint64_t clocks_boot_ns(struct env *env)
{
    struct clocks *clocks = (struct clocks *)env;

    clocks->wall_ns += clocks->slow_ns;
    clocks->boot_ns += clocks->slow_ns;
    return clocks->boot_ns;
}

static uint64_t clocks_wall_ns(struct env *env)
{
    struct clocks *clocks = (struct clocks *)env;

    clocks->wall_ns += clocks->slow_ns;
    clocks->boot_ns += clocks->slow_ns;
    return clocks->wall_ns;
}

static const struct env_ops clocks_ops = {.clock_boot_ns = clocks_boot_ns,
                                          .clock_wall_ns = clocks_wall_ns};

static struct clocks clocks;
static struct timekeeper keeper;

static void open_with(struct clock_history history, uint64_t wall_ns)
{
    clocks = (struct clocks){.env = {.ops = &clocks_ops}, .wall_ns = wall_ns, .boot_ns = DAY};
    timekeeper_init(&keeper, &clocks.env, &history);
}

static void pass(uint64_t ns)
{
    clocks.wall_ns += ns;
    clocks.boot_ns += ns;
}

static uint64_t undoubted(void)
{
    return timekeeper_read(&keeper).undoubted_ns;
}

static int64_t ahead(void)
{
    const struct clock_state state = timekeeper_read(&keeper);

    return clock_state_ahead_ns(&state);
}

Test(timekeeper, a_new_database_believes_its_first_reading)
{
    open_with((struct clock_history){0}, NOW);
    cr_assert(eq(u64, undoubted(), NOW));
    pass(HOUR);
    cr_assert(eq(u64, undoubted(), NOW + HOUR));
    cr_assert(eq(i64, ahead(), 0));
}

Test(timekeeper, time_goes_on_by_what_has_elapsed)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, NOW);
    pass(400 * DAY);
    cr_assert(eq(u64, undoubted(), NOW + 400 * DAY));
}

Test(timekeeper, a_jump_ahead_is_believed_when_it_has_lasted)
{
    static const struct {
        uint64_t jump;
        uint64_t lasts;
    } cases[] = {
        {3 * SECOND, HOUR}, {20 * HOUR, HOUR}, {DAY, HOUR}, {DAY + SECOND, DAY}, {3 * YEAR, DAY}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_with((struct clock_history){.undoubted_ns = NOW}, NOW);
        pass(50 * DAY);
        (void)undoubted();
        clocks.wall_ns += cases[i].jump;
        cr_assert(eq(u64, undoubted(), NOW + 50 * DAY));
        cr_assert(eq(i64, ahead(), (int64_t)cases[i].jump));
        pass(cases[i].lasts - 1);
        cr_assert(eq(u64, undoubted(), NOW + 50 * DAY + cases[i].lasts - 1));
        pass(1);
        cr_assert(eq(u64, undoubted(), NOW + 50 * DAY + cases[i].lasts + cases[i].jump));
        cr_assert(eq(i64, ahead(), 0));
    }
}

Test(timekeeper, each_jump_is_doubted_anew)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, NOW);
    clocks.wall_ns += 3 * HOUR;
    (void)undoubted();
    pass(59 * MINUTE);
    (void)undoubted();
    clocks.wall_ns += HOUR;
    (void)undoubted();
    pass(59 * MINUTE);
    cr_assert(eq(u64, undoubted(), NOW + 118 * MINUTE));
    cr_assert(eq(u64, timekeeper_read(&keeper).doubted_ns, MINUTE));
}

Test(timekeeper, a_jump_that_is_taken_back_leaves_nothing)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, NOW);
    clocks.wall_ns += 3 * YEAR;
    (void)undoubted();
    pass(23 * HOUR);
    (void)undoubted();
    clocks.wall_ns -= 3 * YEAR;
    cr_assert(eq(u64, undoubted(), NOW + 23 * HOUR));
    cr_assert(eq(i64, ahead(), 0));
}

// One of two was wrong; by the lower one nothing is dropped that should stay.
Test(timekeeper, a_step_back_counts_at_once)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, NOW);
    clocks.wall_ns -= 20 * HOUR;
    cr_assert(eq(u64, undoubted(), NOW - 20 * HOUR));
    cr_assert(eq(i64, ahead(), -(int64_t)(20 * HOUR)));
    cr_assert(eq(u64, timekeeper_read(&keeper).line_ns, NOW - 20 * HOUR));
    clocks.wall_ns += 20 * HOUR;
    cr_assert(eq(u64, undoubted(), NOW - 20 * HOUR), "whether it is right now nobody knows");
    pass(HOUR);
    cr_assert(eq(u64, undoubted(), NOW + HOUR));
}

Test(timekeeper, after_a_step_back_that_lasts_the_clock_is_right)
{
    open_with((struct clock_history){.undoubted_ns = NOW + 3 * YEAR}, NOW);
    cr_assert(eq(i64, ahead(), -(int64_t)(3 * YEAR)));
    pass(DAY);
    cr_assert(eq(i64, ahead(), 0));
    cr_assert(eq(u64, timekeeper_read(&keeper).line_ns, NOW + DAY));
}

Test(timekeeper, a_clock_that_was_never_set_teaches_nothing)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, 3 * SECOND);
    cr_assert(eq(u64, undoubted(), 3 * SECOND));
    pass(40 * DAY);
    cr_assert(eq(u64, timekeeper_read(&keeper).line_ns, NOW + 40 * DAY));
    cr_assert(lt(i64, ahead(), -(int64_t)(40 * YEAR)));
    clocks.wall_ns = NOW + 41 * DAY;
    cr_assert(eq(u64, undoubted(), NOW + 40 * DAY));
    cr_assert(eq(i64, ahead(), (int64_t)DAY));

    open_with((struct clock_history){0}, 3 * SECOND);
    cr_assert(eq(u64, undoubted(), 0));
    cr_assert(eq(u64, timekeeper_read(&keeper).line_ns, 0));
    clocks.wall_ns = NOW;
    cr_assert(eq(u64, undoubted(), NOW));
}

Test(timekeeper, how_long_it_was_closed_nobody_knows)
{
    open_with((struct clock_history){.undoubted_ns = NOW, .reading_ns = NOW}, NOW + 20 * HOUR);
    cr_assert(eq(u64, undoubted(), NOW));
    cr_assert(eq(i64, ahead(), (int64_t)(20 * HOUR)));
    pass(HOUR);
    cr_assert(eq(u64, undoubted(), NOW + 21 * HOUR));
}

// Opened for moments each day: what the clock said yesterday is past today.
Test(timekeeper, the_last_reading_is_believed_a_day_later)
{
    const struct clock_history history = {.undoubted_ns = NOW, .reading_ns = NOW + 20 * HOUR};

    open_with(history, NOW + 20 * HOUR + DAY - 1);
    cr_assert(eq(u64, undoubted(), NOW));
    open_with(history, NOW + 20 * HOUR + DAY);
    cr_assert(eq(u64, undoubted(), NOW + 20 * HOUR));
    open_with(history, NOW + 20 * HOUR + 32 * DAY);
    cr_assert(eq(u64, undoubted(), NOW + 20 * HOUR));
    open_with(history, NOW + 3 * YEAR);
    cr_assert(eq(u64, undoubted(), NOW), "this is another clock");
    open_with((struct clock_history){.undoubted_ns = NOW, .reading_ns = NOW + 3 * YEAR},
              NOW + 3 * YEAR + 2 * DAY);
    cr_assert(eq(u64, undoubted(), NOW), "this was another clock");
}

// A manifest that says nothing: the last reading is all there is, if the clock bears it out.
Test(timekeeper, where_nothing_else_is_known_the_last_reading_counts)
{
    open_with((struct clock_history){.reading_ns = NOW}, NOW + 3 * YEAR);
    cr_assert(eq(u64, undoubted(), NOW));
    open_with((struct clock_history){.reading_ns = NOW}, NOW - YEAR);
    cr_assert(eq(u64, undoubted(), NOW - YEAR));
}

// As when a dump is loaded: it can be the clock that is wrong, and not the dump.
Test(timekeeper, an_entry_written_expired_puts_the_clock_in_doubt)
{
    open_with((struct clock_history){0}, NOW);
    timekeeper_doubt(&keeper, NOW - YEAR);
    cr_assert(eq(u64, undoubted(), NOW - YEAR - 1));
    timekeeper_doubt(&keeper, NOW);
    cr_assert(eq(u64, undoubted(), NOW - YEAR - 1));
    pass(DAY);
    cr_assert(eq(u64, undoubted(), NOW + DAY));
    timekeeper_doubt(&keeper, NOW);
    cr_assert(eq(u64, undoubted(), NOW + DAY), "the clock has proved itself");
}

// Readings that are far apart for want of a processor are no step.
Test(timekeeper, a_slow_reading_confirms_all_the_same)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, NOW + 3 * HOUR);
    for (int i = 0; i < 60; i++) {
        clocks.slow_ns = i % 3 == 0 ? SECOND : 0;
        (void)undoubted();
        pass(MINUTE);
    }
    clocks.slow_ns = 0;
    cr_assert(eq(i64, ahead(), 0));
}

// Steps a system's clock may be slewed by, at most 500 in a million.
Test(timekeeper, a_slewed_clock_has_not_been_set)
{
    open_with((struct clock_history){.undoubted_ns = NOW}, NOW + 3 * HOUR);
    for (int i = 0; i < 60; i++) {
        pass(MINUTE);
        clocks.wall_ns += MINUTE / 2000;
        (void)undoubted();
    }
    cr_assert(eq(i64, ahead(), 0));
}

Test(timekeeper, numbers_from_a_damaged_disk_do_no_harm)
{
    open_with((struct clock_history){.undoubted_ns = UINT64_MAX, .reading_ns = UINT64_MAX}, NOW);
    cr_assert(eq(u64, undoubted(), NOW));
    open_with((struct clock_history){.undoubted_ns = NOW, .reading_ns = UINT64_MAX}, UINT64_MAX);
    cr_assert(eq(u64, undoubted(), NOW));
}

// However the clock jumps: as long as no error lasts for an hour, and none is between a day and
// two months, nothing passes for past that is not.
Test(timekeeper, errors_that_do_not_last_are_never_believed)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct random random = {.state = seed};
        struct clock_history history = {.undoubted_ns = NOW, .reading_ns = NOW};
        uint64_t now = NOW;
        uint64_t wrong_for = 0;

        open_with(history, now);
        for (int step = 0; step < 500; step++) {
            const uint64_t elapsed = random_below(&random, 20 * MINUTE);
            struct clock_state state;

            switch (random_below(&random, 8)) {
            case 0:
                clocks.wall_ns = now + random_below(&random, DAY);
                break;
            case 1:
                clocks.wall_ns = now + 64 * DAY + random_below(&random, 30 * YEAR);
                break;
            case 2:
                clocks.wall_ns = now - random_below(&random, NOW);
                break;
            case 3:
                clocks.wall_ns = now;
                break;
            case 4: // closed for a while; with the next reading another process begins
                now += random_below(&random, 3 * DAY);
                history = (struct clock_history){
                    .undoubted_ns = timekeeper_read(&keeper).line_ns,
                    .reading_ns = clocks.wall_ns,
                };
                open_with(history, random_below(&random, 2) == 0 ? now : now + 20 * HOUR);
                break;
            default:
                break;
            }
            wrong_for = clocks.wall_ns == now ? 0 : wrong_for + elapsed;
            if (wrong_for >= 50 * MINUTE) {
                clocks.wall_ns = now;
                wrong_for = 0;
            }
            now += elapsed;
            pass(elapsed);
            state = timekeeper_read(&keeper);
            cr_assert(le(u64, state.undoubted_ns, now), "seed %d step %d", (int)seed, step);
            cr_assert(le(u64, state.undoubted_ns, clocks.wall_ns));
        }
    }
}

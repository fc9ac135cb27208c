#include "txn/timekeeper.h"

#include "base/plant.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define HOUR_NS       (3600 * NS_PER_SECOND)
#define DAY_NS        (24 * HOUR_NS)
#define MONTH_NS      (32 * DAY_NS)
#define WALL_MAX_NS   (INT64_MAX / 2) // 2116: two of them can be subtracted

// By how much the difference of the two clocks may change without a step: for their readings
// are not one, and where the system slews one of them only, by at most 1 in 2,000.
#define WOBBLE_NS (NS_PER_SECOND / 10)
#define SLEW_PART 2000

static int64_t limited(uint64_t wall_ns)
{
    return wall_ns < WALL_MAX_NS ? (int64_t)wall_ns : WALL_MAX_NS;
}

static int64_t lower_of(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

// One reading of the pair. The clock of elapsed time is taken as late as it can have been, so
// that the offset is never too high.
struct pair {
    int64_t wall;
    int64_t boot;
    int64_t width; // of what passed meanwhile
};

static struct pair read_pair(struct env *env)
{
    const int64_t before = limited(clock_boot_ns(env));
    const int64_t wall = limited(clock_wall_ns(env));
    const int64_t boot = limited(clock_boot_ns(env));

    return (struct pair){.wall = wall, .boot = boot, .width = boot - before};
}

static bool is_set(int64_t wall)
{
    return wall >= (int64_t)TIMEKEEPER_BIRTH_NS;
}

static void note_offset(struct timekeeper *keeper, const struct pair *now)
{
    const int64_t offset = now->wall - now->boot;
    const int64_t step =
        offset > keeper->offset ? offset - keeper->offset : keeper->offset - offset;
    const int64_t elapsed = now->boot - (int64_t)keeper->read_at_ns;

    if (step > WOBBLE_NS + elapsed / SLEW_PART + now->width + (int64_t)keeper->read_width_ns)
        keeper->steady_since_ns = (uint64_t)now->boot;
    keeper->offset = offset;
    keeper->read_at_ns = (uint64_t)now->boot;
    keeper->read_width_ns = (uint64_t)now->width;
}

// How long the clock has to go on without a step before it is believed to be `gap` off.
static int64_t confirmation_ns(int64_t gap)
{
    return gap <= DAY_NS ? HOUR_NS : DAY_NS;
}

static int64_t doubted_ns(const struct timekeeper *keeper, int64_t gap)
{
    const int64_t steady = (int64_t)(keeper->read_at_ns - keeper->steady_since_ns);
    const int64_t needed = confirmation_ns(gap);

    return gap <= 0 || steady >= needed ? 0 : needed - steady;
}

// Where nothing is known, the first reading is believed, or the last one of the process before.
static void believe_first(struct timekeeper *keeper, const struct pair *now)
{
    const int64_t reading = limited(keeper->reading_ns);

    keeper->undoubted =
        is_set(reading) ? lower_of(keeper->offset, reading - now->boot) : keeper->offset;
    keeper->latest = keeper->undoubted;
    keeper->is_known = true;
}

// Believes the last reading of the process before, if today's bears it out.
static void look_back(struct timekeeper *keeper, const struct pair *now)
{
    const int64_t reading = limited(keeper->reading_ns);
    const int64_t known = keeper->undoubted + now->boot;

    if (reading > known && reading - known <= MONTH_NS && now->wall - reading >= DAY_NS &&
        now->wall - reading <= MONTH_NS)
        keeper->undoubted = reading - now->boot;
}

static void conclude(struct timekeeper *keeper, const struct pair *now)
{
    look_back(keeper, now);
    if (keeper->offset < keeper->undoubted ||
        doubted_ns(keeper, keeper->offset - keeper->undoubted) == 0 ||
        PLANTED(TRUST_DOUBTFUL_CLOCK))
        keeper->undoubted = keeper->offset;
    if (keeper->latest < keeper->undoubted ||
        doubted_ns(keeper, keeper->latest - keeper->offset) == 0)
        keeper->latest = keeper->undoubted;
}

int64_t clock_state_ahead_ns(const struct clock_state *state)
{
    if (state->doubted_ns != 0)
        return (int64_t)(state->system_ns - state->undoubted_ns);
    if (limited(state->latest_ns) - limited(state->system_ns) >= NS_PER_SECOND)
        return limited(state->system_ns) - limited(state->latest_ns);
    return 0;
}

void timekeeper_init(struct timekeeper *keeper, struct env *env,
                     const struct clock_history *history)
{
    const struct pair now = read_pair(env);
    const int64_t known = limited(history->undoubted_ns);

    *keeper = (struct timekeeper){
        .env = env,
        .offset = now.wall - now.boot,
        .steady_since_ns = (uint64_t)now.boot,
        .read_at_ns = (uint64_t)now.boot,
        .read_width_ns = (uint64_t)now.width,
        .reading_ns = history->reading_ns,
    };
    if (!is_set(known))
        return;
    keeper->undoubted = known - now.boot;
    keeper->latest = keeper->undoubted;
    keeper->is_known = true;
}

struct clock_state timekeeper_read(struct timekeeper *keeper)
{
    const struct pair now = read_pair(keeper->env);
    struct clock_state state = {.system_ns = (uint64_t)now.wall};

    note_offset(keeper, &now);
    if (!keeper->is_known && is_set(now.wall))
        believe_first(keeper, &now);
    if (!keeper->is_known)
        return state;
    if (is_set(now.wall))
        conclude(keeper, &now);
    state.line_ns = (uint64_t)(keeper->undoubted + now.boot);
    state.latest_ns = (uint64_t)(keeper->latest + now.boot);
    state.undoubted_ns = (uint64_t)lower_of(keeper->undoubted + now.boot, now.wall);
    if (keeper->offset - keeper->undoubted >= NS_PER_SECOND)
        state.doubted_ns = (uint64_t)doubted_ns(keeper, keeper->offset - keeper->undoubted);
    return state;
}

void timekeeper_doubt(struct timekeeper *keeper, uint64_t wall_ns)
{
    const struct clock_state state = timekeeper_read(keeper);

    if (keeper->is_known && wall_ns <= state.undoubted_ns)
        keeper->undoubted -= (int64_t)(state.line_ns - wall_ns) + 1;
}

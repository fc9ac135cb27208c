// Four amounts of waiting work each have a point where writers begin to be slowed and
// one where they stop. Between the two the delay per byte grows with the square of the
// way gone: hardly felt at first, a megabyte a second near the end. The cause that asks
// for most decides.

#include "compaction/throttle.h"

#include <inttypes.h>

#include "base/alloc.h"

#define NS_PER_KIB_MAX (1000 * 1024) // at the point where writers stop
#define DELAY_NS_MAX   1000000000ull // of one call

// The state is one word: what a writer's hot path loads.
//
//   bits 0-7 cause; bit 8 stopped; bits 16 on, nanoseconds per KiB
#define STATE_STOPPED    (1u << 8)
#define STATE_RATE_SHIFT 16

struct throttle {
    struct engine *engine; // immutable

    // Read relaxed: a writer that sees an old state waits by the old debt.
    _Atomic uint64_t state;

    struct throttle_stats stats;
};

const char *stall_cause_name(enum stall_cause cause)
{
    static const char *const names[STALL_CAUSE_COUNT] = {
        [STALL_NONE] = "none", [STALL_MEMTABLE] = "memtable", [STALL_LEVEL0] = "level0",
        [STALL_DEBT] = "debt", [STALL_LOG] = "log",
    };

    return cause < STALL_CAUSE_COUNT ? names[cause] : "unknown";
}

// --- pressure ---

// How far the worst amount has gone from slowing writers (0) to stopping them (1).
struct pressure {
    enum stall_cause cause;
    double share;
};

static uint64_t load(const _Atomic uint64_t *option)
{
    return atomic_load_explicit(option, memory_order_relaxed);
}

static void press(struct pressure *pressure, enum stall_cause cause, uint64_t amount,
                  uint64_t slowdown, uint64_t stop)
{
    double share;

    if (stop == 0 || amount <= slowdown)
        return;
    share = amount >= stop ? 1.0 : (double)(amount - slowdown) / (double)(stop - slowdown);
    if (share > pressure->share)
        *pressure = (struct pressure){.cause = cause, .share = share};
}

static uint64_t immutable_bytes(const struct view *view)
{
    uint64_t bytes = 0;

    for (size_t i = 1; i < view->memtable_count; i++)
        bytes += memtable_used(view->memtables[i]->mem);
    return bytes;
}

static struct pressure measure(const struct throttle *t, const struct view *view)
{
    const struct engine_options *o = t->engine->options;
    const uint64_t memory_max = throttle_memory_max(o);
    const uint64_t log_max = throttle_log_bytes_max(o);
    const struct logged_memtable *oldest = view->memtables[view->memtable_count - 1];
    struct pressure pressure = {.cause = STALL_NONE};

    // One memtable that is being flushed while the next fills is how it should be.
    press(&pressure, STALL_MEMTABLE, immutable_bytes(view), memory_max / 2, memory_max);
    press(&pressure, STALL_LEVEL0, view->version->levels[0].count, load(&o->level0_slowdown),
          load(&o->level0_stop));
    press(&pressure, STALL_DEBT, compaction_debt(view->version, o), load(&o->debt_slowdown),
          load(&o->debt_stop));
    press(&pressure, STALL_LOG, log_bytes_since(t->engine->log, oldest->start), log_max,
          2 * log_max);
    return pressure;
}

static uint64_t state_of(struct pressure pressure)
{
    uint64_t rate = (uint64_t)(pressure.share * pressure.share * NS_PER_KIB_MAX);

    if (pressure.cause == STALL_NONE)
        return 0;
    return (uint64_t)pressure.cause | (pressure.share >= 1.0 ? STATE_STOPPED : 0) |
           rate << STATE_RATE_SHIFT;
}

// --- the throttle ---

lsm_status throttle_new(struct engine *engine, struct throttle **out)
{
    struct throttle *t = mem_alloc_zeroed(1, sizeof *t);

    if (t == NULL)
        return lsm_fail(LSM_NO_MEMORY, "throttle: %zu bytes", sizeof *t);
    t->engine = engine;
    *out = t;
    return LSM_OK;
}

void throttle_free(struct throttle *t)
{
    mem_free(t);
}

static bool same_kind(uint64_t a, uint64_t b)
{
    return ((a ^ b) & ((1u << STATE_RATE_SHIFT) - 1)) == 0;
}

static void tell(struct throttle *t, uint64_t state)
{
    eventlog_write(t->engine->events, "stall", "cause=%s stopped=%d ns_per_kib=%" PRIu64,
                   stall_cause_name(state & 0xFF), (state & STATE_STOPPED) != 0,
                   state >> STATE_RATE_SHIFT);
}

void throttle_update(struct throttle *t)
{
    const _Atomic uint64_t *revision = &t->engine->options->revision;
    uint64_t state, before, revision_seen;
    struct view *view;

    EPOCH_SECTION();
    // A view that is replaced meanwhile is measured again, and so is one whose limits have
    // changed. The exchange is ordered with those of other threads, so whoever stores last sees
    // every view and every limit that was measured before. Within the section no other view
    // takes the address of this one.
    do {
        revision_seen = atomic_load_explicit(revision, memory_order_acquire);
        view = views_current(t->engine->views);
        state = state_of(measure(t, view));
        before = atomic_exchange_explicit(&t->state, state, memory_order_acq_rel);
        if (!same_kind(state, before))
            tell(t, state);
    } while (views_current(t->engine->views) != view ||
             atomic_load_explicit(revision, memory_order_acquire) != revision_seen);
}

static void count_delay(struct throttle *t, enum stall_cause cause, uint64_t delay_ns)
{
    atomic_fetch_add_explicit(&t->stats.delay_ns[cause], delay_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->stats.delay_count[cause], 1, memory_order_relaxed);
}

uint64_t throttle_delay_ns(struct throttle *t, uint64_t bytes, enum stall_cause *cause,
                           bool *is_stopped)
{
    uint64_t state = atomic_load_explicit(&t->state, memory_order_relaxed);
    uint64_t rate = state >> STATE_RATE_SHIFT;
    uint64_t delay_ns;

    *cause = state & 0xFF;
    *is_stopped = (state & STATE_STOPPED) != 0;
    if (state == 0)
        return 0;
    if (*is_stopped) {
        atomic_fetch_add_explicit(&t->stats.stop_count[*cause], 1, memory_order_relaxed);
        return 0;
    }
    if (__builtin_mul_overflow(bytes, rate, &delay_ns) || delay_ns / 1024 > DELAY_NS_MAX)
        delay_ns = DELAY_NS_MAX;
    else
        delay_ns /= 1024;
    count_delay(t, *cause, delay_ns);
    return delay_ns;
}

struct throttle_stats *throttle_stats(struct throttle *t)
{
    return &t->stats;
}

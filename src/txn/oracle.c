// oracle.c -- the clock of commits, and slots for the snapshots that are open.
//
// Slots lie in chunks that are linked and never taken away before the end. A slot is
// free while its timestamp is SLOT_FREE; a registering thread claims it by storing
// a published timestamp over that, beginning its search where few others begin.
//
// Why no job drops what a snapshot reads. The registering thread stores its slot
// (S), then loads drop_floor (L); a job raises drop_floor to at least what it reads as
// published (R), then loads the slot (C). All four are seq_cst, so they have one order.
// If S is before C, the job sees the timestamp, or a later one of the same snapshot,
// and returns no more than that. Otherwise R is before C is before S is before L, and L
// sees the job's value or a higher one: the snapshot keeps a timestamp that is no lower
// than it, which is no lower than what the job returned. A timestamp read as published
// after such an L is high enough: who raised drop_floor had read it as published
// before.
//
// The second is captured after S, and no lower than expiry_floor. A job raises that to the
// second it would drop by before it loads the slots, so by the same order a snapshot that
// it does not see finds the floor raised, or lowered again: then the job has ended, and
// every view that the snapshot loads later shows what it did. A snapshot that it does see
// either shows its second or shows 0, and then the job drops nothing by expiry. The floor
// is the highest second of the jobs under way, so that one which was told what turned out
// wrong binds snapshots no longer than it runs.

#include "txn/oracle.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#include "base/alloc.h"
#include "base/ikey.h"
#include "base/plant.h"
#include "base/schedule.h"

#define SLOT_FREE     UINT64_MAX // as a timestamp: TS_MAX is never published
#define CACHE_LINE    64
#define CHUNK_SLOTS   64
#define TAG_WORDS     8
#define NS_PER_SECOND 1000000000u

// Two cache lines, so that snapshots do not slow each other down. The owner writes.
// What listings show is guarded by `edition`, odd while it changes: a lister loads
// edition, fields, edition, and tries again when it has changed. Fields are stored
// with release and loaded with acquire, so whoever has loaded one of a later edition
// also finds the later number.
struct snapshot_slot {
    _Alignas(CACHE_LINE) _Atomic uint64_t ts; // or SLOT_FREE; seq_cst
    _Atomic uint64_t wall;                    // seconds; 0 until captured; seq_cst
    _Atomic uint64_t edition;
    _Atomic uint64_t opened_ns; // by the monotonic clock
    _Atomic uint64_t tag[TAG_WORDS];
};

struct slot_chunk {
    _Atomic(struct slot_chunk *) next; // stored with release under mu
    struct snapshot_slot slots[CHUNK_SLOTS];
};

// A job that drops by `wall` at most.
struct drop_hold {
    struct drop_hold *next;
    uint64_t wall;
};

struct oracle {
    // Immutable.
    struct env *env;
    struct slot_chunk *chunks; // the first

    uint64_t last_ts;              // handed out; the role's
    _Atomic uint64_t published;    // stored by the role with release
    _Atomic uint64_t drop_floor;   // only rises; seq_cst
    _Atomic uint64_t expiry_floor; // the highest `wall` of `holds`; stored under mu; seq_cst
    _Atomic uint64_t seen_ns;      // the clock when last read; relaxed, for it only shows steps

    struct mutex mu; // rank LOCK_ORACLE; guards the fields below, and adding a chunk
    struct timekeeper keeper;
    struct drop_hold *holds;
};

static void atomic_raise(_Atomic uint64_t *value, uint64_t to)
{
    uint64_t now = atomic_load(value);

    while (now < to && !atomic_compare_exchange_weak(value, &now, to)) {
    }
}

static struct slot_chunk *chunk_new(void)
{
    struct slot_chunk *chunk = mem_alloc_aligned(CACHE_LINE, sizeof *chunk);

    if (chunk == NULL)
        return NULL;
    memset(chunk, 0, sizeof *chunk);
    for (size_t i = 0; i < CHUNK_SLOTS; i++)
        atomic_init(&chunk->slots[i].ts, SLOT_FREE);
    return chunk;
}

lsm_status oracle_new(struct env *env, uint64_t last_ts, const struct clock_history *history,
                      struct oracle **out)
{
    CLEANUP(mem_freep) struct oracle *oracle = mem_alloc_zeroed(1, sizeof *oracle);
    struct slot_chunk *chunk;

    assert(last_ts < TS_MAX);
    if (oracle == NULL)
        return lsm_fail(LSM_NO_MEMORY, "oracle: %zu bytes", sizeof *oracle);
    chunk = chunk_new();
    if (chunk == NULL)
        return lsm_fail(LSM_NO_MEMORY, "oracle: %zu bytes for snapshots", sizeof *chunk);
    oracle->env = env;
    oracle->last_ts = last_ts;
    atomic_init(&oracle->published, last_ts);
    oracle->chunks = chunk;
    mutex_init(&oracle->mu, LOCK_ORACLE);
    timekeeper_init(&oracle->keeper, env, history);
    *out = MOVE(oracle);
    return LSM_OK;
}

static struct slot_chunk *chunk_next(const struct slot_chunk *chunk)
{
    return atomic_load_explicit(&chunk->next, memory_order_acquire);
}

void oracle_free(struct oracle *oracle)
{
    struct slot_chunk *chunk;

    if (oracle == NULL)
        return;
    chunk = oracle->chunks;
    while (chunk != NULL) {
        struct slot_chunk *next = chunk_next(chunk);

        mem_free_aligned(chunk);
        chunk = next;
    }
    assert(oracle->holds == NULL);
    mutex_release(&oracle->mu);
    mem_free(oracle);
}

uint64_t oracle_next_ts(struct oracle *oracle)
{
    assert(oracle->last_ts < TS_MAX - 1);
    return ++oracle->last_ts;
}

void oracle_publish(struct oracle *oracle, uint64_t ts)
{
    assert(ts <= oracle->last_ts);
    assert(ts >= atomic_load_explicit(&oracle->published, memory_order_relaxed));
    SCHEDULE_POINT();
    // Release: pairs with the acquire in oracle_published(). Whoever reads this
    // timestamp also sees every memtable entry inserted before it.
    atomic_store_explicit(&oracle->published, ts, memory_order_release);
}

uint64_t oracle_published(const struct oracle *oracle)
{
    return atomic_load_explicit(&oracle->published, memory_order_acquire);
}

static struct clock_state read_clock_locked(struct oracle *oracle)
{
    const struct clock_state state = timekeeper_read(&oracle->keeper);

    atomic_store_explicit(&oracle->seen_ns, state.system_ns, memory_order_relaxed);
    return state;
}

struct clock_state oracle_clock(struct oracle *oracle)
{
    struct clock_state state;

    mutex_lock(&oracle->mu);
    state = read_clock_locked(oracle);
    mutex_unlock(&oracle->mu);
    return state;
}

void oracle_doubt(struct oracle *oracle, uint64_t expiry)
{
    mutex_lock(&oracle->mu);
    timekeeper_doubt(&oracle->keeper, expiry * NS_PER_SECOND);
    mutex_unlock(&oracle->mu);
}

// Notes what the clock says once a second, and looks whether it is behind that. Threads that
// read it at about the same time may see that where there is no step; then nothing is concluded.
static uint64_t observe(struct oracle *oracle)
{
    const uint64_t now = clock_wall_ns(oracle->env);
    const uint64_t seen = atomic_load_explicit(&oracle->seen_ns, memory_order_relaxed);

    if (LIKELY(now - seen < NS_PER_SECOND)) // wraps when it has stepped back
        return now;
    atomic_store_explicit(&oracle->seen_ns, now, memory_order_relaxed);
    if (now < seen)
        (void)oracle_clock(oracle);
    return now;
}

uint64_t oracle_wall_ns(struct oracle *oracle)
{
    return observe(oracle);
}

uint64_t oracle_wall_seconds(struct oracle *oracle)
{
    return observe(oracle) / NS_PER_SECOND;
}

// Where the calling thread begins its search: the same place each time, so that it
// finds the slot it had before, and mostly another one than other threads.
static size_t search_start(void)
{
    static _Thread_local char of_thread;

    return (size_t)(((uintptr_t)&of_thread >> 6) * 0x9E3779B97F4A7C15u >> 32) % CHUNK_SLOTS;
}

// Claims a free slot by storing `ts` into it; NULL when the chunk has none.
static struct snapshot_slot *chunk_claim(struct slot_chunk *chunk, uint64_t ts)
{
    const size_t start = search_start();

    for (size_t i = 0; i < CHUNK_SLOTS; i++) {
        struct snapshot_slot *slot = &chunk->slots[(start + i) % CHUNK_SLOTS];
        uint64_t expected = SLOT_FREE;

        if (atomic_load_explicit(&slot->ts, memory_order_relaxed) == SLOT_FREE &&
            atomic_compare_exchange_strong(&slot->ts, &expected, ts))
            return slot;
    }
    return NULL;
}

// The chunk behind `chunk`, made if there is none.
static lsm_status chunk_next_or_new(struct oracle *oracle, struct slot_chunk *chunk,
                                    struct slot_chunk **out)
{
    struct slot_chunk *next;

    mutex_lock(&oracle->mu);
    next = chunk_next(chunk);
    if (next == NULL) {
        next = chunk_new();
        atomic_store_explicit(&chunk->next, next, memory_order_release);
    }
    mutex_unlock(&oracle->mu);
    if (next == NULL)
        return lsm_fail(LSM_NO_MEMORY, "oracle: %zu bytes for snapshots", sizeof *chunk);
    *out = next;
    return LSM_OK;
}

static lsm_status slot_claim(struct oracle *oracle, uint64_t ts, struct snapshot_slot **out)
{
    struct slot_chunk *chunk = oracle->chunks;
    struct snapshot_slot *slot = chunk_claim(chunk, ts);

    while (slot == NULL) {
        struct slot_chunk *next = chunk_next(chunk);

        if (next == NULL)
            TRY(chunk_next_or_new(oracle, chunk, &next));
        chunk = next;
        slot = chunk_claim(chunk, ts);
    }
    *out = slot;
    return LSM_OK;
}

// Writes what listings show; the caller owns the slot.
static void slot_describe(struct snapshot_slot *slot, uint64_t opened_ns, const char *tag)
{
    const uint64_t edition = atomic_load_explicit(&slot->edition, memory_order_relaxed);
    uint64_t words[TAG_WORDS] = {0};

    static_assert(sizeof words == sizeof((struct snapshot_info *)0)->tag, "one tag");
    if (tag != NULL)
        memcpy(words, tag, strnlen(tag, sizeof words - 1));
    atomic_store_explicit(&slot->edition, edition + 1, memory_order_relaxed);
    atomic_store_explicit(&slot->opened_ns, opened_ns, memory_order_release);
    for (size_t i = 0; i < TAG_WORDS; i++)
        atomic_store_explicit(&slot->tag[i], words[i], memory_order_release);
    atomic_store_explicit(&slot->edition, edition + 2, memory_order_release);
}

lsm_status oracle_register(struct oracle *oracle, const char *tag, struct snapshot_slot **out)
{
    uint64_t ts = oracle_published(oracle);
    struct snapshot_slot *slot;
    uint64_t floor;
    uint64_t wall;

    SCHEDULE_POINT();
    TRY(slot_claim(oracle, ts, &slot));
    SCHEDULE_POINT();
    while (atomic_load(&oracle->drop_floor) > ts && !PLANTED(SNAPSHOT_WITHOUT_FLOOR_CHECK)) {
        ts = oracle_published(oracle);
        atomic_store(&slot->ts, ts);
    }
    slot_describe(slot, clock_mono_ns(oracle->env), tag);
    wall = oracle_wall_seconds(oracle);
    floor = atomic_load(&oracle->expiry_floor);
    if (wall < floor && !PLANTED(SNAPSHOT_WITHOUT_EXPIRY_FLOOR))
        wall = floor;
    atomic_store(&slot->wall, wall == 0 ? 1 : wall); // a clock at its start is captured too
    *out = slot;
    return LSM_OK;
}

void oracle_unregister(struct oracle *oracle, struct snapshot_slot *slot)
{
    (void)oracle;
    if (slot == NULL)
        return;
    // In this order: whoever claims the slot finds no second in it.
    atomic_store(&slot->wall, 0);
    SCHEDULE_POINT();
    atomic_store(&slot->ts, SLOT_FREE);
}

uint64_t snapshot_slot_ts(const struct snapshot_slot *slot)
{
    return atomic_load_explicit(&slot->ts, memory_order_relaxed);
}

uint64_t snapshot_slot_wall(const struct snapshot_slot *slot)
{
    return atomic_load_explicit(&slot->wall, memory_order_relaxed);
}

// The minimum of `wall` and of what the slots hold.
static struct oldest_snapshot oldest_below(struct oracle *oracle, uint64_t wall_max)
{
    struct oldest_snapshot oldest = {.ts = oracle_published(oracle), .wall = wall_max};

    SCHEDULE_POINT();
    atomic_raise(&oracle->drop_floor, oldest.ts);
    SCHEDULE_POINT();
    for (struct slot_chunk *chunk = oracle->chunks; chunk != NULL; chunk = chunk_next(chunk)) {
        for (size_t i = 0; i < CHUNK_SLOTS; i++) {
            const uint64_t ts = atomic_load(&chunk->slots[i].ts);
            uint64_t wall;

            if (ts == SLOT_FREE)
                continue;
            wall = atomic_load(&chunk->slots[i].wall);
            if (ts < oldest.ts)
                oldest.ts = ts;
            if (wall < oldest.wall)
                oldest.wall = wall;
        }
    }
    return oldest;
}

struct oldest_snapshot oracle_oldest(struct oracle *oracle)
{
    return oldest_below(oracle, oracle_clock(oracle).undoubted_ns / NS_PER_SECOND);
}

uint64_t oracle_oldest_ts(struct oracle *oracle)
{
    return oldest_below(oracle, 0).ts;
}

static void set_expiry_floor_locked(struct oracle *oracle)
{
    uint64_t floor = 0;

    for (const struct drop_hold *hold = oracle->holds; hold != NULL; hold = hold->next) {
        if (hold->wall > floor)
            floor = hold->wall;
    }
    atomic_store(&oracle->expiry_floor, floor);
}

lsm_status oracle_begin_dropping(struct oracle *oracle, struct oldest_snapshot *oldest,
                                 struct drop_hold **out)
{
    struct drop_hold *hold = mem_alloc_zeroed(1, sizeof *hold);

    if (hold == NULL)
        return lsm_fail(LSM_NO_MEMORY, "oracle: %zu bytes for a job", sizeof *hold);
    mutex_lock(&oracle->mu);
    hold->wall = read_clock_locked(oracle).undoubted_ns / NS_PER_SECOND;
    hold->next = oracle->holds;
    oracle->holds = hold;
    set_expiry_floor_locked(oracle);
    mutex_unlock(&oracle->mu);
    *oldest = oldest_below(oracle, hold->wall);
    *out = hold;
    return LSM_OK;
}

void oracle_end_dropping(struct oracle *oracle, struct drop_hold *hold)
{
    struct drop_hold **at = &oracle->holds;

    if (hold == NULL)
        return;
    mutex_lock(&oracle->mu);
    while (*at != hold)
        at = &(*at)->next;
    *at = hold->next;
    set_expiry_floor_locked(oracle);
    mutex_unlock(&oracle->mu);
    mem_free(hold);
}

// Reads a slot as one edition; false when it is free or being described.
static bool slot_read(const struct snapshot_slot *slot, uint64_t now_ns, struct snapshot_info *info)
{
    uint64_t words[TAG_WORDS];
    uint64_t opened_ns;
    uint64_t edition;

    do {
        edition = atomic_load_explicit(&slot->edition, memory_order_acquire);
        info->ts = atomic_load(&slot->ts);
        if (info->ts == SLOT_FREE || edition % 2 != 0 || atomic_load(&slot->wall) == 0)
            return false;
        opened_ns = atomic_load_explicit(&slot->opened_ns, memory_order_acquire);
        for (size_t i = 0; i < TAG_WORDS; i++)
            words[i] = atomic_load_explicit(&slot->tag[i], memory_order_acquire);
    } while (atomic_load_explicit(&slot->edition, memory_order_relaxed) != edition);
    info->age_ns = now_ns > opened_ns ? now_ns - opened_ns : 0;
    memcpy(info->tag, words, sizeof info->tag);
    return true;
}

size_t oracle_list(struct oracle *oracle, struct snapshot_info *infos, size_t capacity)
{
    const uint64_t now_ns = clock_mono_ns(oracle->env);
    size_t total = 0;

    for (struct slot_chunk *chunk = oracle->chunks; chunk != NULL; chunk = chunk_next(chunk)) {
        for (size_t i = 0; i < CHUNK_SLOTS; i++) {
            struct snapshot_info info;
            size_t place;

            if (!slot_read(&chunk->slots[i], now_ns, &info))
                continue;
            place = total < capacity ? total : capacity;
            total++;
            // Insertion keeps the oldest seen so far, in order.
            for (; place > 0 && infos[place - 1].ts > info.ts; place--) {
                if (place < capacity)
                    infos[place] = infos[place - 1];
            }
            if (place < capacity)
                infos[place] = info;
        }
    }
    return total;
}

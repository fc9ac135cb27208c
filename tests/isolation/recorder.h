// recorder.h -- what one thread did to a database and saw of it, in order.
//
// Each thread has a recorder of its own, so that recording takes no lock and orders nothing.
// The events may lie in memory shared with another process: an event counts once `count`
// covers it, and of a thread that is killed all events before stay.
//
// Values are unique: no two writes of one key, in the whole history, write the same one.
// 0 stands for absent. Counters are apart, and told by EVENT_COUNTED alone.

#ifndef LSM_TESTS_ISOLATION_RECORDER_H
#define LSM_TESTS_ISOLATION_RECORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

enum level {
    LEVEL_SERIALIZABLE,
    LEVEL_SNAPSHOT,
    LEVEL_READ_ONLY,
};

enum event_kind {
    EVENT_BEGIN,       // `key`: level; `value`: monotonic ns, taken before the beginning
    EVENT_READ_TS,     // `value`: timestamp of the snapshot
    EVENT_READ,        // register `key` held `value`
    EVENT_ITEM,        // belongs to the scan or the list told next
    EVENT_SCAN,        // of registers `key` up to, without, `value`: the items, the rest absent
    EVENT_READ_LIST,   // list `key` held the items
    EVENT_WRITE,       // register `key` := `value`; 0: deleted
    EVENT_APPEND,      // list `key` += `value`
    EVENT_EXPECTED,    // register `key` held `value` when it was written
    EVENT_SAVEPOINT,   // number `value`, from 0
    EVENT_ROLLBACK_TO, // savepoint `value`
    EVENT_COMMITTING,  // from here on the outcome is open
    EVENT_COMMITTED,   // `value`: commit timestamp; 0: not told
    EVENT_ABORTED,
    EVENT_COUNTED, // counter `key` was moved on to `value`
    EVENT_END,     // `value`: monotonic ns, taken after the end
    EVENT_SEEN_TS, // in twos, outside transactions: `value` of `key` has the second's timestamp
};

struct event {
    uint32_t kind; // enum event_kind
    uint32_t key;
    uint64_t value;
};

struct recorder {
    struct event *events;
    size_t capacity;
    _Atomic size_t count; // release: pairs with the acquire of who reads the events
};

static inline void record(struct recorder *recorder, enum event_kind kind, uint32_t key,
                          uint64_t value)
{
    const size_t count = atomic_load_explicit(&recorder->count, memory_order_relaxed);

    if (count == recorder->capacity)
        return;
    recorder->events[count] = (struct event){.kind = kind, .key = key, .value = value};
    atomic_store_explicit(&recorder->count, count + 1, memory_order_release);
}

// Whether there is room for `events` more.
static inline bool recorder_has_room(struct recorder *recorder, size_t events)
{
    return recorder->capacity - atomic_load_explicit(&recorder->count, memory_order_relaxed) >=
           events;
}

static inline uint64_t recorder_now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void record_begin(struct recorder *recorder, enum level level)
{
    record(recorder, EVENT_BEGIN, level, recorder_now_ns());
}

static inline void record_end(struct recorder *recorder, enum event_kind outcome, uint64_t ts)
{
    const uint64_t now = recorder_now_ns();

    record(recorder, outcome, 0, ts);
    record(recorder, EVENT_END, 0, now);
}

#endif

#include "isolation/history.h"

#include <inttypes.h>
#include <string.h>

#define SAVEPOINTS_MAX 16

// Reading one thread's events.
struct reading {
    struct history *history;
    struct findings *findings;
    uint32_t thread;
    uint32_t number;
    bool is_open; // a transaction is being read
    struct {
        VECTOR(struct event);
    } items;
    struct {
        size_t write_count; // at that time
        size_t counted;
    } savepoints[SAVEPOINTS_MAX];
    // By key: one more than the index of the open transaction's read of it, if that is not
    // below the transaction's first.
    struct {
        VECTOR(size_t);
    } last_read;
};

static struct txn *open_txn(const struct reading *reading)
{
    return &reading->history->txns.at[reading->history->txns.count - 1];
}

struct txn_words txn_in_words(const struct history *history, size_t txn)
{
    static const char *const levels[] = {"serializable", "snapshot", "read-only"};
    static const char *const outcomes[] = {", aborted", "", ", outcome unknown"};
    const struct txn *t = &history->txns.at[txn];
    struct txn_words words;

    (void)snprintf(words.text, sizeof words.text, "T%zu (thread %u, number %u, %s%s)", txn,
                   t->thread, t->number, levels[t->level], outcomes[t->outcome]);
    return words;
}

static void contradicts(const struct reading *reading, const struct event *event, const char *how)
{
    findings_add(reading->findings, ANOMALY_INTERNAL, "%s, key %u, value %" PRIx64 ": %s",
                 txn_in_words(reading->history, reading->history->txns.count - 1).text, event->key,
                 event->value, how);
}

// --- begin and end ---

static void settle_fates(const struct history *history, const struct txn *txn)
{
    for (size_t i = txn->write_count; i-- > 0;) {
        struct txn_write *write = &history->writes.at[txn->first_write + i];

        for (size_t j = i + 1; j < txn->write_count && write->fate == FATE_FINAL; j++) {
            const struct txn_write *later = &history->writes.at[txn->first_write + j];

            if (later->key == write->key && later->fate != FATE_UNDONE)
                write->fate = FATE_INTERMEDIATE;
        }
    }
}

static void finish(struct reading *reading, uint64_t end_ns)
{
    if (!reading->is_open)
        return;
    reading->is_open = false;
    open_txn(reading)->end_ns = end_ns;
    settle_fates(reading->history, open_txn(reading));
}

// A transaction whose end is missing ended with its process: before the next one began.
static void begin(struct reading *reading, const struct event *event)
{
    struct history *history = reading->history;

    finish(reading, event->value);
    reading->is_open = true;
    reading->items.count = 0;
    VECTOR_PUSH(&history->txns, (struct txn){.thread = reading->thread,
                                             .number = reading->number++,
                                             .level = (enum level)event->key,
                                             .outcome = OUTCOME_ABORTED,
                                             .begin_ns = event->value,
                                             .end_ns = UINT64_MAX,
                                             .first_read = history->reads.count,
                                             .first_write = history->writes.count});
}

// --- writes ---

static void add_write(struct reading *reading, const struct event *event)
{
    VECTOR_PUSH(&reading->history->writes, (struct txn_write){
                                               .key = event->key,
                                               .is_append = event->kind == EVENT_APPEND,
                                               .fate = FATE_FINAL,
                                               .value = event->value,
                                               .txn = reading->history->txns.count - 1,
                                           });
    open_txn(reading)->write_count++;
}

static void roll_back_to(const struct reading *reading, uint64_t savepoint)
{
    const struct txn *txn = open_txn(reading);

    savepoint %= SAVEPOINTS_MAX;
    for (size_t i = reading->savepoints[savepoint].write_count; i < txn->write_count; i++)
        reading->history->writes.at[txn->first_write + i].fate = FATE_UNDONE;
    reading->history->counted.count = reading->savepoints[savepoint].counted;
}

// The transaction's own write of `key` before write number `before`; NULL when there is none.
static const struct txn_write *own_write(const struct reading *reading, uint32_t key, size_t before)
{
    const struct txn *txn = open_txn(reading);

    for (size_t i = before; i-- > 0;) {
        const struct txn_write *write = &reading->history->writes.at[txn->first_write + i];

        if (write->key == key && write->fate != FATE_UNDONE)
            return write;
    }
    return NULL;
}

// --- reads ---

static size_t *last_read(struct reading *reading, uint32_t key)
{
    while (reading->last_read.count <= key)
        VECTOR_PUSH(&reading->last_read, 0);
    return &reading->last_read.at[key];
}

// The transaction's earlier read of `key`, or NULL.
static const struct txn_read *earlier_read(struct reading *reading, uint32_t key)
{
    const size_t index = *last_read(reading, key);

    return index > open_txn(reading)->first_read ? &reading->history->reads.at[index - 1] : NULL;
}

static void add_read(struct reading *reading, const struct txn_read *read)
{
    VECTOR_PUSH(&reading->history->reads, *read);
    *last_read(reading, read->key) = reading->history->reads.count;
    open_txn(reading)->read_count++;
}

static void read_register(struct reading *reading, const struct event *event, bool is_predicate)
{
    const struct txn_write *own = own_write(reading, event->key, open_txn(reading)->write_count);
    const struct txn_read *earlier = earlier_read(reading, event->key);

    if (own != NULL && own->value != event->value)
        contradicts(reading, event, "it does not read its own write");
    else if (own == NULL && earlier != NULL && earlier->value != event->value)
        contradicts(reading, event, "it read another value before");
    else if (own == NULL && earlier == NULL)
        add_read(reading, &(struct txn_read){
                              .key = event->key,
                              .is_predicate = is_predicate,
                              .value = event->value,
                          });
}

static int compare_items(const void *a, const void *b)
{
    const struct event *first = a;
    const struct event *second = b;

    return (first->key > second->key) - (first->key < second->key);
}

static void read_range(struct reading *reading, const struct event *event)
{
    const struct event *item = reading->items.at;
    size_t left = reading->items.count;

    if (left > 0)
        qsort(reading->items.at, left, sizeof *item, compare_items);
    for (uint64_t key = event->key; key < event->value; key++) {
        struct event read = {.kind = EVENT_READ, .key = (uint32_t)key, .value = 0};

        if (left > 0 && item->key == key) {
            read.value = item->value;
            item++;
            left--;
        }
        read_register(reading, &read, true);
    }
    if (left > 0)
        contradicts(reading, item, "a scan shows it twice, or out of bounds");
    reading->items.count = 0;
}

// How many of the list's last elements are the transaction's own, which they must be in order.
static size_t own_tail(const struct reading *reading, const struct event *event)
{
    const struct txn *txn = open_txn(reading);
    size_t before = txn->write_count;
    size_t size = reading->items.count;
    const struct txn_write *own;

    while ((own = own_write(reading, event->key, before)) != NULL) {
        if (size == 0 || reading->items.at[size - 1].value != own->value) {
            contradicts(reading, event, "a list lacks what it appended itself");
            break;
        }
        size--;
        before = (size_t)(own - &reading->history->writes.at[txn->first_write]);
    }
    return reading->items.count - size;
}

static bool is_same_list(const struct reading *reading, const struct txn_read *read, size_t size)
{
    if (read->size != size)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (reading->history->elements.at[read->first + i] != reading->items.at[i].value)
            return false;
    }
    return true;
}

static void read_list(struct reading *reading, const struct event *event)
{
    struct history *history = reading->history;
    const size_t size = reading->items.count - own_tail(reading, event);
    const struct txn_read *earlier = earlier_read(reading, event->key);

    if (earlier != NULL) {
        if (!is_same_list(reading, earlier, size))
            contradicts(reading, event, "it read another list before");
    } else {
        add_read(reading, &(struct txn_read){.key = event->key,
                                             .is_list = true,
                                             .first = history->elements.count,
                                             .size = size});
        for (size_t i = 0; i < size; i++)
            VECTOR_PUSH(&history->elements, reading->items.at[i].value);
    }
    reading->items.count = 0;
}

// --- events ---

static void take_in_txn(struct reading *reading, const struct event *event)
{
    struct txn *txn = open_txn(reading);

    switch ((enum event_kind)event->kind) {
    case EVENT_READ_TS:
        txn->read_ts = event->value;
        break;
    case EVENT_READ:
        read_register(reading, event, false);
        break;
    case EVENT_ITEM:
        VECTOR_PUSH(&reading->items, *event);
        break;
    case EVENT_SCAN:
        read_range(reading, event);
        break;
    case EVENT_READ_LIST:
        read_list(reading, event);
        break;
    case EVENT_WRITE:
    case EVENT_APPEND:
        add_write(reading, event);
        break;
    case EVENT_EXPECTED:
        add_read(reading, &(struct txn_read){.key = event->key, .value = event->value});
        break;
    case EVENT_SAVEPOINT:
        reading->savepoints[event->value % SAVEPOINTS_MAX].write_count = txn->write_count;
        reading->savepoints[event->value % SAVEPOINTS_MAX].counted =
            reading->history->counted.count;
        break;
    case EVENT_ROLLBACK_TO:
        roll_back_to(reading, event->value);
        break;
    case EVENT_COMMITTING:
        txn->outcome = OUTCOME_UNKNOWN;
        break;
    case EVENT_COMMITTED:
        txn->outcome = OUTCOME_COMMITTED;
        txn->commit_ts = event->value;
        break;
    case EVENT_ABORTED:
        txn->outcome = OUTCOME_ABORTED;
        break;
    case EVENT_COUNTED:
        VECTOR_PUSH(&reading->history->counted,
                    (struct counted){.key = event->key,
                                     .value = event->value,
                                     .txn = reading->history->txns.count - 1});
        break;
    case EVENT_END:
        finish(reading, event->value);
        break;
    case EVENT_BEGIN:
    case EVENT_SEEN_TS:
        break;
    }
}

static void note_key(struct history *history, const struct event *event)
{
    uint32_t limit = event->key + 1;

    if (event->kind == EVENT_SCAN)
        limit = (uint32_t)event->value;
    if (event->kind != EVENT_BEGIN && limit > history->key_limit)
        history->key_limit = limit;
}

void history_read(struct history *history, const struct recorder *recorder, uint32_t thread,
                  struct findings *findings)
{
    const size_t count = atomic_load_explicit(&recorder->count, memory_order_acquire);
    struct reading reading = {.history = history, .findings = findings, .thread = thread};

    for (size_t i = 0; i < count; i++) {
        const struct event *event = &recorder->events[i];

        note_key(history, event);
        if (event->kind == EVENT_BEGIN)
            begin(&reading, event);
        else if (event->kind == EVENT_SEEN_TS && i + 1 < count &&
                 recorder->events[i + 1].kind == EVENT_SEEN_TS)
            VECTOR_PUSH(&history->seen, (struct seen_ts){.key = event->key,
                                                         .value = event->value,
                                                         .ts = recorder->events[++i].value});
        else if (reading.is_open)
            take_in_txn(&reading, event);
    }
    finish(&reading, UINT64_MAX);
    free(reading.items.at);
    free(reading.last_read.at);
}

void history_release(struct history *history)
{
    free(history->txns.at);
    free(history->reads.at);
    free(history->writes.at);
    free(history->elements.at);
    free(history->counted.at);
    free(history->seen.at);
    free(history->write_slots);
    *history = (struct history){0};
}

// --- who wrote a value ---

static size_t first_slot(const struct history *history, uint32_t key, uint64_t value)
{
    uint64_t mixed = (value ^ ((uint64_t)key << 40)) * 0x9E3779B97F4A7C15u;

    return (size_t)(mixed >> 20) & history->write_slot_mask;
}

void history_index(struct history *history, struct findings *findings)
{
    size_t slots = 64;

    while (slots < history->writes.count * 2)
        slots *= 2;
    free(history->write_slots);
    history->write_slots = vector_zeroed(slots, sizeof *history->write_slots);
    history->write_slot_mask = slots - 1;
    for (size_t i = 0; i < history->writes.count; i++) {
        const struct txn_write *write = &history->writes.at[i];
        size_t slot = first_slot(history, write->key, write->value);

        if (write->value == 0)
            continue;
        if (history_find_write(history, write->key, write->value) != NONE)
            findings_add(findings, ANOMALY_DUPLICATE, "%s writes %" PRIx64 " to key %u again",
                         txn_in_words(history, write->txn).text, write->value, write->key);
        while (history->write_slots[slot] != 0)
            slot = (slot + 1) & history->write_slot_mask;
        history->write_slots[slot] = i + 1;
    }
}

size_t history_find_write(const struct history *history, uint32_t key, uint64_t value)
{
    size_t slot = first_slot(history, key, value);

    while (history->write_slots[slot] != 0) {
        const size_t index = history->write_slots[slot] - 1;

        if (history->writes.at[index].key == key && history->writes.at[index].value == value)
            return index;
        slot = (slot + 1) & history->write_slot_mask;
    }
    return NONE;
}

#include "isolation/linear.h"

#include <inttypes.h>

// One transaction that wrote or read `value`.
struct access {
    uint32_t key;
    bool is_write;
    uint64_t value; // 0: as it was at first
    uint64_t begin_ns;
    uint64_t end_ns;
};

struct accesses {
    VECTOR(struct access);
};

// The value was there from `first_end` to `last_begin` at least, if that is forward; else it
// suffices that it was at one time between the two.
struct zone {
    uint64_t value;
    uint64_t first_end;
    uint64_t last_begin;
};

struct zones {
    VECTOR(struct zone);
};

static bool is_forward(const struct zone *zone)
{
    return zone->first_end < zone->last_begin;
}

// --- collecting ---

static bool *find_deleted_keys(const struct history *history)
{
    bool *is_deleted = vector_zeroed(history->key_limit, sizeof *is_deleted);

    for (size_t w = 0; w < history->writes.count; w++) {
        if (history->writes.at[w].value == 0)
            is_deleted[history->writes.at[w].key] = true;
    }
    return is_deleted;
}

static void add_access(struct accesses *accesses, const struct txn *txn, uint32_t key,
                       uint64_t value, bool is_write)
{
    VECTOR_PUSH(accesses, (struct access){.key = key,
                                          .is_write = is_write,
                                          .value = value,
                                          .begin_ns = txn->begin_ns,
                                          .end_ns = txn->end_ns});
}

static void collect(const struct history *history, struct accesses *accesses)
{
    bool *is_deleted = find_deleted_keys(history);

    for (size_t t = 0; t < history->txns.count; t++) {
        const struct txn *txn = &history->txns.at[t];

        for (size_t i = 0; i < txn->read_count; i++) {
            const struct txn_read *read = &history->reads.at[txn->first_read + i];

            if (!read->is_list && !is_deleted[read->key])
                add_access(accesses, txn, read->key, read->value, false);
        }
        for (size_t i = 0; i < txn->write_count; i++) {
            const struct txn_write *write = &history->writes.at[txn->first_write + i];

            if (!write->is_append && write->fate == FATE_FINAL && !is_deleted[write->key] &&
                txn->outcome == OUTCOME_COMMITTED)
                add_access(accesses, txn, write->key, write->value, true);
        }
    }
    free(is_deleted);
}

// By key, then value; the write first.
static int compare_accesses(const void *a, const void *b)
{
    const struct access *first = a;
    const struct access *second = b;

    if (first->key != second->key)
        return first->key < second->key ? -1 : 1;
    if (first->value != second->value)
        return first->value < second->value ? -1 : 1;
    return second->is_write - first->is_write;
}

// --- zones ---

// The zone of the accesses to one value.
static struct zone zone_of(const struct access *accesses, size_t count, struct findings *findings)
{
    const bool is_initial = accesses->value == 0;
    struct zone zone = {.value = accesses->value, .first_end = is_initial ? 0 : UINT64_MAX};

    for (size_t i = 0; i < count; i++) {
        const struct access *access = &accesses[i];

        if (access->end_ns < zone.first_end)
            zone.first_end = access->end_ns;
        if (access->begin_ns > zone.last_begin)
            zone.last_begin = access->begin_ns;
        if (!is_initial && access->end_ns < accesses->begin_ns)
            findings_add(findings, ANOMALY_NOT_LINEAR,
                         "key %u was %" PRIx64 " before that was written", access->key,
                         access->value);
    }
    return zone;
}

// Forward zones first, by their beginning.
static int compare_zones(const void *a, const void *b)
{
    const struct zone *first = a;
    const struct zone *second = b;

    if (is_forward(first) != is_forward(second))
        return is_forward(first) ? -1 : 1;
    return (first->first_end > second->first_end) - (first->first_end < second->first_end);
}

// The last of `count` forward zones that begins before `ns`; NULL when there is none.
static const struct zone *last_before(const struct zone *zones, size_t count, uint64_t ns)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (zones[middle].first_end < ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? NULL : &zones[low - 1];
}

static void tell(uint32_t key, const struct zone *zone, const struct zone *other,
                 struct findings *findings)
{
    findings_add(findings, ANOMALY_NOT_LINEAR, "key %u was %" PRIx64 " while it was %" PRIx64, key,
                 zone->value, other->value);
}

// Two values that were there for sure do not overlap; one that had to be there at some time was
// not covered by one that was.
static void check_key(uint32_t key, struct zones *zones, struct findings *findings)
{
    size_t forward = 0;

    qsort(zones->at, zones->count, sizeof *zones->at, compare_zones);
    while (forward < zones->count && is_forward(&zones->at[forward]))
        forward++;
    for (size_t i = 1; i < forward; i++) {
        if (zones->at[i].first_end < zones->at[i - 1].last_begin)
            tell(key, &zones->at[i], &zones->at[i - 1], findings);
    }
    for (size_t i = forward; i < zones->count; i++) {
        const struct zone *zone = &zones->at[i];
        const struct zone *other = last_before(zones->at, forward, zone->last_begin);

        if (other != NULL && zone->first_end < other->last_begin)
            tell(key, zone, other, findings);
    }
}

void linear_check_registers(const struct history *history, struct findings *findings)
{
    struct accesses accesses = {0};
    struct zones zones = {0};

    collect(history, &accesses);
    if (accesses.count > 0)
        qsort(accesses.at, accesses.count, sizeof *accesses.at, compare_accesses);
    for (size_t i = 0; i < accesses.count;) {
        const struct access *first = &accesses.at[i];
        size_t end = i;

        while (end < accesses.count && accesses.at[end].key == first->key &&
               accesses.at[end].value == first->value)
            end++;
        // Who never was written is the business of dependency_infer().
        if (first->is_write || first->value == 0)
            VECTOR_PUSH(&zones, zone_of(first, end - i, findings));
        i = end;
        if (i == accesses.count || accesses.at[i].key != first->key) {
            if (zones.count > 0)
                check_key(first->key, &zones, findings);
            zones.count = 0;
        }
    }
    free(accesses.at);
    free(zones.at);
}

// --- counters ---

struct count_step {
    uint32_t key;
    uint64_t value;
    const struct txn *txn;
};

static int compare_steps(const void *a, const void *b)
{
    const struct count_step *first = a;
    const struct count_step *second = b;

    if (first->key != second->key)
        return first->key < second->key ? -1 : 1;
    return (first->value > second->value) - (first->value < second->value);
}

void linear_check_counters(const struct history *history, struct findings *findings)
{
    struct {
        VECTOR(struct count_step);
    } steps = {0};
    uint64_t latest_begin = 0;

    for (size_t i = 0; i < history->counted.count; i++) {
        const struct counted *counted = &history->counted.at[i];
        const struct txn *txn = &history->txns.at[counted->txn];

        if (txn->outcome == OUTCOME_COMMITTED)
            VECTOR_PUSH(&steps, (struct count_step){counted->key, counted->value, txn});
    }
    if (steps.count > 0)
        qsort(steps.at, steps.count, sizeof *steps.at, compare_steps);
    for (size_t i = 0; i < steps.count; i++) {
        const struct count_step *step = &steps.at[i];

        if (i == 0 || step[-1].key != step->key)
            latest_begin = 0;
        else if (step[-1].value == step->value)
            findings_add(findings, ANOMALY_DUPLICATE,
                         "counter %u was moved on to %" PRIu64 " twice", step->key, step->value);
        if (step->txn->end_ns < latest_begin)
            findings_add(findings, ANOMALY_NOT_LINEAR,
                         "counter %u was %" PRIu64 " before it was less", step->key, step->value);
        if (step->txn->begin_ns > latest_begin)
            latest_begin = step->txn->begin_ns;
    }
    free(steps.at);
}

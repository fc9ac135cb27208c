#include "crash_history.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random.h"

#define VALUE_SIZE_MAX (64u << 10)
#define SHIFT_MAX      4096

// --- values ---

// Bytes of which every value is a stretch: to make or check one costs next to nothing.
static const uint8_t *value_bytes(void)
{
    static uint8_t bytes[VALUE_SIZE_MAX + SHIFT_MAX];

    if (bytes[0] == 0) {
        struct random random = {.state = 1};

        random_fill(&random, bytes, sizeof bytes);
        bytes[0] = 1;
    }
    return bytes;
}

static size_t shift_of(unsigned tag, unsigned key)
{
    return (tag * 31 + key * 7) % SHIFT_MAX;
}

lsm_slice crash_value(unsigned tag, unsigned key, size_t size)
{
    static _Thread_local uint8_t value[VALUE_SIZE_MAX];

    memcpy(value, value_bytes() + shift_of(tag, key), size);
    memcpy(value, &tag, sizeof tag);
    memcpy(value + sizeof tag, &key, sizeof key);
    return (lsm_slice){value, size};
}

bool crash_value_is(lsm_slice value, unsigned tag, unsigned key)
{
    const unsigned head[2] = {tag, key};

    return value.size >= VALUE_SIZE_MIN && memcmp(value.data, head, sizeof head) == 0 &&
           memcmp((const uint8_t *)value.data + sizeof head,
                  value_bytes() + shift_of(tag, key) + sizeof head, value.size - sizeof head) == 0;
}

unsigned crash_value_tag(lsm_slice value)
{
    unsigned tag = 0;

    if (value.size >= VALUE_SIZE_MIN)
        memcpy(&tag, value.data, sizeof tag);
    return tag;
}

// --- commits ---

struct crash_commit *history_start(struct history *h, const struct crash_commit *commit)
{
    struct crash_commit *started;

    if (h->started == COMMITS_MAX)
        return NULL;
    started = &h->commits[++h->started];
    *started = *commit;
    started->tag = ++h->tags;
    return started;
}

unsigned history_number(const struct history *h, unsigned tag)
{
    for (unsigned number = h->started; number > 0; number--) {
        if (h->commits[number].tag == tag)
            return number;
    }
    return 0;
}

static int compare_ts(const void *a, const void *b)
{
    const uint64_t left = ((const struct crash_commit *)a)->ts;
    const uint64_t right = ((const struct crash_commit *)b)->ts;

    return (left > right) - (left < right);
}

bool history_put_in_order(struct history *h, const struct history *last)
{
    const struct history then = *h;
    unsigned count = 0;
    bool has_gap = false; // a commit that was not started then

    for (unsigned i = 1; i <= last->started; i++) {
        if (last->commits[i].state != HAS_FAILED)
            h->commits[++count] = last->commits[i];
    }
    qsort(&h->commits[1], count, sizeof h->commits[1], compare_ts);
    h->tags = last->tags;
    h->started = 0;
    h->acknowledged = 0;
    h->durable = 0;
    for (unsigned number = 1; number <= count; number++) {
        const unsigned start = history_number(&then, h->commits[number].tag);
        const enum commit_state state = then.commits[start].state;

        has_gap |= start == 0;
        if (!has_gap)
            h->started = number;
        if (start != 0 && state >= IS_ACKNOWLEDGED)
            h->acknowledged = number;
        if (start != 0 && state == IS_DURABLE)
            h->durable = number;
    }
    return h->acknowledged <= h->started;
}

void history_print(const struct history *h)
{
    static const char *const states[] = {"started", "failed", "acknowledged", "durable"};

    for (unsigned number = 1; number <= h->started; number++) {
        const struct crash_commit *c = &h->commits[number];

        fprintf(stderr, "    commit %u at %" PRIu64 ", %s, generation %u:", c->tag, c->ts,
                states[c->state], c->generation);
        for (unsigned i = 0; i < c->count; i++)
            fprintf(stderr, " %s%s %u size %u", c->writes[i].keyspace == IN_OTHER ? "other " : "",
                    c->writes[i].is_delete ? "delete" : "put", c->writes[i].key, c->writes[i].size);
        fprintf(stderr, "\n");
    }
}

// --- prefixes ---

// The writes to one key, the newest first.
struct key_writes {
    unsigned numbers[COMMITS_MAX];
    bool is_delete[COMMITS_MAX];
    unsigned count;
};

static void gather_writes(const struct history *h, unsigned keyspace, unsigned key, unsigned prefix,
                          struct key_writes *out)
{
    out->count = 0;
    for (unsigned number = prefix; number > 0; number--) {
        const struct crash_commit *c = &h->commits[number];

        if (keyspace == IN_OTHER && c->generation != h->generation)
            continue;
        for (unsigned i = 0; i < c->count; i++) {
            if (c->writes[i].keyspace != keyspace || c->writes[i].key != key)
                continue;
            out->numbers[out->count] = number;
            out->is_delete[out->count++] = c->writes[i].is_delete;
        }
    }
}

// Whether the versions found are those that must be there and, of those that a merge may
// have dropped, some: what is behind a deletion may go in any order, but when the newest
// deletion itself has gone nothing behind it may be left.
static bool versions_match(const struct found_version *found, unsigned found_count,
                           const struct key_writes *writes, unsigned versions_kept)
{
    bool is_optional = false; // what comes is behind a deletion
    bool has_ended = false;   // that is gone
    unsigned at = 0;

    for (unsigned i = 0; i < writes->count; i++) {
        const bool is_delete = writes->is_delete[i];
        const unsigned number = is_delete ? 0 : writes->numbers[i];

        if (at < found_count && found[at].number == number && !has_ended)
            at++;
        else if (is_delete && !is_optional)
            has_ended = i < versions_kept;
        else if (!is_optional && i < versions_kept)
            return false;
        is_optional |= is_delete;
    }
    return at == found_count;
}

static bool is_prefix(const struct history *h, const struct found *found, unsigned prefix,
                      unsigned versions_kept)
{
    struct key_writes writes;

    for (unsigned keyspace = 0; keyspace < CRASH_KEYSPACES; keyspace++) {
        if (keyspace == IN_OTHER && !found->has_other)
            continue;
        for (unsigned key = 0; key < CRASH_KEYS; key++) {
            gather_writes(h, keyspace, key, prefix, &writes);
            if (!versions_match(found->versions[keyspace][key], found->counts[keyspace][key],
                                &writes, versions_kept))
                return false;
        }
    }
    return true;
}

bool history_find_prefix(const struct history *h, const struct found *found, unsigned versions_kept,
                         unsigned *prefix)
{
    for (unsigned count = h->started + 1; count-- > h->durable;) {
        if (is_prefix(h, found, count, versions_kept)) {
            *prefix = count;
            return true;
        }
    }
    return false;
}

// --- order ---

bool found_is_ordered(const struct found *found, unsigned started)
{
    uint64_t ts_of[COMMITS_MAX + 1] = {0};
    uint64_t last = 0;

    for (unsigned keyspace = 0; keyspace < CRASH_KEYSPACES; keyspace++) {
        for (unsigned key = 0; key < CRASH_KEYS; key++) {
            for (unsigned i = 0; i < found->counts[keyspace][key]; i++) {
                const struct found_version *v = &found->versions[keyspace][key][i];

                if (i > 0 && v->ts >= v[-1].ts)
                    return false;
                if (v->number == 0)
                    continue;
                if (ts_of[v->number] != 0 && ts_of[v->number] != v->ts)
                    return false;
                ts_of[v->number] = v->ts;
            }
        }
    }
    for (unsigned number = 1; number <= started; number++) {
        if (ts_of[number] == 0)
            continue;
        if (ts_of[number] <= last)
            return false;
        last = ts_of[number];
    }
    return true;
}

void history_settle(struct history *h, unsigned prefix, bool has_other)
{
    h->started = prefix;
    h->acknowledged = prefix;
    h->durable = prefix;
    h->other = has_other ? IS_PRESENT : IS_ABSENT;
}

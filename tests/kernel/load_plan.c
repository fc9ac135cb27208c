#include "kernel/load_plan.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "support/random.h"

#define TEMP_CYCLE 16 // attempts of the housekeeper from one create to the next

static_assert(sizeof(struct stamp) == STAMP_SIZE, "a stamp has no padding");

static uint32_t below(struct random *random, uint32_t limit)
{
    return (uint32_t)random_below(random, limit);
}

// Mostly small; some are separated from their keys; a few span many pages.
static uint32_t pick_size(struct random *random)
{
    const uint32_t dice = below(random, 200);

    if (dice == 0)
        return STAMP_SIZE + below(random, VALUE_SIZE_MAX - STAMP_SIZE);
    if (dice < 30)
        return 1000 + below(random, 9000);
    if (dice < 80)
        return 200 + below(random, 1000);
    return STAMP_SIZE + below(random, 200);
}

static void add_change(struct plan *plan, enum store store, uint32_t slot, uint32_t size)
{
    plan->changes[plan->change_count++] = (struct change){store, slot, size};
}

// Up to 8 changes; a slot may be changed twice, and the later one counts.
static void pick_changes(struct plan *plan, struct random *random)
{
    const uint32_t count = 1 + below(random, 8);

    for (uint32_t i = 0; i < count; i++) {
        const uint32_t slot = below(random, SLOTS);
        const uint32_t size = random_one_in(random, 4) ? 0 : pick_size(random);

        if (slot < PAIRS) {
            add_change(plan, STORE_MAIN, slot, size);
            add_change(plan, STORE_TWIN, slot, size);
        } else {
            add_change(plan, random_one_in(random, 2) ? STORE_MAIN : STORE_TWIN, slot, size);
        }
    }
}

static struct plan plan_of_writer(struct random *random, uint32_t thread)
{
    struct plan plan = {.kind = PLAN_BATCH};
    const uint32_t dice = below(random, 100);

    plan.is_sync = random_one_in(random, 3);
    plan.record_size = STAMP_SIZE + below(random, 40);
    if (dice == 0) {
        plan.kind = PLAN_SYNC;
    } else if (dice < 30) {
        plan.kind = PLAN_PUT;
        plan.is_conditional = random_one_in(random, 4);
        plan.record_size = pick_size(random);
    } else {
        pick_changes(&plan, random);
    }
    if (dice >= 65) {
        plan.kind = PLAN_TXN;
        plan.is_serializable = random_one_in(random, 2);
        plan.counter_count = below(random, 3);
        plan.counter = below(random, COUNTERS);
    }
    // One thread does not wait for its commits, and so never for all of them either.
    if (thread == 1) {
        plan.is_async = plan.kind == PLAN_TXN;
        if (plan.kind == PLAN_SYNC) {
            plan.kind = PLAN_BATCH;
            pick_changes(&plan, random);
        }
    }
    return plan;
}

static struct plan plan_of_housekeeper(struct random *random, uint32_t number)
{
    struct plan plan = {.kind = PLAN_BATCH, .record_size = STAMP_SIZE};

    switch (number % TEMP_CYCLE) {
    case 0:
        plan.kind = PLAN_CREATE;
        return plan;
    case 5:
        plan.kind = PLAN_FLUSH;
        return plan;
    case 9:
        plan.kind = PLAN_COMPACT;
        return plan;
    case 12:
        plan.kind = PLAN_SYNC;
        return plan;
    case TEMP_CYCLE - 1:
        plan.kind = PLAN_DROP;
        return plan;
    default:
        break;
    }
    plan.is_sync = random_one_in(random, 2);
    for (uint32_t i = 1 + below(random, 6); i > 0; i--)
        add_change(&plan, STORE_TEMP, below(random, SLOTS),
                   random_one_in(random, 4) ? 0 : pick_size(random));
    return plan;
}

struct plan plan_of(uint64_t seed, struct attempt_id id, uint32_t threads)
{
    struct random random = {.state = seed ^ ((uint64_t)id.life << 40) ^
                                     ((uint64_t)id.thread << 32) ^ id.number};

    random.state = random_next(&random);
    if (id.thread == 0 && id.number == 0)
        return (struct plan){.kind = PLAN_TRIM, .record_size = STAMP_SIZE, .is_sync = true};
    if (id.thread == threads - 1)
        return plan_of_housekeeper(&random, id.number);
    return plan_of_writer(&random, id.thread);
}

bool plan_commits(const struct plan *plan)
{
    return plan->kind <= PLAN_TRIM;
}

// --- keys ---

uint32_t temp_generation(uint32_t number)
{
    return number / TEMP_CYCLE;
}

// `length` is snprintf()'s answer.
static lsm_slice text_key(const char *text, int length)
{
    return (lsm_slice){text, (size_t)length};
}

lsm_slice temp_name(uint32_t life, uint32_t generation, char text[KEY_TEXT_MAX])
{
    return text_key(text, snprintf(text, KEY_TEXT_MAX, "temp-%u-%u", life, generation));
}

bool temp_parse(const char *name, uint32_t *life, uint32_t *generation)
{
    return sscanf(name, "temp-%u-%u", life, generation) == 2;
}

// Zero-terminates `key`, so that sscanf() can read it.
static bool key_text(lsm_slice key, char text[KEY_TEXT_MAX])
{
    if (key.size >= KEY_TEXT_MAX)
        return false;
    memcpy(text, key.data, key.size);
    text[key.size] = '\0';
    return true;
}

lsm_slice slot_key(uint32_t slot, char text[KEY_TEXT_MAX])
{
    // Keys of several lengths, with long common prefixes.
    return text_key(
        text, snprintf(text, KEY_TEXT_MAX, "slot/%.*s%04u", (int)(slot % 7), "aaaaaaa", slot));
}

bool slot_parse(lsm_slice key, uint32_t *slot)
{
    char text[KEY_TEXT_MAX], again[KEY_TEXT_MAX];

    if (!key_text(key, text) || key.size < 9 || sscanf(text + key.size - 4, "%u", slot) != 1 ||
        *slot >= SLOTS)
        return false;
    (void)slot_key(*slot, again);
    return strcmp(text, again) == 0;
}

lsm_slice counter_key(uint32_t counter, char text[KEY_TEXT_MAX])
{
    return text_key(text, snprintf(text, KEY_TEXT_MAX, "counter/%u", counter));
}

bool counter_parse(lsm_slice key, uint32_t *counter)
{
    char text[KEY_TEXT_MAX];

    return key_text(key, text) && sscanf(text, "counter/%u", counter) == 1 && *counter < COUNTERS;
}

lsm_slice journal_key(struct attempt_id id, char text[KEY_TEXT_MAX])
{
    return text_key(text,
                    snprintf(text, KEY_TEXT_MAX, "%08u/%u/%08u", id.life, id.thread, id.number));
}

bool journal_parse(lsm_slice key, struct attempt_id *id)
{
    char text[KEY_TEXT_MAX];

    return key_text(key, text) &&
           sscanf(text, "%u/%u/%u", &id->life, &id->thread, &id->number) == 3 &&
           id->thread < THREADS_MAX;
}

// --- values ---

lsm_slice value_make(struct stamp stamp, uint8_t *bytes)
{
    struct random random = {
        .state = ((uint64_t)stamp.id.life << 48) ^ ((uint64_t)stamp.id.thread << 44) ^
                 ((uint64_t)stamp.id.number << 20) ^ ((uint64_t)stamp.store << 16) ^ stamp.slot};
    uint32_t at = STAMP_SIZE;

    memcpy(bytes, &stamp, STAMP_SIZE);
    for (; at < stamp.size; at += sizeof(uint64_t)) {
        const uint64_t word = random_next(&random);
        const uint32_t left = stamp.size - at;

        memcpy(bytes + at, &word, left < sizeof word ? left : sizeof word);
    }
    return (lsm_slice){bytes, stamp.size};
}

bool value_is_whole(lsm_slice value, struct stamp *stamp)
{
    static _Thread_local uint8_t bytes[VALUE_SIZE_MAX];

    if (value.size < STAMP_SIZE || value.size > sizeof bytes)
        return false;
    memcpy(stamp, value.data, STAMP_SIZE);
    if (stamp->size != value.size)
        return false;
    return memcmp(value_make(*stamp, bytes).data, value.data, value.size) == 0;
}

bool stamps_equal(struct stamp a, struct stamp b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

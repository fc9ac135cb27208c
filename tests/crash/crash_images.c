#include "crash_images.h"

#include <stdlib.h>

#include "support/sim_bytes.h"

#define EACH_MAX     10 // of the numbered survivals
#define TORN_SAMPLES 6
#define RANDOM_SEEDS 6
#define PREFIX_SEEDS 2

// --- moments ---

void moments_add(struct moments *moments, struct sim *sim, enum sim_op op, unsigned kind)
{
    struct moment *moment = APPEND(moments->items, moments->count, moments->capacity);

    *moment = (struct moment){
        .history = *moments->history, .call = moments->count, .op = op, .kind = kind};
    if (sim_clone(sim, &moment->disk) != LSM_OK)
        abort();
}

static void watch_call(void *ctx, struct sim *sim, const struct sim_call *call)
{
    if (call->changes_disk)
        moments_add(ctx, sim, call->op, call->kind);
}

void moments_watch(struct moments *moments, struct sim *sim, const struct history *history)
{
    moments->history = history;
    sim_set_call_hook(sim, watch_call, moments);
}

void moments_unwatch(struct sim *sim)
{
    sim_set_call_hook(sim, NULL, NULL);
}

void moments_add_end(struct moments *moments, struct sim *sim)
{
    moments_add(moments, sim, SIM_OP_CLOSE, SIM_DIRECTORY);
}

void moments_release(struct moments *moments)
{
    for (size_t i = 0; i < moments->count; i++)
        sim_free(moments->items[i].disk);
    free(moments->items);
    *moments = (struct moments){0};
}

// --- survivals ---

struct survival_list {
    struct survival *items;
    size_t count;
};

static void add(struct survival_list *list, enum sim_survival kind, uint64_t number)
{
    list->items[list->count++] = (struct survival){kind, number};
}

// Each number from `first` to `end` - 1, or a sample of them.
static void add_each(struct survival_list *list, enum sim_survival kind, uint64_t first,
                     uint64_t end, uint64_t most, struct random *random)
{
    const uint64_t count = end > first ? end - first : 0;

    for (uint64_t i = 0; i < count && i < most; i++)
        add(list, kind, count <= most ? first + i : first + random_below(random, count));
}

size_t moment_survivals(const struct moment *moment, struct random *random,
                        struct survival out[SURVIVALS_MAX])
{
    const struct sim_pending pending = sim_pending(moment->disk);
    const uint64_t n = pending.operations;
    struct survival_list list = {.items = out};

    add(&list, SIM_NONE, 0);
    if (n == 0)
        return list.count;
    add(&list, SIM_ALL, 0);
    add(&list, SIM_NAMES, 0);
    add(&list, SIM_NAMES, 1);
    add_each(&list, SIM_FIRST, 1, n, EACH_MAX, random);
    add_each(&list, SIM_ONLY, 0, n, EACH_MAX, random);
    add_each(&list, SIM_WITHOUT, 0, n, EACH_MAX, random);
    add_each(&list, SIM_BYTES, 0, pending.bytes, TORN_SAMPLES, random);
    for (unsigned i = 0; i < RANDOM_SEEDS; i++)
        add(&list, SIM_RANDOM, random_next(random));
    for (unsigned i = 0; n > 1 && i < PREFIX_SEEDS; i++)
        add(&list, SIM_PREFIX, random_next(random));
    return list.count;
}

static bool is_sync(enum sim_op op)
{
    return op == SIM_OP_SYNC || op == SIM_OP_DIR_SYNC;
}

// A call that is no sync adds what is pending at the end: every prefix but the whole was there
// before it. A sync leaves the whole as it was, and makes new prefixes of the rest.
size_t moments_new_survivals(const struct moments *moments, size_t index, struct random *random,
                             struct survival out[SURVIVALS_MAX])
{
    const struct moment *moment = &moments->items[index];
    const uint64_t n = sim_pending(moment->disk).operations;
    struct survival_list list = {.items = out};

    if (index == 0 || is_sync(moment[-1].op)) {
        add(&list, SIM_NONE, 0);
        add_each(&list, SIM_FIRST, 1, n, SURVIVALS_MAX - 3, random);
    } else if (moment[-1].op != SIM_OP_CLOSE) {
        add(&list, SIM_ALL, 0);
    }
    if (n > 0 && (is_sync(moment->op) || index + 1 == moments->count))
        add(&list, SIM_RANDOM, random_next(random));
    return list.count;
}

const char *survival_name(enum sim_survival kind)
{
    static const char *const names[SIM_SURVIVALS] = {
        [SIM_NONE] = "none",
        [SIM_ALL] = "all",
        [SIM_PREFIX] = "prefixes by file",
        [SIM_RANDOM] = "random",
        [SIM_FIRST] = "the first",
        [SIM_ONLY] = "only number",
        [SIM_WITHOUT] = "without number",
        [SIM_BYTES] = "torn after bytes",
        [SIM_NAMES] = "names",
    };

    return names[kind];
}

// --- sets of hashes ---

static uint64_t *slot_of(const struct hash_set *set, uint64_t hash)
{
    size_t i = (size_t)hash & (set->room - 1);

    while (set->items[i] != 0 && set->items[i] != hash)
        i = (i + 1) & (set->room - 1);
    return &set->items[i];
}

static void grow(struct hash_set *set)
{
    struct hash_set old = *set;

    set->room = old.room == 0 ? 1024 : old.room * 2;
    set->items = must_zeroed(set->room * sizeof *set->items);
    for (size_t i = 0; i < old.room; i++) {
        if (old.items[i] != 0)
            *slot_of(set, old.items[i]) = old.items[i];
    }
    free(old.items);
}

bool hash_set_add(struct hash_set *set, uint64_t hash)
{
    uint64_t *slot;

    hash += hash == 0; // 0 is an empty slot
    if (set->count * 2 >= set->room)
        grow(set);
    slot = slot_of(set, hash);
    if (*slot != 0)
        return false;
    *slot = hash;
    set->count++;
    return true;
}

void hash_set_clear(struct hash_set *set)
{
    free(set->items);
    *set = (struct hash_set){0};
}

// The last level is as large as it is; each level above it should hold 1/multiplier
// of the next. Level 0 merges into the *base level*: the one whose target does not
// exceed level_base_size any more. Levels between 0 and the base stay empty. So the
// tree above the last level takes about 1/(multiplier - 1) of it in space, however
// large the database is.
//
// The base level is never below a level that holds tables: what comes from level 0
// would be placed under older entries of its keys, and deleted keys would come back.

#include "compaction/level_targets.h"

struct shape {
    uint64_t base_size;
    uint64_t multiplier;
};

static struct shape shape_of(const struct engine_options *options)
{
    struct shape shape = {
        .base_size = atomic_load_explicit(&options->level_base_size, memory_order_relaxed),
        .multiplier = atomic_load_explicit(&options->level_multiplier, memory_order_relaxed),
    };

    if (shape.base_size == 0)
        shape.base_size = 1;
    if (shape.multiplier < 2)
        shape.multiplier = 2;
    return shape;
}

// Targets of levels 1 to last for levels that hold `held`. A target below one part of
// the base size means nothing and is raised to it.
static void targets_from_bottom(const struct shape *shape, const uint64_t *held, uint64_t *targets)
{
    uint64_t least = shape->base_size / shape->multiplier + 1;
    uint64_t target = shape->base_size;

    for (unsigned i = 1; i < LEVEL_COUNT; i++)
        target = held[i] > target ? held[i] : target;
    for (unsigned i = LEVEL_LAST; i >= 1; i--) {
        targets[i] = target > least ? target : least;
        target /= shape->multiplier;
    }
}

static unsigned base_level_of(const struct shape *shape, const struct version *version,
                              const uint64_t *targets)
{
    unsigned base = 1;

    while (base < LEVEL_LAST && version->levels[base].count == 0)
        base++;
    while (base > 1 && targets[base] > shape->base_size)
        base--;
    return base;
}

static double ratio(uint64_t part, uint64_t whole)
{
    return (double)part / (double)(whole == 0 ? 1 : whole);
}

void level_targets_compute(const struct version *version, const struct engine_options *options,
                           struct level_targets *out)
{
    struct shape shape = shape_of(options);
    uint64_t files[LEVEL_COUNT], values[LEVEL_COUNT], value_targets[LEVEL_COUNT];
    uint64_t trigger = atomic_load_explicit(&options->level0_trigger, memory_order_relaxed);

    *out = (struct level_targets){.base_level = 1};
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        files[i] = version->levels[i].bytes;
        values[i] = version->levels[i].referenced_bytes;
    }
    targets_from_bottom(&shape, files, out->bytes);
    targets_from_bottom(&shape, values, value_targets);
    out->base_level = base_level_of(&shape, version, out->bytes);
    for (unsigned i = 1; i < LEVEL_COUNT; i++) {
        if (i < out->base_level)
            out->bytes[i] = 0;
        if (i < LEVEL_LAST && version->levels[i].count != 0) {
            out->score[i] = ratio(files[i], out->bytes[i]);
            out->garbage_score[i] = ratio(values[i], value_targets[i]);
        }
    }
    out->score[LEVEL_LAST] = ratio(files[LEVEL_LAST], out->bytes[LEVEL_LAST]);
    out->score[0] = ratio(version->levels[0].count, trigger);
}

uint64_t compaction_debt(const struct version *version, const struct engine_options *options)
{
    struct level_targets targets;
    uint64_t debt = 0, arriving = 0;

    level_targets_compute(version, options, &targets);
    if (targets.score[0] >= 1.0) {
        arriving = version->levels[0].bytes;
        debt = arriving + version->levels[targets.base_level].bytes;
    }
    for (unsigned i = targets.base_level; i < LEVEL_LAST; i++) {
        uint64_t held = version->levels[i].bytes + arriving;
        uint64_t excess = held > targets.bytes[i] ? held - targets.bytes[i] : 0;

        // What is moved down is merged with its share of the level below.
        debt += excess + (uint64_t)((double)excess * ratio(version->levels[i + 1].bytes, held));
        arriving = excess;
    }
    return debt;
}

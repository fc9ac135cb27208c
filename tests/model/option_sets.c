// Sets of options under which every history must be the same.

#include "db/options.h"
#include "model/op_generator.h"
#include "model/op_variants.h"

#define SETTINGS_MAX 10

struct setting {
    const char *name;
    uint64_t value;
};

struct option_set {
    const char *name;
    struct setting settings[SETTINGS_MAX]; // up to one without a name
};

#define TINY_STORES                                                                                \
    {"memtable_size", 16 << 10}, {"table_size", 4 << 10}, {"level_base_size", 8 << 10},            \
    {                                                                                              \
        "level_multiplier", 2                                                                      \
    }

static const struct option_set sets[OPTION_SETS_NAMED] = {
    {"defaults", {{"memtable_size", 64 << 20}}},
    {"tiny stores", {TINY_STORES, {"block_size", 256}, {"level0_trigger", 1}}},
    {"every value in the log", {TINY_STORES, {"value_threshold", 0}}},
    {"every value in the tables", {TINY_STORES, {"value_threshold", 64 << 10}}},
    {"no compression", {{"compression", 0}, {"memtable_size", 64 << 10}, {"block_size", 256}}},
    {"compression everywhere",
     {TINY_STORES, {"compression", 9}, {"compression_upper", 1}, {"compressed_block_size", 512}}},
    {"written, not synced", {TINY_STORES, {"sync", LSM_SYNC_WRITTEN}}},
    {"versions kept", {TINY_STORES, {"versions_to_keep", 3}, {"block_size", 512}}},
    {"little history, small transactions",
     {{"conflict_history_size", 64 << 10},
      {"memtable_size", 64 << 10},
      {"txn_bytes_max", 1 << 20}}},
    {"tiny cache, few descriptors", {TINY_STORES, {"cache_size", 64 << 10}, {"open_files_max", 4}}},
    {"level 0 grows", {{"memtable_size", 8 << 10}, {"level0_trigger", 12}, {"block_size", 1024}}},
};

const char *option_set_name(uint32_t set)
{
    return set < OPTION_SETS_NAMED ? sets[set].name : "random";
}

static void add(struct op_list *list, uint32_t option, uint64_t value)
{
    struct op op = {.kind = OP_OPTION};

    op.field[F_N] = option;
    op.field[F_SIZE] = (uint32_t)value;
    op_list_add(list, &op);
}

// Around one of four options is drawn, small values more often than large ones.
static void add_random(struct op_list *list, struct random *random)
{
    for (uint32_t i = OPTION_SCHEDULE + 1; i < option_choice_count; i++) {
        const struct option_choice *choice = &option_choices[i];
        const uint64_t range = (choice->max - choice->min) >> random_below(random, 20);

        if (random_one_in(random, 3))
            add(list, i, choice->min + random_below(random, range + 1));
    }
}

void option_set_add(struct op_list *list, uint32_t set, struct random *random)
{
    add(list, OPTION_SCHEDULE, 1 + random_below(random, UINT32_MAX - 1));
    if (set >= OPTION_SETS_NAMED) {
        add_random(list, random);
        return;
    }
    for (size_t i = 0; i < SETTINGS_MAX && sets[set].settings[i].name != NULL; i++)
        add(list, option_choice_number(sets[set].settings[i].name), sets[set].settings[i].value);
}

#include "model/op_variants.h"

#include <stdlib.h>
#include <string.h>

#include "db/options.h"

#define CHOICE(name_, min_, max_)                                                                  \
    {                                                                                              \
#name_, offsetof(struct lsm_options, name_), min_, max_                                    \
    }

// Some reach below what an application may set, so that little data fills much.
const struct option_choice option_choices[] = {
    {"schedule", 0, 0, UINT32_MAX},
    CHOICE(memtable_size, 4 << 10, 64 << 20),
    CHOICE(cache_size, 64 << 10, 256 << 20),
    CHOICE(table_size, 1 << 10, 64 << 20),
    CHOICE(block_size, 256, 1 << 20),
    CHOICE(compressed_block_size, 256, 1 << 20),
    CHOICE(level_base_size, 4 << 10, 256 << 20),
    CHOICE(level_multiplier, 2, 100),
    CHOICE(level0_trigger, 1, 20),
    CHOICE(segment_size_max, 1 << 20, 256 << 20),
    CHOICE(value_threshold, 0, 64 << 10),
    CHOICE(compression, 0, 22),
    CHOICE(compression_upper, 0, 22),
    CHOICE(versions_to_keep, 1, 1000),
    CHOICE(conflict_history_size, 64 << 10, 1 << 20),
    CHOICE(sync, LSM_SYNC_FULL, LSM_SYNC_WRITTEN),
    CHOICE(open_files_max, 0, 1000),
    CHOICE(txn_bytes_max, 1 << 20, 256 << 20), // more than any transaction comes to
};

const uint32_t option_choice_count = sizeof option_choices / sizeof option_choices[0];

uint32_t option_choice_number(const char *name)
{
    for (uint32_t i = 0; i < option_choice_count; i++) {
        if (strcmp(option_choices[i].name, name) == 0)
            return i;
    }
    abort();
}

const struct option_change option_changes[] = {
    {"memtable_size", "64KiB", LSM_OK},
    {"memtable_size", "1MiB", LSM_OK},
    {"value_threshold", "0", LSM_OK},
    {"value_threshold", "100", LSM_OK},
    {"value_threshold", "64KiB", LSM_OK},
    {"block_size", "256", LSM_OK},
    {"compressed_block_size", "2KiB", LSM_OK},
    {"table_size", "16KiB", LSM_OK},
    {"compression", "0", LSM_OK},
    {"compression", "3", LSM_OK},
    {"compression_upper", "1", LSM_OK},
    {"filter_bits", "0", LSM_OK},
    {"filter_bits", "20", LSM_OK},
    {"versions_to_keep", "1", LSM_OK},
    {"versions_to_keep", "3", LSM_OK},
    {"level0_trigger", "2", LSM_OK},
    {"level0_trigger", "6", LSM_OK},
    {"level_multiplier", "2", LSM_OK},
    {"level_base_size", "64KiB", LSM_OK},
    {"cache_size", "1MiB", LSM_OK},
    {"segment_size_max", "1MiB", LSM_OK},
    {"sync", "written", LSM_OK},
    {"sync", "full", LSM_OK},
    {"idle_flush", "100ms", LSM_OK},
    {"sync_interval", "1ms", LSM_OK},
    {"level0_slowdown", "30", LSM_OK},
    {"debt_stop", "128GiB", LSM_OK},
    {"workers", "3", LSM_INVALID},
    {"block_size", "1", LSM_INVALID},
    {"no_such_option", "1", LSM_INVALID},
};

const uint32_t option_change_count = sizeof option_changes / sizeof option_changes[0];

lsm_keyspace_options keyspace_variant(const struct op *op)
{
    static const uint32_t thresholds[] = {LSM_INHERIT, 0, 500, 65536};
    static const uint32_t versions[] = {LSM_INHERIT, 1, 3};
    static const uint32_t levels[] = {LSM_INHERIT, 0, 3};
    lsm_keyspace_options options = LSM_KEYSPACE_OPTIONS_INIT;

    options.value_threshold = thresholds[op->field[F_N] % 4];
    options.versions_to_keep = versions[op->field[F_N] / 4 % 3];
    options.compression = levels[op->field[F_N] / 12 % 3];
    options.ttl_seconds = op->field[F_TTL];
    return options;
}

#include "faults/scenarios.h"

#define SMALL      40
#define SEPARATE   1500
#define HUGE_VALUE (3u << 20) // larger than a segment

#define OPEN                                                                                       \
    {                                                                                              \
        .run = step_open                                                                           \
    }
#define CLOSE                                                                                      \
    {                                                                                              \
        .run = step_close                                                                          \
    }
#define PUT(k, n, bytes)                                                                           \
    {                                                                                              \
        .run = step_put, .key = (k), .count = (n), .size = (bytes)                                 \
    }
#define WEAK_PUT(k, n, bytes)                                                                      \
    {                                                                                              \
        .run = step_put, .key = (k), .count = (n), .size = (bytes), .is_weak = true                \
    }
#define OTHER_PUT(k, n, bytes)                                                                     \
    {                                                                                              \
        .run = step_put, .key = (k), .count = (n), .size = (bytes), .keyspace = IN_OTHER           \
    }
#define BATCH(k, n, bytes)                                                                         \
    {                                                                                              \
        .run = step_batch, .key = (k), .count = (n), .size = (bytes)                               \
    }
#define DELETE(k)                                                                                  \
    {                                                                                              \
        .run = step_delete, .key = (k)                                                             \
    }
#define STEP(what, k, n, bytes)                                                                    \
    {                                                                                              \
        .run = step_##what, .key = (k), .count = (n), .size = (bytes)                              \
    }
#define FLUSH                                                                                      \
    {                                                                                              \
        .run = step_flush                                                                          \
    }
#define COMPACT                                                                                    \
    {                                                                                              \
        .run = step_compact                                                                        \
    }
#define CREATE                                                                                     \
    {                                                                                              \
        .run = step_create                                                                         \
    }
#define READ                                                                                       \
    {                                                                                              \
        .run = step_read                                                                           \
    }
#define JOBS                                                                                       \
    {                                                                                              \
        .run = step_jobs, .count = 100                                                             \
    }
#define LATER(ms)                                                                                  \
    {                                                                                              \
        .run = step_advance, .size = (ms)                                                          \
    }

// Tables on several levels, separated values, a second keyspace, and a part in the log.
#define MIXED_IMAGE                                                                                \
    {                                                                                              \
        OPEN, CREATE, BATCH(0, 20, 400), OTHER_PUT(0, 4, SMALL), PUT(4, 2, SEPARATE), FLUSH,       \
            COMPACT, BATCH(10, 20, 300), FLUSH, DELETE(3), PUT(30, 3, SEPARATE),                   \
    }
// All of it in tables.
#define TABLE_IMAGE                                                                                \
    {                                                                                              \
        OPEN, CREATE, BATCH(0, 20, 400), OTHER_PUT(0, 4, SEPARATE), PUT(4, 4, SEPARATE), FLUSH,    \
            COMPACT, BATCH(10, 20, 300), PUT(6, 2, SEPARATE), DELETE(3), FLUSH,                    \
    }
#define SMALL_IMAGE                                                                                \
    {                                                                                              \
        OPEN, PUT(0, 3, SMALL),                                                                    \
    }

// Of a database that was killed, damaged like this.
#define SALVAGE(of, how, call)                                                                     \
    {                                                                                              \
        .name = (of), .image = MIXED_IMAGE, .is_crashed = true, .is_closed = true,                 \
        .before = {{.run = step_damage, .count = (how)}}, .act = {{.run = (call)}}, .after = {     \
            {.run = step_judge_salvage}                                                            \
        }                                                                                          \
    }

const struct scenario scenarios[] = {
    // Opening and closing.
    {.name = "open_new", .is_closed = true, .act = {OPEN, PUT(0, 1, SMALL)}},
    {.name = "open_unborn",
     .image = {{.run = step_unborn, .count = 14}},
     .is_closed = true,
     .act = {OPEN, PUT(0, 1, SMALL)}},
    {.name = "open_unborn_early",
     .image = {{.run = step_unborn, .count = 8}},
     .is_closed = true,
     .act = {OPEN, PUT(0, 1, SMALL)}},
    {.name = "open_clean", .image = MIXED_IMAGE, .is_closed = true, .act = {OPEN}},
    {.name = "open_with_options",
     .image = {OPEN, PUT(1, 3, SMALL), {.run = step_set_option}},
     .is_closed = true,
     .act = {OPEN, READ}},
    {.name = "open_crashed",
     .image = MIXED_IMAGE,
     .is_crashed = true,
     .is_closed = true,
     .act = {OPEN}},
    {.name = "open_crashed_many",
     .image = {OPEN, CREATE, PUT(0, 2, HUGE_VALUE), JOBS, WEAK_PUT(2, 2, SEPARATE), FLUSH,
               BATCH(0, 40, 2000), BATCH(0, 40, 2000), WEAK_PUT(5, 3, SEPARATE)},
     .is_crashed = true,
     .is_closed = true,
     .act = {OPEN, READ}},
    {.name = "open_crashed_and_cut",
     .image = MIXED_IMAGE,
     .is_crashed = true,
     .is_closed = true,
     .act = {OPEN, JOBS}},
    {.name = "read_only_clean",
     .image = MIXED_IMAGE,
     .is_closed = true,
     .act = {{.run = step_read_only}}},
    {.name = "read_only_crashed",
     .image = MIXED_IMAGE,
     .is_crashed = true,
     .is_closed = true,
     .act = {{.run = step_read_only}}},
    {.name = "close", .image = SMALL_IMAGE, .before = {PUT(1, 2, SMALL)}, .act = {CLOSE}},
    {.name = "close_weak",
     .image = MIXED_IMAGE,
     .before = {WEAK_PUT(1, 4, SEPARATE), WEAK_PUT(7, 2, SMALL)},
     .act = {CLOSE}},

    {.name = "close_prepared",
     .image = SMALL_IMAGE,
     .before = {WEAK_PUT(5, 1, 700 << 10), JOBS},
     .act = {CLOSE}},

    // Writing.
    {.name = "put_small", .image = SMALL_IMAGE, .act = {PUT(1, 2, SMALL)}},
    {.name = "put_weak", .image = SMALL_IMAGE, .act = {WEAK_PUT(1, 2, SMALL), PUT(2, 1, SMALL)}},
    {.name = "put_separate", .image = SMALL_IMAGE, .act = {PUT(1, 2, SEPARATE)}},
    {.name = "put_huge", .image = SMALL_IMAGE, .act = {PUT(1, 1, HUGE_VALUE), PUT(2, 1, SMALL)}},
    {.name = "put_next_segment",
     .image = SMALL_IMAGE,
     .before = {PUT(5, 1, 700 << 10), JOBS},
     .act = {PUT(6, 1, 700 << 10), WEAK_PUT(7, 1, 700 << 10), PUT(8, 1, SMALL)}},
    {.name = "put_next_segment_unprepared",
     .image = SMALL_IMAGE,
     .before = {WEAK_PUT(5, 1, 700 << 10)},
     .act = {WEAK_PUT(6, 1, 700 << 10), PUT(7, 1, SMALL)}},
    {.name = "delete", .image = MIXED_IMAGE, .act = {DELETE(4), DELETE(5)}},
    {.name = "batch", .image = SMALL_IMAGE, .act = {BATCH(0, 12, SMALL), BATCH(4, 8, SEPARATE)}},
    {.name = "batch_of_many",
     .image = SMALL_IMAGE,
     .act = {BATCH(0, 40, 510), STEP(batch_delete, 0, 30, 2), BATCH(0, 40, 511)}},
    {.name = "memtable_switch",
     .image = SMALL_IMAGE,
     .before = {BATCH(0, 40, 510), BATCH(0, 40, 510), BATCH(0, 40, 510)},
     .act = {BATCH(0, 40, 510), BATCH(0, 40, 510), BATCH(0, 40, 510), BATCH(0, 40, 510)}},
    {.name = "transaction",
     .image = MIXED_IMAGE,
     .act = {STEP(txn, 5, 3, SMALL), STEP(txn, 1, 2, SEPARATE)}},
    {.name = "transaction_large", .image = MIXED_IMAGE, .act = {STEP(txn, 0, 40, 2000)}},
    {.name = "asynchronous",
     .image = SMALL_IMAGE,
     .act = {STEP(async, 5, 3, SMALL), STEP(async, 1, 2, SEPARATE)}},
    {.name = "asynchronous_group", .image = SMALL_IMAGE, .act = {STEP(async_many, 0, 8, SMALL)}},
    {.name = "update", .image = MIXED_IMAGE, .act = {STEP(update, 5, 3, SMALL)}},
    {.name = "compare_and_set",
     .image = MIXED_IMAGE,
     .act = {STEP(swap, 4, 1, SMALL), STEP(swap, 35, 1, SEPARATE),
             STEP(put_if_absent, 36, 1, SMALL)}},
    {.name = "savepoints", .image = MIXED_IMAGE, .act = {STEP(rollback, 0, 12, SMALL)}},
    {.name = "other_keyspace", .image = MIXED_IMAGE, .act = {OTHER_PUT(1, 3, SMALL)}},

    // Reading.
    {.name = "read_tables", .image = TABLE_IMAGE, .act = {READ}},
    {.name = "read_mixed", .image = MIXED_IMAGE, .act = {READ}},
    {.name = "read_memtable", .image = SMALL_IMAGE, .before = {PUT(2, 6, SEPARATE)}, .act = {READ}},
    {.name = "multi_get", .image = TABLE_IMAGE, .act = {{.run = step_multi_get}}},
    {.name = "multi_get_other",
     .image = MIXED_IMAGE,
     .act = {{.run = step_multi_get, .keyspace = IN_OTHER}, {.run = step_multi_get}}},
    {.name = "pinned", .image = MIXED_IMAGE, .act = {{.run = step_pin}}},
    {.name = "snapshot", .image = MIXED_IMAGE, .act = {STEP(snapshot, 3, 2, SEPARATE)}},
    {.name = "iterators", .image = TABLE_IMAGE, .act = {{.run = step_iterate}}},
    {.name = "iterators_mixed",
     .image = MIXED_IMAGE,
     .before = {BATCH(0, 40, SMALL), STEP(batch_delete, 10, 10, 2)},
     .act = {{.run = step_iterate}, {.run = step_iterate, .keyspace = IN_OTHER}}},

    // Keyspaces.
    {.name = "keyspace_create", .image = SMALL_IMAGE, .act = {CREATE, OTHER_PUT(0, 1, SMALL)}},
    {.name = "keyspace_drop", .image = MIXED_IMAGE, .act = {{.run = step_drop}}},
    {.name = "keyspace_again", .image = MIXED_IMAGE, .act = {{.run = step_drop}, CREATE}},
    {.name = "keyspace_alter", .image = MIXED_IMAGE, .act = {{.run = step_alter}}},

    // Upkeep.
    {.name = "flush",
     .image = SMALL_IMAGE,
     .before = {PUT(2, 4, SEPARATE), DELETE(1)},
     .act = {FLUSH}},
    {.name = "flush_mixed",
     .image = MIXED_IMAGE,
     .before = {WEAK_PUT(1, 3, SEPARATE), OTHER_PUT(2, 2, SMALL), BATCH(0, 40, 500)},
     .act = {FLUSH}},
    {.name = "flush_many_memtables",
     .image = SMALL_IMAGE,
     .before = {BATCH(0, 40, 510), BATCH(0, 40, 510), BATCH(0, 40, 510), BATCH(0, 40, 510)},
     .act = {FLUSH}},
    {.name = "compact", .image = TABLE_IMAGE, .before = {BATCH(5, 20, 444)}, .act = {COMPACT}},
    {.name = "compact_and_drop",
     .image = MIXED_IMAGE,
     .before = {STEP(batch_delete, 0, 25, 2), {.run = step_drop}},
     .act = {COMPACT}},
    {.name = "merges_in_background",
     .image = TABLE_IMAGE,
     .before = {BATCH(0, 30, 450), FLUSH, BATCH(5, 30, 450)},
     .act = {FLUSH, JOBS, {.run = step_wait_idle}}},
    {.name = "level0_merge",
     .image = {OPEN, BATCH(0, 40, 500), FLUSH, BATCH(0, 40, 500), FLUSH, BATCH(0, 40, 500)},
     .before = {FLUSH, BATCH(3, 30, 500)},
     .act = {FLUSH, JOBS}},
    {.name = "many_edits",
     .image = SMALL_IMAGE,
     .before = {CREATE, PUT(1, 1, SMALL), FLUSH, PUT(2, 1, SMALL), FLUSH},
     .act = {PUT(3, 1, SMALL), FLUSH, PUT(4, 1, SMALL), FLUSH, {.run = step_drop}}},
    {.name = "segment_preparation",
     .image = SMALL_IMAGE,
     .before = {WEAK_PUT(5, 1, 700 << 10)},
     .act = {JOBS, PUT(6, 1, 700 << 10), JOBS, {.run = step_resume}, JOBS}},
    {.name = "interval_sync",
     .image = SMALL_IMAGE,
     .before = {WEAK_PUT(5, 3, SMALL)},
     .act = {LATER(2000), {.run = step_sync}}},
    {.name = "sync",
     .image = SMALL_IMAGE,
     .before = {WEAK_PUT(5, 3, SMALL)},
     .act = {{.run = step_sync}}},
    {.name = "idle_flush",
     .image = SMALL_IMAGE,
     .before = {PUT(5, 3, SEPARATE)},
     .act = {LATER(20000), LATER(20000), LATER(20000)}},
    {.name = "put_after_idle",
     .image = SMALL_IMAGE,
     .before = {PUT(5, 3, SEPARATE), LATER(20000), LATER(20000), LATER(20000)},
     .act = {PUT(6, 1, SMALL)}},
    {.name = "reclamation",
     .image = MIXED_IMAGE,
     .before = {BATCH(0, 40, 2000), COMPACT},
     .act = {LATER(100), LATER(100), LATER(100)}},
    {.name = "verify", .image = MIXED_IMAGE, .act = {{.run = step_verify}}},
    {.name = "options_file", .image = SMALL_IMAGE, .act = {{.run = step_options_file}}},
    SALVAGE("salvage", 0, step_salvage),
    SALVAGE("salvage_without_current", WITHOUT_CURRENT | BAD_TABLES, step_salvage),
    SALVAGE("salvage_without_manifest", WITHOUT_CURRENT | WITHOUT_MANIFEST, step_salvage),
    SALVAGE("salvage_bad_manifest", BAD_MANIFEST | BAD_SEGMENTS, step_salvage),
    SALVAGE("salvage_everything_bad", WITHOUT_CURRENT | BAD_MANIFEST | BAD_TABLES | BAD_SEGMENTS,
            step_look_at_damage),
    {.name = "inspect", .image = TABLE_IMAGE, .act = {{.run = step_inspect}}},
    {.name = "look", .image = MIXED_IMAGE, .act = {{.run = step_look}, {.run = step_set_option}}},
};

const size_t scenario_count = sizeof scenarios / sizeof scenarios[0];

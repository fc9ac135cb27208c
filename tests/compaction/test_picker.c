// test_picker.c -- which tables to merge next. Versions are made by hand: no file exists.

#include "compaction/picker.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <stdlib.h>

#include "compaction/level_targets.h"
#include "support/engine_fixture.h"

#define assert_ok(expression) cr_assert(eq(int, (expression), LSM_OK), "%s", lsm_errmsg())

#define TABLE_SIZE 1000
#define HOUR       3600

static struct engine_fixture f;
static struct version *version;
static struct table_id_set busy;
static uint64_t next_ts;

static void setup(void)
{
    engine_fixture_init(&f, 1);
    atomic_store(&f.options.table_size, TABLE_SIZE);
    atomic_store(&f.options.level_base_size, 10 * TABLE_SIZE);
    atomic_store(&f.options.level_multiplier, 4);
    atomic_store(&f.options.level0_trigger, 4);
    atomic_store(&f.options.compression, 0);
    assert_ok(version_new(&f.bin, &version));
    next_ts = 1;
}

static void teardown(void)
{
    version_unref(version);
    table_id_set_release(&busy);
    engine_fixture_release(&f);
}

// A table of `level` from key "a" to key "b", written after all before it.
struct sketch {
    unsigned level;
    uint64_t id;
    const char *smallest;
    const char *largest;
    uint64_t size; // 0: TABLE_SIZE
    uint64_t tombstones;
    uint64_t created;
    uint64_t expiry;
    uint32_t keyspace; // 0: 1
    uint64_t value_bytes;
    uint64_t entries; // 0: 100
};

static void add(struct sketch s)
{
    struct segment_reference reference = {.segment = 1, .count = 1, .bytes = s.value_bytes};
    uint32_t keyspace = s.keyspace == 0 ? 1 : s.keyspace;
    struct table_meta meta = {
        .id = s.id,
        .size = s.size == 0 ? TABLE_SIZE : s.size,
        .smallest = {keyspace, slice_of(s.smallest), next_ts + 1},
        .largest = {keyspace, slice_of(s.largest), next_ts},
        .smallest_head = slice_head(slice_of(s.smallest)),
        .largest_head = slice_head(slice_of(s.largest)),
        .entry_count = s.entries == 0 ? 100 : s.entries,
        .tombstone_count = s.tombstones,
        .ts_min = next_ts,
        .ts_max = next_ts + 1,
        .expiry_min = s.expiry,
        .expiry_max = s.expiry,
        .created_wall = s.created,
        .references = &reference,
        .reference_count = s.value_bytes != 0,
    };
    CLEANUP(edit_release) struct edit edit;
    struct table_meta *copy;
    struct version *next;
    struct segment *segment = log_active(f.engine.log);
    struct log_link link = {.id = 1, .uuid = *segment_uuid(segment)};

    next_ts += 2;
    edit_init(&edit);
    assert_ok(table_meta_copy(&meta, &copy));
    assert_ok(edit_add_table(&edit, s.level, copy));
    edit.has_log = true;
    edit.replay = (struct log_position){1, FILE_HEADER_SIZE};
    assert_ok(edit_add_chain(&edit, &link));
    edit.chain_segments = &segment;
    assert_ok(version_apply(version, &edit, &f.tables, &f.segments, &next, NULL));
    version_unref(version);
    version = next;
}

static void occupy(uint64_t id)
{
    assert_ok(table_id_set_reserve(&busy, 1));
    table_id_set_add(&busy, id);
}

static struct picker_input input(void)
{
    return (struct picker_input){.version = version,
                                 .options = &f.options,
                                 .busy = &busy,
                                 .oldest_ts = TS_MAX,
                                 .oldest_wall = 10 * HOUR,
                                 .now_seconds = 10 * HOUR};
}

// "size 5>6: 3 | 7 8", with " move" or " bottom" behind where it is so; "nothing".
static const char *describe(lsm_status status, struct compaction *c)
{
    static char text[512];
    size_t used;

    if (status == LSM_BUSY)
        return "busy";
    assert_ok(status);
    if (c == NULL)
        return "nothing";
    used = (size_t)snprintf(text, sizeof text, "%s %u>%u:", compaction_reason_name(c->reason),
                            c->level, c->output_level);
    for (unsigned i = 0; i < 2; i++) {
        if (i == 1 && c->input_count[1] != 0)
            used += (size_t)snprintf(text + used, sizeof text - used, " |");
        for (size_t j = 0; j < c->input_count[i]; j++)
            used += (size_t)snprintf(text + used, sizeof text - used, " %llu",
                                     (unsigned long long)table_meta(c->inputs[i][j])->id);
    }
    (void)snprintf(text + used, sizeof text - used, "%s%s", c->is_move ? " move" : "",
                   c->is_bottommost ? " bottom" : "");
    compaction_free(c);
    return text;
}

static const char *pick_with(const struct picker_input *in)
{
    struct compaction *c = NULL;
    lsm_status status = compaction_pick(in, &c);

    return describe(status, c);
}

static const char *pick(void)
{
    struct picker_input in = input();

    return pick_with(&in);
}

static const char *pick_range(uint32_t keyspace, const char *from, const char *to)
{
    struct picker_input in = input();
    const lsm_slice bounds[2] = {slice_of(from), slice_of(to)};
    const struct compaction_range range = {
        .keyspace = keyspace, .from = &bounds[0], .to = &bounds[1]};
    struct compaction *c = NULL;
    lsm_status status = compaction_pick_range(&in, &range, &c);

    return describe(status, c);
}

#define assert_pick(found, wanted) cr_assert(eq(str, (char *)(found), (char *)(wanted)))

#define TEST(name) Test(picker, name, .init = setup, .fini = teardown)

TEST(nothing_is_picked_from_a_tree_in_shape)
{
    assert_pick(pick(), "nothing");
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 0, .id = 2, .smallest = "a", .largest = "m"});
    assert_pick(pick(), "nothing");
}

TEST(level_0_goes_to_the_last_level_while_the_tree_is_small)
{
    for (uint64_t id = 1; id <= 3; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "a", .largest = "m"});
    assert_pick(pick(), "nothing");
    add((struct sketch){.level = 0, .id = 4, .smallest = "b", .largest = "z"});
    assert_pick(pick(), "level0 0>6: 1 move bottom");
}

TEST(level_0_takes_all_it_overlaps_along)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "c"});
    add((struct sketch){.level = 6, .id = 2, .smallest = "d", .largest = "f"});
    add((struct sketch){.level = 6, .id = 3, .smallest = "x", .largest = "z"});
    for (uint64_t id = 4; id <= 7; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "b", .largest = "e"});
    assert_pick(pick(), "level0 0>6: 7 6 5 4 | 1 2 bottom");
}

TEST(tables_of_level_0_that_overlap_nothing_move_oldest_first)
{
    const char *keys[] = {"a", "b", "c", "d"};

    add((struct sketch){.level = 6, .id = 9, .smallest = "k", .largest = "m"});
    for (uint64_t i = 0; i < 4; i++)
        add((struct sketch){.level = 0, .id = i + 1, .smallest = keys[i], .largest = keys[i]});
    assert_pick(pick(), "level0 0>6: 1 move bottom");
    atomic_store(&f.options.compression, 3); // what is moved would never be compressed
    assert_pick(pick(), "level0 0>6: 4 3 2 1 bottom");
}

static uint32_t compression_of(void *ctx, uint32_t keyspace)
{
    cr_assert(eq(u32, keyspace, 1));
    return *(const uint32_t *)ctx;
}

// It takes the place of the option of that name.
TEST(a_keyspace_with_a_compression_of_its_own_moves_where_that_stays_the_same)
{
    const char *keys[] = {"a", "b", "c", "d"};
    uint32_t compression = 3;
    struct picker_input in;

    add((struct sketch){.level = 6, .id = 9, .smallest = "k", .largest = "m"});
    for (uint64_t i = 0; i < 4; i++)
        add((struct sketch){.level = 0, .id = i + 1, .smallest = keys[i], .largest = keys[i]});
    in = input();
    in.compression = compression_of;
    in.ctx = &compression;
    assert_pick(pick_with(&in), "level0 0>6: 4 3 2 1 bottom");
    compression = 0;
    atomic_store(&f.options.compression, 3);
    assert_pick(pick_with(&in), "level0 0>6: 1 move bottom");
    compression = KEYSPACE_INHERIT;
    assert_pick(pick_with(&in), "level0 0>6: 4 3 2 1 bottom");
}

// peer_badger_2143: level 0 must not go past a level that holds tables.
TEST(peer_badger_2143_the_base_level_is_never_below_a_level_in_use)
{
    struct level_targets targets;

    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 3, .id = 2, .smallest = "a", .largest = "m"});
    level_targets_compute(version, &f.options, &targets);
    cr_assert(eq(uint, targets.base_level, 3));
    for (uint64_t id = 3; id <= 6; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "a", .largest = "m"});
    assert_pick(pick(), "level0 0>3: 6 5 4 3 | 2");
}

TEST(targets_follow_the_last_level)
{
    struct level_targets targets;

    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m", .size = 10000});
    level_targets_compute(version, &f.options, &targets);
    cr_assert(eq(uint, targets.base_level, 6));
    add((struct sketch){.level = 6, .id = 2, .smallest = "n", .largest = "o", .size = 150000});
    level_targets_compute(version, &f.options, &targets);
    cr_assert(eq(uint, targets.base_level, 4));
    cr_assert(eq(u64, targets.bytes[6], 160000));
    cr_assert(eq(u64, targets.bytes[5], 40000));
    cr_assert(eq(u64, targets.bytes[4], 10000));
    cr_assert(eq(u64, targets.bytes[3], 0));
}

TEST(a_level_above_its_target_gives_the_table_that_costs_least)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "c", .size = 9000});
    add((struct sketch){.level = 6, .id = 2, .smallest = "d", .largest = "f", .size = 5000});
    add((struct sketch){.level = 5, .id = 3, .smallest = "a", .largest = "b", .size = 3000});
    add((struct sketch){.level = 5, .id = 4, .smallest = "e", .largest = "f", .size = 3000});
    assert_pick(pick(), "size 5>6: 4 | 2 bottom");
    occupy(2);
    assert_pick(pick(), "size 5>6: 3 | 1 bottom");
    occupy(3);
    assert_pick(pick(), "nothing");
}

TEST(a_table_that_overlaps_nothing_moves)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "c", .size = 9000});
    add((struct sketch){.level = 5, .id = 3, .smallest = "x", .largest = "y", .size = 6000});
    assert_pick(pick(), "size 5>6: 3 move bottom");
}

TEST(a_move_does_not_burden_the_merge_after_it)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "z", .size = 10001});
    add((struct sketch){.level = 4, .id = 3, .smallest = "x", .largest = "y", .size = 9000});
    assert_pick(pick(), "size 4>5: 3");
}

TEST(a_table_with_tombstones_does_not_move_to_where_they_can_go)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "c", .size = 9000});
    add((struct sketch){
        .level = 5, .id = 3, .smallest = "x", .largest = "y", .size = 6000, .tombstones = 1});
    assert_pick(pick(), "size 5>6: 3 bottom");
}

TEST(level_0_goes_first_when_it_has_piled_up)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "b", .size = 10000});
    add((struct sketch){.level = 5, .id = 2, .smallest = "x", .largest = "y", .size = 20000});
    for (uint64_t id = 3; id <= 6; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "x", .largest = "y"});
    assert_pick(pick(), "size 5>6: 2 move bottom");
    for (uint64_t id = 7; id <= 10; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "x", .largest = "y"});
    assert_pick(pick(), "level0 0>5: 10 9 8 7 6 5 4 3 | 2 bottom");
}

TEST(level_0_is_merged_within_itself_while_it_is_busy)
{
    struct picker_input in;

    for (uint64_t id = 1; id <= 8; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "a", .largest = "m"});
    for (uint64_t id = 1; id <= 4; id++)
        occupy(id);
    in = input();
    in.level0_is_busy = true;
    assert_pick(pick_with(&in), "intra_level0 0>0: 8 7 6 5");
    occupy(6);
    in = input();
    in.level0_is_busy = true;
    assert_pick(pick_with(&in), "nothing");
}

// A table of level 0 is never cut, and making one takes memory by the entry.
TEST(level_0_is_not_merged_into_a_table_of_too_many_entries)
{
    struct picker_input in;

    add((struct sketch){.level = 0, .id = 1, .smallest = "a", .largest = "m"});
    for (uint64_t id = 2; id <= 10; id++)
        add((struct sketch){
            .level = 0, .id = id, .smallest = "a", .largest = "m", .entries = 60000});
    occupy(1);
    in = input();
    in.level0_is_busy = true;
    assert_pick(pick_with(&in), "intra_level0 0>0: 10 9 8 7 6");
}

TEST(values_that_upper_levels_may_shadow_ask_for_a_merge)
{
    add((struct sketch){
        .level = 6, .id = 1, .smallest = "a", .largest = "m", .value_bytes = 40000});
    add((struct sketch){
        .level = 5, .id = 2, .smallest = "a", .largest = "m", .value_bytes = 10000});
    assert_pick(pick(), "nothing");
    add((struct sketch){.level = 5, .id = 3, .smallest = "n", .largest = "o", .value_bytes = 5000});
    assert_pick(pick(), "garbage 5>6: 2 | 1 bottom");
}

// --- wear ---

TEST(a_tombstone_that_has_grown_old_is_taken_down)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 5,
                        .id = 2,
                        .smallest = "b",
                        .largest = "c",
                        .tombstones = 1,
                        .created = 4 * HOUR + 1});
    assert_pick(pick(), "nothing");
    add((struct sketch){.level = 5,
                        .id = 3,
                        .smallest = "d",
                        .largest = "e",
                        .tombstones = 1,
                        .created = 4 * HOUR});
    assert_pick(pick(), "tombstones 5>6: 3 | 1 bottom");
}

TEST(a_table_dense_with_tombstones_is_taken_down_at_once)
{
    struct picker_input in;

    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 5,
                        .id = 2,
                        .smallest = "b",
                        .largest = "c",
                        .tombstones = 50,
                        .created = 10 * HOUR});
    assert_pick(pick(), "tombstones 5>6: 2 | 1 bottom");
    in = input();
    in.oldest_ts = 3; // a snapshot needs what they cover
    assert_pick(pick_with(&in), "nothing");
}

// A clock that was ahead has stamped the table: its age is not known for years otherwise.
TEST(a_table_from_the_future_counts_as_old)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 5,
                        .id = 2,
                        .smallest = "b",
                        .largest = "c",
                        .tombstones = 1,
                        .created = 16 * HOUR - 1});
    assert_pick(pick(), "nothing");
    add((struct sketch){.level = 5,
                        .id = 3,
                        .smallest = "e",
                        .largest = "f",
                        .tombstones = 1,
                        .created = 16 * HOUR});
    assert_pick(pick(), "tombstones 5>6: 3 | 1 bottom");
}

TEST(the_last_level_is_rewritten_where_something_can_go)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m", .tombstones = 1});
    assert_pick(pick(), "tombstones 6>6: 1 bottom");
}

TEST(expired_entries_are_cleared_once_they_can_be)
{
    struct picker_input in;

    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m", .expiry = 10 * HOUR});
    assert_pick(pick(), "tombstones 6>6: 1 bottom");
    in = input();
    in.oldest_wall = 10 * HOUR - 1;
    assert_pick(pick_with(&in), "nothing");
    in.oldest_wall = 0;
    assert_pick(pick_with(&in), "nothing");
}

static bool is_second(void *ctx, uint32_t keyspace)
{
    (void)ctx;
    return keyspace == 2;
}

TEST(tables_of_a_dropped_keyspace_are_cleared)
{
    struct picker_input in;

    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 6, .id = 2, .smallest = "a", .largest = "m", .keyspace = 2});
    in = input();
    in.is_dropped = is_second;
    assert_pick(pick_with(&in), "tombstones 6>6: 2 bottom");
}

// --- by hand ---

TEST(a_range_goes_down_level_by_level)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 4, .id = 2, .smallest = "c", .largest = "d"});
    add((struct sketch){.level = 4, .id = 3, .smallest = "k", .largest = "z"});
    add((struct sketch){.level = 0, .id = 4, .smallest = "a", .largest = "b"});
    assert_pick(pick_range(1, "c", "d"), "manual 4>5: 2 move");
    assert_pick(pick_range(0, "c", "d"), "manual 0>4: 4 move");
    assert_pick(pick_range(1, "e", "f"), "nothing");
    assert_pick(pick_range(2, "a", "z"), "nothing");
    assert_pick(pick_range(1, "a", "b"), "manual 0>4: 4 move");
    occupy(2);
    assert_pick(pick_range(1, "c", "d"), "busy");
}

// Whatever is older in level 0 may overlap what the range touches.
TEST(a_range_takes_older_tables_of_level_0_along)
{
    add((struct sketch){.level = 0, .id = 1, .smallest = "a", .largest = "m"});
    add((struct sketch){.level = 0, .id = 2, .smallest = "k", .largest = "z"});
    add((struct sketch){.level = 0, .id = 3, .smallest = "a", .largest = "b"});
    assert_pick(pick_range(1, "x", "y"), "manual 0>6: 2 1 bottom");
}

TEST(sets_of_ids_stay_in_order)
{
    static const uint64_t ids[] = {5, 1, 9, 3, 7};

    for (size_t i = 0; i < 5; i++)
        occupy(ids[i]);
    for (uint64_t id = 0; id < 11; id++)
        cr_assert(eq(int, table_id_set_contains(&busy, id), id % 2 == 1 && id < 10));
    table_id_set_remove(&busy, 5);
    cr_assert(not(table_id_set_contains(&busy, 5)));
    cr_assert(eq(sz, busy.count, 4));
}

TEST(the_debt_is_what_has_to_be_merged)
{
    add((struct sketch){.level = 6, .id = 1, .smallest = "a", .largest = "m", .size = 8000});
    cr_assert(eq(u64, compaction_debt(version, &f.options), 0));
    for (uint64_t id = 2; id <= 4; id++)
        add((struct sketch){.level = 0, .id = id, .smallest = "a", .largest = "m"});
    cr_assert(eq(u64, compaction_debt(version, &f.options), 0));
    add((struct sketch){.level = 0, .id = 5, .smallest = "a", .largest = "m"});
    cr_assert(eq(u64, compaction_debt(version, &f.options), 4 * TABLE_SIZE + 8000));
}

// test_table_damage.c -- tables whose bytes, disk or memory fail.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "sstable/table.h"
#include "sstable/table_fixture.h"
#include "support/alloc_fault.h"

#define ID 7

static const struct table_options plain = {.block_size = 300, .filter_bits = 10};
static const struct table_options packed = {.block_size = 700, .compression = 3, .filter_bits = 10};

static const struct entry_shape small = {.count = 40,
                                         .keyspaces = 2,
                                         .prefix_size = 4,
                                         .key_max = 12,
                                         .alphabet = 3,
                                         .ts_max = 4,
                                         .value_max = 40,
                                         .has_pointers = true};

static struct table_fixture f;
static struct entry_array entries;
static struct table_meta *meta;
static struct filename name;

static void setup_with(const struct table_options *options)
{
    struct random rng = {.state = 42};

    table_fixture_init(&f, 1024 * 1024);
    entries = random_entries(&rng, &small);
    name = filename_of(FILENAME_TABLE, ID);
    MUST(build_table(&f, ID, options, &entries, &meta));
    MUST(dir_sync(f.dir));
}

static void teardown(void)
{
    table_meta_free(meta);
    entry_array_release(&entries);
    table_fixture_release(&f);
}

// A new object for the file, with nothing in memory.
static struct table *open_table(void)
{
    struct table_meta *copy;
    struct table *table;

    MUST(table_meta_copy(meta, &copy));
    MUST(table_new(&f.store, copy, &table));
    return table;
}

static void close_table(struct table *table)
{
    table_unref(table);
    epoch_drain(&f.bin);
}

// Reads all by a cursor; what it yields before it fails is right.
static lsm_status scan(struct table *table)
{
    CLEANUP(iter_closep) struct iter *it = NULL;
    size_t i = 0;

    TRY(table_iter_new(table, &(struct table_iter_options){.fill_cache = true}, &it));
    TRY(iter_first(it));
    while (it->is_valid) {
        cr_assert(i < entries.count);
        cr_assert(entry_equal(&it->entry, &entries.items[i]), "entry %zu", i);
        TRY(iter_next(it));
        i++;
    }
    cr_assert(eq(sz, i, entries.count));
    return LSM_OK;
}

// Gets each entry; what is found is right. The first failure is returned.
static lsm_status get_all(struct table *table)
{
    lsm_status first = LSM_OK;

    for (size_t i = 0; i < entries.count; i++) {
        const struct entry *e = &entries.items[i];
        struct ikey key = entry_ikey(e);
        struct entry got;
        bool found;

        EPOCH_SECTION();
        lsm_status status =
            table_get(table, &key, key_hash(e->keyspace, e->key), &got, &found, NULL);
        if (status == LSM_OK) {
            cr_assert(found, "entry %zu", i);
            cr_assert(entry_equal(&got, e), "entry %zu", i);
        } else if (first == LSM_OK) {
            first = status;
        }
    }
    return first;
}

static lsm_status walk_nothing(void *ctx, uint32_t segment, uint64_t offset)
{
    (void)ctx, (void)segment, (void)offset;
    return LSM_OK;
}

static void ignore_line(void *ctx, const char *line)
{
    (void)ctx, (void)line;
}

static void assert_damage_is_found(uint64_t where)
{
    struct table *table = open_table();
    lsm_status status = table_verify(table);

    cr_assert(status == LSM_CORRUPT || status == LSM_UNSUPPORTED, "byte %llu: %s",
              (unsigned long long)where, lsm_status_name(status));
    cr_assert(strstr(lsm_errmsg(), name.text) != NULL, "%s", lsm_errmsg());
    status = scan(table);
    cr_assert(status == LSM_OK || status == LSM_CORRUPT, "byte %llu", (unsigned long long)where);
    status = get_all(table);
    cr_assert(status == LSM_OK || status == LSM_CORRUPT, "byte %llu", (unsigned long long)where);
    status = table_references(table, walk_nothing, NULL);
    cr_assert(status == LSM_OK || status == LSM_CORRUPT, "byte %llu", (unsigned long long)where);
    cr_assert(table_inspect(f.dir, name.text, ignore_line, NULL) != LSM_OK, "byte %llu",
              (unsigned long long)where);
    close_table(table);
}

static void flip_every_byte(const struct table_options *options)
{
    setup_with(options);
    for (uint64_t i = 0; i < meta->size; i++) {
        uint8_t mask = (uint8_t)(1u << i % 8);

        MUST(sim_flip(f.sim, "/db", name.text, i, mask));
        assert_damage_is_found(i);
        MUST(sim_flip(f.sim, "/db", name.text, i, mask));
    }
    struct table *table = open_table();
    MUST(table_verify(table));
    close_table(table);
    teardown();
}

Test(table_damage, a_flipped_byte_anywhere_is_found)
{
    flip_every_byte(&plain);
}

Test(table_damage, a_flipped_byte_anywhere_in_a_compressed_table_is_found)
{
    flip_every_byte(&packed);
}

Test(table_damage, a_file_cut_at_any_size_is_refused)
{
    setup_with(&packed);
    for (uint64_t size = meta->size; size-- > 0;) {
        MUST(sim_cut(f.sim, "/db", name.text, size));
        struct table *table = open_table();
        cr_assert(eq(int, scan(table), LSM_CORRUPT), "%llu bytes", (unsigned long long)size);
        cr_assert(eq(int, table_verify(table), LSM_CORRUPT));
        cr_assert(table_inspect(f.dir, name.text, ignore_line, NULL) != LSM_OK);
        close_table(table);
    }
    teardown();
}

Test(table_damage, a_missing_file_is_damage)
{
    setup_with(&plain);
    MUST(file_unlink(f.dir, name.text));
    struct table *table = open_table();
    cr_assert(eq(int, table_verify(table), LSM_CORRUPT));
    close_table(table);
    teardown();
}

Test(table_damage, a_table_other_than_the_manifest_names_is_refused)
{
    setup_with(&plain);
    for (int i = 0; i < 7; i++) {
        struct table_meta *copy;
        struct table *table;

        MUST(table_meta_copy(meta, &copy));
        switch (i) {
        case 0:
            copy->uuid.bytes[3] ^= 1;
            break;
        case 1:
            copy->size++;
            break;
        case 2:
            copy->entry_count++;
            break;
        case 3:
            copy->smallest.ts++;
            break;
        case 4:
            copy->tombstone_count++;
            break;
        case 5:
            copy->references[0].bytes++;
            break;
        default:
            copy->ts_max++;
            break;
        }
        MUST(table_new(&f.store, copy, &table));
        cr_assert(eq(int, scan(table), LSM_CORRUPT), "case %d", i);
        close_table(table);
    }
    teardown();
}

Test(table_damage, a_table_of_another_database_is_refused_but_can_be_inspected)
{
    setup_with(&plain);
    f.store.db_uuid.bytes[0] ^= 1;
    struct table *table = open_table();
    cr_assert(eq(int, scan(table), LSM_CORRUPT));
    MUST(table_inspect(f.dir, name.text, ignore_line, NULL));
    close_table(table);
    teardown();
}

Test(table_damage, every_failed_read_reaches_the_caller_and_passes)
{
    setup_with(&packed);
    for (uint64_t at = 1;; at++) {
        struct sim_fault fault = {
            .ops = SIM_OP_READ | SIM_OP_OPEN | SIM_OP_STAT, .at = at, .status = LSM_IO};
        struct table *table = open_table();

        sim_set_fault(f.sim, &fault);
        lsm_status status = scan(table);
        uint64_t hits = sim_fault_hits(f.sim);
        sim_set_fault(f.sim, NULL);
        cr_assert(eq(int, status, hits == 0 ? LSM_OK : LSM_IO));
        MUST(scan(table)); // what was read meanwhile is right, what was not is read now
        MUST(get_all(table));
        close_table(table);
        if (hits == 0)
            break;
    }
    teardown();
}

Test(table_damage, a_builder_that_fails_leaves_no_file)
{
    struct table_meta *built;
    uint64_t size;

    setup_with(&plain);
    for (uint64_t at = 1;; at++) {
        struct sim_fault fault = {
            .ops = SIM_OP_OPEN | SIM_OP_WRITE | SIM_OP_SYNC, .at = at, .status = LSM_NO_SPACE};

        sim_set_fault(f.sim, &fault);
        lsm_status status = build_table(&f, 8, &plain, &entries, &built);
        uint64_t hits = sim_fault_hits(f.sim);
        sim_set_fault(f.sim, NULL);
        if (hits == 0) {
            MUST(status);
            break;
        }
        cr_assert(eq(int, status, LSM_NO_SPACE));
        cr_assert(eq(int, file_stat(f.dir, "000008.sst", &size), LSM_IO));
        cr_assert(not(poison_is_set(&f.poison)));
    }
    cr_assert(sim_is_durable(f.sim, "/db", "000008.sst", built->size) == false,
              "the name is the caller's to sync");
    MUST(dir_sync(f.dir));
    cr_assert(sim_is_durable(f.sim, "/db", "000008.sst", built->size));
    table_meta_free(built);
    teardown();
}

Test(table_damage, a_failed_close_of_the_file_written_poisons)
{
    struct sim_fault fault = {.ops = SIM_OP_CLOSE, .at = 1, .status = LSM_IO};
    struct table_meta *built;
    uint64_t size;

    setup_with(&plain);
    sim_set_fault(f.sim, &fault);
    cr_assert(eq(int, build_table(&f, 8, &plain, &entries, &built), LSM_IO));
    sim_set_fault(f.sim, NULL);
    cr_assert(poison_is_set(&f.poison));
    MUST(file_stat(f.dir, "000008.sst", &size)); // nothing is removed any more
    teardown();
}

// One build and one scan with the n-th allocation failing. Growing the cache and
// the descriptor table may do without; all else is reported.
Test(table_damage, every_failed_allocation_is_reported_and_harmless)
{
    bool was_hit = true;

    cr_assert(alloc_fault_install());
    setup_with(&packed);
    for (size_t n = 1; was_hit; n++) {
        struct table_meta *built = NULL;

        alloc_fault_at(n, false);
        lsm_status status = build_table(&f, 9, &packed, &entries, &built);
        was_hit = alloc_fault_was_hit();
        alloc_fault_at(0, false);
        cr_assert(eq(int, status, was_hit ? LSM_NO_MEMORY : LSM_OK), "allocation %zu", n);
        table_meta_free(built);
        (void)file_unlink(f.dir, "000009.sst");
    }
    for (int pass = 0; pass < 2; pass++) {
        lsm_status (*read)(struct table * table) = pass == 0 ? scan : table_verify;

        was_hit = true;
        for (size_t n = 1; was_hit; n++) {
            struct table *table = open_table();

            alloc_fault_at(n, false);
            lsm_status status = read(table);
            was_hit = alloc_fault_was_hit();
            alloc_fault_at(0, false);
            cr_assert(status == LSM_OK || (was_hit && status == LSM_NO_MEMORY), "allocation %zu",
                      n);
            MUST(scan(table));
            close_table(table);
        }
    }
    teardown();
}

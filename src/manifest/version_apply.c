// version_apply.c -- making a version from the one before and an edit.
//
// Nothing may make a deleted or overwritten value visible again, so for each key the
// entries of a level are newer than those of the levels below, and in level 0 those
// of a table newer than those of the tables behind it. The manifest knows key ranges
// and timestamp ranges only; checked is what they can prove without a false alarm:
//
//   - Level 0: timestamp ranges are disjoint, because tables there are memtables, or
//     merges of neighbours. Deeper: user keys are disjoint and ascend.
//   - The entries of an input I went to the outputs that overlap it. When one of them
//     lies deeper than I, no table that stays and overlaps I may lie on a level
//     between, for I's entries are newer than its; nor, when I comes from level 0, be
//     an older table of level 0. Timestamp ranges of deeper tables prove nothing:
//     they interleave between keys.
//   - A table placed below level 0 that overlaps no input is new data: tables above
//     it that overlap it must be newer throughout.
//
// Arrays of tables are merged in order, and spans decide almost every comparison, so
// that an edit to a large level touches few of its tables.

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "manifest/segment_map.h"

// A table that the edit removes or adds, with its object once it is known.
struct named_table {
    unsigned level;
    uint64_t id;
    const struct table_meta *meta;
    struct table *table; // of a removed one borrowed from `base`; of an added one counted
};

struct application {
    struct version *base;
    const struct edit *edit;
    struct named_table *removed; // by increasing id
    struct named_table *added;   // by increasing id until placed, then by place
    struct version *next;
    struct segment_map map;
};

static void application_release(struct application *a)
{
    if (a->added != NULL) {
        for (size_t i = 0; i < a->edit->added_count; i++)
            table_unref(a->added[i].table);
    }
    mem_free(a->added);
    mem_free(a->removed);
    segment_map_release(&a->map);
    version_unref(a->next);
}

// --- what the edit names ---

static int compare_ids(const void *left, const void *right)
{
    const struct named_table *a = left;
    const struct named_table *b = right;

    return (a->id > b->id) - (a->id < b->id);
}

static lsm_status name_tables(const struct table_change *changes, size_t count, const char *verb,
                              struct named_table **out)
{
    struct named_table *names = mem_alloc_zeroed(count, sizeof *names);

    if (names == NULL)
        return lsm_fail(LSM_NO_MEMORY, "version: %zu changes", count);
    *out = names;
    for (size_t i = 0; i < count; i++) {
        names[i].level = changes[i].level;
        names[i].id = changes[i].id;
        names[i].meta = changes[i].meta;
    }
    qsort(names, count, sizeof *names, compare_ids);
    for (size_t i = 1; i < count; i++) {
        if (names[i].id == names[i - 1].id)
            return lsm_fail(LSM_CORRUPT, "edit: table %llu is %s twice",
                            (unsigned long long)names[i].id, verb);
    }
    return LSM_OK;
}

static struct named_table *find_named(struct named_table *names, size_t count, uint64_t id)
{
    struct named_table key = {.id = id};

    if (count == 0 || id < names[0].id || id > names[count - 1].id)
        return NULL;
    return bsearch(&key, names, count, sizeof *names, compare_ids);
}

static struct named_table *find_removed(const struct application *a, uint64_t id)
{
    return find_named(a->removed, a->edit->removed_count, id);
}

// A table that moves keeps its object: the file is the same.
static lsm_status keep_object(struct named_table *added, struct table *table)
{
    const struct table_meta *known = table_meta(table);

    if (known->size != added->meta->size || !uuid_equal(&known->uuid, &added->meta->uuid))
        return lsm_fail(LSM_CORRUPT, "edit: table %llu moves and changes its file",
                        (unsigned long long)added->id);
    table_ref(table);
    added->table = table;
    added->meta = known;
    return LSM_OK;
}

// Finds the tables of `base` that the edit names.
static lsm_status match_base(struct application *a)
{
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        const struct level *level = &a->base->levels[l];

        for (size_t i = 0; i < level->count; i++) {
            uint64_t id = level->spans[i].id;
            struct named_table *removed = find_removed(a, id);
            struct named_table *added = find_named(a->added, a->edit->added_count, id);

            if (removed != NULL && removed->level == l)
                removed->table = level->tables[i];
            else if (added != NULL)
                return lsm_fail(LSM_CORRUPT, "edit: table %llu is there already",
                                (unsigned long long)id);
            if (added != NULL)
                TRY(keep_object(added, level->tables[i]));
        }
    }
    for (size_t i = 0; i < a->edit->removed_count; i++) {
        if (a->removed[i].table == NULL)
            return lsm_fail(LSM_CORRUPT, "edit: table %llu is not in level %u",
                            (unsigned long long)a->removed[i].id, a->removed[i].level);
    }
    return LSM_OK;
}

// Makes objects for the tables that are new.
static lsm_status make_tables(struct application *a, struct table_store *store)
{
    for (size_t i = 0; i < a->edit->added_count; i++) {
        CLEANUP(table_meta_freep) struct table_meta *meta = NULL;

        if (a->added[i].table != NULL)
            continue;
        TRY(table_meta_copy(a->added[i].meta, &meta));
        TRY(table_new(store, meta, &a->added[i].table));
        meta = NULL; // the table's now
    }
    return LSM_OK;
}

// --- placing tables ---

static int compare_user_keys(const struct ikey *a, const struct ikey *b)
{
    if (a->keyspace != b->keyspace)
        return a->keyspace < b->keyspace ? -1 : 1;
    return slice_compare(a->key, b->key);
}

// By level; level 0 newest first, others by smallest key.
static int compare_places(const void *left, const void *right)
{
    const struct named_table *a = left;
    const struct named_table *b = right;

    if (a->level != b->level)
        return a->level < b->level ? -1 : 1;
    if (a->level == 0)
        return (a->meta->ts_max < b->meta->ts_max) - (a->meta->ts_max > b->meta->ts_max);
    return compare_user_keys(&a->meta->smallest, &b->meta->smallest);
}

// Whether an added table comes before table `i` of its level in `base`.
static bool comes_before(const struct named_table *added, const struct level *level, size_t i)
{
    const struct table_span *span = &level->spans[i];
    const struct ikey *smallest = &added->meta->smallest;

    if (added->level == 0)
        return added->meta->ts_max > table_meta(level->tables[i])->ts_max;
    if (smallest->keyspace != span->smallest_keyspace)
        return smallest->keyspace < span->smallest_keyspace;
    if (added->meta->smallest_head != span->smallest_head)
        return added->meta->smallest_head < span->smallest_head;
    return slice_compare(smallest->key, table_meta(level->tables[i])->smallest.key) < 0;
}

static struct table_span span_of(const struct table_meta *meta)
{
    return (struct table_span){
        .id = meta->id,
        .smallest_head = meta->smallest_head,
        .largest_head = meta->largest_head,
        .smallest_keyspace = meta->smallest.keyspace,
        .largest_keyspace = meta->largest.keyspace,
    };
}

static void put_table(struct level *to, struct table *table, struct table_span span)
{
    table_ref(table);
    to->tables[to->count] = table;
    to->spans[to->count++] = span;
}

static void count_in(struct level *level, const struct table_meta *meta)
{
    level->bytes += meta->size;
    level->entries += meta->entry_count;
    level->tombstones += meta->tombstone_count;
    level->referenced_bytes += table_meta_referenced_bytes(meta);
}

static void count_out(struct level *level, const struct table_meta *meta)
{
    level->bytes -= meta->size;
    level->entries -= meta->entry_count;
    level->tombstones -= meta->tombstone_count;
    level->referenced_bytes -= table_meta_referenced_bytes(meta);
}

static lsm_status reserve_level(struct level *level, size_t capacity)
{
    level->tables = mem_alloc_zeroed(capacity, sizeof *level->tables);
    level->spans = mem_alloc_zeroed(capacity, sizeof *level->spans);
    if (level->tables == NULL || level->spans == NULL)
        return lsm_fail(LSM_NO_MEMORY, "version: %zu tables", capacity);
    return LSM_OK;
}

// Merges what stays of level `l` with `count` added tables.
static lsm_status fill_level(struct application *a, unsigned l, const struct named_table *added,
                             size_t count)
{
    const struct level *from = &a->base->levels[l];
    struct level *to = &a->next->levels[l];
    size_t used = 0;

    TRY(reserve_level(to, from->count + count));
    to->bytes = from->bytes;
    to->entries = from->entries;
    to->tombstones = from->tombstones;
    to->referenced_bytes = from->referenced_bytes;
    for (size_t i = 0; i < from->count; i++) {
        const struct named_table *removed = find_removed(a, from->spans[i].id);

        if (removed != NULL) {
            count_out(to, table_meta(removed->table));
            continue;
        }
        for (; used < count && comes_before(&added[used], from, i); used++)
            put_table(to, added[used].table, span_of(added[used].meta));
        put_table(to, from->tables[i], from->spans[i]);
    }
    for (; used < count; used++)
        put_table(to, added[used].table, span_of(added[used].meta));
    for (size_t i = 0; i < count; i++)
        count_in(to, added[i].meta);
    return LSM_OK;
}

static lsm_status fill_levels(struct application *a)
{
    size_t first = 0;

    qsort(a->added, a->edit->added_count, sizeof *a->added, compare_places);
    for (unsigned l = 0; l < LEVEL_COUNT; l++) {
        size_t end = first;

        while (end < a->edit->added_count && a->added[end].level == l)
            end++;
        TRY(fill_level(a, l, a->added + first, end - first));
        first = end;
    }
    return LSM_OK;
}

// --- checks ---

static lsm_status check_level0(const struct level *level)
{
    for (size_t i = 1; i < level->count; i++) {
        const struct table_meta *newer = table_meta(level->tables[i - 1]);
        const struct table_meta *older = table_meta(level->tables[i]);

        if (newer->ts_min <= older->ts_max)
            return lsm_fail(LSM_CORRUPT,
                            "edit: tables %llu and %llu of level 0 overlap in timestamps",
                            (unsigned long long)newer->id, (unsigned long long)older->id);
    }
    return LSM_OK;
}

// Whether all user keys of table `i` lie before those of the table behind it.
static bool is_apart(const struct level *level, size_t i)
{
    const struct table_span *a = &level->spans[i];
    const struct table_span *b = &level->spans[i + 1];

    if (a->largest_keyspace != b->smallest_keyspace)
        return a->largest_keyspace < b->smallest_keyspace;
    if (a->largest_head != b->smallest_head)
        return a->largest_head < b->smallest_head;
    return slice_compare(table_meta(level->tables[i])->largest.key,
                         table_meta(level->tables[i + 1])->smallest.key) < 0;
}

static lsm_status check_deeper(const struct level *level, unsigned l)
{
    for (size_t i = 0; i + 1 < level->count; i++) {
        if (!is_apart(level, i))
            return lsm_fail(LSM_CORRUPT, "edit: tables %llu and %llu of level %u overlap in keys",
                            (unsigned long long)level->spans[i].id,
                            (unsigned long long)level->spans[i + 1].id, l);
    }
    return LSM_OK;
}

static bool metas_overlap(const struct table_meta *a, const struct table_meta *b)
{
    return compare_user_keys(&a->smallest, &b->largest) <= 0 &&
           compare_user_keys(&b->smallest, &a->largest) <= 0;
}

// A table of level `l` of `base` that overlaps `meta`, stays, and has entries as old
// as `ts`; or NULL.
static const struct table_meta *find_staying(const struct application *a, unsigned l,
                                             const struct table_meta *meta, uint64_t ts)
{
    const struct level *level = &a->base->levels[l];
    size_t i = 0;
    size_t end = level->count;

    if (l > 0) {
        i = level_first_ending_at(level, meta->smallest.keyspace, meta->smallest.key);
        end = level_first_starting_behind(level, meta->largest.keyspace, meta->largest.key);
    }
    for (; i < end; i++) {
        const struct table_meta *other = table_meta(level->tables[i]);

        if (other->ts_min <= ts && find_removed(a, other->id) == NULL && metas_overlap(other, meta))
            return other;
    }
    return NULL;
}

static lsm_status fail_below(const struct table_meta *placed, unsigned level,
                             const struct table_meta *older)
{
    return lsm_fail(LSM_CORRUPT,
                    "edit: entries of table %llu are placed in level %u, below table %llu, "
                    "which may be older and overlaps",
                    (unsigned long long)placed->id, level, (unsigned long long)older->id);
}

// The deepest level that entries of an input went to, or the input's own.
static unsigned deepest_output(const struct application *a, const struct named_table *input)
{
    const struct table_meta *meta = table_meta(input->table);
    unsigned deepest = input->level;

    for (size_t i = 0; i < a->edit->added_count; i++) {
        if (a->added[i].level > deepest && metas_overlap(a->added[i].meta, meta))
            deepest = a->added[i].level;
    }
    return deepest;
}

static lsm_status check_input(const struct application *a, const struct named_table *input)
{
    const struct table_meta *meta = table_meta(input->table);
    unsigned deepest = deepest_output(a, input);
    const struct table_meta *older = NULL;

    if (input->level == 0 && deepest > 0)
        older = find_staying(a, 0, meta, meta->ts_max);
    for (unsigned l = input->level + 1; l < deepest && older == NULL; l++)
        older = find_staying(a, l, meta, TS_MAX);
    return older == NULL ? LSM_OK : fail_below(meta, deepest, older);
}

static bool overlaps_input(const struct application *a, const struct table_meta *meta)
{
    for (size_t i = 0; i < a->edit->removed_count; i++) {
        if (metas_overlap(table_meta(a->removed[i].table), meta))
            return true;
    }
    return false;
}

// A table of new data.
static lsm_status check_new(const struct application *a, const struct named_table *added)
{
    const struct table_meta *older = NULL;

    for (unsigned l = 0; l < added->level && older == NULL; l++)
        older = find_staying(a, l, added->meta, added->meta->ts_max);
    return older == NULL ? LSM_OK : fail_below(added->meta, added->level, older);
}

static lsm_status check_order(const struct application *a)
{
    TRY(check_level0(&a->next->levels[0]));
    for (unsigned l = 1; l < LEVEL_COUNT; l++)
        TRY(check_deeper(&a->next->levels[l], l));
    for (size_t i = 0; i < a->edit->removed_count; i++)
        TRY(check_input(a, &a->removed[i]));
    for (size_t i = 0; i < a->edit->added_count; i++) {
        if (a->added[i].level > 0 && !overlaps_input(a, a->added[i].meta))
            TRY(check_new(a, &a->added[i]));
    }
    return LSM_OK;
}

// --- segments ---

static lsm_status change_segments(struct application *a, struct segment_store *store,
                                  struct segment_set **dropped)
{
    TRY(segment_map_init(&a->map, a->base, a->edit));
    TRY(segment_map_change_log(&a->map, a->edit, store));
    for (size_t i = 0; i < a->edit->removed_count; i++)
        segment_map_subtract(&a->map, table_meta(a->removed[i].table));
    for (size_t i = 0; i < a->edit->added_count; i++)
        TRY(segment_map_add(&a->map, a->added[i].meta));
    return segment_map_settle(&a->map, a->edit, dropped);
}

lsm_status version_apply(struct version *base, const struct edit *edit, struct table_store *tables,
                         struct segment_store *segments, struct version **out,
                         struct segment_set **dropped)
{
    CLEANUP(application_release) struct application a = {.base = base, .edit = edit};

    TRY(name_tables(edit->removed, edit->removed_count, "removed", &a.removed));
    TRY(name_tables(edit->added, edit->added_count, "added", &a.added));
    TRY(match_base(&a));
    TRY(make_tables(&a, tables));
    TRY(version_new(base->bin, &a.next));
    TRY(fill_levels(&a));
    TRY(check_order(&a));
    TRY(change_segments(&a, segments, dropped)); // last: nothing fails behind it
    a.next->edit_number = edit->number;
    a.next->segments = a.map.uses;
    a.next->segment_count = a.map.count;
    a.map = (struct segment_map){.uses = NULL}; // given away
    *out = MOVE(a.next);
    return LSM_OK;
}

// test_view.c -- how the current view changes, and what it keeps alive.

#include "manifest/view.h"

#include "base/hash.h"
#include "manifest_fixture.h"
#include "support/alloc_fault.h"

static struct sim *sim;
static struct stores stores;
static struct views views;
static struct version *version;

static struct logged_memtable *new_memtable(uint64_t offset)
{
    struct logged_memtable *lm;

    assert_ok(logged_memtable_new(&stores.bin, 0, (struct log_position){1, offset}, &lm));
    return lm;
}

static void setup(void)
{
    struct logged_memtable *active;

    sim = sim_with_dir(1);
    stores_open(&stores, sim);
    assert_ok(version_new(&stores.bin, &version));
    active = new_memtable(0);
    assert_ok(views_init(&views, &stores.bin, active, version));
    logged_memtable_unref(active);
}

static void teardown(void)
{
    views_release(&views);
    version_unref(version);
    stores_close(&stores);
    sim_free(sim);
}

TestSuite(view, .init = setup, .fini = teardown);

static void push(uint64_t offset)
{
    struct logged_memtable *lm = new_memtable(offset);

    assert_ok(views_push_memtable(&views, lm));
    logged_memtable_unref(lm);
}

static void assert_memtables(size_t count, const uint64_t *offsets)
{
    struct view *view = views_acquire(&views);

    cr_assert(eq(sz, view->memtable_count, count));
    for (size_t i = 0; i < count; i++)
        cr_assert(eq(u64, view->memtables[i]->start.offset, offsets[i]));
    view_unref(view);
}

#define ASSERT_MEMTABLES(...)                                                                      \
    assert_memtables(sizeof((uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t),                         \
                     (uint64_t[]){__VA_ARGS__})

Test(view, the_pushed_memtable_is_active_and_the_others_follow_newest_first)
{
    ASSERT_MEMTABLES(0);
    push(10);
    push(20);
    ASSERT_MEMTABLES(20, 10, 0);
}

Test(view, installing_drops_the_oldest_memtables)
{
    struct view_slot *slot;
    struct version *next;
    struct view *view;

    push(10);
    push(20);
    assert_ok(version_new(&stores.bin, &next));
    assert_ok(views_prepare(&views, &slot));
    views_install(&views, slot, next, 2);
    ASSERT_MEMTABLES(20);
    view = views_acquire(&views);
    cr_assert(view->version == next);
    view_unref(view);
    version_unref(next);
}

// Memtables that come while an edit is being written do not make installing fail.
Test(view, a_slot_has_room_for_memtables_pushed_after_it_was_reserved)
{
    struct view_slot *first, *second, *unused;
    struct version *next;

    assert_ok(version_new(&stores.bin, &next));
    assert_ok(views_prepare(&views, &first));
    assert_ok(views_prepare(&views, &unused));
    push(10);
    assert_ok(views_prepare(&views, &second));
    for (uint64_t i = 2; i < 20; i++)
        push(10 * i);
    views_install(&views, first, next, 1);
    view_slot_free(unused);
    views_install(&views, second, next, 17);
    ASSERT_MEMTABLES(190, 180);
    version_unref(next);
    view_slot_free(NULL);
}

Test(view, a_reference_keeps_what_the_view_holds)
{
    struct view *view = views_acquire(&views);
    struct view_slot *slot;
    struct version *next;
    struct entry entry = {
        .keyspace = 1, .kind = ENTRY_VALUE, .ts = 5, .key = slice_of("k"), .value = slice_of("v")};
    struct ikey target = {1, slice_of("k"), TS_MAX};
    struct entry found;

    entry.head = slice_head(entry.key);
    assert_ok(memtable_reserve(view->memtables[0]->mem, 1, 2, 1));
    memtable_insert(view->memtables[0]->mem, &entry, key_hash(1, entry.key));
    push(10);
    assert_ok(version_new(&stores.bin, &next));
    assert_ok(views_prepare(&views, &slot));
    views_install(&views, slot, next, 1);
    version_unref(next);
    epoch_drain(&stores.bin);
    cr_assert(view->version == version);
    cr_assert(memtable_get(view->memtables[0]->mem, &target, key_hash(1, target.key), &found));
    cr_assert(slice_equal(found.value, slice_of("v")));
    view_unref(view);
    view_unref(NULL);
}

Test(view, pointers_resolve_through_the_memtable_or_the_version)
{
    struct log_link links[3] = {link_of(1, 0), link_of(2, 0), link_of(3, 0)};
    struct segment *segments[3];
    struct version *next;
    struct view_slot *slot;
    struct view *view;
    struct edit edit;

    for (int i = 0; i < 3; i++)
        assert_ok(segment_new(&stores.segments, links[i].id, &links[i].uuid, 0, &segments[i]));
    edit_init(&edit);
    edit_set_log(&edit, 1, 1);
    edit.chain_segments = segments;
    assert_ok(version_apply(version, &edit, &stores.tables, &stores.segments, &next, NULL));
    edit_release(&edit);
    push(10);
    view = views_acquire(&views);
    cr_assert(logged_memtable_find_segment(view->memtables[0], 2) == NULL);
    assert_ok(logged_memtable_add_segment(view->memtables[0], segments[2]));
    assert_ok(logged_memtable_add_segment(view->memtables[0], segments[1]));
    assert_ok(logged_memtable_add_segment(view->memtables[0], segments[1]));
    assert_ok(logged_memtable_add_segment(view->memtables[1], segments[1]));
    view_unref(view);
    assert_ok(views_prepare(&views, &slot));
    views_install(&views, slot, next, 0);
    version_unref(next);
    for (int i = 0; i < 3; i++)
        segment_unref(segments[i]); // the view holds them
    epoch_drain(&stores.bin);
    {
        EPOCH_SECTION();
        struct view *now = views_current(&views);

        cr_assert(view_find_segment(now, 0, 2) == segments[1]);
        cr_assert(view_find_segment(now, 0, 3) == segments[2]);
        cr_assert(view_find_segment(now, 1, 2) == segments[1]);
        cr_assert(view_find_segment(now, 1, 3) == NULL);
        cr_assert(view_find_segment(now, -1, 1) == segments[0]);
        cr_assert(view_find_segment(now, -1, 2) == NULL);
        cr_assert(eq(sz, atomic_load(&now->memtables[0]->segments)->count, 2));
    }
}

Test(view, a_slot_made_while_there_were_more_memtables_serves_fewer)
{
    struct view_slot *first, *second;
    struct version *next;

    assert_ok(version_new(&stores.bin, &next));
    push(10);
    push(20);
    assert_ok(views_prepare(&views, &first));
    assert_ok(views_prepare(&views, &second));
    views_install(&views, first, next, 2);
    push(30);
    views_install(&views, second, next, 0);
    ASSERT_MEMTABLES(30, 20);
    version_unref(next);
}

// Slots are given back in any order.
Test(view, a_slot_leaves_the_others_as_they_are)
{
    struct view_slot *slots[3];
    struct version *next;

    assert_ok(version_new(&stores.bin, &next));
    for (int i = 0; i < 3; i++)
        assert_ok(views_prepare(&views, &slots[i]));
    view_slot_free(slots[1]);
    push(10);
    view_slot_free(slots[2]);
    push(20);
    views_install(&views, slots[0], next, 1);
    ASSERT_MEMTABLES(20, 10);
    version_unref(next);
}

Test(view_memory, out_of_memory_changes_nothing)
{
    cr_assert(alloc_fault_install());
    setup();
    ALLOC_FAULT_EACH({
        struct view_slot *slot = NULL;
        struct logged_memtable *lm = NULL;
        struct view *before = views_acquire(&views);
        struct view *after;
        lsm_status status = views_prepare(&views, &slot);

        if (status == LSM_OK)
            status = logged_memtable_new(&stores.bin, 0, (struct log_position){1, 1}, &lm);
        if (status == LSM_OK)
            status = views_push_memtable(&views, lm);
        after = views_acquire(&views);
        if (status != LSM_OK) {
            assert_status(status, LSM_NO_MEMORY);
            cr_assert(alloc_fault_was_hit());
            cr_assert(before == after);
            view_slot_free(slot);
        } else {
            views_install(&views, slot, version, 1); // cannot fail
            cr_assert(before != after);
        }
        view_unref(before);
        view_unref(after);
        logged_memtable_unref(lm);
    });
    ASSERT_MEMTABLES(1);
    teardown();
}

Test(view_memory, out_of_memory_adds_no_segment_and_makes_no_views)
{
    struct log_link link = link_of(1, 0);
    struct logged_memtable *lm;
    struct segment *segment;
    struct views others;

    cr_assert(alloc_fault_install());
    setup();
    lm = new_memtable(5);
    assert_ok(segment_new(&stores.segments, 1, &link.uuid, 0, &segment));
    ALLOC_FAULT_EACH({
        lsm_status status = logged_memtable_add_segment(lm, segment);
        EPOCH_SECTION();

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
        cr_assert(logged_memtable_find_segment(lm, 1) == (status == LSM_OK ? segment : NULL));
    });
    ALLOC_FAULT_EACH({
        lsm_status status = views_init(&others, &stores.bin, lm, version);

        assert_status(status, alloc_fault_was_hit() ? LSM_NO_MEMORY : LSM_OK);
    });
    views_release(&others);
    segment_unref(segment);
    logged_memtable_unref(lm);
    teardown();
}

// test_merge.c -- many cursors as one, compared with a sorted array.

#include "base/merge.h"
#include <assert.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "support/alloc_fault.h"
#include "support/array_iter.h"
#include "support/random.h"

#define CHILDREN_MAX 12
#define ENTRIES_MAX  400

// An entry and the child it is in, whose number is also the entry's value.
struct item {
    struct entry entry;
    uint8_t child;
    char key[12];
};

// The same items as the children have them and in the order of either direction.
struct fixture {
    size_t children;
    size_t count;
    struct item items[ENTRIES_MAX];
    const struct item *forward[ENTRIES_MAX];
    const struct item *backward[ENTRIES_MAX];
    struct entry runs[CHILDREN_MAX][ENTRIES_MAX];
    struct array_iter_control control;
    struct iter *merge;
    const struct item *at; // where the merge should be, NULL: not valid
};

static struct fixture f;

static int by_order(const struct item *a, const struct item *b, int direction)
{
    int order = direction * entry_compare(&a->entry, &b->entry);

    return order != 0 ? order : (a->child > b->child) - (a->child < b->child);
}

static int by_forward(const void *a, const void *b)
{
    return by_order(*(const struct item *const *)a, *(const struct item *const *)b, 1);
}

static int by_backward(const void *a, const void *b)
{
    return by_order(*(const struct item *const *)a, *(const struct item *const *)b, -1);
}

static void fixture_item(struct item *item, uint8_t child, uint32_t keyspace, const char *key,
                         uint64_t ts)
{
    *item = (struct item){.child = child};
    assert(strlen(key) < sizeof item->key);
    memcpy(item->key, key, strlen(key) + 1);
    item->entry = (struct entry){.keyspace = keyspace,
                                 .kind = ENTRY_VALUE,
                                 .ts = ts,
                                 .head = slice_head(slice_of(item->key)),
                                 .key = slice_of(item->key),
                                 .value = slice_make(&item->child, 1)};
}

// Sorts the items and joins one cursor per child.
static void fixture_join(void)
{
    struct iter *children[CHILDREN_MAX];
    size_t sizes[CHILDREN_MAX] = {0};

    for (size_t i = 0; i < f.count; i++)
        f.forward[i] = f.backward[i] = &f.items[i];
    qsort(f.forward, f.count, sizeof f.forward[0], by_forward);
    qsort(f.backward, f.count, sizeof f.backward[0], by_backward);
    for (size_t i = 0; i < f.count; i++) {
        uint8_t child = f.forward[i]->child;

        f.runs[child][sizes[child]++] = f.forward[i]->entry;
    }
    for (size_t i = 0; i < f.children; i++)
        children[i] = array_iter_new(f.runs[i], sizes[i], &f.control);
    cr_assert(merge_new(children, f.children, &f.merge) == LSM_OK);
}

static void random_target(struct random *random, struct item *item, uint8_t child)
{
    char key[12] = {0};
    size_t size = random_below(random, 11);

    // Few different bytes: keys that differ behind their heads and share prefixes.
    for (size_t i = 0; i < size; i++)
        key[i] = (char)('a' + random_below(random, i < 7 ? 1 : 4));
    fixture_item(item, child, (uint32_t)random_below(random, 2), key, random_below(random, 5));
}

static bool is_taken(const struct item *item, size_t count, bool in_any_child)
{
    for (size_t i = 0; i < count; i++) {
        if ((in_any_child || f.items[i].child == item->child) &&
            entry_compare(&f.items[i].entry, &item->entry) == 0)
            return true;
    }
    return false;
}

// Random items in runs, so that one child wins for a while; with `shared`, children
// may have the same entry.
static void fixture_fill(struct random *random, size_t children, size_t count, bool shared)
{
    uint8_t child = 0;

    f = (struct fixture){.children = children};
    for (size_t i = 0; i < count && children > 0; i++) {
        if (random_one_in(random, 3))
            child = (uint8_t)random_below(random, children);
        random_target(random, &f.items[f.count], child);
        if (!is_taken(&f.items[f.count], f.count, !shared))
            f.count++;
    }
    fixture_join();
}

static void fixture_close(void)
{
    iter_close(f.merge);
    cr_assert(eq(sz, f.control.closed, f.children));
}

static void check_here(void)
{
    cr_assert(eq(int, f.merge->is_valid, f.at != NULL));
    if (f.at == NULL)
        return;
    cr_assert(entry_compare(&f.merge->entry, &f.at->entry) == 0);
    cr_assert(eq(u8, *(const uint8_t *)f.merge->entry.value.data, f.at->child));
}

// The item behind `item` in `order`, or its first for NULL.
static const struct item *item_after(const struct item *const *order, const struct item *item)
{
    size_t i = 0;

    while (item != NULL && order[i++] != item)
        ;
    return i < f.count ? order[i] : NULL;
}

static void move_first(void)
{
    cr_assert(iter_first(f.merge) == LSM_OK);
    f.at = item_after(f.forward, NULL);
    check_here();
}

static void move_last(void)
{
    cr_assert(iter_last(f.merge) == LSM_OK);
    f.at = item_after(f.backward, NULL);
    check_here();
}

static void move_seek(const struct item *target)
{
    const struct ikey key = entry_ikey(&target->entry);

    cr_assert(iter_seek(f.merge, &key) == LSM_OK);
    f.at = item_after(f.forward, NULL);
    while (f.at != NULL && entry_compare(&f.at->entry, &target->entry) < 0)
        f.at = item_after(f.forward, f.at);
    check_here();
}

static void move_seek_for_prev(const struct item *target)
{
    const struct ikey key = entry_ikey(&target->entry);

    cr_assert(iter_seek_for_prev(f.merge, &key) == LSM_OK);
    f.at = item_after(f.backward, NULL);
    while (f.at != NULL && entry_compare(&f.at->entry, &target->entry) > 0)
        f.at = item_after(f.backward, f.at);
    check_here();
}

static void move_next(void)
{
    cr_assert(iter_next(f.merge) == LSM_OK);
    f.at = item_after(f.forward, f.at);
    check_here();
}

static void move_prev(void)
{
    cr_assert(iter_prev(f.merge) == LSM_OK);
    f.at = item_after(f.backward, f.at);
    check_here();
}

static void move_at_random(struct random *random)
{
    size_t steps = random_one_in(random, 4) ? random_below(random, 40) : random_below(random, 4);
    struct item target;

    random_target(random, &target, 0);
    switch (random_below(random, 12)) {
    case 0:
        move_first();
        break;
    case 1:
        move_last();
        break;
    case 2:
        move_seek(&target);
        break;
    case 3:
        move_seek_for_prev(&target);
        break;
    case 4 ... 7:
        while (f.at != NULL && steps-- > 0)
            move_next();
        break;
    default:
        while (f.at != NULL && steps-- > 0)
            move_prev();
    }
}

static void check_random_moves(const char *test, bool shared)
{
    struct random random = random_for_test(test);

    for (int round = 0; round < 500; round++) {
        fixture_fill(&random, random_below(&random, CHILDREN_MAX + 1),
                     random_below(&random, random_one_in(&random, 4) ? ENTRIES_MAX : 30), shared);
        for (int move = 0; move < 150; move++)
            move_at_random(&random);
        fixture_close();
    }
}

Test(merge, agrees_with_a_sorted_array_over_random_moves)
{
    check_random_moves(__func__, false);
}

Test(merge, equal_entries_come_by_child_in_both_directions)
{
    check_random_moves(__func__, true);
}

Test(merge, of_nothing_is_empty)
{
    struct random random = {0};
    struct item target;

    random_target(&random, &target, 0);
    f = (struct fixture){0};
    fixture_join();
    cr_assert(not(f.merge->is_valid));
    move_first();
    move_last();
    move_seek(&target);
    move_seek_for_prev(&target);
    fixture_close();
}

Test(merge, of_one_cursor_is_that_cursor)
{
    struct array_iter_control control = {0};
    struct iter *child = array_iter_new(NULL, 0, &control);
    struct iter *merge;

    cr_assert(merge_new(&child, 1, &merge) == LSM_OK);
    cr_assert(eq(ptr, merge, child));
    iter_close(merge);
    cr_assert(eq(sz, control.closed, 1));
}

Test(merge, of_empty_cursors_is_empty)
{
    f = (struct fixture){.children = 5};
    fixture_join();
    move_first();
    move_last();
    fixture_close();
}

// One child at a time holds a whole range: it keeps winning without the others.
Test(merge, a_run_of_one_child_moves_no_other)
{
    size_t moves;

    f = (struct fixture){.children = 4, .count = 200};
    for (size_t i = 0; i < f.count; i++) {
        char key[24];

        snprintf(key, sizeof key, "%04zu", i);
        fixture_item(&f.items[i], (uint8_t)(i / 50), 1, key, 1);
    }
    fixture_join();
    move_first();
    moves = f.control.moves;
    while (f.at != NULL)
        move_next();
    cr_assert(eq(sz, f.control.moves - moves, 200));
    fixture_close();
}

Test(merge, a_turn_at_every_entry_stays_in_step)
{
    struct random random = random_for_test(__func__);

    fixture_fill(&random, 5, 60, false);
    move_first();
    for (size_t i = 1; i + 1 < f.count; i++) {
        move_next();
        move_next();
        move_prev();
    }
    for (size_t i = 2; i + 1 < f.count; i++) {
        move_prev();
        move_prev();
        move_next();
    }
    fixture_close();
}

// Lets the first move of a child fail, then the second and so on, in the middle of
// walks with turns. The failure comes out, and any positioning starts anew.
Test(merge, a_failing_child_is_reported_and_positioning_recovers)
{
    struct random random = random_for_test(__func__);

    fixture_fill(&random, 4, 40, false);
    for (size_t n = 1; n < 120; n++) {
        lsm_status status;

        f.control.fail_at = 0;
        move_last();
        f.control.fail_at = n;
        do {
            if (!f.merge->is_valid || random_one_in(&random, 30))
                status = iter_first(f.merge);
            else if (random_one_in(&random, 2))
                status = iter_next(f.merge);
            else
                status = iter_prev(f.merge);
        } while (status == LSM_OK);
        cr_assert(status == LSM_IO);
        cr_assert(not(f.merge->is_valid));
        cr_assert(strstr(lsm_errmsg(), "told to fail") != NULL);
        move_first();
        while (f.at != NULL)
            move_next();
    }
    fixture_close();
}

Test(merge, short_of_memory_the_caller_keeps_the_cursors)
{
    struct array_iter_control control = {0};
    struct iter *children[2] = {array_iter_new(NULL, 0, &control),
                                array_iter_new(NULL, 0, &control)};
    struct iter *merge = NULL;

    cr_assert(alloc_fault_install());
    alloc_fault_at(1, true);
    cr_assert(merge_new(children, 2, &merge) == LSM_NO_MEMORY);
    cr_assert(merge == NULL);
    cr_assert(eq(sz, control.closed, 0));
    iter_close(children[0]);
    iter_close(children[1]);
}

// merge.c -- a loser tree over cursors.
//
// The children are the leaves of a binary tree in heap order: inner nodes 1 to
// count - 1, leaf i at place count + i. In every inner node two children meet; it
// keeps the loser and sends the winner up. Once the overall winner has moved, only
// the losers on its way to the root can beat it: one comparison per level.
//
// Runs of entries from one child are common (levels overlap little), so the second
// win in a row looks up the runner-up, the best of those losers; as long as the
// winner stays before it, a move costs one comparison and the tree stays as it is.
//
// All children stand at or behind the merge's entry in the direction of travel,
// the winner at it. A turn positions the others on the other side of the entry
// first and moves the winner last, since the entry borrows from the winner.

#include "base/merge.h"

#include <assert.h>

#include "base/alloc.h"

#define NOBODY UINT32_MAX

// Child `i`, and inner node `i` of the tree.
struct merge_node {
    struct iter *child;
    uint32_t loser;  // of the children that met here
    uint32_t winner; // of them, as of the last build
};

struct merge {
    struct iter iter;
    uint32_t count;
    uint32_t winner;
    uint32_t runner_up; // NOBODY while it is not known
    bool is_backward;
    struct merge_node nodes[];
};

// Whether child `a` comes before child `b` in the direction of travel; a child at
// its end comes after all others.
static bool comes_before(const struct merge *m, uint32_t a, uint32_t b)
{
    const struct iter *x = m->nodes[a].child;
    const struct iter *y = m->nodes[b].child;
    int order;

    if (UNLIKELY(!x->is_valid || !y->is_valid))
        return x->is_valid;
    order = entry_compare(&x->entry, &y->entry);
    if (UNLIKELY(order == 0))
        return a < b;
    return (order < 0) != m->is_backward;
}

// The child that won at `place` of the tree.
static uint32_t winner_at(const struct merge *m, uint32_t place)
{
    return place < m->count ? m->nodes[place].winner : place - m->count;
}

static void tree_build(struct merge *m)
{
    for (uint32_t place = m->count - 1; place > 0; place--) {
        uint32_t left = winner_at(m, 2 * place);
        uint32_t right = winner_at(m, 2 * place + 1);
        bool left_wins = comes_before(m, left, right);

        m->nodes[place].winner = left_wins ? left : right;
        m->nodes[place].loser = left_wins ? right : left;
    }
    m->winner = winner_at(m, 1);
    m->runner_up = NOBODY;
}

// Finds the winner after the last one has moved.
static void tree_replay(struct merge *m)
{
    uint32_t winner = m->winner;

    for (uint32_t place = (m->count + m->winner) / 2; place > 0; place /= 2) {
        uint32_t loser = m->nodes[place].loser;

        if (comes_before(m, loser, winner)) {
            m->nodes[place].loser = winner;
            winner = loser;
        }
    }
    m->winner = winner;
}

static void find_runner_up(struct merge *m)
{
    uint32_t place = (m->count + m->winner) / 2;
    uint32_t best = m->nodes[place].loser;

    while ((place /= 2) > 0) {
        if (comes_before(m, m->nodes[place].loser, best))
            best = m->nodes[place].loser;
    }
    m->runner_up = best;
}

static void winner_moved(struct merge *m)
{
    uint32_t before = m->winner;

    if (m->runner_up != NOBODY && comes_before(m, m->winner, m->runner_up))
        return;
    tree_replay(m);
    if (m->winner == before)
        find_runner_up(m);
    else
        m->runner_up = NOBODY;
}

// Shows the winner's entry as the merge's.
static lsm_status show_winner(struct merge *m)
{
    const struct iter *child = m->nodes[m->winner].child;

    m->iter.is_valid = child->is_valid;
    if (child->is_valid)
        m->iter.entry = child->entry;
    return LSM_OK;
}

// Finds and shows the winner after all children have been positioned.
static lsm_status merge_settle(struct merge *m)
{
    if (m->count == 0)
        return LSM_OK;
    tree_build(m);
    return show_winner(m);
}

static lsm_status child_step(struct merge *m, uint32_t i)
{
    struct iter *child = m->nodes[i].child;

    return m->is_backward ? iter_prev(child) : iter_next(child);
}

static lsm_status child_seek(struct merge *m, uint32_t i, const struct ikey *target)
{
    struct iter *child = m->nodes[i].child;

    return m->is_backward ? iter_seek_for_prev(child, target) : iter_seek(child, target);
}

static lsm_status merge_edge(struct merge *m, bool is_backward)
{
    m->iter.is_valid = false;
    m->is_backward = is_backward;
    for (uint32_t i = 0; i < m->count; i++) {
        struct iter *child = m->nodes[i].child;

        TRY(is_backward ? iter_last(child) : iter_first(child));
    }
    return merge_settle(m);
}

static lsm_status merge_first(struct iter *it)
{
    return merge_edge((struct merge *)it, false);
}

static lsm_status merge_last(struct iter *it)
{
    return merge_edge((struct merge *)it, true);
}

static lsm_status merge_position(struct merge *m, const struct ikey *target, bool is_backward)
{
    m->iter.is_valid = false;
    m->is_backward = is_backward;
    for (uint32_t i = 0; i < m->count; i++)
        TRY(child_seek(m, i, target));
    return merge_settle(m);
}

static lsm_status merge_seek(struct iter *it, const struct ikey *target)
{
    return merge_position((struct merge *)it, target, false);
}

static lsm_status merge_seek_for_prev(struct iter *it, const struct ikey *target)
{
    return merge_position((struct merge *)it, target, true);
}

// Moves past the merge's entry in the direction opposite to the one so far.
static lsm_status merge_turn(struct merge *m)
{
    const struct ikey here = entry_ikey(&m->iter.entry);

    m->is_backward = !m->is_backward;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct iter *child = m->nodes[i].child;

        if (i == m->winner)
            continue;
        TRY(child_seek(m, i, &here));
        // Among equal entries those of lower children come first, both ways.
        if (child->is_valid && i < m->winner && entry_compare(&child->entry, &m->iter.entry) == 0)
            TRY(child_step(m, i));
    }
    TRY(child_step(m, m->winner));
    return merge_settle(m);
}

static lsm_status merge_step(struct merge *m, bool is_backward)
{
    assert(m->iter.is_valid);
    m->iter.is_valid = false;
    if (m->is_backward != is_backward)
        return merge_turn(m);
    TRY(child_step(m, m->winner));
    winner_moved(m);
    return show_winner(m);
}

static lsm_status merge_next(struct iter *it)
{
    return merge_step((struct merge *)it, false);
}

static lsm_status merge_prev(struct iter *it)
{
    return merge_step((struct merge *)it, true);
}

static void merge_close(struct iter *it)
{
    struct merge *m = (struct merge *)it;

    for (uint32_t i = 0; i < m->count; i++)
        iter_close(m->nodes[i].child);
    mem_free(m);
}

static const struct iter_ops merge_ops = {
    .first = merge_first,
    .last = merge_last,
    .seek = merge_seek,
    .seek_for_prev = merge_seek_for_prev,
    .next = merge_next,
    .prev = merge_prev,
    .close = merge_close,
};

lsm_status merge_new(struct iter *const *children, size_t count, struct iter **out)
{
    const size_t size = sizeof(struct merge) + count * sizeof(struct merge_node);
    struct merge *m;

    assert(count < UINT32_MAX / 2);
    if (count == 1) {
        *out = children[0]; // is its own merge
        return LSM_OK;
    }
    m = mem_alloc(size);
    if (m == NULL)
        return lsm_fail(LSM_NO_MEMORY, "merge: %zu bytes for %zu cursors", size, count);
    *m = (struct merge){.iter = {.ops = &merge_ops}, .count = (uint32_t)count};
    for (size_t i = 0; i < count; i++)
        m->nodes[i] = (struct merge_node){.child = children[i]};
    *out = &m->iter;
    return LSM_OK;
}

// test_reducer.c -- lists of operations: their text, making them small, and that the whole
// chain finds a reference that is wrong.

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

#include "model/op_failure.h"
#include "model/op_generator.h"
#include "model/op_reducer.h"

static struct op_list generate(uint64_t seed, size_t count)
{
    struct random random = {.state = seed};
    struct op_list list = {0};

    option_set_add(&list, 1, &random);
    op_generate(&list, &random, count);
    return list;
}

Test(reducer, a_list_is_read_back_as_it_was_printed)
{
    struct op_list list = generate(1, 2000);
    struct op_list read = {0};
    FILE *file = tmpfile();

    op_list_print(&list, file);
    rewind(file);
    cr_assert(op_list_read(&read, file));
    fclose(file);
    cr_assert(eq(sz, read.count, list.count));
    for (size_t i = 0; i < list.count; i++)
        cr_assert(memcmp(&read.ops[i], &list.ops[i], sizeof read.ops[i]) == 0, "line %zu", i);
    op_list_release(&list);
    op_list_release(&read);
}

Test(reducer, a_line_that_is_no_operation_is_refused)
{
    struct op op;

    cr_assert(op_parse("put key=3 size=7\n", &op));
    cr_assert(eq(int, op.kind, OP_PUT));
    cr_assert(eq(u32, op.field[F_KEY], 3));
    cr_assert(eq(u32, op.field[F_SIZE], 7));
    cr_assert(not(op_parse("pud key=3\n", &op)));
    cr_assert(not(op_parse("put colour=3\n", &op)));
    cr_assert(not(op_parse("put key=\n", &op)));
    cr_assert(not(op_parse("put key 3\n", &op)));
}

// Fails when a put of a key above 7 comes before a flush, and that before a crash.
static bool has_pattern(void *ctx, const struct op_list *list)
{
    size_t *tries = ctx;
    unsigned found = 0;

    ++*tries;
    for (size_t i = 0; i < list->count; i++) {
        const struct op *op = &list->ops[i];

        if ((found == 0 && op->kind == OP_PUT && op->field[F_KEY] > 7) ||
            (found == 1 && op->kind == OP_FLUSH) || (found == 2 && op->kind == OP_CRASH))
            found++;
    }
    return found == 3;
}

static struct op_list generate_pattern(void)
{
    struct op_list list = {0};
    size_t tries = 0;

    for (uint64_t seed = 1; !has_pattern(&tries, &list); seed++) {
        op_list_release(&list);
        list = generate(seed, 3000);
    }
    return list;
}

Test(reducer, what_fails_is_left_and_nothing_else)
{
    struct op_list list = generate_pattern();
    size_t tries = 0;

    const size_t calls = op_reduce(&list, has_pattern, &tries, SIZE_MAX);

    cr_assert(eq(sz, calls, tries));
    cr_assert(eq(sz, list.count, 3));
    cr_assert(eq(int, list.ops[0].kind, OP_PUT));
    cr_assert(lt(u32, list.ops[0].field[F_KEY], 16)); // half of it would not do
    cr_assert(eq(u32, list.ops[0].field[F_SIZE], 0));
    cr_assert(eq(int, list.ops[1].kind, OP_FLUSH));
    cr_assert(eq(int, list.ops[2].kind, OP_CRASH));
    cr_assert(eq(u32, list.ops[2].field[F_N], 0));
    op_list_release(&list);
}

Test(reducer, the_bound_on_tries_is_kept)
{
    struct op_list list = generate_pattern();
    size_t tries = 0;

    cr_assert(eq(sz, op_reduce(&list, has_pattern, &tries, 5), 5));
    cr_assert(has_pattern(&tries, &list));
    op_list_release(&list);
}

// --- the whole chain ---

#define LISTS_MAX 200 // of which one shows a mistake: most need far fewer

// Finds a difference that a wrong reference makes, and reduces it.
static void find_and_reduce(enum ref_mistake mistake, size_t ops_max)
{
    struct op_list list = {0};
    bool is_found = false;

    for (uint64_t seed = 1; seed <= LISTS_MAX && !is_found; seed++) {
        op_list_release(&list);
        list = generate(seed, 800);
        is_found = !round_run_apart(&list, mistake, true, NULL).is_equal;
    }
    cr_assert(is_found, "mistake %d is not noticed", (int)mistake);
    failure_reduce(&list, mistake);
    cr_assert(le(sz, list.count, ops_max));
    cr_assert(not(round_run_apart(&list, mistake, true, NULL).is_equal));
    cr_assert(round_run_apart(&list, REF_RIGHT, true, NULL).is_equal);
    op_list_release(&list);
}

Test(reducer, a_reference_that_keeps_what_was_rolled_back_is_noticed)
{
    find_and_reduce(REF_ROLLBACK_KEEPS, 6);
}

Test(reducer, a_reference_in_which_nothing_expires_is_noticed)
{
    find_and_reduce(REF_EXPIRY_STAYS, 4);
}

Test(reducer, a_reference_that_includes_the_upper_bound_is_noticed)
{
    find_and_reduce(REF_UPPER_INCLUDED, 5);
}

Test(reducer, a_reference_in_which_dropped_keyspaces_come_back_is_noticed)
{
    find_and_reduce(REF_DROP_KEEPS, 7);
}

Test(reducer, a_reference_with_phantoms_is_noticed)
{
    find_and_reduce(REF_PHANTOMS, 8);
}

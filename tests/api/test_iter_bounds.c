// test_iter_bounds.c -- ranges with either kind of end, as test suites of other stores ask for
// them: gt, gte, lt, lte, in both directions and with a limit.

#include "support/db_fixture.h"

static struct db_fixture f;

static uint8_t longest[LSM_KEY_SIZE_MAX]; // the greatest key there can be

static void setup(void)
{
    db_fixture_start(&f);
    memset(longest, 0xFF, sizeof longest);
}

static void teardown(void)
{
    db_fixture_end(&f);
}

TestSuite(iter_bounds, .init = setup, .fini = teardown);

#define GREATEST ((lsm_slice){longest, sizeof longest})

struct ends {
    const char *gt, *gte, *lt, *lte;
};

static lsm_iter_options options_of(const struct ends *ends, lsm_slice *lower, lsm_slice *upper)
{
    lsm_iter_options options = LSM_ITER_OPTIONS_INIT;

    options.lower_exclusive = ends->gt != NULL;
    options.upper_inclusive = ends->lte != NULL;
    if (ends->gt != NULL || ends->gte != NULL) {
        *lower = lsm_str(ends->gt != NULL ? ends->gt : ends->gte);
        options.lower = lower;
    }
    if (ends->lt != NULL || ends->lte != NULL) {
        *upper = lsm_str(ends->lte != NULL ? ends->lte : ends->lt);
        options.upper = upper;
    }
    return options;
}

// The keys of a range one behind the other, each in brackets.
static void read_keys(lsm_iter *it, bool is_reverse, unsigned limit, char *to)
{
    lsm_status status = is_reverse ? lsm_iter_last(it) : lsm_iter_first(it);

    for (*to = '\0'; status == LSM_OK && limit > 0; limit--) {
        const lsm_slice key = lsm_iter_key(it);

        to += sprintf(to, "[%.*s]", (int)key.size, key.size == 0 ? "" : (const char *)key.data);
        status = is_reverse ? lsm_iter_prev(it) : lsm_iter_next(it);
    }
    cr_assert(status == LSM_OK || status == LSM_NOT_FOUND);
}

static void assert_keys(struct ends ends, bool is_reverse, unsigned limit, const char *wanted)
{
    lsm_slice lower, upper;
    const lsm_iter_options options = options_of(&ends, &lower, &upper);
    char keys[256];
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, &options, &it));
    read_keys(it, is_reverse, limit, keys);
    cr_assert(eq(str, keys, (char *)wanted));
    lsm_iter_close(it);
}

#define ALL UINT32_MAX

static void check_ranges(void)
{
    assert_keys((struct ends){.gte = "b"}, false, ALL, "[b][c][d]");
    assert_keys((struct ends){.gt = "b"}, false, ALL, "[c][d]");
    assert_keys((struct ends){.lt = "c"}, false, ALL, "[][a][b]");
    assert_keys((struct ends){.lte = "c"}, false, ALL, "[][a][b][c]");
    assert_keys((struct ends){.gt = "a", .lte = "c"}, false, ALL, "[b][c]");
    assert_keys((struct ends){.gte = "a", .lt = "c"}, false, ALL, "[a][b]");
    assert_keys((struct ends){.gt = "a", .lt = "c"}, false, ALL, "[b]");
    assert_keys((struct ends){.gte = "a", .lte = "c"}, false, ALL, "[a][b][c]");
    assert_keys((struct ends){.gt = "a", .lte = "c"}, true, ALL, "[c][b]");
    assert_keys((struct ends){.gte = "a", .lt = "c"}, true, ALL, "[b][a]");
    assert_keys((struct ends){.gt = "", .lte = "d"}, true, 2, "[d][c]");
    assert_keys((struct ends){.gt = "", .lte = "d"}, false, 2, "[a][b]");
    // Ends where no key is.
    assert_keys((struct ends){.gt = "aa", .lte = "cc"}, false, ALL, "[b][c]");
    assert_keys((struct ends){.gte = "aa", .lt = "cc"}, true, ALL, "[c][b]");
    // The empty key as an end.
    assert_keys((struct ends){.gt = ""}, false, ALL, "[a][b][c][d]");
    assert_keys((struct ends){.gte = ""}, false, 2, "[][a]");
    assert_keys((struct ends){.lt = ""}, false, ALL, "");
    assert_keys((struct ends){.lte = ""}, true, ALL, "[]");
    // Ends that meet, or cross.
    assert_keys((struct ends){.gte = "b", .lte = "b"}, false, ALL, "[b]");
    assert_keys((struct ends){.gte = "b", .lte = "b"}, true, ALL, "[b]");
    assert_keys((struct ends){.gt = "b", .lte = "b"}, false, ALL, "");
    assert_keys((struct ends){.gte = "b", .lt = "b"}, true, ALL, "");
    assert_keys((struct ends){.gt = "b", .lt = "b"}, false, ALL, "");
    assert_keys((struct ends){.gt = "c", .lte = "a"}, true, ALL, "");
}

Test(iter_bounds, either_end_is_in_or_out)
{
    static const char *const keys[] = {"c", "", "a", "d", "b"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        put_text(&f, keys[i], "v");
    check_ranges();
    assert_ok(lsm_flush(f.db));
    check_ranges();
    assert_ok(lsm_compact_range(f.db, NULL, NULL, NULL));
    check_ranges();
}

Test(iter_bounds, a_search_stays_within_them)
{
    const lsm_slice a = lsm_str("a");
    const lsm_slice c = lsm_str("c");
    const lsm_iter_options options = {
        .lower = &a, .upper = &c, .lower_exclusive = true, .upper_inclusive = true};
    lsm_iter *it;

    put_text(&f, "a", "v");
    put_text(&f, "b", "v");
    put_text(&f, "c", "v");
    put_text(&f, "d", "v");
    assert_ok(lsm_iter_open(f.db, NULL, &options, &it));
    assert_ok(lsm_iter_seek(it, a));
    cr_assert(slice_equal(lsm_iter_key(it), lsm_str("b")));
    assert_status(lsm_iter_seek_for_prev(it, a), LSM_NOT_FOUND);
    assert_ok(lsm_iter_seek(it, c));
    cr_assert(slice_equal(lsm_iter_key(it), c));
    assert_status(lsm_iter_next(it), LSM_NOT_FOUND);
    assert_ok(lsm_iter_seek_for_prev(it, lsm_str("z")));
    cr_assert(slice_equal(lsm_iter_key(it), c));
    assert_status(lsm_iter_seek(it, lsm_str("ca")), LSM_NOT_FOUND);
    assert_ok(lsm_iter_seek_for_prev(it, lsm_str("b")));
    assert_status(lsm_iter_prev(it), LSM_NOT_FOUND);
    lsm_iter_close(it);
}

static void assert_count(const lsm_iter_options *options, unsigned wanted)
{
    lsm_status status;
    unsigned count = 0;
    lsm_iter *it;

    assert_ok(lsm_iter_open(f.db, NULL, options, &it));
    for (status = lsm_iter_first(it); status == LSM_OK; status = lsm_iter_next(it))
        count++;
    for (status = lsm_iter_last(it); status == LSM_OK; status = lsm_iter_prev(it))
        count++;
    cr_assert(eq(uint, count, 2 * wanted));
    lsm_iter_close(it);
}

// Behind the greatest key is no key that could stand for an exclusive bound, or an inclusive one.
Test(iter_bounds, the_greatest_key_is_an_end_like_any_other)
{
    const lsm_slice greatest = GREATEST;
    const lsm_slice before = {longest, sizeof longest - 1};

    assert_ok(lsm_put(f.db, NULL, greatest, lsm_str("v"), NULL));
    assert_ok(lsm_put(f.db, NULL, before, lsm_str("v"), NULL));
    for (int i = 0; i < 2; i++) {
        assert_count(&(lsm_iter_options){.lower = &greatest}, 1);
        assert_count(&(lsm_iter_options){.lower = &greatest, .lower_exclusive = true}, 0);
        assert_count(&(lsm_iter_options){.upper = &greatest}, 1);
        assert_count(&(lsm_iter_options){.upper = &greatest, .upper_inclusive = true}, 2);
        assert_count(&(lsm_iter_options){.lower = &before, .lower_exclusive = true}, 1);
        assert_count(&(lsm_iter_options){.prefix = &greatest}, 1);
        assert_count(
            &(lsm_iter_options){.prefix = &before, .upper = &greatest, .upper_inclusive = true}, 2);
        assert_ok(lsm_flush(f.db));
    }
}

Test(iter_bounds, a_prefix_and_the_bounds_both_hold)
{
    const lsm_slice a = lsm_str("a");
    const lsm_slice ab = lsm_str("ab");

    put_text(&f, "a", "v");
    put_text(&f, "aa", "v");
    put_text(&f, "ab", "v");
    put_text(&f, "b", "v");
    assert_count(&(lsm_iter_options){.prefix = &a, .lower = &a, .lower_exclusive = true}, 2);
    assert_count(&(lsm_iter_options){.prefix = &a, .upper = &a, .upper_inclusive = true}, 1);
    assert_count(&(lsm_iter_options){.prefix = &a, .upper = &ab, .upper_inclusive = true}, 3);
    assert_count(&(lsm_iter_options){.prefix = &ab, .lower = &a, .lower_exclusive = true}, 1);
}

Test(iter_bounds, an_end_without_a_bound_is_refused)
{
    const lsm_slice key = lsm_str("k");
    lsm_iter *it;

    assert_refused(lsm_iter_open(f.db, NULL, &(lsm_iter_options){.lower_exclusive = true}, &it));
    cr_assert(strstr(lsm_errmsg(), "lower_exclusive") != NULL);
    assert_refused(lsm_iter_open(f.db, NULL,
                                 &(lsm_iter_options){.lower = &key, .upper_inclusive = true}, &it));
    cr_assert(strstr(lsm_errmsg(), "upper_inclusive") != NULL);
}

// --- what a serializable transaction has seen ---

// Scans with `options` from either side, lets another commit write `key`, and commits.
static void assert_validated(const lsm_iter_options *options, const char *key, bool conflicts)
{
    for (int is_reverse = 0; is_reverse < 2; is_reverse++) {
        char keys[256];
        lsm_iter *it;
        lsm_txn *txn;

        assert_ok(lsm_begin(f.db, LSM_TXN_SERIALIZABLE, &txn));
        assert_ok(lsm_txn_put(txn, NULL, lsm_str("zz"), lsm_str("1")));
        assert_ok(lsm_txn_iter_open(txn, NULL, options, &it));
        read_keys(it, is_reverse, ALL, keys);
        lsm_iter_close(it);
        put_text(&f, key, "changed");
        assert_status(lsm_commit(txn, NULL), conflicts ? LSM_CONFLICT : LSM_OK);
        lsm_txn_free(txn);
    }
}

Test(iter_bounds, an_inclusive_end_is_validated_and_an_exclusive_one_is_not)
{
    const lsm_slice b = lsm_str("b");
    const lsm_slice d = lsm_str("d");
    const lsm_iter_options inner = {.lower = &b, .upper = &d, .lower_exclusive = true};
    const lsm_iter_options outer = {.lower = &b, .upper = &d, .upper_inclusive = true};

    put_text(&f, "c", "v");
    assert_validated(&inner, "b", false);
    assert_validated(&inner, "d", false);
    assert_validated(&inner, "c", true);
    assert_validated(&inner, "ba", true); // a phantom just behind the end
    assert_validated(&outer, "b", true);
    assert_validated(&outer, "d", true);
    assert_validated(&outer, "da", false);
    assert_validated(&outer, "a", false);
}

Test(iter_bounds, own_writes_show_up_to_the_ends)
{
    const lsm_slice a = lsm_str("a");
    const lsm_slice c = lsm_str("c");
    const lsm_iter_options options = {
        .lower = &a, .upper = &c, .lower_exclusive = true, .upper_inclusive = true};
    char keys[256];
    lsm_iter *it;
    lsm_txn *txn;

    put_text(&f, "b", "v");
    assert_ok(lsm_begin(f.db, LSM_TXN_SNAPSHOT, &txn));
    assert_ok(lsm_txn_put(txn, NULL, a, lsm_str("own")));
    assert_ok(lsm_txn_put(txn, NULL, c, lsm_str("own")));
    assert_ok(lsm_txn_put(txn, NULL, lsm_str("d"), lsm_str("own")));
    assert_ok(lsm_txn_iter_open(txn, NULL, &options, &it));
    read_keys(it, false, ALL, keys);
    cr_assert(eq(str, keys, "[b][c]"));
    read_keys(it, true, ALL, keys);
    cr_assert(eq(str, keys, "[c][b]"));
    lsm_iter_close(it);
    lsm_txn_free(txn);
}

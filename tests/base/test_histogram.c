// test_histogram.c -- percentiles are within a bucket of the truth.

#include "base/histogram.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <math.h>
#include <pthread.h>

#include "support/random.h"

static struct histogram *histogram_new(void)
{
    return calloc(1, sizeof(struct histogram));
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

Test(histogram, an_empty_one_answers_zero)
{
    struct histogram *h = histogram_new();

    cr_assert(eq(u64, histogram_percentile(h, 0.5), 0));
    cr_assert(ieee_ulp_eq(dbl, histogram_mean(h), 0, 1));
    free(h);
}

Test(histogram, small_values_are_exact)
{
    struct histogram *h = histogram_new();

    for (uint64_t value = 0; value < 32; value++)
        histogram_record(h, value);
    for (uint64_t value = 0; value < 32; value++)
        cr_assert(eq(u64, histogram_percentile(h, ((double)value + 1) / 32), value));
    cr_assert(ieee_ulp_eq(dbl, histogram_mean(h), 15.5, 1));
    free(h);
}

Test(histogram, the_smallest_and_largest_numbers_have_a_bucket)
{
    struct histogram *h = histogram_new();

    histogram_record(h, 0);
    histogram_record(h, UINT64_MAX);
    cr_assert(eq(u64, histogram_percentile(h, 0), 0));
    cr_assert(eq(u64, atomic_load(&h->buckets[HISTOGRAM_BUCKETS - 1]), 1));
    cr_assert(ge(u64, histogram_percentile(h, 1), UINT64_MAX / 16 * 15));
    free(h);
}

Test(histogram, a_percentile_is_never_above_the_maximum)
{
    struct histogram *h = histogram_new();

    for (int i = 0; i < 100; i++)
        histogram_record(h, 1 << 20);
    cr_assert(eq(u64, histogram_percentile(h, 0.5), 1 << 20));
    cr_assert(eq(u64, histogram_percentile(h, 1), 1 << 20));
    free(h);
}

Test(histogram, percentiles_are_within_a_sixteenth_of_the_truth)
{
    enum { COUNT = 20000 };
    static const double fractions[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    struct random random = random_for_test(__func__);
    uint64_t *values = calloc(COUNT, sizeof *values);

    for (int round = 0; round < 10; round++) {
        struct histogram *h = histogram_new();

        for (size_t i = 0; i < COUNT; i++) {
            values[i] = random_next(&random) >> random_below(&random, 64);
            histogram_record(h, values[i]);
        }
        qsort(values, COUNT, sizeof *values, by_value);
        for (size_t i = 0; i < sizeof fractions / sizeof fractions[0]; i++) {
            double truth = (double)values[(size_t)ceil(fractions[i] * COUNT) - 1];
            double told = (double)histogram_percentile(h, fractions[i]);

            cr_assert(le(dbl, fabs(told - truth), truth / 16), "%g: %g, not %g", fractions[i], told,
                      truth);
        }
        free(h);
    }
    free(values);
}

Test(histogram, merging_adds_what_the_other_recorded)
{
    struct histogram *both = histogram_new();
    struct histogram *other = histogram_new();

    for (uint64_t value = 1; value <= 50; value++)
        histogram_record(both, value);
    for (uint64_t value = 51; value <= 100; value++)
        histogram_record(other, value * 1000);
    histogram_merge(both, other);
    cr_assert(eq(u64, atomic_load(&both->count), 100));
    cr_assert(eq(u64, atomic_load(&both->max), 100000));
    cr_assert(eq(u64, atomic_load(&both->sum), 50 * 51 / 2 + 1000 * (51 + 100) * 25));
    cr_assert(le(u64, histogram_percentile(both, 0.5), 52));
    cr_assert(gt(u64, histogram_percentile(both, 0.51), 45000));
    free(both);
    free(other);
}

static void *record_many(void *to)
{
    for (uint64_t value = 0; value < 50000; value++)
        histogram_record(to, value);
    return NULL;
}

Test(histogram, no_record_of_any_thread_is_lost)
{
    struct histogram *h = histogram_new();
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        cr_assert(pthread_create(&threads[i], NULL, record_many, h) == 0);
    for (int i = 0; i < 4; i++)
        cr_assert(pthread_join(threads[i], NULL) == 0);
    cr_assert(eq(u64, atomic_load(&h->count), 200000));
    cr_assert(eq(u64, atomic_load(&h->sum), UINT64_C(4) * 50000 * 49999 / 2));
    cr_assert(eq(u64, atomic_load(&h->max), 49999));
    free(h);
}

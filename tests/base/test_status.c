// test_status.c -- statuses, their words, and the macros that carry them.

#include "base/status.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <pthread.h>
#include <string.h>

Test(status, every_status_has_its_name_and_class)
{
    cr_assert(eq(str, (char *)lsm_status_name(LSM_OK), "LSM_OK"));
    cr_assert(eq(str, (char *)lsm_status_name(LSM_READ_ONLY), "LSM_READ_ONLY"));
    cr_assert(eq(str, (char *)lsm_status_name(LSM_UNSUPPORTED), "LSM_UNSUPPORTED"));
    cr_assert(lsm_status_class(LSM_OK) == LSM_CLASS_OK);
    cr_assert(lsm_status_class(LSM_BUSY) == LSM_CLASS_TRANSIENT);
    cr_assert(lsm_status_class(LSM_CONFLICT) == LSM_CLASS_CONFLICT);
    cr_assert(lsm_status_class(LSM_NOT_FOUND) == LSM_CLASS_MISUSE);
    cr_assert(lsm_status_class(LSM_CORRUPT) == LSM_CLASS_CORRUPTION);
    cr_assert(lsm_status_class(LSM_POISONED) == LSM_CLASS_IO);
    cr_assert(lsm_status_class(LSM_OUTCOME_UNKNOWN) == LSM_CLASS_UNKNOWN);
    for (int status = LSM_OK; status <= LSM_UNSUPPORTED; status++) {
        const char *name = lsm_status_name((lsm_status)status);

        cr_assert(strncmp(name, "LSM_", 4) == 0, "%d", status);
        cr_assert(strcmp(name, "LSM_UNKNOWN_STATUS") != 0, "%d", status);
    }
}

Test(status, an_unknown_number_has_a_name_too)
{
    cr_assert(eq(str, (char *)lsm_status_name((lsm_status)14), "LSM_UNKNOWN_STATUS"));
    cr_assert(eq(str, (char *)lsm_status_name((lsm_status)-1), "LSM_UNKNOWN_STATUS"));
    cr_assert(lsm_status_class((lsm_status)1000) == LSM_CLASS_UNKNOWN);
}

Test(status, there_are_no_words_before_the_first_failure)
{
    cr_assert(eq(str, (char *)lsm_errmsg(), ""));
}

Test(status, a_failure_keeps_its_words_until_the_next)
{
    cr_assert(lsm_fail(LSM_IO, "%s: offset %d", "MANIFEST-7", 12) == LSM_IO);
    cr_assert(eq(str, (char *)lsm_errmsg(), "MANIFEST-7: offset 12"));
    cr_assert(lsm_fail(LSM_BUSY, "later") == LSM_BUSY);
    cr_assert(eq(str, (char *)lsm_errmsg(), "later"));
}

Test(status, context_goes_before_the_words)
{
    (void)lsm_fail(LSM_NO_SPACE, "000012.log: ENOSPC");
    cr_assert(lsm_fail_in(LSM_NO_SPACE, "flush") == LSM_NO_SPACE);
    cr_assert(eq(str, (char *)lsm_errmsg(), "flush: 000012.log: ENOSPC"));
}

Test(status, words_may_quote_the_last_ones)
{
    (void)lsm_fail(LSM_IO, "first");
    (void)lsm_fail(LSM_IO, "second after %s", lsm_errmsg());
    cr_assert(eq(str, (char *)lsm_errmsg(), "second after first"));
}

Test(status, long_words_are_cut)
{
    char words[2 * FAILURE_MESSAGE_MAX];

    memset(words, 'x', sizeof words);
    words[sizeof words - 1] = '\0';
    (void)lsm_fail(LSM_IO, "%s", words);
    cr_assert(eq(sz, strlen(lsm_errmsg()), FAILURE_MESSAGE_MAX - 1));
    (void)lsm_fail_in(LSM_IO, "context");
    cr_assert(eq(sz, strlen(lsm_errmsg()), FAILURE_MESSAGE_MAX - 1));
    cr_assert(strncmp(lsm_errmsg(), "context: xxx", 12) == 0);
}

static void *fail_elsewhere(void *out)
{
    failure_capture(out, lsm_fail(LSM_CORRUPT, "from the other thread"));
    return NULL;
}

Test(status, a_failure_travels_between_threads_only_when_carried)
{
    struct failure failure;
    pthread_t thread;

    (void)lsm_fail(LSM_IO, "mine");
    cr_assert(pthread_create(&thread, NULL, fail_elsewhere, &failure) == 0);
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_assert(eq(str, (char *)lsm_errmsg(), "mine"));
    cr_assert(failure_raise(&failure) == LSM_CORRUPT);
    cr_assert(eq(str, (char *)lsm_errmsg(), "from the other thread"));
}

Test(status, carrying_a_success_changes_no_words)
{
    struct failure failure;

    (void)lsm_fail(LSM_IO, "old");
    failure_capture(&failure, LSM_OK);
    cr_assert(eq(str, failure.message, ""));
    cr_assert(failure_raise(&failure) == LSM_OK);
    cr_assert(eq(str, (char *)lsm_errmsg(), "old"));
}

static void count_release(int **counter)
{
    if (*counter != NULL)
        (**counter)++;
}

static lsm_status try_and_clean(lsm_status inner, int *released, int **out)
{
    CLEANUP(count_release) int *owned = released;

    TRY(inner);
    *out = MOVE(owned);
    return LSM_OK;
}

Test(status, try_releases_what_is_owned_and_move_gives_it_away)
{
    int released = 0;
    int *out = NULL;

    cr_assert(try_and_clean(LSM_BUSY, &released, &out) == LSM_BUSY);
    cr_assert(eq(int, released, 1));
    cr_assert(out == NULL);
    cr_assert(try_and_clean(LSM_OK, &released, &out) == LSM_OK);
    cr_assert(eq(int, released, 1));
    cr_assert(out == &released);
}

// test_poison.c -- the first failure after which nothing is written.

#include "env/poison.h"

#include <criterion/criterion.h>
#include <criterion/new/assert.h>
#include <string.h>

Test(poison, nothing_is_wrong_at_first)
{
    struct poison poison;

    poison_init(&poison);
    cr_assert(not(poison_is_set(&poison)));
    cr_assert(eq(int, poison_check(&poison), LSM_OK));
    poison_release(&poison);
}

Test(poison, the_first_cause_stays)
{
    struct poison poison;

    poison_init(&poison);
    cr_assert(eq(int, poison_set(&poison, lsm_fail(LSM_IO, "the first failure")), LSM_IO));
    cr_assert(eq(int, poison_set(&poison, lsm_fail(LSM_NO_SPACE, "the second")), LSM_NO_SPACE));
    (void)lsm_fail(LSM_BUSY, "something else");
    cr_assert(poison_is_set(&poison));
    cr_assert(eq(int, poison_check(&poison), LSM_POISONED));
    cr_assert(strstr(lsm_errmsg(), "the first failure") != NULL, "%s", lsm_errmsg());
    cr_assert(eq(int, poison.cause.status, LSM_IO));
    poison_release(&poison);
}

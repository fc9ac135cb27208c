// damage_check.h -- what a damaged database may answer.
//
// Either everything is right, or LSM_CORRUPT says where: never a wrong value, never a
// missing or a resurrected key. When opening refuses, nothing has been written.

#ifndef LSM_TESTS_DAMAGE_CHECK_H
#define LSM_TESTS_DAMAGE_CHECK_H

#include "damage_image.h"
#include "support/campaign.h"

// One case: what was done, and what was found out.
struct damage_case {
    struct campaign *campaign;
    struct env *env;           // the image is loaded there,
    const char *path;          // in this directory
    const struct image *image; // as it was loaded, damage included
    const struct answers *wanted;
    const struct answers *or_wanted; // as good, all of it; NULL: nothing else is
    char what[160];

    // Results.
    bool is_reported;        // opening for reading or lsm_verify() told of it
    bool is_reading_refused; // opening for reading failed
    bool is_refused;         // opening for writing failed
    char words[512];         // of the first report
};

// Opens for reading, reads everything, has it verified; a database that this refuses is opened
// with open_damaged, if that can be, and answers by the same rules. Then opens for writing and
// reads everything again. Counts what it must not do as violations. The env holds something else
// afterwards when opening for writing succeeded; `*is_spent` says so.
void damage_check(struct damage_case *c, bool *is_spent);

#endif

// salvage_check.h -- a salvage of an image, and what may come out of it.

#ifndef LSM_TESTS_SALVAGE_CHECK_H
#define LSM_TESTS_SALVAGE_CHECK_H

#include "damage_image.h"
#include "db/salvage.h"
#include "support/campaign.h"

#define SALVAGED_DIR "/salvaged"

// Salvages what lies in DAMAGE_DIR of `env`, which must stay as `image` is. Counts what must not
// be as violations; `what` is for the words. On success the new database is open in `*db`.
bool salvage_image(struct campaign *campaign, struct env *env, const struct image *image,
                   bool take_uncertain, const char *what, struct salvage_report *report,
                   lsm_db **db);
// Whether the last salvage has told that a version of the key is lost.
bool salvage_has_told(unsigned keyspace, unsigned key);
// Verifies the new database and closes it.
void salvage_close(lsm_db *db);

// Reads a keyspace, or nothing when it is not there: `numbers` are those that made its values, by
// key, or 0. A key or a value that was never written is a violation.
void salvage_read(struct campaign *campaign, lsm_db *db, const char *keyspace, const char *what,
                  unsigned numbers[IMAGE_KEYS]);

#endif

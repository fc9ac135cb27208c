// presence.h -- whether the files that a manifest names are there, as long as it says.

#ifndef LSM_MANIFEST_PRESENCE_H
#define LSM_MANIFEST_PRESENCE_H

#include "manifest/manifest.h"
#include "manifest/version.h"

// Looks once at each table and segment that `state` and `version`, of one manifest, name, and
// opens none. LSM_CORRUPT names those that are missing, or have another size than they must:
// as many of them as the words hold, and how many more there are. A table has its exact size;
// a segment may be longer than the manifest knows it to be.
lsm_status presence_check(struct dir *dir, const struct manifest_state *state,
                          const struct version *version);

#endif

// manifest_state.h -- what the manifest knows beside the tables, and how edits change
// it; the declaration is in manifest.h.

#ifndef LSM_MANIFEST_MANIFEST_STATE_H
#define LSM_MANIFEST_MANIFEST_STATE_H

#include "manifest/manifest.h"

// A deep copy into `out`, which owns nothing yet.
lsm_status manifest_state_copy(const struct manifest_state *state, struct manifest_state *out);

// Makes `state` what it is after `edit`. LSM_CORRUPT when the edit contradicts it;
// after a failure the state may only be released.
lsm_status manifest_state_apply(struct manifest_state *state, const struct edit *edit);

// The edit that states everything, from nothing: `state`, and the tables and segments
// of `version`. The caller releases it. LSM_CORRUPT when a segment of the version is
// neither log in `state` nor has a final size, or the log does not start where replay
// does.
lsm_status manifest_state_snapshot(const struct manifest_state *state,
                                   const struct version *version, struct edit *out);

// Takes out the dropped keyspaces of which neither a table of `version` nor the log
// that would be replayed can hold an entry.
void manifest_state_purge(struct manifest_state *state, const struct version *version);

#endif

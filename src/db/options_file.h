// options_file.h -- options as a text file: the user's, and OPTIONS in the directory of a
// database, which is what the database keeps.

#ifndef LSM_DB_OPTIONS_FILE_H
#define LSM_DB_OPTIONS_FILE_H

#include "db/options.h"

// Replaces OPTIONS in `dir`, whole or not at all, durably. A failure may leave either.
lsm_status options_file_write(struct dir *dir, const struct lsm_options *kept);

// Reads what the database in `dir` keeps; nothing when there is no OPTIONS. LSM_CORRUPT and
// LSM_UNSUPPORTED as options_parse_kept() tells; `*kept` is unchanged then.
lsm_status options_file_read(struct dir *dir, struct lsm_options *kept);

#endif

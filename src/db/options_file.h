// options_file.h -- options as a text file: the user's, and the OPTIONS copy that a
// database keeps for people and tools.

#ifndef LSM_DB_OPTIONS_FILE_H
#define LSM_DB_OPTIONS_FILE_H

#include "db/options.h"

// Replaces OPTIONS in the directory of a database. Not synced: nothing depends on it.
lsm_status options_file_write(struct dir *dir, const struct lsm_options *options);

#endif

// dpkg.h -- the machine's package database, as data to load.

#ifndef LSM_QUICKSTART_DPKG_H
#define LSM_QUICKSTART_DPKG_H

#include <stddef.h>

// Everything is borrowed from memory that stays until the program ends.
struct package {
    const char *name; // as its file list is named: "bash", "libc6:amd64"
    const char *stanza;
    size_t stanza_size;
    const char **paths;
    size_t path_count;
};

struct packages {
    struct package *items;
    size_t count;
    size_t path_count; // of all packages
};

// Reads /var/lib/dpkg; ends the program, saying why, when there is none.
struct packages dpkg_read(void);

#endif

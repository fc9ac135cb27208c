// nearest.h -- the name that was meant: the one nearest to what was typed.

#ifndef LSM_TOOLS_NEAREST_H
#define LSM_TOOLS_NEAREST_H

#include <stddef.h>

// Begin with `typed`, and nothing else, set.
struct nearest {
    const char *typed;
    const char *name; // the nearest of those tried; NULL: none is near
    size_t distance;
};

void nearest_try(struct nearest *nearest, const char *name);

#endif

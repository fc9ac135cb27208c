// container.h -- from a member back to what it is embedded in.

#ifndef LSM_BASE_CONTAINER_H
#define LSM_BASE_CONTAINER_H

#include <stddef.h>

// The `type` whose member `field` is what `member` points to.
#define CONTAINER_OF(member, type, field) ((type *)(void *)((char *)(member)-offsetof(type, field)))

#endif

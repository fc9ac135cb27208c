#include "base/plant.h"

#ifdef LSM_PLANT

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *chosen;

static void choose(void)
{
    chosen = getenv("LSM_BUG");
}

bool plant_is_on(const char *bug)
{
    (void)pthread_once(&once, choose);
    return chosen != NULL && strcmp(chosen, bug) == 0;
}

#endif

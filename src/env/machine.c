#include "env/machine.h"

#include <sched.h>
#include <unistd.h>

unsigned machine_processor_count(void)
{
    cpu_set_t set;
    long online;

    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (unsigned)CPU_COUNT(&set);
    online = sysconf(_SC_NPROCESSORS_ONLN); // more processors than a cpu_set_t holds
    return online < 1 ? 1 : (unsigned)online;
}

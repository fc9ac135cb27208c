#include "base/schedule.h"

#ifdef LSM_SCHEDULE
void (*schedule_hook)(bool gives_way);
#endif

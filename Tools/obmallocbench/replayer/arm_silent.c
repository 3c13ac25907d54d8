/* obmallocbench: what an arm that is no core of ours says of itself: nothing. */

#include "arm.h"

#include <string.h>

void
arm_pass_time(uint32_t milliseconds)
{
    (void)milliseconds;
}

void
arm_describe(struct arm_report *report)
{
    memset(report, 0, sizeof(*report));
}

const char *
arm_verify(void)
{
    return NULL;
}

/* obmallocbench: no allocator: every block is the same one.  What this arm
   takes is what replaying costs by itself. */

#include "arm.h"
#include "trace.h"

static union {
    char bytes[REQUEST_MAX];
    uint64_t aligned;
} scratch;

void
arm_open(const char *settings)
{
    (void)settings;
}

void
arm_close(void)
{
}

void *
arm_malloc(size_t size)
{
    (void)size;
    return &scratch;
}

void *
arm_calloc(size_t size)
{
    (void)size;
    return &scratch;
}

void *
arm_realloc(void *block, size_t size)
{
    (void)size;
    return block;
}

void
arm_free(void *block)
{
    (void)block;
}

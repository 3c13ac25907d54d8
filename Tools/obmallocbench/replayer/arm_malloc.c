/* obmallocbench: the C library's malloc, or the one that is preloaded. */

#include "arm.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

void
arm_open(const char *settings)
{
    if (*settings != '\0') {
        fprintf(stderr, "replay: malloc has no setting '%s'\n", settings);
        exit(2);
    }
    malloc_trim(0);     /* what reading the trace left is not ours */
}

void
arm_close(void)
{
    malloc_trim(0);
}

void *
arm_malloc(size_t size)
{
    return malloc(size);
}

void *
arm_calloc(size_t size)
{
    return calloc(1, size);
}

void *
arm_realloc(void *block, size_t size)
{
    return realloc(block, size);
}

void
arm_free(void *block)
{
    free(block);
}

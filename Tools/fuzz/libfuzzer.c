/* obmalloc's fuzzing: what libFuzzer calls (see operations.h). */

#include "harness.h"
#include "operations.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

void
harness_failed(const char *text)
{
    fprintf(stderr, "%s\n", text);
    abort();
}

void
harness_end(void)
{
    abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    operations_run(bytes, size, false);
    return 0;
}

/* A program that exports what the library asks of Python, and is none: its
   version is FAKE_VERSION.  Writes what the library did. */

#include <stdio.h>
#include <stdlib.h>

static int changes;

const char *
Py_GetVersion(void)
{
    return FAKE_VERSION;
}

int
Py_IsInitialized(void)
{
    return 0;
}

void
PyMem_SetAllocator(int domain, void *allocator)
{
    (void)domain;
    (void)allocator;
    changes++;
}

void
PyObject_SetArenaAllocator(void *allocator)
{
    (void)allocator;
    changes++;
}

int
main(void)
{
    printf("%d changes%s\n", changes, getenv("OBMALLOC_REPORTED") ? ", OBMALLOC_REPORTED" : "");
    return 0;
}

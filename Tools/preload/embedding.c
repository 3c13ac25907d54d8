/* A program that embeds Python: embedding HOOK LIVES CODE runs the code in each
   of LIVES lives.  HOOK "counting" puts hooks in front of all allocators before
   the first one, and writes how many blocks they saw. */

#include <Python.h>

static PyMemAllocatorEx inner[3];
static size_t seen;

static void *
counting_malloc(void *context, size_t size)
{
    PyMemAllocatorEx *next = context;
    seen++;
    return next->malloc(next->ctx, size);
}

static void *
counting_calloc(void *context, size_t count, size_t size)
{
    PyMemAllocatorEx *next = context;
    seen++;
    return next->calloc(next->ctx, count, size);
}

static void *
counting_realloc(void *context, void *block, size_t size)
{
    PyMemAllocatorEx *next = context;
    return next->realloc(next->ctx, block, size);
}

static void
counting_free(void *context, void *block)
{
    PyMemAllocatorEx *next = context;
    next->free(next->ctx, block);
}

static void
count(void)
{
    for (int domain = PYMEM_DOMAIN_MEM; domain <= PYMEM_DOMAIN_OBJ; domain++) {
        PyMemAllocatorEx hook = {&inner[domain], counting_malloc, counting_calloc,
                                 counting_realloc, counting_free};
        PyMem_GetAllocator(domain, &inner[domain]);
        PyMem_SetAllocator(domain, &hook);
    }
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: %s plain|counting LIVES CODE\n", argv[0]);
        return 2;
    }
    if (strcmp(argv[1], "counting") == 0) {
        count();
    }
    for (int life = 0; life < atoi(argv[2]); life++) {
        Py_InitializeEx(0);
        if (PyRun_SimpleString(argv[3]) != 0 || Py_FinalizeEx() != 0) {
            return 1;
        }
    }
    printf("%zu\n", seen);
    return 0;
}

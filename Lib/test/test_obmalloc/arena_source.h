/* Arena allocators for the tests: numbered sources of memory that count what
   they give and get back, give misaligned memory that is not zero, and fail
   on demand.  Shared by _testobmalloc.c and embedding.c.

   Called with the GIL of whoever allocates; the tests use one thread. */

#ifndef TEST_OBMALLOC_ARENA_SOURCE_H
#define TEST_OBMALLOC_ARENA_SOURCE_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES 2
#define SOURCE_MOST_ARENAS 4096
#define SOURCE_DIRT 0xa5        /* what fresh arenas are filled with */

struct arena_source {
    size_t offset;      /* bytes by which its memory misses the alignment of malloc() */
    int failures;       /* requests still to be refused; < 0: all of them */
    long allocated, freed, refused;
    long strange;       /* frees of what is not ours, or of another size */
    long live;          /* arenas given and not returned */
    struct { void *address; size_t size; } arenas[SOURCE_MOST_ARENAS];
};

static struct arena_source sources[SOURCES];

static void *
source_alloc(void *context, size_t size)
{
    struct arena_source *source = context;
    if (source->failures != 0 || source->live == SOURCE_MOST_ARENAS) {
        source->failures -= source->failures > 0;
        source->refused++;
        return NULL;
    }
    char *memory = malloc(source->offset + size);
    if (memory == NULL) {
        return NULL;
    }
    memset(memory, SOURCE_DIRT, source->offset + size);
    source->arenas[source->live].address = memory + source->offset;
    source->arenas[source->live].size = size;
    source->live++;
    source->allocated++;
    return memory + source->offset;
}

static void
source_free(void *context, void *address, size_t size)
{
    struct arena_source *source = context;
    for (long i = 0; i < source->live; i++) {
        if (source->arenas[i].address == address) {
            source->strange += source->arenas[i].size != size;
            source->freed++;
            source->arenas[i] = source->arenas[--source->live];
            /* A block that is used after its arena went must not look right. */
            memset(address, SOURCE_DIRT, size);
            free((char *)address - source->offset);
            return;
        }
    }
    source->strange++;
}

/* Put source number into force.  The offset may change only while none of its
   arenas is in use. */
static void
source_install(int number, size_t offset)
{
    struct arena_source *source = &sources[number];
    PyObjectArenaAllocator allocator = {source, source_alloc, source_free};
    source->offset = offset;
    PyObject_SetArenaAllocator(&allocator);
}

#endif /* TEST_OBMALLOC_ARENA_SOURCE_H */

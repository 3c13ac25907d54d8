/* obmalloc in CPython 2.4 to 2.7: names, and how its heap is set up.

   Objects/obmalloc.c includes this where its own pymalloc begins.  These
   versions have PyObject_Malloc() and its sisters, and neither allocator
   domains nor an API for arena allocators; PyMem_Malloc() is the system's. */

#include "../static.c"
#include "obmalloc/python.h"

/* As newer versions do it: a request for nothing gets a block of its own. */
static inline void *
PyMem_RawMalloc(size_t size)
{
    return malloc(size != 0 ? size : 1);
}

static inline void *
PyMem_RawRealloc(void *block, size_t size)
{
    return realloc(block, size != 0 ? size : 1);
}

#define PyMem_RawCalloc calloc
#define PyMem_RawFree free
#include "one_heap.c"
#include "pymalloc.h"
#include "front.c"
#include "common.c"

static void
obm_python_start(struct obm_heap *heap)
{
    obm_python_read_settings(Py_GETENV("PYTHONOBMALLOC"));
    obm_heap_init(heap, obm_os_system(), &obm_python_settings);
    obm_heap_use_front(heap, &obm_python_front);
#ifdef PYMALLOC_DEBUG
    heap->before_arena = Py_GETENV("PYTHONMALLOCSTATS") ? obm_python_before_arena : NULL;
#endif
}

/* Macros in a debug build. */
#undef PyObject_Malloc
#undef PyObject_Realloc
#undef PyObject_Free

void *
PyObject_Malloc(size_t size)
{
    void *block = obm_python_malloc(size);
    if (OBM_LIKELY(block != NULL)) {
        return block;
    }
    if (size > SIZE_MAX >> 1) {     /* lengths are signed */
        return NULL;
    }
    (void)obm_python_heap();        /* the first request sets it up, and opens the front */
    return obm_python_malloc_slow(size);
}

void *
PyObject_Realloc(void *block, size_t size)
{
    if (size > SIZE_MAX >> 1) {
        return NULL;
    }
    return obm_pymalloc_realloc(obm_python_heap(), block, size);
}

void
PyObject_Free(void *block)
{
    if (!obm_python_free(block) && block != NULL) {
        obm_pymalloc_free(obm_python_heap(), block);
    }
}

#ifdef PYMALLOC_DEBUG
void
_PyObject_DebugMallocStats(void)
{
    obm_dump_stats(obm_python_heap(), stderr);
}
#endif

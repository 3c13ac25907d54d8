/* obmalloc in CPython 3.9 to 3.11: names, and how its heap is set up.

   Objects/obmalloc.c includes this before PyMem_Malloc(). */

#include "../static.c"
#include "obmalloc/python.h"

#ifdef ARENAS_USE_MMAP
#  define OBM_PYTHON_ARENA_ALLOC _PyObject_ArenaMmap
#elif defined(MS_WINDOWS)
#  define OBM_PYTHON_ARENA_ALLOC _PyObject_ArenaVirtualAlloc
#else
#  define OBM_PYTHON_ARENA_ALLOC _PyObject_ArenaMalloc
#endif
#include "one_heap.c"
#include "pymalloc.h"
#include "front.c"
#include "background.c"
#include "common.c"
#include "domains.c"

static void
obm_python_start(struct obm_heap *heap)
{
    const char *stats = Py_GETENV("PYTHONMALLOCSTATS");
    obm_python_read_settings(Py_GETENV("PYTHONOBMALLOC"));
    obm_heap_init(heap, obm_os_system(), &obm_python_settings);
    heap->arena_allocator = obm_python_arena_allocator;
    heap->before_arena = stats != NULL && *stats != '\0' ? obm_python_before_arena : NULL;
    obm_python_allocators_changed();
}

Py_ssize_t
_Py_GetAllocatedBlocks(void)
{
    return obm_allocated_blocks(obm_python_heap());
}

int
_PyObject_DebugMallocStats(FILE *out)
{
    if (!_PyMem_PymallocEnabled()) {
        return 0;
    }
    obm_dump_stats(obm_python_heap(), out);
    return 1;
}

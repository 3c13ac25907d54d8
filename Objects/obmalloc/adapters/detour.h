/* obmalloc: when PyMem_Malloc() and PyObject_Malloc() may take the hot path.

   PyMem_Malloc() and its sisters take the hot path at once, without a call
   through a pointer and without the way to the interpreter's state, while
   ours is the allocator in force and the process has one heap.  Each bit says
   why not; bits are set and cleared atomically, since interpreters with a GIL
   of their own come and go at the same time.  The second one is never cleared:
   a thread of an interpreter that ends may still be under way. */

#ifndef OBM_DETOUR_H
#define OBM_DETOUR_H

#define OBM_DETOUR_HOOKED 1u        /* PyMem_SetAllocator(), debug hooks, ... */
#define OBM_DETOUR_MANY_HEAPS 2u
/* Until the heap is set up. */
static unsigned obm_python_detour_mem = OBM_DETOUR_HOOKED;
static unsigned obm_python_detour_obj = OBM_DETOUR_HOOKED;

static void
obm_python_set_hooked(unsigned *detour, bool hooked)
{
    if (hooked) {
        OBM_ATOMIC_OR(detour, OBM_DETOUR_HOOKED);
    }
    else {
        OBM_ATOMIC_AND(detour, ~OBM_DETOUR_HOOKED);
    }
}

/* Called whenever an allocator is set, and when the heap was set up.  In a
   debug build the runtime starts with hooks that nobody has set, so it never
   takes the hot path. */
static void
obm_python_allocators_changed(void)
{
#ifndef Py_DEBUG
    if (obmalloc_state_main.heap.os == NULL) {
        return;
    }
    obm_python_set_hooked(&obm_python_detour_mem, _PyMem.malloc != _PyObject_Malloc
                                                  || _PyMem.free != _PyObject_Free);
    obm_python_set_hooked(&obm_python_detour_obj, _PyObject.malloc != _PyObject_Malloc
                                                  || _PyObject.free != _PyObject_Free);
#endif
}

/* NULL: go the ordinary way. */
static inline void *
obm_python_malloc(unsigned detour, size_t size)
{
    return OBM_LIKELY(detour == 0) ? obm_malloc_fast(&obmalloc_state_main.heap, size) : NULL;
}

#ifdef OBJECT_STAT_INC
/* What the ordinary way counts in a build with --enable-pystats; in others
   nothing is left of this. */
static inline void
obm_python_count(size_t size)
{
    OBJECT_STAT_INC(allocations);
    if (size < OBM_SMALL_MAX) {
        OBJECT_STAT_INC(allocations512);
    }
    else {
        OBJECT_STAT_INC(allocations4k);
    }
}
#endif

/* false: go the ordinary way. */
static inline bool
obm_python_free(unsigned detour, void *block)
{
    return OBM_LIKELY(detour == 0) && obm_free_fast(&obmalloc_state_main.heap, block);
}

#endif /* OBM_DETOUR_H */

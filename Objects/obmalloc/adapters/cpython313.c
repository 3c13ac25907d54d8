/* obmalloc in CPython 3.13 and 3.14: names, the heaps of its interpreters, and what
   their state says.

   Objects/obmalloc.c includes this where its `mem` and `object` allocators
   begin.  It gives that file what its own pymalloc would: _PyObject_Malloc()
   and its sisters, the set-up and tear-down of an interpreter's heap, and the
   text of sys._debugmallocstats(). */

#include "pycore_freelist.h"       // _PyObject_ClearFreeLists()
#include "pycore_initconfig.h"     // _Py_GetEnv()
#include "../static.c"
#include "obmalloc/python.h"

struct _obmalloc_state {
    struct obm_heap heap;
};
static struct _obmalloc_state obmalloc_state_main;     /* defined further down */

static inline struct obm_heap *
obm_python_heap(void)
{
    return &_PyInterpreterState_GET()->obmalloc->heap;
}

static inline void
obm_python_clear_free_lists(void)
{
    _PyObject_ClearFreeLists(&_PyInterpreterState_GET()->object_state.freelists, 0);
}

#define OBM_PYTHON_ARENA_ALLOC _PyMem_ArenaAlloc
#include "pymalloc.h"
#include "front.c"

static inline bool
obm_python_has_main_gil(const PyInterpreterState *interp)
{
    return interp->ceval.gil == _PyInterpreterState_Main()->ceval.gil;
}

/* Whether all that allocate from the main interpreter's heap do so under its
   GIL.  An interpreter that is being made has neither a GIL nor a heap. */
static OBM_UNUSED bool
obm_python_gil_guards_main_heap(void)
{
    bool guards = true;
    HEAD_LOCK(&_PyRuntime);
    for (PyInterpreterState *interp = PyInterpreterState_Head(); interp != NULL;
         interp = PyInterpreterState_Next(interp)) {
        bool own_heap = interp->obmalloc != NULL && interp->obmalloc != &obmalloc_state_main;
        guards = guards && (own_heap || obm_python_has_main_gil(interp));
    }
    HEAD_UNLOCK(&_PyRuntime);
    return guards;
}

/* gh-128679 */
static inline bool
obm_python_tracemalloc_races(void)
{
    return PY_VERSION_HEX < 0x030d0200;
}

static inline PyThreadState *
obm_python_new_thread_state(PyInterpreterState *interp)
{
    return PyThreadState_New(interp);
}

#include "background.c"
#include "common.c"
#include "domains.c"

/* A second heap is about to be made.  The interpreter that will own it may
   have a GIL of its own, so this comes while the caller still holds the main
   interpreter's.  A thread without a thread state takes it here. */
void
_PyObmalloc_BeforeSecondHeap(void)
{
    if (OBM_PUBLISHED(&obm_python_many_heaps)) {
        return;
    }
    bool attached = _PyThreadState_GET() != NULL;
    PyGILState_STATE state = PyGILState_UNLOCKED;
    if (!attached) {
        state = PyGILState_Ensure();
    }
    OBM_PUBLISH(&obm_python_many_heaps, 1u);
    obm_heap_use_front(&obmalloc_state_main.heap, NULL);
    if (!attached) {
        PyGILState_Release(state);
    }
}

static void
init_obmalloc_pools(PyInterpreterState *interp)
{
    struct obm_heap *heap = &interp->obmalloc->heap;
    if (_Py_IsMainInterpreter(interp)) {
        obm_python_read_settings(_Py_GetEnv(interp->config.use_environment,
                                            "PYTHONOBMALLOC"));
    }
    assert(heap == &obmalloc_state_main.heap || obm_python_many_heaps);
    obm_heap_init(heap, obm_os_system(), &obm_python_settings);
    heap->arena_allocator = obm_python_arena_allocator;
    heap->before_arena = interp->config.malloc_stats ? obm_python_before_arena : NULL;
    obm_python_allocators_changed();
}

static void
free_obmalloc_arenas(PyInterpreterState *interp)
{
    obm_heap_close(&interp->obmalloc->heap, false);
}

/* Blocks are still in use, so the arenas stay; what is free goes. */
static void
abandon_obmalloc_arenas(PyInterpreterState *interp)
{
    obm_heap_close(&interp->obmalloc->heap, true);
}

static void
pymalloc_print_stats(FILE *out)
{
    obm_dump_stats(obm_python_heap(), out);
}

/* obmalloc in CPython 3.13: names and interpreter state, no logic.

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

/* Read once, when the main interpreter starts; every heap has the same. */
static struct obm_settings obm_python_settings;

static inline struct obm_heap *
obm_python_heap(void)
{
    return &_PyInterpreterState_GET()->obmalloc->heap;
}

#include "detour.h"
#include "pymalloc.h"

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

#include "background.h"

void *
_PyObject_Malloc(void *Py_UNUSED(ctx), size_t size)
{
    return obm_pymalloc_malloc(obm_python_heap(), size);
}

void *
_PyObject_Calloc(void *Py_UNUSED(ctx), size_t nelem, size_t elsize)
{
    return obm_pymalloc_calloc(obm_python_heap(), nelem, elsize);
}

void
_PyObject_Free(void *Py_UNUSED(ctx), void *block)
{
    if (block != NULL) {    /* NULL may come without a thread state */
        obm_pymalloc_free(obm_python_heap(), block);
    }
}

void *
_PyObject_Realloc(void *Py_UNUSED(ctx), void *block, size_t size)
{
    return obm_pymalloc_realloc(obm_python_heap(), block, size);
}

/* Set-up ------------------------------------------------------------------------ */

static bool
obm_python_arena_allocator(struct obm_arena_allocator *in_force)
{
    in_force->context = _PyObject_Arena.ctx;
    in_force->alloc = _PyObject_Arena.alloc;
    in_force->free = _PyObject_Arena.free;
    return in_force->alloc != _PyMem_ArenaAlloc;
}

static void
obm_python_before_arena(const struct obm_heap *heap)
{
    obm_dump_stats(heap, stderr);
}

static void
obm_python_warn(const char *line, void *Py_UNUSED(data))
{
    fprintf(stderr, "%s\n", line);
}

static void
init_obmalloc_pools(PyInterpreterState *interp)
{
    struct obm_heap *heap = &interp->obmalloc->heap;
    if (_Py_IsMainInterpreter(interp)) {
        const char *text = _Py_GetEnv(interp->config.use_environment, "PYTHONOBMALLOC");
        obm_settings_parse(&obm_python_settings, text != NULL ? text : "",
                           obm_python_warn, NULL);
        obm_python_allocators_changed();
    }
    else if (heap != &obmalloc_state_main.heap) {
        OBM_ATOMIC_OR(&obm_python_detour_mem, OBM_DETOUR_MANY_HEAPS);
        OBM_ATOMIC_OR(&obm_python_detour_obj, OBM_DETOUR_MANY_HEAPS);
    }
    obm_heap_init(heap, obm_os_system(), &obm_python_settings);
    heap->arena_allocator = obm_python_arena_allocator;
    heap->before_arena = interp->config.malloc_stats ? obm_python_before_arena : NULL;
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

/* For the rest of CPython, see python.h -------------------------------------------- */

void
_PyObmalloc_Stats(struct obm_stats *stats)
{
    obm_stats_collect(obm_python_heap(), stats);
}

void
_PyObmalloc_BeforeBlocking(PyInterpreterState *interp)
{
    struct obm_heap *heap = &interp->obmalloc->heap;
    obm_before_blocking(heap);
    if (heap->settings.background) {
        obm_background_before_blocking(interp);
    }
}

void
_PyObmalloc_BeforeFork(PyInterpreterState *interp)
{
    obm_background_stop(interp, false);
}

void
_PyObmalloc_BeforeFinalizing(PyInterpreterState *interp)
{
    obm_background_stop(interp, true);
}

const struct obm_settings *
_PyObmalloc_Settings(void)
{
    return &obm_python_settings;
}

size_t
_PyObmalloc_Trim(void)
{
    struct obm_heap *heap = obm_python_heap();
    size_t before = obm_given_back(heap);
    _PyObject_ClearFreeLists(&_PyInterpreterState_GET()->object_state.freelists, 0);
    obm_trim(heap);
    return obm_given_back(heap) - before;
}

bool
_PyObmalloc_Check(int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    return obm_check_heap(obm_python_heap(), level, message);
}

/* obmalloc: the heap of a CPython that has one for all interpreters (3.11 and
   older).  The first request sets it up: it comes after Python has read its
   command line.

   The adapter defines obm_python_start(), which sets up the heap. */

#if PY_VERSION_HEX >= 0x030b0000
#  include "pycore_pystate.h"   /* _PyThreadState_SetCurrent() */
#endif

static struct {
    struct obm_heap heap;
} obmalloc_state_main;      /* the name that front.c and background.c know */

static void obm_python_start(struct obm_heap *heap);

static inline struct obm_heap *
obm_python_heap(void)
{
    struct obm_heap *heap = &obmalloc_state_main.heap;
    if (OBM_UNLIKELY(heap->os == NULL)) {
        obm_python_start(heap);
    }
    return heap;
}

/* In Modules/gcmodule.c: what a full collection does. */
extern void _PyObmalloc_ClearFreeLists(void);

static inline void
obm_python_clear_free_lists(void)
{
    _PyObmalloc_ClearFreeLists();
}

/* For background.c: there is one GIL. */
static inline bool OBM_UNUSED
obm_python_has_main_gil(const PyInterpreterState *interp)
{
    (void)interp;
    return true;
}

static inline bool OBM_UNUSED
obm_python_gil_guards_main_heap(void)
{
    return true;
}

/* gh-128679, which was mended in newer versions only. */
static inline bool OBM_UNUSED
obm_python_tracemalloc_races(void)
{
    return true;
}

static inline PyThreadState * OBM_UNUSED
obm_python_new_thread_state(PyInterpreterState *interp)
{
#if PY_VERSION_HEX < 0x030b0000
    return PyThreadState_New(interp);
#else
    PyThreadState *tstate = _PyThreadState_Prealloc(interp);
    if (tstate != NULL) {
        _PyThreadState_SetCurrent(tstate);
    }
    return tstate;
#endif
}

/* The module _obmalloc: the allocator of this interpreter, seen from Python.
   Lib/obmalloc/ is what people import. */

#ifdef OBM_LOADABLE                 /* for an interpreter built without it */
#  include "_obmalloc_loadable.h"
#else
#  ifndef Py_BUILD_CORE_BUILTIN
#    define Py_BUILD_CORE_MODULE 1
#  endif
#  define PY_SSIZE_T_CLEAN          /* before 3.13 "y#" takes it to mean Py_ssize_t */
#  include "Python.h"
#  include <stdbool.h>
#  if PY_VERSION_HEX >= 0x030d0000
#    include "pycore_obmalloc.h"    // WITH_OBMALLOC_ARENAS
#  else
#    include "obmalloc/choice.h"    // WITH_OBMALLOC_ARENAS
#  endif
#endif

#if WITH_OBMALLOC_ARENAS

#include "_obmalloc_functions.c"
#include "_obmalloc_objects.c"
#include "_obmalloc_graph.c"
#include "_obmalloc_owned.c"
#include "_obmalloc_moving.c"
#include "_obmalloc_copy.c"

/* One arena as it was when the map was begun, before any Python object was
   made of it: making those changes the heap. */
struct arena_snapshot {
    obm_arena_index index;
    uintptr_t address;
    bool purgeable;
    unsigned page_count;
    struct obm_page_info pages[OBM_MAX_ARENA_PAGES];
};

/* Memory of the system's malloc, for PyMem_RawFree(); NULL: there is none. */
static struct arena_snapshot *
take_snapshot(const struct obm_heap *heap, size_t *count)
{
    struct arena_snapshot *arenas = PyMem_RawCalloc(heap->arena_count + 1, sizeof(*arenas));
    *count = 0;
    for (obm_arena_index i = 1; arenas != NULL && i < heap->arenas_ever; i++) {
        if (heap->arenas[i].address != 0) {
            struct arena_snapshot *arena = &arenas[(*count)++];
            arena->index = i;
            arena->address = heap->arenas[i].first_page;
            arena->purgeable = heap->arenas[i].purgeable;
            arena->page_count = _PyObmalloc_DescribeArena(i, arena->pages);
        }
    }
    return arenas;
}

static PyObject *
arena_tuple(const struct arena_snapshot *arena)
{
    Py_ssize_t size = (Py_ssize_t)(arena->page_count * sizeof(arena->pages[0]));
    return Py_BuildValue("(kKOy#)", (unsigned long)arena->index,
                         (unsigned long long)arena->address,
                         arena->purgeable ? Py_True : Py_False,
                         (const char *)arena->pages, size);
}

PyDoc_STRVAR(heap_map_doc,
"heap_map() -> list of (number, address, purgeable, pages)\n"
"\n"
"What every page of every arena of this interpreter is.  address is that of\n"
"the first page (int), pages has six bytes for each: 0 fresh, 1 purged,\n"
"2 dirty or 3 used; the size class, of a used page; the number of live\n"
"blocks as an unsigned short; whether one of them starts on a page before;\n"
"and a byte that means nothing.  All as of one moment.");

static PyObject *
obmalloc_heap_map(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    size_t count;
    struct arena_snapshot *arenas = take_snapshot(_PyObmalloc_Heap(), &count);
    if (arenas == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list != NULL && i < count; i++) {
        PyObject *arena = arena_tuple(&arenas[i]);
        if (arena == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SetItem(list, (Py_ssize_t)i, arena);
    }
    PyMem_RawFree(arenas);
    return list;
}

PyDoc_STRVAR(system_malloc_doc,
"system_malloc() -> dict or None\n"
"\n"
"What the system's malloc holds in its arenas, in bytes: 'held', and 'free', which\n"
"counts memory that has gone back to the system since, too.  None: this malloc does\n"
"not tell (glibc's does).  It looks at all of its free blocks, and locks an arena\n"
"meanwhile; the GIL is not held.");

static PyObject *
obmalloc_system_malloc(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct obm_malloc_figures figures = {0, 0, 0};
    bool told;
    Py_BEGIN_ALLOW_THREADS
    told = _PyObmalloc_MallocFigures(&figures);
    Py_END_ALLOW_THREADS
    if (!told) {
        return Py_BuildValue("");
    }
    PyObject *dict = PyDict_New();
    if (dict != NULL && (set_size(dict, "held", figures.held) < 0
                         || set_size(dict, "free", figures.free) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

PyDoc_STRVAR(trims_doc,
"trims() -> dict\n"
"\n"
"How often memory was given back in this process so far, and how long that took:\n"
"'trims' calls of trim() and their 'trim_microseconds'; 'malloc_trims' calls that\n"
"made the system's malloc give back, by trim(), by the purger or once at the start of\n"
"a patched interpreter, and their 'malloc_trim_microseconds'.");

static PyObject *
obmalloc_trims(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct obm_spent trims = obm_spent_read(&trims_spent), of_malloc = _PyObmalloc_MallocSpent();
    PyObject *dict = PyDict_New();
    if (dict != NULL && (set_size(dict, "trims", trims.calls) < 0
                         || set_size(dict, "trim_microseconds", trims.microseconds) < 0
                         || set_size(dict, "malloc_trims", of_malloc.calls) < 0
                         || set_size(dict, "malloc_trim_microseconds",
                                     of_malloc.microseconds) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

PyDoc_STRVAR(active_doc,
"active() -> bool\n"
"\n"
"Whether obmalloc serves the small requests of this interpreter, now, be it\n"
"behind hooks that others have set since (tracemalloc, memray, debug hooks).\n"
"It asks for a small block of each domain (object and mem) and looks where it\n"
"lies.  False: PYTHONMALLOC names another allocator, the library was neither\n"
"preloaded nor installed, or a hook passes nothing on.  Raises MemoryError.\n"
"`python -m obmalloc doctor` tells the reason.");

static PyObject *
obmalloc_active(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    int active = is_active();
    return active < 0 ? NULL : PyBool_FromLong(active);
}

#ifndef OBM_LOADABLE

PyDoc_STRVAR(clear_free_lists_doc,
"clear_free_lists() -> None\n"
"\n"
"Empty the free lists of the basic types, as a full collection does.");

static PyObject *
obmalloc_clear_free_lists(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    _PyObmalloc_EmptyFreeLists();
    Py_RETURN_NONE;
}

#else

PyDoc_STRVAR(install_doc,
"install() -> str or None\n"
"\n"
"Put the heap in front of pymalloc.  None: it is there; else one line that says\n"
"why it cannot be.");

static PyObject *
obmalloc_install(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("z", obm_loadable_install());
}

#include "_obmalloc_watch.c"

#endif  /* OBM_LOADABLE */

static PyMethodDef methods[] = {
#ifdef OBM_LOADABLE
    {"install", obmalloc_install, METH_NOARGS, install_doc},
#else
    {"clear_free_lists", obmalloc_clear_free_lists, METH_NOARGS, clear_free_lists_doc},
#endif
    {"active", obmalloc_active, METH_NOARGS, active_doc},
    {"stats", obmalloc_stats, METH_NOARGS, stats_doc},
    {"heap_map", obmalloc_heap_map, METH_NOARGS, heap_map_doc},
    {"owned", obmalloc_owned, METH_VARARGS, owned_doc},
    {"block", obmalloc_block, METH_VARARGS, block_doc},
    {"words", obmalloc_words, METH_VARARGS, words_doc},
    {"traverse", obmalloc_traverse, METH_O, traverse_doc},
    {"settings", obmalloc_settings, METH_NOARGS, settings_doc},
    {"trim", obmalloc_trim, METH_NOARGS, trim_doc},
    {"check", obmalloc_check, METH_VARARGS, check_doc},
    {"system_malloc", obmalloc_system_malloc, METH_NOARGS, system_malloc_doc},
    {"trims", obmalloc_trims, METH_NOARGS, trims_doc},
    {"call_longlived", obmalloc_call_longlived, METH_VARARGS, call_longlived_doc},
    {"only_this_thread", obmalloc_only_this_thread, METH_NOARGS, only_this_thread_doc},
    {"copy", obmalloc_copy, METH_O, copy_doc},
    {"copy_values", obmalloc_copy_values, METH_VARARGS, copy_values_doc},
    {"sharer", obmalloc_sharer, METH_O, sharer_doc},
    {"replace", obmalloc_replace, METH_VARARGS, replace_doc},
    {"replace_element", obmalloc_replace_element, METH_VARARGS, replace_element_doc},
    {NULL, NULL, 0, NULL}
};

#ifdef OBM_LOADABLE

static int
module_exec(PyObject *module)
{
    const char *reason = obm_loadable_prepare();
    if (reason != NULL) {
        PyErr_SetString(PyExc_ImportError, reason);
        return -1;
    }
    return add_entries(module) < 0 || learn_strings() < 0
           ? -1 : PyModule_AddIntConstant(module, "interface", OBM_LOADABLE_INTERFACE);
}

#else

static int
module_exec(PyObject *module)
{
    return add_entries(module) < 0 ? -1 : learn_strings();
}

#endif  /* OBM_LOADABLE */

#else   /* !WITH_OBMALLOC_ARENAS */

static PyMethodDef methods[] = {
    {NULL, NULL, 0, NULL}
};

static int
module_exec(PyObject *Py_UNUSED(module))
{
    PyErr_SetString(PyExc_ImportError, "this interpreter was built without obmalloc");
    return -1;
}

#endif  /* WITH_OBMALLOC_ARENAS */

PyDoc_STRVAR(module_doc, "The small-object allocator of this interpreter.");

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, module_exec},
#if defined(Py_mod_multiple_interpreters) && !defined(OBM_LOADABLE)  /* which serves the main one */
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL}
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_obmalloc",
    .m_doc = module_doc,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__obmalloc(void)
{
    return PyModuleDef_Init(&definition);
}

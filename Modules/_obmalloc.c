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
#  include "_obmalloc_compat.h"
#endif

#if WITH_OBMALLOC_ARENAS

#include "obmalloc/python.h"

/* It needs the structs of one version of Python. */
#if PY_VERSION_HEX >= 0x03090000 && !defined(OBM_LOADABLE)
#  define OBM_OWNERS 1
#  include "_obmalloc_owners.h"
#else
#  define OBM_OWNERS 0
#endif

static int
set_size(PyObject *dict, const char *key, size_t value)
{
    PyObject *number = PyLong_FromSize_t(value);
    int result = number != NULL ? PyDict_SetItemString(dict, key, number) : -1;
    Py_XDECREF(number);
    return result;
}

static PyObject *
class_stats(const struct obm_class_stats *stats)
{
    PyObject *dict = PyDict_New();
    if (dict != NULL && (set_size(dict, "size", stats->size) < 0
                         || set_size(dict, "capacity", stats->capacity) < 0
                         || set_size(dict, "pools", stats->pools) < 0
                         || set_size(dict, "live_blocks", stats->live_blocks) < 0
                         || set_size(dict, "free_blocks", stats->free_blocks) < 0)) {
        Py_CLEAR(dict);
    }
    return dict;
}

static PyObject *
all_class_stats(const struct obm_stats *stats)
{
    PyObject *list = PyList_New(OBM_SIZE_CLASSES);
    for (unsigned c = 0; list != NULL && c < OBM_SIZE_CLASSES; c++) {
        PyObject *row = class_stats(&stats->classes[c]);
        if (row == NULL) {
            Py_CLEAR(list);
            break;
        }
        PyList_SetItem(list, c, row);
    }
    return list;
}

#define FIELD(name) {#name, offsetof(struct obm_stats, name)}
static const struct { const char *key; size_t offset; } stats_fields[] = {
    FIELD(page_size), FIELD(run_size), FIELD(arena_size), FIELD(arenas), FIELD(arena_bytes),
    FIELD(arenas_mapped), FIELD(arenas_released), FIELD(arenas_highwater),
    FIELD(huge_arenas), FIELD(arenas_huge), FIELD(arenas_split),
    FIELD(used_pages), FIELD(floor_pages), FIELD(resident_pages), FIELD(free_pages),
    FIELD(dirty_pages), FIELD(purged_pages), FIELD(fresh_pages), FIELD(live_blocks), FIELD(live_bytes),
    FIELD(free_block_bytes), FIELD(tail_bytes), FIELD(metadata_bytes),
    FIELD(purge_calls), FIELD(pages_purged), FIELD(pages_released), FIELD(refaults), FIELD(purge_failures),
    FIELD(allowance_pages),
};
#undef FIELD

static int
fill_stats(PyObject *dict, const struct obm_stats *stats)
{
    if (set_size(dict, "version", OBM_STATS_VERSION) < 0) {
        return -1;
    }
    for (size_t i = 0; i < Py_ARRAY_LENGTH(stats_fields); i++) {
        const char *field = (const char *)stats + stats_fields[i].offset;
        if (set_size(dict, stats_fields[i].key, *(const size_t *)field) < 0) {
            return -1;
        }
    }
    PyObject *blocks = PyLong_FromSsize_t(stats->system_blocks);
    PyObject *classes = all_class_stats(stats);
    int failed = blocks == NULL || classes == NULL
                 || PyDict_SetItemString(dict, "system_blocks", blocks) < 0
                 || PyDict_SetItemString(dict, "classes", classes) < 0;
    Py_XDECREF(blocks);
    Py_XDECREF(classes);
    return failed ? -1 : 0;
}

PyDoc_STRVAR(stats_doc,
"stats() -> dict\n"
"\n"
"What the arenas of this interpreter hold: bytes, pages, blocks and events,\n"
"counted by walking them.  help('obmalloc') tells the keys.");

static PyObject *
obmalloc_stats(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    struct obm_stats stats;
    _PyObmalloc_Stats(&stats);
    PyObject *dict = PyDict_New();
    if (dict != NULL && fill_stats(dict, &stats) < 0) {
        Py_CLEAR(dict);
    }
    return dict;
}

#if PY_MAJOR_VERSION >= 3       /* Python 2 has no heap_map() */

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
"the first page (int), pages has four bytes for each: 0 fresh, 1 purged,\n"
"2 dirty or 3 used; the size class, of a used page; and the number of live\n"
"blocks as an unsigned short.  All as of one moment.");

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

#endif  /* PY_MAJOR_VERSION >= 3 */

PyDoc_STRVAR(trim_doc,
"trim() -> int\n"
"\n"
"Give back to the system what can go now: the free pages and empty arenas of\n"
"this interpreter, after the free lists of the basic types were emptied, and\n"
"then what the system's malloc holds free, which serves blocks above 512 bytes.\n"
"What retention had learned is forgotten.\n"
"\n"
"Returns the number of bytes that obmalloc released.  What the system's malloc\n"
"gave back is not counted, since it does not tell.  It is glibc's malloc_trim(0),\n"
"which does not reach the free top of an arena other than the main one, or what\n"
"jemalloc, mimalloc or tcmalloc have for it.\n"
"\n"
"Other threads may run meanwhile: the GIL is held for steps of half a\n"
"millisecond.");

/* Let a thread that waits for the GIL have it. */
static void
between_steps(void)
{
    Py_BEGIN_ALLOW_THREADS
    Py_END_ALLOW_THREADS
}

static PyObject *
obmalloc_trim(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    size_t released = _PyObmalloc_Trim(between_steps);
    Py_BEGIN_ALLOW_THREADS
    _PyObmalloc_TrimSystemMalloc();
    Py_END_ALLOW_THREADS
    return PyLong_FromSize_t(released);
}

PyDoc_STRVAR(check_doc,
"check(level=3, /) -> None\n"
"\n"
"Verify the invariants of the heap of this interpreter.  Level 1 compares\n"
"counters, 2 walks lists and bitmaps, 3 walks every free list.\n"
"Raises RuntimeError, which says what does not hold, and ValueError for\n"
"another level.");

static PyObject *
obmalloc_check(PyObject *Py_UNUSED(module), PyObject *args)
{
    int level = 3;
    char message[OBM_CHECK_MESSAGE_SIZE];
    if (!PyArg_ParseTuple(args, "|i:check", &level)) {
        return NULL;
    }
    if (level < 1 || level > 3) {
        PyErr_SetString(PyExc_ValueError, "level must be 1, 2 or 3");
        return NULL;
    }
    if (!_PyObmalloc_Check(level, message)) {
        PyErr_SetString(PyExc_RuntimeError, message);
        return NULL;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(settings_doc,
"settings() -> dict\n"
"\n"
"The settings in force, as PYTHONOBMALLOC spells them: retain is 'auto', 'none'\n"
"or 'all' (str), or a number of bytes (int); hugepages is 'auto', 'never' or\n"
"'always' (str); background is 'auto' (str), 0 or 1 (int); malloc is 'auto',\n"
"'leave' or 'one' (str); check is 0 to 3, secure 0 or 1 (int).");

static PyObject *
obmalloc_settings(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    static const char *const modes[] = {"auto", "none", "all"};
    static const char *const hugepages[] = {"auto", "never", "always"};
    static const char *const mallocs[] = {"auto", "leave", "one"};
    const struct obm_settings *settings = _PyObmalloc_Settings();
    PyObject *retain = settings->retain == OBM_RETAIN_SIZE
                       ? PyLong_FromSize_t(settings->retain_bytes)
                       : PyUnicode_FromString(modes[settings->retain]);
    PyObject *background = settings->background == OBM_BACKGROUND_AUTO
                           ? PyUnicode_FromString("auto")
                           : PyLong_FromSize_t(settings->background == OBM_BACKGROUND_ON);
    if (retain == NULL || background == NULL) {
        Py_XDECREF(retain);
        Py_XDECREF(background);
        return NULL;
    }
    return Py_BuildValue("{s:N,s:s,s:N,s:s,s:i,s:i}", "retain", retain,
                         "hugepages", hugepages[settings->hugepages],
                         "background", background,
                         "malloc", mallocs[settings->system_malloc],
                         "check", settings->check_level,
                         "secure", (int)settings->secure);
}

#ifdef OBM_LOADABLE

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

#include "_obmalloc_watch.h"

#endif  /* OBM_LOADABLE */

static PyMethodDef methods[] = {
#ifdef OBM_LOADABLE
    {"install", obmalloc_install, METH_NOARGS, install_doc},
#endif
    {"stats", obmalloc_stats, METH_NOARGS, stats_doc},
#if PY_MAJOR_VERSION >= 3
    {"heap_map", obmalloc_heap_map, METH_NOARGS, heap_map_doc},
#endif
#if OBM_OWNERS
    {"owners", obmalloc_owners, METH_VARARGS, owners_doc},
#endif
    {"settings", obmalloc_settings, METH_NOARGS, settings_doc},
    {"trim", obmalloc_trim, METH_NOARGS, trim_doc},
    {"check", obmalloc_check, METH_VARARGS, check_doc},
    {NULL, NULL, 0, NULL}
};

static int
module_exec(PyObject *Py_UNUSED(module))
{
#ifdef OBM_LOADABLE
    const char *reason = obm_loadable_prepare();
    if (reason != NULL) {
        PyErr_SetString(PyExc_ImportError, reason);
        return -1;
    }
#endif
    return 0;
}

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

#if PY_MAJOR_VERSION >= 3

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

#else   /* Python 2 */

PyMODINIT_FUNC
init_obmalloc(void)
{
    PyObject *module = Py_InitModule3("_obmalloc", methods, module_doc);
    if (module != NULL) {
        (void)module_exec(module);
    }
}

#endif

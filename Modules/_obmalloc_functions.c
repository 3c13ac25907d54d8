/* The functions of the module _obmalloc that every Python has.  A part of the module: it is
   included after Python.h, which is another one for each of the three modules that there
   are (this interpreter's, the loadable library's, Python 2's). */

#include "obmalloc/python.h"

#include <time.h>

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
    FIELD(dirty_pages), FIELD(purged_pages), FIELD(fresh_pages),
    FIELD(live_blocks), FIELD(live_bytes),
    FIELD(free_block_bytes), FIELD(tail_bytes), FIELD(metadata_bytes),
    FIELD(purge_calls), FIELD(pages_purged), FIELD(pages_released), FIELD(refaults),
    FIELD(purge_failures), FIELD(allowance_pages),
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
"counted by walking them.\n"
"\n"
"The keys, whose values are integers unless it says otherwise:\n"
"\n"
"    version                                 of this structure: 2\n"
"    page_size, run_size, arena_size         bytes\n"
"    arenas, arena_bytes                     mapped now; bytes of their whole pages\n"
"    arenas_mapped, arenas_released          ever\n"
"    arenas_highwater                        the most at a time\n"
"    huge_arenas                             mapped now as one huge page each\n"
"    arenas_huge, arenas_split               ever mapped so; of those, split since\n"
"    used_pages, floor_pages                 lent to a size class; with a live block\n"
"    free_pages                              dirty + purged + fresh pages\n"
"    dirty_pages, purged_pages, fresh_pages  maybe resident; given back; never touched\n"
"    resident_pages                          used + dirty pages: what should be resident\n"
"    live_blocks, live_bytes                 in used pages; bytes of blocks\n"
"    free_block_bytes, tail_bytes            the rest of the used pages, in bytes: of\n"
"                                            free blocks, and behind the last block of\n"
"                                            a page, or of a run\n"
"    metadata_bytes                          of the arenas' descriptors, and of arrays\n"
"    purge_calls, pages_purged               ever\n"
"    pages_released                          dirty pages that went with their arena, ever\n"
"    refaults                                pages taken again after they were given back\n"
"    purge_failures                          refused by the system, ever\n"
"    allowance_pages                         dirty pages that may stay\n"
"    system_blocks                           blocks of the system's malloc in use\n"
"    classes                                 a list with a dict for each size class:\n"
"                                            size in bytes, capacity, pools (used\n"
"                                            pages), live_blocks, free_blocks\n"
"\n"
"The blocks of a class of up to 512 bytes divide a page, and capacity is how many\n"
"a page has.  Those of a larger one divide a run, and may lie on several of its\n"
"pages: capacity is how many a run has, a page is used while a live block touches\n"
"it, and free_blocks are those that begin on a used page.\n"
"\n"
"What adds up:\n"
"\n"
"    arena_bytes            == (used_pages + free_pages) * page_size\n"
"    used_pages * page_size == live_bytes + free_block_bytes + tail_bytes\n"
"    arenas                 == arenas_mapped - arenas_released\n"
"    used_pages, live_blocks and live_bytes are the sums over the classes, and so is\n"
"    free_block_bytes as far as blocks divide pages");

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

PyDoc_STRVAR(trim_doc,
"trim() -> int\n"
"\n"
"Give back to the system what can go now: the free pages and empty arenas of\n"
"this interpreter, after the free lists of the basic types were emptied, and\n"
"then what the system's malloc holds free, which serves larger blocks.\n"
"What retention had learned is forgotten.\n"
"\n"
"Returns the number of bytes that obmalloc released.  What the system's malloc\n"
"gave back is not counted, since it does not tell.  It is glibc's malloc_trim(0),\n"
"which does not reach the free top of an arena other than the main one, or what\n"
"jemalloc, mimalloc or tcmalloc have for it.\n"
"\n"
"Other threads may run meanwhile: the GIL is held for steps of a millisecond\n"
"or two.");

/* Hand the GIL to a thread that waits for it.  That thread needs time to wake up: if it
   finds the GIL taken again it goes on waiting, and asks for it only when the GIL has not
   changed hands for five milliseconds. */
static void
between_steps(void)
{
    Py_BEGIN_ALLOW_THREADS
#if !defined(_WIN32)
    const struct timespec pause = {0, 100 * 1000};
    nanosleep(&pause, NULL);
#endif
    Py_END_ALLOW_THREADS
}

/* The calls of trim() in this process. */
static struct obm_spent trims_spent;

static PyObject *
obmalloc_trim(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    uint64_t start = _PyObmalloc_Now();
    size_t released = _PyObmalloc_Trim(between_steps);
    Py_BEGIN_ALLOW_THREADS
    _PyObmalloc_TrimSystemMalloc();
    Py_END_ALLOW_THREADS
    obm_spent_add(&trims_spent, _PyObmalloc_Now() - start);
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
"'leave' or 'one' (str); check is 0 to 3, medium and secure are 0 or 1 (int).");

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
    return Py_BuildValue("{s:N,s:s,s:N,s:s,s:i,s:i,s:i}", "retain", retain,
                         "hugepages", hugepages[settings->hugepages],
                         "background", background,
                         "malloc", mallocs[settings->system_malloc],
                         "medium", (int)!settings->no_medium,
                         "check", settings->check_level,
                         "secure", (int)settings->secure);
}

/* Whether a block that a domain has just handed out lies in the heap.  Hooks in front of
   obmalloc may have shifted its address a little.  -1: out of memory. */
static int
is_ours(const void *block)
{
    if (block == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return _PyObmalloc_FindPool(block) != NULL;
}

static int
serves_objects(void)
{
    void *block = PyObject_Malloc(1);
    int ours = is_ours(block);
    PyObject_Free(block);
    return ours;
}

static int
serves_memory(void)
{
    void *block = PyMem_Malloc(1);
    int ours = is_ours(block);
    PyMem_Free(block);
    return ours;
}

/* Whether obmalloc serves both domains.  -1, with an exception: out of memory. */
static int
is_active(void)
{
    int active = serves_objects();
    return active > 0 ? serves_memory() : active;
}

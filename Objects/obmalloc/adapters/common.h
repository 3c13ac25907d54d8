/* obmalloc: what every adapter does in the same way: read the settings, warn,
   and offer the rest of CPython what python.h declares.

   The adapter has defined obm_python_heap(), which tells the heap of the
   calling interpreter, and obm_python_clear_free_lists(), which empties the
   free lists of the basic types. */

#ifndef OBM_COMMON_H
#define OBM_COMMON_H

/* Read once, at start; every heap has the same. */
static struct obm_settings obm_python_settings;

static void
obm_python_warn(const char *line, void *data)
{
    (void)data;
    fprintf(stderr, "%s\n", line);
}

/* text: the value of PYTHONOBMALLOC; NULL: it is not set. */
static void
obm_python_read_settings(const char *text)
{
    obm_settings_from_environment(&obm_python_settings, text, obm_python_warn, NULL);
#ifndef OBM_BACKGROUND_H
    if (obm_python_settings.background) {
        obm_python_warn("PYTHONOBMALLOC: background is not there in this version of "
                        "Python; it stays off", NULL);
        obm_python_settings.background = false;
    }
#endif
}

/* What PYTHONMALLOCSTATS asks for. */
static void OBM_UNUSED
obm_python_before_arena(const struct obm_heap *heap)
{
    obm_dump_stats(heap, stderr);
}

void
_PyObmalloc_Stats(struct obm_stats *stats)
{
    obm_stats_collect(obm_python_heap(), stats);
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
    obm_python_clear_free_lists();
    obm_trim(heap);
    return obm_given_back(heap) - before;
}

void
_PyObmalloc_BeforeBlocking(PyInterpreterState *interp)
{
    struct obm_heap *heap = obm_python_heap();
    (void)interp;       /* the calling one; not every version has the purger */
    if (obm_free_lists_due(heap)) {
        obm_python_clear_free_lists();
    }
    obm_before_blocking(heap);
#ifdef OBM_BACKGROUND_H
    if (heap->settings.background) {
        obm_background_before_blocking(interp);
    }
#endif
}

#ifdef OBM_BACKGROUND_H
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
#endif

bool
_PyObmalloc_Check(int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    return obm_check_heap(obm_python_heap(), level, message);
}

#include "inspection.h"

#endif /* OBM_COMMON_H */

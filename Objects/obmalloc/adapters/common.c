/* obmalloc: what every adapter does in the same way: read the settings, warn,
   and offer the rest of CPython what python.h declares.

   The adapter has defined obm_python_heap(), which tells the heap of the
   calling interpreter, and obm_python_clear_free_lists(), which empties the
   free lists of the basic types. */

#include "reported.c"

/* Read once, at start; every heap has the same. */
static struct obm_settings obm_python_settings;

/* Whether this process is a Python interpreter, and not a program that embeds one: the
   malloc of such a program is left as it is. */
static bool obm_python_is_program;

void
_PyObmalloc_IsProgram(void)
{
    obm_python_is_program = true;
}

/* text: the value of PYTHONOBMALLOC; NULL: it is not set. */
static void
obm_python_read_settings(const char *text)
{
    bool reported = obm_settings_were_reported();
    obm_settings_from_environment(&obm_python_settings, text, obm_settings_warn, &reported);
#ifndef OBM_HAS_BACKGROUND
    if (obm_python_settings.background == OBM_BACKGROUND_ON) {
        obm_settings_warn("PYTHONOBMALLOC: background needs Python 3.9 or newer "
                          "and is ignored", &reported);
    }
    obm_python_settings.background = OBM_BACKGROUND_OFF;
#endif
    if (obm_python_is_program || obm_python_settings.system_malloc == OBM_MALLOC_ONE) {
        obm_malloc_one_arena(&obm_python_settings);
    }
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

#ifdef OBM_HAS_BACKGROUND

/* Blocks of the system's malloc when they last counted as evidence. */
static ptrdiff_t obm_python_blocks_seen;

/* Whether the purger is worth starting for the system's malloc.  Asked each time that a
   thread blocks. */
static bool
obm_python_malloc_is_worth(const struct obm_heap *heap)
{
    ptrdiff_t more = heap->system_blocks - obm_python_blocks_seen;
    size_t blocks = (size_t)(more < 0 ? -more : more);
    if (!obm_background_may_look() && blocks < OBM_PURGER_MIN_BLOCKS) {
        return false;
    }
    bool worth = obm_background_malloc_is_worth(blocks);
    if (blocks >= OBM_PURGER_MIN_BLOCKS) {
        obm_python_blocks_seen = heap->system_blocks;
    }
    return worth;
}

/* Start the purger if it may start and is worth it. */
static void
obm_python_help_idle(PyInterpreterState *interp)
{
    const struct obm_heap *heap = &obmalloc_state_main.heap;
    if (obm_background_may_start(interp)
        && (obm_wants_purger(heap) || obm_python_malloc_is_worth(heap))) {
        obm_background_start();
        obm_python_blocks_seen = heap->system_blocks;
    }
}

#endif

void
_PyObmalloc_BeforeBlocking(PyInterpreterState *interp)
{
    struct obm_heap *heap = obm_python_heap();
    (void)interp;       /* the calling one; not every version has the purger */
#ifdef OBM_HAS_BACKGROUND
    if (obm_background_pauses) {
        obm_background_pauses = false;
        return;
    }
#endif
    if (obm_free_lists_due(heap)) {
        obm_python_clear_free_lists();
    }
    obm_before_blocking(heap);
#ifdef OBM_HAS_BACKGROUND
    obm_python_help_idle(interp);
#endif
}

/* Start reads files, compiles, and imports: buffers, of which the system's malloc has the
   larger ones. */
void
_PyObmalloc_HasStarted(void)
{
    struct obm_heap *heap = obm_python_heap();
    if (heap->arena_count == 0) {       /* PYTHONMALLOC has another one serve */
        return;
    }
    obm_trim_after_start(heap);
    if (obm_malloc_may_give_back(&obm_python_settings)) {
        obm_process_system()->malloc_give_back();
    }
}

void
_PyObmalloc_EmptyFreeLists(void)
{
    obm_python_clear_free_lists();
}

static OBM_THREAD_LOCAL void (*obm_python_between)(void);

/* between() gives up the GIL. */
static void
obm_python_pause(void)
{
#ifdef OBM_HAS_BACKGROUND
    obm_background_pauses = true;
#endif
    obm_python_between();
}

size_t
_PyObmalloc_Trim(void (*between)(void))
{
    struct obm_heap *heap = obm_python_heap();
    size_t before = obm_given_back(heap);
    obm_python_clear_free_lists();
    obm_python_between = between;
    obm_trim_in_steps(heap, obm_python_pause);
    return obm_given_back(heap) - before;
}

#ifdef OBM_HAS_BACKGROUND
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

#include "longlived.c"
#include "inspection.c"

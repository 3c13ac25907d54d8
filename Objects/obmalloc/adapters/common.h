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

/* Whether this process is a Python interpreter, and not a program with one inside, whose
   malloc is none of our business. */
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
    obm_settings_from_environment(&obm_python_settings, text, obm_python_warn, NULL);
#ifndef OBM_HAS_BACKGROUND
    if (obm_python_settings.background == OBM_BACKGROUND_ON) {
        obm_python_warn("PYTHONOBMALLOC: background is not there in this version of "
                        "Python; it stays off", NULL);
    }
    obm_python_settings.background = OBM_BACKGROUND_OFF;
#endif
    if (obm_python_is_program) {
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

size_t
_PyObmalloc_Trim(void (*between)(void))
{
    struct obm_heap *heap = obm_python_heap();
    size_t before = obm_given_back(heap);
    obm_python_clear_free_lists();
    obm_trim_in_steps(heap, between);
    return obm_given_back(heap) - before;
}

#ifdef OBM_HAS_BACKGROUND

/* When to look at the system's malloc, which is asked each time that a thread blocks: so
   long after the last look, or when it has so many blocks more or fewer.  A look that took
   longer makes both larger, up to their most. */
#define OBM_LOOK_NANOSECONDS ((uint64_t)4 * 1000 * 1000)
#define OBM_LOOK_NANOSECONDS_MAX ((uint64_t)20 * 1000 * 1000)
#define OBM_LOOK_BLOCKS ((uint64_t)64)
#define OBM_LOOK_BLOCKS_MAX ((uint64_t)4096)
/* A look takes at most one part in so many of the time, and so long a block. */
#define OBM_LOOK_SHARE 100
#define OBM_LOOK_NANOSECONDS_PER_BLOCK 5

static inline uint64_t
obm_python_bounded(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value < most ? value : most;
}

/* Whether the purger is worth starting for the system's malloc.  The clock that is looked
   at first is the coarse one. */
static bool
obm_python_malloc_is_worth(const struct obm_heap *heap)
{
    static struct {
        uint64_t not_before;
        uint64_t enough;
        ptrdiff_t blocks;
    } last;
    ptrdiff_t more = heap->system_blocks - last.blocks;
    uint64_t now = obm_os_system()->now();
    if (now < last.not_before && (uint64_t)(more < 0 ? -more : more) < last.enough) {
        return false;
    }
    uint64_t start = obm_process_system()->now();
    bool worth = obm_background_malloc_is_worth();
    uint64_t took = obm_process_system()->now() - start;
    last.not_before = now + obm_python_bounded(took * OBM_LOOK_SHARE, OBM_LOOK_NANOSECONDS,
                                               OBM_LOOK_NANOSECONDS_MAX);
    last.enough = obm_python_bounded(took / OBM_LOOK_NANOSECONDS_PER_BLOCK, OBM_LOOK_BLOCKS,
                                     OBM_LOOK_BLOCKS_MAX);
    last.blocks = heap->system_blocks;
    return worth;
}

#endif

void
_PyObmalloc_BeforeBlocking(PyInterpreterState *interp)
{
    struct obm_heap *heap = obm_python_heap();
    (void)interp;       /* the calling one; not every version has the purger */
    if (obm_free_lists_due(heap)) {
        obm_python_clear_free_lists();
    }
    obm_before_blocking(heap);
#ifdef OBM_HAS_BACKGROUND
    if (obm_background_may_start(interp)
        && (obm_wants_purger(&obmalloc_state_main.heap) || obm_python_malloc_is_worth(&obmalloc_state_main.heap))) {
        obm_background_start();
    }
#endif
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

#include "inspection.h"

#endif /* OBM_COMMON_H */

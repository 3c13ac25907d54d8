/* obmalloc: what an adapter offers to the rest of a patched CPython.

   Each function works on the heap of the current interpreter, and its caller
   holds the GIL. */

#ifndef OBM_PYTHON_H
#define OBM_PYTHON_H

#include "obmalloc/arena_map.h"
#include "obmalloc/blocks.h"
#include "obmalloc/check.h"
#include "obmalloc/heap_map.h"
#include "obmalloc/longlived.h"
#include "obmalloc/stats.h"
#include "obmalloc/system_malloc.h"

extern void _PyObmalloc_Stats(struct obm_stats *stats);

/* The thread is about to give up the GIL of interp to block; its thread state
   is still the current one. */
extern void _PyObmalloc_BeforeBlocking(PyInterpreterState *interp);

/* An interpreter with a heap of its own is about to be made.  The caller still
   holds the GIL of its interpreter, or has no thread state. */
extern void _PyObmalloc_BeforeSecondHeap(void);

/* The process is about to fork, or the runtime to be finalized: no thread of
   ours may be under way then.  The GIL of interp may be given up. */
extern void _PyObmalloc_BeforeFork(PyInterpreterState *interp);
extern void _PyObmalloc_BeforeFinalizing(PyInterpreterState *interp);

/* The settings in force. */
extern const struct obm_settings *_PyObmalloc_Settings(void);

/* This process is a Python interpreter, not a program with one inside.  Called before
   Python is initialized, from the functions that a main program consists of. */
extern void _PyObmalloc_IsProgram(void);

/* Python is initialized, and the program that it shall execute comes next: what the start
   has left free goes back.  From the functions that a main program consists of. */
extern void _PyObmalloc_HasStarted(void);

/* Give back what can go now, what the free lists of the basic types hold
   included, in steps of OBM_PURGE_STEP_NANOSECONDS.  between() is called between two
   of them: it may give up the GIL.  Returns the number of bytes. */
extern size_t _PyObmalloc_Trim(void (*between)(void));

/* Empty the free lists of the basic types. */
extern void _PyObmalloc_EmptyFreeLists(void);

/* Let the system's malloc give back what it holds free.  The GIL need not be held. */
extern void _PyObmalloc_TrimSystemMalloc(void);

/* What the system's malloc holds, and what giving back took: see obm_process and
   obm_malloc_spent().  The GIL need not be held. */
extern bool _PyObmalloc_MallocFigures(struct obm_malloc_figures *figures);
extern struct obm_spent _PyObmalloc_MallocSpent(void);

/* Nanoseconds, never running backwards. */
extern uint64_t _PyObmalloc_Now(void);

/* Mark the calling thread, so that its requests get long-lived blocks, until
   _PyObmalloc_ExitLonglived() was called as often with what this returns: the number of the
   thread; 0: it is not marked, since there is no memory or the heap is not in force. */
extern uintptr_t _PyObmalloc_EnterLonglived(void);
extern void _PyObmalloc_ExitLonglived(uintptr_t thread);

/* The number of the calling thread; 0: it was never marked. */
extern uintptr_t _PyObmalloc_ThisThread(void);

/* Unmark all other threads, which a child process does not have. */
extern void _PyObmalloc_OnlyThisThread(void);

/* See obm_check_heap(). */
extern bool _PyObmalloc_Check(int level, char message[OBM_CHECK_MESSAGE_SIZE]);

/* The heap itself, to be looked at; and what else looking at it needs, see
   obm_find_pool(), obm_arena_describe(), obm_first_block() and obm_pool_live_blocks(). */
extern const struct obm_heap *_PyObmalloc_Heap(void);
extern const struct obm_pool *_PyObmalloc_FindPool(const void *address);
extern unsigned _PyObmalloc_DescribeArena(obm_arena_index index,
                                          struct obm_page_info pages[OBM_MAX_ARENA_PAGES]);
extern const char *_PyObmalloc_FirstBlock(const struct obm_pool *pool);
extern bool _PyObmalloc_LiveBlocks(const struct obm_pool *pool,
                                   uint64_t live[OBM_POOL_WORDS]);

#endif /* OBM_PYTHON_H */

/* obmalloc: the life of a heap, and what is done to all of it. */

#ifndef OBM_HEAP_H
#define OBM_HEAP_H

#include "obmalloc/size_class.h"

/* Set up a heap in zeroed memory.  Nothing is mapped before the first
   allocation, so this cannot fail for lack of memory; false: the page size of
   the system is not supported, and every allocation will return NULL. */
OBM_API bool obm_heap_init(struct obm_heap *heap, const struct obm_os *os,
                           const struct obm_settings *settings);

/* Return all memory to the system, even if blocks are still in use; or, if abandon,
   return only what is free, and leave the rest in place for ever because blocks are in
   use.  The heap is empty then, and can be used again; the functions that
   it calls (arena_allocator, before_arena, on_surplus, on_page_events) are NULL. */
OBM_API void obm_heap_close(struct obm_heap *heap, bool abandon);

/* Put front in force instead of the one that is, which is closed then; NULL:
   the heap's own.  A heap keeps its front when it is closed and used again. */
OBM_API void obm_heap_use_front(struct obm_heap *heap, struct obm_front *front);

/* Give back all that can go now.  Returns the number of bytes. */
OBM_API size_t obm_trim(struct obm_heap *heap);

/* The same in steps of OBM_PURGE_STEP_NANOSECONDS.  between() is called between two
   of them: the heap may be used and change meanwhile. */
OBM_API size_t obm_trim_in_steps(struct obm_heap *heap, void (*between)(void));

/* The program begins, and what came before it, the start of an interpreter, is over: give
   back what that has left free, unless the settings say what is to be kept, or want huge
   pages always. */
OBM_API void obm_trim_after_start(struct obm_heap *heap);

/* Bytes given back so far, by purges and releases. */
OBM_INLINE size_t
obm_given_back(const struct obm_heap *heap)
{
    return (heap->counters.purged_pages + heap->counters.released_pages)
           << obm_page_shift(heap);
}

#endif /* OBM_HEAP_H */

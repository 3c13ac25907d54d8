/* obmalloc: the arenas that have dirty pages. */

#ifndef OBM_DIRTY_H
#define OBM_DIRTY_H

#include "obmalloc/types.h"

/* Bring the queue and the count of dirty pages up to date after a change of
   the arena.  Memory that cannot be purged counts only once its whole arena
   can go back. */
OBM_API void obm_dirty_recount(struct obm_heap *heap, struct obm_arena_object *arena);

/* More pages of the heap may be resident than before, and fewer others.  The purger reads
   their number without the GIL. */
OBM_INLINE void
obm_resident_changed(struct obm_heap *heap, size_t more, size_t fewer)
{
    OBM_PUBLISH(&heap->resident_pages, heap->resident_pages + more - fewer);
}

#endif /* OBM_DIRTY_H */

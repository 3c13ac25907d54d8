/* obmalloc: free pages go back to the system, and huge pages are split. */

#ifndef OBM_PURGE_H
#define OBM_PURGE_H

#include "obmalloc/types.h"

/* Purge dirty pages of an arena that is purgeable, run by run, until at least
   limit (> 0) pages or all have gone.  Returns the number of pages; 0: the
   system refused, and the arena is purgeable no more. */
OBM_API size_t obm_arena_purge(struct obm_heap *heap, obm_arena_index index, size_t limit);

/* Split each huge page with memory that no page of ours uses, and count that as
   dirty, so that it can be purged; until the price has reached limit.  Returns the
   price, in nanoseconds. */
OBM_API uint64_t obm_arenas_split(struct obm_heap *heap, uint64_t limit);

#endif /* OBM_PURGE_H */

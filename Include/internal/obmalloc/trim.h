/* obmalloc: giving back what retention does not keep. */

#ifndef OBM_TRIM_H
#define OBM_TRIM_H

#include "obmalloc/types.h"

/* A page was freed: give back what is too much now. */
OBM_API void obm_trim_page_freed(struct obm_heap *heap);

/* Look at the clock, give back what proved to be surplus, and what is above
   the allowance, as far as the bounded share of the time goes and one step does.
   Returns whether another step would give back more. */
OBM_API bool obm_trim_tick(struct obm_heap *heap);

/* Purge dirty pages, the longest free first, and release empty arenas, until
   at most target dirty pages are left, or the price has reached limit; the last
   arena may exceed it.  Returns the price, in nanoseconds (see config.h). */
OBM_API uint64_t obm_trim_down_to(struct obm_heap *heap, size_t target, uint64_t limit);

/* Elsewhere there was no memory for so many bytes.  Give back what the heap retains, if that
   is so much that it may have been missed.  Returns whether anything went. */
OBM_API bool obm_trim_for(struct obm_heap *heap, size_t size);

/* The thread is about to block: a moment at which purging delays no other
   thread. */
OBM_API void obm_before_blocking(struct obm_heap *heap);

#endif /* OBM_TRIM_H */

/* obmalloc: when memory goes back. */

#ifndef OBM_RETENTION_H
#define OBM_RETENTION_H

#include "obmalloc/types.h"

/* Set the policy according to heap->settings. */
OBM_API void obm_retention_init(struct obm_heap *heap);

/* Tell the policy that a page was freed, or taken from an arena. */
OBM_API void obm_retention_page_freed(struct obm_heap *heap);
OBM_API void obm_retention_page_taken(struct obm_heap *heap,
                                      const struct obm_arena_object *arena,
                                      struct obm_page_history history);

/* Look at the clock, give back what proved to be surplus, and what is above
   the allowance, as far as the bounded share of the time goes and one step does.
   Returns whether another step would give back more. */
OBM_API bool obm_retention_tick(struct obm_heap *heap);

/* Purge dirty pages, the longest free first, and release empty arenas, until
   at most target dirty pages are left, or the price has reached limit; the last
   arena may exceed it.  Returns the price, in nanoseconds (see config.h). */
OBM_API uint64_t obm_retention_trim(struct obm_heap *heap, size_t target, uint64_t limit);

/* Whether so much has gone back since this last returned true that the
   caller should empty its free lists, which may pin pages. */
OBM_API bool obm_free_lists_due(struct obm_heap *heap);

#endif /* OBM_RETENTION_H */

/* obmalloc: retention, the policy that decides when memory goes back. */

#ifndef OBM_RETENTION_H
#define OBM_RETENTION_H

#include "obmalloc/types.h"

/* Set the policy according to heap->settings. */
OBM_API void obm_retention_init(struct obm_heap *heap);

/* Events.  An arena counts other dirty pages than before. */
OBM_API void obm_retention_dirty_changed(struct obm_heap *heap, unsigned before,
                                         unsigned after);

/* An arena was mapped.  Returns how many of its pages replace released ones. */
OBM_API size_t obm_retention_arena_mapped(struct obm_heap *heap,
                                          struct obm_arena_object *arena);

/* An arena is about to be released, or purged. */
OBM_API void obm_retention_arena_released(struct obm_heap *heap,
                                          const struct obm_arena_object *arena);
OBM_API void obm_retention_arena_purged(const struct obm_heap *heap,
                                        struct obm_arena_object *arena);

/* The first touch of a huge page took this many nanoseconds. */
OBM_API void obm_retention_huge_touched(struct obm_heap *heap, uint64_t took);

/* A page was taken from an arena. */
OBM_API void obm_retention_page_taken(struct obm_heap *heap,
                                      const struct obm_arena_object *arena,
                                      struct obm_page_history history);

/* Memory went back at this price, in nanoseconds, though no page event asked for it. */
OBM_API void obm_retention_paid(struct obm_heap *heap, uint64_t price);

/* All that could go has gone: what was learned is forgotten. */
OBM_API void obm_retention_all_given_back(struct obm_heap *heap);

/* No purge until now says anything about what comes: pages that are taken again are none
   that should have been kept. */
OBM_API void obm_retention_forget_purges(struct obm_heap *heap);

/* Questions.  Whether an arena that is about to be mapped should be a huge page. */
OBM_API bool obm_retention_wants_huge(const struct obm_heap *heap);

/* How many clean pages may be populated together, the requested one included; 0: only
   that one. */
OBM_API size_t obm_retention_populate_limit(const struct obm_heap *heap);

/* Count a page event.  Returns whether the clock should be looked at. */
OBM_API bool obm_retention_clock_is_due(struct obm_heap *heap);

OBM_API void obm_retention_look_at_clock(struct obm_heap *heap);

/* The price, in nanoseconds, of giving back pages with this many system calls. */
OBM_INLINE uint64_t
obm_retention_price(size_t calls, size_t pages)
{
    return calls * OBM_PURGE_CALL_NANOSECONDS + pages * OBM_PURGE_PAGE_NANOSECONDS;
}

/* Whether more is retained than any heap may keep: if nothing else happens, it
   takes obm_trim_tick() to give it back. */
OBM_INLINE bool
obm_has_surplus(const struct obm_heap *heap)
{
    return heap->retention.dirty > heap->retention.base;
}

/* Whether enough more is retained to start the purger. */
OBM_INLINE bool
obm_wants_purger(const struct obm_heap *heap)
{
    return heap->retention.dirty > heap->retention.surplus_at;
}

/* Whether OBM_FREE_LISTS_BYTES have gone back since this last returned true: then the
   caller should empty its free lists, which may pin pages. */
OBM_API bool obm_free_lists_due(struct obm_heap *heap);

#endif /* OBM_RETENTION_H */

/* obmalloc: arenas and runs by their number of free pages. */

#ifndef OBM_BUCKETS_H
#define OBM_BUCKETS_H

#include "obmalloc/arena_map.h"

/* The number of the bucket for an arena with so many free pages, 1 or more. */
OBM_INLINE unsigned
obm_arena_bucket(const struct obm_heap *heap, unsigned free_pages)
{
    return (free_pages - 1u)
           >> (heap->geometry.arena_pages_shift - OBM_ARENA_BUCKETS_SHIFT);
}

/* Say which runs of an arena belong to it, one bit each. */
OBM_API void obm_arena_set_free_runs(struct obm_heap *heap, obm_arena_index index,
                                     uint32_t free_runs);

/* The arena with the fewest free pages of those that have a free run; 0: none. */
OBM_API obm_arena_index obm_fullest_arena(const struct obm_heap *heap);

/* Whether the class that has the run can take something from it: a page, or, a medium
   class, a block. */
OBM_INLINE bool
obm_run_has_room(const struct obm_run *run)
{
    return (obm_is_medium_class(run->size_class) ? run->free_blocks : run->free_count) != 0;
}

/* The number of the bucket for a run that has room, and so many free pages. */
OBM_INLINE unsigned
obm_run_bucket(const struct obm_heap *heap, unsigned free_count)
{
    return free_count >> (obm_run_pages_shift(heap) - OBM_RUN_BUCKETS_SHIFT);
}

/* Enter a run that has room in the bucket of its class, or take it out; one that has none
   is in no bucket.  Whether it has room changes while it is out. */
OBM_API void obm_run_link(struct obm_heap *heap, obm_run_id id);
OBM_API void obm_run_unlink(struct obm_heap *heap, obm_run_id id);

/* Change the number of free pages of an arena, or of a run that is lent, and so its bucket. */
OBM_API void obm_arena_change_bucket(struct obm_heap *heap, obm_arena_index index,
                                     unsigned free_pages);
OBM_API void obm_run_change_bucket(struct obm_heap *heap, obm_run_id id, unsigned free_count);

/* Change the number of free pages of a run that is lent, and of its arena.  Most page events
   leave both in their buckets. */
OBM_INLINE void
obm_count_free_pages(struct obm_heap *heap, struct obm_arena_object *arena, struct obm_run *run,
                     obm_run_id id, unsigned free_count)
{
    unsigned free_pages = arena->free_pages + free_count - run->free_count;
    if (obm_run_bucket(heap, free_count) != obm_run_bucket(heap, run->free_count)
        || free_count == 0 || run->free_count == 0) {
        obm_run_change_bucket(heap, id, free_count);
    }
    run->free_count = (uint8_t)free_count;
    if (obm_arena_bucket(heap, free_pages) != obm_arena_bucket(heap, arena->free_pages)) {
        obm_arena_change_bucket(heap, id >> OBM_RUNS_SHIFT, free_pages);
    }
    arena->free_pages = (uint16_t)free_pages;
}

#endif /* OBM_BUCKETS_H */

/* obmalloc: pools of one small size class. */

#ifndef OBM_POOL_H
#define OBM_POOL_H

#include "obmalloc/types.h"

/* Make a pool with room current, in place of one that has none; NULL: no memory, and the
   class has no current pool. */
OBM_API struct obm_pool *obm_pool_next(struct obm_heap *heap, unsigned size_class);

/* Link some of the blocks that were never used; the free list is empty, and
   carved < capacity. */
OBM_API void obm_pool_carve(const struct obm_heap *heap, struct obm_pool *pool);

/* A block of pool is about to be freed for which countdown == 0: the pool was FULL, and
   can be refilled now; or it is the last live block. */
OBM_API void obm_pool_was_full(struct obm_heap *heap, struct obm_pool *pool, void *block);
OBM_API void obm_pool_is_empty(struct obm_heap *heap, struct obm_pool *pool, void *block);

/* Let a block be handed out again. */
OBM_API void obm_pool_push(const struct obm_heap *heap, struct obm_pool *pool, void *block);

/* Give up current pools without a live block, so that their pages can go. */
OBM_API void obm_pools_retire(struct obm_heap *heap);

#endif /* OBM_POOL_H */

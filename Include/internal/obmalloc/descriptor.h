/* obmalloc: what a page's descriptor says: its free list, and how many of its blocks
   are live (struct obm_pool in types.h). */

#ifndef OBM_DESCRIPTOR_H
#define OBM_DESCRIPTOR_H

#include "obmalloc/arena_map.h"

/* The free list: see obm_link in types.h. */

OBM_INLINE bool
obm_is_link(obm_link link)
{
    return !(link & OBM_NO_LINK);
}

OBM_INLINE obm_link
obm_link_to(const void *block)
{
    return (obm_link)(uintptr_t)block;
}

/* The part of an address that a link leaves out. */
OBM_INLINE uintptr_t
obm_region_of(const void *address)
{
    return (uintptr_t)address & ~(uintptr_t)0xffff;
}

/* The block that a link leads to from any address in its page; NULL: none. */
OBM_INLINE void *
obm_linked_block(const void *address, obm_link link)
{
    return obm_is_link(link) ? (void *)(obm_region_of(address) | link) : NULL;
}

/* The free block after this one; NULL: it is the last. */
OBM_INLINE void *
obm_next_free(const void *block)
{
    return obm_linked_block(block, *(const obm_link *)block);
}

/* Where the first block of a pool starts. */
OBM_INLINE char *
obm_pool_blocks(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return obm_pool_address(heap, pool) + heap->geometry.classes[pool->size_class].start;
}

OBM_INLINE void *
obm_first_free(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return obm_linked_block(obm_pool_address(heap, pool), pool->free);
}

OBM_INLINE unsigned
obm_pool_capacity(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return heap->geometry.classes[pool->size_class].capacity;
}

/* How many blocks of a full pool may be free before it is refilled. */
OBM_INLINE unsigned
obm_refill_threshold(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return obm_pool_capacity(heap, pool) >> OBM_REFILL_SHIFT;
}

OBM_INLINE unsigned
obm_pool_live(const struct obm_heap *heap, const struct obm_pool *pool)
{
    switch (pool->state) {
    case OBM_POOL_FULL:
        return obm_pool_capacity(heap, pool) - obm_refill_threshold(heap, pool)
               + (unsigned)pool->countdown;
    case OBM_POOL_PARTIAL:
    case OBM_POOL_CURRENT:
        return (unsigned)(pool->countdown + 1);
    default:
        return 0;
    }
}

#endif /* OBM_DESCRIPTOR_H */

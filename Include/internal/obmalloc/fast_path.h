/* obmalloc: the hot path.  Every ordinary malloc and free is one of these two functions,
   inlined where it is called; what they refuse goes to alloc.c. */

#ifndef OBM_FAST_PATH_H
#define OBM_FAST_PATH_H

#include "obmalloc/descriptor.h"

/* A block from the pool in force; NULL: obm_malloc_refused() must be asked. */
OBM_INLINE void *
obm_malloc_fast(struct obm_front *front, size_t size)
{
    /* As obm_size_class(size) >= OBM_SMALL_CLASSES, but one instruction less. */
    size_t less = size - 1;
    if (OBM_UNLIKELY(less >= OBM_SMALL_MAX)) {
        return NULL;
    }
    size_t size_class = less >> OBM_ALIGNMENT_SHIFT;
    struct obm_pool *pool = front->current[size_class];
    uintptr_t link = pool->free;
    OBM_KEEP_APART(link);
    if (OBM_UNLIKELY(link & OBM_NO_LINK)) {
        return NULL;
    }
    OBM_KEEP_APART(size_class);
    void *block = (void *)(front->region[size_class] | link);
    OBM_KEEP_APART(block);
    pool->free = *(obm_link *)block;
    pool->countdown++;
    return block;
}

/* Whether a block lies where the window has descriptors. */
OBM_INLINE bool
obm_front_covers(const struct obm_front *front, const void *block)
{
    return (uintptr_t)block - front->window_base < front->window_limit;
}

/* Count the free of such a block in its pool, and push it.  false: counted, but not
   pushed, because the pool was full and is due, or becomes empty, or there is none, or the
   block is the one that was freed last; it is for obm_free_counted() to take the
   count back.  So an ordinary free counts and decides in two instructions, and
   in two more sees that it is not a second one. */
OBM_INLINE bool
obm_free_fast(const struct obm_heap *heap, const struct obm_front *front, void *block)
{
    struct obm_pool *pools = front->window_pools;
    uintptr_t page = ((uintptr_t)block - front->window_base) >> obm_page_shift(heap);
    bool negative;
    OBM_COUNT_DOWN(pools[page].countdown, negative);
    if (OBM_UNLIKELY(negative)) {
        return false;
    }
    OBM_KEEP_APART(page);
    obm_link last = pools[page].free;
    if (OBM_UNLIKELY(last == obm_link_to(block))) {
        return false;
    }
    *(obm_link *)block = last;
    OBM_KEEP_APART(page);
    pools[page].free = obm_link_to(block);
    return true;
}

#endif /* OBM_FAST_PATH_H */

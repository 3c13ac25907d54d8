/* obmalloc: malloc, calloc, realloc and free. */

#ifndef OBM_ALLOC_H
#define OBM_ALLOC_H

#include "obmalloc/arena_map.h"
#include "obmalloc/fast_path.h"
#include "obmalloc/longlived.h"
#include "obmalloc/medium.h"

/* A block of at least size bytes, aligned to OBM_ALIGNMENT; NULL if size is 0
   or above OBM_MEDIUM_MAX, or if there is no memory: the caller asks the
   system's malloc then. */
OBM_API void *obm_malloc(struct obm_heap *heap, size_t size);

/* The same for a request that is small, while no thread gets long-lived blocks, and while
   one does. */
OBM_API void *obm_malloc_slow(struct obm_heap *heap, size_t size);
OBM_API void *obm_malloc_beside_marks(struct obm_heap *heap, size_t size);

/* A long-lived block, if the calling thread is known to be marked and the current pool of the
   class has one; NULL otherwise. */
OBM_INLINE void *
obm_malloc_long_fast(struct obm_heap *heap, size_t size)
{
    return OBM_UNLIKELY(obm_is_known_as_marked(heap))
           ? obm_malloc_fast(&heap->longlived.front, size) : NULL;
}

/* What obm_malloc() does with a small request that obm_malloc_fast() has refused: the current
   pool of its class has no block, or a thread gets long-lived blocks: while one does, every
   small request comes here. */
OBM_INLINE void *
obm_malloc_small_refused(struct obm_heap *heap, size_t size)
{
    return OBM_UNLIKELY(heap->longlived.marks != NULL) ? obm_malloc_beside_marks(heap, size)
                                                       : obm_malloc_slow(heap, size);
}

/* The same for a request of any size. */
OBM_INLINE void *
obm_malloc_refused(struct obm_heap *heap, size_t size)
{
    return obm_size_class(size) < OBM_SMALL_CLASSES ? obm_malloc_small_refused(heap, size)
                                                    : obm_medium_malloc(heap, size);
}

/* As obm_malloc(), with every byte 0. */
OBM_API void *obm_calloc(struct obm_heap *heap, size_t size);

/* Free a block.  false: it is not a block of this heap, nor of any other. */
OBM_API bool obm_free(struct obm_heap *heap, void *block);
OBM_API bool obm_free_slow(struct obm_heap *heap, void *block);

/* The same for a block that obm_free_fast() has refused. */
OBM_API bool obm_free_counted(struct obm_heap *heap, void *block);

/* Let every block in quarantine be handed out again. */
OBM_API void obm_quarantine_empty(struct obm_heap *heap);

/* Bytes in the block; 0: it is not a block of this heap. */
OBM_INLINE size_t
obm_block_size(const struct obm_heap *heap, const void *block)
{
    const struct obm_pool *pool = obm_find_pool(heap, block);
    return pool != NULL ? obm_class_size(heap, pool->size_class) : 0;
}

/* Whether a block of old bytes stays where it is when it is asked to hold
   size bytes: it fits, and moving would save less than a quarter of it. */
OBM_INLINE bool
obm_stays_in_place(size_t old, size_t size)
{
    return size <= old && 4 * size > 3 * old;
}

/* Let a block hold size bytes: where it is, or in another one with what it holds,
   for which elsewhere(context, size) is asked if obm_malloc() has none.  *block is that
   one then; NULL: there is no memory, and the old block is as it was.  Without memory a
   block that is to shrink stays where it is.
   false: it is not a block of this heap, nor of any other, and nothing was done. */
OBM_API bool obm_realloc(struct obm_heap *heap, void **block, size_t size,
                         void *(*elsewhere)(void *context, size_t size), void *context);

#endif /* OBM_ALLOC_H */

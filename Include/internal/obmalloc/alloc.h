/* obmalloc: malloc, calloc and free. */

#ifndef OBM_ALLOC_H
#define OBM_ALLOC_H

#include "obmalloc/arena_map.h"
#include "obmalloc/fast_path.h"

/* A block of at least size bytes, aligned to OBM_ALIGNMENT; NULL if size is 0
   or above OBM_SMALL_MAX, or if there is no memory: the caller asks the
   system's malloc then. */
OBM_API void *obm_malloc(struct obm_heap *heap, size_t size);
OBM_API void *obm_malloc_slow(struct obm_heap *heap, size_t size);

/* The same, with every byte 0. */
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

/* End the process if the block, which is none of this heap's, is one of
   another heap's. */
OBM_API void obm_must_be_foreign(const struct obm_heap *heap, const void *block);

/* Whether a block of old bytes stays where it is when it is asked to hold
   size bytes: it fits, and moving would save less than a quarter of it. */
OBM_INLINE bool
obm_stays_in_place(size_t old, size_t size)
{
    return size <= old && 4 * size > 3 * old;
}

#endif /* OBM_ALLOC_H */

/* obmalloc: size classes, and the sizes that follow from the page size. */

#ifndef OBM_SIZE_CLASS_H
#define OBM_SIZE_CLASS_H

#include "obmalloc/types.h"

/* Bytes in a block of this class. */
OBM_INLINE size_t
obm_class_size(const struct obm_heap *heap, unsigned size_class)
{
    return heap->geometry.classes[size_class].size;
}

/* The class of a request: arithmetic, since the hot path has no instruction to
   spare for a table of requests.  For size 0, and for sizes above OBM_SMALL_MAX, the
   result is not below OBM_SIZE_CLASSES: one comparison rules out both. */
OBM_INLINE size_t
obm_size_class(size_t size)
{
    return (size - 1) >> OBM_ALIGNMENT_SHIFT;
}

/* Fill in what follows from the page size in bytes (a power of two between
   4 and 64 KiB).  false: the page size is not supported. */
OBM_API bool obm_geometry_init(struct obm_geometry *geometry, size_t page_size);

OBM_INLINE unsigned
obm_page_shift(const struct obm_heap *heap)
{
#if OBM_FIXED_PAGE_SHIFT
    (void)heap;
    return OBM_FIXED_PAGE_SHIFT;
#else
    return heap->geometry.page_shift;
#endif
}

#endif /* OBM_SIZE_CLASS_H */

/* obmalloc: size classes, and the sizes that follow from the page size. */

#ifndef OBM_SIZE_CLASS_H
#define OBM_SIZE_CLASS_H

#include "obmalloc/bits.h"
#include "obmalloc/types.h"

/* Bytes in a block of this class. */
OBM_INLINE size_t
obm_class_size(const struct obm_heap *heap, unsigned size_class)
{
    return heap->geometry.classes[size_class].size;
}

/* The class of a small request: arithmetic, since the hot path has no instruction to
   spare for a table of requests.  For size 0, and for sizes above OBM_SMALL_MAX, the
   result is not below OBM_SMALL_CLASSES: one comparison rules out both. */
OBM_INLINE size_t
obm_size_class(size_t size)
{
    return (size - 1) >> OBM_ALIGNMENT_SHIFT;
}

/* The class of a medium request, of more than OBM_SMALL_MAX bytes and at most
   OBM_MEDIUM_MAX: the highest bits of the size tell. */
OBM_INLINE unsigned
obm_medium_class(size_t size)
{
    uint32_t less = (uint32_t)size - 1;
    unsigned top = obm_highest_bit(less);
    unsigned step = less >> (top - OBM_MEDIUM_STEPS_SHIFT);
    return (top << OBM_MEDIUM_STEPS_SHIFT) + step + OBM_SMALL_CLASSES
           - ((OBM_SMALL_MAX_SHIFT + 1u) << OBM_MEDIUM_STEPS_SHIFT);
}

/* The rest holds of both kinds of class: see OBM_LONG_MEDIUM in config.h. */

OBM_INLINE bool
obm_is_medium_class(unsigned size_class)
{
    return size_class - OBM_SMALL_CLASSES < 2 * OBM_MEDIUM_CLASSES;
}

OBM_INLINE bool
obm_is_small_class(unsigned size_class)
{
    return size_class < OBM_SMALL_CLASSES || size_class - OBM_LONG_SMALL < OBM_SMALL_CLASSES;
}

/* The long-lived class with blocks of the same size as an ordinary one. */
OBM_INLINE unsigned
obm_long_class(unsigned size_class)
{
    return size_class + (size_class < OBM_SMALL_CLASSES ? OBM_LONG_SMALL : OBM_MEDIUM_CLASSES);
}

/* And the other way round; of an ordinary one, itself. */
OBM_INLINE unsigned
obm_plain_class(unsigned size_class)
{
    if (size_class < OBM_SIZE_CLASSES) {
        return size_class;
    }
    return size_class - (size_class < OBM_LONG_SMALL ? OBM_MEDIUM_CLASSES : OBM_LONG_SMALL);
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

OBM_INLINE unsigned
obm_run_shift(const struct obm_heap *heap)
{
#if OBM_FIXED_PAGE_SHIFT
    (void)heap;
    return OBM_MAX_RUN_SHIFT;
#else
    return heap->geometry.run_shift;
#endif
}

OBM_INLINE unsigned
obm_run_pages_shift(const struct obm_heap *heap)
{
    return obm_run_shift(heap) - obm_page_shift(heap);
}

#endif /* OBM_SIZE_CLASS_H */

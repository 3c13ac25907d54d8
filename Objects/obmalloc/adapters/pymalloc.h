/* obmalloc: what pymalloc is besides blocks of the heap, the same for every CPython
   that has PyMem_RawMalloc(): requests that the heap does not serve go to the
   system's malloc, and are counted for sys.getallocatedblocks().

   Everything takes the heap of the calling interpreter. */

#ifndef OBM_PYMALLOC_H
#define OBM_PYMALLOC_H

/* Under valgrind (in a build that asks) every block is the system's. */
static inline bool
obm_pymalloc_steps_aside(void)
{
#ifdef WITH_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

static inline void *
obm_pymalloc_count(struct obm_heap *heap, void *system_block)
{
    heap->system_blocks += system_block != NULL;
    return system_block;
}

static inline void *
obm_pymalloc_malloc(struct obm_heap *heap, size_t size)
{
    void *block = obm_pymalloc_steps_aside() ? NULL : obm_malloc(heap, size);
    if (OBM_LIKELY(block != NULL)) {
        return block;
    }
    return obm_pymalloc_count(heap, PyMem_RawMalloc(size));
}

/* The caller has checked that the product does not overflow. */
static inline void *
obm_pymalloc_calloc(struct obm_heap *heap, size_t count, size_t size)
{
    void *block = obm_pymalloc_steps_aside() ? NULL : obm_calloc(heap, count * size);
    if (OBM_LIKELY(block != NULL)) {
        return block;
    }
    return obm_pymalloc_count(heap, PyMem_RawCalloc(count, size));
}

static inline void
obm_pymalloc_free_system(struct obm_heap *heap, void *block)
{
    PyMem_RawFree(block);
    heap->system_blocks--;
}

static inline void
obm_pymalloc_free(struct obm_heap *heap, void *block)
{
    if (OBM_UNLIKELY(!obm_free(heap, block))) {
        obm_pymalloc_free_system(heap, block);
    }
}

static void *
obm_pymalloc_elsewhere(void *heap, size_t size)
{
    return obm_pymalloc_count(heap, PyMem_RawMalloc(size));
}

/* A block of the system's stays with the system, even if it shrinks: its size is
   not known, hence not how much of it may be copied. */
static inline void *
obm_pymalloc_realloc(struct obm_heap *heap, void *block, size_t size)
{
    if (block == NULL) {
        return obm_pymalloc_malloc(heap, size);
    }
    return obm_realloc(heap, &block, size, obm_pymalloc_elsewhere, heap)
           ? block : PyMem_RawRealloc(block, size);
}

#endif /* OBM_PYMALLOC_H */

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

/* The system's malloc has refused.  Where the address space is limited, what the heap retains
   may be all that is left of it: whether something of that has gone back, so that malloc
   should be asked again for so many bytes.  Not where something stands before malloc: a test
   that has one request fail, for instance. */
static OBM_NOINLINE bool
obm_pymalloc_makes_room(struct obm_heap *heap, size_t size)
{
#if PY_MAJOR_VERSION >= 3
    if (_PyMem_Raw.malloc != _PyMem_RawMalloc) {
        return false;
    }
#endif
    return obm_trim_for(heap, size);
}

/* A block of the system's malloc. */
static OBM_NOINLINE void *
obm_pymalloc_system_malloc(struct obm_heap *heap, size_t size)
{
    void *block = PyMem_RawMalloc(size);
    if (OBM_UNLIKELY(block == NULL) && obm_pymalloc_makes_room(heap, size)) {
        block = PyMem_RawMalloc(size);
    }
    return obm_pymalloc_count(heap, block);
}

static inline void *
obm_pymalloc_malloc(struct obm_heap *heap, size_t size)
{
    void *block = obm_pymalloc_steps_aside() ? NULL : obm_malloc(heap, size);
    if (OBM_LIKELY(block != NULL)) {
        return block;
    }
    return obm_pymalloc_system_malloc(heap, size);
}

/* The caller has checked that the product does not overflow. */
static inline void *
obm_pymalloc_calloc(struct obm_heap *heap, size_t count, size_t size)
{
    void *block = obm_pymalloc_steps_aside() ? NULL : obm_calloc(heap, count * size);
    if (OBM_LIKELY(block != NULL)) {
        return block;
    }
    block = PyMem_RawCalloc(count, size);
    if (OBM_UNLIKELY(block == NULL) && obm_pymalloc_makes_room(heap, count * size)) {
        block = PyMem_RawCalloc(count, size);
    }
    return obm_pymalloc_count(heap, block);
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
    return obm_pymalloc_system_malloc(heap, size);
}

/* A block of the system's stays with the system, even if it shrinks: its size is
   not known, hence not how much of it may be copied. */
static inline void *
obm_pymalloc_realloc(struct obm_heap *heap, void *block, size_t size)
{
    if (block == NULL) {
        return obm_pymalloc_malloc(heap, size);
    }
    if (obm_realloc(heap, &block, size, obm_pymalloc_elsewhere, heap)) {
        return block;
    }
    void *moved = PyMem_RawRealloc(block, size);
    if (OBM_UNLIKELY(moved == NULL) && obm_pymalloc_makes_room(heap, size)) {
        moved = PyMem_RawRealloc(block, size);
    }
    return moved;
}

#endif /* OBM_PYMALLOC_H */

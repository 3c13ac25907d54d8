/* obmalloc: the hot path of PyMem_Malloc(), PyObject_Malloc() and their sisters.

   They take it at once, without a call through a pointer and without the way
   to the interpreter's state, through a front that is known at link time (see
   obm_front in types.h).  The front is the main heap's while ours is the
   allocator in force of both domains and the process has one heap; otherwise
   it is closed, and every call goes the ordinary way.

   It is opened and closed by threads that hold the GIL of the main interpreter,
   as all calls through it do.  An interpreter can be made with a GIL of its own
   on the main heap (CPython's tests do): its maker must see to it that no two
   threads run, as with stock pymalloc. */

static struct obm_front obm_python_front = OBM_CLOSED_FRONT;

/* What the ordinary way counts in a build with --enable-pystats; in others
   nothing is left of this, nor in versions before 3.11. */
static inline void
obm_python_count(size_t size)
{
#ifdef OBJECT_STAT_INC
    OBJECT_STAT_INC(allocations);
    if (size < OBM_SMALL_MAX) {
        OBJECT_STAT_INC(allocations512);
    }
    else if (size < 4094) {
        OBJECT_STAT_INC(allocations4k);
    }
    else {
        OBJECT_STAT_INC(allocations_big);
    }
#else
    (void)size;
#endif
}

/* NULL: go the ordinary way. */
static inline void *
obm_python_malloc(size_t size)
{
    void *block = obm_malloc_fast(&obm_python_front, size);
    if (OBM_LIKELY(block != NULL)) {
        obm_python_count(size);
    }
    return block;
}

/* Whether the front is open. */
static inline bool
obm_python_front_is_open(void)
{
    return obmalloc_state_main.heap.front == &obm_python_front;
}

/* What obm_python_malloc() has refused, though the front is open: the current pool has no
   block, or the request is medium, or the system's; or a thread gets long-lived blocks, which
   obm_python_malloc_slow() then hands out without a frame of its own. */

static OBM_NOINLINE void *
obm_python_malloc_small_slow(size_t size)
{
    struct obm_heap *heap = &obmalloc_state_main.heap;
    void *block = obm_pymalloc_steps_aside() ? NULL : obm_malloc_small_refused(heap, size);
    return block != NULL ? block : obm_pymalloc_system_malloc(heap, size);
}

static OBM_NOINLINE void *
obm_python_malloc_not_small(size_t size)
{
    struct obm_heap *heap = &obmalloc_state_main.heap;
    void *block = obm_pymalloc_steps_aside() ? NULL : obm_medium_malloc(heap, size);
    return block != NULL ? block : obm_pymalloc_system_malloc(heap, size);
}

static inline void *
obm_python_malloc_slow(size_t size)
{
    if (size - 1 >= OBM_SMALL_MAX) {        /* as in obm_malloc_fast() */
        return obm_python_malloc_not_small(size);
    }
    void *block = obm_malloc_long_fast(&obmalloc_state_main.heap, size);
    return OBM_LIKELY(block != NULL) ? block : obm_python_malloc_small_slow(size);
}

static inline void *
obm_python_calloc(size_t count, size_t size)
{
    if (OBM_UNLIKELY((count | size) > OBM_SMALL_MAX)) {     /* the product may overflow */
        return NULL;
    }
    void *block = obm_malloc_fast(&obm_python_front, count * size);
    if (OBM_LIKELY(block != NULL)) {
        obm_python_count(size);
        memset(block, 0, count * size);
    }
    return block;
}

/* Out of line, so that the hot path is a leaf function; and for the block alone,
   so that it stays in its register. */
static OBM_NOINLINE void
obm_python_free_counted(void *block)
{
    struct obm_heap *heap = &obmalloc_state_main.heap;
    if (!obm_free_counted(heap, block)) {
        obm_pymalloc_free_system(heap, block);
    }
}

/* false: go the ordinary way. */
static inline bool
obm_python_free(void *block)
{
    if (OBM_UNLIKELY(!obm_front_covers(&obm_python_front, block))) {
        return false;
    }
    if (!obm_free_fast(&obmalloc_state_main.heap, &obm_python_front, block)) {
        obm_python_free_counted(block);
    }
    return true;
}

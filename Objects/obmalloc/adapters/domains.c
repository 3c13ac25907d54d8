/* obmalloc: the functions behind the allocator domains `mem` and `object`, the
   arena allocator in force, and when the front is open, in every CPython that
   has domains (3.4 and newer).

   The adapter has defined obm_python_heap(), which tells the heap of the
   calling interpreter, and OBM_PYTHON_ARENA_ALLOC, the function that gives
   CPython's own arenas by default. */

void *
_PyObject_Malloc(void *Py_UNUSED(ctx), size_t size)
{
    return obm_pymalloc_malloc(obm_python_heap(), size);
}

void *
_PyObject_Calloc(void *Py_UNUSED(ctx), size_t nelem, size_t elsize)
{
    return obm_pymalloc_calloc(obm_python_heap(), nelem, elsize);
}

void
_PyObject_Free(void *Py_UNUSED(ctx), void *block)
{
    if (block != NULL) {    /* NULL may come without a thread state */
        obm_pymalloc_free(obm_python_heap(), block);
    }
}

void *
_PyObject_Realloc(void *Py_UNUSED(ctx), void *block, size_t size)
{
    return obm_pymalloc_realloc(obm_python_heap(), block, size);
}

static bool
obm_python_arena_allocator(struct obm_arena_allocator *in_force)
{
    in_force->context = _PyObject_Arena.ctx;
    in_force->alloc = _PyObject_Arena.alloc;
    in_force->free = _PyObject_Arena.free;
    return in_force->alloc != OBM_PYTHON_ARENA_ALLOC;
}

/* PyMem_Malloc(), PyObject_Malloc(), PyMem_Free() and PyObject_Free().  The
   ordinary way is out of line and takes the block or the size where the caller
   put it, which saves the hot path moving it. */

static OBM_NOINLINE void *
obm_python_malloc_ordinary(size_t size, const PyMemAllocatorEx *in_force)
{
    if (obm_python_front_is_open()) {
        obm_python_count(size);
        return obm_python_malloc_slow(size);
    }
    if (size > (size_t)PY_SSIZE_T_MAX) {    /* lengths are signed */
        return NULL;
    }
    obm_python_count(size);
    return in_force->malloc(in_force->ctx, size);
}

static inline void *
obm_python_malloc_in(const PyMemAllocatorEx *in_force, size_t size)
{
    void *block = obm_python_malloc(size);
    return OBM_LIKELY(block != NULL) ? block : obm_python_malloc_ordinary(size, in_force);
}

static OBM_NOINLINE void
obm_python_free_ordinary(void *block, const PyMemAllocatorEx *in_force)
{
    in_force->free(in_force->ctx, block);
}

static inline void
obm_python_free_in(const PyMemAllocatorEx *in_force, void *block)
{
    if (!obm_python_free(block)) {
        obm_python_free_ordinary(block, in_force);
    }
}

/* Set for good when a second heap is made: a thread of an interpreter that
   ends may be under way for long.  Never in versions with one heap. */
static unsigned obm_python_many_heaps;

/* Called whenever an allocator is set, and when the main heap has been set up.
   A debug build of the runtime starts with hooks in place, so it never takes the
   hot path. */
static void
obm_python_allocators_changed(void)
{
#ifndef Py_DEBUG
    struct obm_heap *heap = &obmalloc_state_main.heap;
    if (heap->front == NULL || OBM_PUBLISHED(&obm_python_many_heaps)) {
        return;
    }
    bool ours = _PyMem.malloc == _PyObject_Malloc && _PyObject.malloc == _PyObject_Malloc
                && _PyMem.calloc == _PyObject_Calloc && _PyObject.calloc == _PyObject_Calloc
                && _PyMem.free == _PyObject_Free && _PyObject.free == _PyObject_Free;
    obm_heap_use_front(heap, ours ? &obm_python_front : NULL);
#endif
}

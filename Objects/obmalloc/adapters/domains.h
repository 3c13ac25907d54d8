/* obmalloc: the functions behind the allocator domains `mem` and `object`, and
   the arena allocator in force, in every CPython that has them (3.4 and newer).

   The adapter has defined obm_python_heap(), which tells the heap of the
   calling interpreter, and OBM_PYTHON_ARENA_ALLOC, the function that gives
   CPython's own arenas by default. */

#ifndef OBM_DOMAINS_H
#define OBM_DOMAINS_H

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

#endif /* OBM_DOMAINS_H */

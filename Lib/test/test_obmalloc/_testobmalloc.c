/* C help for the tests of obmalloc, built by the tests (see building.py) with
   the public API only: arena allocators, hooks of PyMem_SetAllocator(), and
   the misuse of blocks that Python code cannot commit.

   State is static on purpose: it belongs to the process, as what it tests
   does, and one interpreter must be able to misuse the block of another. */

#include "arena_source.h"

/* Arena allocators ------------------------------------------------------------ */

static PyObjectArenaAllocator first_allocator;

static int
source_number(PyObject *args, int *number, int *value)
{
    if (!PyArg_ParseTuple(args, "i|i", number, value)) {
        return 0;
    }
    if (*number < 0 || *number >= SOURCES) {
        PyErr_SetString(PyExc_ValueError, "there is no such source");
        return 0;
    }
    return 1;
}

static PyObject *
install_source(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number, offset = 0;
    if (!source_number(args, &number, &offset)) {
        return NULL;
    }
    if (first_allocator.alloc == NULL) {
        PyObject_GetArenaAllocator(&first_allocator);
    }
    source_install(number, (size_t)offset);
    Py_RETURN_NONE;
}

static PyObject *
restore_arena_allocator(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    if (first_allocator.alloc != NULL) {
        PyObject_SetArenaAllocator(&first_allocator);
    }
    Py_RETURN_NONE;
}

static PyObject *
fail_source(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number, failures = -1;
    if (!source_number(args, &number, &failures)) {
        return NULL;
    }
    sources[number].failures = failures;
    Py_RETURN_NONE;
}

static PyObject *
source_counts(PyObject *Py_UNUSED(module), PyObject *args)
{
    int number, unused;
    if (!source_number(args, &number, &unused)) {
        return NULL;
    }
    const struct arena_source *source = &sources[number];
    return Py_BuildValue("{s:l,s:l,s:l,s:l,s:l}",
                         "allocated", source->allocated, "freed", source->freed,
                         "refused", source->refused, "strange", source->strange,
                         "live", source->live);
}

/* Hooks ------------------------------------------------------------------------ */

/* Passes everything on, and counts. */
struct hook {
    PyMemAllocatorEx next;
    Py_ssize_t calls;
    Py_ssize_t blocks;      /* allocated less freed */
};

static struct hook hooks[3];    /* by PyMemAllocatorDomain */

static void *
hook_count(struct hook *hook, void *block)
{
    hook->calls++;
    hook->blocks += block != NULL;
    return block;
}

static void *
hook_malloc(void *context, size_t size)
{
    struct hook *hook = context;
    return hook_count(hook, hook->next.malloc(hook->next.ctx, size));
}

static void *
hook_calloc(void *context, size_t count, size_t size)
{
    struct hook *hook = context;
    return hook_count(hook, hook->next.calloc(hook->next.ctx, count, size));
}

static void *
hook_realloc(void *context, void *block, size_t size)
{
    struct hook *hook = context;
    void *moved = hook->next.realloc(hook->next.ctx, block, size);
    hook->calls++;
    hook->blocks += block == NULL && moved != NULL;
    return moved;
}

static void
hook_free(void *context, void *block)
{
    struct hook *hook = context;
    hook->calls++;
    hook->blocks -= block != NULL;
    hook->next.free(hook->next.ctx, block);
}

static PyObject *
install_hooks(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    for (int domain = PYMEM_DOMAIN_MEM; domain <= PYMEM_DOMAIN_OBJ; domain++) {
        struct hook *hook = &hooks[domain];
        PyMemAllocatorEx allocator = {hook, hook_malloc, hook_calloc, hook_realloc,
                                      hook_free};
        hook->calls = hook->blocks = 0;
        PyMem_GetAllocator(domain, &hook->next);
        PyMem_SetAllocator(domain, &allocator);
    }
    Py_RETURN_NONE;
}

static PyObject *
remove_hooks(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    for (int domain = PYMEM_DOMAIN_MEM; domain <= PYMEM_DOMAIN_OBJ; domain++) {
        PyMem_SetAllocator(domain, &hooks[domain].next);
    }
    Py_RETURN_NONE;
}

/* (calls, blocks) of one domain, "mem" or "obj". */
static PyObject *
hook_counts(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *domain;
    if (!PyArg_ParseTuple(args, "s", &domain)) {
        return NULL;
    }
    const struct hook *hook =
        &hooks[strcmp(domain, "mem") == 0 ? PYMEM_DOMAIN_MEM : PYMEM_DOMAIN_OBJ];
    return Py_BuildValue("nn", hook->calls, hook->blocks);
}

/* Call every function of both domains count times, with a block of size. */
static PyObject *
call_every_function(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t count, size;
    if (!PyArg_ParseTuple(args, "nn", &count, &size)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        PyMem_Free(PyMem_Realloc(PyMem_Malloc((size_t)size), 2 * (size_t)size));
        PyMem_Free(PyMem_Calloc(1, (size_t)size));
        PyObject_Free(PyObject_Realloc(PyObject_Malloc((size_t)size), 2 * (size_t)size));
        PyObject_Free(PyObject_Calloc(1, (size_t)size));
    }
    Py_RETURN_NONE;
}

/* Blocks ----------------------------------------------------------------------- */

/* Whether blocks of PyObject_Calloc() are all zero and aligned as promised. */
static PyObject *
calloc_is_zero(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t count, size;
    if (!PyArg_ParseTuple(args, "nn", &count, &size)) {
        return NULL;
    }
    int zero = 1;
    void **last = NULL;     /* each block leads to the one before it */
    for (Py_ssize_t i = 0; i < count; i++) {
        unsigned char *block = PyObject_Calloc(1, (size_t)size);
        if (block == NULL) {
            break;
        }
        zero &= (uintptr_t)block % (2 * sizeof(void *)) == 0;
        for (Py_ssize_t byte = 0; byte < size; byte++) {
            zero &= block[byte] == 0;
        }
        memset(block, 0xff, (size_t)size);
        *(void ***)block = last;
        last = (void **)block;
    }
    while (last != NULL) {
        void **before = *last;
        PyObject_Free(last);
        last = before;
    }
    return PyBool_FromLong(zero);
}

static void *stashed;

static PyObject *
stash(PyObject *Py_UNUSED(module), PyObject *size)
{
    stashed = PyObject_Malloc(PyLong_AsSize_t(size));
    Py_RETURN_NONE;
}

static PyObject *
free_stash(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject_Free(stashed);
    Py_RETURN_NONE;
}

static PyObject *
free_stash_middle(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObject_Free((char *)stashed + 2 * sizeof(void *));
    Py_RETURN_NONE;
}

static PyObject *
realloc_stash(PyObject *Py_UNUSED(module), PyObject *size)
{
    stashed = PyObject_Realloc(stashed, PyLong_AsSize_t(size));
    Py_RETURN_NONE;
}

/* Write to the block as if it were in use. */
static PyObject *
write_stash(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    *(volatile char *)stashed = 'x';
    Py_RETURN_NONE;
}

/* Free a block twice, while another one of its size class is in use. */
static PyObject *
free_twice(PyObject *Py_UNUSED(module), PyObject *size)
{
    void *neighbour = PyObject_Malloc(PyLong_AsSize_t(size));
    void *block = PyObject_Malloc(PyLong_AsSize_t(size));
    PyObject_Free(block);
    PyObject_Free(block);
    PyObject_Free(neighbour);
    Py_RETURN_NONE;
}

/* Free an address inside a block. */
static PyObject *
free_middle(PyObject *Py_UNUSED(module), PyObject *size)
{
    char *block = PyObject_Malloc(PyLong_AsSize_t(size));
    PyObject_Free(block + 2 * sizeof(void *));
    Py_RETURN_NONE;
}

/* The module ------------------------------------------------------------------- */

static PyMethodDef methods[] = {
    {"install_source", install_source, METH_VARARGS, NULL},
    {"restore_arena_allocator", restore_arena_allocator, METH_NOARGS, NULL},
    {"fail_source", fail_source, METH_VARARGS, NULL},
    {"source_counts", source_counts, METH_VARARGS, NULL},
    {"install_hooks", install_hooks, METH_NOARGS, NULL},
    {"remove_hooks", remove_hooks, METH_NOARGS, NULL},
    {"hook_counts", hook_counts, METH_VARARGS, NULL},
    {"call_every_function", call_every_function, METH_VARARGS, NULL},
    {"calloc_is_zero", calloc_is_zero, METH_VARARGS, NULL},
    {"stash", stash, METH_O, NULL},
    {"free_stash", free_stash, METH_NOARGS, NULL},
    {"free_stash_middle", free_stash_middle, METH_NOARGS, NULL},
    {"realloc_stash", realloc_stash, METH_O, NULL},
    {"write_stash", write_stash, METH_NOARGS, NULL},
    {"free_twice", free_twice, METH_O, NULL},
    {"free_middle", free_middle, METH_O, NULL},
    {NULL, NULL, 0, NULL}
};

static PyModuleDef_Slot slots[] = {
#ifdef Py_MOD_PER_INTERPRETER_GIL_SUPPORTED
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
    {0, NULL}
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_testobmalloc",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__testobmalloc(void)
{
    return PyModuleDef_Init(&definition);
}

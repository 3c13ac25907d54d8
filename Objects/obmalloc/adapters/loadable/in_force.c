/* obmalloc, the loadable library: whose allocator is in force. */

struct code_range {
    uintptr_t inside;           /* an address in the object that is looked for */
    uintptr_t start, end;       /* of its code */
};

static int
find_code(struct dl_phdr_info *object, size_t size, void *data)
{
    struct code_range *code = data;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + segment->p_vaddr;
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_X)
            && code->inside - start < segment->p_memsz) {
            code->start = start;
            code->end = start + segment->p_memsz;
            return 1;
        }
    }
    return 0;
}

/* Whether function is code of the object (libpython, or a static interpreter)
   that PyMem_SetupDebugHooks() is part of. */
static bool
is_pythons_own(void *(*function)(void *, size_t))
{
    struct code_range code = {(uintptr_t)&PyMem_SetupDebugHooks, 0, 0};
    dl_iterate_phdr(find_code, &code);
    return (uintptr_t)function - code.start < code.end - code.start;
}

enum in_force { PYMALLOC, DEBUG_HOOKS, OURS, ANOTHER };

/* pymalloc is one set of functions for both domains, without a context, and
   not what serves RAW.  The debug hooks are one set too, with a context.  So
   are tracemalloc's, which callers must be able to rule out. */
static enum in_force
who_is_in_force(void)
{
    PyMemAllocatorEx raw, mem, obj;
    PyMem_GetAllocator(PYMEM_DOMAIN_RAW, &raw);
    PyMem_GetAllocator(PYMEM_DOMAIN_MEM, &mem);
    PyMem_GetAllocator(PYMEM_DOMAIN_OBJ, &obj);
    if (mem.free == python_free && obj.free == python_free) {
        return OURS;
    }
    if (mem.malloc != obj.malloc || mem.free != obj.free || !is_pythons_own(obj.malloc)) {
        return ANOTHER;
    }
    if (mem.ctx == NULL && obj.ctx == NULL) {
        return obj.malloc != raw.malloc ? PYMALLOC : ANOTHER;
    }
    return mem.ctx != NULL && obj.ctx != NULL ? DEBUG_HOOKS : ANOTHER;
}

/* obmalloc, the loadable library: coming into place, in front of Python's allocator.

   1. When the library is loaded before Python is initialized: at once.  Hooks that are
      set later then wrap us, and take themselves out again before they could lose us.
   2. PYTHONMALLOC and -X dev set the allocators anew while Python starts, and a debug
      build starts with hooks.  So the arena allocator is ours too: pymalloc asks it for
      its first arena when it serves its first small block.  If pymalloc or the debug
      hooks above it are in force then, we go in between, and refuse the arena: pymalloc
      takes that block from the system's malloc, and is never asked for a small one
      again.  With PYTHONMALLOC=malloc pymalloc asks for no arena, so malloc stays in
      force: one line says so (decline.c).
   3. obmalloc.install(): if pymalloc itself is in force.  Where it is not, a hook in
      front of it may be taken out in a way that forgets us, so we decline.
   4. In the next life of the runtime: restart.c.

   All of this happens while no other thread uses Python: at load time, in the course of
   initialization, or with the GIL and no second interpreter. */

static void *
raw_malloc(void *ctx, size_t size)
{
    (void)ctx;
    return PyMem_RawMalloc(size);
}

static void *
raw_calloc(void *ctx, size_t count, size_t size)
{
    (void)ctx;
    return PyMem_RawCalloc(count, size);
}

static void *
raw_realloc(void *ctx, void *block, size_t size)
{
    (void)ctx;
    return PyMem_RawRealloc(block, size);
}

static void
raw_free(void *ctx, void *block)
{
    (void)ctx;
    PyMem_RawFree(block);
}

static void
set_functions(void)
{
    obm_malloc_one_arena(&settings);
    for (unsigned d = 0; d < DOMAINS; d++) {
        PyMemAllocatorEx ours = {&previous[d], python_malloc_alone, python_calloc_alone,
                                 python_realloc_alone, python_free};
        if (may_have_many_heaps) {
            ours.malloc = python_malloc;
            ours.calloc = python_calloc;
            ours.realloc = python_realloc;
        }
        PyMem_SetAllocator(domains[d], &ours);
    }
}

/* In front of pymalloc. */
static void
install_before_pymalloc(void)
{
    for (unsigned d = 0; d < DOMAINS; d++) {
        PyMem_GetAllocator(domains[d], &previous[d]);
    }
    set_functions();
}

/* Between the debug hooks and the system's malloc: no arena was ever given, so
   every block that there is came from there. */
static void
install_under_debug_hooks(void)
{
    for (unsigned d = 0; d < DOMAINS; d++) {
        previous[d] = (PyMemAllocatorEx){NULL, raw_malloc, raw_calloc, raw_realloc, raw_free};
    }
    set_functions();
    PyMem_SetupDebugHooks();
}

/* See 2. at the top.  Returns whether pymalloc's arena is to be refused. */
static bool
first_arena(void)
{
    if (main_heap->counters.arenas_mapped != 0) {
        return false;       /* we have served before: pymalloc helps out */
    }
    switch (who_is_in_force()) {
    case PYMALLOC:
        install_before_pymalloc();
        return true;
    case DEBUG_HOOKS:       /* tracemalloc cannot have started yet */
        install_under_debug_hooks();
        return true;
    case OURS:
    case ANOTHER:
        break;
    }
    return false;
}

/* pymalloc's arenas have 256 KiB or 1 MiB.  What is smaller is the stack of a
   thread's frames (3.11 and newer), which must get what it asks for. */
#define OBM_PYMALLOC_ARENA_MIN ((size_t)256 << 10)

static void *
python_arena_alloc(void *ctx, size_t size)
{
    static bool asked;
    (void)ctx;
    if (!asked && size >= OBM_PYMALLOC_ARENA_MIN) {
        asked = true;
        if (first_arena()) {
            return NULL;
        }
    }
    return previous_arena.alloc(previous_arena.ctx, size);
}

static void
python_arena_free(void *ctx, void *address, size_t size)
{
    (void)ctx;
    previous_arena.free(previous_arena.ctx, address, size);
}

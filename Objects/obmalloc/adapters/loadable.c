/* obmalloc: the core as a library for a CPython that was built without it.

   The library is loaded into the process by LD_PRELOAD, before Python starts,
   or by obmalloc.install(), while it runs.  It uses what CPython documents and
   nothing else: PyMem_SetAllocator() puts our functions in front of those in
   force (the "previous" ones, pymalloc's as a rule), in the domains MEM and
   OBJ.  No header of Python's is included, and every symbol of Python's is a
   weak reference: the same file serves all versions, and in a process without
   Python all of them are NULL and nothing happens at all.

   Which allocator serves a call
     malloc     the heap, if the size is ours and the main interpreter asks;
                else the previous allocator.  From 3.12 on a subinterpreter may
                have a GIL and a pymalloc of its own, so others than the main
                interpreter are passed on.  Before 3.12 there is one GIL, and
                everybody is served.
     free       the address decides.  Blocks that the previous allocator gave,
                before us or by us, go back to it.  A subinterpreter that frees
                a block of the heap shares the GIL of the main interpreter:
                with a pymalloc of its own it could not have got it.

   When we are put in place
     1. When the library is loaded before Python is initialized: at once.
        Hooks that anybody sets later then wrap us, and take themselves out
        again before we could be missed.
     2. PYTHONMALLOC and -X dev set the allocators anew while Python starts,
        and a debug build starts with hooks.  So the arena allocator is ours
        too: pymalloc asks it for its first arena when it serves its first
        small block.  If pymalloc or the debug hooks above it are in force
        then, we go in between, and refuse the arena: pymalloc takes that
        block from the system's malloc, and is never asked for a small one
        again.  PYTHONMALLOC=malloc never comes here, and stays what it is:
        one line says so (in_force.h).
     3. obmalloc.install(): if pymalloc itself is in force.  Where it is not,
        whoever has put a hook in front of it may take it out in a way that
        forgets us, so we decline.
     4. From 3.12 on Py_Finalize() and another Py_Initialize() reset the
        allocators.  An audit hook, added when Python has ended, sees to it
        that the next life has us again at the first audited event.

   All of this happens while no other thread uses Python: at load time, in the
   course of initialization, or with the GIL and no second interpreter.

   Out of memory: what the heap cannot serve is asked of the previous
   allocator. */

#include "../static.c"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>

typedef struct _is PyInterpreterState;      /* opaque, in Python's headers too */
typedef struct _ts PyThreadState;
#include "loadable.h"
#include "obmalloc/python.h"

/* What Python documents ---------------------------------------------------------- */

typedef struct {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t count, size_t size);
    void *(*realloc)(void *ctx, void *block, size_t size);
    void (*free)(void *ctx, void *block);
} PyMemAllocatorEx;

typedef struct {
    void *ctx;
    void *(*alloc)(void *ctx, size_t size);
    void (*free)(void *ctx, void *address, size_t size);
} PyObjectArenaAllocator;

typedef enum { PYMEM_DOMAIN_RAW, PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ } PyMemAllocatorDomain;

#define WEAK __attribute__((weak))
extern void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator) WEAK;
extern void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator) WEAK;
extern void PyMem_SetupDebugHooks(void) WEAK;
extern void PyObject_GetArenaAllocator(PyObjectArenaAllocator *allocator) WEAK;
extern void PyObject_SetArenaAllocator(PyObjectArenaAllocator *allocator) WEAK;
extern void *PyMem_RawMalloc(size_t size) WEAK;
extern void *PyMem_RawCalloc(size_t count, size_t size) WEAK;
extern void *PyMem_RawRealloc(void *block, size_t size) WEAK;
extern void PyMem_RawFree(void *block) WEAK;
extern PyInterpreterState *PyInterpreterState_Get(void) WEAK;
extern PyInterpreterState *PyInterpreterState_Main(void) WEAK;
extern PyInterpreterState *PyInterpreterState_Head(void) WEAK;
extern PyInterpreterState *PyInterpreterState_Next(PyInterpreterState *interpreter) WEAK;
extern PyThreadState *PyThreadState_New(PyInterpreterState *interpreter) WEAK;
extern void PyThreadState_Clear(PyThreadState *thread) WEAK;
extern void PyThreadState_DeleteCurrent(void) WEAK;
extern void PyEval_RestoreThread(PyThreadState *thread) WEAK;
extern PyThreadState *PyEval_SaveThread(void) WEAK;
extern const char *Py_GetVersion(void) WEAK;
extern int Py_IsInitialized(void) WEAK;
extern int Py_AtExit(void (*function)(void)) WEAK;
extern int Py_AddPendingCall(int (*function)(void *argument), void *argument) WEAK;
extern int PySys_AddAuditHook(int (*hook)(const char *event, void *arguments, void *data),
                              void *data) WEAK;

/* State ---------------------------------------------------------------------------- */

#define DOMAINS 2
static const PyMemAllocatorDomain domains[DOMAINS] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};

static struct { struct obm_heap heap; } obmalloc_state_main;
static struct obm_heap *const main_heap = &obmalloc_state_main.heap;
static struct obm_heap nobody;      /* owns nothing: every other heap is another one */
static struct obm_settings settings;
static bool heap_ready;

/* What our functions pass on to; each gets its entry as ctx. */
static PyMemAllocatorEx previous[DOMAINS];
static PyObjectArenaAllocator previous_arena;

/* From 3.12 on: the interpreter that is served.  NULL until it is known. */
static PyInterpreterState *main_interpreter;
static bool may_have_many_heaps;

static void
warn(const char *line)
{
    fprintf(stderr, "obmalloc: %s\n", line);
}

static void
warn_setting(const char *line, void *data)
{
    (void)data;
    fprintf(stderr, "%s\n", line);
}

/* The four functions ---------------------------------------------------------------- */

static void watch_for_restart(void);

/* Whether the main interpreter calls; learn which one that is. */
static OBM_NOINLINE bool
is_main_after_all(void)
{
    if (main_interpreter == NULL) {
        main_interpreter = PyInterpreterState_Main();
        watch_for_restart();
    }
    return PyInterpreterState_Get() == main_interpreter;
}

/* many: subinterpreters with heaps of their own are possible (a constant). */
OBM_INLINE bool
is_served(bool many)
{
    return !many || OBM_LIKELY(PyInterpreterState_Get() == main_interpreter)
           || is_main_after_all();
}

/* The purger.  What it needs of Python's headers: */

#define Py_UNUSED(name) name OBM_UNUSED
#define Py_BEGIN_ALLOW_THREADS { PyThreadState *thread = PyEval_SaveThread();
#define Py_END_ALLOW_THREADS PyEval_RestoreThread(thread); }

typedef void *PyThread_type_lock;
enum { PY_LOCK_FAILURE = 0, NOWAIT_LOCK = 0, WAIT_LOCK = 1 };
#define PYTHREAD_INVALID_THREAD_ID ((unsigned long)-1)
extern PyThread_type_lock PyThread_allocate_lock(void) WEAK;
extern int PyThread_acquire_lock(PyThread_type_lock lock, int wait) WEAK;
extern int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds,
                                       int may_be_interrupted) WEAK;
extern void PyThread_release_lock(PyThread_type_lock lock) WEAK;
extern unsigned long PyThread_start_new_thread(void (*function)(void *), void *argument) WEAK;

/* On Linux the same, and not in a newer version of the C library. */
#define pthread_sigmask sigprocmask

/* Only the main interpreter is served where others may have a GIL of their
   own, and only it asks. */
static bool
obm_python_has_main_gil(const PyInterpreterState *interpreter)
{
    (void)interpreter;
    return true;
}

static bool
obm_python_gil_guards_main_heap(void)
{
    return true;
}

#include "background.c"

/* The purger must not be under way when Python forks or ends, so there is none
   before Python has promised to tell us.  It is asked at the next moment at
   which it can be called: we are deep in an allocation.  Guarded by the GIL. */
static enum { UNASKED, ASKED, WATCHED } watch;

void
obm_loadable_is_watched(bool agreed)
{
    watch = agreed ? WATCHED : ASKED;       /* in vain: not again */
}

/* Once, as soon as Python can be asked: it agrees at the next bytecode that the main
   thread executes, and that must not be after the last one for long.  Of several
   interpreters with one GIL the main one is told of forks and of the end. */
static void
ask_to_be_told(void)
{
    if (!Py_IsInitialized()) {
        obm_background.closed = false;      /* for the next life of the runtime */
    }
    else if (settings.background != OBM_BACKGROUND_OFF && !obm_background.closed
             && PyInterpreterState_Get() == PyInterpreterState_Main()
             && Py_AddPendingCall(obm_loadable_watch_python, NULL) == 0) {
        watch = ASKED;
    }
}

/* The caller holds the GIL of the main interpreter, or the only one. */
static bool
purger_may_start(void)
{
    return obm_background_may_start(PyInterpreterState_Main()) && watch == WATCHED;
}

/* So much is retained that the purger is worth starting. */
static void
on_surplus(struct obm_heap *heap)
{
    (void)heap;
    if (purger_may_start()) {
        obm_background_start();
    }
}

static bool stopped_for_fork;

void
_PyObmalloc_BeforeFork(PyInterpreterState *interpreter)
{
    stopped_for_fork = obm_background_stop(interpreter, false);
}

static int
start_again(void *unused)
{
    (void)unused;
    if (purger_may_start()) {
        obm_background_start();
    }
    return 0;
}

/* os.fork() looks how many threads there are before it returns, so later. */
void
obm_loadable_after_fork(void)
{
    if (stopped_for_fork) {
        stopped_for_fork = false;
        Py_AddPendingCall(start_again, NULL);
    }
}

void
_PyObmalloc_BeforeFinalizing(PyInterpreterState *interpreter)
{
    obm_background_stop(interpreter, true);
    watch = UNASKED;        /* by the next life */
}

/* While there is no purger, it is asked whether one is worth starting for the system's malloc
   after some of the calls that pass on to it: after so many bytes were asked of it, and
   after 1, 2, 4 and so on calls, in the end one in OBM_CALLS_PER_LOOK. */
#define OBM_BYTES_PER_LOOK ((size_t)4 << 20)
#define OBM_CALLS_PER_LOOK 64u
static struct {
    unsigned calls, next;       /* without a purger; when to look */
    size_t bytes;               /* since the last look */
} passed;

static OBM_NOINLINE void
look_at_malloc(void)
{
    passed.next = passed.calls + (passed.calls < OBM_CALLS_PER_LOOK ? passed.calls
                                                                    : OBM_CALLS_PER_LOOK);
    passed.bytes = 0;
    if (obm_wants_purger(main_heap) || obm_background_malloc_is_worth(passed.calls)) {
        obm_background_start();
    }
}

/* The system's malloc was called for a request of so many bytes, or to free: size is 0.  A
   patched interpreter looks about before a thread blocks.  Here the next good moment is
   such a call.  The caller is served, and holds the GIL. */
static void
passed_on(size_t size)
{
    OBM_PUBLISH(&obm_background.events, obm_background.events + 1);
    if (OBM_UNLIKELY(watch != WATCHED)) {
        if (watch == UNASKED) {
            ask_to_be_told();
        }
    }
    else if (obm_background.state == OBM_BACKGROUND_RUNNING) {
        passed.calls = passed.next = 0;
        passed.bytes = 0;
    }
    else {
        passed.calls++;
        passed.bytes += size;
        if ((passed.calls >= passed.next || passed.bytes >= OBM_BYTES_PER_LOOK)
            && purger_may_start()) {
            look_at_malloc();
        }
    }
}

/* The same before the call.  Without a purger the clock of retention is looked at, once in
   OBM_CALLS_PER_CLOCK requests. */
#define OBM_CALLS_PER_CLOCK 4u
static void
pass_on(size_t size)
{
    passed_on(size);
    if (obm_background.events % OBM_CALLS_PER_CLOCK == 0) {
        obm_before_blocking(main_heap);
    }
}

/* obm_malloc_fast() has been tried. */
static OBM_NOINLINE void *
malloc_slow(const PyMemAllocatorEx *other, size_t size)
{
    void *block = obm_malloc_slow(main_heap, size);
    if (block != NULL) {
        return block;
    }
    pass_on(size);
    return other->malloc(other->ctx, size);
}

static OBM_NOINLINE void *
malloc_elsewhere(const PyMemAllocatorEx *other, size_t size)
{
    return other->malloc(other->ctx, size);
}

OBM_INLINE void *
serve_malloc(bool many, const PyMemAllocatorEx *other, size_t size)
{
    if (OBM_UNLIKELY(!is_served(many))) {
        return malloc_elsewhere(other, size);
    }
    void *block = obm_malloc_fast(&main_heap->own_front, size);
    return OBM_LIKELY(block != NULL) ? block : malloc_slow(other, size);
}

OBM_INLINE void *
serve_calloc(bool many, const PyMemAllocatorEx *other, size_t count, size_t size)
{
    if (is_served(many)) {
        /* Python has made sure that the product does not overflow; but anybody
           may have got hold of this function. */
        bool fits = size == 0 || count <= OBM_SMALL_MAX / size;
        void *block = fits ? obm_calloc(main_heap, count * size) : NULL;
        if (block != NULL) {
            return block;
        }
        pass_on(count * size);
    }
    return other->calloc(other->ctx, count, size);
}

/* Whether the calling subinterpreter knows that block is none of the heap's.
   The main interpreter may be changing the heap meanwhile, so only what is
   published for all threads is read. */
static bool
is_foreign_to_subinterpreter(const void *block)
{
    return may_have_many_heaps && !is_main_after_all()
           && !obm_belongs_to_other_heap(&nobody, block);
}

static OBM_NOINLINE void
free_slow(const PyMemAllocatorEx *other, void *block)
{
    if (block == NULL) {
        return;                 /* it may come without a thread state */
    }
    if (is_foreign_to_subinterpreter(block)) {
        other->free(other->ctx, block);
    }
    else if (!obm_free_slow(main_heap, block)) {
        other->free(other->ctx, block);
        passed_on(0);
    }
}

static OBM_NOINLINE void
free_counted(const PyMemAllocatorEx *other, void *block)
{
    if (!obm_free_counted(main_heap, block)) {
        other->free(other->ctx, block);
        passed_on(0);
    }
}

static void
python_free(void *ctx, void *block)
{
    if (OBM_UNLIKELY(!obm_front_covers(&main_heap->own_front, block))) {
        free_slow(ctx, block);
        return;
    }
    if (!obm_free_fast(main_heap, &main_heap->own_front, block)) {
        free_counted(ctx, block);
    }
}

/* What the heap does not give to a block of its own that grows. */
static void *
malloc_passed_on(void *ctx, size_t size)
{
    const PyMemAllocatorEx *other = ctx;
    pass_on(size);
    return other->malloc(other->ctx, size);
}

OBM_INLINE void *
serve_realloc(bool many, const PyMemAllocatorEx *other, void *block, size_t size)
{
    if (block == NULL) {
        return serve_malloc(many, other, size);
    }
    if (is_foreign_to_subinterpreter(block)) {
        return other->realloc(other->ctx, block, size);
    }
    if (obm_realloc(main_heap, &block, size, malloc_passed_on, (void *)other)) {
        return block;
    }
    pass_on(size);
    return other->realloc(other->ctx, block, size);
}

static void *
python_malloc_alone(void *ctx, size_t size)
{
    return serve_malloc(false, ctx, size);
}

static void *
python_malloc(void *ctx, size_t size)
{
    return serve_malloc(true, ctx, size);
}

static void *
python_calloc_alone(void *ctx, size_t count, size_t size)
{
    return serve_calloc(false, ctx, count, size);
}

static void *
python_calloc(void *ctx, size_t count, size_t size)
{
    return serve_calloc(true, ctx, count, size);
}

static void *
python_realloc_alone(void *ctx, void *block, size_t size)
{
    return serve_realloc(false, ctx, block, size);
}

static void *
python_realloc(void *ctx, void *block, size_t size)
{
    return serve_realloc(true, ctx, block, size);
}

/* Who is in force -------------------------------------------------------------------- */

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

/* Into place ---------------------------------------------------------------------------- */

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

/* See 2. at the top. */
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

/* See 4. at the top. */

static bool restarted;

static int
after_restart(const char *event, void *arguments, void *data)
{
    (void)event;
    (void)arguments;
    (void)data;
    if (restarted) {
        restarted = false;
        watch_for_restart();
        if (who_is_in_force() == PYMALLOC) {
            install_before_pymalloc();
        }
    }
    return 0;
}

static void
after_finalization(void)
{
    restarted = true;
    PySys_AddAuditHook(after_restart, NULL);
}

/* Once in each life of a Python that resets its allocators. */
static void
watch_for_restart(void)
{
    if (may_have_many_heaps && Py_AtExit != NULL && PySys_AddAuditHook != NULL) {
        Py_AtExit(after_finalization);
    }
}

/* Whether this interpreter is one that we can serve -------------------------------------- */

/* NULL, or why not. */
static const char *
objection(void)
{
    static char line[160];
    int major = 0, minor = 0;
    const char *version = Py_GetVersion != NULL ? Py_GetVersion() : "";
    if (sscanf(version, "%d.%d", &major, &minor) != 2 || major != 3 || minor < 9) {
        snprintf(line, sizeof(line), "Python %.*s is not supported (3.9 and newer are): "
                 "the interpreter keeps its own allocator",
                 (int)strcspn(version, " "), version);
        return line;
    }
    if (strstr(version, "free-threading build") != NULL) {
        return "a free-threaded Python needs its own allocator, and keeps it";
    }
    if (PyMem_GetAllocator == NULL || PyMem_SetupDebugHooks == NULL
        || PyObject_GetArenaAllocator == NULL || PyObject_SetArenaAllocator == NULL
        || PyMem_RawMalloc == NULL || PyMem_RawCalloc == NULL || PyMem_RawRealloc == NULL
        || PyMem_RawFree == NULL || PyInterpreterState_Get == NULL
        || PyInterpreterState_Main == NULL || PyInterpreterState_Head == NULL
        || PyInterpreterState_Next == NULL || Py_IsInitialized == NULL
        || PyThreadState_New == NULL || PyThreadState_Clear == NULL
        || PyThreadState_DeleteCurrent == NULL || PyEval_RestoreThread == NULL
        || PyEval_SaveThread == NULL || Py_AddPendingCall == NULL
        || PyThread_start_new_thread == NULL || PyThread_allocate_lock == NULL
        || PyThread_acquire_lock == NULL || PyThread_acquire_lock_timed == NULL
        || PyThread_release_lock == NULL) {
        return "this Python lacks a function of its public interface: "
               "it keeps its own allocator";
    }
    may_have_many_heaps = minor >= 12;
    return NULL;
}

const char *
obm_loadable_prepare(void)
{
    if (heap_ready) {
        return NULL;
    }
    const char *reason = objection();
    if (reason != NULL) {
        return reason;
    }
    obm_settings_from_environment(&settings, getenv("PYTHONOBMALLOC"), warn_setting, NULL);
    if (!obm_heap_init(main_heap, obm_os_system(), &settings)
        || !obm_heap_init(&nobody, obm_os_system(), &settings)) {
        return "the page size of this system is not supported: "
               "the interpreter keeps its own allocator";
    }
    if (settings.background != OBM_BACKGROUND_OFF) {
        main_heap->on_surplus = on_surplus;
    }
    heap_ready = true;
    return NULL;
}

/* For the Python module, see loadable.h and python.h ------------------------------------- */

const char *
obm_loadable_install(void)
{
    const char *reason = obm_loadable_prepare();
    if (reason != NULL) {
        return reason;
    }
    if (main_heap->counters.arenas_mapped != 0) {
        return NULL;        /* in force, or behind hooks that were set since */
    }
    if (PyInterpreterState_Next(PyInterpreterState_Head()) != NULL) {
        return "there is a subinterpreter already: install() must come before the first one";
    }
    switch (who_is_in_force()) {
    case PYMALLOC:
        install_before_pymalloc();
        return NULL;
    case OURS:
        return NULL;
    case DEBUG_HOOKS:
    case ANOTHER:
        break;
    }
    return "pymalloc is not in force (PYTHONMALLOC, debug hooks, or a profiler such as "
           "tracemalloc): install() must come first, or the library be preloaded";
}

void
_PyObmalloc_Stats(struct obm_stats *stats)
{
    obm_stats_collect(main_heap, stats);
}

const struct obm_settings *
_PyObmalloc_Settings(void)
{
    return &settings;
}

/* The free lists of the basic types are out of reach; gc.collect() empties
   most of them. */
size_t
_PyObmalloc_Trim(void (*between)(void))
{
    return obm_trim_in_steps(main_heap, between);
}

bool
_PyObmalloc_Check(int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    return obm_check_heap(main_heap, level, message);
}

static inline struct obm_heap *
obm_python_heap(void)
{
    return main_heap;
}

#include "inspection.h"
#include "in_force.h"

/* Children ----------------------------------------------------------------------------------- */

/* The part of a path after its last slash. */
static const char *
base_name(const char *path, size_t length)
{
    const char *name = path + length;
    while (name > path && name[-1] != '/') {
        name--;
    }
    return name;
}

/* Take this library out of LD_PRELOAD, so that programs that this process
   starts do without. */
static void
leave_children_alone(void)
{
    const char *list = getenv("LD_PRELOAD");
    char *rest = list != NULL ? malloc(strlen(list) + 1) : NULL;
    if (rest == NULL) {
        return;
    }
    char *end = rest;
    while (*list != '\0') {
        size_t length = strcspn(list, ": ");
        const char *name = base_name(list, length);
        size_t name_length = (size_t)(list + length - name);
        if (length != 0 && (name_length != strlen(OBM_LOADABLE_FILE)
                            || memcmp(name, OBM_LOADABLE_FILE, name_length) != 0)) {
            if (end != rest) {
                *end++ = ':';
            }
            memcpy(end, list, length);
            end += length;
        }
        list += length + (list[length] != '\0');
    }
    *end = '\0';
    if (end == rest) {
        unsetenv("LD_PRELOAD");
    }
    else {
        setenv("LD_PRELOAD", rest, 1);
    }
    free(rest);
}

/* Loaded -------------------------------------------------------------------------------------- */

__attribute__((constructor)) static void
loaded(void)
{
    if (PyMem_SetAllocator == NULL || (Py_IsInitialized != NULL && Py_IsInitialized())) {
        return;     /* not Python, or obmalloc.install() is to come */
    }
    int saved_errno = errno;
    const char *children = getenv(OBM_LOADABLE_CHILDREN);
    if (children != NULL && strcmp(children, "0") == 0) {
        leave_children_alone();
        unsetenv(OBM_LOADABLE_CHILDREN);
    }
    const char *reason = is_built_with_obmalloc() ? NULL : obm_loadable_prepare();
    if (reason != NULL) {
        decline(reason);
    }
    else if (heap_ready) {
        PyObjectArenaAllocator ours = {NULL, python_arena_alloc, python_arena_free};
        PyObject_GetArenaAllocator(&previous_arena);
        PyObject_SetArenaAllocator(&ours);
        if (who_is_in_force() == PYMALLOC) {
            install_before_pymalloc();
        }
        watch_choice();
    }
    errno = saved_errno;
}

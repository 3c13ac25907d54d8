/* obmalloc, the loadable library: what it needs of Python.

   All of it is public, but for two functions whose names begin with an underscore: only
   3.11 is asked for these (purger.c).  No header of Python's is included, and every symbol
   is a weak reference: the same file serves all versions, and in a process without Python
   all of them are NULL. */

#ifndef OBM_PYTHON_API_H
#define OBM_PYTHON_API_H

#include <stddef.h>
#include <stdint.h>

#define WEAK __attribute__((weak))

typedef struct _is PyInterpreterState;      /* opaque, in Python's headers too */
typedef struct _ts PyThreadState;

/* Allocators ----------------------------------------------------------------------- */

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

extern void PyMem_GetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator) WEAK;
extern void PyMem_SetAllocator(PyMemAllocatorDomain domain, PyMemAllocatorEx *allocator) WEAK;
extern void PyMem_SetupDebugHooks(void) WEAK;
extern void PyObject_GetArenaAllocator(PyObjectArenaAllocator *allocator) WEAK;
extern void PyObject_SetArenaAllocator(PyObjectArenaAllocator *allocator) WEAK;
extern void *PyMem_RawMalloc(size_t size) WEAK;
extern void *PyMem_RawCalloc(size_t count, size_t size) WEAK;
extern void *PyMem_RawRealloc(void *block, size_t size) WEAK;
extern void PyMem_RawFree(void *block) WEAK;

/* Interpreters and their threads ------------------------------------------------------ */

extern PyInterpreterState *PyInterpreterState_Get(void) WEAK;
extern PyInterpreterState *PyInterpreterState_Main(void) WEAK;
extern PyInterpreterState *PyInterpreterState_Head(void) WEAK;
extern PyInterpreterState *PyInterpreterState_Next(PyInterpreterState *interpreter) WEAK;
extern PyThreadState *PyThreadState_New(PyInterpreterState *interpreter) WEAK;
extern PyThreadState *_PyThreadState_Prealloc(PyInterpreterState *interpreter) WEAK;
extern void _PyThreadState_SetCurrent(PyThreadState *thread) WEAK;
extern void PyThreadState_Clear(PyThreadState *thread) WEAK;
extern void PyThreadState_DeleteCurrent(void) WEAK;
extern void PyEval_RestoreThread(PyThreadState *thread) WEAK;
extern PyThreadState *PyEval_SaveThread(void) WEAK;
extern int PyTraceMalloc_Untrack(unsigned domain, uintptr_t address) WEAK;
extern const char *Py_GetVersion(void) WEAK;
extern int Py_IsInitialized(void) WEAK;
extern int Py_AtExit(void (*function)(void)) WEAK;
extern int Py_AddPendingCall(int (*function)(void *argument), void *argument) WEAK;
extern void *PyEval_GetFrame(void) WEAK;
extern int PySys_AddAuditHook(int (*hook)(const char *event, void *arguments, void *data),
                              void *data) WEAK;

/* The table of built-in modules, which ends with a row without a name. */
struct _inittab {
    const char *name;
    void *(*initialize)(void);
};
extern struct _inittab *PyImport_Inittab WEAK;

/* Threads and locks -------------------------------------------------------------------- */

typedef void *PyThread_type_lock;
enum { PY_LOCK_FAILURE = 0, NOWAIT_LOCK = 0, WAIT_LOCK = 1 };
#define PYTHREAD_INVALID_THREAD_ID ((unsigned long)-1)
extern PyThread_type_lock PyThread_allocate_lock(void) WEAK;
extern int PyThread_acquire_lock(PyThread_type_lock lock, int wait) WEAK;
extern int PyThread_acquire_lock_timed(PyThread_type_lock lock, long long microseconds,
                                       int may_be_interrupted) WEAK;
extern void PyThread_release_lock(PyThread_type_lock lock) WEAK;
extern unsigned long PyThread_start_new_thread(void (*function)(void *), void *argument) WEAK;

/* What ../background.c has from Python's headers elsewhere. */
#define Py_UNUSED(name) name OBM_UNUSED
#define Py_BEGIN_ALLOW_THREADS { PyThreadState *thread = PyEval_SaveThread();
#define Py_END_ALLOW_THREADS PyEval_RestoreThread(thread); }

#endif /* OBM_PYTHON_API_H */

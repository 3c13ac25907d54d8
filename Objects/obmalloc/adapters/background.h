/* obmalloc: the purger for processes that go idle (PYTHONOBMALLOC=background=1).

   Retention gives back in the course of page events, and when a thread gives
   up the GIL to block. A process that keeps memory because it was wanted
   twice, and then sleeps in one call for ever, has neither. On request a
   thread helps out, and only while there is something to give back: it starts
   when a thread is about to block with more retained than the base, looks at
   the clock once an epoch with the GIL held, and ends when no more than the
   base is retained, after the system's malloc has given back too. It serves
   the heap of the main interpreter, and leaves it alone while an interpreter
   with a GIL of its own allocates from it too: such a one may be made, and
   its maker must see to it that no two threads run.

   States:  NONE --start--> RUNNING --nothing more to do--> ENDED --join--> NONE
                            RUNNING --stop--> STOPPING --join--> NONE

   All of it is guarded by the GIL of the main interpreter.  Threads and locks are
   CPython's (pythread.h).  A lock stands for an event: `wake` is released to wake
   the thread, which sleeps in a timed wait for it, and `running` by the thread as
   the last thing it does.  The thread never needs the GIL again once it is ENDED,
   so it can be joined with the GIL held; to join one that is STOPPING the GIL is
   given up.

   A fork stops it first: so os.fork() sees one thread less and does not warn
   because of us, and the child finds the locks as they were made.  It starts
   again, in parent and child, at the next occasion an epoch later.  A bare
   fork() in an extension leaves the child without the thread, which it is told
   by pthread_atfork().  Finalization stops it for good.

   The adapter has defined obm_python_has_main_gil() and
   obm_python_gil_guards_main_heap(). */

#ifndef OBM_BACKGROUND_H
#define OBM_BACKGROUND_H

#if !defined(__EMSCRIPTEN__) && !defined(__wasi__)

#include <errno.h>
#ifdef __GLIBC__
#  include <malloc.h>
#endif
#if !defined(_WIN32)
#  include <pthread.h>
#  include <sched.h>
#  include <signal.h>
#endif
#ifdef __linux__
#  include <sys/syscall.h>
#  include <unistd.h>
#endif
#ifndef OBM_LOADABLE
#  include "pythread.h"
#endif

enum obm_background_state {
    OBM_BACKGROUND_NONE = 0,
    OBM_BACKGROUND_RUNNING,
    OBM_BACKGROUND_ENDED,
    OBM_BACKGROUND_STOPPING
};

static struct {
    enum obm_background_state state;
    bool closed;                /* stopped for good, see obm_background_stop() */
    uint64_t not_before;        /* nanoseconds of os->now: no start before */
    long thread_id;             /* Linux's own, written by the thread */
    PyThread_type_lock wake;
    PyThread_type_lock running;
} obm_background;

/* The thread ------------------------------------------------------------------- */

/* Sleep for an epoch; false: the thread must stop. */
static bool
obm_background_sleep(void)
{
    const long long microseconds = (long long)(OBM_EPOCH_NANOSECONDS / 1000);
    return PyThread_acquire_lock_timed(obm_background.wake, microseconds, 0) == PY_LOCK_FAILURE;
}

/* With the GIL held.  true: there is nothing more to do; then the purger has ended
   if it may end. */
static bool
obm_background_tick(bool may_end)
{
    struct obm_heap *heap = &obmalloc_state_main.heap;
    if (!obm_python_gil_guards_main_heap()) {
        return false;
    }
    obm_retention_tick(heap);
    if (obm_background.state != OBM_BACKGROUND_RUNNING || obm_has_surplus(heap)) {
        return false;
    }
    if (may_end) {
        obm_background.state = OBM_BACKGROUND_ENDED;
    }
    return true;
}

/* The system's malloc has kept what it serves, requests above OBM_SMALL_MAX: its
   free pages go back too.  Without the GIL, since it may take a while. */
static void
obm_background_trim_malloc(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

static void
obm_background_main(void *Py_UNUSED(argument))
{
#ifdef __linux__
    OBM_PUBLISH(&obm_background.thread_id, (long)syscall(SYS_gettid));
#endif
    bool idle = false, ended = false;
    while (!ended && obm_background_sleep()) {
        PyThreadState *tstate = PyThreadState_New(PyInterpreterState_Main());
        if (tstate == NULL) {
            continue;           /* no memory for it now */
        }
        PyEval_RestoreThread(tstate);
        bool may_end = idle;
        idle = obm_background_tick(may_end);
        PyThreadState_Clear(tstate);
        PyThreadState_DeleteCurrent();
        ended = idle && may_end;
        if (idle && !ended) {
            obm_background_trim_malloc();
        }
    }
    PyThread_release_lock(obm_background.running);
}

/* Starting and stopping ----------------------------------------------------------- */

/* Wait until the thread ends, and until the system has forgotten it, as far as a
   bounded number of looks tells: it is still counted for a moment, and os.fork()
   asks how many there are. */
static void
obm_background_join(void)
{
    PyThread_acquire_lock(obm_background.running, WAIT_LOCK);
#ifdef __linux__
    long id = OBM_PUBLISHED(&obm_background.thread_id);
    for (int look = 0; look < 1000 && syscall(SYS_tgkill, (long)getpid(), id, 0) == 0; look++) {
        sched_yield();
    }
#endif
}

static void
obm_background_bury(void)
{
    if (obm_background.state == OBM_BACKGROUND_ENDED) {
        obm_background_join();
        obm_background.state = OBM_BACKGROUND_NONE;
    }
}

/* In the child of a fork there is no such thread, and nobody to release its lock. */
static void
obm_background_forget(void)
{
    if (obm_background.state != OBM_BACKGROUND_NONE) {
        obm_background.state = OBM_BACKGROUND_NONE;
        obm_background.wake = obm_background.running = NULL;
    }
}

/* A lock that is acquired; NULL: no memory. */
static PyThread_type_lock
obm_background_acquired_lock(void)
{
    PyThread_type_lock acquired = PyThread_allocate_lock();
    if (acquired != NULL) {
        PyThread_acquire_lock(acquired, NOWAIT_LOCK);
    }
    return acquired;
}

/* The locks stay for good, and are acquired whenever there is no thread: nobody
   knows when one that has been released is not used any more. */
static bool
obm_background_has_locks(void)
{
    if (obm_background.wake == NULL) {
        obm_background.wake = obm_background_acquired_lock();
    }
    if (obm_background.running == NULL) {
        obm_background.running = obm_background_acquired_lock();
    }
    return obm_background.wake != NULL && obm_background.running != NULL;
}

/* Start a thread for which all signals are blocked: they are for the program's. */
static bool
obm_background_start_thread(void)
{
#if defined(_WIN32)
    return PyThread_start_new_thread(obm_background_main, NULL) != PYTHREAD_INVALID_THREAD_ID;
#else
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    unsigned long id = PyThread_start_new_thread(obm_background_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return id != PYTHREAD_INVALID_THREAD_ID;
#endif
}

/* A thread that cannot be had is asked for again an epoch later. */
static void
obm_background_create(void)
{
    obm_background.thread_id = 0;
    obm_background.state = OBM_BACKGROUND_RUNNING;
    if (!obm_background_has_locks() || !obm_background_start_thread()) {
        obm_background.state = OBM_BACKGROUND_NONE;
        obm_background.not_before = obm_os_system()->now() + OBM_EPOCH_NANOSECONDS;
    }
}

/* Whether the child of a bare fork() will know that it has no such thread. */
static bool
obm_background_knows_fork(void)
{
#if !defined(_WIN32)
    static bool told;
    told = told || pthread_atfork(NULL, NULL, obm_background_forget) == 0;
    return told;
#else
    return true;
#endif
}

/* A thread that holds the GIL of interp is about to block. */
static void
obm_background_before_blocking(PyInterpreterState *interp)
{
    const struct obm_heap *heap = &obmalloc_state_main.heap;
    if (!obm_python_has_main_gil(interp)) {
        return;
    }
    if (!Py_IsInitialized()) {
        obm_background.closed = false;      /* for the next life of the runtime */
        return;
    }
    if (obm_background.closed || !obm_has_surplus(heap)) {
        return;
    }
    int saved = errno;
    obm_background_bury();
    if (obm_background.state == OBM_BACKGROUND_NONE
        && obm_os_system()->now() >= obm_background.not_before
        && obm_background_knows_fork()) {
        obm_background_create();
    }
    errno = saved;
}

/* End the thread, if there is one, and let none start before an epoch has
   passed, or, for good, before the runtime is initialized again.  The caller
   holds the GIL of interp; it may be given up. */
static void
obm_background_stop(PyInterpreterState *interp, bool for_good)
{
    if (!obm_python_has_main_gil(interp)) {
        return;
    }
    obm_background.closed = obm_background.closed || for_good;
    obm_background_bury();
    obm_background.not_before = obm_os_system()->now() + OBM_EPOCH_NANOSECONDS;
    if (obm_background.state == OBM_BACKGROUND_RUNNING) {
        obm_background.state = OBM_BACKGROUND_STOPPING;
        PyThread_release_lock(obm_background.wake);
        Py_BEGIN_ALLOW_THREADS
        obm_background_join();
        Py_END_ALLOW_THREADS
        obm_background.state = OBM_BACKGROUND_NONE;
    }
}

#else   /* no threads */

static void
obm_background_before_blocking(PyInterpreterState *Py_UNUSED(interp))
{
}

static void
obm_background_stop(PyInterpreterState *Py_UNUSED(interp), bool Py_UNUSED(for_good))
{
}

#endif

#endif /* OBM_BACKGROUND_H */

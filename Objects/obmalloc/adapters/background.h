/* obmalloc: the purger for processes that go idle (PYTHONOBMALLOC=background=1).

   Retention gives back in the course of page events, and when a thread gives
   up the GIL to block.  A process that keeps memory because it was wanted
   twice, and then sleeps in one call for ever, has neither.  On request a
   thread helps out, and only while there is something to give back: it starts
   when a thread is about to block with more retained than the base, looks at
   the clock once an epoch with the GIL held, and ends when no more than the
   base is retained.  It serves the heap of the main interpreter, and leaves it
   alone while an interpreter with a GIL of its own allocates from it too: such
   a one may be made, and its maker must see to it that no two threads run.

   States:  NONE --start--> RUNNING --nothing more to do--> ENDED --join--> NONE
                            RUNNING --stop--> STOPPING --join--> NONE

   All of it is guarded by the GIL of the main interpreter, except `stop`,
   which has a lock, since the thread sleeps without the GIL.  The thread never
   needs the GIL again once it is ENDED, so it can be joined with the GIL held;
   to join one that is STOPPING the GIL is given up.

   A fork stops it first: so os.fork() sees one thread less and does not warn
   because of us, and no lock of ours is ever locked in the child.  It starts
   again, in parent and child, at the next occasion an epoch later.  A bare
   fork() in an extension leaves the child without the thread, which it is told
   by pthread_atfork().  Finalization stops it for good. */

#ifndef OBM_BACKGROUND_H
#define OBM_BACKGROUND_H

#if defined(HAVE_PTHREAD_H) && !defined(__EMSCRIPTEN__) && !defined(__wasi__)

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#ifdef __linux__
#  include <sys/syscall.h>
#  include <unistd.h>
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
    bool knows_fork;            /* pthread_atfork() was called */
    uint64_t not_before;        /* nanoseconds of os->now: no start before */
    pthread_t thread;
    long thread_id;             /* Linux's own, written by the thread */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;                  /* guarded by the lock */
} obm_background;

/* The thread ------------------------------------------------------------------- */

#ifdef HAVE_PTHREAD_CONDATTR_SETCLOCK
#  define OBM_BACKGROUND_CLOCK CLOCK_MONOTONIC
#else
#  define OBM_BACKGROUND_CLOCK CLOCK_REALTIME
#endif

/* Sleep for an epoch; false: the thread must stop. */
static bool
obm_background_sleep(void)
{
    struct timespec end;
    clock_gettime(OBM_BACKGROUND_CLOCK, &end);
    uint64_t nanoseconds = (uint64_t)end.tv_nsec + OBM_EPOCH_NANOSECONDS;
    end.tv_sec += (time_t)(nanoseconds / 1000000000u);
    end.tv_nsec = (long)(nanoseconds % 1000000000u);
    int result = 0;
    pthread_mutex_lock(&obm_background.lock);
    while (!obm_background.stop && result == 0) {
        result = pthread_cond_timedwait(&obm_background.wake, &obm_background.lock, &end);
    }
    bool stop = obm_background.stop;
    pthread_mutex_unlock(&obm_background.lock);
    return !stop;
}

/* With the GIL held.  true: there is nothing more to do. */
static bool
obm_background_tick(void)
{
    struct obm_heap *heap = &obmalloc_state_main.heap;
    if (!obm_python_gil_guards_main_heap()) {
        return false;
    }
    obm_retention_tick(heap);
    if (obm_background.state != OBM_BACKGROUND_RUNNING || obm_has_surplus(heap)) {
        return false;
    }
    obm_background.state = OBM_BACKGROUND_ENDED;
    return true;
}

static void *
obm_background_main(void *Py_UNUSED(argument))
{
#ifdef __linux__
    OBM_PUBLISH(&obm_background.thread_id, (long)syscall(SYS_gettid));
#endif
    bool done = false;
    while (!done && obm_background_sleep()) {
        PyThreadState *tstate = PyThreadState_New(PyInterpreterState_Main());
        if (tstate == NULL) {
            continue;           /* no memory for it now */
        }
        PyEval_RestoreThread(tstate);
        done = obm_background_tick();
        PyThreadState_Clear(tstate);
        PyThreadState_DeleteCurrent();
    }
    return NULL;
}

/* Starting and stopping ----------------------------------------------------------- */

/* Wait until the system has forgotten the thread as well, as far as a bounded
   number of looks tells: joined, it is still counted for a moment, and
   os.fork() asks how many there are. */
static void
obm_background_join(void)
{
    pthread_join(obm_background.thread, NULL);
#ifdef __linux__
    long id = OBM_PUBLISHED(&obm_background.thread_id);
    for (int look = 0; look < 1000 && syscall(SYS_tgkill, (long)getpid(), id, 0) == 0; look++) {
        sched_yield();
    }
#endif
    pthread_cond_destroy(&obm_background.wake);
    pthread_mutex_destroy(&obm_background.lock);
}

static void
obm_background_bury(void)
{
    if (obm_background.state == OBM_BACKGROUND_ENDED) {
        obm_background_join();
        obm_background.state = OBM_BACKGROUND_NONE;
    }
}

/* In the child of a fork there is no such thread. */
static void
obm_background_forget(void)
{
    obm_background.state = OBM_BACKGROUND_NONE;
}

static void
obm_background_init_wake(void)
{
#ifdef HAVE_PTHREAD_CONDATTR_SETCLOCK
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, OBM_BACKGROUND_CLOCK);
    pthread_cond_init(&obm_background.wake, &attributes);
    pthread_condattr_destroy(&attributes);
#else
    pthread_cond_init(&obm_background.wake, NULL);
#endif
}

/* Signals are for the threads of the program.  A thread that cannot be had is
   asked for again an epoch later. */
static void
obm_background_create(void)
{
    sigset_t all, before;
    pthread_mutex_init(&obm_background.lock, NULL);
    obm_background_init_wake();
    obm_background.stop = false;
    obm_background.thread_id = 0;
    obm_background.state = OBM_BACKGROUND_RUNNING;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (pthread_create(&obm_background.thread, NULL, obm_background_main, NULL) != 0) {
        pthread_cond_destroy(&obm_background.wake);
        pthread_mutex_destroy(&obm_background.lock);
        obm_background.state = OBM_BACKGROUND_NONE;
        obm_background.not_before = obm_os_system()->now() + OBM_EPOCH_NANOSECONDS;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
        && obm_os_system()->now() >= obm_background.not_before) {
        if (!obm_background.knows_fork) {
            obm_background.knows_fork = pthread_atfork(NULL, NULL, obm_background_forget) == 0;
        }
        if (obm_background.knows_fork) {
            obm_background_create();
        }
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
        pthread_mutex_lock(&obm_background.lock);
        obm_background.stop = true;
        pthread_cond_signal(&obm_background.wake);
        pthread_mutex_unlock(&obm_background.lock);
        Py_BEGIN_ALLOW_THREADS
        obm_background_join();
        Py_END_ALLOW_THREADS
        obm_background.state = OBM_BACKGROUND_NONE;
    }
}

#else   /* no POSIX threads */

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

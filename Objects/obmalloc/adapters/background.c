/* obmalloc: the purger, a thread for processes that go idle (PYTHONOBMALLOC=background).

   Retention gives back in the course of page events, and when a thread gives up the GIL
   to block. A server that goes idle in one long system call has neither; and nothing
   makes the system's malloc give back what it holds free. So a thread does both, while
   there is memory to give back: it starts when more is retained than the base, or when
   the system's malloc may have memory to give (idle.c), looks once an epoch, and takes the GIL
   if there is enough of ours to give back, and to end, when the process is idle and nothing is
   left; or lingers, with longer sleeps, where C code may free much of what malloc has in
   use. It serves the heap of the main interpreter, and leaves it alone
   while an interpreter with a GIL of its own allocates from it too: such a one may be
   made, and its maker must see to it that no two threads run.

   States:  NONE --start--> RUNNING --nothing more to do--> ENDED --join--> NONE
                            RUNNING --stop--> STOPPING --join--> NONE

   All of it is guarded by the GIL of the main interpreter, but for what is published, and for
   obm_background.idle: that is the thread's while it is RUNNING. Threads and locks are
   CPython's (pythread.h). A lock stands for an event: `wake` is released to wake the
   thread, which sleeps in a timed wait for it, and `running` by the thread as the last
   thing it does. The thread never needs the GIL again once it is ENDED, so it can be
   joined with the GIL held; to join one that is STOPPING the GIL is given up.

   The GIL is held for purges at a price of OBM_PURGE_STEP_NANOSECONDS at a time, with a
   pause in between.

   A fork stops it first, and none starts before the fork: so os.fork() does not count
   it and does not warn because of it, and the child finds the locks as they were made.
   It starts again at the next occasion; in the child not at once, since the child may be
   about to fork again, to call exec(), or to do what is allowed in a process with one
   thread only; in the parent when os.fork() has returned, since from Python 3.13 on it counts
   after the callbacks in the parent, which may block. A bare fork() in an extension is
   noticed by a pthread_atfork() handler. Finalization stops it for good.

   A thread that the system refuses (RLIMIT_NPROC, a limit of the control group) is asked
   for again an epoch later.

   The thread makes a thread state each time that it takes the GIL, and deletes it when it
   drops it: one that lived on would be shown by faulthandler, by sys._current_exceptions()
   and by debuggers, as a thread of the program's.  Making one allocates without the GIL, and
   tracemalloc.stop() races with such an allocation in CPython before 3.12.9 and 3.13.2
   (gh-128679).  So the thread does not take the GIL there while tracemalloc traces.

   This is a part of an adapter, which has defined obm_python_has_main_gil(),
   obm_python_gil_guards_main_heap(), obm_python_tracemalloc_races() and
   obm_python_new_thread_state(), which is PyThreadState_New(), but for 3.11: there that reads
   the state even if there was no memory for it. */

#define OBM_HAS_BACKGROUND 1

#if !defined(__EMSCRIPTEN__) && !defined(__wasi__)

#include <errno.h>
#include <time.h>
#if !defined(_WIN32)
#  include <pthread.h>
#  include <sched.h>
#  include <signal.h>
#endif
#ifdef __linux__
#  include <sys/prctl.h>
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

/* In what part of os.fork() a thread is. */
enum obm_background_fork {
    OBM_FORK_NONE = 0,
    OBM_FORK_COMES,             /* the system has not forked yet: no purger may start */
    OBM_FORK_RETURNS            /* it has; os.fork() has not returned: none should start */
};

static struct {
    enum obm_background_state state;
    bool closed;                /* stopped for good, see obm_background_stop() */
    enum obm_background_fork fork;
    bool resumes;               /* was stopped for the fork */
    const void *forks_in;       /* the frame that calls os.fork(), where a pending call finds out
                                   that os.fork() has returned; NULL: none is made */
    uint64_t fork_since;        /* nanoseconds of os->now: when `fork` changed */
    uint64_t not_before;        /* nanoseconds of os->now: no start before */
    long thread_id;             /* Linux's own, written by the thread */
    unsigned events;            /* calls of the system's malloc, published by an adapter
                                   that counts them */
    unsigned looks;             /* since looks_since, see obm_background_may_look() */
    uint64_t looks_since;
    struct obm_idle idle;
    PyThread_type_lock wake;
    PyThread_type_lock running;
} obm_background;

/* The calling thread is about to give up the GIL between two steps, before which no other one is
   due.  Of the thread, since interpreters with GILs of their own give back at the same time. */
static OBM_THREAD_LOCAL bool obm_background_pauses;

/* How long the child of a fork has no purger. */
#define OBM_BACKGROUND_CHILD_NANOSECONDS ((uint64_t)10 * 1000 * 1000)

/* How long the parent waits for the end of os.fork(): where it failed, its caller may never
   run again. */
#define OBM_FORK_NANOSECONDS ((uint64_t)100 * 1000 * 1000)

/* Where there is often occasion to ask whether the system's malloc may have something to give
   back, that is asked OBM_LOOKS times in each OBM_LOOK_NANOSECONDS at most.  Of all times the
   last one counts, before a process sleeps for long: so not once only. */
#define OBM_LOOKS 16u
#define OBM_LOOK_NANOSECONDS ((uint64_t)4 * 1000 * 1000)

/* The pause between two steps of purging: others may want the GIL. */
#define OBM_BACKGROUND_PAUSE_MICROSECONDS 1000

/* How much later the wake-ups may come by which a thread that waits for the GIL asks for it, once
   in a switch interval (sys.setswitchinterval(), 5 ms by default): 10 a second are left. */
#define OBM_GIL_SLACK_NANOSECONDS ((unsigned long)95 * 1000 * 1000)

/* Whether the purger lets the system's malloc give back. */
static bool
obm_background_trims_malloc(void)
{
    return obm_malloc_may_give_back(&obmalloc_state_main.heap.settings);
}

/* The thread ------------------------------------------------------------------- */

/* false: the thread must stop. */
static bool
obm_background_sleep(uint64_t microseconds)
{
    return PyThread_acquire_lock_timed(obm_background.wake, (long long)microseconds, 0)
           == PY_LOCK_FAILURE;
}

/* Whether tracemalloc traces, in a Python where tracemalloc.stop() races.  There the call
   needs no GIL; it does nothing else, for no block is at the address 0. */
static bool
obm_background_must_not_allocate(void)
{
    return obm_python_tracemalloc_races() && PyTraceMalloc_Untrack(0, 0) != -2;
}

/* How much later than asked for the timed waits of this thread may end; 0: as usual. */
static void
obm_background_set_slack(unsigned long nanoseconds)
{
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, nanoseconds, 0, 0, 0);
#else
    (void)nanoseconds;
#endif
}

/* Take the GIL.  A thread that runs C code may hold it for long, and this one is in no hurry. */
static void
obm_background_wait_for_gil(PyThreadState *tstate)
{
    obm_background_set_slack(OBM_GIL_SLACK_NANOSECONDS);
    PyEval_RestoreThread(tstate);
    obm_background_set_slack(0);
}

/* A thread state with the GIL held; NULL: none can be made now. */
static PyThreadState *
obm_background_take_gil(void)
{
    PyInterpreterState *main = PyInterpreterState_Main();
    if (!Py_IsInitialized() || main == NULL || obm_background_must_not_allocate()) {
        return NULL;            /* or finalization was not told of */
    }
    PyThreadState *tstate = obm_python_new_thread_state(main);
    if (tstate != NULL) {
        obm_background_wait_for_gil(tstate);
    }
    return tstate;
}

static void
obm_background_drop_gil(PyThreadState *tstate)
{
    PyThreadState_Clear(tstate);
    PyThreadState_DeleteCurrent();
}

/* One step of giving back what is ours, with the GIL held.  Returns whether there is more
   to do at once. */
static bool
obm_background_step(void)
{
    return obm_python_gil_guards_main_heap()
           && obm_trim_tick(&obmalloc_state_main.heap)
           && obm_background.state == OBM_BACKGROUND_RUNNING;
}

/* Whether there is enough of ours to take the GIL for, which is read without it.  In a process
   that is not idle what would not start a purger can wait. */
static bool
obm_background_has_work(bool is_idle)
{
    const struct obm_retention *retention = &obmalloc_state_main.heap.retention;
    size_t limit = is_idle ? retention->base : retention->surplus_at;
    return OBM_PUBLISHED(&retention->dirty) > limit;
}

/* Whether the system's malloc may have something to give back that the last look did not see:
   the purger may have waited for the GIL for long since. */
static bool
obm_background_missed_some(void)
{
    return obm_background_trims_malloc() && obm_idle_is_worth(&obm_background.idle, 0);
}

/* Give back what is ours, in steps.  pause: what obm_idle_tick() returned; is_idle: whether the
   process is.  Returns how long to sleep: an epoch if something is left of ours, or if the
   system's malloc was called since events_seen, or may have served C code; else the pause;
   0: the thread has ended, or must stop. */
static uint64_t
obm_background_purge(uint64_t pause, unsigned events_seen, bool is_idle)
{
    if (pause != 0 && !obm_background_has_work(is_idle)) {
        return OBM_PUBLISHED(&obm_background.events) != events_seen ? OBM_EPOCH_NANOSECONDS : pause;
    }
    bool goes_on = true;
    PyThreadState *tstate = obm_background_take_gil();
    if (tstate == NULL) {
        return OBM_EPOCH_NANOSECONDS;
    }
    while (goes_on && obm_background_step()) {
        obm_background_pauses = true;
        PyEval_SaveThread();
        goes_on = obm_background_sleep(OBM_BACKGROUND_PAUSE_MICROSECONDS);
        obm_background_wait_for_gil(tstate);
    }
    if (obm_background.state != OBM_BACKGROUND_RUNNING || obm_background.events != events_seen
        || !obm_python_gil_guards_main_heap() || obm_has_surplus(&obmalloc_state_main.heap)
        || (pause == 0 && obm_background_missed_some())) {
        pause = OBM_EPOCH_NANOSECONDS;
    }
    else if (goes_on && pause == 0) {
        obm_background.state = OBM_BACKGROUND_ENDED;
    }
    obm_background_drop_gil(tstate);
    return goes_on ? pause : 0;
}

/* The system's malloc first: a thread may hold the GIL for long.  While the purger lingers
   it does not look at malloc in a process that has slept; and one in which a thread has run may
   have just begun to, however little it used since the last look. */
static void
obm_background_main(void *Py_UNUSED(argument))
{
#ifdef __linux__
    OBM_PUBLISH(&obm_background.thread_id, (long)syscall(SYS_gettid));
#endif
    uint64_t pause = OBM_EPOCH_NANOSECONDS;
    obm_idle_start(&obm_background.idle);
    while (pause != 0 && obm_background_sleep(pause / 1000)) {
        bool lingers = pause > OBM_EPOCH_NANOSECONDS;
        bool slept = lingers && obm_idle_others_slept(&obm_background.idle);
        unsigned events = OBM_PUBLISHED(&obm_background.events);
        if (!slept) {
            pause = obm_idle_tick(&obm_background.idle, obm_background_trims_malloc());
        }
        pause = obm_background_purge(pause, events,
                                     lingers ? slept : obm_background.idle.is_idle);
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
obm_background_join_ended(void)
{
    if (obm_background.state == OBM_BACKGROUND_ENDED) {
        obm_background_join();
        obm_background.state = OBM_BACKGROUND_NONE;
    }
}

/* In the child of a fork the thread does not exist, and its lock is never released. */
static void
obm_background_forget(void)
{
    obm_background.fork = OBM_FORK_NONE;
    obm_background.resumes = false;
    obm_background.not_before = obm_os_system()->now() + OBM_BACKGROUND_CHILD_NANOSECONDS;
    obm_idle_after_fork(&obm_background.idle);
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

/* The locks stay for good, and are acquired whenever there is no thread: it cannot
   be known when one that has been released is not used any more. */
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

/* In the parent, where fork() may have failed, too. */
static void
obm_background_has_forked(void)
{
    if (obm_background.fork == OBM_FORK_COMES) {
        obm_background.fork = obm_background.forks_in != NULL ? OBM_FORK_RETURNS : OBM_FORK_NONE;
        obm_background.fork_since = obm_os_system()->now();
    }
}

/* Whether parent and child will know of a fork, a bare fork() too. */
static bool
obm_background_knows_fork(void)
{
#if !defined(_WIN32)
    static bool told;
    told = told || pthread_atfork(NULL, obm_background_has_forked, obm_background_forget) == 0;
    return told;
#else
    return true;
#endif
}

/* Whether to wait no longer for the end of os.fork(). */
static bool
obm_background_fork_is_old(void)
{
    return obm_os_system()->now() - obm_background.fork_since >= OBM_FORK_NANOSECONDS;
}

/* Whether a fork is under way. */
static bool
obm_background_is_forking(void)
{
    if (obm_background.fork == OBM_FORK_RETURNS && obm_background_fork_is_old()) {
        obm_background.fork = OBM_FORK_NONE;
    }
    return obm_background.fork != OBM_FORK_NONE;
}

/* Whether the purger may start now, with the GIL of interp held. */
static bool
obm_background_may_start(PyInterpreterState *interp)
{
    if (obmalloc_state_main.heap.settings.background == OBM_BACKGROUND_OFF
        || obm_background.state == OBM_BACKGROUND_RUNNING
        || obm_background.state == OBM_BACKGROUND_STOPPING || obm_background_is_forking()
        || !obm_python_has_main_gil(interp)) {
        return false;
    }
    if (!Py_IsInitialized()) {
        obm_background.closed = false;      /* for the next life of the runtime */
        return false;
    }
    return !obm_background.closed;
}

/* Join the one before, and set up what the first one needs. */
static void
obm_background_prepare(void)
{
    obm_background_join_ended();
    if (obm_background.idle.process == NULL) {
        obm_idle_init(&obm_background.idle, obm_process_system(), &obmalloc_state_main.heap);
    }
}

/* Start the purger, if it is not too early. */
static void
obm_background_start(void)
{
    int saved = errno;
    obm_background_prepare();
    if (obm_os_system()->now() >= obm_background.not_before && obm_background_knows_fork()) {
        obm_background_create();
    }
    errno = saved;
}

/* A pending call of the main thread, of the main interpreter: start the purger that was
   stopped for a fork, when os.fork() has returned.  Callbacks of a fork are frames of their
   own, or blocks without one. */
static int
obm_background_resume(void *unused)
{
    (void)unused;
    if (obm_background.fork != OBM_FORK_NONE) {
        bool is_in_fork = PyEval_GetFrame() != obm_background.forks_in
                          || obm_background.fork == OBM_FORK_COMES;
        if (is_in_fork && !obm_background_fork_is_old()
            && Py_AddPendingCall(obm_background_resume, NULL) == 0) {
            return 0;
        }
        obm_background.forks_in = NULL;
        if (obm_background.fork == OBM_FORK_COMES) {
            return 0;
        }
        obm_background.fork = OBM_FORK_NONE;
    }
    if (obm_background.resumes && obm_background_may_start(PyInterpreterState_Main())) {
        obm_background_start();
    }
    obm_background.resumes = false;
    return 0;
}

/* Whether this is the thread of the system's that began the process; where that cannot be
   asked, false. */
static bool
obm_background_is_first_thread(void)
{
#ifdef __linux__
    return syscall(SYS_gettid) == (long)getpid();
#else
    return false;
#endif
}

/* The caller is about to call fork(), and to count the threads of the process, in which
   there is but one as yet, if this is the main thread. */
static void
obm_background_fork_comes(void)
{
    obm_background.fork = OBM_FORK_COMES;
    obm_background.fork_since = obm_os_system()->now();
    obm_background.forks_in = NULL;
    if (obm_background_is_first_thread()
        && obmalloc_state_main.heap.settings.background != OBM_BACKGROUND_OFF) {
        obm_background.forks_in = PyEval_GetFrame();
    }
    if (obm_background.forks_in != NULL && Py_AddPendingCall(obm_background_resume, NULL) != 0) {
        obm_background.forks_in = NULL;
    }
}

/* Whether it is not too often to look now.  That is asked by the coarse clock. */
static bool
obm_background_may_look(void)
{
    uint64_t now = obm_os_system()->now();
    if (now - obm_background.looks_since >= OBM_LOOK_NANOSECONDS) {
        obm_background.looks_since = now;
        obm_background.looks = 0;
    }
    return obm_background.looks++ < OBM_LOOKS;
}

/* Whether the system's malloc may have something to give back, for which the purger, which
   may start, is worth it.  blocks: see obm_idle_is_worth(). */
static bool
obm_background_malloc_is_worth(size_t blocks)
{
    int saved = errno;
    obm_background_prepare();
    bool worth = obm_background_trims_malloc()
                 && obm_idle_is_worth(&obm_background.idle, blocks);
    errno = saved;
    return worth;
}

/* End the thread, if there is one, and let none start before the fork that comes next; or,
   for good, before the runtime is initialized again.  The caller holds the GIL of interp,
   which may be given up. */
static void
obm_background_stop(PyInterpreterState *interp, bool for_good)
{
    if (!obm_python_has_main_gil(interp)) {
        return;
    }
    if (for_good) {
        obm_background.closed = true;
    }
    else if (obm_background_knows_fork()) {
        obm_background_fork_comes();
    }
    obm_background_join_ended();
    obm_background.resumes = obm_background.state == OBM_BACKGROUND_RUNNING;
    if (!obm_background.resumes) {
        return;
    }
    obm_background.state = OBM_BACKGROUND_STOPPING;
    PyThread_release_lock(obm_background.wake);
    Py_BEGIN_ALLOW_THREADS
    obm_background_join();
    Py_END_ALLOW_THREADS
    obm_background.state = OBM_BACKGROUND_NONE;
}

#else   /* no threads */

static bool
obm_background_may_start(PyInterpreterState *Py_UNUSED(interp))
{
    return false;
}

static void
obm_background_start(void)
{
}

static bool
obm_background_may_look(void)
{
    return false;
}

static bool
obm_background_malloc_is_worth(size_t OBM_UNUSED blocks)
{
    return false;
}

static void
obm_background_stop(PyInterpreterState *Py_UNUSED(interp), bool Py_UNUSED(for_good))
{
}

#endif

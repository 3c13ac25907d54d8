/* obmalloc, the loadable library: when the purger starts and stops (../background.c).

   It starts from a page event, or from a call that the system's malloc serves: the
   library has no other moment at which it holds the GIL.  It must not be running when
   Python forks or ends, so none starts before Python has agreed to tell the library of
   both. */

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

static bool
obm_python_tracemalloc_races(void)
{
    return tracemalloc_races;
}

static PyThreadState *
obm_python_new_thread_state(PyInterpreterState *interpreter)
{
    if (!new_thread_state_reads_null) {
        return PyThreadState_New(interpreter);
    }
    PyThreadState *thread = _PyThreadState_Prealloc(interpreter);
    if (thread != NULL) {
        _PyThreadState_SetCurrent(thread);
    }
    return thread;
}

#include "../background.c"

/* Told of forks and of the end -------------------------------------------------------- */

/* Python is asked at the next moment at which it can be called: an allocation is under
   way.  Guarded by the GIL. */
static enum watch { UNASKED, ASKED, WATCHED } watch;

void
obm_loadable_watch_answered(enum obm_watch_answer answer)
{
    static const enum watch next[] = {
        [OBM_WATCH_REFUSED] = ASKED,        /* it is not asked again */
        [OBM_WATCH_AGREED] = WATCHED,
        [OBM_WATCH_LATER] = UNASKED,
    };
    watch = next[answer];
}

/* Once, as soon as Python can be asked.  It agrees at the next bytecode that the main
   thread executes, which may have executed its last one for a long time: so the earlier
   the better.  Of several interpreters with one GIL the main one is told of forks and of
   the end. */
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

/* Starting and stopping ---------------------------------------------------------------- */

/* Python is asked first, if it was not yet.  The caller holds the GIL of the main
   interpreter, or the only one. */
static bool
purger_may_start(void)
{
    if (OBM_UNLIKELY(watch != WATCHED)) {
        if (watch == UNASKED) {
            ask_to_be_told();
        }
        return false;
    }
    return obm_background_may_start(PyInterpreterState_Main());
}

/* Enough is retained to start the purger. */
static void
on_surplus(struct obm_heap *heap)
{
    (void)heap;
    if (purger_may_start()) {
        obm_background_start();
    }
}

/* Pages came or went.  The program is at work, and C code that it calls may have taken memory
   of the system's malloc, of which nothing else tells. */
static void
on_page_events(struct obm_heap *heap)
{
    (void)heap;
    if (purger_may_start() && obm_background_may_look() && obm_background_malloc_is_worth(0)) {
        obm_background_start();
    }
}

void
_PyObmalloc_BeforeFork(PyInterpreterState *interpreter)
{
    obm_background_stop(interpreter, false);
}

/* Another thread than the main one has made no pending call before the fork. */
void
obm_loadable_after_fork(void)
{
    if (obm_background.resumes && obm_background.forks_in == NULL) {
        Py_AddPendingCall(obm_background_resume, NULL);
    }
}

void
_PyObmalloc_BeforeFinalizing(PyInterpreterState *interpreter)
{
    obm_background_stop(interpreter, true);
    watch = UNASKED;        /* by the next life */
}

/* Calls of the system's malloc ---------------------------------------------------------- */

/* While no purger runs, some of the calls that pass on to the system's malloc look whether
   it should be started: after OBM_BYTES_PER_LOOK were requested, and after 1, 2, 4 and so
   on calls, in the end after each OBM_CALLS_PER_LOOK. */
#define OBM_BYTES_PER_LOOK ((size_t)4 << 20)
#define OBM_CALLS_PER_LOOK 64u
static struct {
    unsigned calls, next;       /* since the purger ran; when to look */
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
    if (obm_background.state == OBM_BACKGROUND_RUNNING) {
        passed.calls = passed.next = 0;     /* medium requests alone do not start it again */
    }
}

/* The system's malloc was called for a request of size bytes, or to free: size is 0.  A
   patched interpreter looks before a thread blocks; the library looks at these calls.  The
   caller is served, and holds the GIL. */
static void
passed_on(size_t size)
{
    OBM_PUBLISH(&obm_background.events, obm_background.events + 1);
    if (obm_background.state == OBM_BACKGROUND_RUNNING) {
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

/* The same before the call.  Retention's clock is looked at once in OBM_CALLS_PER_CLOCK
   requests, too. */
#define OBM_CALLS_PER_CLOCK 4u
static void
pass_on(size_t size)
{
    passed_on(size);
    if (obm_background.events % OBM_CALLS_PER_CLOCK == 0) {
        obm_before_blocking(main_heap);
    }
}

/* The heap served a medium request.  A program that requests nothing larger has such
   moments too: retention's clock is looked at once in OBM_MEDIUM_PER_CLOCK requests, and
   whether the purger should be started once in OBM_MEDIUM_PER_LOOK. */
#define OBM_MEDIUM_PER_CLOCK 64u
#define OBM_MEDIUM_PER_LOOK 1024u

static OBM_NOINLINE void
look_about(unsigned served)
{
    obm_before_blocking(main_heap);
    if (served % OBM_MEDIUM_PER_LOOK == 0 && purger_may_start()) {
        look_at_malloc();
    }
}

static void
medium_served(void)
{
    static unsigned served;
    if (OBM_UNLIKELY(++served % OBM_MEDIUM_PER_CLOCK == 0)) {
        look_about(served);
    }
}

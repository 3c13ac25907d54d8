/* A program that starts and ends Python again and again, built and run by
   test_embedding.py:

       embedding PYTHON SCENARIO CYCLES CODE

   PYTHON tells Python where it is installed; CODE runs in every cycle.  After
   each the program prints its resident memory in KiB, a line for each cycle.
   The exit status is 0 if all went well. */

#include "arena_source.h"

#include <stdio.h>
#include <unistd.h>

/* What outlives an interpreter: more than a page holds, so that pages of all
   kinds do: full, partly used, with one block. */
#define SURVIVORS 1000
#define SURVIVOR_SIZE 48
static char *survivors[SURVIVORS];

static long
resident_kib(void)
{
    long size, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file != NULL) {
        if (fscanf(file, "%ld %ld", &size, &pages) != 2) {
            pages = 0;
        }
        fclose(file);
    }
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int
start_python(const char *executable)
{
    PyConfig wanted;
    PyConfig_InitPythonConfig(&wanted);
    wanted.site_import = 0;
    PyStatus start = PyConfig_SetBytesString(&wanted, &wanted.program_name, executable);
    if (!PyStatus_Exception(start)) {
        start = Py_InitializeFromConfig(&wanted);
    }
    PyConfig_Clear(&wanted);
    if (PyStatus_Exception(start)) {
        fprintf(stderr, "cannot start Python: %s\n", start.err_msg);
        return 0;
    }
    return 1;
}

static void
survivors_make(void)
{
    for (int i = 0; i < SURVIVORS; i++) {
        survivors[i] = PyObject_Malloc(SURVIVOR_SIZE);
        memset(survivors[i], i & 0xff, SURVIVOR_SIZE);
    }
}

/* Whether every byte is still there. */
static int
survivors_intact(void)
{
    for (int i = 0; i < SURVIVORS; i++) {
        for (int byte = 0; byte < SURVIVOR_SIZE; byte++) {
            if (survivors[i][byte] != (char)(i & 0xff)) {
                fprintf(stderr, "survivor %d has changed at byte %d\n", i, byte);
                return 0;
            }
        }
    }
    return 1;
}

static void
survivors_free(void)
{
    for (int i = 0; i < SURVIVORS; i++) {
        PyObject_Free(survivors[i]);
    }
}

/* Make, use and end an interpreter with a heap and a GIL of its own, from a
   thread without a thread state, while other threads of the main interpreter
   run. */
static int
use_detached_interpreter(const char *code)
{
#if PY_VERSION_HEX < 0x030c0000
    fprintf(stderr, "this version has one heap for all interpreters, not to run %s\n", code);
    return 0;
#else
    PyInterpreterConfig config = {
        .check_multi_interp_extensions = 1,
        .allow_threads = 1,
        .gil = PyInterpreterConfig_OWN_GIL,
    };
    PyThreadState *mine = PyEval_SaveThread();
    PyThreadState *its = NULL;
    PyStatus status = Py_NewInterpreterFromConfig(&its, &config);
    if (PyStatus_Exception(status) || its == NULL) {
        fprintf(stderr, "cannot make an interpreter: %s\n", status.err_msg);
        return 0;
    }
    int good = PyRun_SimpleString(code) == 0;
    Py_EndInterpreter(its);
    PyEval_RestoreThread(mine);
    return good;
#endif
}

/* One life of Python: blocks of the life before are freed in this one. */
static int
live_once(const char *executable, const char *code, int keep, int first, int detached)
{
    if (!start_python(executable)) {
        return 0;
    }
    int good = 1;
    if (keep && !first) {
        good = survivors_intact();
        survivors_free();
    }
    good = PyRun_SimpleString(code) == 0 && good;
    if (detached) {
        good = use_detached_interpreter("kept = [bytes(400) for _ in range(10000)]") && good;
        good = PyRun_SimpleString("stop()") == 0 && good;
    }
    if (keep) {
        survivors_make();
    }
    good = Py_FinalizeEx() == 0 && good;
    return good && (!keep || survivors_intact());
}

int
main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: %s PYTHON plain|keep|arenas|detached CYCLES CODE\n", argv[0]);
        return 2;
    }
    int keep = strcmp(argv[2], "keep") == 0;
    int arenas = strcmp(argv[2], "arenas") == 0;
    int detached = strcmp(argv[2], "detached") == 0;
    int cycles = atoi(argv[3]);
    if (arenas) {
        source_install(0, 0);
    }
    /* Freeing nothing is allowed before there is an interpreter. */
    PyMem_Free(NULL);
    PyObject_Free(NULL);
    for (int cycle = 0; cycle < cycles; cycle++) {
        if (!live_once(argv[1], argv[4], keep, cycle == 0, detached)) {
            return 1;
        }
        printf("%ld\n", resident_kib());
        fflush(stdout);
    }
    /* Nor after it; but the debug hooks of 3.14 want a GIL even for that. */
    if (getenv("PYTHONMALLOC") == NULL) {
        PyMem_Free(NULL);
        PyObject_Free(NULL);
    }
    if (arenas) {
        printf("%ld %ld %ld\n", sources[0].allocated, sources[0].freed,
               sources[0].strange);
    }
    return 0;
}

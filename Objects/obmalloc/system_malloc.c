/* obmalloc: the system's malloc, which serves what the arenas do not.

   It keeps freed memory, and returns little of it on its own.  The function that makes
   it return more differs: glibc has malloc_trim(); jemalloc, mimalloc and tcmalloc, which
   users preload, have functions of their own; others have none.  All are looked up by
   name in the running process: the library is loaded into processes with any of them,
   and where there is none nothing happens.

   glibc.  malloc_trim(0) gives back whole free pages in all arenas, but the free top of
   the main one only, and locks one arena after the other meanwhile.  With M_ARENA_MAX = 1
   there is no other.  That makes threads wait for each other that allocate without the
   GIL, so it is done on few processors only (config.h).  mallinfo() counts free pages
   that have gone back as free.

   Any thread may call this; nothing here needs a heap, or the GIL. */

#include "obmalloc/system_malloc.h"
#include "obmalloc/os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __linux__
#  include <dlfcn.h>
#  include <fcntl.h>
#  include <sched.h>
#endif
#if defined(_WIN32)
#  include <windows.h>
#  include <psapi.h>
#else
#  include <sys/resource.h>
#  include <unistd.h>
#endif
#ifdef __GLIBC__
#  include <malloc.h>
#endif

/* Time and memory ---------------------------------------------------------------- */

/* Finer than obm_os_system()->now: it measures how long something takes. */
static uint64_t
process_now(void)
{
#if defined(_WIN32)
    return obm_os_system()->now();
#else
    struct timespec time = {0, 0};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
#endif
}

#ifdef CLOCK_PROCESS_CPUTIME_ID
static uint64_t
read_processor_time(clockid_t clock)
{
    struct timespec used;
    if (clock_gettime(clock, &used) != 0) {
        return 0;
    }
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}
#endif

static uint64_t
process_processor_time(void)
{
#ifdef CLOCK_PROCESS_CPUTIME_ID
    return read_processor_time(CLOCK_PROCESS_CPUTIME_ID);
#else
    return 0;
#endif
}

static uint64_t
process_own_processor_time(void)
{
#if defined(CLOCK_PROCESS_CPUTIME_ID) && defined(CLOCK_THREAD_CPUTIME_ID)
    return read_processor_time(CLOCK_THREAD_CPUTIME_ID);
#else
    return 0;
#endif
}

#if defined(_WIN32)

static PROCESS_MEMORY_COUNTERS
process_memory(void)
{
    PROCESS_MEMORY_COUNTERS memory = {.WorkingSetSize = 0, .PageFaultCount = 0};
    K32GetProcessMemoryInfo(GetCurrentProcess(), &memory, sizeof(memory));
    return memory;
}

static size_t
process_resident(void)
{
    return process_memory().WorkingSetSize;
}

static size_t
process_faults(void)
{
    return process_memory().PageFaultCount;
}

#else

#ifdef __linux__

/* The start of a file, as a string; "" if it cannot be read.  Without stdio, which would call
   the malloc that is looked at, and whose code few interpreters need to start. */
static void
read_start(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, size - 1) : 0;
    if (file >= 0) {
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
}

/* The second number of a file of numbers; *first: the one before it.  0 for what is none. */
static unsigned long
second_number(const char *path, unsigned long *first)
{
    char text[128], *rest;
    read_start(path, text, sizeof(text));
    *first = strtoul(text, &rest, 10);
    return rest != text ? strtoul(rest, NULL, 10) : 0;
}

#endif

static size_t
process_resident(void)
{
    unsigned long pages = 0;
#ifdef __linux__
    unsigned long all;
    pages = second_number("/proc/self/statm", &all);
#endif
    return (size_t)pages * obm_os_system()->page_size;
}

static size_t
process_faults(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        return (size_t)usage.ru_minflt;
    }
    return 0;
}

#endif

static long
process_id(void)
{
#if defined(_WIN32)
    return (long)GetCurrentProcessId();
#else
    return (long)getpid();
#endif
}

/* No process is forked on Windows, nor by WebAssembly. */
static long
process_parent(void)
{
#if defined(_WIN32) || defined(__wasi__)
    return 0;
#else
    return (long)getppid();
#endif
}

/* What there is in this process --------------------------------------------------- */

#ifdef __linux__

/* What mallinfo2() returns, by the names of mallinfo2(3): the library is compiled for C
   libraries without it (before 2.33), and runs with newer ones too. */
struct words_of_mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

static struct {
    unsigned found;             /* published: the others are valid */
    int (*malloc_trim)(size_t pad);
    int (*mallctl)(const char *name, void *old, size_t *old_size, void *new, size_t new_size);
    void (*tcmalloc_release)(void);
    void (*mi_collect)(bool force);
#ifdef __GLIBC__
    struct mallinfo (*mallinfo)(void);
    struct words_of_mallinfo2 (*mallinfo2)(void);
#endif
} functions;

/* The library runs with C libraries in which dlsym() is not a part of libc yet, so it takes
   the oldest version of it that there is, wherever the process has it.  One that is
   compiled for such a C library knows no other version. */
#if defined(OBM_LOADABLE) && defined(__GLIBC__)
#  if __GLIBC_PREREQ(2, 34)
#    if defined(__x86_64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#    elif defined(__aarch64__)
__asm__(".symver dlsym, dlsym@GLIBC_2.17");
#    endif
#  endif
#  pragma weak dlsym
#  define HAS_DLSYM (dlsym != NULL)
#else
#  define HAS_DLSYM true
#endif

/* A function by its name; NULL: there is none.  ISO C has no conversion from a pointer
   to an object. */
static void
find_function(void *function, const char *name)
{
    void *found = HAS_DLSYM ? dlsym(RTLD_DEFAULT, name) : NULL;
    memcpy(function, &found, sizeof(found));
}

static void
find_functions(void)
{
    if (OBM_PUBLISHED(&functions.found)) {
        return;
    }
    find_function(&functions.malloc_trim, "malloc_trim");
    find_function(&functions.mallctl, "mallctl");
    find_function(&functions.tcmalloc_release, "MallocExtension_ReleaseFreeMemory");
    find_function(&functions.mi_collect, "mi_collect");
#ifdef __GLIBC__
    find_function(&functions.mallinfo, "mallinfo");
    find_function(&functions.mallinfo2, "mallinfo2");
#endif
    OBM_PUBLISH(&functions.found, 1u);
}

#ifdef __GLIBC__
/* Whether another malloc than the C library's is in force. */
static bool
has_another(void)
{
    return functions.mallctl != NULL || functions.tcmalloc_release != NULL
           || functions.mi_collect != NULL;
}
#endif

#endif /* __linux__ */

static bool
malloc_figures(struct obm_malloc_figures *figures)
{
#ifdef __GLIBC__
    find_functions();
    if (has_another()) {
        return false;
    }
    if (functions.mallinfo2 != NULL) {
        struct words_of_mallinfo2 info = functions.mallinfo2();
        figures->held = info.arena;
        figures->free = info.fordblks;
        figures->mapped = info.hblkhd;
        return true;
    }
    if (functions.mallinfo != NULL) {
        struct mallinfo info = functions.mallinfo();
        figures->held = (unsigned)info.arena;
        figures->free = (unsigned)info.fordblks;
        figures->mapped = (unsigned)info.hblkhd;
        return true;
    }
#endif
    (void)figures;
    return false;
}

/* false: this malloc cannot. */
static bool
call_give_back(void)
{
#ifdef __linux__
    find_functions();
    if (functions.mallctl != NULL) {
        /* All arenas: MALLCTL_ARENAS_ALL of jemalloc 5 is 4096. */
        return functions.mallctl("arena.4096.purge", NULL, NULL, NULL, 0) == 0;
    }
    if (functions.tcmalloc_release != NULL) {
        functions.tcmalloc_release();
        return true;
    }
    if (functions.mi_collect != NULL) {
        functions.mi_collect(true);
        return true;
    }
    if (functions.malloc_trim != NULL) {
        functions.malloc_trim(0);
        return true;
    }
#endif
    return false;
}

static struct obm_spent malloc_spent;

static bool
malloc_give_back(void)
{
    uint64_t start = process_now();
    bool done = call_give_back();
    if (done) {
        obm_spent_add(&malloc_spent, process_now() - start);
    }
    return done;
}

struct obm_spent
obm_malloc_spent(void)
{
    return obm_spent_read(&malloc_spent);
}

static const struct obm_process process_system = {
    process_now, process_processor_time, process_own_processor_time, process_resident,
    process_faults, process_id, process_parent, malloc_figures, malloc_give_back
};

const struct obm_process *
obm_process_system(void)
{
    return &process_system;
}

/* One arena ---------------------------------------------------------------------------- */

#ifdef __linux__

/* The processors that the quota in a file of control group version 2 allows, "MAX PERIOD";
   UINT_MAX: any number. */
static unsigned
processors_of_quota(const char *path)
{
    unsigned long quota, period = second_number(path, &quota);
    return period != 0 ? (unsigned)((quota + period - 1) / period) : UINT_MAX;
}

/* The least of the process's control group (version 2) and those above it. */
static unsigned
processors_of_cgroup(void)
{
    static const char root[] = "/sys/fs/cgroup", leaf[] = "/cpu.max", version2[] = "\n0::/";
    char lines[4096], path[sizeof(root) + sizeof(lines) + sizeof(leaf)];
    unsigned least = processors_of_quota("/sys/fs/cgroup/cpu.max");
    lines[0] = '\n';
    read_start("/proc/self/cgroup", lines + 1, sizeof(lines) - 1);
    char *line = strstr(lines, version2);
    if (line == NULL) {
        return least;
    }
    char *group = line + strlen(version2) - 1;
    group[strcspn(group, "\n")] = '\0';
    for (char *end; (end = strrchr(group, '/')) != NULL; *end = '\0') {
        strcpy(stpcpy(stpcpy(path, root), group), leaf);
        unsigned processors = processors_of_quota(path);
        least = processors < least ? processors : least;
    }
    return least;
}

#endif /* __linux__ */

unsigned
obm_processors(void)
{
#ifdef __linux__
    cpu_set_t mask;
    unsigned by_mask = UINT_MAX;    /* more than a cpu_set_t has, when this fails */
    if (sched_getaffinity(0, sizeof(mask), &mask) == 0) {
        by_mask = (unsigned)CPU_COUNT(&mask);
    }
    if (by_mask == 1) {
        return by_mask;
    }
    unsigned by_quota = processors_of_cgroup();
    return by_quota < by_mask ? by_quota : by_mask;
#else
    return UINT_MAX;
#endif
}

#if defined(__GLIBC__) && defined(M_ARENA_MAX)

/* Raise the thresholds of glibc's malloc as it does by itself when the first block of this
   size is freed, so that they still adapt: blocks up to OBM_MALLOC_MMAP_BYTES come from its
   heap, the top of which shrinks when twice as much is free there.  mallopt() would fix
   them, and with them the size from which on every block is a mapping of its own. */
static void
raise_thresholds(void)
{
    void *volatile block = malloc(OBM_MALLOC_MMAP_BYTES);   /* volatile: the pair must stay */
    free(block);
}

#endif

bool
obm_malloc_one_arena(const struct obm_settings *settings)
{
#if defined(__GLIBC__) && defined(M_ARENA_MAX)
    if (!obm_malloc_may_give_back(settings)) {
        return false;
    }
    const char *tunables = getenv("GLIBC_TUNABLES");
    if (getenv("MALLOC_ARENA_MAX") != NULL
        || (tunables != NULL && strstr(tunables, "glibc.malloc.arena_max") != NULL)) {
        return false;
    }
    find_functions();
    if (has_another() || (settings->system_malloc == OBM_MALLOC_AUTO
                          && obm_processors() > OBM_ONE_ARENA_PROCESSORS)) {
        return false;
    }
    if (mallopt(M_ARENA_MAX, 1) != 1) {
        return false;
    }
    if (!settings->no_medium) {
        raise_thresholds();
    }
    return true;
#else
    (void)settings;
    return false;
#endif
}

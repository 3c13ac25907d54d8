/* obmalloc: the operating system, and nothing but the operating system.

   Memory comes in whole pages, zeroed.  It is mapped and unmapped, populated (backed
   by memory in bulk) and purged, which gives the memory back and keeps the address;
   it may be advised to be a huge page, touched first, split, and guarded.  On systems
   with mmap() purging is madvise(MADV_DONTNEED) where that is known to drop the pages
   at once and to read as zero afterwards (Linux); elsewhere a fresh mapping is laid over
   the old one, which does the same.

   A *hint* asks for one address and no other: nothing that is already mapped
   there is ever replaced.  MAP_FIXED_NOREPLACE says so to Linux 4.17 and
   later; older kernels and other systems take the address as a wish, and a
   mapping that came out elsewhere is undone.

   Huge pages are Linux's transparent ones, by advice: where the kernel has none
   at hand it takes small ones, and nothing can fail.  Of a huge page that is
   used in part, MADV_DONTNEED only unmaps the rest: the process looks smaller,
   and its cgroup pays for all of it until memory gets short.  MADV_FREE of a
   part splits the huge page at once, unless another process shares it
   after a fork; what is dropped then is free.

   -DOBM_ARENAS_USE_MALLOC=1 takes memory from calloc() instead, as in 2005.

   Nothing here keeps state, except a cache of two page sizes. */

#include "obmalloc/os.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef OBM_ARENAS_USE_MALLOC
#  define OBM_ARENAS_USE_MALLOC 0
#endif

#if defined(_WIN32)
#  include <windows.h>
#else
#  include <errno.h>
#  include <fcntl.h>
#  include <sys/mman.h>
#  include <time.h>
#  include <unistd.h>
#  if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#    define MAP_ANONYMOUS MAP_ANON
#  endif
#  if defined(__linux__)
#    include <sys/auxv.h>
#    include <sys/prctl.h>
#    include <sys/syscall.h>
#    ifndef MAP_FIXED_NOREPLACE
#      define MAP_FIXED_NOREPLACE 0x100000
#    endif
#    ifndef PR_SET_VMA
#      define PR_SET_VMA 0x53564d41
#    endif
#    ifndef PR_SET_VMA_ANON_NAME
#      define PR_SET_VMA_ANON_NAME 0
#    endif
#  else
#    define MAP_FIXED_NOREPLACE 0
#  endif
#endif

static void
os_fatal(const char *message)
{
    fprintf(stderr, "obmalloc: %s\n", message);
    fflush(stderr);
    abort();
}

void
obm_fatal(const struct obm_heap *heap, const char *format, ...)
{
    char message[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    heap->os->fatal(message);
}

#if OBM_ARENAS_USE_MALLOC

static void *
os_map(void *hint, size_t size)
{
    return hint == NULL ? calloc(1, size) : NULL;
}

static void
os_unmap(void *address, size_t size)
{
    (void)size;
    free(address);
}

static bool
os_purge(void *address, size_t size)
{
    (void)address;
    (void)size;
    return false;
}

#elif defined(_WIN32)

static void *
os_map(void *hint, size_t size)
{
    /* Windows never replaces a mapping, and fails if the address is taken.  It reserves
       at multiples of 64 KiB, and rounds any other hint down. */
    void *address = VirtualAlloc(hint, size, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
    if (hint != NULL && address != NULL && address != hint) {
        VirtualFree(address, 0, MEM_RELEASE);
        return NULL;
    }
    return address;
}

/* The end of the reservation that begins at an address.  Its pages may differ in
   protection, and are then told apart. */
static char *
reservation_end(char *start)
{
    MEMORY_BASIC_INFORMATION region;
    char *end = start;
    while (VirtualQuery(end, &region, sizeof(region)) != 0 && region.AllocationBase == start) {
        end += region.RegionSize;
    }
    return end;
}

/* What was mapped by several calls is several reservations, each of which is released by
   itself. */
static void
os_unmap(void *address, size_t size)
{
    char *start = address, *end = start + size;
    while (start < end) {
        char *next = reservation_end(start);
        if (!VirtualFree(start, 0, MEM_RELEASE)) {
            os_fatal("memory that was mapped cannot be released");
        }
        start = next;
    }
}

static bool
os_purge(void *address, size_t size)
{
    if (!VirtualFree(address, size, MEM_DECOMMIT)) {
        return false;
    }
    if (VirtualAlloc(address, size, MEM_COMMIT, PAGE_READWRITE) == NULL) {
        /* Others have taken what was given back, to the last page: the addresses are in
           use, and cannot be touched any more. */
        os_fatal("Windows has no memory left for pages in use");
    }
    return true;
}

#else

/* The name stands in /proc/self/maps as [anon:obmalloc].  A kernel without
   the option says no, and nothing depends on it. */
static void
os_name(void *address, size_t size)
{
#if defined(__linux__)
    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, (unsigned long)(uintptr_t)address,
          (unsigned long)size, (unsigned long)(uintptr_t)"obmalloc");
#else
    (void)address;
    (void)size;
#endif
}

static void *
map_at(void *hint, size_t size)
{
    int placing = hint != NULL ? MAP_FIXED_NOREPLACE : 0;
    void *address = mmap(hint, size, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | placing, -1, 0);
    if (address == MAP_FAILED) {
        return NULL;
    }
    if (hint != NULL && address != hint) {
        munmap(address, size);
        return NULL;
    }
    os_name(address, size);
    return address;
}

static bool
drop_memory(void *address, size_t size)
{
#if defined(__linux__)
    return madvise(address, size, MADV_DONTNEED) == 0;
#else
    return mmap(address, size, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == address;
#endif
}

/* malloc() and free() leave errno alone when all goes well: programs read it
   after they have cleaned up. */

static void *
os_map(void *hint, size_t size)
{
    int saved = errno;
    void *address = map_at(hint, size);
    errno = saved;
    return address;
}

static void
os_unmap(void *address, size_t size)
{
    int saved = errno;
    if (munmap(address, size) != 0) {
        /* It would split a mapping in two, and there are too many already
           (vm.max_map_count): then only the address is lost. */
        drop_memory(address, size);
    }
    errno = saved;
}

static bool
os_purge(void *address, size_t size)
{
    int saved = errno;
    bool done = drop_memory(address, size);
    errno = saved;
    return done;
}

#endif

#if defined(__linux__) && defined(MADV_HUGEPAGE) && defined(MADV_FREE) && !OBM_ARENAS_USE_MALLOC

/* Bytes, or 0 where the kernel has no transparent huge pages. */
static size_t
read_huge_page_size(void)
{
    char text[32];
    int file = open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
                    O_RDONLY | O_CLOEXEC);
    ssize_t length = file >= 0 ? read(file, text, sizeof(text) - 1) : 0;
    if (file >= 0) {
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
    return (size_t)strtoull(text, NULL, 10);
}

static size_t
huge_page_size(void)
{
    static size_t cached = SIZE_MAX;
    size_t size = OBM_PUBLISHED(&cached);
    if (size == SIZE_MAX) {
        size = read_huge_page_size();
        OBM_PUBLISH(&cached, size);
    }
    return size;
}

/* MADV_NOHUGEPAGE is for systems whose setting is `always`, and for the thread
   of the kernel that puts huge pages together: it takes a range in which few
   pages are left, and fills in the rest. */
static bool
os_advise_huge(void *address, size_t size, bool huge)
{
    int saved = errno;
    huge = huge && size == huge_page_size() && (uintptr_t)address % size == 0;
    bool done = madvise(address, size, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0;
    errno = saved;
    return huge && done;
}

static uint64_t
thread_time(void)
{
    struct timespec time = {0, 0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t
os_first_touch(void *page)
{
    uint64_t start = thread_time();
    *(volatile char *)page = 0;
    return thread_time() - start;
}

static void
os_split_huge(void *page)
{
    int saved = errno;
    madvise(page, obm_os_system()->page_size, MADV_FREE);
    errno = saved;
}

#else

static bool
os_advise_huge(void *address, size_t size, bool huge)
{
    (void)address;
    (void)size;
    (void)huge;
    return false;
}

static uint64_t
os_first_touch(void *page)
{
    *(volatile char *)page = 0;
    return 0;
}

static void
os_split_huge(void *page)
{
    (void)page;
}

#endif

#if OBM_ARENAS_USE_MALLOC

static bool
os_guard(void *address, size_t size)
{
    (void)address;
    (void)size;
    return false;
}

#elif defined(_WIN32)

static bool
os_guard(void *address, size_t size)
{
    DWORD before;
    return VirtualProtect(address, size, PAGE_NOACCESS, &before) != 0;
}

#else

static bool
os_guard(void *address, size_t size)
{
    int saved = errno;
    bool done = mprotect(address, size, PROT_NONE) == 0;
    errno = saved;
    return done;
}

#endif

/* Linux 5.14; an older one does not know the advice.  A C library may be older
   than the kernel. */
static bool
os_populate(void *address, size_t size)
{
#if defined(__linux__) && !OBM_ARENAS_USE_MALLOC
    const int populate_write = 23;      /* MADV_POPULATE_WRITE */
    int saved = errno;
    bool done = madvise(address, size, populate_write) == 0;
    errno = saved;
    return done;
#else
    (void)address;
    (void)size;
    return false;
#endif
}

static bool
os_is_mapped(const void *address)
{
#if defined(__linux__)
    int saved = errno;
    uintptr_t page = obm_os_system()->page_size;
    unsigned char resident;
    bool missing = mincore((void *)((uintptr_t)address & ~(page - 1)), 1, &resident) != 0
                   && errno == ENOMEM;
    errno = saved;
    return !missing;
#elif defined(_WIN32)
    MEMORY_BASIC_INFORMATION region;
    return VirtualQuery(address, &region, sizeof(region)) == 0 || region.State == MEM_COMMIT;
#else
    (void)address;
    return true;
#endif
}

#if !defined(_WIN32)

/* Without waiting; false: the system has none, or no file descriptor is left. */
static bool
read_entropy(uint64_t *number)
{
#  if defined(__linux__) && defined(SYS_getrandom)
    const unsigned nonblocking = 1;     /* GRND_NONBLOCK */
    if (syscall(SYS_getrandom, number, sizeof(*number), nonblocking) == sizeof(*number)) {
        return true;
    }
#  endif
    int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    bool done = file >= 0 && read(file, number, sizeof(*number)) == sizeof(*number);
    if (file >= 0) {
        close(file);
    }
    return done;
}

#endif

/* At worst, what can be guessed is the time and where the stack lies. */
static uint64_t
os_entropy(void)
{
    uint64_t number = 0;
#if defined(_WIN32)
    LARGE_INTEGER ticks;
    QueryPerformanceCounter(&ticks);
    number = (uint64_t)ticks.QuadPart * UINT64_C(0x9e3779b97f4a7c15);
#else
    int saved = errno;
    if (!read_entropy(&number)) {
        struct timespec time = {0, 0};
        clock_gettime(CLOCK_MONOTONIC, &time);
        number = (uint64_t)time.tv_nsec * UINT64_C(0x9e3779b97f4a7c15);
    }
    errno = saved;
#endif
    return number ^ (uintptr_t)&number;
}

static uint64_t
os_now(void)
{
#if defined(_WIN32)
    return (uint64_t)GetTickCount64() * 1000000u;
#else
    struct timespec time;
#  if defined(CLOCK_MONOTONIC_COARSE)
    /* A few milliseconds coarse, and a fraction of the price. */
    if (clock_gettime(CLOCK_MONOTONIC_COARSE, &time) != 0)
#  endif
    {
        clock_gettime(CLOCK_MONOTONIC, &time);
    }
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
#endif
}

static size_t
os_page_size(void)
{
#if defined(_WIN32)
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
#else
    long size = sysconf(_SC_PAGESIZE);
    return size > 0 ? (size_t)size : 0;
#endif
}

bool
obm_has_raised_rights(void)
{
#if defined(_WIN32)
    return false;
#elif defined(__linux__)
    return getauxval(AT_SECURE) != 0;
#else
    return getuid() != geteuid() || getgid() != getegid();
#endif
}

/* Of several threads that ask first, one writes. */
const struct obm_os *
obm_os_system(void)
{
    static struct obm_os os = {0, os_map, os_unmap, os_populate, os_purge, os_advise_huge,
                               os_first_touch, os_split_huge, os_guard, os_is_mapped,
                               os_entropy, os_now, os_fatal};
    size_t unknown = 0;
    if (OBM_PUBLISHED(&os.page_size) == unknown) {
        (void)OBM_ATOMIC_SWAP(&os.page_size, unknown, os_page_size());
    }
    return &os;
}

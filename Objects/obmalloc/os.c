/* obmalloc: the operating system, and nothing but the operating system.

   Memory comes in whole pages, zeroed.  Three things can be done with it:
   map, unmap, and purge, which hands the memory back and keeps the address.
   On systems with mmap() purging is madvise(MADV_DONTNEED) where that is
   known to drop the pages at once and to read as zero afterwards (Linux);
   elsewhere a fresh mapping is laid over the old one, which does the same.

   A *hint* asks for one address and no other: nothing that is already mapped
   there is ever replaced.  MAP_FIXED_NOREPLACE says so to Linux 4.17 and
   later; older kernels and other systems take the address as a wish, and a
   mapping that came out elsewhere is undone.

   -DOBM_ARENAS_USE_MALLOC=1 takes memory from calloc() instead, as in 2005.

   Nothing here keeps state, except a cache of the page size. */

#include "obmalloc/internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#ifndef OBM_ARENAS_USE_MALLOC
#  define OBM_ARENAS_USE_MALLOC 0
#endif

#if defined(_WIN32)
#  include <windows.h>
#else
#  include <errno.h>
#  include <sys/mman.h>
#  include <time.h>
#  include <unistd.h>
#  if !defined(MAP_ANONYMOUS) && defined(MAP_ANON)
#    define MAP_ANONYMOUS MAP_ANON
#  endif
#  if defined(__linux__)
#    include <sys/prctl.h>
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
    /* Windows never replaces a mapping, and fails if the address is taken. */
    return VirtualAlloc(hint, size, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
}

static void
os_unmap(void *address, size_t size)
{
    (void)size;
    VirtualFree(address, 0, MEM_RELEASE);
}

static bool
os_purge(void *address, size_t size)
{
    return VirtualFree(address, size, MEM_DECOMMIT)
           && VirtualAlloc(address, size, MEM_COMMIT, PAGE_READWRITE) != NULL;
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
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (hint != NULL) {
        flags |= MAP_FIXED_NOREPLACE;
    }
    void *address = mmap(hint, size, PROT_READ | PROT_WRITE, flags, -1, 0);
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

const struct obm_os *
obm_os_system(void)
{
    static struct obm_os os = {0, os_map, os_unmap, os_purge, os_now, os_fatal};
    if (os.page_size == 0) {
        os.page_size = os_page_size();
    }
    return &os;
}

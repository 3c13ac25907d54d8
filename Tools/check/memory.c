/* obmalloc's tests: real memory (see memory.h). */

#include "harness.h"

#include "memory.h"

#include <stdint.h>
#include <string.h>

#if defined(_WIN32)

#include <windows.h>
#include <psapi.h>

/* Where VirtualAlloc() may reserve. */
#define GRANULARITY 0x10000u

size_t
memory_page_size(void)
{
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

void *
memory_map(void *hint, size_t size, size_t alignment)
{
    REQUIRE(alignment <= GRANULARITY);
    void *address = VirtualAlloc(hint, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (hint != NULL && address != hint && address != NULL) {
        VirtualFree(address, 0, MEM_RELEASE);
        return NULL;
    }
    return address;
}

void
memory_unmap(void *address, size_t size)
{
    char *start = address, *end = start + size;
    while (start < end) {
        MEMORY_BASIC_INFORMATION found;
        REQUIRE(VirtualQuery(start, &found, sizeof(found)) != 0);
        REQUIRE(found.AllocationBase == start);
        char *next = start;
        do {
            next = (char *)found.BaseAddress + found.RegionSize;
        } while (VirtualQuery(next, &found, sizeof(found)) != 0 && found.AllocationBase == start);
        REQUIRE(VirtualFree(start, 0, MEM_RELEASE));
        start = next;
    }
    EXPECT_SAME(start, end);
}

void
memory_drop(void *address, size_t size)
{
    REQUIRE(VirtualFree(address, size, MEM_DECOMMIT));
    REQUIRE(VirtualAlloc(address, size, MEM_COMMIT, PAGE_READWRITE) == address);
}

bool
memory_protect(void *address, size_t size)
{
    DWORD before;
    return VirtualProtect(address, size, PAGE_NOACCESS, &before) != 0;
}

bool
memory_is_readable(const void *address)
{
    MEMORY_BASIC_INFORMATION found;
    return VirtualQuery(address, &found, sizeof(found)) != 0 && found.State == MEM_COMMIT
           && !(found.Protect & (PAGE_NOACCESS | PAGE_GUARD));
}

bool
memory_is_resident(const void *page)
{
    PSAPI_WORKING_SET_EX_INFORMATION found = {.VirtualAddress = (void *)(uintptr_t)page};
    REQUIRE(K32QueryWorkingSetEx(GetCurrentProcess(), &found, sizeof(found)));
    return found.VirtualAttributes.Valid;
}

#else

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#  define MAP_FIXED_NOREPLACE 0x100000
#endif

size_t
memory_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static void *
map_at(void *hint, size_t size)
{
    void *place = mmap(hint, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (place != MAP_FAILED && place != hint) {
        munmap(place, size);
        return NULL;
    }
    return place == MAP_FAILED ? NULL : place;
}

static void *
map_anywhere(size_t size, size_t alignment)
{
    char *start = mmap(NULL, size + alignment, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        return NULL;
    }
    char *aligned = start + (alignment - (uintptr_t)start % alignment) % alignment;
    char *end = start + size + alignment;
    if (aligned != start) {
        munmap(start, (size_t)(aligned - start));
    }
    if (aligned + size != end) {
        munmap(aligned + size, (size_t)(end - aligned - size));
    }
    return aligned;
}

void *
memory_map(void *hint, size_t size, size_t alignment)
{
    void *address = hint != NULL ? map_at(hint, size) : map_anywhere(size, alignment);
#ifdef MADV_NOHUGEPAGE
    /* Residency is counted by the page. */
    if (address != NULL) {
        madvise(address, size, MADV_NOHUGEPAGE);
    }
#endif
    return address;
}

void
memory_unmap(void *address, size_t size)
{
    munmap(address, size);
}

void
memory_drop(void *address, size_t size)
{
    if (madvise(address, size, MADV_DONTNEED) != 0) {
        memset(address, 0, size);
    }
}

bool
memory_protect(void *address, size_t size)
{
    return mprotect(address, size, PROT_NONE) == 0;
}

/* As the system sees it. */
bool
memory_is_readable(const void *address)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    bool readable = write(ends[1], address, 1) == 1;
    REQUIRE(readable || errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    return readable;
}

bool
memory_is_resident(const void *page)
{
    unsigned char present;
    REQUIRE(mincore((void *)(uintptr_t)page, 1, &present) == 0);
    return present & 1;
}

#endif

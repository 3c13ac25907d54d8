/* Stands in front of the calls of the system that the allocator makes, and lets
   one of them fail, or all from one on.  Built and preloaded by test_faults.py,
   which arms it through ctypes.  What glibc itself calls does not come by here. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>

static const char *armed;       /* name of the call; NULL: none fails */
static unsigned long fail_at, calls;
static int all_later;

/* Let call number `at` of this name fail, and with `later` those after it. */
void
faults_arm(const char *name, unsigned long at, int later)
{
    armed = name;
    fail_at = at;
    all_later = later;
    calls = 0;
}

/* Nothing fails any more; returns how many of the calls there were. */
unsigned long
faults_disarm(void)
{
    armed = NULL;
    return calls;
}

static int
fails(const char *name)
{
    if (armed == NULL || strcmp(armed, name) != 0) {
        return 0;
    }
    unsigned long number = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
    if (number != fail_at && !(all_later && number > fail_at)) {
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

static void *
real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

void *
mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    static void *(*call)(void *, size_t, int, int, int, off_t);
    if (fails("mmap")) {
        return MAP_FAILED;
    }
    if (call == NULL) {
        *(void **)&call = real("mmap");
    }
    return call(address, size, protection, flags, file, offset);
}

#undef mmap64
#undef mmap
/* Where off_t has 64 bits by _FILE_OFFSET_BITS, this is mmap()'s name. */
void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));

int
munmap(void *address, size_t size)
{
    static int (*call)(void *, size_t);
    if (fails("munmap")) {
        return -1;
    }
    if (call == NULL) {
        *(void **)&call = real("munmap");
    }
    return call(address, size);
}

int
madvise(void *address, size_t size, int advice)
{
    static int (*call)(void *, size_t, int);
    if (fails("madvise")) {
        return -1;
    }
    if (call == NULL) {
        *(void **)&call = real("madvise");
    }
    return call(address, size, advice);
}

int
mprotect(void *address, size_t size, int protection)
{
    static int (*call)(void *, size_t, int);
    if (fails("mprotect")) {
        return -1;
    }
    if (call == NULL) {
        *(void **)&call = real("mprotect");
    }
    return call(address, size, protection);
}

int
prctl(int option, ...)
{
    static int (*call)(int, ...);
    unsigned long words[4];
    va_list rest;
    va_start(rest, option);
    for (int i = 0; i < 4; i++) {
        words[i] = va_arg(rest, unsigned long);
    }
    va_end(rest);
    if (fails("prctl")) {
        return -1;
    }
    if (call == NULL) {
        *(void **)&call = real("prctl");
    }
    return call(option, words[0], words[1], words[2], words[3]);
}

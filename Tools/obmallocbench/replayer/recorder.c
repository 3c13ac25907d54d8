/* obmallocbench: records what a CPython asks of its small-object allocator.

   A library to be preloaded into any CPython from 3.4 on that exports its C
   API, built without its headers:

       LD_PRELOAD=recorder.so OBMALLOC_TRACE=FILE python SCRIPT

   Before main() it lays itself around the allocators of the domains "mem" and
   "obj", as PyMem_SetAllocator() is made for, so a trace holds the program
   whole: start, script and finalization.  It grows as FILE.part, which must not
   exist, and is renamed to FILE when the program ends by way of exit().

   Each thread that calls has a number in the trace, and its end is noted.

   One process is recorded.  The two variables are taken out of the environment,
   and a child made by fork() goes on without writing.  The lock is for
   interpreters with a GIL of their own; otherwise the GIL orders the calls.

   When the file cannot be written or memory is lacking, one line says so, the
   recording ends and the program goes on; the trace lacks its end then. */

#define _GNU_SOURCE 1

#include "trace_format.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The API, as CPython documents it -------------------------------------------- */

struct py_allocator {       /* PyMemAllocatorEx */
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t size);
    void *(*realloc)(void *context, void *block, size_t size);
    void (*free)(void *context, void *block);
};
enum py_domain { PY_DOMAIN_RAW, PY_DOMAIN_MEM, PY_DOMAIN_OBJ };     /* PyMemAllocatorDomain */
typedef void py_get_or_set(enum py_domain domain, struct py_allocator *allocator);

/* State ------------------------------------------------------------------------- */

#define BUFFER_SIZE 65536u
#define FIRST_CAPACITY ((size_t)1 << 16)

/* From the address of a live block to its number: open addressing, linear
   probing, at most half full; address 0 marks an unused entry. */
struct entry {
    uintptr_t address;
    uint64_t number;
};

static struct {
    bool active;
    char *path, *part;      /* FILE, FILE.part */
    int file;
    pthread_mutex_t lock;
    struct entry *entries;
    size_t capacity;        /* a power of two */
    size_t live;            /* entries used */
    uint64_t next_number;
    uint64_t events;
    uint64_t milliseconds;  /* the time of the last mark */
    uint32_t threads;       /* that had a number */
    uint32_t thread;        /* that of the last event */
    pthread_key_t at_end;   /* of a thread with a number */
    size_t used;            /* bytes in buffer */
    unsigned char buffer[BUFFER_SIZE];
} recorder = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct py_allocator wrapped[PY_DOMAIN_OBJ + 1];

/* The number of this thread, plus 1; 0: it has none. */
static _Thread_local uint32_t own_number;

/* Writing ------------------------------------------------------------------------ */

static void
give_up(const char *what)
{
    fprintf(stderr, "obmallocbench: the recording ends here: %s: %s\n", what, strerror(errno));
    recorder.active = false;
    close(recorder.file);
}

static void
flush(void)
{
    size_t done = 0;
    while (recorder.active && done < recorder.used) {
        ssize_t count = write(recorder.file, recorder.buffer + done, recorder.used - done);
        if (count >= 0) {
            done += (size_t)count;
        }
        else if (errno != EINTR) {
            give_up("cannot write");
        }
    }
    recorder.used = 0;
}

static void
put_number(uint64_t number)
{
    if (recorder.used + TRACE_NUMBER_BYTES > BUFFER_SIZE) {
        flush();
    }
    while (number >= TRACE_NUMBER_MORE) {
        recorder.buffer[recorder.used++] = (unsigned char)(number | TRACE_NUMBER_MORE);
        number >>= TRACE_NUMBER_BITS;
    }
    recorder.buffer[recorder.used++] = (unsigned char)number;
}

static void
put_mark(enum trace_mark mark, uint64_t number)
{
    put_number(TRACE_FREE);
    put_number(mark);
    put_number(number);
}

/* The coarse clock moves every few milliseconds and costs little to read. */
static uint64_t
now_milliseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return (uint64_t)time.tv_sec * 1000u + (uint64_t)time.tv_nsec / 1000000u;
}

/* What follows is this thread's. */
static void
put_thread(void)
{
    if (own_number == 0) {
        own_number = ++recorder.threads;
        pthread_setspecific(recorder.at_end, &own_number);
    }
    if (recorder.thread != own_number - 1) {
        recorder.thread = own_number - 1;
        put_mark(TRACE_MARK_THREAD, recorder.thread);
    }
}

static void
put_event(enum trace_kind kind, uint64_t value)
{
    put_thread();
    uint64_t now = now_milliseconds();
    if (now != recorder.milliseconds) {
        put_mark(TRACE_MARK_TIME, now - recorder.milliseconds);
        recorder.milliseconds = now;
    }
    recorder.events++;
    put_number(value << TRACE_KIND_BITS | kind);
}

/* Live blocks -------------------------------------------------------------------- */

static size_t
home_of(uintptr_t address)
{
    uint64_t hash = (uint64_t)(address >> 3) * UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(hash >> 32) & (recorder.capacity - 1);
}

/* The entry of address, or the unused one where it belongs. */
static struct entry *
find(uintptr_t address)
{
    size_t place = home_of(address);
    while (recorder.entries[place].address != 0 && recorder.entries[place].address != address) {
        place = (place + 1) & (recorder.capacity - 1);
    }
    return &recorder.entries[place];
}

static bool
grow(size_t capacity)
{
    struct entry *old = recorder.entries;
    size_t old_capacity = recorder.capacity;
    struct entry *entries = mmap(NULL, capacity * sizeof(*entries), PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (entries == MAP_FAILED) {
        give_up("no memory");
        return false;
    }
    recorder.entries = entries;
    recorder.capacity = capacity;
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].address != 0) {
            *find(old[i].address) = old[i];
        }
    }
    if (old != NULL) {
        munmap(old, old_capacity * sizeof(*old));
    }
    return true;
}

static void
enter(void *block, uint64_t number)
{
    struct entry *entry = find((uintptr_t)block);
    if (entry->address != 0) {
        /* Its free went by unseen: another allocator did it. */
        put_event(TRACE_FREE, recorder.next_number - entry->number);
        entry->number = number;
        return;
    }
    entry->address = (uintptr_t)block;
    entry->number = number;
    if (++recorder.live > recorder.capacity / 2) {
        grow(2 * recorder.capacity);
    }
}

/* Close the gap: entries behind it that may stand there move up. */
static void
forget(struct entry *entry)
{
    size_t mask = recorder.capacity - 1;
    size_t gap = (size_t)(entry - recorder.entries);
    for (size_t place = (gap + 1) & mask; recorder.entries[place].address != 0;
         place = (place + 1) & mask) {
        size_t home = home_of(recorder.entries[place].address);
        if (((place - home) & mask) >= ((place - gap) & mask)) {
            recorder.entries[gap] = recorder.entries[place];
            gap = place;
        }
    }
    recorder.entries[gap].address = 0;
    recorder.live--;
}

/* What the program calls ---------------------------------------------------------- */

static void
record_new(enum trace_kind kind, void *block, size_t size)
{
    pthread_mutex_lock(&recorder.lock);
    if (recorder.active && block != NULL) {
        enter(block, recorder.next_number);
        put_event(kind, size);
        recorder.next_number++;
    }
    pthread_mutex_unlock(&recorder.lock);
}

static void *
record_malloc(void *context, size_t size)
{
    const struct py_allocator *real = context;
    void *block = real->malloc(real->context, size);
    record_new(TRACE_MALLOC, block, size);
    return block;
}

static void *
record_calloc(void *context, size_t count, size_t size)
{
    const struct py_allocator *real = context;
    void *block = real->calloc(real->context, count, size);
    record_new(TRACE_CALLOC, block, count * size);
    return block;
}

static void *
record_realloc(void *context, void *block, size_t size)
{
    const struct py_allocator *real = context;
    if (block == NULL) {
        return record_malloc(context, size);
    }
    pthread_mutex_lock(&recorder.lock);
    void *moved = real->realloc(real->context, block, size);
    if (recorder.active && moved != NULL) {
        struct entry *entry = find((uintptr_t)block);
        if (entry->address == 0) {
            enter(moved, recorder.next_number);
            put_event(TRACE_MALLOC, size);
            recorder.next_number++;
        }
        else {
            uint64_t number = entry->number;
            if (moved != block) {
                forget(entry);
                enter(moved, number);
            }
            put_event(TRACE_REALLOC, recorder.next_number - number);
            put_number(size);
        }
    }
    pthread_mutex_unlock(&recorder.lock);
    return moved;
}

static void
record_free(void *context, void *block)
{
    const struct py_allocator *real = context;
    if (block == NULL) {
        return;
    }
    /* Noted first: once it is free, another thread may be given its address. */
    pthread_mutex_lock(&recorder.lock);
    struct entry *entry = recorder.active ? find((uintptr_t)block) : NULL;
    if (entry != NULL && entry->address != 0) {
        put_event(TRACE_FREE, recorder.next_number - entry->number);
        forget(entry);
    }
    pthread_mutex_unlock(&recorder.lock);
    real->free(real->context, block);
}

/* The thread ends.  Should it call once more, it is one that begins. */
static void
end_thread(void *number)
{
    (void)number;
    pthread_mutex_lock(&recorder.lock);
    if (recorder.active) {
        put_mark(TRACE_MARK_GONE, own_number - 1);
    }
    pthread_mutex_unlock(&recorder.lock);
    own_number = 0;
}

/* Beginning and end ---------------------------------------------------------------- */

static void
before_fork(void)
{
    pthread_mutex_lock(&recorder.lock);
}

static void
after_fork_in_parent(void)
{
    pthread_mutex_unlock(&recorder.lock);
}

static void
after_fork_in_child(void)
{
    if (recorder.active) {
        recorder.active = false;
        close(recorder.file);
    }
    pthread_mutex_unlock(&recorder.lock);
}

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv("OBMALLOC_TRACE");
    /* POSIX makes the address of a function an object pointer in disguise. */
    py_get_or_set *get, *set;
    *(void **)&get = dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    *(void **)&set = dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    if (path == NULL || get == NULL || set == NULL) {
        return;     /* a script that starts the interpreter, perhaps */
    }
    recorder.path = strdup(path);
    if (recorder.path == NULL || asprintf(&recorder.part, "%s.part", path) < 0) {
        return;
    }
    recorder.file = open(recorder.part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (recorder.file < 0) {
        fprintf(stderr, "obmallocbench: cannot write %s: %s\n", recorder.part, strerror(errno));
        _exit(2);
    }
    unsetenv("OBMALLOC_TRACE");
    unsetenv("LD_PRELOAD");
    if (pthread_key_create(&recorder.at_end, end_thread) != 0) {
        fprintf(stderr, "obmallocbench: the end of threads cannot be noted\n");
        _exit(2);
    }
    own_number = ++recorder.threads;
    recorder.active = true;
    if (!grow(FIRST_CAPACITY)) {
        return;
    }
    memcpy(recorder.buffer, TRACE_MAGIC, TRACE_MAGIC_SIZE);
    recorder.used = TRACE_MAGIC_SIZE;
    put_number(TRACE_VERSION);
    recorder.milliseconds = now_milliseconds();
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

    for (enum py_domain domain = PY_DOMAIN_MEM; domain <= PY_DOMAIN_OBJ; domain++) {
        struct py_allocator ours = {&wrapped[domain], record_malloc, record_calloc,
                                    record_realloc, record_free};
        get(domain, &wrapped[domain]);
        set(domain, &ours);
    }
}

__attribute__((destructor)) static void
end(void)
{
    pthread_mutex_lock(&recorder.lock);
    if (recorder.active) {
        put_mark(TRACE_MARK_END, recorder.events);
        flush();
    }
    if (recorder.active) {
        recorder.active = false;
        if (close(recorder.file) != 0 || rename(recorder.part, recorder.path) != 0) {
            fprintf(stderr, "obmallocbench: cannot write the trace: %s\n", strerror(errno));
        }
    }
    pthread_mutex_unlock(&recorder.lock);
}

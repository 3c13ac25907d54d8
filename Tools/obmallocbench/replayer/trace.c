/* obmallocbench: reading a trace.  See trace.h, and trace_format.h for the file. */

#define _GNU_SOURCE 1

#include "trace.h"
#include "trace_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAMAGED "the trace is damaged: record it again"
#define TRUNCATED "the trace has no end: the program was killed, or did not end by exit()"
#define NO_MEMORY "there is not enough memory for the trace"

/* Where the block of a number is. */
#define GONE UINT32_MAX
#define WITH_SYSTEM (UINT32_MAX - 1)
#define BELOW (UINT32_MAX - 2)      /* smaller than the bounds */
#define MAX_SLOTS (UINT32_MAX - 3)

#define FIRST_BYTES ((size_t)1 << 16)   /* of an array; a multiple of every page size */

/* An array that grows, in pages of its own: an arm that is a malloc must begin
   with nothing. */
struct array {
    void *items;
    size_t count;
    size_t bytes;
};

struct reader {
    const unsigned char *next, *end;
    const char *problem;        /* NULL: none so far */
    struct trace *trace;
    struct array events;        /* of struct event */
    struct array places;        /* of uint32_t, by number: a slot, or one of the words above */
    struct array free_slots;    /* of uint32_t */
    size_t least, most;         /* bytes of a request that is kept */
    uint32_t thread;            /* whose events these are */
    bool gone[THREADS_MAX];
};

/* One more item of so many bytes; NULL: no memory. */
static void *
append(struct array *array, size_t size)
{
    if ((array->count + 1) * size > array->bytes) {
        size_t bytes = array->bytes == 0 ? FIRST_BYTES : 2 * array->bytes;
        void *items = array->bytes == 0
            ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
            : mremap(array->items, array->bytes, bytes, MREMAP_MAYMOVE);
        if (items == MAP_FAILED) {
            return NULL;
        }
        array->items = items;
        array->bytes = bytes;
    }
    return (char *)array->items + array->count++ * size;
}

static void
drop(struct array *array)
{
    if (array->bytes != 0) {
        munmap(array->items, array->bytes);
    }
}

static void
note(struct reader *reader, const char *problem)
{
    if (reader->problem == NULL) {
        reader->problem = problem;
    }
}

static uint64_t
read_number(struct reader *reader)
{
    uint64_t number = 0;
    for (unsigned byte = 0; byte < TRACE_NUMBER_BYTES; byte++) {
        if (reader->next == reader->end) {
            note(reader, TRUNCATED);
            return 0;
        }
        unsigned char read = *reader->next++;
        number |= (uint64_t)(read & (TRACE_NUMBER_MORE - 1)) << (byte * TRACE_NUMBER_BITS);
        if (!(read & TRACE_NUMBER_MORE)) {
            return number;
        }
    }
    note(reader, DAMAGED);
    return 0;
}

/* Where a block of this size is if it has no slot; 0: it is to have one. */
static uint32_t
place_without_slot(const struct reader *reader, uint64_t size)
{
    if (size == 0 || size > reader->most) {
        return WITH_SYSTEM;
    }
    return size < reader->least ? BELOW : 0;
}

static void
add_event(struct reader *reader, enum event_kind kind, uint32_t slot, uint64_t size)
{
    struct event *event = append(&reader->events, sizeof(*event));
    if (event == NULL) {
        note(reader, NO_MEMORY);
        return;
    }
    event->kind = (uint16_t)kind;
    event->slot = slot;
    event->size = (uint16_t)size;
    reader->trace->calls += kind < EVENT_TIME;
}

static uint32_t
take_slot(struct reader *reader)
{
    if (reader->free_slots.count != 0) {
        return ((uint32_t *)reader->free_slots.items)[--reader->free_slots.count];
    }
    if (reader->trace->slots >= MAX_SLOTS) {
        note(reader, NO_MEMORY);
        return 0;
    }
    return (uint32_t)reader->trace->slots++;
}

/* A block that had no slot is new to the arm, or still is not the arm's. */
static void
put_in_slot(struct reader *reader, uint32_t *place, enum event_kind kind, uint64_t size)
{
    *place = place_without_slot(reader, size);
    if (*place == 0) {
        *place = take_slot(reader);
        add_event(reader, kind, *place, size);
    }
}

static void
add_new(struct reader *reader, enum event_kind kind, uint64_t size)
{
    uint32_t *place = append(&reader->places, sizeof(*place));
    if (place == NULL) {
        note(reader, NO_MEMORY);
        return;
    }
    put_in_slot(reader, place, kind, size);
}

/* The block that is age blocks old; NULL: there is none. */
static uint32_t *
place_of(struct reader *reader, uint64_t age)
{
    uint32_t *places = reader->places.items;
    if (age == 0 || age > reader->places.count || places[reader->places.count - age] == GONE) {
        note(reader, DAMAGED);
        return NULL;
    }
    return &places[reader->places.count - age];
}

/* The slot becomes free, the place something else. */
static void
add_free(struct reader *reader, uint32_t *place, uint32_t becomes)
{
    if (*place < BELOW) {
        uint32_t *free_slot = append(&reader->free_slots, sizeof(*free_slot));
        if (free_slot == NULL) {
            note(reader, NO_MEMORY);
            return;
        }
        *free_slot = *place;
        add_event(reader, EVENT_FREE, *place, 0);
    }
    *place = becomes;
}

static void
add_resize(struct reader *reader, uint32_t *place, uint64_t size)
{
    uint32_t without = place_without_slot(reader, size);
    if (*place == WITH_SYSTEM) {
        return;
    }
    if (*place == BELOW) {
        put_in_slot(reader, place, EVENT_MALLOC, size);
    }
    else if (without == 0) {
        add_event(reader, EVENT_REALLOC, *place, size);
    }
    else {
        add_free(reader, place, without);
    }
}

/* false: a thread of this number cannot be. */
static bool
read_thread(struct reader *reader, enum event_kind kind, uint64_t number)
{
    struct trace *trace = reader->trace;
    if (number >= THREADS_MAX && number == trace->threads) {
        note(reader, "the trace has more threads than can be replayed");
        return false;
    }
    bool is_new = kind == EVENT_THREAD && number == trace->threads;
    if (!is_new && (number >= trace->threads || reader->gone[number])) {
        return false;
    }
    trace->threads += is_new;
    if (kind == EVENT_GONE) {
        if (number == 0) {
            return false;
        }
        reader->gone[number] = true;
    }
    else {
        reader->thread = (uint32_t)number;
    }
    add_event(reader, kind, (uint32_t)number, 0);
    return true;
}

/* false: it was the end mark. */
static bool
read_mark(struct reader *reader)
{
    uint64_t mark = read_number(reader);
    uint64_t number = read_number(reader);
    if (reader->problem != NULL) {
        return false;
    }
    if (mark == TRACE_MARK_TIME && number <= UINT32_MAX) {
        add_event(reader, EVENT_TIME, (uint32_t)number, 0);
        return true;
    }
    if ((mark == TRACE_MARK_THREAD && read_thread(reader, EVENT_THREAD, number))
        || (mark == TRACE_MARK_GONE && read_thread(reader, EVENT_GONE, number))) {
        return true;
    }
    if (mark != TRACE_MARK_END || number != reader->trace->calls_of_program
        || reader->next != reader->end) {
        note(reader, DAMAGED);
    }
    return false;
}

/* false: that was all. */
static bool
read_event(struct reader *reader)
{
    uint64_t head = read_number(reader);
    uint64_t value = head >> TRACE_KIND_BITS;
    enum trace_kind kind = (enum trace_kind)(head & ((1u << TRACE_KIND_BITS) - 1));
    if (reader->problem != NULL) {
        return false;
    }
    if (kind == TRACE_FREE && value == 0) {
        return read_mark(reader);
    }
    if (reader->gone[reader->thread]) {
        note(reader, DAMAGED);
        return false;
    }
    reader->trace->calls_of_program++;
    if (kind == TRACE_MALLOC || kind == TRACE_CALLOC) {
        add_new(reader, kind == TRACE_MALLOC ? EVENT_MALLOC : EVENT_CALLOC, value);
    }
    else {
        uint64_t size = kind == TRACE_REALLOC ? read_number(reader) : 0;
        uint32_t *place = place_of(reader, value);
        if (place != NULL && kind == TRACE_REALLOC) {
            add_resize(reader, place, size);
        }
        else if (place != NULL) {
            add_free(reader, place, GONE);
        }
    }
    return reader->problem == NULL;
}

static void
read_all(struct reader *reader)
{
    if ((size_t)(reader->end - reader->next) < TRACE_MAGIC_SIZE
        || memcmp(reader->next, TRACE_MAGIC, TRACE_MAGIC_SIZE) != 0) {
        note(reader, "it is not a trace of obmallocbench");
        return;
    }
    reader->next += TRACE_MAGIC_SIZE;
    if (read_number(reader) != TRACE_VERSION) {
        note(reader, "the trace has another version: record it again");
        return;
    }
    while (read_event(reader)) {
    }
}

/* The file's bytes from start on; NULL: they cannot be read, see errno. */
static const unsigned char *
map_file(const char *path, size_t *size)
{
    struct stat status;
    void *start = MAP_FAILED;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return NULL;
    }
    if (fstat(file, &status) == 0) {
        *size = (size_t)status.st_size;
        /* One byte more, so that an empty file can be mapped too. */
        start = mmap(NULL, *size + 1, PROT_READ, MAP_PRIVATE, file, 0);
    }
    int saved = errno;
    close(file);
    errno = saved;
    return start == MAP_FAILED ? NULL : start;
}

const char *
trace_read(struct trace *trace, const char *path, size_t least, size_t most)
{
    size_t size;
    const unsigned char *start = map_file(path, &size);
    if (start == NULL) {
        return strerror(errno);
    }
    memset(trace, 0, sizeof(*trace));
    trace->threads = 1;
    struct reader reader = {.next = start, .end = start + size, .trace = trace,
                            .least = least, .most = most};
    read_all(&reader);
    trace->events = reader.events.items;
    trace->count = reader.events.count;
    drop(&reader.places);
    drop(&reader.free_slots);
    munmap((void *)start, size + 1);
    return reader.problem;
}

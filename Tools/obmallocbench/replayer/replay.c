/* obmallocbench: replays a trace against one arm and says what it took.

       replay time REPEATS SETTINGS LEAST MOST TRACE     CPU time of each replay
       replay pages SAMPLES SETTINGS LEAST MOST TRACE    what is resident, at so many moments

   with the requests of LEAST to MOST bytes.

   As a program would, each new block is written to at both ends and on the pages
   between, and each block that goes is written to once more, as its reference
   count falls to 0.
   Each thread of the program is one of the replayer's, since some arms serve each
   thread from another place.  They take turns: one runs, the others wait, as
   under the interpreter's lock.  They are there from the start, so that what
   they take themselves is not the arm's.

   With `pages`, both ends are verified before a block goes or moves, and the
   whole heap at each moment.

   Writes one line of JSON.  Exit status 1: the arm lost or damaged a block, or
   has no memory; 2: the trace or the command line is no good. */

#define _GNU_SOURCE 1

#include "arm.h"
#include "resident.h"
#include "trace.h"

#include <inttypes.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct slot {
    unsigned char *block;       /* NULL: the slot is free */
    uint32_t size;              /* bytes asked for */
    uint32_t tag;               /* what the block holds at both ends */
};

static struct slot *slots;
static struct trace trace;

static void
fail(int status, const char *what, const char *detail)
{
    fprintf(stderr, "replay: %s%s%s\n", what, *detail != '\0' ? ": " : "", detail);
    exit(status);
}

/* Blocks ------------------------------------------------------------------------------ */

#define STRIDE 4096u        /* bytes; the least page size */

/* Write the tag at the start of the block, and at its end if both have room; a
   byte on each page between. */
static inline void
mark_block(const struct slot *slot)
{
    const size_t width = sizeof(slot->tag);
    memcpy(slot->block, &slot->tag, slot->size < width ? slot->size : width);
    if (slot->size >= 2 * width) {
        memcpy(slot->block + slot->size - width, &slot->tag, width);
    }
    for (size_t offset = STRIDE; offset + width < slot->size; offset += STRIDE) {
        slot->block[offset] = 1;
    }
}

/* Of a block that was resized, only so many bytes are what they were. */
static void
verify_block(const struct slot *slot, size_t intact)
{
    const size_t width = sizeof(slot->tag);
    size_t start = slot->size < width ? slot->size : width;
    if (memcmp(slot->block, &slot->tag, start < intact ? start : intact) != 0
        || (slot->size >= 2 * width && slot->size <= intact
            && memcmp(slot->block + slot->size - width, &slot->tag, width) != 0)) {
        fail(1, "a block does not hold what was written to it", "");
    }
}

static inline void
begin_block(struct slot *slot, void *block, const struct event *event)
{
    if (block == NULL) {
        fail(1, "the arm has no memory", "");
    }
    slot->block = block;
    slot->size = event->size;
    slot->tag = (uint32_t)(event - trace.events + 1) * 2654435761u;     /* never 0 */
    mark_block(slot);
}

static void
verify_zero(const unsigned char *block, size_t size)
{
    for (size_t i = 0; block != NULL && i < size; i++) {
        if (block[i] != 0) {
            fail(1, "a block from calloc is not zero", "");
        }
    }
}

/* Replaying --------------------------------------------------------------------------- */

static inline void
resize_block(struct slot *slot, const struct event *event, bool verified)
{
    size_t old = slot->size;
    void *block = arm_realloc(slot->block, event->size);
    if (verified && block != NULL) {
        slot->block = block;
        verify_block(slot, old < event->size ? old : event->size);
    }
    begin_block(slot, block, event);
}

/* Replay the events [from, to) up to the first mark about a thread; return where
   that is.  verified: a constant where this is inlined. */
static inline size_t
replay(size_t from, size_t to, bool verified)
{
    for (const struct event *event = &trace.events[from]; event < &trace.events[to]; event++) {
        struct slot *slot = event->kind < EVENT_TIME ? &slots[event->slot] : NULL;
        switch ((enum event_kind)event->kind) {
        case EVENT_MALLOC:
            begin_block(slot, arm_malloc(event->size), event);
            break;
        case EVENT_CALLOC: {
            void *block = arm_calloc(event->size);
            if (verified) {
                verify_zero(block, event->size);
            }
            begin_block(slot, block, event);
            break;
        }
        case EVENT_REALLOC:
            resize_block(slot, event, verified);
            break;
        case EVENT_FREE:
            if (verified) {
                verify_block(slot, slot->size);
            }
            *slot->block = 0;
            arm_free(slot->block);
            slot->block = NULL;
            break;
        case EVENT_TIME:
            arm_pass_time(event->slot);
            break;
        case EVENT_THREAD:
        case EVENT_GONE:
            return (size_t)(event - trace.events);
        }
    }
    return to;
}

/* Threads ----------------------------------------------------------------------------- */

#define STACK_BYTES ((size_t)1 << 18)

static struct worker {
    pthread_t thread;
    sem_t turn;                 /* to replay, or to end when there is nothing left */
    bool runs;
} workers[THREADS_MAX];         /* the first is the main thread */

static struct {
    size_t from, to;            /* from == to: the thread is to end */
    bool verified;
    sem_t over;
} turn;
static size_t current;          /* the thread whose events come next */

static void
wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
        /* a signal */
    }
}

static void
replay_turn(void)
{
    turn.from = turn.verified ? replay(turn.from, turn.to, true)
                              : replay(turn.from, turn.to, false);
}

static void *
work(void *own)
{
    struct worker *worker = own;
    sem_post(&turn.over);       /* it is there */
    for (wait_for(&worker->turn); turn.from != turn.to; wait_for(&worker->turn)) {
        replay_turn();
        sem_post(&turn.over);
    }
    return NULL;
}

static void
begin_threads(void)
{
    pthread_attr_t attributes;
    current = 0;
    sem_init(&turn.over, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (struct worker *worker = &workers[1]; worker < &workers[trace.threads]; worker++) {
        sem_init(&worker->turn, 0, 0);
        if (pthread_create(&worker->thread, &attributes, work, worker) != 0) {
            fail(2, "there cannot be so many threads as the trace has", "");
        }
        worker->runs = true;
        wait_for(&turn.over);
    }
    pthread_attr_destroy(&attributes);
}

static void
end_thread(struct worker *worker)
{
    turn.from = turn.to = 0;
    sem_post(&worker->turn);
    pthread_join(worker->thread, NULL);
    sem_destroy(&worker->turn);
    worker->runs = false;
}

static void
end_threads(void)
{
    for (struct worker *worker = &workers[1]; worker < &workers[trace.threads]; worker++) {
        if (worker->runs) {
            end_thread(worker);
        }
    }
    sem_destroy(&turn.over);
}

/* Replay the events [from, to), each in its thread. */
static void
replay_in_threads(size_t from, size_t to, bool verified)
{
    while (from < to) {
        const struct event *event = &trace.events[from];
        if (event->kind == EVENT_THREAD || event->kind == EVENT_GONE) {
            if (event->kind == EVENT_THREAD) {
                current = event->slot;
            }
            else {
                end_thread(&workers[event->slot]);
            }
            from++;
            continue;
        }
        turn.from = from;
        turn.to = to;
        turn.verified = verified;
        if (current == 0) {
            replay_turn();
        }
        else {
            sem_post(&workers[current].turn);
            wait_for(&turn.over);
        }
        from = turn.from;
    }
}

static void
free_the_rest(void)
{
    for (size_t i = 0; i < trace.slots; i++) {
        if (slots[i].block != NULL) {
            arm_free(slots[i].block);
            slots[i].block = NULL;
        }
    }
}

/* Time -------------------------------------------------------------------------------- */

static uint64_t
cpu_nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void
measure_time(unsigned long repeats, const char *settings)
{
    printf("\"cpu_nanoseconds\": [");
    for (unsigned long i = 0; i < repeats; i++) {
        arm_open(settings);
        begin_threads();
        uint64_t start = cpu_nanoseconds();
        replay_in_threads(0, trace.count, false);
        printf("%s%" PRIu64, i != 0 ? ", " : "", cpu_nanoseconds() - start);
        free_the_rest();
        end_threads();
        arm_close();
    }
    printf("]");
}

/* Pages ------------------------------------------------------------------------------- */

/* The most pages that a block of so many bytes can touch. */
static size_t
pages_of(size_t size, size_t page_size)
{
    return size == 0 ? 0 : (size + page_size - 2) / page_size + 1;
}

/* At least as many pages as hold a live block at any time. */
static size_t
most_pages(size_t page_size)
{
    size_t most = 0, pages = 0;
    for (const struct event *event = trace.events; event < &trace.events[trace.count]; event++) {
        if (event->kind < EVENT_TIME) {
            struct slot *slot = &slots[event->slot];
            pages += pages_of(event->size, page_size);
            pages -= pages_of(slot->size, page_size);
            slot->size = event->size;
            most = pages > most ? pages : most;
        }
    }
    return most;
}

/* Put into set the pages that hold a live block; return the bytes asked for. */
static size_t
find_floor(struct page_set *set, size_t page_size)
{
    size_t live = 0;
    page_set_empty(set);
    for (size_t i = 0; i < trace.slots; i++) {
        if (slots[i].block != NULL) {
            uintptr_t start = (uintptr_t)slots[i].block;
            uintptr_t last = (start + slots[i].size - 1) / page_size;
            for (uintptr_t page = start / page_size; page <= last; page++) {
                page_set_add(set, page);
            }
            live += slots[i].size;
        }
    }
    return live;
}

static void
measure_pages(unsigned long samples, const char *settings)
{
    struct page_set set;
    struct arm_report report;
    size_t page_size = (size_t)sysconf(_SC_PAGESIZE);
    if (!page_set_init(&set, most_pages(page_size))) {
        fail(2, "there is not enough memory for the pages", "");
    }
    arm_open(settings);
    begin_threads();
    printf("\"samples\": [");
    fflush(stdout);             /* has its buffer from now on */
    size_t base = resident_bytes();
    size_t done = 0;
    for (unsigned long i = 1; i <= samples; i++) {
        size_t next = (size_t)((uint64_t)trace.count * i / samples);
        replay_in_threads(done, next, true);
        done = next;
        size_t resident = resident_bytes();
        size_t live = find_floor(&set, page_size);
        const char *problem = arm_verify();
        if (problem != NULL) {
            fail(1, "the heap is damaged", problem);
        }
        arm_describe(&report);
        printf("%s[%zu, %zu, %zu, %zu, %zu]", i != 1 ? ", " : "", live, set.count * page_size,
               resident > base ? resident - base : 0, report.kept_bytes, report.metadata_bytes);
    }
    printf("], \"purge_calls\": %zu, \"purged_pages\": %zu, \"refaults\": %zu, "
           "\"arenas_peak\": %zu", report.purge_calls, report.purged_pages, report.refaults,
           report.arenas_peak);
    end_threads();
}

/* The command line -------------------------------------------------------------------- */

int
main(int argc, char **argv)
{
    bool complete = argc == 7;
    unsigned long count = complete ? strtoul(argv[2], NULL, 10) : 0;
    unsigned long least = complete ? strtoul(argv[4], NULL, 10) : 0;
    unsigned long most = complete ? strtoul(argv[5], NULL, 10) : 0;
    bool times = complete && strcmp(argv[1], "time") == 0;
    if (count == 0 || least == 0 || most < least || most > REQUEST_MAX
        || !(times || strcmp(argv[1], "pages") == 0)) {
        fail(2, "usage: replay time|pages COUNT SETTINGS LEAST MOST TRACE", "");
    }
    const char *path = argv[6];
    const char *problem = trace_read(&trace, path, least, most);
    if (problem != NULL) {
        fail(2, path, problem);
    }
    slots = resident_memory((trace.slots + 1) * sizeof(*slots));
    if (slots == NULL) {
        fail(2, path, "there is not enough memory for the trace");
    }
    printf("{\"calls_of_program\": %zu, \"calls\": %zu, \"slots\": %zu, \"threads\": %zu, ",
           trace.calls_of_program, trace.calls, trace.slots, trace.threads);
    (times ? measure_time : measure_pages)(count, argv[3]);
    printf("}\n");
    return fflush(stdout) == 0 ? 0 : 2;
}

/* obmallocbench: replays a trace against one arm and says what it took.

       replay time REPEATS SETTINGS TRACE     CPU time of each replay
       replay pages SAMPLES SETTINGS TRACE    what is resident, at so many moments

   As a program would, each new block is written to at both ends, and each
   block that goes is written to once more, as its reference count falls to 0.
   With `pages`, both ends are verified before a block goes or moves, and the
   whole heap at each moment.

   Writes one line of JSON.  Exit status 1: the arm lost or damaged a block, or
   has no memory; 2: the trace or the command line is no good. */

#define _GNU_SOURCE 1

#include "arm.h"
#include "resident.h"
#include "trace.h"

#include <inttypes.h>
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

/* Write the tag at the start of the block, and at its end if both have room. */
static inline void
mark_block(const struct slot *slot)
{
    const size_t width = sizeof(slot->tag);
    memcpy(slot->block, &slot->tag, slot->size < width ? slot->size : width);
    if (slot->size >= 2 * width) {
        memcpy(slot->block + slot->size - width, &slot->tag, width);
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

/* Replay the events [from, to).  verified: a constant where this is inlined. */
static inline void
replay(size_t from, size_t to, bool verified)
{
    for (const struct event *event = &trace.events[from]; event < &trace.events[to]; event++) {
        struct slot *slot = event->kind != EVENT_TIME ? &slots[event->slot] : NULL;
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
        }
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
        uint64_t start = cpu_nanoseconds();
        replay(0, trace.count, false);
        printf("%s%" PRIu64, i != 0 ? ", " : "", cpu_nanoseconds() - start);
        free_the_rest();
        arm_close();
    }
    printf("]");
}

/* Pages ------------------------------------------------------------------------------- */

/* Put into set the pages that hold a live block; return the bytes asked for. */
static size_t
find_floor(struct page_set *set, size_t page_size)
{
    size_t live = 0;
    page_set_empty(set);
    for (size_t i = 0; i < trace.slots; i++) {
        if (slots[i].block != NULL) {
            uintptr_t start = (uintptr_t)slots[i].block;
            page_set_add(set, start / page_size);
            page_set_add(set, (start + slots[i].size - 1) / page_size);
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
    if (!page_set_init(&set, 2 * trace.slots)) {
        fail(2, "there is not enough memory for the pages", "");
    }
    arm_open(settings);
    printf("\"samples\": [");
    fflush(stdout);             /* has its buffer from now on */
    size_t base = resident_bytes();
    size_t done = 0;
    for (unsigned long i = 1; i <= samples; i++) {
        size_t next = (size_t)((uint64_t)trace.count * i / samples);
        replay(done, next, true);
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
}

/* The command line -------------------------------------------------------------------- */

int
main(int argc, char **argv)
{
    unsigned long count = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    bool times = argc == 5 && strcmp(argv[1], "time") == 0;
    if (count == 0 || !(times || strcmp(argv[1], "pages") == 0)) {
        fail(2, "usage: replay time|pages COUNT SETTINGS TRACE", "");
    }
    const char *problem = trace_read(&trace, argv[4]);
    if (problem != NULL) {
        fail(2, argv[4], problem);
    }
    slots = resident_memory((trace.slots + 1) * sizeof(*slots));
    if (slots == NULL) {
        fail(2, argv[4], "there is not enough memory for the trace");
    }
    printf("{\"calls_of_program\": %zu, \"calls\": %zu, \"slots\": %zu, ",
           trace.calls_of_program, trace.calls, trace.slots);
    (times ? measure_time : measure_pages)(count, argv[3]);
    printf("}\n");
    return fflush(stdout) == 0 ? 0 : 2;
}

/* obmallocbench: a trace in memory, made ready for replaying.

   Of a trace (trace_format.h) only what concerns the small-object allocator is
   kept.  A request of 0 bytes, or of more than SMALL_MAX, goes to the system's
   malloc in CPython, and a block that malloc has it keeps for good, however it
   shrinks: none of this becomes an event.  A small block that grows beyond
   SMALL_MAX is freed.

   A live block has a *slot*.  A new one gets the slot that was freed last, so
   as many slots suffice as blocks ever live at once. */

#ifndef OBMALLOCBENCH_TRACE_H
#define OBMALLOCBENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define SMALL_MAX 512u          /* bytes */

enum event_kind { EVENT_MALLOC, EVENT_CALLOC, EVENT_REALLOC, EVENT_FREE, EVENT_TIME };

struct event {
    uint32_t slot;              /* EVENT_TIME: milliseconds that have passed */
    uint16_t size;              /* bytes asked for; EVENT_FREE, EVENT_TIME: 0 */
    uint16_t kind;
};

struct trace {
    struct event *events;
    size_t count;               /* of events, those of EVENT_TIME included */
    size_t calls;               /* the others */
    size_t calls_of_program;    /* of any size */
    size_t slots;
};

/* Read the trace in a file.  NULL: all is well; else what is wrong with it. */
const char *trace_read(struct trace *trace, const char *path);

#endif /* OBMALLOCBENCH_TRACE_H */

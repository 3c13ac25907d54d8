/* obmallocbench: a trace in memory, made ready for replaying.

   Of a trace (trace_format.h) only the requests are kept whose size lies within
   two bounds.  A block that leaves them is freed, and one that comes into them
   from below is new.  A request of 0 bytes, or above the upper bound, goes to
   the system's malloc, which keeps such a block for good, however it shrinks:
   none of this becomes an event.

   A live block has a *slot*.  A new one gets the slot that was freed last, so
   as many slots suffice as blocks ever live at once. */

#ifndef OBMALLOCBENCH_TRACE_H
#define OBMALLOCBENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

#define REQUEST_MAX 32768u      /* bytes */
#define THREADS_MAX 1024u

/* The last three are marks. */
enum event_kind {
    EVENT_MALLOC, EVENT_CALLOC, EVENT_REALLOC, EVENT_FREE, EVENT_TIME, EVENT_THREAD, EVENT_GONE
};

struct event {
    uint32_t slot;              /* EVENT_TIME: milliseconds that have passed; EVENT_THREAD,
                                   EVENT_GONE: number of the thread */
    uint16_t size;              /* bytes asked for; EVENT_FREE and marks: 0 */
    uint16_t kind;
};

struct trace {
    struct event *events;
    size_t count;               /* of events, marks included */
    size_t calls;               /* the others */
    size_t calls_of_program;    /* of any size */
    size_t slots;
    size_t threads;             /* the first one included */
};

/* Read the trace in a file, with the requests of least to most bytes, 1 to
   REQUEST_MAX.  What is read lies in memory of its own, none is malloc's.
   NULL: all is well; else what is wrong with it. */
const char *trace_read(struct trace *trace, const char *path, size_t least, size_t most);

#endif /* OBMALLOCBENCH_TRACE_H */

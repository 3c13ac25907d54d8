/* obmallocbench: what a trace of allocations looks like, version 2.

   A trace is what a program asked of PyMem_Malloc() and PyObject_Malloc() and
   their sisters, in order, requests of every size.  recorder.c writes it,
   trace.c reads it.

   It begins with the 8 bytes of TRACE_MAGIC.  All that follows are numbers of
   up to 64 bits, 7 bits a byte, the lowest first; every byte but the last of a
   number has its top bit set.  The first one is TRACE_VERSION.  Then events,
   each led by a number `value << TRACE_KIND_BITS | kind`:

       kind            value   further numbers     meaning
       TRACE_MALLOC    bytes                       a new block
       TRACE_CALLOC    bytes                       a new block, zeroed
       TRACE_REALLOC   age     bytes               the block has that size now
       TRACE_FREE      age                         the block is gone
       TRACE_FREE      0       mark, number        a mark

   New blocks are numbered from 0 on; a block keeps its number when it is
   resized.  Its age is the number of the next new block less its own, so at
   least 1, and small for what does not live long.

       mark                number
       TRACE_MARK_TIME     milliseconds since the last such mark, or the start
       TRACE_MARK_THREAD   the events that follow are of this thread
       TRACE_MARK_GONE     this thread has ended
       TRACE_MARK_END      events so far, marks not counted; nothing follows

   Thread 0 begins; the others are numbered from 1 on in the order in which they
   come.  The lock of the interpreter puts the events of all threads in one
   order, that of the trace.

   A trace without its end mark is one of a program that was killed, or did not
   end by way of exit(): readers refuse it.

   Requests that failed are not in a trace.  A block that the recorder has not
   seen before is not in it either until it is resized, which makes it a new
   one: it was there before the recording, or came from another allocator. */

#ifndef OBMALLOCBENCH_TRACE_FORMAT_H
#define OBMALLOCBENCH_TRACE_FORMAT_H

#define TRACE_MAGIC "obmtrace"
#define TRACE_MAGIC_SIZE 8u
#define TRACE_VERSION 2u

#define TRACE_KIND_BITS 2u
enum trace_kind { TRACE_MALLOC, TRACE_CALLOC, TRACE_REALLOC, TRACE_FREE };
enum trace_mark { TRACE_MARK_END, TRACE_MARK_TIME, TRACE_MARK_THREAD, TRACE_MARK_GONE };

#define TRACE_NUMBER_BITS 7u        /* of a number in each byte */
#define TRACE_NUMBER_MORE 0x80u     /* another byte follows */
#define TRACE_NUMBER_BYTES 10u      /* at most */

#endif /* OBMALLOCBENCH_TRACE_FORMAT_H */

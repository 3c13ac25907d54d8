/* obmalloc's fuzzing: a list of operations as bytes, and what runs it.

   Every string of bytes is a run.  The first byte is the page size, 4, 16 or 64
   KiB (modulo 3; where the core is built for one page size, it has no effect).
   Then follow operations, each of a byte and its operands:

       bits 0 to 4     which operation, modulo the number of them
       bits 5 and 6    which of the four heaps
       bit 7           no effect

   An operand is one byte or, where marked 16, two, the lower one first; what is
   missing at the end is 0.

       0  open      SETTINGS KIB     close the heap if it is open; make it anew
       1  close     HOW              modulo 3: 0 with all that is in use; 1 emptied, and
                                     all must go back: the system refuses nothing from
                                     here on; 2 what is in use stays for ever
       2  malloc    SIZE16           below 0xc000 modulo 1025; else 4 times what is above
                                     it: half of those are the system's
       3  calloc    SIZE16
       4  realloc   BLOCK16 SIZE16
       5  free      BLOCK16
       6  mallocs   CLASS COUNT      blocks of one class
       7  callocs   CLASS COUNT
       8  frees     BLOCK16 STEP COUNT   from a block on, one of STEP + 1
       9  keep      STEP             free all but one of STEP + 1 blocks
      10  trim                       give back all that can go
      11  block                      the thread gives up its GIL
      12  tick                       look at the clock
      13  wait      COUNT            in milliseconds
      14  fail      WHAT             the n-th call of the system from here on, as below
      15  machine   FLAGS            what the system refuses, as below
      16  look                       statistics, the map of the heap, all contents
      17  misuse    KIND BLOCK16     a call that must end the process, or be refused
      18  front                      put the static front in force, or the heap's own
      19  settings  LENGTH BYTES     parse a text of LENGTH modulo 128 bytes
      20  longlived                  requests get long-lived blocks, or no more

   BLOCK is a number among the blocks of the heap, modulo how many there are.
   CLASS is, below 128, one of four classes (the smallest, number 3, the middle one,
   the largest small one; modulo 4), so that two operations often meet; below 192 any
   small one, else any medium one, modulo their number.  COUNT means (1 + its lower four
   bits) << its upper four, of which three count for blocks, and 4 MiB of them at most.

   SETTINGS: check level 3 minus bits 0 and 1; retain in bits 2 and 3 (auto, none,
   all, size), huge pages in bits 4 and 5 (auto, never, always, auto), secure mode
   in bit 6, medium requests left to the system in bit 7.  The size is KIB's lower four bits << its upper four, in KiB.

   WHAT: n is bits 0 to 4, 0 for none; bit 5: and all later ones; bits 6 and 7:
   map, purge, advice, or all three.

   FLAGS: bit 0 hints, 1 purges, 2 huge pages are refused; 3 the first touch of a
   huge page takes long; 4 a foreign arena allocator is in force, 5 it refuses.

   A heap that is not open is opened by its first operation, with check level 3
   and nothing set.  A run has BLOCKS_A_RUN allocations at most, one that the system
   refuses memory counting as many, and LOOKS_A_RUN looks; those after them are left
   out.

   What is verified: each block is aligned, has its size, overlaps no other, and
   keeps its contents, also when the heap is abandoned; a request that is not
   the system's is refused only if the system refused memory; the invariants of types.h; the equations of
   stats.c; the messages of misuse, which change nothing; in the end nothing is
   left mapped. */

#ifndef OBM_FUZZ_OPERATIONS_H
#define OBM_FUZZ_OPERATIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Run the operations.  A failure is told by harness_failed(), and harness_end()
   is called.  With verbose, each operation is printed before it runs, and the heap
   is checked after each. */
void operations_run(const uint8_t *bytes, size_t size, bool verbose);

#endif /* OBM_FUZZ_OPERATIONS_H */

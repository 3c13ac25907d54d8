/* obmalloc: what can be tuned, and what must hold for the tuning to be sound.

   Every number that the core depends on stands here, with its unit and the
   reason for its value.  What depends on the page size of the system is
   computed once at start, in obm_geometry_init() (size_class.c). */

#ifndef OBM_CONFIG_H
#define OBM_CONFIG_H

#include "obmalloc/compiler.h"

/* Size classes ---------------------------------------------------------- */

/* CPython promises this alignment for every block: see the documentation of
   PyMem_Malloc() and PyObject_Malloc().  Python 2 promises 8 bytes everywhere:
   its patches set this to 3. */
#ifndef OBM_ALIGNMENT_SHIFT
#  if UINTPTR_MAX > 0xffffffffu
#    define OBM_ALIGNMENT_SHIFT 4
#  else
#    define OBM_ALIGNMENT_SHIFT 3
#  endif
#endif
#define OBM_ALIGNMENT (1u << OBM_ALIGNMENT_SHIFT)           /* bytes */

/* Small requests: a page is cut into blocks of one class. */
#define OBM_SMALL_MAX 512u                                  /* bytes */
#define OBM_SMALL_MAX_SHIFT 9
#define OBM_SMALL_CLASSES (OBM_SMALL_MAX / OBM_ALIGNMENT)

/* Medium requests, up to 32 KiB: a run is cut into blocks of one class.  There are
   2^OBM_MEDIUM_STEPS_SHIFT classes for each doubling of the size, and their sizes are
   multiples of 2^OBM_GRANULE_SHIFT bytes.  Larger requests go to the system's malloc. */
#define OBM_MEDIUM_DOUBLINGS 6u
#define OBM_MEDIUM_STEPS_SHIFT 3
#define OBM_GRANULE_SHIFT (OBM_SMALL_MAX_SHIFT - OBM_MEDIUM_STEPS_SHIFT)
#define OBM_MEDIUM_MIN (OBM_SMALL_MAX + (1u << OBM_GRANULE_SHIFT))  /* bytes, of a block */
#define OBM_MEDIUM_MAX (OBM_SMALL_MAX << OBM_MEDIUM_DOUBLINGS)      /* bytes */
#define OBM_MEDIUM_CLASSES (OBM_MEDIUM_DOUBLINGS << OBM_MEDIUM_STEPS_SHIFT)

#define OBM_SIZE_CLASSES (OBM_SMALL_CLASSES + OBM_MEDIUM_CLASSES)

/* Each class exists twice: for ordinary blocks, and for long-lived ones (longlived.c).  Of the
   numbers of all classes these are the long-lived ones, so that those of the medium classes of
   both kinds have no other between them. */
#define OBM_LONG_MEDIUM OBM_SIZE_CLASSES
#define OBM_LONG_SMALL (OBM_LONG_MEDIUM + OBM_MEDIUM_CLASSES)
#define OBM_ALL_CLASSES (OBM_LONG_SMALL + OBM_SMALL_CLASSES)

/* Geometry -------------------------------------------------------------- */

/* On x86 a page has 4 KiB by the architecture; elsewhere the page size is
   read at run time.  Build with -DOBM_FIXED_PAGE_SHIFT=0 to read it at run
   time on x86 too (the unit tests do, to try 16 and 64 KiB). */
#ifndef OBM_FIXED_PAGE_SHIFT
#  if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#    define OBM_FIXED_PAGE_SHIFT 12
#  else
#    define OBM_FIXED_PAGE_SHIFT 0
#  endif
#endif
#define OBM_MIN_PAGE_SHIFT 12
#define OBM_MAX_PAGE_SHIFT 16

/* A run is what one size class takes from an arena.  Longer runs keep the
   objects of one class closer together, which the cyclic collector rewards;
   InternalDocs/obmalloc.md has the measurements.  A run never has fewer than
   2^OBM_MIN_RUN_PAGES_SHIFT pages, nor more than the bits of its bitmaps. */
#ifndef OBM_RUN_SHIFT
#  define OBM_RUN_SHIFT 17                                  /* 128 KiB */
#endif
#define OBM_MIN_RUN_PAGES_SHIFT 3
#define OBM_MAX_RUN_PAGES 64

/* The longest run that there may be, and how many words a bitmap has with a bit for each
   of its medium blocks. */
#define OBM_LARGEST_PAGE_SHIFT \
    (OBM_FIXED_PAGE_SHIFT != 0 ? OBM_FIXED_PAGE_SHIFT : OBM_MAX_PAGE_SHIFT)
#define OBM_MAX_RUN_SHIFT \
    (OBM_RUN_SHIFT > OBM_LARGEST_PAGE_SHIFT + OBM_MIN_RUN_PAGES_SHIFT \
     ? OBM_RUN_SHIFT : OBM_LARGEST_PAGE_SHIFT + OBM_MIN_RUN_PAGES_SHIFT)
#define OBM_RUN_WORDS (((size_t)1 << OBM_MAX_RUN_SHIFT) / OBM_MEDIUM_MIN / 64 + 1)

/* The runs of a class that have room stand in buckets by their number of free pages, in
   steps of a 2^OBM_RUN_BUCKETS_SHIFT-th of a run. */
#ifndef OBM_RUN_BUCKETS_SHIFT
#  define OBM_RUN_BUCKETS_SHIFT 2
#endif

/* Runs in an arena: an arena has 16 runs, so 2 MiB with pages of 4 KiB. */
#define OBM_RUNS_SHIFT 4
#define OBM_RUNS_PER_ARENA (1u << OBM_RUNS_SHIFT)
#define OBM_MAX_ARENA_PAGES (OBM_RUNS_PER_ARENA * OBM_MAX_RUN_PAGES)

/* Blocks of OBM_LINE bytes, a line of the processor's caches, start so many bytes before one.
   CPython's dicts and lists are such blocks; on 64 bits, from 3.8 on, the collector keeps its
   links in these bytes, and the object itself is one line then.  Walks over 570 000 of them
   took 0.83 to 0.87 of the time (AMD Zen 3).  The price is one block of each page of this class. */
#define OBM_LINE 64u
#define OBM_BEFORE_LINE 16u

/* Growing the free list of a pool links this many bytes at a time, so that a
   pool on a large page does not touch all of it at once. */
#define OBM_CARVE_BYTES 4096u

/* A pool that was full is refilled when more than 1 / 2^OBM_REFILL_SHIFT of its blocks
   are free: making one current is a detour that is shared by as many calls as it has
   blocks to give.  InternalDocs/obmalloc.md has other values measured. */
#ifndef OBM_REFILL_SHIFT
#  define OBM_REFILL_SHIFT 4
#endif

/* calloc() clears requests up to this size even where the memory is known to
   be zero: with the free list of the pool at hand that is the shorter way. */
#define OBM_CLEAR_MAX 128u                                  /* bytes */

/* A medium block that grows by less than a quarter gets 1 / 2^OBM_HEADROOM_SHIFT of what
   is asked for besides, so that it can grow again where it is. */
#ifndef OBM_HEADROOM_SHIFT
#  define OBM_HEADROOM_SHIFT 3
#endif

/* When medium blocks have taken this many pages that were not dirty, and as many as the heap
   has arenas, kept blocks that were not asked for since the time before are given up.
   Replayed with retain=none: 1 takes 1.25 times as long as 4, and holds 0.99 of the memory;
   16 takes 0.7, and holds 1.02. */
#ifndef OBM_IDLE_PAGES
#  define OBM_IDLE_PAGES 4u
#endif

/* A heap that has OBM_POPULATE_ARENAS arenas populates OBM_POPULATE_BYTES of clean
   pages with one call, while fewer than one OBM_POPULATE_SHARE-th of the pages that any
   heap may retain are: a call for 16 pages was measured at 0.8 to 1.0 of the time of 16
   faults.  From 4 arenas on it took 1.5 % more memory in the mean of eight traces.  As a share
   of the allowance, which a start makes grow, pages were populated for each class: 0.35 MiB
   at the peak of a program that makes half a million tuples. */
#ifndef OBM_POPULATE_BYTES
#  define OBM_POPULATE_BYTES ((size_t)64 << 10)
#endif
#ifndef OBM_POPULATE_ARENAS
#  define OBM_POPULATE_ARENAS 16u
#endif
#define OBM_POPULATE_SHARE 2u

/* The window ------------------------------------------------------------ */

/* Arenas of the system's own allocator lie in a window of the address space
   (arena_map.c), one window a heap.  Nothing is reserved: a window is only a
   range of addresses at which arenas are asked for. */
#if UINTPTR_MAX > 0xffffffffu
#  define OBM_WINDOW_SHIFT 36                               /* 64 GiB */
#  define OBM_MAX_WINDOWS 1024u
#else
#  define OBM_WINDOW_SHIFT 0                                /* none */
#  define OBM_MAX_WINDOWS 1u
#endif

/* Descriptors of a window are mapped for this many arenas at a time. */
#define OBM_WINDOW_STEP_ARENAS 64u

/* A process may have 65530 mappings on Linux by default (vm.max_map_count), and
   releasing an arena between two others makes one more.  The arenas of a window
   never make more than 32768.  Of arenas outside the window, as soon as they
   take more entries of the map than this, an empty one is purged and stays
   mapped. */
#define OBM_MAX_OUTSIDE_ENTRIES 16384u

/* Retention ------------------------------------------------------------- */

/* Free memory that every heap may keep resident before anything is learned,
   and how far above its allowance a heap may grow before a purge: together
   they bound what a burst leaves behind. */
#ifndef OBM_RETAIN_BASE_BYTES
#  define OBM_RETAIN_BASE_BYTES ((size_t)128 << 10)
#endif
#ifndef OBM_RETAIN_SLACK_BYTES
#  define OBM_RETAIN_SLACK_BYTES ((size_t)512 << 10)
#endif

/* What giving back costs: a cost per system call plus a cost per page.  A
   single page was measured at 1.2 to 2 microseconds, 8 neighbours at 4.3, 16 at 9.7,
   an arena of 512 at 140 to 170. */
#define OBM_PURGE_CALL_NANOSECONDS ((uint64_t)1500)
#define OBM_PURGE_PAGE_NANOSECONDS ((uint64_t)500)

/* The price of one step of giving back, which its last run, or an arena that is released
   whole, may overdraw: of a page event, of a thread that is about to block, of each time
   that trim() or the purger holds the GIL. */
#define OBM_PURGE_STEP_NANOSECONDS ((uint64_t)200 * 1000)

/* Where another allocator has no memory for a request, dirty pages go back if they are at
   least this share of it, as a power of two: a request that no address space could serve
   gives nothing back, however often it is repeated. */
#define OBM_ROOM_SHIFT 6

/* Purges that no page event asks for (at the end of an epoch, or before a
   thread blocks) may take 1 / OBM_PURGE_SHARE of the time that passes.  Unused budget
   accumulates, capped at that of OBM_CREDIT_NANOSECONDS. */
#define OBM_PURGE_SHARE 20
#define OBM_CREDIT_NANOSECONDS ((uint64_t)1000 * 1000 * 1000)

/* An epoch: what stayed free and resident all through one is surplus. */
#define OBM_EPOCH_NANOSECONDS ((uint64_t)500 * 1000 * 1000)

/* A page wanted again within this time after the last purge should have been
   kept. */
#define OBM_REGRET_NANOSECONDS ((uint64_t)1000 * 1000 * 1000)

/* Once this many bytes have gone back, CPython's free lists are worth emptying too:
   their blocks may pin as many pages.  Tens of thousands of objects take
   about as long to free as this takes to purge. */
#define OBM_FREE_LISTS_BYTES ((size_t)8 << 20)

/* Page events between two looks at the clock, and, fewer, between two calls of
   heap->on_page_events. */
#define OBM_EVENTS_PER_CLOCK 64u
#define OBM_EVENTS_PER_CALL 16u

/* Idle processes -------------------------------------------------------- */

/* With background=auto the purger starts when OBM_PURGER_MIN_BYTES are retained above the
   base (less does not justify a thread), or when the system's malloc may have memory to
   give back: when TOUCHED bytes have become resident, or when that many of its BLOCKS were
   allocated and freed while it held HELD bytes.  While TOUCHED bytes become resident from one
   look to the next the purger does not end. */
#define OBM_PURGER_MIN_BYTES ((size_t)1 << 20)
#define OBM_PURGER_MIN_TOUCHED_BYTES ((size_t)2 << 20)
#define OBM_PURGER_MIN_BLOCKS ((size_t)16)
#define OBM_PURGER_MIN_HELD_BYTES ((size_t)4 << 20)

/* Where OBM_LINGER_BYTES of the system's malloc are in use, C code may free them without a
   call that obmalloc sees.  So the purger stays, and looks once in OBM_LINGER_NANOSECONDS whether
   another thread has run; if so, it looks at malloc.  Such looks take at most
   1 / OBM_LINGER_SHARE of the time.  Two clocks that are read one after the other are
   OBM_SLEPT_NANOSECONDS apart at most, which no thread wakes and sleeps again within. */
#define OBM_LINGER_BYTES ((size_t)8 << 20)
#define OBM_LINGER_NANOSECONDS ((uint64_t)2 * OBM_EPOCH_NANOSECONDS)
#define OBM_LINGER_SHARE 200
#define OBM_SLEPT_NANOSECONDS ((uint64_t)5 * 1000)

/* A process that used less than one OBM_IDLE_SHARE-th of the time of one processor
   since the last look is idle. */
#define OBM_IDLE_SHARE 4

/* The system's malloc is looked at, and gives back, again when OBM_MALLOC_TRIM_SHARE times
   as long has passed as both took the last time: so this takes at most
   1 / OBM_MALLOC_TRIM_SHARE of the time. */
#define OBM_MALLOC_TRIM_SHARE 20

/* In a process that is not idle the system's malloc gives back what it held free at two
   looks in sequence, if that is at least OBM_MALLOC_TRIM_BUSY_BYTES.  When memory that has
   gone back is used again within an epoch, the next such trim waits twice as long as the
   one before, OBM_MALLOC_REGRETS_MAX times at most. */
#define OBM_MALLOC_TRIM_BUSY_BYTES ((size_t)16 << 20)
#define OBM_MALLOC_REGRETS_MAX 7

/* With malloc=auto the system's malloc has one arena where the process may use at most
   this many processors.  More were not measured. */
#define OBM_ONE_ARENA_PROCESSORS 2

/* Where it has one arena its thresholds start as if a block of this size had been freed.
   Without Python's medium blocks the top of its heap would shrink and grow all the time:
   1500 rounds of zlib took 30000 page faults, and take 24 with this; and with blocks of up to
   300 KB still 200, but 132000 with 256 KiB.  With 1 MiB a list that grows past it leaves 1 MiB
   free and resident, 0.4 with this.  On 32 bits glibc raises them up to 512 KiB only. */
#define OBM_MALLOC_MMAP_BYTES ((size_t)384 << 10)

/* Huge pages ------------------------------------------------------------ */

/* With hugepages=auto a heap that holds this many bytes maps further arenas as huge
   pages: the unused part of the last one is below 1 %. */
#define OBM_HUGE_HEAP_BYTES ((size_t)256 << 20)

/* A huge page whose first touch takes longer than the faults of its 4 KiB pages would
   have taken, at the 2 to 3 microseconds that a fault was measured at, is a loss: the
   kernel had to move other memory, or a host had taken the memory of its guest away.
   Then there is no other one until OBM_HUGE_SHARE times as long has passed. */
#define OBM_HUGE_NANOSECONDS ((uint64_t)2 * 1000 * 1000)
#define OBM_HUGE_SHARE 1000

/* What splitting a huge page costs: measured at 220 to 280 microseconds. */
#define OBM_SPLIT_NANOSECONDS ((uint64_t)256 * 1000)

/* Secure mode ----------------------------------------------------------- */

/* Freed blocks that wait before they can be handed out again.  Each newly freed one
   takes a random place, and the block that was there leaves: on average this many frees
   after its own. */
#define OBM_QUARANTINE_BLOCKS 1024u

/* Of blocks of one size so many bytes wait at most: a sixteenth of the blocks if they have
   32 KiB. */
#define OBM_QUARANTINE_BYTES ((size_t)2 << 20)

/* What a block is filled with while it waits, as CPython's debug hooks do. */
#define OBM_FREED_BYTE 0xddu

/* ------------------------------------------------------------------------ */

OBM_STATIC_ASSERT(small_max_is_a_multiple, OBM_SMALL_MAX % OBM_ALIGNMENT == 0);
OBM_STATIC_ASSERT(small_max_is_a_power_of_two, OBM_SMALL_MAX == 1u << OBM_SMALL_MAX_SHIFT);
OBM_STATIC_ASSERT(medium_blocks_are_aligned, OBM_GRANULE_SHIFT >= OBM_ALIGNMENT_SHIFT);
OBM_STATIC_ASSERT(a_run_that_lacks_a_page_holds_a_medium_block,
                  (((size_t)1 << OBM_MIN_RUN_PAGES_SHIFT) - 1)
                      << (OBM_RUN_SHIFT - OBM_MIN_RUN_PAGES_SHIFT) >= OBM_MEDIUM_MAX);
OBM_STATIC_ASSERT(runs_fit_a_word, OBM_RUNS_PER_ARENA <= 32);
OBM_STATIC_ASSERT(two_blocks_a_pool,
                  ((size_t)1 << OBM_MIN_PAGE_SHIFT) / OBM_SMALL_MAX >= 2);
OBM_STATIC_ASSERT(links_tell_the_blocks_of_a_page, OBM_MAX_PAGE_SHIFT <= 16);
OBM_STATIC_ASSERT(no_link_is_no_block, OBM_ALIGNMENT_SHIFT >= 1);
OBM_STATIC_ASSERT(blocks_fit_a_countdown,
                  ((size_t)1 << OBM_MAX_PAGE_SHIFT) / OBM_ALIGNMENT <= INT16_MAX);

#endif /* OBM_CONFIG_H */

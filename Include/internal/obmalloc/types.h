/* obmalloc: every struct of the core, and the invariants that hold between
   two calls.  check.c recounts those that it can see; what only the kernel or the
   history knows is marked (not checked).

   Words.  A *block* is what a caller gets.  A *pool* is one page of the
   system, cut into blocks of one small size class.  A *run* is a row of pages lent
   to one size class; blocks of a medium class divide the run, and lie across its pages.
   A block *touches* the pages on which it has a byte.  An *arena* is what comes from the
   arena allocator; it is cut into runs.  A page is *dirty* when it is free and may be
   backed by memory, *purged* when it is free and its memory was given back, *fresh*
   when it was never touched since its arena was mapped. */

#ifndef OBM_TYPES_H
#define OBM_TYPES_H

#include "obmalloc/config.h"

/* Index of an arena in heap->arenas.  0 is never a valid index. */
typedef uint32_t obm_arena_index;

/* Arena index << OBM_RUNS_SHIFT | number of the run in its arena.  0 means
   none, since arena 0 does not exist. */
typedef uint32_t obm_run_id;

/* The states of a page, kept in its pool descriptor.

       ABSENT --arena mapped--> FREE --pool_new--> CURRENT
       CURRENT --exhausted--> FULL --enough frees--> PARTIAL
       PARTIAL --taken by malloc--> CURRENT
       PARTIAL, CURRENT --last free--> FREE --arena released--> ABSENT

   A FULL pool stays FULL until more than obm_refill_threshold() of its blocks are
   free; those are on its free list, but malloc does not take from it.

   A CURRENT pool whose size class has no other pool with room stays CURRENT
   when its last block is freed, so that a program which holds one object of
   a size at a time does not give its page back each time.

   A page of a run lent to a medium class is FREE or MEDIUM:

       FREE --a block that touches it is handed out--> MEDIUM
       MEDIUM --no live block touches it--> FREE --arena released--> ABSENT

   ABSENT must be 0: the descriptors of addresses at which no arena lies are
   all zeros. */
enum obm_pool_state {
    OBM_POOL_ABSENT = 0,
    OBM_POOL_FREE,
    OBM_POOL_PARTIAL,
    OBM_POOL_CURRENT,
    OBM_POOL_FULL,
    OBM_POOL_MEDIUM
};

/* The low 16 bits of a block's address.  Since no page is larger than 64 KiB they
   tell the blocks of a page apart, and with any address in the page they give the
   block again (obm_linked_block() in descriptor.h).  A free block starts with the link
   to the next one. */
typedef uint16_t obm_link;

/* No block.  An address is even, so the lowest bit tells; 0 would be the first
   block of each sixteenth page. */
#define OBM_NO_LINK 1u

/* Descriptor of one page.  It lies outside the page: a free page holds
   nothing, and a live page holds only blocks.  8 bytes, so 0.2 % of a page of
   4 KiB: where few blocks survive in many pages, the descriptors are what is left
   of the others.  Which page it is follows from where it lies: obm_pool_page().

   live blocks  ==  FULL ? capacity - threshold + countdown
                 :  PARTIAL or CURRENT ? countdown + 1 : 0
   live + length of the free list + (capacity - carved)  ==  capacity
   capacity  ==  heap->geometry.classes[size_class].capacity
   threshold  ==  capacity >> OBM_REFILL_SHIFT
   FULL     =>  carved == capacity, 0 <= countdown <= threshold
   secure heap  =>  free == OBM_NO_LINK, carved == capacity; bitmaps stand for the free
                    list, and live counts blocks in quarantine (secure.c)
   PARTIAL  =>  0 < live < capacity
   MEDIUM   =>  free == OBM_NO_LINK, -countdown == number of live blocks that touch the
                page, those in quarantine and the kept one of its class included, > 0
   countdown <= 0 whenever a free of one of its blocks needs more than a push:
   0 in a PARTIAL or CURRENT pool with one live block, in a FULL one that is due to
   be PARTIAL, and in all other states; -1 in a CURRENT pool without a live block. */
struct obm_pool {
    obm_link free;          /* last freed block; each holds the link to the next */
    int16_t countdown;      /* frees until obm_free_counted() must look */
    uint16_t carved;        /* blocks that were ever on the free list or live */
    uint8_t size_class;
    uint8_t state : 4;      /* enum obm_pool_state */
    uint8_t clean : 1;      /* blocks past the carved ones are known to be 0 */
    uint8_t unused : 3;     /* 0; so that a descriptor can be written with one store */
};
OBM_STATIC_ASSERT(descriptors_are_small, sizeof(struct obm_pool) == 8);

/* A run of pages, lent to one size class.

   free_count  ==  number of bits set in free
   dirty, purged  are subsets of free, and have no bit in common
   size_class == OBM_NO_CLASS  =>  every page of the run is free, free_blocks == 0
   of a small class  =>  free_blocks == 0
   of a medium class  =>  free_blocks  ==  number of bits set in obm_run_blocks(), none of
                          them above obm_run_capacity()
   in a bucket of its class  <=>  a small class has it and free != 0, or free_blocks != 0
   in the list heap->partial[size_class]  <=>  a small class has it, partial != 0
   of a medium class  =>  partial == 0 */
struct obm_run {
    uint64_t free;          /* bit i: page i of the run is FREE */
    uint64_t dirty;         /* bit i: free, and may be resident */
    uint64_t purged;        /* bit i: free, and was purged or released before */
    uint64_t partial;       /* bit i: the pool on page i is PARTIAL */
    obm_run_id next;        /* neighbours in the bucket */
    obm_run_id prev;
    obm_run_id partial_next;    /* neighbours in the list of partial runs */
    obm_run_id partial_prev;
    uint8_t size_class;     /* OBM_NO_CLASS when the run belongs to its arena */
    uint8_t page_count;
    uint8_t free_count;
    uint8_t unused;
    uint16_t free_blocks;
};
#define OBM_NO_CLASS 0xffu
OBM_STATIC_ASSERT(a_byte_holds_a_class, OBM_ALL_CLASSES <= OBM_NO_CLASS);

/* Where an arena came from, and where it must go back to. */
struct obm_arena_allocator {
    void *context;
    void *(*alloc)(void *context, size_t size);
    void (*free)(void *context, void *address, size_t size);
};

/* One arena.

   address == 0  <=>  the object is on the list of unused ones
   free_pages  ==  sum of free_count over its runs
   dirty_pages ==  number of bits set in dirty over its runs
   free_runs   ==  bits of the runs with size_class == OBM_NO_CLASS
   in bucket obm_arena_bucket() of heap->usable  <=>  address != 0, free_runs != 0
   huge  =>  purgeable
   huge  =>  no page of it was purged since it was mapped (not checked)
   counted_dirty  ==  dirty_pages if purgeable or without a used page, else 0
   in heap->dirty_queue  <=>  counted_dirty != 0 */
struct obm_arena_object {
    uintptr_t address;      /* what the allocator returned */
    uintptr_t first_page;   /* the same, rounded up to a page */
    struct obm_pool *pools; /* page_count descriptors; see obm_pool_page() */
    obm_arena_index next;   /* neighbours in the bucket, or next unused one */
    obm_arena_index prev;
    obm_arena_index dirty_next;
    obm_arena_index dirty_prev;
    uint32_t free_runs;
    uint16_t page_count;
    uint16_t free_pages;
    uint16_t dirty_pages;
    uint16_t counted_dirty; /* those that retention may count on */
    bool in_window;         /* pools belongs to the window, not to the arena */
    bool purgeable;         /* not from a foreign allocator, and never refused */
    bool huge;              /* may be one huge page; see arena_split() in purge.c */
    uint64_t *bits;         /* in a secure heap: two bitmaps a page, see secure.c */
    uint64_t purged_at;     /* nanoseconds: its last purge, or, in an arena that
                               replaces a released one, that release */
    struct obm_arena_allocator source;  /* alloc == NULL: the system's own */
    struct obm_run runs[OBM_RUNS_PER_ARENA];
};

/* Neighbouring pages of a run, by their numbers in it; none if first > last. */
struct obm_page_range {
    unsigned first, last;
};

/* What pages were before they were taken: see obm_pages_take(). */
struct obm_page_history {
    uint64_t clean;         /* bit i: page i of the run is known to be zero */
    unsigned dirty;         /* pages */
    unsigned refaults;      /* pages */
};

/* Entry of the map of arenas outside the window: one for each arena-sized
   slot of the address space that the arena touches, so one or two. */
struct obm_map_entry {
    uintptr_t slot;         /* address >> arena shift */
    uintptr_t first_page;   /* 0: the entry is empty */
    size_t size;            /* bytes from first_page */
    struct obm_pool *pools;
};

/* Open addressing, linear probing; capacity is 0 or a power of two, and at
   most half of the entries are in use. */
struct obm_map {
    struct obm_map_entry *entries;
    size_t capacity;
    size_t count;
};

/* One size class, as the table says it. */
struct obm_size_class {
    uint32_t size;          /* bytes of a block */
    uint32_t capacity;      /* blocks in a pool; of a medium class, in a whole run */
    uint32_t start;         /* bytes of a pool before its first block; 0 in a medium class */
    uint32_t reciprocal;    /* of a medium class: 2^OBM_RECIPROCAL_SHIFT divided by the
                               granules of a block, rounded up */
};
#define OBM_RECIPROCAL_SHIFT 22

/* Sizes that follow from the page size of the system. */
struct obm_geometry {
    size_t page_size;       /* bytes */
    size_t run_size;
    size_t arena_size;
    uint8_t page_shift;
    uint8_t run_shift;
    uint8_t arena_shift;
    uint8_t run_pages_shift;    /* run_shift - page_shift */
    uint8_t arena_pages_shift;  /* arena_shift - page_shift */
    uint16_t run_pages;
    uint16_t arena_pages;
    uint16_t bitmap_words;  /* 64-bit words with a bit for each block of any page, */
    uint16_t run_words;     /* and of any run of a medium class */
    struct obm_size_class classes[OBM_ALL_CLASSES];
};

/* The operating system and the clock.  The tests put a fake in their place. */
struct obm_os {
    size_t page_size;
    /* Readable, writable, all zero; at hint exactly, or anywhere when hint is
       NULL.  NULL: refused. */
    void *(*map)(void *hint, size_t size);
    void (*unmap)(void *address, size_t size);
    /* Back the range, which was never touched or is purged, by memory now, with one
       call instead of a fault for each page.  false: refused, and all of it, or
       what the system had no memory for, is as before. */
    bool (*populate)(void *address, size_t size);
    /* Give the memory back and keep the address; what is read next is 0.
       false: refused, and nothing has changed. */
    bool (*purge)(void *address, size_t size);
    /* Ask for one huge page, or for none, in a range that was just mapped or
       split.  true: the range may be one huge page.  Whether memory is
       there already does not change. */
    bool (*advise_huge)(void *address, size_t size, bool huge);
    /* Write a 0 to the first page of memory that was just mapped.  Returns how
       long that took this thread, in nanoseconds. */
    uint64_t (*first_touch)(void *page);
    /* Split the huge page of which this page is a part, so that purging
       parts of it returns memory.  What the page holds is lost. */
    void (*split_huge)(void *page);
    /* Let every access to the range end the process, until it is unmapped.
       false: refused, and nothing has changed. */
    bool (*guard)(void *address, size_t size);
    /* Whether anything is mapped where the address lies; true if that cannot be
       known. */
    bool (*is_mapped)(const void *address);
    /* A number that cannot be guessed, as far as the system has one. */
    uint64_t (*entropy)(void);
    uint64_t (*now)(void);  /* nanoseconds, never running backwards */
    /* Print the message and end the process. */
    void (*fatal)(const char *message);
};

enum obm_retain_mode {
    OBM_RETAIN_AUTO = 0,    /* learn from refaults, forget what is not used */
    OBM_RETAIN_NONE,        /* give everything back at once */
    OBM_RETAIN_ALL,         /* give nothing back unasked, until a request would fail */
    OBM_RETAIN_SIZE         /* keep up to settings.retain_bytes */
};

enum obm_huge_mode {
    OBM_HUGE_AUTO = 0,      /* where it wins in time and costs no memory */
    OBM_HUGE_NEVER,
    OBM_HUGE_ALWAYS
};

enum obm_background_mode {
    OBM_BACKGROUND_AUTO = 0,    /* a thread while enough may come back to be worth it */
    OBM_BACKGROUND_OFF,
    OBM_BACKGROUND_ON           /* while anything may */
};

enum obm_malloc_mode {
    OBM_MALLOC_AUTO = 0,    /* the purger trims it; one arena on few processors */
    OBM_MALLOC_LEAVE,       /* not touched */
    OBM_MALLOC_ONE          /* the purger trims it; one arena */
};

struct obm_settings {
    enum obm_retain_mode retain;
    size_t retain_bytes;    /* valid for OBM_RETAIN_SIZE */
    enum obm_huge_mode hugepages;
    enum obm_background_mode background;    /* for the adapter */
    enum obm_malloc_mode system_malloc;     /* for the adapter */
    int check_level;        /* 0 to 3, see check.c */
    bool secure;            /* see secure.c */
    bool no_medium;         /* medium requests are the system's malloc's */
};

/* What retention knows, and only retention.c writes.  Pages are counted in pages.

   dirty      ==  sum of counted_dirty over all arenas
   low_water  <=  dirty
   allowance  >=  base in mode AUTO */
struct obm_retention {
    size_t dirty;           /* free pages, maybe resident, that could go back; published */
    size_t allowance;       /* how many of them may stay */
    size_t base;            /* the least allowance */
    size_t slack;           /* how far above the allowance a purge begins */
    size_t low_water;       /* least value of dirty in this epoch */
    size_t taken;           /* times that a dirty page was taken in this epoch */
    size_t taken_before;    /* and in the one before */
    size_t surplus_at;      /* dirty pages above which heap->on_surplus is called */
    size_t free_lists_at;   /* pages that had gone back when they were last due */
    size_t released;        /* pages of arenas released, not yet mapped again */
    uint64_t epoch_start;   /* nanoseconds; 0 before the first look */
    uint64_t released_at;   /* nanoseconds: the last release of an arena */
    uint64_t huge_from;     /* nanoseconds: auto wants no huge page before */
    uint64_t credit_time;   /* nanoseconds: credit is counted up to here */
    int64_t credit;         /* nanoseconds that purges unasked may take; may be < 0 */
    unsigned events;        /* page events since the last look at the clock */
};

/* Arenas with dirty pages, those that have had some for the longest time first. */
struct obm_dirty_queue {
    obm_arena_index head;
    obm_arena_index tail;
};

/* What the system's malloc says of itself, in bytes. */
struct obm_malloc_figures {
    size_t held;            /* in its arenas; not blocks with a mapping of their own */
    size_t free;            /* of these, not in use, whether resident or not */
    size_t mapped;          /* in blocks with a mapping of their own, all of them in use */
};

/* How often something was done in this process, and how long all of that took.  Both
   wrap around.  Several threads may count at a time: see obm_spent_add(). */
struct obm_spent {
    uintptr_t calls;
    uintptr_t microseconds;
};

/* This process, as idle.c sees it.  The tests put a fake in its place. */
struct obm_process {
    uint64_t (*now)(void);          /* nanoseconds, never running backwards */
    uint64_t (*processor_time)(void);   /* nanoseconds that all threads have used; 0: unknown */
    uint64_t (*own_processor_time)(void);   /* that the calling one has; 0: unknown */
    size_t (*resident)(void);       /* bytes; 0: that cannot be known */
    size_t (*faults)(void);         /* minor page faults so far; 0: unknown */
    long (*id)(void);               /* of this process */
    long (*parent)(void);           /* of the one that forked it, as long as that is there */
    /* false: the system's malloc does not tell. */
    bool (*malloc_figures)(struct obm_malloc_figures *figures);
    /* Give back what the system's malloc holds free.  false: it cannot. */
    bool (*malloc_give_back)(void);
};

struct obm_heap;

/* What idle.c knows.

   free_after, resident_after  ==  the least of the values right after the system's malloc
   last gave back and at the looks since then; 0 before
   resident_after  <=  resident_then, once malloc has given back */
struct obm_idle {
    const struct obm_process *process;
    const struct obm_heap *heap;
    uint64_t looked_at;             /* nanoseconds: the last look */
    uint64_t processor_time;        /* at that look */
    uint64_t others_time;           /* what of it other threads than the purger had used */
    size_t free_before;             /* bytes that malloc held free at that look */
    size_t free_after;
    ptrdiff_t resident_after;       /* bytes, without the heap's */
    ptrdiff_t resident_then;        /* right after malloc last gave back; 0 before */
    size_t held;                    /* bytes that malloc held at the last look */
    size_t in_use;                  /* of these, not free; and in mappings of their own */
    long looked_in;                 /* the id of the process that had the last look */
    size_t faults;                  /* at the last look, or at the start of the purger since */
    ptrdiff_t gone;                 /* bytes that the last trim brought */
    uint64_t not_before;            /* nanoseconds: no look at malloc, and no trim, before */
    uint64_t not_busy_before;       /* nanoseconds: no trim while the process is not idle */
    unsigned regrets;               /* how often in sequence memory was wanted again */
    bool is_idle;                   /* the process was, at the last look */
    bool to_be_judged;              /* the last trim, at the next look */
    bool given;                     /* a trim since the process fell idle */
    bool cannot;                    /* malloc cannot give back */
};

/* What a secure heap keeps besides its bitmaps. */
struct obm_secure {
    void **quarantine;      /* OBM_QUARANTINE_BLOCKS freed blocks, or NULL; NULL: not
                               mapped yet */
    uint64_t random;        /* state of the generator */
};

/* Counters of rare events: nothing here is touched by an ordinary call. */
struct obm_counters {
    size_t arenas_mapped;       /* ever */
    size_t arenas_released;     /* ever */
    size_t arenas_highwater;
    size_t arenas_huge;         /* mapped as one huge page, ever */
    size_t arenas_split;        /* of those, split */
    size_t purge_calls;
    size_t purged_pages;
    size_t released_pages;      /* dirty ones of arenas released */
    size_t refaults;            /* pages taken again after a purge or release */
    size_t purge_failures;
};

/* The runs of one class that have room, by the number of their free pages.  A run of a
   medium class may have room without one. */
#define OBM_RUN_BUCKETS ((1u << OBM_RUN_BUCKETS_SHIFT) + 1)
struct obm_run_buckets {
    uint64_t nonempty;                          /* bit i: head[i] != 0 */
    obm_run_id head[OBM_RUN_BUCKETS];           /* by obm_run_bucket() */
};

/* A block of a medium class that was freed, and counts as live. */
struct obm_kept_block {
    void *block;            /* valid unless run == 0: none */
    obm_run_id run;
    unsigned number;        /* in the run; plus OBM_KEPT_IDLE when give_up_idle() saw it */
};
#define OBM_KEPT_IDLE 0x80000000u

/* What medium requests are served from.

   kept[m].run != 0  =>  m < classes, its run is of medium class m, and its bit in
                         obm_run_blocks() is not set
   The long-lived classes follow the ordinary ones. */
struct obm_medium {
    size_t max;             /* bytes; larger requests take the long way, see medium.c */
    obm_run_id current[2 * OBM_MEDIUM_CLASSES]; /* 0: none; may have no free block left */
    struct obm_kept_block kept[2 * OBM_MEDIUM_CLASSES]; /* freed last */
    unsigned classes;       /* those that may have a kept block: the ordinary ones, or all */
    unsigned grown;         /* pages taken that were not dirty, since give_up_idle() */
};

/* Arenas that have a free run, by their number of free pages, to a 64th of an
   arena: most page events leave an arena in its bucket, and one word tells which
   buckets have one. */
#define OBM_ARENA_BUCKETS_SHIFT 6
#define OBM_ARENA_BUCKETS (1u << OBM_ARENA_BUCKETS_SHIFT)
struct obm_arena_buckets {
    uint64_t nonempty;                          /* bit i: head[i] != 0 */
    obm_arena_index head[OBM_ARENA_BUCKETS];
};

/* What the hot path reads, and all that it reads besides a descriptor and the
   block: the window (see arena_map.c) and the pool in force of every class.

   A front is open while it is heap->front of some heap.  A closed one sends
   every call the slow way by what it holds, so that the hot path needs no test
   of whether it may be taken: window_limit is 0, and no class has a pool. */
struct obm_front {
    uintptr_t window_base;
    size_t window_limit;        /* bytes from window_base with descriptors; 0:
                                   frees must take the slow way */
    struct obm_pool *window_pools;
    struct obm_pool *current[OBM_SMALL_CLASSES];
    uintptr_t region[OBM_SMALL_CLASSES]; /* what a link into the current pool leaves out:
                                           its address without the low 16 bits */
};

/* Stands for none in obm_front.current: it never has a block, and is never written. */
OBM_API struct obm_pool obm_no_pool;

/* The initial value of a static front that is called before it is opened. */
#define OBM_TIMES_32(item) \
    item, item, item, item, item, item, item, item, \
    item, item, item, item, item, item, item, item, \
    item, item, item, item, item, item, item, item, \
    item, item, item, item, item, item, item, item
#if OBM_SMALL_CLASSES == 32
#  define OBM_NO_POOLS OBM_TIMES_32(&obm_no_pool)
#elif OBM_SMALL_CLASSES == 64
#  define OBM_NO_POOLS OBM_TIMES_32(&obm_no_pool), OBM_TIMES_32(&obm_no_pool)
#endif
#define OBM_CLOSED_FRONT {0, 0, NULL, {OBM_NO_POOLS}, {0}}

/* A thread whose requests get long-lived blocks, see longlived.c.  The memory is the
   caller's, from obm_longlived_enter() to the obm_longlived_exit() that returns it. */
struct obm_mark {
    struct obm_mark *next;
    uintptr_t thread;       /* as obm_this_thread has it */
    size_t depth;           /* how often it is marked, > 0 */
};

/* marks == NULL  <=>  heap->pools == heap->front
   marks != NULL  =>   heap->pools == &aside, heap->front has no pool, medium.max == 0 */
struct obm_longlived {
    struct obm_mark *marks;     /* those marked first come last */
    uintptr_t state;            /* > 0; another one after a thread removed another's mark; no
                                   two heaps have the same */
    struct obm_front front;     /* the current pools of the long-lived small classes */
    struct obm_front aside;     /* those of the ordinary ones while a thread is marked */
    size_t medium_max;          /* what medium.max is then to become again */
};

/* A heap.  One thread at a time may call it; in CPython the GIL of its
   interpreter sees to that.  Zeroed memory plus obm_heap_init() is a heap.

   resident_pages  ==  sum over all arenas of their pages that may be resident: all of a huge
                       one, else those in use and dirty ones */
struct obm_heap {
    struct obm_front *front;            /* the one in force: own_front, or another's */
    struct obm_front own_front;
    struct obm_front *pools;            /* has the current pools of the ordinary classes */
    struct obm_longlived longlived;
    struct obm_arena_buckets usable;
    struct obm_dirty_queue dirty_queue;

    struct obm_arena_object *arenas;    /* arena_capacity objects, [0] unused */
    uint64_t *blocks;                   /* behind them: a bitmap a run, see blocks.h */
    size_t arena_capacity;
    size_t arena_count;                 /* with address != 0 */
    size_t resident_pages;              /* published, see obm_resident_changed() */
    unsigned populate_pages;            /* with one call at most; 1: the kernel cannot */
    obm_arena_index unused_arenas;      /* list of released objects */
    obm_arena_index arenas_ever;        /* objects from here on were never used */

    struct obm_map map;                 /* arenas outside the window */
    int window;                         /* its number; -1: none */
    bool window_tried;
    uintptr_t window_base;
    struct obm_pool *window_pools;
    size_t window_mapped;               /* bytes of the window with descriptors */

    struct obm_geometry geometry;
    struct obm_settings settings;
    bool careful;                       /* settings.check_level > 0, or settings.secure */
    struct obm_retention retention;
    struct obm_counters counters;
    struct obm_secure secure;
    const struct obm_os *os;
    /* Tells the arena allocator in force; NULL, or returning false: it is the
       system's own. */
    bool (*arena_allocator)(struct obm_arena_allocator *in_force);
    /* Called before an arena is mapped; may be NULL. */
    void (*before_arena)(const struct obm_heap *heap);

    /* Called when a page was freed and more is dirty than retention.surplus_at; may be
       NULL. */
    void (*on_surplus)(struct obm_heap *heap);
    /* Called once in OBM_EVENTS_PER_CALL page events; may be NULL. */
    void (*on_page_events)(struct obm_heap *heap);

    /* Blocks that the caller got from the system's malloc on behalf of this
       heap.  Kept by the adapter. */
    ptrdiff_t system_blocks;

    struct obm_medium medium;
    /* The list of runs with a PARTIAL pool; at its head the run that got its
       first one last. */
    obm_run_id partial[OBM_ALL_CLASSES];        /* of the small ones */
    /* The last ones of the heap: the memory of those that are not used is not touched. */
    struct obm_run_buckets runs[OBM_ALL_CLASSES];
};

#endif /* OBM_TYPES_H */

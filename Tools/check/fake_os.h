/* obmalloc's unit tests: an operating system that does as it is told.

   The memory is real, so that touching what was unmapped ends in a signal;
   which calls succeed, what the time is, and how large a page is, is up to the
   test.  Every call is counted and checked: what is unmapped or purged must
   have been mapped, and a huge page must be split before a part of it is
   purged. */

#ifndef OBM_CHECK_FAKE_OS_H
#define OBM_CHECK_FAKE_OS_H

#include "obmalloc/types.h"

/* Purges that are remembered. */
#define FAKE_PURGES 64u

/* Moments. */
#define FAKE_MILLISECOND UINT64_C(1000000)
#define FAKE_SECOND (1000 * FAKE_MILLISECOND)

struct fake_purge {
    uintptr_t address;
    size_t size;
};

struct fake_os {
    /* Set by the test. */
    size_t fail_map;            /* the map call with this number fails; 0: none */
    size_t fail_purge;          /* likewise, a purge */
    size_t fail_populate;       /* likewise, pages to be backed by memory */
    size_t fail_advice;         /* likewise, advice to use a huge page */
    size_t fail_guard;          /* likewise, a guard page */
    size_t fail_foreign;        /* likewise, an arena of a foreign allocator */
    bool fail_all_later;        /* and so do those after it */
    bool refuse_hints;
    uintptr_t refuse_hints_from;    /* hints at or above are refused; 0: none */
    bool refuse_purges;
    bool refuse_populates;
    bool no_huge_pages;
    bool refuse_guards;
    bool all_is_mapped;         /* others mapped what the allocator did not */
    uint64_t entropy;
    uint64_t first_touch_takes; /* nanoseconds */
    uint64_t now;               /* nanoseconds */
    size_t filled_size;         /* mappings of this size are not delivered as zeros, */
    unsigned char fill;         /* but full of this byte */

    /* Counted by the fake. */
    size_t map_calls;
    size_t unmap_calls;
    size_t purge_calls;
    size_t populate_calls;
    size_t populated_bytes;     /* ever */
    size_t clock_calls;
    size_t huge_advices;        /* for one huge page, and for small ones */
    size_t small_advices;
    size_t first_touches;
    size_t splits;
    size_t guard_calls;
    size_t guarded_bytes;       /* ever */
    size_t foreign_calls;       /* for an arena */
    size_t refused;             /* maps, those of a foreign allocator included */
    size_t mapped_bytes;        /* now */
    size_t mappings;            /* now */
    struct fake_purge purges[FAKE_PURGES];  /* that succeeded, the first ones */
    size_t purged;              /* how many succeeded */
};

extern struct fake_os fake;

/* A new machine with this page size: nothing mapped, all requests granted. */
void fake_os_reset(size_t page_size);
const struct obm_os *fake_os_system(void);
size_t fake_os_page_size(void);

/* Forget the purges and calls counted so far, not what is mapped. */
void fake_os_count_anew(void);

/* Run action(argument) and return the message with which it ended the process;
   NULL: it did not. */
const char *fake_os_fatal_message(void (*action)(void *), void *argument);

/* Pages in the range that are backed by memory; address is that of a page. */
size_t fake_os_resident_pages(const void *address, size_t size);

/* A foreign arena allocator, as PyObject_SetArenaAllocator() may install one:
   what it gives is aligned to 16 bytes and to no more, holds garbage, and
   what lies beside the arena's whole pages must stay as it is. */
struct foreign_allocator {
    struct obm_arena_allocator functions;
    size_t arenas;              /* given and not yet taken back */
    bool refuse;
};

#define FOREIGN_ALIGNMENT 16u

void foreign_allocator_init(struct foreign_allocator *foreign);

/* What heap->arena_allocator should be: it tells of foreign_in_force, or, if
   that is NULL, that the system's own is in force. */
extern const struct obm_arena_allocator *foreign_in_force;
bool foreign_allocator_in_force(struct obm_arena_allocator *in_force);

#endif /* OBM_CHECK_FAKE_OS_H */

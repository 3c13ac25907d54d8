/* obmalloc: what every page of a heap is, and which of its blocks are live. */

#ifndef OBM_HEAP_MAP_H
#define OBM_HEAP_MAP_H

#include "obmalloc/types.h"

enum obm_page_kind {
    OBM_PAGE_FRESH = 0,         /* free, never touched since its arena was mapped */
    OBM_PAGE_PURGED,            /* free, its memory was given back */
    OBM_PAGE_DIRTY,             /* free, and maybe backed by memory */
    OBM_PAGE_USED               /* a pool of size_class, or of a run of a medium one */
};

struct obm_page_info {
    uint8_t kind;               /* enum obm_page_kind */
    uint8_t size_class;         /* OBM_NO_CLASS: free */
    uint16_t live;              /* blocks; of a medium class, that touch the page */
    uint8_t continues;          /* 1: one of them starts on a page before */
    uint8_t unused;
};
OBM_STATIC_ASSERT(readers_know_how_long_it_is, sizeof(struct obm_page_info) == 6);

/* Describe each page of an arena that is mapped.  Returns how many it has. */
OBM_API unsigned obm_arena_describe(const struct obm_heap *heap, obm_arena_index index,
                                    struct obm_page_info pages[OBM_MAX_ARENA_PAGES]);

/* The block from which those of a pool are counted: the first of its page; of a medium
   class, the first that touches it, which may start on a page before. */
OBM_API const char *obm_first_block(const struct obm_heap *heap, const struct obm_pool *pool);

/* Which blocks of a pool, or of those that touch a page of a medium class, are live: bit
   i % 64 of word i / 64 is block i, counted from obm_first_block().  false: the free list
   is damaged, and no bit is set. */
#define OBM_POOL_WORDS (((size_t)1 << OBM_MAX_PAGE_SHIFT) / OBM_ALIGNMENT / 64)
OBM_API bool obm_pool_live_blocks(const struct obm_heap *heap, const struct obm_pool *pool,
                                  uint64_t live[OBM_POOL_WORDS]);

#endif /* OBM_HEAP_MAP_H */

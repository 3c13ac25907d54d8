/* obmalloc: statistics, counted by walking the arenas. */

#ifndef OBM_STATS_H
#define OBM_STATS_H

#include "obmalloc/types.h"

struct obm_class_stats {
    size_t size;            /* bytes of a block */
    size_t capacity;        /* blocks in a pool; of a medium class, in a run */
    size_t pools;           /* with a live block or current */
    size_t live_blocks;
    size_t free_blocks;     /* in those pools; of a medium class, that start there */
};

/* Grows when a field changes its meaning or goes; new fields do not count. */
#define OBM_STATS_VERSION 2

struct obm_stats {
    size_t page_size, run_size, arena_size;     /* bytes */
    size_t arenas;                      /* mapped now */
    size_t arena_bytes;                 /* of their whole pages */
    size_t arenas_mapped, arenas_released, arenas_highwater;
    size_t huge_arenas;                 /* now */
    size_t arenas_huge, arenas_split;   /* ever */
    size_t used_pages;                  /* of pools that are not FREE */
    size_t floor_pages;                 /* with at least one live block */
    size_t resident_pages;              /* used, or free and not given back */
    size_t free_pages, dirty_pages, purged_pages, fresh_pages;
    size_t live_blocks, live_bytes;     /* bytes of blocks, not of requests */
    size_t free_block_bytes;            /* in used pages */
    size_t tail_bytes;                  /* of used pages, too short for a block */
    size_t metadata_bytes;              /* descriptors of the arenas, and arrays */
    size_t purge_calls, pages_purged, pages_released, refaults, purge_failures;
    size_t allowance_pages;
    ptrdiff_t system_blocks;
    struct obm_class_stats classes[OBM_SIZE_CLASSES];
};

OBM_API void obm_stats_collect(const struct obm_heap *heap, struct obm_stats *stats);

/* Blocks in use, those of the system's malloc included. */
OBM_API ptrdiff_t obm_allocated_blocks(const struct obm_heap *heap);

#endif /* OBM_STATS_H */

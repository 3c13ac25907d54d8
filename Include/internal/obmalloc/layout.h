/* obmalloc: how a heap is read from outside: from another process, or from a
   core file.

   A reader finds the section OBM_LAYOUT_SECTION in the program or in one of its
   shared libraries, and in it one struct obm_layout.  It believes nothing
   before the magic text, the byte order, the version and the size are what it
   knows.  Then the numbers tell where everything stands, so it needs neither
   this header nor debugging information.  Lib/obmalloc/_outside.py is such a
   reader: its list of names must match the numbers here.

   The heap is that of the main interpreter. */

#ifndef OBM_LAYOUT_H
#define OBM_LAYOUT_H

#include "obmalloc/types.h"

/* Grows with every change of the numbers or of what they mean. */
#define OBM_LAYOUT_VERSION 3u
#define OBM_LAYOUT_MAGIC "obmalloc layout"
#define OBM_LAYOUT_SECTION ".obmalloc"
#define OBM_LAYOUT_BYTE_ORDER 0x01020304u
#define OBM_LAYOUT_NUMBERS 50u

struct obm_layout {
    char magic[16];
    uint32_t byte_order;
    uint32_t version;
    uint32_t size;              /* bytes of this struct */
    uint32_t pointer_size;      /* bytes, also of size_t */
    uint32_t numbers[OBM_LAYOUT_NUMBERS];
    const struct obm_heap *heap;
};

/* Bit fields have no offset: the state shares its byte, the one behind
   size_class. */
#define OBM_LAYOUT_POOL_STATE (offsetof(struct obm_pool, size_class) + 1)

#define OBM_HEAP_AT(field) (uint32_t)offsetof(struct obm_heap, field)
#define OBM_ARENA_AT(field) (uint32_t)offsetof(struct obm_arena_object, field)

#define OBM_LAYOUT_OF(main_heap) { \
    OBM_LAYOUT_MAGIC, OBM_LAYOUT_BYTE_ORDER, OBM_LAYOUT_VERSION, \
    (uint32_t)sizeof(struct obm_layout), (uint32_t)sizeof(void *), \
    { \
        OBM_ALIGNMENT, OBM_SIZE_CLASSES, OBM_RUNS_PER_ARENA, OBM_MAX_ARENA_PAGES, \
        OBM_REFILL_SHIFT, \
        OBM_POOL_FREE, OBM_POOL_PARTIAL, OBM_POOL_CURRENT, OBM_POOL_FULL, \
        (uint32_t)sizeof(struct obm_heap), (uint32_t)sizeof(struct obm_arena_object), \
        (uint32_t)sizeof(struct obm_run), (uint32_t)sizeof(struct obm_pool), \
        (uint32_t)sizeof(struct obm_map_entry), \
        OBM_HEAP_AT(arenas), OBM_HEAP_AT(arena_capacity), OBM_HEAP_AT(arena_count), \
        OBM_HEAP_AT(arenas_ever), OBM_HEAP_AT(map.capacity), OBM_HEAP_AT(system_blocks), \
        OBM_HEAP_AT(geometry.page_size), OBM_HEAP_AT(geometry.run_size), \
        OBM_HEAP_AT(geometry.arena_size), OBM_HEAP_AT(geometry.arena_pages), \
        OBM_HEAP_AT(geometry.run_pages), OBM_HEAP_AT(retention.allowance), \
        OBM_HEAP_AT(counters.arenas_mapped), OBM_HEAP_AT(counters.arenas_released), \
        OBM_HEAP_AT(counters.arenas_highwater), OBM_HEAP_AT(counters.purge_calls), \
        OBM_HEAP_AT(counters.purged_pages), OBM_HEAP_AT(counters.released_pages), \
        OBM_HEAP_AT(counters.refaults), OBM_HEAP_AT(counters.purge_failures), \
        OBM_HEAP_AT(counters.arenas_huge), OBM_HEAP_AT(counters.arenas_split), \
        OBM_ARENA_AT(address), OBM_ARENA_AT(first_page), OBM_ARENA_AT(pools), \
        OBM_ARENA_AT(page_count), OBM_ARENA_AT(free_pages), OBM_ARENA_AT(dirty_pages), \
        OBM_ARENA_AT(in_window), OBM_ARENA_AT(purgeable), OBM_ARENA_AT(huge), \
        OBM_ARENA_AT(runs), \
        (uint32_t)offsetof(struct obm_run, dirty), (uint32_t)offsetof(struct obm_run, purged), \
        (uint32_t)offsetof(struct obm_pool, countdown), \
        (uint32_t)OBM_LAYOUT_POOL_STATE, \
    }, \
    main_heap \
}

#endif /* OBM_LAYOUT_H */

/* obmalloc: how a heap is read from outside: from another process, or from a
   core file.

   A reader finds the section OBM_LAYOUT_SECTION in the program or in one of its
   shared libraries, and in it one struct obm_layout.  It believes nothing
   before the magic text, the byte order, the version and the size are what it
   knows.  Then the numbers tell where everything stands, and the names which is
   which, so it needs neither this header nor debugging information, nor a list of
   its own.  Lib/obmalloc/_outside.py is such a reader.

   The heap is that of the main interpreter. */

#ifndef OBM_LAYOUT_H
#define OBM_LAYOUT_H

#include "obmalloc/types.h"

/* Grows when the struct changes, or what a number means; a new number does not
   count. */
#define OBM_LAYOUT_VERSION 6u
#define OBM_LAYOUT_MAGIC "obmalloc layout"
#define OBM_LAYOUT_SECTION ".obmalloc"
#define OBM_LAYOUT_BYTE_ORDER 0x01020304u

/* Bit fields have no offset: the state shares its byte, the one behind
   size_class. */
#define OBM_LAYOUT_POOL_STATE (offsetof(struct obm_pool, size_class) + 1)

/* Every number with its name, the only list of them: NUMBER(name, value).  Offsets
   are in bytes from the start of the struct. */
#define OBM_LAYOUT_NUMBERS(NUMBER, HEAP, ARENA) \
    NUMBER(size_classes, OBM_SIZE_CLASSES) \
    NUMBER(small_classes, OBM_SMALL_CLASSES) \
    NUMBER(long_medium, OBM_LONG_MEDIUM) \
    NUMBER(long_small, OBM_LONG_SMALL) \
    NUMBER(all_classes, OBM_ALL_CLASSES) \
    NUMBER(runs_per_arena, OBM_RUNS_PER_ARENA) \
    NUMBER(max_arena_pages, OBM_MAX_ARENA_PAGES) \
    NUMBER(refill_shift, OBM_REFILL_SHIFT) \
    NUMBER(FREE, OBM_POOL_FREE) \
    NUMBER(PARTIAL, OBM_POOL_PARTIAL) \
    NUMBER(CURRENT, OBM_POOL_CURRENT) \
    NUMBER(FULL, OBM_POOL_FULL) \
    NUMBER(MEDIUM, OBM_POOL_MEDIUM) \
    NUMBER(sizeof_heap, sizeof(struct obm_heap)) \
    NUMBER(sizeof_arena, sizeof(struct obm_arena_object)) \
    NUMBER(sizeof_run, sizeof(struct obm_run)) \
    NUMBER(sizeof_pool, sizeof(struct obm_pool)) \
    NUMBER(sizeof_map_entry, sizeof(struct obm_map_entry)) \
    NUMBER(sizeof_class, sizeof(struct obm_size_class)) \
    NUMBER(sizeof_kept, sizeof(struct obm_kept_block)) \
    HEAP(arenas, arenas) \
    HEAP(blocks, blocks) \
    HEAP(kept_blocks, medium.kept) \
    HEAP(arena_capacity, arena_capacity) \
    HEAP(arenas_ever, arenas_ever) \
    HEAP(map_capacity, map.capacity) \
    HEAP(system_blocks, system_blocks) \
    HEAP(page_size, geometry.page_size) \
    HEAP(run_size, geometry.run_size) \
    HEAP(arena_size, geometry.arena_size) \
    HEAP(arena_pages, geometry.arena_pages) \
    HEAP(run_pages, geometry.run_pages) \
    HEAP(run_words, geometry.run_words) \
    HEAP(classes, geometry.classes) \
    HEAP(allowance_pages, retention.allowance) \
    HEAP(arenas_mapped, counters.arenas_mapped) \
    HEAP(arenas_released, counters.arenas_released) \
    HEAP(arenas_highwater, counters.arenas_highwater) \
    HEAP(arenas_huge, counters.arenas_huge) \
    HEAP(arenas_split, counters.arenas_split) \
    HEAP(purge_calls, counters.purge_calls) \
    HEAP(pages_purged, counters.purged_pages) \
    HEAP(pages_released, counters.released_pages) \
    HEAP(refaults, counters.refaults) \
    HEAP(purge_failures, counters.purge_failures) \
    ARENA(arena_address, address) \
    ARENA(arena_first_page, first_page) \
    ARENA(arena_pools, pools) \
    ARENA(arena_page_count, page_count) \
    ARENA(arena_free_pages, free_pages) \
    ARENA(arena_dirty_pages, dirty_pages) \
    ARENA(arena_in_window, in_window) \
    ARENA(arena_purgeable, purgeable) \
    ARENA(arena_huge, huge) \
    ARENA(arena_runs, runs) \
    NUMBER(run_dirty, offsetof(struct obm_run, dirty)) \
    NUMBER(run_purged, offsetof(struct obm_run, purged)) \
    NUMBER(run_free_blocks, offsetof(struct obm_run, free_blocks)) \
    NUMBER(run_size_class, offsetof(struct obm_run, size_class)) \
    NUMBER(run_page_count, offsetof(struct obm_run, page_count)) \
    NUMBER(kept_run, offsetof(struct obm_kept_block, run)) \
    NUMBER(kept_number, offsetof(struct obm_kept_block, number)) \
    NUMBER(KEPT_IDLE, OBM_KEPT_IDLE) \
    NUMBER(pool_countdown, offsetof(struct obm_pool, countdown)) \
    NUMBER(pool_size_class, offsetof(struct obm_pool, size_class)) \
    NUMBER(pool_state, OBM_LAYOUT_POOL_STATE) \
    NUMBER(class_size, offsetof(struct obm_size_class, size)) \
    NUMBER(class_capacity, offsetof(struct obm_size_class, capacity))

#define OBM_LAYOUT_NAME(name, value) #name " "
#define OBM_LAYOUT_NAMES \
    OBM_LAYOUT_NUMBERS(OBM_LAYOUT_NAME, OBM_LAYOUT_NAME, OBM_LAYOUT_NAME)

#define OBM_LAYOUT_ONE(name, value) + 1
enum {
    OBM_LAYOUT_COUNT = 0 OBM_LAYOUT_NUMBERS(OBM_LAYOUT_ONE, OBM_LAYOUT_ONE, OBM_LAYOUT_ONE)
};

#define OBM_LAYOUT_VALUE(name, value) (uint32_t)(value),
#define OBM_LAYOUT_HEAP(name, field) (uint32_t)offsetof(struct obm_heap, field),
#define OBM_LAYOUT_ARENA(name, field) (uint32_t)offsetof(struct obm_arena_object, field),

struct obm_layout {
    char magic[16];
    uint32_t byte_order;
    uint32_t version;
    uint32_t size;              /* bytes of this struct */
    uint32_t pointer_size;      /* bytes, also of size_t */
    uint32_t count;             /* of numbers */
    uint32_t names_size;        /* bytes */
    uint32_t numbers[OBM_LAYOUT_COUNT];
    char names[sizeof(OBM_LAYOUT_NAMES)];   /* a space after each; ends with a 0 */
    const struct obm_heap *heap;            /* the last bytes of the struct */
};

#define OBM_LAYOUT_OF(main_heap) { \
    OBM_LAYOUT_MAGIC, OBM_LAYOUT_BYTE_ORDER, OBM_LAYOUT_VERSION, \
    (uint32_t)sizeof(struct obm_layout), (uint32_t)sizeof(void *), \
    OBM_LAYOUT_COUNT, (uint32_t)sizeof(OBM_LAYOUT_NAMES), \
    {OBM_LAYOUT_NUMBERS(OBM_LAYOUT_VALUE, OBM_LAYOUT_HEAP, OBM_LAYOUT_ARENA)}, \
    OBM_LAYOUT_NAMES, main_heap \
}

#endif /* OBM_LAYOUT_H */

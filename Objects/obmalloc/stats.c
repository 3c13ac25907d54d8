/* obmalloc: statistics, counted by walking the arenas.

   Nothing is counted on the way of a malloc or free; a walk over the
   descriptors costs a few microseconds for each MiB of arenas.  The sums that
   hold:

       arena_bytes  ==  (used_pages + free_pages) * page_size
       free_pages   ==  dirty_pages + purged_pages + fresh_pages
       resident_pages  ==  used_pages + dirty_pages
       used_pages * page_size  ==  live_bytes + free_block_bytes + tail_bytes

   Any thread that holds the GIL of the heap may call this. */

#include "obmalloc/stats.h"
#include "obmalloc/arena_map.h"
#include "obmalloc/bits.h"
#include "obmalloc/secure.h"

#include <string.h>

static void
count_pool(const struct obm_heap *heap, const struct obm_pool *pool, struct obm_stats *stats)
{
    if (pool->state == OBM_POOL_FREE) {
        return;
    }
    size_t size = obm_class_size(heap, pool->size_class);
    size_t live = obm_pool_held(heap, pool);
    size_t capacity = obm_pool_capacity(heap, pool);
    struct obm_class_stats *of_class = &stats->classes[pool->size_class];
    of_class->pools++;
    of_class->live_blocks += live;
    of_class->free_blocks += capacity - live;
    stats->used_pages++;
    stats->floor_pages += live != 0;
    stats->live_blocks += live;
    stats->live_bytes += live * size;
    stats->free_block_bytes += (capacity - live) * size;
    stats->tail_bytes += heap->geometry.page_size - capacity * size;
}

static void
count_arena(const struct obm_heap *heap, const struct obm_arena_object *arena,
            struct obm_stats *stats)
{
    stats->arenas++;
    stats->huge_arenas += arena->huge;
    stats->arena_bytes += (size_t)arena->page_count << obm_page_shift(heap);
    stats->free_pages += arena->free_pages;
    stats->dirty_pages += arena->dirty_pages;
    for (unsigned r = 0; r < OBM_RUNS_PER_ARENA; r++) {
        stats->purged_pages += obm_count_bits(arena->runs[r].purged);
    }
    for (unsigned page = 0; page < arena->page_count; page++) {
        count_pool(heap, &arena->pools[page], stats);
    }
    stats->metadata_bytes += arena->in_window
        ? sizeof(struct obm_pool) << heap->geometry.arena_pages_shift
        : obm_outside_mapping(heap);
    stats->metadata_bytes += arena->bits != NULL ? obm_secure_bits_size(heap) : 0;
}

void
obm_stats_collect(const struct obm_heap *heap, struct obm_stats *stats)
{
    memset(stats, 0, sizeof(*stats));
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        stats->classes[c].size = heap->geometry.classes[c].size;
        stats->classes[c].capacity = heap->geometry.classes[c].capacity;
    }
    stats->page_size = heap->geometry.page_size;
    stats->run_size = heap->geometry.run_size;
    stats->arena_size = heap->geometry.arena_size;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        if (heap->arenas[i].address != 0) {
            count_arena(heap, &heap->arenas[i], stats);
        }
    }
    stats->fresh_pages = stats->free_pages - stats->dirty_pages - stats->purged_pages;
    stats->resident_pages = stats->used_pages + stats->dirty_pages;
    stats->metadata_bytes += heap->arena_capacity * sizeof(struct obm_arena_object)
                             + heap->map.capacity * sizeof(struct obm_map_entry)
                             + (heap->secure.quarantine != NULL
                                ? OBM_QUARANTINE_BLOCKS * sizeof(void *) : 0);
    stats->arenas_mapped = heap->counters.arenas_mapped;
    stats->arenas_released = heap->counters.arenas_released;
    stats->arenas_highwater = heap->counters.arenas_highwater;
    stats->arenas_huge = heap->counters.arenas_huge;
    stats->arenas_split = heap->counters.arenas_split;
    stats->purge_calls = heap->counters.purge_calls;
    stats->pages_purged = heap->counters.purged_pages;
    stats->pages_released = heap->counters.released_pages;
    stats->purge_failures = heap->counters.purge_failures;
    stats->refaults = heap->counters.refaults;
    stats->allowance_pages = heap->retention.allowance;
    stats->system_blocks = heap->system_blocks;
}

ptrdiff_t
obm_allocated_blocks(const struct obm_heap *heap)
{
    ptrdiff_t blocks = heap->system_blocks;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        for (unsigned page = 0; arena->address != 0 && page < arena->page_count; page++) {
            blocks += obm_pool_held(heap, &arena->pools[page]);
        }
    }
    return blocks;
}

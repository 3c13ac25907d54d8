/* obmalloc: statistics, counted by walking the arenas.

   The fast path updates no statistics; a walk over the descriptors costs a few
   microseconds for each MiB of arenas.  The sums that hold:

       arena_bytes  ==  (used_pages + free_pages) * page_size
       free_pages   ==  dirty_pages + purged_pages + fresh_pages
       resident_pages  ==  used_pages + dirty_pages
       used_pages * page_size  ==  live_bytes + free_block_bytes + tail_bytes

   A page of a run of a medium class counts as a pool.  Of its free blocks those bytes
   count that lie on used pages.

   Any thread that holds the GIL of the heap may call this. */

#include "obmalloc/stats.h"
#include "obmalloc/arena_map.h"
#include "obmalloc/bits.h"
#include "obmalloc/blocks.h"
#include "obmalloc/secure.h"

#include <string.h>

static void
count_pool(const struct obm_heap *heap, const struct obm_pool *pool, struct obm_stats *stats)
{
    if (pool->state == OBM_POOL_FREE || pool->state == OBM_POOL_MEDIUM) {
        return;
    }
    size_t size = obm_class_size(heap, pool->size_class);
    size_t live = obm_pool_held(heap, pool);
    size_t capacity = obm_pool_capacity(heap, pool);
    struct obm_class_stats *of_class = &stats->classes[obm_plain_class(pool->size_class)];
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

/* The bytes behind the last block of a run that lie on a used page. */
static size_t
run_tail(const struct obm_heap *heap, obm_run_id id, size_t size)
{
    size_t end = obm_run_capacity(heap, obm_run_at(heap, id)) * size;
    size_t page_size = heap->geometry.page_size;
    const struct obm_pool *last = &obm_run_pools(heap, id)[(end - 1) >> obm_page_shift(heap)];
    return last->state == OBM_POOL_MEDIUM ? (page_size - end % page_size) % page_size : 0;
}

/* A run of a medium class. */
static void
count_medium_run(const struct obm_heap *heap, obm_run_id id, struct obm_stats *stats)
{
    const struct obm_run *run = obm_run_at(heap, id);
    const struct obm_pool *pools = obm_run_pools(heap, id);
    size_t size = obm_class_size(heap, run->size_class);
    size_t live = obm_run_held(heap, id), used = 0;
    struct obm_class_stats *of_class = &stats->classes[obm_plain_class(run->size_class)];
    for (unsigned page = 0; page < run->page_count; page++) {
        if (pools[page].state == OBM_POOL_MEDIUM) {
            used++;
            stats->floor_pages += obm_page_held(heap, &pools[page]) != 0;
        }
    }
    for (unsigned number = 0; number < obm_run_capacity(heap, run); number++) {
        const struct obm_pool *pool = &pools[obm_pages_touched(heap, size, number).first];
        of_class->free_blocks += pool->state == OBM_POOL_MEDIUM
                                 && !obm_block_is_held(heap, id, number);
    }
    size_t tail = run_tail(heap, id, size);
    of_class->pools += used;
    of_class->live_blocks += live;
    stats->used_pages += used;
    stats->live_blocks += live;
    stats->live_bytes += live * size;
    stats->free_block_bytes += used * heap->geometry.page_size - tail - live * size;
    stats->tail_bytes += tail;
}

static void
count_arena(const struct obm_heap *heap, obm_arena_index index, struct obm_stats *stats)
{
    const struct obm_arena_object *arena = &heap->arenas[index];
    stats->arenas++;
    stats->huge_arenas += arena->huge;
    stats->arena_bytes += (size_t)arena->page_count << obm_page_shift(heap);
    stats->free_pages += arena->free_pages;
    stats->dirty_pages += arena->dirty_pages;
    for (unsigned r = 0; r < OBM_RUNS_PER_ARENA; r++) {
        stats->purged_pages += obm_count_bits(arena->runs[r].purged);
        if (obm_is_medium_class(arena->runs[r].size_class)) {
            count_medium_run(heap, (index << OBM_RUNS_SHIFT) | r, stats);
        }
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
            count_arena(heap, i, stats);
        }
    }
    stats->fresh_pages = stats->free_pages - stats->dirty_pages - stats->purged_pages;
    stats->resident_pages = stats->used_pages + stats->dirty_pages;
    stats->metadata_bytes += heap->arena_capacity
                             * (sizeof(struct obm_arena_object) + obm_blocks_size(heap))
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

/* Blocks of an arena that callers hold. */
static size_t
held_blocks(const struct obm_heap *heap, obm_arena_index index)
{
    const struct obm_arena_object *arena = &heap->arenas[index];
    size_t blocks = 0;
    for (unsigned page = 0; page < arena->page_count; page++) {
        blocks += obm_pool_held(heap, &arena->pools[page]);
    }
    for (unsigned r = 0; r < OBM_RUNS_PER_ARENA; r++) {
        if (obm_is_medium_class(arena->runs[r].size_class)) {
            blocks += obm_run_held(heap, (index << OBM_RUNS_SHIFT) | r);
        }
    }
    return blocks;
}

ptrdiff_t
obm_allocated_blocks(const struct obm_heap *heap)
{
    ptrdiff_t blocks = heap->system_blocks;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        if (heap->arenas[i].address != 0) {
            blocks += (ptrdiff_t)held_blocks(heap, i);
        }
    }
    return blocks;
}

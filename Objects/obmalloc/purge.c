/* obmalloc: free pages go back to the system, and huge pages are split.

   Dirty pages are purged run by run, neighbours in one call.  Memory of a huge
   page does not go back in parts, so it is split first.

   A purge that the system refuses changes nothing, and is not tried again. */

#include "obmalloc/purge.h"
#include "obmalloc/arena_map.h"
#include "obmalloc/bits.h"
#include "obmalloc/dirty.h"
#include "obmalloc/probes.h"
#include "obmalloc/retention.h"

/* Make small pages of a huge one, so that a part of it can be purged.  Its
   free pages are resident, whether they were ever taken or not. */
static void
arena_split(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    arena->huge = false;
    heap->counters.arenas_split++;
    heap->os->advise_huge((void *)arena->address, heap->geometry.arena_size, false);
    for (unsigned r = 0; r < OBM_RUNS_PER_ARENA; r++) {
        arena->runs[r].dirty = arena->runs[r].free;
        arena->runs[r].purged = 0;
    }
    arena->dirty_pages = arena->free_pages;
    obm_dirty_recount(heap, arena);
    unsigned page = 0;
    while (arena->pools[page].state != OBM_POOL_FREE) {
        page++;
    }
    heap->os->split_huge((void *)(arena->first_page
                                  + ((uintptr_t)page << obm_page_shift(heap))));
}

uint64_t
obm_arenas_split(struct obm_heap *heap, uint64_t limit)
{
    uint64_t price = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever && price < limit; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        if (arena->huge && arena->free_pages > arena->dirty_pages
            && arena->free_pages < arena->page_count) {
            arena_split(heap, i);
            price += OBM_SPLIT_NANOSECONDS;
        }
    }
    return price;
}

/* Purge the pages [start, end) of the arena. */
static bool
purge_range(struct obm_heap *heap, struct obm_arena_object *arena, unsigned start, unsigned end)
{
    unsigned shift = obm_page_shift(heap);
    uintptr_t address = arena->first_page + ((uintptr_t)start << shift);
    size_t size = (size_t)(end - start) << shift;
    heap->counters.purge_calls++;
    if (!heap->os->purge((void *)address, size)) {
        return false;
    }
    OBM_PROBE(purge, address, size);
    return true;
}

/* Purge all dirty pages of the first runs, neighbours (also those in different
   runs) in one call. */
static bool
purge_dirty_ranges(struct obm_heap *heap, struct obm_arena_object *arena, unsigned runs)
{
    unsigned start = 0, end = 0;    /* the range found so far */
    for (unsigned r = 0; r < runs; r++) {
        uint64_t dirty = arena->runs[r].dirty;
        while (dirty != 0) {
            unsigned bit = obm_lowest_bit(dirty);
            uint64_t rest = ~(dirty >> bit);
            unsigned length = rest == 0 ? 64 : obm_lowest_bit(rest);
            unsigned page = r * heap->geometry.run_pages + bit;
            if (page != end) {
                if (end > start && !purge_range(heap, arena, start, end)) {
                    return false;
                }
                start = page;
            }
            end = page + length;
            dirty = bit + length >= 64 ? 0 : dirty >> (bit + length) << (bit + length);
        }
    }
    return end == start || purge_range(heap, arena, start, end);
}

size_t
obm_arena_purge(struct obm_heap *heap, obm_arena_index index, size_t limit)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    obm_retention_arena_purged(heap, arena);
    if (arena->huge) {
        arena_split(heap, index);
    }
    unsigned pages = 0, runs = 0;
    while (runs < OBM_RUNS_PER_ARENA && pages < limit) {
        pages += obm_count_bits(arena->runs[runs++].dirty);
    }
    if (!purge_dirty_ranges(heap, arena, runs)) {
        heap->counters.purge_failures++;
        arena->purgeable = false;
        obm_dirty_recount(heap, arena);
        return 0;
    }
    for (unsigned r = 0; r < runs; r++) {
        struct obm_run *run = &arena->runs[r];
        run->purged |= run->dirty;
        run->dirty = 0;
    }
    arena->dirty_pages = (uint16_t)(arena->dirty_pages - pages);
    obm_dirty_recount(heap, arena);
    heap->counters.purged_pages += pages;
    obm_resident_changed(heap, 0, pages);
    return pages;
}

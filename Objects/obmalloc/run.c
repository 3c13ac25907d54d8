/* obmalloc: runs, and the pages that a size class takes from them.

   A run belongs either to its arena or to a size class; it goes to a class when
   that class needs a page, or a medium block, and no run of its own has one, and comes
   back when its last page is free.  Which arena gives it, and which run gives the page:
   buckets.c.

   Out of memory: obm_run_with_room() returns NULL and leaves everything as
   it was. */

#include "obmalloc/run.h"
#include "obmalloc/arena.h"
#include "obmalloc/arena_map.h"
#include "obmalloc/bits.h"
#include "obmalloc/blocks.h"
#include "obmalloc/buckets.h"
#include "obmalloc/dirty.h"
#include "obmalloc/retention.h"
#include "obmalloc/secure.h"

/* Lend a run of the fullest arena, or of a new one, to the class. */
static obm_run_id
run_take(struct obm_heap *heap, unsigned size_class)
{
    obm_arena_index index = obm_fullest_arena(heap);
    if (index == 0) {
        index = obm_arena_new(heap);
        if (index == 0) {
            return 0;
        }
    }
    struct obm_arena_object *arena = &heap->arenas[index];
    unsigned number = obm_lowest_bit(arena->free_runs);
    obm_arena_set_free_runs(heap, index, arena->free_runs & (arena->free_runs - 1));
    obm_run_id id = (index << OBM_RUNS_SHIFT) | number;
    arena->runs[number].size_class = (uint8_t)size_class;
    if (obm_is_medium_class(size_class)) {
        obm_blocks_cut(heap, id);
        if (heap->settings.secure) {
            obm_secure_new_run(heap, id);
        }
    }
    obm_run_link(heap, id);
    return id;
}

struct obm_run *
obm_run_with_room(struct obm_heap *heap, unsigned size_class, obm_run_id *id)
{
    const struct obm_run_buckets *buckets = &heap->runs[size_class];
    if (buckets->nonempty != 0) {
        *id = buckets->head[obm_lowest_bit(buckets->nonempty)];
    }
    else {
        *id = run_take(heap, size_class);
        if (*id == 0) {
            return NULL;
        }
    }
    return obm_run_at(heap, *id);
}

/* Populate this clean page and the ones that come after it: back them by memory with
   one call; those are dirty then, and taken next.  Returns which of those after it
   had been purged. */
static OBM_NOINLINE uint64_t
populate(struct obm_heap *heap, obm_run_id id, unsigned page)
{
    struct obm_arena_object *arena = obm_run_arena(heap, id);
    struct obm_run *run = obm_run_at(heap, id);
    size_t most = obm_retention_populate_limit(heap);
    if (arena->huge || most == 0) {
        return 0;
    }
    most = most < heap->populate_pages ? most : heap->populate_pages;
    uint64_t other = ~((run->free & ~run->dirty) >> page);
    unsigned count = other == 0 ? 64 : obm_lowest_bit(other);
    count = count < most ? count : (unsigned)most;
    if (count < 2) {
        return 0;
    }
    unsigned shift = obm_page_shift(heap);
    unsigned number = (id & (OBM_RUNS_PER_ARENA - 1)) * heap->geometry.run_pages + page;
    if (!heap->os->populate((void *)(arena->first_page + ((uintptr_t)number << shift)),
                            (size_t)count << shift)) {
        heap->populate_pages = 1;
        return 0;
    }
    uint64_t after = ((UINT64_C(1) << (count - 1)) - 1) << (page + 1);
    uint64_t purged = run->purged & after;
    run->dirty |= after;
    run->purged &= ~after;
    arena->dirty_pages = (uint16_t)(arena->dirty_pages + count - 1);
    obm_resident_changed(heap, count - 1, 0);
    obm_dirty_recount(heap, arena);
    return purged;
}

/* A bit for each page of a range of one or more. */
OBM_INLINE uint64_t
bits_of(struct obm_page_range pages)
{
    return (UINT64_C(2) << pages.last) - (UINT64_C(1) << pages.first);
}

/* How many of so many pages are dirty: mostly all, or none. */
OBM_INLINE unsigned
count_dirty(const struct obm_run *run, uint64_t pages, unsigned count)
{
    uint64_t dirty = run->dirty & pages;
    return dirty == pages ? count : obm_count_bits(dirty);
}

struct obm_page_history
obm_pages_take(struct obm_heap *heap, obm_run_id id, struct obm_page_range range)
{
    struct obm_arena_object *arena = obm_run_arena(heap, id);
    struct obm_run *run = obm_run_at(heap, id);
    struct obm_page_history history;
    uint64_t pages = bits_of(range);
    uint64_t purged = run->purged & pages;
    unsigned count = range.last - range.first + 1;
    unsigned dirty = count_dirty(run, pages, count);
    history.dirty = dirty;
    history.clean = arena->purgeable ? pages & ~run->dirty : 0;
    if (history.clean != 0) {
        purged |= populate(heap, id, obm_lowest_bit(history.clean));
        dirty = count_dirty(run, pages, count);
    }
    history.refaults = obm_count_bits(purged);

    arena->dirty_pages = (uint16_t)(arena->dirty_pages - dirty);
    obm_resident_changed(heap, arena->huge ? 0 : count - dirty, 0);
    run->free &= ~pages;
    run->dirty &= ~pages;
    run->purged &= ~pages;
    obm_count_free_pages(heap, arena, run, id, run->free_count - count);
    obm_dirty_recount(heap, arena);
    return history;
}

/* The last page of the run has come back. */
static void
run_give(struct obm_heap *heap, obm_run_id id)
{
    obm_arena_index index = id >> OBM_RUNS_SHIFT;
    struct obm_run *run = obm_run_at(heap, id);
    obm_run_unlink(heap, id);
    run->size_class = OBM_NO_CLASS;
    run->free_blocks = 0;
    uint32_t free_run = UINT32_C(1) << (id & (OBM_RUNS_PER_ARENA - 1));
    obm_arena_set_free_runs(heap, index, heap->arenas[index].free_runs | free_run);
}

void
obm_pages_give(struct obm_heap *heap, obm_run_id id, struct obm_page_range range)
{
    struct obm_arena_object *arena = obm_run_arena(heap, id);
    struct obm_run *run = obm_run_at(heap, id);
    uint64_t pages = bits_of(range);
    unsigned count = range.last - range.first + 1;

    run->free |= pages;
    run->dirty |= pages;
    arena->dirty_pages = (uint16_t)(arena->dirty_pages + count);
    obm_count_free_pages(heap, arena, run, id, run->free_count + count);
    obm_dirty_recount(heap, arena);
    if (run->free_count == run->page_count) {
        run_give(heap, id);
    }
}

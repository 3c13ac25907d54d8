/* obmalloc: arenas and runs by their number of free pages.

   Which arena gives a run: the one with the fewest free pages, so that the
   nearly empty ones get a chance to empty.  Which run of a class gives a
   page, or a medium block: for the same reason, the one with the fewest.  So arenas with
   a free run, and the runs of each class with room, stand in buckets by their number of
   free pages, with a bitmap of the buckets that are not empty: nothing is ever
   searched. */

#include "obmalloc/buckets.h"
#include "obmalloc/bits.h"

/* Buckets of arenas ----------------------------------------------------------- */

static void
bucket_link(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    unsigned bucket = obm_arena_bucket(heap, arena);
    arena->prev = 0;
    arena->next = heap->usable.head[bucket];
    if (arena->next != 0) {
        heap->arenas[arena->next].prev = index;
    }
    heap->usable.head[bucket] = index;
    heap->usable.nonempty |= UINT64_C(1) << bucket;
}

static void
bucket_unlink(struct obm_heap *heap, obm_arena_index index, unsigned bucket)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    if (arena->prev != 0) {
        heap->arenas[arena->prev].next = arena->next;
    }
    else {
        heap->usable.head[bucket] = arena->next;
        if (arena->next == 0) {
            heap->usable.nonempty &= ~(UINT64_C(1) << bucket);
        }
    }
    if (arena->next != 0) {
        heap->arenas[arena->next].prev = arena->prev;
    }
}

obm_arena_index
obm_fullest_arena(const struct obm_heap *heap)
{
    uint64_t nonempty = heap->usable.nonempty;
    return nonempty != 0 ? heap->usable.head[obm_lowest_bit(nonempty)] : 0;
}

void
obm_arena_count_free(struct obm_heap *heap, obm_arena_index index, int change)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    unsigned before = obm_arena_bucket(heap, arena);
    arena->free_pages = (uint16_t)(arena->free_pages + change);
    if (arena->free_runs != 0 && obm_arena_bucket(heap, arena) != before) {
        bucket_unlink(heap, index, before);
        bucket_link(heap, index);
    }
}

void
obm_arena_set_free_runs(struct obm_heap *heap, obm_arena_index index, uint32_t free_runs)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    if (arena->free_runs != 0 && free_runs == 0) {
        bucket_unlink(heap, index, obm_arena_bucket(heap, arena));
    }
    bool link = arena->free_runs == 0 && free_runs != 0;
    arena->free_runs = free_runs;
    if (link) {
        bucket_link(heap, index);
    }
}

/* Buckets of runs of one class ------------------------------------------------- */

void
obm_run_link(struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = obm_run_bucket(run);
    if (!obm_run_has_room(run)) {
        return;
    }
    run->prev = 0;
    run->next = buckets->head[bucket];
    if (run->next != 0) {
        obm_run_at(heap, run->next)->prev = id;
    }
    buckets->head[bucket] = id;
    buckets->nonempty |= UINT64_C(1) << bucket;
}

void
obm_run_unlink(struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = obm_run_bucket(run);
    if (!obm_run_has_room(run)) {
        return;
    }
    if (run->prev != 0) {
        obm_run_at(heap, run->prev)->next = run->next;
    }
    else {
        buckets->head[bucket] = run->next;
        if (run->next == 0) {
            buckets->nonempty &= ~(UINT64_C(1) << bucket);
        }
    }
    if (run->next != 0) {
        obm_run_at(heap, run->next)->prev = run->prev;
    }
}

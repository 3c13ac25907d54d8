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
    unsigned bucket = obm_arena_bucket(heap, arena->free_pages);
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
obm_arena_change_bucket(struct obm_heap *heap, obm_arena_index index, unsigned free_pages)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    if (arena->free_runs != 0) {
        bucket_unlink(heap, index, obm_arena_bucket(heap, arena->free_pages));
    }
    arena->free_pages = (uint16_t)free_pages;
    if (arena->free_runs != 0) {
        bucket_link(heap, index);
    }
}

void
obm_arena_set_free_runs(struct obm_heap *heap, obm_arena_index index, uint32_t free_runs)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    if (arena->free_runs != 0 && free_runs == 0) {
        bucket_unlink(heap, index, obm_arena_bucket(heap, arena->free_pages));
    }
    bool link = arena->free_runs == 0 && free_runs != 0;
    arena->free_runs = free_runs;
    if (link) {
        bucket_link(heap, index);
    }
}

/* Buckets of runs of one class ------------------------------------------------- */

OBM_INLINE void
run_enter(struct obm_heap *heap, struct obm_run *run, obm_run_id id)
{
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = obm_run_bucket(heap, run->free_count);
    if (!obm_run_has_room(run)) {
        return;
    }
    obm_run_id next = buckets->head[bucket];
    run->prev = 0;
    run->next = next;
    if (next != 0) {
        obm_run_at(heap, next)->prev = id;
    }
    buckets->head[bucket] = id;
    buckets->nonempty |= UINT64_C(1) << bucket;
}

OBM_INLINE void
run_leave(struct obm_heap *heap, struct obm_run *run)
{
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = obm_run_bucket(heap, run->free_count);
    if (!obm_run_has_room(run)) {
        return;
    }
    obm_run_id next = run->next;
    if (run->prev != 0) {
        obm_run_at(heap, run->prev)->next = next;
    }
    else {
        buckets->head[bucket] = next;
        if (next == 0) {
            buckets->nonempty &= ~(UINT64_C(1) << bucket);
        }
    }
    if (next != 0) {
        obm_run_at(heap, next)->prev = run->prev;
    }
}

void
obm_run_link(struct obm_heap *heap, obm_run_id id)
{
    run_enter(heap, obm_run_at(heap, id), id);
}

void
obm_run_unlink(struct obm_heap *heap, obm_run_id id)
{
    run_leave(heap, obm_run_at(heap, id));
}

void
obm_run_change_bucket(struct obm_heap *heap, obm_run_id id, unsigned free_count)
{
    struct obm_run *run = obm_run_at(heap, id);
    run_leave(heap, run);
    run->free_count = (uint8_t)free_count;
    run_enter(heap, run, id);
}

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

static void
run_enter(struct obm_heap *heap, struct obm_run *run, obm_run_id id)
{
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = obm_run_bucket(heap, run);
    obm_run_id next = buckets->head[bucket];
    run->prev = 0;
    run->next = next;
    if (next != 0) {
        obm_run_at(heap, next)->prev = id;
    }
    buckets->head[bucket] = id;
    buckets->nonempty |= UINT64_C(1) << bucket;
}

static void
run_leave(struct obm_heap *heap, struct obm_run *run, unsigned bucket)
{
    obm_run_id next = run->next;
    if (run->prev != 0) {
        obm_run_at(heap, run->prev)->next = next;
    }
    else {
        struct obm_run_buckets *buckets = &heap->runs[run->size_class];
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
    struct obm_run *run = obm_run_at(heap, id);
    if (obm_run_has_room(run)) {
        run_enter(heap, run, id);
    }
}

void
obm_run_unlink(struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    if (obm_run_has_room(run)) {
        run_leave(heap, run, obm_run_bucket(heap, run));
    }
}

/* Pages -------------------------------------------------------------------------- */

/* Most page events leave the run in its bucket, and its arena. */
void
obm_count_free_pages(struct obm_heap *heap, obm_run_id id, int change)
{
    obm_arena_index index = id >> OBM_RUNS_SHIFT;
    struct obm_arena_object *arena = &heap->arenas[index];
    struct obm_run *run = &arena->runs[id & (OBM_RUNS_PER_ARENA - 1)];
    unsigned before = obm_run_bucket(heap, run);
    bool had_room = obm_run_has_room(run);
    run->free_count = (uint8_t)(run->free_count + change);
    bool has_room = obm_run_has_room(run);
    if (obm_run_bucket(heap, run) != before || had_room != has_room) {
        if (had_room) {
            run_leave(heap, run, before);
        }
        if (has_room) {
            run_enter(heap, run, id);
        }
    }
    before = obm_arena_bucket(heap, arena);
    arena->free_pages = (uint16_t)(arena->free_pages + change);
    if (arena->free_runs != 0 && obm_arena_bucket(heap, arena) != before) {
        bucket_unlink(heap, index, before);
        bucket_link(heap, index);
    }
}

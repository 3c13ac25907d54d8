/* obmalloc: arenas, from the moment they are mapped until they are released.

   `arenas` is one array of arena objects.  An arena is mapped when no run
   has a free page for a class that needs one, and cut into runs, which belong to
   it until a size class takes them (run.c).

   An arena in the window is as large as a huge page of x86 and lies like one,
   so it can be one: faults cost a fraction then, and all of it is resident
   from the first touch on.  Its first purge splits it for good (purge.c).

   Out of memory: obm_arena_new() returns 0 and leaves everything as it was. */

#include "obmalloc/arena.h"
#include "obmalloc/arena_map.h"
#include "obmalloc/blocks.h"
#include "obmalloc/buckets.h"
#include "obmalloc/dirty.h"
#include "obmalloc/metadata.h"
#include "obmalloc/probes.h"
#include "obmalloc/retention.h"
#include "obmalloc/secure.h"

#include <string.h>

/* So obm_arenas_close() can tell from the capacity how many pages the array has. */
OBM_STATIC_ASSERT(an_arena_object_fits_a_page,
                  sizeof(struct obm_arena_object)
                  + OBM_RUNS_PER_ARENA * OBM_RUN_WORDS * sizeof(uint64_t)
                      <= (size_t)1 << OBM_MIN_PAGE_SHIFT);

/* Bytes of an arena object and its bitmaps. */
static size_t
object_size(const struct obm_heap *heap)
{
    return sizeof(struct obm_arena_object) + obm_blocks_size(heap);
}

/* Pages of the first array of arena objects: with pages of 4 KiB it has room for eight, and
   Python starts with five. */
#define FIRST_PAGES 3

/* Make room for one more arena object. */
static bool
arenas_grow(struct obm_heap *heap)
{
    size_t object = object_size(heap);
    size_t page = heap->geometry.page_size;
    size_t size = heap->arena_capacity == 0 ? FIRST_PAGES * page
                                            : 2 * heap->arena_capacity * object;
    size = (size + page - 1) / page * page;
    size_t capacity = size / object;
    if (capacity > UINT32_MAX >> heap->geometry.arena_pages_shift) {
        return false;
    }
    struct obm_arena_object *arenas = obm_metadata_map(heap, size);
    if (arenas == NULL) {
        return false;
    }
    uint64_t *blocks = (uint64_t *)(arenas + capacity);
    if (heap->arenas != NULL) {
        memcpy(arenas, heap->arenas, heap->arena_capacity * sizeof(*arenas));
        memcpy(blocks, heap->blocks, heap->arena_capacity * obm_blocks_size(heap));
        obm_arenas_close(heap);
    }
    heap->arenas = arenas;
    heap->blocks = blocks;
    heap->arena_capacity = capacity;
    return true;
}

void
obm_arenas_close(struct obm_heap *heap)
{
    size_t page = heap->geometry.page_size;
    size_t size = heap->arena_capacity * object_size(heap);
    if (heap->arenas != NULL) {
        obm_metadata_unmap(heap, heap->arenas, (size + page - 1) / page * page);
    }
    heap->arenas = NULL;
    heap->blocks = NULL;
    heap->arena_capacity = 0;
}

/* An arena object that stands for no arena; 0: no memory. */
static obm_arena_index
arena_object_take(struct obm_heap *heap)
{
    obm_arena_index index = heap->unused_arenas;
    if (index != 0) {
        heap->unused_arenas = heap->arenas[index].next;
        return index;
    }
    if (heap->arenas_ever >= heap->arena_capacity && !arenas_grow(heap)) {
        return 0;
    }
    return heap->arenas_ever++;
}

static void
arena_object_give(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    memset(arena, 0, sizeof(*arena));
    arena->next = heap->unused_arenas;
    heap->unused_arenas = index;
}

/* Hand the arena back to the allocator that gave it, even if another allocator is in
   force by now. */
static void
arena_free_memory(struct obm_heap *heap, struct obm_arena_object *arena)
{
    size_t size = heap->geometry.arena_size;
    if (arena->source.alloc != NULL) {
        arena->source.free(arena->source.context, (void *)arena->address, size);
    }
    else {
        heap->os->unmap((void *)arena->address, size);
    }
}

/* Memory for an arena: at its place in the window, or anywhere. */
static bool
arena_map_memory(struct obm_heap *heap, obm_arena_index index, struct obm_arena_object *arena)
{
    size_t size = heap->geometry.arena_size;
    struct obm_arena_allocator foreign;
    if (heap->arena_allocator != NULL && heap->arena_allocator(&foreign)) {
        arena->source = foreign;
        arena->address = (uintptr_t)foreign.alloc(foreign.context, size);
        return arena->address != 0;
    }
    uintptr_t place = obm_window_address(heap, index);
    if (place != 0) {
        arena->address = (uintptr_t)heap->os->map((void *)place, size);
    }
    arena->in_window = arena->address != 0;
    if (arena->address == 0) {
        arena->address = (uintptr_t)heap->os->map(NULL, size);
    }
    arena->purgeable = true;
    return arena->address != 0;
}

/* Descriptors for an arena outside the window, and its entry in the map. */
static bool
arena_enter_in_map(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    char *mapping = obm_metadata_map(heap, obm_outside_mapping(heap));
    if (mapping == NULL) {
        return false;
    }
    void *last = mapping + obm_outside_size(heap) - 1;
    arena->pools = obm_outside_first(heap, last);
    obm_outside_of(heap, arena->pools)->arena = index;
    obm_outside_of(heap, arena->pools)->mapping = mapping;
    if (obm_map_insert(heap, arena)) {
        return true;
    }
    obm_metadata_unmap(heap, mapping, obm_outside_mapping(heap));
    return false;
}

static bool
arena_find_pools(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    if (arena->in_window) {
        arena->pools = obm_window_pools(heap, index);
        return true;
    }
    return arena_enter_in_map(heap, index);
}

/* Tell the system what kind of pages the arena wants, and see whether it was a
   good idea; foreign memory is left as it is. */
static void
arena_advise(struct obm_heap *heap, struct obm_arena_object *arena)
{
    const struct obm_os *os = heap->os;
    if (!arena->purgeable) {
        return;
    }
    arena->huge = os->advise_huge((void *)arena->address, heap->geometry.arena_size,
                                  obm_retention_wants_huge(heap));
    heap->counters.arenas_huge += arena->huge;
    obm_resident_changed(heap, arena->huge ? arena->page_count : 0, 0);
    if (arena->huge && heap->settings.hugepages == OBM_HUGE_AUTO) {
        obm_retention_huge_touched(heap, os->first_touch((void *)arena->address));
    }
}

/* Cut a fresh arena into runs.  Only whole pages count: an arena from a
   foreign allocator may begin anywhere.  Pages that replace released ones are
   marked, so that taking them counts as a refault. */
static void
arena_cut(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    unsigned per_run = heap->geometry.run_pages;
    size_t replaced = obm_retention_arena_mapped(heap, arena);

    for (unsigned page = 0; page < arena->page_count; page++) {
        struct obm_pool *pool = &arena->pools[page];
        pool->free = OBM_NO_LINK;
        pool->state = OBM_POOL_FREE;
    }
    arena->free_pages = arena->page_count;
    uint32_t free_runs = 0;
    for (unsigned r = 0; r * per_run < arena->page_count; r++) {
        struct obm_run *run = &arena->runs[r];
        unsigned left = arena->page_count - r * per_run;
        run->page_count = (uint8_t)(left < per_run ? left : per_run);
        run->free_count = run->page_count;
        run->free = UINT64_MAX >> (64 - run->page_count);
        run->purged = replaced > r * per_run ? run->free : 0;
        run->size_class = OBM_NO_CLASS;
        free_runs |= UINT32_C(1) << r;
    }
    obm_arena_set_free_runs(heap, index, free_runs);
}

obm_arena_index
obm_arena_new(struct obm_heap *heap)
{
    if (heap->geometry.page_size == 0) {    /* not supported */
        return 0;
    }
    if (heap->before_arena != NULL) {
        heap->before_arena(heap);
    }
    obm_arena_index index = arena_object_take(heap);
    if (index == 0) {
        return 0;
    }
    struct obm_arena_object *arena = &heap->arenas[index];
    memset(arena, 0, sizeof(*arena));
    if (!arena_map_memory(heap, index, arena)) {
        arena_object_give(heap, index);
        return 0;
    }
    uintptr_t page = heap->geometry.page_size;
    uintptr_t end = arena->address + heap->geometry.arena_size;
    arena->first_page = (arena->address + page - 1) & ~(page - 1);
    arena->page_count = (uint16_t)((end - arena->first_page) >> obm_page_shift(heap));
    obm_secure_guard_arena(heap, arena);
    if (!obm_secure_open_arena(heap, arena) || !arena_find_pools(heap, index)) {
        obm_secure_close_arena(heap, arena);
        arena_free_memory(heap, arena);
        arena_object_give(heap, index);
        return 0;
    }
    arena_advise(heap, arena);
    arena_cut(heap, index);
    heap->arena_count++;
    heap->counters.arenas_mapped++;
    if (heap->arena_count > heap->counters.arenas_highwater) {
        heap->counters.arenas_highwater = heap->arena_count;
    }
    OBM_PROBE(arena__map, arena->address, heap->geometry.arena_size);
    return index;
}

void
obm_arena_release(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    OBM_PROBE(arena__release, arena->address, heap->geometry.arena_size);
    unsigned used = arena->page_count - arena->free_pages;
    heap->counters.released_pages += arena->dirty_pages;
    obm_resident_changed(heap, 0, arena->huge ? arena->page_count : used + arena->dirty_pages);
    arena->dirty_pages = 0;
    obm_dirty_recount(heap, arena);
    obm_arena_set_free_runs(heap, index, 0);
    obm_retention_arena_released(heap, arena);
    if (arena->in_window) {
        obm_window_forget(heap, index);
    }
    else {
        obm_map_remove(heap, arena);
        obm_metadata_unmap(heap, obm_outside_of(heap, arena->pools)->mapping,
                           obm_outside_mapping(heap));
    }
    obm_secure_close_arena(heap, arena);
    arena_free_memory(heap, arena);
    arena_object_give(heap, index);
    heap->arena_count--;
    heap->counters.arenas_released++;
}

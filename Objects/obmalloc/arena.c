/* obmalloc: arenas, their runs and their pages.

   `arenas` is one array of arena objects.  An arena is mapped when no run
   has a free page for a class that needs one, and cut into runs.  A run
   belongs either to its arena or to a size class; it goes to a class when
   that class needs a page and no run of its own has one, and comes back
   when its last page is free.

   Which arena gives a run: the one with the fewest free pages, so that the
   nearly empty ones get a chance to empty.  Which run of a class gives a
   page: for the same reason, the one with the fewest.  Which page of a run:
   one that is still backed by memory, else the lowest.  Arenas and runs
   stand in buckets by their number of free pages, with a bitmap of the
   buckets that are not empty; nothing is ever searched.

   What is done here is mechanism: pages are counted as dirty, queued for
   purging, purged and released when retention.c says so.

   An arena in the window is as large as a huge page of x86 and lies like one,
   so it can be one: faults cost a fraction then, and all of it is resident
   from the first touch on.  Its first purge takes it apart for good.

   Out of memory: obm_run_with_room() returns NULL and leaves everything as
   it was. */

#include "obmalloc/internal.h"
#include "obmalloc/probes.h"

#include <string.h>

unsigned
obm_count_bits(uint64_t word)
{
    unsigned count = 0;
    for (; word != 0; word &= word - 1) {
        count++;
    }
    return count;
}

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

/* The arena with the fewest free pages of those that have a free run; 0: none. */
static obm_arena_index
fullest_arena(const struct obm_heap *heap)
{
    uint64_t nonempty = heap->usable.nonempty;
    return nonempty != 0 ? heap->usable.head[obm_lowest_bit(nonempty)] : 0;
}

/* Change the number of free pages of an arena, in the right bucket before and
   after. */
static void
arena_count_free(struct obm_heap *heap, obm_arena_index index, int change)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    unsigned before = obm_arena_bucket(heap, arena);
    arena->free_pages = (uint16_t)(arena->free_pages + change);
    if (arena->free_runs != 0 && obm_arena_bucket(heap, arena) != before) {
        bucket_unlink(heap, index, before);
        bucket_link(heap, index);
    }
}

static void
arena_set_free_runs(struct obm_heap *heap, obm_arena_index index, uint32_t free_runs)
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
run_link(struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = run->free_count;
    if (bucket == 0) {
        return;
    }
    run->prev = 0;
    run->next = buckets->head[bucket];
    if (run->next != 0) {
        obm_run_at(heap, run->next)->prev = id;
    }
    buckets->head[bucket] = id;
    buckets->nonempty |= UINT64_C(1) << (bucket - 1);
}

static void
run_unlink(struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    struct obm_run_buckets *buckets = &heap->runs[run->size_class];
    unsigned bucket = run->free_count;
    if (bucket == 0) {
        return;
    }
    if (run->prev != 0) {
        obm_run_at(heap, run->prev)->next = run->next;
    }
    else {
        buckets->head[bucket] = run->next;
        if (run->next == 0) {
            buckets->nonempty &= ~(UINT64_C(1) << (bucket - 1));
        }
    }
    if (run->next != 0) {
        obm_run_at(heap, run->next)->prev = run->prev;
    }
}

/* Dirty pages -------------------------------------------------------------------- */

static void
dirty_enqueue(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_retention *retention = &heap->retention;
    struct obm_arena_object *arena = &heap->arenas[index];
    arena->dirty_next = 0;
    arena->dirty_prev = retention->queue_tail;
    if (arena->dirty_prev != 0) {
        heap->arenas[arena->dirty_prev].dirty_next = index;
    }
    else {
        retention->queue_head = index;
    }
    retention->queue_tail = index;
}

static void
dirty_dequeue(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_retention *retention = &heap->retention;
    struct obm_arena_object *arena = &heap->arenas[index];
    if (arena->dirty_prev != 0) {
        heap->arenas[arena->dirty_prev].dirty_next = arena->dirty_next;
    }
    else {
        retention->queue_head = arena->dirty_next;
    }
    if (arena->dirty_next != 0) {
        heap->arenas[arena->dirty_next].dirty_prev = arena->dirty_prev;
    }
    else {
        retention->queue_tail = arena->dirty_prev;
    }
}

/* Bring the queue and the count of dirty pages up to date after a change of
   the arena.  Memory that cannot be purged counts only once its whole arena
   can go back. */
static void
dirty_recount(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    bool can_go = arena->purgeable || arena->free_pages == arena->page_count;
    uint16_t counted = arena->counted_dirty;
    arena->counted_dirty = can_go ? arena->dirty_pages : 0;
    heap->retention.dirty += (size_t)arena->counted_dirty - counted;
    if (heap->retention.low_water > heap->retention.dirty) {
        heap->retention.low_water = heap->retention.dirty;
    }
    if (counted != 0 && arena->counted_dirty == 0) {
        dirty_dequeue(heap, index);
    }
    else if (counted == 0 && arena->counted_dirty != 0) {
        dirty_enqueue(heap, index);
    }
}

/* Mapping and releasing ------------------------------------------------------------ */

/* Make room for one more arena object. */
static bool
arenas_grow(struct obm_heap *heap)
{
    size_t object = sizeof(struct obm_arena_object);
    size_t page = heap->geometry.page_size;
    size_t size = heap->arena_capacity == 0 ? 2 * page : 2 * heap->arena_capacity * object;
    size = (size + page - 1) / page * page;
    if (size / object > UINT32_MAX >> heap->geometry.arena_pages_shift) {
        return false;
    }
    struct obm_arena_object *arenas = obm_metadata_map(heap, size);
    if (arenas == NULL) {
        return false;
    }
    if (heap->arenas != NULL) {
        memcpy(arenas, heap->arenas, heap->arena_capacity * object);
        obm_arenas_close(heap);
    }
    heap->arenas = arenas;
    heap->arena_capacity = size / object;
    return true;
}

void
obm_arenas_close(struct obm_heap *heap)
{
    size_t page = heap->geometry.page_size;
    size_t size = heap->arena_capacity * sizeof(struct obm_arena_object);
    if (heap->arenas != NULL) {
        obm_metadata_unmap(heap, heap->arenas, (size + page - 1) / page * page);
    }
    heap->arenas = NULL;
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

/* Hand the arena back to whoever gave it, even if another allocator is in
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

/* Whether an arena that is about to be mapped should be a huge page.  With
   `auto` it should when it costs no memory: when it replaces an arena released
   a moment ago, whose memory the program proved to need (but not the last one,
   which may stay half empty), or when the heap is so large that one arena does
   not matter.  Not where every free page goes back at once, since the first
   one takes the huge page apart. */
static bool
should_be_huge(const struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    if (heap->settings.hugepages != OBM_HUGE_AUTO || retention->base == 0) {
        return heap->settings.hugepages == OBM_HUGE_ALWAYS;
    }
    bool large = heap->arena_count >= OBM_HUGE_HEAP_BYTES >> heap->geometry.arena_shift;
    bool replaces = retention->released >= 2u * heap->geometry.arena_pages;
    if (!large && !replaces) {
        return false;
    }
    uint64_t now = heap->os->now();
    return now >= retention->huge_from
           && (large || now - retention->released_at < OBM_REGRET_NANOSECONDS);
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
                                  should_be_huge(heap));
    heap->counters.arenas_huge += arena->huge;
    if (arena->huge && heap->settings.hugepages == OBM_HUGE_AUTO) {
        uint64_t took = os->first_touch((void *)arena->address);
        if (took > OBM_HUGE_NANOSECONDS) {
            heap->retention.huge_from = os->now() + OBM_HUGE_SHARE * took;
        }
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
    size_t replaced = heap->retention.released;
    replaced = replaced < arena->page_count ? replaced : arena->page_count;
    heap->retention.released -= replaced;
    arena->purged_at = heap->retention.released_at;

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
    arena_set_free_runs(heap, index, free_runs);
}

/* Map one more arena.  0: no memory, and nothing has changed. */
static obm_arena_index
arena_new(struct obm_heap *heap)
{
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
    heap->counters.released_pages += arena->dirty_pages;
    arena->dirty_pages = 0;
    dirty_recount(heap, index);
    arena_set_free_runs(heap, index, 0);
    heap->retention.released += arena->page_count;
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

/* Purging ---------------------------------------------------------------------------- */

/* Make small pages of a huge one, so that a part of it can be purged.  Its
   free pages are resident, whether they were ever taken or not. */
static void
arena_take_apart(struct obm_heap *heap, obm_arena_index index)
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
    dirty_recount(heap, index);
    unsigned page = 0;
    while (arena->pools[page].state != OBM_POOL_FREE) {
        page++;
    }
    heap->os->split_huge((void *)(arena->first_page
                                  + ((uintptr_t)page << obm_page_shift(heap))));
}

uint64_t
obm_arenas_take_apart(struct obm_heap *heap, uint64_t limit)
{
    uint64_t price = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever && price < limit; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        if (arena->huge && arena->free_pages > arena->dirty_pages
            && arena->free_pages < arena->page_count) {
            arena_take_apart(heap, i);
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
    if (arena->huge) {
        arena_take_apart(heap, index);
    }
    unsigned pages = 0, runs = 0;
    while (runs < OBM_RUNS_PER_ARENA && pages < limit) {
        pages += obm_count_bits(arena->runs[runs++].dirty);
    }
    if (!purge_dirty_ranges(heap, arena, runs)) {
        heap->counters.purge_failures++;
        arena->purgeable = false;
        dirty_recount(heap, index);
        return 0;
    }
    for (unsigned r = 0; r < runs; r++) {
        struct obm_run *run = &arena->runs[r];
        run->purged |= run->dirty;
        run->dirty = 0;
    }
    arena->dirty_pages = (uint16_t)(arena->dirty_pages - pages);
    dirty_recount(heap, index);
    heap->counters.purged_pages += pages;
    return pages;
}

/* Runs and pages ----------------------------------------------------------------------- */

/* Lend a run of the fullest arena, or of a new one, to the class. */
static obm_run_id
run_take(struct obm_heap *heap, unsigned size_class)
{
    obm_arena_index index = fullest_arena(heap);
    if (index == 0) {
        index = arena_new(heap);
        if (index == 0) {
            return 0;
        }
    }
    struct obm_arena_object *arena = &heap->arenas[index];
    unsigned number = obm_lowest_bit(arena->free_runs);
    arena_set_free_runs(heap, index, arena->free_runs & (arena->free_runs - 1));
    obm_run_id id = (index << OBM_RUNS_SHIFT) | number;
    arena->runs[number].size_class = (uint8_t)size_class;
    run_link(heap, id);
    return id;
}

struct obm_run *
obm_run_with_room(struct obm_heap *heap, unsigned size_class, obm_run_id *id)
{
    const struct obm_run_buckets *buckets = &heap->runs[size_class];
    if (buckets->nonempty != 0) {
        *id = buckets->head[obm_lowest_bit(buckets->nonempty) + 1];
    }
    else {
        *id = run_take(heap, size_class);
        if (*id == 0) {
            return NULL;
        }
    }
    return obm_run_at(heap, *id);
}

/* Back this clean page and the ones that come after it by memory, with one call;
   those are dirty then, and taken next.  No more than a share of what may be
   retained, so that what is not wanted after all leaves room for pages that come
   and go.  Returns how many of those after it had been purged. */
static OBM_NOINLINE unsigned
populate_ahead(struct obm_heap *heap, obm_run_id id, unsigned page)
{
    const struct obm_retention *retention = &heap->retention;
    obm_arena_index index = id >> OBM_RUNS_SHIFT;
    struct obm_arena_object *arena = &heap->arenas[index];
    struct obm_run *run = obm_run_at(heap, id);
    size_t share = retention->allowance / OBM_POPULATE_SHARE;
    if (heap->arena_count < OBM_POPULATE_ARENAS || arena->huge || retention->dirty >= share) {
        return 0;
    }
    size_t most = share - retention->dirty + 1;
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
    unsigned purged = obm_count_bits(run->purged & after);
    run->dirty |= after;
    run->purged &= ~after;
    arena->dirty_pages = (uint16_t)(arena->dirty_pages + count - 1);
    dirty_recount(heap, index);
    return purged;
}

struct obm_page_history
obm_page_take(struct obm_heap *heap, obm_run_id id, unsigned page)
{
    obm_arena_index index = id >> OBM_RUNS_SHIFT;
    struct obm_run *run = obm_run_at(heap, id);
    uint64_t bit = UINT64_C(1) << page;
    struct obm_page_history history;
    history.refaults = (run->purged & bit) != 0;
    history.dirty = (run->dirty & bit) != 0;
    history.clean = !history.dirty && heap->arenas[index].purgeable;
    if (history.clean) {
        history.refaults += populate_ahead(heap, id, page);
    }

    run_unlink(heap, id);
    heap->arenas[index].dirty_pages -= (run->dirty & bit) != 0;
    run->free &= ~bit;
    run->dirty &= ~bit;
    run->purged &= ~bit;
    run->free_count--;
    run_link(heap, id);
    arena_count_free(heap, index, -1);
    dirty_recount(heap, index);
    return history;
}

void
obm_page_give(struct obm_heap *heap, obm_run_id id, unsigned page)
{
    obm_arena_index index = id >> OBM_RUNS_SHIFT;
    struct obm_run *run = obm_run_at(heap, id);
    uint64_t bit = UINT64_C(1) << page;

    run_unlink(heap, id);
    run->free |= bit;
    run->dirty |= bit;
    run->free_count++;
    heap->arenas[index].dirty_pages++;
    arena_count_free(heap, index, 1);
    dirty_recount(heap, index);
    if (run->free_count < run->page_count) {
        run_link(heap, id);
        return;
    }
    run->size_class = OBM_NO_CLASS;
    uint32_t free_run = UINT32_C(1) << (id & (OBM_RUNS_PER_ARENA - 1));
    arena_set_free_runs(heap, index, heap->arenas[index].free_runs | free_run);
}

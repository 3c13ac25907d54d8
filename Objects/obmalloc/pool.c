/* obmalloc: pools, the pages of one small size class.

   Each class has one CURRENT pool, which malloc takes from, and PARTIAL ones:
   each run has a bitmap of its own, so a descriptor needs no links, and the runs
   that have one are in a list.  The run that was listed last is refilled first:
   what was freed there a moment ago is still in the processor's caches.  Within a
   run it is the pool of the lowest address, which lets others empty.  FULL pools
   are in no list: frees of their blocks find them through their descriptor, and
   the first ones are only counted.  So a pool that is refilled has some blocks to
   give before the next one is looked for.

   The countdown of a descriptor (types.h) lets an ordinary free see with one
   comparison that nothing but a push is needed.

   Out of memory: obm_pool_next() returns NULL; the class then has "no pool",
   which the next request for it finds exhausted again. */

#include "obmalloc/pool.h"
#include "obmalloc/bits.h"
#include "obmalloc/check.h"
#include "obmalloc/descriptor.h"
#include "obmalloc/longlived.h"
#include "obmalloc/retention.h"
#include "obmalloc/run.h"
#include "obmalloc/secure.h"
#include "obmalloc/trim.h"

/* Partial pools: a bitmap in each run, and a list of the runs that have one. */

static void
partial_link(struct obm_heap *heap, struct obm_pool *pool)
{
    obm_run_id id = obm_pool_run(heap, pool);
    uint64_t page = UINT64_C(1) << obm_pool_page_in_run(heap, pool);
    struct obm_run *run = obm_run_at(heap, id);
    obm_run_id *first = &heap->partial[pool->size_class];
    pool->state = OBM_POOL_PARTIAL;
    if (run->partial == 0) {
        run->partial_prev = 0;
        run->partial_next = *first;
        if (*first != 0) {
            obm_run_at(heap, *first)->partial_prev = id;
        }
        *first = id;
    }
    run->partial |= page;
}

static void
partial_unlink(struct obm_heap *heap, struct obm_run *run, uint64_t page)
{
    run->partial &= ~page;
    if (run->partial != 0) {
        return;
    }
    if (run->partial_prev != 0) {
        obm_run_at(heap, run->partial_prev)->partial_next = run->partial_next;
    }
    else {
        heap->partial[run->size_class] = run->partial_next;
    }
    if (run->partial_next != 0) {
        obm_run_at(heap, run->partial_next)->partial_prev = run->partial_prev;
    }
}

/* Link a block to its neighbour, and return that. */
OBM_INLINE char *
link_next(char *block, size_t size)
{
    char *next = block + size;
    *(obm_link *)block = obm_link_to(next);
    return next;
}

void
obm_pool_carve(const struct obm_heap *heap, struct obm_pool *pool)
{
    size_t size = obm_class_size(heap, pool->size_class);
    unsigned count = (unsigned)(OBM_CARVE_BYTES / size);
    unsigned left = obm_pool_capacity(heap, pool) - pool->carved;
    count = count < left ? count : left;

    char *block = obm_pool_blocks(heap, pool) + pool->carved * size;
    char *last = block + (count - 1) * size;
    pool->free = obm_link_to(block);
    pool->carved = (uint16_t)(pool->carved + count);
    /* Four at a time: this loop was a tenth of the allocator's instructions. */
    while ((size_t)(last - block) >= 4 * size) {
        block = link_next(link_next(link_next(link_next(block, size), size), size), size);
    }
    while (block != last) {
        block = link_next(block, size);
    }
    *(obm_link *)last = OBM_NO_LINK;
}

/* A pool of this class on a page of its own. */
static struct obm_pool *
pool_new(struct obm_heap *heap, unsigned size_class)
{
    obm_run_id id;
    size_t arenas = heap->counters.arenas_mapped;
    struct obm_run *run = obm_run_with_room(heap, size_class, &id);
    if (run == NULL) {
        return NULL;
    }
    unsigned page = obm_lowest_bit(run->dirty != 0 ? run->dirty : run->free);
    struct obm_page_history history = obm_pages_take(heap, id, obm_one_page(page));

    struct obm_pool *pool = &obm_run_pools(heap, id)[page];
    pool->free = OBM_NO_LINK;
    pool->size_class = (uint8_t)size_class;
    pool->carved = 0;
    pool->clean = history.clean != 0;
    pool->state = OBM_POOL_CURRENT;
    pool->countdown = -1;
    if (heap->settings.secure) {
        obm_secure_new_pool(heap, pool);
    }
    obm_retention_page_taken(heap, obm_run_arena(heap, id), history);
    if (arenas != heap->counters.arenas_mapped) {
        obm_check_at_arena_event(heap);
    }
    return pool;
}

static void
pool_give(struct obm_heap *heap, struct obm_pool *pool)
{
    obm_run_id id = obm_pool_run(heap, pool);
    unsigned page = obm_pool_page_in_run(heap, pool);
    if (pool->state == OBM_POOL_PARTIAL) {
        partial_unlink(heap, obm_run_at(heap, id), UINT64_C(1) << page);
    }
    pool->state = OBM_POOL_FREE;
    pool->countdown = 0;
    pool->free = OBM_NO_LINK;
    obm_pages_give(heap, id, obm_one_page(page));
    obm_trim_page_freed(heap);
}

/* The pool of the lowest address in a run of the list. */
static struct obm_pool *
pool_refilled(struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    unsigned page = obm_lowest_bit(run->partial);
    struct obm_pool *pool = &obm_run_pools(heap, id)[page];
    partial_unlink(heap, run, UINT64_C(1) << page);
    pool->state = OBM_POOL_CURRENT;
    return pool;
}

struct obm_pool *
obm_pool_next(struct obm_heap *heap, unsigned size_class)
{
    struct obm_front *front = obm_front_of(heap, size_class);
    unsigned place = obm_place_in_front(size_class);
    struct obm_pool *old = front->current[place];
    obm_run_id id = heap->partial[size_class];
    struct obm_pool *next = id != 0 ? pool_refilled(heap, id) : pool_new(heap, size_class);
    if (old != &obm_no_pool) {
        old->state = OBM_POOL_FULL;
        old->countdown = (int16_t)obm_refill_threshold(heap, old);
    }
    if (next != NULL) {
        front->current[place] = next;
        front->region[place] = obm_region_of(obm_pool_address(heap, next));
    }
    else {
        front->current[place] = &obm_no_pool;
    }
    return next;
}

void
obm_pool_push(const struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (OBM_UNLIKELY(heap->settings.secure)) {
        obm_secure_put(heap, pool, block);
        return;
    }
    *(obm_link *)block = pool->free;
    pool->free = obm_link_to(block);
}

void
obm_pool_was_full(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    unsigned live = obm_pool_capacity(heap, pool) - obm_refill_threshold(heap, pool) - 1;
    obm_pool_push(heap, pool, block);
    pool->countdown = (int16_t)(live - 1);
    partial_link(heap, pool);
}

void
obm_pool_is_empty(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (pool->state == OBM_POOL_CURRENT) {
        if (heap->partial[pool->size_class] == 0) {
            obm_pool_push(heap, pool, block);
            pool->countdown = -1;
            return;
        }
        unsigned place = obm_place_in_front(pool->size_class);
        obm_front_of(heap, pool->size_class)->current[place] = &obm_no_pool;
        obm_pool_next(heap, pool->size_class);
    }
    pool_give(heap, pool);
}

/* Give up the current pools of one kind without a live block. */
static void
retire_front(struct obm_heap *heap, struct obm_front *front)
{
    for (unsigned place = 0; place < OBM_SMALL_CLASSES; place++) {
        struct obm_pool *pool = front->current[place];
        if (pool != &obm_no_pool && obm_pool_live(heap, pool) == 0) {
            front->current[place] = &obm_no_pool;
            pool_give(heap, pool);
        }
    }
}

void
obm_pools_retire(struct obm_heap *heap)
{
    retire_front(heap, heap->pools);
    retire_front(heap, &heap->longlived.front);
}

/* obmalloc: the invariants of types.h, recounted.

   A check returns whether all is well, and describes the first mismatch with
   both values; asserts and tests share it.  Levels: 1 compares counters with
   each other, 2 walks lists and bitmaps, 3 walks every free list too.

   With PYTHONOBMALLOC=check=N the same runs as the program does: from level 1
   on whenever a call takes the slow way, from level 2 on at every free, and
   at level 3 over the whole heap whenever an arena comes or goes. */

#include "obmalloc/internal.h"

#include <string.h>

/* Describe what is wrong, and return false. */
#define MISMATCH(...) (snprintf(message, OBM_CHECK_MESSAGE_SIZE, __VA_ARGS__), false)

/* Pools ------------------------------------------------------------------------- */

static bool
check_block_place(const struct obm_heap *heap, const struct obm_pool *pool,
                  const void *block, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t size = obm_class_size(pool->size_class);
    size_t offset = (uintptr_t)block - (uintptr_t)obm_pool_address(heap, pool);
    if (offset % size != 0) {
        return MISMATCH("%p is not the start of a block: %zu bytes into page %u of "
                        "arena %u, whose blocks have %zu bytes", block, offset,
                        (unsigned)pool->page, (unsigned)pool->arena, size);
    }
    if (offset / size >= pool->carved) {
        return MISMATCH("%p is block %zu of page %u of arena %u, which has handed out "
                        "only %u", block, offset / size, (unsigned)pool->page,
                        (unsigned)pool->arena, (unsigned)pool->carved);
    }
    return true;
}

static bool
check_free_list(const struct obm_heap *heap, const struct obm_pool *pool,
                char message[OBM_CHECK_MESSAGE_SIZE])
{
    unsigned expected = pool->carved - obm_pool_live(pool);
    unsigned length = 0;
    for (const void *block = pool->free; block != NULL; block = *(void *const *)block) {
        if (((uintptr_t)block ^ (uintptr_t)obm_pool_address(heap, pool))
            >> obm_page_shift(heap) != 0) {
            return MISMATCH("free list of page %u of arena %u leads to %p, outside the "
                            "page", (unsigned)pool->page, (unsigned)pool->arena, block);
        }
        if (!check_block_place(heap, pool, block, message)) {
            return false;
        }
        if (++length > expected) {
            break;
        }
    }
    if (length != expected) {
        return MISMATCH("free list of page %u of arena %u has %s%u blocks, expected %u",
                        (unsigned)pool->page, (unsigned)pool->arena,
                        length > expected ? "at least " : "", length, expected);
    }
    return true;
}

static bool
check_pool_counts(const struct obm_pool *pool, char message[OBM_CHECK_MESSAGE_SIZE])
{
    unsigned live = obm_pool_live(pool);
    unsigned page = pool->page, arena = pool->arena;
    if (live > pool->carved || pool->carved > pool->capacity) {
        return MISMATCH("page %u of arena %u: live %u <= carved %u <= capacity %u does "
                        "not hold", page, arena, live, (unsigned)pool->carved,
                        (unsigned)pool->capacity);
    }
    switch (pool->state) {
    case OBM_POOL_FULL:
        if (pool->free != NULL || pool->carved != pool->capacity || pool->countdown != 0) {
            return MISMATCH("full page %u of arena %u: free list %p, carved %u of %u, "
                            "countdown %d", page, arena, pool->free,
                            (unsigned)pool->carved, (unsigned)pool->capacity,
                            pool->countdown);
        }
        return true;
    case OBM_POOL_PARTIAL:
        if (live == 0 || live == pool->capacity) {
            return MISMATCH("partly used page %u of arena %u has %u live blocks of %u",
                            page, arena, live, (unsigned)pool->capacity);
        }
        return true;
    case OBM_POOL_CURRENT:
        return true;
    case OBM_POOL_FREE:
        if (pool->free != NULL || pool->countdown != 0) {
            return MISMATCH("free page %u of arena %u: free list %p, countdown %d",
                            page, arena, pool->free, pool->countdown);
        }
        return true;
    default:
        return MISMATCH("page %u of arena %u: state %u", page, arena,
                        (unsigned)pool->state);
    }
}

bool
obm_check_pool(const struct obm_heap *heap, const struct obm_pool *pool, int level,
               char message[OBM_CHECK_MESSAGE_SIZE])
{
    if (!check_pool_counts(pool, message)) {
        return false;
    }
    bool used = pool->state != OBM_POOL_FREE;
    if (used && pool->capacity != heap->geometry.capacity[pool->size_class]) {
        return MISMATCH("page %u of arena %u: capacity %u, expected %u for class %u",
                        (unsigned)pool->page, (unsigned)pool->arena,
                        (unsigned)pool->capacity,
                        (unsigned)heap->geometry.capacity[pool->size_class],
                        (unsigned)pool->size_class);
    }
    return level < 3 || !used || check_free_list(heap, pool, message);
}

bool
obm_check_block(const struct obm_heap *heap, const struct obm_pool *pool,
                const void *block, int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    if (obm_pool_live(pool) == 0) {
        return MISMATCH("%p lies in page %u of arena %u, no block of which is in use",
                        block, (unsigned)pool->page, (unsigned)pool->arena);
    }
    if (!check_block_place(heap, pool, block, message)) {
        return false;
    }
    unsigned length = 0;
    for (const void *free = pool->free; level >= 2 && free != NULL && length++ < pool->capacity;
         free = *(void *const *)free) {
        if (free == block) {
            return MISMATCH("%p, a block of %zu bytes in page %u of arena %u, is free "
                            "already", block, obm_class_size(pool->size_class),
                            (unsigned)pool->page, (unsigned)pool->arena);
        }
    }
    return true;
}

/* Runs and arenas ----------------------------------------------------------------- */

static bool
check_run(const struct obm_heap *heap, obm_run_id id, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_arena_object *arena = obm_run_arena(heap, id);
    const struct obm_run *run = obm_run_at(heap, id);
    unsigned number = id & (OBM_RUNS_PER_ARENA - 1);
    if (obm_count_bits(run->free) != run->free_count) {
        return MISMATCH("run %x: %u bits in free, free_count %u", (unsigned)id,
                        obm_count_bits(run->free), (unsigned)run->free_count);
    }
    if (((run->dirty | run->purged) & ~run->free) != 0 || (run->dirty & run->purged) != 0) {
        return MISMATCH("run %x: free %llx, dirty %llx, purged %llx", (unsigned)id,
                        (unsigned long long)run->free, (unsigned long long)run->dirty,
                        (unsigned long long)run->purged);
    }
    bool lent = (arena->free_runs >> number & 1) == 0;
    if (run->page_count != 0 && lent != (run->size_class != OBM_NO_CLASS)) {
        return MISMATCH("run %x: class %u, bit in free_runs %u", (unsigned)id,
                        (unsigned)run->size_class, (unsigned)!lent);
    }
    for (unsigned page = 0; page < run->page_count; page++) {
        const struct obm_pool *pool =
            &arena->pools[number * heap->geometry.run_pages + page];
        bool is_free = pool->state == OBM_POOL_FREE;
        if (is_free != (run->free >> page & 1) || (!is_free && pool->size_class != run->size_class)) {
            return MISMATCH("run %x of class %u, page %u: state %u, class %u, free bit %u",
                            (unsigned)id, (unsigned)run->size_class, page,
                            (unsigned)pool->state, (unsigned)pool->size_class,
                            (unsigned)(run->free >> page & 1));
        }
    }
    return true;
}

static bool
check_arena(const struct obm_heap *heap, obm_arena_index index, int level,
            char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_arena_object *arena = &heap->arenas[index];
    unsigned free_pages = 0, dirty_pages = 0;
    for (unsigned r = 0; r < OBM_RUNS_PER_ARENA; r++) {
        if (level >= 2 && !check_run(heap, (index << OBM_RUNS_SHIFT) | r, message)) {
            return false;
        }
        free_pages += arena->runs[r].free_count;
        dirty_pages += obm_count_bits(arena->runs[r].dirty);
    }
    if (free_pages != arena->free_pages || dirty_pages != arena->dirty_pages) {
        return MISMATCH("arena %u: its runs have %u free and %u dirty pages, it counts "
                        "%u and %u", (unsigned)index, free_pages, dirty_pages,
                        (unsigned)arena->free_pages, (unsigned)arena->dirty_pages);
    }
    bool can_go = arena->purgeable || free_pages == arena->page_count;
    if (arena->counted_dirty != (can_go ? dirty_pages : 0)) {
        return MISMATCH("arena %u: %u of its %u dirty pages are counted, %s can go",
                        (unsigned)index, (unsigned)arena->counted_dirty, dirty_pages,
                        can_go ? "all" : "none");
    }
    for (unsigned page = 0; level >= 2 && page < arena->page_count; page++) {
        const struct obm_pool *pool = &arena->pools[page];
        if (pool->arena != index || pool->page != page) {
            return MISMATCH("descriptor of page %u of arena %u says page %u of arena %u",
                            page, (unsigned)index, (unsigned)pool->page,
                            (unsigned)pool->arena);
        }
        if (!obm_check_pool(heap, pool, level, message)) {
            return false;
        }
    }
    return true;
}

/* Lists ------------------------------------------------------------------------------ */

static bool
check_arena_buckets(const struct obm_heap *heap, size_t usable,
                    char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t listed = 0;
    for (unsigned bucket = 0; bucket < OBM_ARENA_BUCKETS; bucket++) {
        bool bit = heap->usable.nonempty[bucket / 64] >> (bucket % 64) & 1;
        if (bit != (heap->usable.head[bucket] != 0)) {
            return MISMATCH("arena bucket %u: bit %d, head %u", bucket, bit,
                            (unsigned)heap->usable.head[bucket]);
        }
        obm_arena_index previous = 0;
        for (obm_arena_index i = heap->usable.head[bucket]; i != 0 && listed <= usable;
             previous = i, i = heap->arenas[i].next) {
            const struct obm_arena_object *arena = &heap->arenas[i];
            if (arena->free_pages != bucket || arena->prev != previous) {
                return MISMATCH("arena %u in bucket %u: free_pages %u, prev %u, expected "
                                "%u", (unsigned)i, bucket, (unsigned)arena->free_pages,
                                (unsigned)arena->prev, (unsigned)previous);
            }
            listed++;
        }
    }
    return listed == usable
           || MISMATCH("%zu arenas in buckets, %zu have a free run", listed, usable);
}

static bool
check_class(const struct obm_heap *heap, unsigned c, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_run_buckets *buckets = &heap->runs[c];
    for (unsigned bucket = 1; bucket <= OBM_MAX_RUN_PAGES; bucket++) {
        bool bit = buckets->nonempty >> (bucket - 1) & 1;
        if (bit != (buckets->head[bucket] != 0)) {
            return MISMATCH("class %u, run bucket %u: bit %d, head %x", c, bucket, bit,
                            (unsigned)buckets->head[bucket]);
        }
        for (obm_run_id id = buckets->head[bucket]; id != 0; id = obm_run_at(heap, id)->next) {
            const struct obm_run *run = obm_run_at(heap, id);
            if (run->size_class != c || run->free_count != bucket) {
                return MISMATCH("run %x in bucket %u of class %u: class %u, %u free",
                                (unsigned)id, bucket, c, (unsigned)run->size_class,
                                (unsigned)run->free_count);
            }
        }
    }
    for (obm_pool_id id = heap->partial[c]; id != 0; id = obm_pool_at(heap, id)->next) {
        const struct obm_pool *pool = obm_pool_at(heap, id);
        if (pool->state != OBM_POOL_PARTIAL || pool->size_class != c) {
            return MISMATCH("pool %x in the list of class %u: state %u, class %u",
                            (unsigned)id, c, (unsigned)pool->state,
                            (unsigned)pool->size_class);
        }
    }
    const struct obm_pool *current = heap->current[c];
    if (current != &heap->no_pool
        && (current->state != OBM_POOL_CURRENT || current->size_class != c)) {
        return MISMATCH("current pool of class %u: state %u, class %u", c,
                        (unsigned)current->state, (unsigned)current->size_class);
    }
    return true;
}

static bool
check_lists(const struct obm_heap *heap, size_t usable, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t queued = 0;
    for (obm_arena_index i = heap->retention.queue_head; i != 0;
         i = heap->arenas[i].dirty_next) {
        queued += heap->arenas[i].counted_dirty;
        if (heap->arenas[i].counted_dirty == 0) {
            return MISMATCH("arena %u is queued as dirty, but has nothing to give",
                            (unsigned)i);
        }
    }
    if (queued != heap->retention.dirty) {
        return MISMATCH("queued arenas have %zu dirty pages, %zu are counted", queued,
                        heap->retention.dirty);
    }
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        if (!check_class(heap, c, message)) {
            return false;
        }
    }
    return check_arena_buckets(heap, usable, message);
}

bool
obm_check_heap(const struct obm_heap *heap, int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t arenas = 0, usable = 0, dirty = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        if (arena->address == 0) {
            continue;
        }
        arenas++;
        usable += arena->free_runs != 0;
        dirty += arena->counted_dirty;
        if (!check_arena(heap, i, level, message)) {
            return false;
        }
    }
    if (arenas != heap->arena_count || dirty != heap->retention.dirty) {
        return MISMATCH("%zu arenas with %zu dirty pages, counted %zu with %zu", arenas,
                        dirty, heap->arena_count, heap->retention.dirty);
    }
    return level < 2 || check_lists(heap, usable, message);
}

/* As the program runs --------------------------------------------------------------- */

void
obm_check_on_the_way(const struct obm_heap *heap, const struct obm_pool *pool,
                     const void *block)
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    int level = heap->settings.check_level;
    if (!obm_check_pool(heap, pool, level, message)
        || !obm_check_block(heap, pool, block, level, message)) {
        obm_fatal(heap, "%s", message);
    }
}

void
obm_check_at_arena_event(const struct obm_heap *heap)
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    if (heap->settings.check_level >= 3 && !obm_check_heap(heap, 3, message)) {
        obm_fatal(heap, "%s", message);
    }
}

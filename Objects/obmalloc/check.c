/* obmalloc: the invariants of types.h, recounted.

   A check returns whether all is well, and describes the first mismatch with
   both values; asserts and tests share it.  Levels: 1 compares counters with
   each other, 2 walks lists and bitmaps, 3 walks every free list too, counts which
   medium blocks touch each page, and reads what must be zero.

   With PYTHONOBMALLOC=check=N the same runs as the program does: from level 1
   on at every realloc and whenever a call takes the slow way, from level 2 on at every
   free, and at level 3 over the whole heap whenever an arena comes or goes. */

#include "obmalloc/check.h"
#include "obmalloc/bits.h"
#include "obmalloc/blocks.h"
#include "obmalloc/buckets.h"
#include "obmalloc/descriptor.h"
#include "obmalloc/longlived.h"
#include "obmalloc/os.h"
#include "obmalloc/secure.h"

#include <stdio.h>
#include <string.h>

/* Describe what is wrong, and return false. */
#define MISMATCH(...) (snprintf(message, OBM_CHECK_MESSAGE_SIZE, __VA_ARGS__), false)

/* Pools ------------------------------------------------------------------------- */

/* The number of the block of a pool that starts so many bytes into its page; SIZE_MAX:
   none starts there. */
static size_t
block_starting(const struct obm_heap *heap, const struct obm_pool *pool, size_t offset)
{
    const struct obm_size_class *row = &heap->geometry.classes[pool->size_class];
    bool between = offset < row->start || (offset - row->start) % row->size != 0;
    return between ? SIZE_MAX : (offset - row->start) / row->size;
}

static bool
check_block_place(const struct obm_heap *heap, const struct obm_pool *pool,
                  const void *block, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t size = obm_class_size(heap, pool->size_class);
    size_t offset = (uintptr_t)block - (uintptr_t)obm_pool_address(heap, pool);
    size_t number = block_starting(heap, pool, offset);
    if (number == SIZE_MAX) {
        return MISMATCH("%p is not the start of a block: %zu bytes into page %u of "
                        "arena %u, whose blocks have %zu bytes", block, offset,
                        obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool), size);
    }
    if (number >= pool->carved) {
        return MISMATCH("%p is block %zu of page %u of arena %u, which has handed out "
                        "only %u", block, number, obm_pool_page(heap, pool),
                        (unsigned)obm_pool_arena(heap, pool), (unsigned)pool->carved);
    }
    return true;
}

/* Whether a link of the free list of pool leads to a block of its page; only
   then may it be followed. */
static bool
check_link(const struct obm_heap *heap, const struct obm_pool *pool, const void *block,
           char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t size = obm_class_size(heap, pool->size_class);
    uintptr_t offset = (uintptr_t)block - (uintptr_t)obm_pool_address(heap, pool);
    bool off_page = offset >> obm_page_shift(heap) != 0;
    if (off_page || block_starting(heap, pool, offset) >= pool->carved) {
        return MISMATCH("free list of page %u of arena %u leads to %p, %s %zu bytes%s: "
                        "was a freed block written to?", obm_pool_page(heap, pool),
                        (unsigned)obm_pool_arena(heap, pool), block,
                        off_page ? "outside the page of blocks of" : "where no block of", size,
                        off_page ? "" : " was handed out");
    }
    return true;
}

static bool
check_free_list(const struct obm_heap *heap, const struct obm_pool *pool,
                char message[OBM_CHECK_MESSAGE_SIZE])
{
    unsigned expected = pool->carved - obm_pool_live(heap, pool);
    unsigned length = 0;
    uintptr_t region = obm_region_of(obm_pool_address(heap, pool));
    const obm_link *block;
    for (obm_link link = pool->free; link != OBM_NO_LINK; link = *block) {
        block = (const obm_link *)(region | link);
        if (!check_link(heap, pool, block, message)) {
            return false;
        }
        if (++length > expected) {
            break;
        }
    }
    if (length != expected) {
        return MISMATCH("free list of page %u of arena %u has %s%u blocks, expected %u",
                        obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool),
                        length > expected ? "at least " : "", length, expected);
    }
    return true;
}

/* The same for a pool of a secure heap. */
static bool
check_bitmaps(const struct obm_heap *heap, const struct obm_pool *pool,
              char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t available = obm_secure_count_available(heap, pool);
    unsigned expected = obm_pool_capacity(heap, pool) - obm_pool_live(heap, pool);
    unsigned page = obm_pool_page(heap, pool), arena = (unsigned)obm_pool_arena(heap, pool);
    if (available == SIZE_MAX) {
        return MISMATCH("page %u of arena %u: a block is both free and in use, or beyond "
                        "the last", page, arena);
    }
    if (available != expected || pool->free != OBM_NO_LINK
        || pool->carved != obm_pool_capacity(heap, pool)) {
        return MISMATCH("page %u of arena %u: %zu blocks are free, expected %u; free list "
                        "at %#x, carved %u", page, arena, available, expected, pool->free,
                        (unsigned)pool->carved);
    }
    return true;
}

/* A page of a run of a medium class. */
static bool
check_medium_page(const struct obm_heap *heap, const struct obm_pool *pool, int level,
                  char message[OBM_CHECK_MESSAGE_SIZE])
{
    unsigned page = obm_pool_page(heap, pool), arena = (unsigned)obm_pool_arena(heap, pool);
    if (!obm_is_medium_class(pool->size_class) || pool->free != OBM_NO_LINK
        || pool->countdown >= 0) {
        return MISMATCH("page %u of arena %u, of medium blocks: class %u, free list at %#x, "
                        "countdown %d", page, arena, (unsigned)pool->size_class, pool->free,
                        pool->countdown);
    }
    if (level < 3) {
        return true;
    }
    obm_run_id id = obm_pool_run(heap, pool);
    unsigned first, end, live = 0;
    obm_blocks_touching(heap, obm_run_at(heap, id), obm_pool_page_in_run(heap, pool), &first, &end);
    for (unsigned number = first; number < end; number++) {
        live += !obm_block_is_free(heap, id, number);
    }
    if ((int)live != -pool->countdown) {
        return MISMATCH("page %u of arena %u: %u blocks that touch it are in use, it counts %d",
                        page, arena, live, -pool->countdown);
    }
    return true;
}

static bool
check_pool_counts(const struct obm_heap *heap, const struct obm_pool *pool,
                  char message[OBM_CHECK_MESSAGE_SIZE])
{
    unsigned page = obm_pool_page(heap, pool), arena = (unsigned)obm_pool_arena(heap, pool);
    if (!obm_is_small_class(pool->size_class)
        && !(pool->state == OBM_POOL_FREE && obm_is_medium_class(pool->size_class))) {
        return MISMATCH("page %u of arena %u: state %u, class %u", page, arena,
                        (unsigned)pool->state, (unsigned)pool->size_class);
    }
    unsigned live = obm_pool_live(heap, pool);
    unsigned capacity = obm_pool_capacity(heap, pool);
    if (live > pool->carved || pool->carved > capacity) {
        return MISMATCH("page %u of arena %u: live %u <= carved %u <= capacity %u does "
                        "not hold", page, arena, live, (unsigned)pool->carved,
                        (unsigned)capacity);
    }
    switch (pool->state) {
    case OBM_POOL_FULL:
        if (pool->carved != capacity || pool->countdown < 0
            || (unsigned)pool->countdown > obm_refill_threshold(heap, pool)
            || (pool->free != OBM_NO_LINK && live == capacity)) {
            return MISMATCH("full page %u of arena %u: free list at %#x, carved %u of %u, "
                            "countdown %d of %u", page, arena, pool->free,
                            (unsigned)pool->carved, (unsigned)capacity,
                            pool->countdown, obm_refill_threshold(heap, pool));
        }
        return true;
    case OBM_POOL_PARTIAL:
        if (live == 0 || live == capacity) {
            return MISMATCH("partly used page %u of arena %u has %u live blocks of %u",
                            page, arena, live, (unsigned)capacity);
        }
        return true;
    case OBM_POOL_CURRENT:
        return true;
    case OBM_POOL_FREE:
        if (pool->free != OBM_NO_LINK || pool->countdown != 0) {
            return MISMATCH("free page %u of arena %u: free list at %#x, countdown %d",
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
    if (pool->state == OBM_POOL_MEDIUM) {
        return check_medium_page(heap, pool, level, message);
    }
    if (!check_pool_counts(heap, pool, message)) {
        return false;
    }
    if (level < 3 || pool->state == OBM_POOL_FREE) {
        return true;
    }
    return heap->settings.secure ? check_bitmaps(heap, pool, message)
                                 : check_free_list(heap, pool, message);
}

static bool
is_free_already(const struct obm_heap *heap, const struct obm_pool *pool, const void *block,
                char message[OBM_CHECK_MESSAGE_SIZE])
{
    return MISMATCH("%p, a block of %zu bytes in page %u of arena %u, is free already", block,
                    obm_class_size(heap, pool->size_class), obm_pool_page(heap, pool),
                    (unsigned)obm_pool_arena(heap, pool));
}

/* The same for a block of a medium class: its bit tells, at every level. */
static bool
check_medium_block(const struct obm_heap *heap, const struct obm_pool *pool, const void *block,
                   char message[OBM_CHECK_MESSAGE_SIZE])
{
    obm_run_id id = obm_pool_run(heap, pool);
    const struct obm_run *run = obm_run_at(heap, id);
    size_t size = obm_class_size(heap, run->size_class);
    size_t offset = (uintptr_t)block - obm_run_address(heap, id);
    unsigned number = obm_block_number(&heap->geometry.classes[run->size_class], offset);
    if (offset % size != 0 || number >= obm_run_capacity(heap, run)) {
        return MISMATCH("%p is not the start of a block: %zu bytes into run %u of arena %u, "
                        "which has %u blocks of %zu bytes", block, offset,
                        (unsigned)id & (OBM_RUNS_PER_ARENA - 1), (unsigned)id >> OBM_RUNS_SHIFT,
                        obm_run_capacity(heap, run), size);
    }
    if (!obm_block_is_held(heap, id, number)) {
        return is_free_already(heap, pool, block, message);
    }
    return true;
}

bool
obm_check_block(const struct obm_heap *heap, const struct obm_pool *pool,
                const void *block, int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    if (pool->state == OBM_POOL_MEDIUM) {
        return check_medium_block(heap, pool, block, message);
    }
    if (obm_pool_live(heap, pool) == 0) {
        return MISMATCH("%p lies in page %u of arena %u, no block of which is in use",
                        block, obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool));
    }
    if (!check_block_place(heap, pool, block, message)) {
        return false;
    }
    if (heap->settings.secure && !obm_secure_holds(heap, pool, block)) {
        return is_free_already(heap, pool, block, message);
    }
    if (level < 2) {
        return true;
    }
    unsigned left = obm_pool_capacity(heap, pool);
    uintptr_t region = obm_region_of(block);
    const obm_link *free;
    for (obm_link link = pool->free; link != OBM_NO_LINK && left > 0; link = *free, left--) {
        free = (const obm_link *)(region | link);
        if (!check_link(heap, pool, free, message)) {
            return false;
        }
        if (free == block) {
            return is_free_already(heap, pool, block, message);
        }
    }
    return true;
}

/* Runs and arenas ----------------------------------------------------------------- */

/* The bitmap of a run, which belongs to a medium class or has none. */
static bool
check_blocks(const struct obm_heap *heap, obm_run_id id, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_run *run = obm_run_at(heap, id);
    unsigned free = 0;
    if (!obm_is_medium_class(run->size_class)) {
        return run->free_blocks == 0
               || MISMATCH("run %x of class %u has %u free medium blocks", (unsigned)id,
                           (unsigned)run->size_class, (unsigned)run->free_blocks);
    }
    unsigned capacity = obm_run_capacity(heap, run);
    for (unsigned number = 0; number < obm_run_words(heap) * 64; number++) {
        free += obm_block_is_free(heap, id, number);
        if (number >= capacity && obm_block_is_free(heap, id, number)) {
            return MISMATCH("run %x: block %u is free, of %u", (unsigned)id, number, capacity);
        }
    }
    if (free != run->free_blocks) {
        return MISMATCH("run %x: %u bits in blocks, free_blocks %u", (unsigned)id, free,
                        (unsigned)run->free_blocks);
    }
    return true;
}

/* In a secure heap: whether no block is both free and held. */
static bool
check_held_blocks(const struct obm_heap *heap, obm_run_id id, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_run *run = obm_run_at(heap, id);
    if (!heap->settings.secure || !obm_is_medium_class(run->size_class)) {
        return true;
    }
    const uint64_t *held = obm_secure_held_in_run(heap, id), *free = obm_run_blocks(heap, id);
    for (unsigned word = 0; word < obm_run_words(heap); word++) {
        if ((held[word] & free[word]) != 0) {
            return MISMATCH("run %x: blocks %llx of word %u are both free and in use", (unsigned)id,
                            (unsigned long long)(held[word] & free[word]), word);
        }
    }
    return true;
}

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
        bool is_partial = pool->state == OBM_POOL_PARTIAL;
        if (is_partial != (run->partial >> page & 1)) {
            return MISMATCH("run %x, page %u: state %u, partial bit %u", (unsigned)id,
                            page, (unsigned)pool->state,
                            (unsigned)(run->partial >> page & 1));
        }
        if (is_free != (run->free >> page & 1)
            || (!is_free && pool->size_class != run->size_class)) {
            return MISMATCH("run %x of class %u, page %u: state %u, class %u, free bit %u",
                            (unsigned)id, (unsigned)run->size_class, page,
                            (unsigned)pool->state, (unsigned)pool->size_class,
                            (unsigned)(run->free >> page & 1));
        }
        if (!is_free && obm_is_medium_class(run->size_class) != (pool->state == OBM_POOL_MEDIUM)) {
            return MISMATCH("run %x of class %u, page %u: state %u", (unsigned)id,
                            (unsigned)run->size_class, page, (unsigned)pool->state);
        }
    }
    return check_blocks(heap, id, message) && check_held_blocks(heap, id, message);
}

/* Descriptors know their place: all other checks rely on that. */
static bool
check_places(const struct obm_heap *heap, obm_arena_index index,
             char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_arena_object *arena = &heap->arenas[index];
    for (unsigned page = 0; page < arena->page_count; page++) {
        const struct obm_pool *pool = &arena->pools[page];
        if (obm_pool_page(heap, pool) != page || obm_pool_arena(heap, pool) != index) {
            return MISMATCH("descriptor of page %u of arena %u lies at that of page %u", page,
                            (unsigned)index, obm_pool_page(heap, pool));
        }
    }
    return true;
}

/* What calloc() relies on: blocks of a clean pool that were never handed out are zero. */
static bool
check_clean(const struct obm_heap *heap, const struct obm_pool *pool,
            char message[OBM_CHECK_MESSAGE_SIZE])
{
    const char *start = obm_pool_blocks(heap, pool);
    size_t end = obm_pool_capacity(heap, pool) * obm_class_size(heap, pool->size_class);
    for (size_t i = pool->carved * obm_class_size(heap, pool->size_class); i < end; i++) {
        if (start[i] != 0) {
            return MISMATCH("page %u of arena %u: byte %zu of its blocks is not 0, though only %u "
                            "blocks of %zu bytes were handed out: was a block written beyond its "
                            "end?",
                            obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool), i,
                            (unsigned)pool->carved, obm_class_size(heap, pool->size_class));
        }
    }
    return true;
}

static bool
check_pools(const struct obm_heap *heap, const struct obm_arena_object *arena, int level,
            char message[OBM_CHECK_MESSAGE_SIZE])
{
    for (unsigned page = 0; page < arena->page_count; page++) {
        const struct obm_pool *pool = &arena->pools[page];
        if (!obm_check_pool(heap, pool, level, message)) {
            return false;
        }
        if (level >= 3 && pool->clean && pool->state != OBM_POOL_FREE
            && !check_clean(heap, pool, message)) {
            return false;
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
    if (level >= 2 && !check_places(heap, index, message)) {
        return false;
    }
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
    if (arena->huge && !arena->purgeable) {
        return MISMATCH("arena %u: huge 1, purgeable 0", (unsigned)index);
    }
    return level < 2 || check_pools(heap, arena, level, message);
}

/* Lists ------------------------------------------------------------------------------ */

static bool
check_arena_buckets(const struct obm_heap *heap, size_t usable,
                    char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t listed = 0;
    for (unsigned bucket = 0; bucket < OBM_ARENA_BUCKETS; bucket++) {
        bool bit = heap->usable.nonempty >> bucket & 1;
        if (bit != (heap->usable.head[bucket] != 0)) {
            return MISMATCH("arena bucket %u: bit %d, head %u", bucket, bit,
                            (unsigned)heap->usable.head[bucket]);
        }
        obm_arena_index previous = 0;
        for (obm_arena_index i = heap->usable.head[bucket]; i != 0 && listed <= usable;
             previous = i, i = heap->arenas[i].next) {
            const struct obm_arena_object *arena = &heap->arenas[i];
            if (obm_arena_bucket(heap, arena->free_pages) != bucket || arena->prev != previous) {
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

/* Runs of a class: how many have room, how many a PARTIAL pool. */
struct run_counts { size_t with_room, partial; };

static bool
check_run_buckets(const struct obm_heap *heap, unsigned c, size_t expected,
                  char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_run_buckets *buckets = &heap->runs[c];
    size_t listed = 0;
    for (unsigned bucket = 0; bucket < OBM_RUN_BUCKETS; bucket++) {
        bool bit = buckets->nonempty >> bucket & 1;
        if (bit != (buckets->head[bucket] != 0)) {
            return MISMATCH("class %u, run bucket %u: bit %d, head %x", c, bucket, bit,
                            (unsigned)buckets->head[bucket]);
        }
        obm_run_id previous = 0;
        for (obm_run_id id = buckets->head[bucket]; id != 0 && listed <= expected;
             previous = id, id = obm_run_at(heap, id)->next) {
            const struct obm_run *run = obm_run_at(heap, id);
            if (run->size_class != c || obm_run_bucket(heap, run->free_count) != bucket
                || run->prev != previous || !obm_run_has_room(run)) {
                return MISMATCH("run %x in bucket %u of class %u: class %u, %u pages and %u "
                                "blocks free, prev %x, expected %x", (unsigned)id, bucket, c,
                                (unsigned)run->size_class, (unsigned)run->free_count,
                                (unsigned)run->free_blocks, (unsigned)run->prev,
                                (unsigned)previous);
            }
            listed++;
        }
    }
    return listed == expected
           || MISMATCH("class %u: %zu runs in buckets, %zu have room", c, listed, expected);
}

static bool
check_partial_list(const struct obm_heap *heap, unsigned c, size_t expected,
                   char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t listed = 0;
    obm_run_id previous = 0;
    for (obm_run_id id = heap->partial[c]; id != 0 && listed <= expected;
         previous = id, id = obm_run_at(heap, id)->partial_next) {
        const struct obm_run *run = obm_run_at(heap, id);
        if (run->partial == 0 || run->size_class != c || run->partial_prev != previous) {
            return MISMATCH("run %x in the partial list of class %u: partial %llx, class "
                            "%u, prev %x, expected %x", (unsigned)id, c,
                            (unsigned long long)run->partial, (unsigned)run->size_class,
                            (unsigned)run->partial_prev, (unsigned)previous);
        }
        listed++;
    }
    return listed == expected
           || MISMATCH("class %u: %zu runs in the partial list, %zu have a partly used "
                       "page", c, listed, expected);
}

static bool
check_current(const struct obm_heap *heap, unsigned c, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_front *front = obm_front_of((struct obm_heap *)heap, c);
    const struct obm_pool *current = front->current[obm_place_in_front(c)];
    if (current != &obm_no_pool
        && (current->state != OBM_POOL_CURRENT || current->size_class != c)) {
        return MISMATCH("current pool of class %u: state %u, class %u", c,
                        (unsigned)current->state, (unsigned)current->size_class);
    }
    return true;
}

/* Whether a medium class has the run; 0 is none. */
static bool
has_run(const struct obm_heap *heap, unsigned c, obm_run_id id)
{
    return id == 0 || (obm_run_arena(heap, id)->address != 0
                       && obm_run_at(heap, id)->size_class == c);
}

/* The current run of a medium class, and the block that it keeps. */
static bool
check_medium(const struct obm_heap *heap, unsigned c, char message[OBM_CHECK_MESSAGE_SIZE])
{
    obm_run_id current = heap->medium.current[c - OBM_SMALL_CLASSES];
    const struct obm_kept_block *kept = &heap->medium.kept[c - OBM_SMALL_CLASSES];
    if (!has_run(heap, c, current) || !has_run(heap, c, kept->run)) {
        return MISMATCH("class %u: current run %x, a block of run %x is kept, not both are its own",
                        c, (unsigned)current, (unsigned)kept->run);
    }
    if (kept->run != 0 && c - OBM_SMALL_CLASSES >= heap->medium.classes) {
        return MISMATCH("class %u keeps a block of run %x, but only %u medium classes may", c,
                        (unsigned)kept->run, heap->medium.classes);
    }
    unsigned number = obm_kept_number(kept);
    if (kept->run != 0 && (number >= obm_run_capacity(heap, obm_run_at(heap, kept->run))
                           || obm_block_is_free(heap, kept->run, number))) {
        return MISMATCH("class %u: block %u of run %x is kept, and not counted as live", c,
                        number, (unsigned)kept->run);
    }
    return true;
}

static bool
check_class(const struct obm_heap *heap, unsigned c, struct run_counts counts,
            char message[OBM_CHECK_MESSAGE_SIZE])
{
    if (!check_run_buckets(heap, c, counts.with_room, message)) {
        return false;
    }
    if (obm_is_medium_class(c)) {
        return check_medium(heap, c, message);
    }
    return check_partial_list(heap, c, counts.partial, message) && check_current(heap, c, message);
}

static void
count_runs(const struct obm_heap *heap, struct run_counts counts[OBM_ALL_CLASSES])
{
    memset(counts, 0, OBM_ALL_CLASSES * sizeof(counts[0]));
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        for (unsigned r = 0; r < OBM_RUNS_PER_ARENA; r++) {
            const struct obm_run *run = &heap->arenas[i].runs[r];
            if (heap->arenas[i].address != 0 && run->size_class < OBM_ALL_CLASSES) {
                counts[run->size_class].with_room += obm_run_has_room(run);
                counts[run->size_class].partial += run->partial != 0;
            }
        }
    }
}

static bool
check_classes(const struct obm_heap *heap, char message[OBM_CHECK_MESSAGE_SIZE])
{
    struct run_counts counts[OBM_ALL_CLASSES];
    count_runs(heap, counts);
    for (unsigned c = 0; c < OBM_ALL_CLASSES; c++) {
        if (!check_class(heap, c, counts[c], message)) {
            return false;
        }
    }
    return true;
}

static bool
check_queue(const struct obm_heap *heap, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_retention *retention = &heap->retention;
    size_t queued = 0, length = 0;
    obm_arena_index previous = 0;
    for (obm_arena_index i = heap->dirty_queue.head; i != 0 && length <= heap->arena_count;
         previous = i, i = heap->arenas[i].dirty_next) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        if (arena->counted_dirty == 0 || arena->dirty_prev != previous) {
            return MISMATCH("arena %u in the queue: %u counted_dirty, prev %u, expected %u",
                            (unsigned)i, (unsigned)arena->counted_dirty,
                            (unsigned)arena->dirty_prev, (unsigned)previous);
        }
        queued += arena->counted_dirty;
        length++;
    }
    if (queued != retention->dirty || heap->dirty_queue.tail != previous) {
        return MISMATCH("queued arenas have %zu dirty pages, %zu are counted; the last is "
                        "%u, the tail %u", queued, retention->dirty, (unsigned)previous,
                        (unsigned)heap->dirty_queue.tail);
    }
    return true;
}

static bool
check_unused_arenas(const struct obm_heap *heap, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t expected = heap->arenas_ever - 1 - heap->arena_count;
    size_t listed = 0;
    for (obm_arena_index i = heap->unused_arenas; i != 0 && listed <= expected;
         i = heap->arenas[i].next) {
        if (heap->arenas[i].address != 0) {
            return MISMATCH("arena %u at %zx is on the list of unused ones", (unsigned)i,
                            (size_t)heap->arenas[i].address);
        }
        listed++;
    }
    return listed == expected
           || MISMATCH("%zu unused arenas are listed, expected %zu", listed, expected);
}

static bool
check_map_of_arenas(const struct obm_map *map, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t entries = 0;
    if ((map->capacity & (map->capacity - 1)) != 0 || map->count > map->capacity / 2) {
        return MISMATCH("the map counts %zu entries in %zu places", map->count, map->capacity);
    }
    for (size_t i = 0; i < map->capacity; i++) {
        entries += map->entries[i].first_page != 0;
    }
    if (entries != map->count) {
        return MISMATCH("the map has %zu entries, it counts %zu", entries, map->count);
    }
    return true;
}

static bool
check_lists(const struct obm_heap *heap, size_t usable, char message[OBM_CHECK_MESSAGE_SIZE])
{
    return check_map_of_arenas(&heap->map, message)
           && check_queue(heap, message) && check_unused_arenas(heap, message)
           && check_classes(heap, message) && check_arena_buckets(heap, usable, message);
}

static bool
check_retention(const struct obm_retention *retention, char message[OBM_CHECK_MESSAGE_SIZE])
{
    if (retention->low_water > retention->dirty) {
        return MISMATCH("low_water %zu <= dirty %zu does not hold",
                        retention->low_water, retention->dirty);
    }
    if (retention->allowance < retention->base) {
        return MISMATCH("allowance %zu is below base %zu", retention->allowance,
                        retention->base);
    }
    return true;
}

/* Which front has the current pools. */
static bool
check_longlived(const struct obm_heap *heap, char message[OBM_CHECK_MESSAGE_SIZE])
{
    const struct obm_longlived *longlived = &heap->longlived;
    bool marked = longlived->marks != NULL;
    if (longlived->state == 0) {
        return MISMATCH("the list of marks has no state: every thread passes for a marked one");
    }
    if (heap->pools != (marked ? &longlived->aside : heap->front)) {
        return MISMATCH("%s thread is marked, and the current pools are %s", marked ? "a" : "no",
                        heap->pools == heap->front ? "in force" : "aside");
    }
    for (const struct obm_mark *mark = longlived->marks; mark != NULL; mark = mark->next) {
        if (mark->thread == 0 || mark->depth == 0) {
            return MISMATCH("thread %zu is marked %zu times", (size_t)mark->thread, mark->depth);
        }
    }
    for (unsigned c = 0; marked && c < OBM_SMALL_CLASSES; c++) {
        if (heap->front->current[c] != &obm_no_pool) {
            return MISMATCH("class %u: a pool is in force, though a thread is marked", c);
        }
    }
    return !marked || heap->medium.max == 0
           || MISMATCH("medium.max is %zu, though a thread is marked", heap->medium.max);
}

bool
obm_check_heap(const struct obm_heap *heap, int level, char message[OBM_CHECK_MESSAGE_SIZE])
{
    size_t arenas = 0, usable = 0, dirty = 0, resident = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        if (arena->address == 0) {
            continue;
        }
        arenas++;
        usable += arena->free_runs != 0;
        dirty += arena->counted_dirty;
        resident += arena->page_count;
        resident -= arena->huge ? 0u : (unsigned)arena->free_pages - arena->dirty_pages;
        if (!check_arena(heap, i, level, message)) {
            return false;
        }
    }
    if (arenas != heap->arena_count || dirty != heap->retention.dirty) {
        return MISMATCH("%zu arenas with %zu dirty pages, counted %zu with %zu", arenas,
                        dirty, heap->arena_count, heap->retention.dirty);
    }
    if (resident != heap->resident_pages) {
        return MISMATCH("%zu pages of arenas may be resident, counted %zu", resident,
                        heap->resident_pages);
    }
    return check_retention(&heap->retention, message) && check_longlived(heap, message)
           && (level < 2 || check_lists(heap, usable, message));
}

/* As the program runs --------------------------------------------------------------- */

OBM_NOINLINE void
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

OBM_NOINLINE void
obm_must_be_live(const struct obm_heap *heap, const struct obm_pool *pool,
                 const void *block, int level)
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    if (!obm_check_block(heap, pool, block, level, message)) {
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

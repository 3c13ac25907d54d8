/* obmalloc: the entry points.

   The first allocation of a class: obm_malloc_fast() finds "no pool" and
   gives up; obm_malloc_slow() asks for a pool; obm_run_with_room() finds no
   run, takes one from the fullest arena, or maps an arena; the pool links its
   first blocks; the fast path takes one of them.

   A free: obm_free_fast() computes the descriptor from the address, counts down
   and pushes the block.  When the countdown was 0 something else is due, and
   obm_free_counted() finds out what: the pool was full, or becomes empty, or there
   is no pool at that address.  obm_free_slow() is for blocks outside the window.

   Each entry point is either on the hot path (fast_path.h), or may cost a few
   hundred instructions. */

#include "obmalloc/alloc.h"
#include "obmalloc/check.h"
#include "obmalloc/longlived.h"
#include "obmalloc/os.h"
#include "obmalloc/pool.h"
#include "obmalloc/secure.h"
#include "obmalloc/size_class.h"

#include <string.h>

/* malloc ---------------------------------------------------------------------- */

/* Whether the pool has no block to hand out, nor to carve; "no pool" has none. */
OBM_INLINE bool
pool_is_exhausted(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return pool == &obm_no_pool
           || (!obm_is_link(pool->free) && pool->carved == obm_pool_capacity(heap, pool));
}

/* The current pool of a small class, with a block at hand or still to be carved; NULL: no
   memory.  front: the one that has the pools of its kind, this class at that place. */
OBM_INLINE struct obm_pool *
pool_with_room(struct obm_heap *heap, const struct obm_front *front, size_t place,
               unsigned size_class)
{
    struct obm_pool *pool = front->current[place];
    return pool_is_exhausted(heap, pool) ? obm_pool_next(heap, size_class) : pool;
}

/* In a secure heap, whose pools have no free lists. */
static void *
take_securely(struct obm_heap *heap, struct obm_front *front, size_t place, unsigned size_class)
{
    struct obm_pool *pool = front->current[place];
    if (pool == &obm_no_pool
        || obm_pool_live(heap, pool) == obm_pool_capacity(heap, pool)) {
        pool = obm_pool_next(heap, size_class);
    }
    return pool != NULL ? obm_secure_take(heap, pool) : NULL;
}

/* A block of that class, for a request of so many bytes. */
OBM_INLINE void *
take_at_once(struct obm_heap *heap, struct obm_front *front, unsigned size_class, size_t size)
{
    struct obm_pool *pool = pool_with_room(heap, front, obm_size_class(size), size_class);
    if (pool == NULL) {
        return NULL;
    }
    if (!obm_is_link(pool->free)) {
        obm_pool_carve(heap, pool);
    }
    return obm_malloc_fast(front, size);
}

/* The same with checks, or in a secure heap. */
static OBM_NOINLINE void *
take_small_carefully(struct obm_heap *heap, struct obm_front *front, unsigned size_class,
                     size_t size)
{
    void *block = heap->settings.secure
                  ? take_securely(heap, front, obm_size_class(size), size_class)
                  : take_at_once(heap, front, size_class, size);
    if (block != NULL && heap->settings.check_level > 0) {
        obm_check_on_the_way(heap, obm_find_pool(heap, block), block);
    }
    return block;
}

OBM_INLINE void *
take_small(struct obm_heap *heap, struct obm_front *front, unsigned size_class, size_t size)
{
    return OBM_UNLIKELY(heap->careful) ? take_small_carefully(heap, front, size_class, size)
                                       : take_at_once(heap, front, size_class, size);
}

OBM_NOINLINE void *
obm_malloc_slow(struct obm_heap *heap, size_t size)
{
    return take_small(heap, heap->pools, (unsigned)obm_size_class(size), size);
}

/* The current pool of the kind that the calling thread gets has no block. */
static OBM_NOINLINE void *
malloc_slow_beside_marks(struct obm_heap *heap, size_t size)
{
    unsigned size_class = obm_class_in_force(heap, (unsigned)obm_size_class(size));
    return take_small(heap, obm_front_of(heap, size_class), size_class, size);
}

OBM_NOINLINE void *
obm_malloc_beside_marks(struct obm_heap *heap, size_t size)
{
    struct obm_front *front = obm_is_marked(heap) ? &heap->longlived.front : heap->pools;
    void *block = obm_malloc_fast(front, size);
    return OBM_LIKELY(block != NULL) ? block : malloc_slow_beside_marks(heap, size);
}

void *
obm_malloc(struct obm_heap *heap, size_t size)
{
    void *block = obm_malloc_fast(heap->front, size);
    return block != NULL ? block : obm_malloc_refused(heap, size);
}

/* Take a block that was never used, with an empty free list. */
static void *
take_untouched(struct obm_heap *heap, struct obm_pool *pool)
{
    void *block = obm_pool_blocks(heap, pool)
                  + pool->carved * obm_class_size(heap, pool->size_class);
    pool->carved++;
    pool->countdown++;
    return block;
}

void *
obm_calloc(struct obm_heap *heap, size_t size)
{
    void *block = obm_malloc_fast(heap->front, size);
    if (block != NULL) {
        return memset(block, 0, size);
    }
    if (obm_size_class(size) >= OBM_SMALL_CLASSES) {
        return obm_medium_calloc(heap, size);
    }
    unsigned size_class = obm_class_in_force(heap, (unsigned)obm_size_class(size));
    struct obm_front *front = obm_front_of(heap, size_class);
    if (size > OBM_CLEAR_MAX && !heap->settings.secure) {
        struct obm_pool *pool = pool_with_room(heap, front, obm_size_class(size), size_class);
        if (pool != NULL && !obm_is_link(pool->free) && pool->clean) {
            /* The system delivered the page zeroed, so there is nothing to clear. */
            return take_untouched(heap, pool);
        }
    }
    block = take_small(heap, front, size_class, size);
    return block != NULL ? memset(block, 0, size) : NULL;
}

/* free ------------------------------------------------------------------------- */

/* End the process if the block, which is none of this heap's, is one of another
   heap's, or was one of an arena that is gone. */
static void
must_be_foreign(const struct obm_heap *heap, const void *block)
{
    if (obm_belongs_to_other_heap(heap, block)) {
        obm_fatal(heap, "block %p is freed or resized through the wrong interpreter: "
                  "another one allocated it", block);
    }
    if ((uintptr_t)block - heap->window_base < heap->window_mapped
        && !heap->os->is_mapped(block)) {
        obm_fatal(heap, "block %p is freed or resized, but its arena went back to the "
                  "system: freed twice?", block);
    }
}

/* Whether block can be no live block of the pool, which is verified always: it was
   freed last, or lies in the middle of a block of a full page, which is looked at
   anyway when it is refilled.  Pages are aligned to their size. */
static bool
is_a_mistake(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    if (pool->free == obm_link_to(block)) {
        return true;
    }
    const struct obm_size_class *row = &heap->geometry.classes[pool->size_class];
    uint32_t offset = (uint32_t)((uintptr_t)block & (heap->geometry.page_size - 1));
    /* The difference may wrap; the remainder holds, since a size whose blocks start later
       divides 2^32. */
    return pool->state == OBM_POOL_FULL && (offset - row->start) % row->size != 0;
}

static OBM_NOINLINE void
end_freed_twice(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    obm_fatal(heap, "block %p is freed, but no block of its page is in use "
              "(page %u of arena %u): freed twice?", block,
              obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool));
}

/* Put a block that no caller holds back into its pool, in any state of the pool. */
OBM_INLINE void
put_in_pool(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (pool->state == OBM_POOL_MEDIUM) {
        obm_medium_free(heap, pool, block);
    }
    else if (pool->state == OBM_POOL_FREE || pool->countdown < 0) {
        end_freed_twice(heap, pool, block);
    }
    else if (pool->countdown > 0) {
        /* Outside the window, or with the fast path switched off. */
        pool->countdown--;
        obm_pool_push(heap, pool, block);
    }
    else if (pool->state == OBM_POOL_FULL) {
        obm_pool_was_full(heap, pool, block);
    }
    else {
        obm_pool_is_empty(heap, pool, block);
    }
}

/* A block that leaves the quarantine. */
static OBM_NOINLINE void
put_filled(struct obm_heap *heap, void *block)
{
    struct obm_pool *pool = obm_find_pool(heap, block);
    obm_secure_verify_filled(heap, pool, block);
    put_in_pool(heap, pool, block);
}

void
obm_quarantine_empty(struct obm_heap *heap)
{
    if (heap->secure.quarantine == NULL) {
        return;
    }
    for (unsigned i = 0; i < OBM_QUARANTINE_BLOCKS; i++) {
        void *block = obm_secure_remove(heap, i);
        if (block != NULL) {
            put_filled(heap, block);
        }
    }
}

/* Free a block of this pool, with checks or in a secure heap. */
static OBM_NOINLINE void
free_carefully(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (heap->settings.check_level > 0) {
        obm_check_on_the_way(heap, pool, block);
    }
    if (!heap->settings.secure) {
        if (is_a_mistake(heap, pool, block)) {
            obm_must_be_live(heap, pool, block, 2);
        }
        put_in_pool(heap, pool, block);
        return;
    }
    obm_must_be_live(heap, pool, block, 1);
    obm_secure_fill(heap, pool, block);
    void *leaves = obm_secure_quarantine(heap, block, obm_class_size(heap, pool->size_class));
    if (leaves != NULL) {
        put_filled(heap, leaves);
    }
}

/* Free a block of this pool. */
OBM_INLINE void
free_in_pool(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (OBM_UNLIKELY(heap->careful)) {
        free_carefully(heap, pool, block);
        return;
    }
    if (OBM_UNLIKELY(is_a_mistake(heap, pool, block))) {
        obm_must_be_live(heap, pool, block, 2);
    }
    put_in_pool(heap, pool, block);
}

OBM_NOINLINE bool
obm_free_slow(struct obm_heap *heap, void *block)
{
    struct obm_pool *pool = obm_find_pool(heap, block);
    if (pool == NULL) {
        must_be_foreign(heap, block);
        return false;
    }
    free_in_pool(heap, pool, block);
    return true;
}

/* A page of the window that is not of a medium class; or with checks, or while a thread gets
   long-lived blocks. */
static OBM_NOINLINE bool
free_in_window(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (pool->state == OBM_POOL_ABSENT) {
        return obm_free_slow(heap, block);
    }
    free_in_pool(heap, pool, block);
    return true;
}

OBM_NOINLINE bool
obm_free_counted(struct obm_heap *heap, void *block)
{
    uintptr_t offset = (uintptr_t)block - heap->window_base;
    struct obm_pool *pool = &heap->window_pools[offset >> obm_page_shift(heap)];
    pool->countdown++;
    return pool->state == OBM_POOL_MEDIUM && heap->medium.max != 0
           ? obm_medium_free_in_window(heap, block) : free_in_window(heap, pool, block);
}

bool
obm_free(struct obm_heap *heap, void *block)
{
    if (OBM_UNLIKELY(!obm_front_covers(heap->front, block))) {
        return obm_free_slow(heap, block);
    }
    return obm_free_fast(heap, heap->front, block) || obm_free_counted(heap, block);
}

/* realloc ---------------------------------------------------------------------- */

/* What a block is made to hold that grows from old to size bytes.  A list or a
   bytearray grows in many small steps: with some headroom not each of them moves it. */
static size_t
with_headroom(size_t old, size_t size)
{
    size_t roomy = size + (size >> OBM_HEADROOM_SHIFT);
    if (size <= OBM_SMALL_MAX || size > OBM_MEDIUM_MAX || size <= old || size - old > size / 4) {
        return size;
    }
    return roomy < OBM_MEDIUM_MAX ? roomy : OBM_MEDIUM_MAX;
}

/* End the process if the block that is to be resized is seen to be none in use: one that
   stays in its place is not freed, which would find that out.  A small block is looked at
   only with checks, in a secure heap, or when its page is free. */
static void
must_be_in_use(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    if (OBM_UNLIKELY(heap->settings.check_level > 0)) {
        obm_check_on_the_way(heap, pool, block);
    }
    else if (OBM_UNLIKELY(heap->settings.secure || pool->state == OBM_POOL_FREE)) {
        obm_must_be_live(heap, pool, block, 1);
    }
    else if (pool->state == OBM_POOL_MEDIUM) {
        obm_medium_must_be_live(heap, pool, block);
    }
}

bool
obm_realloc(struct obm_heap *heap, void **block, size_t size,
            void *(*elsewhere)(void *context, size_t size), void *context)
{
    const struct obm_pool *pool = obm_find_pool(heap, *block);
    if (pool == NULL) {
        must_be_foreign(heap, *block);
        return false;
    }
    must_be_in_use(heap, pool, *block);
    size_t old = obm_class_size(heap, pool->size_class);
    if (obm_stays_in_place(old, size)) {
        return true;
    }
    void *moved = obm_malloc(heap, with_headroom(old, size));
    if (moved == NULL) {
        moved = elsewhere(context, size);
    }
    if (moved == NULL && size <= old) {
        return true;
    }
    if (moved != NULL) {
        memcpy(moved, *block, size < old ? size : old);
        obm_free(heap, *block);
    }
    *block = moved;
    return true;
}

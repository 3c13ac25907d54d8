/* obmalloc: from an address to the descriptor of its page, and back. */

#ifndef OBM_ARENA_MAP_H
#define OBM_ARENA_MAP_H

#include "obmalloc/size_class.h"

/* The address in the window at which arena number index belongs, with its
   descriptors mapped and zero; 0: it has no place there. */
OBM_API uintptr_t obm_window_address(struct obm_heap *heap, obm_arena_index index);

/* The descriptors of arena number index of the window. */
OBM_API struct obm_pool *obm_window_pools(struct obm_heap *heap, obm_arena_index index);

/* Give back the memory of those descriptors; they read as ABSENT then. */
OBM_API void obm_window_forget(struct obm_heap *heap, obm_arena_index index);

/* Enter or remove an arena outside the window.  false: no memory, and
   nothing has changed. */
OBM_API bool obm_map_insert(struct obm_heap *heap, const struct obm_arena_object *arena);
OBM_API void obm_map_remove(struct obm_heap *heap, const struct obm_arena_object *arena);

/* The pool of this heap that address lies in, outside the window; NULL: none. */
OBM_API struct obm_pool *obm_map_find(const struct obm_heap *heap, const void *address);

/* The pool of this heap that address lies in; NULL: in none.  Reads only
   memory of the allocator. */
OBM_INLINE struct obm_pool *
obm_find_pool(const struct obm_heap *heap, const void *address)
{
    uintptr_t offset = (uintptr_t)address - heap->window_base;
    if (OBM_LIKELY(offset < heap->window_mapped)) {
        struct obm_pool *pool = &heap->window_pools[offset >> obm_page_shift(heap)];
        if (OBM_LIKELY(pool->state != OBM_POOL_ABSENT)) {
            return pool;
        }
    }
    return heap->map.count != 0 ? obm_map_find(heap, address) : NULL;
}

/* Whether address lies in an arena of another heap of this process. */
OBM_API bool obm_belongs_to_other_heap(const struct obm_heap *heap, const void *address);

/* Unmap the descriptors and give the window up. */
OBM_API void obm_window_close(struct obm_heap *heap);
OBM_API void obm_map_close(struct obm_heap *heap);

OBM_INLINE struct obm_arena_object *
obm_run_arena(const struct obm_heap *heap, obm_run_id id)
{
    return &heap->arenas[id >> OBM_RUNS_SHIFT];
}

OBM_INLINE struct obm_run *
obm_run_at(const struct obm_heap *heap, obm_run_id id)
{
    return &obm_run_arena(heap, id)->runs[id & (OBM_RUNS_PER_ARENA - 1)];
}

/* Outside the window the descriptors of an arena lie together in a piece of memory
   that is aligned to its size, so that the first is found from any; in its other half
   stands this. */
struct obm_outside {
    obm_arena_index arena;
    void *mapping;          /* of obm_outside_mapping() bytes, with the piece in it */
};

/* The size of such a piece: a power of two. */
OBM_INLINE size_t
obm_outside_size(const struct obm_heap *heap)
{
    return 2 * sizeof(struct obm_pool) << heap->geometry.arena_pages_shift;
}

/* Enough to find an aligned piece in it wherever it begins. */
OBM_INLINE size_t
obm_outside_mapping(const struct obm_heap *heap)
{
    return 2 * obm_outside_size(heap);
}

OBM_INLINE struct obm_pool *
obm_outside_first(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (struct obm_pool *)((uintptr_t)pool & ~(obm_outside_size(heap) - 1));
}

OBM_INLINE struct obm_outside *
obm_outside_of(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (struct obm_outside *)(obm_outside_first(heap, pool) + heap->geometry.arena_pages);
}

/* Whether a descriptor belongs to the window, and at which place there. */
OBM_INLINE bool
obm_place_in_window(const struct obm_heap *heap, const struct obm_pool *pool, size_t *place)
{
    *place = ((uintptr_t)pool - (uintptr_t)heap->window_pools) / sizeof(struct obm_pool);
    return *place < heap->window_mapped >> obm_page_shift(heap);
}

/* Which page a descriptor stands for: the index of its arena times the pages of an
   arena, plus the number of the page in it.  In the window that is its place. */
OBM_INLINE size_t
obm_page_id(const struct obm_heap *heap, const struct obm_pool *pool)
{
    size_t place;
    if (OBM_LIKELY(obm_place_in_window(heap, pool, &place))) {
        return place;
    }
    return ((size_t)obm_outside_of(heap, pool)->arena << heap->geometry.arena_pages_shift)
           + (size_t)(pool - obm_outside_first(heap, pool));
}

/* The run of a page, and the descriptors and the address of a run. */
OBM_INLINE obm_run_id
obm_pool_run(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (obm_run_id)(obm_page_id(heap, pool) >> obm_run_pages_shift(heap));
}

OBM_INLINE struct obm_pool *
obm_run_pools(const struct obm_heap *heap, obm_run_id id)
{
    return obm_run_arena(heap, id)->pools
           + ((id & (OBM_RUNS_PER_ARENA - 1)) << obm_run_pages_shift(heap));
}

OBM_INLINE uintptr_t
obm_run_address(const struct obm_heap *heap, obm_run_id id)
{
    return obm_run_arena(heap, id)->first_page
           + ((uintptr_t)(id & (OBM_RUNS_PER_ARENA - 1)) << obm_run_shift(heap));
}

OBM_INLINE obm_arena_index
obm_pool_arena(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (obm_arena_index)(obm_page_id(heap, pool) >> heap->geometry.arena_pages_shift);
}

/* The number of the page in its arena. */
OBM_INLINE unsigned
obm_pool_page(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (unsigned)obm_page_id(heap, pool) & (heap->geometry.arena_pages - 1u);
}

/* And in its run. */
OBM_INLINE unsigned
obm_pool_page_in_run(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (unsigned)obm_page_id(heap, pool) & ((1u << obm_run_pages_shift(heap)) - 1u);
}

OBM_INLINE char *
obm_pool_address(const struct obm_heap *heap, const struct obm_pool *pool)
{
    size_t place;
    if (OBM_LIKELY(obm_place_in_window(heap, pool, &place))) {
        return (char *)(heap->window_base + (place << obm_page_shift(heap)));
    }
    return (char *)(heap->arenas[obm_outside_of(heap, pool)->arena].first_page
                    + ((size_t)(pool - obm_outside_first(heap, pool)) << obm_page_shift(heap)));
}

#endif /* OBM_ARENA_MAP_H */

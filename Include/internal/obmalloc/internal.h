/* obmalloc: prototypes of the core, layer by layer, and the hot path.

   A file of Objects/obmalloc/ uses only what stands in the layers above its
   own, and the checks of check.c.  Every function takes the heap that it
   works on; none is reentrant, and none may be called by two threads at a
   time for the same heap. */

#ifndef OBM_INTERNAL_H
#define OBM_INTERNAL_H

#include "obmalloc/types.h"

#include <stdio.h>

/* Functions that another translation unit may call.  In a patched CPython the
   core is one translation unit (static.c), and they are static. */
#ifndef OBM_API
#  define OBM_API extern
#endif

/* os.c: the operating system --------------------------------------------- */

/* The system's own functions.  Never NULL. */
OBM_API const struct obm_os *obm_os_system(void);

/* Whether this process may do more than the user who started it (a set-uid or
   set-gid program, file capabilities), so that its environment is not to be
   trusted. */
OBM_API bool obm_has_raised_rights(void);

/* Format a message of at most 511 bytes and pass it to os->fatal. */
OBM_API void obm_fatal(const struct obm_heap *heap, const char *format, ...)
    OBM_PRINTF(2, 3);

/* system_malloc.c: the malloc that serves what the arenas do not ----------- */

/* This process.  Never NULL. */
OBM_API const struct obm_process *obm_process_system(void);

/* Let glibc's malloc have one arena, if the settings and the number of processors say
   so, unless MALLOC_ARENA_MAX or GLIBC_TUNABLES decides it.  Returns whether it was
   done. */
OBM_API bool obm_malloc_one_arena(const struct obm_settings *settings);

/* The number of processors that this process may use: its affinity mask's, or what the
   quota of its cgroup allows, if that is less. */
OBM_API unsigned obm_processors(void);

/* idle.c: when the system's malloc gives back ------------------------------- */

/* Zeroed memory plus this is the state of a process that has just begun. */
OBM_API void obm_idle_init(struct obm_idle *idle, const struct obm_process *process);

/* The purger has started: its looks begin here. */
OBM_API void obm_idle_start(struct obm_idle *idle);

/* Look once, and let the system's malloc give back if this is the time and trims_malloc is
   set.  Returns true if the process is idle and its malloc has nothing more to give back. */
OBM_API bool obm_idle_tick(struct obm_idle *idle, bool trims_malloc);

/* Whether the system's malloc may have something to give back, so that the purger is
   worth starting. */
OBM_API bool obm_idle_is_worth(const struct obm_idle *idle);

/* size_class.c: sizes ----------------------------------------------------- */

/* Bytes in a block of this class. */
OBM_INLINE size_t
obm_class_size(unsigned size_class)
{
    return ((size_t)size_class + 1) << OBM_ALIGNMENT_SHIFT;
}

/* The class of a request.  For size 0, and for sizes above OBM_SMALL_MAX, the
   result is not below OBM_SIZE_CLASSES: one comparison rules out both. */
OBM_INLINE size_t
obm_size_class(size_t size)
{
    return (size - 1) >> OBM_ALIGNMENT_SHIFT;
}

/* Fill in what follows from the page size in bytes (a power of two between
   4 and 64 KiB).  false: the page size is not supported. */
OBM_API bool obm_geometry_init(struct obm_geometry *geometry, size_t page_size);

OBM_INLINE unsigned
obm_page_shift(const struct obm_heap *heap)
{
#if OBM_FIXED_PAGE_SHIFT
    (void)heap;
    return OBM_FIXED_PAGE_SHIFT;
#else
    return heap->geometry.page_shift;
#endif
}

/* secure.c: PYTHONOBMALLOC=secure=1 ---------------------------------------- */

/* Memory for what the allocator itself keeps, all zero, between guard pages if
   the heap is secure.  NULL: refused. */
OBM_API void *obm_metadata_map(const struct obm_heap *heap, size_t size);
OBM_API void obm_metadata_unmap(const struct obm_heap *heap, void *address, size_t size);

/* Make the last page of an arena that was just mapped a guard, if the system
   agrees; page_count tells. */
OBM_API void obm_secure_guard_arena(const struct obm_heap *heap,
                                    struct obm_arena_object *arena);

/* Map or unmap an arena's bitmaps.  false: no memory. */
OBM_API bool obm_secure_open_arena(const struct obm_heap *heap,
                                   struct obm_arena_object *arena);
OBM_API void obm_secure_close_arena(const struct obm_heap *heap,
                                    struct obm_arena_object *arena);

/* Bytes mapped for those bitmaps. */
OBM_API size_t obm_secure_bits_size(const struct obm_heap *heap);

/* All blocks of a pool on a page that was just taken can be handed out. */
OBM_API void obm_secure_new_pool(const struct obm_heap *heap, struct obm_pool *pool);

/* Take a random block of a pool that has one to hand out, and count it. */
OBM_API void *obm_secure_take(struct obm_heap *heap, struct obm_pool *pool);

/* Such a block can be handed out again. */
OBM_API void obm_secure_put(const struct obm_heap *heap, const struct obm_pool *pool,
                            void *block);

/* The caller of free() gives up a block, which he holds.  It is filled. */
OBM_API void obm_secure_retire(const struct obm_heap *heap, const struct obm_pool *pool,
                               void *block);

/* Put a retired block into quarantine.  Returns the one that leaves it, maybe the
   same; NULL: none. */
OBM_API void *obm_secure_quarantine(struct obm_heap *heap, void *block);

/* Take any block out of the place number i of the quarantine; NULL: it is empty. */
OBM_API void *obm_secure_release(struct obm_heap *heap, unsigned i);

/* A block leaves the quarantine.  Ends the process if it was written to. */
OBM_API void obm_secure_verify_retired(const struct obm_heap *heap,
                                       const struct obm_pool *pool, const void *block);

/* Copy the bitmap of the blocks that callers hold; returns their number. */
OBM_API unsigned obm_secure_live(const struct obm_heap *heap, const struct obm_pool *pool,
                                 uint64_t *live);

/* Whether a caller holds the block, which starts where a block does. */
OBM_API bool obm_secure_holds(const struct obm_heap *heap, const struct obm_pool *pool,
                              const void *block);

/* Number of blocks that can be handed out; SIZE_MAX: the bitmaps of the pool
   contradict each other. */
OBM_API size_t obm_secure_count_available(const struct obm_heap *heap,
                                          const struct obm_pool *pool);

OBM_API void obm_secure_close(struct obm_heap *heap);

/* arena_map.c: from an address to its pool -------------------------------- */

/* The address in the window at which arena number index belongs, with its
   descriptors mapped and zero; 0: it has no place there. */
OBM_API uintptr_t obm_window_address(struct obm_heap *heap, obm_arena_index index);

/* The descriptors of arena number index of the window. */
OBM_API struct obm_pool *obm_window_pools(struct obm_heap *heap, obm_arena_index index);

/* Hand back the memory of those descriptors; they read as ABSENT then. */
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

/* arena.c: arenas, their runs and pages ------------------------------------ */

/* The number of the bucket for an arena that has a free page. */
OBM_INLINE unsigned
obm_arena_bucket(const struct obm_heap *heap, const struct obm_arena_object *arena)
{
    return (arena->free_pages - 1u)
           >> (heap->geometry.arena_pages_shift - OBM_ARENA_BUCKETS_SHIFT);
}

/* A run of size_class with a free page, the fullest first; NULL: neither the
   class nor any arena has one, and no arena could be had.  The run may have
   been taken from the fullest arena with a free run, or from a new arena. */
OBM_API struct obm_run *obm_run_with_room(struct obm_heap *heap, unsigned size_class,
                                          obm_run_id *id);

/* Take the page number page of the run out of its free pages, or put it back
   as dirty.  obm_page_take() says whether it was dirty, or its memory is known to be
   zero, and how many pages were backed by memory for it that had been purged: itself,
   and those after it in a heap that populates ahead. */
struct obm_page_history { bool dirty, clean; unsigned refaults; };
OBM_API struct obm_page_history obm_page_take(struct obm_heap *heap, obm_run_id id,
                                              unsigned page);
OBM_API void obm_page_give(struct obm_heap *heap, obm_run_id id, unsigned page);

/* Purge dirty pages of an arena that is purgeable, run by run, until at least
   limit (> 0) pages or all have gone.  Returns the number of pages; 0: the
   system refused, and the arena is purgeable no more. */
OBM_API size_t obm_arena_purge(struct obm_heap *heap, obm_arena_index index, size_t limit);

/* Where huge pages hold memory that no page of ours uses, count it as dirty, so
   that it can be purged; until the price has reached limit.  Returns the price, in
   nanoseconds. */
OBM_API uint64_t obm_arenas_take_apart(struct obm_heap *heap, uint64_t limit);

/* Return an arena without a used page to where it came from, its descriptors
   with it. */
OBM_API void obm_arena_release(struct obm_heap *heap, obm_arena_index index);

/* Return the memory of the arena array, and with it of all arenas. */
OBM_API void obm_arenas_close(struct obm_heap *heap);

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

/* The free list of a pool: see obm_link in types.h. */

OBM_INLINE bool
obm_is_link(obm_link link)
{
    return !(link & OBM_NO_LINK);
}

OBM_INLINE obm_link
obm_link_to(const void *block)
{
    return (obm_link)(uintptr_t)block;
}

/* The part of an address that a link leaves out. */
OBM_INLINE uintptr_t
obm_region_of(const void *address)
{
    return (uintptr_t)address & ~(uintptr_t)0xffff;
}

/* The block that a link leads to from any address in its page; NULL: none. */
OBM_INLINE void *
obm_linked_block(const void *address, obm_link link)
{
    return obm_is_link(link) ? (void *)(obm_region_of(address) | link) : NULL;
}

/* The free block after this one; NULL: it is the last. */
OBM_INLINE void *
obm_next_free(const void *block)
{
    return obm_linked_block(block, *(const obm_link *)block);
}

OBM_INLINE void *
obm_first_free(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return obm_linked_block(obm_pool_address(heap, pool), pool->free);
}

/* Number of the lowest bit set; word must not be 0. */
OBM_INLINE unsigned
obm_lowest_bit(uint64_t word)
{
#if defined(__GNUC__) || defined(__clang__)
    return (unsigned)__builtin_ctzll(word);
#else
    unsigned bit = 0;
    while (!(word & 1)) {
        word >>= 1;
        bit++;
    }
    return bit;
#endif
}

OBM_API unsigned obm_count_bits(uint64_t word);

/* retention.c: when memory goes back --------------------------------------- */

/* Set the policy according to heap->settings. */
OBM_API void obm_retention_init(struct obm_heap *heap);

/* Tell the policy that a page was freed, or taken from an arena. */
OBM_API void obm_retention_page_freed(struct obm_heap *heap);
OBM_API void obm_retention_page_taken(struct obm_heap *heap,
                                      const struct obm_arena_object *arena,
                                      struct obm_page_history history);

/* Look at the clock, give back what proved to be surplus, and what is above
   the allowance, as far as the bounded share of the time goes and one step does.
   Returns whether another step would give back more. */
OBM_API bool obm_retention_tick(struct obm_heap *heap);

/* Purge dirty pages, the longest free first, and release empty arenas, until
   at most target dirty pages are left, or the price has reached limit; the last
   arena may exceed it.  Returns the price, in nanoseconds (see config.h). */
OBM_API uint64_t obm_retention_trim(struct obm_heap *heap, size_t target, uint64_t limit);

/* Whether so much has gone back since this last returned true that the
   caller should empty its free lists, which may pin pages. */
OBM_API bool obm_free_lists_due(struct obm_heap *heap);

/* pool.c: pools of one size class ------------------------------------------ */

/* Make a pool with room current; NULL: no memory, and nothing has changed. */
OBM_API struct obm_pool *obm_pool_next(struct obm_heap *heap, unsigned size_class);

/* Link some of the blocks that were never used; the free list is empty, and
   carved < capacity. */
OBM_API void obm_pool_carve(const struct obm_heap *heap, struct obm_pool *pool);

/* A block of pool is about to be freed for which countdown == 0: the pool was FULL, and
   can be refilled now; or it is the last live block. */
OBM_API void obm_pool_was_full(struct obm_heap *heap, struct obm_pool *pool, void *block);
OBM_API void obm_pool_is_empty(struct obm_heap *heap, struct obm_pool *pool, void *block);

/* Let a block be handed out again. */
OBM_API void obm_pool_push(const struct obm_heap *heap, struct obm_pool *pool, void *block);

/* Give up current pools without a live block, so that their pages can go. */
OBM_API void obm_pools_retire(struct obm_heap *heap);

OBM_INLINE unsigned
obm_pool_capacity(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return heap->geometry.capacity[pool->size_class];
}

/* How many blocks of a full pool may be free before it is refilled. */
OBM_INLINE unsigned
obm_pool_patience(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return obm_pool_capacity(heap, pool) >> OBM_REFILL_SHIFT;
}

OBM_INLINE unsigned
obm_pool_live(const struct obm_heap *heap, const struct obm_pool *pool)
{
    switch (pool->state) {
    case OBM_POOL_FULL:
        return obm_pool_capacity(heap, pool) - obm_pool_patience(heap, pool)
               + (unsigned)pool->countdown;
    case OBM_POOL_PARTIAL:
    case OBM_POOL_CURRENT:
        return (unsigned)(pool->countdown + 1);
    default:
        return 0;
    }
}

/* Blocks that callers hold: the live ones, but for those in quarantine. */
OBM_INLINE unsigned
obm_pool_held(const struct obm_heap *heap, const struct obm_pool *pool)
{
    unsigned live = obm_pool_live(heap, pool);
    return heap->settings.secure && live != 0 ? obm_secure_live(heap, pool, NULL) : live;
}

/* alloc.c: the entry points ------------------------------------------------ */

/* Set up a heap in zeroed memory.  Nothing is mapped before the first
   allocation, so this cannot fail for lack of memory; false: the page size of
   the system is not supported, and every allocation will return NULL. */
OBM_API bool obm_heap_init(struct obm_heap *heap, const struct obm_os *os,
                           const struct obm_settings *settings);

/* Return everything to the system, whatever is still in use; or, if abandon,
   only what is free, and leave the rest in place for ever because blocks are
   in use.  The heap is empty
   then, and can be used again; arena_allocator and before_arena are NULL. */
OBM_API void obm_heap_close(struct obm_heap *heap, bool abandon);

/* Put front in force instead of the one that is, which is closed then; NULL:
   the heap's own.  A heap keeps its front when it is closed and used again. */
OBM_API void obm_heap_use_front(struct obm_heap *heap, struct obm_front *front);

/* A block of at least size bytes, aligned to OBM_ALIGNMENT; NULL if size is 0
   or above OBM_SMALL_MAX, or if there is no memory: the caller asks the
   system's malloc then. */
OBM_API void *obm_malloc(struct obm_heap *heap, size_t size);
OBM_API void *obm_malloc_slow(struct obm_heap *heap, size_t size);

/* The same, with every byte 0. */
OBM_API void *obm_calloc(struct obm_heap *heap, size_t size);

/* Free a block.  false: it is not a block of this heap, nor of any other. */
OBM_API bool obm_free(struct obm_heap *heap, void *block);
OBM_API bool obm_free_slow(struct obm_heap *heap, void *block);

/* The same for a block that obm_free_fast() has refused. */
OBM_API bool obm_free_counted(struct obm_heap *heap, void *block);

/* Bytes in the block; 0: it is not a block of this heap. */
OBM_INLINE size_t
obm_block_size(const struct obm_heap *heap, const void *block)
{
    const struct obm_pool *pool = obm_find_pool(heap, block);
    return pool != NULL ? obm_class_size(pool->size_class) : 0;
}

/* End the process if the block, which is none of this heap's, is one of
   another heap's. */
OBM_API void obm_must_be_foreign(const struct obm_heap *heap, const void *block);

/* Whether a block of old bytes stays where it is when it is asked to hold
   size bytes: it fits, and moving would save less than a quarter of it. */
OBM_INLINE bool
obm_stays_in_place(size_t old, size_t size)
{
    return size <= old && 4 * size > 3 * old;
}

/* Read "key=value,key=value" into settings.  For each key or value that is
   unknown, complain(text of one line, data); its default holds. */
OBM_API void obm_settings_parse(struct obm_settings *settings, const char *text,
                                void (*complain)(const char *line, void *data),
                                void *data);

/* The same for the value of an environment variable; NULL: it is not set.  Whoever
   starts a set-uid program does not choose its settings: there it counts as not set. */
OBM_API void obm_settings_from_environment(struct obm_settings *settings, const char *text,
                                           void (*complain)(const char *line, void *data),
                                           void *data);

/* Give back all that can go now.  Returns the number of bytes. */
OBM_API size_t obm_trim(struct obm_heap *heap);

/* The same in steps of OBM_PURGE_STEP_NANOSECONDS.  between() is called between two
   of them: the heap may be used and change meanwhile. */
OBM_API size_t obm_trim_in_steps(struct obm_heap *heap, void (*between)(void));

/* Bytes given back so far, by purges and releases. */
OBM_INLINE size_t
obm_given_back(const struct obm_heap *heap)
{
    return (heap->counters.purged_pages + heap->counters.released_pages)
           << obm_page_shift(heap);
}

/* Whether more is retained than any heap may keep: if nothing else happens, it
   takes obm_retention_tick() to give it back. */
OBM_INLINE bool
obm_has_surplus(const struct obm_heap *heap)
{
    return heap->retention.dirty > heap->retention.base;
}

/* Whether so much more is retained that the purger is worth starting. */
OBM_INLINE bool
obm_wants_purger(const struct obm_heap *heap)
{
    return heap->retention.dirty > heap->retention.surplus_at;
}

/* The thread is about to block: a moment at which purging delays no other
   thread. */
OBM_API void obm_before_blocking(struct obm_heap *heap);

/* stats.c: counted by walking, never on the way ----------------------------- */

struct obm_class_stats {
    size_t pools;           /* with a live block or current */
    size_t live_blocks;
    size_t free_blocks;     /* in those pools */
};

/* Grows when a field changes its meaning or goes; new fields do not count. */
#define OBM_STATS_VERSION 1

struct obm_stats {
    size_t page_size, run_size, arena_size;     /* bytes */
    size_t arenas;                      /* mapped now */
    size_t arena_bytes;                 /* of their whole pages */
    size_t arenas_mapped, arenas_released, arenas_highwater;
    size_t huge_arenas;                 /* now */
    size_t arenas_huge, arenas_split;   /* ever */
    size_t used_pages;                  /* of pools that are not FREE */
    size_t floor_pages;                 /* with at least one live block */
    size_t resident_pages;              /* used, or free and not given back */
    size_t free_pages, dirty_pages, purged_pages, fresh_pages;
    size_t live_blocks, live_bytes;     /* bytes of blocks, not of requests */
    size_t free_block_bytes;            /* in used pages */
    size_t tail_bytes;                  /* of used pages, too short for a block */
    size_t metadata_bytes;              /* mapped for descriptors and arrays */
    size_t purge_calls, pages_purged, pages_released, refaults, purge_failures;
    size_t allowance_pages;
    ptrdiff_t system_blocks;
    struct obm_class_stats classes[OBM_SIZE_CLASSES];
};

OBM_API void obm_stats_collect(const struct obm_heap *heap, struct obm_stats *stats);

/* Blocks in use, those of the system's malloc included. */
OBM_API ptrdiff_t obm_allocated_blocks(const struct obm_heap *heap);

/* heap_map.c: what every page is ------------------------------------------- */

enum obm_page_kind {
    OBM_PAGE_FRESH = 0,         /* free, never touched since its arena was mapped */
    OBM_PAGE_PURGED,            /* free, its memory was handed back */
    OBM_PAGE_DIRTY,             /* free, and maybe backed by memory */
    OBM_PAGE_USED               /* a pool of size_class */
};

struct obm_page_info {
    uint8_t kind;               /* enum obm_page_kind */
    uint8_t size_class;         /* OBM_NO_CLASS: free */
    uint16_t live;              /* blocks */
};

/* Describe each page of an arena that is mapped.  Returns how many it has. */
OBM_API unsigned obm_arena_describe(const struct obm_heap *heap, obm_arena_index index,
                                    struct obm_page_info pages[OBM_MAX_ARENA_PAGES]);

/* Which blocks of a pool are live: bit i % 64 of word i / 64 is block i, counted
   from the start of its page.  false: the free list is damaged, and no bit is
   set. */
#define OBM_POOL_WORDS (((size_t)1 << OBM_MAX_PAGE_SHIFT) / OBM_ALIGNMENT / 64)
OBM_API bool obm_pool_live_blocks(const struct obm_heap *heap, const struct obm_pool *pool,
                                  uint64_t live[OBM_POOL_WORDS]);

/* check.c: the invariants of types.h ---------------------------------------- */

/* Each returns whether all is well; if not, the first mismatch is described
   in message, with both values.  Level 1 compares counters, 2 also walks the
   lists and bitmaps, 3 also walks every free list. */
#define OBM_CHECK_MESSAGE_SIZE 256
OBM_API bool obm_check_heap(const struct obm_heap *heap, int level,
                            char message[OBM_CHECK_MESSAGE_SIZE]);
OBM_API bool obm_check_pool(const struct obm_heap *heap, const struct obm_pool *pool,
                            int level, char message[OBM_CHECK_MESSAGE_SIZE]);

/* Whether block is a live block of pool as far as can be told: it starts at
   the start of a block, was handed out, and (level 2 and up) is not on the
   free list. */
OBM_API bool obm_check_block(const struct obm_heap *heap, const struct obm_pool *pool,
                             const void *block, int level,
                             char message[OBM_CHECK_MESSAGE_SIZE]);

/* End the process with what obm_check_block() says, unless block is a live block of
   pool. */
OBM_API void obm_must_be_live(const struct obm_heap *heap, const struct obm_pool *pool,
                              const void *block, int level);

/* What check levels 1 to 3 verify as the program runs: a pool and a block
   whenever a call takes the slow way (from level 2 on every free does), the
   whole heap when an arena comes or goes (level 3).  Ends the process. */
OBM_API void obm_check_on_the_way(const struct obm_heap *heap,
                                  const struct obm_pool *pool, const void *block);
OBM_API void obm_check_at_arena_event(const struct obm_heap *heap);

/* dump.c: for people --------------------------------------------------------- */

/* The text of sys._debugmallocstats(). */
OBM_API void obm_dump_stats(const struct obm_heap *heap, FILE *out);

/* The hot path ---------------------------------------------------------------- */

/* A block from the pool in force; NULL: obm_malloc_slow() must be asked. */
OBM_INLINE void *
obm_malloc_fast(struct obm_front *front, size_t size)
{
    /* As obm_size_class(size) >= OBM_SIZE_CLASSES, but one instruction less. */
    size_t less = size - 1;
    if (OBM_UNLIKELY(less >= OBM_SMALL_MAX)) {
        return NULL;
    }
    size_t size_class = less >> OBM_ALIGNMENT_SHIFT;
    struct obm_pool *pool = front->current[size_class];
    uintptr_t link = pool->free;
    OBM_KEEP_APART(link);
    if (OBM_UNLIKELY(link & OBM_NO_LINK)) {
        return NULL;
    }
    OBM_KEEP_APART(size_class);
    void *block = (void *)(front->region[size_class] | link);
    OBM_KEEP_APART(block);
    pool->free = *(obm_link *)block;
    pool->countdown++;
    return block;
}

/* Whether a block lies where the window has descriptors. */
OBM_INLINE bool
obm_front_covers(const struct obm_front *front, const void *block)
{
    return (uintptr_t)block - front->window_base < front->window_limit;
}

/* Count the free of such a block in its pool, and push it.  false: counted, but not
   pushed, because the pool was full and is due, or becomes empty, or there is none, or the
   block is the one that was freed last; it is for obm_free_counted() to take the
   count back.  So an ordinary free counts and decides in two instructions, and
   in two more sees that it is not a second one. */
OBM_INLINE bool
obm_free_fast(const struct obm_heap *heap, const struct obm_front *front, void *block)
{
    struct obm_pool *pools = front->window_pools;
    uintptr_t page = ((uintptr_t)block - front->window_base) >> obm_page_shift(heap);
    bool negative;
    OBM_COUNT_DOWN(pools[page].countdown, negative);
    if (OBM_UNLIKELY(negative)) {
        return false;
    }
    OBM_KEEP_APART(page);
    obm_link last = pools[page].free;
    if (OBM_UNLIKELY(last == obm_link_to(block))) {
        return false;
    }
    *(obm_link *)block = last;
    OBM_KEEP_APART(page);
    pools[page].free = obm_link_to(block);
    return true;
}

#endif /* OBM_INTERNAL_H */

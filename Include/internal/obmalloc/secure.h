/* obmalloc: secure mode, PYTHONOBMALLOC=secure=1: bitmaps in place of free lists, a
   quarantine, and guard pages at the ends of arenas. */

#ifndef OBM_SECURE_H
#define OBM_SECURE_H

#include "obmalloc/descriptor.h"

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

/* Callers hold no block of a run that was just lent to a medium class. */
OBM_API void obm_secure_new_run(const struct obm_heap *heap, obm_run_id id);

/* The number of a random free block of a run of a medium class, which has one. */
OBM_API unsigned obm_secure_choose(struct obm_heap *heap, obm_run_id id);

/* Such a block was handed out. */
OBM_API void obm_secure_hold(const struct obm_heap *heap, const struct obm_pool *pool,
                             const void *block);

/* The blocks of such a run that callers hold: bit i % 64 of word i / 64 is block i. */
OBM_API const uint64_t *obm_secure_held_in_run(const struct obm_heap *heap, obm_run_id id);

/* Take a random block of a pool that has one to hand out, and count it. */
OBM_API void *obm_secure_take(struct obm_heap *heap, struct obm_pool *pool);

/* Such a block can be handed out again. */
OBM_API void obm_secure_put(const struct obm_heap *heap, const struct obm_pool *pool,
                            void *block);

/* Clear the held bit of a block that is freed, and fill it with OBM_FREED_BYTE. */
OBM_API void obm_secure_fill(const struct obm_heap *heap, const struct obm_pool *pool,
                             void *block);

/* Put a filled block of so many bytes into quarantine.  Returns the one that leaves it,
   maybe the same; NULL: none. */
OBM_API void *obm_secure_quarantine(struct obm_heap *heap, void *block, size_t size);

/* Take any block out of the place number i of the quarantine; NULL: it is empty. */
OBM_API void *obm_secure_remove(struct obm_heap *heap, unsigned i);

/* A block leaves the quarantine.  Ends the process if it was written to. */
OBM_API void obm_secure_verify_filled(const struct obm_heap *heap,
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

/* Blocks of a run of a medium class that callers hold: how many there are in all, whether
   this one is, and how many touch this page, which is MEDIUM. */
OBM_API unsigned obm_run_held(const struct obm_heap *heap, obm_run_id id);
OBM_API bool obm_block_is_held(const struct obm_heap *heap, obm_run_id id, unsigned number);
OBM_API unsigned obm_page_held(const struct obm_heap *heap, const struct obm_pool *pool);

/* Blocks of a pool that callers hold: the live ones, but for those in quarantine. */
OBM_INLINE unsigned
obm_pool_held(const struct obm_heap *heap, const struct obm_pool *pool)
{
    unsigned live = obm_pool_live(heap, pool);
    return heap->settings.secure && live != 0 ? obm_secure_live(heap, pool, NULL) : live;
}

#endif /* OBM_SECURE_H */

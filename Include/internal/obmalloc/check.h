/* obmalloc: the invariants of types.h, verified. */

#ifndef OBM_CHECK_H
#define OBM_CHECK_H

#include "obmalloc/types.h"

/* Each returns whether all is well; if not, the first mismatch is described
   in message, with both values.  Level 1 compares counters, 2 also walks the
   lists and bitmaps, 3 also walks every free list, and reads what
   must be zero. */
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
   whenever a call takes the slow way (every realloc does, from level 2 on every free),
   the whole heap when an arena comes or goes (level 3).  Ends the process. */
OBM_API void obm_check_on_the_way(const struct obm_heap *heap,
                                  const struct obm_pool *pool, const void *block);
OBM_API void obm_check_at_arena_event(const struct obm_heap *heap);

#endif /* OBM_CHECK_H */

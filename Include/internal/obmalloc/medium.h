/* obmalloc: blocks of the medium classes. */

#ifndef OBM_MEDIUM_H
#define OBM_MEDIUM_H

#include "obmalloc/types.h"

/* Say whether medium requests are served, and at once: not with checks, nor in a secure
   heap. */
OBM_API void obm_medium_init(struct obm_heap *heap);

/* A block for a medium request; NULL if size is 0 or above OBM_MEDIUM_MAX, if the
   settings leave medium requests to the system's malloc, or if there is no memory. */
OBM_API void *obm_medium_malloc(struct obm_heap *heap, size_t size);

/* The same, with every byte 0. */
OBM_API void *obm_medium_calloc(struct obm_heap *heap, size_t size);

/* Free a block that starts on this page, which is MEDIUM.  Ends the process if none is
   live there. */
OBM_API void obm_medium_free(struct obm_heap *heap, struct obm_pool *pool, void *block);

/* The same in the window, at check level 0 and not in a secure heap.  Returns true. */
OBM_API bool obm_medium_free_in_window(struct obm_heap *heap, void *block);

/* End the process if no block that a caller holds starts here; not in a secure heap. */
OBM_API void obm_medium_must_be_live(const struct obm_heap *heap, const struct obm_pool *pool,
                                     const void *block);

/* Give up the kept blocks and the current runs, so that pages without a live block can
   go. */
OBM_API void obm_medium_retire(struct obm_heap *heap);

#endif /* OBM_MEDIUM_H */

/* obmalloc: arenas, from the moment they are mapped until they are released. */

#ifndef OBM_ARENA_H
#define OBM_ARENA_H

#include "obmalloc/types.h"

/* Map one more arena, and enter it in its bucket.  0: no memory, and nothing has
   changed. */
OBM_API obm_arena_index obm_arena_new(struct obm_heap *heap);

/* Return an arena to where it came from, its descriptors with it.  It has no used page,
   unless the whole heap is closed: then its runs are still in the lists of the heap. */
OBM_API void obm_arena_release(struct obm_heap *heap, obm_arena_index index);

/* Return the memory of the arena array, and with it of all arenas. */
OBM_API void obm_arenas_close(struct obm_heap *heap);

#endif /* OBM_ARENA_H */

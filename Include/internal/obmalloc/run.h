/* obmalloc: runs, and the pages that a size class takes from them. */

#ifndef OBM_RUN_H
#define OBM_RUN_H

#include "obmalloc/types.h"

/* A run of size_class with room (buckets.h), the fullest first; NULL: neither the
   class nor any arena has one, and no arena could be had.  The run may have
   been taken from the fullest arena with a free run, or from a new arena. */
OBM_API struct obm_run *obm_run_with_room(struct obm_heap *heap, unsigned size_class,
                                          obm_run_id *id);

/* Take pages of the run, one or more, out of its free pages, or put them back as
   dirty; the run goes back to its arena with its last page.  obm_pages_take() says
   which are known to be zero, how many were dirty, and how many purged pages were backed by
   memory: some of them, and of those after them that were populated too. */
OBM_API struct obm_page_history obm_pages_take(struct obm_heap *heap, obm_run_id id,
                                               struct obm_page_range pages);
OBM_API void obm_pages_give(struct obm_heap *heap, obm_run_id id, struct obm_page_range pages);

OBM_INLINE struct obm_page_range
obm_one_page(unsigned page)
{
    struct obm_page_range range = {page, page};
    return range;
}

#endif /* OBM_RUN_H */

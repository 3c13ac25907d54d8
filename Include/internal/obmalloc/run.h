/* obmalloc: runs, and the pages that a size class takes from them. */

#ifndef OBM_RUN_H
#define OBM_RUN_H

#include "obmalloc/types.h"

/* A run of size_class with a free page, the fullest first; NULL: neither the
   class nor any arena has one, and no arena could be had.  The run may have
   been taken from the fullest arena with a free run, or from a new arena. */
OBM_API struct obm_run *obm_run_with_room(struct obm_heap *heap, unsigned size_class,
                                          obm_run_id *id);

/* Take the page number page of the run out of its free pages, or put it back
   as dirty.  obm_page_take() says whether it was dirty, or its memory is known to be
   zero, and how many pages were backed by memory for it that had been purged: itself,
   and those after it that were populated with it. */
OBM_API struct obm_page_history obm_page_take(struct obm_heap *heap, obm_run_id id,
                                              unsigned page);
OBM_API void obm_page_give(struct obm_heap *heap, obm_run_id id, unsigned page);

#endif /* OBM_RUN_H */

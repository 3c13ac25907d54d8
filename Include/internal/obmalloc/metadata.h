/* obmalloc: memory for what the allocator itself keeps. */

#ifndef OBM_METADATA_H
#define OBM_METADATA_H

#include "obmalloc/types.h"

/* Memory for what the allocator itself keeps, all zero, between guard pages if
   the heap is secure.  NULL: refused. */
OBM_API void *obm_metadata_map(const struct obm_heap *heap, size_t size);
OBM_API void obm_metadata_unmap(const struct obm_heap *heap, void *address, size_t size);

#endif /* OBM_METADATA_H */

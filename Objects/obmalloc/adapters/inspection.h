/* obmalloc: what the module _obmalloc and readers outside see of a heap, the
   same for every CPython.  An adapter includes this behind obm_python_heap()
   and obmalloc_state_main. */

#ifndef OBM_INSPECTION_H
#define OBM_INSPECTION_H

#include "obmalloc/layout.h"

#ifdef __ELF__
__attribute__((section(OBM_LAYOUT_SECTION), used))
struct obm_layout _PyObmalloc_Layout = OBM_LAYOUT_OF(&obmalloc_state_main.heap);
#endif

const struct obm_heap *
_PyObmalloc_Heap(void)
{
    return obm_python_heap();
}

const struct obm_pool *
_PyObmalloc_FindPool(const void *address)
{
    return obm_find_pool(obm_python_heap(), address);
}

unsigned
_PyObmalloc_DescribeArena(obm_arena_index index,
                          struct obm_page_info pages[OBM_MAX_ARENA_PAGES])
{
    return obm_arena_describe(obm_python_heap(), index, pages);
}

bool
_PyObmalloc_LiveBlocks(const struct obm_pool *pool, uint64_t live[OBM_POOL_WORDS])
{
    return obm_pool_live_blocks(obm_python_heap(), pool, live);
}

#endif /* OBM_INSPECTION_H */

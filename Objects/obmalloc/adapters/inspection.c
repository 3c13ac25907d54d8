/* obmalloc: what the module _obmalloc and readers outside see of a heap, the
   same for every CPython and for the loadable library.  obm_python_heap() is
   there already; readers outside see obmalloc_state_main.heap. */

#include "obmalloc/layout.h"

#ifdef __ELF__
__attribute__((section(OBM_LAYOUT_SECTION), used))
static struct obm_layout obm_python_layout = OBM_LAYOUT_OF(&obmalloc_state_main.heap);
#endif

void
_PyObmalloc_TrimSystemMalloc(void)
{
    obm_process_system()->malloc_give_back();
}

bool
_PyObmalloc_MallocFigures(struct obm_malloc_figures *figures)
{
    return obm_process_system()->malloc_figures(figures);
}

struct obm_spent
_PyObmalloc_MallocSpent(void)
{
    return obm_malloc_spent();
}

uint64_t
_PyObmalloc_Now(void)
{
    return obm_process_system()->now();
}

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

const char *
_PyObmalloc_FirstBlock(const struct obm_pool *pool)
{
    return obm_first_block(obm_python_heap(), pool);
}

bool
_PyObmalloc_LiveBlocks(const struct obm_pool *pool, uint64_t live[OBM_POOL_WORDS])
{
    return obm_pool_live_blocks(obm_python_heap(), pool, live);
}

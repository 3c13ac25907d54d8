/* obmalloc: the map of a heap: what every page is, and which of its blocks
   are live.

   Like the statistics, it is read from the descriptors and changes nothing:
   a program that looks at its heap finds it as it was.  Only the free lists
   lie in the pages themselves; they are verified before they are believed.

   Any thread that holds the GIL of the heap may call this. */

#include "obmalloc/heap_map.h"
#include "obmalloc/blocks.h"
#include "obmalloc/check.h"
#include "obmalloc/descriptor.h"
#include "obmalloc/secure.h"

#include <string.h>

static enum obm_page_kind
free_page_kind(const struct obm_run *run, unsigned page)
{
    if (run->dirty >> page & 1) {
        return OBM_PAGE_DIRTY;
    }
    return run->purged >> page & 1 ? OBM_PAGE_PURGED : OBM_PAGE_FRESH;
}

/* Whether a live block of a medium class lies on this page and starts on a page before. */
static bool
block_continues(const struct obm_heap *heap, const struct obm_pool *pool)
{
    obm_run_id id = obm_pool_run(heap, pool);
    unsigned page = obm_pool_page_in_run(heap, pool), first, end;
    obm_blocks_touching(heap, obm_run_at(heap, id), page, &first, &end);
    size_t size = obm_class_size(heap, pool->size_class);
    return first < end && obm_pages_touched(heap, size, first).first < page
           && obm_block_is_held(heap, id, first);
}

unsigned
obm_arena_describe(const struct obm_heap *heap, obm_arena_index index,
                   struct obm_page_info pages[OBM_MAX_ARENA_PAGES])
{
    const struct obm_arena_object *arena = &heap->arenas[index];
    unsigned per_run = heap->geometry.run_pages;
    for (unsigned page = 0; page < arena->page_count; page++) {
        const struct obm_pool *pool = &arena->pools[page];
        struct obm_page_info *info = &pages[page];
        info->unused = 0;
        if (pool->state == OBM_POOL_FREE) {
            info->kind = (uint8_t)free_page_kind(&arena->runs[page / per_run], page % per_run);
            info->size_class = OBM_NO_CLASS;
            info->live = 0;
            info->continues = 0;
        }
        else {
            info->kind = OBM_PAGE_USED;
            info->size_class = (uint8_t)obm_plain_class(pool->size_class);
            info->live = (uint16_t)(pool->state == OBM_POOL_MEDIUM ? obm_page_held(heap, pool)
                                                                   : obm_pool_held(heap, pool));
            info->continues = pool->state == OBM_POOL_MEDIUM && block_continues(heap, pool);
        }
    }
    return arena->page_count;
}

static void
set_bits(uint64_t *bits, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        bits[i / 64] |= UINT64_C(1) << (i % 64);
    }
}

const char *
obm_first_block(const struct obm_heap *heap, const struct obm_pool *pool)
{
    if (pool->state != OBM_POOL_MEDIUM) {
        return obm_pool_blocks(heap, pool);
    }
    obm_run_id id = obm_pool_run(heap, pool);
    unsigned first, end;
    obm_blocks_touching(heap, obm_run_at(heap, id), obm_pool_page_in_run(heap, pool), &first, &end);
    return (const char *)obm_run_address(heap, id)
           + first * obm_class_size(heap, pool->size_class);
}

/* Of a run of a medium class. */
static void
live_blocks_touching(const struct obm_heap *heap, const struct obm_pool *pool, uint64_t *live)
{
    obm_run_id id = obm_pool_run(heap, pool);
    unsigned first, end;
    obm_blocks_touching(heap, obm_run_at(heap, id), obm_pool_page_in_run(heap, pool), &first, &end);
    for (unsigned i = 0; first + i < end; i++) {
        live[i / 64] |= (uint64_t)obm_block_is_held(heap, id, first + i) << (i % 64);
    }
}

bool
obm_pool_live_blocks(const struct obm_heap *heap, const struct obm_pool *pool,
                     uint64_t live[OBM_POOL_WORDS])
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    memset(live, 0, OBM_POOL_WORDS * sizeof(live[0]));
    if (pool->state == OBM_POOL_MEDIUM) {
        live_blocks_touching(heap, pool, live);
        return true;
    }
    if (obm_pool_live(heap, pool) == 0) {
        return true;
    }
    if (!obm_check_pool(heap, pool, 3, message)) {
        return false;
    }
    if (heap->settings.secure) {
        obm_secure_live(heap, pool, live);
        return true;
    }
    set_bits(live, pool->carved);
    const char *start = obm_pool_blocks(heap, pool);
    size_t size = obm_class_size(heap, pool->size_class);
    for (const void *block = obm_first_free(heap, pool); block != NULL;
         block = obm_next_free(block)) {
        size_t i = (size_t)((const char *)block - start) / size;
        live[i / 64] &= ~(UINT64_C(1) << (i % 64));
    }
    return true;
}

/* obmalloc: the life of a heap, and what is done to all of it. */

#include "obmalloc/heap.h"
#include "obmalloc/alloc.h"
#include "obmalloc/arena.h"
#include "obmalloc/arena_map.h"
#include "obmalloc/longlived.h"
#include "obmalloc/medium.h"
#include "obmalloc/os.h"
#include "obmalloc/pool.h"
#include "obmalloc/purge.h"
#include "obmalloc/retention.h"
#include "obmalloc/secure.h"
#include "obmalloc/trim.h"

#include <string.h>

void
obm_heap_use_front(struct obm_heap *heap, struct obm_front *front)
{
    struct obm_front *old = heap->front;
    if (front == NULL) {
        front = &heap->own_front;
    }
    if (front != old) {
        front->window_base = old->window_base;
        front->window_limit = old->window_limit;
        front->window_pools = old->window_pools;
        obm_front_move_pools(front, old);
        old->window_limit = 0;
        heap->front = front;
        heap->pools = heap->pools == old ? front : heap->pools;
    }
}

bool
obm_heap_init(struct obm_heap *heap, const struct obm_os *os,
              const struct obm_settings *settings)
{
    heap->os = os;
    heap->settings = *settings;
    heap->careful = settings->check_level > 0 || settings->secure;
    heap->window = -1;
    heap->arenas_ever = 1;
    heap->front = heap->pools = &heap->own_front;
    obm_front_without_pools(heap->front);
    obm_longlived_init(heap);
    if (!obm_geometry_init(&heap->geometry, os->page_size)) {
        return false;
    }
    if (settings->secure) {
        heap->secure.random = os->entropy();
    }
    heap->populate_pages = (unsigned)(OBM_POPULATE_BYTES / heap->geometry.page_size);
    obm_retention_init(heap);
    obm_medium_init(heap);
    return true;
}

void
obm_heap_close(struct obm_heap *heap, bool abandon)
{
    if (abandon) {
        obm_trim(heap);
    }
    else {
        for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
            if (heap->arenas[i].address != 0) {
                obm_arena_release(heap, i);
            }
        }
        obm_arenas_close(heap);
        obm_map_close(heap);
        obm_window_close(heap);
    }
    obm_secure_close(heap);
    const struct obm_os *os = heap->os;
    struct obm_settings settings = heap->settings;
    struct obm_front *front = heap->front != &heap->own_front ? heap->front : NULL;
    memset(heap, 0, sizeof(*heap));
    obm_heap_init(heap, os, &settings);
    obm_heap_use_front(heap, front);
}

/* Give back what can go now, until the price has reached limit; the last arena may
   exceed it.  Returns whether there is more. */
static bool
trim_step(struct obm_heap *heap, uint64_t limit)
{
    obm_quarantine_empty(heap);
    obm_pools_retire(heap);
    obm_medium_retire(heap);
    uint64_t price = obm_arenas_split(heap, limit);
    if (price >= limit) {
        return true;
    }
    obm_trim_down_to(heap, 0, limit - price);
    obm_retention_all_given_back(heap);
    return heap->retention.dirty != 0;
}

size_t
obm_trim_in_steps(struct obm_heap *heap, void (*between)(void))
{
    if (heap->geometry.page_size == 0) {
        return 0;
    }
    size_t before = obm_given_back(heap);
    size_t most = heap->arena_count << heap->geometry.arena_shift;
    while (trim_step(heap, OBM_PURGE_STEP_NANOSECONDS) && obm_given_back(heap) - before < most) {
        between();
    }
    return obm_given_back(heap) - before;
}

size_t
obm_trim(struct obm_heap *heap)
{
    if (heap->geometry.page_size == 0) {
        return 0;
    }
    size_t before = obm_given_back(heap);
    trim_step(heap, UINT64_MAX);
    return obm_given_back(heap) - before;
}

void
obm_trim_after_start(struct obm_heap *heap)
{
    enum obm_retain_mode retain = heap->settings.retain;
    bool huge = heap->settings.hugepages == OBM_HUGE_ALWAYS;   /* they would be split */
    if ((retain == OBM_RETAIN_AUTO || retain == OBM_RETAIN_NONE) && !huge) {
        obm_trim(heap);
        obm_retention_forget_purges(heap);
    }
}

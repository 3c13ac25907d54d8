/* obmalloc: the arenas that have dirty pages, in a queue: the one that has had some
   for the longest time is purged first. */

#include "obmalloc/dirty.h"
#include "obmalloc/retention.h"

static void
dirty_enqueue(struct obm_heap *heap, struct obm_arena_object *arena)
{
    struct obm_dirty_queue *queue = &heap->dirty_queue;
    obm_arena_index index = (obm_arena_index)(arena - heap->arenas);
    arena->dirty_next = 0;
    arena->dirty_prev = queue->tail;
    if (arena->dirty_prev != 0) {
        heap->arenas[arena->dirty_prev].dirty_next = index;
    }
    else {
        queue->head = index;
    }
    queue->tail = index;
}

static void
dirty_dequeue(struct obm_heap *heap, const struct obm_arena_object *arena)
{
    struct obm_dirty_queue *queue = &heap->dirty_queue;
    if (arena->dirty_prev != 0) {
        heap->arenas[arena->dirty_prev].dirty_next = arena->dirty_next;
    }
    else {
        queue->head = arena->dirty_next;
    }
    if (arena->dirty_next != 0) {
        heap->arenas[arena->dirty_next].dirty_prev = arena->dirty_prev;
    }
    else {
        queue->tail = arena->dirty_prev;
    }
}

void
obm_dirty_recount(struct obm_heap *heap, struct obm_arena_object *arena)
{
    bool can_go = arena->purgeable || arena->free_pages == arena->page_count;
    uint16_t before = arena->counted_dirty, now = can_go ? arena->dirty_pages : 0;
    if (now == before) {
        return;
    }
    arena->counted_dirty = now;
    obm_retention_dirty_changed(heap, before, now);
    if (now == 0) {
        dirty_dequeue(heap, arena);
    }
    else if (before == 0) {
        dirty_enqueue(heap, arena);
    }
}

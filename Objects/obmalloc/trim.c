/* obmalloc: giving back what retention does not keep.

   The arena that has had dirty pages for the longest time goes first.  One without a
   used page is not purged but released: that costs less and gives back its address
   too.

   Nothing here allocates. */

#include "obmalloc/trim.h"
#include "obmalloc/arena.h"
#include "obmalloc/check.h"
#include "obmalloc/purge.h"
#include "obmalloc/retention.h"
#include "obmalloc/size_class.h"

/* Whether the arena is empty, and unmapping it cannot use up the number of
   mappings that a process may have. */
static bool
can_release(const struct obm_heap *heap, const struct obm_arena_object *arena)
{
    return arena->free_pages == arena->page_count
           && (arena->in_window || !arena->purgeable
               || heap->map.count <= OBM_MAX_OUTSIDE_ENTRIES);
}

/* Release the arena, which is empty.  Returns the price. */
static uint64_t
release_arena(struct obm_heap *heap, obm_arena_index index)
{
    size_t pages = heap->arenas[index].dirty_pages;
    obm_arena_release(heap, index);
    obm_check_at_arena_event(heap);
    return obm_retention_price(1, pages);
}

/* Purge dirty pages of the arena, as many as are too many if it has them.  Returns
   the price. */
static uint64_t
purge_arena(struct obm_heap *heap, obm_arena_index index, size_t too_many)
{
    uint64_t price = heap->arenas[index].huge ? OBM_SPLIT_NANOSECONDS : 0;
    size_t calls = heap->counters.purge_calls;
    size_t pages = obm_arena_purge(heap, index, too_many);
    return price + obm_retention_price(heap->counters.purge_calls - calls, pages);
}

/* As many pages as this price pays for if each is purged alone; at least one. */
static uint64_t
pages_for(uint64_t price)
{
    return price / obm_retention_price(1, 1) + 1;
}

uint64_t
obm_trim_down_to(struct obm_heap *heap, size_t target, uint64_t limit)
{
    const struct obm_retention *retention = &heap->retention;
    uint64_t price = 0;
    while (retention->dirty > target && price < limit) {
        obm_arena_index index = heap->dirty_queue.head;
        size_t too_many = retention->dirty - target;
        uint64_t affordable = pages_for(limit - price);
        size_t pages = too_many < affordable ? too_many : (size_t)affordable;
        price += can_release(heap, &heap->arenas[index]) ? release_arena(heap, index)
                                                         : purge_arena(heap, index, pages);
    }
    return price;
}

bool
obm_trim_for(struct obm_heap *heap, size_t size)
{
    size_t dirty = heap->retention.dirty;
    if (dirty == 0 || dirty << obm_page_shift(heap) < size >> OBM_ROOM_SHIFT) {
        return false;
    }
    obm_trim_down_to(heap, 0, UINT64_MAX);
    return heap->retention.dirty < dirty;
}

/* Purge what is above the allowance, as far as the credit goes and one step does.
   The last run or arena may overdraw it.  Returns whether there is more to purge. */
static bool
spend_credit(struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    if (retention->dirty <= retention->allowance || retention->credit <= 0) {
        return false;
    }
    uint64_t limit = (uint64_t)retention->credit < OBM_PURGE_STEP_NANOSECONDS
                     ? (uint64_t)retention->credit : OBM_PURGE_STEP_NANOSECONDS;
    obm_retention_paid(heap, obm_trim_down_to(heap, retention->allowance, limit));
    return retention->dirty > retention->allowance && retention->credit > 0;
}

bool
obm_trim_tick(struct obm_heap *heap)
{
    obm_retention_look_at_clock(heap);
    return spend_credit(heap);
}

void
obm_trim_page_freed(struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    if (retention->dirty > retention->allowance + retention->slack) {
        obm_trim_down_to(heap, retention->allowance, OBM_PURGE_STEP_NANOSECONDS);
    }
    if (obm_retention_clock_is_due(heap)) {
        obm_trim_tick(heap);
    }
    if (retention->dirty > retention->surplus_at && heap->on_surplus != NULL) {
        heap->on_surplus(heap);
    }
}

void
obm_before_blocking(struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    if (obm_has_surplus(heap) || retention->allowance > retention->base) {
        obm_trim_tick(heap);
    }
}

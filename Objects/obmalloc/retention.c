/* obmalloc: retention, the policy that decides when memory goes back.

   A page given back and wanted again costs about as much as 200 pairs of
   malloc and free, so *when* is the whole question.  The policy sees two
   events, a page freed and a page taken, and a clock that it reads once in
   OBM_EVENTS_PER_CLOCK events.  It owns one number, the *allowance*: how many
   free pages may stay resident.

   - More dirty pages than allowance + slack: purge the longest dirty ones
     down to the allowance.  So after a burst nearly everything goes back in
     the course of freeing, with no thread and no timer.
   - A *refault*, a page taken that had been purged a short while ago, says
     that the purge was a mistake: the allowance grows by that page.  So a
     program that cyclically allocates and frees pays for one cycle.
   - What stayed dirty all through an epoch was not needed: it goes back, and
     the allowance shrinks by as much.  So what was learned is unlearned.

   This is the ski-rental rule (rent until the rent paid equals the price,
   then buy: Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching",
   1988) with the price of a refault set against an epoch of rent, and with
   the low-water mark instead of a time stamp on every page.

   An arena without a used page is not purged but released: that costs less
   and gives back its address too.

   Nothing here allocates. */

#include "obmalloc/internal.h"

void
obm_retention_init(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    size_t page = heap->geometry.page_size;
    switch (heap->settings.retain) {
    case OBM_RETAIN_AUTO:
        retention->base = OBM_RETAIN_BASE_BYTES / page;
        retention->slack = OBM_RETAIN_SLACK_BYTES / page;
        break;
    case OBM_RETAIN_NONE:
        retention->base = retention->slack = 0;
        break;
    case OBM_RETAIN_SIZE:
        retention->base = heap->settings.retain_bytes / page;
        retention->slack = OBM_RETAIN_SLACK_BYTES / page;
        break;
    case OBM_RETAIN_ALL:
        retention->base = SIZE_MAX / 2;
        retention->slack = 0;
        break;
    }
    retention->allowance = retention->base;
}

size_t
obm_retention_trim(struct obm_heap *heap, size_t target)
{
    struct obm_retention *retention = &heap->retention;
    size_t before = retention->dirty;
    while (retention->dirty > target) {
        obm_arena_index index = retention->queue_head;
        struct obm_arena_object *arena = &heap->arenas[index];
        if (arena->free_pages == arena->page_count) {
            obm_arena_release(heap, index);
            obm_check_at_arena_event(heap);
        }
        else {
            obm_arena_purge(heap, index);
        }
    }
    if (retention->low_water > retention->dirty) {
        retention->low_water = retention->dirty;
    }
    retention->last_purge = heap->os->now();
    return before - retention->dirty;
}

/* The end of an epoch: what was dirty all through it is surplus. */
static void
epoch_end(struct obm_heap *heap, uint64_t now)
{
    struct obm_retention *retention = &heap->retention;
    size_t low = retention->low_water;
    size_t surplus = low > retention->base ? low - retention->base : 0;
    size_t learned = retention->allowance - retention->base;
    retention->allowance -= surplus < learned ? surplus : learned;
    if (surplus != 0) {
        obm_retention_trim(heap, retention->dirty - surplus);
    }
    retention->low_water = retention->dirty;
    retention->epoch_start = now;
}

void
obm_retention_tick(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    retention->events = 0;
    if (heap->settings.retain != OBM_RETAIN_AUTO) {
        return;
    }
    uint64_t now = heap->os->now();
    if (retention->epoch_start == 0) {
        retention->low_water = retention->dirty;
        retention->epoch_start = now;
    }
    else if (now - retention->epoch_start >= OBM_EPOCH_NANOSECONDS) {
        epoch_end(heap, now);
    }
}

static void
count_event(struct obm_heap *heap)
{
    if (++heap->retention.events >= OBM_EVENTS_PER_CLOCK) {
        obm_retention_tick(heap);
    }
}

void
obm_retention_page_freed(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    if (retention->dirty > retention->allowance + retention->slack) {
        obm_retention_trim(heap, retention->allowance);
    }
    count_event(heap);
}

void
obm_retention_page_taken(struct obm_heap *heap, bool refault)
{
    struct obm_retention *retention = &heap->retention;
    if (retention->low_water > retention->dirty) {
        retention->low_water = retention->dirty;
    }
    if (refault) {
        heap->counters.refaults++;
        if (heap->settings.retain == OBM_RETAIN_AUTO
            && heap->os->now() - retention->last_purge < OBM_REGRET_NANOSECONDS) {
            retention->allowance++;
        }
    }
    count_event(heap);
}

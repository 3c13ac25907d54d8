/* obmalloc: retention, the policy that decides when memory goes back.

   A page given back and wanted again costs about as much as 200 pairs of
   malloc and free, so *when* is the whole question.  The policy sees two
   events, a page freed and a page taken, and a clock that it reads once in
   OBM_EVENTS_PER_CLOCK events.  It owns one number, the *allowance*: how many
   free pages may stay resident.

   - More dirty pages than allowance + slack: purge the longest dirty ones
     down to the allowance, a bounded number at a time.  So after a burst
     nearly everything goes back in the course of freeing, with no thread and
     no timer, and no single free pauses for long.
   - A *refault*, a page taken whose arena had been purged a short while ago, says
     that the purge was a mistake: the allowance grows by that page.  So a
     program that cyclically allocates and frees pays for one cycle.
   - What stayed dirty all through an epoch was not needed: the allowance
     shrinks by as much.  And it is never more than the base and as many pages as
     were taken in two epochs: what is not used is forgotten.  So what was learned is
     unlearned.
   - What is above the allowance goes at the next look at the clock, or before
     a thread gives up the GIL to block, when purging delays no thread.  These
     purges take at most 1 / OBM_PURGE_SHARE of the time that passes: time is
     earned as credit, and spent at a price per system call and per page, in
     steps of OBM_PURGE_STEP_NANOSECONDS.

   This is the ski-rental rule (rent until the rent paid equals the price,
   then buy: Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching",
   1988) with the price of a refault set against an epoch of rent, and with
   the low-water mark instead of a time stamp on every page.

   An arena without a used page is not purged but released: that costs less
   and gives back its address too.

   Nothing here allocates. */

#include "obmalloc/retention.h"
#include "obmalloc/arena.h"
#include "obmalloc/check.h"
#include "obmalloc/purge.h"
#include "obmalloc/probes.h"

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
        if (retention->slack > retention->base / 8) {
            retention->slack = retention->base / 8;
        }
        retention->base -= retention->slack;
        break;
    case OBM_RETAIN_ALL:
        retention->base = SIZE_MAX / 2;
        retention->slack = 0;
        break;
    }
    retention->allowance = retention->base;
    size_t worth = heap->settings.background == OBM_BACKGROUND_AUTO
                   ? OBM_PURGER_MIN_BYTES / page : 0;
    retention->surplus_at = retention->base + worth;
}

/* An arena is about to be released.  Those released long ago were not wanted
   since, so the next ones to be mapped do not replace them. */
static void
note_release(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    uint64_t now = heap->os->now();
    if (now - retention->released_at >= OBM_REGRET_NANOSECONDS) {
        retention->released = 0;
    }
    retention->released_at = now;
}

/* Whether the arena is empty, and unmapping it cannot use up the number of
   mappings that a process may have. */
static bool
can_release(const struct obm_heap *heap, const struct obm_arena_object *arena)
{
    return arena->free_pages == arena->page_count
           && (arena->in_window || !arena->purgeable
               || heap->map.count <= OBM_MAX_OUTSIDE_ENTRIES);
}

/* The price of pages given back with so many calls of the system. */
static uint64_t
price_of(size_t calls, size_t pages)
{
    return calls * OBM_PURGE_CALL_NANOSECONDS + pages * OBM_PURGE_PAGE_NANOSECONDS;
}

/* Release the arena, which is empty.  Returns the price. */
static uint64_t
release_arena(struct obm_heap *heap, obm_arena_index index)
{
    size_t pages = heap->arenas[index].dirty_pages;
    note_release(heap);
    obm_arena_release(heap, index);
    obm_check_at_arena_event(heap);
    return price_of(1, pages);
}

/* Purge dirty pages of the arena, as many as are too many if it has them.  Returns
   the price. */
static uint64_t
purge_arena(struct obm_heap *heap, obm_arena_index index, size_t too_many)
{
    struct obm_arena_object *arena = &heap->arenas[index];
    uint64_t price = arena->huge ? OBM_SPLIT_NANOSECONDS : 0;
    size_t calls = heap->counters.purge_calls;
    arena->purged_at = heap->os->now();
    size_t pages = obm_arena_purge(heap, index, too_many);
    return price + price_of(heap->counters.purge_calls - calls, pages);
}

uint64_t
obm_retention_trim(struct obm_heap *heap, size_t target, uint64_t limit)
{
    struct obm_retention *retention = &heap->retention;
    uint64_t price = 0;
    while (retention->dirty > target && price < limit) {
        obm_arena_index index = retention->queue_head;
        price += can_release(heap, &heap->arenas[index])
                 ? release_arena(heap, index)
                 : purge_arena(heap, index, retention->dirty - target);
    }
    return price;
}

/* Credit for the time that passed; never more than for OBM_CREDIT_NANOSECONDS. */
static void
earn_credit(struct obm_retention *retention, uint64_t now)
{
    const int64_t most = (int64_t)(OBM_CREDIT_NANOSECONDS / OBM_PURGE_SHARE);
    uint64_t passed = now - retention->credit_time;
    passed = passed < OBM_CREDIT_NANOSECONDS ? passed : OBM_CREDIT_NANOSECONDS;
    retention->credit_time = now;
    retention->credit += (int64_t)(passed / OBM_PURGE_SHARE);
    if (retention->credit > most) {
        retention->credit = most;
    }
}

/* Purge what is above the allowance, as far as the credit goes and one step does.
   The last arena may overdraw it.  Returns whether there is more to purge. */
static bool
spend_credit(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    if (retention->dirty <= retention->allowance || retention->credit <= 0) {
        return false;
    }
    uint64_t limit = (uint64_t)retention->credit < OBM_PURGE_STEP_NANOSECONDS
                     ? (uint64_t)retention->credit : OBM_PURGE_STEP_NANOSECONDS;
    retention->credit -= (int64_t)obm_retention_trim(heap, retention->allowance, limit);
    return retention->dirty > retention->allowance && retention->credit > 0;
}

/* The end of one epoch or several: what was dirty all through is surplus, and
   whatever of it had been learned is unlearned; and so is what was used neither in
   this epoch nor in the one before. */
static void
epochs_end(struct obm_retention *retention, uint64_t now)
{
    uint64_t epochs = (now - retention->epoch_start) / OBM_EPOCH_NANOSECONDS;
    size_t low = retention->low_water;
    size_t surplus = low > retention->base ? low - retention->base : 0;
    size_t learned = retention->allowance - retention->base;
    retention->allowance -= surplus < learned ? surplus : learned;
    size_t used = retention->taken;
    if (epochs < 2 && retention->taken_before > used) {
        used = retention->taken_before;
    }
    if (retention->allowance - retention->base > used) {
        retention->allowance = retention->base + used;
    }
    retention->taken_before = epochs < 2 ? retention->taken : 0;
    retention->taken = 0;
    retention->low_water = retention->dirty;
    retention->epoch_start = now;
}

/* Look at the clock. */
static void
look_at_clock(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    retention->events = 0;
    if (heap->settings.retain == OBM_RETAIN_ALL) {
        return;
    }
    uint64_t now = heap->os->now();
    if (retention->epoch_start == 0) {
        retention->low_water = retention->dirty;
        retention->epoch_start = retention->credit_time = now;
        retention->credit = (int64_t)price_of(retention->slack, retention->slack);
    }
    else if (now - retention->epoch_start >= OBM_EPOCH_NANOSECONDS) {
        epochs_end(retention, now);
    }
    earn_credit(retention, now);
}

bool
obm_retention_tick(struct obm_heap *heap)
{
    look_at_clock(heap);
    return spend_credit(heap);
}

static bool
clock_is_due(struct obm_heap *heap)
{
    return ++heap->retention.events >= OBM_EVENTS_PER_CLOCK;
}

void
obm_retention_page_freed(struct obm_heap *heap)
{
    struct obm_retention *retention = &heap->retention;
    if (retention->dirty > retention->allowance + retention->slack) {
        obm_retention_trim(heap, retention->allowance, OBM_PURGE_STEP_NANOSECONDS);
    }
    if (clock_is_due(heap)) {
        obm_retention_tick(heap);
    }
    if (retention->dirty > retention->surplus_at && heap->on_surplus != NULL) {
        heap->on_surplus(heap);
    }
}

void
obm_retention_page_taken(struct obm_heap *heap, const struct obm_arena_object *arena,
                         struct obm_page_history history)
{
    heap->retention.taken += history.dirty;
    if (history.refaults != 0) {
        heap->counters.refaults += history.refaults;
        for (unsigned page = 0; page < history.refaults; page++) {
            OBM_PROBE(refault, arena->address, arena->page_count - arena->free_pages);
        }
        if (heap->settings.retain == OBM_RETAIN_AUTO
            && heap->os->now() - arena->purged_at < OBM_REGRET_NANOSECONDS) {
            heap->retention.allowance += history.refaults;
            heap->retention.taken += history.refaults;
        }
    }
    if (clock_is_due(heap)) {
        look_at_clock(heap);    /* no time to purge: pages are wanted */
    }
}

bool
obm_free_lists_due(struct obm_heap *heap)
{
    size_t gone = heap->counters.purged_pages + heap->counters.released_pages;
    if ((gone - heap->retention.free_lists_at) * heap->geometry.page_size
        < OBM_FREE_LISTS_BYTES) {
        return false;
    }
    heap->retention.free_lists_at = gone;
    return true;
}

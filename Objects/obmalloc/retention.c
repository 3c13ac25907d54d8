/* obmalloc: retention, the policy that decides when memory goes back.

   A page given back and wanted again costs about as much as 200 pairs of
   malloc and free, so *when* is the whole question.  The policy sees what
   happens to pages and arenas, and a clock that it reads once in
   OBM_EVENTS_PER_CLOCK pages taken or freed.  What it decides is one number, the *allowance*: how
   many free pages may stay resident.

   - More dirty pages than allowance + slack: purge the longest dirty ones
     down to the allowance, a bounded number at a time.  So after a burst
     nearly everything goes back in the course of freeing, with no thread and
     no timer, and no single free pauses for long.
   - A *refault*, a page taken whose arena had been purged a short while ago, says
     that the purge was a mistake: the allowance grows by that page.  So a
     program that cyclically allocates and frees pays for one cycle.
   - What stayed dirty all through an epoch was not needed: the allowance
     shrinks by as much.  And it never exceeds the base plus the pages that were taken
     in two epochs.  So the allowance falls again when the program needs less.
   - What is above the allowance goes at the next look at the clock, or before
     a thread gives up the GIL to block, when purging delays no thread.  These
     purges take at most 1 / OBM_PURGE_SHARE of the time that passes: time is
     earned as credit, and spent at a price per system call and per page, in
     steps of OBM_PURGE_STEP_NANOSECONDS.

   This is the ski-rental rule (rent until the rent paid equals the price,
   then buy: Karlin, Manasse, Rudolph, Sleator, "Competitive snoopy caching",
   1988) with the price of a refault set against an epoch of rent, and with
   the low-water mark instead of a time stamp on every page.

   This is policy, and nothing but policy: it alone reads the clock, and it alone
   writes struct obm_retention.  Arenas tell it what happened and ask it what they
   shall do; trim.c gives back what it says may not stay.  It calls nothing of
   theirs, and allocates nothing. */

#include "obmalloc/retention.h"
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

/* The clock ----------------------------------------------------------------------- */

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

void
obm_retention_paid(struct obm_heap *heap, uint64_t price)
{
    heap->retention.credit -= (int64_t)price;
}

/* The end of one epoch or several.  Pages that were dirty all through are surplus, and
   the allowance shrinks by them; and by what was used neither in this epoch nor in the
   one before. */
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

void
obm_retention_look_at_clock(struct obm_heap *heap)
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
        retention->credit = (int64_t)obm_retention_price(retention->slack, retention->slack);
    }
    else if (now - retention->epoch_start >= OBM_EPOCH_NANOSECONDS) {
        epochs_end(retention, now);
    }
    earn_credit(retention, now);
}

OBM_STATIC_ASSERT(the_clock_is_due_at_a_call, OBM_EVENTS_PER_CLOCK % OBM_EVENTS_PER_CALL == 0);

bool
obm_retention_clock_is_due(struct obm_heap *heap)
{
    unsigned events = ++heap->retention.events;
    if (OBM_LIKELY(events % OBM_EVENTS_PER_CALL != 0)) {
        return false;
    }
    if (heap->on_page_events != NULL) {
        heap->on_page_events(heap);
    }
    return events >= OBM_EVENTS_PER_CLOCK;
}

/* What arenas tell ------------------------------------------------------------------ */

void
obm_retention_dirty_changed(struct obm_heap *heap, unsigned before, unsigned after)
{
    struct obm_retention *retention = &heap->retention;
    OBM_PUBLISH(&retention->dirty, retention->dirty + after - before);
    if (retention->low_water > retention->dirty) {
        retention->low_water = retention->dirty;
    }
}

size_t
obm_retention_arena_mapped(struct obm_heap *heap, struct obm_arena_object *arena)
{
    struct obm_retention *retention = &heap->retention;
    size_t replaced = retention->released;
    replaced = replaced < arena->page_count ? replaced : arena->page_count;
    retention->released -= replaced;
    arena->purged_at = retention->released_at;
    return replaced;
}

/* Those released long ago were not wanted since, so the next ones to be mapped do
   not replace them. */
void
obm_retention_arena_released(struct obm_heap *heap, const struct obm_arena_object *arena)
{
    struct obm_retention *retention = &heap->retention;
    uint64_t now = heap->os->now();
    if (now - retention->released_at >= OBM_REGRET_NANOSECONDS) {
        retention->released = 0;
    }
    retention->released_at = now;
    retention->released += arena->page_count;
}

void
obm_retention_arena_purged(const struct obm_heap *heap, struct obm_arena_object *arena)
{
    arena->purged_at = heap->os->now();
}

void
obm_retention_huge_touched(struct obm_heap *heap, uint64_t took)
{
    if (took > OBM_HUGE_NANOSECONDS) {
        heap->retention.huge_from = heap->os->now() + OBM_HUGE_SHARE * took;
    }
}

void
obm_retention_all_given_back(struct obm_heap *heap)
{
    heap->retention.allowance = heap->retention.base;
}

void
obm_retention_forget_purges(struct obm_heap *heap)
{
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        heap->arenas[i].purged_at = 0;
    }
    heap->retention.released = 0;
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
    if (obm_retention_clock_is_due(heap)) {
        obm_retention_look_at_clock(heap);    /* no time to purge: pages are wanted */
    }
}

/* What arenas ask --------------------------------------------------------------------- */

/* Whether an arena that is about to be mapped should be a huge page.  With
   `auto` it should when it costs no memory: when it replaces an arena released
   a moment ago, whose memory the program proved to need (but not the last one,
   which may stay half empty), or when the heap is so large that one arena does
   not matter.  Not where every free page goes back at once, since the first
   one splits the huge page. */
bool
obm_retention_wants_huge(const struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    if (heap->settings.hugepages != OBM_HUGE_AUTO || retention->base == 0) {
        return heap->settings.hugepages == OBM_HUGE_ALWAYS;
    }
    bool large = heap->arena_count >= OBM_HUGE_HEAP_BYTES >> heap->geometry.arena_shift;
    bool replaces = retention->released >= 2u * heap->geometry.arena_pages;
    if (!large && !replaces) {
        return false;
    }
    uint64_t now = heap->os->now();
    return now >= retention->huge_from
           && (large || now - retention->released_at < OBM_REGRET_NANOSECONDS);
}

size_t
obm_retention_populate_limit(const struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    size_t share = retention->base / OBM_POPULATE_SHARE;
    if (heap->arena_count < OBM_POPULATE_ARENAS || retention->dirty >= share) {
        return 0;
    }
    return share - retention->dirty + 1;
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

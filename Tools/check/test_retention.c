/* obmalloc's unit tests: when memory goes back (retention.c).

   The clock stands still unless a test moves it. */

#include "heaps.h"

/* Pages that a burst takes: several times what may stay behind it. */
static size_t
burst_pages(const struct obm_heap *heap)
{
    return 4 * (OBM_RETAIN_BASE_BYTES + OBM_RETAIN_SLACK_BYTES) / heap->geometry.page_size;
}

static size_t
resident_bound(const struct obm_heap *heap)
{
    return (OBM_RETAIN_BASE_BYTES + OBM_RETAIN_SLACK_BYTES) / heap->geometry.page_size;
}

/* Pages of all arenas that are backed by memory. */
static size_t
resident_pages(const struct obm_heap *heap)
{
    size_t resident = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        if (arena->address != 0) {
            resident += fake_os_resident_pages((void *)arena->first_page,
                                               arena->page_count * heap->geometry.page_size);
        }
    }
    return resident;
}

static void
burst(struct obm_heap *heap)
{
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    pages_give(heap, &pages);
}

/* Page events that do nothing, so that the policy looks at the clock: one page
   comes and goes, beside another one that keeps their run. */
static void
tick(struct obm_heap *heap)
{
    struct pages pages = pages_take(heap, 1, LARGE / 2);
    for (unsigned event = 0; event < OBM_EVENTS_PER_CLOCK; event++) {
        struct pages more = pages_take(heap, 1, LARGE / 2);
        pages_give(heap, &more);
        obm_pools_retire(heap);
    }
    pages_give(heap, &pages);
}

static void
let_pass(struct obm_heap *heap, uint64_t nanoseconds)
{
    fake.now += nanoseconds;
    tick(heap);
}

TEST(a_burst_goes_back_without_the_clock_moving)
{
    struct obm_heap *heap = heap_new("");
    burst(heap);
    EXPECT_AT_MOST(heap->retention.dirty, resident_bound(heap));
    EXPECT_AT_MOST(fake.mapped_bytes, 4 * heap->geometry.arena_size
                   + OBM_RETAIN_BASE_BYTES + OBM_RETAIN_SLACK_BYTES);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(a_burst_with_survivors_leaves_the_page_floor_and_the_allowance)
{
    struct obm_heap *heap = heap_new("");
    size_t survivors = 0;
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    for (size_t i = 0; i < pages.count; i++) {
        memset(page_block(&pages, i), 1, LARGE);
        page_give_but(heap, &pages, i, i % 10 == 0);
        survivors += i % 10 == 0;
    }
    EXPECT_AT_MOST(resident_pages(heap), survivors + resident_bound(heap));
    obm_trim(heap);
    EXPECT_EQUAL(resident_pages(heap), survivors);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(a_refault_within_the_regret_window_raises_the_allowance)
{
    struct obm_heap *heap = heap_new("");
    size_t base = heap->retention.base;
    burst(heap);
    EXPECT_EQUAL(heap->retention.allowance, base);
    fake.now += OBM_REGRET_NANOSECONDS - 1;
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    EXPECT_AT_LEAST(heap->counters.refaults, 1);
    EXPECT_AT_LEAST(heap->retention.allowance, base + 1);
    EXPECT_AT_MOST(heap->retention.allowance, base + heap->counters.refaults);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(a_refault_after_the_regret_window_does_not)
{
    struct obm_heap *heap = heap_new("");
    size_t base = heap->retention.base;
    burst(heap);
    fake.now += OBM_REGRET_NANOSECONDS;
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    EXPECT_AT_LEAST(heap->counters.refaults, 1);
    EXPECT_EQUAL(heap->retention.allowance, base);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* Memory released long ago is not wanted again because other memory was
   released just now. */
TEST(a_release_long_ago_is_not_regretted)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 40u * heap->geometry.arena_pages, LARGE);
    pages_give(heap, &pages);
    fake.now += 3600 * OBM_REGRET_NANOSECONDS;
    pages = pages_take(heap, 3u * heap->geometry.arena_pages, LARGE);
    pages_give(heap, &pages);
    pages = pages_take(heap, 40u * heap->geometry.arena_pages, LARGE);
    EXPECT_AT_MOST(heap->retention.allowance,
                   heap->retention.base + 4u * heap->geometry.arena_pages);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* A program that learned, and then holds on to its memory for long while it
   only blocks, must have forgotten by the time that it frees. */
TEST(an_allowance_that_is_not_filled_is_forgotten_while_the_program_blocks)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned lesson = 0; lesson < 3; lesson++) {
        burst(heap);
    }
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    EXPECT_AT_LEAST(heap->retention.allowance, 2 * heap->retention.base);
    for (unsigned second = 0; second < 3600; second++) {
        fake.now += 2 * OBM_EPOCH_NANOSECONDS;
        obm_before_blocking(heap);
    }
    EXPECT_EQUAL(heap->retention.allowance, heap->retention.base);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* "gone after two epochs without use" */
TEST(what_was_learned_is_gone_after_two_epochs_without_use)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned lesson = 0; lesson < 3; lesson++) {
        burst(heap);
    }
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    obm_before_blocking(heap);          /* begins an epoch, if none has begun */
    EXPECT_AT_LEAST(heap->retention.allowance, 2 * heap->retention.base);
    for (unsigned look = 0; look < 3; look++) {     /* the first one ends the burst's */
        fake.now += OBM_EPOCH_NANOSECONDS;
        obm_before_blocking(heap);
    }
    EXPECT_EQUAL(heap->retention.allowance, heap->retention.base);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* In a process that does nothing at all, the first look finds all of it gone. */
TEST(a_long_sleep_is_as_many_epochs)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned lesson = 0; lesson < 3; lesson++) {
        burst(heap);
    }
    EXPECT_AT_LEAST(heap->retention.dirty, 2 * heap->retention.base);
    obm_trim_tick(heap);
    fake.now += 3 * OBM_EPOCH_NANOSECONDS;
    obm_trim_tick(heap);
    fake.now += 3 * OBM_EPOCH_NANOSECONDS;
    while (obm_trim_tick(heap)) {
    }
    EXPECT_EQUAL(heap->retention.allowance, heap->retention.base);
    EXPECT_AT_MOST(heap->retention.dirty, heap->retention.base);
    heap_end(heap);
}

static size_t surpluses;

static void
count_surplus(struct obm_heap *heap)
{
    surpluses++;
    EXPECT(obm_wants_purger(heap));
}

TEST(a_surplus_that_is_worth_a_purger_is_told)
{
    struct obm_heap *heap = heap_new("");
    heap->on_surplus = count_surplus;
    burst(heap);
    EXPECT_EQUAL(surpluses, 0);         /* a single burst leaves less */
    burst(heap);
    burst(heap);
    EXPECT_AT_LEAST(surpluses, 1);
    EXPECT(obm_wants_purger(heap));
    obm_trim(heap);
    EXPECT(!obm_wants_purger(heap));
    heap_end(heap);
}

TEST(with_background_on_any_surplus_is_told)
{
    struct obm_heap *heap = heap_new("background=1");
    heap->on_surplus = count_surplus;
    struct pages pages = pages_take(heap, heap->retention.base + 2, LARGE);
    pages_give(heap, &pages);
    EXPECT_AT_LEAST(surpluses, 1);
    heap_end(heap);
}

static size_t page_events;

static void
count_page_events(struct obm_heap *heap)
{
    (void)heap;
    page_events++;
}

TEST(page_events_are_told_now_and_then)
{
    struct obm_heap *heap = heap_new("");
    heap->on_page_events = count_page_events;
    struct pages pages = pages_take(heap, 2 * OBM_EVENTS_PER_CALL, LARGE);
    EXPECT_EQUAL(page_events, 2);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* Cycles from which the policy learns. */
#define LESSONS 3u

/* The rest costs no call of the system at all. */
TEST(a_cyclic_program_soon_stops_purging)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned lesson = 0; lesson < LESSONS; lesson++) {
        burst(heap);
        EXPECT_AT_LEAST(fake.purge_calls + fake.unmap_calls, 1);
    }
    fake_os_count_anew();
    for (unsigned cycle = 0; cycle < 10; cycle++) {
        burst(heap);
        fake.now += FAKE_MILLISECOND;
    }
    EXPECT_EQUAL(fake.purge_calls, 0);
    EXPECT_EQUAL(fake.unmap_calls, 0);
    EXPECT_EQUAL(fake.map_calls, 0);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Over many epochs too, as long as each uses what is kept: a few calls an
   epoch at most, for pages that this cycle happened not to touch. */
TEST(a_cyclic_program_keeps_its_pages_over_many_epochs)
{
    enum { CYCLES = 50, CYCLES_PER_EPOCH = 5 };
    struct obm_heap *heap = heap_new("");
    for (unsigned cycle = 0; cycle < CYCLES; cycle++) {
        if (cycle == 2 * LESSONS) {
            fake_os_count_anew();
        }
        fake.now += OBM_EPOCH_NANOSECONDS / CYCLES_PER_EPOCH;
        burst(heap);
    }
    EXPECT_AT_MOST(fake.purge_calls + fake.unmap_calls + fake.map_calls,
                   8 * CYCLES / CYCLES_PER_EPOCH);
    heap_end(heap);
}

TEST(retention_that_is_not_used_goes_back_after_epochs)
{
    struct obm_heap *heap = heap_new("");
    burst(heap);
    burst(heap);
    burst(heap);
    EXPECT_AT_LEAST(heap->retention.dirty, 2 * resident_bound(heap));
    EXPECT_AT_LEAST(heap->retention.allowance, 2 * resident_bound(heap));
    for (unsigned epoch = 0; epoch < 4; epoch++) {
        let_pass(heap, OBM_EPOCH_NANOSECONDS);
    }
    EXPECT_AT_MOST(heap->retention.dirty, resident_bound(heap));
    EXPECT_AT_LEAST(heap->retention.allowance, heap->retention.base);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(before_blocking_gives_back_what_an_epoch_did_not_use)
{
    struct obm_heap *heap = heap_new("");
    burst(heap);
    burst(heap);
    burst(heap);
    size_t dirty = heap->retention.dirty;
    for (unsigned i = 0; i < 3; i++) {
        obm_before_blocking(heap);
        /* Whole runs go, so the last may be too much. */
        EXPECT_AT_LEAST(heap->retention.dirty + heap->geometry.run_pages,
                        dirty < heap->retention.allowance ? dirty : heap->retention.allowance);
    }
    for (unsigned epoch = 0; epoch < 3; epoch++) {
        fake.now += OBM_EPOCH_NANOSECONDS;
        obm_before_blocking(heap);
    }
    EXPECT_AT_MOST(heap->retention.dirty, heap->retention.base);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(before_blocking_with_little_to_give_does_not_read_the_clock)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2, LARGE);
    pages_give(heap, &pages);
    fake_os_count_anew();
    obm_before_blocking(heap);
    EXPECT_EQUAL(fake.clock_calls, 0);
    heap_end(heap);
}

/* Fill so many arenas, and free the first pages of each group of so many, so that
   more is dirty than may stay: nothing is purged yet, and there is no credit. */
static struct pages
surplus(struct obm_heap *heap, unsigned arenas, size_t freed, size_t group)
{
    struct pages pages = pages_take(heap, (size_t)arenas * heap->geometry.arena_pages, LARGE);
    obm_trim_tick(heap);
    heap->retention.allowance = SIZE_MAX / 2;
    for (size_t page = 0; page + freed <= pages.count; page += group) {
        pages_give_range(heap, &pages, page, page + freed);
    }
    heap->retention.credit = 0;
    heap->retention.allowance = heap->retention.base;
    fake_os_count_anew();
    return pages;
}

/* What all purges since fake_os_count_anew() cost, at the documented price. */
static uint64_t
price_paid(size_t pages)
{
    return fake.splits * OBM_SPLIT_NANOSECONDS
           + (fake.purge_calls + fake.unmap_calls) * OBM_PURGE_CALL_NANOSECONDS
           + pages * OBM_PURGE_PAGE_NANOSECONDS;
}

/* Block once a millisecond, and compare the price of what is purged with the share
   of the time. */
static void
expect_share(struct obm_heap *heap, unsigned milliseconds)
{
    size_t before = obm_given_back(heap);
    for (unsigned i = 0; i < milliseconds; i++) {
        fake.now += FAKE_MILLISECOND;
        obm_before_blocking(heap);
    }
    size_t pages = (obm_given_back(heap) - before) / heap->geometry.page_size;
    uint64_t share = milliseconds * FAKE_MILLISECOND / OBM_PURGE_SHARE;
    uint64_t arena = OBM_SPLIT_NANOSECONDS
                     + heap->geometry.arena_pages
                       * (OBM_PURGE_CALL_NANOSECONDS + OBM_PURGE_PAGE_NANOSECONDS);
    EXPECT_AT_LEAST(price_paid(pages), share / 2);
    EXPECT_AT_MOST(price_paid(pages), share + arena);
}

TEST(purges_unasked_take_no_more_than_their_share)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = surplus(heap, 16, 1, 2);
    expect_share(heap, 20);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* Taking a huge page apart costs time as well, and is paid from the same
   credit. */
TEST(purges_unasked_take_no_more_than_their_share_with_huge_pages_too)
{
    struct obm_heap *heap = heap_new("hugepages=always");
    struct pages pages = surplus(heap, 60, heap->geometry.run_pages / 2,
                                 heap->geometry.arena_pages);
    expect_share(heap, 20);
    EXPECT_AT_LEAST(fake.splits, 2);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* A call of the system costs as much as some pages. */
TEST(of_neighbours_more_go_for_the_same_credit_than_of_single_pages)
{
    size_t gone[2];
    for (unsigned i = 0; i < 2; i++) {
        struct obm_heap *heap = heap_new("");
        struct pages pages = i == 0 ? surplus(heap, 16, 1, 2) : surplus(heap, 16, 6, 7);
        heap->retention.credit = 2 * heap->geometry.arena_pages
                                 * (int64_t)(OBM_PURGE_CALL_NANOSECONDS
                                             + OBM_PURGE_PAGE_NANOSECONDS);
        size_t before = obm_given_back(heap);
        obm_trim_tick(heap);
        gone[i] = obm_given_back(heap) - before;
        pages_give(heap, &pages);
        heap_end(heap);
    }
    EXPECT_AT_LEAST(gone[1], 2 * gone[0]);
}

TEST(the_clock_is_read_once_in_many_events)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 1, SMALL);
    fake_os_count_anew();
    for (unsigned event = 0; event < 4 * OBM_EVENTS_PER_CLOCK; event++) {
        struct pages page = pages_take(heap, 1, LARGE);
        pages_give(heap, &page);
        obm_pools_retire(heap);
    }
    EXPECT_AT_LEAST(fake.clock_calls, 4);
    EXPECT_AT_MOST(fake.clock_calls, 8);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* Modes ---------------------------------------------------------------------------- */

TEST(mode_none_gives_every_page_back_at_once)
{
    struct obm_heap *heap = heap_new("retain=none");
    struct pages pages = pages_take(heap, 2 * heap->geometry.arena_pages, LARGE);
    for (size_t page = 0; page < pages.count; page++) {
        page_give(heap, &pages, page);
        EXPECT_EQUAL(heap->retention.dirty, 0);
    }
    /* The class keeps its current page. */
    EXPECT_AT_MOST(heap->arena_count, 1);
    obm_pools_retire(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

TEST(mode_all_gives_nothing_back_unless_asked)
{
    struct obm_heap *heap = heap_new("retain=all");
    burst(heap);
    for (unsigned epoch = 0; epoch < 3; epoch++) {
        let_pass(heap, OBM_EPOCH_NANOSECONDS);
        obm_before_blocking(heap);
    }
    EXPECT_EQUAL(fake.purge_calls + fake.unmap_calls, 0);
    EXPECT_AT_LEAST(heap->retention.dirty, burst_pages(heap) - 1);
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

TEST(mode_size_keeps_up_to_what_was_said)
{
    struct obm_heap *heap = heap_new("retain=3M");
    size_t said = (size_t)3 << 20;
    struct pages pages = pages_take(heap, 2 * said / heap->geometry.page_size, LARGE);
    pages_give(heap, &pages);
    size_t kept = heap->retention.dirty * heap->geometry.page_size;
    EXPECT_AT_MOST(kept, said);
    EXPECT_AT_LEAST(kept, said / 2);
    for (unsigned epoch = 0; epoch < 3; epoch++) {
        let_pass(heap, OBM_EPOCH_NANOSECONDS);
    }
    EXPECT_AT_LEAST(heap->retention.dirty * heap->geometry.page_size, said / 2);
    EXPECT_EQUAL((heap->retention.allowance + heap->retention.slack) * heap->geometry.page_size,
                 said);
    heap_end(heap);
}

/* Trimming ------------------------------------------------------------------------- */

TEST(trimming_stops_at_its_target)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t arena = heap->geometry.arena_pages;
    struct pages pages = pages_take(heap, 3 * arena, LARGE);
    pages_give(heap, &pages);
    obm_pools_retire(heap);
    EXPECT_EQUAL(heap->retention.dirty, 3 * arena);
    uint64_t price = OBM_PURGE_CALL_NANOSECONDS + arena * OBM_PURGE_PAGE_NANOSECONDS;
    EXPECT_EQUAL(obm_trim_down_to(heap, 2 * arena, UINT64_MAX), price);
    EXPECT_EQUAL(heap->retention.dirty, 2 * arena);
    EXPECT_EQUAL(heap->arena_count, 2);
    EXPECT_EQUAL(obm_trim_down_to(heap, 0, UINT64_MAX), 2 * price);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

TEST(a_request_without_memory_has_dirty_pages_given_back_if_they_may_be_enough)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t arena = heap->geometry.arena_pages;
    EXPECT(!obm_trim_for(heap, 1));         /* there are none */
    struct pages pages = pages_take(heap, 2 * arena, LARGE);
    pages_give(heap, &pages);
    obm_pools_retire(heap);
    size_t allowance = heap->retention.allowance;
    EXPECT(!obm_trim_for(heap, SIZE_MAX));
    EXPECT(!obm_trim_for(heap, ((2 * heap->geometry.arena_size) + 1) << OBM_ROOM_SHIFT));
    EXPECT_EQUAL(heap->retention.dirty, 2 * arena);
    EXPECT(obm_trim_for(heap, (2 * heap->geometry.arena_size) << OBM_ROOM_SHIFT));
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT(!obm_trim_for(heap, 1));
    EXPECT_EQUAL(heap->retention.allowance, allowance);
    heap_end(heap);
}

TEST(what_has_been_free_longest_is_purged_first)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t arena = heap->geometry.arena_pages;
    struct pages pages = pages_take(heap, 3 * arena, LARGE);
    const size_t order[] = {1, 2, 0};
    for (size_t i = 0; i < 3; i++) {
        page_give(heap, &pages, order[i] * arena);
    }
    fake_os_count_anew();
    for (size_t i = 0; i < 3; i++) {
        size_t neighbour = order[i] * arena + 1;
        EXPECT_EQUAL(obm_trim_down_to(heap, 2 - i, UINT64_MAX),
                     OBM_PURGE_CALL_NANOSECONDS + OBM_PURGE_PAGE_NANOSECONDS);
        EXPECT_EQUAL(fake.purges[i].address,
                     (uintptr_t)page_address(heap, &pages, neighbour)
                     - heap->geometry.page_size);
    }
    heap_end(heap);
}

static struct obm_heap *trimmed;
static size_t pauses, most_at_a_time;

/* What went back since the last pause, at the price that one step may have. */
static void
pause_trimming(void)
{
    static size_t before;
    size_t pages = obm_given_back(trimmed) / trimmed->geometry.page_size;
    most_at_a_time = pages - before > most_at_a_time ? pages - before : most_at_a_time;
    before = pages;
    pauses++;
}

TEST(trimming_in_steps_gives_back_all_and_pauses)
{
    struct obm_heap *heap = trimmed = heap_new("retain=all");
    size_t arena = heap->geometry.arena_pages;
    struct pages pages = pages_take(heap, 12 * arena, LARGE);
    for (size_t page = 1; page < pages.count; page += 2) {
        page_give(heap, &pages, page);
    }
    size_t dirty = heap->retention.dirty;
    EXPECT_AT_LEAST(obm_trim_in_steps(heap, pause_trimming), dirty * heap->geometry.page_size);
    EXPECT_EQUAL(heap->retention.dirty, 0);
    EXPECT_AT_LEAST(pauses, 1);
    EXPECT_AT_MOST(most_at_a_time,
                   OBM_PURGE_STEP_NANOSECONDS
                   / (OBM_PURGE_CALL_NANOSECONDS + OBM_PURGE_PAGE_NANOSECONDS)
                   + heap->geometry.run_pages);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(trimming_tells_the_bytes_that_went_back)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 20, LARGE);
    pages_give_range(heap, &pages, 0, 7);
    EXPECT_EQUAL(obm_trim(heap), 7 * heap->geometry.page_size);
    EXPECT_EQUAL(obm_trim(heap), 0);
    heap_end(heap);
}

/* "Give back all that can go now.  Returns the number of bytes." */
TEST(trimming_tells_what_current_pages_gave_back_too)
{
    struct obm_heap *heap = heap_new("retain=none");
    struct pages kept = pages_take(heap, 1, LARGE);
    void *block = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, block));
    EXPECT_EQUAL(obm_trim(heap), heap->geometry.page_size);
    pages_give(heap, &kept);
    heap_end(heap);
}

/* Unmapping an arena between two others makes one more mapping. */
TEST(with_very_many_arenas_outside_the_window_empty_ones_stay_mapped)
{
    struct obm_heap *heap = heap_new("");
    fake.refuse_hints = true;
    burst(heap);
    size_t released = heap->counters.arenas_released;
    struct pages pages = pages_take(heap, burst_pages(heap), LARGE);
    heap->map.count += OBM_MAX_OUTSIDE_ENTRIES;     /* as if there were so many */
    pages_give(heap, &pages);
    obm_trim(heap);
    heap->map.count -= OBM_MAX_OUTSIDE_ENTRIES;
    EXPECT_EQUAL(heap->counters.arenas_released, released);
    EXPECT_EQUAL(resident_pages(heap), 0);
    EXPECT_AT_LEAST(heap->arena_count, 1);
    heap_end(heap);
}

TEST(trimming_tells_nothing_went_back_when_purging_is_refused)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 20, LARGE);
    pages_give_range(heap, &pages, 0, 7);
    fake.refuse_purges = true;
    EXPECT_EQUAL(obm_trim(heap), 0);
    heap_end(heap);
}

TEST(trimming_forgets_what_was_learned)
{
    struct obm_heap *heap = heap_new("");
    burst(heap);
    burst(heap);
    EXPECT_AT_LEAST(heap->retention.allowance, heap->retention.base + 1);
    obm_trim(heap);
    EXPECT_EQUAL(heap->retention.allowance, heap->retention.base);
    heap_end(heap);
}

/* Which pages the program wants again after the start says nothing about later ones. */
TEST(what_a_start_leaves_free_goes_back_and_teaches_nothing)
{
    struct obm_heap *heap = heap_new("");
    size_t base = heap->retention.base;
    struct pages pages = pages_take(heap, 20, LARGE);
    pages_give_range(heap, &pages, 0, 7);
    EXPECT_EQUAL(heap->retention.dirty, 7);
    obm_trim_after_start(heap);
    EXPECT_EQUAL(heap->retention.dirty, 0);
    pages_take(heap, 7 + heap->geometry.run_pages, LARGE);      /* fresh ones of another run first */
    EXPECT_EQUAL(heap->counters.refaults, 7);
    EXPECT_EQUAL(heap->retention.allowance, base);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(what_is_to_be_kept_outlives_the_start)
{
    static const char *const settings[] = {"retain=all", "retain=16M", "hugepages=always"};
    for (unsigned i = 0; i < 3; i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        struct pages pages = pages_take(heap, 20, LARGE);
        pages_give_range(heap, &pages, 0, 7);
        obm_trim_after_start(heap);
        EXPECT_EQUAL(heap->retention.dirty, 7);
        heap_end(heap);
    }
}

/* The invariants of struct obm_retention, at every moment of a busy program. */
TEST(low_water_and_allowance_keep_their_bounds)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned round = 0; round < 20; round++) {
        struct pages pages = pages_take(heap, burst_pages(heap) / (1 + round % 5), LARGE);
        for (size_t page = 0; page < pages.count; page++) {
            page_give(heap, &pages, page);
            EXPECT_AT_MOST(heap->retention.low_water, heap->retention.dirty);
            EXPECT_AT_LEAST(heap->retention.allowance, heap->retention.base);
        }
        pages_give(heap, &pages);
        fake.now += OBM_EPOCH_NANOSECONDS / 3;
    }
    heap_end(heap);
}

/* The free lists of the caller are due each time that so much has gone back,
   and not before anything has: a heap that was never used has no pages. */
TEST(free_lists_are_due_by_what_went_back)
{
    struct obm_heap *heap = heap_new("retain=none");
    size_t due = OBM_FREE_LISTS_BYTES / heap->geometry.page_size;
    EXPECT(!obm_free_lists_due(heap));
    for (unsigned round = 0; round < 3; round++) {
        struct pages pages = pages_take(heap, due - 1, LARGE);
        pages_give(heap, &pages);
        obm_trim(heap);
        EXPECT(!obm_free_lists_due(heap));
        pages = pages_take(heap, 1, LARGE);
        pages_give(heap, &pages);
        obm_trim(heap);
        EXPECT(obm_free_lists_due(heap));
        EXPECT(!obm_free_lists_due(heap));
    }
    heap_end(heap);
}

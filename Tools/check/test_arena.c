/* obmalloc's unit tests: arenas, their runs and pages (arena.c). */

#include "heaps.h"

/* By the books: take every page of a run for a class, without touching one. */
static obm_run_id
run_use_up(struct obm_heap *heap, unsigned size_class)
{
    obm_run_id id;
    struct obm_run *run = obm_run_with_room(heap, size_class, &id);
    REQUIRE(run != NULL);
    while (run->free != 0) {
        obm_pages_take(heap, id, obm_one_page(obm_lowest_bit(run->free)));
    }
    return id;
}

/* The number of runs that the arenas of a heap lend out. */
static void
arenas_use_up(struct obm_heap *heap, size_t arenas)
{
    for (size_t run = 0; run < arenas * OBM_RUNS_PER_ARENA; run++) {
        run_use_up(heap, LARGE_CLASS);
    }
}

static size_t
run_pages(const struct obm_heap *heap)
{
    return heap->geometry.run_pages;
}

static size_t
arena_pages(const struct obm_heap *heap)
{
    return heap->geometry.arena_pages;
}

TEST(arenas_come_and_go)
{
    struct obm_heap *heap = heap_new("");
    EXPECT_EQUAL(fake.map_calls, 0);
    struct pages pages = pages_take(heap, 3 * arena_pages(heap), LARGE);
    EXPECT_EQUAL(heap->arena_count, 3);
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_EQUAL(heap->counters.arenas_mapped, 3);
    EXPECT_EQUAL(heap->counters.arenas_released, 3);
    EXPECT_EQUAL(heap->counters.arenas_highwater, 3);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(arena_objects_are_used_again)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned round = 0; round < 20; round++) {
        struct pages pages = pages_take(heap, 1, LARGE);
        EXPECT_EQUAL(arena_of(heap, page_block(&pages, 0)), 1);
        pages_give(heap, &pages);
        obm_trim(heap);
        EXPECT_EQUAL(heap->arena_count, 0);
    }
    EXPECT_EQUAL(heap->arenas_ever, 2);
    heap_end(heap);
}

TEST(the_array_of_arenas_grows_and_keeps_what_it_holds)
{
    struct obm_heap *heap = heap_new("");
    void *first = obm_malloc(heap, SMALL);
    size_t capacity = heap->arena_capacity;
    size_t address = heap->arenas[1].address;
    REQUIRE(capacity > 1);
    while (heap->arena_capacity == capacity) {
        run_use_up(heap, LARGE_CLASS);
    }
    EXPECT_AT_LEAST(heap->arena_capacity, 2 * capacity - 1);
    EXPECT_EQUAL(heap->arenas[1].address, address);
    EXPECT_EQUAL(arena_of(heap, first), 1);
    EXPECT(obm_free(heap, first));
    heap_end(heap);
}

TEST(a_new_arena_is_cut_into_free_runs)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, SMALL);
    const struct obm_arena_object *arena = arena_object_of(heap, block);
    EXPECT_EQUAL(arena->page_count, arena_pages(heap));
    EXPECT_EQUAL(arena->free_pages, arena_pages(heap) - 1);
    EXPECT_EQUAL(obm_count_bits(arena->free_runs), OBM_RUNS_PER_ARENA - 1);
    EXPECT_EQUAL(arena->dirty_pages, 0);
    EXPECT_EQUAL(arena->first_page % heap->geometry.page_size, 0);
    EXPECT(arena->purgeable);
    heap_end(heap);
}

/* Which arena, which run, which page ----------------------------------------------- */

/* Three arenas with one, three and two free runs. */
TEST(the_fullest_arena_gives_the_next_run)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t run = run_pages(heap), arena = arena_pages(heap);
    struct pages pages = pages_take(heap, 3 * arena, LARGE);
    void *kept[3];
    for (size_t i = 0; i < 3; i++) {
        kept[i] = page_block(&pages, i * arena + arena - 1);
    }
    pages_give_range(heap, &pages, 0, run);
    pages_give_range(heap, &pages, arena, arena + 3 * run);
    pages_give_range(heap, &pages, 2 * arena, 2 * arena + 2 * run);
    const size_t order[] = {0, 2, 2, 1, 1, 1};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        obm_run_id id = run_use_up(heap, SMALL_CLASS);
        EXPECT_EQUAL(id >> OBM_RUNS_SHIFT, arena_of(heap, kept[order[i]]));
    }
    EXPECT_EQUAL(heap->arena_count, 3);
    run_use_up(heap, SMALL_CLASS);
    EXPECT_EQUAL(heap->arena_count, 4);
    heap_end(heap);
}

/* The fill counts by pages, not by runs: an arena with fewer free pages but
   more free runs comes first. */
TEST(fullest_is_meant_by_pages)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t run = run_pages(heap), arena = arena_pages(heap);
    struct pages pages = pages_take(heap, 2 * arena, LARGE);
    void *in_second = page_block(&pages, 2 * arena - 1);
    /* One free run, and three runs of which one page is used. */
    pages_give_range(heap, &pages, 0, run);
    for (size_t i = 1; i < 4; i++) {
        pages_give_range(heap, &pages, i * run + 1, (i + 1) * run);
    }
    pages_give_range(heap, &pages, arena, arena + 2 * run);
    EXPECT_EQUAL(run_use_up(heap, SMALL_CLASS) >> OBM_RUNS_SHIFT, arena_of(heap, in_second));
    heap_end(heap);
}

TEST(the_fullest_run_of_a_class_gives_the_next_page)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t run = run_pages(heap);
    struct pages pages = pages_take(heap, 4 * run, LARGE);
    const size_t step = run >> OBM_RUN_BUCKETS_SHIFT;
    const size_t given[] = {3, 1, 2};   /* steps of the first three runs */
    for (size_t i = 0; i < 3; i++) {
        pages_give_range(heap, &pages, i * run, i * run + given[i] * step);
    }
    const size_t order[] = {1, 2, 2, 0, 0, 0};
    for (size_t i = 0; i < step * sizeof(order) / sizeof(order[0]); i++) {
        struct pages more = pages_take(heap, 1, LARGE);
        EXPECT_EQUAL(run_of(heap, page_block(&more, 0)), order[i / step]);
        free(more.blocks);
    }
    heap_end(heap);
}

TEST(an_emptied_run_serves_another_class)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, arena_pages(heap), LARGE);
    unsigned run = run_of(heap, page_block(&pages, run_pages(heap)));
    pages_give_range(heap, &pages, run_pages(heap), 2 * run_pages(heap));
    void *small = obm_malloc(heap, SMALL);
    EXPECT_EQUAL(heap->arena_count, 1);
    EXPECT_EQUAL(run_of(heap, small), run);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(a_run_with_a_used_page_serves_no_other_class)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, arena_pages(heap), LARGE);
    for (size_t page = 0; page < pages.count; page++) {
        if (page % run_pages(heap) != 0) {
            page_give(heap, &pages, page);
        }
    }
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    EXPECT_EQUAL(heap->arena_count, 2);
    heap_end(heap);
}

TEST(a_resident_page_is_preferred_to_a_purged_one)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, run_pages(heap), LARGE);
    obm_arena_index arena = arena_of(heap, page_block(&pages, 0));
    char *dirty = page_address(heap, &pages, 4);
    page_give(heap, &pages, 1);
    page_give(heap, &pages, 2);
    EXPECT_EQUAL(obm_arena_purge(heap, arena, SIZE_MAX), 2);
    page_give(heap, &pages, 4);
    struct pages more = pages_take(heap, 1, LARGE);
    EXPECT_SAME(page_address(heap, &more, 0), dirty);
    EXPECT_EQUAL(heap->counters.refaults, 0);
    heap_end(heap);
}

TEST(else_the_lowest_page_is_taken)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, run_pages(heap), LARGE);
    char *lowest = page_address(heap, &pages, 2);
    page_give(heap, &pages, 5);
    page_give(heap, &pages, 2);
    page_give(heap, &pages, 3);
    struct pages more = pages_take(heap, 1, LARGE);
    EXPECT_SAME(page_address(heap, &more, 0), lowest);
    heap_end(heap);
}

/* Purging -------------------------------------------------------------------------- */

static void
expect_purge(size_t number, const char *address, size_t size)
{
    REQUIRE(number < fake.purged);
    EXPECT_EQUAL(fake.purges[number].address, (uintptr_t)address);
    EXPECT_EQUAL(fake.purges[number].size, size);
}

/* Neighbours in one call, also across the border of two runs; what is apart in
   calls of its own. */
TEST(neighbours_are_purged_in_one_call_across_runs_too)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t run = run_pages(heap), page = heap->geometry.page_size;
    struct pages pages = pages_take(heap, 3 * run, LARGE);
    char *start = page_address(heap, &pages, 0);
    obm_arena_index arena = arena_of(heap, start);
    page_give(heap, &pages, 1);
    pages_give_range(heap, &pages, run - 2, run + 3);
    pages_give_range(heap, &pages, 2 * run + 1, 2 * run + 3);
    fake_os_count_anew();
    EXPECT_EQUAL(obm_arena_purge(heap, arena, SIZE_MAX), 8);
    EXPECT_EQUAL(fake.purge_calls, 3);
    expect_purge(0, start + page, page);
    expect_purge(1, start + (run - 2) * page, 5 * page);
    expect_purge(2, start + (2 * run + 1) * page, 2 * page);
    EXPECT_EQUAL(heap->counters.purge_calls, 3);
    EXPECT_EQUAL(heap->counters.purged_pages, 8);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* A whole run between two others: its bitmap has no end to find. */
TEST(whole_runs_are_purged_in_one_call)
{
    struct obm_heap *heap = heap_new("retain=all");
    size_t run = run_pages(heap), page = heap->geometry.page_size;
    struct pages pages = pages_take(heap, 4 * run, LARGE);
    char *start = page_address(heap, &pages, 0);
    pages_give_range(heap, &pages, 1, 4 * run - 1);
    fake_os_count_anew();
    EXPECT_EQUAL(obm_arena_purge(heap, arena_of(heap, start), SIZE_MAX), 4 * run - 2);
    EXPECT_EQUAL(fake.purge_calls, 1);
    expect_purge(0, start + page, (4 * run - 2) * page);
    heap_end(heap);
}

TEST(every_pattern_of_dirty_pages_is_purged_exactly)
{
    struct obm_heap *heap = heap_new("retain=all");
    enum { PATTERN_PAGES = 8 };
    for (unsigned pattern = 1; pattern < 1u << PATTERN_PAGES; pattern++) {
        struct pages pages = pages_take(heap, PATTERN_PAGES, LARGE);
        char *start = (char *)(arena_object_of(heap, page_block(&pages, 0))->first_page);
        obm_arena_index arena = arena_of(heap, start);
        void *pinned = obm_malloc(heap, SMALL);
        for (unsigned i = 0; i < PATTERN_PAGES; i++) {
            if (pattern >> i & 1) {
                page_give(heap, &pages, i);
            }
        }
        size_t dirty = heap->retention.dirty;
        EXPECT_EQUAL(obm_arena_purge(heap, arena, SIZE_MAX), dirty);
        EXPECT_EQUAL(heap->retention.dirty, 0);
        EXPECT_EQUAL(fake_os_resident_pages(start, heap->geometry.run_size),
                     run_pages(heap) - heap->arenas[arena].runs[0].free_count);
        pages_give(heap, &pages);
        EXPECT(obm_free(heap, pinned));
        obm_trim(heap);
        REQUIRE(heap->arena_count == 0);
    }
    heap_end(heap);
}

TEST(purging_takes_only_free_pages_out_of_memory)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, run_pages(heap), LARGE);
    char *start = page_address(heap, &pages, 0);
    for (size_t i = 0; i < pages.count * pages.capacity; i++) {
        memset(pages.blocks[i], (int)(i & 0x7f), LARGE);
    }
    for (size_t page = 0; page < pages.count; page += 2) {
        page_give(heap, &pages, page);
    }
    obm_arena_purge(heap, arena_of(heap, start), SIZE_MAX);
    EXPECT_EQUAL(fake_os_resident_pages(start, heap->geometry.run_size), pages.count / 2);
    for (size_t i = 0; i < pages.count * pages.capacity; i++) {
        const char *block = pages.blocks[i];
        EXPECT(block == NULL || (block[0] == (char)(i & 0x7f) && block[LARGE - 1] == block[0]));
    }
    heap_end(heap);
}

/* A refusal is remembered, so that it does not cost a call again and again. */
TEST(an_arena_that_cannot_be_purged_is_not_asked_again)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 4, LARGE);
    void *other = obm_malloc(heap, SMALL);
    fake.refuse_purges = true;
    page_give(heap, &pages, 0);
    EXPECT_EQUAL(obm_arena_purge(heap, arena_of(heap, other), SIZE_MAX), 0);
    EXPECT_EQUAL(heap->counters.purge_failures, 1);
    EXPECT_EQUAL(heap->counters.purged_pages, 0);
    page_give(heap, &pages, 1);
    fake_os_count_anew();
    EXPECT_EQUAL(obm_trim(heap), 0);
    EXPECT_EQUAL(fake.purge_calls, 0);
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    EXPECT(obm_free(heap, other));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

/* Huge pages ----------------------------------------------------------------------- */

TEST(every_arena_is_advised_when_it_is_mapped)
{
    static const struct { const char *settings; size_t huge; } cases[] = {
        {"hugepages=always", 3}, {"hugepages=never", 0}, {"", 0}
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct obm_heap *heap = heap_new(cases[i].settings);
        fake_os_count_anew();
        arenas_use_up(heap, 3);
        EXPECT_EQUAL(fake.huge_advices, cases[i].huge);
        EXPECT_EQUAL(fake.small_advices, 3 - cases[i].huge);
        EXPECT_EQUAL(heap->counters.arenas_huge, cases[i].huge);
        EXPECT_EQUAL(heap->arenas[1].huge, cases[i].huge != 0);
        heap_end(heap);
    }
}

/* The fake fails the test if a part of a huge page is purged. */
TEST(the_first_purge_takes_a_huge_page_apart_and_gives_all_its_free_pages_back)
{
    struct obm_heap *heap = heap_new("retain=all,hugepages=always");
    size_t used = arena_pages(heap) / 2;
    struct pages pages = pages_take(heap, used, LARGE);
    struct obm_arena_object *arena = &heap->arenas[1];
    page_give(heap, &pages, used / 2);
    page_give(heap, &pages, used / 2 + 2);
    EXPECT_EQUAL(arena->dirty_pages, 2);
    EXPECT_EQUAL(obm_arena_purge(heap, 1, SIZE_MAX), arena_pages(heap) - used + 2);
    EXPECT_EQUAL(fake.splits, 1);
    EXPECT_EQUAL(fake.small_advices, 1);
    EXPECT(!arena->huge);
    EXPECT_EQUAL(heap->counters.arenas_split, 1);
    EXPECT_EQUAL(arena->dirty_pages, 0);
    EXPECT_VALID(heap);
    page_give(heap, &pages, 0);
    EXPECT_EQUAL(obm_arena_purge(heap, 1, SIZE_MAX), 1);
    EXPECT_EQUAL(fake.splits, 1);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(a_part_of_a_huge_page_may_stay_when_no_more_is_asked_for)
{
    struct obm_heap *heap = heap_new("retain=all,hugepages=always");
    struct pages pages = pages_take(heap, arena_pages(heap), LARGE);
    pages_give_range(heap, &pages, 0, arena_pages(heap) - 1);
    EXPECT_AT_MOST(obm_arena_purge(heap, 1, 1), run_pages(heap));
    EXPECT_AT_LEAST(heap->arenas[1].dirty_pages, 1);
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(trimming_gives_back_what_a_huge_page_holds_and_nothing_uses)
{
    struct obm_heap *heap = heap_new("hugepages=always");
    struct pages pages = pages_take(heap, 1, LARGE);
    EXPECT_EQUAL(heap->arenas[1].dirty_pages, 0);
    EXPECT_EQUAL(obm_trim(heap), (arena_pages(heap) - 1) * heap->geometry.page_size);
    EXPECT_EQUAL(fake.splits, 1);
    EXPECT_EQUAL(obm_trim(heap), 0);
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(a_huge_page_that_is_free_goes_back_whole)
{
    struct obm_heap *heap = heap_new("retain=all,hugepages=always");
    struct pages pages = pages_take(heap, 3, LARGE);
    pages_give(heap, &pages);
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_EQUAL(fake.splits, 0);
    heap_end(heap);
}

TEST(a_huge_page_that_cannot_be_purged_is_taken_apart_once)
{
    struct obm_heap *heap = heap_new("retain=all,hugepages=always");
    struct pages pages = pages_take(heap, arena_pages(heap), LARGE);
    page_give(heap, &pages, 3);
    fake.refuse_purges = true;
    EXPECT_EQUAL(obm_trim(heap), 0);
    EXPECT(!heap->arenas[1].purgeable);
    page_give(heap, &pages, 4);
    EXPECT_EQUAL(obm_trim(heap), 0);
    EXPECT_EQUAL(fake.splits, 1);
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(where_the_system_has_no_huge_pages_nothing_is_huge)
{
    struct obm_heap *heap = heap_new("retain=all,hugepages=always");
    fake.no_huge_pages = true;
    struct pages pages = pages_take(heap, arena_pages(heap), LARGE);
    EXPECT(!heap->arenas[1].huge);
    EXPECT_EQUAL(heap->counters.arenas_huge, 0);
    page_give(heap, &pages, 3);
    obm_trim(heap);
    EXPECT_EQUAL(fake.splits, 0);
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(foreign_arenas_are_not_advised)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    struct obm_heap *heap = heap_new("hugepages=always");
    heap->arena_allocator = foreign_allocator_in_force;
    foreign_in_force = &foreign.functions;
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    EXPECT_EQUAL(fake.huge_advices + fake.small_advices, 0);
    heap_end(heap);
}

/* auto: when an arena should be huge. */

static size_t
huge_arenas_of(struct obm_heap *heap, size_t arenas)
{
    size_t before = heap->counters.arenas_huge;
    arenas_use_up(heap, arenas);
    return heap->counters.arenas_huge - before;
}

static void
release_arenas(struct obm_heap *heap, size_t arenas)
{
    struct pages pages = pages_take(heap, arenas * arena_pages(heap), LARGE);
    pages_give(heap, &pages);
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
}

TEST(arenas_that_replace_released_ones_are_huge_but_for_the_last)
{
    struct obm_heap *heap = heap_new("");
    release_arenas(heap, 4);
    EXPECT_EQUAL(heap->counters.arenas_huge, 0);
    fake.now += OBM_REGRET_NANOSECONDS - 1;
    EXPECT_EQUAL(huge_arenas_of(heap, 6), 3);
    heap_end(heap);
}

TEST(arenas_wanted_again_late_or_never_to_be_kept_are_not_huge)
{
    struct obm_heap *heap = heap_new("");
    release_arenas(heap, 4);
    fake.now += OBM_REGRET_NANOSECONDS;
    EXPECT_EQUAL(huge_arenas_of(heap, 4), 0);
    heap_end(heap);
    heap = heap_new("retain=none");
    release_arenas(heap, 4);
    EXPECT_EQUAL(huge_arenas_of(heap, 4), 0);
    heap_end(heap);
}

TEST(arenas_of_a_very_large_heap_are_huge)
{
    struct obm_heap *heap = heap_new("");
    size_t few = OBM_HUGE_HEAP_BYTES >> heap->geometry.arena_shift;
    EXPECT_EQUAL(huge_arenas_of(heap, few), 0);
    EXPECT_EQUAL(huge_arenas_of(heap, 5), 5);
    EXPECT_EQUAL(fake.first_touches, 5);
    heap_end(heap);
}

TEST(after_a_slow_huge_page_there_is_none_for_a_while)
{
    struct obm_heap *heap = heap_new("");
    fake.first_touch_takes = OBM_HUGE_NANOSECONDS;
    arenas_use_up(heap, OBM_HUGE_HEAP_BYTES >> heap->geometry.arena_shift);
    EXPECT_EQUAL(huge_arenas_of(heap, 3), 3);
    fake.first_touch_takes++;
    EXPECT_EQUAL(huge_arenas_of(heap, 3), 1);
    fake.now += OBM_HUGE_SHARE * fake.first_touch_takes - 1;
    EXPECT_EQUAL(huge_arenas_of(heap, 1), 0);
    fake.now++;
    EXPECT_EQUAL(huge_arenas_of(heap, 3), 1);
    heap_end(heap);
}

TEST(who_always_wants_huge_pages_gets_slow_ones_too)
{
    struct obm_heap *heap = heap_new("hugepages=always");
    fake.first_touch_takes = 2 * OBM_HUGE_NANOSECONDS;
    EXPECT_EQUAL(huge_arenas_of(heap, 3), 3);
    heap_end(heap);
}

/* Refaults ------------------------------------------------------------------------- */

TEST(pages_of_a_new_arena_count_as_refaults_if_they_replace_released_ones)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 3, LARGE);
    pages_give(heap, &pages);
    EXPECT_EQUAL(heap->counters.refaults, 0);
    obm_trim(heap);
    EXPECT_EQUAL(heap->retention.released, arena_pages(heap));
    pages = pages_take(heap, 3, LARGE);
    EXPECT_EQUAL(heap->retention.released, 0);
    EXPECT_EQUAL(heap->counters.refaults, 3);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* Memory asked for ahead ------------------------------------------------------------ */

/* A heap so large that it asks for the memory of more than one page; all of its
   pages are in use. */
struct large_heap {
    struct obm_heap *heap;
    struct pages pages;
};

static struct large_heap
large_heap_new(const char *settings)
{
    struct obm_heap *heap = heap_new(settings);
    size_t count = OBM_POPULATE_ARENAS * arena_pages(heap);
    struct large_heap large = {heap, pages_take(heap, count, LARGE)};
    EXPECT_EQUAL(heap->arena_count, OBM_POPULATE_ARENAS);
    EXPECT_EQUAL(heap->retention.dirty, 0);
    fake_os_count_anew();
    return large;
}

static void
large_heap_end(struct large_heap *large)
{
    EXPECT_VALID(large->heap);
    pages_give(large->heap, &large->pages);
    heap_end(large->heap);
}

static size_t
populate_pages(const struct obm_heap *heap)
{
    size_t pages = OBM_POPULATE_BYTES / heap->geometry.page_size;
    return pages < run_pages(heap) ? pages : run_pages(heap);
}

TEST(a_large_heap_backs_neighbours_with_one_call)
{
    struct large_heap large = large_heap_new("");
    struct obm_heap *heap = large.heap;
    size_t ahead = populate_pages(heap), page = heap->geometry.page_size;
    size_t calls = ahead > 1 ? 2 : 0;
    struct pages pages = pages_take(heap, 2 * ahead, SMALL);
    EXPECT_EQUAL(fake.populate_calls, calls);
    EXPECT_EQUAL(fake.populated_bytes, calls * ahead * page);
    EXPECT_EQUAL(heap->retention.dirty, 0);
    EXPECT_EQUAL(page_address(heap, &pages, 1) - page_address(heap, &pages, 0), (ptrdiff_t)page);
    pages_give(heap, &pages);
    large_heap_end(&large);
}

TEST(pages_that_were_backed_ahead_are_free_and_dirty)
{
    struct large_heap large = large_heap_new("");
    struct obm_heap *heap = large.heap;
    struct pages pages = pages_take(heap, 1, SMALL);
    size_t ahead = populate_pages(heap) > 1 ? populate_pages(heap) - 1 : 0;
    EXPECT_EQUAL(heap->retention.dirty, ahead);
    EXPECT_EQUAL(arena_object_of(heap, page_block(&pages, 0))->dirty_pages, ahead);
    EXPECT_EQUAL(obm_trim(heap), ahead * heap->geometry.page_size);
    pages_give(heap, &pages);
    large_heap_end(&large);
}

TEST(a_small_heap_asks_for_no_page_ahead)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, (OBM_POPULATE_ARENAS - 1) * arena_pages(heap), LARGE);
    EXPECT_EQUAL(fake.populate_calls, 0);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* No page ahead where none may be kept, nor more than a share of what any heap may: what the
   program taught to keep is for pages that it frees. */
TEST(few_pages_are_backed_where_few_may_be_retained)
{
    struct large_heap large = large_heap_new("retain=none");
    struct obm_heap *heap = large.heap;
    struct pages pages = pages_take(heap, 3, SMALL);
    EXPECT_EQUAL(fake.populate_calls, 0);
    pages_give(heap, &pages);
    large_heap_end(&large);

    large = large_heap_new("");
    heap = large.heap;
    if (populate_pages(heap) > 3) {
        heap->retention.base = 2 * OBM_POPULATE_SHARE;
        heap->retention.allowance = SIZE_MAX / 2;
        pages = pages_take(heap, 1, SMALL);
        EXPECT_EQUAL(fake.populated_bytes, 3 * heap->geometry.page_size);
        EXPECT_EQUAL(heap->retention.dirty, 2);
        pages_give(heap, &pages);
    }
    large_heap_end(&large);
}

TEST(a_system_that_refuses_to_back_pages_is_asked_once)
{
    struct large_heap large = large_heap_new("");
    struct obm_heap *heap = large.heap;
    fake.refuse_populates = true;
    struct pages pages = pages_take(heap, 20, SMALL);
    EXPECT_EQUAL(fake.populate_calls, populate_pages(heap) > 1);
    EXPECT_EQUAL(heap->retention.dirty, 0);
    pages_give(heap, &pages);
    large_heap_end(&large);
}

/* A page used between two clean ones ends the range. */
TEST(only_clean_neighbours_are_backed)
{
    struct large_heap large = large_heap_new("retain=none");
    struct obm_heap *heap = large.heap;
    struct pages pages = pages_take(heap, 8, LARGE);
    char *start = page_address(heap, &pages, 0);
    page_give(heap, &pages, 0);
    page_give(heap, &pages, 1);
    page_give(heap, &pages, 2);
    page_give(heap, &pages, 4);
    heap->retention.allowance = heap->retention.base = SIZE_MAX / 2;
    struct pages more = pages_take(heap, 1, LARGE);
    EXPECT_SAME(page_address(heap, &more, 0), start);
    size_t range = populate_pages(heap) < 3 ? populate_pages(heap) : 3;
    EXPECT_EQUAL(fake.populated_bytes, range > 1 ? range * heap->geometry.page_size : 0);
    /* All of these had been purged, so all are refaults. */
    EXPECT_EQUAL(heap->counters.refaults, range > 1 ? range : 1);
    pages_give(heap, &more);
    pages_give(heap, &pages);
    large_heap_end(&large);
}

/* Two blocks that divide what is backed for the first: of its pages some are backed as its
   own, some ahead.  Fresh pages first, then purged ones. */
TEST(pages_of_medium_blocks_are_backed_together_and_counted_once)
{
    struct large_heap large = large_heap_new("");
    struct obm_heap *heap = large.heap;
    void *pin = obm_malloc(heap, SMALL);    /* the arena stays */
    obm_trim(heap);
    for (size_t round = 0; round < 2; round++) {
        char *blocks[2];
        fake_os_count_anew();
        for (unsigned i = 0; i < 2; i++) {
            blocks[i] = obm_calloc(heap, OBM_MEDIUM_MAX);
            REQUIRE(blocks[i] != NULL);
            EXPECT(is_zero(blocks[i], OBM_MEDIUM_MAX));
            memset(blocks[i], 0xff, OBM_MEDIUM_MAX);
            EXPECT_VALID(heap);
        }
        EXPECT_EQUAL(fake.populate_calls, populate_pages(heap) > 1);
        EXPECT_EQUAL(heap->retention.dirty, 0);
        EXPECT_EQUAL(heap->counters.refaults, round * populate_pages(heap));
        EXPECT(obm_free(heap, blocks[0]));
        EXPECT(obm_free(heap, blocks[1]));
        obm_trim(heap);
    }
    EXPECT(obm_free(heap, pin));
    large_heap_end(&large);
}

/* Foreign arenas ------------------------------------------------------------------- */

TEST(an_arena_goes_back_to_the_allocator_it_came_from)
{
    struct foreign_allocator first, second;
    foreign_allocator_init(&first);
    foreign_allocator_init(&second);
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = foreign_allocator_in_force;
    foreign_in_force = &first.functions;
    struct pages of_first = pages_take(heap, arena_pages(heap) - 1, LARGE);
    foreign_in_force = &second.functions;
    struct pages of_second = pages_take(heap, arena_pages(heap) - 1, LARGE);
    foreign_in_force = NULL;
    struct pages of_system = pages_take(heap, arena_pages(heap), LARGE);
    EXPECT_EQUAL(first.arenas, 1);
    EXPECT_EQUAL(second.arenas, 1);
    EXPECT_EQUAL(heap->arena_count, 3);
    foreign_in_force = &second.functions;
    pages_give(heap, &of_first);
    pages_give(heap, &of_system);
    obm_trim(heap);
    EXPECT_EQUAL(first.arenas, 0);
    EXPECT_EQUAL(second.arenas, 1);
    EXPECT_EQUAL(heap->arena_count, 1);
    foreign_in_force = &first.functions;
    pages_give(heap, &of_second);
    obm_trim(heap);
    EXPECT_EQUAL(second.arenas, 0);
    heap_end(heap);
}

static void *
decoy_alloc(void *context, size_t size)
{
    (void)context;
    (void)size;
    harness_stop(__FILE__, __LINE__, "an arena is asked from the allocator not in force");
}

static void
decoy_free(void *context, void *address, size_t size)
{
    (void)context;
    harness_stop(__FILE__, __LINE__, "%zu bytes at %p go to an allocator they are not from",
                 size, address);
}

/* As CPython's adapter: tell the functions, and that they are the system's. */
static bool
systems_own_with_its_functions(struct obm_arena_allocator *in_force)
{
    *in_force = (struct obm_arena_allocator){NULL, decoy_alloc, decoy_free};
    return false;
}

TEST(an_arena_of_the_system_goes_back_to_the_system)
{
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = systems_own_with_its_functions;
    void *block = obm_malloc(heap, SMALL);
    EXPECT(arena_object_of(heap, block)->source.alloc == NULL);
    EXPECT(obm_free(heap, block));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

/* Every block is written in full; the allocator finds what lies beside the
   whole pages unchanged, or fails the test. */
TEST(nothing_beside_the_whole_pages_of_a_foreign_arena_is_used)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = foreign_allocator_in_force;
    foreign_in_force = &foreign.functions;
    struct pages pages = pages_take(heap, 3 * (arena_pages(heap) - 1), LARGE);
    EXPECT_EQUAL(foreign.arenas, 3);
    for (size_t i = 0; i < pages.count * pages.capacity; i++) {
        memset(pages.blocks[i], 0, LARGE);
    }
    for (size_t page = 0; page < pages.count; page++) {
        uintptr_t address = (uintptr_t)page_address(heap, &pages, page);
        const struct obm_arena_object *arena = arena_object_of(heap, page_block(&pages, page));
        EXPECT_EQUAL(address % heap->geometry.page_size, 0);
        EXPECT_AT_LEAST(address, arena->address);
        EXPECT_AT_MOST(address + heap->geometry.page_size,
                       arena->address + heap->geometry.arena_size);
    }
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    obm_trim(heap);
    EXPECT_EQUAL(foreign.arenas, 0);
    heap_end(heap);
}

TEST(foreign_arenas_are_never_purged)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    struct obm_heap *heap = heap_new("retain=none");
    heap->arena_allocator = foreign_allocator_in_force;
    foreign_in_force = &foreign.functions;
    struct pages pages = pages_take(heap, 2 * run_pages(heap), LARGE);
    pages_give_range(heap, &pages, 1, pages.count);
    obm_trim(heap);
    EXPECT_EQUAL(fake.purge_calls, 0);
    EXPECT_EQUAL(heap->counters.purge_failures, 0);
    EXPECT_EQUAL(heap->counters.purged_pages, 0);
    EXPECT_VALID(heap);
    pages_give(heap, &pages);
    obm_trim(heap);
    EXPECT_EQUAL(foreign.arenas, 0);
    heap_end(heap);
}

TEST(a_foreign_allocator_that_refuses_is_out_of_memory)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    foreign.refuse = true;
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = foreign_allocator_in_force;
    foreign_in_force = &foreign.functions;
    EXPECT_SAME(obm_malloc(heap, SMALL), NULL);
    EXPECT_VALID(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    foreign.refuse = false;
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Out of memory -------------------------------------------------------------------- */

/* Allocate while a call of the system fails, and after it. */
static void
expect_failure_leaves_a_valid_heap(struct obm_heap *heap, size_t failing, bool later_too)
{
    fake.fail_map = failing;
    fake.fail_all_later = later_too;
    enum { PAGES = 40 };
    void *blocks[PAGES];
    for (unsigned i = 0; i < PAGES; i++) {
        blocks[i] = obm_malloc(heap, (i + 1) * OBM_ALIGNMENT % OBM_SMALL_MAX + 1);
        EXPECT_VALID(heap);
    }
    fake.fail_map = 0;
    void *later = obm_malloc(heap, LARGE);
    EXPECT(later != NULL);
    EXPECT_VALID(heap);
    for (unsigned i = 0; i < PAGES; i++) {
        EXPECT(blocks[i] == NULL || obm_free(heap, blocks[i]));
    }
    EXPECT(obm_free(heap, later));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_VALID(heap);
}

static void
fail_each_map_call(bool refuse_hints, bool later_too)
{
    size_t calls = 1;
    for (size_t failing = 1; failing <= calls + 1; failing++) {
        struct obm_heap *heap = heap_new("");
        fake_os_reset(fake_os_page_size());
        fake.refuse_hints = refuse_hints;
        expect_failure_leaves_a_valid_heap(heap, failing, later_too);
        calls = fake.map_calls < 100 ? fake.map_calls : 100;
        heap_end(heap);
    }
}

TEST(out_of_memory_at_any_call_leaves_a_valid_heap)
{
    fail_each_map_call(false, false);
}

TEST(out_of_memory_from_any_call_on_leaves_a_valid_heap)
{
    fail_each_map_call(false, true);
}

TEST(out_of_memory_without_a_window_leaves_a_valid_heap)
{
    fail_each_map_call(true, false);
    fail_each_map_call(true, true);
}

/* The growth of the array and of the map fail too, with a number of arenas in
   use.  Pages are taken by the books. */
TEST(out_of_memory_with_many_arenas_changes_nothing)
{
    enum { RUNS = 30 * OBM_RUNS_PER_ARENA };
    struct obm_heap *heap = heap_new("");
    size_t refused = 0;
    obm_run_id id;
    fake.refuse_hints = true;
    for (unsigned run = 0; run < RUNS; run++) {
        struct obm_counters counters = heap->counters;
        size_t arenas = heap->arena_count, mapped = fake.mapped_bytes;
        fake.fail_map = fake.map_calls + 1 + run % 5;
        if (obm_run_with_room(heap, LARGE_CLASS, &id) == NULL) {
            refused++;
            EXPECT_EQUAL(heap->arena_count, arenas);
            EXPECT_EQUAL(heap->counters.arenas_mapped, counters.arenas_mapped);
            EXPECT_AT_MOST(fake.mapped_bytes - mapped, 3 * heap->geometry.page_size * arenas
                                                       + 2 * heap->geometry.page_size);
        }
        fake.fail_map = 0;
        run_use_up(heap, LARGE_CLASS);
    }
    EXPECT_AT_LEAST(refused, 10);
    EXPECT_EQUAL(heap->arena_count, 30);
    heap_end(heap);
}

/* Metadata ------------------------------------------------------------------------- */

static void
expect_small_metadata(struct obm_heap *heap, size_t arenas)
{
    enum { PERCENT = 100 };
    struct obm_stats stats;
    obm_stats_collect(heap, &stats);
    EXPECT_EQUAL(stats.arenas, arenas);
    EXPECT_AT_MOST(stats.metadata_bytes * PERCENT, stats.arena_bytes);
}

TEST(metadata_is_at_most_one_percent_of_the_arenas)
{
    struct obm_heap *heap = heap_new("");
    for (size_t arenas = 1; arenas < OBM_WINDOW_STEP_ARENAS; arenas++) {
        arenas_use_up(heap, 1);
        if (arenas >= 8) {
            expect_small_metadata(heap, arenas);
        }
    }
    heap_end(heap);
}

/* What the statistics say is also what was mapped, within a step of the window. */
TEST(metadata_in_the_statistics_is_what_was_mapped)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    size_t arenas = OBM_WINDOW_STEP_ARENAS - 1;
    arenas_use_up(heap, arenas);
    size_t mapped = fake.mapped_bytes - arenas * heap->geometry.arena_size;
    obm_stats_collect(heap, &stats);
    EXPECT_AT_LEAST(stats.metadata_bytes + stats.metadata_bytes / 16, mapped);
    EXPECT_AT_MOST(stats.metadata_bytes, mapped + heap->geometry.page_size);
    EXPECT_AT_MOST(mapped, arenas * heap->geometry.arena_size / 100);
    heap_end(heap);
}

TEST(metadata_without_a_window_is_at_most_one_percent_too)
{
    struct obm_heap *heap = heap_new("");
    size_t arenas = 20;
    fake.refuse_hints = true;
    arenas_use_up(heap, arenas);
    expect_small_metadata(heap, arenas);
    size_t mapped = fake.mapped_bytes - arenas * heap->geometry.arena_size;
    EXPECT_AT_MOST(mapped, arenas * heap->geometry.arena_size / 100);
    struct obm_stats stats;
    obm_stats_collect(heap, &stats);
    EXPECT_AT_LEAST(stats.metadata_bytes + stats.metadata_bytes / 16, mapped);
    heap_end(heap);
}

/* The caller's notice -------------------------------------------------------------- */

static size_t notices;

static void
notice(const struct obm_heap *heap)
{
    EXPECT_VALID(heap);
    EXPECT_EQUAL(heap->arena_count, notices);
    notices++;
}

TEST(before_an_arena_is_mapped_the_heap_is_valid)
{
    struct obm_heap *heap = heap_new("");
    heap->before_arena = notice;
    struct pages pages = pages_take(heap, 2 * arena_pages(heap), LARGE);
    EXPECT_EQUAL(notices, 2);
    pages_give(heap, &pages);
    EXPECT_EQUAL(notices, 2);
    heap_end(heap);
}

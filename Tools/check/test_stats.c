/* obmalloc's unit tests: statistics (stats.c). */

#include "heaps.h"

/* The sums that stats.c states. */
static void
expect_sums(const struct obm_heap *heap, struct obm_stats *stats)
{
    obm_stats_collect(heap, stats);
    size_t page = stats->page_size;
    size_t pools = 0, live = 0, live_bytes = 0, free_bytes = 0, medium_pages = 0;
    EXPECT_EQUAL(page, heap->geometry.page_size);
    EXPECT_EQUAL(stats->arena_bytes, (stats->used_pages + stats->free_pages) * page);
    EXPECT_EQUAL(stats->free_pages,
                 stats->dirty_pages + stats->purged_pages + stats->fresh_pages);
    EXPECT_AT_MOST(stats->dirty_pages + stats->purged_pages, stats->free_pages);
    EXPECT_EQUAL(stats->resident_pages, stats->used_pages + stats->dirty_pages);
    EXPECT_EQUAL(stats->run_size, heap->geometry.run_size);
    EXPECT_EQUAL((stats->pages_purged + stats->pages_released) * page, obm_given_back(heap));
    EXPECT_EQUAL(stats->used_pages * page,
                 stats->live_bytes + stats->free_block_bytes + stats->tail_bytes);
    EXPECT_AT_MOST(stats->floor_pages, stats->used_pages);
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        bool medium = obm_is_medium_class(c);
        pools += stats->classes[c].pools;
        live += stats->classes[c].live_blocks;
        live_bytes += stats->classes[c].live_blocks * stats->classes[c].size;
        free_bytes += stats->classes[c].free_blocks * stats->classes[c].size;
        medium_pages += medium ? stats->classes[c].pools : 0;
        EXPECT_EQUAL(stats->classes[c].size, obm_class_size(heap, c));
        EXPECT_EQUAL(stats->classes[c].capacity,
                     (medium ? heap->geometry.run_size : page - heap->geometry.classes[c].start)
                     / stats->classes[c].size);
    }
    EXPECT_EQUAL(stats->used_pages, pools);
    EXPECT_EQUAL(stats->live_blocks, live);
    EXPECT_EQUAL(stats->live_bytes, live_bytes);
    if (medium_pages == 0) {    /* parts of free blocks do not count as blocks */
        EXPECT_EQUAL(stats->free_block_bytes, free_bytes);
    }
    EXPECT_EQUAL(obm_allocated_blocks(heap), (ptrdiff_t)live + heap->system_blocks);
}

TEST(an_unused_heap_has_no_arenas_and_no_blocks)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.arenas, 0);
    EXPECT_EQUAL(stats.arena_bytes, 0);
    EXPECT_EQUAL(stats.metadata_bytes, 0);
    EXPECT_EQUAL(stats.arena_size, heap->geometry.arena_size);
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    heap_end(heap);
}

TEST(the_sums_hold_at_every_stage_of_a_program)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    struct pages large = pages_take(heap, 3 * heap->geometry.arena_pages / 2, LARGE);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.arenas, 2);
    EXPECT_EQUAL(stats.live_blocks, large.count * large.capacity);
    EXPECT_EQUAL(stats.floor_pages, large.count);
    EXPECT_EQUAL(stats.fresh_pages, stats.free_pages);
    for (size_t size = 1; size < OBM_SMALL_MAX; size += 7) {
        EXPECT(obm_malloc(heap, size) != NULL);
    }
    expect_sums(heap, &stats);
    for (size_t page = 0; page < large.count; page++) {
        page_give_but(heap, &large, page, page % 3);
    }
    expect_sums(heap, &stats);
    obm_trim(heap);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.dirty_pages, 0);
    EXPECT_AT_LEAST(stats.purged_pages, 1);
    heap_end(heap);
}

TEST(the_sums_hold_in_foreign_arenas_and_outside_the_window)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    heap->arena_allocator = foreign_allocator_in_force;
    fake.refuse_hints = true;
    struct pages pages = pages_take(heap, heap->geometry.arena_pages, LARGE);
    foreign_in_force = NULL;
    struct pages more = pages_take(heap, heap->geometry.arena_pages, LARGE);
    expect_sums(heap, &stats);
    EXPECT_AT_LEAST(stats.metadata_bytes,
                    stats.arenas * heap->geometry.arena_pages * sizeof(struct obm_pool));
    pages_give_range(heap, &pages, 1, pages.count);
    pages_give_range(heap, &more, 1, more.count);
    expect_sums(heap, &stats);
    heap_end(heap);
}

TEST(the_page_floor_is_the_pages_with_a_live_block)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    struct pages pages = pages_take(heap, 10, LARGE);
    for (size_t page = 0; page < pages.count; page++) {
        page_give_but(heap, &pages, page, page < 4);
    }
    void *block = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, block));
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.floor_pages, 4);
    EXPECT_EQUAL(stats.used_pages, 5);
    EXPECT_EQUAL(stats.live_blocks, 4);
    EXPECT_EQUAL(stats.live_bytes, 4 * LARGE);
    heap_end(heap);
}

TEST(pages_are_fresh_then_dirty_then_purged)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct obm_stats stats;
    size_t arena = heap->geometry.arena_pages;
    struct pages pages = pages_take(heap, 6, LARGE);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.fresh_pages, arena - 6);
    pages_give_range(heap, &pages, 0, 5);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.dirty_pages, 5);
    obm_trim(heap);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.dirty_pages, 0);
    EXPECT_EQUAL(stats.purged_pages, 5);
    EXPECT_EQUAL(stats.fresh_pages, arena - 6);
    EXPECT_EQUAL(stats.pages_purged, 5);
    EXPECT_EQUAL(stats.purge_calls, 1);
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    pages_take(heap, 1, LARGE);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.refaults, heap->counters.refaults);
    heap_end(heap);
}

/* What was touched and could not be purged is not "never touched". */
TEST(pages_that_could_not_be_purged_do_not_count_as_fresh)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct obm_stats stats;
    struct pages pages = pages_take(heap, 6, LARGE);
    pages_give_range(heap, &pages, 0, 5);
    fake.refuse_purges = true;
    obm_trim(heap);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.purge_failures, 1);
    EXPECT_EQUAL(stats.fresh_pages, heap->geometry.arena_pages - 6u);
    heap_end(heap);
}

TEST(blocks_of_the_systems_malloc_are_added)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    heap->system_blocks = 7;
    EXPECT_EQUAL(obm_allocated_blocks(heap), 8);
    obm_stats_collect(heap, &stats);
    EXPECT_EQUAL(stats.system_blocks, 7);
    EXPECT_EQUAL(stats.live_blocks, 1);
    heap_end(heap);
}

TEST(arenas_are_counted_as_they_come_and_go)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    struct pages pages = pages_take(heap, 2 * heap->geometry.arena_pages, LARGE);
    pages_give(heap, &pages);
    obm_trim(heap);
    pages = pages_take(heap, 1, LARGE);
    expect_sums(heap, &stats);
    EXPECT_EQUAL(stats.arenas, 1);
    EXPECT_EQUAL(stats.arenas_mapped, 3);
    EXPECT_EQUAL(stats.arenas_released, 2);
    EXPECT_EQUAL(stats.arenas_highwater, 2);
    EXPECT_EQUAL(stats.arenas_mapped - stats.arenas_released, stats.arenas);
    EXPECT_EQUAL(stats.allowance_pages, heap->retention.allowance);
    heap_end(heap);
}

TEST(collecting_statistics_changes_nothing)
{
    struct obm_heap *heap = heap_new("");
    struct obm_stats stats;
    struct pages pages = pages_take(heap, 20, LARGE);
    pages_give_range(heap, &pages, 0, 10);
    struct obm_heap *before = malloc(sizeof(*heap));
    REQUIRE(before != NULL);
    memcpy(before, heap, sizeof(*heap));
    fake_os_count_anew();
    obm_stats_collect(heap, &stats);
    obm_allocated_blocks(heap);
    EXPECT_EQUAL(memcmp(before, heap, sizeof(*heap)), 0);
    EXPECT_EQUAL(fake.map_calls + fake.unmap_calls + fake.purge_calls + fake.clock_calls, 0);
    free(before);
    heap_end(heap);
}

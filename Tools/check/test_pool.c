/* obmalloc's unit tests: pools of one size class (pool.c). */

#include "heaps.h"

static struct obm_pool *
pool_of(const struct obm_heap *heap, const void *block)
{
    struct obm_pool *pool = obm_find_pool(heap, block);
    REQUIRE(pool != NULL);
    return pool;
}

TEST(a_page_goes_through_its_states)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 1, LARGE);
    struct obm_pool *pool = pool_of(heap, page_block(&pages, 0));
    EXPECT_EQUAL(pool->state, OBM_POOL_CURRENT);
    void *next = obm_malloc(heap, LARGE);
    EXPECT_EQUAL(pool->state, OBM_POOL_FULL);
    page_give_enough(heap, &pages, 0);
    EXPECT_EQUAL(pool->state, OBM_POOL_PARTIAL);
    EXPECT_DIFFERENT(heap->partial[LARGE_CLASS], 0);
    page_give(heap, &pages, 0);
    EXPECT_EQUAL(pool->state, OBM_POOL_FREE);
    EXPECT_EQUAL(heap->partial[LARGE_CLASS], 0);
    EXPECT(obm_free(heap, next));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

TEST(malloc_comes_back_to_a_partly_used_page)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2, LARGE);
    struct obm_pool *pool = pool_of(heap, page_block(&pages, 0));
    page_give_enough(heap, &pages, 0);
    EXPECT_EQUAL(pool->state, OBM_POOL_PARTIAL);
    void *again = obm_malloc(heap, LARGE);
    EXPECT_SAME(pool_of(heap, again), pool);
    EXPECT_EQUAL(pool->state, OBM_POOL_CURRENT);
    EXPECT_EQUAL(obm_pool_live(heap, pool), pages.capacity - enough_of(&pages) + 1);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Malloc takes from this page next, until it is full again. */
static void
expect_refilled(struct obm_heap *heap, const struct pages *pages, size_t page)
{
    const struct obm_pool *pool = pool_of(heap, page_block(pages, page));
    for (size_t i = 0; i < enough_of(pages); i++) {
        EXPECT_SAME(pool_of(heap, obm_malloc(heap, LARGE)), pool);
    }
}

/* So that the others of the run may empty. */
TEST(partly_used_pages_of_a_run_are_refilled_from_the_lowest)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 5, LARGE);
    const size_t order[] = {2, 0, 3, 1};
    for (size_t i = 0; i < 4; i++) {
        page_give_enough(heap, &pages, order[i]);
    }
    for (size_t page = 0; page < 4; page++) {
        expect_refilled(heap, &pages, page);
    }
    EXPECT_EQUAL(heap->partial[LARGE_CLASS], 0);
    heap_end(heap);
}

/* What was freed a moment ago is still in the processor's caches. */
TEST(runs_are_refilled_from_the_one_that_was_listed_last)
{
    struct obm_heap *heap = heap_new("");
    const size_t per_run = heap->geometry.run_pages;
    struct pages pages = pages_take(heap, 4 * per_run, LARGE);
    const size_t order[] = {2 * per_run + 1, 3, per_run + 2};
    for (size_t i = 0; i < 3; i++) {
        page_give_enough(heap, &pages, order[i]);
    }
    page_give_enough(heap, &pages, order[0] + 1);   /* does not change the order */
    EXPECT_VALID(heap);
    const size_t refilled[] = {order[2], order[1], order[0], order[0] + 1};
    for (size_t i = 0; i < 4; i++) {
        expect_refilled(heap, &pages, refilled[i]);
    }
    EXPECT_EQUAL(heap->partial[LARGE_CLASS], 0);
    heap_end(heap);
}

/* Else a class that gains and loses single blocks would change its page each time. */
TEST(a_full_page_waits_until_it_has_some_blocks_to_give)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2, SMALL);
    struct obm_pool *pool = pool_of(heap, page_block(&pages, 0));
    EXPECT_AT_LEAST(obm_refill_threshold(heap, pool), 4);
    for (size_t freed = 1; freed < enough_of(&pages); freed++) {
        page_give_but(heap, &pages, 0, pages.capacity - freed);
        EXPECT_EQUAL(pool->state, OBM_POOL_FULL);
        EXPECT_EQUAL(obm_pool_live(heap, pool), pages.capacity - freed);
        EXPECT_EQUAL(heap->partial[SMALL_CLASS], 0);
        EXPECT_VALID(heap);
    }
    void *block = obm_malloc(heap, SMALL);
    EXPECT(pool_of(heap, block) != pool);
    page_give_enough(heap, &pages, 0);
    EXPECT_EQUAL(pool->state, OBM_POOL_PARTIAL);
    EXPECT_EQUAL(obm_pool_live(heap, pool), pages.capacity - enough_of(&pages));
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Wherever in the list a page stands, it leaves it well when it empties. */
TEST(partly_used_pages_empty_in_any_order)
{
    enum { PAGES = 4 };
    static const size_t orders[][PAGES] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 2, 0, 3}, {2, 0, 3, 1}};
    for (size_t o = 0; o < sizeof(orders) / sizeof(orders[0]); o++) {
        struct obm_heap *heap = heap_new("");
        struct pages pages = pages_take(heap, PAGES + 1, LARGE);
        for (size_t page = 0; page < PAGES; page++) {
            page_give_but(heap, &pages, page, 1);
        }
        for (size_t i = 0; i < PAGES; i++) {
            page_give(heap, &pages, orders[o][i]);
            EXPECT_VALID(heap);
        }
        EXPECT_EQUAL(heap->partial[LARGE_CLASS], 0);
        EXPECT_EQUAL(heap->retention.dirty, PAGES);
        heap_end(heap);
    }
}

TEST(the_only_page_of_a_class_stays_when_it_empties)
{
    struct obm_heap *heap = heap_new("retain=none");
    void *block = obm_malloc(heap, SMALL);
    struct obm_pool *pool = pool_of(heap, block);
    fake_os_count_anew();
    for (unsigned round = 0; round < 100; round++) {
        EXPECT(obm_free(heap, block));
        EXPECT_EQUAL(pool->state, OBM_POOL_CURRENT);
        EXPECT_EQUAL(obm_pool_live(heap, pool), 0);
        block = obm_malloc(heap, SMALL);
        EXPECT_SAME(pool_of(heap, block), pool);
    }
    EXPECT_EQUAL(fake.map_calls + fake.unmap_calls + fake.purge_calls, 0);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(the_current_page_goes_when_another_has_room)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 1, LARGE);
    struct obm_pool *first = pool_of(heap, page_block(&pages, 0));
    void *block = obm_malloc(heap, LARGE);
    struct obm_pool *second = pool_of(heap, block);
    page_give_but(heap, &pages, 0, 1);
    EXPECT(obm_free(heap, block));
    EXPECT_EQUAL(second->state, OBM_POOL_FREE);
    EXPECT_SAME(heap->front->current[LARGE_CLASS], first);
    EXPECT_EQUAL(first->state, OBM_POOL_CURRENT);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(retiring_gives_up_current_pages_without_a_block)
{
    struct obm_heap *heap = heap_new("");
    void *kept = obm_malloc(heap, SMALL);
    void *block = obm_malloc(heap, LARGE);
    EXPECT(obm_free(heap, block));
    obm_pools_retire(heap);
    EXPECT_EQUAL(pool_of(heap, block)->state, OBM_POOL_FREE);
    EXPECT_SAME(heap->front->current[LARGE_CLASS], &obm_no_pool);
    EXPECT_SAME(heap->front->current[SMALL_CLASS], pool_of(heap, kept));
    EXPECT_VALID(heap);
    void *again = obm_malloc(heap, LARGE);
    EXPECT_SAME(pool_of(heap, again), pool_of(heap, block));
    heap_end(heap);
}

TEST(carving_links_at_most_so_many_bytes_at_a_time)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        size_t size = obm_class_size(heap, c);
        void *block = obm_malloc(heap, size);
        const struct obm_pool *pool = pool_of(heap, block);
        EXPECT_AT_MOST(pool->carved * size, OBM_CARVE_BYTES);
        EXPECT_AT_LEAST((pool->carved + 1u) * size, OBM_CARVE_BYTES);
        EXPECT_SAME(block, obm_pool_blocks(heap, pool));
    }
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(blocks_of_a_fresh_page_come_in_the_order_of_addresses)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        size_t size = obm_class_size(heap, c);
        struct pages pages = pages_take(heap, 1, size);
        char *start = page_address(heap, &pages, 0) + heap->geometry.classes[c].start;
        for (size_t i = 0; i < pages.capacity; i++) {
            EXPECT_SAME(pages.blocks[i], start + i * size);
        }
        free(pages.blocks);
    }
    heap_end(heap);
}

TEST(live_is_counted_exactly_for_every_class)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        struct pages pages = pages_take(heap, 1, obm_class_size(heap, c));
        const struct obm_pool *pool = pool_of(heap, page_block(&pages, 0));
        void *beyond = obm_malloc(heap, obm_class_size(heap, c));
        for (size_t live = pages.capacity; live > 1; live--) {
            EXPECT_EQUAL(obm_pool_live(heap, pool), live);
            EXPECT(obm_free(heap, pages.blocks[live - 1]));
            bool refilled = live - 1 + enough_of(&pages) <= pages.capacity;
            EXPECT_EQUAL(pool->state, refilled ? OBM_POOL_PARTIAL : OBM_POOL_FULL);
        }
        EXPECT(obm_free(heap, pages.blocks[0]));
        EXPECT_EQUAL(pool->state, OBM_POOL_FREE);
        EXPECT(obm_free(heap, beyond));
        free(pages.blocks);
    }
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(a_class_without_memory_has_no_current_page_and_recovers)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, heap->geometry.arena_pages, LARGE);
    fake.fail_map = fake.map_calls + 1;
    fake.fail_all_later = true;
    EXPECT_SAME(obm_malloc(heap, LARGE), NULL);
    EXPECT_VALID(heap);
    EXPECT_SAME(obm_malloc(heap, LARGE), NULL);
    EXPECT_SAME(obm_malloc(heap, SMALL), NULL);
    page_give_enough(heap, &pages, 3);
    for (size_t i = 0; i < enough_of(&pages); i++) {
        EXPECT(obm_malloc(heap, LARGE) != NULL);
    }
    EXPECT_SAME(obm_malloc(heap, LARGE), NULL);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Objects made together lie together. */
TEST(a_class_fills_its_run_before_it_takes_another)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2u * heap->geometry.run_pages, LARGE);
    void *small = obm_malloc(heap, SMALL);
    for (size_t page = 0; page < pages.count; page++) {
        EXPECT_EQUAL(run_of(heap, page_block(&pages, page)), page / heap->geometry.run_pages);
    }
    EXPECT_EQUAL(run_of(heap, small), 2);
    heap_end(heap);
}

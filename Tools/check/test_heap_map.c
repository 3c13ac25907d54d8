/* obmalloc's unit tests: the map of a heap (heap_map.c). */

#include "heaps.h"

/* The map must say what the statistics say, which count in another way. */
static void
expect_map_agrees(const struct obm_heap *heap)
{
    struct obm_page_info pages[OBM_MAX_ARENA_PAGES];
    struct obm_stats stats;
    size_t kinds[OBM_PAGE_USED + 1] = {0}, live = 0, pools[OBM_SIZE_CLASSES] = {0};
    obm_stats_collect(heap, &stats);
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        if (heap->arenas[i].address == 0) {
            continue;
        }
        unsigned count = obm_arena_describe(heap, i, pages);
        EXPECT_EQUAL(count, heap->arenas[i].page_count);
        for (unsigned page = 0; page < count; page++) {
            REQUIRE(pages[page].kind <= OBM_PAGE_USED);
            kinds[pages[page].kind]++;
            live += pages[page].live - pages[page].continues;
            if (pages[page].kind == OBM_PAGE_USED) {
                REQUIRE(pages[page].size_class < OBM_SIZE_CLASSES);
                pools[pages[page].size_class]++;
            }
            else {
                EXPECT_EQUAL(pages[page].size_class, OBM_NO_CLASS);
                EXPECT_EQUAL(pages[page].live, 0);
            }
        }
    }
    EXPECT_EQUAL(kinds[OBM_PAGE_FRESH], stats.fresh_pages);
    EXPECT_EQUAL(kinds[OBM_PAGE_PURGED], stats.purged_pages);
    EXPECT_EQUAL(kinds[OBM_PAGE_DIRTY], stats.dirty_pages);
    EXPECT_EQUAL(kinds[OBM_PAGE_USED], stats.used_pages);
    EXPECT_EQUAL(live, stats.live_blocks);
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        EXPECT_EQUAL(pools[c], stats.classes[c].pools);
    }
}

static struct obm_page_info
info_of(const struct obm_heap *heap, const char *address)
{
    struct obm_page_info pages[OBM_MAX_ARENA_PAGES];
    const struct obm_pool *pool = obm_find_pool(heap, address);
    REQUIRE(pool != NULL);
    obm_arena_describe(heap, obm_pool_arena(heap, pool), pages);
    return pages[obm_pool_page(heap, pool)];
}

TEST(a_page_is_fresh_used_dirty_and_purged)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 4, LARGE);
    const char *address = page_address(heap, &pages, 1);
    expect_map_agrees(heap);
    EXPECT_EQUAL(info_of(heap, address).kind, OBM_PAGE_USED);
    EXPECT_EQUAL(info_of(heap, address).size_class, LARGE_CLASS);
    EXPECT_EQUAL(info_of(heap, address).live, pages.capacity);
    EXPECT_EQUAL(info_of(heap, address + 8 * heap->geometry.page_size).kind, OBM_PAGE_FRESH);

    page_give_but(heap, &pages, 1, 3);
    EXPECT_EQUAL(info_of(heap, address).live, 3);
    expect_map_agrees(heap);

    page_give(heap, &pages, 1);
    EXPECT_EQUAL(info_of(heap, address).kind, OBM_PAGE_DIRTY);
    expect_map_agrees(heap);

    obm_trim(heap);
    EXPECT_EQUAL(info_of(heap, address).kind, OBM_PAGE_PURGED);
    EXPECT_EQUAL(fake_os_resident_pages(address, heap->geometry.page_size), 0);
    expect_map_agrees(heap);
    heap_end(heap);
}

TEST(a_block_goes_on_from_page_to_page)
{
    struct obm_heap *heap = heap_new("");
    size_t page_size = heap->geometry.page_size;
    unsigned class_of = obm_medium_class(OBM_MEDIUM_MAX);
    char *blocks[3];
    for (size_t i = 0; i < 3; i++) {
        blocks[i] = obm_malloc(heap, OBM_MEDIUM_MAX);
        REQUIRE(blocks[i] != NULL);
        EXPECT_SAME(blocks[i], blocks[0] + i * OBM_MEDIUM_MAX);
    }
    expect_map_agrees(heap);
    REQUIRE(obm_free(heap, blocks[1]));
    expect_map_agrees(heap);
    for (size_t offset = 0; offset < 3 * OBM_MEDIUM_MAX; offset += page_size) {
        struct obm_page_info info = info_of(heap, blocks[0] + offset);
        /* A page of the run that malloc takes from stays with it though nothing is live there. */
        bool live = offset < OBM_MEDIUM_MAX || offset + page_size > 2 * OBM_MEDIUM_MAX;
        /* On pages of 64 KiB two blocks share one. */
        bool starts = offset % OBM_MEDIUM_MAX == 0 || page_size > OBM_MEDIUM_MAX;
        EXPECT_EQUAL(info.live, live);
        EXPECT_EQUAL(info.continues, live && !starts);
        if (live) {
            EXPECT_EQUAL(info.kind, OBM_PAGE_USED);
            EXPECT_EQUAL(info.size_class, class_of);
        }
    }
    REQUIRE(obm_free(heap, blocks[0]) && obm_free(heap, blocks[2]));
    expect_map_agrees(heap);
    heap_end(heap);
}

TEST(blocks_of_all_medium_classes_are_in_the_map)
{
    struct obm_heap *heap = heap_new("");
    static void *blocks[OBM_MEDIUM_CLASSES][20];
    for (unsigned c = 0; c < OBM_MEDIUM_CLASSES; c++) {
        for (size_t i = 0; i < 20; i++) {
            blocks[c][i] = obm_malloc(heap, obm_class_size(heap, OBM_SMALL_CLASSES + c));
            REQUIRE(blocks[c][i] != NULL);
        }
    }
    expect_map_agrees(heap);
    for (unsigned c = 0; c < OBM_MEDIUM_CLASSES; c++) {
        for (size_t i = 0; i < 20; i++) {
            if ((i + c) % 3 != 0) {
                REQUIRE(obm_free(heap, blocks[c][i]));
            }
        }
    }
    expect_map_agrees(heap);
    for (unsigned c = 0; c < OBM_MEDIUM_CLASSES; c++) {
        for (size_t i = 0; i < 20; i++) {
            if ((i + c) % 3 == 0) {
                REQUIRE(obm_free(heap, blocks[c][i]));
            }
        }
    }
    heap_end(heap);
}

TEST(the_map_agrees_in_foreign_arenas_and_outside_the_window)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = foreign_allocator_in_force;
    fake.refuse_hints = true;
    struct pages pages = pages_take(heap, 3 * heap->geometry.arena_pages / 2, 64);
    foreign_in_force = NULL;
    struct pages more = pages_take(heap, heap->geometry.arena_pages, LARGE);
    expect_map_agrees(heap);
    for (size_t page = 0; page < pages.count; page++) {
        page_give_but(heap, &pages, page, page % 5);
    }
    pages_give(heap, &more);
    expect_map_agrees(heap);
    heap_end(heap);
}

/* Live blocks --------------------------------------------------------------- */

static unsigned
count_live(const uint64_t live[OBM_POOL_WORDS])
{
    unsigned count = 0;
    for (size_t word = 0; word < OBM_POOL_WORDS; word++) {
        count += obm_count_bits(live[word]);
    }
    return count;
}

static bool
bit_of(const uint64_t *bits, size_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}

/* Each block of the page is live if and only if the test still holds it. */
static void
expect_live(const struct obm_heap *heap, const struct pages *pages, const char *address,
            size_t page, size_t size)
{
    uint64_t live[OBM_POOL_WORDS];
    const struct obm_pool *pool = obm_find_pool(heap, address);
    REQUIRE(obm_pool_live_blocks(heap, pool, live));
    unsigned count = count_live(live);
    EXPECT_EQUAL(count, obm_pool_live(heap, pool));
    for (size_t i = 0; i < pages->capacity; i++) {
        const char *block = pages->blocks[page * pages->capacity + i];
        if (block != NULL) {
            EXPECT(bit_of(live, (size_t)(block - obm_pool_blocks(heap, pool)) / size));
            count--;
        }
    }
    EXPECT_EQUAL(count, 0);
}

TEST(live_blocks_are_those_that_were_not_freed)
{
    struct obm_heap *heap = heap_new("");
    static const size_t sizes[] = {SMALL, 48, LARGE};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct pages pages = pages_take(heap, 3, sizes[s]);
        const char *address = page_address(heap, &pages, 1);
        expect_live(heap, &pages, address, 1, sizes[s]);
        for (size_t i = 0; i < pages.capacity; i += 2) {
            void **block = &pages.blocks[pages.capacity + i];
            EXPECT(obm_free(heap, *block));
            *block = NULL;
            expect_live(heap, &pages, address, 1, sizes[s]);
        }
    }
    heap_end(heap);
}

TEST(a_block_that_was_never_handed_out_is_not_live)
{
    struct obm_heap *heap = heap_new("");
    uint64_t live[OBM_POOL_WORDS];
    const char *block = obm_malloc(heap, SMALL);
    const char *zeroed = obm_calloc(heap, 48);
    REQUIRE(obm_pool_live_blocks(heap, obm_find_pool(heap, block), live));
    EXPECT_EQUAL(live[0], 1);
    EXPECT_EQUAL(live[1], 0);
    REQUIRE(obm_pool_live_blocks(heap, obm_find_pool(heap, zeroed), live));
    EXPECT_EQUAL(live[0], 1);
    heap_end(heap);
}

TEST(a_free_page_has_no_live_block)
{
    struct obm_heap *heap = heap_new("retain=all");
    uint64_t live[OBM_POOL_WORDS];
    struct pages pages = pages_take(heap, 3, LARGE);
    const char *address = page_address(heap, &pages, 1);
    pages_give(heap, &pages);
    memset(live, 0xff, sizeof(live));
    EXPECT(obm_pool_live_blocks(heap, obm_find_pool(heap, address), live));
    EXPECT_EQUAL(count_live(live), 0);
    heap_end(heap);
}

/* A freed block that was written to must not lead the walk astray. */
TEST(a_damaged_free_list_is_not_followed)
{
    struct obm_heap *heap = heap_new("");
    uint64_t live[OBM_POOL_WORDS];
    struct pages pages = pages_take(heap, 1, LARGE);
    const struct obm_pool *pool = obm_find_pool(heap, pages.blocks[0]);
    obm_link *freed = pages.blocks[1];
    EXPECT(obm_free(heap, pages.blocks[2]));
    EXPECT(obm_free(heap, freed));
    obm_link link = *freed;
    /* A link is 16 bits: with pages of 64 KiB the first one leads to the block itself. */
    const obm_link wrong[] = {obm_link_to((char *)freed + heap->geometry.page_size),
                              (obm_link)(link + 1), obm_link_to(freed), 0};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        *freed = wrong[i];
        EXPECT(!obm_pool_live_blocks(heap, pool, live));
        EXPECT_EQUAL(count_live(live), 0);
    }
    *freed = link;
    EXPECT(obm_pool_live_blocks(heap, pool, live));
    EXPECT_EQUAL(count_live(live), obm_pool_live(heap, pool));
    heap_end(heap);
}

/* obmalloc's unit tests: the entry points (alloc.c). */

#include "heaps.h"

#define MARK 0xA5

static bool
is_full_of(const void *block, size_t size, unsigned char byte)
{
    const unsigned char *at = block;
    while (size != 0 && *at == byte) {
        at++;
        size--;
    }
    return size == 0;
}

/* malloc and free ---------------------------------------------------------------- */

TEST(every_small_size_is_aligned_and_holds_what_is_written)
{
    static void *blocks[OBM_SMALL_MAX + 1];
    struct obm_heap *heap = heap_new("");
    for (size_t size = 1; size <= OBM_SMALL_MAX; size++) {
        blocks[size] = obm_malloc(heap, size);
        REQUIRE(blocks[size] != NULL);
        EXPECT_EQUAL((uintptr_t)blocks[size] % OBM_ALIGNMENT, 0);
        EXPECT_EQUAL(obm_block_size(heap, blocks[size]),
                     (size + OBM_ALIGNMENT - 1) / OBM_ALIGNMENT * OBM_ALIGNMENT);
        memset(blocks[size], (int)(size & 0x7f), size);
    }
    EXPECT_VALID(heap);
    for (size_t size = 1; size <= OBM_SMALL_MAX; size++) {
        EXPECT(is_full_of(blocks[size], size, size & 0x7f));
        EXPECT(obm_free(heap, blocks[size]));
    }
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(zero_and_large_sizes_are_left_to_the_system)
{
    struct obm_heap *heap = heap_new("");
    const size_t sizes[] = {0, OBM_MEDIUM_MAX + 1, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EXPECT_SAME(obm_malloc(heap, sizes[i]), NULL);
        EXPECT_SAME(obm_calloc(heap, sizes[i]), NULL);
    }
    EXPECT_EQUAL(fake.map_calls, 0);
    heap_end(heap);
}

TEST(the_block_freed_last_is_given_next)
{
    struct obm_heap *heap = heap_new("");
    void *first = obm_malloc(heap, SMALL), *second = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, first));
    EXPECT(obm_free(heap, second));
    EXPECT_SAME(obm_malloc(heap, SMALL), second);
    EXPECT_SAME(obm_malloc(heap, SMALL), first);
    heap_end(heap);
}

/* Memory that is not the heap's: an address beside the arenas, on the stack, of malloc. */
TEST(freeing_what_is_not_ours_returns_false_and_touches_nothing)
{
    struct obm_heap *heap = heap_new("");
    char *elsewhere = malloc(LARGE);
    static char in_the_program[LARGE];
    REQUIRE(elsewhere != NULL);
    memset(elsewhere, MARK, LARGE);
    memset(in_the_program, MARK, LARGE);
    for (unsigned round = 0; round < 2; round++) {
        EXPECT(!obm_free(heap, elsewhere));
        EXPECT(!obm_free(heap, in_the_program));
        EXPECT(!obm_free(heap, NULL));
        EXPECT(!obm_free(heap, (void *)UINTPTR_MAX));
        EXPECT_EQUAL(obm_block_size(heap, elsewhere), 0);
        EXPECT(is_full_of(elsewhere, LARGE, MARK));
        EXPECT(is_full_of(in_the_program, LARGE, MARK));
        EXPECT(obm_malloc(heap, LARGE) != NULL);    /* for the second round */
    }
    EXPECT_VALID(heap);
    free(elsewhere);
    heap_end(heap);
}

#if OBM_WINDOW_SHIFT

TEST(freeing_through_the_wrong_heap_is_fatal)
{
    struct obm_heap *one = heap_new(""), *two = heap_new("");
    void *of_one = obm_malloc(one, LARGE), *of_two = obm_malloc(two, LARGE);
    EXPECT_CONTAINS(fatal_of_free(two, of_one), "wrong interpreter");
    EXPECT_CONTAINS(fatal_of_free(one, of_two), "wrong interpreter");
    EXPECT(obm_free(one, of_one));
    EXPECT(obm_free(two, of_two));
    obm_heap_close(one, false);
    free(one);
    heap_end(two);
}

#endif

/* DESIGN.md, "What the core must do", 8: detected, not silently taken for
   foreign memory. */
TEST(freeing_through_the_wrong_heap_is_fatal_outside_the_windows_too)
{
    struct obm_heap *one = heap_new(""), *two = heap_new("");
    fake.refuse_hints = true;
    void *of_one = obm_malloc(one, LARGE);
    EXPECT(obm_malloc(two, LARGE) != NULL);
    memset(of_one, MARK, LARGE);
    EXPECT_CONTAINS(fatal_of_free(two, of_one), "wrong interpreter");
    EXPECT(is_full_of(of_one, LARGE, MARK));
    EXPECT_VALID(one);
    EXPECT_VALID(two);
    obm_heap_close(one, false);
    free(one);
    heap_end(two);
}

/* Double frees --------------------------------------------------------------------- */

TEST(freeing_a_block_of_a_free_page_is_fatal)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2, LARGE);
    void *block = page_block(&pages, 0);
    page_give(heap, &pages, 0);
    EXPECT_CONTAINS(fatal_of_free(heap, block), "freed twice?");
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* types.h: "countdown == 0 ... in every state in which no block is live". */
TEST(freeing_the_only_block_of_a_current_page_twice_is_fatal)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, block));
    EXPECT_CONTAINS(fatal_of_free(heap, block), "no block of which is in use");
    EXPECT_VALID(heap);
    heap_end(heap);
}

static void
free_the_last_freed_block_again(void)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2, 64);
    page_give_but(heap, &pages, 0, 10);
    void *block = page_block(&pages, 0);
    EXPECT(obm_free(heap, block));
    EXPECT_CONTAINS(fatal_of_free(heap, block), "a block of 64 bytes");
    EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
    EXPECT_VALID(heap);
    pages.blocks[0] = NULL;
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(freeing_the_last_freed_block_again_is_fatal)
{
    free_the_last_freed_block_again();
}

TEST(freeing_the_last_freed_block_again_outside_the_window_is_fatal)
{
    fake.refuse_hints = true;
    free_the_last_freed_block_again();
}

TEST(freeing_the_middle_of_a_block_is_fatal_where_it_makes_a_full_page_one_to_refill)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 2, 48);
    char *block = page_block(&pages, 0);
    page_give_but(heap, &pages, 0, pages.capacity - enough_of(&pages) + 1);
    EXPECT_CONTAINS(fatal_of_free(heap, block + 16), "is not the start of a block");
    EXPECT_CONTAINS(fatal_of_free(heap, block + 8), "whose blocks have 48 bytes");
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(freeing_what_lies_before_the_first_block_of_a_page_is_fatal)
{
    static const char *const settings[] = {"", "check=2", "check=3", "secure=1"};
    for (unsigned i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        struct pages pages = pages_take(heap, 2, OBM_LINE);
        const struct obm_pool *pool = obm_find_pool(heap, page_block(&pages, 0));
        char *start = obm_pool_address(heap, pool);
        EXPECT(obm_pool_blocks(heap, pool) > start);
        if (!heap->settings.secure) {   /* where blocks come in random order, and wait */
            page_give_but(heap, &pages, 0, pages.capacity - enough_of(&pages) + 1);
        }
        EXPECT_CONTAINS(fatal_of_free(heap, start), "is not the start of a block");
        EXPECT_CONTAINS(fatal_of_free(heap, start + OBM_ALIGNMENT), "whose blocks have 64 bytes");
        pages_give(heap, &pages);
        EXPECT_VALID(heap);
        heap_end(heap);
    }
}

TEST(freeing_a_block_of_a_fresh_page_is_fatal)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, SMALL);
    EXPECT_CONTAINS(fatal_of_free(heap, block + heap->geometry.page_size), "freed twice?");
    heap_end(heap);
}

TEST(from_level_2_on_a_double_free_is_found_at_once)
{
    static const char *const levels[] = {"check=2", "check=3"};
    for (unsigned i = 0; i < 2; i++) {
        struct obm_heap *heap = heap_new(levels[i]);
        void *kept = obm_malloc(heap, SMALL), *block = obm_malloc(heap, SMALL);
        EXPECT(obm_free(heap, block));
        EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
        EXPECT(obm_free(heap, kept));
        EXPECT_CONTAINS(fatal_of_free(heap, kept), "no block of which is in use");
        heap_end(heap);
    }
}

TEST(from_level_2_on_an_interior_pointer_is_found_at_once)
{
    static const char *const levels[] = {"check=2", "check=3"};
    for (unsigned i = 0; i < 2; i++) {
        struct obm_heap *heap = heap_new(levels[i]);
        char *block = obm_malloc(heap, 2 * OBM_ALIGNMENT);
        EXPECT(obm_malloc(heap, 2 * OBM_ALIGNMENT) != NULL);
        EXPECT_CONTAINS(fatal_of_free(heap, block + OBM_ALIGNMENT), "not the start of a block");
        EXPECT(obm_free(heap, block));
        heap_end(heap);
    }
}

TEST(from_level_2_on_a_block_never_handed_out_is_found)
{
    struct obm_heap *heap = heap_new("check=2");
    char *block = obm_calloc(heap, LARGE);
    EXPECT_CONTAINS(fatal_of_free(heap, block + LARGE), "handed out only");
    heap_end(heap);
}

/* Level 1 looks when a call takes the slow way: a full page becomes one to refill. */
TEST(level_1_finds_an_interior_pointer_on_the_slow_way)
{
    struct obm_heap *heap = heap_new("check=1");
    struct pages pages = pages_take(heap, 2, LARGE);
    page_give_but(heap, &pages, 0, pages.capacity - enough_of(&pages) + 1);
    char *inside = (char *)page_block(&pages, 0) + OBM_ALIGNMENT;
    EXPECT_CONTAINS(fatal_of_free(heap, inside), "not the start of a block");
    heap_end(heap);
}

TEST(a_write_after_free_is_found_at_level_3)
{
    struct obm_heap *heap = heap_new("check=3");
    char *block = obm_malloc(heap, SMALL), *kept = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, block));
    memset(block, 0x11, sizeof(void *));
    EXPECT_CONTAINS(fatal_of_free(heap, kept), "was a freed block written to?");
    heap_end(heap);
}

/* A write to a freed block chooses no more than the low 16 bits of the address that malloc
   hands out after it. */
TEST(a_damaged_link_stays_near)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, block));
    uint64_t chosen = UINT64_C(0x4141414141414141);
    memcpy(block, &chosen, sizeof(chosen));
    obm_link written = 0xfff0;
    memcpy(block, &written, sizeof(written));
    EXPECT_SAME(obm_malloc(heap, SMALL), block);
    EXPECT_SAME(obm_malloc(heap, SMALL), (void *)((uintptr_t)block | 0xfff0));
    obm_heap_close(heap, false);
    free(heap);
}

/* Fronts ------------------------------------------------------------------------------- */

TEST(a_front_takes_over_what_the_other_had)
{
    struct obm_heap *heap = heap_new("");
    struct obm_front front;
    void *before = obm_malloc(heap, SMALL);
    obm_heap_use_front(heap, &front);
    EXPECT_SAME(heap->front, &front);
    EXPECT_SAME(front.current[SMALL_CLASS], obm_find_pool(heap, before));
    EXPECT_SAME(front.current[LARGE_CLASS], &obm_no_pool);
    EXPECT(obm_malloc_fast(&front, SMALL) != NULL);
    EXPECT_SAME(obm_malloc_fast(&front, LARGE), NULL);
    EXPECT(obm_front_covers(&front, before) == (heap->window >= 0));
    EXPECT(obm_free(heap, before));
    obm_heap_use_front(heap, NULL);
    heap_end(heap);
}

TEST(a_static_front_begins_closed)
{
    static struct obm_front front = OBM_CLOSED_FRONT;
    for (size_t size = 0; size <= OBM_SMALL_MAX; size++) {
        EXPECT_SAME(obm_malloc_fast(&front, size), NULL);
    }
    EXPECT(!obm_front_covers(&front, &front));
}

TEST(a_closed_front_refuses_everything)
{
    struct obm_heap *heap = heap_new("");
    struct obm_front front;
    obm_heap_use_front(heap, &front);
    void *block = obm_malloc(heap, SMALL);
    obm_heap_use_front(heap, NULL);
    EXPECT_SAME(obm_malloc_fast(&front, SMALL), NULL);
    EXPECT(!obm_front_covers(&front, block));
    EXPECT_SAME(obm_malloc_fast(heap->front, SMALL), (char *)block + SMALL);
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

/* A program's calls may go through the front when the heap has just gone. */
TEST(a_front_stays_in_force_and_is_empty_after_a_close)
{
    struct obm_heap *heap = heap_new("");
    struct obm_front front;
    obm_heap_use_front(heap, &front);
    void *block = obm_malloc(heap, SMALL);
    obm_heap_close(heap, false);
    EXPECT_SAME(heap->front, &front);
    EXPECT_SAME(obm_malloc_fast(&front, SMALL), NULL);
    EXPECT(!obm_front_covers(&front, block));
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    EXPECT(obm_malloc_fast(&front, SMALL) != NULL);
    obm_heap_use_front(heap, NULL);
    heap_end(heap);
}

/* calloc ------------------------------------------------------------------------------- */

/* A link that was overwritten must be reported, not followed. */
TEST(a_write_after_free_is_found_at_level_2)
{
    struct obm_heap *heap = heap_new("check=2");
    char *block = obm_malloc(heap, SMALL), *kept = obm_malloc(heap, SMALL);
    EXPECT(obm_free(heap, block));
    memset(block, 0x11, sizeof(void *));
    EXPECT_CONTAINS(fatal_of_free(heap, kept), "was a freed block written to?");
    heap_end(heap);
}

TEST(calloc_gives_zeros_on_used_pages)
{
    struct obm_heap *heap = heap_new("");
    for (size_t size = 1; size <= OBM_SMALL_MAX; size++) {
        struct pages pages = pages_take(heap, 1, size);
        for (size_t i = 0; i < pages.capacity; i++) {
            memset(pages.blocks[i], MARK, size);
        }
        pages_give(heap, &pages);
        char *block = obm_calloc(heap, size);
        REQUIRE(block != NULL);
        EXPECT(is_full_of(block, size, 0));
        EXPECT(obm_free(heap, block));
    }
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* A machine whose pages are not zero: a block that shows so was not cleared. */
TEST(calloc_does_not_clear_pages_that_are_clean)
{
    struct obm_heap *heap = heap_new("");
    fake.filled_size = heap->geometry.arena_size;
    fake.fill = MARK;
    size_t count = heap->geometry.page_size / LARGE + 1;
    for (size_t i = 0; i < count; i++) {
        char *block = obm_calloc(heap, LARGE);
        REQUIRE(block != NULL);
        EXPECT(is_full_of(block, LARGE, MARK));
    }
    char message[OBM_CHECK_MESSAGE_SIZE];
    EXPECT(obm_check_heap(heap, 2, message));
    EXPECT(!obm_check_heap(heap, 3, message));
    EXPECT_CONTAINS(message, "was a block written beyond its end?");
    heap_end(heap);
}

TEST(calloc_clears_a_block_that_was_in_use)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_calloc(heap, LARGE);
    memset(block, MARK, LARGE);
    EXPECT(obm_free(heap, block));
    EXPECT_SAME(obm_calloc(heap, LARGE), block);
    EXPECT(is_full_of(block, LARGE, 0));
    heap_end(heap);
}

/* A free page that was kept resident still holds what its blocks held. */
TEST(calloc_clears_on_a_page_that_was_not_purged)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 2, LARGE);
    for (size_t i = 0; i < 2 * pages.capacity; i++) {
        memset(pages.blocks[i], MARK, LARGE);
    }
    pages_give_range(heap, &pages, 0, 2);
    obm_pools_retire(heap);
    for (size_t i = 0; i < 2 * pages.capacity; i++) {
        char *block = obm_calloc(heap, LARGE);
        EXPECT(is_full_of(block, LARGE, 0));
    }
    heap_end(heap);
}

TEST(calloc_relies_on_the_zeros_of_a_purged_page)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 2, LARGE);
    memset(page_block(&pages, 0), MARK, LARGE);
    page_give(heap, &pages, 0);
    EXPECT_EQUAL(obm_arena_purge(heap, 1, SIZE_MAX), 1);
    char *block = obm_calloc(heap, LARGE);
    EXPECT(obm_find_pool(heap, block)->clean);
    EXPECT(is_full_of(block, LARGE, 0));
    heap_end(heap);
}

TEST(calloc_clears_where_purging_was_refused)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct pages pages = pages_take(heap, 2, LARGE);
    for (size_t i = 0; i < pages.capacity; i++) {
        memset(pages.blocks[i], MARK, LARGE);
    }
    fake.refuse_purges = true;
    page_give(heap, &pages, 0);
    EXPECT_EQUAL(obm_arena_purge(heap, 1, SIZE_MAX), 0);
    for (size_t i = 0; i < pages.capacity; i++) {
        EXPECT(is_full_of(obm_calloc(heap, LARGE), LARGE, 0));
    }
    heap_end(heap);
}

TEST(calloc_clears_in_foreign_arenas)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = foreign_allocator_in_force;
    for (size_t size = 1; size <= OBM_SMALL_MAX; size++) {
        EXPECT(is_full_of(obm_calloc(heap, size), size, 0));
    }
    heap_end(heap);
}

/* malloc and calloc in turn, on one page: what one carves the other knows. */
TEST(calloc_and_malloc_share_a_page)
{
    struct obm_heap *heap = heap_new("");
    for (size_t i = 0; i < 3 * heap->geometry.page_size / SMALL; i++) {
        char *block = i % 3 == 0 ? obm_malloc(heap, SMALL) : obm_calloc(heap, SMALL);
        REQUIRE(block != NULL);
        EXPECT(i % 3 == 0 || is_full_of(block, SMALL, 0));
        memset(block, MARK, SMALL);
        if (i % 5 == 0) {
            EXPECT(obm_free(heap, block));
        }
    }
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Out of memory -------------------------------------------------------------------- */

TEST(without_memory_every_entry_point_says_so)
{
    struct obm_heap *heap = heap_new("check=3");
    fake.fail_map = 1;
    fake.fail_all_later = true;
    for (size_t size = 1; size <= OBM_SMALL_MAX; size++) {
        EXPECT_SAME(obm_malloc(heap, size), NULL);
        EXPECT_SAME(obm_calloc(heap, size), NULL);
    }
    EXPECT_EQUAL(obm_trim(heap), 0);
    EXPECT_VALID(heap);
    fake.fail_map = 0;
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    EXPECT(obm_calloc(heap, SMALL) != NULL);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* Staying in place ----------------------------------------------------------------- */

TEST(a_block_stays_unless_it_grows_or_loses_a_quarter)
{
    EXPECT(obm_stays_in_place(64, 64));
    EXPECT(obm_stays_in_place(64, 49));
    EXPECT(!obm_stays_in_place(64, 48));
    EXPECT(!obm_stays_in_place(64, 65));
    EXPECT(!obm_stays_in_place(64, 1));
    EXPECT(obm_stays_in_place(OBM_SMALL_MAX, OBM_SMALL_MAX));
    EXPECT(!obm_stays_in_place(OBM_SMALL_MAX, SIZE_MAX));
}

/* What obm_realloc() asks for memory: it gets context, and the size is kept. */
static size_t asked_elsewhere;

static void *
give_context(void *context, size_t size)
{
    asked_elsewhere = size;
    return context;
}

TEST(realloc_stays_in_place_or_moves_with_the_contents)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, 64);
    void *place = block;
    memset(block, 'x', 64);
    REQUIRE(obm_realloc(heap, &place, 60, give_context, NULL));
    EXPECT_SAME(place, block);
    REQUIRE(obm_realloc(heap, &place, 300, give_context, NULL));
    EXPECT(place != block);
    EXPECT_AT_LEAST(obm_block_size(heap, place), 300);
    EXPECT_EQUAL(((char *)place)[0], 'x');
    EXPECT_EQUAL(((char *)place)[63], 'x');
    REQUIRE(obm_realloc(heap, &place, 5, give_context, NULL));
    EXPECT_AT_MOST(obm_block_size(heap, place), 16);
    EXPECT_EQUAL(((char *)place)[4], 'x');
    EXPECT(obm_free(heap, place));
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    heap_end(heap);
}

TEST(realloc_asks_elsewhere_for_what_the_heap_does_not_serve)
{
    struct obm_heap *heap = heap_new("");
    static char large[OBM_MEDIUM_MAX + 1];
    char nothing[1] = {0};
    void *place = obm_malloc(heap, OBM_MEDIUM_MAX);
    memset(place, 'y', OBM_MEDIUM_MAX);
    REQUIRE(obm_realloc(heap, &place, sizeof(large), give_context, large));
    EXPECT_SAME(place, large);
    EXPECT_EQUAL(asked_elsewhere, sizeof(large));
    EXPECT_EQUAL(large[OBM_MEDIUM_MAX - 1], 'y');
    EXPECT_EQUAL(large[OBM_MEDIUM_MAX], 0);
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    place = obm_malloc(heap, SMALL);
    REQUIRE(obm_realloc(heap, &place, 0, give_context, nothing));
    EXPECT_SAME(place, nothing);
    EXPECT_EQUAL(asked_elsewhere, 0);
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    heap_end(heap);
}

TEST(realloc_without_memory_leaves_the_block_as_it_was)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, SMALL);
    void *place = block;
    block[SMALL - 1] = 'z';
    REQUIRE(obm_realloc(heap, &place, OBM_MEDIUM_MAX + 1, give_context, NULL));
    EXPECT_SAME(place, NULL);
    EXPECT_EQUAL(block[SMALL - 1], 'z');
    EXPECT_EQUAL(obm_allocated_blocks(heap), 1);
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

/* A small block that stays in its place. */
TEST(realloc_of_a_freed_block_is_fatal_where_it_is_looked_at)
{
    static const char *const settings[] = {"check=2", "check=3", "secure=1"};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        void *block = obm_malloc(heap, SMALL), *other = obm_malloc(heap, SMALL);
        EXPECT(obm_free(heap, block));
        EXPECT_CONTAINS(fatal_of_realloc(heap, block, SMALL), "is free already");
        EXPECT(obm_free(heap, other));
        heap_end(heap);
    }
}

TEST(realloc_of_a_block_of_a_free_page_is_fatal)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, SMALL), *other = obm_malloc(heap, LARGE);
    EXPECT(obm_free(heap, block));
    obm_trim(heap);
    EXPECT_CONTAINS(fatal_of_realloc(heap, block, SMALL), "no block of which is in use");
    EXPECT(obm_free(heap, other));
    heap_end(heap);
}

TEST(realloc_refuses_a_block_of_the_system)
{
    struct obm_heap *heap = heap_new("");
    static char block[SMALL];
    void *place = block;
    asked_elsewhere = 12345;
    EXPECT(!obm_realloc(heap, &place, OBM_SMALL_MAX, give_context, block));
    EXPECT_SAME(place, block);
    EXPECT_EQUAL(asked_elsewhere, 12345);
    heap_end(heap);
}

TEST(the_block_size_is_that_of_the_class)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, LARGE - 1);
    EXPECT_EQUAL(obm_block_size(heap, block), LARGE);
    EXPECT_EQUAL(obm_block_size(heap, NULL), 0);
    EXPECT_EQUAL(obm_block_size(heap, heap), 0);
    heap_end(heap);
}

/* Closing -------------------------------------------------------------------------- */

TEST(closing_returns_everything_whatever_is_in_use)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 3 * heap->geometry.arena_pages, LARGE);
    pages_give_range(heap, &pages, 5, 700 < pages.count ? 700 : pages.count / 2);
    obm_heap_close(heap, false);
    EXPECT_EQUAL(fake.mapped_bytes, 0);
    EXPECT_SAME(obm_find_pool(heap, page_block(&pages, 0)), NULL);
    EXPECT(!obm_free(heap, page_block(&pages, 0)));
    free(heap);
}

TEST(a_closed_heap_can_be_used_again)
{
    struct obm_heap *heap = heap_new("retain=3M,check=2");
    for (unsigned round = 0; round < 3; round++) {
        struct pages pages = pages_take(heap, 2 * heap->geometry.arena_pages, LARGE);
        EXPECT_VALID(heap);
        EXPECT_EQUAL(heap->counters.arenas_mapped, 2);
        EXPECT_EQUAL(heap->settings.retain, OBM_RETAIN_SIZE);
        EXPECT_EQUAL(heap->settings.check_level, 2);
        free(pages.blocks);
        obm_heap_close(heap, false);
        EXPECT_EQUAL(fake.mapped_bytes, 0);
        EXPECT_VALID(heap);
    }
    heap_end(heap);
}

TEST(an_abandoned_heap_leaves_its_blocks_in_place)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, 10, LARGE);
    for (size_t i = 0; i < pages.count * pages.capacity; i++) {
        memset(pages.blocks[i], MARK, LARGE);
    }
    size_t mapped = fake.mapped_bytes;
    obm_heap_close(heap, true);
    EXPECT_EQUAL(fake.mapped_bytes, mapped);
    void *fresh = obm_malloc(heap, LARGE);
    memset(fresh, 0, LARGE);
    for (size_t i = 0; i < pages.count * pages.capacity; i++) {
        EXPECT(is_full_of(pages.blocks[i], LARGE, MARK));
    }
    EXPECT_VALID(heap);
}

/* Settings ------------------------------------------------------------------------- */

struct complaints {
    unsigned count;
    char last[256];
};

static void
complain(const char *line, void *data)
{
    struct complaints *complaints = data;
    complaints->count++;
    snprintf(complaints->last, sizeof(complaints->last), "%s", line);
}

static struct obm_settings
parse(const char *text, struct complaints *complaints)
{
    struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    memset(complaints, 0, sizeof(*complaints));
    obm_settings_parse(&settings, text, complain, complaints);
    return settings;
}

TEST(every_good_setting_is_understood)
{
    static const struct {
        const char *text;
        enum obm_retain_mode retain;
        size_t bytes;
        int level;
    } good[] = {
        {"", OBM_RETAIN_AUTO, 0, 0},
        {"retain=auto", OBM_RETAIN_AUTO, 0, 0},
        {"retain=none", OBM_RETAIN_NONE, 0, 0},
        {"retain=all", OBM_RETAIN_ALL, 0, 0},
        {"retain=0", OBM_RETAIN_SIZE, 0, 0},
        {"retain=12345", OBM_RETAIN_SIZE, 12345, 0},
        {"retain=8k", OBM_RETAIN_SIZE, 8 << 10, 0},
        {"retain=8K", OBM_RETAIN_SIZE, 8 << 10, 0},
        {"retain=64m", OBM_RETAIN_SIZE, 64 << 20, 0},
        {"retain=64M", OBM_RETAIN_SIZE, 64 << 20, 0},
        {"retain=1g", OBM_RETAIN_SIZE, 1 << 30, 0},
        {"retain=1G", OBM_RETAIN_SIZE, 1 << 30, 0},
        {"check=0", OBM_RETAIN_AUTO, 0, 0},
        {"check=1", OBM_RETAIN_AUTO, 0, 1},
        {"check=2", OBM_RETAIN_AUTO, 0, 2},
        {"check=3", OBM_RETAIN_AUTO, 0, 3},
        {"check=3,retain=none", OBM_RETAIN_NONE, 0, 3},
        {",,retain=1M,,check=1,", OBM_RETAIN_SIZE, 1 << 20, 1},
        {"retain=none,retain=all", OBM_RETAIN_ALL, 0, 0},
    };
    struct complaints complaints;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct obm_settings settings = parse(good[i].text, &complaints);
        EXPECT_TEXT(complaints.last, "");
        EXPECT_EQUAL(settings.retain, good[i].retain);
        EXPECT_EQUAL(settings.retain_bytes, good[i].bytes);
        EXPECT_EQUAL(settings.check_level, good[i].level);
    }
}

TEST(a_variable_of_the_environment_may_be_unset)
{
    struct complaints complaints = {0};
    struct obm_settings settings = {.check_level = 2};
    obm_settings_from_environment(&settings, NULL, complain, &complaints);
    EXPECT_EQUAL(settings.check_level, 2);
    obm_settings_from_environment(&settings, "check=1,retain=lots", complain, &complaints);
    EXPECT_EQUAL(settings.check_level, 1);
    EXPECT_EQUAL(complaints.count, 1);
}

TEST(every_mode_of_huge_pages_is_understood)
{
    struct complaints complaints;
    EXPECT_EQUAL(parse("", &complaints).hugepages, OBM_HUGE_AUTO);
    EXPECT_EQUAL(parse("hugepages=never", &complaints).hugepages, OBM_HUGE_NEVER);
    EXPECT_EQUAL(parse("hugepages=always", &complaints).hugepages, OBM_HUGE_ALWAYS);
    EXPECT_EQUAL(parse("hugepages=never,hugepages=auto", &complaints).hugepages, OBM_HUGE_AUTO);
    EXPECT_TEXT(complaints.last, "");
}

TEST(every_mode_of_the_purger_and_of_the_systems_malloc_is_understood)
{
    struct complaints complaints;
    EXPECT_EQUAL(parse("", &complaints).background, OBM_BACKGROUND_AUTO);
    EXPECT_EQUAL(parse("background=1", &complaints).background, OBM_BACKGROUND_ON);
    EXPECT_EQUAL(parse("background=1,background=0", &complaints).background,
                 OBM_BACKGROUND_OFF);
    EXPECT_EQUAL(parse("background=0,background=auto", &complaints).background,
                 OBM_BACKGROUND_AUTO);
    EXPECT_EQUAL(parse("", &complaints).system_malloc, OBM_MALLOC_AUTO);
    EXPECT_EQUAL(parse("malloc=leave", &complaints).system_malloc, OBM_MALLOC_LEAVE);
    EXPECT_EQUAL(parse("malloc=one", &complaints).system_malloc, OBM_MALLOC_ONE);
    EXPECT_EQUAL(parse("malloc=one,malloc=auto", &complaints).system_malloc, OBM_MALLOC_AUTO);
    EXPECT_TEXT(complaints.last, "");
}

TEST(every_bad_setting_is_named_and_the_default_holds)
{
    static const char *const bad[][2] = {
        {"retain", "retain cannot be ''"},
        {"retain=", "retain cannot be ''"},
        {"retain=some", "retain cannot be 'some'"},
        {"retain=ALL", "retain cannot be 'ALL'"},
        {"retain=-1", "retain cannot be '-1'"},
        {"retain= 1", "retain cannot be ' 1'"},
        {"retain=1 ", "retain cannot be '1 '"},
        {"retain=64MB", "retain cannot be '64MB'"},
        {"retain=1.5M", "retain cannot be '1.5M'"},
        {"retain=0x10", "retain cannot be '0x10'"},
        {"retain=99999999999999999999999", "retain cannot be"},
        {"retain=18446744073709551615", "retain cannot be"},
        {"retain=17179869184g", "retain cannot be"},
        {"hugepages", "hugepages cannot be ''"},
        {"hugepages=on", "hugepages cannot be 'on': it can be auto, never or always"},
        {"background", "background cannot be ''"},
        {"background=yes", "background cannot be 'yes': it can be auto, 0 or 1"},
        {"background=10", "background cannot be '10'"},
        {"malloc", "malloc cannot be ''"},
        {"malloc=1", "malloc cannot be '1': it can be auto, leave or one"},
        {"medium", "medium cannot be ''"},
        {"medium=2", "medium cannot be '2': it can be 0 or 1"},
        {"secure", "secure cannot be ''"},
        {"secure=2", "secure cannot be '2': it can be 0 or 1"},
        {"check", "check cannot be ''"},
        {"check=4", "check cannot be '4'"},
        {"check=-1", "check cannot be '-1'"},
        {"check=11", "check cannot be '11'"},
        {"check=on", "check cannot be 'on'"},
        {"purge=1", "unknown setting 'purge' is ignored; there are: retain, hugepages, "
                    "background, malloc, medium, check, secure"},
        {"=1", "unknown setting ''"},
        {"retain:all", "unknown setting 'retain:all'"},
        {" retain=all", "unknown setting ' retain'"},
    };
    struct complaints complaints;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct obm_settings settings = parse(bad[i][0], &complaints);
        EXPECT_EQUAL(complaints.count, 1);
        EXPECT_CONTAINS(complaints.last, bad[i][1]);
        EXPECT_CONTAINS(complaints.last, "PYTHONOBMALLOC");
        EXPECT_EQUAL(settings.retain, OBM_RETAIN_AUTO);
        EXPECT_EQUAL(settings.retain_bytes, 0);
        EXPECT_EQUAL(settings.hugepages, OBM_HUGE_AUTO);
        EXPECT_EQUAL(settings.background, OBM_BACKGROUND_AUTO);
        EXPECT_EQUAL(settings.system_malloc, OBM_MALLOC_AUTO);
        EXPECT_EQUAL(settings.check_level, 0);
    }
}

TEST(a_bad_setting_does_not_stop_the_next_one)
{
    struct complaints complaints;
    struct obm_settings settings = parse("what,retain=never,check=2", &complaints);
    EXPECT_EQUAL(complaints.count, 2);
    EXPECT_EQUAL(settings.check_level, 2);
    EXPECT_EQUAL(settings.retain, OBM_RETAIN_AUTO);
}

/* However long an item is, it is not taken for a shorter one. */
TEST(a_very_long_setting_is_not_cut_to_a_good_one)
{
    enum { LENGTH = 3000 };
    static char text[LENGTH];
    struct complaints complaints;
    memset(text, 'x', LENGTH - 1);
    EXPECT_EQUAL(parse(text, &complaints).retain, OBM_RETAIN_AUTO);
    EXPECT_EQUAL(complaints.count, 1);
    memset(text, '0', LENGTH - 1);
    memcpy(text, "retain=", strlen("retain="));
    text[LENGTH - 2] = 'x';
    struct obm_settings settings = parse(text, &complaints);
    EXPECT_EQUAL(complaints.count, 1);
    EXPECT_EQUAL(settings.retain, OBM_RETAIN_AUTO);
}

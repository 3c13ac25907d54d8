/* obmalloc's unit tests: secure mode (secure.c). */

#include "heaps.h"
#include "memory.h"

#define SOME 300u               /* blocks: on several pages, of any size */

static struct obm_heap *
secure_heap(void)
{
    return heap_new("secure=1");
}

/* Finding mistakes --------------------------------------------------------------------- */

TEST(a_second_free_is_found_at_once)
{
    struct obm_heap *heap = secure_heap();
    char *neighbour = obm_malloc(heap, 48);
    char *block = obm_malloc(heap, 48);
    EXPECT(obm_free(heap, block));
    EXPECT_CONTAINS(fatal_of_free(heap, block), "of 48 bytes");
    EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
    EXPECT(obm_free(heap, neighbour));
    heap_end(heap);
}

TEST(a_second_free_is_found_after_many_others)
{
    struct obm_heap *heap = secure_heap();
    void *neighbour = obm_malloc(heap, 48);
    void *block = obm_malloc(heap, 48);
    EXPECT(obm_free(heap, block));
    for (unsigned i = 0; i < 100; i++) {
        EXPECT(obm_free(heap, obm_malloc(heap, 64)));
    }
    EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
    obm_trim(heap);
    EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
    EXPECT(obm_free(heap, neighbour));
    heap_end(heap);
}

TEST(a_second_free_is_found_when_the_page_is_free)
{
    struct obm_heap *heap = secure_heap();
    void *other = obm_malloc(heap, LARGE);
    void *block = obm_malloc(heap, 48);
    EXPECT(obm_free(heap, block));
    obm_trim(heap);
    EXPECT_CONTAINS(fatal_of_free(heap, block), "no block of which is in use");
    EXPECT(obm_free(heap, other));
    heap_end(heap);
}

TEST(what_is_not_the_start_of_a_block_is_found)
{
    struct obm_heap *heap = secure_heap();
    char *block = obm_malloc(heap, 48);
    EXPECT_CONTAINS(fatal_of_free(heap, block + 16), "is not the start of a block");
    EXPECT_CONTAINS(fatal_of_free(heap, block + 1), "whose blocks have 48 bytes");
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

TEST(the_tail_of_a_page_is_no_block)
{
    struct obm_heap *heap = secure_heap();
    char *block = obm_malloc(heap, 48);
    size_t page = heap->geometry.page_size;
    size_t blocks = page / 48 * 48;
    char *start = (char *)((uintptr_t)block & ~(uintptr_t)(page - 1));
    EXPECT_CONTAINS(fatal_of_free(heap, start + blocks), "which has handed out only");
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

static void
do_trim(void *heap)
{
    obm_trim(heap);
}

TEST(a_write_after_the_free_is_found)
{
    struct obm_heap *heap = secure_heap();
    char *block = obm_malloc(heap, 48);
    EXPECT(obm_free(heap, block));
    block[47] = 'x';
    EXPECT_CONTAINS(fake_os_fatal_message(do_trim, heap),
                    "was written to after it was freed, at byte 47");
    obm_heap_close(heap, false);
    free(heap);
}

static void
free_many(void *argument)
{
    struct obm_heap *heap = argument;
    for (unsigned i = 0; i < 40 * OBM_QUARANTINE_BLOCKS; i++) {
        obm_free(heap, obm_malloc(heap, 64));
    }
}

TEST(a_write_after_the_free_is_found_as_the_program_goes_on)
{
    struct obm_heap *heap = secure_heap();
    char *block = obm_malloc(heap, 48);
    EXPECT(obm_free(heap, block));
    block[0] = 'x';
    EXPECT_CONTAINS(fake_os_fatal_message(free_many, heap), "at byte 0");
    obm_heap_close(heap, false);
    free(heap);
}

TEST(what_is_written_to_a_free_block_leads_nowhere)
{
    struct obm_heap *heap = secure_heap();
    void *kept[SOME];
    for (unsigned i = 0; i < SOME; i++) {
        kept[i] = obm_malloc(heap, 48);
    }
    for (unsigned i = 0; i < SOME; i += 2) {
        EXPECT(obm_free(heap, kept[i]));
    }
    obm_trim(heap);
    for (unsigned i = 0; i < SOME; i += 2) {
        memset(kept[i], 0x41, 48);          /* no longer in quarantine */
    }
    for (unsigned i = 0; i < SOME; i++) {
        void *block = obm_malloc(heap, 48);
        REQUIRE(block != NULL && obm_find_pool(heap, block) != NULL);
    }
    EXPECT_VALID(heap);
    obm_heap_close(heap, false);
    free(heap);
}

/* Chance ---------------------------------------------------------------------------------- */

/* How many of a page's blocks follow the one that was handed out before. */
static unsigned
neighbours_in_order(uint64_t entropy, uintptr_t offsets[SOME])
{
    fake.entropy = entropy;
    struct obm_heap *heap = secure_heap();
    unsigned in_order = 0;
    const char *before = NULL;
    for (unsigned i = 0; i < SOME; i++) {
        const char *block = obm_malloc(heap, SMALL);
        REQUIRE(block != NULL);
        offsets[i] = (uintptr_t)block & (heap->geometry.page_size - 1);
        in_order += before != NULL && block == before + SMALL;
        before = block;
    }
    obm_heap_close(heap, false);
    free(heap);
    return in_order;
}

TEST(blocks_are_handed_out_in_no_order)
{
    uintptr_t one[SOME], other[SOME], again[SOME];
    EXPECT_AT_MOST(neighbours_in_order(1, one), SOME / 8);
    EXPECT_AT_MOST(neighbours_in_order(2, other), SOME / 8);
    neighbours_in_order(1, again);
    EXPECT(memcmp(one, again, sizeof(one)) == 0);
    EXPECT(memcmp(one, other, sizeof(one)) != 0);
}

TEST(every_block_of_a_page_is_handed_out_once)
{
    struct obm_heap *heap = secure_heap();
    size_t capacity = heap->geometry.page_size / SMALL;
    struct pages pages = pages_take(heap, 3, SMALL);
    unsigned char *seen = calloc(3 * capacity, 1);
    REQUIRE(seen != NULL);
    const char *start = (const char *)((uintptr_t)page_block(&pages, 0)
                                       & ~(uintptr_t)(heap->geometry.page_size - 1));
    for (size_t i = 0; i < 3 * capacity; i++) {
        size_t number = (size_t)((const char *)pages.blocks[i] - start) / SMALL;
        REQUIRE(number < 3 * capacity);
        EXPECT_EQUAL(seen[number]++, 0);
    }
    free(seen);
    pages_give(heap, &pages);
    obm_trim(heap);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(a_freed_block_waits)
{
    struct obm_heap *heap = secure_heap();
    void *block = obm_malloc(heap, LARGE);
    size_t capacity = heap->geometry.page_size / LARGE;
    EXPECT(obm_free(heap, block));
    for (size_t i = 0; i < 4 * capacity; i++) {
        EXPECT(obm_malloc(heap, LARGE) != block);
    }
    obm_heap_close(heap, false);
    free(heap);
}

/* Guard pages ------------------------------------------------------------------------------ */

TEST(guard_pages_end_an_arena)
{
    if (OBM_ARENAS_USE_MALLOC) {
        return;
    }
    struct obm_heap *heap = secure_heap();
    void *block = obm_malloc(heap, SMALL);
    const struct obm_arena_object *arena = arena_object_of(heap, block);
    size_t page = heap->geometry.page_size;
    const char *last = (const char *)arena->first_page + arena->page_count * page;
    EXPECT_EQUAL(arena->page_count, heap->geometry.arena_pages - 1);
    EXPECT(memory_is_readable(last - 1));
    EXPECT(!memory_is_readable(last));
    EXPECT(!memory_is_readable(last + page - 1));
    EXPECT(!obm_free(heap, (void *)(uintptr_t)last));
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

TEST(all_other_pages_of_an_arena_are_used)
{
    struct obm_heap *heap = secure_heap();
    void *first = obm_malloc(heap, LARGE);
    const struct obm_arena_object *arena = arena_object_of(heap, first);
    size_t blocks = arena->page_count * (heap->geometry.page_size / LARGE);
    for (size_t i = 1; i < blocks; i++) {
        REQUIRE(obm_malloc(heap, LARGE) != NULL);
    }
    EXPECT_EQUAL(heap->arena_count, 1);
    EXPECT(obm_malloc(heap, LARGE) != NULL);
    EXPECT_EQUAL(heap->arena_count, 2);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(guard_pages_surround_what_the_allocator_keeps)
{
    if (OBM_ARENAS_USE_MALLOC) {
        return;
    }
    struct obm_heap *heap = secure_heap();
    EXPECT(obm_free(heap, obm_malloc(heap, SMALL)));
    EXPECT(!memory_is_readable((const char *)heap->arenas - 1));
    EXPECT(memory_is_readable(heap->arenas));
    EXPECT(!memory_is_readable((const char *)heap->secure.quarantine - 1));
    size_t page = heap->geometry.page_size;
    size_t size = OBM_QUARANTINE_BLOCKS * sizeof(void *);
    size = (size + page - 1) / page * page;
    EXPECT(!memory_is_readable((const char *)heap->secure.quarantine + size));
    EXPECT(!memory_is_readable((const char *)heap->arenas[1].bits - 1));
    EXPECT(!memory_is_readable((const char *)heap->arenas[1].bits + obm_secure_bits_size(heap)));
    heap_end(heap);
}

TEST(refused_guards_are_done_without)
{
    struct obm_heap *heap = secure_heap();
    fake.refuse_guards = true;
    void *block = obm_malloc(heap, SMALL);
    EXPECT_EQUAL(arena_object_of(heap, block)->page_count, heap->geometry.arena_pages);
    EXPECT(obm_free(heap, block));
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(an_ordinary_heap_has_no_guards)
{
    struct obm_heap *heap = heap_new("");
    EXPECT(obm_free(heap, obm_malloc(heap, SMALL)));
    EXPECT_EQUAL(fake.guarded_bytes, 0);
    EXPECT(heap->arenas[1].bits == NULL);
    heap_end(heap);
}

TEST(a_foreign_arena_is_left_as_it_is)
{
    struct foreign_allocator foreign;
    struct obm_heap *heap = secure_heap();
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    heap->arena_allocator = foreign_allocator_in_force;
    void *block = obm_malloc(heap, 48);
    EXPECT_EQUAL(foreign.arenas, 1);
    EXPECT(obm_free(heap, block));
    EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
    obm_heap_close(heap, false);
    EXPECT_EQUAL(foreign.arenas, 0);
    EXPECT_EQUAL(fake.mapped_bytes, 0);
    free(heap);
}

/* Out of memory ------------------------------------------------------------------------------ */

TEST(without_memory_for_the_bitmaps_nothing_has_changed)
{
    struct obm_heap *heap = secure_heap();
    void *block = obm_malloc(heap, SMALL);
    size_t mapped = fake.mapped_bytes;
    size_t arenas = 0;
    for (size_t n = 1; n <= 2; n++) {       /* the arena, or its bitmaps */
        fake.fail_map = fake.map_calls + n;
        fake.fail_all_later = true;
        while (obm_malloc(heap, LARGE) != NULL) {
            REQUIRE(arenas++ < 3 * heap->geometry.arena_size / LARGE);
        }
        EXPECT_EQUAL(heap->arena_count, 1);
        EXPECT_EQUAL(fake.mapped_bytes, mapped);
    }
    fake.fail_map = 0;
    EXPECT(obm_malloc(heap, LARGE) != NULL);
    EXPECT(obm_free(heap, block));
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(without_memory_for_the_quarantine_blocks_do_not_wait)
{
    struct obm_heap *heap = secure_heap();
    void *block = obm_malloc(heap, 48);
    fake.fail_map = fake.map_calls + 1;
    fake.fail_all_later = true;
    EXPECT(obm_free(heap, block));
    EXPECT(heap->secure.quarantine == NULL);
    EXPECT_CONTAINS(fatal_of_free(heap, block), "in use");
    EXPECT_VALID(heap);
    fake.fail_map = 0;
    heap_end(heap);
}

/* The rest as always ------------------------------------------------------------------------- */

TEST(calloc_clears_what_was_filled)
{
    struct obm_heap *heap = secure_heap();
    for (unsigned round = 0; round < 3 * heap->geometry.page_size / LARGE; round++) {
        unsigned char *block = obm_calloc(heap, LARGE);
        for (size_t i = 0; i < LARGE; i++) {
            REQUIRE(block[i] == 0);
        }
        memset(block, 'x', LARGE);
        EXPECT(obm_free(heap, block));
        obm_trim(heap);
    }
    heap_end(heap);
}

TEST(blocks_in_quarantine_are_not_in_use)
{
    struct obm_heap *heap = secure_heap();
    struct obm_stats stats;
    void *blocks[SOME];
    for (unsigned i = 0; i < SOME; i++) {
        blocks[i] = obm_malloc(heap, 48);
    }
    for (unsigned i = 1; i < SOME; i++) {
        EXPECT(obm_free(heap, blocks[i]));
    }
    obm_stats_collect(heap, &stats);
    EXPECT_EQUAL(stats.live_blocks, 1);
    EXPECT_EQUAL(stats.floor_pages, 1);
    EXPECT_EQUAL(stats.live_bytes + stats.free_block_bytes + stats.tail_bytes,
                 stats.used_pages * stats.page_size);
    EXPECT_EQUAL(obm_allocated_blocks(heap), 1);

    const struct obm_pool *pool = obm_find_pool(heap, blocks[0]);
    uint64_t live[OBM_POOL_WORDS];
    EXPECT(obm_pool_live_blocks(heap, pool, live));
    unsigned count = 0;
    for (size_t word = 0; word < OBM_POOL_WORDS; word++) {
        count += obm_count_bits(live[word]);
    }
    EXPECT_EQUAL(count, 1);
    EXPECT_VALID(heap);
    EXPECT(obm_free(heap, blocks[0]));
    heap_end(heap);
}

TEST(everything_goes_back)
{
    struct obm_heap *heap = secure_heap();
    struct pages pages = pages_take(heap, 100, 64);
    pages_give(heap, &pages);
    EXPECT_AT_LEAST(obm_trim(heap), heap->geometry.page_size);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(a_heap_that_is_left_behind_keeps_what_is_in_use)
{
    struct obm_heap *heap = secure_heap();
    unsigned char *block = obm_malloc(heap, 64);
    EXPECT(obm_free(heap, obm_malloc(heap, 64)));
    memset(block, 'x', 64);
    obm_heap_close(heap, true);
    EXPECT(heap->secure.quarantine == NULL);
    EXPECT_EQUAL(block[63], 'x');
    void *again = obm_malloc(heap, 64);
    EXPECT(again != NULL && again != block);
    EXPECT(obm_free(heap, again));
    obm_heap_close(heap, false);
    free(heap);
}

TEST(no_arena_is_huge)
{
    struct obm_heap *heap = heap_new("hugepages=always,secure=1");
    EXPECT(obm_free(heap, obm_malloc(heap, SMALL)));
    EXPECT_EQUAL(fake.huge_advices, 0);
    heap_end(heap);
}

/* What the checks find ------------------------------------------------------------------------ */

static void
expect_mismatch(const struct obm_heap *heap, const char *text, struct harness_place place)
{
    char message[OBM_CHECK_MESSAGE_SIZE] = "nothing";
    bool valid = obm_check_heap(heap, 3, message);
    harness_text(place.file, place.line, "message", valid ? "nothing" : message, text, false);
}

TEST(damaged_bitmaps_are_found)
{
    struct obm_heap *heap = secure_heap();
    void *block = obm_malloc(heap, 48);
    const struct obm_pool *pool = obm_find_pool(heap, block);
    size_t words = heap->geometry.bitmap_words;
    uint64_t *available = heap->arenas[1].bits + 2u * obm_pool_page(heap, pool) * words;
    uint64_t *held = available + words;
    uint64_t before = *available;
    EXPECT_VALID(heap);
    *available = 0;
    expect_mismatch(heap, "blocks are free, expected", HERE);
    *available = UINT64_MAX;
    *held = 1;
    expect_mismatch(heap, "a block is both free and in use", HERE);
    *available = before;
    obm_heap_close(heap, false);
    free(heap);
}

static void
do_malloc(void *heap)
{
    obm_malloc(heap, 48);
}

TEST(a_pool_without_the_block_that_it_should_have_ends_the_process)
{
    struct obm_heap *heap = secure_heap();
    void *block = obm_malloc(heap, 48);
    const struct obm_pool *pool = obm_find_pool(heap, block);
    memset(heap->arenas[1].bits + 2u * obm_pool_page(heap, pool) * heap->geometry.bitmap_words, 0,
           heap->geometry.bitmap_words * sizeof(uint64_t));
    EXPECT_CONTAINS(fake_os_fatal_message(do_malloc, heap), "should have a free block");
    obm_heap_close(heap, false);
    free(heap);
}

TEST(check_levels_go_with_it)
{
    struct obm_heap *heap = heap_new("secure=1,check=3");
    void *neighbour = obm_malloc(heap, 64);
    void *block = obm_malloc(heap, 64);
    EXPECT(obm_free(heap, block));
    EXPECT_CONTAINS(fatal_of_free(heap, block), "is free already");
    obm_trim(heap);
    EXPECT(obm_free(heap, neighbour));
    heap_end(heap);
}

/* Medium blocks ---------------------------------------------------------------------------- */

TEST(medium_blocks_are_handed_out_in_no_order_each_once)
{
    struct obm_heap *heap = secure_heap();
    static char seen[SOME];
    char *blocks[SOME / 2];
    size_t size = OBM_MEDIUM_MIN, in_order = 0;
    memset(seen, 0, sizeof(seen));
    for (size_t i = 0; i < SOME / 2; i++) {
        blocks[i] = obm_malloc(heap, size);
        REQUIRE(blocks[i] != NULL);
        in_order += i > 0 && blocks[i] == blocks[i - 1] + size;
        obm_run_id id = obm_pool_run(heap, obm_find_pool(heap, blocks[i]));
        size_t number = ((uintptr_t)blocks[i] - obm_run_address(heap, id)) / size;
        EXPECT_EQUAL(obm_find_pool(heap, blocks[i])->state, OBM_POOL_MEDIUM);
        EXPECT(number >= SOME || seen[number]++ == 0);
    }
    EXPECT_AT_MOST(in_order, SOME / 16);
    EXPECT_VALID(heap);
    for (size_t i = 0; i < SOME / 2; i++) {
        EXPECT(obm_free(heap, blocks[i]));
    }
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    EXPECT_VALID(heap);
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    heap_end(heap);
}

TEST(a_write_to_a_freed_medium_block_is_found)
{
    struct obm_heap *heap = secure_heap();
    char *block = obm_malloc(heap, OBM_MEDIUM_MAX);
    EXPECT(obm_free(heap, block));
    block[OBM_MEDIUM_MAX - 1] = 'x';
    EXPECT_CONTAINS(fake_os_fatal_message(do_trim, heap),
                    "was written to after it was freed, at byte 32767");
    obm_heap_close(heap, false);
    free(heap);
}

/* So many bytes are in use or in quarantine. */
static size_t
bytes_taken(const struct obm_heap *heap)
{
    struct obm_stats stats;
    obm_stats_collect(heap, &stats);
    return stats.used_pages * stats.page_size;
}

TEST(the_quarantine_is_bounded_in_bytes)
{
    struct obm_heap *heap = secure_heap();
    for (unsigned i = 0; i < 2 * OBM_QUARANTINE_BLOCKS; i++) {
        EXPECT(obm_free(heap, obm_malloc(heap, OBM_MEDIUM_MAX)));
    }
    EXPECT_AT_LEAST(bytes_taken(heap), OBM_QUARANTINE_BYTES / 2);
    EXPECT_AT_MOST(bytes_taken(heap), 2 * OBM_QUARANTINE_BYTES);
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* obmalloc's unit tests: blocks of the medium classes (medium.c). */

#include "heaps.h"

#define MEDIUM OBM_MEDIUM_MAX       /* touches several pages of 4 KiB */

static struct obm_run *
run_at(const struct obm_heap *heap, const void *block)
{
    return obm_run_at(heap, obm_pool_run(heap, obm_find_pool(heap, block)));
}

/* How many blocks of this size a whole run holds. */
static size_t
run_capacity(const struct obm_heap *heap, size_t size)
{
    return heap->geometry.classes[obm_medium_class(size)].capacity;
}

/* Blocks of one size. */
struct blocks {
    char **block;
    size_t count;
    size_t size;
};

static struct blocks
blocks_take(struct obm_heap *heap, size_t count, size_t size)
{
    struct blocks blocks = {calloc(count + 1, sizeof(char *)), count, size};
    REQUIRE(blocks.block != NULL);
    for (size_t i = 0; i < count; i++) {
        blocks.block[i] = obm_malloc(heap, size);
        REQUIRE(blocks.block[i] != NULL);
    }
    return blocks;
}

static void
blocks_give(struct obm_heap *heap, struct blocks *blocks, size_t i)
{
    if (blocks->block[i] != NULL) {
        EXPECT(obm_free(heap, blocks->block[i]));
        blocks->block[i] = NULL;
    }
}

static void
blocks_end(struct obm_heap *heap, struct blocks *blocks)
{
    for (size_t i = 0; i < blocks->count; i++) {
        blocks_give(heap, blocks, i);
    }
    free(blocks->block);
}

/* The system's pages that are in use. */
static size_t
used_pages(const struct obm_heap *heap)
{
    struct obm_stats stats;
    obm_stats_collect(heap, &stats);
    return stats.used_pages;
}

/* Handing out ----------------------------------------------------------------------- */

TEST(every_medium_size_is_served_and_holds_what_is_written)
{
    struct obm_heap *heap = heap_new("");
    static char *blocks[2 * OBM_MEDIUM_CLASSES];
    size_t count = 0;
    for (unsigned c = OBM_SMALL_CLASSES; c < OBM_SIZE_CLASSES; c++) {
        const size_t sizes[] = {obm_class_size(heap, c - 1) + 1, obm_class_size(heap, c)};
        for (unsigned i = 0; i < 2; i++) {
            blocks[count] = obm_malloc(heap, sizes[i]);
            REQUIRE(blocks[count] != NULL);
            EXPECT_EQUAL((uintptr_t)blocks[count] % OBM_ALIGNMENT, 0);
            EXPECT_EQUAL(obm_block_size(heap, blocks[count]), sizes[1]);
            memset(blocks[count], (int)count, sizes[1]);
            count++;
        }
    }
    EXPECT_VALID(heap);
    EXPECT_EQUAL(obm_allocated_blocks(heap), (ptrdiff_t)count);
    for (size_t i = 0; i < count; i++) {
        size_t size = obm_block_size(heap, blocks[i]);
        EXPECT_EQUAL((unsigned char)blocks[i][0], i);
        EXPECT_EQUAL((unsigned char)blocks[i][size - 1], i);
        EXPECT(obm_free(heap, blocks[i]));
    }
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(blocks_lie_one_after_another_across_pages)
{
    struct obm_heap *heap = heap_new("");
    size_t size = OBM_MEDIUM_MIN;
    struct blocks blocks = blocks_take(heap, run_capacity(heap, size), size);
    for (size_t i = 1; i < blocks.count; i++) {
        EXPECT_SAME(blocks.block[i], blocks.block[i - 1] + size);
    }
    EXPECT_EQUAL(run_at(heap, blocks.block[0])->free_blocks, 0);
    EXPECT_VALID(heap);
    char *next = obm_malloc(heap, size);
    EXPECT(run_at(heap, next) != run_at(heap, blocks.block[0]));
    EXPECT(obm_free(heap, next));
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(the_block_freed_last_and_then_the_lowest_free_one_are_given_next)
{
    struct obm_heap *heap = heap_new("");
    struct blocks blocks = blocks_take(heap, 4, 1000);
    char *lowest = blocks.block[0], *last = blocks.block[1];
    blocks_give(heap, &blocks, 0);
    blocks_give(heap, &blocks, 2);
    blocks_give(heap, &blocks, 1);
    EXPECT_EQUAL(obm_allocated_blocks(heap), 1);
    EXPECT_VALID(heap);
    blocks.block[0] = obm_malloc(heap, 1000);
    EXPECT_SAME(blocks.block[0], last);
    blocks.block[1] = obm_malloc(heap, 1000);
    EXPECT_SAME(blocks.block[1], lowest);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

/* Where a block shares its pages with several others, those that are left go. */
TEST(a_small_block_freed_last_in_another_run_is_not_given_next)
{
    struct obm_heap *heap = heap_new("");
    size_t capacity = run_capacity(heap, OBM_MEDIUM_MIN);
    struct blocks blocks = blocks_take(heap, capacity + 2, OBM_MEDIUM_MIN);
    char *next = blocks.block[capacity + 1] + OBM_MEDIUM_MIN;
    blocks_give(heap, &blocks, 0);
    blocks.block[0] = obm_malloc(heap, OBM_MEDIUM_MIN);
    EXPECT_SAME(blocks.block[0], next);
    EXPECT_VALID(heap);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(the_fullest_run_gives_the_next_block)
{
    struct obm_heap *heap = heap_new("");
    size_t capacity = run_capacity(heap, MEDIUM);
    struct blocks blocks = blocks_take(heap, 3 * capacity, MEDIUM);
    blocks_give(heap, &blocks, 0);
    blocks_give(heap, &blocks, 1);
    char *wanted = blocks.block[capacity], *last = blocks.block[2 * capacity];
    blocks_give(heap, &blocks, capacity);
    blocks_give(heap, &blocks, 2 * capacity);
    blocks.block[0] = obm_malloc(heap, MEDIUM);
    EXPECT_SAME(blocks.block[0], last);
    blocks.block[1] = obm_malloc(heap, MEDIUM);
    EXPECT_SAME(blocks.block[1], wanted);
    EXPECT_VALID(heap);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(medium_requests_can_be_left_to_the_system)
{
    struct obm_heap *heap = heap_new("medium=0");
    EXPECT_SAME(obm_malloc(heap, OBM_SMALL_MAX + 1), NULL);
    EXPECT_SAME(obm_calloc(heap, OBM_MEDIUM_MAX), NULL);
    void *small = obm_malloc(heap, OBM_SMALL_MAX);
    EXPECT(small != NULL);
    EXPECT(obm_free(heap, small));
    heap_end(heap);
}

TEST(without_memory_nothing_changes)
{
    struct obm_heap *heap = heap_new("");
    size_t per_arena = OBM_RUNS_PER_ARENA * run_capacity(heap, MEDIUM);
    struct blocks blocks = blocks_take(heap, per_arena, MEDIUM);
    EXPECT_EQUAL(heap->arena_count, 1);
    fake.fail_map = fake.map_calls + 1;
    fake.fail_all_later = true;
    EXPECT_SAME(obm_malloc(heap, MEDIUM), NULL);
    EXPECT_SAME(obm_calloc(heap, MEDIUM), NULL);
    EXPECT_VALID(heap);
    EXPECT_EQUAL(obm_allocated_blocks(heap), (ptrdiff_t)per_arena);
    fake.fail_map = 0;
    char *block = obm_malloc(heap, MEDIUM);
    EXPECT(block != NULL);
    EXPECT(obm_free(heap, block));
    blocks_end(heap, &blocks);
    heap_end(heap);
}

/* Giving back ----------------------------------------------------------------------- */

/* Once the next block of the class is freed. */
TEST(a_page_between_two_live_blocks_goes_back)
{
    struct obm_heap *heap = heap_new("");
    size_t size = OBM_MEDIUM_MIN, page = heap->geometry.page_size;
    struct blocks blocks = blocks_take(heap, 2 * run_capacity(heap, size), size);
    size_t used = used_pages(heap);
    const struct obm_run *run = run_at(heap, blocks.block[0]);
    /* All blocks of the first run, which is not the current one, that touch its page 1. */
    for (size_t i = page / size; i <= (2 * page - 1) / size; i++) {
        EXPECT_EQUAL(run->free, 0);
        blocks_give(heap, &blocks, i);
    }
    blocks_give(heap, &blocks, blocks.count - 1);
    EXPECT_EQUAL(run->free, 2);
    EXPECT_EQUAL(run->dirty, 2);
    EXPECT_EQUAL(used_pages(heap), used - 1);
    EXPECT_VALID(heap);
    obm_trim(heap);
    EXPECT_EQUAL(run->purged, 2);
    EXPECT_EQUAL(fake.purged, 1);
    EXPECT_EQUAL(fake.purges[0].size, page);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(a_run_goes_back_with_its_last_block)
{
    struct obm_heap *heap = heap_new("");
    size_t capacity = run_capacity(heap, MEDIUM);
    struct blocks blocks = blocks_take(heap, 2 * capacity, MEDIUM);
    struct obm_run *run = run_at(heap, blocks.block[0]);
    for (size_t i = 0; i < capacity; i++) {
        EXPECT_DIFFERENT(run->size_class, OBM_NO_CLASS);
        blocks_give(heap, &blocks, i);
    }
    blocks_give(heap, &blocks, capacity);
    EXPECT_EQUAL(run->size_class, OBM_NO_CLASS);
    EXPECT_VALID(heap);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(one_block_at_a_time_keeps_its_pages)
{
    struct obm_heap *heap = heap_new("retain=none");
    for (unsigned i = 0; i < 100; i++) {
        char *block = obm_malloc(heap, MEDIUM);
        block[0] = 1;
        EXPECT(obm_free(heap, block));
    }
    EXPECT_EQUAL(heap->counters.arenas_mapped, 1);
    EXPECT_EQUAL(heap->counters.purge_calls, 0);
    EXPECT_EQUAL(heap->counters.refaults, 0);
    EXPECT_VALID(heap);
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(the_pages_of_one_block_at_most_are_kept)
{
    struct obm_heap *heap = heap_new("");
    struct blocks blocks = blocks_take(heap, run_capacity(heap, MEDIUM), MEDIUM);
    size_t used = used_pages(heap);
    for (size_t i = 0; i < blocks.count; i++) {
        blocks_give(heap, &blocks, i);
        EXPECT_VALID(heap);
    }
    EXPECT_AT_MOST(used_pages(heap), MEDIUM / heap->geometry.page_size + 1);
    EXPECT_AT_LEAST(used, used_pages(heap) + 1);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

/* Take blocks of the least medium size, which take so many further pages, or one more. */
static struct blocks
grow_by(struct obm_heap *heap, size_t pages)
{
    size_t count = (pages + 1) * heap->geometry.page_size / OBM_MEDIUM_MIN;
    return blocks_take(heap, count, OBM_MEDIUM_MIN);
}

TEST(a_kept_block_is_given_up_when_the_heap_grows_twice_without_it)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, MEDIUM);
    struct obm_run *run = run_at(heap, block);
    obm_run_id id = obm_pool_run(heap, obm_find_pool(heap, block));
    heap->medium.grown = 0;
    EXPECT(obm_free(heap, block));
    struct blocks first = grow_by(heap, OBM_IDLE_PAGES);
    EXPECT_EQUAL(run->size_class, obm_medium_class(MEDIUM));
    EXPECT(!obm_block_is_held(heap, id, 0));
    EXPECT_EQUAL(obm_allocated_blocks(heap), (ptrdiff_t)first.count);
    EXPECT_VALID(heap);
    struct blocks second = grow_by(heap, OBM_IDLE_PAGES);
    EXPECT_DIFFERENT(run->size_class, obm_medium_class(MEDIUM));    /* another may have it */
    EXPECT_VALID(heap);
    blocks_end(heap, &second);
    blocks_end(heap, &first);
    heap_end(heap);
}

TEST(a_kept_block_that_is_asked_for_again_and_again_stays)
{
    struct obm_heap *heap = heap_new("retain=none");
    struct blocks blocks[10];
    char *block = obm_malloc(heap, MEDIUM);
    EXPECT(obm_free(heap, block));
    for (unsigned i = 0; i < 10; i++) {
        blocks[i] = grow_by(heap, OBM_IDLE_PAGES / 2);
        EXPECT_SAME(obm_malloc(heap, MEDIUM), block);
        EXPECT(obm_free(heap, block));
        EXPECT_VALID(heap);
    }
    EXPECT_EQUAL(heap->counters.purged_pages, 0);
    for (unsigned i = 0; i < 10; i++) {
        blocks_end(heap, &blocks[i]);
    }
    heap_end(heap);
}

/* The heap does not grow then. */
TEST(a_kept_block_stays_while_others_take_dirty_pages)
{
    struct obm_heap *heap = heap_new("retain=all");
    char *block = obm_malloc(heap, MEDIUM);
    const struct obm_run *run = run_at(heap, block);
    size_t whole_runs = 2 * run_capacity(heap, OBM_MEDIUM_MIN);
    struct blocks blocks = blocks_take(heap, whole_runs, OBM_MEDIUM_MIN);
    for (size_t i = 0; i < blocks.count; i++) {
        blocks_give(heap, &blocks, i);
    }
    EXPECT(obm_free(heap, block));
    for (size_t i = 0; i < blocks.count; i++) {
        blocks.block[i] = obm_malloc(heap, OBM_MEDIUM_MIN);
    }
    EXPECT_DIFFERENT(run->size_class, OBM_NO_CLASS);
    EXPECT_SAME(obm_malloc(heap, MEDIUM), block);
    EXPECT(obm_free(heap, block));
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(after_trim_only_pages_with_live_blocks_are_held)
{
    struct obm_heap *heap = heap_new("");
    size_t size = OBM_MEDIUM_MIN, page = heap->geometry.page_size;
    struct blocks blocks = blocks_take(heap, 5 * run_capacity(heap, size), size);
    size_t kept = 0;
    for (size_t i = 0; i < blocks.count; i++) {
        if (i % 41 != 0) {
            blocks_give(heap, &blocks, i);
        }
    }
    obm_trim(heap);
    for (size_t i = 0; i < blocks.count; i += 41) {
        uintptr_t start = (uintptr_t)blocks.block[i], end = start + size - 1;
        kept += end / page - start / page + 1;
    }
    struct obm_stats stats;
    obm_stats_collect(heap, &stats);
    EXPECT_AT_MOST(stats.used_pages, kept);     /* two of them may meet on a page */
    EXPECT_EQUAL(stats.used_pages, stats.floor_pages);
    EXPECT_EQUAL(stats.dirty_pages, 0);
    EXPECT_VALID(heap);
    blocks_end(heap, &blocks);
    heap_end(heap);
}

TEST(a_run_that_lacks_a_page_holds_fewer_blocks)
{
    struct foreign_allocator foreign;
    struct obm_heap *heap = heap_new("check=3");
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    heap->arena_allocator = foreign_allocator_in_force;
    for (size_t size = OBM_MEDIUM_MIN; size <= MEDIUM; size *= 3) {
        struct blocks blocks = blocks_take(heap, OBM_RUNS_PER_ARENA * run_capacity(heap, size), size);
        for (size_t i = 0; i < blocks.count; i++) {
            memset(blocks.block[i], 0x5a, size);
        }
        EXPECT_VALID(heap);
        blocks_end(heap, &blocks);
    }
    obm_trim(heap);
    EXPECT_EQUAL(foreign.arenas, 0);
    heap_end(heap);
}

/* calloc ---------------------------------------------------------------------------- */

TEST(calloc_clears_what_was_written_before)
{
    struct obm_heap *heap = heap_new("");
    for (size_t size = OBM_SMALL_MAX + 1; size <= MEDIUM; size += 1021) {
        struct blocks blocks = blocks_take(heap, 9, size);
        for (size_t i = 0; i < blocks.count; i++) {
            memset(blocks.block[i], 0xff, size);
        }
        for (size_t i = 0; i < blocks.count; i += 2) {
            blocks_give(heap, &blocks, i);
        }
        obm_trim(heap);
        for (size_t i = 0; i < blocks.count; i += 2) {
            blocks.block[i] = obm_calloc(heap, size);
            EXPECT(is_zero(blocks.block[i], size));
        }
        blocks_end(heap, &blocks);
    }
    EXPECT_VALID(heap);
    heap_end(heap);
}

/* What was not purged is not taken for zero. */
TEST(calloc_clears_memory_that_is_not_zero_by_itself)
{
    struct obm_heap *heap = heap_new("");
    foreign_in_force = NULL;
    fake.filled_size = heap->geometry.arena_size;
    fake.fill = 0;
    char *block = obm_malloc(heap, MEDIUM);
    memset(block, 0xff, MEDIUM);
    EXPECT(obm_free(heap, block));
    char *again = obm_calloc(heap, MEDIUM);
    EXPECT_SAME(again, block);
    EXPECT(is_zero(again, MEDIUM));
    EXPECT(obm_free(heap, again));
    heap_end(heap);
}

/* realloc --------------------------------------------------------------------------- */

/* A block of the system's malloc. */
static void *
give_system_block(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

TEST(realloc_moves_across_both_borders_with_the_contents)
{
    struct obm_heap *heap = heap_new("");
    const size_t sizes[] = {100, 600, 20000, 700, 50, OBM_SMALL_MAX, OBM_SMALL_MAX + 1, MEDIUM};
    void *block = obm_malloc(heap, 40);
    size_t before = 40;
    memset(block, 'a', before);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        REQUIRE(obm_realloc(heap, &block, sizes[i], refuse, NULL));
        EXPECT_AT_LEAST(obm_block_size(heap, block), sizes[i]);
        size_t held = sizes[i] < before ? sizes[i] : before;
        EXPECT_EQUAL(((char *)block)[0], 'a' + (int)i);
        EXPECT_EQUAL(((char *)block)[held - 1], 'a' + (int)i);
        memset(block, 'a' + (int)i + 1, sizes[i]);
        before = sizes[i];
        EXPECT_VALID(heap);
    }
    REQUIRE(obm_realloc(heap, &block, OBM_MEDIUM_MAX + 1, give_system_block, NULL));
    EXPECT_EQUAL(obm_block_size(heap, block), 0);
    EXPECT_EQUAL(((char *)block)[MEDIUM - 1], 'a' + 8);
    EXPECT_EQUAL(obm_allocated_blocks(heap), 0);
    free(block);
    heap_end(heap);
}

TEST(realloc_that_fails_leaves_the_block)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, MEDIUM);
    void *place = block;
    memset(block, 'b', MEDIUM);
    REQUIRE(obm_realloc(heap, &place, OBM_MEDIUM_MAX + 1, refuse, NULL));
    EXPECT_SAME(place, NULL);
    EXPECT_EQUAL(block[MEDIUM - 1], 'b');
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

TEST(a_block_that_shrinks_a_little_stays)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, 4096), *place = block;
    REQUIRE(obm_realloc(heap, &place, 3100, refuse, NULL));
    EXPECT_SAME(place, block);
    REQUIRE(obm_realloc(heap, &place, 2000, refuse, NULL));
    EXPECT(place != block);
    EXPECT(obm_free(heap, place));
    heap_end(heap);
}

/* A list that pops its items asks for less when memory is short too. */
TEST(a_block_that_shrinks_stays_where_there_is_no_memory)
{
    struct obm_heap *heap = heap_new("");
    const size_t sizes[] = {MEDIUM / 2, OBM_SMALL_MAX, 16, 0};
    size_t per_arena = OBM_RUNS_PER_ARENA * run_capacity(heap, MEDIUM);
    struct blocks blocks = blocks_take(heap, per_arena, MEDIUM);
    char *block = blocks.block[0];
    memset(block, 'c', MEDIUM);
    fake.fail_map = fake.map_calls + 1;
    fake.fail_all_later = true;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *place = block;
        REQUIRE(obm_realloc(heap, &place, sizes[i], refuse, NULL));
        EXPECT_SAME(place, block);
    }
    EXPECT_EQUAL(block[MEDIUM - 1], 'c');
    EXPECT_VALID(heap);
    fake.fail_map = 0;
    void *place = block;
    REQUIRE(obm_realloc(heap, &place, MEDIUM / 2, refuse, NULL));
    EXPECT(place != block);
    blocks.block[0] = place;
    blocks_end(heap, &blocks);
    heap_end(heap);
}

/* A list that is appended to asks for an eighth more each time. */
TEST(a_block_that_grows_in_steps_does_not_move_at_each)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, 600);
    unsigned steps = 0, moves = 0;
    for (size_t size = 600; size <= MEDIUM; size += size / 8 + 48) {
        void *before = block;
        REQUIRE(obm_realloc(heap, &block, size, refuse, NULL));
        steps++;
        moves += block != before;
    }
    EXPECT_AT_MOST(2 * moves, steps + 2);
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

/* Misuse ---------------------------------------------------------------------------- */

static void
expect_message(struct obm_heap *heap, void *block, const char *part)
{
    const char *message = fatal_of_free(heap, block);
    REQUIRE(message != NULL);
    EXPECT_CONTAINS(message, part);
    EXPECT_VALID(heap);
}

TEST(a_second_free_is_found)
{
    static const char *const settings[] = {"", "check=1", "check=3", "secure=1"};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        char *first = obm_malloc(heap, 1000), *second = obm_malloc(heap, 1000);
        EXPECT(obm_free(heap, first));
        expect_message(heap, first, "is free already");
        EXPECT(obm_free(heap, second));
        obm_quarantine_empty(heap);
        expect_message(heap, first, heap->settings.secure ? "" : "is free already");
        heap_end(heap);
    }
}

/* Also where the block would stay in its place, so that nothing is freed. */
TEST(a_realloc_of_a_freed_block_is_found)
{
    static const char *const settings[] = {"", "check=1", "check=3", "secure=1"};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        char *block = obm_malloc(heap, MEDIUM), *other = obm_malloc(heap, MEDIUM);
        EXPECT(obm_free(heap, block));
        for (size_t size = MEDIUM; size >= 100; size /= 2) {
            const char *message = fatal_of_realloc(heap, block, size);
            REQUIRE(message != NULL);
            EXPECT_CONTAINS(message, "is free already");
        }
        EXPECT(obm_free(heap, other));
        obm_trim(heap);
        heap_end(heap);
    }
}

TEST(a_realloc_outside_the_window_is_looked_at_too)
{
    struct foreign_allocator foreign;
    struct obm_heap *heap = heap_new("");
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    heap->arena_allocator = foreign_allocator_in_force;
    char *block = obm_malloc(heap, MEDIUM), *other = obm_malloc(heap, MEDIUM);
    void *place = other;
    EXPECT(obm_realloc(heap, &place, MEDIUM - 1, refuse, NULL));
    EXPECT_SAME(place, other);
    EXPECT_CONTAINS(fatal_of_realloc(heap, block + 64, MEDIUM), "is not the start of a block");
    EXPECT(obm_free(heap, block));
    EXPECT_CONTAINS(fatal_of_realloc(heap, block, MEDIUM), "is free already");
    EXPECT(obm_free(heap, other));
    heap_end(heap);
}

TEST(a_realloc_on_a_page_that_has_gone_back_is_found)
{
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, MEDIUM), *other = obm_malloc(heap, MEDIUM);
    EXPECT(obm_free(heap, block));
    EXPECT(obm_free(heap, other));
    other = obm_malloc(heap, OBM_SMALL_MAX);
    obm_medium_retire(heap);
    const char *message = fatal_of_realloc(heap, block, MEDIUM);
    REQUIRE(message != NULL);
    EXPECT_CONTAINS(message, "no block of which is in use");
    EXPECT(obm_free(heap, other));
    heap_end(heap);
}

TEST(an_address_inside_a_block_is_found)
{
    static const char *const settings[] = {"", "check=1", "check=3", "secure=1"};
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        size_t page = heap->geometry.page_size;
        char *block = obm_malloc(heap, MEDIUM);
        expect_message(heap, block + 64, "is not the start of a block");
        if (page < MEDIUM) {
            expect_message(heap, block + page, "is not the start of a block");
        }
        EXPECT_CONTAINS(fatal_of_realloc(heap, block + 64, MEDIUM), "is not the start of a block");
        EXPECT(obm_free(heap, block));
        heap_end(heap);
    }
}

/* The address behind the last block of a run is that of none. */
TEST(an_address_behind_the_last_block_is_found)
{
    struct obm_heap *heap = heap_new("");
    size_t size = OBM_MEDIUM_MIN;
    struct blocks blocks = blocks_take(heap, run_capacity(heap, size), size);
    REQUIRE(heap->geometry.run_size % size != 0);
    expect_message(heap, blocks.block[blocks.count - 1] + size, "is not the start of a block");
    blocks_end(heap, &blocks);
    heap_end(heap);
}

/* The map --------------------------------------------------------------------------- */

TEST(the_map_shows_a_block_on_each_page_that_it_touches)
{
    static struct obm_page_info pages[OBM_MAX_ARENA_PAGES];
    struct obm_heap *heap = heap_new("");
    char *block = obm_malloc(heap, MEDIUM);
    unsigned touched = 0, starts = 0;
    unsigned count = obm_arena_describe(heap, 1, pages);
    for (unsigned page = 0; page < count; page++) {
        const struct obm_pool *pool = &heap->arenas[1].pools[page];
        uint64_t live[OBM_POOL_WORDS];
        EXPECT(obm_pool_live_blocks(heap, pool, live));
        EXPECT_EQUAL(live[0], pages[page].live);
        if (pages[page].live != 0) {
            touched++;
            EXPECT_EQUAL(pages[page].kind, OBM_PAGE_USED);
            EXPECT_EQUAL(pages[page].size_class, obm_medium_class(MEDIUM));
            EXPECT_SAME(obm_first_block(heap, pool), block);
            starts += obm_pool_address(heap, pool) == block;
        }
    }
    EXPECT_EQUAL(touched, (MEDIUM + heap->geometry.page_size - 1) / heap->geometry.page_size);
    EXPECT_EQUAL(starts, 1);
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

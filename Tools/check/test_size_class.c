/* obmalloc's unit tests: sizes (size_class.c). */

#include "heaps.h"

TEST(every_size_gets_the_smallest_class_that_fits)
{
    struct obm_heap *heap = heap_new("");
    for (size_t size = 1; size <= OBM_SMALL_MAX; size++) {
        size_t size_class = obm_size_class(size);
        REQUIRE(size_class < OBM_SMALL_CLASSES);
        EXPECT_AT_LEAST(obm_class_size(heap, (unsigned)size_class), size);
        EXPECT_AT_MOST(obm_class_size(heap, (unsigned)size_class), size + OBM_ALIGNMENT - 1);
    }
    heap_end(heap);
}

TEST(every_medium_size_gets_the_smallest_class_that_fits)
{
    struct obm_heap *heap = heap_new("");
    for (size_t size = OBM_SMALL_MAX + 1; size <= OBM_MEDIUM_MAX; size++) {
        unsigned size_class = obm_medium_class(size);
        REQUIRE(obm_is_medium_class(size_class));
        REQUIRE(obm_class_size(heap, size_class) >= size);
        REQUIRE(obm_class_size(heap, size_class - 1) < size);
    }
    EXPECT_EQUAL(obm_class_size(heap, OBM_SMALL_CLASSES), OBM_MEDIUM_MIN);
    EXPECT_EQUAL(obm_class_size(heap, OBM_SIZE_CLASSES - 1), OBM_MEDIUM_MAX);
    EXPECT(!obm_is_medium_class(OBM_SMALL_CLASSES - 1));
    EXPECT(!obm_is_medium_class(OBM_LONG_SMALL));
    EXPECT(!obm_is_medium_class(OBM_NO_CLASS));
    heap_end(heap);
}

/* A multiplication stands for the division: see size_class.c. */
TEST(the_number_of_a_medium_block_is_a_quotient)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned c = OBM_SMALL_CLASSES; c < OBM_SIZE_CLASSES; c++) {
        const struct obm_size_class *row = &heap->geometry.classes[c];
        EXPECT_EQUAL(row->capacity, heap->geometry.run_size / row->size);
        for (size_t offset = 0; offset < heap->geometry.run_size; offset += 16) {
            REQUIRE(obm_block_number(row, offset) == offset / row->size);
        }
    }
    heap_end(heap);
}

TEST(zero_and_large_sizes_have_no_class)
{
    const size_t sizes[] = {0, OBM_SMALL_MAX + 1, 2 * OBM_SMALL_MAX, SIZE_MAX / 2, SIZE_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EXPECT_AT_LEAST(obm_size_class(sizes[i]), OBM_SMALL_CLASSES);
    }
}

TEST(class_sizes_are_aligned_and_end_at_the_largest_small_size)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        EXPECT_EQUAL(obm_class_size(heap, c) % OBM_ALIGNMENT, 0);
        EXPECT_EQUAL(obm_size_class(obm_class_size(heap, c)), c);
    }
    EXPECT_EQUAL(obm_class_size(heap, OBM_SMALL_CLASSES - 1), OBM_SMALL_MAX);
    heap_end(heap);
}

TEST(geometry_follows_from_the_page_size)
{
    struct obm_geometry geometry;
    size_t page = fake_os_page_size();
    REQUIRE(obm_geometry_init(&geometry, page));
    EXPECT_EQUAL(geometry.page_size, page);
    EXPECT_EQUAL((size_t)1 << geometry.page_shift, page);
    EXPECT_EQUAL((size_t)1 << geometry.run_shift, geometry.run_size);
    EXPECT_EQUAL((size_t)1 << geometry.arena_shift, geometry.arena_size);
    EXPECT_EQUAL(geometry.run_pages * page, geometry.run_size);
    EXPECT_EQUAL(geometry.arena_pages * page, geometry.arena_size);
    EXPECT_EQUAL(1u << geometry.run_pages_shift, geometry.run_pages);
    EXPECT_EQUAL(1u << geometry.arena_pages_shift, geometry.arena_pages);
    EXPECT_EQUAL(geometry.run_size * OBM_RUNS_PER_ARENA, geometry.arena_size);
    EXPECT_AT_LEAST(geometry.run_pages, 1u << OBM_MIN_RUN_PAGES_SHIFT);
    EXPECT_AT_MOST(geometry.run_pages, OBM_MAX_RUN_PAGES);
    EXPECT_AT_LEAST(geometry.run_size, (size_t)1 << OBM_RUN_SHIFT);
}

TEST(capacity_fills_the_page_but_for_less_than_a_block)
{
    struct obm_geometry geometry;
    size_t page = fake_os_page_size();
    REQUIRE(obm_geometry_init(&geometry, page));
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        size_t size = geometry.classes[c].size;
        size_t used = geometry.classes[c].start + geometry.classes[c].capacity * size;
        EXPECT_AT_MOST(used, page);
        EXPECT_AT_MOST(page - used, size - 1);
    }
}

TEST(only_blocks_of_a_line_start_before_one)
{
    struct obm_geometry geometry;
    REQUIRE(obm_geometry_init(&geometry, fake_os_page_size()));
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        bool line = geometry.classes[c].size == OBM_LINE;
        EXPECT_EQUAL((geometry.classes[c].start + OBM_BEFORE_LINE) % OBM_LINE == 0, line);
        EXPECT_EQUAL(geometry.classes[c].start != 0, line);
        EXPECT_EQUAL(geometry.classes[c].start % OBM_ALIGNMENT, 0);
    }
}

TEST(odd_page_sizes_are_not_supported)
{
    struct obm_geometry geometry;
    size_t smallest = (size_t)1 << OBM_MIN_PAGE_SHIFT, largest = (size_t)1 << OBM_MAX_PAGE_SHIFT;
    const size_t sizes[] = {0, 1, smallest / 2, smallest + 1, 3 * smallest, 2 * largest};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        EXPECT(!obm_geometry_init(&geometry, sizes[i]));
        EXPECT_EQUAL(geometry.page_size, 0);
    }
}

TEST(page_shift_of_a_heap_is_that_of_its_geometry)
{
    struct obm_heap *heap = heap_new("");
    EXPECT_EQUAL(obm_page_shift(heap), heap->geometry.page_shift);
    heap_end(heap);
}

/* A build for one page size on a machine with another one. */
TEST(a_heap_with_an_unsupported_page_size_gives_nothing)
{
    struct obm_heap *heap = calloc(1, sizeof(*heap));
    struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    static char local[OBM_SMALL_MAX];
    REQUIRE(heap != NULL);
    fake_os_reset(((size_t)1 << OBM_MIN_PAGE_SHIFT) / 2);
    EXPECT(!obm_heap_init(heap, fake_os_system(), &settings));
    EXPECT_SAME(obm_malloc(heap, SMALL), NULL);
    EXPECT_SAME(obm_calloc(heap, SMALL), NULL);
    EXPECT(!obm_free(heap, local));
    EXPECT_EQUAL(obm_block_size(heap, local), 0);
    EXPECT_EQUAL(obm_trim(heap), 0);
    obm_before_blocking(heap);
    heap_end(heap);
    EXPECT_EQUAL(fake.map_calls, 0);
}

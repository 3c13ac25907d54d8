/* obmalloc's unit tests: from an address to its pool (arena_map.c). */

#include "heaps.h"
#include "memory.h"

/* Arenas in force ------------------------------------------------------------------ */

/* Use up a whole arena of blocks of LARGE bytes, so that the next one starts
   another arena. */
static struct pages
arena_fill(struct obm_heap *heap)
{
    return pages_take(heap, heap->geometry.arena_pages, LARGE);
}

/* Whether every byte of an arena, its neighbours not, leads to its pools. */
static void
expect_lookup(const struct obm_heap *heap, obm_arena_index index)
{
    const struct obm_arena_object *arena = &heap->arenas[index];
    size_t page = heap->geometry.page_size;
    const char *start = (const char *)arena->first_page;
    for (unsigned i = 0; i < arena->page_count; i++) {
        EXPECT_SAME(obm_find_pool(heap, start + i * page), &arena->pools[i]);
        EXPECT_SAME(obm_find_pool(heap, start + i * page + page - 1), &arena->pools[i]);
        EXPECT_SAME(obm_pool_address(heap, &arena->pools[i]), start + i * page);
    }
    EXPECT_SAME(obm_find_pool(heap, start - 1), NULL);
    EXPECT_SAME(obm_find_pool(heap, start + arena->page_count * page), NULL);
}

static void
expect_no_pool_at_odd_addresses(const struct obm_heap *heap)
{
    const uintptr_t odd[] = {
        0, 1, heap->geometry.page_size, UINTPTR_MAX, UINTPTR_MAX / 2, UINTPTR_MAX / 2 + 1,
        (uintptr_t)heap, (uintptr_t)heap->arenas, heap->window_base,
        heap->window_base - 1, heap->window_base + heap->window_mapped,
        (uintptr_t)heap->window_pools
    };
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        EXPECT_SAME(obm_find_pool(heap, (void *)odd[i]), NULL);
        EXPECT_EQUAL(obm_block_size(heap, (void *)odd[i]), 0);
        EXPECT(!obm_belongs_to_other_heap(heap, (void *)odd[i]));
    }
}

TEST(the_arenas_of_the_window_lie_where_its_descriptors_say)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = arena_fill(heap);
    EXPECT_EQUAL(heap->window >= 0, OBM_WINDOW_SHIFT != 0);
    EXPECT_EQUAL(heap->map.count == 0, OBM_WINDOW_SHIFT != 0);
    for (size_t page = 0; heap->window >= 0 && page < pages.count; page++) {
        const struct obm_arena_object *arena = arena_object_of(heap, page_block(&pages, page));
        uintptr_t offset = (uintptr_t)page_block(&pages, page) - heap->window_base;
        obm_arena_index index = (obm_arena_index)(offset >> heap->geometry.arena_shift);
        EXPECT(arena->in_window);
        EXPECT_SAME(arena, &heap->arenas[index]);
        EXPECT_SAME(arena->pools, obm_window_pools(heap, index));
        EXPECT_SAME(obm_find_pool(heap, page_block(&pages, page)),
                    heap->window_pools + (offset >> obm_page_shift(heap)));
        EXPECT_AT_MOST(offset, heap->window_mapped - 1);
    }
    pages_give(heap, &pages);
    heap_end(heap);
}

TEST(lookup_in_the_window)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, LARGE);
    expect_lookup(heap, arena_of(heap, block));
    expect_no_pool_at_odd_addresses(heap);
    heap_end(heap);
}

TEST(lookup_where_the_window_is_refused)
{
    struct obm_heap *heap = heap_new("");
    fake.refuse_hints = true;
    void *block = obm_malloc(heap, LARGE);
    EXPECT_EQUAL(heap->window, -1);
    EXPECT(!arena_object_of(heap, block)->in_window);
    expect_lookup(heap, arena_of(heap, block));
    expect_no_pool_at_odd_addresses(heap);
    EXPECT(obm_free(heap, block));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_EQUAL(heap->map.count, 0);
    EXPECT_SAME(obm_find_pool(heap, block), NULL);
    heap_end(heap);
}

TEST(lookup_in_a_foreign_misaligned_arena)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    foreign_in_force = &foreign.functions;
    struct obm_heap *heap = heap_new("");
    heap->arena_allocator = foreign_allocator_in_force;
    void *block = obm_malloc(heap, LARGE);
    const struct obm_arena_object *arena = arena_object_of(heap, block);
    EXPECT_EQUAL(arena->page_count, heap->geometry.arena_pages - 1);
    EXPECT_SAME(obm_find_pool(heap, (void *)arena->address), NULL);
    expect_lookup(heap, arena_of(heap, block));
    expect_no_pool_at_odd_addresses(heap);
    heap_end(heap);
    EXPECT_EQUAL(foreign.arenas, 0);
}

TEST(a_released_arena_is_found_no_more)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, LARGE);
    EXPECT(obm_free(heap, block));
    EXPECT_AT_LEAST(obm_trim(heap), heap->geometry.page_size);
    EXPECT_SAME(obm_find_pool(heap, block), NULL);
    fake.all_is_mapped = true;
    EXPECT(!obm_free(heap, block));
    heap_end(heap);
}

#if OBM_WINDOW_SHIFT

TEST(freeing_a_block_of_a_released_arena_is_fatal)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, LARGE);
    bool in_window = arena_object_of(heap, block)->in_window;
    EXPECT(obm_free(heap, block));
    obm_trim(heap);
    if (in_window) {
        EXPECT_CONTAINS(fatal_of_free(heap, block), "its arena went back to the system");
    }
    heap_end(heap);
}

TEST(the_second_region_is_tried_where_the_first_is_refused)
{
    struct obm_heap *heap = heap_new("");
    fake.refuse_hints_from = (uintptr_t)1 << 40;
    void *block = obm_malloc(heap, LARGE);
    if (!HARNESS_ADDRESS_SANITIZER) {
        EXPECT_AT_LEAST(heap->window, (int)OBM_MAX_WINDOWS);
        EXPECT(arena_object_of(heap, block)->in_window);
    }
    expect_lookup(heap, arena_of(heap, block));
    heap_end(heap);
}

/* Something else may come to lie in the window: it stays there. */
TEST(what_lies_in_the_window_already_is_not_replaced)
{
    struct obm_heap *heap = heap_new("");
    struct pages first = arena_fill(heap);
    size_t size = heap->geometry.arena_size;
    obm_arena_index next = heap->arenas_ever;
    char *place = (char *)heap->window_base + ((size_t)next << heap->geometry.arena_shift);
    char *other = memory_map(place, size, heap->geometry.page_size);
    REQUIRE(other == place);
    memset(other, 1, size);
    struct pages second = arena_fill(heap);
    for (size_t page = 0; page < second.count; page++) {
        EXPECT(!arena_object_of(heap, page_block(&second, page))->in_window);
        memset(page_block(&second, page), 2, LARGE);
    }
    EXPECT_SAME(obm_find_pool(heap, other), NULL);
    for (size_t i = 0; i < size; i++) {
        REQUIRE(other[i] == 1);
    }
    expect_lookup(heap, next);
    pages_give(heap, &second);
    pages_give(heap, &first);
    heap_end(heap);
    memory_unmap(other, size);
}

/* Heaps and windows ---------------------------------------------------------------- */

TEST(every_heap_has_a_window_of_its_own)
{
    struct obm_heap *one = heap_new(""), *two = heap_new("");
    void *of_one = obm_malloc(one, LARGE), *of_two = obm_malloc(two, LARGE);
    EXPECT_DIFFERENT(one->window, two->window);
    EXPECT(obm_belongs_to_other_heap(one, of_two));
    EXPECT(obm_belongs_to_other_heap(two, of_one));
    EXPECT(!obm_belongs_to_other_heap(one, of_one));
    EXPECT_SAME(obm_find_pool(one, of_two), NULL);
    EXPECT_SAME(obm_find_pool(two, of_one), NULL);
    obm_heap_close(one, false);
    EXPECT(!obm_belongs_to_other_heap(two, of_one));
    free(one);
    heap_end(two);
}

/* Descriptors are mapped for more arenas than there are. */
TEST(an_address_in_the_window_without_an_arena_belongs_to_nobody)
{
    struct obm_heap *one = heap_new(""), *two = heap_new("");
    char *of_one = obm_malloc(one, LARGE);
    obm_malloc(two, LARGE);
    EXPECT(!obm_belongs_to_other_heap(two, of_one + one->geometry.arena_size));
    EXPECT(!obm_free(two, of_one + one->geometry.arena_size));
    obm_heap_close(one, false);
    free(one);
    heap_end(two);
}

/* The heaps after that find their arenas through the map. */
TEST(a_process_has_a_number_of_windows_and_no_more)
{
    enum { HEAPS = OBM_MAX_WINDOWS + 16 };
    static struct obm_heap heaps[HEAPS + 1];
    const struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    for (unsigned i = 0; i <= HEAPS; i++) {
        REQUIRE(obm_heap_init(&heaps[i], fake_os_system(), &settings));
        obm_window_address(&heaps[i], 1);
    }
    EXPECT_EQUAL(heaps[HEAPS].window, -1);
    void *block = obm_malloc(&heaps[HEAPS], LARGE);
    EXPECT(!arena_object_of(&heaps[HEAPS], block)->in_window);
    EXPECT_VALID(&heaps[HEAPS]);
    for (unsigned i = 0; i <= HEAPS; i++) {
        obm_heap_close(&heaps[i], false);
    }
    EXPECT_EQUAL(fake.mapped_bytes, 0);
    EXPECT_DIFFERENT(obm_window_address(&heaps[HEAPS], 1), 0);
    obm_heap_close(&heaps[HEAPS], false);
}

TEST(a_window_given_up_is_taken_again)
{
    struct obm_heap *one = heap_new("");
    obm_malloc(one, LARGE);
    int window = one->window;
    heap_end(one);
    struct obm_heap *two = heap_new("");
    obm_malloc(two, LARGE);
    EXPECT_EQUAL(two->window, window);
    heap_end(two);
}

TEST(an_abandoned_window_is_known_for_ever)
{
    struct obm_heap *one = heap_new(""), *two = heap_new("");
    char *block = obm_malloc(one, LARGE);
    memset(block, 1, LARGE);
    obm_heap_close(one, true);
    free(one);
    EXPECT(obm_malloc(two, LARGE) != NULL);
    EXPECT(obm_belongs_to_other_heap(two, block));
    EXPECT_EQUAL(block[LARGE - 1], 1);
    EXPECT_SAME(obm_find_pool(two, block), NULL);
    obm_heap_close(two, false);
    free(two);
}

/* Pages of the window, without touching them: by the books only. */
TEST(descriptors_are_mapped_step_by_step)
{
    struct obm_heap *heap = heap_new("");
    EXPECT(obm_malloc(heap, LARGE) != NULL);
    size_t step = (size_t)OBM_WINDOW_STEP_ARENAS << heap->geometry.arena_shift;
    size_t bytes = (step >> obm_page_shift(heap)) * sizeof(struct obm_pool);
    EXPECT_EQUAL(heap->window_mapped, step);
    size_t mapped = fake.mapped_bytes;
    EXPECT_EQUAL(obm_window_address(heap, OBM_WINDOW_STEP_ARENAS - 1),
                 heap->window_base + step - heap->geometry.arena_size);
    EXPECT_EQUAL(fake.mapped_bytes, mapped);
    EXPECT_EQUAL(obm_window_address(heap, OBM_WINDOW_STEP_ARENAS), heap->window_base + step);
    EXPECT_EQUAL(fake.mapped_bytes, mapped + bytes);
    EXPECT_EQUAL(heap->window_mapped, 2 * step);
    EXPECT_EQUAL(heap->front->window_limit, 2 * step);
    heap_end(heap);
}

TEST(a_window_that_cannot_grow_has_no_place_and_keeps_what_it_has)
{
    struct obm_heap *heap = heap_new("");
    void *block = obm_malloc(heap, LARGE);
    fake.refuse_hints = true;
    EXPECT_EQUAL(obm_window_address(heap, OBM_WINDOW_STEP_ARENAS), 0);
    EXPECT_DIFFERENT(obm_window_address(heap, 1), 0);
    expect_lookup(heap, arena_of(heap, block));
    heap_end(heap);
}

/* Arenas of a foreign allocator use up indexes without extending the window,
   so the next arena of the system may be several steps further on. */
TEST(the_window_extends_over_several_steps_at_once)
{
    struct foreign_allocator foreign;
    foreign_allocator_init(&foreign);
    struct obm_heap *heap = heap_new("retain=all");
    heap->arena_allocator = foreign_allocator_in_force;
    foreign_in_force = &foreign.functions;
    size_t arenas = 2 * OBM_WINDOW_STEP_ARENAS + 10;
    struct pages pages = pages_take(heap, arenas * heap->geometry.arena_pages, LARGE);
    foreign_in_force = NULL;
    struct pages more = pages_take(heap, 2u * heap->geometry.arena_pages, LARGE);
    EXPECT_VALID(heap);
    pages_give(heap, &more);
    pages_give(heap, &pages);
    heap_end(heap);
}

/* The descriptors lie at the end of the window, and no arena may reach them. */
TEST(a_window_ends_before_its_descriptors)
{
    struct obm_heap *heap = heap_new("");
    EXPECT(obm_malloc(heap, LARGE) != NULL);
    uintptr_t last = 0;
    for (obm_arena_index index = OBM_WINDOW_STEP_ARENAS;; index += OBM_WINDOW_STEP_ARENAS) {
        uintptr_t place = obm_window_address(heap, index);
        if (place == 0) {
            break;
        }
        last = place + heap->geometry.arena_size * OBM_WINDOW_STEP_ARENAS;
    }
    EXPECT_AT_LEAST(last, heap->window_base + ((uintptr_t)1 << (OBM_WINDOW_SHIFT - 1)));
    EXPECT_AT_MOST(last, (uintptr_t)heap->window_pools);
    heap_end(heap);
}

#endif

TEST(forgotten_descriptors_read_as_absent_even_where_purging_is_refused)
{
    struct obm_heap *heap = heap_new("");
    fake.refuse_purges = true;
    char *block = obm_malloc(heap, LARGE);
    size_t size = heap->geometry.arena_size;
    EXPECT(obm_free(heap, block));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT_SAME(obm_find_pool(heap, block), NULL);
    EXPECT_SAME(obm_find_pool(heap, block + size / 2), NULL);
    heap_end(heap);
}

/* The map, with arenas that are only said to exist --------------------------------- */

#define IMAGINARY 500u          /* arenas */
#define STEPS 20000u

/* An imaginary arena in a place of its own, aligned to a page only. */
static struct obm_arena_object
imaginary(const struct obm_heap *heap, uintptr_t place, bool misaligned)
{
    struct obm_arena_object arena;
    memset(&arena, 0, sizeof(arena));
    size_t page = heap->geometry.page_size;
    arena.first_page = (place + 1) * 2 * heap->geometry.arena_size + (misaligned ? page : 0);
    arena.address = arena.first_page;
    arena.page_count = (uint16_t)(heap->geometry.arena_pages - misaligned);
    arena.pools = calloc(heap->geometry.arena_pages, sizeof(struct obm_pool));
    REQUIRE(arena.pools != NULL);
    return arena;
}

static void
expect_in_map(const struct obm_heap *heap, const struct obm_arena_object *arena, bool inside)
{
    size_t page = heap->geometry.page_size;
    unsigned last = arena->page_count - 1u;
    EXPECT_SAME(obm_find_pool(heap, (void *)arena->first_page), inside ? arena->pools : NULL);
    EXPECT_SAME(obm_find_pool(heap, (void *)(arena->first_page + last * page)),
                inside ? &arena->pools[last] : NULL);
    EXPECT_SAME(obm_find_pool(heap, (void *)(arena->first_page - 1)), NULL);
    EXPECT_SAME(obm_find_pool(heap, (void *)(arena->first_page + (last + 1) * page)), NULL);
}

/* Half of them misaligned.  32 bits have room for fewer. */
static unsigned
imagine(const struct obm_heap *heap, struct obm_arena_object arenas[IMAGINARY])
{
    unsigned count = 0;
    while (count < IMAGINARY
           && count < UINTPTR_MAX / (2 * heap->geometry.arena_size) - 2) {
        arenas[count] = imaginary(heap, count, count % 2 != 0);
        count++;
    }
    return count;
}

static void
free_imaginary(struct obm_arena_object *arenas, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        free(arenas[i].pools);
    }
}

TEST(many_arenas_in_the_map)
{
    static struct obm_arena_object arenas[IMAGINARY];
    struct obm_heap *heap = heap_new("");
    unsigned count = imagine(heap, arenas);
    for (unsigned i = 0; i < count; i++) {
        REQUIRE(obm_map_insert(heap, &arenas[i]));
        EXPECT_AT_MOST(2 * heap->map.count, heap->map.capacity);
    }
    for (unsigned i = 0; i < count; i++) {
        expect_in_map(heap, &arenas[i], true);
    }
    for (unsigned i = 0; i < count; i += 2) {
        obm_map_remove(heap, &arenas[i]);
    }
    for (unsigned i = 0; i < count; i++) {
        expect_in_map(heap, &arenas[i], i % 2 != 0);
    }
    free_imaginary(arenas, count);
    obm_map_close(heap);
    heap_end(heap);
}

/* Insert and remove in a random order, in a table kept as full as it gets, so
   that chains collide, wrap around its end, and are moved up. */
TEST(insertion_and_removal_in_any_order_lose_nothing)
{
    enum { FEW = 24 };
    static struct obm_arena_object arenas[IMAGINARY];
    static bool inside[IMAGINARY];
    struct obm_heap *heap = heap_new("");
    unsigned count = imagine(heap, arenas);
    uint32_t random = 1;
    unsigned present = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        random = random * 1664525u + 1013904223u;
        unsigned i = (random >> 8) % count;
        if (inside[i]) {
            obm_map_remove(heap, &arenas[i]);
            present--;
        }
        else if (present < FEW && obm_map_insert(heap, &arenas[i])) {
            present++;
        }
        else {
            continue;
        }
        inside[i] = !inside[i];
        for (unsigned j = 0; j < count; j += step % 16 == 0 ? 1 : FEW) {
            REQUIRE((obm_find_pool(heap, (void *)arenas[j].first_page) != NULL) == inside[j]);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        expect_in_map(heap, &arenas[i], inside[i]);
    }
    free_imaginary(arenas, count);
    obm_map_close(heap);
    heap_end(heap);
}

TEST(an_arena_that_touches_two_slots_is_found_in_both)
{
    struct obm_heap *heap = heap_new("");
    struct obm_arena_object arena = imaginary(heap, 7, false);
    arena.first_page += heap->geometry.arena_size / 2;
    REQUIRE(obm_map_insert(heap, &arena));
    EXPECT_EQUAL(heap->map.count, 2);
    expect_in_map(heap, &arena, true);
    obm_map_remove(heap, &arena);
    EXPECT_EQUAL(heap->map.count, 0);
    expect_in_map(heap, &arena, false);
    free(arena.pools);
    obm_map_close(heap);
    heap_end(heap);
}

/* Two misaligned arenas end and begin in the same slot. */
TEST(two_arenas_share_a_slot)
{
    struct obm_heap *heap = heap_new("");
    struct obm_arena_object first = imaginary(heap, 7, false), second = imaginary(heap, 7, false);
    size_t page = heap->geometry.page_size;
    first.first_page += page;
    first.page_count--;
    second.first_page = first.first_page + heap->geometry.arena_size;
    second.page_count--;
    first.page_count--;
    REQUIRE(obm_map_insert(heap, &first));
    REQUIRE(obm_map_insert(heap, &second));
    expect_in_map(heap, &first, true);
    expect_in_map(heap, &second, true);
    obm_map_remove(heap, &first);
    expect_in_map(heap, &first, false);
    expect_in_map(heap, &second, true);
    free(first.pools);
    free(second.pools);
    obm_map_close(heap);
    heap_end(heap);
}

TEST(a_map_without_memory_refuses_and_changes_nothing)
{
    static struct obm_arena_object arenas[IMAGINARY];
    struct obm_heap *heap = heap_new("");
    unsigned count = imagine(heap, arenas), inside = 0;
    fake.fail_map = 1;
    EXPECT(!obm_map_insert(heap, &arenas[0]));
    EXPECT_EQUAL(heap->map.capacity, 0);
    fake.fail_map = fake.map_calls + 2;
    fake.fail_all_later = true;
    while (inside < count && obm_map_insert(heap, &arenas[inside])) {
        inside++;
    }
    REQUIRE(inside < count);
    for (unsigned i = 0; i < count; i++) {
        expect_in_map(heap, &arenas[i], i < inside);
    }
    fake.fail_map = 0;
    EXPECT(obm_map_insert(heap, &arenas[inside]));
    expect_in_map(heap, &arenas[inside], true);
    free_imaginary(arenas, count);
    obm_map_close(heap);
    heap_end(heap);
}

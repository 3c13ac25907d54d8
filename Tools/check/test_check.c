/* obmalloc's unit tests: the checks themselves (check.c).

   Each test plants one fault against an equation of types.h into a heap that
   is sound otherwise, and expects it to be found, with both values named. */

#include "heaps.h"

/* A check that follows a circle of links for ever is stopped after this. */
#define CIRCLE_SECONDS 2

/* The scene ------------------------------------------------------------------------ */

/* A heap in which everything occurs: two arenas and a released one; runs that
   are full, that have room, that are free; pages that are full, partly used,
   current, dirty and purged. */
struct scene {
    struct obm_heap *heap;
    struct pages pages;             /* two arenas */
    struct obm_arena_object *arena; /* the first of them */
    struct obm_pool *full;
    struct obm_pool *partial[3];    /* of LARGE blocks, neighbours in one run */
    struct obm_run *partial_run;    /* theirs */
    struct obm_pool *free;          /* dirty */
    struct obm_run *run;            /* has free pages: dirty ones and purged ones */
    struct obm_run *free_run;
};

static void
scene_free_pages(struct scene *scene)
{
    struct obm_heap *heap = scene->heap;
    size_t run = heap->geometry.run_pages;
    scene->free = obm_find_pool(heap, page_block(&scene->pages, 2));
    pages_give_range(heap, &scene->pages, 5 * run, 6 * run);
    EXPECT(obm_malloc(heap, 2 * SMALL) != NULL);
    pages_give_range(heap, &scene->pages, 4, 6);
    obm_arena_purge(heap, 1, SIZE_MAX);
    pages_give_range(heap, &scene->pages, 1, 4);
    pages_give_range(heap, &scene->pages, run, 2 * run);
    pages_give_range(heap, &scene->pages, 2 * run, 2 * run + 2);
    pages_give_range(heap, &scene->pages, 4 * run, 4 * run + 2);
}

static struct scene
scene_new(void)
{
    struct scene scene;
    struct obm_heap *heap = scene.heap = heap_new("retain=all");
    scene.pages = pages_take(heap, 2 * heap->geometry.arena_pages, LARGE);
    struct pages gone = pages_take(heap, heap->geometry.arena_pages, LARGE);
    scene.arena = &heap->arenas[1];
    scene.full = obm_find_pool(heap, page_block(&scene.pages, 0));
    /* The lowest one will become current when its predecessor empties. */
    for (size_t nth = 0; nth < 4; nth++) {
        size_t page = 3u * heap->geometry.run_pages + nth;
        if (nth > 0) {
            scene.partial[nth - 1] = obm_find_pool(heap, page_block(&scene.pages, page));
        }
        page_give_but(heap, &scene.pages, page, 2 + nth);
    }
    scene_free_pages(&scene);
    scene.run = &scene.arena->runs[0];
    scene.free_run = &scene.arena->runs[1];
    scene.partial_run = &scene.arena->runs[3];
    pages_give(heap, &gone);
    obm_pools_retire(heap);
    obm_arena_release(heap, 3);
    EXPECT_VALID(heap);
    EXPECT_EQUAL(heap->unused_arenas, 3);
    EXPECT_EQUAL(scene.full->state, OBM_POOL_FULL);
    EXPECT_EQUAL(scene.partial[0]->state, OBM_POOL_PARTIAL);
    EXPECT_EQUAL(obm_count_bits(scene.partial_run->partial), 3);
    EXPECT_EQUAL(scene.free->state, OBM_POOL_FREE);
    EXPECT_EQUAL(scene.free_run->size_class, OBM_NO_CLASS);
    EXPECT_DIFFERENT(scene.run->purged, 0);
    EXPECT_DIFFERENT(scene.run->dirty, 0);
    return scene;
}

static unsigned
capacity_of(const struct scene *scene, const struct obm_pool *pool)
{
    return obm_pool_capacity(scene->heap, pool);
}

/* The fault must be found at this level and at each one above it, and the
   message must name both values, given as text. */
static void
expect_found(const struct scene *scene, int level, const char *one, const char *other)
{
    for (; level <= 3; level++) {
        char message[OBM_CHECK_MESSAGE_SIZE] = "nothing was found";
        EXPECT(!obm_check_heap(scene->heap, level, message));
        EXPECT_CONTAINS(message, one);
        EXPECT_CONTAINS(message, other);
    }
}

/* "label number", as it stands in a message. */
static const char *
says(const char *label, uintmax_t number)
{
    enum { TEXTS = 4, TEXT_SIZE = 64 };
    static char texts[TEXTS][TEXT_SIZE];
    static unsigned next;
    char *text = texts[next++ % TEXTS];
    snprintf(text, TEXT_SIZE, "%s%ju", label, number);
    return text;
}

TEST(a_sound_heap_has_no_fault_at_any_level)
{
    struct scene scene = scene_new();
    char message[OBM_CHECK_MESSAGE_SIZE];
    for (int level = 0; level <= 3; level++) {
        EXPECT(obm_check_heap(scene.heap, level, message));
    }
    heap_end(scene.heap);
}

/* Pools ---------------------------------------------------------------------------- */

TEST(more_live_blocks_than_were_carved)
{
    struct scene scene = scene_new();
    scene.partial[0]->countdown = (int16_t)capacity_of(&scene, scene.partial[0]);
    expect_found(&scene, 2, says("live ", capacity_of(&scene, scene.partial[0]) + 1u),
                 says("carved ", scene.partial[0]->carved));
}

TEST(more_carved_than_fit)
{
    struct scene scene = scene_new();
    scene.partial[0]->carved++;
    expect_found(&scene, 2, says("carved ", scene.partial[0]->carved),
                 says("capacity ", capacity_of(&scene, scene.partial[0])));
}

TEST(a_full_page_with_a_free_list)
{
    struct scene scene = scene_new();
    scene.full->free = obm_link_to(page_block(&scene.pages, 0));
    expect_found(&scene, 2, "full page", "free list at 0");
}

TEST(a_full_page_that_was_not_carved_to_its_end)
{
    struct scene scene = scene_new();
    scene.full->carved--;
    expect_found(&scene, 2, "", says("", scene.full->carved));
}

/* More blocks than it has would be live, or fewer than may be while it is full. */
TEST(a_full_page_with_a_wrong_countdown)
{
    struct scene scene = scene_new();
    int16_t threshold = scene.full->countdown;
    EXPECT_EQUAL(threshold, obm_refill_threshold(scene.heap, scene.full));
    scene.full->countdown = (int16_t)(threshold + 1);
    expect_found(&scene, 2, says("live ", capacity_of(&scene, scene.full) + 1u),
                 says("capacity ", capacity_of(&scene, scene.full)));
    scene.full->countdown = -1;
    expect_found(&scene, 2, "full page", says("countdown -1 of ", (uintmax_t)threshold));
}

TEST(a_partly_used_page_without_a_live_block)
{
    struct scene scene = scene_new();
    scene.partial[1]->countdown = -1;
    expect_found(&scene, 2, "partly used page", "0 live blocks");
}

TEST(a_partly_used_page_without_a_free_block)
{
    struct scene scene = scene_new();
    scene.partial[1]->countdown = (int16_t)(capacity_of(&scene, scene.partial[1]) - 1);
    expect_found(&scene, 2, "partly used page",
                 says("live blocks of ", capacity_of(&scene, scene.partial[1])));
}

/* The link in the first block of a free list. */
static obm_link *
first_free(const struct scene *scene)
{
    return obm_first_free(scene->heap, scene->partial[0]);
}

TEST(a_free_list_that_is_too_short)
{
    struct scene scene = scene_new();
    unsigned length = scene.partial[0]->carved - obm_pool_live(scene.heap, scene.partial[0]);
    scene.partial[0]->free = *first_free(&scene);
    expect_found(&scene, 3, says("expected ", length), says("has ", length - 1));
}

TEST(a_free_list_that_is_too_long)
{
    struct scene scene = scene_new();
    unsigned length = scene.partial[0]->carved - obm_pool_live(scene.heap, scene.partial[0]);
    scene.partial[0]->countdown++;
    expect_found(&scene, 3, says("expected ", length - 1), says("at least ", length));
}

TEST(a_free_list_that_goes_in_a_circle)
{
    struct scene scene = scene_new();
    *first_free(&scene) = scene.partial[0]->free;
    expect_found(&scene, 3, "free list", "at least");
}

TEST(a_free_list_that_leaves_the_page)
{
    struct scene scene = scene_new();
    if (scene.heap->geometry.page_shift == 16) {
        return;         /* no link leaves such a page */
    }
    *first_free(&scene) = (obm_link)(scene.partial[0]->free ^ scene.heap->geometry.page_size);
    expect_found(&scene, 3, "outside the page", "leads to 0");
}

TEST(a_free_list_that_leads_into_a_block)
{
    struct scene scene = scene_new();
    *first_free(&scene) = (obm_link)(scene.partial[0]->free + OBM_ALIGNMENT);
    expect_found(&scene, 3, "leads to 0", says("where no block of ", LARGE));
}

TEST(a_free_list_that_ends_in_the_middle_of_a_block)
{
    struct scene scene = scene_new();
    *first_free(&scene) = (obm_link)(scene.partial[0]->free + 3);
    expect_found(&scene, 3, "leads to 0", says("where no block of ", LARGE));
}

TEST(a_free_page_with_a_free_list)
{
    struct scene scene = scene_new();
    scene.free->free = obm_link_to(page_block(&scene.pages, 0));
    expect_found(&scene, 2, "free page", "free list at 0");
}

TEST(a_free_page_with_a_countdown)
{
    struct scene scene = scene_new();
    scene.free->countdown = 7;
    expect_found(&scene, 2, "free page", "countdown 7");
}

TEST(a_page_in_a_state_that_there_is_not)
{
    struct scene scene = scene_new();
    scene.full->state = 9;
    expect_found(&scene, 2, "state 9", "");
}

TEST(an_absent_page_in_an_arena)
{
    struct scene scene = scene_new();
    scene.full->state = OBM_POOL_ABSENT;
    expect_found(&scene, 2, "state 0", "");
}

TEST(a_used_page_that_its_run_has_as_free)
{
    struct scene scene = scene_new();
    scene.full->state = OBM_POOL_FREE;
    expect_found(&scene, 2, says("state ", OBM_POOL_FREE), "free bit 0");
}

TEST(a_free_page_that_its_run_has_as_used)
{
    struct scene scene = scene_new();
    scene.free->state = OBM_POOL_FULL;
    expect_found(&scene, 2, says("state ", OBM_POOL_FULL), "free bit 1");
}

TEST(a_page_of_another_class_than_its_run)
{
    struct scene scene = scene_new();
    scene.full->size_class = 3;
    expect_found(&scene, 2, says("run 10 of class ", LARGE_CLASS), "class 3");
}

TEST(an_arena_with_the_descriptors_of_other_pages)
{
    struct scene scene = scene_new();
    scene.arena->pools++;
    expect_found(&scene, 2, "descriptor of page 0 of arena 1", "lies at that of page 1");
}

TEST(a_second_current_page_of_a_class)
{
    struct scene scene = scene_new();
    scene.full->state = OBM_POOL_CURRENT;
    expect_found(&scene, 3, "expected", "");
}

/* The check of a single pool must not itself read past a table. */
TEST(a_page_of_a_class_that_there_is_not)
{
    struct scene scene = scene_new();
    char message[OBM_CHECK_MESSAGE_SIZE] = "nothing was found";
    scene.full->size_class = OBM_NO_CLASS - 1;
    EXPECT(!obm_check_pool(scene.heap, scene.full, 1, message));
    EXPECT_CONTAINS(message, says("class ", OBM_NO_CLASS - 1));
}

/* Lists of partly used pages ------------------------------------------------------- */

TEST(a_partly_used_page_without_its_bit)
{
    struct scene scene = scene_new();
    scene.partial_run->partial &= scene.partial_run->partial - 1;
    expect_found(&scene, 2, says("state ", OBM_POOL_PARTIAL), "partial bit 0");
}

TEST(a_bit_of_a_page_that_is_not_partly_used)
{
    struct scene scene = scene_new();
    scene.partial_run->partial |= UINT64_C(1) << 6;
    expect_found(&scene, 2, says("state ", OBM_POOL_FULL), "partial bit 1");
}

TEST(a_run_missing_from_the_list_of_partly_used_ones)
{
    struct scene scene = scene_new();
    scene.heap->partial[LARGE_CLASS] = scene.partial_run->partial_next;
    expect_found(&scene, 2, "", "");
}

TEST(a_partial_list_that_is_empty)
{
    struct scene scene = scene_new();
    scene.heap->partial[LARGE_CLASS] = 0;
    expect_found(&scene, 2, "0 runs in the partial list", "1 have a partly used page");
}

TEST(a_partial_list_whose_neighbour_does_not_know_it)
{
    struct scene scene = scene_new();
    scene.partial_run->partial_prev = 0x17;
    expect_found(&scene, 2, "", "");
}

TEST(a_partial_list_that_goes_in_a_circle)
{
    struct scene scene = scene_new();
    harness_limit_time(CIRCLE_SECONDS);
    scene.partial_run->partial_next = scene.heap->partial[LARGE_CLASS];
    expect_found(&scene, 2, "", "");
}

TEST(a_run_without_a_partly_used_page_in_the_list)
{
    struct scene scene = scene_new();
    scene.partial_run->partial_next = 0x10;
    expect_found(&scene, 2, "run 10 in the partial list", "partial 0");
}

TEST(a_run_in_the_partial_list_of_another_class)
{
    struct scene scene = scene_new();
    scene.heap->partial[3] = scene.heap->partial[LARGE_CLASS];
    scene.heap->partial[LARGE_CLASS] = 0;
    expect_found(&scene, 2, "list of class 3", says("class ", LARGE_CLASS));
}

TEST(a_current_page_that_is_not_in_that_state)
{
    struct scene scene = scene_new();
    scene.heap->front->current[LARGE_CLASS] = scene.full;
    expect_found(&scene, 2, "current pool", says("state ", OBM_POOL_FULL));
}

TEST(a_current_page_of_another_class)
{
    struct scene scene = scene_new();
    scene.heap->front->current[5] = scene.heap->front->current[1];
    expect_found(&scene, 2, "current pool of class 5", "class 1");
}

/* Runs ----------------------------------------------------------------------------- */

TEST(a_run_that_miscounts_its_free_pages)
{
    struct scene scene = scene_new();
    scene.run->free_count++;
    scene.arena->free_pages++;
    expect_found(&scene, 2, says("free_count ", scene.run->free_count),
                 says("", scene.run->free_count - 1u));
}

TEST(a_dirty_page_that_is_not_free)
{
    struct scene scene = scene_new();
    scene.run->dirty |= 1;
    expect_found(&scene, 1, "", "");
}

TEST(a_purged_page_that_is_not_free)
{
    struct scene scene = scene_new();
    scene.run->purged |= 1;
    expect_found(&scene, 2, "run 10", "purged");
}

TEST(a_page_both_dirty_and_purged)
{
    struct scene scene = scene_new();
    scene.run->purged |= scene.run->dirty;
    expect_found(&scene, 2, "dirty", "purged");
}

TEST(a_free_run_with_a_class)
{
    struct scene scene = scene_new();
    scene.free_run->size_class = 3;
    expect_found(&scene, 2, "class 3", "free_runs 1");
}

TEST(a_lent_run_without_a_class)
{
    struct scene scene = scene_new();
    scene.run->size_class = OBM_NO_CLASS;
    expect_found(&scene, 2, says("class ", OBM_NO_CLASS), "free_runs 0");
}

TEST(a_run_missing_from_the_buckets)
{
    struct scene scene = scene_new();
    struct obm_run_buckets *buckets = &scene.heap->runs[LARGE_CLASS];
    unsigned bucket = obm_run_bucket(scene.heap, scene.run->free_count);
    buckets->head[bucket] = 0;
    buckets->nonempty &= ~(UINT64_C(1) << bucket);
    expect_found(&scene, 2, "", "");
}

TEST(a_bucket_of_runs_whose_bit_is_off)
{
    struct scene scene = scene_new();
    unsigned bucket = obm_run_bucket(scene.heap, scene.run->free_count);
    scene.heap->runs[LARGE_CLASS].nonempty &= ~(UINT64_C(1) << bucket);
    expect_found(&scene, 2, "bit 0", says("run bucket ", bucket));
}

TEST(an_empty_bucket_of_runs_whose_bit_is_on)
{
    struct scene scene = scene_new();
    scene.heap->runs[3].nonempty |= 1;
    expect_found(&scene, 2, "bit 1", "head 0");
}

TEST(a_run_in_the_bucket_of_another_number)
{
    struct scene scene = scene_new();
    struct obm_run_buckets *buckets = &scene.heap->runs[LARGE_CLASS];
    unsigned bucket = obm_run_bucket(scene.heap, scene.run->free_count);
    const struct obm_run *run = obm_run_at(scene.heap, buckets->head[bucket]);
    buckets->head[bucket + 1] = buckets->head[bucket];
    buckets->head[bucket] = 0;
    buckets->nonempty ^= UINT64_C(3) << bucket;
    expect_found(&scene, 2, says("bucket ", bucket + 1), says(", ", run->free_count));
}

TEST(a_run_in_the_bucket_of_another_class)
{
    struct scene scene = scene_new();
    scene.heap->runs[3] = scene.heap->runs[LARGE_CLASS];
    memset(&scene.heap->runs[LARGE_CLASS], 0, sizeof(struct obm_run_buckets));
    expect_found(&scene, 2, "of class 3", says("class ", LARGE_CLASS));
}

TEST(a_run_whose_neighbour_does_not_know_it)
{
    struct scene scene = scene_new();
    struct obm_run *first = &scene.arena->runs[2], *second = &scene.arena->runs[4];
    EXPECT_EQUAL(first->free_count, second->free_count);
    first->prev = second->prev = 0;
    expect_found(&scene, 2, "", "");
}

TEST(a_bucket_of_runs_that_goes_in_a_circle)
{
    struct scene scene = scene_new();
    harness_limit_time(CIRCLE_SECONDS);
    const struct obm_run_buckets *buckets = &scene.heap->runs[LARGE_CLASS];
    scene.run->next = buckets->head[obm_run_bucket(scene.heap, scene.run->free_count)];
    expect_found(&scene, 2, "", "");
}

/* Arenas --------------------------------------------------------------------------- */

TEST(an_arena_that_miscounts_its_free_pages)
{
    struct scene scene = scene_new();
    scene.arena->free_pages++;
    expect_found(&scene, 1, says("counts ", scene.arena->free_pages),
                 says("", scene.arena->free_pages - 1u));
}

TEST(an_arena_that_miscounts_its_dirty_pages)
{
    struct scene scene = scene_new();
    scene.arena->dirty_pages++;
    scene.heap->retention.dirty++;
    expect_found(&scene, 1, says("and ", scene.arena->dirty_pages),
                 says("", scene.arena->dirty_pages - 1u));
}

TEST(an_arena_that_counts_on_more_than_can_go)
{
    struct scene scene = scene_new();
    scene.arena->purgeable = false;
    expect_found(&scene, 1, says("arena 1: ", scene.arena->counted_dirty), "none can go");
}

TEST(an_arena_that_does_not_count_on_what_can_go)
{
    struct scene scene = scene_new();
    scene.arena->counted_dirty--;
    expect_found(&scene, 1, says("arena 1: ", scene.arena->counted_dirty),
                 says("of its ", scene.arena->dirty_pages));
}

TEST(a_huge_arena_that_cannot_be_purged)
{
    struct scene scene = scene_new();
    scene.arena->huge = true;
    scene.arena->purgeable = false;
    scene.heap->retention.dirty -= scene.arena->counted_dirty;
    scene.arena->counted_dirty = 0;
    expect_found(&scene, 1, "arena 1: huge 1", "purgeable 0");
}

TEST(a_free_run_that_its_arena_does_not_know)
{
    struct scene scene = scene_new();
    scene.arena->free_runs &= ~UINT32_C(2);
    expect_found(&scene, 2, says("class ", OBM_NO_CLASS), "free_runs 0");
}

TEST(a_lent_run_that_its_arena_has_as_free)
{
    struct scene scene = scene_new();
    scene.arena->free_runs |= 1;
    expect_found(&scene, 2, says("class ", LARGE_CLASS), "free_runs 1");
}

TEST(an_arena_missing_from_the_buckets)
{
    struct scene scene = scene_new();
    scene.heap->usable.head[obm_arena_bucket(scene.heap, scene.arena->free_pages)] = 0;
    scene.heap->usable.nonempty = 0;
    expect_found(&scene, 2, "0 arenas", "1 have a free run");
}

TEST(a_bucket_of_arenas_whose_bit_is_off)
{
    struct scene scene = scene_new();
    scene.heap->usable.nonempty = 0;
    unsigned bucket = obm_arena_bucket(scene.heap, scene.arena->free_pages);
    expect_found(&scene, 2, says("arena bucket ", bucket),
                 "bit 0");
}

TEST(an_empty_bucket_of_arenas_whose_bit_is_on)
{
    struct scene scene = scene_new();
    scene.heap->usable.nonempty |= 2;
    expect_found(&scene, 2, "arena bucket 1", "bit 1, head 0");
}

TEST(an_arena_in_the_wrong_bucket)
{
    struct scene scene = scene_new();
    struct obm_arena_buckets *usable = &scene.heap->usable;
    usable->head[obm_arena_bucket(scene.heap, scene.arena->free_pages)] = 0;
    usable->head[1] = 1;
    usable->nonempty = 2;
    expect_found(&scene, 2, "bucket 1", says("free_pages ", scene.arena->free_pages));
}

TEST(an_arena_whose_neighbour_does_not_know_it)
{
    struct scene scene = scene_new();
    scene.arena->prev = 2;
    expect_found(&scene, 2, "prev 2", "expected 0");
}

TEST(a_dirty_arena_missing_from_the_queue)
{
    struct scene scene = scene_new();
    scene.heap->dirty_queue.head = 0;
    scene.heap->dirty_queue.tail = 0;
    expect_found(&scene, 2, "queued arenas have 0", says("", scene.heap->retention.dirty));
}

TEST(an_arena_queued_without_a_dirty_page)
{
    struct scene scene = scene_new();
    scene.arena->dirty_next = 2;
    expect_found(&scene, 2, "arena 2", "queue");
}

TEST(a_queue_whose_end_is_lost)
{
    struct scene scene = scene_new();
    scene.heap->dirty_queue.tail = 0;
    expect_found(&scene, 2, "", "");
}

TEST(a_queue_whose_neighbour_does_not_know_it)
{
    struct scene scene = scene_new();
    scene.arena->dirty_prev = 2;
    expect_found(&scene, 2, "", "");
}

TEST(a_queue_that_goes_in_a_circle)
{
    struct scene scene = scene_new();
    harness_limit_time(CIRCLE_SECONDS);
    scene.arena->dirty_next = 1;
    expect_found(&scene, 2, "", "");
}

TEST(a_released_arena_missing_from_the_unused_ones)
{
    struct scene scene = scene_new();
    scene.heap->unused_arenas = 0;
    expect_found(&scene, 2, "", "");
}

TEST(an_arena_in_use_among_the_unused_ones)
{
    struct scene scene = scene_new();
    scene.heap->arenas[3].next = 1;
    expect_found(&scene, 2, "", "");
}

TEST(unused_arenas_that_go_in_a_circle)
{
    struct scene scene = scene_new();
    harness_limit_time(CIRCLE_SECONDS);
    scene.heap->arenas[3].next = 3;
    expect_found(&scene, 2, "2 unused arenas are listed", "expected 1");
}

/* Outside the window, the number of the arena stands behind its descriptors. */
TEST(descriptors_that_name_another_arena)
{
    struct scene scene = {.heap = heap_new("")};
    fake.refuse_hints = true;
    void *block = obm_malloc(scene.heap, LARGE);
    struct obm_arena_object *arena = arena_object_of(scene.heap, block);
    obm_outside_of(scene.heap, arena->pools)->arena = 0;
    expect_found(&scene, 2, "descriptor of page 0 of arena 1", "");
}

/* The heap ------------------------------------------------------------------------- */

TEST(a_heap_that_miscounts_its_arenas)
{
    struct scene scene = scene_new();
    scene.heap->arena_count++;
    expect_found(&scene, 1, "2 arenas", "counted 3");
}

TEST(a_heap_that_miscounts_its_dirty_pages)
{
    struct scene scene = scene_new();
    scene.heap->retention.dirty++;
    expect_found(&scene, 1, says("with ", scene.heap->retention.dirty),
                 says("with ", scene.heap->retention.dirty - 1));
}

TEST(a_heap_that_miscounts_its_resident_pages)
{
    struct scene scene = scene_new();
    scene.heap->resident_pages++;
    expect_found(&scene, 1, says("counted ", scene.heap->resident_pages),
                 says("", scene.heap->resident_pages - 1));
}

TEST(a_low_water_mark_above_the_dirty_pages)
{
    struct scene scene = scene_new();
    scene.heap->retention.low_water = scene.heap->retention.dirty + 1;
    expect_found(&scene, 1, says("", scene.heap->retention.dirty),
                 says("", scene.heap->retention.low_water));
}

TEST(an_allowance_below_the_base)
{
    struct scene scene = scene_new();
    scene.heap->settings.retain = OBM_RETAIN_AUTO;
    scene.heap->retention.base = 1000;
    scene.heap->retention.allowance = 999;
    expect_found(&scene, 1, "1000", "999");
}

TEST(a_map_that_miscounts_its_entries)
{
    fake.refuse_hints = true;
    struct scene scene = scene_new();
    scene.heap->map.count++;
    expect_found(&scene, 2, says("has ", scene.heap->map.count - 1),
                 says("counts ", scene.heap->map.count));
}

TEST(a_map_that_is_more_than_half_full)
{
    struct scene scene = scene_new();
    scene.heap->map.count = scene.heap->map.capacity / 2 + 1;
    expect_found(&scene, 2, says("counts ", scene.heap->map.count),
                 says("in ", scene.heap->map.capacity));
}

TEST(a_map_whose_capacity_is_no_power_of_two)
{
    fake.refuse_hints = true;
    struct scene scene = scene_new();
    scene.heap->map.capacity--;
    expect_found(&scene, 2, says("counts ", scene.heap->map.count),
                 says("in ", scene.heap->map.capacity));
}

/* Blocks --------------------------------------------------------------------------- */

static void
expect_bad_block(const struct obm_heap *heap, const void *block, int level, const char *text)
{
    char message[OBM_CHECK_MESSAGE_SIZE] = "nothing was found";
    const struct obm_pool *pool = obm_find_pool(heap, block);
    REQUIRE(pool != NULL);
    EXPECT(!obm_check_block(heap, pool, block, level, message));
    EXPECT_CONTAINS(message, text);
}

TEST(a_live_block_is_live_at_every_level)
{
    struct obm_heap *heap = heap_new("");
    char message[OBM_CHECK_MESSAGE_SIZE];
    char *block = obm_malloc(heap, SMALL);
    for (int level = 0; level <= 3; level++) {
        EXPECT(obm_check_block(heap, obm_find_pool(heap, block), block, level, message));
    }
    heap_end(heap);
}

/* Only level 3 counts the free list; below it a circle must not be followed for
   ever either. */
TEST(a_live_block_beside_a_free_list_that_goes_in_a_circle)
{
    struct obm_heap *heap = heap_new("");
    char message[OBM_CHECK_MESSAGE_SIZE];
    void *live = obm_calloc(heap, LARGE);
    void *block = obm_calloc(heap, LARGE);
    EXPECT(obm_free(heap, block));
    *(obm_link *)block = obm_link_to(block);
    harness_limit_time(CIRCLE_SECONDS);
    EXPECT(obm_check_block(heap, obm_find_pool(heap, live), live, 2, message));
    obm_heap_close(heap, false);
    free(heap);
}

TEST(what_is_not_a_live_block_is_told_apart)
{
    struct obm_heap *heap = heap_new("");
    char *kept = obm_calloc(heap, LARGE);
    char *block = obm_calloc(heap, LARGE);
    EXPECT(obm_free(heap, block));
    expect_bad_block(heap, kept + 1, 1, "not the start of a block");
    expect_bad_block(heap, kept + OBM_ALIGNMENT, 1, "not the start of a block");
    expect_bad_block(heap, block + LARGE, 1, "handed out only 2");
    expect_bad_block(heap, block, 2, "free already");
    expect_bad_block(heap, kept + heap->geometry.page_size, 1, "no block of which is in use");
    heap_end(heap);
}

/* A page has room at its end for less than a block: no block starts there. */
TEST(the_tail_of_a_page_is_no_block)
{
    struct obm_heap *heap = heap_new("");
    size_t size = 3 * OBM_ALIGNMENT;
    struct pages pages = pages_take(heap, 1, size);
    char *tail = page_address(heap, &pages, 0) + pages.capacity * size;
    REQUIRE(tail < page_address(heap, &pages, 0) + heap->geometry.page_size);
    expect_bad_block(heap, tail, 1, "handed out only");
    heap_end(heap);
}

/* As the program runs -------------------------------------------------------------- */

static void
do_malloc(void *argument)
{
    EXPECT(obm_malloc(argument, LARGE) != NULL);
}

/* Level 3 looks at the whole heap when an arena comes or goes, so it finds
   what lies far from the call. */
TEST(level_3_checks_the_whole_heap_at_an_arena_event)
{
    struct obm_heap *heap = heap_new("check=3");
    void *far = obm_malloc(heap, SMALL);
    struct pages pages = pages_take(heap, heap->geometry.arena_pages - heap->geometry.run_pages,
                                    LARGE);
    obm_find_pool(heap, far)->carved = UINT16_MAX;
    EXPECT_CONTAINS(fake_os_fatal_message(do_malloc, heap), "capacity");
    free(pages.blocks);
}

TEST(levels_below_3_do_not)
{
    struct obm_heap *heap = heap_new("check=2");
    void *far = obm_malloc(heap, SMALL);
    struct pages pages = pages_take(heap, heap->geometry.arena_pages - heap->geometry.run_pages,
                                    LARGE);
    obm_find_pool(heap, far)->carved = UINT16_MAX;
    EXPECT_SAME(fake_os_fatal_message(do_malloc, heap), NULL);
    free(pages.blocks);
}

/* Medium blocks ---------------------------------------------------------------------- */

/* Three blocks that touch several pages of 4 KiB, of which the middle one was freed, and
   then another one, which is kept. */
struct medium_scene {
    struct scene scene;             /* only its heap */
    struct obm_run *run;
    obm_run_id id;
    struct obm_pool *page;          /* of the first block */
    unsigned class;
};

#define MEDIUM 5000u

static struct medium_scene
medium_scene_new(void)
{
    struct medium_scene medium;
    struct obm_heap *heap = medium.scene.heap = heap_new("");
    char *blocks[4];
    for (size_t i = 0; i < 4; i++) {
        blocks[i] = obm_malloc(heap, MEDIUM);
        REQUIRE(blocks[i] != NULL);
    }
    EXPECT(obm_free(heap, blocks[1]));
    EXPECT(obm_free(heap, blocks[3]));
    medium.page = obm_find_pool(heap, blocks[0]);
    medium.id = obm_pool_run(heap, medium.page);
    medium.run = obm_run_at(heap, medium.id);
    medium.class = obm_medium_class(MEDIUM);
    EXPECT_VALID(heap);
    return medium;
}

TEST(a_page_that_counts_too_many_medium_blocks)
{
    struct medium_scene medium = medium_scene_new();
    int count = -medium.page->countdown;
    medium.page->countdown--;
    expect_found(&medium.scene, 3, says(": ", (uintmax_t)count),
                 says("counts ", (uintmax_t)count + 1));
}

TEST(a_medium_page_that_counts_no_block)
{
    struct medium_scene medium = medium_scene_new();
    medium.page->countdown = 0;
    expect_found(&medium.scene, 2, "of medium blocks", "countdown 0");
}

TEST(a_medium_page_with_a_free_list)
{
    struct medium_scene medium = medium_scene_new();
    medium.page->free = 0x40;
    expect_found(&medium.scene, 2, "of medium blocks", "free list at 0x40");
}

TEST(a_medium_page_in_the_state_of_a_small_one)
{
    struct medium_scene medium = medium_scene_new();
    medium.page->state = OBM_POOL_CURRENT;
    expect_found(&medium.scene, 2, says("class ", medium.class), says("state ", OBM_POOL_CURRENT));
}

TEST(a_run_that_counts_other_free_blocks_than_it_has)
{
    struct medium_scene medium = medium_scene_new();
    unsigned free_blocks = medium.run->free_blocks--;
    expect_found(&medium.scene, 2, says("", free_blocks), says("free_blocks ", free_blocks - 1u));
}

TEST(a_free_block_behind_the_last_of_a_run)
{
    struct medium_scene medium = medium_scene_new();
    unsigned capacity = obm_run_capacity(medium.scene.heap, medium.run);
    REQUIRE(capacity % 64 != 0);
    obm_run_blocks(medium.scene.heap, medium.id)[capacity / 64] |= UINT64_C(1) << capacity % 64;
    medium.run->free_blocks++;
    expect_found(&medium.scene, 2, says("block ", capacity), says("of ", capacity));
}

TEST(a_run_of_a_small_class_with_free_medium_blocks)
{
    struct medium_scene medium = medium_scene_new();
    void *small = obm_malloc(medium.scene.heap, SMALL);
    obm_run_id id = obm_pool_run(medium.scene.heap, obm_find_pool(medium.scene.heap, small));
    obm_run_at(medium.scene.heap, id)->free_blocks = 7;
    expect_found(&medium.scene, 2, says("class ", SMALL_CLASS), "7 free medium blocks");
}

TEST(a_kept_block_that_is_free)
{
    struct medium_scene medium = medium_scene_new();
    medium.scene.heap->medium.kept[medium.class - OBM_SMALL_CLASSES].number = 1;
    expect_found(&medium.scene, 2, says("class ", medium.class), "block 1 of run");
}

TEST(a_kept_block_of_a_class_that_may_have_none)
{
    struct medium_scene medium = medium_scene_new();
    medium.scene.heap->medium.classes = 0;
    expect_found(&medium.scene, 2, says("class ", medium.class), "only 0 medium classes");
}

TEST(a_kept_block_of_another_class)
{
    struct medium_scene medium = medium_scene_new();
    struct obm_kept_block *kept = medium.scene.heap->medium.kept;
    kept[0] = kept[medium.class - OBM_SMALL_CLASSES];
    expect_found(&medium.scene, 2, says("class ", OBM_SMALL_CLASSES), "not both");
}

TEST(a_current_run_of_another_class)
{
    struct medium_scene medium = medium_scene_new();
    medium.scene.heap->medium.current[0] = medium.id;
    expect_found(&medium.scene, 2, says("class ", OBM_SMALL_CLASSES), "not both");
}

TEST(pools_in_force_though_a_thread_is_marked)
{
    struct scene scene = scene_new();
    struct obm_mark mark;
    obm_longlived_enter(scene.heap, &mark);
    scene.heap->front->current[LARGE_CLASS] = scene.full;
    expect_found(&scene, 1, says("class ", LARGE_CLASS), "though a thread is marked");
}

TEST(pools_aside_though_no_thread_is_marked)
{
    struct scene scene = scene_new();
    scene.heap->pools = &scene.heap->longlived.aside;
    expect_found(&scene, 1, "no thread is marked", "aside");
}

TEST(medium_requests_served_at_once_though_a_thread_is_marked)
{
    struct scene scene = scene_new();
    struct obm_mark mark;
    obm_longlived_enter(scene.heap, &mark);
    scene.heap->medium.max = OBM_MEDIUM_MAX;
    expect_found(&scene, 1, says("medium.max is ", OBM_MEDIUM_MAX), "marked");
}

TEST(a_mark_of_no_thread)
{
    struct scene scene = scene_new();
    struct obm_mark mark;
    obm_longlived_enter(scene.heap, &mark);
    mark.thread = 0;
    expect_found(&scene, 1, "thread 0", "marked 1 times");
}

TEST(a_list_of_marks_without_a_state)
{
    struct scene scene = scene_new();
    scene.heap->longlived.state = 0;
    expect_found(&scene, 1, "the list of marks has no state", "");
}

TEST(a_current_pool_of_the_other_kind)
{
    struct scene scene = scene_new();
    struct obm_front *front = &scene.heap->longlived.front;
    front->current[LARGE_CLASS] = scene.heap->front->current[LARGE_CLASS];
    expect_found(&scene, 2, says("class ", obm_long_class(LARGE_CLASS)), says("class ", LARGE_CLASS));
}

TEST(a_run_with_a_free_block_in_no_bucket)
{
    struct medium_scene medium = medium_scene_new();
    memset(&medium.scene.heap->runs[medium.class], 0, sizeof(struct obm_run_buckets));
    expect_found(&medium.scene, 2, says("class ", medium.class), "0 runs in buckets");
}

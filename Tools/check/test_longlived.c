/* obmalloc's unit tests: long-lived blocks (longlived.c). */

#include "heaps.h"

#include <pthread.h>

static unsigned
class_of(const struct obm_heap *heap, const void *block)
{
    return obm_find_pool(heap, block)->size_class;
}

static bool
is_long(const struct obm_heap *heap, const void *block)
{
    return class_of(heap, block) >= OBM_SIZE_CLASSES;
}

static void
leave(struct obm_heap *heap, struct obm_mark *mark)
{
    EXPECT_SAME(obm_longlived_exit(heap, obm_this_thread), mark);
}

TEST(each_class_exists_twice)
{
    struct obm_heap *heap = heap_new("");
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        unsigned other = obm_long_class(c);
        EXPECT_AT_LEAST(other, OBM_SIZE_CLASSES);
        EXPECT_AT_MOST(other, OBM_ALL_CLASSES - 1);
        EXPECT_EQUAL(obm_plain_class(other), c);
        EXPECT_EQUAL(obm_plain_class(c), c);
        EXPECT_EQUAL(obm_class_size(heap, other), obm_class_size(heap, c));
        EXPECT(obm_is_medium_class(other) == obm_is_medium_class(c));
        EXPECT(obm_is_small_class(other) == obm_is_small_class(c));
        EXPECT(obm_is_small_class(c) != obm_is_medium_class(c));
    }
    EXPECT(!obm_is_small_class(OBM_NO_CLASS));
    EXPECT(!obm_is_medium_class(OBM_NO_CLASS));
    heap_end(heap);
}

TEST(blocks_of_a_marked_thread_have_runs_of_their_own)
{
    static const size_t sizes[] = {SMALL, LARGE, OBM_MEDIUM_MIN, OBM_MEDIUM_MAX};
    struct obm_heap *heap = heap_new("");
    struct obm_mark mark;
    for (unsigned i = 0; i < 4; i++) {
        void *before = obm_malloc(heap, sizes[i]);
        EXPECT(obm_longlived_enter(heap, &mark));
        void *inside = obm_malloc(heap, sizes[i]), *zero = obm_calloc(heap, sizes[i]);
        EXPECT_VALID(heap);
        leave(heap, &mark);
        void *after = obm_malloc(heap, sizes[i]);
        EXPECT(!is_long(heap, before) && !is_long(heap, after));
        EXPECT(is_long(heap, inside) && is_long(heap, zero));
        EXPECT_EQUAL(class_of(heap, inside), obm_long_class(class_of(heap, before)));
        EXPECT(obm_pool_run(heap, obm_find_pool(heap, inside))
               != obm_pool_run(heap, obm_find_pool(heap, before)));
        EXPECT_VALID(heap);
        EXPECT(obm_free(heap, inside) && obm_free(heap, after));
        EXPECT(obm_free(heap, before) && obm_free(heap, zero));
    }
    heap_end(heap);
}

/* Nothing of it is left in the way of the others. */
TEST(after_it_the_hot_path_goes_on_where_it_was)
{
    struct obm_heap *heap = heap_new("");
    struct obm_front front;
    struct obm_mark mark;
    size_t medium_max = heap->medium.max;
    obm_heap_use_front(heap, &front);
    char *before = obm_malloc(heap, SMALL);
    EXPECT(obm_longlived_enter(heap, &mark));
    EXPECT_SAME(obm_malloc_fast(&front, SMALL), NULL);
    EXPECT(obm_front_covers(&front, before) == (heap->window >= 0));
    char *inside = obm_malloc(heap, SMALL);
    EXPECT_SAME(obm_malloc_refused(heap, SMALL), inside + SMALL);
    leave(heap, &mark);
    EXPECT_SAME(obm_malloc_fast(&front, SMALL), before + SMALL);
    EXPECT_EQUAL(heap->medium.max, medium_max);
    EXPECT_VALID(heap);
    obm_heap_use_front(heap, NULL);
    heap_end(heap);
}

TEST(marks_count)
{
    struct obm_heap *heap = heap_new("");
    struct obm_mark mark;
    EXPECT_SAME(obm_longlived_exit(heap, obm_this_thread), NULL);
    EXPECT(obm_longlived_enter(heap, &mark));
    EXPECT(!obm_longlived_enter(heap, NULL));
    EXPECT_SAME(obm_longlived_exit(heap, obm_this_thread), NULL);
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));
    leave(heap, &mark);
    EXPECT(!is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT_SAME(obm_longlived_exit(heap, obm_this_thread), NULL);
    heap_end(heap);
}

TEST(a_heap_has_marks_of_its_own)
{
    struct obm_heap *heap = heap_new(""), *other = heap_new("");
    struct obm_mark mark, mark_of_other;
    EXPECT(obm_longlived_enter(heap, &mark));
    EXPECT(!is_long(other, obm_malloc(other, SMALL)));
    EXPECT(obm_longlived_enter(other, &mark_of_other));
    leave(heap, &mark);
    EXPECT(!is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT(is_long(other, obm_malloc(other, SMALL)));
    leave(other, &mark_of_other);
    obm_heap_close(other, false);
    free(other);
    heap_end(heap);
}

TEST(a_block_that_moves_goes_where_its_thread_allocates)
{
    struct obm_heap *heap = heap_new("");
    struct obm_mark mark;
    void *block = obm_malloc(heap, SMALL);
    EXPECT(obm_longlived_enter(heap, &mark));
    EXPECT(obm_realloc(heap, &block, LARGE, NULL, NULL));
    EXPECT(is_long(heap, block));
    EXPECT(obm_realloc(heap, &block, OBM_MEDIUM_MAX, NULL, NULL));
    EXPECT(is_long(heap, block));
    leave(heap, &mark);
    EXPECT(obm_realloc(heap, &block, OBM_MEDIUM_MAX - 1, NULL, NULL));
    EXPECT(is_long(heap, block));       /* it stays in its place */
    EXPECT(obm_realloc(heap, &block, LARGE, NULL, NULL));
    EXPECT(!is_long(heap, block));
    EXPECT(obm_free(heap, block));
    heap_end(heap);
}

TEST(statistics_and_the_map_add_both_kinds_up)
{
    struct obm_heap *heap = heap_new("");
    struct obm_mark mark;
    struct obm_stats stats;
    static struct obm_page_info pages[OBM_MAX_ARENA_PAGES];
    unsigned used = 0;
    obm_malloc(heap, SMALL);
    void *medium = obm_malloc(heap, OBM_MEDIUM_MIN);
    EXPECT(obm_longlived_enter(heap, &mark));
    void *inside = obm_malloc(heap, SMALL);
    obm_malloc(heap, OBM_MEDIUM_MIN);
    leave(heap, &mark);
    obm_stats_collect(heap, &stats);
    EXPECT_EQUAL(stats.classes[SMALL_CLASS].live_blocks, 2);
    EXPECT_EQUAL(stats.classes[SMALL_CLASS].pools, 2);
    EXPECT_EQUAL(stats.classes[class_of(heap, medium)].live_blocks, 2);
    EXPECT_EQUAL(stats.live_blocks, 4);
    unsigned count = obm_arena_describe(heap, obm_pool_arena(heap, obm_find_pool(heap, inside)), pages);
    for (unsigned page = 0; page < count; page++) {
        if (pages[page].kind == OBM_PAGE_USED) {
            EXPECT_AT_MOST(pages[page].size_class, OBM_SIZE_CLASSES - 1);
            used++;
        }
    }
    EXPECT_EQUAL(used, stats.used_pages);
    heap_end(heap);
}

TEST(trim_gives_back_pages_of_both_kinds)
{
    struct obm_heap *heap = heap_new("retain=all");
    struct obm_mark mark;
    EXPECT(obm_longlived_enter(heap, &mark));
    void *small = obm_malloc(heap, SMALL), *medium = obm_malloc(heap, OBM_MEDIUM_MAX);
    EXPECT(obm_free(heap, small) && obm_free(heap, medium));
    obm_trim(heap);
    EXPECT_EQUAL(heap->arena_count, 0);
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));
    leave(heap, &mark);
    heap_end(heap);
}

TEST(secure_and_checked_heaps_have_both_kinds)
{
    static const char *const settings[] = {"secure=1", "check=3", "medium=0"};
    for (unsigned i = 0; i < 3; i++) {
        struct obm_heap *heap = heap_new(settings[i]);
        struct obm_mark mark;
        void *before = obm_malloc(heap, SMALL);
        EXPECT(obm_longlived_enter(heap, &mark));
        void *inside = obm_malloc(heap, SMALL), *medium = obm_malloc(heap, OBM_MEDIUM_MIN);
        EXPECT(is_long(heap, inside) && !is_long(heap, before));
        EXPECT(i == 2 ? medium == NULL : is_long(heap, medium));
        leave(heap, &mark);
        EXPECT_VALID(heap);
        EXPECT(obm_free(heap, inside) && obm_free(heap, before));
        EXPECT(medium == NULL || obm_free(heap, medium));
        heap_end(heap);
    }
}

/* Threads ---------------------------------------------------------------------------- */

struct other_thread {
    struct obm_heap *heap;
    struct obm_mark *mark;      /* NULL: it is not marked */
    bool got_long;
    uintptr_t number;
};

/* Called while the test waits, as with a GIL. */
static void *
allocate_there(void *data)
{
    struct other_thread *there = data;
    if (there->mark != NULL) {
        obm_longlived_enter(there->heap, there->mark);
    }
    there->got_long = is_long(there->heap, obm_malloc(there->heap, SMALL))
                      && is_long(there->heap, obm_malloc(there->heap, OBM_MEDIUM_MIN));
    there->number = obm_this_thread;
    return NULL;
}

static void
run_there(struct other_thread *there)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, allocate_there, there) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

TEST(other_threads_are_not_marked)
{
    struct obm_heap *heap = heap_new("");
    struct obm_mark mark, mark_there;
    struct other_thread there = {heap, NULL, false, 0};
    EXPECT(obm_longlived_enter(heap, &mark));
    run_there(&there);
    EXPECT(!there.got_long);
    EXPECT_EQUAL(there.number, 0);
    leave(heap, &mark);

    there.mark = &mark_there;
    run_there(&there);
    EXPECT(there.got_long);
    EXPECT(there.number != obm_this_thread);
    EXPECT(!is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT_SAME(obm_longlived_other(heap), &mark_there);

    /* It ended without an exit.  A new one, which may be in its place, is not marked. */
    uintptr_t ended = there.number;
    there.mark = NULL;
    run_there(&there);
    EXPECT(!there.got_long);
    EXPECT_VALID(heap);
    EXPECT_SAME(obm_longlived_exit(heap, ended), &mark_there);
    EXPECT_SAME(obm_longlived_other(heap), NULL);
    EXPECT_VALID(heap);
    heap_end(heap);
}

TEST(two_threads_are_marked_at_a_time)
{
    struct obm_heap *heap = heap_new("");
    struct obm_mark mark, mark_there;
    struct other_thread there = {heap, &mark_there, false, 0};
    EXPECT(obm_longlived_enter(heap, &mark));
    run_there(&there);
    EXPECT(there.got_long);
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));
    leave(heap, &mark);
    EXPECT(!is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT_VALID(heap);
    EXPECT_SAME(obm_longlived_exit(heap, there.number), &mark_there);
    EXPECT_SAME(heap->pools, heap->front);
    heap_end(heap);
}

/* Called while the test waits, as with a GIL. */
static void *
exit_there(void *data)
{
    struct other_thread *there = data;
    there->mark = obm_longlived_exit(there->heap, there->number);
    return NULL;
}

TEST(another_thread_removes_a_mark)
{
    struct obm_heap *heap = heap_new(""), *other = heap_new("");
    struct obm_mark mark, mark_of_other, mark_there;
    EXPECT(obm_longlived_enter(other, &mark_of_other));
    EXPECT(obm_longlived_enter(heap, &mark));
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));

    /* Another one's: this one stays marked. */
    struct other_thread there = {heap, &mark_there, false, 0};
    run_there(&there);
    EXPECT_SAME(obm_longlived_exit(heap, there.number), &mark_there);
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));

    /* This one's, which is not known as marked any more, though a third one is. */
    run_there(&there);
    struct other_thread exit = {heap, NULL, false, obm_this_thread};
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, exit_there, &exit) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    EXPECT_SAME(exit.mark, &mark);
    EXPECT(!obm_is_known_as_marked(heap));
    EXPECT(!is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT(!is_long(heap, obm_malloc(heap, OBM_MEDIUM_MIN)));
    EXPECT(is_long(other, obm_malloc(other, SMALL)));

    EXPECT(obm_longlived_enter(heap, &mark));
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT(is_long(other, obm_malloc(other, SMALL)));
    leave(other, &mark_of_other);
    EXPECT(!is_long(other, obm_malloc(other, SMALL)));
    EXPECT(is_long(heap, obm_malloc(heap, SMALL)));
    leave(heap, &mark);
    EXPECT(!is_long(heap, obm_malloc(heap, SMALL)));
    EXPECT_SAME(obm_longlived_exit(heap, there.number), &mark_there);
    EXPECT_VALID(heap);
    EXPECT_VALID(other);
    obm_heap_close(other, false);
    free(other);
    heap_end(heap);
}

/* obmalloc's unit tests: several heaps in parallel threads, on the real system.

   Each thread has a heap of its own, as interpreters with a GIL of their own have;
   what they share is what the process has once: which windows are taken, the
   table of arenas outside them, and what os.c has looked up.  In the variant
   `threads` ThreadSanitizer watches. */

#include "heaps.h"

#include <pthread.h>

enum { THREADS = 6, ROUNDS = 20, BLOCKS = 3000 };

struct worker {
    pthread_t thread;
    struct obm_heap heap;
    unsigned number;
    bool foreign;                   /* its arenas come from the program */
    unsigned char *blocks[BLOCKS];
    const char *failure;            /* NULL: none */
};

static struct worker workers[THREADS];
static void *of_main;               /* a block of the main thread's heap */

/* ThreadSanitizer's own memory lies where the first region of windows is, and a
   program that asks for an address there is ended. */
static void *
map_where_allowed(void *hint, size_t size)
{
    bool taken = HARNESS_THREAD_SANITIZER && (uint64_t)(uintptr_t)hint >> 38 != 0;
    return taken ? NULL : obm_os_system()->map(hint, size);
}

static struct obm_os system_in_force;

/* A foreign arena allocator that any thread may call. */
static void *
arena_from_malloc(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

static void
arena_to_malloc(void *context, void *address, size_t size)
{
    (void)context;
    (void)size;
    free(address);
}

static bool
malloc_in_force(struct obm_arena_allocator *in_force)
{
    *in_force = (struct obm_arena_allocator){NULL, arena_from_malloc, arena_to_malloc};
    return true;
}

static size_t
size_of(unsigned i)
{
    return 1 + i * 37 % OBM_SMALL_MAX;
}

#define EXPECT_IN_THREAD(worker, condition) \
    do { \
        if (!(condition)) { \
            (worker)->failure = #condition; \
            return; \
        } \
    } while (0)

static void
fill(struct worker *worker)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        worker->blocks[i] = obm_malloc(&worker->heap, size_of(i));
        EXPECT_IN_THREAD(worker, worker->blocks[i] != NULL);
        memset(worker->blocks[i], (int)(worker->number + i), size_of(i));
    }
}

/* One in eight stays, for obm_heap_close(). */
static void
drain(struct worker *worker)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        unsigned char *block = worker->blocks[i];
        EXPECT_IN_THREAD(worker, block[0] == (unsigned char)(worker->number + i));
        EXPECT_IN_THREAD(worker, block[size_of(i) - 1] == block[0]);
        EXPECT_IN_THREAD(worker, i % 8 == 0 || obm_free(&worker->heap, block));
    }
    obm_trim(&worker->heap);
    obm_trim_tick(&worker->heap);
}

static void
ask_for_others(struct worker *worker)
{
    char *from_malloc = malloc(LARGE);
    EXPECT_IN_THREAD(worker, from_malloc != NULL);
    EXPECT_IN_THREAD(worker, !obm_free(&worker->heap, from_malloc));
    free(from_malloc);
    EXPECT_IN_THREAD(worker, obm_block_size(&worker->heap, of_main) == 0);
    EXPECT_IN_THREAD(worker, obm_belongs_to_other_heap(&worker->heap, of_main));
}

static void *
work(void *argument)
{
    struct worker *worker = argument;
    const struct obm_settings settings = {.retain = OBM_RETAIN_AUTO,
                                          .check_level = (int)(worker->number % 4)};
    for (unsigned round = 0; round < ROUNDS && worker->failure == NULL; round++) {
        memset(&worker->heap, 0, sizeof(worker->heap));
        if (!obm_heap_init(&worker->heap, &system_in_force, &settings)) {
            worker->failure = "obm_heap_init()";
            break;
        }
        worker->heap.arena_allocator = worker->foreign ? malloc_in_force : NULL;
        fill(worker);
        ask_for_others(worker);
        if (worker->failure == NULL) {
            drain(worker);
        }
        obm_heap_close(&worker->heap, false);
    }
    return NULL;
}

static void
start_and_join(void)
{
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].foreign = i % 3 == 2;
        REQUIRE(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(workers[i].thread, NULL) == 0);
        if (workers[i].failure != NULL) {
            harness_fail(__FILE__, __LINE__, "thread %u: %s", i, workers[i].failure);
        }
    }
}

TEST(heaps_of_parallel_threads)
{
    static struct obm_heap heap;
    const struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    system_in_force = *obm_os_system();
    system_in_force.map = map_where_allowed;
    REQUIRE(obm_heap_init(&heap, &system_in_force, &settings));
    of_main = obm_malloc(&heap, LARGE);
    REQUIRE(of_main != NULL);
    start_and_join();
    EXPECT_VALID(&heap);
    obm_heap_close(&heap, false);
}

/* ThreadSanitizer takes a compare-and-swap of another thread for a write even when
   it fails, and would call an ordinary read a race with it. */
static void *
look_up(void *argument)
{
    *(size_t *)argument = OBM_PUBLISHED(&obm_os_system()->page_size);
    return NULL;
}

/* The first look at the system, by several at once. */
TEST(the_system_is_looked_up_by_all_at_once)
{
    pthread_t threads[THREADS];
    size_t sizes[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, look_up, &sizes[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
        EXPECT_DIFFERENT(sizes[i], 0);
        EXPECT_EQUAL(sizes[i], sizes[0]);
    }
}

/* obmalloc's unit tests: the system's malloc (system_malloc.c), this process's own. */

#include "heaps.h"

#include <sched.h>
#include <stdlib.h>

TEST(the_process_tells_time_and_memory)
{
    const struct obm_process *process = obm_process_system();
    uint64_t used = process->processor_time(), now = process->now();
    uint64_t own = process->own_processor_time();
    EXPECT_AT_MOST(own, process->processor_time());
    size_t faults = process->faults();
    size_t size = (size_t)4 << 20;
    char *memory = obm_os_system()->map(NULL, size);
    REQUIRE(memory != NULL);
    memset(memory, 1, size);
    EXPECT_AT_LEAST(process->resident(), size);
#if defined(_WIN32)
    EXPECT_AT_LEAST(process->faults(), faults);         /* wine counts none */
#else
    EXPECT_AT_LEAST(process->faults(), faults + 1);
#endif
    while (process->processor_time() == used || process->now() == now) {
    }
    EXPECT_AT_LEAST(process->processor_time(), used);
    EXPECT_AT_LEAST(process->own_processor_time(), own);
    obm_os_system()->unmap(memory, size);
}

TEST(what_was_spent_is_counted_in_microseconds)
{
    struct obm_spent spent = {0, 0};
    obm_spent_add(&spent, 2999);
    obm_spent_add(&spent, 1000 * 1000);
    EXPECT_EQUAL(spent.calls, 2);
    EXPECT_EQUAL(obm_spent_read(&spent).microseconds, 1002);
    spent.microseconds = UINTPTR_MAX;
    obm_spent_add(&spent, 4000);
    EXPECT_EQUAL(spent.microseconds, 3);
}

#ifdef __GLIBC__

/* Blocks with free ones between them: malloc tells of these, and gives their memory
   back. */
TEST(glibc_tells_what_it_holds_free_and_gives_it_back)
{
    enum { BLOCKS = 200, SIZE = 100 * 1000 };
    const struct obm_process *process = obm_process_system();
    struct obm_malloc_figures before, after;
    static char *blocks[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(SIZE);
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], 1, SIZE);
    }
    if (!process->malloc_figures(&before) || before.held == 0) {
        return;     /* a sanitizer's malloc */
    }
    for (size_t i = 0; i < BLOCKS; i += 2) {
        free(blocks[i]);
    }
    REQUIRE(process->malloc_figures(&after));
    EXPECT_AT_LEAST(after.free, before.free + BLOCKS / 2 * (size_t)SIZE);
    EXPECT_AT_LEAST(after.held, after.free);
    size_t resident = process->resident();
    struct obm_spent spent = obm_malloc_spent();
    EXPECT(process->malloc_give_back());
    EXPECT_EQUAL(obm_malloc_spent().calls, spent.calls + 1);
    EXPECT_AT_LEAST(obm_malloc_spent().microseconds, spent.microseconds);
    EXPECT_AT_MOST(process->resident(), resident - BLOCKS / 4 * (size_t)SIZE);
    for (size_t i = 1; i < BLOCKS; i += 2) {
        EXPECT_EQUAL(blocks[i][SIZE - 1], 1);
        free(blocks[i]);
    }
}

TEST(one_arena_is_decided_by_the_settings_and_the_environment)
{
    struct obm_settings leave = {.system_malloc = OBM_MALLOC_LEAVE};
    struct obm_settings one = {.system_malloc = OBM_MALLOC_ONE};
    struct obm_settings all = {.system_malloc = OBM_MALLOC_ONE, .retain = OBM_RETAIN_ALL};
    struct obm_settings automatic = {.system_malloc = OBM_MALLOC_AUTO};
    struct obm_malloc_figures figures;
    if (!obm_process_system()->malloc_figures(&figures) || figures.held == 0) {
        return;
    }
    unsetenv("MALLOC_ARENA_MAX");
    unsetenv("GLIBC_TUNABLES");
    EXPECT(!obm_malloc_one_arena(&leave));
    EXPECT(!obm_malloc_one_arena(&all));
    EXPECT(obm_malloc_one_arena(&one));
    EXPECT_EQUAL(obm_malloc_one_arena(&automatic),
                 obm_processors() <= OBM_ONE_ARENA_PROCESSORS);
    setenv("MALLOC_ARENA_MAX", "2", 1);
    EXPECT(!obm_malloc_one_arena(&one));
    unsetenv("MALLOC_ARENA_MAX");
    setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=4", 1);
    EXPECT(!obm_malloc_one_arena(&one));
}

/* Then a block that is not small comes from its heap, and not from a mapping of its own:
   if medium requests are ours. */
TEST(one_arena_starts_with_higher_thresholds)
{
    struct obm_settings one = {.system_malloc = OBM_MALLOC_ONE};
    struct obm_malloc_figures before, after;
    size_t size = OBM_MALLOC_MMAP_BYTES / 2;
    if (!obm_process_system()->malloc_figures(&before) || before.held == 0) {
        return;
    }
    unsetenv("MALLOC_ARENA_MAX");
    unsetenv("GLIBC_TUNABLES");
    for (unsigned medium = 0; medium < 2; medium++) {
        one.no_medium = medium == 0;
        REQUIRE(obm_malloc_one_arena(&one));
        REQUIRE(obm_process_system()->malloc_figures(&before));
        char *volatile block = malloc(size);
        REQUIRE(obm_process_system()->malloc_figures(&after));
        size_t more = (after.held - after.free) - (before.held - before.free);
        EXPECT_EQUAL(more >= size, medium);
        if (medium) {       /* else this would raise them too */
            free(block);
        }
    }
}

#endif /* __GLIBC__ */

#ifdef __linux__

TEST(the_affinity_mask_bounds_the_processors)
{
    cpu_set_t mask;
    EXPECT_AT_LEAST(obm_processors(), 1);
    REQUIRE(sched_getaffinity(0, sizeof(mask), &mask) == 0);
    EXPECT_AT_MOST(obm_processors(), (unsigned)CPU_COUNT(&mask));
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &mask)) {
            CPU_ZERO(&mask);
            CPU_SET(cpu, &mask);
            break;
        }
    }
    REQUIRE(sched_setaffinity(0, sizeof(mask), &mask) == 0);
    EXPECT_EQUAL(obm_processors(), 1);
}

#endif /* __linux__ */

/* obmalloc's unit tests: the real operating system (os.c).

   With -DOBM_ARENAS_USE_MALLOC=1 memory comes from calloc(): then a hint is
   always refused, and so is a purge. */

#include "heaps.h"
#include "memory.h"

#include <stdio.h>
#if !defined(_WIN32)
#  include <signal.h>
#  include <sys/wait.h>
#  include <unistd.h>
#endif

#ifndef CHECK_EMULATED
#  define CHECK_EMULATED 0
#endif

#define PATTERN 0x5A
#define CLOCK_READINGS 10000

static const struct obm_os *
os(void)
{
    return obm_os_system();
}

static char *
map_pages(size_t count)
{
    char *address = os()->map(NULL, count * os()->page_size);
    REQUIRE(address != NULL);
    return address;
}

static bool
is_full_of(const char *address, size_t size, char byte)
{
    while (size != 0 && *address == byte) {
        address++;
        size--;
    }
    return size == 0;
}

TEST(page_size_is_that_of_the_system)
{
    EXPECT_EQUAL(os()->page_size, memory_page_size());
    EXPECT_SAME(obm_os_system(), obm_os_system());
}

TEST(mapped_memory_is_zero_and_writable)
{
    size_t size = 3 * os()->page_size;
    char *address = map_pages(3);
    EXPECT(is_full_of(address, size, 0));
    memset(address, PATTERN, size);
    EXPECT(is_full_of(address, size, PATTERN));
    os()->unmap(address, size);
}

TEST(a_hint_is_taken_exactly)
{
    size_t size = os()->page_size;
    char *address = map_pages(1);
    os()->unmap(address, size);
    char *again = os()->map(address, size);
    EXPECT_SAME(again, OBM_ARENAS_USE_MALLOC ? NULL : address);
    if (again != NULL) {
        os()->unmap(again, size);
    }
}

TEST(a_hint_replaces_nothing_that_is_mapped)
{
    size_t page = os()->page_size;
    char *address = map_pages(2);
    memset(address, PATTERN, 2 * page);
    EXPECT_SAME(os()->map(address, page), NULL);
    EXPECT_SAME(os()->map(address + page, 2 * page), NULL);
    EXPECT(is_full_of(address, 2 * page, PATTERN));
    os()->unmap(address, 2 * page);
}

/* The steps of a window are mapped so.  Windows reserves at multiples of 64 KiB only. */
TEST(neighbours_are_unmapped_together)
{
    size_t size = (size_t)64 << 10;
    if (OBM_ARENAS_USE_MALLOC || os()->page_size > size) {
        return;
    }
    char *address = os()->map(NULL, 2 * size);
    REQUIRE(address != NULL);
    os()->unmap(address, 2 * size);
    for (unsigned round = 0; round < 2; round++) {
        REQUIRE(os()->map(address, size) == address);
        REQUIRE(os()->map(address + size, size) == address + size);
        address[0] = address[2 * size - 1] = PATTERN;
        os()->unmap(address, 2 * size);
    }
}

TEST(a_hint_of_any_page_is_taken_exactly_or_refused)
{
    size_t page = os()->page_size;
    char *address = map_pages(2);
    os()->unmap(address, 2 * page);
    char *second = os()->map(address + page, page);
    if (second != NULL) {
        EXPECT_SAME(second, address + page);
        os()->unmap(second, page);
    }
    char *again = os()->map(address, 2 * page);     /* nothing else was taken */
    EXPECT_SAME(again, OBM_ARENAS_USE_MALLOC ? NULL : address);
    if (again != NULL) {
        os()->unmap(again, 2 * page);
    }
}

TEST(an_impossible_size_is_refused)
{
    /* Not a constant, lest the compiler warn. */
    volatile size_t size = SIZE_MAX - 2 * os()->page_size;
    EXPECT_SAME(os()->map(NULL, size & ~(os()->page_size - 1)), NULL);
}

#if OBM_ARENAS_USE_MALLOC

TEST(calloc_cannot_purge)
{
    size_t size = 2 * os()->page_size;
    char *address = map_pages(2);
    memset(address, PATTERN, size);
    EXPECT(!os()->purge(address, size));
    EXPECT(is_full_of(address, size, PATTERN));
    os()->unmap(address, size);
}

#else

TEST(purged_memory_reads_zero_and_its_neighbours_stay)
{
    size_t page = os()->page_size;
    char *address = map_pages(4);
    memset(address, PATTERN, 4 * page);
    EXPECT(os()->purge(address + page, 2 * page));
    EXPECT(is_full_of(address, page, PATTERN));
    EXPECT(is_full_of(address + page, 2 * page, 0));
    EXPECT(is_full_of(address + 3 * page, page, PATTERN));
    os()->unmap(address, 4 * page);
}

TEST(purged_memory_is_not_resident)
{
    fake_os_reset(os()->page_size);
    size_t page = os()->page_size;
    char *address = map_pages(4);
    memset(address, PATTERN, 4 * page);
    EXPECT_EQUAL(fake_os_resident_pages(address, 4 * page), 4);
    EXPECT(os()->purge(address + page, 2 * page));
    EXPECT_EQUAL(fake_os_resident_pages(address, 4 * page), 2);
    os()->unmap(address, 4 * page);
}

TEST(purging_what_is_not_mapped_is_refused)
{
    size_t page = os()->page_size;
    char *address = map_pages(2);
    os()->unmap(address, 2 * page);
    EXPECT(!os()->purge(address, page) || CHECK_EMULATED);  /* qemu says yes */
}

#endif

/* Huge pages. Whether there are any depends on the machine; that nothing is lost
   but what may be lost must hold on each. */

#define HUGE ((size_t)2 << 20)

TEST(advice_keeps_what_the_memory_holds)
{
    char *space = map_pages(2 * HUGE / os()->page_size);
    char *address = (char *)(((uintptr_t)space + HUGE - 1) & ~(HUGE - 1));
    bool huge = os()->advise_huge(address, HUGE, true);
    os()->first_touch(address);
    EXPECT(is_full_of(address, HUGE, 0));
    memset(address, PATTERN, HUGE);
    EXPECT(!os()->advise_huge(address, HUGE, false));
    EXPECT(is_full_of(address, HUGE, PATTERN));
    size_t page = os()->page_size;
    os()->split_huge(address + page);
    EXPECT(is_full_of(address, page, PATTERN));
    EXPECT(is_full_of(address + 2 * page, HUGE - 2 * page, PATTERN));
    if (OBM_ARENAS_USE_MALLOC) {
        EXPECT(!huge);
    }
    os()->unmap(space, 2 * HUGE);
}

/* Not every system can; none changes what is there. */
TEST(memory_asked_for_ahead_is_there_and_keeps_its_contents)
{
    size_t page = os()->page_size;
    char *address = map_pages(4);
    address[2 * page] = PATTERN;
    bool done = os()->populate(address, 4 * page);
    EXPECT(is_full_of(address, 2 * page, 0));
    EXPECT_EQUAL(address[2 * page], PATTERN);
    EXPECT(is_full_of(address + 3 * page, page, 0));
    if (OBM_ARENAS_USE_MALLOC) {
        EXPECT(!done);
    }
    os()->unmap(address, 4 * page);
    EXPECT(!os()->populate(address, 4 * page) || CHECK_EMULATED);
}

TEST(what_is_not_one_huge_page_is_none)
{
    size_t page = os()->page_size;
    char *space = map_pages(2 * HUGE / page);
    char *address = (char *)(((uintptr_t)space + HUGE - 1) & ~(HUGE - 1));
    EXPECT(!os()->advise_huge(address, HUGE / 2, true));
    EXPECT(!os()->advise_huge(space + (space == address ? page : 0), HUGE, true));
    os()->unmap(space, 2 * HUGE);
}

TEST(the_clock_advances_and_never_runs_backwards)
{
    uint64_t before = os()->now();
    EXPECT_DIFFERENT(before, 0);
    for (unsigned i = 0; i < CLOCK_READINGS; i++) {
        uint64_t now = os()->now();
        EXPECT_AT_LEAST(now, before);
        before = now;
    }
}

#if !defined(_WIN32)

/* Run fatal in a child, and return what it printed; *status: how it ended. */
static void
fatal_in_child(char *text, size_t size, int *status)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        os()->fatal("the end");
        _exit(0);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], text, size - 1);
    text[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    REQUIRE(waitpid(child, status, 0) == child);
}

TEST(fatal_prints_the_message_and_aborts)
{
    char text[128];
    int status;
    fatal_in_child(text, sizeof(text), &status);
    EXPECT(WIFSIGNALED(status));
    EXPECT_EQUAL(WTERMSIG(status), SIGABRT);
    if (CHECK_EMULATED) {
        text[strcspn(text, "\n") + 1] = '\0';    /* qemu says so too */
    }
    EXPECT_TEXT(text, "obmalloc: the end\n");
}

#endif

static void
fatal_with_numbers(void *argument)
{
    obm_fatal(argument, "%u blocks at %s", 7u, "home");
}

static void
fatal_with_a_long_text(void *argument)
{
    char text[2000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    obm_fatal(argument, "%s", text);
}

TEST(obm_fatal_formats_and_cuts_the_message)
{
    struct obm_heap *heap = heap_new("");
    EXPECT_TEXT(fake_os_fatal_message(fatal_with_numbers, heap), "7 blocks at home");
    const char *cut = fake_os_fatal_message(fatal_with_a_long_text, heap);
    REQUIRE(cut != NULL);
    EXPECT_EQUAL(strlen(cut), 511);
    heap_end(heap);
}

#if !OBM_ARENAS_USE_MALLOC && (defined(__linux__) || defined(_WIN32))
TEST(what_is_mapped_is_known)
{
    size_t page = os()->page_size;
    char *start = os()->map(NULL, 2 * page);
    REQUIRE(start != NULL);
    EXPECT(os()->is_mapped(start));
    EXPECT(os()->is_mapped(start + 2 * page - 1));
    os()->unmap(start, 2 * page);
    EXPECT(!os()->is_mapped(start + page));
}
#endif

TEST(a_test_has_no_raised_rights)
{
    EXPECT(!obm_has_raised_rights());
}

/* The core on the real system, from the first allocation to the last free. */
TEST(a_heap_works_on_the_real_system)
{
    static struct obm_heap heap;
    const struct obm_settings settings = {.retain = OBM_RETAIN_NONE, .check_level = 3};
    enum { COUNT = 20000 };
    static void *blocks[COUNT];
#if OBM_FIXED_PAGE_SHIFT
    fake_os_reset(os()->page_size);
#endif
    REQUIRE(obm_heap_init(&heap, os(), &settings));
    for (unsigned i = 0; i < COUNT; i++) {
        blocks[i] = obm_malloc(&heap, 1 + i % OBM_SMALL_MAX);
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], (int)(i & 0x7f), 1 + i % OBM_SMALL_MAX);
    }
    EXPECT_VALID(&heap);
    for (unsigned i = 0; i < COUNT; i++) {
        EXPECT(is_full_of(blocks[i], 1 + i % OBM_SMALL_MAX, (char)(i & 0x7f)));
        EXPECT(obm_free(&heap, blocks[i]));
    }
    obm_trim(&heap);
    EXPECT_VALID(&heap);
    EXPECT_EQUAL(heap.arena_count, 0);
    obm_heap_close(&heap, false);
}

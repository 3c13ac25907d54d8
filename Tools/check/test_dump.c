/* obmalloc's unit tests: the text for people (dump.c). */

#include "heaps.h"

#include <ctype.h>

#define TEXT_SIZE 16384

/* What obm_dump_stats() writes about the heap. */
static const char *
dump(const struct obm_heap *heap)
{
    static char text[TEXT_SIZE];
    FILE *file = tmpfile();
    REQUIRE(file != NULL);
    obm_dump_stats(heap, file);
    rewind(file);
    size_t length = fread(text, 1, TEXT_SIZE - 1, file);
    text[length] = '\0';
    fclose(file);
    REQUIRE(length < TEXT_SIZE - 1);
    return text;
}

/* The number behind the label, without its commas. */
static size_t
number_of(const char *text, const char *label)
{
    const char *line = strstr(text, label);
    if (line == NULL || (line = strchr(line, '=')) == NULL) {
        harness_stop(__FILE__, __LINE__, "no line \"%s\" in:\n%s", label, text);
    }
    size_t value = 0;
    for (line++; *line != '\n' && *line != '\0'; line++) {
        if (isdigit((unsigned char)*line)) {
            value = 10 * value + (size_t)(*line - '0');
        }
        else {
            EXPECT(*line == ' ' || *line == ',');
        }
    }
    return value;
}

TEST(an_empty_heap_is_described)
{
    struct obm_heap *heap = heap_new("");
    const char *text = dump(heap);
    EXPECT_CONTAINS(text, "512 bytes, in ");
    EXPECT_EQUAL(number_of(text, "arenas now"), 0);
    EXPECT_EQUAL(number_of(text, "sum: bytes in arenas"), 0);
    heap_end(heap);
}

TEST(the_numbers_are_those_of_the_statistics)
{
    struct obm_heap *heap = heap_new("hugepages=always");
    struct obm_stats stats;
    struct pages pages = pages_take(heap, 5 * heap->geometry.arena_pages / 2, LARGE);
    pages_give_range(heap, &pages, 1, pages.count / 2);
    obm_stats_collect(heap, &stats);
    const char *text = dump(heap);
    size_t page = stats.page_size;
    EXPECT_EQUAL(number_of(text, "arenas mapped, ever"), stats.arenas_mapped);
    EXPECT_EQUAL(number_of(text, "arenas released, ever"), stats.arenas_released);
    EXPECT_EQUAL(number_of(text, "arenas, most at a time"), stats.arenas_highwater);
    EXPECT_EQUAL(number_of(text, "arenas now"), stats.arenas);
    EXPECT_EQUAL(number_of(text, "arenas that are huge pages now"), stats.huge_arenas);
    EXPECT_EQUAL(number_of(text, "arenas that are huge pages, ever"), stats.arenas_huge);
    EXPECT_EQUAL(number_of(text, "of those, split, ever"), stats.arenas_split);
    EXPECT_EQUAL(number_of(text, "pages purged, ever"), stats.pages_purged);
    EXPECT_EQUAL(number_of(text, "bytes in blocks in use"), stats.live_bytes);
    EXPECT_EQUAL(number_of(text, "page floor, in bytes"), stats.floor_pages * page);
    EXPECT_EQUAL(number_of(text, "bytes in descriptors"), stats.metadata_bytes);
    heap_end(heap);
}

TEST(the_bytes_add_up_to_the_arenas)
{
    struct obm_heap *heap = heap_new("");
    struct pages pages = pages_take(heap, heap->geometry.arena_pages, 48);
    pages_give_range(heap, &pages, 10, pages.count);
    const char *text = dump(heap);
    static const char *const parts[] = {
        "bytes in blocks in use", "bytes in free blocks of used pages",
        "bytes at the ends of used pages", "bytes in free pages, resident",
        "bytes in free pages, purged", "bytes in free pages, never touched"
    };
    size_t sum = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        sum += number_of(text, parts[i]);
    }
    EXPECT_EQUAL(sum, number_of(text, "sum: bytes in arenas"));
    EXPECT_EQUAL(sum, heap->arena_count * heap->geometry.arena_size);
    heap_end(heap);
}

TEST(thousands_are_set_apart_by_commas)
{
    struct obm_heap *heap = heap_new("");
    EXPECT(obm_malloc(heap, SMALL) != NULL);
    static const char *const arena_bytes[] = {" 2,097,152\n", " 8,388,608\n"};
    const size_t two_mib = (size_t)2 << 20;
    EXPECT_CONTAINS(dump(heap), arena_bytes[heap->geometry.arena_size != two_mib]);
    heap_end(heap);
}

TEST(only_classes_in_use_have_a_row)
{
    struct obm_heap *heap = heap_new("");
    char row[128];
    size_t free_blocks = heap->geometry.classes[LARGE_CLASS].capacity - 1u;
    EXPECT(obm_malloc(heap, LARGE) != NULL);
    snprintf(row, sizeof(row), "\n%5u %6u %8u %15u %13zu\n", LARGE_CLASS, LARGE, 1u, 1u,
             free_blocks);
    EXPECT_CONTAINS(dump(heap), row);
    snprintf(row, sizeof(row), "\n%5u ", LARGE_CLASS - 1);
    EXPECT(strstr(dump(heap), row) == NULL);
    heap_end(heap);
}

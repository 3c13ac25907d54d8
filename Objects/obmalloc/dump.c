/* obmalloc: the text behind sys._debugmallocstats() and PYTHONMALLOCSTATS. */

#include "obmalloc/dump.h"
#include "obmalloc/stats.h"
#include "obmalloc/size_class.h"

#include <string.h>

/* "label = 1,234,567", the number right-aligned. */
static void
print_number(FILE *out, const char *label, size_t value)
{
    char digits[32], text[44];
    int length = snprintf(digits, sizeof(digits), "%zu", value);
    int used = 0;
    for (int i = 0; i < length; i++) {
        if (i != 0 && (length - i) % 3 == 0) {
            text[used++] = ',';
        }
        text[used++] = digits[i];
    }
    text[used] = '\0';
    fprintf(out, "%-36s= %18s\n", label, text);
}

static void
print_classes(FILE *out, const struct obm_stats *stats)
{
    fprintf(out, "class   size    pools   blocks in use   blocks free\n"
                 "-----   ----   ------   -------------   -----------\n");
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        const struct obm_class_stats *row = &stats->classes[c];
        if (row->pools != 0) {
            fprintf(out, "%5u %6zu %8zu %15zu %13zu\n", c, row->size,
                    row->pools, row->live_blocks, row->free_blocks);
        }
    }
}

static void
print_arenas(FILE *out, const struct obm_stats *stats)
{
    print_number(out, "arenas mapped, ever", stats->arenas_mapped);
    print_number(out, "arenas released, ever", stats->arenas_released);
    print_number(out, "arenas, most at a time", stats->arenas_highwater);
    print_number(out, "arenas now", stats->arenas);
    print_number(out, "arenas that are huge pages, ever", stats->arenas_huge);
    print_number(out, "of those, split, ever", stats->arenas_split);
    print_number(out, "arenas that are huge pages now", stats->huge_arenas);
    print_number(out, "pages purged, ever", stats->pages_purged);
    print_number(out, "pages taken again after that", stats->refaults);
    print_number(out, "pages that may stay resident", stats->allowance_pages);
}

static void
print_bytes(FILE *out, const struct obm_stats *stats)
{
    size_t page = stats->page_size;
    print_number(out, "bytes in blocks in use", stats->live_bytes);
    print_number(out, "bytes in free blocks of used pages", stats->free_block_bytes);
    print_number(out, "bytes at the ends of used pages", stats->tail_bytes);
    print_number(out, "bytes in free pages, resident", stats->dirty_pages * page);
    print_number(out, "bytes in free pages, purged", stats->purged_pages * page);
    print_number(out, "bytes in free pages, never touched", stats->fresh_pages * page);
    print_number(out, "sum: bytes in arenas", stats->arena_bytes);
    print_number(out, "bytes in descriptors, besides", stats->metadata_bytes);
    print_number(out, "page floor, in bytes", stats->floor_pages * page);
}

void
obm_dump_stats(const struct obm_heap *heap, FILE *out)
{
    struct obm_stats stats;
    obm_stats_collect(heap, &stats);
    fprintf(out, "Small block threshold of obmalloc: %u bytes, in %u size classes;\n"
                 "medium blocks: up to %u bytes, in %u more%s;\n"
                 "pages of %zu bytes, runs of %zu, arenas of %zu.\n\n",
            OBM_SMALL_MAX, OBM_SMALL_CLASSES, OBM_MEDIUM_MAX, OBM_MEDIUM_CLASSES,
            heap->settings.no_medium ? " (left to the system's malloc)" : "",
            stats.page_size, heap->geometry.run_size, stats.arena_size);
    print_classes(out, &stats);
    fputc('\n', out);
    print_arenas(out, &stats);
    fputc('\n', out);
    print_bytes(out, &stats);
}

/* obmalloc: memory for what the allocator itself keeps: arena objects, the map of
   arenas, descriptors outside the window, bitmaps and the quarantine of a secure heap.
   In a secure heap it lies between two pages that cannot be accessed. */

#include "obmalloc/metadata.h"

static size_t
guard_size(const struct obm_heap *heap)
{
    return heap->settings.secure ? heap->geometry.page_size : 0;
}

static size_t
whole_pages(const struct obm_heap *heap, size_t size)
{
    size_t page = heap->geometry.page_size;
    return (size + page - 1) / page * page;
}

void *
obm_metadata_map(const struct obm_heap *heap, size_t size)
{
    size_t guard = guard_size(heap);
    if (guard == 0) {
        return heap->os->map(NULL, size);
    }
    size = whole_pages(heap, size);
    char *start = heap->os->map(NULL, size + 2 * guard);
    if (start == NULL) {
        return NULL;
    }
    /* What cannot be guarded is used all the same. */
    heap->os->guard(start, guard);
    heap->os->guard(start + guard + size, guard);
    return start + guard;
}

void
obm_metadata_unmap(const struct obm_heap *heap, void *address, size_t size)
{
    size_t guard = guard_size(heap);
    if (guard != 0) {
        size = whole_pages(heap, size) + 2 * guard;
    }
    heap->os->unmap((char *)address - guard, size);
}

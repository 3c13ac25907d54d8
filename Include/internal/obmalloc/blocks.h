/* obmalloc: the blocks of a run that is lent to a medium class: their numbers, and the
   pages that they touch (struct obm_run in types.h). */

#ifndef OBM_BLOCKS_H
#define OBM_BLOCKS_H

#include "obmalloc/arena_map.h"
#include "obmalloc/bits.h"

/* The number of the block of this class that an offset into its run lies in, in bytes,
   less than the size of a run: see size_class.c. */
OBM_INLINE unsigned
obm_block_number(const struct obm_size_class *row, size_t offset)
{
    return ((uint32_t)offset >> OBM_GRANULE_SHIFT) * row->reciprocal >> OBM_RECIPROCAL_SHIFT;
}

/* Blocks in a run, which may lack a page at the end of an arena. */
OBM_INLINE unsigned
obm_run_capacity(const struct obm_heap *heap, const struct obm_run *run)
{
    const struct obm_size_class *row = &heap->geometry.classes[run->size_class];
    return run->page_count == heap->geometry.run_pages
           ? row->capacity : obm_block_number(row, (size_t)run->page_count << obm_page_shift(heap));
}

/* The pages that the block with this number touches. */
OBM_INLINE struct obm_page_range
obm_pages_touched(const struct obm_heap *heap, size_t size, unsigned number)
{
    size_t offset = number * size;
    struct obm_page_range range;
    range.first = (unsigned)(offset >> obm_page_shift(heap));
    range.last = (unsigned)((offset + size - 1) >> obm_page_shift(heap));
    return range;
}

/* The blocks of a run that touch a page of it: the number of the first, and one more than
   that of the last; none if they are the same. */
OBM_INLINE void
obm_blocks_touching(const struct obm_heap *heap, const struct obm_run *run, unsigned page,
                    unsigned *first, unsigned *end)
{
    const struct obm_size_class *row = &heap->geometry.classes[run->size_class];
    size_t offset = (size_t)page << obm_page_shift(heap);
    unsigned capacity = obm_run_capacity(heap, run);
    *first = obm_block_number(row, offset);
    *end = obm_block_number(row, offset + heap->geometry.page_size - 1) + 1;
    *first = *first < capacity ? *first : capacity;
    *end = *end < capacity ? *end : capacity;
}

OBM_INLINE unsigned
obm_run_words(const struct obm_heap *heap)
{
#if OBM_FIXED_PAGE_SHIFT
    (void)heap;
    return OBM_RUN_WORDS;
#else
    return heap->geometry.run_words;
#endif
}

/* The bitmap of a run of a medium class: bit i % 64 of word i / 64 tells that block i is
   free. */
OBM_INLINE uint64_t *
obm_run_blocks(const struct obm_heap *heap, obm_run_id id)
{
    return heap->blocks + (size_t)id * obm_run_words(heap);
}

OBM_INLINE bool
obm_block_is_free(const struct obm_heap *heap, obm_run_id id, unsigned number)
{
    return obm_run_blocks(heap, id)[number / 64] >> (number % 64) & 1;
}

/* The number of a kept block in its run. */
OBM_INLINE unsigned
obm_kept_number(const struct obm_kept_block *kept)
{
    return kept->number & ~OBM_KEPT_IDLE;
}

/* All blocks of a run that was just lent are free. */
OBM_INLINE void
obm_blocks_cut(const struct obm_heap *heap, obm_run_id id)
{
    struct obm_run *run = obm_run_at(heap, id);
    uint64_t *blocks = obm_run_blocks(heap, id);
    unsigned left = obm_run_capacity(heap, run);
    run->free_blocks = (uint16_t)left;
    for (unsigned word = 0; word < obm_run_words(heap); word++) {
        blocks[word] = left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
        left -= left < 64 ? left : 64;
    }
}

/* The number of the lowest free block of a run that has one. */
OBM_INLINE unsigned
obm_lowest_block(const struct obm_heap *heap, obm_run_id id)
{
    const uint64_t *blocks = obm_run_blocks(heap, id);
    unsigned word = 0;
    while (blocks[word] == 0) {
        word++;
    }
    return word * 64 + obm_lowest_bit(blocks[word]);
}

/* Bytes of an arena's bitmaps, which stand behind the arena objects. */
OBM_INLINE size_t
obm_blocks_size(const struct obm_heap *heap)
{
    return OBM_RUNS_PER_ARENA * obm_run_words(heap) * sizeof(uint64_t);
}

#endif /* OBM_BLOCKS_H */

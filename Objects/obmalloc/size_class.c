/* obmalloc: size classes, and the sizes that follow from the page size.

   Class number c holds blocks of (c + 1) * OBM_ALIGNMENT bytes, up to
   OBM_SMALL_MAX.  The medium classes come after them: 576, 640, ... 1024 bytes, then
   1152 and so on, eight for each doubling, up to OBM_MEDIUM_MAX.  The table of the
   classes is made once, here; all code that asks for the size or the capacity of a class
   reads it there, readers from outside (layout.h) included.  A pool is one page of the
   system and has no header, so the capacity of a pool is the page size divided by the
   block size; what is left at the end of the page is less than one block.  Only the blocks
   of a cache line's size have one less and start later: see OBM_BEFORE_LINE.  The blocks of
   a medium class divide a run in the same way.

   Which medium block an offset into its run lies in is a division by the block's size.
   Both are counted in granules, so the quotient is exact with a multiplication of 32
   bits: offset * reciprocal < 2^32, and (rounding) offset * (granules - 1) <
   2^OBM_RECIPROCAL_SHIFT.

   Pages of 4 KiB give runs of 32 pages and arenas of 2 MiB.  Larger pages
   give longer runs, so that a run still has 2^OBM_MIN_RUN_PAGES_SHIFT pages at least:
   with 64 KiB, runs of 512 KiB and arenas of 8 MiB. */

#include "obmalloc/size_class.h"

#include <string.h>

static unsigned
shift_of(size_t size)
{
    unsigned shift = 0;
    while (((size_t)1 << shift) < size) {
        shift++;
    }
    return shift;
}

static struct obm_size_class
small_class(size_t page_size, uint32_t size)
{
    uint32_t start = size == OBM_LINE ? OBM_LINE - OBM_BEFORE_LINE : 0;
    return (struct obm_size_class){size, ((uint32_t)page_size - start) / size, start, 0};
}

/* Medium class number m. */
static struct obm_size_class
medium_class(const struct obm_geometry *geometry, unsigned m)
{
    const unsigned steps = 1u << OBM_MEDIUM_STEPS_SHIFT;
    uint32_t granules = (steps + 1 + m % steps) << m / steps;
    struct obm_size_class row;
    row.size = granules << OBM_GRANULE_SHIFT;
    row.capacity = (uint32_t)geometry->run_size / row.size;
    row.start = 0;
    row.reciprocal = ((1u << OBM_RECIPROCAL_SHIFT) + granules - 1) / granules;
    return row;
}

bool
obm_geometry_init(struct obm_geometry *geometry, size_t page_size)
{
    unsigned page_shift = shift_of(page_size);
    memset(geometry, 0, sizeof(*geometry));
    if (((size_t)1 << page_shift) != page_size
        || page_shift < OBM_MIN_PAGE_SHIFT || page_shift > OBM_MAX_PAGE_SHIFT
        || (OBM_FIXED_PAGE_SHIFT != 0 && page_shift != OBM_FIXED_PAGE_SHIFT)) {
        return false;
    }
    unsigned run_shift = OBM_RUN_SHIFT;
    if (run_shift < page_shift + OBM_MIN_RUN_PAGES_SHIFT) {
        run_shift = page_shift + OBM_MIN_RUN_PAGES_SHIFT;
    }
    unsigned arena_shift = run_shift + OBM_RUNS_SHIFT;

    geometry->page_size = page_size;
    geometry->run_size = (size_t)1 << run_shift;
    geometry->arena_size = (size_t)1 << arena_shift;
    geometry->page_shift = (uint8_t)page_shift;
    geometry->run_shift = (uint8_t)run_shift;
    geometry->arena_shift = (uint8_t)arena_shift;
    geometry->run_pages_shift = (uint8_t)(run_shift - page_shift);
    geometry->arena_pages_shift = (uint8_t)(arena_shift - page_shift);
    geometry->run_pages = (uint16_t)(1u << geometry->run_pages_shift);
    geometry->arena_pages = (uint16_t)(1u << geometry->arena_pages_shift);
    geometry->bitmap_words = (uint16_t)(page_size / OBM_ALIGNMENT / 64);
    geometry->run_words = (uint16_t)(geometry->run_size / OBM_MEDIUM_MIN / 64 + 1);
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        geometry->classes[c] = small_class(page_size, (c + 1) << OBM_ALIGNMENT_SHIFT);
    }
    for (unsigned m = 0; m < OBM_MEDIUM_CLASSES; m++) {
        geometry->classes[OBM_SMALL_CLASSES + m] = medium_class(geometry, m);
    }
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        geometry->classes[obm_long_class(c)] = geometry->classes[c];
    }
    return true;
}

OBM_STATIC_ASSERT(run_fits_its_bitmap,
                  (1u << (OBM_RUN_SHIFT - OBM_MIN_PAGE_SHIFT)) <= OBM_MAX_RUN_PAGES);
OBM_STATIC_ASSERT(division_fits_32_bits,
                  ((UINT64_C(1) << (OBM_MAX_RUN_SHIFT - OBM_GRANULE_SHIFT)) - 1)
                  * ((1u << OBM_RECIPROCAL_SHIFT) / (OBM_MEDIUM_MIN >> OBM_GRANULE_SHIFT) + 1)
                  <= UINT32_MAX);
OBM_STATIC_ASSERT(division_is_exact,
                  ((UINT64_C(1) << (OBM_MAX_RUN_SHIFT - OBM_GRANULE_SHIFT)) - 1)
                  * ((OBM_MEDIUM_MAX >> OBM_GRANULE_SHIFT) - 1) < 1u << OBM_RECIPROCAL_SHIFT);

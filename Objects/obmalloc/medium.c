/* obmalloc: blocks of the medium classes, 513 bytes to 32 KiB.

   A run that is lent to a medium class is cut into blocks from its start, one after the
   other, across the pages.  A bitmap of the run says which blocks are free, and the
   descriptor of each page how many live blocks touch it: minus that number is its
   countdown, so that the hot path of free refuses the page with the test that it makes
   anyway.  A page enters use when that number leaves 0, and is given back when it is 0
   again, also between two live blocks.

   malloc takes the lowest free block of the class's current run, and when that has none,
   of the fullest run with one.  So blocks gather at the starts of few runs.  The block of a
   class that was freed last is *kept*: it counts as live until the next one is freed, and
   is the next one that malloc hands out if it lies in the current run, or is larger
   than half a page and so had most of its pages for itself.  So a program that frees and
   asks in turn takes no page and gives none back.  As medium blocks take further pages from
   the system, kept blocks that were not asked for meanwhile are given up.

   A page in use is never clean.  Of the pages that a block takes some may be: calloc does
   not clear them.

   Out of memory: obm_run_with_room() fails before anything has changed, and
   nothing fails after it. */

#include "obmalloc/medium.h"
#include "obmalloc/bits.h"
#include "obmalloc/blocks.h"
#include "obmalloc/buckets.h"
#include "obmalloc/check.h"
#include "obmalloc/longlived.h"
#include "obmalloc/retention.h"
#include "obmalloc/run.h"
#include "obmalloc/secure.h"
#include "obmalloc/trim.h"

#include <string.h>

void
obm_medium_init(struct obm_heap *heap)
{
    const struct obm_settings *settings = &heap->settings;
    bool at_once = !settings->no_medium && !settings->secure && settings->check_level == 0;
    heap->medium.max = at_once ? OBM_MEDIUM_MAX : 0;
    heap->medium.classes = OBM_MEDIUM_CLASSES;
}

/* Pages -------------------------------------------------------------------------- */

static void give_up_idle(struct obm_heap *heap);

/* Take free pages of the run into use, which one block touches.  Returns those that are known
   to be zero. */
static OBM_NOINLINE uint64_t
take_pages(struct obm_heap *heap, obm_run_id id, struct obm_pool *pools, unsigned size_class,
           struct obm_page_range pages)
{
    struct obm_page_history history = obm_pages_take(heap, id, pages);
    const struct obm_pool touched_once = {OBM_NO_LINK, -1, 0, (uint8_t)size_class,
                                          OBM_POOL_MEDIUM, 0, 0};
    for (unsigned page = pages.first; page <= pages.last; page++) {
        pools[page] = touched_once;
    }
    obm_retention_page_taken(heap, obm_run_arena(heap, id), history);
    heap->medium.grown += pages.last - pages.first + 1 - history.dirty;
    if (heap->medium.grown >= OBM_IDLE_PAGES && heap->medium.grown >= heap->arena_count) {
        give_up_idle(heap);
    }
    return history.clean;
}

/* Give back pages that no block needs any more. */
static OBM_NOINLINE void
give_pages(struct obm_heap *heap, obm_run_id id, struct obm_pool *pools, unsigned size_class,
           struct obm_page_range pages)
{
    const struct obm_pool untouched = {OBM_NO_LINK, 0, 0, (uint8_t)size_class,
                                       OBM_POOL_FREE, 0, 0};
    for (unsigned page = pages.first; page <= pages.last; page++) {
        pools[page] = untouched;
    }
    obm_pages_give(heap, id, pages);
    obm_run_id *current = &heap->medium.current[size_class - OBM_SMALL_CLASSES];
    if (*current == id && obm_run_at(heap, id)->size_class == OBM_NO_CLASS) {
        *current = 0;
    }
    obm_trim_page_freed(heap);
}

/* Count one more block on each page that it touches, but those that had none, which
   take_pages() counts.  Returns these.  A block has those between its first and its last
   page for itself. */
OBM_INLINE struct obm_page_range
count_in(struct obm_pool *pools, struct obm_page_range range)
{
    bool several = range.first != range.last;
    if (pools[range.first].countdown != 0) {
        pools[range.first].countdown--;
        range.first++;
    }
    if (several && pools[range.last].countdown != 0) {
        pools[range.last].countdown--;
        range.last--;
    }
    return range;
}

/* Count one less, but on those that have none now, which give_pages() does.  Returns these. */
OBM_INLINE struct obm_page_range
count_out(struct obm_pool *pools, struct obm_page_range range)
{
    bool several = range.first != range.last;
    if (++pools[range.first].countdown != 0) {
        range.first++;
    }
    if (several && ++pools[range.last].countdown != 0) {
        range.last--;
    }
    return range;
}

/* Blocks ------------------------------------------------------------------------- */

/* Make the fullest run with a free block current; 0: no memory. */
static OBM_NOINLINE obm_run_id
next_run(struct obm_heap *heap, unsigned size_class)
{
    obm_run_id id;
    size_t arenas = heap->counters.arenas_mapped;
    if (obm_run_with_room(heap, size_class, &id) == NULL) {
        return 0;
    }
    heap->medium.current[size_class - OBM_SMALL_CLASSES] = id;
    if (size_class >= OBM_LONG_MEDIUM) {
        heap->medium.classes = 2 * OBM_MEDIUM_CLASSES;
    }
    if (arenas != heap->counters.arenas_mapped) {
        obm_check_at_arena_event(heap);
    }
    return id;
}

/* Hand out a free block.  *clean: those of its pages that are known to be zero. */
OBM_INLINE void *
take_block(struct obm_heap *heap, unsigned size_class, obm_run_id id, unsigned number,
           uint64_t *clean)
{
    struct obm_run *run = obm_run_at(heap, id);
    size_t size = obm_class_size(heap, size_class);
    uintptr_t address = obm_run_address(heap, id);
    uint64_t *blocks = obm_run_blocks(heap, id);
    struct obm_pool *pools = obm_run_pools(heap, id);
    struct obm_page_range entered = count_in(pools, obm_pages_touched(heap, size, number));
    blocks[number / 64] &= ~(UINT64_C(1) << (number % 64));
    if (OBM_UNLIKELY(run->free_blocks == 1)) {
        obm_run_unlink(heap, id);
    }
    run->free_blocks--;
    *clean = 0;
    if (entered.first <= entered.last) {
        *clean = take_pages(heap, id, pools, size_class, entered);
    }
    return (void *)(address + number * size);
}

/* A block can be handed out again. */
static OBM_NOINLINE void
put_block(struct obm_heap *heap, obm_run_id id, unsigned number)
{
    struct obm_run *run = obm_run_at(heap, id);
    unsigned size_class = run->size_class;
    size_t size = obm_class_size(heap, size_class);
    struct obm_pool *pools = obm_run_pools(heap, id);
    struct obm_page_range left = count_out(pools, obm_pages_touched(heap, size, number));
    obm_run_blocks(heap, id)[number / 64] |= UINT64_C(1) << (number % 64);
    if (OBM_UNLIKELY(run->free_blocks++ == 0)) {
        obm_run_link(heap, id);
    }
    if (left.first <= left.last) {
        give_pages(heap, id, pools, size_class, left);
    }
}

/* Give up the block that a class keeps, if it does. */
static void
give_up(struct obm_heap *heap, struct obm_kept_block *kept)
{
    obm_run_id id = kept->run;
    kept->run = 0;
    if (id != 0) {
        put_block(heap, id, obm_kept_number(kept));
    }
}

/* Give up the kept blocks that are still those of the last call. */
static OBM_NOINLINE void
give_up_idle(struct obm_heap *heap)
{
    struct obm_kept_block *kept = heap->medium.kept;
    struct obm_kept_block *end = kept + heap->medium.classes;
    heap->medium.grown = 0;
    for (; kept != end; kept++) {
        if (kept->run == 0) {
            continue;
        }
        if ((kept->number & OBM_KEPT_IDLE) != 0) {
            give_up(heap, kept);
        }
        else {
            kept->number |= OBM_KEPT_IDLE;
        }
    }
}

/* The lowest free block of the current run, or of the next one. */
OBM_INLINE void *
take_lowest(struct obm_heap *heap, unsigned size_class, uint64_t *clean)
{
    obm_run_id id = heap->medium.current[size_class - OBM_SMALL_CLASSES];
    if (OBM_UNLIKELY(id == 0 || obm_run_at(heap, id)->free_blocks == 0)) {
        id = next_run(heap, size_class);
        if (id == 0) {
            return NULL;
        }
    }
    return take_block(heap, size_class, id, obm_lowest_block(heap, id), clean);
}

/* The block that the class keeps, if it has one and this is its turn: see the top. */
OBM_INLINE void *
take_kept(struct obm_heap *heap, unsigned size_class)
{
    struct obm_kept_block *kept = &heap->medium.kept[size_class - OBM_SMALL_CLASSES];
    obm_run_id id = kept->run;
    if (id == 0 || (id != heap->medium.current[size_class - OBM_SMALL_CLASSES]
                    && 2 * obm_class_size(heap, size_class) <= heap->geometry.page_size)) {
        return NULL;
    }
    kept->run = 0;
    return kept->block;
}

/* In a secure heap. */
static void *
take_random(struct obm_heap *heap, unsigned size_class, uint64_t *clean)
{
    obm_run_id id = heap->medium.current[size_class - OBM_SMALL_CLASSES];
    if (id == 0 || obm_run_at(heap, id)->free_blocks == 0) {
        id = next_run(heap, size_class);
        if (id == 0) {
            return NULL;
        }
    }
    void *block = take_block(heap, size_class, id, obm_secure_choose(heap, id), clean);
    obm_secure_hold(heap, obm_find_pool(heap, block), block);
    return block;
}

/* With checks, in a secure heap, or while a thread gets long-lived blocks. */
static OBM_NOINLINE void *
take_carefully(struct obm_heap *heap, size_t size, uint64_t *clean)
{
    *clean = 0;
    if (size - 1 >= OBM_MEDIUM_MAX || heap->settings.no_medium || heap->geometry.page_size == 0) {
        return NULL;
    }
    unsigned size_class = obm_class_in_force(heap, obm_medium_class(size));
    void *block = take_kept(heap, size_class);
    if (block == NULL) {
        block = heap->settings.secure ? take_random(heap, size_class, clean)
                                      : take_lowest(heap, size_class, clean);
    }
    if (block != NULL && heap->settings.check_level > 0) {
        obm_check_on_the_way(heap, obm_find_pool(heap, block), block);
    }
    return block;
}

OBM_INLINE void *
take(struct obm_heap *heap, size_t size, uint64_t *clean)
{
    if (OBM_UNLIKELY(size - 1 >= heap->medium.max)) {
        return take_carefully(heap, size, clean);
    }
    unsigned size_class = obm_medium_class(size);
    void *block = take_kept(heap, size_class);
    *clean = 0;
    return block != NULL ? block : take_lowest(heap, size_class, clean);
}

OBM_NOINLINE void *
obm_medium_malloc(struct obm_heap *heap, size_t size)
{
    uint64_t clean;
    return take(heap, size, &clean);
}

/* Clear what of the block does not lie on a clean page. */
static void
clear_but(const struct obm_heap *heap, char *block, size_t size, uint64_t clean)
{
    uintptr_t page_size = heap->geometry.page_size;
    unsigned page = obm_pool_page_in_run(heap, obm_find_pool(heap, block));
    for (char *end = block + size; block < end; page++) {
        size_t part = page_size - ((uintptr_t)block & (page_size - 1));
        part = part < (size_t)(end - block) ? part : (size_t)(end - block);
        if (!(clean >> page & 1)) {
            memset(block, 0, part);
        }
        block += part;
    }
}

void *
obm_medium_calloc(struct obm_heap *heap, size_t size)
{
    uint64_t clean;
    void *block = take(heap, size, &clean);
    if (block != NULL && clean == 0) {
        memset(block, 0, size);
    }
    else if (block != NULL) {
        clear_but(heap, block, size, clean);
    }
    return block;
}

/* Whether the block with this number starts where block does, so many bytes from the start
   of a whole run, and a caller holds it; not in a secure heap. */
OBM_INLINE bool
is_live(const struct obm_heap *heap, unsigned size_class, obm_run_id id, unsigned number,
        size_t offset, const void *block)
{
    const struct obm_size_class *row = &heap->geometry.classes[size_class];
    const struct obm_kept_block *kept = &heap->medium.kept[size_class - OBM_SMALL_CLASSES];
    return number * row->size == offset && !obm_block_is_free(heap, id, number)
           && number < row->capacity && (kept->run == 0 || kept->block != block);
}

/* In the window every run is whole. */
void
obm_medium_must_be_live(const struct obm_heap *heap, const struct obm_pool *pool,
                        const void *block)
{
    size_t place, offset = (uintptr_t)block - heap->window_base;
    obm_run_id id = (obm_run_id)(offset >> obm_run_shift(heap));
    bool in_window = obm_place_in_window(heap, pool, &place);
    offset &= ((size_t)1 << obm_run_shift(heap)) - 1;
    if (OBM_UNLIKELY(!in_window)) {
        id = obm_pool_run(heap, pool);
        offset = (uintptr_t)block - obm_run_address(heap, id);
    }
    unsigned number = obm_block_number(&heap->geometry.classes[pool->size_class], offset);
    if (!is_live(heap, pool->size_class, id, number, offset, block)
        || (!in_window && number >= obm_run_capacity(heap, obm_run_at(heap, id)))) {
        obm_must_be_live(heap, pool, block, 1);
    }
}

/* Free a block of a run, so many bytes from its start. */
OBM_INLINE void
free_block(struct obm_heap *heap, struct obm_pool *pool, obm_run_id id, size_t offset, void *block)
{
    unsigned size_class = pool->size_class;
    struct obm_kept_block *kept = &heap->medium.kept[size_class - OBM_SMALL_CLASSES];
    unsigned number = obm_block_number(&heap->geometry.classes[size_class], offset);
    obm_run_id last_run = kept->run;
    unsigned last_number = kept->number;
    if (OBM_UNLIKELY(!is_live(heap, size_class, id, number, offset, block))) {
        obm_must_be_live(heap, pool, block, 1);
    }
    kept->block = block;
    kept->run = id;
    kept->number = number;
    if (last_run != 0) {
        put_block(heap, last_run, last_number & ~OBM_KEPT_IDLE);
    }
}

OBM_NOINLINE bool
obm_medium_free_in_window(struct obm_heap *heap, void *block)
{
    uintptr_t offset = (uintptr_t)block - heap->window_base;
    struct obm_pool *pool = &heap->window_pools[offset >> obm_page_shift(heap)];
    size_t in_run = offset & (((size_t)1 << obm_run_shift(heap)) - 1);
    free_block(heap, pool, (obm_run_id)(offset >> obm_run_shift(heap)), in_run, block);
    return true;
}

OBM_NOINLINE void
obm_medium_free(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    obm_run_id id = obm_pool_run(heap, pool);
    size_t offset = (uintptr_t)block - obm_run_address(heap, id);
    if (heap->settings.secure) {    /* what leaves the quarantine has waited */
        put_block(heap, id, obm_block_number(&heap->geometry.classes[pool->size_class], offset));
        return;
    }
    if (obm_block_number(&heap->geometry.classes[pool->size_class], offset)
        >= obm_run_capacity(heap, obm_run_at(heap, id))) {
        obm_must_be_live(heap, pool, block, 1);
    }
    free_block(heap, pool, id, offset, block);
}

void
obm_medium_retire(struct obm_heap *heap)
{
    for (unsigned m = 0; m < 2 * OBM_MEDIUM_CLASSES; m++) {
        heap->medium.current[m] = 0;
        give_up(heap, &heap->medium.kept[m]);
    }
}

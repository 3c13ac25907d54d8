/* obmalloc's unit tests: heaps, and blocks by the page.

   Include this, not the core, in a test.  With CHECK_SINGLE_UNIT the core
   comes in as the one translation unit that a patched CPython compiles, where
   its functions are static; hence the helpers here are static too. */

#ifndef OBM_CHECK_HEAPS_H
#define OBM_CHECK_HEAPS_H

#ifdef CHECK_SINGLE_UNIT
#  include "../../Objects/obmalloc/static.c"
#else
#  include "obmalloc/alloc.h"
#  include "obmalloc/arena.h"
#  include "obmalloc/bits.h"
#  include "obmalloc/blocks.h"
#  include "obmalloc/buckets.h"
#  include "obmalloc/check.h"
#  include "obmalloc/dump.h"
#  include "obmalloc/heap.h"
#  include "obmalloc/heap_map.h"
#  include "obmalloc/idle.h"
#  include "obmalloc/longlived.h"
#  include "obmalloc/medium.h"
#  include "obmalloc/os.h"
#  include "obmalloc/pool.h"
#  include "obmalloc/purge.h"
#  include "obmalloc/retention.h"
#  include "obmalloc/run.h"
#  include "obmalloc/secure.h"
#  include "obmalloc/settings.h"
#  include "obmalloc/stats.h"
#  include "obmalloc/system_malloc.h"
#  include "obmalloc/trim.h"
#endif

#include <stdlib.h>
#include <string.h>

#include "fake_os.h"
#include "harness.h"

#ifndef OBM_ARENAS_USE_MALLOC
#  define OBM_ARENAS_USE_MALLOC 0
#endif

/* A size of block of which an arena holds few, so that tests are short. */
#define LARGE OBM_SMALL_MAX
#define LARGE_CLASS (OBM_SMALL_CLASSES - 1)
#define SMALL OBM_ALIGNMENT
#define SMALL_CLASS 0

/* Heaps ---------------------------------------------------------------------------- */

static OBM_UNUSED void
no_complaint_expected(const char *line, void *data)
{
    (void)data;
    harness_fail(__FILE__, __LINE__, "%s", line);
}

/* A heap on the fake system. */
static OBM_UNUSED struct obm_heap *
heap_with(const struct obm_settings *settings)
{
    struct obm_heap *heap = calloc(1, sizeof(*heap));
    REQUIRE(heap != NULL);
    REQUIRE(obm_heap_init(heap, fake_os_system(), settings));
    return heap;
}

static OBM_UNUSED struct obm_heap *
heap_new(const char *settings_text)
{
    struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    obm_settings_parse(&settings, settings_text, no_complaint_expected, NULL);
    return heap_with(&settings);
}

static OBM_UNUSED void
expect_valid_heap(const struct obm_heap *heap, struct harness_place place)
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    if (!obm_check_heap(heap, 3, message)) {
        harness_stop(place.file, place.line, "invalid heap: %s", message);
    }
}
#define EXPECT_VALID(heap) expect_valid_heap(heap, HERE)

/* Close the heap; no memory of the fake system may be left. */
static OBM_UNUSED void
heap_end(struct obm_heap *heap)
{
    obm_heap_close(heap, false);
    free(heap);
    EXPECT_EQUAL(fake.mapped_bytes, 0);
}

/* Blocks by the page --------------------------------------------------------------- */

/* Every block of some pages of one class, in the order of malloc: those of one
   page stand together. */
struct pages {
    void **blocks;
    size_t count;               /* pages */
    size_t capacity;            /* blocks in a page */
};

static OBM_UNUSED struct pages
pages_take(struct obm_heap *heap, size_t count, size_t size)
{
    struct pages pages = {NULL, count, heap->geometry.classes[obm_size_class(size)].capacity};
    pages.blocks = calloc(count * pages.capacity + 1, sizeof(void *));
    REQUIRE(pages.blocks != NULL);
    for (size_t i = 0; i < count * pages.capacity; i++) {
        pages.blocks[i] = obm_malloc(heap, size);
        REQUIRE(pages.blocks[i] != NULL);
    }
    return pages;
}

/* Free the blocks of one page, but for the first `kept` ones. */
static OBM_UNUSED void
page_give_but(struct obm_heap *heap, struct pages *pages, size_t page, size_t kept)
{
    for (size_t i = kept; i < pages->capacity; i++) {
        void **block = &pages->blocks[page * pages->capacity + i];
        if (*block != NULL) {
            REQUIRE(obm_free(heap, *block));
            *block = NULL;
        }
    }
}

/* How many blocks of a full page must be free for it to be refilled. */
static OBM_UNUSED size_t
enough_of(const struct pages *pages)
{
    return (pages->capacity >> OBM_REFILL_SHIFT) + 1;
}

/* Free just enough blocks of a full page. */
static OBM_UNUSED void
page_give_enough(struct obm_heap *heap, struct pages *pages, size_t page)
{
    page_give_but(heap, pages, page, pages->capacity - enough_of(pages));
}

static OBM_UNUSED void
page_give(struct obm_heap *heap, struct pages *pages, size_t page)
{
    page_give_but(heap, pages, page, 0);
}

/* Free the pages from first up to, but not including, last. */
static OBM_UNUSED void
pages_give_range(struct obm_heap *heap, struct pages *pages, size_t first, size_t last)
{
    for (size_t page = first; page < last; page++) {
        page_give(heap, pages, page);
    }
}

static OBM_UNUSED void
pages_give(struct obm_heap *heap, struct pages *pages)
{
    pages_give_range(heap, pages, 0, pages->count);
    free(pages->blocks);
    pages->blocks = NULL;
}

static OBM_UNUSED void *
page_block(const struct pages *pages, size_t page)
{
    return pages->blocks[page * pages->capacity];
}

/* The address of the page. */
static OBM_UNUSED char *
page_address(const struct obm_heap *heap, const struct pages *pages, size_t page)
{
    return obm_pool_address(heap, obm_find_pool(heap, page_block(pages, page)));
}

/* Where a block lies --------------------------------------------------------------- */

static OBM_UNUSED obm_arena_index
arena_of(const struct obm_heap *heap, const void *block)
{
    const struct obm_pool *pool = obm_find_pool(heap, block);
    REQUIRE(pool != NULL);
    return obm_pool_arena(heap, pool);
}

static OBM_UNUSED unsigned
run_of(const struct obm_heap *heap, const void *block)
{
    const struct obm_pool *pool = obm_find_pool(heap, block);
    REQUIRE(pool != NULL);
    return obm_pool_page(heap, pool) >> heap->geometry.run_pages_shift;
}

static OBM_UNUSED struct obm_arena_object *
arena_object_of(const struct obm_heap *heap, const void *block)
{
    return &heap->arenas[arena_of(heap, block)];
}

/* Fatal errors --------------------------------------------------------------------- */

struct free_call {
    struct obm_heap *heap;
    void *block;
};

static OBM_UNUSED void
do_free_call(void *argument)
{
    struct free_call *call = argument;
    obm_free(call->heap, call->block);
}

/* The message with which obm_free() ends the process; NULL: it returns. */
static OBM_UNUSED const char *
fatal_of_free(struct obm_heap *heap, void *block)
{
    struct free_call call = {heap, block};
    return fake_os_fatal_message(do_free_call, &call);
}

struct realloc_call {
    struct obm_heap *heap;
    void *block;
    size_t size;
};

/* What obm_realloc() asks for memory that the heap does not serve: there is none. */
static OBM_UNUSED void *
refuse(void *context, size_t size)
{
    (void)context;
    (void)size;
    return NULL;
}

static OBM_UNUSED void
do_realloc_call(void *argument)
{
    struct realloc_call *call = argument;
    obm_realloc(call->heap, &call->block, call->size, refuse, NULL);
}

/* The message with which obm_realloc() ends the process; NULL: it returns. */
static OBM_UNUSED const char *
fatal_of_realloc(struct obm_heap *heap, void *block, size_t size)
{
    struct realloc_call call = {heap, block, size};
    return fake_os_fatal_message(do_realloc_call, &call);
}

static OBM_UNUSED bool
is_zero(const char *block, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (block[i] != 0) {
            return false;
        }
    }
    return true;
}

#endif /* OBM_CHECK_HEAPS_H */

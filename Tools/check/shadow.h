/* obmalloc's tests: a heap and its shadow.

   A world is a heap and what a program knows of it: every block that it holds,
   how large it is and what its bytes are.  The operations do what an adapter
   does, the system's malloc included, and compare what the heap does with what
   it may do.  Which operations there are in a run, test_random.c leaves to
   chance, and Tools/fuzz to an input. */

#ifndef OBM_CHECK_SHADOW_H
#define OBM_CHECK_SHADOW_H

#include "heaps.h"

#define SHADOWS 30000u              /* blocks of a world at a time, at most */
#define LARGEST (2 * OBM_MEDIUM_MAX)    /* half of the sizes are the system's */

/* A block that the program holds. */
struct shadow {
    unsigned char *block;
    size_t size;
    unsigned char first;            /* what its bytes begin with */
    bool system;                    /* from the system's malloc */
};

struct world {
    struct obm_heap *heap;
    struct shadow shadows[SHADOWS];
    size_t count;
};

/* What a failure's message begins with, so that the run can be repeated. */
static char world_run[64];

#define REQUIRE_SHADOW(condition) \
    do { \
        if (!(condition)) { \
            harness_stop(__FILE__, __LINE__, "%s: %s", world_run, #condition); \
        } \
    } while (0)

/* Contents ------------------------------------------------------------------------- */

static OBM_UNUSED void
shadow_write(struct shadow *shadow, unsigned char first)
{
    shadow->first = first;
    for (size_t i = 0; i < shadow->size; i++) {
        shadow->block[i] = (unsigned char)(first + i * 7);
    }
}

/* No early end, so that the compiler takes many bytes at a time. */
static OBM_UNUSED void
shadow_verify(const struct shadow *shadow, size_t size)
{
    unsigned char difference = 0;
    for (size_t at = 0; at < size; at++) {
        difference |= shadow->block[at] ^ (unsigned char)(shadow->first + at * 7);
    }
    REQUIRE_SHADOW(difference == 0);
}

/* Of an arena that went back no descriptor tells. */
static OBM_UNUSED void
world_check_released(const struct obm_heap *heap)
{
    for (obm_arena_index i = 1; heap->window >= 0 && i < heap->arenas_ever; i++) {
        uintptr_t place = heap->window_base + ((uintptr_t)i << heap->geometry.arena_shift);
        REQUIRE_SHADOW(heap->arenas[i].address != 0
                       || obm_find_pool(heap, (void *)place) == NULL);
    }
}

/* The heap is valid, and has as many blocks as the program holds of it. */
static OBM_UNUSED void
world_check_heap(const struct world *world)
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    size_t small = 0;
    if (!obm_check_heap(world->heap, 3, message)) {
        harness_stop(__FILE__, __LINE__, "%s: %s", world_run, message);
    }
    world_check_released(world->heap);
    for (size_t i = 0; i < world->count; i++) {
        small += !world->shadows[i].system;
    }
    REQUIRE_SHADOW(obm_allocated_blocks(world->heap) == (ptrdiff_t)small);
}

/* The same, and every block is as the program left it. */
static OBM_UNUSED void
world_check(const struct world *world)
{
    world_check_heap(world);
    for (size_t i = 0; i < world->count; i++) {
        shadow_verify(&world->shadows[i], world->shadows[i].size);
    }
}

static int
shadows_by_address(const void *one, const void *other)
{
    const struct shadow *a = one, *b = other;
    return (a->block > b->block) - (a->block < b->block);
}

static OBM_UNUSED void
world_check_overlap(const struct world *world)
{
    static struct shadow sorted[SHADOWS];
    memcpy(sorted, world->shadows, world->count * sizeof(sorted[0]));
    qsort(sorted, world->count, sizeof(sorted[0]), shadows_by_address);
    for (size_t i = 1; i < world->count; i++) {
        REQUIRE_SHADOW(sorted[i - 1].block + sorted[i - 1].size <= sorted[i].block);
    }
}

/* Operations, as an adapter does them ---------------------------------------------- */

/* Whether requests of this size are the heap's. */
static OBM_UNUSED bool
world_serves(const struct world *world, size_t size)
{
    return size - 1 < (world->heap->settings.no_medium ? OBM_SMALL_MAX : OBM_MEDIUM_MAX);
}

/* The class of such a request. */
static OBM_UNUSED unsigned
class_of(size_t size)
{
    return size <= OBM_SMALL_MAX ? (unsigned)obm_size_class(size) : obm_medium_class(size);
}

/* Memory for the block, from the heap or else from the system.  A block of a size that the
   heap serves is not the heap's only if the machine refused it memory. */
static OBM_UNUSED void
world_get_block(struct world *world, struct shadow *shadow, size_t size, bool cleared)
{
    size_t refused = fake.refused;
    shadow->size = size;
    shadow->block = cleared ? obm_calloc(world->heap, size) : obm_malloc(world->heap, size);
    shadow->system = shadow->block == NULL;
    if (shadow->system) {
        REQUIRE_SHADOW(!world_serves(world, size) || fake.refused != refused);
        shadow->block = cleared ? calloc(1, size) : malloc(size);
        REQUIRE_SHADOW(shadow->block != NULL);
        REQUIRE_SHADOW(obm_block_size(world->heap, shadow->block) == 0);
        return;
    }
    REQUIRE_SHADOW((uintptr_t)shadow->block % OBM_ALIGNMENT == 0);
    REQUIRE_SHADOW(world_serves(world, size));
    REQUIRE_SHADOW(obm_block_size(world->heap, shadow->block)
                   == obm_class_size(world->heap, class_of(size)));
}

static OBM_UNUSED void
world_put_block(struct world *world, const struct shadow *shadow)
{
    bool ours = obm_free(world->heap, shadow->block);
    REQUIRE_SHADOW(ours == !shadow->system);
    if (!ours) {
        free(shadow->block);
    }
}

static OBM_UNUSED void
world_allocate(struct world *world, size_t size, bool cleared, unsigned char first)
{
    if (world->count == SHADOWS) {
        return;
    }
    struct shadow *shadow = &world->shadows[world->count];
    world_get_block(world, shadow, size, cleared);
    for (size_t i = 0; cleared && i < size; i++) {
        REQUIRE_SHADOW(shadow->block[i] == 0);
    }
    shadow_write(shadow, first);
    world->count++;
}

/* The last shadow takes the place of the one that goes. */
static OBM_UNUSED void
world_free(struct world *world, size_t number)
{
    struct shadow *shadow = &world->shadows[number];
    shadow_verify(shadow, shadow->size);
    world_put_block(world, shadow);
    *shadow = world->shadows[--world->count];
}

/* What obm_realloc() asks for memory: the system's malloc, and whether it was right to. */
struct elsewhere {
    const struct world *world;
    size_t refused;             /* requests of the heap that the machine had refused before */
    bool asked;
};

static OBM_UNUSED void *
ask_elsewhere(void *context, size_t size)
{
    struct elsewhere *elsewhere = context;
    REQUIRE_SHADOW(!world_serves(elsewhere->world, size) || fake.refused != elsewhere->refused);
    elsewhere->asked = true;
    return malloc(size != 0 ? size : 1);
}

static OBM_UNUSED void
world_reallocate(struct world *world, size_t number, size_t size, unsigned char first)
{
    struct shadow *shadow = &world->shadows[number];
    struct shadow old = *shadow;
    struct elsewhere elsewhere = {world, fake.refused, false};
    void *block = old.block;
    bool ours = obm_realloc(world->heap, &block, size, ask_elsewhere, &elsewhere);
    REQUIRE_SHADOW(ours == !old.system);
    if (!ours) {
        block = realloc(block, size != 0 ? size : 1);
    }
    REQUIRE_SHADOW(block != NULL);
    shadow->block = block;
    shadow->size = size;
    shadow->system = !ours || elsewhere.asked;
    REQUIRE_SHADOW(shadow->system == (obm_block_size(world->heap, block) == 0));
    REQUIRE_SHADOW(shadow->system || obm_block_size(world->heap, block) >= size);
    shadow->first = old.first;
    shadow_verify(shadow, size < old.size ? size : old.size);
    shadow_write(shadow, first);
}

/* Free everything.  When all is free, and the machine grants what it is asked,
   all goes back. */
static OBM_UNUSED void
world_empty(struct world *world)
{
    while (world->count != 0) {
        world_free(world, world->count - 1);
    }
    obm_trim(world->heap);
    world_check(world);
    REQUIRE_SHADOW(world->heap->arena_count == 0);
    REQUIRE_SHADOW(world->heap->map.count == 0);
    REQUIRE_SHADOW(world->heap->retention.dirty == 0);
}

#endif /* OBM_CHECK_SHADOW_H */

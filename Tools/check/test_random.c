/* obmalloc's unit tests: random operations against a shadow of every heap.

   Several heaps live through bursts and drains of blocks of all sizes while
   the machine turns against them: memory runs out, hints and purges are
   refused, a foreign arena allocator comes and goes, the clock jumps.  The
   shadow knows what each block must hold.

   Each run prints its seed if it fails, and

       SEED=12345 build/check/test_random

   runs that one and nothing else. */

#include "heaps.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define HEAPS 3u
#define SHADOWS 30000u              /* blocks of a heap at a time, at most */
#define OPERATIONS 300000u
#define LARGEST (2 * OBM_SMALL_MAX) /* half of the sizes are the system's */
#define CHECK_EVERY 10007u          /* operations */
#define MISFORTUNE_EVERY 700u
#define TIDE_EVERY 50000u           /* growing and shrinking take turns */

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

static struct world worlds[HEAPS];
static struct foreign_allocator foreign;
static uint64_t state;
static uint64_t seed_in_force;

/* Chance --------------------------------------------------------------------------- */

/* xorshift64*, by Vigna. */
static uint32_t
random_number(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * UINT64_C(0x2545f4914f6cdd1d) >> 32);
}

static uint32_t
below(uint32_t limit)
{
    return random_number() % limit;
}

static bool
one_in(uint32_t count)
{
    return below(count) == 0;
}

/* Few sizes, used often, as in a program; now and then any. */
static size_t
random_size(void)
{
    static const size_t common[] = {16, 24, 32, 48, 56, 64, 72, 120, 232, OBM_SMALL_MAX};
    if (one_in(4)) {
        return below(LARGEST) + 1;
    }
    return common[below(sizeof(common) / sizeof(common[0]))];
}

/* The shadow ----------------------------------------------------------------------- */

#define REQUIRE_SEEDED(condition) \
    do { \
        if (!(condition)) { \
            harness_stop(__FILE__, __LINE__, "SEED=%llu: %s", \
                         (unsigned long long)seed_in_force, #condition); \
        } \
    } while (0)

/* No two blocks hold the same row of bytes, but for chance. */
static void
shadow_write(struct shadow *shadow)
{
    shadow->first = (unsigned char)random_number();
    for (size_t i = 0; i < shadow->size; i++) {
        shadow->block[i] = (unsigned char)(shadow->first + i * 7);
    }
}

static void
shadow_verify(const struct shadow *shadow, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        REQUIRE_SEEDED(shadow->block[i] == (unsigned char)(shadow->first + i * 7));
    }
}

static void
world_check(const struct world *world)
{
    char message[OBM_CHECK_MESSAGE_SIZE];
    size_t small = 0;
    if (!obm_check_heap(world->heap, 3, message)) {
        harness_stop(__FILE__, __LINE__, "SEED=%llu: %s", (unsigned long long)seed_in_force,
                     message);
    }
    for (size_t i = 0; i < world->count; i++) {
        shadow_verify(&world->shadows[i], world->shadows[i].size);
        small += !world->shadows[i].system;
    }
    REQUIRE_SEEDED(obm_allocated_blocks(world->heap) == (ptrdiff_t)small);
}

static int
by_address(const void *one, const void *other)
{
    const struct shadow *a = one, *b = other;
    return (a->block > b->block) - (a->block < b->block);
}

/* Sorts the shadows, which are in no order anyway. */
static void
world_check_overlap(struct world *world)
{
    qsort(world->shadows, world->count, sizeof(struct shadow), by_address);
    for (size_t i = 1; i < world->count; i++) {
        const struct shadow *before = &world->shadows[i - 1];
        REQUIRE_SEEDED(before->block + before->size <= world->shadows[i].block);
    }
}

/* Operations, as an adapter does them ---------------------------------------------- */

/* Memory for the block, from the heap or else from the system. */
static void
get_block(struct world *world, struct shadow *shadow, size_t size, bool cleared)
{
    shadow->size = size;
    shadow->block = cleared ? obm_calloc(world->heap, size) : obm_malloc(world->heap, size);
    shadow->system = shadow->block == NULL;
    if (shadow->system) {
        shadow->block = cleared ? calloc(1, size) : malloc(size);
        REQUIRE_SEEDED(shadow->block != NULL);
        REQUIRE_SEEDED(obm_block_size(world->heap, shadow->block) == 0);
        return;
    }
    REQUIRE_SEEDED((uintptr_t)shadow->block % OBM_ALIGNMENT == 0);
    REQUIRE_SEEDED(size <= OBM_SMALL_MAX);
    REQUIRE_SEEDED(obm_block_size(world->heap, shadow->block)
                   == obm_class_size((unsigned)obm_size_class(size)));
}

static void
put_block(struct world *world, const struct shadow *shadow)
{
    bool ours = obm_free(world->heap, shadow->block);
    REQUIRE_SEEDED(ours == !shadow->system);
    if (!ours) {
        free(shadow->block);
    }
}

static void
operation_allocate(struct world *world)
{
    if (world->count == SHADOWS) {
        return;
    }
    struct shadow *shadow = &world->shadows[world->count];
    bool cleared = one_in(3);
    get_block(world, shadow, random_size(), cleared);
    for (size_t i = 0; cleared && i < shadow->size; i++) {
        REQUIRE_SEEDED(shadow->block[i] == 0);
    }
    shadow_write(shadow);
    world->count++;
}

static void
operation_free(struct world *world)
{
    if (world->count != 0) {
        struct shadow *shadow = &world->shadows[below((uint32_t)world->count)];
        shadow_verify(shadow, shadow->size);
        put_block(world, shadow);
        *shadow = world->shadows[--world->count];
    }
}

/* The end of a session: all of it goes, or half of it. */
static void
operation_drain(struct world *world)
{
    size_t kept = one_in(2) ? 0 : world->count / 2;
    while (world->count > kept) {
        operation_free(world);
    }
}

static void
operation_reallocate(struct world *world)
{
    if (world->count == 0) {
        return;
    }
    struct shadow *shadow = &world->shadows[below((uint32_t)world->count)];
    struct shadow old = *shadow;
    size_t size = random_size();
    size_t kept = size < old.size ? size : old.size;
    if (obm_stays_in_place(obm_block_size(world->heap, old.block), size)) {
        shadow->size = size;
    }
    else {
        get_block(world, shadow, size, false);
        memcpy(shadow->block, old.block, kept);
        put_block(world, &old);
    }
    shadow->first = old.first;
    shadow_verify(shadow, kept);
    shadow_write(shadow);
}

/* What the machine does to a program. */
static void
misfortune(void)
{
    fake.fail_map = one_in(4) ? fake.map_calls + 1 + below(6) : 0;
    fake.fail_all_later = one_in(2);
    fake.refuse_hints = one_in(5);
    fake.refuse_purges = one_in(8);
    fake.refuse_guards = one_in(4);
    fake.no_huge_pages = one_in(4);
    fake.first_touch_takes = one_in(4) ? 2 * OBM_HUGE_NANOSECONDS : 0;
    foreign_in_force = one_in(4) ? &foreign.functions : NULL;
    foreign.refuse = one_in(6);
    fake.now += below(4) * OBM_EPOCH_NANOSECONDS;
}

static void
good_fortune(void)
{
    fake.fail_map = 0;
    fake.refuse_hints = fake.refuse_purges = foreign.refuse = false;
    foreign_in_force = NULL;
}

static void
operate(struct world *world, bool growing)
{
    uint32_t choice = below(100);
    const uint32_t allocations = growing ? 80 : 12, others = 8;
    if (choice < allocations) {
        operation_allocate(world);
    }
    else if (choice < allocations + others) {
        operation_reallocate(world);
    }
    else {
        operation_free(world);
    }
    if (one_in(10000)) {
        operation_drain(world);
    }
    if (one_in(20000)) {
        obm_trim(world->heap);
    }
    if (one_in(500)) {
        obm_before_blocking(world->heap);
    }
}

/* A run ---------------------------------------------------------------------------- */

static void
worlds_open(void)
{
    static const char *const settings[] = {
        "", "", "retain=none", "retain=all", "retain=256k", "check=1", "check=2",
        "check=3", "retain=none,check=3", "hugepages=always", "hugepages=always,check=3",
        "hugepages=always,retain=none", "secure=1", "secure=1,check=3", "secure=1,retain=none"
    };
    foreign_allocator_init(&foreign);
    for (unsigned w = 0; w < HEAPS; w++) {
        worlds[w].heap = heap_new(settings[below(sizeof(settings) / sizeof(settings[0]))]);
        worlds[w].heap->arena_allocator = foreign_allocator_in_force;
        worlds[w].count = 0;
    }
}

/* When everything is free, everything goes back. */
static void
worlds_close(void)
{
    good_fortune();
    for (unsigned w = 0; w < HEAPS; w++) {
        while (worlds[w].count != 0) {
            operation_free(&worlds[w]);
        }
        obm_trim(worlds[w].heap);
        world_check(&worlds[w]);
        REQUIRE_SEEDED(worlds[w].heap->arena_count == 0);
        REQUIRE_SEEDED(worlds[w].heap->map.count == 0);
        REQUIRE_SEEDED(worlds[w].heap->retention.dirty == 0);
        obm_heap_close(worlds[w].heap, false);
        free(worlds[w].heap);
    }
    REQUIRE_SEEDED(foreign.arenas == 0);
    REQUIRE_SEEDED(fake.mapped_bytes == 0);
}

static void
run_seed(uint64_t seed)
{
    seed_in_force = seed;
    state = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    fake.entropy = seed;
    worlds_open();
    for (unsigned step = 1; step <= OPERATIONS; step++) {
        struct world *world = &worlds[below(HEAPS)];
        operate(world, step / TIDE_EVERY % 2 == 0);
        if (step % MISFORTUNE_EVERY == 0) {
            misfortune();
        }
        if (step % CHECK_EVERY == 0) {
            world_check(world);
            world_check_overlap(world);
        }
    }
    worlds_close();
}

/* With SEED set, a run of a fixed seed does nothing. */
static void
run_fixed(uint64_t seed)
{
    if (getenv("SEED") == NULL) {
        run_seed(seed);
    }
}

TEST(fixed_seed_1) { run_fixed(1); }
TEST(fixed_seed_2) { run_fixed(2); }
TEST(fixed_seed_3) { run_fixed(3); }

TEST(a_seed_of_its_own)
{
    const char *text = getenv("SEED");
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10)
                    : ((uint64_t)now.tv_sec * 1000003u ^ (uint64_t)now.tv_nsec
                       ^ (uint64_t)getpid()) % 1000000000u;
    printf("SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    run_seed(seed);
}

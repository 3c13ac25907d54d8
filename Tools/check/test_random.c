/* obmalloc's unit tests: random operations against a shadow of every heap.

   Several heaps live through bursts and drains of blocks of all sizes while
   the machine turns against them: memory runs out, hints and purges are
   refused, a foreign arena allocator comes and goes, the clock jumps.  The
   shadow knows what each block must hold.

   Each run prints its seed if it fails, and

       SEED=12345 build/check/test_random

   runs that one and nothing else. */

#include "shadow.h"

#include <stdio.h>

#define HEAPS 3u
#define OPERATIONS 300000u
#define CHECK_EVERY 10007u          /* operations */
#define MISFORTUNE_EVERY 700u
#define TIDE_EVERY 50000u           /* growing and shrinking take turns */

static struct world worlds[HEAPS];
static struct foreign_allocator foreign;
static uint64_t state;

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

/* Few sizes, used often, as in a program; now and then any, the larger the less. */
static size_t
random_size(void)
{
    static const size_t common[] = {16, 24, 32, 48, 56, 64, 72, 120, 232, OBM_SMALL_MAX};
    if (one_in(8)) {
        return below(2 * OBM_SMALL_MAX << below(OBM_MEDIUM_DOUBLINGS + 1)) + 1;
    }
    if (one_in(4)) {
        return below(2 * OBM_SMALL_MAX) + 1;
    }
    return common[below(sizeof(common) / sizeof(common[0]))];
}

/* No two blocks hold the same row of bytes, but for chance. */
static unsigned char
random_byte(void)
{
    return (unsigned char)random_number();
}

/* Operations ----------------------------------------------------------------------- */

static void
operation_free(struct world *world)
{
    if (world->count != 0) {
        world_free(world, below((uint32_t)world->count));
    }
}

static void
operation_reallocate(struct world *world)
{
    if (world->count != 0) {
        uint32_t number = below((uint32_t)world->count);
        size_t size = random_size();
        world_reallocate(world, number, size, random_byte());
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

/* What the machine does to a program. */
static void
misfortune(void)
{
    fake.fail_map = one_in(4) ? fake.map_calls + 1 + below(6) : 0;
    fake.fail_all_later = one_in(2);
    fake.refuse_hints = one_in(5);
    fake.refuse_purges = one_in(8);
    fake.refuse_populates = one_in(16);
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
    fake.refuse_hints = fake.refuse_purges = fake.refuse_populates = foreign.refuse = false;
    foreign_in_force = NULL;
}

static void
operate(struct world *world, bool growing)
{
    uint32_t choice = below(100);
    const uint32_t allocations = growing ? 80 : 12, others = 8;
    if (choice < allocations) {
        bool cleared = one_in(3);
        size_t size = random_size();
        world_allocate(world, size, cleared, random_byte());
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
        "hugepages=always,retain=none", "secure=1", "secure=1,check=3", "secure=1,retain=none",
        "medium=0"
    };
    foreign_allocator_init(&foreign);
    for (unsigned w = 0; w < HEAPS; w++) {
        worlds[w].heap = heap_new(settings[below(sizeof(settings) / sizeof(settings[0]))]);
        worlds[w].heap->arena_allocator = foreign_allocator_in_force;
        worlds[w].count = 0;
    }
}

static void
worlds_close(void)
{
    good_fortune();
    for (unsigned w = 0; w < HEAPS; w++) {
        while (worlds[w].count != 0) {
            operation_free(&worlds[w]);
        }
        world_empty(&worlds[w]);
        obm_heap_close(worlds[w].heap, false);
        free(worlds[w].heap);
    }
    REQUIRE_SHADOW(foreign.arenas == 0);
    REQUIRE_SHADOW(fake.mapped_bytes == 0);
}

static void
run_seed(uint64_t seed)
{
    snprintf(world_run, sizeof(world_run), "SEED=%llu", (unsigned long long)seed);
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
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10)
                    : obm_os_system()->entropy() % 1000000000u;
    printf("SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    run_seed(seed);
}

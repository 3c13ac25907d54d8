/* obmalloc's fuzzing: the interpreter of operations (see operations.h). */

#include "shadow.h"

#include <stdarg.h>
#include <stdio.h>

#include "operations.h"

#define HEAPS 4u
#define BLOCKS_A_RUN 12000u
#define REFUSED_COSTS 100u          /* of these: the fake filled an arena for nothing */
#define LOOKS_A_RUN 32u
#define CHECK_EVERY 16u             /* operations */
#define ABANDONED_MAX 2u            /* heaps a run, closed with blocks in use */
#define SETTINGS_TEXT 128u
#define BYTES_AT_ONCE ((size_t)4 << 20)     /* what one operation allocates, at most */

struct place {
    struct world world;             /* heap == NULL: not open */
    struct obm_front front;         /* a static one, as an adapter has it */
    struct obm_mark mark;           /* of the thread, if the heap has it in its list */
};

/* What is left of a heap that was closed with blocks in use. */
struct abandoned {
    struct world world;
    struct obm_heap heap;
};

/* The bytes that are still to be read. */
struct input {
    const uint8_t *bytes;
    size_t left;
};

struct operation {
    const char *name;
    void (*run)(struct place *place, struct input *input);
    bool every_heap;                /* has nothing to do with the heap */
};

static struct place places[HEAPS];
static struct abandoned abandoned[ABANDONED_MAX];
static size_t abandoned_count;
static struct foreign_allocator foreign;
static size_t allocations;          /* in this run */
static unsigned looks;              /* in this run */
static unsigned char contents;      /* of the block before */
static bool verbose_in_force;

/* Reading -------------------------------------------------------------------------- */

static unsigned
read_byte(struct input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->bytes++;
}

static unsigned
read_two(struct input *input)
{
    unsigned low = read_byte(input);
    return low | read_byte(input) << 8;
}

static void OBM_PRINTF(1, 2)
tell(const char *format, ...)
{
    va_list arguments;
    if (verbose_in_force) {
        va_start(arguments, format);
        vprintf(format, arguments);
        va_end(arguments);
    }
}

/* A number that one byte can say, from 1 on. */
static size_t
read_count(struct input *input, unsigned most_shift)
{
    unsigned byte = read_byte(input);
    unsigned shift = byte >> 4 & most_shift;
    size_t count = (size_t)(1 + (byte & 15)) << shift;
    tell(" %zu", count);
    return count;
}

static size_t
read_size(struct input *input)
{
    size_t number = read_two(input);
    size_t size = number < 0xc000 ? number % (2 * OBM_SMALL_MAX + 1)
                                  : (number - 0xc000) % (LARGEST / 4 + 1) * 4;
    tell(" %zu bytes", size);
    return size;
}

/* A number of a block of the world, which has some. */
static size_t
read_block(struct input *input, const struct world *world)
{
    size_t number = read_two(input) % world->count;
    tell(" block %zu (%p, %zu bytes)", number, (void *)world->shadows[number].block,
         world->shadows[number].size);
    return number;
}

/* No two neighbours hold the same row of bytes. */
static unsigned char
next_contents(void)
{
    contents = (unsigned char)(contents + 41);
    return contents;
}

/* Opening and closing -------------------------------------------------------------- */

static void
open_heap(struct place *place, const struct obm_settings *settings)
{
    place->world.heap = heap_with(settings);
    place->world.heap->arena_allocator = foreign_allocator_in_force;
    place->world.count = 0;
}

/* What is in use is the heap's no more, and the system's blocks are returned. */
static void
drop_blocks(struct world *world)
{
    for (size_t i = 0; i < world->count; i++) {
        shadow_verify(&world->shadows[i], world->shadows[i].size);
        if (world->shadows[i].system) {
            free(world->shadows[i].block);
        }
    }
    world->count = 0;
}

static void
close_heap(struct place *place)
{
    world_check(&place->world);
    drop_blocks(&place->world);
    obm_heap_close(place->world.heap, false);
    REQUIRE_SHADOW(obm_allocated_blocks(place->world.heap) == 0);
    free(place->world.heap);
    place->world.heap = NULL;
}

/* From now on the machine refuses nothing. */
static void
grant_everything(void)
{
    fake.fail_map = fake.fail_purge = fake.fail_advice = 0;
    fake.refuse_hints = fake.refuse_purges = foreign.refuse = false;
}

/* Keep what the heap leaves behind, so that its blocks can be looked at, and
   its memory be returned when the run is over. */
static void
keep_abandoned(struct place *place)
{
    struct abandoned *left = &abandoned[abandoned_count++];
    struct obm_heap *heap = place->world.heap;
    obm_trim(heap);
    obm_heap_use_front(heap, NULL);
    obm_longlived_exit(heap, obm_this_thread);
    left->heap = *heap;
    left->heap.secure.quarantine = NULL;    /* emptied, and closed with the heap */
    left->heap.front = left->heap.pools = &left->heap.own_front;
    left->world = place->world;
    left->world.heap = &left->heap;
}

static void
abandon_heap(struct place *place)
{
    if (abandoned_count == ABANDONED_MAX || place->world.count == 0) {
        close_heap(place);
        return;
    }
    keep_abandoned(place);
    obm_heap_close(place->world.heap, true);
    place->world.heap->arena_allocator = foreign_allocator_in_force;
    place->world.count = 0;
}

static void
run_open(struct place *place, struct input *input)
{
    static const char *const retain_names[] = {"auto", "none", "all", "size"};
    unsigned byte = read_byte(input), size = read_byte(input);
    struct obm_settings settings = {.check_level = 3 - (int)(byte & 3)};
    settings.retain = (enum obm_retain_mode)(byte >> 2 & 3);
    settings.hugepages = (enum obm_huge_mode)((byte >> 4 & 3) % 3);
    settings.retain_bytes = (size_t)(size & 15) << (size >> 4) << 10;
    settings.secure = byte >> 6 & 1;
    settings.no_medium = byte >> 7 & 1;
    if (settings.secure) {
        settings.hugepages = OBM_HUGE_NEVER;    /* as obm_settings_parse() has it */
    }
    tell(" check=%d,retain=%s,hugepages=%d,secure=%d,medium=%d, size %zu", settings.check_level,
         retain_names[settings.retain], (int)settings.hugepages, settings.secure,
         !settings.no_medium, settings.retain_bytes);
    if (place->world.heap != NULL) {
        close_heap(place);
    }
    open_heap(place, &settings);
}

static void
run_close(struct place *place, struct input *input)
{
    static const char *const names[] = {"with all in use", "emptied", "abandoned"};
    unsigned how = read_byte(input) % 3;
    tell(" %s", names[how]);
    if (how == 2) {
        abandon_heap(place);
        return;
    }
    if (how == 1) {
        grant_everything();
        world_empty(&place->world);
    }
    close_heap(place);
}

/* Blocks --------------------------------------------------------------------------- */

static void
allocate(struct world *world, size_t size, bool cleared)
{
    if (allocations < BLOCKS_A_RUN) {
        size_t refused = fake.refused;
        world_allocate(world, size, cleared, next_contents());
        allocations += fake.refused == refused ? 1 : REFUSED_COSTS;
    }
}

static size_t
read_class_size(struct input *input)
{
    static const unsigned common[] = {0, 3, OBM_SMALL_CLASSES / 2 - 1, OBM_SMALL_CLASSES - 1};
    unsigned byte = read_byte(input);
    if (byte >= 192) {
        struct obm_geometry geometry;
        obm_geometry_init(&geometry, fake_os_page_size());
        return geometry.classes[OBM_SMALL_CLASSES + byte % OBM_MEDIUM_CLASSES].size;
    }
    return ((byte < 128 ? common[byte % 4] : byte % OBM_SMALL_CLASSES) + 1) * OBM_ALIGNMENT;
}

static void
run_malloc(struct place *place, struct input *input)
{
    allocate(&place->world, read_size(input), false);
}

static void
run_calloc(struct place *place, struct input *input)
{
    allocate(&place->world, read_size(input), true);
}

static void
allocate_many(struct world *world, struct input *input, bool cleared)
{
    size_t size = read_class_size(input);
    tell(" blocks of %zu bytes, count", size);
    size_t left = read_count(input, 7);
    for (left = left * size < BYTES_AT_ONCE ? left : BYTES_AT_ONCE / size; left > 0; left--) {
        /* Not all of the block is asked for; and one in sixteen is less. */
        allocate(world, left % 16 == 0 ? size - OBM_ALIGNMENT + 1 : size, cleared);
    }
}

static void
run_mallocs(struct place *place, struct input *input)
{
    allocate_many(&place->world, input, false);
}

static void
run_callocs(struct place *place, struct input *input)
{
    allocate_many(&place->world, input, true);
}

static void
run_realloc(struct place *place, struct input *input)
{
    struct world *world = &place->world;
    if (world->count != 0) {
        size_t number = read_block(input, world);
        world_reallocate(world, number, read_size(input), next_contents());
    }
}

static void
run_free(struct place *place, struct input *input)
{
    if (place->world.count != 0) {
        world_free(&place->world, read_block(input, &place->world));
    }
}

static void
run_frees(struct place *place, struct input *input)
{
    struct world *world = &place->world;
    if (world->count == 0) {
        return;
    }
    size_t number = read_block(input, world);
    size_t step = read_byte(input);
    tell(" one in %zu, at most", step + 1);
    for (size_t left = read_count(input, 7); left > 0 && number < world->count; left--) {
        world_free(world, number);
        number += step;
    }
}

static void
run_keep(struct place *place, struct input *input)
{
    struct world *world = &place->world;
    size_t step = read_byte(input) + 1u;
    tell(" one in %zu", step);
    /* From the end, so that what takes the place of a freed one is kept. */
    for (size_t i = world->count; i > 0; i--) {
        if ((i - 1) % step != 0) {
            world_free(world, i - 1);
        }
    }
}

/* Giving back, and time ------------------------------------------------------------ */

static void
run_trim(struct place *place, struct input *input)
{
    (void)input;
    size_t before = obm_given_back(place->world.heap);
    size_t bytes = obm_trim(place->world.heap);
    tell(" gave %zu bytes", bytes);
    REQUIRE_SHADOW(obm_given_back(place->world.heap) - before == bytes);
    REQUIRE_SHADOW(place->world.heap->retention.dirty == 0);
}

static void
run_block(struct place *place, struct input *input)
{
    (void)input;
    obm_before_blocking(place->world.heap);
}

static void
run_tick(struct place *place, struct input *input)
{
    (void)input;
    obm_trim_tick(place->world.heap);
    obm_free_lists_due(place->world.heap);
}

static void
run_wait(struct place *place, struct input *input)
{
    (void)place;
    fake.now += read_count(input, 15) * FAKE_MILLISECOND;
    tell(" ms");
}

/* The machine ---------------------------------------------------------------------- */

static void
run_fail(struct place *place, struct input *input)
{
    static const char *const names[] = {"map", "purge", "advice", "call of each kind"};
    unsigned what = read_byte(input);
    unsigned n = what & 31, kind = what >> 6;
    (void)place;
    fake.fail_all_later = (what >> 5 & 1) != 0;
    fake.fail_map = n != 0 && (kind == 0 || kind == 3) ? fake.map_calls + n : 0;
    fake.fail_purge = n != 0 && (kind == 1 || kind == 3) ? fake.purge_calls + n : 0;
    fake.fail_advice = n != 0 && (kind == 2 || kind == 3) ? fake.huge_advices + n : 0;
    tell(" at %s number %u from here%s", names[kind], n,
         fake.fail_all_later ? " and later" : "");
}

static void
run_machine(struct place *place, struct input *input)
{
    unsigned flags = read_byte(input);
    (void)place;
    fake.refuse_hints = flags & 1;
    fake.refuse_purges = flags >> 1 & 1;
    fake.no_huge_pages = flags >> 2 & 1;
    fake.first_touch_takes = flags >> 3 & 1 ? 2 * OBM_HUGE_NANOSECONDS : 0;
    foreign_in_force = flags >> 4 & 1 ? &foreign.functions : NULL;
    foreign.refuse = flags >> 5 & 1;
    tell(" refuses:%s%s%s%s%s%s", fake.refuse_hints ? " hints" : "",
         fake.refuse_purges ? " purges" : "", fake.no_huge_pages ? " huge-pages" : "",
         fake.first_touch_takes != 0 ? "; slow first touch" : "",
         foreign_in_force != NULL ? "; foreign allocator" : "",
         foreign.refuse ? ", which refuses" : "");
}

/* Looking -------------------------------------------------------------------------- */

/* The sums that stats.c promises. */
static void
check_stats(const struct obm_heap *heap, const struct obm_stats *stats)
{
    REQUIRE_SHADOW(stats->arena_bytes
                   == (stats->used_pages + stats->free_pages) * stats->page_size);
    REQUIRE_SHADOW(stats->free_pages
                   == stats->dirty_pages + stats->purged_pages + stats->fresh_pages);
    REQUIRE_SHADOW(stats->resident_pages == stats->used_pages + stats->dirty_pages);
    REQUIRE_SHADOW(stats->used_pages * stats->page_size
                   == stats->live_bytes + stats->free_block_bytes + stats->tail_bytes);
    REQUIRE_SHADOW(stats->floor_pages <= stats->used_pages);
    REQUIRE_SHADOW(stats->arenas == heap->arena_count);
    REQUIRE_SHADOW(stats->arenas_mapped - stats->arenas_released == stats->arenas);
    REQUIRE_SHADOW((ptrdiff_t)stats->live_blocks == obm_allocated_blocks(heap));
}

/* How many of the live blocks of a page, by the map, start on the page before: 0 or 1. */
static unsigned
touch_from_before(const struct obm_heap *heap, const struct obm_pool *pool, const uint64_t *live)
{
    return obm_first_block(heap, pool) < obm_pool_address(heap, pool) && (live[0] & 1) != 0;
}

/* The map of the heap tells the same. */
static void
check_map(const struct obm_heap *heap, const struct obm_stats *stats)
{
    static struct obm_page_info pages[OBM_MAX_ARENA_PAGES];
    size_t kinds[OBM_PAGE_USED + 1] = {0}, live = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        unsigned count = heap->arenas[i].address != 0 ? obm_arena_describe(heap, i, pages) : 0;
        for (unsigned page = 0; page < count; page++) {
            uint64_t blocks[OBM_POOL_WORDS];
            unsigned bits = 0;
            REQUIRE_SHADOW(obm_pool_live_blocks(heap, &heap->arenas[i].pools[page], blocks));
            for (size_t word = 0; word < OBM_POOL_WORDS; word++) {
                bits += obm_count_bits(blocks[word]);
            }
            REQUIRE_SHADOW(bits == pages[page].live);
            kinds[pages[page].kind]++;
            live += bits - touch_from_before(heap, &heap->arenas[i].pools[page], blocks);
        }
    }
    REQUIRE_SHADOW(kinds[OBM_PAGE_FRESH] == stats->fresh_pages);
    REQUIRE_SHADOW(kinds[OBM_PAGE_PURGED] == stats->purged_pages);
    REQUIRE_SHADOW(kinds[OBM_PAGE_DIRTY] == stats->dirty_pages);
    REQUIRE_SHADOW(kinds[OBM_PAGE_USED] == stats->used_pages);
    REQUIRE_SHADOW(live == stats->live_blocks);
}

static void
look_at(const struct world *world)
{
    struct obm_stats stats;
    world_check(world);
    world_check_overlap(world);
    obm_stats_collect(world->heap, &stats);
    check_stats(world->heap, &stats);
    check_map(world->heap, &stats);
}

static void
run_look(struct place *place, struct input *input)
{
    (void)input;
    if (looks < LOOKS_A_RUN) {
        looks++;
        look_at(&place->world);
    }
}

/* Misuse --------------------------------------------------------------------------- */

/* The call ended the process, with one line. */
static void
expect_fatal(struct obm_heap *heap, void *block, const char *part)
{
    const char *message = fatal_of_free(heap, block);
    if (message == NULL) {
        harness_stop(__FILE__, __LINE__, "%s: free of %p returned, expected '%s'", world_run,
                     block, part);
    }
    tell(": %s", message);
    if (strstr(message, part) == NULL || strchr(message, '\n') != NULL) {
        harness_stop(__FILE__, __LINE__, "%s: free of %p: '%s', expected '%s'", world_run,
                     block, message, part);
    }
}

/* Unless the arena went with the first free, or the page. */
static void
free_twice(struct world *world, size_t number)
{
    unsigned char *block = world->shadows[number].block;
    world_free(world, number);
    if (obm_block_size(world->heap, block) != 0) {
        expect_fatal(world->heap, block, "of arena");
    }
    else {
        REQUIRE_SHADOW(!obm_free(world->heap, block));
    }
}

/* Any address in the block but its first, and what follows its pool's blocks. */
static void
free_inside(struct world *world, size_t number)
{
    const struct obm_heap *heap = world->heap;
    unsigned char *block = world->shadows[number].block;
    const struct obm_pool *pool = obm_find_pool(heap, block);
    size_t size = obm_class_size(heap, pool->size_class);
    expect_fatal(world->heap, block + 1 + number % (size - 1), "is not the start of a block");
    size_t end = heap->geometry.classes[pool->size_class].start + pool->carved * size;
    if (pool->state != OBM_POOL_MEDIUM && end < heap->geometry.page_size) {
        expect_fatal(world->heap, obm_pool_address(heap, pool) + end,
                     "which has handed out only");
    }
}

static void
free_elsewhere(struct world *world, size_t number)
{
    for (unsigned i = 0; i < HEAPS; i++) {
        struct obm_heap *other = places[i].world.heap;
        if (other != NULL && other != world->heap) {
            expect_fatal(other, world->shadows[number].block, "through the wrong interpreter");
        }
    }
}

/* A block of a heap that was given up; its heap knows it no more. */
static void
free_abandoned(struct world *world, size_t number)
{
    for (size_t i = 0; i < abandoned_count; i++) {
        const struct world *left = &abandoned[i].world;
        const struct shadow *shadow = &left->shadows[number % left->count];
        if (!shadow->system) {
            expect_fatal(world->heap, shadow->block, "through the wrong interpreter");
        }
    }
}

/* The first page of an arena that is free: no block of it is in use. */
static void
free_in_free_page(struct world *world, size_t number)
{
    const struct obm_heap *heap = world->heap;
    const struct obm_arena_object *arena = arena_object_of(heap, world->shadows[number].block);
    for (unsigned page = 0; page < arena->page_count; page++) {
        if (arena->pools[page].state == OBM_POOL_FREE) {
            expect_fatal(world->heap, obm_pool_address(heap, &arena->pools[page]),
                         "of arena");
            return;
        }
    }
}

/* Memory that no heap gave is refused, and nothing happens. */
static void
free_foreign(struct world *world)
{
    static char in_static_memory[OBM_ALIGNMENT];
    char on_the_stack[OBM_ALIGNMENT] = "";
    REQUIRE_SHADOW(!obm_free(world->heap, in_static_memory));
    REQUIRE_SHADOW(!obm_free(world->heap, on_the_stack));
    REQUIRE_SHADOW(!obm_free(world->heap, (void *)world->heap->arenas));
    REQUIRE_SHADOW(obm_block_size(world->heap, in_static_memory) == 0);
    REQUIRE_SHADOW(obm_block_size(world->heap, on_the_stack) == 0);
}

/* What levels 0 and 1 cannot see is not tried there. */
static void
run_misuse(struct place *place, struct input *input)
{
    static const char *const names[] = {"twice", "inside", "elsewhere", "abandoned",
                                        "free page", "foreign"};
    struct world *world = &place->world;
    unsigned kind = read_byte(input) % 6;
    bool strict = world->heap->settings.check_level >= 2;
    tell(" %s", names[kind]);
    if (world->count == 0) {
        return;
    }
    size_t number = read_block(input, world);
    if (kind == 5) {
        free_foreign(world);
    }
    else if (kind == 3) {
        free_abandoned(world, number);
    }
    else if (world->shadows[number].system) {
        return;
    }
    else if (kind == 0 && strict) {
        free_twice(world, number);
    }
    else if (kind == 1 && strict) {
        free_inside(world, number);
    }
    else if (kind == 2) {
        free_elsewhere(world, number);
    }
    else if (kind == 4) {
        free_in_free_page(world, number);
    }
    world_check_heap(world);
}

/* Fronts and settings -------------------------------------------------------------- */

/* The front that is not in force sends every call the slow way. */
static void
run_front(struct place *place, struct input *input)
{
    (void)input;
    struct obm_heap *heap = place->world.heap;
    const struct obm_front *old = heap->front;
    obm_heap_use_front(heap, old == &place->front ? NULL : &place->front);
    REQUIRE_SHADOW(heap->front != old);
    REQUIRE_SHADOW(old->window_limit == 0);
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        REQUIRE_SHADOW(old->current[c] == &obm_no_pool);
    }
}

static void
run_longlived(struct place *place, struct input *input)
{
    (void)input;
    struct obm_heap *heap = place->world.heap;
    if (obm_is_marked(heap)) {
        tell(" no more");
        REQUIRE_SHADOW(obm_longlived_exit(heap, obm_this_thread) == &place->mark);
    }
    else {
        REQUIRE_SHADOW(obm_longlived_enter(heap, &place->mark));
    }
    world_check_heap(&place->world);
}

static void
expect_one_line(const char *line, void *data)
{
    *(unsigned *)data += 1;
    REQUIRE_SHADOW(line[0] != '\0');
    for (; *line != '\0'; line++) {
        REQUIRE_SHADOW((unsigned char)*line >= ' ');
    }
}

static void
run_settings(struct place *place, struct input *input)
{
    char text[SETTINGS_TEXT];
    struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    unsigned complaints = 0, commas = 0;
    size_t length = read_byte(input) % SETTINGS_TEXT;
    (void)place;
    for (size_t i = 0; i < length; i++) {
        text[i] = (char)read_byte(input);
    }
    text[length] = '\0';
    tell(" '%s'", text);
    for (const char *c = text; *c != '\0'; c++) {
        commas += *c == ',';
    }
    obm_settings_parse(&settings, text, expect_one_line, &complaints);
    REQUIRE_SHADOW(complaints <= commas + 1);
    REQUIRE_SHADOW((unsigned)settings.retain <= OBM_RETAIN_SIZE);
    REQUIRE_SHADOW((unsigned)settings.hugepages <= OBM_HUGE_ALWAYS);
    REQUIRE_SHADOW(settings.check_level >= 0 && settings.check_level <= 3);
}

/* A run ---------------------------------------------------------------------------- */

static const struct operation operations[] = {
    {"open", run_open, true},
    {"close", run_close, false},
    {"malloc", run_malloc, false},
    {"calloc", run_calloc, false},
    {"realloc", run_realloc, false},
    {"free", run_free, false},
    {"mallocs", run_mallocs, false},
    {"callocs", run_callocs, false},
    {"frees", run_frees, false},
    {"keep", run_keep, false},
    {"trim", run_trim, false},
    {"block", run_block, false},
    {"tick", run_tick, false},
    {"wait", run_wait, true},
    {"fail", run_fail, true},
    {"machine", run_machine, true},
    {"look", run_look, false},
    {"misuse", run_misuse, false},
    {"front", run_front, false},
    {"settings", run_settings, true},
    {"longlived", run_longlived, false},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static size_t
read_page_size(struct input *input)
{
    unsigned byte = read_byte(input);
    return (size_t)1 << (OBM_FIXED_PAGE_SHIFT != 0 ? OBM_FIXED_PAGE_SHIFT
                                                   : OBM_MIN_PAGE_SHIFT + 2 * (byte % 3));
}

static void
run_one(struct input *input)
{
    const struct obm_settings defaults = {.check_level = 3};
    unsigned byte = read_byte(input);
    struct place *place = &places[byte >> 5 & (HEAPS - 1)];
    const struct operation *operation = &operations[(byte & 31) % OPERATIONS];
    tell("heap %u: %s", byte >> 5 & (HEAPS - 1), operation->name);
    if (place->world.heap == NULL && !operation->every_heap) {
        open_heap(place, &defaults);
    }
    operation->run(place, input);
    tell("\n");
}

static void
check_all(void)
{
    for (unsigned i = 0; i < HEAPS; i++) {
        if (places[i].world.heap != NULL) {
            world_check_heap(&places[i].world);
        }
    }
}

/* Close every heap; abandoned ones too, whose blocks are still as they were. */
static void
end_run(void)
{
    grant_everything();
    for (unsigned i = 0; i < HEAPS; i++) {
        if (places[i].world.heap != NULL) {
            look_at(&places[i].world);
            world_empty(&places[i].world);
            close_heap(&places[i]);
        }
    }
    while (abandoned_count > 0) {
        struct abandoned *left = &abandoned[--abandoned_count];
        look_at(&left->world);
        drop_blocks(&left->world);
        obm_heap_close(&left->heap, false);
    }
    REQUIRE_SHADOW(foreign.arenas == 0);
    REQUIRE_SHADOW(fake.mapped_bytes == 0);
}

void
operations_run(const uint8_t *bytes, size_t size, bool verbose)
{
    struct input input = {bytes, size};
    fake_os_reset(read_page_size(&input));
    foreign_allocator_init(&foreign);
    foreign_in_force = NULL;
    allocations = 0;
    looks = 0;
    contents = 0;
    verbose_in_force = verbose;
    for (unsigned number = 1; input.left != 0; number++) {
        snprintf(world_run, sizeof(world_run), "operation %u", number);
        tell("%4u  ", number);
        run_one(&input);
        if (verbose || number % CHECK_EVERY == 0) {
            check_all();
        }
    }
    snprintf(world_run, sizeof(world_run), "the end");
    end_run();
}

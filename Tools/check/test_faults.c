/* obmalloc's unit tests: what if the system refuses, at every single call?

   A scenario is played once for each call of a kind that it makes, and that call
   fails: the first, the second, ... up to the last.  Then once more, with all
   later ones failing too.  After each fault the heap is valid and holds what the
   program has; what was refused succeeds as soon as the system works again; and in
   the end nothing is left.

   The fake system refuses what the core asks of os.c.  The real one refuses what
   os.c asks of it: check.mk lets the linker put functions of ours in front of
   mmap(), munmap(), madvise(), mprotect() and prctl(); and in front of malloc() and its
   kin, whose own calls are not the core's. */

#include "shadow.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#ifdef __linux__
#  include <sys/mman.h>
#endif

/* Of the calls after these, only the one fails, and not all later ones too. */
#define LATER_TOO 5u

static struct world world;
static struct foreign_allocator foreign;
static size_t passed;           /* faults */

static void
tell_passed(const char *name)
{
    printf("faults passed: %zu (%s)\n", passed, name);
}

/* Scenarios ------------------------------------------------------------------------ */

/* Up to the first that the heap has no memory for. */
static void
allocate(size_t count, size_t size, bool cleared)
{
    size_t refused = fake.refused;
    for (size_t i = 0; i < count && fake.refused == refused; i++) {
        world_allocate(&world, size, cleared, (unsigned char)(world.count * 41));
    }
}

/* Each class takes a run, so there are two arenas or four; then some full runs. */
static void
grow(void)
{
    size_t run = world.heap->geometry.run_size;
    for (unsigned c = 0; c < OBM_SMALL_CLASSES; c++) {
        allocate(2, obm_class_size(world.heap, c), c % 2 != 0);
    }
    allocate(2 * run / LARGE, LARGE, true);
    for (unsigned c = OBM_SMALL_CLASSES; c < OBM_SIZE_CLASSES; c += 5) {
        allocate(3, obm_class_size(world.heap, c), c % 2 != 0);
    }
}

static void
keep_one_in(size_t step)
{
    for (size_t i = world.count; i > 0; i--) {
        if ((i - 1) % step != 0) {
            world_free(&world, i - 1);
        }
    }
}

/* A program that grows, shrinks, gives back, waits and grows again. */
static void
play_tides(void)
{
    grow();
    keep_one_in(37);
    obm_trim(world.heap);
    grow();
    world_reallocate(&world, world.count / 2, LARGE - 1, 5);
    world_reallocate(&world, world.count / 3, LARGE + 100, 5);
    keep_one_in(11);
    for (unsigned i = 0; i < 3; i++) {
        fake.now += OBM_EPOCH_NANOSECONDS;
        obm_before_blocking(world.heap);
        obm_trim_tick(world.heap);
    }
    keep_one_in(SHADOWS);
    obm_trim(world.heap);
    world_check_heap(&world);
    grow();
}

/* Take all pages of so many arenas, by the books only: no page is touched. */
enum { MANY_ARENAS = 20 };

static void
play_arenas(size_t arenas)
{
    static struct { obm_run_id run; unsigned page; } taken[MANY_ARENAS * OBM_MAX_ARENA_PAGES];
    struct obm_heap *heap = world.heap;
    size_t count = 0;
    for (size_t left = arenas * heap->geometry.arena_pages; left > 0; left--) {
        obm_run_id id;
        size_t refused = fake.refused;
        const struct obm_run *run = obm_run_with_room(heap, LARGE_CLASS, &id);
        if (run == NULL) {
            REQUIRE_SHADOW(fake.refused != refused);
            continue;
        }
        taken[count].run = id;
        taken[count].page = obm_lowest_bit(run->free);
        obm_pages_take(heap, id, obm_one_page(taken[count].page));
        count++;
    }
    while (count > 0) {
        count--;
        obm_pages_give(heap, taken[count].run, obm_one_page(taken[count].page));
    }
}

/* So many that their array and the map have to grow. */
static void
play_many_arenas(void)
{
    play_arenas(MANY_ARENAS);
}

/* So many that memory is asked for ahead. */
static void
play_some_arenas(void)
{
    play_arenas(OBM_POPULATE_ARENAS + 1);
}

struct scenario {
    const char *name;
    const char *settings;
    void (*play)(void);
    bool refuse_hints;
    bool foreign;
};

static const struct scenario scenarios[] = {
    {"in the window", "check=3", play_tides, false, false},
    {"nothing retained", "retain=none,check=1", play_tides, false, false},
    {"outside the window", "retain=64k,check=3", play_tides, true, false},
    {"huge pages", "hugepages=always,check=3", play_tides, false, false},
    {"foreign arenas", "check=3", play_tides, false, true},
    {"many arenas", "retain=none", play_many_arenas, false, false},
    {"many arenas outside", "retain=none", play_many_arenas, true, false},
    {"secure", "secure=1,check=3", play_tides, false, false},
    {"secure outside", "secure=1,retain=none", play_tides, true, false},
    {"memory asked for ahead", "", play_some_arenas, false, false},
};

/* Kinds of calls ------------------------------------------------------------------- */

struct kind {
    const char *name;
    size_t *fail;                   /* the number of the call to fail */
    const size_t *calls;            /* made so far */
};

static const struct kind kinds[] = {
    {"map", &fake.fail_map, &fake.map_calls},
    {"purge", &fake.fail_purge, &fake.purge_calls},
    {"populate", &fake.fail_populate, &fake.populate_calls},
    {"advice", &fake.fail_advice, &fake.huge_advices},
    {"guard", &fake.fail_guard, &fake.guard_calls},
    {"foreign arena", &fake.fail_foreign, &fake.foreign_calls},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void
begin(const struct scenario *scenario)
{
    fake_os_reset(fake_os_page_size());
    foreign_allocator_init(&foreign);
    foreign_in_force = scenario->foreign ? &foreign.functions : NULL;
    fake.refuse_hints = scenario->refuse_hints;
    world.heap = heap_new(scenario->settings);
    world.heap->arena_allocator = foreign_allocator_in_force;
    world.count = 0;
}

/* The system works again: everything can be had, and all of it goes back. */
static void
end(void)
{
    world_check(&world);
    world_check_overlap(&world);
    fake.fail_map = fake.fail_purge = fake.fail_populate = fake.fail_advice = fake.fail_guard = 0;
    fake.fail_foreign = 0;
    grow();
    world_empty(&world);
    obm_heap_close(world.heap, false);
    free(world.heap);
    REQUIRE_SHADOW(foreign.arenas == 0);
    REQUIRE_SHADOW(fake.mapped_bytes == 0);
}

/* Fail call number n.  false: there were less. */
static bool
fault(const struct scenario *scenario, const struct kind *kind, size_t n, bool later)
{
    snprintf(world_run, sizeof(world_run), "%s, %s %zu%s", scenario->name, kind->name, n,
             later ? " and later" : "");
    begin(scenario);
    *kind->fail = n;
    fake.fail_all_later = later;
    scenario->play();
    bool reached = *kind->calls >= n;
    end();
    passed += reached;
    return reached;
}

static void
fail_every_call(const struct scenario *scenario)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (size_t n = 1; fault(scenario, &kinds[kind], n, false); n++) {
            if (n <= LATER_TOO) {
                fault(scenario, &kinds[kind], n, true);
            }
        }
    }
    EXPECT_DIFFERENT(passed, 0);
    tell_passed(scenario->name);
}

TEST(faults_in_the_window) { fail_every_call(&scenarios[0]); }
TEST(faults_where_nothing_is_retained) { fail_every_call(&scenarios[1]); }
TEST(faults_outside_the_window) { fail_every_call(&scenarios[2]); }
TEST(faults_with_huge_pages) { fail_every_call(&scenarios[3]); }
TEST(faults_in_foreign_arenas) { fail_every_call(&scenarios[4]); }
TEST(faults_with_many_arenas) { fail_every_call(&scenarios[5]); }
TEST(faults_with_many_arenas_outside) { fail_every_call(&scenarios[6]); }
TEST(faults_in_secure_mode) { fail_every_call(&scenarios[7]); }
TEST(faults_in_secure_mode_outside) { fail_every_call(&scenarios[8]); }
TEST(faults_of_memory_asked_for_ahead) { fail_every_call(&scenarios[9]); }

/* The real system ------------------------------------------------------------------ */

#if !OBM_ARENAS_USE_MALLOC && defined(__linux__)

enum { MMAP, MUNMAP, MADVISE, MPROTECT, PRCTL, CALLS };
static const char *const call_names[CALLS] = {"mmap", "munmap", "madvise", "mprotect", "prctl"};

static struct {
    bool watched;               /* calls are counted, and may fail */
    size_t fail[CALLS];         /* the number of the call to fail; 0: none */
    size_t calls[CALLS];
    bool later;                 /* and those after it */
    bool old_kernel;            /* a hint is a wish, as before Linux 4.17 */
    size_t mapped_bytes;
    struct { char *address; size_t size; } lost[SHADOWS];   /* munmap() refused */
    size_t lost_count;
} machine;

static bool
refuses(int call)
{
    if (!machine.watched) {
        return false;
    }
    size_t number = ++machine.calls[call], fail = machine.fail[call];
    bool refused = fail != 0 && (number == fail || (machine.later && number > fail));
    if (refused) {
        errno = call == PRCTL ? EINVAL : ENOMEM;
    }
    return refused;
}

void *__real_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __real_munmap(void *address, size_t size);
int __real_madvise(void *address, size_t size, int advice);
int __real_mprotect(void *address, size_t size, int protection);
int __real_prctl(int option, ...);

void *__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset);
int __wrap_munmap(void *address, size_t size);
int __wrap_madvise(void *address, size_t size, int advice);
int __wrap_mprotect(void *address, size_t size, int protection);
int __wrap_prctl(int option, ...);

void *
__wrap_mmap(void *address, size_t size, int protection, int flags, int file, off_t offset)
{
    if (machine.watched && machine.old_kernel) {
        address = NULL;
        flags = MAP_PRIVATE | MAP_ANONYMOUS;
    }
    void *result = refuses(MMAP) ? MAP_FAILED
                   : __real_mmap(address, size, protection, flags, file, offset);
    if (machine.watched && result == MAP_FAILED) {
        fake.refused++;
    }
    else if (machine.watched) {
        machine.mapped_bytes += size;
    }
    return result;
}

int
__wrap_munmap(void *address, size_t size)
{
    if (refuses(MUNMAP)) {
        machine.lost[machine.lost_count].address = address;
        machine.lost[machine.lost_count++].size = size;
        return -1;
    }
    if (machine.watched) {
        machine.mapped_bytes -= size;
    }
    return __real_munmap(address, size);
}

int
__wrap_madvise(void *address, size_t size, int advice)
{
    return refuses(MADVISE) ? -1 : __real_madvise(address, size, advice);
}

int
__wrap_mprotect(void *address, size_t size, int protection)
{
    return refuses(MPROTECT) ? -1 : __real_mprotect(address, size, protection);
}

int
__wrap_prctl(int option, ...)
{
    unsigned long operands[4];
    va_list arguments;
    va_start(arguments, option);
    for (unsigned i = 0; i < 4; i++) {
        operands[i] = va_arg(arguments, unsigned long);
    }
    va_end(arguments);
    return refuses(PRCTL) ? -1
           : __real_prctl(option, operands[0], operands[1], operands[2], operands[3]);
}

/* Of the calls those of the core count.  Where the heap was refused memory the program turns
   to the C library's malloc, and one that is linked statically may map its memory by the
   names above (ziglang's does). */
#define UNWATCHED(statement) \
    do { \
        bool was_watched = machine.watched; \
        machine.watched = false; \
        statement; \
        machine.watched = was_watched; \
    } while (0)

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);

void *
__wrap_malloc(size_t size)
{
    void *result;
    UNWATCHED(result = __real_malloc(size));
    return result;
}

void *
__wrap_calloc(size_t count, size_t size)
{
    void *result;
    UNWATCHED(result = __real_calloc(count, size));
    return result;
}

void *
__wrap_realloc(void *block, size_t size)
{
    void *result;
    UNWATCHED(result = __real_realloc(block, size));
    return result;
}

void
__wrap_free(void *block)
{
    UNWATCHED(__real_free(block));
}

/* Where munmap() was refused the address is lost, but not the memory. */
static void
return_lost(void)
{
    size_t page = obm_os_system()->page_size;
    while (machine.lost_count > 0) {
        machine.lost_count--;
        char *address = machine.lost[machine.lost_count].address;
        size_t size = machine.lost[machine.lost_count].size;
        __real_mprotect(address, size, PROT_READ);  /* qemu-user cannot say it of a guard page */
        REQUIRE_SHADOW(fake_os_resident_pages(address, size / page * page) == 0);
        machine.mapped_bytes -= size;
        __real_munmap(address, size);
    }
}

static void
play_on_system(const char *settings_text, int call, size_t n, bool later, bool old_kernel)
{
    static struct obm_heap heap;
    struct obm_settings settings = {.retain = OBM_RETAIN_AUTO};
    obm_settings_parse(&settings, settings_text, no_complaint_expected, NULL);
    snprintf(world_run, sizeof(world_run), "%s, %s %zu%s", settings_text, call_names[call], n,
             later ? " and later" : "");
    memset(&machine, 0, sizeof(machine));
    memset(&heap, 0, sizeof(heap));
    REQUIRE(obm_heap_init(&heap, obm_os_system(), &settings));
    world.heap = &heap;
    world.count = 0;
    machine.fail[call] = n;
    machine.later = later;
    machine.old_kernel = old_kernel;
    machine.watched = true;
    play_tides();
    world_check(&world);
    REQUIRE_SHADOW(!old_kernel || heap.window < 0);
    machine.fail[call] = 0;
    grow();
    world_empty(&world);
    obm_heap_close(&heap, false);
    machine.watched = false;
    return_lost();
    REQUIRE_SHADOW(machine.mapped_bytes == 0);
}

static void
fail_every_system_call(int call)
{
    static const char *const settings[] = {"check=3", "hugepages=always", "secure=1"};
    if (fake_os_page_size() != obm_os_system()->page_size) {
        return;
    }
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++) {
        for (size_t n = 1;; n++) {
            play_on_system(settings[i], call, n, false, false);
            if (machine.calls[call] < n) {
                break;
            }
            passed++;
            if (n <= LATER_TOO) {
                play_on_system(settings[i], call, n, true, false);
                passed++;
            }
        }
    }
    EXPECT_DIFFERENT(passed, 0);
    tell_passed(call_names[call]);
}

TEST(every_mmap_fails_in_turn) { fail_every_system_call(MMAP); }
TEST(every_munmap_fails_in_turn) { fail_every_system_call(MUNMAP); }
TEST(every_madvise_fails_in_turn) { fail_every_system_call(MADVISE); }
TEST(every_mprotect_fails_in_turn) { fail_every_system_call(MPROTECT); }
TEST(every_prctl_fails_in_turn) { fail_every_system_call(PRCTL); }

TEST(a_kernel_that_takes_a_hint_as_a_wish)
{
    if (fake_os_page_size() == obm_os_system()->page_size) {
        play_on_system("check=3", MMAP, 0, false, true);
    }
}

#endif

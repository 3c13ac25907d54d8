/* obmalloc's unit tests: when the system's malloc gives back (idle.c).

   The process is a fake: the clock, the processor time, resident memory and what malloc
   holds are what the test says. */

#include "heaps.h"

#define MIB ((size_t)1 << 20)

static struct {
    uint64_t now, processor_time, own_time;
    size_t resident, faults;
    size_t in_use, free;        /* bytes of malloc's memory */
    size_t mapped;              /* and of its blocks with a mapping of their own */
    bool tells;                 /* malloc tells its figures */
    size_t trims;
    uint64_t trim_takes;        /* nanoseconds */
    size_t gone_already;        /* of what malloc holds free */
    size_t looks;               /* at malloc's figures */
    uint64_t figures_take;      /* nanoseconds */
    uint64_t stopped;           /* nanoseconds that it does not run in the next look */
    long id, parent;
} process;

/* The heap in this process: of it, only how much of its memory is resident. */
static struct obm_heap ours;

static uint64_t fake_now(void) { return process.now; }
static uint64_t fake_processor_time(void) { return process.processor_time; }
static uint64_t fake_own_time(void) { return process.own_time; }
static size_t fake_resident(void) { return process.resident; }
static size_t fake_faults(void) { return process.faults; }
static long fake_id(void) { return process.id; }
static long fake_parent(void) { return process.parent; }

static bool can_give_back = true;

static bool
fake_malloc_figures(struct obm_malloc_figures *figures)
{
    process.looks++;
    process.now += process.figures_take + process.stopped;
    process.own_time += process.figures_take;
    process.stopped = 0;
    figures->held = process.in_use + process.free;
    figures->free = process.free;
    figures->mapped = process.mapped;
    return process.tells;
}

/* As glibc: what has gone back still counts as free. */
static bool
fake_malloc_give_back(void)
{
    if (!can_give_back) {
        return false;
    }
    process.trims++;
    process.now += process.trim_takes;
    process.own_time += process.trim_takes;
    process.resident -= process.free - process.gone_already;
    process.gone_already = process.free;
    return true;
}

static const struct obm_process fake_process = {
    fake_now, fake_processor_time, fake_own_time, fake_resident, fake_faults,
    fake_id, fake_parent, fake_malloc_figures, fake_malloc_give_back
};

/* A process of 100 MiB, 50 of them the heap's, whose malloc holds nothing free and has not so
   much in use that the purger lingers, and which has just started the purger. */
static struct obm_idle
started(void)
{
    struct obm_idle idle = {0};
    memset(&process, 0, sizeof(process));
    process.now = 1000 * OBM_EPOCH_NANOSECONDS;
    process.processor_time = process.own_time = 1;
    process.id = 1000;
    process.parent = 1;
    process.resident = 100 * MIB;
    ours.geometry.page_size = obm_os_system()->page_size;
    ours.resident_pages = 50 * MIB / ours.geometry.page_size;
    process.in_use = OBM_PURGER_MIN_HELD_BYTES - 1;
    process.tells = true;
    process.trim_takes = FAKE_MILLISECOND;
    obm_idle_init(&idle, &fake_process, &ours);
    obm_idle_start(&idle);
    return idle;
}

/* The program frees what malloc does not give back by itself. */
static void
freed(size_t bytes)
{
    process.free += bytes;
}

/* The program allocates what malloc holds free, and has given back. */
static void
wanted_again(size_t bytes)
{
    process.free -= bytes;
    process.gone_already -= bytes;
    process.resident += bytes;
    process.faults += bytes / obm_os_system()->page_size;
}

/* The program frees blocks at the top of malloc's heap, which hands it back by itself, with
   what was free there and had gone back already. */
static void
top_went(size_t used, size_t free)
{
    process.resident -= used;
    process.free -= free;
    process.gone_already -= free;
}

/* The program takes memory of the heap, or the heap gives back. */
static void
heap_grows(size_t bytes)
{
    ours.resident_pages += bytes / ours.geometry.page_size;
    process.resident += bytes;
    process.faults += bytes / ours.geometry.page_size;
}

static void
heap_shrinks(size_t bytes)
{
    ours.resident_pages -= bytes / ours.geometry.page_size;
    process.resident -= bytes;
}

/* The program uses so many hundredths of a processor for that long. */
static void
time_passes(uint64_t nanoseconds, unsigned percent)
{
    process.now += nanoseconds;
    process.processor_time += nanoseconds * percent / 100;
}

/* An epoch in which the process uses so many hundredths of a processor; then a look.  Returns
   when to look again. */
static uint64_t
look_after_epoch(struct obm_idle *idle, unsigned percent)
{
    time_passes(OBM_EPOCH_NANOSECONDS, percent);
    return obm_idle_tick(idle, true);
}

/* The same.  Returns whether there was nothing more to give back. */
static bool
epoch(struct obm_idle *idle, unsigned percent)
{
    return look_after_epoch(idle, percent) != OBM_EPOCH_NANOSECONDS;
}

TEST(an_idle_process_gives_back_at_the_first_look_and_is_done)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 1);
    EXPECT_EQUAL(process.resident, 60 * MIB);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 1);
}

TEST(an_idle_process_with_little_to_give_is_left_alone)
{
    struct obm_idle idle = started();
    freed(OBM_PURGER_MIN_BYTES - 1);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 0);
}

TEST(malloc_is_left_alone_where_the_setting_says_so)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    process.now += OBM_EPOCH_NANOSECONDS;
    EXPECT_EQUAL(obm_idle_tick(&idle, false), 0);
    EXPECT_EQUAL(process.trims, 0);
}

TEST(what_has_gone_back_is_no_reason_until_it_is_resident_again)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    epoch(&idle, 1);
    EXPECT(!obm_idle_is_worth(&idle, 0));
    /* A burst between two looks takes all of it and frees it. */
    wanted_again(40 * MIB);
    freed(40 * MIB);
    EXPECT(obm_idle_is_worth(&idle, 0));
    obm_idle_start(&idle);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 2);
    EXPECT_EQUAL(process.resident, 60 * MIB);
}

TEST(a_burst_counts_though_the_heap_shrinks_as_much_meanwhile)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    epoch(&idle, 1);
    EXPECT_EQUAL(process.trims, 1);
    wanted_again(40 * MIB);
    freed(40 * MIB);
    heap_shrinks(40 * MIB);
    EXPECT(!epoch(&idle, 1));       /* much became resident: it looks again */
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 2);
    EXPECT_EQUAL(process.resident, 20 * MIB);
}

TEST(what_the_heap_takes_and_gives_back_is_no_evidence)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    epoch(&idle, 1);
    EXPECT_EQUAL(process.trims, 1);
    heap_grows(30 * MIB);
    EXPECT(!epoch(&idle, 1));
    EXPECT(epoch(&idle, 1));
    heap_shrinks(60 * MIB);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 1);
}

/* Then less is resident than the heap says of itself. */
TEST(a_burst_counts_where_the_heap_was_swapped_out)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    process.resident -= 50 * MIB;
    ours.resident_pages += 30 * MIB / ours.geometry.page_size;
    epoch(&idle, 1);
    EXPECT_EQUAL(process.trims, 1);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 1);
    wanted_again(2 * MIB);
    freed(2 * MIB);
    EXPECT(!epoch(&idle, 1));
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 2);
}

/* What a trim brought is not measured by what the heap takes meanwhile. */
TEST(a_busy_process_does_not_regret_what_the_heap_takes)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        epoch(&idle, 100);
    }
    EXPECT_EQUAL(process.trims, 1);
    heap_grows(40 * MIB);
    epoch(&idle, 100);
    EXPECT_EQUAL(idle.regrets, 0);
}

/* Thumbnails in threads: a trim while all were at work, and what they still held then became
   free as the process fell idle, less of it than the top that went meanwhile. */
TEST(what_became_free_as_the_top_went_goes_back_when_the_process_is_idle)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    epoch(&idle, 90);
    epoch(&idle, 90);
    EXPECT_EQUAL(process.trims, 1);
    top_went(20 * MIB, 30 * MIB);
    freed(10 * MIB);
    epoch(&idle, 90);
    EXPECT_EQUAL(process.trims, 1);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 2);
    EXPECT_EQUAL(process.resident, 30 * MIB);
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 2);
}

TEST(a_busy_process_gives_back_what_was_free_at_two_looks)
{
    struct obm_idle idle = started();
    freed(40 * MIB);
    EXPECT(!epoch(&idle, 100));
    EXPECT_EQUAL(process.trims, 0);
    EXPECT(!epoch(&idle, 100));
    EXPECT_EQUAL(process.trims, 1);
    for (unsigned i = 0; i < 10; i++) {
        EXPECT(!epoch(&idle, 100));
    }
    EXPECT_EQUAL(process.trims, 1);
}

TEST(a_busy_process_keeps_what_comes_and_goes)
{
    struct obm_idle idle = started();
    for (unsigned i = 0; i < 20; i++) {
        freed(40 * MIB);
        epoch(&idle, 100);
        process.free -= 40 * MIB;
        epoch(&idle, 100);
    }
    EXPECT_EQUAL(process.trims, 0);
}

/* Memory that is wanted again each time costs a trim less and less often. */
TEST(a_busy_process_that_regrets_waits_twice_as_long)
{
    struct obm_idle idle = started();
    size_t trims_by_then[3] = {0};
    freed(40 * MIB);
    for (unsigned i = 0; i < 300; i++) {
        if (process.gone_already != 0) {
            wanted_again(40 * MIB);
            epoch(&idle, 100);
            freed(40 * MIB);
        }
        epoch(&idle, 100);
        trims_by_then[i / 100] = process.trims;
    }
    EXPECT_AT_LEAST(trims_by_then[0], 3);
    EXPECT_AT_MOST(trims_by_then[0], 8);
    EXPECT_AT_MOST(trims_by_then[2] - trims_by_then[1], 2);
    /* When it falls idle, it gives back at once. */
    process.now = idle.not_before;
    epoch(&idle, 0);
    EXPECT_EQUAL(process.gone_already, process.free);
}

TEST(giving_back_takes_no_more_than_its_share_of_the_time)
{
    struct obm_idle idle = started();
    process.trim_takes = OBM_EPOCH_NANOSECONDS;
    uint64_t start = process.now;
    freed(40 * MIB);
    for (unsigned i = 0; i < 400; i++) {
        epoch(&idle, 1);
        if (process.gone_already == process.free) {
            wanted_again(40 * MIB);
            freed(40 * MIB);
        }
    }
    EXPECT_AT_LEAST(process.trims, 2);
    EXPECT_AT_MOST(process.trims * process.trim_takes * OBM_MALLOC_TRIM_SHARE,
                   process.now - start + OBM_MALLOC_TRIM_SHARE * process.trim_takes);
}

TEST(while_it_may_not_give_back_an_idle_process_is_not_done)
{
    struct obm_idle idle = started();
    process.trim_takes = OBM_EPOCH_NANOSECONDS;
    freed(40 * MIB);
    EXPECT(epoch(&idle, 1));
    wanted_again(40 * MIB);
    freed(40 * MIB);
    EXPECT(!epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 1);
}

TEST(a_malloc_that_tells_nothing_gives_back_once_each_time_the_process_is_idle)
{
    struct obm_idle idle = started();
    process.tells = false;
    EXPECT(!epoch(&idle, 100));
    EXPECT_EQUAL(process.trims, 0);
    EXPECT(epoch(&idle, 1));
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 1);
    EXPECT(!epoch(&idle, 100));
    EXPECT(epoch(&idle, 1));
    EXPECT_EQUAL(process.trims, 2);
    EXPECT(!obm_idle_is_worth(&idle, 0));
    process.faults += OBM_PURGER_MIN_TOUCHED_BYTES / obm_os_system()->page_size;
    EXPECT(obm_idle_is_worth(&idle, 0));
}

TEST(without_the_kernels_figure_an_idle_process_gives_back_once)
{
    struct obm_idle idle = started();
    process.resident = 0;
    freed(40 * MIB);
    process.gone_already = 40 * MIB;    /* so that it stays unknown */
    epoch(&idle, 1);
    epoch(&idle, 1);
    EXPECT_EQUAL(process.trims, 1);
}

TEST(much_that_becomes_resident_is_worth_a_purger)
{
    struct obm_idle idle = started();
    epoch(&idle, 1);
    process.faults += OBM_PURGER_MIN_TOUCHED_BYTES / obm_os_system()->page_size - 1;
    EXPECT(!obm_idle_is_worth(&idle, 0));
    process.faults++;
    EXPECT(obm_idle_is_worth(&idle, 0));
    epoch(&idle, 1);
    EXPECT(!obm_idle_is_worth(&idle, 0));
}

TEST(blocks_that_come_and_go_are_worth_a_purger_where_malloc_holds_much)
{
    struct obm_idle idle = started();
    epoch(&idle, 1);
    EXPECT(!obm_idle_is_worth(&idle, OBM_PURGER_MIN_BLOCKS));
    freed(1);
    epoch(&idle, 1);
    EXPECT(!obm_idle_is_worth(&idle, OBM_PURGER_MIN_BLOCKS - 1));
    EXPECT(obm_idle_is_worth(&idle, OBM_PURGER_MIN_BLOCKS));
}

TEST(a_busy_process_whose_malloc_holds_little_is_done)
{
    struct obm_idle idle = started();
    EXPECT(epoch(&idle, 100));
}

/* Numeric code: its arrays have mappings of their own when the purger looks, and are then freed
   and come from malloc's heap. */
TEST(a_process_that_touches_much_is_not_done_however_little_malloc_holds)
{
    struct obm_idle idle = started();
    for (unsigned i = 0; i < 4; i++) {
        process.faults += OBM_PURGER_MIN_TOUCHED_BYTES / obm_os_system()->page_size;
        EXPECT_EQUAL(look_after_epoch(&idle, i % 2 == 0 ? 100 : 1), OBM_EPOCH_NANOSECONDS);
    }
    freed(40 * MIB);
    EXPECT_EQUAL(look_after_epoch(&idle, 1), 0);
    EXPECT_EQUAL(process.trims, 1);
}

TEST(what_was_touched_before_the_purger_started_does_not_count)
{
    struct obm_idle idle = started();
    process.faults += OBM_PURGER_MIN_TOUCHED_BYTES / obm_os_system()->page_size;
    obm_idle_start(&idle);
    EXPECT_EQUAL(look_after_epoch(&idle, 100), 0);
}

TEST(a_malloc_that_cannot_give_back_is_left_alone)
{
    struct obm_idle idle = started();
    can_give_back = process.tells = false;
    epoch(&idle, 1);
    EXPECT(epoch(&idle, 1));
    process.faults += OBM_PURGER_MIN_TOUCHED_BYTES;
    EXPECT(!obm_idle_is_worth(&idle, OBM_PURGER_MIN_BLOCKS));
}

/* The child counts its page faults from 0 on. */
TEST(a_child_is_compared_with_itself)
{
    struct obm_idle idle = started();
    process.faults = 1000 * 1000;
    epoch(&idle, 1);
    process.faults = 1;
    EXPECT(!obm_idle_is_worth(&idle, 0));
    obm_idle_after_fork(&idle);
    process.faults += OBM_PURGER_MIN_TOUCHED_BYTES / obm_os_system()->page_size;
    EXPECT(obm_idle_is_worth(&idle, 0));
}

/* mallinfo() locks arenas for as long as it walks them. */
TEST(a_look_that_takes_long_is_not_taken_again_soon)
{
    struct obm_idle idle = started();
    process.figures_take = OBM_EPOCH_NANOSECONDS / 2;
    uint64_t start = process.now;
    for (unsigned i = 0; i < 100; i++) {
        epoch(&idle, 100);
    }
    EXPECT_AT_LEAST(process.looks, 2);
    EXPECT_AT_MOST(process.looks * process.figures_take * OBM_MALLOC_TRIM_SHARE,
                   process.now - start + OBM_MALLOC_TRIM_SHARE * process.figures_take);
}

/* C code frees what it uses, in a process that has been idle for long. */
TEST(the_purger_lingers_where_c_code_uses_much)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    EXPECT_EQUAL(look_after_epoch(&idle, 1), OBM_LINGER_NANOSECONDS);
    for (unsigned i = 0; i < 10; i++) {
        time_passes(OBM_LINGER_NANOSECONDS, 1);
        EXPECT_EQUAL(obm_idle_tick(&idle, true), OBM_LINGER_NANOSECONDS);
    }
    EXPECT_EQUAL(process.trims, 0);
    process.in_use -= 37 * MIB;
    freed(37 * MIB);
    time_passes(OBM_LINGER_NANOSECONDS, 1);
    EXPECT_EQUAL(obm_idle_tick(&idle, true), OBM_EPOCH_NANOSECONDS);
    EXPECT_EQUAL(process.trims, 1);
    EXPECT_EQUAL(process.resident, 63 * MIB);
    EXPECT_EQUAL(look_after_epoch(&idle, 1), 0);
}

TEST(the_purger_lingers_where_large_blocks_have_mappings_of_their_own)
{
    struct obm_idle idle = started();
    process.mapped = OBM_LINGER_BYTES;
    EXPECT_EQUAL(look_after_epoch(&idle, 1), OBM_LINGER_NANOSECONDS);
    /* A look between two pieces of work. */
    process.mapped = 0;
    time_passes(OBM_LINGER_NANOSECONDS, 1);
    EXPECT_EQUAL(obm_idle_tick(&idle, true), OBM_EPOCH_NANOSECONDS);
    freed(40 * MIB);
    EXPECT_EQUAL(look_after_epoch(&idle, 1), 0);
    EXPECT_EQUAL(process.trims, 1);
}

TEST(a_busy_process_is_looked_at_each_epoch_whatever_is_in_use)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    EXPECT_EQUAL(look_after_epoch(&idle, 100), OBM_EPOCH_NANOSECONDS);
}

/* What the purger itself uses does not count, nor that two clocks are not read at once. */
TEST(that_the_others_slept_is_known)
{
    struct obm_idle idle = started();
    epoch(&idle, 1);
    EXPECT(obm_idle_others_slept(&idle));
    process.processor_time += FAKE_MILLISECOND;
    EXPECT(!obm_idle_others_slept(&idle));
    process.own_time += FAKE_MILLISECOND;
    EXPECT(obm_idle_others_slept(&idle));
    process.processor_time += OBM_SLEPT_NANOSECONDS;
    EXPECT(obm_idle_others_slept(&idle));
    process.processor_time++;
    EXPECT(!obm_idle_others_slept(&idle));
    epoch(&idle, 1);
    EXPECT(obm_idle_others_slept(&idle));
}

TEST(without_a_clock_of_the_processor_nobody_is_known_to_have_slept)
{
    struct obm_idle idle = started();
    process.processor_time = 0;
    process.now += OBM_EPOCH_NANOSECONDS;
    obm_idle_tick(&idle, true);
    EXPECT(!obm_idle_others_slept(&idle));
}

TEST(the_longer_a_look_takes_the_longer_the_purger_lingers)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    process.figures_take = 75 * FAKE_MILLISECOND;
    EXPECT_EQUAL(look_after_epoch(&idle, 1), 75 * FAKE_MILLISECOND * OBM_LINGER_SHARE);
}

/* A signal, a debugger, a frozen control group; or it waits for its turn. */
TEST(that_a_process_is_stopped_in_a_look_is_no_reason_to_linger_for_long)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    process.figures_take = FAKE_MILLISECOND;
    process.stopped = (uint64_t)24 * 3600 * 1000 * FAKE_MILLISECOND;
    EXPECT_EQUAL(look_after_epoch(&idle, 1), OBM_LINGER_NANOSECONDS);
    freed(40 * MIB);
    time_passes(OBM_LINGER_NANOSECONDS, 1);
    EXPECT_EQUAL(obm_idle_tick(&idle, true), OBM_LINGER_NANOSECONDS);
    EXPECT_EQUAL(process.trims, 1);
}

/* Giving back is not what the next look does again. */
TEST(the_purger_lingers_no_longer_because_giving_back_took_long)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    process.trim_takes = OBM_EPOCH_NANOSECONDS;
    freed(40 * MIB);
    EXPECT_EQUAL(look_after_epoch(&idle, 1), OBM_LINGER_NANOSECONDS);
    EXPECT_EQUAL(process.trims, 1);
}

TEST(without_a_clock_of_the_processor_a_look_takes_the_time_that_passes)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    process.own_time = 0;
    process.stopped = 75 * FAKE_MILLISECOND;
    EXPECT_EQUAL(look_after_epoch(&idle, 1), 75 * FAKE_MILLISECOND * OBM_LINGER_SHARE);
}

/* A process that was restored from an image may have used less than it had then. */
TEST(that_the_clock_of_the_processor_was_set_back_is_no_sleep)
{
    struct obm_idle idle = started();
    process.processor_time = 1000 * FAKE_MILLISECOND;
    epoch(&idle, 1);
    process.processor_time = FAKE_MILLISECOND;
    EXPECT(!obm_idle_others_slept(&idle));
}

/* The process is the child of a fork from here on. */
static void
forks(struct obm_idle *idle)
{
    process.parent = process.id;
    process.id++;
    process.faults = 0;
    obm_idle_after_fork(idle);
}

static void
parent_ends(void)
{
    process.parent = 1;
}

/* The parent of a fork, which has ended the purger, starts it again; a child that it works with
   shares the memory. */
TEST(a_purger_that_lingered_is_worth_another)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    epoch(&idle, 1);
    EXPECT(obm_idle_is_worth(&idle, 0));
    forks(&idle);
    EXPECT(!obm_idle_is_worth(&idle, 0));
}

TEST(a_daemon_has_inherited_what_the_purger_lingers_for)
{
    struct obm_idle idle = started();
    process.in_use = 40 * MIB;
    epoch(&idle, 1);
    forks(&idle);
    forks(&idle);               /* as daemons do, twice */
    parent_ends();
    EXPECT(obm_idle_is_worth(&idle, 0));
    obm_idle_start(&idle);
    EXPECT_EQUAL(look_after_epoch(&idle, 1), OBM_LINGER_NANOSECONDS);
    forks(&idle);
    EXPECT(!obm_idle_is_worth(&idle, 0));
}

TEST(a_daemon_that_inherited_little_waits_for_evidence)
{
    struct obm_idle idle = started();
    epoch(&idle, 1);
    forks(&idle);
    parent_ends();
    EXPECT(!obm_idle_is_worth(&idle, 0));
}

/* obmalloc: when the system's malloc gives back, the purger's policy for memory that is
   not ours.

   The purger (adapters/background.c) looks once an epoch, without the GIL.  A process
   that used little processor time since the last look is idle.

   - In an idle process the system's malloc gives back at once, when it holds something
     free that has not gone back already.  It counts pages that have gone back as free,
     so the evidence is that more is free than after it last gave back, or that more is
     resident.  That less is resident is evidence too: blocks in use then were freed, and
     glibc, which gives back the top of its heap by itself, counts less as free for that.
     The memory of the heap is not counted as resident here: it comes and goes meanwhile.
   - In a process that is not idle it gives back what it held free at two looks in
     sequence, when that is much.  When as much as half of it is resident again at the
     next look, the next time of this kind waits twice as long (a ski-rental rule as in
     retention.c, with doubling in place of an allowance).
   - Looking takes the longer the more free blocks malloc has, and locks them meanwhile, and
     so does giving back.  Neither comes before OBM_MALLOC_TRIM_SHARE times as long has
     passed as both took the last time.  That is counted in processor time: a process may be
     stopped meanwhile for a day, or its threads may wait for each other.

   A malloc that does not tell how much it holds free gives back once each time that the
   process falls idle; one that cannot give back is left alone.

   When the process is idle, or malloc holds little, and nothing is left to give back, the
   purger ends; unless much of malloc's memory is in use.  C code may free that without a
   call that obmalloc sees, so then the purger lingers: it sleeps for longer, and looks at
   malloc only if another thread has used processor time meanwhile.  Blocks with a mapping of
   their own count: they go back when they are freed, but glibc then takes blocks as large from
   its heap.  When the purger finds gone what it lingered for, it looks once more: others may be
   about to take their place.  Nor does it end while much becomes resident, however little malloc
   holds and however idle the process seems, which may wait for a processor: malloc may hold that
   free in the end.

   obm_idle_is_worth() asks for cheap evidence only, since it is called with the GIL held:
   much memory has become resident since the last look, no matter which allocator owns it,
   or many blocks were freed while malloc held much; or a purger lingered, and was ended by a
   fork.  Of the child that is true when its parent has ended: it became a daemon, and what it
   inherited is its own.  While the parent lives it is one of many, maybe, which do not each need a
   thread for memory that they share.  obm_idle_is_worth() must not be called while the purger
   runs, but by the purger itself. */

#include "obmalloc/idle.h"
#include "obmalloc/os.h"

void
obm_idle_init(struct obm_idle *idle, const struct obm_process *process,
              const struct obm_heap *heap)
{
    idle->process = process;
    idle->heap = heap;
    idle->faults = process->faults();
}

void
obm_idle_start(struct obm_idle *idle)
{
    idle->looked_at = idle->process->now();
    idle->processor_time = idle->process->processor_time();
    idle->faults = idle->process->faults();
    idle->free_before = 0;
    idle->to_be_judged = false;
    idle->given = false;
}

void
obm_idle_after_fork(struct obm_idle *idle)
{
    idle->faults = 0;
    idle->held = 0;
}

/* What one look sees. */
struct look {
    struct obm_malloc_figures malloc;
    bool told;              /* malloc has told them */
    ptrdiff_t resident;     /* bytes, without the heap's */
    bool measured;          /* resident is known */
    bool idle;
    bool much_touched;      /* since the last look */
};

/* Whether malloc holds something free that has not gone back already. */
static bool
has_something(const struct obm_idle *idle, const struct look *look)
{
    if (!look->told) {
        return !idle->given;
    }
    if (look->malloc.free < OBM_PURGER_MIN_BYTES) {
        return false;
    }
    if (look->malloc.free >= idle->free_after + OBM_PURGER_MIN_BYTES) {
        return true;
    }
    if (!look->measured) {
        return !idle->given;
    }
    const ptrdiff_t much = (ptrdiff_t)OBM_PURGER_MIN_BYTES;
    return look->resident - idle->resident_after >= much
           || (look->idle && idle->resident_then - look->resident >= much);
}

/* Whether enough pages became resident since the last look for a purger to be worth it.
   faults: so far. */
static bool
touched_much(const struct obm_idle *idle, size_t faults)
{
    size_t touched = faults > idle->faults ? faults - idle->faults : 0;
    return touched >= OBM_PURGER_MIN_TOUCHED_BYTES / obm_os_system()->page_size;
}

/* Whether so much of malloc's memory is in use that the purger lingers. */
static bool
lingers(const struct obm_idle *idle)
{
    return idle->in_use >= OBM_LINGER_BYTES;
}

/* Whether the process inherited what it knows from its parent, which has it still. */
static bool
is_child_at_work(const struct obm_idle *idle)
{
    return idle->process->parent() == idle->looked_in;
}

/* Whether malloc holds too little for a purger to wait for. */
static bool
is_small(const struct look *look)
{
    return look->told && look->malloc.held < OBM_PURGER_MIN_HELD_BYTES;
}

static void
look_at_time(struct obm_idle *idle, struct look *look)
{
    uint64_t now = idle->process->now(), used = idle->process->processor_time();
    look->idle = (used - idle->processor_time) * OBM_IDLE_SHARE < now - idle->looked_at;
    idle->is_idle = look->idle;
    idle->looked_at = now;
    idle->processor_time = used;
    idle->others_time = used - idle->process->own_processor_time();
    idle->given = idle->given && look->idle;
}

/* How many bytes that are not the heap's are resident: less than none, where parts of the heap
   were swapped out.  false: that cannot be known, or the heap took or gave back much meanwhile. */
static bool
measure_resident(const struct obm_idle *idle, ptrdiff_t *resident)
{
    const size_t *published = &idle->heap->resident_pages;
    size_t page_size = idle->heap->geometry.page_size;
    size_t before = OBM_PUBLISHED(published);
    size_t all = idle->process->resident();
    size_t pages = OBM_PUBLISHED(published);
    size_t changed = pages > before ? pages - before : before - pages;
    *resident = (ptrdiff_t)(all - pages * page_size);
    return all != 0 && changed < OBM_PURGER_MIN_BYTES / page_size;
}

static void
look_at_memory(struct obm_idle *idle, struct look *look)
{
    const struct obm_process *process = idle->process;
    look->malloc.held = look->malloc.free = look->malloc.mapped = 0;
    look->told = process->malloc_figures(&look->malloc);
    look->measured = measure_resident(idle, &look->resident);
    idle->held = look->malloc.held;
    idle->in_use = look->malloc.held - look->malloc.free + look->malloc.mapped;
    idle->looked_in = process->id();
    size_t faults = process->faults();
    look->much_touched = touched_much(idle, faults);
    idle->faults = faults;
}

/* Was memory wanted again that the last trim gave back?  And what has become less since
   then is what the next one is compared with. */
static void
judge_last_trim(struct obm_idle *idle, const struct look *look)
{
    if (idle->to_be_judged && look->measured) {
        if (idle->gone == 0 || look->resident < idle->resident_after + idle->gone / 2) {
            idle->regrets = 0;
            idle->not_busy_before = 0;
        }
        else {
            idle->regrets += idle->regrets < OBM_MALLOC_REGRETS_MAX;
            idle->not_busy_before = idle->looked_at
                                    + (OBM_EPOCH_NANOSECONDS << idle->regrets);
        }
        idle->to_be_judged = false;
    }
    if (look->malloc.free < idle->free_after) {
        idle->free_after = look->malloc.free;
    }
    if (look->measured && look->resident < idle->resident_after) {
        idle->resident_after = look->resident;
    }
}

/* In a process that is not idle: whether enough was free at two looks in sequence. */
static bool
is_steady(const struct obm_idle *idle, const struct look *look)
{
    size_t steady = look->malloc.free < idle->free_before ? look->malloc.free
                                                          : idle->free_before;
    return look->told && steady >= OBM_MALLOC_TRIM_BUSY_BYTES
           && idle->looked_at >= idle->not_busy_before;
}

static void
give_back(struct obm_idle *idle, const struct look *look)
{
    const struct obm_process *process = idle->process;
    struct obm_malloc_figures figures = {0, 0, 0};
    if (!process->malloc_give_back()) {
        idle->cannot = true;
        return;
    }
    ptrdiff_t resident;
    if (measure_resident(idle, &resident)) {
        idle->resident_after = idle->resident_then = resident;
        idle->gone = look->resident > resident ? look->resident - resident : 0;
    }
    if (process->malloc_figures(&figures)) {
        idle->free_after = figures.free;
    }
    idle->to_be_judged = !look->idle;
    idle->given = look->idle;
}

/* The time that looks are measured by: what the purger has used of a processor, or where that
   is unknown, what has passed. */
static uint64_t
own_time(const struct obm_idle *idle)
{
    uint64_t used = idle->process->own_processor_time();
    return used != 0 ? used : idle->process->now();
}

/* When to look again after a look that found nothing more to give back, and took so long
   without what giving back took. */
static uint64_t
pause_of_nothing(const struct obm_idle *idle, uint64_t took)
{
    if (!lingers(idle)) {
        return 0;
    }
    uint64_t pause = took * OBM_LINGER_SHARE;
    return pause > OBM_LINGER_NANOSECONDS ? pause : OBM_LINGER_NANOSECONDS;
}

uint64_t
obm_idle_tick(struct obm_idle *idle, bool trims_malloc)
{
    struct look look;
    look_at_time(idle, &look);
    if (!trims_malloc || idle->cannot) {
        return look.idle ? 0 : OBM_EPOCH_NANOSECONDS;
    }
    if (idle->looked_at < idle->not_before) {
        return OBM_EPOCH_NANOSECONDS;
    }
    uint64_t start = own_time(idle);
    bool lingered = lingers(idle);
    look_at_memory(idle, &look);
    uint64_t took = own_time(idle) - start;
    judge_last_trim(idle, &look);
    bool something = has_something(idle, &look);
    if (something && (look.idle || is_steady(idle, &look))) {
        give_back(idle, &look);
        something = false;
    }
    idle->free_before = look.malloc.free;
    idle->not_before = idle->process->now()
                       + (own_time(idle) - start) * OBM_MALLOC_TRIM_SHARE;
    bool is_over = lingered && !lingers(idle);
    if (something || is_over || look.much_touched || !(look.idle || is_small(&look))) {
        return OBM_EPOCH_NANOSECONDS;
    }
    return pause_of_nothing(idle, took);
}

/* The clock may have been set back, which says nothing of the others. */
bool
obm_idle_others_slept(const struct obm_idle *idle)
{
    uint64_t used = idle->process->processor_time();
    int64_t more = (int64_t)(used - idle->process->own_processor_time() - idle->others_time);
    const int64_t apart = (int64_t)OBM_SLEPT_NANOSECONDS;
    return used != 0 && -apart <= more && more <= apart;
}

bool
obm_idle_is_worth(const struct obm_idle *idle, size_t blocks)
{
    if (idle->cannot) {
        return false;
    }
    return (lingers(idle) && !is_child_at_work(idle))
           || touched_much(idle, idle->process->faults())
           || (blocks >= OBM_PURGER_MIN_BLOCKS && idle->held >= OBM_PURGER_MIN_HELD_BYTES);
}

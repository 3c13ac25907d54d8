/* obmalloc: when the system's malloc gives back, the purger's policy for memory that is
   not ours.

   The purger (adapters/background.c) looks once an epoch, without the GIL.  A process
   that used little processor time since the last look is idle.

   - In an idle process the system's malloc gives back at once, when it holds something
     free that has not gone back already.  It counts pages that have gone back as free,
     so the evidence is that more is free than after it last gave back, or that more is
     resident.
   - In a process that is not idle it gives back what it held free at two looks in
     sequence, when that is much.  When as much as half of it is resident again at the
     next look, the next time of this kind waits twice as long (a ski-rental rule as in
     retention.c, with doubling in place of an allowance).
   - Never before OBM_MALLOC_TRIM_SHARE times as long has passed as it took the last
     time.

   Where malloc does not tell what it holds free, it gives back once each time that the
   process has fallen idle.

   The purger ends when the process is idle and nothing is left to give back.  It is worth
   starting again, obm_idle_is_worth(), when malloc holds more than at the last look, or
   holds something free while more pages have become resident, whosever they are.  That
   must not be asked while the purger runs. */

#include "obmalloc/idle.h"
#include "obmalloc/os.h"

void
obm_idle_init(struct obm_idle *idle, const struct obm_process *process)
{
    idle->process = process;
}

void
obm_idle_start(struct obm_idle *idle)
{
    idle->looked_at = idle->process->now();
    idle->processor_time = idle->process->processor_time();
    idle->free_before = 0;
    idle->to_be_judged = false;
    idle->given = false;
}

/* What one look sees. */
struct look {
    struct obm_malloc_figures malloc;
    bool told;              /* malloc has told them */
    size_t resident;
    bool idle;
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
    return look->resident != 0 ? look->resident >= idle->resident_after + OBM_PURGER_MIN_BYTES
                               : !idle->given;
}

static void
look_at_process(struct obm_idle *idle, struct look *look)
{
    const struct obm_process *process = idle->process;
    uint64_t now = process->now(), used = process->processor_time();
    look->idle = (used - idle->processor_time) * OBM_IDLE_SHARE < now - idle->looked_at;
    idle->looked_at = now;
    idle->processor_time = used;
    look->resident = process->resident();
    look->malloc.held = look->malloc.free = 0;
    look->told = process->malloc_figures(&look->malloc);
    idle->held = look->malloc.held;
    idle->faults = process->faults();
}

/* Was memory wanted again that the last trim handed back?  And what has become less since
   then is what the next one is compared with. */
static void
judge_last_trim(struct obm_idle *idle, const struct look *look)
{
    if (idle->to_be_judged && look->resident != 0) {
        bool wanted = look->resident >= idle->resident_after + idle->gone / 2
                      && idle->gone != 0;
        idle->regrets = !wanted ? 0 : idle->regrets < OBM_MALLOC_REGRETS_MAX
                        ? idle->regrets + 1 : idle->regrets;
        idle->not_busy_before = idle->looked_at
                                + (OBM_EPOCH_NANOSECONDS << idle->regrets) * (idle->regrets != 0);
    }
    idle->to_be_judged = false;
    if (look->malloc.free < idle->free_after) {
        idle->free_after = look->malloc.free;
    }
    if (look->resident < idle->resident_after) {
        idle->resident_after = look->resident;
    }
}

static bool
is_time(const struct obm_idle *idle, const struct look *look)
{
    if (idle->looked_at < idle->not_before) {
        return false;
    }
    if (look->idle) {
        return true;
    }
    size_t steady = look->malloc.free < idle->free_before ? look->malloc.free
                                                          : idle->free_before;
    return look->told && steady >= OBM_MALLOC_TRIM_BUSY_BYTES
           && idle->looked_at >= idle->not_busy_before;
}

static void
give_back(struct obm_idle *idle, const struct look *look)
{
    const struct obm_process *process = idle->process;
    struct obm_malloc_figures figures = {0, 0};
    uint64_t start = process->now();
    process->malloc_give_back();
    uint64_t end = process->now();
    idle->not_before = end + (end - start) * OBM_MALLOC_TRIM_SHARE;
    idle->resident_after = process->resident();
    if (process->malloc_figures(&figures)) {
        idle->free_after = figures.free;
    }
    idle->gone = look->resident > idle->resident_after
                 ? look->resident - idle->resident_after : 0;
    idle->to_be_judged = !look->idle;
    idle->given = look->idle;
}

bool
obm_idle_tick(struct obm_idle *idle, bool trims_malloc)
{
    struct look look;
    look_at_process(idle, &look);
    judge_last_trim(idle, &look);
    idle->given = idle->given && look.idle;
    bool something = trims_malloc && has_something(idle, &look);
    if (something && is_time(idle, &look)) {
        give_back(idle, &look);
        something = false;
    }
    idle->free_before = look.malloc.free;
    return look.idle && !something;
}

bool
obm_idle_is_worth(const struct obm_idle *idle)
{
    const struct obm_process *process = idle->process;
    const size_t least = OBM_PURGER_MIN_BYTES;
    struct obm_malloc_figures figures;
    size_t faults = process->faults() - idle->faults;
    bool touched = faults * obm_os_system()->page_size >= least;
    if (!process->malloc_figures(&figures)) {
        return touched;
    }
    return figures.held >= idle->held + 4 * least
           || (figures.free >= least && (touched || figures.free >= idle->free_after + least));
}

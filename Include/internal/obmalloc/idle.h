/* obmalloc: when the system's malloc gives back. */

#ifndef OBM_IDLE_H
#define OBM_IDLE_H

#include "obmalloc/types.h"

/* Zeroed memory plus this is the state of a process that has just begun, whose memory is that
   of the heap and of the system's malloc. */
OBM_API void obm_idle_init(struct obm_idle *idle, const struct obm_process *process,
                           const struct obm_heap *heap);

/* The purger has started: its looks begin here. */
OBM_API void obm_idle_start(struct obm_idle *idle);

/* In the child of a fork, which counts its page faults anew. */
OBM_API void obm_idle_after_fork(struct obm_idle *idle);

/* Look once, and let the system's malloc give back if this is the time and trims_malloc is
   set.  Returns how many nanoseconds later to look again:

     OBM_EPOCH_NANOSECONDS  there may be more to give back
     more than that         there is nothing, as yet: the purger lingers, since so much is in
                            use that C code may free
     0                      there is nothing, and the purger may end */
OBM_API uint64_t obm_idle_tick(struct obm_idle *idle, bool trims_malloc);

/* Whether no thread but the purger, which calls this, has run since the last look. */
OBM_API bool obm_idle_others_slept(const struct obm_idle *idle);

/* Whether the system's malloc may have something to give back, so that the purger is
   worth starting.  blocks: how many blocks were freed, or made, since it last ran. */
OBM_API bool obm_idle_is_worth(const struct obm_idle *idle, size_t blocks);

#endif /* OBM_IDLE_H */

/* obmalloc: the malloc that serves what the arenas do not. */

#ifndef OBM_SYSTEM_MALLOC_H
#define OBM_SYSTEM_MALLOC_H

#include "obmalloc/types.h"

/* This process.  Never NULL. */
OBM_API const struct obm_process *obm_process_system(void);

/* How often malloc_give_back() of this process made the system's malloc give back, and
   how long that took. */
OBM_API struct obm_spent obm_malloc_spent(void);

/* Count a call that took so long.  Any thread may. */
static inline void
obm_spent_add(struct obm_spent *spent, uint64_t nanoseconds)
{
    const uintptr_t added[] = {1, (uintptr_t)(nanoseconds / 1000)};
    uintptr_t *const places[] = {&spent->calls, &spent->microseconds};
    for (unsigned i = 0; i < 2; i++) {
        uintptr_t old = OBM_PUBLISHED(places[i]);
        while (!OBM_ATOMIC_SWAP(places[i], old, old + added[i])) {
            old = OBM_PUBLISHED(places[i]);
        }
    }
}

/* The two figures, which a thread that counts at the same time may change one after
   the other. */
static inline struct obm_spent
obm_spent_read(const struct obm_spent *spent)
{
    struct obm_spent read = {OBM_PUBLISHED(&spent->calls), OBM_PUBLISHED(&spent->microseconds)};
    return read;
}

/* Whether the settings let obmalloc see to it that the system's malloc gives back. */
OBM_INLINE bool
obm_malloc_may_give_back(const struct obm_settings *settings)
{
    return settings->system_malloc != OBM_MALLOC_LEAVE && settings->retain != OBM_RETAIN_ALL;
}

/* Let glibc's malloc have one arena, if the settings and the number of processors say
   so, unless MALLOC_ARENA_MAX or GLIBC_TUNABLES decides it.  Returns whether it was
   done. */
OBM_API bool obm_malloc_one_arena(const struct obm_settings *settings);

/* The number of processors that this process may use: its affinity mask's, or what the
   quota of its cgroup allows, if that is less. */
OBM_API unsigned obm_processors(void);

#endif /* OBM_SYSTEM_MALLOC_H */

/* obmalloc: the malloc that serves what the arenas do not. */

#ifndef OBM_SYSTEM_MALLOC_H
#define OBM_SYSTEM_MALLOC_H

#include "obmalloc/types.h"

/* This process.  Never NULL. */
OBM_API const struct obm_process *obm_process_system(void);

/* Let glibc's malloc have one arena, if the settings and the number of processors say
   so, unless MALLOC_ARENA_MAX or GLIBC_TUNABLES decides it.  Returns whether it was
   done. */
OBM_API bool obm_malloc_one_arena(const struct obm_settings *settings);

/* The number of processors that this process may use: its affinity mask's, or what the
   quota of its cgroup allows, if that is less. */
OBM_API unsigned obm_processors(void);

#endif /* OBM_SYSTEM_MALLOC_H */

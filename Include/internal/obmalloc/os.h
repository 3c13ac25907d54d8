/* obmalloc: the operating system (struct obm_os in types.h has the operations). */

#ifndef OBM_OS_H
#define OBM_OS_H

#include "obmalloc/types.h"

/* The system's own functions.  Never NULL. */
OBM_API const struct obm_os *obm_os_system(void);

/* Whether this process may do more than the user who started it (a set-uid or
   set-gid program, file capabilities), so that its environment is not to be
   trusted. */
OBM_API bool obm_has_raised_rights(void);

/* Format a message of at most 511 bytes and pass it to os->fatal. */
OBM_API void obm_fatal(const struct obm_heap *heap, const char *format, ...)
    OBM_PRINTF(2, 3);

#endif /* OBM_OS_H */

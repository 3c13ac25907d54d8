/* obmalloc: statistics as text, for people. */

#ifndef OBM_DUMP_H
#define OBM_DUMP_H

#include "obmalloc/types.h"

#include <stdio.h>

/* The text of sys._debugmallocstats(). */
OBM_API void obm_dump_stats(const struct obm_heap *heap, FILE *out);

#endif /* OBM_DUMP_H */

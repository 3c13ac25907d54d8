/* obmalloc: the whole core as one translation unit, in the order in which the
   files may use each other.  A patched CPython includes this, so that the hot
   path is inlined and nothing is exported. */

#include "obmalloc/config.h"
#define OBM_API static OBM_UNUSED
#include "obmalloc/internal.h"

#include "os.c"
#include "system_malloc.c"
#include "idle.c"
#include "size_class.c"
#include "secure.c"
#include "arena_map.c"
#include "arena.c"
#include "check.c"
#include "retention.c"
#include "pool.c"
#include "alloc.c"
#include "stats.c"
#include "heap_map.c"
#include "dump.c"

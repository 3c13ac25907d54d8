/* obmalloc: the whole core as one translation unit.  A patched CPython includes
   this, so that the hot path is inlined and nothing is exported.

   This list is the order of the layers, and the only place where it stands: the
   unit tests' makefiles read it, and `make check` proves that each file uses, in
   what it includes and in what it calls, only layers that stand above it here
   (Tools/check/layers.py).  A layer has a header of its name; one of inline
   functions or types only is listed by its header. */

#define OBM_API static OBM_UNUSED
#define OBM_API_DEFINITION static

#include "obmalloc/compiler.h"      /* what compilers differ in: atomics, hints, static asserts */
#include "obmalloc/bits.h"          /* bits of a word */
#include "obmalloc/probes.h"        /* static probes for tracers */
#include "obmalloc/config.h"        /* every tunable number */
#include "obmalloc/types.h"         /* every struct, and its invariants */
#include "os.c"                     /* the operating system and its clock */
#include "system_malloc.c"          /* the malloc that serves what the arenas do not */
#include "idle.c"                   /* when that malloc gives back */
#include "settings.c"               /* the settings, as PYTHONOBMALLOC has them */
#include "size_class.c"             /* size classes, and sizes that follow from the page size */
#include "metadata.c"               /* memory for what the allocator itself keeps */
#include "arena_map.c"              /* from an address to the descriptor of its page, and back */
#include "obmalloc/descriptor.h"    /* what a descriptor says: its free list and its counts */
#include "obmalloc/blocks.h"        /* the blocks of a run of a medium class, and their pages */
#include "obmalloc/fast_path.h"     /* the hot path of malloc and free */
#include "longlived.c"              /* long-lived blocks, and which threads ask for them */
#include "secure.c"                 /* secure mode: bitmaps, quarantine, guard pages */
#include "retention.c"              /* the policy: what stays resident, when the rest goes back */
#include "buckets.c"                /* arenas and runs by their number of free pages */
#include "check.c"                  /* the invariants of types.h, verified */
#include "dirty.c"                  /* the queue of arenas with dirty pages */
#include "arena.c"                  /* arenas: mapped, cut into runs, released */
#include "purge.c"                  /* free pages go back, huge pages are split */
#include "run.c"                    /* runs, and the pages that a size class takes from them */
#include "trim.c"                   /* giving back what retention does not keep */
#include "pool.c"                   /* pools of one small size class */
#include "medium.c"                 /* blocks of the medium classes, across pages */
#include "alloc.c"                  /* malloc, calloc, realloc and free */
#include "heap.c"                   /* the life of a heap; trim */
#include "stats.c"                  /* statistics, by walking */
#include "heap_map.c"               /* what every page is, and which of its blocks are live */
#include "dump.c"                   /* statistics as text, for people */

/* obmalloc: the core as a library for a CPython that was built without it.

   The library is loaded into the process by LD_PRELOAD, before Python starts,
   or by obmalloc.install(), while it runs.  It uses public functions of
   CPython's (loadable/python_api.h): PyMem_SetAllocator() puts ours in front of
   those in force (the "previous" ones, pymalloc's as a rule), in the domains MEM
   and OBJ.  In a process without Python nothing happens at all.

   Out of memory: what the heap cannot serve is asked of the previous
   allocator.

   This is one translation unit, like the core in it (../static.c): a file of
   loadable/ uses only those that stand above it here. */

#include "../static.c"

#include <errno.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>

#include "loadable/python_api.h"    /* what it needs of Python */
#include "obmalloc/python.h"
#include "loadable.h"
#include "loadable/state.c"         /* its heap, the allocators below it, how it warns */
#include "reported.c"               /* invalid settings are reported, once */
#include "loadable/served.c"        /* which interpreter it serves */
#include "loadable/purger.c"        /* when the purger starts and stops */
#include "loadable/domains.c"       /* malloc, calloc, realloc and free */
#include "loadable/in_force.c"      /* whose allocator is in force */
#include "loadable/place.c"         /* coming into place */
#include "loadable/restart.c"       /* again in the next life of the runtime */
#include "loadable/prepare.c"       /* whether this Python can be served; the heap */
#include "loadable/module.c"        /* what its Python module calls */
#include "longlived.c"              /* the marks of threads that ask for long-lived blocks */
#include "inspection.c"             /* and what readers from outside see */
#include "loadable/decline.c"       /* what it says when it does not serve */
#include "loadable/children.c"      /* LD_PRELOAD of the programs that the process starts */
#include "loadable/loaded.c"        /* what it does when it is loaded */

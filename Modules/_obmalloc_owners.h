/* Whether this interpreter has obmalloc, and to whom its blocks belong.  Include this after
   Python.h and <stdbool.h>, with Py_BUILD_CORE_BUILTIN or Py_BUILD_CORE_MODULE. */

#ifndef OBMALLOC_OWNERS_H
#define OBMALLOC_OWNERS_H

#if PY_VERSION_HEX >= 0x030d0000
#  include "pycore_obmalloc.h"      // WITH_OBMALLOC_ARENAS
#else
#  include "obmalloc/choice.h"      // WITH_OBMALLOC_ARENAS
#endif

/* What _obmalloc.owners(limit) returns; NULL with an exception. */
extern PyObject *_PyObmalloc_Owners(Py_ssize_t limit);

#endif /* OBMALLOC_OWNERS_H */

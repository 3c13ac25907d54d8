/* What _obmalloc.c needs of newer CPythons, for older ones. */

#ifndef OBMALLOC_COMPAT_H
#define OBMALLOC_COMPAT_H

#if PY_VERSION_HEX >= 0x030d0000
#  include "pycore_obmalloc.h"      // WITH_OBMALLOC_ARENAS
#else
#  include "obmalloc/choice.h"      // WITH_OBMALLOC_ARENAS
#endif

#ifndef Py_UNUSED
#  define Py_UNUSED(name) unused_##name
#endif
#ifndef Py_ARRAY_LENGTH
#  define Py_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#endif

#if PY_MAJOR_VERSION < 3
#  define PyMem_RawCalloc calloc
#  define PyMem_RawFree free
#  undef PyUnicode_FromString
#  define PyUnicode_FromString PyString_FromString      /* what people call str */
#  if PY_VERSION_HEX >= 0x02050000
#    define PyLong_FromSsize_t PyInt_FromSsize_t
#    define PyLong_FromSize_t PyInt_FromSize_t
#  else
#    define PyLong_FromSsize_t PyInt_FromLong
#    define PyLong_FromSize_t PyInt_FromLong
#  endif
#endif

#endif /* OBMALLOC_COMPAT_H */

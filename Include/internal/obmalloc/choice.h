/* obmalloc: the allocator in Objects/obmalloc/, or the one that CPython came
   with.  Include this after Python.h, in versions older than 3.13: there
   pycore_obmalloc.h says the same.

   Build with -DWITH_OBMALLOC_ARENAS=0 for CPython's own, with 1 (the default)
   for ours.  No Python was run with it on Windows, so there the default is 0. */

#ifndef OBM_CHOICE_H
#define OBM_CHOICE_H

#ifndef WITH_OBMALLOC_ARENAS
#  ifdef MS_WINDOWS
#    define WITH_OBMALLOC_ARENAS 0
#  else
#    define WITH_OBMALLOC_ARENAS 1
#  endif
#endif
#ifndef WITH_PYMALLOC
#  undef WITH_OBMALLOC_ARENAS
#  define WITH_OBMALLOC_ARENAS 0
#endif

#endif /* OBM_CHOICE_H */

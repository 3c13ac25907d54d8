/* obmalloc: what the loadable library offers to its Python module, besides
   what every adapter does (obmalloc/python.h). */

#ifndef OBM_LOADABLE_H
#define OBM_LOADABLE_H

/* The library's file, as it stands in LD_PRELOAD: also a module for import. */
#define OBM_LOADABLE_FILE "_obmalloc.abi3.so"

/* Environment: "0" takes the library out of LD_PRELOAD when a Python starts,
   so that programs which that one starts do without. */
#define OBM_LOADABLE_CHILDREN "OBMALLOC_CHILDREN"

/* Make the heap usable.  NULL, or one line that says why it cannot be. */
extern const char *obm_loadable_prepare(void);

/* Put the heap in front of pymalloc, while Python runs and with the GIL.
   NULL: it is there; else one line that says why it cannot be. */
extern const char *obm_loadable_install(void);

#endif /* OBM_LOADABLE_H */

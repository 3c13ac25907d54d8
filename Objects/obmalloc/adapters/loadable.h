/* obmalloc: what the loadable library offers to its Python module, besides
   what every adapter does (obmalloc/python.h). */

#ifndef OBM_LOADABLE_H
#define OBM_LOADABLE_H

/* The library's file, as it stands in LD_PRELOAD: also a module for import. */
#define OBM_LOADABLE_FILE "_obmalloc.so"

/* Environment: "0" takes the library out of LD_PRELOAD when a Python starts,
   so that programs which that one starts do without.  `obmalloc enable` needs no
   LD_PRELOAD: there the second variable, which they get as "0", turns it off. */
#define OBM_LOADABLE_CHILDREN "OBMALLOC_CHILDREN"
#define OBM_LOADABLE_ENABLED "OBMALLOC_ENABLED"

/* Environment: "1" keeps a preloaded library from saying why it does not serve
   an interpreter.  The other one is for `python -m obmalloc`, which starts
   itself anew with the library preloaded, and then says it by itself. */
#define OBM_LOADABLE_QUIET "OBMALLOC_QUIET"
#define OBM_LOADABLE_RESTARTED "OBMALLOC_RESTARTED"

/* Of the module in the library, as Lib/obmalloc/loading.py knows it: grows with
   every change that a package of another version would not understand. */
#define OBM_LOADABLE_INTERFACE 4

/* Make the heap usable.  NULL, or one line that says why it cannot be. */
extern const char *obm_loadable_prepare(void);

/* Put the heap in front of pymalloc, while Python runs and with the GIL.
   NULL: it is there; else one line that says why it cannot be. */
extern const char *obm_loadable_install(void);

/* Call this in the parent after each os.fork(). */
extern void obm_loadable_after_fork(void);

/* A pending call, which the module defines: ask Python to call
   _PyObmalloc_BeforeFork() before each os.fork(), obm_loadable_after_fork() after it, and
   _PyObmalloc_BeforeFinalizing() when it ends.  Returns 0, and tells by
   obm_loadable_watch_answered() whether Python agreed, or this is no moment to ask. */
extern int obm_loadable_watch_python(void *unused);
enum obm_watch_answer { OBM_WATCH_REFUSED, OBM_WATCH_AGREED, OBM_WATCH_LATER };
extern void obm_loadable_watch_answered(enum obm_watch_answer answer);

#endif /* OBM_LOADABLE_H */

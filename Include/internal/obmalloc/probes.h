/* obmalloc: static probes for perf, bpftrace, SystemTap and gdb.

   Where <sys/sdt.h> was present at build, each is one nop in the code and a note
   in the file; nothing else, until somebody traces it.  Provider obmalloc:

       arena__map      address, bytes      an arena was mapped
       arena__release  address, bytes      an arena is about to go back
       purge           address, bytes      neighbouring free pages were purged
       refault         arena, used pages   a page is taken again that had gone back

   `readelf -n` and `bpftrace -l 'usdt:/path/of/python:*'` list them. */

#ifndef OBM_PROBES_H
#define OBM_PROBES_H

#ifndef OBM_PROBES
#  if defined(__has_include)
#    if __has_include(<sys/sdt.h>)
#      define OBM_PROBES 1
#    endif
#  endif
#endif
#ifndef OBM_PROBES
#  define OBM_PROBES 0
#endif

#if OBM_PROBES
#  include <sys/sdt.h>
#  define OBM_PROBE(name, first, second) DTRACE_PROBE2(obmalloc, name, first, second)
#else
#  define OBM_PROBE(name, first, second) ((void)0)
#endif

#endif /* OBM_PROBES_H */

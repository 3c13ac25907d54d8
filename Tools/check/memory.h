/* obmalloc's tests: real memory, by what the system has for it.  The fake operating
   system hands it out; tests use it where something else than the allocator maps. */

#ifndef OBM_CHECK_MEMORY_H
#define OBM_CHECK_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* The system's, in bytes. */
size_t memory_page_size(void);

/* Zeroed memory, at the hint and nowhere else, or anywhere (NULL) and aligned; NULL: the
   system refuses, or something is mapped there.  size and alignment are whole pages. */
void *memory_map(void *hint, size_t size, size_t alignment);

/* Of one or more mappings that lie one after another. */
void memory_unmap(void *address, size_t size);

/* Have the pages read as zeros, without memory behind them until they are touched. */
void memory_drop(void *address, size_t size);

/* Have every access end the process.  false: the system refuses. */
bool memory_protect(void *address, size_t size);

bool memory_is_readable(const void *address);

/* Whether there is memory behind a page of the system's. */
bool memory_is_resident(const void *page);

#endif /* OBM_CHECK_MEMORY_H */

/* obmallocbench: how much memory is resident, and how many pages must be. */

#ifndef OBMALLOCBENCH_RESIDENT_H
#define OBMALLOCBENCH_RESIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Anonymous memory of this process that is resident, in bytes, exact.  Ends
   the process with one line where the kernel does not tell. */
size_t resident_bytes(void);

/* Zeroed memory that is resident already, and so not part of any growth; NULL:
   there is not so much. */
void *resident_memory(size_t size);

/* A set of pages, to be emptied and filled often. */
struct page_set {
    struct page_entry { uint64_t page; uint64_t filling; } *entries;
    size_t capacity;            /* a power of two */
    size_t count;
    uint64_t filling;           /* entries of another filling are unused */
};

/* A set for up to so many pages.  false: no memory. */
bool page_set_init(struct page_set *set, size_t pages);
void page_set_empty(struct page_set *set);
void page_set_add(struct page_set *set, uint64_t page);

#endif /* OBMALLOCBENCH_RESIDENT_H */

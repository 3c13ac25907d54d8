/* obmallocbench: what is replayed against.  Each arm is one file, linked into a
   program of its own: arm_core.c, arm_malloc.c, arm_none.c; the last two have
   nothing to tell (arm_silent.c).  Calls come from several threads, one at a
   time. */

#ifndef OBMALLOCBENCH_ARM_H
#define OBMALLOCBENCH_ARM_H

#include <stddef.h>
#include <stdint.h>

/* Begin with nothing allocated.  settings: as in PYTHONOBMALLOC, for the core.
   Ends the process with one line when they mean nothing to the arm. */
void arm_open(const char *settings);

/* End: no block is left, and memory goes back as far as it can. */
void arm_close(void);

/* Sizes are 1 to REQUEST_MAX.  NULL: no memory. */
void *arm_malloc(size_t size);
void *arm_calloc(size_t size);
void *arm_realloc(void *block, size_t size);
void arm_free(void *block);

/* So many milliseconds of the program have passed. */
void arm_pass_time(uint32_t milliseconds);

/* What an arm says of itself.  Bytes and counts, 0 where it does not tell. */
struct arm_report {
    size_t kept_bytes;          /* free pages that it may still hold */
    size_t metadata_bytes;
    size_t purge_calls;
    size_t purged_pages;        /* of arenas released too */
    size_t refaults;
    size_t arenas_peak;
};
void arm_describe(struct arm_report *report);

/* NULL: what the arm holds is consistent; else what is not. */
const char *arm_verify(void);

#endif /* OBMALLOCBENCH_ARM_H */

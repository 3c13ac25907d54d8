/* obmallocbench: how much memory is resident.  See resident.h. */

#define _GNU_SOURCE 1

#include "resident.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

size_t
resident_bytes(void)
{
    static const char field[] = "\nAnonymous:";
    char text[4096];            /* no stream: it would allocate */
    int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof(text) - 1);
    if (file >= 0) {
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
    const char *found = strstr(text, field);
    if (found == NULL) {
        fprintf(stderr, "replay: /proc/self/smaps_rollup does not tell what is resident\n");
        exit(2);
    }
    return (size_t)strtoul(found + sizeof(field) - 1, NULL, 10) << 10;
}

void *
resident_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

bool
page_set_init(struct page_set *set, size_t pages)
{
    set->capacity = 64;
    while (set->capacity < 2 * pages) {
        set->capacity *= 2;
    }
    set->filling = 0;
    set->count = 0;
    set->entries = resident_memory(set->capacity * sizeof(*set->entries));
    return set->entries != NULL;
}

void
page_set_empty(struct page_set *set)
{
    set->filling++;
    set->count = 0;
}

void
page_set_add(struct page_set *set, uint64_t page)
{
    size_t place = (size_t)((page * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
    for (;; place++) {
        struct page_entry *entry = &set->entries[place & (set->capacity - 1)];
        if (entry->filling != set->filling) {
            entry->page = page;
            entry->filling = set->filling;
            set->count++;
            return;
        }
        if (entry->page == page) {
            return;
        }
    }
}

/* obmalloc's unit tests: the fake operating system (see fake_os.h). */

#include "fake_os.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "memory.h"

struct fake_os fake;

static struct obm_os operations;

/* What is mapped now, in no order. */
struct mapping {
    uintptr_t address;
    size_t size;
    bool advised;               /* to be one huge page */
    bool huge;                  /* is one, as far as the allocator knows */
};
static struct mapping *mappings;
static size_t mapping_capacity;

static jmp_buf *fatal_return;
static char fatal_text[512];

/* Mapping -------------------------------------------------------------------------- */

static size_t
round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

static void
remember(uintptr_t address, size_t size)
{
    if (fake.mappings == mapping_capacity) {
        mapping_capacity = 2 * mapping_capacity + FAKE_PURGES;
        mappings = realloc(mappings, mapping_capacity * sizeof(*mappings));
        REQUIRE(mappings != NULL);
    }
    mappings[fake.mappings++] = (struct mapping){address, size, false, false};
    fake.mapped_bytes += size;
}

/* Forget what is mapped in the range; returns how many bytes that were. */
static size_t
forget(uintptr_t address, size_t size)
{
    size_t bytes = 0;
    for (size_t i = 0; i < fake.mappings;) {
        if (mappings[i].address - address < size
            && mappings[i].address + mappings[i].size - address <= size) {
            bytes += mappings[i].size;
            mappings[i] = mappings[--fake.mappings];
        }
        else {
            i++;
        }
    }
    fake.mapped_bytes -= bytes;
    return bytes;
}

/* The mapping in which the range lies; ends the test if there is none. */
static struct mapping *
mapping_of(const void *start, size_t size, const char *action)
{
    uintptr_t address = (uintptr_t)start;
    for (size_t i = 0; i < fake.mappings; i++) {
        if (address - mappings[i].address < mappings[i].size
            && address - mappings[i].address + size <= mappings[i].size) {
            return &mappings[i];
        }
    }
    harness_stop(__FILE__, __LINE__, "%s of %zu bytes at %p, which are not mapped",
                 action, size, start);
}

/* Real memory, aligned to the page size that the fake claims to have. */
static void *
map_real(void *hint, size_t size)
{
    return memory_map(hint, round_up(size, operations.page_size), operations.page_size);
}

/* Whether the call with this number fails if the call number `at` does. */
static bool
is_to_fail(size_t call, size_t at)
{
    return at != 0 && (call == at || (fake.fail_all_later && call > at));
}

static bool
map_is_refused(const void *hint)
{
    return is_to_fail(fake.map_calls, fake.fail_map)
           || (hint != NULL
               && (fake.refuse_hints
                   || (fake.refuse_hints_from != 0
                       && (uintptr_t)hint >= fake.refuse_hints_from)));
}

static void *
fake_map(void *hint, size_t size)
{
    fake.map_calls++;
    EXPECT_EQUAL((uintptr_t)hint % operations.page_size, 0);
    void *address = map_is_refused(hint) ? NULL : map_real(hint, size);
    if (address == NULL) {
        fake.refused++;
        return NULL;
    }
    if (size == fake.filled_size) {
        memset(address, fake.fill, size);
    }
    remember((uintptr_t)address, size);
    return address;
}

static void
fake_unmap(void *address, size_t size)
{
    fake.unmap_calls++;
    size_t found = forget((uintptr_t)address, size);
    if (found != size) {
        harness_fail(__FILE__, __LINE__, "unmap of %zu bytes at %p, where %zu are mapped",
                     size, address, found);
    }
    memory_unmap(address, round_up(size, operations.page_size));
}

/* The caller says that the pages are clean: the ends of each are looked at. */
static bool
fake_populate(void *address, size_t size)
{
    fake.populate_calls++;
    EXPECT_EQUAL((uintptr_t)address % operations.page_size, 0);
    EXPECT_EQUAL(size % operations.page_size, 0);
    EXPECT(!mapping_of(address, size, "populate")->huge);
    if (fake.refuse_populates || is_to_fail(fake.populate_calls, fake.fail_populate)) {
        return false;
    }
    for (size_t i = 0; i < size; i += operations.page_size) {
        const char *page = (char *)address + i;
        if ((page[0] != 0 || page[operations.page_size - 1] != 0) && fake.filled_size == 0) {
            harness_fail(__FILE__, __LINE__, "populate of %p, which holds something", page);
        }
    }
    fake.populated_bytes += size;
    return true;
}

static bool
fake_purge(void *address, size_t size)
{
    fake.purge_calls++;
    EXPECT_EQUAL((uintptr_t)address % operations.page_size, 0);
    EXPECT_EQUAL(size % operations.page_size, 0);
    if (mapping_of(address, size, "purge")->huge) {
        harness_fail(__FILE__, __LINE__, "purge of %zu bytes at %p, a part of a huge page",
                     size, address);
    }
    if (fake.refuse_purges || is_to_fail(fake.purge_calls, fake.fail_purge)) {
        return false;
    }
    memory_drop(address, size);
    if (fake.purged < FAKE_PURGES) {
        fake.purges[fake.purged] = (struct fake_purge){(uintptr_t)address, size};
    }
    fake.purged++;
    return true;
}

/* Huge pages ----------------------------------------------------------------------- */

static bool
fake_advise_huge(void *address, size_t size, bool huge)
{
    struct mapping *mapping = mapping_of(address, size, "advice");
    *(huge ? &fake.huge_advices : &fake.small_advices) += 1;
    EXPECT_EQUAL(size, mapping->size);
    mapping->advised = huge && !fake.no_huge_pages
                       && !is_to_fail(fake.huge_advices, fake.fail_advice);
    mapping->huge = mapping->huge || mapping->advised;
    return mapping->advised;
}

static uint64_t
fake_first_touch(void *page)
{
    fake.first_touches++;
    EXPECT(mapping_of(page, operations.page_size, "first touch")->huge);
    *(volatile char *)page = 0;
    return fake.first_touch_takes;
}

/* What the system leaves in the page is not to be relied on. */
static void
fake_split_huge(void *page)
{
    struct mapping *mapping = mapping_of(page, operations.page_size, "split");
    fake.splits++;
    EXPECT(mapping->huge);
    EXPECT(!mapping->advised);
    EXPECT_EQUAL((uintptr_t)page % operations.page_size, 0);
    memset(page, 0xEE, operations.page_size);
    mapping->huge = false;
}

size_t
fake_os_resident_pages(const void *address, size_t size)
{
    size_t resident = 0;
    for (size_t page = 0; page < size; page += operations.page_size) {
        bool any = false;
        for (size_t part = 0; part < operations.page_size; part += memory_page_size()) {
            any = any || memory_is_resident((const char *)address + page + part);
        }
        resident += any;
    }
    return resident;
}

/* Guards --------------------------------------------------------------------------- */

static bool
fake_guard(void *address, size_t size)
{
    fake.guard_calls++;
    mapping_of(address, size, "guard");
    EXPECT_EQUAL((uintptr_t)address % operations.page_size, 0);
    EXPECT_EQUAL(size % operations.page_size, 0);
    if (fake.refuse_guards || is_to_fail(fake.guard_calls, fake.fail_guard)
        || !memory_protect(address, size)) {
        return false;
    }
    fake.guarded_bytes += size;
    return true;
}

/* As far as the allocator mapped it itself. */
static bool
fake_is_mapped(const void *start)
{
    uintptr_t address = (uintptr_t)start;
    for (size_t i = 0; i < fake.mappings; i++) {
        if (address - mappings[i].address < mappings[i].size) {
            return true;
        }
    }
    return fake.all_is_mapped;
}

static uint64_t
fake_entropy(void)
{
    return fake.entropy;
}

/* The clock, and the end ----------------------------------------------------------- */

static uint64_t
fake_now(void)
{
    fake.clock_calls++;
    return fake.now;
}

static void
fake_fatal(const char *message)
{
    if (fatal_return == NULL) {
        harness_stop(__FILE__, __LINE__, "fatal: %s", message);
    }
    snprintf(fatal_text, sizeof(fatal_text), "%s", message);
    longjmp(*fatal_return, 1);
}

const char *
fake_os_fatal_message(void (*action)(void *), void *argument)
{
    jmp_buf here;
    const char *message = fatal_text;
    fatal_return = &here;
    if (setjmp(here) == 0) {
        action(argument);
        message = NULL;
    }
    fatal_return = NULL;
    return message;
}

/* A machine ------------------------------------------------------------------------ */

void
fake_os_reset(size_t page_size)
{
    memset(&fake, 0, sizeof(fake));
    fake.now = FAKE_SECOND;
    operations = (struct obm_os){page_size, fake_map, fake_unmap, fake_populate, fake_purge,
                                 fake_advise_huge, fake_first_touch, fake_split_huge,
                                 fake_guard, fake_is_mapped, fake_entropy, fake_now, fake_fatal};
}

const struct obm_os *
fake_os_system(void)
{
    return &operations;
}

size_t
fake_os_page_size(void)
{
    return operations.page_size;
}

void
fake_os_count_anew(void)
{
    fake.map_calls = fake.unmap_calls = fake.purge_calls = fake.clock_calls = 0;
    fake.populate_calls = fake.populated_bytes = 0;
    fake.huge_advices = fake.small_advices = fake.first_touches = fake.splits = 0;
    fake.purged = 0;
}

/* A foreign arena allocator -------------------------------------------------------- */

#define FOREIGN_GARBAGE 0xF0

const struct obm_arena_allocator *foreign_in_force;

bool
foreign_allocator_in_force(struct obm_arena_allocator *in_force)
{
    if (foreign_in_force == NULL) {
        return false;
    }
    *in_force = *foreign_in_force;
    return true;
}

/* The arena begins FOREIGN_ALIGNMENT bytes into the second page, so that
   neither end of it is that of a page. */
static void *
foreign_alloc(void *context, size_t size)
{
    struct foreign_allocator *foreign = context;
    size_t page = operations.page_size;
    fake.foreign_calls++;
    bool refuse = foreign->refuse || is_to_fail(fake.foreign_calls, fake.fail_foreign);
    char *start = refuse ? NULL : map_real(NULL, size + 2 * page);
    if (start == NULL) {
        fake.refused++;
        return NULL;
    }
    memset(start, FOREIGN_GARBAGE, size + 2 * page);
    foreign->arenas++;
    return start + page + FOREIGN_ALIGNMENT;
}

static bool
is_garbage(const char *start, const char *end)
{
    while (start < end && (unsigned char)*start == FOREIGN_GARBAGE) {
        start++;
    }
    return start == end;
}

static void
foreign_free(void *context, void *address, size_t size)
{
    struct foreign_allocator *foreign = context;
    size_t page = operations.page_size;
    char *start = (char *)address - page - FOREIGN_ALIGNMENT;
    char *end = start + size + 2 * page;
    EXPECT_AT_LEAST(foreign->arenas, 1);
    EXPECT(is_garbage(start, start + 2 * page));
    EXPECT(is_garbage(end - page, end));
    memory_unmap(start, round_up(size, page) + 2 * page);
    foreign->arenas--;
}

void
foreign_allocator_init(struct foreign_allocator *foreign)
{
    memset(foreign, 0, sizeof(*foreign));
    foreign->functions.context = foreign;
    foreign->functions.alloc = foreign_alloc;
    foreign->functions.free = foreign_free;
}

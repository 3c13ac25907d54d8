/* obmallocbench: the core, as one translation unit, as in a patched CPython.
   What it does not serve is the C library's, as there.  Its time is that of the
   recorded program, so retention decides as it did there and page counts do not
   depend on the machine's speed. */

#include "obmalloc/static.c"
#include "arm.h"

static struct obm_heap heap;
static struct obm_os recorded_os;
static uint64_t time_passed = UINT64_C(1000000000);     /* nanoseconds; 0 would mean "never" */

static uint64_t
recorded_now(void)
{
    return time_passed;
}

static void
refuse(const char *line, void *data)
{
    (void)data;
    fprintf(stderr, "replay: %s\n", line);
    exit(2);
}

void
arm_open(const char *settings_text)
{
    struct obm_settings settings;
    memset(&settings, 0, sizeof(settings));
    obm_settings_parse(&settings, settings_text, refuse, NULL);
    recorded_os = *obm_os_system();
    recorded_os.now = recorded_now;
    memset(&heap, 0, sizeof(heap));
    if (!obm_heap_init(&heap, &recorded_os, &settings)) {
        refuse("this machine's page size is not supported", NULL);
    }
}

void
arm_close(void)
{
    obm_heap_close(&heap, false);
}

void *
arm_malloc(size_t size)
{
    void *block = obm_malloc(&heap, size);
    return block != NULL ? block : malloc(size);
}

void *
arm_calloc(size_t size)
{
    void *block = obm_calloc(&heap, size);
    return block != NULL ? block : calloc(1, size);
}

#ifdef OBM_MEDIUM_MAX
static void *
elsewhere(void *context, size_t size)
{
    (void)context;
    return malloc(size);
}

void *
arm_realloc(void *block, size_t size)
{
    return obm_realloc(&heap, &block, size, elsewhere, NULL) ? block : realloc(block, size);
}
#else
/* As obm_realloc(), in words that older cores know too. */
void *
arm_realloc(void *block, size_t size)
{
    size_t old = obm_block_size(&heap, block);
    if (old == 0) {
        return realloc(block, size);
    }
    if (obm_stays_in_place(old, size)) {
        return block;
    }
    void *moved = arm_malloc(size);
    if (moved != NULL) {
        memcpy(moved, block, size < old ? size : old);
        obm_free(&heap, block);
    }
    return moved;
}
#endif

void
arm_free(void *block)
{
    if (!obm_free(&heap, block)) {
        free(block);
    }
}

void
arm_pass_time(uint32_t milliseconds)
{
    time_passed += UINT64_C(1000000) * milliseconds;
}

void
arm_describe(struct arm_report *report)
{
    struct obm_stats stats;
    obm_stats_collect(&heap, &stats);
    report->kept_bytes = stats.dirty_pages * stats.page_size;
    report->metadata_bytes = stats.metadata_bytes;
    report->purge_calls = stats.purge_calls;
    report->purged_pages = obm_given_back(&heap) / stats.page_size;
    report->refaults = stats.refaults;
    report->arenas_peak = stats.arenas_highwater;
}

const char *
arm_verify(void)
{
    static char message[OBM_CHECK_MESSAGE_SIZE];
    return obm_check_heap(&heap, 3, message) ? NULL : message;
}

/* obmalloc, the loadable library: its heap, the allocators below it, and how it warns. */

#define DOMAINS 2
static const PyMemAllocatorDomain domains[DOMAINS] = {PYMEM_DOMAIN_MEM, PYMEM_DOMAIN_OBJ};

static struct { struct obm_heap heap; } obmalloc_state_main;
static struct obm_heap *const main_heap = &obmalloc_state_main.heap;
static struct obm_heap empty_heap;      /* to it, every block of a heap is another heap's */
static struct obm_settings settings;
static bool heap_ready;

/* What our functions pass on to; each gets its entry as ctx. */
static PyMemAllocatorEx previous[DOMAINS];
static PyObjectArenaAllocator previous_arena;

/* Of the domain RAW when the heap was made; Python's own calls the system's malloc. */
static void *(*first_raw_malloc)(void *ctx, size_t size);

/* From 3.12 on: the interpreter that is served.  NULL until it is known. */
static PyInterpreterState *main_interpreter;
static void (*on_main_interpreter)(void);   /* called when it is known */
static bool may_have_many_heaps;

/* For ../background.c; set before there is a purger. */
static bool tracemalloc_races;
static bool new_thread_state_reads_null;

static inline struct obm_heap *
obm_python_heap(void)
{
    return main_heap;
}

static void
warn(const char *line)
{
    fprintf(stderr, "obmalloc: %s\n", line);
}

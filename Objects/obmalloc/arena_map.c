/* obmalloc: from an address to the descriptor of its pool.

   Two ways, neither of which reads memory that the allocator does not own.

   The window.  A heap picks a range of addresses that the system would not
   hand out by itself, and asks for its arenas there: arena number i at
   base + i * arena size.  The descriptors of all its pages form one array
   at the end of the same range, mapped in steps, so that

       descriptor = window_pools + ((address - window_base) >> page shift)

   without a load that depends on another.  Nothing is reserved: the range
   costs no address space (RLIMIT_AS counts what is mapped), and other
   mappings in it stay there, since a hint never replaces anything.  Where no
   arena lies the descriptors are zeros, OBM_POOL_ABSENT, and their countdown
   of 0 sends every free there the slow way.

   The map.  Arenas that do not get their place in the window (the system
   refuses the hint, as under valgrind or with little address space; 32-bit
   systems; a full window; a foreign arena allocator) are entered in a hash
   table under each arena-sized slot of the address space that they touch.
   An entry holds the bounds and the descriptors, so one load that depends on
   another finds them.

   Windows belong to the process: which are taken stands in static words that
   are changed atomically, because the heaps of several interpreters open at
   the same time.  The bounds of each are published there, and the arenas
   outside them in a table of words, so that a free through the wrong heap can
   be told from a free of foreign memory.  There is no lock, hence nothing that
   a fork could leave locked. */

#include "obmalloc/arena_map.h"
#include "obmalloc/metadata.h"
#include "obmalloc/os.h"

#include <string.h>

/* The process's windows ---------------------------------------------------- */

/* Ranges of addresses to try, in this order.  The first suits systems with
   47 bits of user addresses and more: above what the system gives to small
   executables, below position-independent executables and mmap().  The
   second suits 39 bits. */
struct window_region {
    uint64_t start;         /* address of the first window */
    uint64_t spread;        /* a random start may lie this much higher */
    unsigned shift;         /* a window has 1 << shift bytes */
    unsigned first;         /* number of its first window */
    unsigned count;
};

#define REGIONS 2
#define WINDOWS (OBM_MAX_WINDOWS + 16)
#define WINDOW_WORDS ((WINDOWS + 31) / 32)

static const struct window_region regions[REGIONS] = {
    {UINT64_C(1) << 44, UINT64_C(1) << 42, OBM_WINDOW_SHIFT, 0, OBM_MAX_WINDOWS},
    {UINT64_C(1) << 37, UINT64_C(1) << 34, 33, OBM_MAX_WINDOWS, 16},
};

static unsigned windows_taken[WINDOW_WORDS];     /* 32 bits of each are used */
static uintptr_t window_entropy;    /* 0: not drawn yet */

static struct {
    struct obm_pool *pools;
    size_t mapped;
} windows[WINDOWS];

/* The same for the whole life of the process, and different from one process
   to the next as far as the system randomises its own addresses. */
static uintptr_t
entropy(void)
{
    uintptr_t drawn = OBM_PUBLISHED(&window_entropy);
    if (drawn == 0) {
        uintptr_t seed = (uintptr_t)&drawn ^ ((uintptr_t)&window_entropy << 7);
        seed ^= (uintptr_t)obm_os_system();
        drawn = (uintptr_t)((uint64_t)seed * UINT64_C(0x9e3779b97f4a7c15) >> 8) | 1;
        uintptr_t none = 0;
        if (!OBM_ATOMIC_SWAP(&window_entropy, none, drawn)) {
            drawn = OBM_PUBLISHED(&window_entropy);     /* another thread was first */
        }
    }
    return drawn;
}

static uintptr_t
region_start(const struct window_region *region)
{
    uint64_t mask = (region->spread - 1) & ~((UINT64_C(1) << 24) - 1);
    return (uintptr_t)(region->start + (((uint64_t)entropy() << 20) & mask));
}

static uintptr_t
window_base_of(const struct window_region *region, unsigned number)
{
    return region_start(region) + ((uintptr_t)(number - region->first) << region->shift);
}

static const struct window_region *
region_of(int number)
{
    return (unsigned)number < regions[0].count ? &regions[0] : &regions[1];
}

/* Bytes at the end of the window that its descriptors take. */
static size_t
window_tail(const struct obm_heap *heap, const struct window_region *region)
{
    return ((size_t)1 << (region->shift - obm_page_shift(heap))) * sizeof(struct obm_pool);
}

static bool
window_claim(unsigned number)
{
    unsigned bit = 1u << (number % 32);
    return !(OBM_ATOMIC_OR(&windows_taken[number / 32], bit) & bit);
}

static void
window_disclaim(unsigned number)
{
    OBM_ATOMIC_AND(&windows_taken[number / 32], ~(1u << (number % 32)));
}

/* Map the descriptors of the next step of the window. */
static bool
window_extend(struct obm_heap *heap)
{
    const struct window_region *region = region_of(heap->window);
    size_t step = (size_t)OBM_WINDOW_STEP_ARENAS << heap->geometry.arena_shift;
    size_t tail = window_tail(heap, region);
    if (heap->window_mapped + step > ((size_t)1 << region->shift) - tail) {
        return false;
    }
    unsigned shift = obm_page_shift(heap);
    void *place = heap->window_pools + (heap->window_mapped >> shift);
    if (heap->os->map(place, (step >> shift) * sizeof(struct obm_pool)) == NULL) {
        return false;
    }
    heap->window_mapped += step;
    OBM_PUBLISH(&windows[heap->window].mapped, heap->window_mapped);
    heap->front->window_base = heap->window_base;
    heap->front->window_pools = heap->window_pools;
    if (heap->settings.check_level < 2 && !heap->settings.secure) {
        heap->front->window_limit = heap->window_mapped;
    }
    return true;
}

static bool
window_try(struct obm_heap *heap, const struct window_region *region, unsigned number)
{
    heap->window = (int)number;
    heap->window_base = window_base_of(region, number);
    heap->window_pools = (struct obm_pool *)(heap->window_base + ((uintptr_t)1 << region->shift)
                                             - window_tail(heap, region));
    if (window_extend(heap)) {
        OBM_PUBLISH(&windows[number].pools, heap->window_pools);
        return true;
    }
    heap->window = -1;
    heap->window_base = 0;
    heap->window_pools = NULL;
    return false;
}

/* Find this heap a window.  Tried once: what the system refuses now it would
   refuse later too. */
static void
window_open(struct obm_heap *heap)
{
    heap->window_tried = true;
    for (unsigned r = 0; r < REGIONS && OBM_WINDOW_SHIFT != 0; r++) {
        const struct window_region *region = &regions[r];
        for (unsigned number = region->first; number < region->first + region->count; number++) {
            if (!window_claim(number)) {
                continue;
            }
            if (window_try(heap, region, number)) {
                return;
            }
            window_disclaim(number);
            break;
        }
    }
}

uintptr_t
obm_window_address(struct obm_heap *heap, obm_arena_index index)
{
    if (!heap->window_tried) {
        window_open(heap);
    }
    if (heap->window < 0) {
        return 0;
    }
    size_t offset = (size_t)index << heap->geometry.arena_shift;
    /* Not always one step: arenas of a foreign allocator take indexes too. */
    while (offset + heap->geometry.arena_size > heap->window_mapped) {
        if (!window_extend(heap)) {
            return 0;
        }
    }
    return heap->window_base + offset;
}

struct obm_pool *
obm_window_pools(struct obm_heap *heap, obm_arena_index index)
{
    return heap->window_pools + ((size_t)index << heap->geometry.arena_pages_shift);
}

void
obm_window_forget(struct obm_heap *heap, obm_arena_index index)
{
    struct obm_pool *pools = obm_window_pools(heap, index);
    size_t size = sizeof(struct obm_pool) << heap->geometry.arena_pages_shift;
    size_t page = heap->geometry.page_size;
    if (size % page != 0 || !heap->os->purge(pools, size)) {
        memset(pools, 0, size);
    }
}

void
obm_window_close(struct obm_heap *heap)
{
    if (heap->window < 0) {
        return;
    }
    unsigned number = (unsigned)heap->window;
    OBM_PUBLISH(&windows[number].mapped, (size_t)0);
    OBM_PUBLISH(&windows[number].pools, (struct obm_pool *)NULL);
    unsigned shift = obm_page_shift(heap);
    heap->os->unmap(heap->window_pools,
                    (heap->window_mapped >> shift) * sizeof(struct obm_pool));
    heap->window = -1;
    heap->window_mapped = heap->front->window_limit = 0;
    window_disclaim(number);
}

/* The process's arenas outside the windows --------------------------------------- */

/* One word an arena and slot: the first page, and in the bits below it, which
   a page leaves free, the number of its pages.  A word has its place within
   OUTSIDE_PROBES of the hash of its slot; where there is none left the arena
   is not listed, and a free through the wrong heap is not detected. */
#define OUTSIDE_BITS 12
#define OUTSIDE_PLACES ((size_t)1 << OUTSIDE_BITS)
#define OUTSIDE_PROBES 16
static uintptr_t outside[OUTSIDE_PLACES];
static unsigned outside_ever;   /* set with the first word: before, nothing is probed */

OBM_STATIC_ASSERT(pages_fit_below_a_page, OBM_MAX_ARENA_PAGES < 1u << OBM_MIN_PAGE_SHIFT);

static uint64_t
hash_slot(uintptr_t slot)
{
    return (uint64_t)slot * UINT64_C(0x9e3779b97f4a7c15) >> 32;
}

/* Replace the word old by another near the place of slot; 0 stands for none. */
static void
outside_replace(uintptr_t slot, uintptr_t old, uintptr_t word)
{
    OBM_PUBLISH(&outside_ever, 1u);
    for (size_t probe = 0; probe < OUTSIDE_PROBES; probe++) {
        uintptr_t *place = &outside[(hash_slot(slot) + probe) & (OUTSIDE_PLACES - 1)];
        uintptr_t expected = old;
        if (OBM_PUBLISHED(place) == old && OBM_ATOMIC_SWAP(place, expected, word)) {
            return;
        }
    }
}

static bool
outside_contains(const struct obm_heap *heap, uintptr_t address)
{
    uintptr_t slot = address >> heap->geometry.arena_shift;
    uintptr_t low = ((uintptr_t)1 << OBM_MIN_PAGE_SHIFT) - 1;
    for (size_t probe = 0; probe < OUTSIDE_PROBES; probe++) {
        uintptr_t word = OBM_PUBLISHED(&outside[(hash_slot(slot) + probe) & (OUTSIDE_PLACES - 1)]);
        if (word != 0 && address - (word & ~low) < (word & low) << obm_page_shift(heap)) {
            return true;
        }
    }
    return false;
}

bool
obm_belongs_to_other_heap(const struct obm_heap *heap, const void *address)
{
    for (unsigned r = 0; r < REGIONS && OBM_WINDOW_SHIFT != 0; r++) {
        uint64_t offset = (uintptr_t)address - (uint64_t)region_start(&regions[r]);
        uint64_t place = offset >> regions[r].shift;
        if (place >= regions[r].count) {
            continue;
        }
        unsigned number = regions[r].first + (unsigned)place;
        offset &= (UINT64_C(1) << regions[r].shift) - 1;
        const struct obm_pool *pools = OBM_PUBLISHED(&windows[number].pools);
        if ((int)number != heap->window && offset < OBM_PUBLISHED(&windows[number].mapped)
            && pools != NULL
            && pools[offset >> obm_page_shift(heap)].state != OBM_POOL_ABSENT) {
            return true;
        }
    }
    return OBM_PUBLISHED(&outside_ever) && outside_contains(heap, (uintptr_t)address);
}

/* The map of arenas outside the window --------------------------------------- */

#define MAP_FIRST_CAPACITY 64

static size_t
map_place(const struct obm_map *map, uintptr_t slot)
{
    return (size_t)hash_slot(slot) & (map->capacity - 1);
}

static void
map_put(struct obm_map *map, struct obm_map_entry entry)
{
    size_t place = map_place(map, entry.slot);
    while (map->entries[place].first_page != 0) {
        place = (place + 1) & (map->capacity - 1);
    }
    map->entries[place] = entry;
    map->count++;
}

/* Make room for two more entries. */
static bool
map_reserve(struct obm_heap *heap)
{
    struct obm_map *map = &heap->map;
    if (map->capacity != 0 && 2 * (map->count + 2) <= map->capacity) {
        return true;
    }
    struct obm_map grown = {NULL, map->capacity == 0 ? MAP_FIRST_CAPACITY : 2 * map->capacity, 0};
    grown.entries = obm_metadata_map(heap, grown.capacity * sizeof(struct obm_map_entry));
    if (grown.entries == NULL) {
        return false;
    }
    for (size_t i = 0; i < map->capacity; i++) {
        if (map->entries[i].first_page != 0) {
            map_put(&grown, map->entries[i]);
        }
    }
    obm_map_close(heap);
    *map = grown;
    return true;
}

bool
obm_map_insert(struct obm_heap *heap, const struct obm_arena_object *arena)
{
    if (!map_reserve(heap)) {
        return false;
    }
    struct obm_map_entry entry;
    entry.first_page = arena->first_page;
    entry.size = (size_t)arena->page_count << obm_page_shift(heap);
    entry.pools = arena->pools;
    uintptr_t last = (arena->first_page + entry.size - 1) >> heap->geometry.arena_shift;
    entry.slot = arena->first_page >> heap->geometry.arena_shift;
    for (; entry.slot <= last; entry.slot++) {
        map_put(&heap->map, entry);
        outside_replace(entry.slot, 0, arena->first_page | arena->page_count);
    }
    return true;
}

/* Empty one place, and move up what would no longer be found. */
static void
map_delete(struct obm_map *map, size_t hole)
{
    size_t mask = map->capacity - 1;
    size_t place = hole;
    map->count--;
    for (;;) {
        map->entries[hole].first_page = 0;
        for (;;) {
            place = (place + 1) & mask;
            if (map->entries[place].first_page == 0) {
                return;
            }
            size_t home = map_place(map, map->entries[place].slot);
            if (((place - home) & mask) >= ((place - hole) & mask)) {
                break;
            }
        }
        map->entries[hole] = map->entries[place];
        hole = place;
    }
}

void
obm_map_remove(struct obm_heap *heap, const struct obm_arena_object *arena)
{
    struct obm_map *map = &heap->map;
    size_t size = (size_t)arena->page_count << obm_page_shift(heap);
    uintptr_t slot = arena->first_page >> heap->geometry.arena_shift;
    uintptr_t last = (arena->first_page + size - 1) >> heap->geometry.arena_shift;
    for (; slot <= last; slot++) {
        size_t place = map_place(map, slot);
        while (map->entries[place].slot != slot
               || map->entries[place].first_page != arena->first_page) {
            place = (place + 1) & (map->capacity - 1);
        }
        map_delete(map, place);
        outside_replace(slot, arena->first_page | arena->page_count, 0);
    }
}

void
obm_map_close(struct obm_heap *heap)
{
    if (heap->map.entries != NULL) {
        obm_metadata_unmap(heap, heap->map.entries,
                           heap->map.capacity * sizeof(struct obm_map_entry));
    }
    memset(&heap->map, 0, sizeof(heap->map));
}

struct obm_pool *
obm_map_find(const struct obm_heap *heap, const void *block)
{
    uintptr_t address = (uintptr_t)block;
    const struct obm_map *map = &heap->map;
    uintptr_t slot = address >> heap->geometry.arena_shift;
    size_t place = map_place(map, slot);
    for (;; place = (place + 1) & (map->capacity - 1)) {
        const struct obm_map_entry *entry = &map->entries[place];
        if (entry->first_page == 0) {
            return NULL;
        }
        if (entry->slot == slot && address - entry->first_page < entry->size) {
            return &entry->pools[(address - entry->first_page) >> obm_page_shift(heap)];
        }
    }
}

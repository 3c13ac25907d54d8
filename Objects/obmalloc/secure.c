/* obmalloc: secure mode, PYTHONOBMALLOC=secure=1.

   A heap whose free blocks hold nothing that the allocator believes.

   Bitmaps outside the blocks stand for the free lists: of each page, one says
   which blocks can be handed out, one which are held by a caller.  What an
   overflow or a stale pointer writes into a free block leads nowhere, and a
   block that is freed twice, or that is none, is found by its bit, always.

   malloc takes a random one of the page's free blocks.  A freed block is filled,
   and waits in quarantine, where neither bit is set; when a later free pushes it
   out, it must be as it was filled.  Pages that cannot be accessed stand at the
   end of every arena, hence also before the next one, and around what the
   allocator keeps for itself, except the descriptors of a window, which lie some
   GiB from everything else.

   A run of a medium class has one such pair of bitmaps, the first of them the one that it
   has in every heap.  malloc takes a random one of the run's free blocks.

   The hot path is closed: the free list of every pool is empty, and window_limit
   of the front is 0.  So a heap that is not secure pays nothing on it.  To the layers
   that count blocks and pages a block in quarantine is a live one.

   The generator is splitmix64 (Steele, Lea and Flood, "Fast splittable
   pseudorandom number generators", 2014): fast, and not a cryptographic one. */

#include "obmalloc/secure.h"
#include "obmalloc/bits.h"
#include "obmalloc/blocks.h"
#include "obmalloc/metadata.h"
#include "obmalloc/os.h"

#include <string.h>

/* Arenas ---------------------------------------------------------------------------- */

void
obm_secure_guard_arena(const struct obm_heap *heap, struct obm_arena_object *arena)
{
    size_t size = heap->geometry.page_size;
    uintptr_t last = arena->address + heap->geometry.arena_size - size;
    if (heap->settings.secure && arena->source.alloc == NULL
        && heap->os->guard((void *)last, size)) {
        arena->page_count--;
    }
}

size_t
obm_secure_bits_size(const struct obm_heap *heap)
{
    return 2u * heap->geometry.arena_pages * heap->geometry.bitmap_words * sizeof(uint64_t);
}

bool
obm_secure_open_arena(const struct obm_heap *heap, struct obm_arena_object *arena)
{
    if (!heap->settings.secure) {
        return true;
    }
    arena->bits = obm_metadata_map(heap, obm_secure_bits_size(heap));
    return arena->bits != NULL;
}

void
obm_secure_close_arena(const struct obm_heap *heap, struct obm_arena_object *arena)
{
    if (arena->bits != NULL) {
        obm_metadata_unmap(heap, arena->bits, obm_secure_bits_size(heap));
        arena->bits = NULL;
    }
}

/* Bitmaps ---------------------------------------------------------------------------- */

enum bitmap { FREE_BLOCKS, HELD_BLOCKS };

static uint64_t *
bitmap_of(const struct obm_heap *heap, const struct obm_pool *pool, enum bitmap which)
{
    const struct obm_arena_object *arena = &heap->arenas[obm_pool_arena(heap, pool)];
    return arena->bits + (2u * obm_pool_page(heap, pool) + which) * heap->geometry.bitmap_words;
}

/* The blocks of a run of a medium class that callers hold.  They have more room than they
   need: that of all bitmaps of the run's pages. */
static uint64_t *
held_in_run(const struct obm_heap *heap, obm_run_id id)
{
    return bitmap_of(heap, obm_run_pools(heap, id), FREE_BLOCKS);
}

static unsigned
words_of(const struct obm_heap *heap, const struct obm_pool *pool)
{
    return (obm_pool_capacity(heap, pool) + 63) / 64;
}

/* The bits of the blocks that there are, in one word of a bitmap. */
static uint64_t
word_mask(const struct obm_heap *heap, const struct obm_pool *pool, unsigned word)
{
    unsigned left = obm_pool_capacity(heap, pool) - word * 64;
    return left >= 64 ? UINT64_MAX : (UINT64_C(1) << left) - 1;
}

/* A block's bit. */
struct block_place {
    unsigned word;
    uint64_t bit;
};

static struct block_place
place_of(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    uint32_t offset = (uint32_t)((uintptr_t)block - (uintptr_t)obm_pool_blocks(heap, pool));
    unsigned number = offset / (uint32_t)obm_class_size(heap, pool->size_class);
    return (struct block_place){number / 64, UINT64_C(1) << (number % 64)};
}

/* The same for a block of a medium class, in its run. */
static struct block_place
place_in_run(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    size_t offset = (uintptr_t)block - obm_run_address(heap, obm_pool_run(heap, pool));
    unsigned number = obm_block_number(&heap->geometry.classes[pool->size_class], offset);
    return (struct block_place){number / 64, UINT64_C(1) << (number % 64)};
}

/* The word in which a block's bit says whether a caller holds it; *bit is that bit. */
static uint64_t *
held_word(const struct obm_heap *heap, const struct obm_pool *pool, const void *block,
          uint64_t *bit)
{
    bool medium = pool->state == OBM_POOL_MEDIUM;
    struct block_place place = medium ? place_in_run(heap, pool, block)
                                      : place_of(heap, pool, block);
    *bit = place.bit;
    if (medium) {
        return held_in_run(heap, obm_pool_run(heap, pool)) + place.word;
    }
    return place.word < words_of(heap, pool)
           ? bitmap_of(heap, pool, HELD_BLOCKS) + place.word : NULL;
}

void
obm_secure_new_run(const struct obm_heap *heap, obm_run_id id)
{
    memset(held_in_run(heap, id), 0, obm_run_words(heap) * sizeof(uint64_t));
}

void
obm_secure_new_pool(const struct obm_heap *heap, struct obm_pool *pool)
{
    uint64_t *available = bitmap_of(heap, pool, FREE_BLOCKS);
    memset(available, 0, 2u * heap->geometry.bitmap_words * sizeof(uint64_t));
    for (unsigned word = 0; word < words_of(heap, pool); word++) {
        available[word] = word_mask(heap, pool, word);
    }
    pool->carved = (uint16_t)obm_pool_capacity(heap, pool);
    pool->clean = false;        /* calloc has to clear what was filled */
}

bool
obm_secure_holds(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    uint64_t bit;
    const uint64_t *held = held_word(heap, pool, block, &bit);
    return held != NULL && (*held & bit) != 0;
}

unsigned
obm_secure_live(const struct obm_heap *heap, const struct obm_pool *pool, uint64_t *live)
{
    const uint64_t *held = bitmap_of(heap, pool, HELD_BLOCKS);
    unsigned count = 0;
    for (unsigned word = 0; word < words_of(heap, pool); word++) {
        count += obm_count_bits(held[word]);
        if (live != NULL) {
            live[word] = held[word];
        }
    }
    return count;
}

const uint64_t *
obm_secure_held_in_run(const struct obm_heap *heap, obm_run_id id)
{
    return held_in_run(heap, id);
}

/* The block that the class keeps which has this run. */
static const struct obm_kept_block *
kept_in(const struct obm_heap *heap, obm_run_id id)
{
    return &heap->medium.kept[obm_run_at(heap, id)->size_class - OBM_SMALL_CLASSES];
}

unsigned
obm_run_held(const struct obm_heap *heap, obm_run_id id)
{
    const struct obm_run *run = obm_run_at(heap, id);
    if (!heap->settings.secure) {
        return obm_run_capacity(heap, run) - run->free_blocks - (kept_in(heap, id)->run == id);
    }
    unsigned count = 0;
    for (unsigned word = 0; word < obm_run_words(heap); word++) {
        count += obm_count_bits(held_in_run(heap, id)[word]);
    }
    return count;
}

bool
obm_block_is_held(const struct obm_heap *heap, obm_run_id id, unsigned number)
{
    if (heap->settings.secure) {
        return (held_in_run(heap, id)[number / 64] >> (number % 64) & 1) != 0;
    }
    const struct obm_kept_block *kept = kept_in(heap, id);
    return !obm_block_is_free(heap, id, number)
           && (kept->run != id || obm_kept_number(kept) != number);
}

unsigned
obm_page_held(const struct obm_heap *heap, const struct obm_pool *pool)
{
    obm_run_id id = obm_pool_run(heap, pool);
    unsigned first, end, count = 0;
    obm_blocks_touching(heap, obm_run_at(heap, id), obm_pool_page_in_run(heap, pool), &first, &end);
    for (unsigned number = first; number < end; number++) {
        count += obm_block_is_held(heap, id, number);
    }
    return count;
}

size_t
obm_secure_count_available(const struct obm_heap *heap, const struct obm_pool *pool)
{
    const uint64_t *available = bitmap_of(heap, pool, FREE_BLOCKS);
    const uint64_t *held = bitmap_of(heap, pool, HELD_BLOCKS);
    size_t count = 0;
    for (unsigned word = 0; word < heap->geometry.bitmap_words; word++) {
        uint64_t mask = word < words_of(heap, pool) ? word_mask(heap, pool, word) : 0;
        if ((available[word] & held[word]) != 0 || ((available[word] | held[word]) & ~mask) != 0) {
            return SIZE_MAX;
        }
        count += obm_count_bits(available[word]);
    }
    return count;
}

/* Taking and freeing ------------------------------------------------------------------- */

static uint64_t
next_random(struct obm_heap *heap)
{
    uint64_t number = heap->secure.random += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return number ^ number >> 31;
}

/* The first bit set from a random one on; word must not be 0. */
static unsigned
random_bit(uint64_t word, uint64_t random)
{
    unsigned turn = random & 63;
    uint64_t turned = word >> turn | word << ((64 - turn) & 63);
    return (obm_lowest_bit(turned) + turn) & 63;
}

OBM_NOINLINE void *
obm_secure_take(struct obm_heap *heap, struct obm_pool *pool)
{
    uint64_t *available = bitmap_of(heap, pool, FREE_BLOCKS);
    uint64_t random = next_random(heap);
    unsigned words = words_of(heap, pool);
    unsigned word = (unsigned)(random >> 32) % words;
    for (unsigned tried = 0; available[word] == 0; tried++) {
        if (tried == words) {
            obm_fatal(heap, "page %u of arena %u should have a free block of %zu bytes, and "
                      "has none: was the allocator's own memory written to?",
                      obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool),
                      obm_class_size(heap, pool->size_class));
        }
        word = (word + 1) % words;
    }
    unsigned bit = random_bit(available[word], random);
    available[word] &= ~(UINT64_C(1) << bit);
    bitmap_of(heap, pool, HELD_BLOCKS)[word] |= UINT64_C(1) << bit;
    pool->countdown++;
    return obm_pool_blocks(heap, pool)
           + (word * 64 + bit) * obm_class_size(heap, pool->size_class);
}

unsigned
obm_secure_choose(struct obm_heap *heap, obm_run_id id)
{
    const struct obm_run *run = obm_run_at(heap, id);
    const uint64_t *blocks = obm_run_blocks(heap, id);
    uint64_t random = next_random(heap);
    unsigned words = (obm_run_capacity(heap, run) + 63) / 64;
    unsigned word = (unsigned)(random >> 32) % words;
    for (unsigned tried = 0; blocks[word] == 0; tried++) {
        if (tried == words) {
            obm_fatal(heap, "run %u of arena %u should have a free block of %zu bytes, and "
                      "has none: was the allocator's own memory written to?",
                      (unsigned)id & (OBM_RUNS_PER_ARENA - 1), (unsigned)id >> OBM_RUNS_SHIFT,
                      obm_class_size(heap, run->size_class));
        }
        word = (word + 1) % words;
    }
    return word * 64 + random_bit(blocks[word], random);
}

void
obm_secure_hold(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    uint64_t bit;
    uint64_t *held = held_word(heap, pool, block, &bit);
    *held |= bit;
}

void
obm_secure_put(const struct obm_heap *heap, const struct obm_pool *pool, void *block)
{
    struct block_place place = place_of(heap, pool, block);
    bitmap_of(heap, pool, FREE_BLOCKS)[place.word] |= place.bit;
}

void
obm_secure_fill(const struct obm_heap *heap, const struct obm_pool *pool, void *block)
{
    uint64_t bit;
    uint64_t *held = held_word(heap, pool, block, &bit);
    *held &= ~bit;
    memset(block, OBM_FREED_BYTE, obm_class_size(heap, pool->size_class));
}

/* Blocks of this size have so many places in quarantine, the first ones: if place i holds
   OBM_QUARANTINE_BYTES / (i + 1) bytes at most, all of them hold a few times
   OBM_QUARANTINE_BYTES at most. */
static unsigned
quarantine_places(size_t size)
{
    size_t places = OBM_QUARANTINE_BYTES / size;
    return places < OBM_QUARANTINE_BLOCKS ? (unsigned)places : OBM_QUARANTINE_BLOCKS;
}

void *
obm_secure_quarantine(struct obm_heap *heap, void *block, size_t size)
{
    struct obm_secure *secure = &heap->secure;
    if (secure->quarantine == NULL) {
        secure->quarantine = obm_metadata_map(heap, OBM_QUARANTINE_BLOCKS * sizeof(void *));
        if (secure->quarantine == NULL) {
            return block;
        }
    }
    unsigned i = (unsigned)(next_random(heap) >> 32) % quarantine_places(size);
    void *leaves = secure->quarantine[i];
    secure->quarantine[i] = block;
    return leaves;
}

void *
obm_secure_remove(struct obm_heap *heap, unsigned i)
{
    void *leaves = heap->secure.quarantine[i];
    heap->secure.quarantine[i] = NULL;
    return leaves;
}

static bool
is_as_filled(const void *block, size_t size)
{
    const uint64_t filled = UINT64_MAX / 0xff * OBM_FREED_BYTE;
    const uint64_t *words = block;
    uint64_t different = 0;
    for (size_t i = 0; i < size / sizeof(uint64_t); i++) {
        different |= words[i] ^ filled;
    }
    return different == 0;
}

void
obm_secure_verify_filled(const struct obm_heap *heap, const struct obm_pool *pool,
                         const void *block)
{
    size_t size = obm_class_size(heap, pool->size_class);
    if (is_as_filled(block, size)) {
        return;
    }
    size_t i = 0;
    while (((const unsigned char *)block)[i] == OBM_FREED_BYTE) {
        i++;
    }
    obm_fatal(heap, "block %p of %zu bytes (page %u of arena %u) was written to after it was "
              "freed, at byte %zu", block, size, obm_pool_page(heap, pool),
              (unsigned)obm_pool_arena(heap, pool), i);
}

void
obm_secure_close(struct obm_heap *heap)
{
    if (heap->secure.quarantine != NULL) {
        obm_metadata_unmap(heap, heap->secure.quarantine,
                           OBM_QUARANTINE_BLOCKS * sizeof(void *));
        heap->secure.quarantine = NULL;
    }
}

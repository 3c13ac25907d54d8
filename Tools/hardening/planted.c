/* obmalloc: mistakes that C code makes with blocks, each made on purpose.

   planted(name, allocate, release) makes one mistake with an allocator and looks
   at what it hands out then.  Everything happens in here, so that no block of the
   interpreter that calls it takes part.  It returns

       HARMLESS   nothing can be seen to have gone wrong
       TWICE      the same memory was handed out twice: two owners overwrite each other
       WILD       an address was handed out that the mistake wrote into a block: whoever
                  controls what is written chooses where the program writes next
       UNKNOWN    there is no such mistake

   unless the allocator ends the process first. */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum outcome { HARMLESS, TWICE, WILD, UNKNOWN };

#define SIZE 64u                /* bytes, of every block */
#define BLOCKS 4000u
#define MANY (1u << 20)         /* blocks: 64 MiB */

struct allocator {
    void *(*allocate)(size_t size);
    void (*release)(void *block);
};

/* What the mistakes write everywhere is the address of this: whoever can write to a
   freed block wants the allocator to hand out an address of his choice. */
static struct target {
    void *words[64];            /* NULL, as at the end of a list */
} target;

static void *blocks[BLOCKS];
static void *again[BLOCKS];

static void
take_all(const struct allocator *allocator, void *into[BLOCKS])
{
    for (size_t i = 0; i < BLOCKS; i++) {
        into[i] = allocator->allocate(SIZE);
    }
}

static void
fill(void *block, size_t size)
{
    void **words = block;
    for (size_t i = 0; i < size / sizeof(void *); i++) {
        words[i] = &target;
    }
}

static bool
is_wild(const void *block)
{
    return (uintptr_t)block - (uintptr_t)&target < sizeof(target);
}

static int
by_address(const void *one, const void *other)
{
    uintptr_t a = *(const uintptr_t *)one, b = *(const uintptr_t *)other;
    return (a > b) - (a < b);
}

/* Take as many blocks as fit on the free lists, and some more.  held, if not NULL,
   is one that somebody has already. */
static enum outcome
look(const struct allocator *allocator, void *held)
{
    size_t count = 0;
    if (held != NULL) {
        again[count++] = held;
    }
    while (count < BLOCKS) {
        void *block = allocator->allocate(SIZE);
        if (is_wild(block)) {
            return WILD;
        }
        again[count++] = block;
    }
    qsort(again, count, sizeof(again[0]), by_address);
    for (size_t i = 1; i < count; i++) {
        if ((uintptr_t)again[i] - (uintptr_t)again[i - 1] < SIZE) {
            return TWICE;
        }
    }
    return HARMLESS;
}

/* The mistakes ------------------------------------------------------------------------- */

/* 64 bytes too many, into a neighbour that was freed. */
static enum outcome
overflow(const struct allocator *allocator)
{
    take_all(allocator, blocks);
    for (size_t i = 1; i < BLOCKS; i += 2) {
        allocator->release(blocks[i]);
    }
    for (size_t i = 0; i < BLOCKS; i += 2) {
        fill(blocks[i], 2 * SIZE);
    }
    return look(allocator, NULL);
}

static enum outcome
double_free(const struct allocator *allocator)
{
    take_all(allocator, blocks);
    allocator->release(blocks[BLOCKS / 2]);
    allocator->release(blocks[BLOCKS / 2]);
    return look(allocator, NULL);
}

static enum outcome
late_double_free(const struct allocator *allocator)
{
    take_all(allocator, blocks);
    allocator->release(blocks[BLOCKS / 2]);
    for (size_t i = 0; i < 100; i++) {
        allocator->release(blocks[BLOCKS / 2 + 1 + 7 * i]);
    }
    allocator->release(blocks[BLOCKS / 2]);
    return look(allocator, NULL);
}

static enum outcome
interior_free(const struct allocator *allocator)
{
    take_all(allocator, blocks);
    allocator->release((char *)blocks[BLOCKS / 2] + SIZE / 2);
    return look(allocator, blocks[BLOCKS / 2]);
}

static enum outcome
use_after_free(const struct allocator *allocator)
{
    take_all(allocator, blocks);
    for (size_t i = 0; i < 100; i++) {
        allocator->release(blocks[7 * i]);
        fill(blocks[7 * i], SIZE);
    }
    return look(allocator, NULL);
}

/* A second free long after the whole arena went. */
static enum outcome
stale_arena(const struct allocator *allocator)
{
    void **many = calloc(MANY, sizeof(void *));
    for (size_t i = 0; i < MANY; i++) {
        many[i] = allocator->allocate(SIZE);
    }
    void *stale = many[MANY / 2];
    for (size_t i = 0; i < MANY; i++) {
        allocator->release(many[i]);
    }
    free(many);
    allocator->release(stale);
    return look(allocator, NULL);
}

int
planted(const char *name, void *(*allocate)(size_t), void (*release)(void *))
{
    static const struct {
        const char *name;
        enum outcome (*make)(const struct allocator *allocator);
    } mistakes[] = {
        {"overflow", overflow},
        {"double-free", double_free},
        {"late-double-free", late_double_free},
        {"interior-free", interior_free},
        {"use-after-free", use_after_free},
        {"stale-arena", stale_arena},
    };
    struct allocator allocator = {allocate, release};
    for (size_t i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        if (strcmp(name, mistakes[i].name) == 0) {
            return mistakes[i].make(&allocator);
        }
    }
    return UNKNOWN;
}

/* obmalloc: the entry points.

   The first allocation of a class: obm_malloc_fast() finds "no pool" and
   gives up; obm_malloc_slow() asks for a pool; obm_run_with_room() finds no
   run, takes one from the fullest arena, or maps an arena; the pool links its
   first blocks; the fast path takes one of them.

   A free: obm_free_fast() computes the descriptor from the address, counts down
   and pushes the block.  When the countdown was 0 something else is due, and obm_free_counted() finds out what: the pool was
   full, or becomes empty, or there is no pool at that address.  obm_free_slow()
   is for blocks outside the window.

   Each entry point is either on the hot path (internal.h), or may cost a few
   hundred instructions. */

#include "obmalloc/internal.h"

#include <stdlib.h>
#include <string.h>

static void
front_close(struct obm_front *front)
{
    front->window_limit = 0;
    front->none.free = OBM_NO_LINK;
    for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
        front->current[c] = &front->none;
    }
}

void
obm_heap_use_front(struct obm_heap *heap, struct obm_front *front)
{
    struct obm_front *old = heap->front;
    if (front == NULL) {
        front = &heap->own_front;
    }
    if (front != old) {
        *front = *old;
        for (unsigned c = 0; c < OBM_SIZE_CLASSES; c++) {
            if (front->current[c] == &old->none) {
                front->current[c] = &front->none;
            }
        }
        heap->front = front;
        front_close(old);
    }
}

bool
obm_heap_init(struct obm_heap *heap, const struct obm_os *os,
              const struct obm_settings *settings)
{
    heap->os = os;
    heap->settings = *settings;
    heap->window = -1;
    heap->arenas_ever = 1;
    heap->front = &heap->own_front;
    front_close(heap->front);
    if (!obm_geometry_init(&heap->geometry, os->page_size)) {
        return false;
    }
    if (settings->secure) {
        heap->secure.random = os->entropy();
    }
    heap->populate_pages = (unsigned)(OBM_POPULATE_BYTES / heap->geometry.page_size);
    obm_retention_init(heap);
    return true;
}

void
obm_heap_close(struct obm_heap *heap, bool abandon)
{
    if (abandon) {
        obm_trim(heap);
    }
    else {
        for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
            if (heap->arenas[i].address != 0) {
                obm_arena_release(heap, i);
            }
        }
        obm_arenas_close(heap);
        obm_map_close(heap);
        obm_window_close(heap);
    }
    obm_secure_close(heap);
    const struct obm_os *os = heap->os;
    struct obm_settings settings = heap->settings;
    struct obm_front *front = heap->front != &heap->own_front ? heap->front : NULL;
    memset(heap, 0, sizeof(*heap));
    obm_heap_init(heap, os, &settings);
    obm_heap_use_front(heap, front);
}

/* malloc ---------------------------------------------------------------------- */

/* Whether the pool has no block to hand out, nor to carve; "no pool" has none. */
static bool
pool_is_exhausted(const struct obm_heap *heap, const struct obm_pool *pool)
{
    if (pool == &heap->front->none) {
        return true;
    }
    unsigned capacity = obm_pool_capacity(heap, pool);
    if (heap->settings.secure) {
        return obm_pool_live(heap, pool) == capacity;
    }
    return !obm_is_link(pool->free) && pool->carved == capacity;
}

/* The current pool for a request, with a block at hand or still to be carved;
   NULL: no memory, or the size is not ours. */
static struct obm_pool *
pool_with_room(struct obm_heap *heap, size_t size)
{
    size_t size_class = obm_size_class(size);
    if (size_class >= OBM_SIZE_CLASSES || heap->geometry.page_size == 0) {
        return NULL;
    }
    struct obm_pool *pool = heap->front->current[size_class];
    if (pool_is_exhausted(heap, pool)) {
        pool = obm_pool_next(heap, (unsigned)size_class);
    }
    return pool;
}

OBM_NOINLINE void *
obm_malloc_slow(struct obm_heap *heap, size_t size)
{
    struct obm_pool *pool = pool_with_room(heap, size);
    if (pool == NULL) {
        return NULL;
    }
    void *block;
    if (OBM_UNLIKELY(heap->settings.secure)) {
        block = obm_secure_take(heap, pool);
    }
    else {
        if (!obm_is_link(pool->free)) {
            obm_pool_carve(heap, pool);
        }
        block = obm_malloc_fast(heap->front, size);
    }
    if (OBM_UNLIKELY(heap->settings.check_level > 0)) {
        obm_check_on_the_way(heap, pool, block);
    }
    return block;
}

void *
obm_malloc(struct obm_heap *heap, size_t size)
{
    void *block = obm_malloc_fast(heap->front, size);
    return block != NULL ? block : obm_malloc_slow(heap, size);
}

/* Take a block that was never used, with an empty free list. */
static void *
take_untouched(struct obm_heap *heap, struct obm_pool *pool)
{
    void *block = obm_pool_address(heap, pool)
                  + pool->carved * obm_class_size(pool->size_class);
    pool->carved++;
    pool->countdown++;
    return block;
}

void *
obm_calloc(struct obm_heap *heap, size_t size)
{
    void *block = obm_malloc_fast(heap->front, size);
    if (block != NULL) {
        return memset(block, 0, size);
    }
    struct obm_pool *pool = pool_with_room(heap, size);
    if (pool == NULL) {
        return NULL;
    }
    if (!obm_is_link(pool->free) && pool->clean && size > OBM_CLEAR_MAX) {
        /* The system delivered the page zeroed, so there is nothing to clear. */
        return take_untouched(heap, pool);
    }
    return memset(obm_malloc_slow(heap, size), 0, size);
}

/* free ------------------------------------------------------------------------- */

void
obm_must_be_foreign(const struct obm_heap *heap, const void *block)
{
    if (obm_belongs_to_other_heap(heap, block)) {
        obm_fatal(heap, "block %p is freed or resized through the wrong interpreter: "
                  "another one allocated it", block);
    }
    if ((uintptr_t)block - heap->window_base < heap->window_mapped
        && !heap->os->is_mapped(block)) {
        obm_fatal(heap, "block %p is freed or resized, but its arena went back to the "
                  "system: freed twice?", block);
    }
}

/* Whether block can be no live block of the pool, which is verified always: it was
   freed last, or lies in the middle of a block of a full page, which is looked at
   anyway when it is refilled.  Pages are aligned to their size. */
static bool
is_a_mistake(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    if (pool->free == obm_link_to(block)) {
        return true;
    }
    uint32_t offset = (uint32_t)((uintptr_t)block & (heap->geometry.page_size - 1));
    return pool->state == OBM_POOL_FULL
           && offset % (uint32_t)obm_class_size(pool->size_class) != 0;
}

static OBM_NOINLINE void
end_freed_twice(const struct obm_heap *heap, const struct obm_pool *pool, const void *block)
{
    obm_fatal(heap, "block %p is freed, but no block of its page is in use "
              "(page %u of arena %u): freed twice?", block,
              obm_pool_page(heap, pool), (unsigned)obm_pool_arena(heap, pool));
}

/* Put a block that nobody holds back into its pool, whatever the pool's state. */
static void
put_in_pool(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (pool->state == OBM_POOL_FREE || pool->countdown < 0) {
        end_freed_twice(heap, pool, block);
    }
    else if (pool->countdown > 0) {
        /* Outside the window, or with the fast path switched off. */
        pool->countdown--;
        obm_pool_push(heap, pool, block);
    }
    else if (pool->state == OBM_POOL_FULL) {
        obm_pool_was_full(heap, pool, block);
    }
    else {
        obm_pool_is_empty(heap, pool, block);
    }
}

/* A block that leaves the quarantine. */
static void
put_retired(struct obm_heap *heap, void *block)
{
    struct obm_pool *pool = obm_find_pool(heap, block);
    obm_secure_verify_retired(heap, pool, block);
    put_in_pool(heap, pool, block);
}

static void
empty_quarantine(struct obm_heap *heap)
{
    if (heap->secure.quarantine == NULL) {
        return;
    }
    for (unsigned i = 0; i < OBM_QUARANTINE_BLOCKS; i++) {
        void *block = obm_secure_release(heap, i);
        if (block != NULL) {
            put_retired(heap, block);
        }
    }
}

/* Free a block of this pool, in a secure heap. */
static OBM_NOINLINE void
free_securely(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    obm_must_be_live(heap, pool, block, 1);
    obm_secure_retire(heap, pool, block);
    void *leaves = obm_secure_quarantine(heap, block);
    if (leaves != NULL) {
        put_retired(heap, leaves);
    }
}

/* Free a block of this pool. */
static void
free_in_pool(struct obm_heap *heap, struct obm_pool *pool, void *block)
{
    if (OBM_UNLIKELY(heap->settings.check_level > 0)) {
        obm_check_on_the_way(heap, pool, block);
    }
    if (OBM_UNLIKELY(heap->settings.secure)) {
        free_securely(heap, pool, block);
        return;
    }
    if (OBM_UNLIKELY(is_a_mistake(heap, pool, block))) {
        obm_must_be_live(heap, pool, block, 2);
    }
    put_in_pool(heap, pool, block);
}

OBM_NOINLINE bool
obm_free_slow(struct obm_heap *heap, void *block)
{
    struct obm_pool *pool = obm_find_pool(heap, block);
    if (pool == NULL) {
        obm_must_be_foreign(heap, block);
        return false;
    }
    free_in_pool(heap, pool, block);
    return true;
}

OBM_NOINLINE bool
obm_free_counted(struct obm_heap *heap, void *block)
{
    uintptr_t offset = (uintptr_t)block - heap->window_base;
    struct obm_pool *pool = &heap->window_pools[offset >> obm_page_shift(heap)];
    pool->countdown++;
    if (pool->state == OBM_POOL_ABSENT) {
        return obm_free_slow(heap, block);
    }
    free_in_pool(heap, pool, block);
    return true;
}

bool
obm_free(struct obm_heap *heap, void *block)
{
    if (OBM_UNLIKELY(!obm_front_covers(heap->front, block))) {
        return obm_free_slow(heap, block);
    }
    return obm_free_fast(heap, heap->front, block) || obm_free_counted(heap, block);
}

/* Giving back -------------------------------------------------------------------- */

/* Give back what can go now, until the price has reached limit; the last arena may
   exceed it.  Returns whether there is more. */
static bool
trim_step(struct obm_heap *heap, uint64_t limit)
{
    empty_quarantine(heap);
    obm_pools_retire(heap);
    uint64_t price = obm_arenas_take_apart(heap, limit);
    if (price >= limit) {
        return true;
    }
    obm_retention_trim(heap, 0, limit - price);
    heap->retention.allowance = heap->retention.base;
    return heap->retention.dirty != 0;
}

size_t
obm_trim_in_steps(struct obm_heap *heap, void (*between)(void))
{
    if (heap->geometry.page_size == 0) {
        return 0;
    }
    size_t before = obm_given_back(heap);
    size_t most = (heap->arena_count << heap->geometry.arena_shift);
    while (trim_step(heap, OBM_PURGE_STEP_NANOSECONDS) && obm_given_back(heap) - before < most) {
        between();
    }
    return obm_given_back(heap) - before;
}

size_t
obm_trim(struct obm_heap *heap)
{
    if (heap->geometry.page_size == 0) {
        return 0;
    }
    size_t before = obm_given_back(heap);
    trim_step(heap, UINT64_MAX);
    return obm_given_back(heap) - before;
}

void
obm_before_blocking(struct obm_heap *heap)
{
    const struct obm_retention *retention = &heap->retention;
    if (obm_has_surplus(heap) || retention->allowance > retention->base) {
        obm_retention_tick(heap);
    }
}

/* Settings ------------------------------------------------------------------------- */

static bool
parse_size(const char *text, size_t *bytes)
{
    char *end;
    if (*text < '0' || *text > '9') {
        return false;
    }
    unsigned long long value = strtoull(text, &end, 10);
    unsigned shift = 0;
    switch (*end) {
    case 'k': case 'K': shift = 10; end++; break;
    case 'm': case 'M': shift = 20; end++; break;
    case 'g': case 'G': shift = 30; end++; break;
    }
    if (*end != '\0' || value > (SIZE_MAX >> 1) >> shift) {
        return false;
    }
    *bytes = (size_t)value << shift;
    return true;
}

static bool
parse_retain(struct obm_settings *settings, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        settings->retain = OBM_RETAIN_AUTO;
    }
    else if (strcmp(value, "none") == 0) {
        settings->retain = OBM_RETAIN_NONE;
    }
    else if (strcmp(value, "all") == 0) {
        settings->retain = OBM_RETAIN_ALL;
    }
    else if (parse_size(value, &settings->retain_bytes)) {
        settings->retain = OBM_RETAIN_SIZE;
    }
    else {
        return false;
    }
    return true;
}

static bool
parse_hugepages(struct obm_settings *settings, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        settings->hugepages = OBM_HUGE_AUTO;
    }
    else if (strcmp(value, "never") == 0) {
        settings->hugepages = OBM_HUGE_NEVER;
    }
    else if (strcmp(value, "always") == 0) {
        settings->hugepages = OBM_HUGE_ALWAYS;
    }
    else {
        return false;
    }
    return true;
}

/* 0 or 1. */
static bool
parse_switch(bool *on, const char *value)
{
    if ((value[0] != '0' && value[0] != '1') || value[1] != '\0') {
        return false;
    }
    *on = value[0] == '1';
    return true;
}

static bool
parse_background(struct obm_settings *settings, const char *value)
{
    bool on;
    if (strcmp(value, "auto") == 0) {
        settings->background = OBM_BACKGROUND_AUTO;
        return true;
    }
    if (!parse_switch(&on, value)) {
        return false;
    }
    settings->background = on ? OBM_BACKGROUND_ON : OBM_BACKGROUND_OFF;
    return true;
}

static bool
parse_malloc(struct obm_settings *settings, const char *value)
{
    if (strcmp(value, "auto") == 0) {
        settings->system_malloc = OBM_MALLOC_AUTO;
    }
    else if (strcmp(value, "leave") == 0) {
        settings->system_malloc = OBM_MALLOC_LEAVE;
    }
    else if (strcmp(value, "one") == 0) {
        settings->system_malloc = OBM_MALLOC_ONE;
    }
    else {
        return false;
    }
    return true;
}

static bool
parse_secure(struct obm_settings *settings, const char *value)
{
    return parse_switch(&settings->secure, value);
}

static bool
parse_check(struct obm_settings *settings, const char *value)
{
    if (value[0] < '0' || value[0] > '3' || value[1] != '\0') {
        return false;
    }
    settings->check_level = value[0] - '0';
    return true;
}

/* The settings that there are.  A new one needs a row here, and one in the
   table of the README. */
static const struct {
    const char *key;
    bool (*parse)(struct obm_settings *settings, const char *value);
    const char *values;     /* for the warning */
} setting_table[] = {
    {"retain", parse_retain, "auto, none, all, or a size such as 64M"},
    {"hugepages", parse_hugepages, "auto, never or always"},
    {"background", parse_background, "auto, 0 or 1"},
    {"malloc", parse_malloc, "auto, leave or one"},
    {"check", parse_check, "0, 1, 2 or 3"},
    {"secure", parse_secure, "0 or 1"},
};
#define SETTING_COUNT (sizeof(setting_table) / sizeof(setting_table[0]))

/* Why "key=value" was not understood; NULL: it was.  What was cut is shown,
   but never believed: its first part may mean something else. */
static const char *
parse_one(struct obm_settings *settings, char *item, bool cut, char *line, size_t line_size)
{
    char *value = strchr(item, '=');
    if (value != NULL) {
        *value++ = '\0';
    }
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(item, setting_table[i].key) != 0) {
            continue;
        }
        if (value != NULL && !cut && setting_table[i].parse(settings, value)) {
            return NULL;
        }
        snprintf(line, line_size, "PYTHONOBMALLOC: %s cannot be '%s%s': it is %s; "
                 "this is ignored", item, value != NULL ? value : "",
                 cut ? "..." : "", setting_table[i].values);
        return line;
    }
    snprintf(line, line_size, "PYTHONOBMALLOC: unknown setting '%s%s' is ignored; "
             "there are: retain, hugepages, background, malloc, check, secure", item, cut ? "..." : "");
    return line;
}

void
obm_settings_parse(struct obm_settings *settings, const char *text,
                   void (*complain)(const char *line, void *data), void *data)
{
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        char item[64], line[256];
        size_t copied = length < sizeof(item) - 1 ? length : sizeof(item) - 1;
        for (size_t i = 0; i < copied; i++) {
            item[i] = (unsigned char)text[i] < ' ' ? '?' : text[i];     /* one line */
        }
        item[copied] = '\0';
        const char *problem = copied == 0
                              ? NULL : parse_one(settings, item, copied < length,
                                                 line, sizeof(line));
        if (problem != NULL) {
            complain(problem, data);
        }
        text += length + (text[length] == ',');
    }
    if (settings->secure) {
        settings->hugepages = OBM_HUGE_NEVER;   /* a guard page is a small one */
    }
}

void
obm_settings_from_environment(struct obm_settings *settings, const char *text,
                              void (*complain)(const char *line, void *data), void *data)
{
    if (text != NULL && !obm_has_raised_rights()) {
        obm_settings_parse(settings, text, complain, data);
    }
}

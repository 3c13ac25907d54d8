/* To whom does each live block belong?  The part of _obmalloc behind obmalloc.pins().

   A block does not say what it holds, and guessing proves nothing: a number may look
   like the address of a type.  So the way is not from blocks to objects but from objects
   to blocks.  These are known to be objects:

   - what the collector tracks: it holds a list of them;
   - what those refer to, by their own tp_traverse, as gc.get_referents() finds
     it.  A strong reference is to a living object;
   - what tuples and dicts that the collector has stopped tracking refer to,
     in the same way; and the fields of code objects, which have no tp_traverse;
   - and the memory that lists, dicts, sets, bytearrays, strings and types of
     the program own beside their objects, by the fields of their structs.

   Of each object the type of one other that refers to it is remembered too, its
   holder: "str in list" says more than "str".  For what the dict of an instance of
   the program's own classes refers to, the holder is the instance: since 3.11 most
   have no dict any more, and "str in dict" would say nothing.

   All other blocks stay unknown: objects to which only C variables or the locals of
   C functions refer, the free lists of the basic types, and what else is allocated
   with PyMem_Malloc().

   Nothing is allocated from the arenas meanwhile, and no Python code runs
   until the owners that are to be shown are held by references, so that what
   is found stays true. */

#ifndef Py_BUILD_CORE_BUILTIN
#  define Py_BUILD_CORE_MODULE 1
#endif
#include "Python.h"
#include <stdbool.h>
#include "_obmalloc_owners.h"

#if WITH_OBMALLOC_ARENAS

#include "obmalloc/python.h"
#include "obmalloc/blocks.h"
#include "pycore_hashtable.h"       // _Py_hashtable_t

/* Who the owner of a block is, with a bit for memory that the owner has beside its
   object.  Objects are aligned, so their lowest bits are free. */
#define OWNER_NOT_LIVE ((uintptr_t)0)
#define OWNER_UNKNOWN ((uintptr_t)2)
#define OWNER_BESIDE ((uintptr_t)1)

struct owners_slot {
    uintptr_t owner;
    PyTypeObject *holder;       /* NULL: none is known */
};

/* A page.  Nothing here points to its descriptor, which may change once
   Python code runs.  A block that lies on several pages is listed where it begins. */
struct owners_page {
    uintptr_t address;          /* of the first block that begins there */
    struct owners_slot *slots;  /* one for each of the blocks that may be handed out */
    unsigned slot_count;        /* 0: the page is free, or not shown, or none begins there */
    unsigned block_size;        /* bytes */
    unsigned live;              /* blocks that begin there */
    unsigned live_bytes;        /* of all live blocks, as far as they lie on it */
};

/* All zeros: no arena has this index. */
struct owners_arena {
    uintptr_t address;          /* of its first page */
    obm_arena_index index;
    struct owners_page *pages;  /* page_count of them */
    unsigned page_count;
    unsigned used_pages;
    size_t live_blocks, live_bytes;
};

/* Objects to be visited. */
struct owners_queue {
    PyObject **items;
    size_t count, capacity;
};

/* All blocks of one kind: what they have in common, and their sums. */
struct owners_row {
    PyTypeObject *type;         /* NULL: unknown */
    PyTypeObject *holder;       /* likewise */
    bool beside;
    size_t blocks, bytes, pages;
    double held;                /* bytes: of each page, its share of the live blocks */
    const struct owners_page *last_page;    /* that is counted in pages; NULL: none */
};

struct owners {
    const struct obm_heap *heap;
    struct owners_arena *arenas;        /* arena_count, by index until they are sorted */
    size_t arena_count;
    struct owners_page *pages;          /* page_count, of all arenas */
    size_t page_count;
    struct owners_slot *slots;          /* of all pages */
    PyTypeObject *holder;               /* the type that is visited */
    PyTypeObject *lesser_holder;        /* one whose place it takes; NULL: none */
    struct owners_queue queue;
    _Py_hashtable_t *seen;              /* queued objects outside the arenas */
    _Py_hashtable_t *rows;              /* each its own key */
    struct owners_row *last_row;
    bool no_memory;
};

/* The live blocks ------------------------------------------------------------ */

static Py_uhash_t
owners_hash_row(const void *key)
{
    const struct owners_row *row = key;
    uintptr_t mixed = (uintptr_t)row->type + 2 * (uintptr_t)row->holder + row->beside;
    return (Py_uhash_t)(((uint64_t)mixed * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static int
owners_is_same_row(const void *left, const void *right)
{
    const struct owners_row *a = left, *b = right;
    return a->type == b->type && a->holder == b->holder && a->beside == b->beside;
}

/* Whether a page belongs to a run whose blocks may lie on several pages. */
static bool
owners_is_medium(const struct obm_pool *pool)
{
    return pool->state == OBM_POOL_MEDIUM;
}

/* At least as many blocks as begin on a page. */
static unsigned
owners_most_blocks(const struct obm_heap *heap, const struct obm_pool *pool)
{
    if (owners_is_medium(pool)) {
        size_t size = obm_class_size(heap, pool->size_class);
        return (unsigned)(heap->geometry.page_size / size) + 1;
    }
    return pool->state != OBM_POOL_FREE ? pool->carved : 0;
}

/* Memory for all of which the size follows from the descriptors, and the tables. */
static bool
owners_reserve(struct owners *owners)
{
    const struct obm_heap *heap = owners->heap;
    _Py_hashtable_allocator_t raw = {PyMem_RawMalloc, PyMem_RawFree};
    size_t blocks = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        for (unsigned page = 0; arena->address != 0 && page < arena->page_count; page++) {
            owners->page_count++;
            blocks += owners_most_blocks(heap, &arena->pools[page]);
        }
    }
    owners->arena_count = heap->arenas_ever;
    owners->arenas = PyMem_RawCalloc(owners->arena_count + 1, sizeof(*owners->arenas));
    owners->pages = PyMem_RawCalloc(owners->page_count + 1, sizeof(*owners->pages));
    owners->slots = PyMem_RawCalloc(blocks + 1, sizeof(*owners->slots));
    owners->seen = _Py_hashtable_new_full(_Py_hashtable_hash_ptr, _Py_hashtable_compare_direct,
                                          NULL, NULL, &raw);
    owners->rows = _Py_hashtable_new_full(owners_hash_row, owners_is_same_row,
                                          NULL, PyMem_RawFree, &raw);
    return owners->arenas != NULL && owners->pages != NULL && owners->slots != NULL
           && owners->seen != NULL && owners->rows != NULL;
}

static void
owners_free(struct owners *owners)
{
    PyMem_RawFree(owners->arenas);
    PyMem_RawFree(owners->pages);
    PyMem_RawFree(owners->slots);
    PyMem_RawFree(owners->queue.items);
    if (owners->seen != NULL) {
        _Py_hashtable_destroy(owners->seen);
    }
    if (owners->rows != NULL) {
        _Py_hashtable_destroy(owners->rows);
    }
}

/* Fill in address, slot_count and block_size of a page that is in use.  Returns how many
   blocks lie on it before the first that begins there. */
static unsigned
owners_describe_page(const struct obm_heap *heap, const struct obm_pool *pool,
                     struct owners_page *page)
{
    uintptr_t start = (uintptr_t)obm_pool_address(heap, pool);
    page->block_size = (unsigned)obm_class_size(heap, pool->size_class);
    if (!owners_is_medium(pool)) {
        page->address = start;
        page->slot_count = pool->carved;
        return 0;
    }
    obm_run_id run = obm_pool_run(heap, pool);
    unsigned first, end;
    obm_blocks_touching(heap, obm_run_at(heap, run), obm_pool_page_in_run(heap, pool), &first,
                        &end);
    page->address = (uintptr_t)obm_run_address(heap, run) + (uintptr_t)first * page->block_size;
    unsigned before = page->address < start;
    page->address += before * page->block_size;
    page->slot_count = end - first - before;
    return before;
}

/* The bytes of a block, of the size of the page's, that lie on the page that begins at
   start. */
static unsigned
owners_bytes_on_page(const struct owners *owners, const struct owners_page *page,
                     uintptr_t block, uintptr_t start)
{
    uintptr_t block_end = block + page->block_size;
    uintptr_t page_end = start + owners->heap->geometry.page_size;
    return (unsigned)((block_end < page_end ? block_end : page_end)
                      - (block > start ? block : start));
}

/* Fill in the slots of a page.  false: its free list is damaged. */
static bool
owners_enter_page(struct owners *owners, struct owners_arena *arena, unsigned number,
                  struct owners_slot **slots)
{
    const struct obm_pool *pool = &owners->heap->arenas[arena->index].pools[number];
    struct owners_page *page = &arena->pages[number];
    uint64_t live[OBM_POOL_WORDS];
    if (pool->state == OBM_POOL_FREE) {
        return true;
    }
    if (!_PyObmalloc_LiveBlocks(pool, live)) {
        return false;
    }
    unsigned before = owners_describe_page(owners->heap, pool, page);
    page->slots = *slots;
    uintptr_t start = (uintptr_t)obm_pool_address(owners->heap, pool);
    if (before != 0 && (live[0] & 1)) {
        page->live_bytes = owners_bytes_on_page(owners, page, page->address - page->block_size,
                                                start);
    }
    for (unsigned i = 0; i < page->slot_count; i++) {
        bool is_live = live[(i + before) / 64] >> ((i + before) % 64) & 1;
        page->slots[i].owner = is_live ? OWNER_UNKNOWN : OWNER_NOT_LIVE;
        page->live += is_live;
        page->live_bytes += !is_live ? 0 : owners_bytes_on_page(
            owners, page, page->address + (uintptr_t)i * page->block_size, start);
    }
    *slots += page->slot_count;
    arena->used_pages++;
    arena->live_blocks += page->live;
    arena->live_bytes += (size_t)page->live * page->block_size;
    return true;
}

/* false, with an exception: a free list is damaged. */
static bool
owners_enter_blocks(struct owners *owners)
{
    const struct obm_heap *heap = owners->heap;
    struct owners_page *pages = owners->pages;
    struct owners_slot *slots = owners->slots;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        if (heap->arenas[i].address == 0) {
            continue;
        }
        struct owners_arena *arena = &owners->arenas[i];
        arena->index = i;
        arena->address = heap->arenas[i].first_page;
        arena->pages = pages;
        arena->page_count = heap->arenas[i].page_count;
        pages += arena->page_count;
        for (unsigned page = 0; page < arena->page_count; page++) {
            if (!owners_enter_page(owners, arena, page, &slots)) {
                PyErr_Format(PyExc_RuntimeError, "the free list of page %u of arena %u is "
                             "damaged: obmalloc.check() says how", page, (unsigned)i);
                return false;
            }
        }
    }
    return true;
}

/* The slot of the live block that address lies in; NULL: in none. */
static struct owners_slot *
owners_slot(const struct owners *owners, const void *address)
{
    const struct obm_pool *pool = _PyObmalloc_FindPool(address);
    if (pool == NULL) {
        return NULL;
    }
    const struct owners_arena *arena = &owners->arenas[obm_pool_arena(owners->heap, pool)];
    const struct owners_page *page = &arena->pages[obm_pool_page(owners->heap, pool)];
    while (owners_is_medium(pool) && page > arena->pages
           && (page->slot_count == 0 || (uintptr_t)address < page->address)) {
        pool--;                 /* the block begins on a page before */
        page--;
    }
    if (page->slot_count == 0) {
        return NULL;
    }
    size_t block = ((uintptr_t)address - page->address) / page->block_size;
    return block < page->slot_count && page->slots[block].owner != OWNER_NOT_LIVE
           ? &page->slots[block] : NULL;
}

/* From objects to blocks -------------------------------------------------------- */

static void
owners_enqueue(struct owners *owners, PyObject *object)
{
    struct owners_queue *queue = &owners->queue;
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity == 0 ? 1024 : 2 * queue->capacity;
        PyObject **items = PyMem_RawRealloc(queue->items, capacity * sizeof(*items));
        if (items == NULL) {
            owners->no_memory = true;
            return;
        }
        queue->items = items;
        queue->capacity = capacity;
    }
    queue->items[queue->count++] = object;
}

/* Whether an object outside the arenas is seen for the first time. */
static bool
owners_first_seen(struct owners *owners, PyObject *object)
{
    if (_Py_hashtable_get(owners->seen, object) != NULL) {
        return false;
    }
    if (_Py_hashtable_set(owners->seen, object, object) < 0) {
        owners->no_memory = true;
        return false;
    }
    return true;
}

/* Memory that owner has beside its object. */
static void
owners_mark_beside(struct owners *owners, PyObject *owner, const void *memory)
{
    struct owners_slot *slot = memory != NULL ? owners_slot(owners, memory) : NULL;
    if (slot != NULL && slot->owner == OWNER_UNKNOWN) {
        slot->owner = (uintptr_t)owner | OWNER_BESIDE;
    }
}

static void
owners_mark_memory_of_str(struct owners *owners, PyObject *text)
{
    if (!PyUnicode_IS_COMPACT_ASCII(text)) {
        owners_mark_beside(owners, text, ((PyCompactUnicodeObject *)text)->utf8);
        if (!PyUnicode_IS_COMPACT(text)) {
            owners_mark_beside(owners, text, ((PyUnicodeObject *)text)->data.any);
        }
    }
}

static void
owners_mark_memory_of(struct owners *owners, PyObject *object)
{
    if (PyList_Check(object)) {
        owners_mark_beside(owners, object, ((PyListObject *)object)->ob_item);
    }
    else if (PyDict_Check(object)) {
        owners_mark_beside(owners, object, ((PyDictObject *)object)->ma_keys);
        owners_mark_beside(owners, object, ((PyDictObject *)object)->ma_values);
    }
    else if (PyAnySet_Check(object)) {
        PySetObject *set = (PySetObject *)object;
        if (set->table != set->smalltable) {
            owners_mark_beside(owners, object, set->table);
        }
    }
    else if (PyByteArray_Check(object)) {
        owners_mark_beside(owners, object, ((PyByteArrayObject *)object)->ob_bytes);
    }
    else if (PyUnicode_Check(object)) {
        owners_mark_memory_of_str(owners, object);
    }
    else if (PyType_Check(object)
             && PyType_HasFeature((PyTypeObject *)object, Py_TPFLAGS_HEAPTYPE)) {
        owners_mark_beside(owners, object, ((PyHeapTypeObject *)object)->ht_cached_keys);
    }
}

/* Whether the object, which the collector does not track, is of a type that is
   known to be sound then and to refer to others. */
static bool
owners_refers_to_others(PyObject *object)
{
    return PyTuple_CheckExact(object) || PyDict_CheckExact(object) || PyCode_Check(object);
}

/* A strong reference: object lives.  A visitproc. */
static int
owners_visit(PyObject *object, void *data)
{
    struct owners *owners = data;
    if (object == NULL || Py_REFCNT(object) <= 0) {
        return 0;
    }
    struct owners_slot *slot = owners_slot(owners, object);
    bool first = slot != NULL && slot->owner != (uintptr_t)object;
    if (first) {
        slot->owner = (uintptr_t)object;
    }
    if (slot != NULL && (slot->holder == NULL || slot->holder == owners->lesser_holder)) {
        slot->holder = owners->holder;
    }
    if (PyObject_GC_IsTracked(object)) {
        return 0;       /* its turn comes, or came */
    }
    if (owners_refers_to_others(object)) {
        if (first || (slot == NULL && owners_first_seen(owners, object))) {
            owners_enqueue(owners, object);
        }
    }
    else if (first) {
        owners_mark_memory_of(owners, object);
    }
    return 0;
}

static void
owners_visit_code(struct owners *owners, PyCodeObject *code)
{
    PyObject *const fields[] = {
        code->co_consts, code->co_names, code->co_filename, code->co_name,
#if PY_VERSION_HEX >= 0x030b0000
        code->co_exceptiontable, code->co_localsplusnames, code->co_localspluskinds,
        code->co_qualname, code->co_linetable,
#else
        code->co_code, code->co_varnames, code->co_freevars, code->co_cellvars,
#endif
    };
    for (size_t i = 0; i < Py_ARRAY_LENGTH(fields); i++) {
        owners_visit(fields[i], owners);
    }
}

/* The attributes of an instance, where they lie in a dict. */
static void
owners_visit_attributes(struct owners *owners, PyObject *object)
{
#if PY_VERSION_HEX < 0x030b0000
    bool may_have_dict = PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HEAPTYPE)
                         && !PyType_Check(object);
    PyObject **dict = may_have_dict ? _PyObject_GetDictPtr(object) : NULL;
    if (dict != NULL && *dict != NULL && PyDict_CheckExact(*dict)) {
        owners->lesser_holder = &PyDict_Type;
        PyDict_Type.tp_traverse(*dict, owners_visit, owners);
        owners->lesser_holder = NULL;
    }
#else
    (void)owners;
    (void)object;
#endif
}

/* Follow the references of an object that is sound. */
static void
owners_follow(struct owners *owners, PyObject *object)
{
    owners_mark_memory_of(owners, object);
    owners->holder = Py_TYPE(object);
    if (PyCode_Check(object)) {
        owners_visit_code(owners, (PyCodeObject *)object);
    }
    else if (Py_TYPE(object)->tp_traverse != NULL) {
        Py_TYPE(object)->tp_traverse(object, owners_visit, owners);
    }
    owners_visit_attributes(owners, object);
    owners->holder = NULL;
}

/* An object that the collector tracks.  Returns whether to go on. */
static int
owners_visit_tracked(PyObject *object, void *data)
{
    struct owners *owners = data;
    if (Py_REFCNT(object) <= 0) {
        return 1;       /* it is being deallocated */
    }
    owners_visit(object, owners);
    owners_visit((PyObject *)Py_TYPE(object), owners);
    owners_follow(owners, object);
    while (owners->queue.count > 0) {
        owners_follow(owners, owners->queue.items[--owners->queue.count]);
    }
    return !owners->no_memory;
}

/* Find the owners of all blocks.  tracked: a list of what the collector tracks,
   for versions that cannot visit it otherwise. */
static void
owners_visit_all(struct owners *owners, PyObject *tracked)
{
#if PY_VERSION_HEX >= 0x030c0000
    (void)tracked;
    PyUnstable_GC_VisitObjects(owners_visit_tracked, owners);
#else
    Py_ssize_t count = PyList_GET_SIZE(tracked);
    for (Py_ssize_t i = 0; i < count && !owners->no_memory; i++) {
        owners_visit_tracked(PyList_GET_ITEM(tracked, i), owners);
    }
#endif
}

/* What they come to, by type ------------------------------------------------------ */

/* NULL: not known, or the block is not live. */
static PyObject *
owner_of_slot(const struct owners_slot *slot)
{
    return slot->owner == OWNER_UNKNOWN ? NULL : (PyObject *)(slot->owner & ~OWNER_BESIDE);
}

/* The row with the type, holder and beside of like, a new one if there is none; NULL: no
   memory.  Neighbours are often of one kind. */
static struct owners_row *
owners_row(struct owners *owners, const struct owners_row *like)
{
    if (owners->last_row != NULL && owners_is_same_row(owners->last_row, like)) {
        return owners->last_row;
    }
    struct owners_row *row = _Py_hashtable_get(owners->rows, like);
    if (row == NULL) {
        row = PyMem_RawMalloc(sizeof(*row));
        if (row == NULL) {
            return NULL;
        }
        *row = *like;
        if (_Py_hashtable_set(owners->rows, row, row) < 0) {
            PyMem_RawFree(row);
            return NULL;
        }
    }
    owners->last_row = row;
    return row;
}

static bool
owners_count_block(struct owners *owners, const struct owners_page *page,
                   const struct owners_slot *slot)
{
    PyObject *owner = owner_of_slot(slot);
    struct owners_row *row = owners_row(owners, &(struct owners_row){
        .type = owner != NULL ? Py_TYPE(owner) : NULL,
        .holder = slot->holder,
        .beside = (slot->owner & OWNER_BESIDE) != 0,
    });
    if (row == NULL) {
        return false;
    }
    row->blocks++;
    row->bytes += page->block_size;
    size_t page_size = owners->heap->geometry.page_size;
    uintptr_t block = page->address + (uintptr_t)(slot - page->slots) * page->block_size;
    uintptr_t end = block + page->block_size;
    for (uintptr_t start = block - block % page_size; start < end; start += page_size, page++) {
        double part = owners_bytes_on_page(owners, page, block, start);
        row->held += (double)page_size * part / page->live_bytes;
        if (row->last_page == NULL || row->last_page < page) {
            row->pages++;
            row->last_page = page;
        }
    }
    return true;
}

static bool
owners_count_types(struct owners *owners)
{
    for (size_t p = 0; p < owners->page_count; p++) {
        const struct owners_page *page = &owners->pages[p];
        for (unsigned i = 0; i < page->slot_count; i++) {
            if (page->slots[i].owner != OWNER_NOT_LIVE
                && !owners_count_block(owners, page, &page->slots[i])) {
                return false;
            }
        }
    }
    return true;
}

/* What is shown of single arenas ---------------------------------------------------- */

/* The cheapest first: those with the fewest live bytes to move away. */
static int
owners_compare_arenas(const void *left, const void *right)
{
    const struct owners_arena *a = left, *b = right;
    if (a->live_bytes != b->live_bytes) {
        return a->live_bytes < b->live_bytes ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

static int
owners_compare_pages(const void *left, const void *right)
{
    const struct owners_page *a = left, *b = right;
    size_t a_bytes = (size_t)a->live * a->block_size, b_bytes = (size_t)b->live * b->block_size;
    if (a_bytes != b_bytes) {
        return a_bytes < b_bytes ? -1 : 1;
    }
    return a->address < b->address ? -1 : a->address > b->address;
}

/* Sort arenas and their pages, and forget the pages beyond the limit: those
   have slot_count == 0 from here on. */
static void
owners_select(struct owners *owners, size_t limit)
{
    qsort(owners->arenas, owners->arena_count, sizeof(owners->arenas[0]), owners_compare_arenas);
    size_t shown = 0;
    for (size_t a = 0; a < owners->arena_count; a++) {
        struct owners_arena *arena = &owners->arenas[a];
        if (arena->used_pages == 0) {
            continue;
        }
        qsort(arena->pages, arena->page_count, sizeof(arena->pages[0]), owners_compare_pages);
        for (unsigned p = 0; p < arena->page_count; p++) {
            struct owners_page *page = &arena->pages[p];
            if (page->live == 0 || shown + page->live > limit) {
                page->slot_count = 0;
            }
            else {
                shown += page->live;
            }
        }
    }
}

typedef void (*owners_change)(PyObject *);      /* Py_IncRef() or Py_DecRef() */

static int
owners_change_row(_Py_hashtable_t *Py_UNUSED(rows), const void *Py_UNUSED(key),
                  const void *value, void *change)
{
    const struct owners_row *row = value;
    (*(owners_change *)change)((PyObject *)row->type);
    (*(owners_change *)change)((PyObject *)row->holder);
    return 0;
}

/* Change the reference counts of all types, and of the owners of blocks that are shown. */
static void
owners_change_all(struct owners *owners, owners_change change)
{
    for (size_t p = 0; p < owners->page_count; p++) {
        const struct owners_page *page = &owners->pages[p];
        for (unsigned i = 0; i < page->slot_count; i++) {
            change(owner_of_slot(&page->slots[i]));
        }
    }
    _Py_hashtable_foreach(owners->rows, owners_change_row, &change);
}

/* For Python ------------------------------------------------------------------------- */

/* Append item, a new reference or NULL, to the list. */
static bool
owners_append(PyObject *list, PyObject *item)
{
    bool done = item != NULL && PyList_Append(list, item) == 0;
    Py_XDECREF(item);
    return done;
}

static PyObject *
object_or_none(void *object)
{
    return object != NULL ? object : Py_None;
}

static PyObject *
owners_list_blocks(const struct owners_page *page)
{
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < page->slot_count; i++) {
        const struct owners_slot *slot = &page->slots[i];
        if (slot->owner != OWNER_NOT_LIVE
            && !owners_append(list, Py_BuildValue(
                   "(KOOO)", (unsigned long long)(page->address + (uintptr_t)i * page->block_size),
                   object_or_none(owner_of_slot(slot)),
                   slot->owner & OWNER_BESIDE ? Py_True : Py_False,
                   object_or_none(slot->holder)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owners_list_pages(const struct owners *owners, const struct owners_arena *arena)
{
    PyObject *list = PyList_New(0);
    for (unsigned p = 0; list != NULL && p < arena->page_count; p++) {
        const struct owners_page *page = &arena->pages[p];
        if (page->slot_count != 0
            && !owners_append(list, Py_BuildValue(
                   "(kIIN)",
                   (unsigned long)((page->address - arena->address)
                                   / owners->heap->geometry.page_size),
                   page->block_size, page->live, owners_list_blocks(page)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owners_list_arenas(const struct owners *owners)
{
    PyObject *list = PyList_New(0);
    for (size_t a = 0; list != NULL && a < owners->arena_count; a++) {
        const struct owners_arena *arena = &owners->arenas[a];
        if (arena->used_pages != 0
            && !owners_append(list, Py_BuildValue(
                   "(kKIInnN)", (unsigned long)arena->index, (unsigned long long)arena->address,
                   arena->page_count, arena->used_pages, (Py_ssize_t)arena->live_blocks,
                   (Py_ssize_t)arena->live_bytes, owners_list_pages(owners, arena)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static int
owners_append_row(_Py_hashtable_t *Py_UNUSED(rows), const void *Py_UNUSED(key),
                  const void *value, void *list)
{
    const struct owners_row *row = value;
    return !owners_append(list, Py_BuildValue(
        "(OOOnnnd)", object_or_none(row->type), row->beside ? Py_True : Py_False,
        object_or_none(row->holder), (Py_ssize_t)row->blocks, (Py_ssize_t)row->bytes,
        (Py_ssize_t)row->pages, row->held));
}

static PyObject *
owners_list_types(const struct owners *owners)
{
    PyObject *list = PyList_New(0);
    if (list != NULL && _Py_hashtable_foreach(owners->rows, owners_append_row, list) != 0) {
        Py_CLEAR(list);
    }
    return list;
}

/* false, with an exception: no memory, or a damaged heap. */
static bool
owners_find(struct owners *owners, PyObject *tracked)
{
    if (!owners_reserve(owners)) {
        PyErr_NoMemory();
        return false;
    }
    if (!owners_enter_blocks(owners)) {
        return false;
    }
    owners_visit_all(owners, tracked);
    if (owners->no_memory || !owners_count_types(owners)) {
        PyErr_NoMemory();
        return false;
    }
    return true;
}

/* What the collector tracks, where that cannot be visited; else None. */
static PyObject *
owners_tracked(void)
{
#if PY_VERSION_HEX >= 0x030c0000
    return Py_NewRef(Py_None);
#else
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *tracked = gc != NULL ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
    Py_XDECREF(gc);
    return tracked;
#endif
}

PyObject *
_PyObmalloc_Owners(Py_ssize_t limit)
{
    PyObject *tracked = owners_tracked();
    if (tracked == NULL) {
        return NULL;
    }
    struct owners owners = {.heap = _PyObmalloc_Heap()};
    PyObject *result = NULL;
    if (owners_find(&owners, tracked)) {
        owners_select(&owners, limit > 0 ? (size_t)limit : 0);
        owners_change_all(&owners, Py_IncRef);
        PyObject *types = owners_list_types(&owners);
        PyObject *arenas = types != NULL ? owners_list_arenas(&owners) : NULL;
        result = arenas != NULL ? PyTuple_Pack(2, types, arenas) : NULL;
        Py_XDECREF(types);
        Py_XDECREF(arenas);
        owners_change_all(&owners, Py_DecRef);
    }
    owners_free(&owners);
    Py_DECREF(tracked);
    return result;
}

#endif  /* WITH_OBMALLOC_ARENAS */

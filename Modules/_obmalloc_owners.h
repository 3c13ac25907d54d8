/* Whose is each live block?  The part of _obmalloc behind obmalloc.pins().

   A block does not say what it holds, and nobody may guess: a number that
   looks like the address of a type proves nothing.  So the way is not from
   blocks to objects but from objects to blocks.  What is known to be an object:

   - what the collector tracks: it holds a list of them;
   - what those refer to, by their own tp_traverse, as gc.get_referents() finds
     it.  A strong reference is to a living object;
   - what tuples and dicts that the collector has stopped tracking refer to,
     in the same way; and the fields of code objects, which have no tp_traverse;
   - and the memory that lists, dicts, sets, bytearrays, strings and types of
     the program own beside their objects, by the fields of their structs.

   Of each object the type of one other that refers to it is remembered too, its
   holder: "str in list" says more than "str".  What the dict of an instance of
   the program's own classes refers to is the instance's: since 3.11 most have no
   dict any more, and "str in dict" would say nothing.

   Everything else stays unknown: objects that only C variables or the locals
   of C functions refer to, the free lists of the basic types, and whatever
   else is allocated with PyMem_Malloc().

   Nothing is allocated from the arenas meanwhile, and no Python code runs
   until the owners that are to be shown are held by references, so that what
   is found stays true. */

#ifndef OBMALLOC_OWNERS_H
#define OBMALLOC_OWNERS_H

/* What stands in the slot of a block: who its owner is, with a bit for memory
   that the owner has beside its object.  Objects are aligned, so their lowest
   bits are free. */
#define OWNER_NOT_LIVE ((uintptr_t)0)
#define OWNER_UNKNOWN ((uintptr_t)2)
#define OWNER_BESIDE ((uintptr_t)1)

/* A page.  Nothing here points to its descriptor, which may change once
   Python code runs. */
struct owners_page {
    uintptr_t address;
    uintptr_t *slots;           /* one for each of the blocks that were handed out */
    uint32_t *holders;          /* likewise: index of the type of the holder, or 0 */
    unsigned slot_count;        /* 0: the page is free, or not shown */
    unsigned block_size;        /* bytes */
    unsigned live;
};

struct owners_arena {
    uintptr_t address;          /* of its first page */
    obm_arena_index index;
    struct owners_page *pages;  /* page_count of them */
    unsigned page_count;
    unsigned used_pages;
    size_t live_blocks, live_bytes;
};

/* Objects to be visited, and those outside the arenas that were. */
struct owners_queue {
    PyObject **items;
    size_t count, capacity;
};

struct owners_seen {
    uintptr_t *places;          /* open addressing; 0: empty */
    size_t count, capacity;     /* capacity is 0 or a power of two */
};

/* The types of holders, numbered from 1. */
struct owners_holders {
    PyTypeObject **types;       /* [0] unused */
    uint32_t *places;           /* open addressing: numbers; 0: empty */
    uint32_t count;             /* with the unused one */
    uint32_t capacity;          /* of types; places has twice as many */
};

/* What all blocks of one kind have in common. */
struct owners_type {
    PyTypeObject *type;         /* NULL: unknown */
    uint32_t holder;
    bool beside;
    size_t blocks, bytes, pages;
    double held;                /* bytes: of each page, its share of the live blocks */
    const struct owners_page *last_page;
};

struct owners {
    const struct obm_heap *heap;
    struct owners_arena *arenas;        /* arena_count, by index */
    size_t arena_count;
    size_t *arena_places;               /* by arena index: place in arenas, plus 1 */
    struct owners_page *pages;          /* of all arenas */
    uintptr_t *slots;                   /* of all pages */
    uint32_t *holders;                  /* likewise */
    struct owners_holders holder_types;
    uint32_t holder;                    /* number of the type that is visited */
    uint32_t lesser_holder;             /* of one whose place it takes; 0: of none */
    struct owners_queue queue;
    struct owners_seen seen;
    struct owners_type *types;          /* open addressing, by what all blocks of a row share */
    size_t type_count, type_capacity;
    bool no_memory;
};

static uintptr_t
owners_hash(uintptr_t key)
{
    return (uintptr_t)(((uint64_t)key * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

static void
owners_free(struct owners *owners)
{
    PyMem_RawFree(owners->arenas);
    PyMem_RawFree(owners->arena_places);
    PyMem_RawFree(owners->pages);
    PyMem_RawFree(owners->slots);
    PyMem_RawFree(owners->holders);
    PyMem_RawFree(owners->holder_types.types);
    PyMem_RawFree(owners->holder_types.places);
    PyMem_RawFree(owners->queue.items);
    PyMem_RawFree(owners->seen.places);
    PyMem_RawFree(owners->types);
}

/* The live blocks ------------------------------------------------------------ */

static bool
owners_mapped(const struct owners *owners, obm_arena_index i)
{
    return owners->heap->arenas[i].address != 0;
}

/* Memory for everything whose size follows from the descriptors. */
static bool
owners_reserve(struct owners *owners)
{
    const struct obm_heap *heap = owners->heap;
    size_t pages = 0, blocks = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        for (unsigned page = 0; owners_mapped(owners, i) && page < arena->page_count; page++) {
            pages++;
            blocks += arena->pools[page].state != OBM_POOL_FREE ? arena->pools[page].carved : 0;
        }
    }
    owners->arenas = PyMem_RawCalloc(heap->arena_count + 1, sizeof(*owners->arenas));
    owners->arena_places = PyMem_RawCalloc(heap->arenas_ever, sizeof(*owners->arena_places));
    owners->pages = PyMem_RawCalloc(pages + 1, sizeof(*owners->pages));
    owners->slots = PyMem_RawCalloc(blocks + 1, sizeof(*owners->slots));
    owners->holders = PyMem_RawCalloc(blocks + 1, sizeof(*owners->holders));
    return owners->arenas != NULL && owners->arena_places != NULL && owners->pages != NULL
           && owners->slots != NULL && owners->holders != NULL;
}

/* Fill in the slots of a page.  false: its free list is damaged. */
static bool
owners_enter_page(struct owners *owners, struct owners_arena *arena, unsigned number,
                  uintptr_t **slots)
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
    page->slot_count = pool->carved;
    page->address = (uintptr_t)obm_pool_address(owners->heap, pool);
    page->block_size = (unsigned)obm_class_size(owners->heap, pool->size_class);
    page->slots = *slots;
    page->holders = owners->holders + (*slots - owners->slots);
    for (unsigned i = 0; i < pool->carved; i++) {
        bool is_live = live[i / 64] >> (i % 64) & 1;
        page->slots[i] = is_live ? OWNER_UNKNOWN : OWNER_NOT_LIVE;
        page->live += is_live;
    }
    *slots += pool->carved;
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
    uintptr_t *slots = owners->slots;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        if (!owners_mapped(owners, i)) {
            continue;
        }
        struct owners_arena *arena = &owners->arenas[owners->arena_count++];
        owners->arena_places[i] = owners->arena_count;
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
static uintptr_t *
owners_slot(const struct owners *owners, const void *address)
{
    const struct obm_pool *pool = _PyObmalloc_FindPool(address);
    if (pool == NULL) {
        return NULL;
    }
    const struct owners_arena *arena =
        &owners->arenas[owners->arena_places[obm_pool_arena(owners->heap, pool)] - 1];
    const struct owners_page *page = &arena->pages[obm_pool_page(owners->heap, pool)];
    if (page->slot_count == 0) {
        return NULL;
    }
    size_t block = ((uintptr_t)address - page->address) / page->block_size;
    return block < page->slot_count && page->slots[block] != OWNER_NOT_LIVE
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

/* The place of key, or the empty one where it belongs. */
static uintptr_t *
owners_seen_place(const struct owners_seen *seen, uintptr_t key)
{
    size_t place = owners_hash(key) & (seen->capacity - 1);
    while (seen->places[place] != 0 && seen->places[place] != key) {
        place = (place + 1) & (seen->capacity - 1);
    }
    return &seen->places[place];
}

static bool
owners_seen_grow(struct owners_seen *seen)
{
    struct owners_seen grown = {NULL, seen->count, seen->capacity == 0 ? 1024 : 2 * seen->capacity};
    grown.places = PyMem_RawCalloc(grown.capacity, sizeof(*grown.places));
    if (grown.places == NULL) {
        return false;
    }
    for (size_t i = 0; i < seen->capacity; i++) {
        if (seen->places[i] != 0) {
            *owners_seen_place(&grown, seen->places[i]) = seen->places[i];
        }
    }
    PyMem_RawFree(seen->places);
    *seen = grown;
    return true;
}

/* Whether an object outside the arenas is seen for the first time. */
static bool
owners_first_seen(struct owners *owners, PyObject *object)
{
    struct owners_seen *seen = &owners->seen;
    if (2 * (seen->count + 1) > seen->capacity && !owners_seen_grow(seen)) {
        owners->no_memory = true;
        return false;
    }
    uintptr_t *place = owners_seen_place(seen, (uintptr_t)object);
    if (*place != 0) {
        return false;
    }
    *place = (uintptr_t)object;
    seen->count++;
    return true;
}

/* The place of the number of type, or the empty one where it belongs. */
static uint32_t *
owners_holder_place(const struct owners_holders *holders, PyTypeObject *type)
{
    size_t mask = 2 * (size_t)holders->capacity - 1;
    size_t place = owners_hash((uintptr_t)type) & mask;
    while (holders->places[place] != 0 && holders->types[holders->places[place]] != type) {
        place = (place + 1) & mask;
    }
    return &holders->places[place];
}

static bool
owners_holders_grow(struct owners_holders *holders)
{
    struct owners_holders grown = *holders;
    grown.capacity = holders->capacity == 0 ? 256 : 2 * holders->capacity;
    grown.count = holders->capacity == 0 ? 1 : holders->count;
    grown.types = PyMem_RawRealloc(holders->types, grown.capacity * sizeof(*grown.types));
    if (grown.types == NULL) {
        return false;
    }
    holders->types = grown.types;
    grown.places = PyMem_RawCalloc(2 * (size_t)grown.capacity, sizeof(*grown.places));
    if (grown.places == NULL) {
        return false;
    }
    for (uint32_t number = 1; number < grown.count; number++) {
        *owners_holder_place(&grown, grown.types[number]) = number;
    }
    PyMem_RawFree(holders->places);
    *holders = grown;
    return true;
}

/* The number of a type of holders; 0: no memory. */
static uint32_t
owners_holder_number(struct owners *owners, PyTypeObject *type)
{
    struct owners_holders *holders = &owners->holder_types;
    if (holders->count == holders->capacity && !owners_holders_grow(holders)) {
        owners->no_memory = true;
        return 0;
    }
    uint32_t *place = owners_holder_place(holders, type);
    if (*place == 0) {
        *place = holders->count++;
        holders->types[*place] = type;
    }
    return *place;
}

/* Memory that owner has beside its object. */
static void
owners_mark_beside(struct owners *owners, PyObject *owner, const void *memory)
{
    uintptr_t *slot = memory != NULL ? owners_slot(owners, memory) : NULL;
    if (slot != NULL && *slot == OWNER_UNKNOWN) {
        *slot = (uintptr_t)owner | OWNER_BESIDE;
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
    else if (PyType_Check(object) && PyType_HasFeature((PyTypeObject *)object, Py_TPFLAGS_HEAPTYPE)) {
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
    uintptr_t *slot = owners_slot(owners, object);
    bool first = slot != NULL && *slot != (uintptr_t)object;
    if (first) {
        *slot = (uintptr_t)object;
    }
    if (slot != NULL) {
        uint32_t *holder = &owners->holders[slot - owners->slots];
        if (*holder == 0 || *holder == owners->lesser_holder) {
            *holder = owners->holder;
        }
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
    PyObject **dict = PyType_HasFeature(Py_TYPE(object), Py_TPFLAGS_HEAPTYPE) && !PyType_Check(object)
                      ? _PyObject_GetDictPtr(object) : NULL;
    if (dict != NULL && *dict != NULL && PyDict_CheckExact(*dict)) {
        owners->lesser_holder = owners_holder_number(owners, &PyDict_Type);
        PyDict_Type.tp_traverse(*dict, owners_visit, owners);
        owners->lesser_holder = 0;
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
    owners->holder = owners_holder_number(owners, Py_TYPE(object));
    if (PyCode_Check(object)) {
        owners_visit_code(owners, (PyCodeObject *)object);
    }
    else if (Py_TYPE(object)->tp_traverse != NULL) {
        Py_TYPE(object)->tp_traverse(object, owners_visit, owners);
    }
    owners_visit_attributes(owners, object);
    owners->holder = 0;
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

/* The row with the type, holder and beside of like, or the empty one where it
   belongs. */
static struct owners_type *
owners_type_place(struct owners_type *types, size_t capacity, const struct owners_type *like)
{
    size_t mask = capacity - 1;
    size_t place = owners_hash((uintptr_t)like->type + 2 * like->holder + like->beside) & mask;
    while (types[place].blocks != 0
           && (types[place].type != like->type || types[place].holder != like->holder
               || types[place].beside != like->beside)) {
        place = (place + 1) & mask;
    }
    return &types[place];
}

static bool
owners_types_grow(struct owners *owners)
{
    size_t capacity = owners->type_capacity == 0 ? 256 : 2 * owners->type_capacity;
    struct owners_type *types = PyMem_RawCalloc(capacity, sizeof(*types));
    if (types == NULL) {
        return false;
    }
    for (size_t i = 0; i < owners->type_capacity; i++) {
        const struct owners_type *old = &owners->types[i];
        if (old->blocks != 0) {
            *owners_type_place(types, capacity, old) = *old;
        }
    }
    PyMem_RawFree(owners->types);
    owners->types = types;
    owners->type_capacity = capacity;
    return true;
}

static PyObject *
owner_of_slot(uintptr_t slot)
{
    return slot == OWNER_UNKNOWN ? NULL : (PyObject *)(slot & ~OWNER_BESIDE);
}

static bool
owners_count_block(struct owners *owners, const struct owners_page *page, unsigned i)
{
    if (2 * (owners->type_count + 1) > owners->type_capacity && !owners_types_grow(owners)) {
        return false;
    }
    PyObject *owner = owner_of_slot(page->slots[i]);
    struct owners_type like = {.type = owner != NULL ? Py_TYPE(owner) : NULL,
                               .holder = page->holders[i],
                               .beside = (page->slots[i] & OWNER_BESIDE) != 0};
    struct owners_type *row = owners_type_place(owners->types, owners->type_capacity, &like);
    if (row->blocks == 0) {
        *row = like;
        owners->type_count++;
    }
    row->blocks++;
    row->bytes += page->block_size;
    row->held += (double)owners->heap->geometry.page_size / page->live;
    row->pages += row->last_page != page;
    row->last_page = page;
    return true;
}

static bool
owners_count_types(struct owners *owners)
{
    for (size_t a = 0; a < owners->arena_count; a++) {
        const struct owners_arena *arena = &owners->arenas[a];
        for (unsigned p = 0; p < arena->page_count; p++) {
            const struct owners_page *page = &arena->pages[p];
            for (unsigned i = 0; i < page->slot_count; i++) {
                if (page->slots[i] != OWNER_NOT_LIVE
                    && !owners_count_block(owners, page, i)) {
                    return false;
                }
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
   have slot_count == 0 from here on.  Owners of
   blocks that are shown, and all types, are held from here on. */
static void
owners_select(struct owners *owners, size_t limit)
{
    qsort(owners->arenas, owners->arena_count, sizeof(owners->arenas[0]), owners_compare_arenas);
    size_t shown = 0;
    for (size_t a = 0; a < owners->arena_count; a++) {
        struct owners_arena *arena = &owners->arenas[a];
        qsort(arena->pages, arena->page_count, sizeof(arena->pages[0]), owners_compare_pages);
        for (unsigned p = 0; p < arena->page_count; p++) {
            struct owners_page *page = &arena->pages[p];
            if (page->live == 0 || shown + page->live > limit) {
                page->slot_count = 0;
                continue;
            }
            shown += page->live;
            for (unsigned i = 0; i < page->slot_count; i++) {
                Py_XINCREF(page->slots[i] != OWNER_NOT_LIVE ? owner_of_slot(page->slots[i]) : NULL);
            }
        }
    }
    for (size_t i = 0; i < owners->type_capacity; i++) {
        Py_XINCREF(owners->types[i].type);
    }
    for (uint32_t number = 1; number < owners->holder_types.count; number++) {
        Py_INCREF(owners->holder_types.types[number]);
    }
}

static void
owners_let_go(struct owners *owners)
{
    for (size_t a = 0; a < owners->arena_count; a++) {
        struct owners_arena *arena = &owners->arenas[a];
        for (unsigned p = 0; p < arena->page_count; p++) {
            struct owners_page *page = &arena->pages[p];
            for (unsigned i = 0; i < page->slot_count; i++) {
                Py_XDECREF(page->slots[i] != OWNER_NOT_LIVE ? owner_of_slot(page->slots[i]) : NULL);
            }
        }
    }
    for (size_t i = 0; i < owners->type_capacity; i++) {
        Py_XDECREF(owners->types[i].type);
    }
    for (uint32_t number = 1; number < owners->holder_types.count; number++) {
        Py_DECREF(owners->holder_types.types[number]);
    }
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
owner_or_none(uintptr_t slot)
{
    PyObject *owner = owner_of_slot(slot);
    return owner != NULL ? owner : Py_None;
}

static PyObject *
holder_or_none(const struct owners *owners, uint32_t number)
{
    return number != 0 ? (PyObject *)owners->holder_types.types[number] : Py_None;
}

static PyObject *
owners_list_blocks(const struct owners *owners, const struct owners_page *page)
{
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < page->slot_count; i++) {
        uintptr_t slot = page->slots[i];
        if (slot != OWNER_NOT_LIVE
            && !owners_append(list, Py_BuildValue(
                   "(KOOO)", (unsigned long long)(page->address + (uintptr_t)i * page->block_size),
                   owner_or_none(slot), slot & OWNER_BESIDE ? Py_True : Py_False,
                   holder_or_none(owners, page->holders[i])))) {
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
                   (unsigned long)((page->address - arena->address) / owners->heap->geometry.page_size),
                   page->block_size, page->live, owners_list_blocks(owners, page)))) {
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

static PyObject *
owners_list_types(const struct owners *owners)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < owners->type_capacity; i++) {
        const struct owners_type *row = &owners->types[i];
        if (row->blocks != 0
            && !owners_append(list, Py_BuildValue(
                   "(OOOnnnd)", row->type != NULL ? (PyObject *)row->type : Py_None,
                   row->beside ? Py_True : Py_False, holder_or_none(owners, row->holder),
                   (Py_ssize_t)row->blocks,
                   (Py_ssize_t)row->bytes, (Py_ssize_t)row->pages, row->held))) {
            Py_CLEAR(list);
        }
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

PyDoc_STRVAR(owners_doc,
"owners(limit, /) -> (types, arenas)\n"
"\n"
"Whose the live blocks of this interpreter are.\n"
"\n"
"types: a list of (type, beside, holder, blocks, bytes, pages, held) for all of\n"
"them.  type is None where it is not known; beside says that the blocks are\n"
"memory which objects of that type have beside themselves; holder is the type\n"
"of an object that refers to them, or None; pages is the number of pages with\n"
"such a block; held (float, bytes) is their share of these pages, each divided\n"
"evenly among its live blocks.\n"
"\n"
"arenas: a list of (number, address, pages, used pages, live blocks, live bytes,\n"
"shown), those with the fewest live bytes first.  shown is a list of (page\n"
"number, block size, live blocks, blocks), the emptiest first, and blocks one\n"
"of (address, owner or None, beside, holder).  In all, no more than limit blocks are\n"
"shown, and only pages that are shown whole.\n"
"\n"
"Takes twelve bytes of the system's memory for each block meanwhile.  Raises\n"
"MemoryError, and RuntimeError if a free list is damaged.");

static PyObject *
obmalloc_owners(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t limit;
    if (!PyArg_ParseTuple(args, "n:owners", &limit)) {
        return NULL;
    }
    PyObject *tracked = owners_tracked();
    if (tracked == NULL) {
        return NULL;
    }
    struct owners owners = {.heap = _PyObmalloc_Heap()};
    PyObject *result = NULL;
    if (owners_find(&owners, tracked)) {
        owners_select(&owners, limit > 0 ? (size_t)limit : 0);
        PyObject *types = owners_list_types(&owners);
        PyObject *arenas = types != NULL ? owners_list_arenas(&owners) : NULL;
        result = arenas != NULL ? PyTuple_Pack(2, types, arenas) : NULL;
        Py_XDECREF(types);
        Py_XDECREF(arenas);
        owners_let_go(&owners);
    }
    owners_free(&owners);
    Py_DECREF(tracked);
    return result;
}

#endif /* OBMALLOC_OWNERS_H */

/* _obmalloc.owned(): to what each live block belongs, and what copies of the values of
   containers would give back.  A part of _obmalloc.c.

   Copies.  A *container* is a list, dict, set or deque that dominates at least
   OWNED_FEW_VALUES of what it refers to, the keys of a dict not counted, and that lies
   in no other one.  What it dominates goes when its values are replaced by copies, but
   for its keys and what only they refer to.  A page of which all live blocks go is
   given back, unless the copies come to lie there. */

#define OWNED_FEW_VALUES 16

/* What all blocks of one kind have in common. */
struct owned_row {
    PyTypeObject *type;         /* NULL: unknown */
    PyTypeObject *holder;       /* of an object that refers to it; NULL: unknown */
    bool beside;
    size_t blocks, bytes, pages;
    double held;                /* bytes: of each page, its share of the live bytes */
    const struct graph_page *last_page;
};

/* Of one size class, what goes: with and without the keys. */
struct owned_class {
    size_t blocks, blocks_with_keys;
    size_t full_pages, full_pages_with_keys;    /* of which all blocks go */
    size_t pages, pages_with_keys;              /* of which all live blocks go, and some are free */
};

/* What all containers of one type have in common of which most values are of one type. */
struct owned_copies {
    PyTypeObject *type, *holder;
    size_t containers, values;
    PyObject *container;        /* the one with most values */
    size_t most_values;
    bool others;                /* some values are of other types */
    struct owned_class classes[OBM_SIZE_CLASSES];
};

struct owned {
    struct graph graph;
    PyObject *container_types;  /* a tuple of those that are neither lists, dicts nor sets */
    struct owned_row *rows;     /* open addressing, by what all blocks of a row share */
    size_t row_count, row_capacity;
    struct owned_copies *copies;
    size_t copies_count, copies_capacity;
    graph_number *goes;         /* by node: the number in copies with which it goes, plus 1 */
    graph_number *values;       /* likewise, of a container: with which its values go */
};

static void
owned_free(struct owned *owned)
{
    PyMem_RawFree(owned->rows);
    PyMem_RawFree(owned->copies);
    PyMem_RawFree(owned->goes);
    PyMem_RawFree(owned->values);
    graph_free(&owned->graph);
}

/* By type ------------------------------------------------------------------------------ */

/* The row with the type, holder and beside of like, or the empty one where it
   belongs. */
static struct owned_row *
owned_row_place(struct owned_row *rows, size_t capacity, const struct owned_row *like)
{
    const char *key = (const char *)like->type + 3 * (uintptr_t)like->holder + like->beside;
    size_t place = graph_hash(key, capacity);
    while (rows[place].pages != 0
           && (rows[place].type != like->type || rows[place].holder != like->holder
               || rows[place].beside != like->beside)) {
        place = (place + 1) & (capacity - 1);
    }
    return &rows[place];
}

static bool
owned_rows_grow(struct owned *owned)
{
    size_t capacity = owned->row_capacity == 0 ? 256 : 2 * owned->row_capacity;
    struct owned_row *rows = PyMem_RawCalloc(capacity, sizeof(*rows));
    if (rows == NULL) {
        return false;
    }
    for (size_t i = 0; i < owned->row_capacity; i++) {
        if (owned->rows[i].pages != 0) {
            *owned_row_place(rows, capacity, &owned->rows[i]) = owned->rows[i];
        }
    }
    PyMem_RawFree(owned->rows);
    owned->rows = rows;
    owned->row_capacity = capacity;
    return true;
}

/* What a slot says: a row with no counts. */
static struct owned_row
owned_kind(const struct graph *graph, graph_number slot)
{
    if (slot == GRAPH_UNKNOWN) {
        return (struct owned_row){0};
    }
    return (struct owned_row){.type = Py_TYPE(graph->nodes[slot].object),
                              .holder = graph->nodes[slot].holder,
                              .beside = graph->nodes[slot].beside};
}

static bool
owned_count_block(struct owned *owned, const struct graph_page *page, unsigned block)
{
    graph_number slot = owned->graph.slots[page->first_slot + block];
    bool starts = graph_starts_on(page, block);
    if (2 * (owned->row_count + 1) > owned->row_capacity && !owned_rows_grow(owned)) {
        return false;
    }
    struct owned_row like = owned_kind(&owned->graph, slot);
    struct owned_row *row = owned_row_place(owned->rows, owned->row_capacity, &like);
    if (row->pages == 0) {
        *row = like;
        owned->row_count++;
    }
    row->blocks += starts;
    row->bytes += starts ? page->block_size : 0;
    row->held += (double)owned->graph.heap->geometry.page_size
                 * graph_bytes_on(&owned->graph, page, block) / page->live_bytes;
    row->pages += row->last_page != page;
    row->last_page = page;
    return true;
}

static bool
owned_count_rows(struct owned *owned)
{
    const struct graph *graph = &owned->graph;
    for (size_t a = 0; a < graph->arena_count; a++) {
        for (unsigned p = 0; p < graph->arenas[a].used_pages; p++) {
            const struct graph_page *page = &graph->arenas[a].pages[p];
            for (unsigned i = 0; i < page->slot_count; i++) {
                if (graph->slots[page->first_slot + i] != GRAPH_NOT_LIVE
                    && !owned_count_block(owned, page, i)) {
                    return false;
                }
            }
        }
    }
    return true;
}

/* What copies would give back ------------------------------------------------------------ */

static bool
owned_is_container(const struct owned *owned, const struct graph_node *node)
{
    const unsigned long flags = Py_TPFLAGS_LIST_SUBCLASS | Py_TPFLAGS_DICT_SUBCLASS;
    if (node->beside || node->attributes) {
        return false;
    }
    bool is = objects_has_flag(node->object, flags)
              || PyType_IsSubtype(Py_TYPE(node->object), &PySet_Type);
    Py_ssize_t count = PyTuple_Size(owned->container_types);
    for (Py_ssize_t i = 0; i < count && !is; i++) {
        PyObject *type = PyTuple_GetItem(owned->container_types, i);
        is = PyType_IsSubtype(Py_TYPE(node->object), (PyTypeObject *)type);
    }
    return is;
}

/* Note the keys of a dict that nothing else refers to. */
static void
owned_note_keys(struct graph *graph, graph_number dict)
{
    PyObject *object = graph->nodes[dict].object, *key;
    Py_ssize_t position = 0;
    while (objects_is_dict(object) && PyDict_Next(object, &position, &key, NULL)) {
        graph_number number = graph_node_of(graph, key);
        if (number != 0 && graph->dominators[number] == dict) {
            graph->nodes[number].key = true;
        }
    }
}

/* What a container dominates of its values.  The type is the one that most are of, if
   more than half are of one. */
struct owned_values {
    PyTypeObject *type;
    size_t count, of_type;
};

static struct owned_values
owned_count_values(const struct graph *graph, graph_number container)
{
    struct owned_values values = {0};
    size_t votes = 0, end = graph_edges_end(graph, container);
    for (int round = 0; round < 2; round++) {
        for (size_t i = graph->nodes[container].first_edge; i < end; i++) {
            const struct graph_node *node = &graph->nodes[graph->edges[i]];
            if (graph->dominators[graph->edges[i]] != container || node->beside || node->key) {
                continue;
            }
            PyTypeObject *type = Py_TYPE(node->object);
            if (round == 1) {
                values.count++;
                values.of_type += type == values.type;
            }
            else if (votes == 0) {
                values.type = type;
                votes = 1;
            }
            else {
                votes = type == values.type ? votes + 1 : votes - 1;
            }
        }
    }
    return values;
}

/* The row of copies for these types, made if there is none.  NULL: no memory. */
static struct owned_copies *
owned_copies_row(struct owned *owned, PyTypeObject *type, PyTypeObject *holder)
{
    for (size_t i = 0; i < owned->copies_count; i++) {
        if (owned->copies[i].type == type && owned->copies[i].holder == holder) {
            return &owned->copies[i];
        }
    }
    if (owned->copies_count == owned->copies_capacity) {
        size_t capacity = owned->copies_capacity == 0 ? 16 : 2 * owned->copies_capacity;
        void *grown = PyMem_RawRealloc(owned->copies, capacity * sizeof(*owned->copies));
        if (grown == NULL) {
            owned->graph.no_memory = true;
            return NULL;
        }
        owned->copies = grown;
        owned->copies_capacity = capacity;
    }
    struct owned_copies *row = &owned->copies[owned->copies_count++];
    *row = (struct owned_copies){.type = type, .holder = holder};
    return row;
}

/* Enter a container whose values go together, if it has enough of them. */
static void
owned_enter_container(struct owned *owned, graph_number number)
{
    struct graph *graph = &owned->graph;
    PyObject *container = graph->nodes[number].object;
    owned_note_keys(graph, number);
    struct owned_values values = owned_count_values(graph, number);
    struct owned_copies *row = values.count < OWNED_FEW_VALUES ? NULL
                               : owned_copies_row(owned, values.type, Py_TYPE(container));
    if (row == NULL) {
        return;
    }
    row->containers++;
    row->values += values.count;
    row->others |= values.of_type != values.count;
    if (values.count > row->most_values) {
        row->most_values = values.count;
        row->container = container;
    }
    owned->values[number] = (graph_number)(row - owned->copies) + 1;
}

/* Find with what each node goes. */
static void
owned_find_copies(struct owned *owned)
{
    struct graph *graph = &owned->graph;
    for (size_t i = 0; i + 1 < graph->node_count && !graph->no_memory; i++) {
        graph_number number = graph->order[i], above = graph->dominators[number];
        struct graph_node *node = &graph->nodes[number];
        bool own_memory = node->beside && node->object == graph->nodes[above].object;
        if (owned->goes[above] != 0) {
            owned->goes[number] = owned->goes[above];
            node->key = graph->nodes[above].key;
        }
        else if (!own_memory) {     /* of a container, which stays */
            owned->goes[number] = owned->values[above];
        }
        if (owned->goes[number] == 0 && owned_is_container(owned, node)) {
            owned_enter_container(owned, number);
        }
    }
}

/* Count a page of which all live blocks go with one row of copies. */
static void
owned_count_page(struct owned_class *counts, const struct graph_page *page, bool keys)
{
    if (page->full) {
        counts->full_pages += !keys;
        counts->full_pages_with_keys++;
    }
    else {
        counts->pages += !keys;
        counts->pages_with_keys++;
    }
}

static void
owned_count_copies_on(struct owned *owned, const struct graph_page *page)
{
    const struct graph *graph = &owned->graph;
    graph_number common = 0;
    bool keys = false, alone = true;
    for (unsigned i = 0; i < page->slot_count; i++) {
        graph_number slot = graph->slots[page->first_slot + i];
        if (slot == GRAPH_NOT_LIVE) {
            continue;
        }
        graph_number goes = slot != GRAPH_UNKNOWN ? owned->goes[slot] : 0;
        alone = alone && goes != 0 && (common == 0 || common == goes);
        common = goes;
        if (goes != 0) {
            bool starts = graph_starts_on(page, i);
            struct owned_class *counts = &owned->copies[goes - 1].classes[page->size_class];
            bool key = graph->nodes[slot].key;
            counts->blocks += starts && !key;
            counts->blocks_with_keys += starts;
            keys = keys || key;
        }
    }
    if (alone && common != 0) {
        owned_count_page(&owned->copies[common - 1].classes[page->size_class], page, keys);
    }
}

static void
owned_count_copies(struct owned *owned)
{
    const struct graph *graph = &owned->graph;
    for (size_t a = 0; a < graph->arena_count; a++) {
        for (unsigned p = 0; p < graph->arenas[a].used_pages; p++) {
            owned_count_copies_on(owned, &graph->arenas[a].pages[p]);
        }
    }
}

/* What is shown ---------------------------------------------------------------------------- */

/* The cheapest first: those with the fewest live bytes to move away. */
static int
owned_compare_arenas(const void *left, const void *right)
{
    const struct graph_arena *a = left, *b = right;
    if (a->live_bytes != b->live_bytes) {
        return a->live_bytes < b->live_bytes ? -1 : 1;
    }
    return a->index < b->index ? -1 : a->index > b->index;
}

static int
owned_compare_pages(const void *left, const void *right)
{
    const struct graph_page *a = left, *b = right;
    if (a->live_bytes != b->live_bytes) {
        return a->live_bytes < b->live_bytes ? -1 : 1;
    }
    return a->address < b->address ? -1 : a->address > b->address;
}

/* Call change(), which is Py_IncRef or Py_DecRef, with each object that is shown. */
static void
owned_hold(struct owned *owned, void (*change)(PyObject *))
{
    const struct graph *graph = &owned->graph;
    for (size_t a = 0; a < graph->arena_count; a++) {
        for (unsigned p = 0; p < graph->arenas[a].used_pages; p++) {
            const struct graph_page *page = &graph->arenas[a].pages[p];
            for (unsigned i = 0; i < page->slot_count; i++) {
                graph_number slot = graph->slots[page->first_slot + i];
                if (slot != GRAPH_NOT_LIVE && slot != GRAPH_UNKNOWN) {
                    change(graph->nodes[slot].object);
                    change((PyObject *)graph->nodes[slot].holder);
                }
            }
        }
    }
    for (size_t i = 0; i < owned->row_capacity; i++) {
        change((PyObject *)owned->rows[i].type);
        change((PyObject *)owned->rows[i].holder);
    }
    for (size_t i = 0; i < owned->copies_count; i++) {
        change((PyObject *)owned->copies[i].type);
        change((PyObject *)owned->copies[i].holder);
        change(owned->copies[i].container);
    }
}

/* Sort arenas and their pages, and forget the pages beyond the limit: those have
   slot_count == 0 from here on, and no slot leads to its page any more. */
static void
owned_select(struct graph *graph, size_t limit)
{
    qsort(graph->arenas, graph->arena_count, sizeof(graph->arenas[0]), owned_compare_arenas);
    size_t shown = 0;
    for (size_t a = 0; a < graph->arena_count; a++) {
        struct graph_arena *arena = &graph->arenas[a];
        qsort(arena->pages, arena->used_pages, sizeof(arena->pages[0]), owned_compare_pages);
        for (unsigned p = 0; p < arena->used_pages; p++) {
            struct graph_page *page = &arena->pages[p];
            if (page->live == 0 || shown + page->live > limit) {
                page->slot_count = 0;
            }
            else {
                shown += page->live;
            }
        }
    }
}

/* For Python ---------------------------------------------------------------------------------- */

/* Append item, a new reference or NULL, to the list. */
static bool
owned_append(PyObject *list, PyObject *item)
{
    bool done = item != NULL && PyList_Append(list, item) == 0;
    Py_XDECREF(item);
    return done;
}

static PyObject *
owned_or_none(void *object)
{
    return object != NULL ? (PyObject *)object : Py_None;
}

static PyObject *
owned_bool(bool value)
{
    return value ? Py_True : Py_False;
}

static PyObject *
owned_list_blocks(const struct graph *graph, const struct graph_page *page)
{
    PyObject *list = PyList_New(0);
    for (unsigned i = 0; list != NULL && i < page->slot_count; i++) {
        graph_number slot = graph->slots[page->first_slot + i];
        if (slot == GRAPH_NOT_LIVE || !graph_starts_on(page, i)) {
            continue;
        }
        struct owned_row kind = owned_kind(graph, slot);
        PyObject *owner = slot != GRAPH_UNKNOWN ? graph->nodes[slot].object : NULL;
        if (!owned_append(list, Py_BuildValue(
                "(KOOO)", (unsigned long long)(page->first_block + (uintptr_t)i * page->block_size),
                owned_or_none(owner), owned_bool(kind.beside), owned_or_none(kind.holder)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owned_list_pages(const struct graph *graph, const struct graph_arena *arena)
{
    PyObject *list = PyList_New(0);
    for (unsigned p = 0; list != NULL && p < arena->used_pages; p++) {
        const struct graph_page *page = &arena->pages[p];
        if (page->slot_count != 0
            && !owned_append(list, Py_BuildValue("(IIIN)", page->number, page->block_size,
                                                 page->live, owned_list_blocks(graph, page)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owned_list_arenas(const struct graph *graph)
{
    PyObject *list = PyList_New(0);
    for (size_t a = 0; list != NULL && a < graph->arena_count; a++) {
        const struct graph_arena *arena = &graph->arenas[a];
        if (arena->used_pages != 0
            && !owned_append(list, Py_BuildValue(
                   "(kKIInnN)", (unsigned long)arena->index, (unsigned long long)arena->address,
                   arena->page_count, arena->used_pages, (Py_ssize_t)arena->live_blocks,
                   (Py_ssize_t)arena->live_bytes, owned_list_pages(graph, arena)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owned_list_rows(const struct owned *owned)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < owned->row_capacity; i++) {
        const struct owned_row *row = &owned->rows[i];
        if (row->pages != 0
            && !owned_append(list, Py_BuildValue(
                   "(OOOnnnd)", owned_or_none(row->type), owned_bool(row->beside),
                   owned_or_none(row->holder), (Py_ssize_t)row->blocks, (Py_ssize_t)row->bytes,
                   (Py_ssize_t)row->pages, row->held))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owned_list_classes(const struct owned_copies *row)
{
    PyObject *list = PyList_New(0);
    for (unsigned c = 0; list != NULL && c < OBM_SIZE_CLASSES; c++) {
        const struct owned_class *counts = &row->classes[c];
        if (counts->blocks_with_keys != 0
            && !owned_append(list, Py_BuildValue(
                   "(I(nnn)(nnn))", c, (Py_ssize_t)counts->blocks, (Py_ssize_t)counts->full_pages,
                   (Py_ssize_t)counts->pages, (Py_ssize_t)counts->blocks_with_keys,
                   (Py_ssize_t)counts->full_pages_with_keys,
                   (Py_ssize_t)counts->pages_with_keys))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

static PyObject *
owned_list_copies(const struct owned *owned)
{
    PyObject *list = PyList_New(0);
    for (size_t i = 0; list != NULL && i < owned->copies_count; i++) {
        const struct owned_copies *row = &owned->copies[i];
        if (!owned_append(list, Py_BuildValue(
                "(OOOOnnnN)", (PyObject *)row->type, owned_bool(row->others),
                (PyObject *)row->holder, row->container, (Py_ssize_t)row->most_values,
                (Py_ssize_t)row->containers, (Py_ssize_t)row->values,
                owned_list_classes(row)))) {
            Py_CLEAR(list);
        }
    }
    return list;
}

/* false, with an exception: no memory, or a damaged heap. */
static bool
owned_find(struct owned *owned, PyObject *tracked)
{
    struct graph *graph = &owned->graph;
    if (!graph_reserve(graph)) {
        PyErr_NoMemory();
        return false;
    }
    if (!graph_enter_blocks(graph)) {
        return false;
    }
    bool done = graph_make(graph, tracked) && graph_find_dominators(graph);
    if (done) {
        owned->goes = PyMem_RawCalloc(graph->node_count, sizeof(*owned->goes));
        owned->values = PyMem_RawCalloc(graph->node_count, sizeof(*owned->values));
        done = owned->goes != NULL && owned->values != NULL && owned_count_rows(owned);
    }
    if (done) {
        owned_find_copies(owned);
        owned_count_copies(owned);
    }
    if (!done || graph->no_memory) {
        PyErr_NoMemory();
        return false;
    }
    return true;
}

/* gc.get_objects(). */
static PyObject *
owned_tracked(void)
{
    PyObject *gc = PyImport_ImportModule("gc");
    PyObject *tracked = gc != NULL ? PyObject_CallMethod(gc, "get_objects", NULL) : NULL;
    Py_XDECREF(gc);
    return tracked;
}

PyDoc_STRVAR(owned_doc,
"owned(limit, layout, copied_by_reference, container_types, /)\n"
"    -> (types, arenas, copies)\n"
"\n"
"To what the live blocks of this interpreter belong.  layout is as obmalloc._layout makes\n"
"it; the other two are tuples of types.\n"
"\n"
"types: a list of (type, beside, holder, blocks, bytes, pages, held) for all of\n"
"them.  type is None where it is not known; beside says that the blocks are\n"
"memory which objects of that type have beside themselves; holder is the type\n"
"of an object that refers to them, or None; pages is the number of pages with\n"
"such a block; held (float, bytes) is their share of these pages, each divided\n"
"among its live blocks by the bytes that they have there.\n"
"\n"
"arenas: a list of (number, address, pages, used pages, live blocks, live bytes,\n"
"shown), those with the fewest live bytes first.  shown is a list of (page\n"
"number, block size, live blocks, blocks), the emptiest first, and blocks one\n"
"of (address, owner or None, beside, holder).  In all, no more than limit blocks are\n"
"shown, and only pages that are shown whole.\n"
"\n"
"copies: what copies of the values of containers would give back, a list of (type,\n"
"others, container type, container, its values, containers, values, classes): the\n"
"type that most values are of, and whether some are of others; the container with most\n"
"values, and how many it has; how many there are in all; and for each size class\n"
"(number, counts, counts with the keys of dicts), where counts are (blocks that go,\n"
"pages without a free block of which all blocks go, other pages of which all live\n"
"blocks go).\n"
"\n"
"Takes 100 to 150 bytes of the system's memory for each object meanwhile.  Raises\n"
"MemoryError, and RuntimeError if a free list is damaged.");

static PyObject *
obmalloc_owned(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_ssize_t limit;
    PyObject *layout;
    struct owned owned = {.graph.heap = _PyObmalloc_Heap()};
    if (!PyArg_ParseTuple(args, "nO!O!O!:owned", &limit, &PyDict_Type, &layout,
                          &PyTuple_Type, &owned.graph.copied_by_reference,
                          &PyTuple_Type, &owned.container_types)
        || !objects_layout_from(&owned.graph.layout, layout)) {
        return NULL;
    }
    PyObject *tracked = owned_tracked();
    if (tracked == NULL) {
        return NULL;
    }
    PyObject *result = NULL;
    if (owned_find(&owned, tracked)) {
        owned_select(&owned.graph, limit > 0 ? (size_t)limit : 0);
        owned_hold(&owned, Py_IncRef);
        PyObject *rows = owned_list_rows(&owned);
        PyObject *arenas = rows != NULL ? owned_list_arenas(&owned.graph) : NULL;
        PyObject *copies = arenas != NULL ? owned_list_copies(&owned) : NULL;
        result = copies != NULL ? PyTuple_Pack(3, rows, arenas, copies) : NULL;
        Py_XDECREF(rows);
        Py_XDECREF(arenas);
        Py_XDECREF(copies);
        owned_hold(&owned, Py_DecRef);
    }
    owned_free(&owned);
    Py_DECREF(tracked);
    return result;
}

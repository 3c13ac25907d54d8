/* All objects, what they refer to, and who dominates whom.  A part of _obmalloc.c.

   A block does not say what it holds, and guessing proves nothing: a number may look
   like the address of a type.  So the way is not from blocks to objects but from objects
   to blocks.  These are known to be objects:

   - what the collector tracks: gc.get_objects() lists them;
   - what those refer to, by their own tp_traverse, as gc.get_referents() finds
     it.  A strong reference is to a living object;
   - what tuples and dicts that the collector has stopped tracking refer to,
     in the same way; and the fields of code objects, which have no tp_traverse.

   A *node* is an object, or memory that an object has beside itself.  An *edge* is a
   reference that _obmalloc_objects.c has found.  All other blocks stay unknown: objects
   to which only C variables or the locals of C functions refer, the free lists of the
   basic types, and what else is allocated with PyMem_Malloc().

   Of each object the type of one other that refers to it is remembered too, its
   holder: "str in list" says more than "str".  For what the dict of an instance refers
   to, the holder is the instance: since 3.11 most have no dict any more, and "str in
   dict" would say nothing.

   A *root* is a node to which something refers that is not in the graph, as its count
   of references tells (a variable of C code, a local of another thread); and each
   object that no copy takes along, such as a class, a module or a function.  Node a
   *dominates* node b if every way from a root to b leads through a: when a goes, b
   goes.  The closest dominator of each node is found by the semi-NCA
   algorithm (L. Georgiadis, Linear-time algorithms for dominators and related
   problems, 2005): some steps for each edge, cycles included.

   Nothing is allocated from the arenas meanwhile, and no Python code runs until the
   objects that are to be shown are held by references, so that what is found stays
   true. */

/* Numbers of nodes begin with 1.  0 is none, and above all roots. */
typedef uint32_t graph_number;
#define GRAPH_NOT_LIVE ((graph_number)0)
#define GRAPH_UNKNOWN UINT32_MAX

struct graph_node {
    PyObject *object;           /* itself; of memory beside an object, that object */
    PyTypeObject *holder;       /* the type of referrer, or of the one whose dict that is */
    graph_number referrer;      /* the first that was found to refer to it; 0: none */
    uint32_t references;        /* from objects of the graph */
    size_t first_edge;
    bool beside;                /* memory */
    bool root;
    bool attributes;            /* the dict of `referrer`, with its attributes */
    bool key;                   /* of a dict that is its closest dominator */
};

/* A page in use.  Nothing here points to its descriptor, which may change once
   Python code runs. */
struct graph_page {
    uintptr_t address;
    uintptr_t first_block;      /* may start on a page before, if blocks lie across pages */
    size_t first_slot;          /* of that block */
    unsigned number;            /* in its arena */
    unsigned block_size;        /* bytes */
    unsigned slot_count, live;  /* blocks that were ever handed out; of these, in use */
    unsigned live_bytes;        /* of those in use, as far as they lie on the page */
    uint8_t size_class;
    bool full;                  /* no block of it is free */
};

struct graph_arena {
    obm_arena_index index;
    uintptr_t address;          /* of its first page */
    unsigned page_count;
    struct graph_page *pages;   /* used_pages of them */
    unsigned used_pages;
    size_t live_blocks, live_bytes;
};

struct graph {
    const struct obm_heap *heap;
    struct objects_layout layout;
    PyObject *copied_by_reference;      /* a tuple of types of which all objects are roots */

    struct graph_arena *arenas;         /* arena_count of them */
    size_t arena_count;
    size_t *places;             /* by page id: place in pages, plus 1 */
    struct graph_page *pages;
    graph_number *slots;        /* of all pages: the node of each block that was handed out */

    struct graph_node *nodes;   /* [0] unused; node_count with it */
    size_t node_count, node_capacity;
    graph_number *edges;
    size_t edge_count, edge_capacity;
    graph_number *outside;      /* open addressing: nodes outside the arenas */
    size_t outside_count, outside_capacity;     /* 0 or a power of two */

    graph_number visited;       /* the node whose references are being visited */
    graph_number *dominators;   /* the closest dominator of each node; 0: none */
    graph_number *order;        /* node_count - 1 nodes: each after its dominator */
    bool no_memory;
};

static void
graph_free(struct graph *graph)
{
    PyMem_RawFree(graph->arenas);
    PyMem_RawFree(graph->places);
    PyMem_RawFree(graph->pages);
    PyMem_RawFree(graph->slots);
    PyMem_RawFree(graph->nodes);
    PyMem_RawFree(graph->edges);
    PyMem_RawFree(graph->outside);
    PyMem_RawFree(graph->dominators);
    PyMem_RawFree(graph->order);
}

/* The array of items with room for one more, which may have moved.  NULL: no memory, which is
   noted, and the array is as it was. */
static void *
graph_grown(struct graph *graph, void *items, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity) {
        return items;
    }
    size_t wanted = *capacity == 0 ? 1024 : 2 * *capacity;
    void *grown = PyMem_RawRealloc(items, wanted * item_size);
    if (grown == NULL) {
        graph->no_memory = true;
        return NULL;
    }
    *capacity = wanted;
    return grown;
}

/* The live blocks ------------------------------------------------------------------ */

/* How many blocks a page in use has, from the first that touches it on; as far as they were
   ever handed out, if all start on it. */
static unsigned
graph_page_blocks(const struct obm_heap *heap, const struct obm_pool *pool)
{
    if (pool->state != OBM_POOL_MEDIUM) {
        return pool->carved;
    }
    unsigned first, end;
    obm_blocks_touching(heap, obm_run_at(heap, obm_pool_run(heap, pool)),
                        obm_pool_page_in_run(heap, pool), &first, &end);
    return end - first;
}

/* false: no memory. */
static bool
graph_reserve(struct graph *graph)
{
    const struct obm_heap *heap = graph->heap;
    size_t pages = 0, blocks = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *arena = &heap->arenas[i];
        for (unsigned page = 0; arena->address != 0 && page < arena->page_count; page++) {
            bool used = arena->pools[page].state != OBM_POOL_FREE;
            pages += used;
            blocks += used ? graph_page_blocks(heap, &arena->pools[page]) : 0;
        }
    }
    size_t ids = (size_t)heap->arenas_ever << heap->geometry.arena_pages_shift;
    graph->arenas = PyMem_RawCalloc(heap->arena_count + 1, sizeof(*graph->arenas));
    graph->places = PyMem_RawCalloc(ids + 1, sizeof(*graph->places));
    graph->pages = PyMem_RawCalloc(pages + 1, sizeof(*graph->pages));
    graph->slots = PyMem_RawCalloc(blocks + 1, sizeof(*graph->slots));
    return graph->arenas != NULL && graph->places != NULL && graph->pages != NULL
           && graph->slots != NULL;
}

/* Whether a block starts on the page, and not on one before. */
static bool
graph_starts_on(const struct graph_page *page, unsigned block)
{
    return page->first_block + (uintptr_t)block * page->block_size >= page->address;
}

/* The bytes of a block that lie on the page. */
static unsigned
graph_bytes_on(const struct graph *graph, const struct graph_page *page, unsigned block)
{
    uintptr_t start = page->first_block + (uintptr_t)block * page->block_size;
    uintptr_t end = start + page->block_size;
    uintptr_t page_end = page->address + graph->heap->geometry.page_size;
    return (unsigned)((end < page_end ? end : page_end)
                      - (start > page->address ? start : page->address));
}

/* Enter a page that is in use.  false: its free list is damaged. */
static bool
graph_enter_page(struct graph *graph, struct graph_arena *arena, const struct obm_pool *pool,
                 size_t slot)
{
    struct graph_page *page = &arena->pages[arena->used_pages++];
    uint64_t live[OBM_POOL_WORDS];
    if (!_PyObmalloc_LiveBlocks(pool, live)) {
        return false;
    }
    page->address = (uintptr_t)obm_pool_address(graph->heap, pool);
    page->first_block = (uintptr_t)_PyObmalloc_FirstBlock(pool);
    page->number = obm_pool_page(graph->heap, pool);
    page->size_class = (uint8_t)obm_plain_class(pool->size_class);
    page->block_size = (unsigned)obm_class_size(graph->heap, pool->size_class);
    page->first_slot = slot;
    page->slot_count = graph_page_blocks(graph->heap, pool);
    for (unsigned i = 0; i < page->slot_count; i++) {
        bool is_live = live[i / 64] >> (i % 64) & 1;
        graph->slots[slot + i] = is_live ? GRAPH_UNKNOWN : GRAPH_NOT_LIVE;
        page->live += is_live;
        page->live_bytes += is_live ? graph_bytes_on(graph, page, i) : 0;
        arena->live_blocks += is_live && graph_starts_on(page, i);
        arena->live_bytes += is_live && graph_starts_on(page, i) ? page->block_size : 0;
    }
    page->full = page->live == (pool->state == OBM_POOL_MEDIUM ? page->slot_count
                 : graph->heap->geometry.classes[pool->size_class].capacity);
    graph->places[obm_page_id(graph->heap, pool)] = (size_t)(page - graph->pages) + 1;
    return true;
}

/* false, with an exception: a free list is damaged. */
static bool
graph_enter_blocks(struct graph *graph)
{
    const struct obm_heap *heap = graph->heap;
    struct graph_page *pages = graph->pages;
    size_t slot = 0;
    for (obm_arena_index i = 1; i < heap->arenas_ever; i++) {
        const struct obm_arena_object *mapped = &heap->arenas[i];
        if (mapped->address == 0) {
            continue;
        }
        struct graph_arena *arena = &graph->arenas[graph->arena_count++];
        arena->index = i;
        arena->address = mapped->first_page;
        arena->page_count = mapped->page_count;
        arena->pages = pages;
        for (unsigned page = 0; page < arena->page_count; page++) {
            const struct obm_pool *pool = &mapped->pools[page];
            if (pool->state == OBM_POOL_FREE) {
                continue;
            }
            if (!graph_enter_page(graph, arena, pool, slot)) {
                PyErr_Format(PyExc_RuntimeError, "the free list of page %u of arena %u is "
                             "damaged: obmalloc.check() says how", page, (unsigned)i);
                return false;
            }
            slot += graph_page_blocks(heap, pool);
        }
        pages += arena->used_pages;
    }
    return true;
}

/* The slot of the live block that address lies in, on the page where it starts; NULL: it
   lies in none. */
static graph_number *
graph_slot(const struct graph *graph, const void *address)
{
    const struct obm_pool *pool = _PyObmalloc_FindPool(address);
    size_t place = pool != NULL ? graph->places[obm_page_id(graph->heap, pool)] : 0;
    if (place == 0) {
        return NULL;
    }
    const struct graph_page *page = &graph->pages[place - 1];
    size_t block = ((uintptr_t)address - page->first_block) / page->block_size;
    if (!graph_starts_on(page, (unsigned)block)) {
        return graph_slot(graph, (const void *)page->first_block);
    }
    graph_number *slot = &graph->slots[page->first_slot + block];
    return block < page->slot_count && *slot != GRAPH_NOT_LIVE ? slot : NULL;
}

/* Nodes and edges ------------------------------------------------------------------- */

/* A new node.  0: no memory. */
static graph_number
graph_add_node(struct graph *graph, PyObject *object, bool beside)
{
    struct graph_node *nodes = NULL;
    if (graph->node_count != GRAPH_UNKNOWN) {
        nodes = graph_grown(graph, graph->nodes, graph->node_count, &graph->node_capacity,
                            sizeof(*nodes));
    }
    if (nodes == NULL) {
        graph->no_memory = true;
        return 0;
    }
    graph->nodes = nodes;
    graph->nodes[graph->node_count] = (struct graph_node){.object = object, .beside = beside};
    return (graph_number)graph->node_count++;
}

static size_t
graph_hash(const void *address, size_t capacity)
{
    return (size_t)(((uint64_t)(uintptr_t)address * UINT64_C(0x9e3779b97f4a7c15)) >> 32)
           & (capacity - 1);
}

/* The place of the node of an object outside the arenas, or the empty one where it
   belongs. */
static graph_number *
graph_outside_place(const struct graph *graph, graph_number *outside, size_t capacity,
                    const PyObject *object)
{
    size_t place = graph_hash(object, capacity);
    while (outside[place] != 0 && graph->nodes[outside[place]].object != object) {
        place = (place + 1) & (capacity - 1);
    }
    return &outside[place];
}

/* Room for one more object outside.  false: no memory, which is noted. */
static bool
graph_outside_grow(struct graph *graph)
{
    if (2 * (graph->outside_count + 1) <= graph->outside_capacity) {
        return true;
    }
    size_t capacity = graph->outside_capacity == 0 ? 1024 : 2 * graph->outside_capacity;
    graph_number *outside = PyMem_RawCalloc(capacity, sizeof(*outside));
    if (outside == NULL) {
        graph->no_memory = true;
        return false;
    }
    for (size_t i = 0; i < graph->outside_capacity; i++) {
        graph_number number = graph->outside[i];
        if (number != 0) {
            *graph_outside_place(graph, outside, capacity, graph->nodes[number].object) = number;
        }
    }
    PyMem_RawFree(graph->outside);
    graph->outside = outside;
    graph->outside_capacity = capacity;
    return true;
}

/* Where the node of an object stands: 0 or GRAPH_UNKNOWN there is none yet.  NULL: no
   memory. */
static graph_number *
graph_place(struct graph *graph, PyObject *object)
{
    graph_number *slot = graph_slot(graph, object);
    if (slot != NULL) {
        return slot;
    }
    return graph_outside_grow(graph)
           ? graph_outside_place(graph, graph->outside, graph->outside_capacity, object) : NULL;
}

/* The node of an object that is in the graph; 0: it is not. */
static graph_number
graph_node_of(struct graph *graph, PyObject *object)
{
    graph_number *place = graph_place(graph, object);
    return place == NULL || *place == GRAPH_UNKNOWN || graph->nodes[*place].object != object
           || graph->nodes[*place].beside ? 0 : *place;
}

/* The node of a living object.  0: no memory. */
static graph_number
graph_enter_object(struct graph *graph, PyObject *object)
{
    graph_number *place = graph_place(graph, object);
    if (place == NULL) {
        return 0;
    }
    /* An object is here, so what was taken for memory of another object is none. */
    if (*place == 0 || *place == GRAPH_UNKNOWN || graph->nodes[*place].beside) {
        graph->outside_count += *place == 0;
        *place = 0;
        *place = graph_add_node(graph, object, false);
    }
    return *place;
}

static void
graph_add_edge(struct graph *graph, graph_number to)
{
    if (to == 0) {
        return;
    }
    graph_number *edges = graph_grown(graph, graph->edges, graph->edge_count,
                                      &graph->edge_capacity, sizeof(*edges));
    if (edges != NULL) {
        graph->edges = edges;
        graph->edges[graph->edge_count++] = to;
    }
}

/* A strong reference: object lives.  A visitproc. */
static int
graph_visit(PyObject *object, void *data)
{
    struct graph *graph = data;
    if (object == NULL || objects_references(object) == 0) {
        return 0;
    }
    graph_number number = graph_enter_object(graph, object);
    if (number != 0) {
        struct graph_node *node = &graph->nodes[number];
        node->references++;
        node->referrer = node->referrer == 0 ? graph->visited : node->referrer;
        graph_add_edge(graph, number);
    }
    return 0;
}

/* Memory beside the object that is visited.  An objects_memory_visitor. */
static void
graph_visit_memory(const void *memory, void *data)
{
    struct graph *graph = data;
    graph_number *slot = memory != NULL ? graph_slot(graph, memory) : NULL;
    if (slot == NULL || (*slot != GRAPH_UNKNOWN && !graph->nodes[*slot].beside)) {
        return;
    }
    if (*slot == GRAPH_UNKNOWN) {
        *slot = graph_add_node(graph, graph->nodes[graph->visited].object, true);
    }
    graph_add_edge(graph, *slot);
}

/* Whether a copy refers to the very same object. */
static bool
graph_is_never_copied(const struct graph *graph, PyObject *object)
{
    if (objects_is_type(object)) {
        return true;
    }
    Py_ssize_t count = PyTuple_Size(graph->copied_by_reference);
    for (Py_ssize_t i = 0; i < count; i++) {
        if ((PyObject *)Py_TYPE(object) == PyTuple_GetItem(graph->copied_by_reference, i)) {
            return true;
        }
    }
    return false;
}

/* Note which dict is the namespace of an instance, a module or a class that has just
   been followed. */
static void
graph_note_attributes(struct graph *graph, graph_number number)
{
    PyObject *object = graph->nodes[number].object;
    bool is_type = objects_is_type(object);
    PyObject *attributes = objects_attributes(&graph->layout, object);
    for (size_t i = graph->nodes[number].first_edge; i < graph->edge_count; i++) {
        struct graph_node *referred = &graph->nodes[graph->edges[i]];
        if (!referred->beside
            && (is_type ? Py_TYPE(referred->object) == &PyDict_Type
                        : referred->object == attributes)) {
            referred->attributes = true;
            referred->referrer = number;
        }
    }
}

static void
graph_follow(struct graph *graph, graph_number number)
{
    PyObject *object = graph->nodes[number].object;
    graph->nodes[number].first_edge = graph->edge_count;
    graph->visited = number;
    if (!graph->nodes[number].beside) {
        graph->nodes[number].root = graph_is_never_copied(graph, object);
        objects_visit_memory(&graph->layout, object, graph_visit_memory, graph);
        if (PyObject_GC_IsTracked(object) || objects_refers_untracked(&graph->layout, object)) {
            objects_visit_references(&graph->layout, object, graph_visit, graph);
            graph_note_attributes(graph, number);
        }
    }
    graph->visited = 0;
}

/* The type of an object that refers to this one; NULL: none is known. */
static PyTypeObject *
graph_holder(const struct graph *graph, const struct graph_node *node)
{
    graph_number referrer = node->beside ? 0 : node->referrer;
    if (graph->nodes[referrer].attributes) {
        referrer = graph->nodes[referrer].referrer;
    }
    return referrer != 0 ? Py_TYPE(graph->nodes[referrer].object) : NULL;
}

/* A block that starts on a page before has a slot on this one too: it leads to the same
   node. */
static void
graph_repeat_slots(struct graph *graph)
{
    for (size_t a = 0; a < graph->arena_count; a++) {
        for (unsigned p = 0; p < graph->arenas[a].used_pages; p++) {
            const struct graph_page *page = &graph->arenas[a].pages[p];
            if (page->slot_count != 0 && !graph_starts_on(page, 0)) {
                const graph_number *slot = graph_slot(graph, (const void *)page->first_block);
                graph->slots[page->first_slot] = slot != NULL ? *slot : GRAPH_NOT_LIVE;
            }
        }
    }
}

/* Make the graph of a list of what the collector tracks.  false: no memory. */
static bool
graph_make(struct graph *graph, PyObject *tracked)
{
    Py_ssize_t count = PyList_Size(tracked);
    graph_add_node(graph, NULL, false);
    for (Py_ssize_t i = 0; i < count && !graph->no_memory; i++) {
        PyObject *object = PyList_GetItem(tracked, i);
        graph_enter_object(graph, object);
        graph_enter_object(graph, (PyObject *)Py_TYPE(object));
    }
    for (size_t number = 1; number < graph->node_count && !graph->no_memory; number++) {
        graph_follow(graph, (graph_number)number);
    }
    /* The list refers to each of them, too. */
    for (Py_ssize_t i = 0; i < count && !graph->no_memory; i++) {
        graph->nodes[graph_node_of(graph, PyList_GetItem(tracked, i))].references++;
    }
    for (size_t number = 1; number < graph->node_count && !graph->no_memory; number++) {
        struct graph_node *node = &graph->nodes[number];
        node->holder = graph_holder(graph, node);
        node->root = node->root || (!node->beside
                                    && objects_references(node->object) > node->references);
    }
    graph_repeat_slots(graph);
    return !graph->no_memory;
}

static size_t
graph_edges_end(const struct graph *graph, size_t number)
{
    return number + 1 < graph->node_count ? graph->nodes[number + 1].first_edge
                                          : graph->edge_count;
}

/* Dominators ------------------------------------------------------------------------- */

/* What the search for dominators knows.  All but `numbers` is by the number that a
   depth-first search gives a node, from 1 on; 0 stands above all roots. */
struct graph_search {
    graph_number *numbers;      /* by node; 0: not reached */
    graph_number *nodes;
    graph_number *parents;      /* in the tree of the search; those of eval() are compressed */
    graph_number *semi, *label, *closest;
    graph_number *stack;
    size_t *next_edges;         /* of the nodes on the stack */
    size_t *first_referrers;    /* by node: where those stand in referrers */
    graph_number *referrers;
    graph_number count;         /* the last number given */
};

static bool
graph_search_reserve(struct graph_search *search, size_t nodes, size_t edges)
{
    graph_number **arrays[] = {&search->numbers, &search->nodes, &search->parents, &search->semi,
                               &search->label, &search->closest, &search->stack};
    bool done = true;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(arrays); i++) {
        *arrays[i] = PyMem_RawCalloc(nodes + 1, sizeof(**arrays[i]));
        done = done && *arrays[i] != NULL;
    }
    search->next_edges = PyMem_RawCalloc(nodes + 1, sizeof(*search->next_edges));
    search->first_referrers = PyMem_RawCalloc(nodes + 2, sizeof(*search->first_referrers));
    search->referrers = PyMem_RawCalloc(edges + 1, sizeof(*search->referrers));
    return done && search->next_edges != NULL && search->first_referrers != NULL
           && search->referrers != NULL;
}

static void
graph_search_free(struct graph_search *search)
{
    PyMem_RawFree(search->numbers);
    PyMem_RawFree(search->nodes);
    PyMem_RawFree(search->parents);
    PyMem_RawFree(search->semi);
    PyMem_RawFree(search->label);
    PyMem_RawFree(search->closest);
    PyMem_RawFree(search->stack);
    PyMem_RawFree(search->next_edges);
    PyMem_RawFree(search->first_referrers);
    PyMem_RawFree(search->referrers);
}

/* Turn the edges round. */
static void
graph_find_referrers(const struct graph *graph, struct graph_search *search)
{
    size_t *first = search->first_referrers;
    for (size_t i = 0; i < graph->edge_count; i++) {
        first[graph->edges[i] + 1]++;
    }
    for (size_t number = 0; number < graph->node_count; number++) {
        first[number + 1] += first[number];
    }
    /* first[] moves from the begin of each node's part to its end. */
    for (size_t number = 1; number < graph->node_count; number++) {
        for (size_t i = graph->nodes[number].first_edge; i < graph_edges_end(graph, number); i++) {
            search->referrers[first[graph->edges[i]]++] = (graph_number)number;
        }
    }
    for (size_t number = graph->node_count; number > 0; number--) {
        first[number] = first[number - 1];
    }
    first[0] = 0;
}

static void
graph_number_node(const struct graph *graph, struct graph_search *search, graph_number node,
                  graph_number parent)
{
    graph_number number = ++search->count;
    search->numbers[node] = number;
    search->nodes[number] = node;
    search->parents[number] = parent;
    search->semi[number] = number;
    search->label[number] = number;
    search->closest[number] = parent;
    search->next_edges[number] = graph->nodes[node].first_edge;
}

/* Number what can be reached from a root, depth first. */
static void
graph_search_from(const struct graph *graph, struct graph_search *search, graph_number root)
{
    size_t depth = 0;
    if (search->numbers[root] != 0) {
        return;
    }
    graph_number_node(graph, search, root, 0);
    search->stack[depth++] = search->count;
    while (depth > 0) {
        graph_number number = search->stack[depth - 1];
        graph_number node = search->nodes[number];
        if (search->next_edges[number] == graph_edges_end(graph, node)) {
            depth--;
            continue;
        }
        graph_number next = graph->edges[search->next_edges[number]++];
        if (search->numbers[next] == 0) {
            graph_number_node(graph, search, next, number);
            search->stack[depth++] = search->count;
        }
    }
}

/* The number with the least semidominator on the way from `number` up to, and not
   with, the first below `linked`.  Shortens the way. */
static graph_number
graph_evaluate(struct graph_search *search, graph_number number, graph_number linked)
{
    graph_number *parents = search->parents, *semi = search->semi, *label = search->label;
    if (parents[number] < linked) {
        return label[number];
    }
    size_t depth = 0;
    while (parents[number] >= linked) {
        search->stack[depth++] = number;
        number = parents[number];
    }
    graph_number above = number;
    while (depth > 0) {
        number = search->stack[--depth];
        parents[number] = parents[above];
        if (semi[label[above]] < semi[label[number]]) {
            label[number] = label[above];
        }
        above = number;
    }
    return label[number];
}

static void
graph_find_semidominator(const struct graph *graph, struct graph_search *search,
                         graph_number number)
{
    graph_number node = search->nodes[number];
    graph_number least = graph->nodes[node].root ? 0 : search->closest[number];
    for (size_t i = search->first_referrers[node]; i < search->first_referrers[node + 1]; i++) {
        graph_number referrer = search->numbers[search->referrers[i]];
        graph_number semi = search->semi[graph_evaluate(search, referrer, number + 1)];
        least = semi < least ? semi : least;
    }
    search->semi[number] = least;
}

/* Fill in dominators and order.  false: no memory. */
static bool
graph_find_dominators(struct graph *graph)
{
    struct graph_search search = {0};
    graph->dominators = PyMem_RawCalloc(graph->node_count, sizeof(*graph->dominators));
    graph->order = PyMem_RawCalloc(graph->node_count, sizeof(*graph->order));
    bool done = graph_search_reserve(&search, graph->node_count, graph->edge_count)
                && graph->dominators != NULL && graph->order != NULL;
    if (done) {
        graph_find_referrers(graph, &search);
        for (size_t number = 1; number < graph->node_count; number++) {
            if (graph->nodes[number].root) {
                graph_search_from(graph, &search, (graph_number)number);
            }
        }
        for (size_t number = 1; number < graph->node_count; number++) {
            if (search.numbers[number] == 0) {      /* garbage that waits for the collector */
                graph->nodes[number].root = true;
                graph_search_from(graph, &search, (graph_number)number);
            }
        }
        for (graph_number number = search.count; number > 0; number--) {
            graph_find_semidominator(graph, &search, number);
        }
        for (graph_number number = 1; number <= search.count; number++) {
            graph_number closest = search.closest[number];
            while (closest > search.semi[number]) {
                closest = search.closest[closest];
            }
            search.closest[number] = closest;
            graph->order[number - 1] = search.nodes[number];
            graph->dominators[search.nodes[number]] = closest != 0 ? search.nodes[closest] : 0;
        }
    }
    graph_search_free(&search);
    return done;
}

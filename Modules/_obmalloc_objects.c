/* What a Python object refers to and what memory it has beside itself, in any
   version: by Python's own tp_traverse, and by offsets that Lib/obmalloc/_layout.py
   has found and verified in this very process.  Nothing here knows a struct of
   Python's, so it works in the loadable library too.  A part of _obmalloc.c.

   An offset of 0 is not known, and what it would lead to is not visited. */

#define OBJECTS_MOST_CODE_FIELDS 16

/* Offsets in bytes from the address of an object. */
struct objects_layout {
    Py_ssize_t list_items;
    Py_ssize_t dict_keys, dict_values;
    Py_ssize_t set_table;
    Py_ssize_t bytearray_bytes;
    Py_ssize_t str_state;                   /* a byte, with the bits that follow */
    Py_ssize_t str_ascii, str_compact;      /* masks */
    Py_ssize_t str_utf8, str_data;
    Py_ssize_t type_traverse, type_dictoffset;
    Py_ssize_t type_keys;                   /* that the dicts of instances share */
    Py_ssize_t instance_values;             /* before the object: see OBJECTS_MANAGED_DICT */
    Py_ssize_t instance_values_tag;         /* the lowest bit that this pointer has */
    Py_ssize_t instance_dict;               /* likewise; with the other lowest bit */
    Py_ssize_t code_fields[OBJECTS_MOST_CODE_FIELDS];
    size_t code_field_count;
    PyTypeObject *code_type;
};

/* Called with the address of memory that an object has beside itself. */
typedef void (*objects_memory_visitor)(const void *memory, void *data);

/* Flag of types whose instances have a pointer to their attributes, or to a dict of
   them, before the object.  No version before 3.11 uses this bit. */
#define OBJECTS_MANAGED_DICT (1ul << 4)

static void *
objects_field(PyObject *object, Py_ssize_t offset)
{
    return offset != 0 ? *(void **)((char *)object + offset) : NULL;
}

static bool
objects_has_flag(PyObject *object, unsigned long flag)
{
    return (PyType_GetFlags(Py_TYPE(object)) & flag) != 0;
}

static bool
objects_is_type(PyObject *object)
{
    return objects_has_flag(object, Py_TPFLAGS_TYPE_SUBCLASS);
}

static bool
objects_is_dict(PyObject *object)
{
    return objects_has_flag(object, Py_TPFLAGS_DICT_SUBCLASS);
}

/* References to the object.  Since 3.14 the upper half of the field has flags. */
static uint32_t
objects_references(PyObject *object)
{
    return (uint32_t)*(Py_ssize_t *)object;
}

/* Whether an object that the collector does not track is of a type that is known
   to be sound then and to refer to others. */
static bool
objects_refers_untracked(const struct objects_layout *layout, PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return type == &PyTuple_Type || type == &PyDict_Type || type == layout->code_type;
}

/* The dict with the attributes of an instance, a module or a function; NULL: it has
   none, or none yet. */
static PyObject *
objects_attributes(const struct objects_layout *layout, PyObject *object)
{
    void *dict = NULL;
    if (objects_has_flag(object, OBJECTS_MANAGED_DICT)) {
        dict = objects_field(object, layout->instance_dict);
        if (((uintptr_t)dict & 1) != 0) {       /* the values, in the same place */
            return NULL;
        }
    }
    else if (layout->type_dictoffset != 0 && !objects_is_type(object)) {
        Py_ssize_t offset = (Py_ssize_t)objects_field((PyObject *)Py_TYPE(object),
                                                      layout->type_dictoffset);
        dict = offset > 0 ? objects_field(object, offset) : NULL;
    }
    return dict != NULL && Py_TYPE(dict) == &PyDict_Type ? dict : NULL;
}

static void
objects_visit_str_memory(const struct objects_layout *layout, PyObject *text,
                         objects_memory_visitor visit, void *data)
{
    if (layout->str_state == 0) {
        return;
    }
    uint8_t state = *(uint8_t *)((char *)text + layout->str_state);
    bool ascii = (state & layout->str_ascii) != 0;
    bool compact = (state & layout->str_compact) != 0;
    if (!(ascii && compact)) {
        visit(objects_field(text, layout->str_utf8), data);
    }
    if (!compact) {
        visit(objects_field(text, layout->str_data), data);
    }
}

static void
objects_visit_values(const struct objects_layout *layout, PyObject *instance,
                     objects_memory_visitor visit, void *data)
{
    uintptr_t values = (uintptr_t)objects_field(instance, layout->instance_values);
    if ((values & 1) == (uintptr_t)layout->instance_values_tag) {
        visit((void *)values, data);
    }
}

/* Call visit() with the memory that the object has beside itself; NULL included. */
static void
objects_visit_memory(const struct objects_layout *layout, PyObject *object,
                     objects_memory_visitor visit, void *data)
{
    unsigned long flags = PyType_GetFlags(Py_TYPE(object));
    if (flags & Py_TPFLAGS_LIST_SUBCLASS) {
        visit(objects_field(object, layout->list_items), data);
    }
    else if (flags & Py_TPFLAGS_DICT_SUBCLASS) {
        visit(objects_field(object, layout->dict_keys), data);
        visit(objects_field(object, layout->dict_values), data);
    }
    else if (flags & Py_TPFLAGS_UNICODE_SUBCLASS) {
        objects_visit_str_memory(layout, object, visit, data);
    }
    else if (flags & Py_TPFLAGS_TYPE_SUBCLASS) {
        bool on_heap = (PyType_GetFlags((PyTypeObject *)object) & Py_TPFLAGS_HEAPTYPE) != 0;
        visit(on_heap ? objects_field(object, layout->type_keys) : NULL, data);
    }
    else if (PyType_IsSubtype(Py_TYPE(object), &PySet_Type)
             || PyType_IsSubtype(Py_TYPE(object), &PyFrozenSet_Type)) {
        visit(objects_field(object, layout->set_table), data);
    }
    else if (PyType_IsSubtype(Py_TYPE(object), &PyByteArray_Type)) {
        visit(objects_field(object, layout->bytearray_bytes), data);
    }
    if (flags & OBJECTS_MANAGED_DICT) {
        objects_visit_values(layout, object, visit, data);
    }
}

/* Call visit() with what the object, which is sound, refers to. */
static void
objects_visit_references(const struct objects_layout *layout, PyObject *object,
                         visitproc visit, void *data)
{
    if (Py_TYPE(object) == layout->code_type) {     /* it has no tp_traverse */
        for (size_t i = 0; i < layout->code_field_count; i++) {
            visit(objects_field(object, layout->code_fields[i]), data);
        }
        return;
    }
    traverseproc traverse =
        (traverseproc)objects_field((PyObject *)Py_TYPE(object), layout->type_traverse);
    if (traverse != NULL) {
        traverse(object, visit, data);
    }
}

/* From Python --------------------------------------------------------------------- */

#define FIELD(name) {#name, offsetof(struct objects_layout, name)}
static const struct { const char *key; size_t offset; } objects_fields[] = {
    FIELD(list_items), FIELD(dict_keys), FIELD(dict_values), FIELD(set_table),
    FIELD(bytearray_bytes), FIELD(str_state), FIELD(str_ascii), FIELD(str_compact),
    FIELD(str_utf8), FIELD(str_data), FIELD(type_traverse), FIELD(type_dictoffset),
    FIELD(type_keys), FIELD(instance_values), FIELD(instance_values_tag), FIELD(instance_dict),
};
#undef FIELD

/* false, with an exception: code_fields is not a tuple of a few integers. */
static bool
objects_code_fields_from(struct objects_layout *layout, PyObject *fields)
{
    Py_ssize_t count = PyTuple_Size(fields);
    for (Py_ssize_t i = 0; i < count && i < OBJECTS_MOST_CODE_FIELDS; i++) {
        layout->code_fields[i] = PyLong_AsSsize_t(PyTuple_GetItem(fields, i));
        layout->code_field_count++;
    }
    return count >= 0 && PyErr_Occurred() == NULL;
}

/* The value of a key in a dict, a borrowed reference.  NULL, with an exception: there is
   none, or no memory; PyDict_GetItemString() would not set an exception. */
static PyObject *
objects_entry(PyObject *dict, const char *key)
{
    PyObject *value = PyMapping_GetItemString(dict, key);
    Py_XDECREF(value);
    return value;
}

/* Fill in the layout from a dict as _layout.py makes it.  false, with an exception:
   an entry is missing or of the wrong type, or no memory. */
static bool
objects_layout_from(struct objects_layout *layout, PyObject *dict)
{
    memset(layout, 0, sizeof(*layout));
    PyObject *code_type = objects_entry(dict, "code_type");
    PyObject *code_fields = code_type != NULL ? objects_entry(dict, "code_fields") : NULL;
    if (code_fields == NULL) {
        return false;
    }
    layout->code_type = (PyTypeObject *)code_type;
    for (size_t i = 0; i < Py_ARRAY_LENGTH(objects_fields); i++) {
        PyObject *value = objects_entry(dict, objects_fields[i].key);
        Py_ssize_t offset = value != NULL ? PyLong_AsSsize_t(value) : -1;
        if (offset == -1 && PyErr_Occurred() != NULL) {
            return false;
        }
        *(Py_ssize_t *)((char *)layout + objects_fields[i].offset) = offset;
    }
    return objects_code_fields_from(layout, code_fields);
}

/* Reading, for _layout.py ----------------------------------------------------------- */

/* The live block that address lies in: its address, and its size in bytes.  0: it lies
   in none. */
static size_t
objects_block(const void *address, uintptr_t *start)
{
    const struct obm_heap *heap = _PyObmalloc_Heap();
    const struct obm_pool *pool = _PyObmalloc_FindPool(address);
    uint64_t live[OBM_POOL_WORDS];
    if (pool == NULL || pool->state == OBM_POOL_FREE || !_PyObmalloc_LiveBlocks(pool, live)) {
        return 0;
    }
    uintptr_t first = (uintptr_t)_PyObmalloc_FirstBlock(pool);
    size_t size = obm_class_size(heap, pool->size_class);
    size_t block = ((uintptr_t)address - first) / size;
    if (block >= 64 * OBM_POOL_WORDS || !(live[block / 64] >> (block % 64) & 1)) {
        return 0;
    }
    *start = first + block * size;
    return size;
}

PyDoc_STRVAR(block_doc,
"block(address, /) -> (address, bytes) or None\n"
"\n"
"The live block of the heap that address lies in, and what it holds; None if it\n"
"lies in no live block.");

static PyObject *
obmalloc_block(PyObject *Py_UNUSED(module), PyObject *args)
{
    unsigned long long address;
    if (!PyArg_ParseTuple(args, "K:block", &address)) {
        return NULL;
    }
    uintptr_t start;
    size_t size = objects_block((const void *)(uintptr_t)address, &start);
    return size != 0 ? Py_BuildValue("(Ky#)", (unsigned long long)start, (const char *)start,
                                     (Py_ssize_t)size)
                     : Py_BuildValue("");
}

/* The bytes that each instance of its type has; -1, with an exception. */
static Py_ssize_t
objects_basic_size(PyObject *object)
{
    PyObject *value = PyObject_GetAttrString((PyObject *)Py_TYPE(object), "__basicsize__");
    Py_ssize_t size = value != NULL ? PyLong_AsSsize_t(value) : -1;
    Py_XDECREF(value);
    return size;
}

PyDoc_STRVAR(words_doc,
"words(object, first, count, /) -> tuple of int, or None\n"
"\n"
"Of the memory of an object so many pointers, from number first on.  None where\n"
"they do not all lie in the part that each instance of its type has, or all in the\n"
"block of the heap that holds the object.");

static PyObject *
obmalloc_words(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *object;
    Py_ssize_t first, count;
    if (!PyArg_ParseTuple(args, "Onn:words", &object, &first, &count)) {
        return NULL;
    }
    Py_ssize_t basic_size = objects_basic_size(object);
    if (basic_size < 0) {
        return NULL;
    }
    const Py_ssize_t word = (Py_ssize_t)sizeof(uintptr_t), most = 1 << 16;
    uintptr_t start = 0;
    size_t size = objects_block(object, &start);
    if (first < -most || first > most || count < 0 || count > most) {
        return Py_BuildValue("");
    }
    uintptr_t from = (uintptr_t)object + (uintptr_t)(first * word);
    bool inside = first >= 0 && (first + count) * word <= basic_size;
    bool in_block = size != 0 && from >= start
                    && from + (uintptr_t)(count * word) <= start + size;
    if (!inside && !in_block) {
        return Py_BuildValue("");
    }
    PyObject *tuple = PyTuple_New(count);
    for (Py_ssize_t i = 0; tuple != NULL && i < count; i++) {
        PyObject *value = PyLong_FromSize_t(((const uintptr_t *)from)[i]);
        if (value == NULL) {
            Py_CLEAR(tuple);
            break;
        }
        PyTuple_SetItem(tuple, i, value);
    }
    return tuple;
}

PyDoc_STRVAR(traverse_doc,
"traverse(type, /) -> int\n"
"\n"
"The address of the tp_traverse of a class that Python code has made.");

static PyObject *
obmalloc_traverse(PyObject *Py_UNUSED(module), PyObject *type)
{
    if (!objects_is_type(type) || !(PyType_GetFlags((PyTypeObject *)type) & Py_TPFLAGS_HEAPTYPE)) {
        PyErr_SetString(PyExc_TypeError, "traverse() takes a class that Python code has made");
        return NULL;
    }
    return PyLong_FromSize_t((size_t)PyType_GetSlot((PyTypeObject *)type, Py_tp_traverse));
}

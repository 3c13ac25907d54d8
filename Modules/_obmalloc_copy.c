/* Copies of values that consist of objects of Python's basic types only, for obmalloc.keep() and
   obmalloc.compact().  A part of _obmalloc.c.

   They are what pickle would make of them: interned strings, classes and modules are shared,
   what the value refers to several times is copied once, and cycles stay cycles.  It costs
   neither the pickle nor the calls of Python that ask what is shared.  An object that is not
   of exactly one of these types, lies too deep, or changes meanwhile makes it give up without
   a trace; then pickle copies the whole value.

   Which objects need to be remembered: those with more references than the one that has
   led to them.  All that the value refers to holds counted references, so no second
   way leads to an object with one.  But for a key of type str that is not interned: the
   dicts of a class's instances may share their keys, with one reference for all of them.

   No copying calls Python code, which might raise KeyboardInterrupt: classes whose metaclass may
   define __hash__() or __eq__() are left to pickle.

   Before 3.12 a collection may begin whenever an object that refers to others is made, and run
   Python code: it may change the originals, and see the unfinished copies.  So each original
   is held while it is copied, sizes are compared after each step, and no copy that the
   collector tracks has an empty place.

   Functions return NULL without an exception where they give up. */

#define COPY_DEEPEST 100        /* values inside each other */
#define COPY_FEW 16             /* a power of 2 */

struct copied {
    PyObject *object;           /* NULL: this place is empty */
    PyObject *copy;             /* NULL: not made yet */
};

/* One copy under way.  Holds references to all that is in places, which are open addressing by
   the address of the object and at most half full. */
struct copying {
    struct copied *places;
    size_t capacity, count;
    unsigned depth;
    size_t bytes;               /* of the copies, about */
    struct copied few[COPY_FEW];
};

/* Strings --------------------------------------------------------------------------- */

/* What the first byte of a string's state (see has_interned_bits()) tells besides. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#  define OBM_KIND_SHIFT 3
#  define OBM_COMPACT_BIT 0x04u
#  define OBM_ASCII_BIT 0x02u
#else
#  define OBM_KIND_SHIFT 2
#  define OBM_COMPACT_BIT 0x20u
#  define OBM_ASCII_BIT 0x40u
#endif
#define OBM_KIND_BITS (7u << OBM_KIND_SHIFT)

static unsigned
string_state(PyObject *string)
{
    return ((const unsigned char *)string)[OBM_STATE_OFFSET];
}

/* Bytes a character. */
static unsigned
string_kind(unsigned state)
{
    return (state & OBM_KIND_BITS) >> OBM_KIND_SHIFT;
}

/* Whether string_state() is what is expected of a new string. */
static int
string_state_is_right(const char *utf8, unsigned kind, unsigned ascii_bit)
{
    PyObject *string = PyUnicode_DecodeUTF8(utf8, (Py_ssize_t)strlen(utf8), NULL);
    if (string == NULL) {
        return -1;
    }
    unsigned known = OBM_KIND_BITS | OBM_COMPACT_BIT | OBM_ASCII_BIT | OBM_INTERNED_BITS;
    int right = (string_state(string) & known)
                == (kind << OBM_KIND_SHIFT | OBM_COMPACT_BIT | ascii_bit);
    Py_DECREF(string);
    return right;
}

/* Whether this interpreter's strings are laid out as they are in all versions that are known.
   All interpreters of a process come to the same result. */
static int strings_are_known;

/* -1, with an exception: there is no memory. */
static int
learn_strings(void)
{
    int right = interned_bits_are_right();
    static const struct { const char *utf8; unsigned kind, ascii_bit; } samples[] = {
        {"ASCII", 1, OBM_ASCII_BIT}, {"\xc3\xa9t\xc3\xa9", 1, 0},
        {"5 \xe2\x82\xac", 2, 0}, {"\xf0\x9f\x98\x80 :", 4, 0},
    };
    for (size_t i = 0; right > 0 && i < Py_ARRAY_LENGTH(samples); i++) {
        right = string_state_is_right(samples[i].utf8, samples[i].kind, samples[i].ascii_bit);
    }
    if (right >= 0) {
        OBM_PUBLISH(&strings_are_known, right);
    }
    return right < 0 ? -1 : 0;
}

static PyObject *
copy_str(struct copying *copying, PyObject *string)
{
    unsigned state = string_state(string), kind = string_kind(state);
    if (!(state & OBM_COMPACT_BIT)) {       /* of the old kinds, which 3.12 has abolished */
        return NULL;
    }
    Py_ssize_t length = PyUnicode_GetLength(string);
    if (length == 1) {              /* Python has only one of some */
        return PyUnicode_FromOrdinal((int)PyUnicode_ReadChar(string, 0));
    }
    Py_UCS4 most = kind == 4 ? 0x10ffff : kind == 2 ? 0xffff : state & OBM_ASCII_BIT ? 0x7f : 0xff;
    PyObject *copy = PyUnicode_New(length, most);
    if (copy != NULL && length > 0
        && PyUnicode_CopyCharacters(copy, 0, string, 0, length) < 0) {
        Py_DECREF(copy);
        return NULL;
    }
    copying->bytes += 6 * sizeof(void *) + (size_t)length * kind;
    return copy;
}

/* Others that refer to nothing ------------------------------------------------------- */

static PyObject *
copy_large_int(struct copying *copying, PyObject *number)
{
    PyObject *negative = PyNumber_Negative(number);
    PyObject *copy = negative != NULL ? PyNumber_Negative(negative) : NULL;
    PyObject *size = copy != NULL ? PyObject_CallMethod(copy, "__sizeof__", NULL) : NULL;
    if (size == NULL) {
        Py_CLEAR(copy);
    }
    else {
        copying->bytes += (size_t)PyLong_AsSsize_t(size);
        Py_DECREF(size);
    }
    Py_XDECREF(negative);
    return copy;
}

static PyObject *
copy_int(struct copying *copying, PyObject *number)
{
    int overflow;
    long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow == 0) {
        copying->bytes += 4 * sizeof(void *);
        return PyLong_FromLongLong(value);
    }
    /* The call may begin a collection. */
    Py_INCREF(number);
    PyObject *copy = copy_large_int(copying, number);
    Py_DECREF(number);
    return copy;
}

static PyObject *
copy_bytes(struct copying *copying, PyObject *bytes)
{
    Py_ssize_t size = PyBytes_Size(bytes);
    copying->bytes += 5 * sizeof(void *) + (size_t)size;
    return PyBytes_FromStringAndSize(PyBytes_AsString(bytes), size);
}

static PyObject *
copy_bytearray(struct copying *copying, PyObject *bytes)
{
    Py_ssize_t size = PyByteArray_Size(bytes);
    copying->bytes += 7 * sizeof(void *) + (size_t)size;
    return PyByteArray_FromStringAndSize(PyByteArray_AsString(bytes), size);
}

static PyObject *
copy_complex(struct copying *copying, PyObject *number)
{
    copying->bytes += 4 * sizeof(void *);
    return PyComplex_FromDoubles(PyComplex_RealAsDouble(number), PyComplex_ImagAsDouble(number));
}

static PyObject *
copy_float(struct copying *copying, PyObject *number)
{
    copying->bytes += 3 * sizeof(void *);
    return PyFloat_FromDouble(PyFloat_AsDouble(number));
}

/* What was copied --------------------------------------------------------------------- */

/* The place of an object, or the empty one where it belongs. */
static struct copied *
copied_place(struct copied *places, size_t capacity, const PyObject *object)
{
    size_t place = graph_hash(object, capacity);
    while (places[place].object != NULL && places[place].object != object) {
        place = (place + 1) & (capacity - 1);
    }
    return &places[place];
}

/* false, with an exception: there is no memory. */
static bool
copying_grow(struct copying *copying)
{
    size_t capacity = 4 * copying->capacity;
    struct copied *places = PyMem_RawCalloc(capacity, sizeof(*places));
    if (places == NULL) {
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < copying->capacity; i++) {
        if (copying->places[i].object != NULL) {
            *copied_place(places, capacity, copying->places[i].object) = copying->places[i];
        }
    }
    if (copying->places != copying->few) {
        PyMem_RawFree(copying->places);
    }
    copying->places = places;
    copying->capacity = capacity;
    return true;
}

/* Note that an object is being copied, which was not noted yet.  false, with an exception: there
   is no memory. */
static bool
copying_begin(struct copying *copying, PyObject *object)
{
    if (2 * (copying->count + 1) > copying->capacity && !copying_grow(copying)) {
        return false;
    }
    Py_INCREF(object);
    copied_place(copying->places, copying->capacity, object)->object = object;
    copying->count++;
    return true;
}

/* Note the copy of an object, if that was not done before. */
static void
copying_note(struct copying *copying, PyObject *object, PyObject *copy)
{
    struct copied *place = copied_place(copying->places, copying->capacity, object);
    if (place->copy == NULL) {
        Py_INCREF(copy);
        place->copy = copy;
    }
}

/* The copies are dropped, so those that refer to each other must not wait for the collector. */
static void
copying_empty_copies(const struct copying *copying)
{
    for (size_t i = 0; i < copying->capacity; i++) {
        PyObject *copy = copying->places[i].copy;
        if (copy == NULL || copy == copying->places[i].object) {
            continue;
        }
        if (Py_TYPE(copy) == &PyDict_Type) {
            PyDict_Clear(copy);
        }
        else if (Py_TYPE(copy) == &PyList_Type) {
            PyList_SetSlice(copy, 0, PyList_Size(copy), NULL);
        }
    }
}

static void
copying_end(struct copying *copying)
{
    for (size_t i = 0; i < copying->capacity; i++) {
        if (copying->places[i].object != NULL) {
            Py_XDECREF(copying->places[i].copy);
            Py_DECREF(copying->places[i].object);
        }
    }
    if (copying->places != copying->few) {
        PyMem_RawFree(copying->places);
    }
}

/* What can be copied -------------------------------------------------------------------- */

/* Whether a copy refers to the very same object. */
static bool
copy_shares(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    if (type == &PyUnicode_Type) {
        return has_interned_bits(object);
    }
    return object == Py_None || type == &PyBool_Type || type == &PyModule_Type
           || type == &PyType_Type;
}

/* Whether an object is shared, or of a type that can be copied.  Items are asked before their
   container is copied, so that little is done in vain where one of them is an instance. */
static bool
copy_knows(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    return type == &PyUnicode_Type || type == &PyLong_Type || type == &PyFloat_Type
           || type == &PyDict_Type || type == &PyList_Type || type == &PyTuple_Type
           || type == &PySet_Type || type == &PyFrozenSet_Type || type == &PyBytes_Type
           || type == &PyByteArray_Type || type == &PyComplex_Type || copy_shares(object);
}

static bool
copy_knows_items(PyObject *list)
{
    Py_ssize_t i = PyList_Size(list) - 1;
    while (i >= 0 && copy_knows(PyList_GetItem(list, i))) {
        i--;
    }
    return i < 0;
}

static bool
copy_knows_values(PyObject *dict)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    bool known = true;
    while (known && PyDict_Next(dict, &position, &key, &value)) {
        known = copy_knows(value);
    }
    return known;
}

/* What refers to others ----------------------------------------------------------------- */

static PyObject *copy_object(struct copying *copying, PyObject *object, uint32_t references);

static PyObject *
copy_list(struct copying *copying, PyObject *list, bool noted)
{
    Py_ssize_t size = PyList_Size(list), i;
    PyObject *copy = copy_knows_items(list) ? PyList_New(size) : NULL;
    if (copy == NULL) {
        return NULL;
    }
    copying->bytes += (7 + (size_t)size) * sizeof(void *);
    for (i = 0; i < size; i++) {
        Py_INCREF(Py_None);
        PyList_SetItem(copy, i, Py_None);
    }
    if (noted) {
        copying_note(copying, list, copy);
    }
    for (i = 0; i < size && PyList_Size(list) == size; i++) {
        PyObject *item = copy_object(copying, PyList_GetItem(list, i), 1);
        if (item == NULL || PyList_SetItem(copy, i, item) < 0) {
            break;
        }
    }
    if (i < size) {
        Py_CLEAR(copy);
    }
    return copy;
}

/* Until it is complete the collector does not know of it. */
static PyObject *
copy_tuple(struct copying *copying, PyObject *tuple)
{
    Py_ssize_t size = PyTuple_Size(tuple), i;
    PyObject *copy = PyTuple_New(size);
    if (copy == NULL || size == 0) {
        return copy;
    }
    copying->bytes += (5 + (size_t)size) * sizeof(void *);
    PyObject_GC_UnTrack(copy);
    for (i = 0; i < size; i++) {
        PyObject *item = copy_object(copying, PyTuple_GetItem(tuple, i), 1);
        if (item == NULL || PyTuple_SetItem(copy, i, item) < 0) {
            Py_DECREF(copy);
            return NULL;
        }
    }
    PyObject_GC_Track(copy);
    return copy;
}

/* false: with an exception, or it gives up.  The dict may let go of the value while the key is
   copied. */
static bool
copy_entry(struct copying *copying, PyObject *copy, PyObject *key, PyObject *value)
{
    Py_INCREF(value);
    PyObject *new_key = copy_object(copying, key, Py_TYPE(key) != &PyUnicode_Type);
    PyObject *new_value = new_key != NULL ? copy_object(copying, value, 2) : NULL;
    Py_DECREF(value);
    bool done = new_value != NULL && PyDict_SetItem(copy, new_key, new_value) == 0;
    Py_XDECREF(new_key);
    Py_XDECREF(new_value);
    return done;
}

static PyObject *
copy_dict(struct copying *copying, PyObject *dict, bool noted)
{
    PyObject *key, *value, *copy = copy_knows_values(dict) ? PyDict_New() : NULL;
    if (copy == NULL) {
        return NULL;
    }
    if (noted) {
        copying_note(copying, dict, copy);
    }
    Py_ssize_t size = PyDict_Size(dict), position = 0;
    copying->bytes += (size == 0 ? 8 : 14 + 5 * (size_t)size) * sizeof(void *);
    while (PyDict_Next(dict, &position, &key, &value)) {
        if (!copy_entry(copying, copy, key, value) || PyDict_Size(dict) != size) {
            Py_DECREF(copy);
            return NULL;
        }
    }
    return copy;
}

/* A list of copies of what is in a set.  The collector does not know of it, so no other
   code changes it. */
static PyObject *
copy_elements(struct copying *copying, PyObject *set)
{
    PyObject *elements = PySequence_List(set);
    if (elements == NULL) {
        return NULL;
    }
    PyObject_GC_UnTrack(elements);
    for (Py_ssize_t i = PyList_Size(elements) - 1; i >= 0; i--) {
        PyObject *element = copy_object(copying, PyList_GetItem(elements, i), 2);
        if (element == NULL || PyList_SetItem(elements, i, element) < 0) {
            Py_DECREF(elements);
            return NULL;
        }
    }
    return elements;
}

static PyObject *
copy_set(struct copying *copying, PyObject *set)
{
    PyObject *elements = copy_elements(copying, set);
    if (elements == NULL) {
        return NULL;
    }
    size_t size = (size_t)PyList_Size(elements);
    copying->bytes += (size < 5 ? 27 : 25 + 6 * size) * sizeof(void *);
    PyObject *copy = Py_TYPE(set) == &PySet_Type ? PySet_New(elements)
                                                 : PyFrozenSet_New(elements);
    Py_DECREF(elements);
    return copy;
}

static PyObject *
copy_container(struct copying *copying, PyObject *object, bool noted)
{
    PyTypeObject *type = Py_TYPE(object);
    PyObject *copy = NULL;
    if (copying->depth == COPY_DEEPEST) {
        return NULL;
    }
    Py_INCREF(object);
    copying->depth++;
    if (type == &PyDict_Type) {
        copy = copy_dict(copying, object, noted);
    }
    else if (type == &PyList_Type) {
        copy = copy_list(copying, object, noted);
    }
    else if (type == &PyTuple_Type) {
        copy = copy_tuple(copying, object);
    }
    else if (type == &PySet_Type || type == &PyFrozenSet_Type) {
        copy = copy_set(copying, object);
    }
    copying->depth--;
    Py_DECREF(object);
    return copy;
}

/* Objects --------------------------------------------------------------------------------- */

static PyObject *
copy_anew(struct copying *copying, PyObject *object, bool noted)
{
    PyTypeObject *type = Py_TYPE(object);
    return type == &PyUnicode_Type ? copy_str(copying, object)
           : type == &PyLong_Type ? copy_int(copying, object)
           : type == &PyFloat_Type ? copy_float(copying, object)
           : type == &PyBytes_Type ? copy_bytes(copying, object)
           : type == &PyByteArray_Type ? copy_bytearray(copying, object)
           : type == &PyComplex_Type ? copy_complex(copying, object)
           : copy_container(copying, object, noted);
}

/* references: how many are known to come from the one place that has led here. */
static PyObject *
copy_object(struct copying *copying, PyObject *object, uint32_t references)
{
    if (copy_shares(object)) {
        Py_INCREF(object);
        return object;
    }
    bool noted = objects_references(object) > references;
    if (noted) {
        PyObject *known = copied_place(copying->places, copying->capacity, object)->object;
        if (known != NULL) {    /* without a copy: a tuple within itself */
            PyObject *copy = copied_place(copying->places, copying->capacity, object)->copy;
            Py_XINCREF(copy);
            return copy;
        }
        if (!copying_begin(copying, object)) {
            return NULL;
        }
    }
    PyObject *copy = copy_anew(copying, object, noted);
    if (copy != NULL && noted) {
        copying_note(copying, object, copy);
    }
    return copy;
}

/* A copy of value in long-lived pages, and about how many bytes it has.  container stays shared;
   NULL: there is none.  NULL without an exception: it is for pickle. */
static PyObject *
copy_value(PyObject *value, PyObject *container, size_t *bytes)
{
    struct copying copying = {.capacity = COPY_FEW};
    if (!OBM_PUBLISHED(&strings_are_known)) {
        return NULL;
    }
    copying.places = copying.few;
    if (container != NULL) {
        copying_begin(&copying, container);     /* there is room */
        copying_note(&copying, container, container);
    }
    uintptr_t thread = _PyObmalloc_EnterLonglived();
    PyObject *copy = copy_object(&copying, value, 0);
    _PyObmalloc_ExitLonglived(thread);
    PyObject *type = NULL, *error = NULL, *traceback = NULL;
    if (copy == NULL) {
        if (PyErr_Occurred() != NULL && PyErr_ExceptionMatches(PyExc_MemoryError)) {
            PyErr_Fetch(&type, &error, &traceback);
        }
        PyErr_Clear();
        copying_empty_copies(&copying);
    }
    copying_end(&copying);
    if (type != NULL) {
        PyErr_Restore(type, error, traceback);
    }
    *bytes = copying.bytes;
    return copy;
}

/* From Python ----------------------------------------------------------------------------- */

PyDoc_STRVAR(copy_doc,
"copy(value, /) -> object or NotImplemented\n"
"\n"
"A copy of value in pages for what lives long, if it consists of objects of Python's basic\n"
"types only: dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, complex, bool,\n"
"None, classes without a metaclass and modules, no subclasses.  Classes, modules and interned\n"
"strings are shared.  NotImplemented: of others; or it is nested too deeply, a tuple in it\n"
"refers to itself, or it was changed meanwhile.  Raises MemoryError.");

static PyObject *
obmalloc_copy(PyObject *Py_UNUSED(module), PyObject *value)
{
    size_t bytes;
    PyObject *copy = copy_value(value, NULL, &bytes);
    if (copy == NULL && PyErr_Occurred() == NULL) {
        copy = Py_NotImplemented;
        Py_INCREF(copy);
    }
    return copy;
}

PyDoc_STRVAR(copy_values_doc,
"copy_values(values, container, /) -> (list, int) or None\n"
"\n"
"A copy of a list of values by copy(), which refers to container where they do, and about\n"
"how many bytes it has.  None where copy() returns NotImplemented.");

static PyObject *
obmalloc_copy_values(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *values, *container;
    size_t bytes;
    if (!PyArg_ParseTuple(args, "O!O:copy_values", &PyList_Type, &values, &container)) {
        return NULL;
    }
    PyObject *copies = copy_value(values, container, &bytes);
    if (copies == NULL) {
        return PyErr_Occurred() != NULL ? NULL : Py_BuildValue("");
    }
    return Py_BuildValue("(Nn)", copies, (Py_ssize_t)bytes);
}

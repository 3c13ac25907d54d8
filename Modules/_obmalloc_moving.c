/* What obmalloc.longlived(), obmalloc.keep() and obmalloc.compact() need of C: how a thread is
   marked, which objects a copy shares with the original, and how an entry of a container is
   replaced while no other thread runs.  A part of the module: see _obmalloc_functions.c. */

/* Long-lived blocks ------------------------------------------------------------------- */

#define NOT_IN_FORCE "longlived: obmalloc is not in force, so it has no pages of its own: " \
                     "`python -m obmalloc doctor` tells why"

/* What obmalloc.longlived is made of.  Entering and leaving are C functions, so no signal handler
   can raise an exception between the mark and the note of it, as with a lock. */
struct entries {
    PyObject_HEAD
    PyObject *threads;      /* a list: the thread of each entry that is to be left; or NULL */
};

static PyObject *
entries_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct entries *entries = (struct entries *)self;
    int active = is_active();
    if (active <= 0) {
        if (active == 0) {
            PyErr_SetString(PyExc_RuntimeError, NOT_IN_FORCE);
        }
        return NULL;
    }
    if (entries->threads == NULL) {
        entries->threads = PyList_New(0);
        if (entries->threads == NULL) {
            return NULL;
        }
    }
    uintptr_t thread = _PyObmalloc_EnterLonglived();
    if (thread == 0) {
        return PyErr_NoMemory();
    }
    PyObject *number = PyLong_FromSize_t(thread);
    int failed = number == NULL || PyList_Append(entries->threads, number) < 0;
    Py_XDECREF(number);
    if (failed) {
        _PyObmalloc_ExitLonglived(thread);
        return NULL;
    }
    Py_INCREF(self);
    return self;
}

/* The entry to leave: the last one of the calling thread, or of any.  -1: there is none. */
static Py_ssize_t
entries_last(const struct entries *entries)
{
    Py_ssize_t count = entries->threads == NULL ? 0 : PyList_Size(entries->threads);
    for (Py_ssize_t i = count - 1; i >= 0; i--) {
        PyObject *number = PyList_GetItem(entries->threads, i);
        if ((uintptr_t)PyLong_AsSsize_t(number) == _PyObmalloc_ThisThread()) {
            return i;
        }
    }
    return count - 1;
}

static PyObject *
entries_exit(PyObject *self, PyObject *Py_UNUSED(exception))
{
    struct entries *entries = (struct entries *)self;
    Py_ssize_t last = entries_last(entries);
    if (last < 0) {
        PyErr_SetString(PyExc_RuntimeError, "longlived: it was left more often than entered");
        return NULL;
    }
    uintptr_t thread = (uintptr_t)PyLong_AsSsize_t(PyList_GetItem(entries->threads, last));
    if (PyList_SetSlice(entries->threads, last, last + 1, NULL) < 0) {
        return NULL;
    }
    _PyObmalloc_ExitLonglived(thread);
    Py_RETURN_NONE;
}

/* An object that goes leaves as often as it still has to. */
static void
entries_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *threads = ((struct entries *)self)->threads;
    for (Py_ssize_t i = threads == NULL ? 0 : PyList_Size(threads); i > 0; i--) {
        _PyObmalloc_ExitLonglived((uintptr_t)PyLong_AsSsize_t(PyList_GetItem(threads, i - 1)));
    }
    Py_XDECREF(threads);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(entries_doc,
"A context manager: what the calling thread allocates inside lies in pages for what lives\n"
"long.  obmalloc.longlived is a class of it, and documents it.");

static PyMethodDef entries_methods[] = {
    {"__enter__", entries_enter, METH_NOARGS, "Enter; return self."},
    {"__exit__", entries_exit, METH_VARARGS, "Leave."},
    {NULL, NULL, 0, NULL}
};

static PyType_Slot entries_slots[] = {
    {Py_tp_doc, (void *)entries_doc},
    {Py_tp_methods, entries_methods},
    {Py_tp_dealloc, (void *)entries_dealloc},
    {0, NULL}
};

static PyType_Spec entries_spec = {
    .name = "_obmalloc.Entries",
    .basicsize = sizeof(struct entries),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE,
    .slots = entries_slots,
};

/* -1, with an exception: there is no memory. */
static int
add_entries(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&entries_spec);
    int failed = type == NULL || PyObject_SetAttrString(module, "Entries", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

PyDoc_STRVAR(call_longlived_doc,
"call_longlived(function, arguments, /) -> object\n"
"\n"
"What function(*arguments) returns.  What it allocates lies in pages for what lives long,\n"
"if the heap is in force and has memory for a mark.");

static PyObject *
obmalloc_call_longlived(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *function, *arguments;
    if (!PyArg_ParseTuple(args, "OO!:call_longlived", &function, &PyTuple_Type, &arguments)) {
        return NULL;
    }
    uintptr_t thread = _PyObmalloc_EnterLonglived();
    PyObject *result = PyObject_Call(function, arguments, NULL);
    _PyObmalloc_ExitLonglived(thread);
    return result;
}

PyDoc_STRVAR(only_this_thread_doc,
"only_this_thread() -> None\n"
"\n"
"Unmark all other threads, which a child process does not have.");

static PyObject *
obmalloc_only_this_thread(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    _PyObmalloc_OnlyThisThread();
    Py_RETURN_NONE;
}

/* Whether a string is interned ------------------------------------------------------- */

/* The stable ABI has no function that tells.  The first byte of a string's state, which
   follows its length and its hash, has the flag; which bits these are depends on the
   byte order. */
#define OBM_STATE_OFFSET (sizeof(PyObject) + sizeof(Py_ssize_t) + sizeof(Py_hash_t))
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#  define OBM_INTERNED_BITS 0xc0u
#else
#  define OBM_INTERNED_BITS 0x03u
#endif

static bool
has_interned_bits(PyObject *string)
{
    return (((const unsigned char *)string)[OBM_STATE_OFFSET] & OBM_INTERNED_BITS) != 0;
}

/* Whether has_interned_bits() is right about a new string and about the same one interned:
   1 or 0; -1 with an exception set. */
static int
interned_bits_are_right(void)
{
    PyObject *string = PyUnicode_FromFormat("not interned: %p", (void *)&has_interned_bits);
    if (string == NULL) {
        return -1;
    }
    bool before = has_interned_bits(string);
    PyUnicode_InternInPlace(&string);
    bool after = has_interned_bits(string);
    Py_DECREF(string);
    return !before && after;
}

/* What a copy shares ------------------------------------------------------------------ */

static PyObject *
share_index(PyObject *shared, PyObject *object)
{
    if (PyList_Append(shared, object) < 0) {
        return NULL;
    }
    return PyLong_FromSsize_t(PyList_Size(shared) - 1);
}

/* For persistent_id of a pickler; self is the list of what is shared, the first item of
   which is the container or None.  The result is an index of the object in it, or None
   if it is to be copied. */
static PyObject *
share_types(PyObject *shared, PyObject *object)
{
    if (PyType_Check(object) || Py_TYPE(object) == &PyModule_Type
        || (object == PyList_GetItem(shared, 0) && object != Py_None)) {
        return share_index(shared, object);
    }
    Py_RETURN_NONE;
}

static PyObject *
share_types_and_strings(PyObject *shared, PyObject *object)
{
    if (!PyUnicode_CheckExact(object)) {
        return share_types(shared, object);
    }
    if (has_interned_bits(object)) {
        return share_index(shared, object);
    }
    Py_RETURN_NONE;
}

static PyMethodDef share_types_method = {"share", share_types, METH_O, NULL};
static PyMethodDef share_types_and_strings_method = {
    "share", share_types_and_strings, METH_O, NULL
};

PyDoc_STRVAR(sharer_doc,
"sharer(shared, /) -> function\n"
"\n"
"A function for persistent_id of a pickler.  It appends interned strings, classes,\n"
"modules and the first item of shared to shared, a list that is not empty, and\n"
"returns their index in it, and None for other objects.  shared.__getitem__ is the\n"
"persistent_load of the unpickler.  An interpreter whose strings are laid out in\n"
"another way than is known has no interned ones for it.");

static PyObject *
obmalloc_sharer(PyObject *Py_UNUSED(module), PyObject *shared)
{
    if (!PyList_Check(shared) || PyList_Size(shared) < 1) {
        PyErr_SetString(PyExc_TypeError, "shared must be a list that is not empty");
        return NULL;
    }
    int right = interned_bits_are_right();
    if (right < 0) {
        return NULL;
    }
    return PyCFunction_NewEx(right ? &share_types_and_strings_method : &share_types_method,
                             shared, NULL);
}

/* Replacing an entry ------------------------------------------------------------------- */

PyDoc_STRVAR(replace_doc,
"replace(get, key, old, set, arguments, /) -> bool\n"
"\n"
"Call set(*arguments) if get(key) is old.  If both are methods written in C and bound to\n"
"a container, no other thread runs in between, nor is a signal handled or garbage\n"
"collected.  False: another object is there, or none (get raised IndexError).");

static PyObject *
obmalloc_replace(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *get, *key, *old, *set, *arguments;
    if (!PyArg_ParseTuple(args, "OOOOO!:replace", &get, &key, &old, &set,
                          &PyTuple_Type, &arguments)) {
        return NULL;
    }
    PyObject *found = PyObject_CallFunctionObjArgs(get, key, NULL);
    if (found == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_IndexError)) {
            return NULL;
        }
        PyErr_Clear();
        Py_RETURN_FALSE;
    }
    bool same = found == old;
    Py_DECREF(found);
    if (!same) {
        Py_RETURN_FALSE;
    }
    /* A new tuple here could be what makes the collector run, and with it Python code:
       before 3.12 each new container may.  So arguments is one, and nothing is to be bound. */
    PyObject *done = PyObject_Call(set, arguments, NULL);
    if (done == NULL) {
        return NULL;
    }
    Py_DECREF(done);
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(replace_element_doc,
"replace_element(set, old, update, arguments, /) -> bool\n"
"\n"
"Remove old from the set and call update(*arguments), which adds an equal element: a method\n"
"written in C, which takes the element's hash from a set.  If comparing runs no Python\n"
"code, no other thread runs in between.  False: old is not in it.");

static PyObject *
obmalloc_replace_element(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *set, *old, *update, *arguments;
    if (!PyArg_ParseTuple(args, "OOOO!:replace_element", &set, &old, &update,
                          &PyTuple_Type, &arguments)) {
        return NULL;
    }
    int removed = PySet_Discard(set, old);
    if (removed <= 0) {
        return removed < 0 ? NULL : PyBool_FromLong(0);
    }
    /* The old one goes back if the new one cannot be compared, or there is no memory: then
       PySet_Add() adds it all the same, since the set grows afterwards. */
    PyObject *done = PyObject_Call(update, arguments, NULL);
    if (done == NULL) {
        PyObject *type, *value, *traceback;
        PyErr_Fetch(&type, &value, &traceback);
        if (PySet_Contains(set, old) <= 0) {
            PyErr_Clear();
            PySet_Add(set, old);
            PyErr_Clear();
        }
        PyErr_Restore(type, value, traceback);
        return NULL;
    }
    Py_DECREF(done);
    Py_RETURN_TRUE;
}

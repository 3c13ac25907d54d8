/* The loadable library asks Python to be told of a fork and of the end: the purger must
   not be running then.  A part of _obmalloc.c.

   The module `os` may be half imported when the pending call comes, so posix is
   asked, of which os.register_at_fork() is a part.  And the thread may be about to wait for
   the lock of a module: before 3.12 importlib notes one such module for each thread, and
   another import by the thread deletes the note, so that the first one fails with KeyError
   (gh-91351).  So Python is asked later then. */

static bool
waits_for_a_module(void)
{
    PyObject *name = PyUnicode_FromString("_frozen_importlib");
    PyObject *importlib = name != NULL ? PyImport_GetModule(name) : NULL;
    PyObject *waiting = importlib != NULL ? PyObject_GetAttrString(importlib, "_blocking_on")
                                          : NULL;
    PyObject *thread = PyLong_FromUnsignedLong(PyThread_get_thread_ident());
    bool waits = waiting != NULL && thread != NULL && PyDict_Check(waiting)
                 && PyDict_GetItemWithError(waiting, thread) != NULL;
    PyErr_Clear();
    Py_XDECREF(thread);
    Py_XDECREF(waiting);
    Py_XDECREF(importlib);
    Py_XDECREF(name);
    return waits;
}

static PyObject *
before_fork(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    _PyObmalloc_BeforeFork(PyInterpreterState_Get());
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *
after_fork(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    obm_loadable_after_fork();
    Py_INCREF(Py_None);
    return Py_None;
}

static PyObject *
before_finalizing(PyObject *Py_UNUSED(self), PyObject *Py_UNUSED(ignored))
{
    _PyObmalloc_BeforeFinalizing(PyInterpreterState_Get());
    Py_INCREF(Py_None);
    return Py_None;
}

/* module.name(callback), or module.name(keyword=callback) where there is one. */
static bool
hand_over(const char *module_name, const char *name, const char *keyword, PyMethodDef *callback)
{
    PyObject *module = PyImport_ImportModule(module_name);
    PyObject *function = module != NULL ? PyObject_GetAttrString(module, name) : NULL;
    PyObject *ours = function != NULL ? PyCFunction_NewEx(callback, NULL, NULL) : NULL;
    PyObject *positional = NULL, *keywords = NULL, *result = NULL;
    if (ours != NULL) {
        positional = keyword != NULL ? Py_BuildValue("()") : Py_BuildValue("(O)", ours);
        keywords = keyword != NULL ? Py_BuildValue("{s:O}", keyword, ours) : NULL;
    }
    if (positional != NULL && (keyword == NULL || keywords != NULL)) {
        result = PyObject_Call(function, positional, keywords);
    }
    bool done = result != NULL;
    PyErr_Clear();
    Py_XDECREF(result);
    Py_XDECREF(keywords);
    Py_XDECREF(positional);
    Py_XDECREF(ours);
    Py_XDECREF(function);
    Py_XDECREF(module);
    return done;
}

int
obm_loadable_watch_python(void *Py_UNUSED(unused))
{
    static PyMethodDef fork_definition = {"before_fork", before_fork, METH_NOARGS, NULL};
    static PyMethodDef after_definition = {"after_fork", after_fork, METH_NOARGS, NULL};
    static PyMethodDef end_definition = {
        "before_finalizing", before_finalizing, METH_NOARGS, NULL};
    if (waits_for_a_module()) {
        obm_loadable_watch_answered(OBM_WATCH_LATER);
        return 0;
    }
    bool agreed = hand_over("posix", "register_at_fork", "before", &fork_definition)
                  && hand_over("posix", "register_at_fork", "after_in_parent", &after_definition)
                  && hand_over("atexit", "register", NULL, &end_definition);
    obm_loadable_watch_answered(agreed ? OBM_WATCH_AGREED : OBM_WATCH_REFUSED);
    return 0;
}

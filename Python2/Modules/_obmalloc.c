/* The module _obmalloc in Python 2: what Modules/_obmalloc.c is in Python 3.
   Python2/Lib/obmalloc/ is what people import. */

#include "Python.h"
#include <stdbool.h>
#include "obmalloc/choice.h"        /* WITH_OBMALLOC_ARENAS */

#if WITH_OBMALLOC_ARENAS

/* What the functions need of newer CPythons. */
#define Py_UNUSED(name) unused_##name
#define Py_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#undef PyUnicode_FromString
#define PyUnicode_FromString PyString_FromString    /* what people call str */
#if PY_VERSION_HEX >= 0x02050000
#  define PyLong_FromSsize_t PyInt_FromSsize_t
#  define PyLong_FromSize_t PyInt_FromSize_t
#else
#  define PyLong_FromSsize_t PyInt_FromLong
#  define PyLong_FromSize_t PyInt_FromLong
#endif

#include "_obmalloc_functions.c"

static PyMethodDef methods[] = {
    {"stats", obmalloc_stats, METH_NOARGS, stats_doc},
    {"settings", obmalloc_settings, METH_NOARGS, settings_doc},
    {"trim", obmalloc_trim, METH_NOARGS, trim_doc},
    {"check", obmalloc_check, METH_VARARGS, check_doc},
    {NULL, NULL, 0, NULL}
};

#endif  /* WITH_OBMALLOC_ARENAS */

PyDoc_STRVAR(module_doc, "The small-object allocator of this interpreter.");

PyMODINIT_FUNC
init_obmalloc(void)
{
#if WITH_OBMALLOC_ARENAS
    Py_InitModule3("_obmalloc", methods, module_doc);
#else
    PyErr_SetString(PyExc_ImportError, "this interpreter was built without obmalloc");
#endif
}

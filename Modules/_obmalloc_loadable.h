/* The module _obmalloc in the loadable library: Python's stable ABI, from 3.9
   on, and the few public functions declared below.

   Every symbol of Python's must be a weak reference here.  The library is also
   loaded into processes that are not Python, where the loader would refuse it
   for want of the others.  Tools/preload/ tests that none was forgotten. */

#ifndef OBMALLOC_LOADABLE_H
#define OBMALLOC_LOADABLE_H

#define Py_LIMITED_API 0x03090000
#define PY_SSIZE_T_CLEAN
#include "Python.h"
#include <stdbool.h>

#define WITH_OBMALLOC_ARENAS 1
#include "../Objects/obmalloc/adapters/loadable.h"

/* How references are counted differs from version to version, so each counts
   by itself. */
#undef Py_INCREF
#undef Py_DECREF
#undef Py_XINCREF
#undef Py_XDECREF
#define Py_INCREF(object) Py_IncRef((PyObject *)(object))
#define Py_DECREF(object) Py_DecRef((PyObject *)(object))
#define Py_XINCREF(object) Py_IncRef((PyObject *)(object))
#define Py_XDECREF(object) Py_DecRef((PyObject *)(object))

#ifndef Py_ARRAY_LENGTH
#  define Py_ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#endif

/* In the stable ABI from 3.13 on, and there in all versions. */
extern void *PyMem_RawCalloc(size_t count, size_t size);
extern void *PyMem_RawRealloc(void *block, size_t size);
extern void PyMem_RawFree(void *block);

/* In no stable ABI, public, and there in all versions. */
extern PyObject *PyUnicode_New(Py_ssize_t length, Py_UCS4 most);
extern Py_ssize_t PyUnicode_CopyCharacters(PyObject *to, Py_ssize_t to_start, PyObject *from,
                                           Py_ssize_t from_start, Py_ssize_t count);

#pragma weak Py_BuildValue
#pragma weak Py_DecRef
#pragma weak Py_IncRef
#pragma weak PyArg_ParseTuple
#pragma weak PyBool_FromLong
#pragma weak PyBool_Type
#pragma weak PyByteArray_AsString
#pragma weak PyByteArray_FromStringAndSize
#pragma weak PyByteArray_Size
#pragma weak PyByteArray_Type
#pragma weak PyBytes_AsString
#pragma weak PyBytes_FromStringAndSize
#pragma weak PyBytes_Size
#pragma weak PyBytes_Type
#pragma weak PyCFunction_NewEx
#pragma weak PyCMethod_New
#pragma weak PyComplex_FromDoubles
#pragma weak PyComplex_ImagAsDouble
#pragma weak PyComplex_RealAsDouble
#pragma weak PyComplex_Type
#pragma weak PyDict_Clear
#pragma weak PyDict_GetItemWithError
#pragma weak PyDict_New
#pragma weak PyDict_Next
#pragma weak PyDict_SetItem
#pragma weak PyDict_SetItemString
#pragma weak PyDict_Size
#pragma weak PyDict_Type
#pragma weak PyErr_Clear
#pragma weak PyErr_ExceptionMatches
#pragma weak PyErr_Fetch
#pragma weak PyErr_Format
#pragma weak PyErr_NoMemory
#pragma weak PyErr_Occurred
#pragma weak PyErr_Restore
#pragma weak PyErr_SetString
#pragma weak PyEval_RestoreThread
#pragma weak PyEval_SaveThread
#pragma weak PyExc_ImportError
#pragma weak PyExc_IndexError
#pragma weak PyExc_MemoryError
#pragma weak PyExc_RuntimeError
#pragma weak PyExc_TypeError
#pragma weak PyExc_ValueError
#pragma weak PyFloat_AsDouble
#pragma weak PyFloat_FromDouble
#pragma weak PyFloat_Type
#pragma weak PyFrozenSet_New
#pragma weak PyFrozenSet_Type
#pragma weak PyImport_GetModule
#pragma weak PyImport_ImportModule
#pragma weak PyInterpreterState_Get
#pragma weak PyList_Append
#pragma weak PyList_GetItem
#pragma weak PyList_New
#pragma weak PyList_SetItem
#pragma weak PyList_SetSlice
#pragma weak PyList_Size
#pragma weak PyList_Type
#pragma weak PyLong_AsLongLongAndOverflow
#pragma weak PyLong_AsSsize_t
#pragma weak PyLong_FromLongLong
#pragma weak PyLong_FromSize_t
#pragma weak PyLong_FromSsize_t
#pragma weak PyLong_FromUnsignedLong
#pragma weak PyLong_Type
#pragma weak PyMapping_GetItemString
#pragma weak PyMem_Free
#pragma weak PyMem_Malloc
#pragma weak PyMem_RawCalloc
#pragma weak PyMem_RawFree
#pragma weak PyMem_RawRealloc
#pragma weak PyModuleDef_Init
#pragma weak PyModule_AddIntConstant
#pragma weak PyModule_Type
#pragma weak PyNumber_Negative
#pragma weak PyObject_Call
#pragma weak PyObject_CallFunctionObjArgs
#pragma weak PyObject_CallMethod
#pragma weak PyObject_Free
#pragma weak PyObject_GC_IsTracked
#pragma weak PyObject_GC_Track
#pragma weak PyObject_GC_UnTrack
#pragma weak PyObject_GetAttrString
#pragma weak PyObject_Malloc
#pragma weak PyObject_SetAttrString
#pragma weak PySequence_List
#pragma weak PySet_Add
#pragma weak PySet_Contains
#pragma weak PySet_Discard
#pragma weak PySet_New
#pragma weak PySet_Type
#pragma weak PyThread_get_thread_ident
#pragma weak PyTuple_GetItem
#pragma weak PyTuple_New
#pragma weak PyTuple_Pack
#pragma weak PyTuple_SetItem
#pragma weak PyTuple_Size
#pragma weak PyTuple_Type
#pragma weak PyType_FromSpec
#pragma weak PyType_GetFlags
#pragma weak PyType_GetSlot
#pragma weak PyType_IsSubtype
#pragma weak PyType_Type
#pragma weak PyUnicode_CopyCharacters
#pragma weak PyUnicode_DecodeUTF8
#pragma weak PyUnicode_FromFormat
#pragma weak PyUnicode_FromOrdinal
#pragma weak PyUnicode_FromString
#pragma weak PyUnicode_GetLength
#pragma weak PyUnicode_InternInPlace
#pragma weak PyUnicode_New
#pragma weak PyUnicode_ReadChar
#pragma weak PyUnicode_Type
#pragma weak _PyArg_ParseTuple_SizeT
#pragma weak _PyObject_CallMethod_SizeT
#pragma weak _Py_BuildValue_SizeT
#pragma weak _Py_FalseStruct
#pragma weak _Py_NoneStruct
#pragma weak _Py_NotImplementedStruct
#pragma weak _Py_TrueStruct

#endif /* OBMALLOC_LOADABLE_H */

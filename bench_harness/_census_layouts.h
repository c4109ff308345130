/* Where CPython 3.10 to 3.13 keeps what belongs to an object and lies in a block of its own.

   No attribute of the object is looked up: a class of the user may answer with code of its own. */

#ifndef CENSUS_LAYOUTS_H
#define CENSUS_LAYOUTS_H

#include <Python.h>
#include <stdint.h>

typedef struct {
    const void *address; /* NULL: there is none */
    Py_ssize_t size;
} Block;

static const Block no_block = {NULL, 0};

static Py_ssize_t header_bytes(PyObject *object, PyTypeObject *type) {
    if (!PyObject_IS_GC(object))
        return 0;
    Py_ssize_t size = 2 * sizeof(uintptr_t);
#if PY_VERSION_HEX >= 0x030C0000
    if (type->tp_flags & (Py_TPFLAGS_MANAGED_DICT | Py_TPFLAGS_MANAGED_WEAKREF))
        size += 2 * sizeof(PyObject *);
#elif PY_VERSION_HEX >= 0x030B0000
    if (type->tp_flags & Py_TPFLAGS_MANAGED_DICT)
        size += 2 * sizeof(PyObject *);
#endif
    return size;
}

static Py_ssize_t string_bytes(PyObject *string) {
    Py_ssize_t length = PyUnicode_GET_LENGTH(string);
    if (PyUnicode_IS_COMPACT_ASCII(string))
        return sizeof(PyASCIIObject) + length + 1;
    if (PyUnicode_IS_COMPACT(string))
        return sizeof(PyCompactUnicodeObject) + (length + 1) * PyUnicode_KIND(string);
    return Py_TYPE(string)->tp_basicsize;
}

/* From 3.12 on an int does not keep its length where other objects of variable size do. */
static Py_ssize_t int_bytes(PyObject *number) {
    PyObject *size = PyObject_CallMethod((PyObject *)&PyLong_Type, "__sizeof__", "O", number);
    Py_ssize_t bytes = size ? PyLong_AsSsize_t(size) : -1;
    Py_XDECREF(size);
    if (bytes < 0) {
        PyErr_Clear();
        bytes = Py_TYPE(number)->tp_basicsize;
    }
    return bytes;
}

static Py_ssize_t object_bytes(PyObject *object, PyTypeObject *type) {
    if (PyUnicode_Check(object))
        return PyUnicode_CheckExact(object) ? string_bytes(object) : type->tp_basicsize;
    if (PyLong_Check(object))
        return int_bytes(object);
    Py_ssize_t size = type->tp_basicsize;
    if (type->tp_itemsize > 0) {
        Py_ssize_t items = Py_SIZE(object) < 0 ? -Py_SIZE(object) : Py_SIZE(object);
        if (items < PY_SSIZE_T_MAX / 2 / type->tp_itemsize)
            size += items * type->tp_itemsize;
    }
#if PY_VERSION_HEX >= 0x030D0000
    if (type->tp_flags & Py_TPFLAGS_INLINE_VALUES) /* a capacity in the first byte behind the object, see PyDictValues */
        size += ((unsigned char *)object)[type->tp_basicsize] * (sizeof(PyObject *) + 1) + sizeof(PyObject *);
#endif
    return size;
}

static Block dict_block(PyObject *dict) {
    PyDictObject *fields = (PyDictObject *)dict;
    if (fields->ma_values) /* the keys are those of its class */
        return (Block){fields->ma_values, fields->ma_used * (Py_ssize_t)sizeof(PyObject *)};
    Py_ssize_t size = -1;
    PyObject *told = PyObject_CallMethod((PyObject *)&PyDict_Type, "__sizeof__", "O", dict);
    if (told)
        size = PyLong_AsSsize_t(told) - PyDict_Type.tp_basicsize;
    Py_XDECREF(told);
    PyErr_Clear();
    return (Block){fields->ma_keys, size};
}

static Block set_block(PyObject *set) {
    PySetObject *fields = (PySetObject *)set;
    if (fields->table == fields->smalltable)
        return no_block;
    return (Block){fields->table, (fields->mask + 1) * (Py_ssize_t)sizeof(setentry)};
}

/* The attributes of an instance that has no dict yet; in 3.13 they lie within the object. */
static Block values_block(PyObject *object, PyTypeObject *type) {
#if PY_VERSION_HEX >= 0x030B0000 && PY_VERSION_HEX < 0x030D0000
    if (!(type->tp_flags & Py_TPFLAGS_MANAGED_DICT) || !PyObject_IS_GC(object))
        return no_block;
#if PY_VERSION_HEX >= 0x030C0000
    uintptr_t tagged = ((uintptr_t *)object)[-3];
    unsigned char *values = tagged & 1 ? (unsigned char *)(tagged + 1) : NULL;
#else
    unsigned char *values = ((unsigned char **)object)[-4];
#endif
    if (values) { /* the length of what lies before them, in the byte before, tells their number */
        Py_ssize_t prefix = values[-1];
        return (Block){values - prefix, prefix + (prefix - 2) * (Py_ssize_t)sizeof(PyObject *)};
    }
#endif
    return no_block;
}

/* The block of an object apart from its own. */
static Block own_block(PyObject *object, PyTypeObject *type) {
    if (PyList_Check(object)) {
        PyListObject *list = (PyListObject *)object;
        return (Block){list->ob_item, list->allocated * (Py_ssize_t)sizeof(PyObject *)};
    }
    if (PyDict_Check(object))
        return dict_block(object);
    if (PyAnySet_Check(object))
        return set_block(object);
    if (PyByteArray_Check(object)) {
        PyByteArrayObject *bytes = (PyByteArrayObject *)object;
        return (Block){bytes->ob_bytes, bytes->ob_alloc};
    }
    return values_block(object, type);
}

#endif

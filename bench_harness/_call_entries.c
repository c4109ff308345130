/* What cProfile has counted, read where it keeps it: in a tenth of the time that Profiler.getstats takes.

   getstats makes an object of every function and of every edge between two, 20 ms for a process that has imported
   torch, twice a second. Here numbers are copied, and only those of functions that returned since a moment before.
   The layout is that of Modules/_lsprof.c in CPython 3.10 to 3.13; bench_harness/call_entries.py, which says the same
   in Python, compares the two before it relies on this. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

typedef struct Node { /* rotating_node_t */
    void *key;
    struct Node *left, *right;
} Node;

typedef struct { /* ProfilerEntry; its key is a code object or a PyMethodDef */
    Node node;
    PyObject *code; /* a str for a function in C */
    long long total_ns, own_ns;
    long calls, recursive_calls, level;
    Node *callees;
} Entry;

typedef struct { /* ProfilerSubEntry; its key is the Entry of the function that is called */
    Node node;
    long long total_ns, own_ns;
    long calls, recursive_calls, level;
} Edge;

typedef struct { /* ProfilerObject */
    PyObject_HEAD
    Node *entries;
    void *current, *unused;
    int flags;
    PyObject *timer;
    double timer_unit;
#if PY_VERSION_HEX >= 0x030C0000
    int tool;
    PyObject *missing;
#endif
} Profiler;

typedef struct {
    double *values;
    size_t count, room;
} Numbers;

typedef struct {
    PyObject *before; /* identity of a function -> calls, or NULL */
    PyObject *codes, *calls;
    Numbers counts, edges;
} Reading;

static int add(Numbers *numbers, const double *values, size_t count) {
    if (numbers->count + count > numbers->room) {
        size_t room = numbers->room ? numbers->room * 2 : 1024;
        double *grown = PyMem_RawRealloc(numbers->values, room * sizeof(double));
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        numbers->values = grown;
        numbers->room = room;
    }
    memcpy(numbers->values + numbers->count, values, count * sizeof(double));
    numbers->count += count;
    return 0;
}

static PyObject *bytes_of(const Numbers *numbers) {
    return PyBytes_FromStringAndSize((const char *)numbers->values, numbers->count * sizeof(double));
}

static int append(PyObject *list, PyObject *item) { /* takes the reference */
    int failed = item ? PyList_Append(list, item) : -1;
    Py_XDECREF(item);
    return failed;
}

static int add_code(PyObject *codes, PyObject *code) {
    PyCodeObject *python = PyCode_Check(code) ? (PyCodeObject *)code : NULL;
    PyObject *file = python ? Py_NewRef(python->co_filename) : PyUnicode_InternFromString("~");
    PyObject *name = python ? Py_NewRef(python->co_name) : PyUnicode_Check(code) ? Py_NewRef(code) : PyObject_Repr(code);
    if (append(codes, PyLong_FromVoidPtr(code)) || append(codes, file)) {
        Py_XDECREF(name);
        return -1;
    }
    if (append(codes, PyLong_FromLong(python ? python->co_firstlineno : 0))) {
        Py_XDECREF(name);
        return -1;
    }
    return append(codes, name);
}

static int add_edges(Reading *reading, PyObject *caller, const Node *node) {
    for (; node; node = node->right) {
        if (node->left && add_edges(reading, caller, node->left))
            return -1;
        const Edge *edge = (const Edge *)node;
        const double values[] = {
            (double)(uintptr_t)caller, (double)(uintptr_t)((const Entry *)node->key)->code, edge->calls,
            edge->recursive_calls, edge->own_ns * 1e-9, edge->total_ns * 1e-9,
        };
        if (add(&reading->edges, values, 6))
            return -1;
    }
    return 0;
}

/* Tell whether a function has returned since `before`; -1 with an exception. */
static int has_changed(const Reading *reading, const Entry *entry, PyObject *own) {
    if (!reading->before)
        return 1;
    PyObject *calls = PyDict_GetItemWithError(reading->before, own);
    if (!calls)
        return PyErr_Occurred() ? -1 : 1;
    return PyLong_AsLong(calls) != entry->calls;
}

static int add_entry(Reading *reading, const Entry *entry) {
    if (!entry->calls) /* it is still open */
        return 0;
    PyObject *own = PyLong_FromVoidPtr(entry->code);
    int changed = own ? has_changed(reading, entry, own) : -1;
    if (changed >= 0 && reading->calls) {
        PyObject *calls = PyLong_FromLong(entry->calls);
        if (!calls || PyDict_SetItem(reading->calls, own, calls))
            changed = -1;
        Py_XDECREF(calls);
    }
    Py_XDECREF(own);
    if (changed <= 0)
        return changed;
    const double values[] = {entry->calls, entry->recursive_calls, entry->own_ns * 1e-9, entry->total_ns * 1e-9};
    if (add(&reading->counts, values, 4) || add_code(reading->codes, entry->code))
        return -1;
    return add_edges(reading, entry->code, entry->callees);
}

static int add_entries(Reading *reading, const Node *node) {
    for (; node; node = node->right)
        if ((node->left && add_entries(reading, node->left)) || add_entry(reading, (const Entry *)node))
            return -1;
    return 0;
}

static int is_known(PyObject *profiler, PyTypeObject *type) {
#if PY_VERSION_HEX < 0x030A0000 || PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED)
    return 0;
#else
    return type->tp_basicsize == sizeof(Profiler) && PyObject_TypeCheck(profiler, type) &&
           !((Profiler *)profiler)->timer;
#endif
}

static PyObject *read_entries(PyObject *module, PyObject *args) {
    PyObject *profiler, *before, *result = NULL;
    PyTypeObject *type;
    int keep;
    if (!PyArg_ParseTuple(args, "OO!Op:read", &profiler, &PyType_Type, &type, &before, &keep))
        return NULL;
    if (!is_known(profiler, type) || (before != Py_None && !PyDict_Check(before))) {
        PyErr_SetString(PyExc_TypeError, "a profiler of an unknown layout, or with a timer of its own");
        return NULL;
    }
    Reading reading = {.before = before == Py_None ? NULL : before};
    reading.codes = PyList_New(0);
    reading.calls = keep ? PyDict_New() : NULL;
    /* From here on nothing runs code of Python's: the thread that is profiled must not go on meanwhile. */
    if (reading.codes && (reading.calls || !keep) && !add_entries(&reading, ((Profiler *)profiler)->entries)) {
        PyObject *counts = bytes_of(&reading.counts), *edges = bytes_of(&reading.edges);
        if (counts && edges)
            result = PyTuple_Pack(4, reading.codes, counts, edges, reading.calls ? reading.calls : Py_None);
        Py_XDECREF(counts);
        Py_XDECREF(edges);
    }
    Py_XDECREF(reading.codes);
    Py_XDECREF(reading.calls);
    PyMem_RawFree(reading.counts.values);
    PyMem_RawFree(reading.edges.values);
    return result;
}

static PyMethodDef methods[] = {
    {"read", read_entries, METH_VARARGS, "read(profiler, _lsprof.Profiler, before, keep) -> codes, counts, edges, calls"},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_call_entries", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__call_entries(void) {
    return PyModuleDef_Init(&definition);
}

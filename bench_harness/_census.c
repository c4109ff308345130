/* The census of objects in C: which owner's objects, of which type, lie on which page.

   Walker.walk() claims the objects it is given for their owners, and then, breadth first, whatever they refer to. It
   reads through tp_traverse, as the garbage collector does, and through the structures of CPython 3.10 to 3.13 where a
   built-in type keeps a block apart from the object. No attribute is looked up, and no reference count changes, but for
   the objects whose type has a function in `payloads`.

   bench_harness/memory/attribution/python_walker.py says the same in Python; a test compares the two. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_census_layouts.h"
#include "_census_pages.h"
#include "_census_tables.h"

typedef struct { /* owner and type, of many objects */
    uint64_t key; /* owner << 32 | index of the type */
} Label;

typedef struct {
    uint64_t type; /* PyTypeObject * */
    PyObject *payload;
    int is_barred; /* a type or a module, which objects refer to and do not own */
} Kind;

typedef struct {
    PyObject *object;
    uint32_t owner;
} Waiting;

typedef struct {
    PyObject_HEAD
    Pages pages;
    Table labels, kinds;
    Array barred;
    Waiting *queue;
    size_t queue_head, queue_count, queue_room; /* room is a power of 2 */
    PyObject *payloads, *kept;
    uint32_t owner, last_kind;
    unsigned long long objects, failures;
    int enter_all;
} Walker;

static int enqueue(Walker *walker, PyObject *object, uint32_t owner) {
    if (walker->queue_count == walker->queue_room) {
        size_t room = walker->queue_room * 2, tail = walker->queue_room - walker->queue_head;
        Waiting *queue = PyMem_RawMalloc(room * sizeof(Waiting));
        if (!queue)
            return no_memory();
        memcpy(queue, walker->queue + walker->queue_head, tail * sizeof(Waiting));
        memcpy(queue + tail, walker->queue, walker->queue_head * sizeof(Waiting));
        PyMem_RawFree(walker->queue);
        walker->queue = queue;
        walker->queue_room = room;
        walker->queue_head = 0;
    }
    size_t place = (walker->queue_head + walker->queue_count++) & (walker->queue_room - 1);
    walker->queue[place] = (Waiting){object, owner};
    return 0;
}

static PyObject *payload_of(Walker *walker, PyTypeObject *type) {
    PyObject *key, *value;
    Py_ssize_t place = 0;
    while (PyDict_Next(walker->payloads, &place, &key, &value))
        if (PyType_IsSubtype(type, (PyTypeObject *)key))
            return value;
    return NULL;
}

static uint32_t kind_of(Walker *walker, PyTypeObject *type) {
    uint64_t key = (uintptr_t)type;
    if (walker->last_kind && AT(walker->kinds.items, Kind, walker->last_kind)->type == key)
        return walker->last_kind;
    size_t before = walker->kinds.items.count;
    uint32_t index = table_index(&walker->kinds, key);
    if (index && walker->kinds.items.count > before) {
        Kind *kind = AT(walker->kinds.items, Kind, index);
        kind->payload = payload_of(walker, type);
        kind->is_barred = PyType_IsSubtype(type, &PyType_Type) || PyType_IsSubtype(type, &PyModule_Type);
    }
    return walker->last_kind = index;
}

static int claim(Walker *walker, PyObject *object, uint32_t owner, int is_start) {
    PyTypeObject *type = Py_TYPE(object);
    uint32_t index = kind_of(walker, type);
    if (!index)
        return no_memory();
    Kind *kind = AT(walker->kinds.items, Kind, index);
    if (kind->is_barred && !walker->enter_all && !is_start)
        return 0;
    int is_new = mark(&walker->pages, (uintptr_t)object);
    if (is_new <= 0)
        return is_new;
    uint32_t label = table_index(&walker->labels, (uint64_t)owner << 32 | index);
    if (!label)
        return no_memory();
    walker->objects++;
    Py_ssize_t header = header_bytes(object, type);
    uintptr_t start = (uintptr_t)object - (uintptr_t)header;
    if (add_block(&walker->pages, start, (size_t)(header + object_bytes(object, type)), label, 1))
        return -1;
    Block block = own_block(object, type);
    if (add_payload(&walker->pages, block.address, block.size, label))
        return -1;
    return kind->payload || PyObject_IS_GC(object) ? enqueue(walker, object, owner) : 0;
}

static int reach(PyObject *object, void *walker) {
    return claim(walker, object, ((Walker *)walker)->owner, 0);
}

static int claim_all(Walker *walker, PyObject *objects) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(objects); i++)
        if (claim(walker, PyTuple_GET_ITEM(objects, i), walker->owner, 0))
            return -1;
    return 0;
}

static int add_payload_blocks(Walker *walker, PyObject *blocks, uint32_t label) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(blocks); i++) {
        unsigned long long address;
        Py_ssize_t size;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(blocks, i), "Kn", &address, &size))
            return -1;
        if (add_payload(&walker->pages, (void *)(uintptr_t)address, size, label))
            return -1;
    }
    return 0;
}

static int claim_pointers(Walker *walker, PyObject *spans) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(spans); i++) {
        unsigned long long address;
        Py_ssize_t count, stride;
        if (!PyArg_ParseTuple(PyTuple_GET_ITEM(spans, i), "Knn", &address, &count, &stride))
            return -1;
        for (; count > 0; count--, address += (unsigned long long)stride) {
            PyObject *object = *(PyObject **)(uintptr_t)address;
            if (object && claim(walker, object, walker->owner, 0))
                return -1;
        }
    }
    return 0;
}

/* What a function of `payloads` says of an object: blocks, objects it holds, and rows of pointers to objects. */
static int add_told_payload(Walker *walker, PyObject *object, PyObject *function) {
    uint32_t label = table_index(&walker->labels, (uint64_t)walker->owner << 32 | kind_of(walker, Py_TYPE(object)));
    if (!label)
        return no_memory();
    PyObject *blocks, *objects, *pointers, *told = PyObject_CallOneArg(function, object);
    int failed = !told || PyList_Append(walker->kept, told);
    Py_XDECREF(told); /* kept alive by the list: nothing that was claimed may be freed */
    if (!failed)
        failed = !PyArg_ParseTuple(told, "O!O!O!", &PyTuple_Type, &blocks, &PyTuple_Type, &objects, &PyTuple_Type,
                                   &pointers) ||
                 add_payload_blocks(walker, blocks, label) || claim_all(walker, objects) ||
                 claim_pointers(walker, pointers);
    if (!failed)
        return 0;
    if (PyErr_ExceptionMatches(PyExc_MemoryError))
        return -1;
    PyErr_Clear(); /* an object that does not say what it holds costs no more than itself */
    walker->failures++;
    return 0;
}

/* Keys as well: tp_traverse leaves out those that are strings. */
static int claim_items(Walker *walker, PyObject *dict) {
    PyObject *key, *value;
    Py_ssize_t place = 0;
    while (PyDict_Next(dict, &place, &key, &value))
        if (claim(walker, key, walker->owner, 0) || claim(walker, value, walker->owner, 0))
            return -1;
    return 0;
}

static int expand(Walker *walker, Waiting waiting) {
    PyObject *object = waiting.object, *payload;
    walker->owner = waiting.owner;
    uint32_t index = kind_of(walker, Py_TYPE(object));
    if (!index)
        return no_memory();
    payload = AT(walker->kinds.items, Kind, index)->payload;
    if (payload && add_told_payload(walker, object, payload))
        return -1;
    if (PyDict_Check(object) && claim_items(walker, object))
        return -1;
    if (!PyObject_IS_GC(object) || !Py_TYPE(object)->tp_traverse)
        return 0;
    return Py_TYPE(object)->tp_traverse(object, reach, walker);
}

static int drain(Walker *walker) {
    while (walker->queue_count) {
        Waiting next = walker->queue[walker->queue_head];
        walker->queue_head = (walker->queue_head + 1) & (walker->queue_room - 1);
        walker->queue_count--;
        if (expand(walker, next))
            return PyErr_Occurred() ? -1 : no_memory();
    }
    return 0;
}

/* ---- the type ---- */

PyDoc_STRVAR(bar_doc, "bar(objects)\n--\n\nHave walk() stop at these objects, until open().");

static PyObject *walker_bar(PyObject *self, PyObject *objects) {
    Walker *walker = (Walker *)self;
    if (!PyList_Check(objects))
        return PyErr_Format(PyExc_TypeError, "bar() takes a list");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
        uintptr_t address = (uintptr_t)PyList_GET_ITEM(objects, i);
        int is_new = mark(&walker->pages, address);
        uintptr_t *barred = is_new > 0 ? array_add(&walker->barred) : NULL;
        if (is_new < 0 || (is_new && !barred))
            return no_memory(), NULL;
        if (is_new)
            *barred = address;
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(open_doc, "open()\n--\n\nHave walk() enter types, modules and what was barred, from now on.");

static PyObject *walker_open(PyObject *self, PyObject *unused) {
    Walker *walker = (Walker *)self;
    for (size_t i = 1; i < walker->barred.count; i++)
        unmark(&walker->pages, *AT(walker->barred, uintptr_t, i));
    walker->barred.count = 1;
    walker->enter_all = 1;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(walk_doc, "walk(owners, objects)\n--\n\nClaim each object for the owner of the same place, then what they hold.");

static PyObject *walker_walk(PyObject *self, PyObject *args) {
    Walker *walker = (Walker *)self;
    PyObject *owners, *objects;
    if (!PyArg_ParseTuple(args, "O!O!:walk", &PyList_Type, &owners, &PyList_Type, &objects))
        return NULL;
    if (PyList_GET_SIZE(owners) != PyList_GET_SIZE(objects))
        return PyErr_Format(PyExc_ValueError, "walk() takes as many owners as objects");
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(objects); i++) {
        unsigned long owner = PyLong_AsUnsignedLong(PyList_GET_ITEM(owners, i));
        if (PyErr_Occurred() || claim(walker, PyList_GET_ITEM(objects, i), (uint32_t)owner, 1))
            return NULL;
    }
    if (drain(walker))
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(records_doc, "records()\n--\n\nReturn the records of a census file, ranges first.");

static char *put(char *out, uint64_t page, uint32_t pages, uint32_t label, uint32_t bytes, uint32_t objects, uint32_t small) {
    uint32_t fields[] = {pages, label - 1, bytes, objects, small};
    memcpy(out, &page, sizeof page);
    memcpy(out + sizeof page, fields, sizeof fields);
    return out + sizeof page + sizeof fields;
}

static PyObject *walker_records(PyObject *self, PyObject *unused) {
    Pages *pages = &((Walker *)self)->pages;
    size_t count = pages->ranges.count - 1 + pages->entries.count - 1;
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(count * (8 + 5 * 4)));
    if (!bytes)
        return NULL;
    char *out = PyBytes_AS_STRING(bytes);
    for (size_t i = 1; i < pages->ranges.count; i++) {
        Range *range = AT(pages->ranges, Range, i);
        out = put(out, range->first_page, range->pages, range->label, PAGE, range->objects, 0);
    }
    for (size_t i = 1; i < pages->table.items.count; i++) {
        Page *page = AT(pages->table.items, Page, i);
        for (uint32_t next = page->first_entry; next;) {
            Entry *entry = AT(pages->entries, Entry, next);
            out = put(out, page->number, 1, entry->label, entry->bytes, entry->objects, entry->small);
            next = entry->next;
        }
    }
    return bytes;
}

PyDoc_STRVAR(labels_doc, "labels()\n--\n\nReturn (owner, type) of each label, in the order in which records count them.");

static PyObject *walker_labels(PyObject *self, PyObject *unused) {
    Walker *walker = (Walker *)self;
    PyObject *labels = PyList_New(0);
    for (size_t i = 1; labels && i < walker->labels.items.count; i++) {
        uint64_t key = AT(walker->labels.items, Label, i)->key;
        PyObject *type = (PyObject *)(uintptr_t)AT(walker->kinds.items, Kind, key & UINT32_MAX)->type;
        PyObject *label = Py_BuildValue("kO", (unsigned long)(key >> 32), type);
        if (!label || PyList_Append(labels, label))
            Py_CLEAR(labels);
        Py_XDECREF(label);
    }
    return labels;
}

static PyObject *walker_objects(PyObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(((Walker *)self)->objects);
}

static PyObject *walker_failures(PyObject *self, void *unused) {
    return PyLong_FromUnsignedLongLong(((Walker *)self)->failures);
}

static int walker_init(PyObject *self, PyObject *args, PyObject *keywords) {
    Walker *walker = (Walker *)self;
    PyObject *payloads;
    if (walker->kept)
        return PyErr_SetString(PyExc_TypeError, "a Walker is made once"), -1;
    if (!PyArg_ParseTuple(args, "O!:Walker", &PyDict_Type, &payloads))
        return -1;
    walker->payloads = Py_NewRef(payloads);
    walker->kept = PyList_New(0);
    walker->queue_room = 1024;
    walker->queue = PyMem_RawMalloc(walker->queue_room * sizeof(Waiting));
    if (!walker->kept)
        return -1;
    if (!walker->queue || pages_init(&walker->pages) || table_init(&walker->labels, sizeof(Label), 1 << 10) ||
        table_init(&walker->kinds, sizeof(Kind), 1 << 10) || array_init(&walker->barred, sizeof(uintptr_t), 1 << 10))
        return no_memory();
    return 0;
}

static void walker_dealloc(PyObject *self) {
    Walker *walker = (Walker *)self;
    Py_XDECREF(walker->payloads);
    Py_XDECREF(walker->kept);
    PyMem_RawFree(walker->queue);
    PyMem_RawFree(walker->barred.data);
    pages_free(&walker->pages);
    table_free(&walker->labels);
    table_free(&walker->kinds);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef walker_methods[] = {
    {"bar", walker_bar, METH_O, bar_doc},
    {"open", walker_open, METH_NOARGS, open_doc},
    {"walk", walker_walk, METH_VARARGS, walk_doc},
    {"records", walker_records, METH_NOARGS, records_doc},
    {"labels", walker_labels, METH_NOARGS, labels_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef walker_getset[] = {
    {"objects", walker_objects, NULL, "How many objects were claimed.", NULL},
    {"failures", walker_failures, NULL, "How many objects did not say what they hold.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyTypeObject walker_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "bench_harness._census.Walker",
    .tp_basicsize = sizeof(Walker),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = PyDoc_STR("Walker(payloads)\n--\n\nSee bench_harness.memory.attribution.walking."),
    .tp_new = PyType_GenericNew,
    .tp_init = walker_init,
    .tp_dealloc = walker_dealloc,
    .tp_methods = walker_methods,
    .tp_getset = walker_getset,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_census",
    .m_doc = "The census of objects in C, see bench_harness.memory.attribution.walking.",
    .m_size = -1,
};

PyMODINIT_FUNC PyInit__census(void) {
#if PY_VERSION_HEX < 0x030A0000 || PY_VERSION_HEX >= 0x030E0000 || defined(Py_GIL_DISABLED) || UINTPTR_MAX != UINT64_MAX
    PyErr_SetString(PyExc_ImportError, "the census in C knows the objects of 64-bit CPython 3.10 to 3.13 with a GIL");
    return NULL;
#else
    if (PyType_Ready(&walker_type))
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "Walker", (PyObject *)&walker_type)) {
        Py_CLEAR(made);
    }
    return made;
#endif
}

/* Arrays that grow, and hash tables from a 64-bit key to an index into one, whose items begin with the key.

   Index 0 stands for "none" everywhere. */

#ifndef CENSUS_TABLES_H
#define CENSUS_TABLES_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    char *data;
    size_t count, room, item;
} Array;

static int array_init(Array *array, size_t item, size_t room) {
    array->item = item;
    array->count = 1;
    array->room = room;
    array->data = PyMem_RawCalloc(room, item);
    return array->data ? 0 : -1;
}

static void *array_add(Array *array) {
    if (array->count == array->room) {
        char *data = PyMem_RawRealloc(array->data, array->room * 2 * array->item);
        if (!data)
            return NULL;
        array->data = data;
        array->room *= 2;
    }
    void *item = array->data + array->count++ * array->item;
    memset(item, 0, array->item);
    return item;
}

#define AT(array, type, index) ((type *)(array).data + (index))

typedef struct {
    uint32_t *slots;
    size_t mask;
    Array items;
} Table;

static size_t hash_of(uint64_t key) {
    key *= UINT64_C(0x9E3779B97F4A7C15);
    return (size_t)(key ^ (key >> 32));
}

static int table_init(Table *table, size_t item, size_t slots) {
    table->mask = slots - 1;
    table->slots = PyMem_RawCalloc(slots, sizeof(uint32_t));
    return table->slots ? array_init(&table->items, item, slots / 2) : -1;
}

static void table_free(Table *table) {
    PyMem_RawFree(table->slots);
    PyMem_RawFree(table->items.data);
}

static uint64_t key_at(const Table *table, size_t index) {
    uint64_t key;
    memcpy(&key, table->items.data + index * table->items.item, sizeof key);
    return key;
}

static uint32_t *slot_of(const Table *table, uint64_t key) {
    size_t place = hash_of(key) & table->mask;
    while (table->slots[place] && key_at(table, table->slots[place]) != key)
        place = (place + 1) & table->mask;
    return &table->slots[place];
}

static int table_grow(Table *table) {
    uint32_t *old = table->slots;
    size_t slots = (table->mask + 1) * 2;
    uint32_t *bigger = PyMem_RawCalloc(slots, sizeof(uint32_t));
    if (!bigger)
        return -1;
    table->slots = bigger;
    table->mask = slots - 1;
    for (size_t i = 1; i < table->items.count; i++)
        *slot_of(table, key_at(table, i)) = (uint32_t)i;
    PyMem_RawFree(old);
    return 0;
}

/* The index of the item with this key, made where there is none; 0 without memory. */
static uint32_t table_index(Table *table, uint64_t key) {
    uint32_t *slot = slot_of(table, key);
    if (*slot)
        return *slot;
    if (table->items.count * 3 > table->mask * 2) {
        if (table_grow(table))
            return 0;
        slot = slot_of(table, key);
    }
    void *item = array_add(&table->items);
    if (!item)
        return 0;
    memcpy(item, &key, sizeof key);
    return *slot = (uint32_t)(table->items.count - 1);
}

#endif

/* What lies on which page: blocks are added for labels, and addresses marked as seen. */

#ifndef CENSUS_PAGES_H
#define CENSUS_PAGES_H

#include "_census_tables.h"

/* Small is what pymalloc serves. */
enum { PAGE_SHIFT = 12, PAGE = 1 << PAGE_SHIFT, SMALL = 512 };

typedef struct { /* of a page: what has been seen on it, a bit per 8 bytes, and what lies on it */
    uint64_t number;
    uint64_t seen[PAGE / 8 / 64];
    uint32_t first_entry;
} Page;

typedef struct { /* what one label has on one page */
    uint32_t label, bytes, objects, small, next;
} Entry;

typedef struct { /* whole pages of one large block */
    uint64_t first_page;
    uint32_t pages, label, objects;
} Range;

typedef struct {
    Table table;
    Array entries, ranges;
    uint32_t last;
} Pages;

static int no_memory(void) {
    if (!PyErr_Occurred())
        PyErr_NoMemory();
    return -1;
}

static int pages_init(Pages *pages) {
    return table_init(&pages->table, sizeof(Page), 1 << 12) || array_init(&pages->entries, sizeof(Entry), 1 << 12) ||
           array_init(&pages->ranges, sizeof(Range), 1 << 6);
}

static void pages_free(Pages *pages) {
    table_free(&pages->table);
    PyMem_RawFree(pages->entries.data);
    PyMem_RawFree(pages->ranges.data);
}

static uint32_t page_index(Pages *pages, uint64_t number) {
    if (pages->last && AT(pages->table.items, Page, pages->last)->number == number)
        return pages->last;
    return pages->last = table_index(&pages->table, number);
}

/* 1: seen now for the first time, 0: seen before, -1: no memory. */
static int mark(Pages *pages, uintptr_t address) {
    uint32_t index = page_index(pages, address >> PAGE_SHIFT);
    if (!index)
        return no_memory();
    unsigned bit = (address & (PAGE - 1)) >> 3;
    uint64_t *word = &AT(pages->table.items, Page, index)->seen[bit / 64], one = UINT64_C(1) << bit % 64;
    if (*word & one)
        return 0;
    *word |= one;
    return 1;
}

static void unmark(Pages *pages, uintptr_t address) {
    uint32_t index = page_index(pages, address >> PAGE_SHIFT);
    unsigned bit = (address & (PAGE - 1)) >> 3;
    if (index)
        AT(pages->table.items, Page, index)->seen[bit / 64] &= ~(UINT64_C(1) << bit % 64);
}

static int add_entry(Pages *pages, uint64_t page, uint32_t label, size_t bytes, int objects, int small) {
    uint32_t index = page_index(pages, page);
    if (!index)
        return no_memory();
    uint32_t *first = &AT(pages->table.items, Page, index)->first_entry, next = *first;
    Entry *entry;
    while (next && (entry = AT(pages->entries, Entry, next))->label != label)
        next = entry->next;
    if (!next) {
        entry = array_add(&pages->entries);
        if (!entry)
            return no_memory();
        entry->label = label;
        entry->next = *first;
        *first = (uint32_t)(pages->entries.count - 1);
    }
    entry->bytes += (uint32_t)bytes;
    entry->objects += (uint32_t)objects;
    entry->small |= (uint32_t)small;
    return 0;
}

static int add_range(Pages *pages, uint64_t first, uint64_t count, uint32_t label, int objects) {
    Range *range = array_add(&pages->ranges);
    if (!range)
        return no_memory();
    range->first_page = first;
    range->pages = (uint32_t)(count < UINT32_MAX ? count : UINT32_MAX);
    range->label = label;
    range->objects = (uint32_t)objects;
    return 0;
}

/* A block at `address`, as the allocator rounds it, counts for `label`; objects: 1 where it is one, 0 for a payload. */
static int add_block(Pages *pages, uintptr_t address, size_t size, uint32_t label, int objects) {
    uintptr_t end = address + ((size + 15) & ~(size_t)15);
    int small = size <= SMALL;
    while (address < end) {
        uint64_t page = address >> PAGE_SHIFT;
        uintptr_t page_end = (uintptr_t)(page + 1) << PAGE_SHIFT;
        size_t whole_pages = address & (PAGE - 1) ? 0 : (end - address) >> PAGE_SHIFT;
        if (whole_pages) {
            if (add_range(pages, page, whole_pages, label, objects))
                return -1;
            address += (uintptr_t)whole_pages << PAGE_SHIFT;
        } else {
            uintptr_t stop = end < page_end ? end : page_end;
            if (add_entry(pages, page, label, stop - address, objects, small))
                return -1;
            address = stop;
        }
        objects = 0;
    }
    return 0;
}

static int add_payload(Pages *pages, const void *address, Py_ssize_t size, uint32_t label) {
    if (!address || size <= 0)
        return 0;
    int is_new = mark(pages, (uintptr_t)address);
    return is_new > 0 ? add_block(pages, (uintptr_t)address, (size_t)size, label, 0) : is_new;
}

#endif

/* For MAP_ANONYMOUS. */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE

#include "placed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *checked(void *memory, int is_fine)
{
    if (is_fine)
        return memory;
    fprintf(stderr, "no memory for the arrays of a case\n");
    exit(3);
}

static char *place_on_heap(struct place *to, size_t bytes, size_t shift_bytes)
{
    char *base = malloc(bytes + shift_bytes);
    to->base = checked(base, base != NULL);
    to->mapped_bytes = 0;
    return base + shift_bytes;
}

static char *place_by_guard_page(struct place *to, size_t bytes, int is_behind)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    char *base = mmap(NULL, whole + page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    checked(base, base != MAP_FAILED);
    checked(base, mprotect(is_behind ? base : base + whole, page_bytes, PROT_NONE) == 0);
    to->base = base;
    to->mapped_bytes = whole + page_bytes;
    return is_behind ? base + page_bytes : base + whole - bytes;
}

void *place(struct places *places, size_t n_items, size_t item_bytes)
{
    checked(places, places->n < MAX_PLACES);
    struct place *to = &places->all[places->n++];
    const size_t bytes = n_items * item_bytes;
    switch (places->placement) {
    case ON_THE_HEAP:
        return place_on_heap(to, bytes, 0);
    case ON_THE_HEAP_BARELY_ALIGNED:
        return place_on_heap(to, bytes, item_bytes);
    default:
        return place_by_guard_page(to, bytes, places->placement == BEHIND_A_GUARD_PAGE);
    }
}

void *place_copy(struct places *places, const void *from, size_t n_items, size_t item_bytes)
{
    if (!from)
        return NULL;
    void *to = place(places, n_items, item_bytes);
    if (n_items)
        memcpy(to, from, n_items * item_bytes);
    return to;
}

void release_places(struct places *places)
{
    for (int i = 0; i < places->n; i++)
        if (places->all[i].mapped_bytes)
            munmap(places->all[i].base, places->all[i].mapped_bytes);
        else
            free(places->all[i].base);
    places->n = 0;
}

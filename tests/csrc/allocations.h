/* What csrc allocates, where it is compiled with -Dmalloc=counted_malloc -Drealloc=counted_realloc: any can fail. */
#ifndef ALLOCATIONS_H
#define ALLOCATIONS_H

#include <stddef.h>

void *counted_malloc(size_t bytes);
void *counted_realloc(void *memory, size_t bytes);

/* From now on, let so many allocations succeed and then one fail; -1: none fails. */
void let_allocation_fail(int n_before);
/* Has it failed since? */
int an_allocation_failed(void);

#endif

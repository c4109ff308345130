#include "allocations.h"

#include <stdlib.h>

static int n_left = -1, has_failed = 0;

static int fails_now(void)
{
    if (n_left < 0 || n_left-- > 0)
        return 0;
    has_failed = 1;
    return 1;
}

void *counted_malloc(size_t bytes) { return fails_now() ? NULL : malloc(bytes); }

void *counted_realloc(void *memory, size_t bytes) { return fails_now() ? NULL : realloc(memory, bytes); }

void let_allocation_fail(int n_before)
{
    n_left = n_before;
    has_failed = 0;
}

int an_allocation_failed(void) { return has_failed; }

/* Arrays of exactly the size they need, with nothing behind them that may be touched.

   AddressSanitizer sees what the compiler instruments, to the byte. Intrinsics that the compiler does not look into
   would pass: a page that can be neither read nor written stops those too. */
#ifndef PLACED_H
#define PLACED_H

#include <stddef.h>

enum placement {
    ON_THE_HEAP,
    ON_THE_HEAP_BARELY_ALIGNED, /* aligned for one item, and for nothing wider */
    BEFORE_A_GUARD_PAGE,
    BEHIND_A_GUARD_PAGE,
    N_PLACEMENTS
};

#define MAX_PLACES 64
struct places {
    enum placement placement;
    int n;
    struct place {
        void *base;
        size_t mapped_bytes; /* 0: of malloc */
    } all[MAX_PLACES];
};

/* Room for items of so many bytes each; never NULL. */
void *place(struct places *places, size_t n_items, size_t item_bytes);
/* A copy; NULL stays NULL. */
void *place_copy(struct places *places, const void *from, size_t n_items, size_t item_bytes);
void release_places(struct places *places);

#endif

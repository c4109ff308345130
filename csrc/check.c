/* The checks of the atoms, before anything is written: all at once first, then one by one to find the bad one. */
#include <float.h>

#include "kernel.h"

/* False for NaN too. */
static int is_finite(double x) { return x >= -DBL_MAX && x <= DBL_MAX; }

int64_t first_bad_atom(const struct kernel *kernel, const struct atoms *atoms, int n_channels, int is_max)
{
    const uint32_t allowed = n_channels < 32 ? ((uint32_t)1 << n_channels) - 1 : UINT32_MAX;
    const double *radii_A = atoms->radii_A, *occupancies = atoms->occupancies;
    if (kernel->atoms_are_fine(atoms, allowed, is_max))
        return VOXELIZER_FINE;
    for (int64_t i = 0; i < atoms->n; i++) {
        const double *x = atoms->coords_A + 3 * i;
        const int fine = is_finite(x[0]) & is_finite(x[1]) & is_finite(x[2]) & (radii_A[i] > 0.0)
                         & (radii_A[i] <= DBL_MAX) & ((atoms->channel_masks[i] & ~allowed) == 0);
        if (!fine)
            return i;
        if (occupancies && (!is_finite(occupancies[i]) || (is_max && occupancies[i] < 0.0)))
            return i;
    }
    return VOXELIZER_FINE;
}

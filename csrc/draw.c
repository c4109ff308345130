/* Drawing one image: memory to work in, zeros, then the kernel. */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

/* Numbers that general_draw needs to work in: 18 columns along the planes, 2 along z, and 4 tables; vectors beyond the
   last plane included. A double: it may exceed any integer. */
static double general_work_doubles(double max_radius_A, const struct image *image)
{
    const double spanned = 2.0 * max_radius_A / image->resolution_A + 4.0;
    const double planes = 1.0 + MAX_LANES + (spanned < (double)image->length ? spanned : (double)image->length);
    return 4.0 * planes * planes + 20.0 * planes;
}

int allocate_work(int64_t n_atoms, const double *radii_A, const struct image *image, double **work)
{
    double max_radius_A = 0.0;
    for (int64_t i = 0; i < n_atoms; i++)
        max_radius_A = radii_A[i] > max_radius_A ? radii_A[i] : max_radius_A;
    *work = NULL;
    if (max_radius_A <= largest_octants_A(image))
        return 1;
    const double bytes = general_work_doubles(max_radius_A, image) * sizeof(double);
    *work = bytes < (double)(SIZE_MAX / 4) ? malloc((size_t)bytes + sizeof(double)) : NULL;
    return *work != NULL;
}

void draw_image(const struct atoms *atoms, const struct image *image, double *work)
{
    memset(image->data, 0, (size_t)image->n_cells * (image->is_float64 ? sizeof(double) : sizeof(float)));
    kernel()->draw(atoms, image, work);
}

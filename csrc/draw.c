/* Drawing one image: what it is, memory to work in, zeros, then the kernel. */
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

struct image image_of(void *data, int n_channels, int64_t length_voxels, double resolution_A, const double center_A[3],
                      int fill, int is_max, int is_float32_maths, int is_float64)
{
    const int64_t volume = length_voxels * length_voxels * length_voxels;
    const struct image image = {
        .data = data,
        .length = length_voxels,
        .channel_stride = volume,
        .n_cells = n_channels * volume,
        .resolution_A = resolution_A,
        .center_A = {center_A[0], center_A[1], center_A[2]},
        .is_float64 = is_float64,
        .is_float32_maths = is_float32_maths,
        .is_max = is_max,
        .fill = fill,
    };
    return image;
}

size_t bytes_of(const struct image *image)
{
    return (size_t)image->n_cells * (image->is_float64 ? sizeof(double) : sizeof(float));
}

void draw_image(const struct kernel *kernel, const struct atoms *atoms, const struct image *image, double *work)
{
    memset(image->data, 0, bytes_of(image));
    kernel->draw(atoms, image, work);
}

/* One image of atoms: checks, then the drawing. */
#include <stdlib.h>

#include "kernel.h"

static int overlaps(const void *a, size_t a_bytes, const void *b, size_t b_bytes)
{
    return a && (uintptr_t)a < (uintptr_t)b + b_bytes && (uintptr_t)b < (uintptr_t)a + a_bytes;
}

/* Does the image share memory with what it is drawn from? */
static int image_overlaps(const struct atoms *atoms, const struct image *image)
{
    const size_t n = (size_t)atoms->n, numbers = n * sizeof(double), bytes = bytes_of(image);
    return overlaps(atoms->coords_A, 3 * numbers, image->data, bytes)
           || overlaps(atoms->radii_A, numbers, image->data, bytes)
           || overlaps(atoms->channel_masks, n * sizeof(uint32_t), image->data, bytes)
           || overlaps(atoms->occupancies, numbers, image->data, bytes);
}

int64_t voxelizer_fill(int64_t n_atoms, const double *coords_A, const double *radii_A, const uint32_t *channel_masks,
                       const double *occupancies, int n_channels, int is_max, int64_t length_voxels,
                       double resolution_A, double center_x_A, double center_y_A, double center_z_A, int fill,
                       int is_float32_maths, void *data, int is_float64)
{
    const struct kernel *const kernel = kernel_in_use();
    if (!kernel)
        return VOXELIZER_NO_KERNEL;
    const struct atoms atoms = {n_atoms, coords_A, radii_A, channel_masks, occupancies};
    const int64_t bad = first_bad_atom(kernel, &atoms, n_channels, is_max);
    if (bad != VOXELIZER_FINE)
        return bad;
    const double center_A[3] = {center_x_A, center_y_A, center_z_A};
    const struct image image = image_of(data, n_channels, length_voxels, resolution_A, center_A, fill, is_max,
                                        is_float32_maths, is_float64);
    if (image_overlaps(&atoms, &image))
        return VOXELIZER_OVERLAP;
    double *work;
    if (!allocate_work(n_atoms, radii_A, &image, &work))
        return VOXELIZER_NO_MEMORY;
    draw_image(kernel, &atoms, &image, work);
    free(work);
    return VOXELIZER_FINE;
}

/* One call: check, zero the image, draw atom after atom. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "voxelizer.h"

/* Work arrays for the largest sphere that is not drawn by octants; *work is NULL where none is. */
static int allocate_work(int64_t n_atoms, const double *radii_A, const struct image *image, double **work)
{
    double max_radius_A = 0.0;
    for (int64_t i = 0; i < n_atoms; i++)
        max_radius_A = radii_A[i] > max_radius_A ? radii_A[i] : max_radius_A;
    *work = NULL;
    if (max_radius_A <= 0.5 * image->resolution_A)
        return 1;
    const double bytes = general_work_doubles(max_radius_A, image) * sizeof(double);
    *work = bytes < (double)(SIZE_MAX / 4) ? malloc((size_t)bytes + sizeof(double)) : NULL;
    return *work != NULL;
}

/* Does the bounding box of the sphere overlap the image by more than a touch? */
static int reaches_image(const struct sphere *sphere, double half_length_A)
{
    const double reach_A = half_length_A + sphere->radius_A;
    return (fabs(sphere->offset_A[0]) < reach_A) & (fabs(sphere->offset_A[1]) < reach_A)
           & (fabs(sphere->offset_A[2]) < reach_A);
}

int64_t voxelizer_fill(int64_t n_atoms, const double *coords_A, const double *radii_A, const uint32_t *channel_masks,
                       const double *occupancies, int n_channels, int is_max, int64_t length_voxels,
                       double resolution_A, double center_x_A, double center_y_A, double center_z_A, int fill,
                       void *data, int is_float64)
{
    const int64_t bad =
        voxelizer_first_bad_atom(n_atoms, coords_A, radii_A, channel_masks, occupancies, n_channels, is_max);
    if (bad != VOXELIZER_FINE)
        return bad;
    const int64_t volume = length_voxels * length_voxels * length_voxels;
    const struct image image = {data, length_voxels, volume, resolution_A, is_float64, is_max, fill};
    double *work;
    if (!allocate_work(n_atoms, radii_A, &image, &work))
        return VOXELIZER_NO_MEMORY;
    memset(data, 0, (size_t)(n_channels * volume) * (is_float64 ? sizeof(double) : sizeof(float)));

    const double half_length_A = 0.5 * (double)length_voxels * resolution_A;
    struct octant_group group;
    group.n = 0;
    for (int64_t i = 0; i < n_atoms; i++) {
        const struct sphere sphere = {
            {coords_A[3 * i] - center_x_A, coords_A[3 * i + 1] - center_y_A, coords_A[3 * i + 2] - center_z_A},
            radii_A[i],
            occupancies ? occupancies[i] : 1.0,
            channel_masks[i],
        };
        if (!sphere.channel_mask || !reaches_image(&sphere, half_length_A))
            continue;
        if (sphere.radius_A <= 0.5 * resolution_A) {
            octants_push(&group, &sphere, &image);
        } else {
            /* Atoms are added in their order: float sums depend on it. */
            octants_flush(&group, &image);
            general_draw(&sphere, &image, work);
        }
    }
    octants_flush(&group, &image);
    free(work);
    return VOXELIZER_FINE;
}

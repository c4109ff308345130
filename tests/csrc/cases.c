/* What the cases share. */
#include "cases.h"

#include <stdlib.h>

struct scene scene_of_atoms(struct case_atoms *atoms, int64_t n, int64_t length_voxels)
{
    for (int64_t i = 0; i < n; i++) {
        atoms->coords_A[3 * i] = atoms->coords_A[3 * i + 1] = atoms->coords_A[3 * i + 2] = 0.0;
        atoms->radii_A[i] = 0.5;
        atoms->occupancies[i] = 1.0;
        atoms->channel_masks[i] = 1;
    }
    const struct scene scene = {
        .n_atoms = n,
        .coords_A = atoms->coords_A,
        .radii_A = atoms->radii_A,
        .channel_masks = atoms->channel_masks,
        .n_channels = 1,
        .length_voxels = length_voxels,
        .resolution_A = 1.0,
    };
    return scene;
}

double *check_everywhere(const struct scene *scene, int kernel)
{
    double *image = calloc((size_t)n_cells_of(scene), sizeof(double));
    struct expectation expected = {0};
    if (expected_status(scene) == VOXELIZER_FINE)
        expected = expectation_of(scene);
    for (int placement = N_PLACEMENTS; placement-- > 0;)
        for (int is_float64 = 0; is_float64 < 2; is_float64++)
            check_scene(scene, &expected, kernel, (enum placement)placement, is_float64, image);
    release_expectation(&expected);
    return image;
}

/* From a structure to the spheres of one view: which atoms are near, where the frame puts them, what they look like.

   Most atoms of a structure are far away from a view: they cost a squared distance in the frame of the structure, in
   the precision of its coordinates. */
#ifndef CULL_H
#define CULL_H

#include "lanes.h"
#include "voxelizer.h"

/* Atoms of a block that are near the view. */
struct near_atoms {
    int n;
    int index[CULL_BLOCK];
    int has_overflow; /* some squared distance is NaN or infinite: so may be a coordinate */
};

/* Has the sphere some of the image in it? Without FMA, whatever the vectors said before: every kernel must refuse the
   same atoms. */
static int touches_image(const double center_A[3], double radius_A, const struct image *image)
{
    const double half_length_A = 0.5 * (double)image->length * image->resolution_A;
    double sum = 0.0;
    for (int axis = 0; axis < 3; axis++) {
        const double away_A = fabs(center_A[axis] - image->center_A[axis]) - half_length_A;
        const double share = away_A > 0.0 ? away_A / radius_A : 0.0;
        sum += share * share;
    }
    return sum < 1.0;
}

/* Where squares of distances overflow or underflow, the exact test of every atom has to do. */
static void find_all(int n_atoms, struct near_atoms *near)
{
    near->has_overflow = 1;
    for (near->n = 0; near->n < n_atoms; near->n++)
        near->index[near->n] = near->n;
}

#include "float64_names.h"
#include "cull_body.h"

#include "float32_names.h"
#include "cull_body.h"

#include "float64_names.h"

static int64_t cull(const struct voxelizer_view *view, int64_t first, int n_atoms, const struct culling *culling,
                    const struct image *image, struct spheres *spheres)
{
    return (view->coords_are_float64 ? cull_block : f_cull_block)(view, first, n_atoms, culling, image, spheres);
}

#endif

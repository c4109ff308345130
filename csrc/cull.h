/* From a structure to the spheres of one view: which atoms are near, where the frame puts them, what they look like.

   Most atoms of a structure are far away from a view: they cost a squared distance in the frame of the structure, in the
   precision of its coordinates. */
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

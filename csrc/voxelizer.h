/* What the C files share: the atoms, the image, and a sphere in it. */
#ifndef VOXELIZER_H
#define VOXELIZER_H

#include <stdint.h>

#include "voxelizer.cdef.h"

/* The image and how a value goes into it. */
struct image {
    void *data;             /* (channels, length, length, length) */
    int64_t length;         /* L, voxels */
    int64_t channel_stride; /* L^3, voxels */
    int64_t n_cells;        /* channels * L^3 */
    double resolution_A;    /* h */
    double center_A[3];
    int is_float64;
    int is_float32_maths; /* of the spheres that octants.h draws */
    int is_max;
    int fill;
};

/* The arguments of the caller, one row per atom. */
struct atoms {
    int64_t n;
    const double *coords_A; /* (n, 3) */
    const double *radii_A;
    const uint32_t *channel_masks;
    const double *occupancies; /* NULL: all 1 */
};

static inline double occupancy_of(const struct voxelizer_view *view, int64_t atom)
{
    return view->occupancies_are_float64 ? ((const double *)view->occupancies)[atom]
                                              : (double)((const float *)view->occupancies)[atom];
}

/* Added to distances that need not be exact, as a share of all lengths involved: more than float32 coordinates, and
   frames that were computed in float32, are off. */
#define CULL_SLACK 1e-5

/* How the atoms of a structure become spheres of a view. */
struct culling {
    double frame[12];   /* rows of R | t */
    double center_A[3]; /* of the image, in the frame of the structure */
    /* Outside this radius around there, or outside this half edge of the image's box, no atom reaches the image. */
    double ball_A, box_A;
    const uint32_t *channel_masks; /* of each of the 256 atomic numbers */
    const double *radii_A;
    double max_radius_A;
    int may_drop; /* may an atom that reaches the image be in no channel? */
};
/* Atoms are looked at in blocks of so many. */
#define CULL_BLOCK 1024

/* Columns that grow: what is left of a structure. */
struct spheres {
    int64_t n, capacity;
    double *coords_A; /* (n, 3) */
    double *radii_A;
    double *occupancies;
    uint32_t *channel_masks;
};

/* One sphere relative to the centre of the image. */
struct sphere {
    double offset_A[3];
    double radius_A;
    double occupancy;
    uint32_t channel_mask;
};

/* float64 numbers in the widest vector of any kernel. */
#define MAX_LANES 8

/* Of radius 1: 4/3 pi. */
#define SPHERE_VOLUME 4.1887902047863909846

/* Volume of the sphere in units of the fill: what a fraction of the sphere is multiplied by. Kept finite, because
   0 * inf is NaN. */
static inline double fill_unit(const struct image *image, double radius_A)
{
    const double r = image->fill == 2 ? radius_A / image->resolution_A : radius_A;
    const double volume = image->fill == 0 ? 1.0 : SPHERE_VOLUME * r * r * r;
    return volume < 1e300 ? volume : 1e300;
}

/* The largest spheres that octants.h may draw: half a voxel. None in an image of one voxel, or where a voxel is so
   small or large that its reciprocal is no ordinary number. */
static inline double largest_octants_A(const struct image *image)
{
    const double h = image->resolution_A;
    return image->length > 1 && h > 1e-300 && h < 1e300 ? 0.5 * h : 0.0;
}

#endif

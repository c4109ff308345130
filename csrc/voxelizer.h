/* What the C files share: the sphere after scaling, the image, and one function per job. */
#ifndef VOXELIZER_H
#define VOXELIZER_H

#include <stdint.h>

#include "voxelizer.cdef.h"

#define PI 3.14159265358979323846

/* The image and how a value goes into it. */
struct image {
    void *data;             /* (channels, length, length, length) */
    int64_t length;         /* L, voxels */
    int64_t channel_stride; /* L^3, voxels */
    double resolution_A;    /* h */
    int is_float64;
    int is_max;
    int fill;
};

/* One sphere relative to the centre of the image. */
struct sphere {
    double offset_A[3];
    double radius_A;
    double occupancy;
    uint32_t channel_mask;
};

/* corners.c: q(a, b) for n pairs with 0 <= a, b <= 1. The one hot loop; each instruction set may bring its own. */
void corners_q(int n, const double *a, const double *b, double *q);

/* octants.c: spheres with r <= h / 2, which at most one plane per axis cuts; drawn in groups. */
#define OCTANT_GROUP 64
struct octant_group {
    int n;
    double distance[3][OCTANT_GROUP]; /* |nearest plane| of each axis, in radii from the centre, at most 1 */
    int64_t near[3][OCTANT_GROUP];    /* voxel on the centre's side of that plane, -1 to L */
    int64_t step[3][OCTANT_GROUP];    /* 1 or -1: the way to the voxel beyond it */
    double scale[OCTANT_GROUP];
    uint32_t channel_mask[OCTANT_GROUP];
};
void octants_push(struct octant_group *group, const struct sphere *sphere, const struct image *image);
void octants_flush(struct octant_group *group, const struct image *image);

/* general.c: any radius. work: general_work_doubles(...) of them. */
double general_work_doubles(double max_radius_A, const struct image *image);
void general_draw(const struct sphere *sphere, const struct image *image, double *work);

/* scatter.c: add values to every channel of a mask. */
void scatter_row(const struct image *image, uint32_t channel_mask, int64_t voxel, int64_t n, const double *values);
/* Cell i of 8 lies at voxel + (i & 1 ? step[0] : 0) + (i & 2 ? step[1] : 0) + (i & 4 ? step[2] : 0). */
void scatter_cells(const struct image *image, uint32_t channel_mask, int64_t voxel, const int64_t step[3],
                   const double values[8]);

/* Volume of the sphere in units of the fill: what a fraction of the sphere is multiplied by. Kept finite, because
   0 * inf is NaN. */
static inline double fill_unit(const struct image *image, double radius_A)
{
    const double r = image->fill == 2 ? radius_A / image->resolution_A : radius_A;
    const double volume = image->fill == 0 ? 1.0 : 4.0 / 3.0 * PI * r * r * r;
    return volume < 1e300 ? volume : 1e300;
}

#endif

/* Spheres of at most half a voxel in radius, in images of at least two voxels a side: one plane per axis can cut them, so their up to eight shares are the
   signed sums of 1, three p, three q and one s. Groups of them are computed side by side. */
#ifndef OCTANTS_H
#define OCTANTS_H

#include "scatter.h"
#include "sphere.h"

/* A multiple of every number of lanes. */
#define OCTANT_GROUP 32

#include "float64_names.h"
#include "octants_body.h"

#include "float32_names.h"
#include "octants_body.h"

#include "float64_names.h"

struct octant_group {
    int n;
    int fits_float32; /* none of the scales is out of the range of float32 */
    /* Given: the spheres. */
    double offset_A[3][OCTANT_GROUP]; /* from the centre of the image */
    double radius_A[OCTANT_GROUP];
    uint32_t channel_mask[OCTANT_GROUP];
    /* Computed. The low voxel of a sphere is on the lower side of the nearest plane of each axis, or in its place. */
    double voxel[OCTANT_GROUP]; /* its index in a channel */
    struct octant_numbers numbers;
    struct f_octant_numbers f_numbers; /* in their place where float32 maths is asked for */
};

static void octants_flush(struct octant_group *group, const struct image *image);

/* Room for the rest of the last vector: lanes that are computed and not used must hold numbers. */
static void octants_start(struct octant_group *group)
{
    group->n = 0;
    group->fits_float32 = 1;
    for (int i = 0; i < OCTANT_GROUP; i++) {
        group->offset_A[0][i] = group->offset_A[1][i] = group->offset_A[2][i] = 0.0;
        group->radius_A[i] = group->numbers.scale[i] = 1.0;
    }
}

/* unit: fill_unit of the radius. */
static inline void octants_push(struct octant_group *group, const struct sphere *sphere, double unit,
                                const struct image *image)
{
    const int slot = group->n;
    const double scale = 0.125 * sphere->occupancy * unit;
    for (int axis = 0; axis < 3; axis++)
        group->offset_A[axis][slot] = sphere->offset_A[axis];
    group->radius_A[slot] = sphere->radius_A;
    group->numbers.scale[slot] = scale;
    group->fits_float32 &= fabs(scale) < 1e30 && (fabs(scale) > 1e-30 || scale == 0.0);
    group->channel_mask[slot] = sphere->channel_mask;
    group->n = slot + 1;
    if (group->n == OCTANT_GROUP)
        octants_flush(group, image);
}

/* Find the plane of each axis that is nearest to the centre of each of the first n spheres.

   Where one of the voxels beside it is not in the image, the other takes the place of the one that is and its neighbour in
   the image that of the lost one: the sphere is mirrored, and what falls to the neighbour is lost. So every sphere
   goes to 2 x 2 x 2 voxels of the image; nobody could predict a branch, which every fourth sphere would take. */
static void place_octants(struct octant_group *group, int n, const struct image *image)
{
    const double h = image->resolution_A, length = (double)image->length, half = 0.5 * length;
    const vec zero = all(0.0), last = all(length - 2.0), lost = all(4.0);
    for (int i = 0; i < n; i += LANES) {
        vec voxel = zero;
        for (int axis = 0; axis < 3; axis++) {
            const vec offset_A = load(&group->offset_A[axis][i]);
            /* Only spheres in reach are pushed: this is within 0 to L, but for rounding. Any of two planes that are
               equally near will do, because both just touch. */
            const vec step = larger(muladd(offset_A, all(1.0 / h), all(half + 0.5)), zero);
            const vec plane = truncated(smaller(step, all(length)));
            const vec position = clamped(((plane - half) * h - offset_A) / load(&group->radius_A[i]));
            const vec low = plane - 1.0, low_inside = larger(smaller(low, last), zero);
            store(&group->numbers.position[axis][i],
                  if_less(absolute(low - low_inside), all(0.5), position, -position));
            store(&group->numbers.lost_low[axis][i], if_less(last, low, lost, zero));
            store(&group->numbers.lost_high[axis][i], if_less(low, zero, lost, zero));
            voxel = voxel * length + low_inside;
        }
        store(&group->voxel[i], voxel);
    }
}

static void compute_in_float32(struct octant_group *group, int n)
{
    for (int i = 0; i < n; i += LANES) {
        for (int axis = 0; axis < 3; axis++) {
            store_floats(&group->f_numbers.position[axis][i], load(&group->numbers.position[axis][i]));
            store_floats(&group->f_numbers.lost_low[axis][i], load(&group->numbers.lost_low[axis][i]));
            store_floats(&group->f_numbers.lost_high[axis][i], load(&group->numbers.lost_high[axis][i]));
        }
        store_floats(&group->f_numbers.scale[i], load(&group->numbers.scale[i]));
    }
    f_octants_compute(&group->f_numbers, n);
}

static void octants_flush(struct octant_group *group, const struct image *image)
{
    if (group->n == 0)
        return;
    const int in_float32 = image->is_float32_maths && group->fits_float32;
    const int computed = (group->n + F_LANES - 1) / F_LANES * F_LANES;
    place_octants(group, computed, image);
    if (in_float32)
        compute_in_float32(group, computed);
    else
        octants_compute(&group->numbers, computed);
    for (int slot = 0; slot < group->n; slot++) {
        const int64_t voxel = (int64_t)group->voxel[slot];
        if (in_float32)
            f_octants_scatter(&group->f_numbers, slot, image, group->channel_mask[slot], voxel);
        else
            octants_scatter(&group->numbers, slot, image, group->channel_mask[slot], voxel);
    }
    group->n = 0;
    group->fits_float32 = 1;
}

#endif

/* Spheres of at most half a voxel in radius: one plane per axis can cut them, so their up to eight shares are the
   signed sums of 1, three p, three q and one s. Groups of them are computed side by side. */
#ifndef OCTANTS_H
#define OCTANTS_H

#include "scatter.h"
#include "sphere.h"

/* A multiple of every number of lanes. */
#define OCTANT_GROUP 32

struct octant_group {
    int n;
    /* Given: the spheres. */
    double offset_A[3][OCTANT_GROUP]; /* from the centre of the image */
    double radius_A[OCTANT_GROUP];
    double scale[OCTANT_GROUP]; /* occupancy, and 1/8 of the volume in units of the fill */
    uint32_t channel_mask[OCTANT_GROUP];
    /* Computed. The low voxel of a sphere is on the lower side of the nearest plane of each axis. */
    double low[3][OCTANT_GROUP];      /* its index, -1 to L - 1 */
    double position[3][OCTANT_GROUP]; /* of the plane, in radii from the centre of the sphere, -1 to 1 */
    double voxel[OCTANT_GROUP];       /* index of the low voxel in a channel; -1 where some octant lies outside */
    double values[4][2 * OCTANT_GROUP]; /* x and y low or high (x counts double); low and high z side by side */
};

static void octants_flush(struct octant_group *group, const struct image *image);

/* Room for the rest of the last vector: lanes that are computed and not used must hold numbers. */
static void octants_start(struct octant_group *group)
{
    group->n = 0;
    for (int i = 0; i < OCTANT_GROUP; i++) {
        group->offset_A[0][i] = group->offset_A[1][i] = group->offset_A[2][i] = 0.0;
        group->radius_A[i] = group->scale[i] = 1.0;
    }
}

static inline void octants_push(struct octant_group *group, const struct sphere *sphere, const struct image *image)
{
    const int slot = group->n;
    for (int axis = 0; axis < 3; axis++)
        group->offset_A[axis][slot] = sphere->offset_A[axis];
    group->radius_A[slot] = sphere->radius_A;
    group->scale[slot] = 0.125 * sphere->occupancy * fill_unit(image, sphere->radius_A);
    group->channel_mask[slot] = sphere->channel_mask;
    group->n = slot + 1;
    if (group->n == OCTANT_GROUP)
        octants_flush(group, image);
}

/* Find the plane of each axis that is nearest to the centre of each of the first n spheres. */
static void place_octants(struct octant_group *group, int n, const struct image *image)
{
    const double h = image->resolution_A, length = (double)image->length, half = 0.5 * length;
    for (int axis = 0; axis < 3; axis++)
        for (int i = 0; i < n; i += LANES) {
            const vec offset_A = load(&group->offset_A[axis][i]);
            /* Only spheres in reach are pushed: this is within 0 to L, but for rounding. Any of two planes that are
               equally near will do, because both just touch. */
            const vec step = larger(muladd(offset_A, all(1.0 / h), all(half + 0.5)), all(0.0));
            const vec plane = truncated(smaller(step, all(length)));
            store(&group->low[axis][i], plane - 1.0);
            const vec distance_A = (plane - half) * h - offset_A;
            store(&group->position[axis][i], clamped(distance_A / load(&group->radius_A[i])));
        }
    for (int i = 0; i < n; i += LANES) {
        const vec x = load(&group->low[0][i]), y = load(&group->low[1][i]), z = load(&group->low[2][i]);
        const vec lowest = smaller(smaller(x, y), z), highest = larger(larger(x, y), z);
        const vec margin = smaller(lowest, length - 2.0 - highest);
        store(&group->voxel[i], if_less(margin, all(0.0), all(-1.0), (x * length + y) * length + z));
    }
}

/* Exactly 0 where the nearest point is not inside the sphere; rounding must not go below 0. */
static inline vec octant_value(vec share, vec nearest2, vec scale)
{
    return if_less(nearest2, all(1.0), larger(share, all(0.0)) * scale, all(0.0));
}

/* The values of the first n spheres of a group. */
static void compute_octants(struct octant_group *group, int n)
{
    for (int i = 0; i < n; i += LANES) {
        const vec a = load(&group->position[0][i]), abs_a = absolute(a), a2 = a * a;
        const vec b = load(&group->position[1][i]), abs_b = absolute(b), b2 = b * b;
        const vec c = load(&group->position[2][i]), abs_c = absolute(c), c2 = c * c;
        const vec pa = cap(abs_a), pb = cap(abs_b), pc = cap(abs_c);
        const vec leg_a = other_leg(abs_a), leg_b = other_leg(abs_b), leg_c = other_leg(abs_c);
        const vec qab = wedge(abs_a, abs_b, pa, pb, leg_a, leg_b);
        const vec qac = wedge(abs_a, abs_c, pa, pc, leg_a, leg_c);
        const vec qbc = wedge(abs_b, abs_c, pb, pc, leg_b, leg_c);
        const vec outside = pa + pb + pc - 1.0 - qab - qac - qbc;
        /* With the signs of the planes: p is odd in a, q in a and b, s, which is negative, in all three. */
        const vec ab = a * b, abc = ab * c;
        const vec p0 = with_sign(pa, a), p1 = with_sign(pb, b), p2 = with_sign(pc, c);
        const vec q01 = with_sign(qab, ab), q02 = with_sign(qac, a * c), q12 = with_sign(qbc, b * c);
        const vec s = if_less(a2 + b2 + c2, all(1.0), -6.0 / PI * abc, with_sign(outside, -abc));
        /* Below a plane its p counts +, above it -; q and s take the product of the signs. Sums and differences over
           x, then y, then z; in the names 0 is low. */
        const vec e0 = 1.0 + p0, e1 = 1.0 - p0, y0 = p1 + q01, y1 = p1 - q01;
        const vec z0 = p2 + q02, z1 = p2 - q02, w0 = q12 - s, w1 = q12 + s;
        const vec v00 = e0 + y0, v10 = e1 + y1, v01 = e0 - y0, v11 = e1 - y1;
        const vec u00 = z0 + w0, u10 = z1 + w1, u01 = z0 - w0, u11 = z1 - w1;
        /* Squared distance of the nearest point of an octant from the centre, axis by axis. */
        const vec zero = all(0.0), scale = load(&group->scale[i]);
        const vec a_low = if_less(a, zero, a2, zero), a_high = a2 - a_low;
        const vec b_low = if_less(b, zero, b2, zero), b_high = b2 - b_low;
        const vec c_low = if_less(c, zero, c2, zero), c_high = c2 - c_low;
        store_interleaved(&group->values[0][2 * i], octant_value(v00 + u00, a_low + b_low + c_low, scale),
                          octant_value(v00 - u00, a_low + b_low + c_high, scale));
        store_interleaved(&group->values[1][2 * i], octant_value(v01 + u01, a_low + b_high + c_low, scale),
                          octant_value(v01 - u01, a_low + b_high + c_high, scale));
        store_interleaved(&group->values[2][2 * i], octant_value(v10 + u10, a_high + b_low + c_low, scale),
                          octant_value(v10 - u10, a_high + b_low + c_high, scale));
        store_interleaved(&group->values[3][2 * i], octant_value(v11 + u11, a_high + b_high + c_low, scale),
                          octant_value(v11 - u11, a_high + b_high + c_high, scale));
    }
}

/* Add the values of a sphere of which some octants lie outside the image: those are lost. */
static void scatter_at_border(const struct octant_group *group, int slot, const struct image *image)
{
    const int64_t length = image->length;
    for (int octant = 0; octant < 8; octant++) {
        const int64_t x = (int64_t)group->low[0][slot] + (octant >> 2);
        const int64_t y = (int64_t)group->low[1][slot] + (octant >> 1 & 1);
        const int64_t z = (int64_t)group->low[2][slot] + (octant & 1);
        if (x >= 0 && y >= 0 && z >= 0 && x < length && y < length && z < length)
            scatter_one(image, group->channel_mask[slot], (x * length + y) * length + z,
                        group->values[octant >> 1][2 * slot + (octant & 1)]);
    }
}

static void octants_flush(struct octant_group *group, const struct image *image)
{
    const int computed = (int)whole_vectors(group->n);
    place_octants(group, computed, image);
    compute_octants(group, computed);
    for (int slot = 0; slot < group->n; slot++) {
        const double *values[4];
        for (int i = 0; i < 4; i++)
            values[i] = &group->values[i][2 * slot];
        if (group->voxel[slot] >= 0.0)
            scatter_pairs(image, group->channel_mask[slot], (int64_t)group->voxel[slot], values);
        else
            scatter_at_border(group, slot, image);
    }
    group->n = 0;
}

#endif

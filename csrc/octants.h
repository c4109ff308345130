/* Spheres of at most half a voxel in radius, in images of at least two voxels a side: one plane per axis can cut them,
   so their up to eight shares are the signed sums of 1, three p, three q and one s. Groups of them are computed side by
   side. */
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
    /* Computed. The low voxel of a sphere is on the lower side of the nearest plane of each axis, or in its place. */
    double voxel[OCTANT_GROUP];       /* its index in a channel */
    double position[3][OCTANT_GROUP]; /* of the plane, in radii from the centre of the sphere, -1 to 1 */
    /* More than 1 where what falls to the low or the high side of an axis is lost, else 0. */
    double lost_low[3][OCTANT_GROUP], lost_high[3][OCTANT_GROUP];
    float q[3][OCTANT_GROUP]; /* of |x|, |y|; of |y|, |z|; of |z|, |x|: where float32 maths is asked for */
    /* x and y low or high (x counts double); low and high z side by side. */
    double values[4][2 * OCTANT_GROUP];
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

/* unit: fill_unit of the radius. */
static inline void octants_push(struct octant_group *group, const struct sphere *sphere, double unit,
                                const struct image *image)
{
    const int slot = group->n;
    for (int axis = 0; axis < 3; axis++)
        group->offset_A[axis][slot] = sphere->offset_A[axis];
    group->radius_A[slot] = sphere->radius_A;
    const double scale = 0.125 * sphere->occupancy * unit;
    /* 0 * inf is NaN. */
    group->scale[slot] = scale > 1e300 ? 1e300 : scale < -1e300 ? -1e300 : scale;
    group->channel_mask[slot] = sphere->channel_mask;
    group->n = slot + 1;
    if (group->n == OCTANT_GROUP)
        octants_flush(group, image);
}

/* Find the plane of each axis that is nearest to the centre of each of the first n spheres.

   Where one of the voxels beside it is not in the image, the sphere goes to the other and to its neighbour on the far
   side: it is mirrored, and what falls to the neighbour is lost. So every sphere goes to 2 x 2 x 2 voxels of the image;
   nobody could predict a branch, which every fourth sphere would take. */
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
            store(&group->position[axis][i],
                  if_less(absolute(low - low_inside), all(0.5), position, -position));
            store(&group->lost_low[axis][i], if_less(last, low, lost, zero));
            store(&group->lost_high[axis][i], if_less(low, zero, lost, zero));
            voxel = voxel * length + low_inside;
        }
        store(&group->voxel[i], voxel);
    }
}

/* The q of the first n spheres in float32: there most of the time goes. What is left by subtraction is computed in
   float64 before, and what q goes into after: the rounding of either would double the error. */
static void compute_q_in_float32(struct octant_group *group, int n)
{
    float distance[3][OCTANT_GROUP], p[3][OCTANT_GROUP], leg[3][OCTANT_GROUP], w2[3][OCTANT_GROUP];
    for (int i = 0; i < n; i += LANES)
        for (int axis = 0; axis < 3; axis++) {
            const vec a = absolute(load(&group->position[axis][i]));
            const vec b = absolute(load(&group->position[(axis + 1) % 3][i]));
            store_floats(&distance[axis][i], a);
            store_floats(&p[axis][i], cap(a));
            store_floats(&leg[axis][i], muladd(-a, a, all(1.0)));
            store_floats(&w2[axis][i], third_square(a, b));
        }
    for (int i = 0; i < n; i += F_LANES)
        for (int axis = 0; axis < 3; axis++) {
            const int next = (axis + 1) % 3;
            const f_vec leg_a = f_root(f_load(&leg[axis][i])), leg_b = f_root(f_load(&leg[next][i]));
            f_store(&group->q[axis][i], f_wedge(f_load(&distance[axis][i]), f_load(&distance[next][i]),
                                                f_load(&w2[axis][i]), f_load(&p[axis][i]), f_load(&p[next][i]),
                                                leg_a, leg_b));
        }
}

/* Exactly 0 where the nearest point is not inside the sphere; rounding must not go below 0. */
INLINE vec octant_value(vec share, vec nearest2, vec scale)
{
    return if_less(nearest2, all(1.0), larger(share, all(0.0)) * scale, all(0.0));
}

/* The values of the spheres from i on. */
INLINE void compute_octants(struct octant_group *group, int i, int in_float32)
{
    const vec a = load(&group->position[0][i]), abs_a = absolute(a), a2 = a * a;
    const vec b = load(&group->position[1][i]), abs_b = absolute(b), b2 = b * b;
    const vec c = load(&group->position[2][i]), abs_c = absolute(c), c2 = c * c;
    const vec pa = cap(abs_a), pb = cap(abs_b), pc = cap(abs_c);
    vec qab, qac, qbc;
    if (in_float32) {
        /* Where the planes cross outside the sphere, q is known better. */
        qab = if_less(a2 + b2, all(1.0), load_floats(&group->q[0][i]), pa + pb - 1.0);
        qbc = if_less(b2 + c2, all(1.0), load_floats(&group->q[1][i]), pb + pc - 1.0);
        qac = if_less(a2 + c2, all(1.0), load_floats(&group->q[2][i]), pa + pc - 1.0);
    } else {
        const vec leg_a = other_leg(abs_a), leg_b = other_leg(abs_b), leg_c = other_leg(abs_c);
        qab = wedge(abs_a, abs_b, third_square(abs_a, abs_b), pa, pb, leg_a, leg_b);
        qac = wedge(abs_a, abs_c, third_square(abs_a, abs_c), pa, pc, leg_a, leg_c);
        qbc = wedge(abs_b, abs_c, third_square(abs_b, abs_c), pb, pc, leg_b, leg_c);
    }
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
    const vec a_side = if_less(a, zero, a2, zero), b_side = if_less(b, zero, b2, zero);
    const vec c_side = if_less(c, zero, c2, zero);
    const vec a_low = a_side + load(&group->lost_low[0][i]), a_high = a2 - a_side + load(&group->lost_high[0][i]);
    const vec b_low = b_side + load(&group->lost_low[1][i]), b_high = b2 - b_side + load(&group->lost_high[1][i]);
    const vec c_low = c_side + load(&group->lost_low[2][i]), c_high = c2 - c_side + load(&group->lost_high[2][i]);
    store_interleaved(&group->values[0][2 * i], octant_value(v00 + u00, a_low + b_low + c_low, scale),
                      octant_value(v00 - u00, a_low + b_low + c_high, scale));
    store_interleaved(&group->values[1][2 * i], octant_value(v01 + u01, a_low + b_high + c_low, scale),
                      octant_value(v01 - u01, a_low + b_high + c_high, scale));
    store_interleaved(&group->values[2][2 * i], octant_value(v10 + u10, a_high + b_low + c_low, scale),
                      octant_value(v10 - u10, a_high + b_low + c_high, scale));
    store_interleaved(&group->values[3][2 * i], octant_value(v11 + u11, a_high + b_high + c_low, scale),
                      octant_value(v11 - u11, a_high + b_high + c_high, scale));
}

/* Two by two cells from `cell` on: values[2 x + y][z]. */
#define DEFINE_PAIRS(name, real, combine)                                                                    \
    static inline void name(real *cell, int64_t length, const double *const values[4])                       \
    {                                                                                                        \
        real *const rows[4] = {cell, cell + length, cell + length * length, cell + (length + 1) * length};   \
        for (int i = 0; i < 4; i++)                                                                          \
            for (int z = 0; z < 2; z++)                                                                      \
                rows[i][z] = combine(real, rows[i][z], values[i][z]);                                        \
    }
DEFINE_PAIRS(pairs_sum_f32, float, SUM)
DEFINE_PAIRS(pairs_sum_f64, double, SUM)
DEFINE_PAIRS(pairs_max_f32, float, MAX)
DEFINE_PAIRS(pairs_max_f64, double, MAX)

/* Add the values of a sphere to the 2 x 2 x 2 voxels from the low one on. */
static inline void scatter_octants(const struct octant_group *group, int slot, const struct image *image)
{
    const double *values[4];
    for (int i = 0; i < 4; i++)
        values[i] = &group->values[i][2 * slot];
    for (uint32_t channels = group->channel_mask[slot]; channels; channels &= channels - 1) {
        const int64_t start = (int64_t)group->voxel[slot] + first_bit(channels) * image->channel_stride;
        /* Called by name: through a pointer they are not inlined. */
        if (image->is_float64 && image->is_max)
            pairs_max_f64((double *)image->data + start, image->length, values);
        else if (image->is_float64)
            pairs_sum_f64((double *)image->data + start, image->length, values);
        else if (image->is_max)
            pairs_max_f32((float *)image->data + start, image->length, values);
        else
            pairs_sum_f32((float *)image->data + start, image->length, values);
    }
}

static void octants_flush(struct octant_group *group, const struct image *image)
{
    const int computed = (group->n + F_LANES - 1) / F_LANES * F_LANES;
    place_octants(group, computed, image);
    if (image->is_float32_maths) {
        compute_q_in_float32(group, computed);
        for (int i = 0; i < computed; i += LANES)
            compute_octants(group, i, 1);
    } else {
        for (int i = 0; i < computed; i += LANES)
            compute_octants(group, i, 0);
    }
    for (int slot = 0; slot < group->n; slot++)
        scatter_octants(group, slot, image);
    group->n = 0;
}

#endif

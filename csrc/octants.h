/* Spheres of at most half a voxel in radius: one plane per axis can cut them, so their up to eight shares are the
   signed sums of 1, three p, three q and one s. */
#ifndef OCTANTS_H
#define OCTANTS_H

#include "scatter.h"
#include "sphere.h"

/* Spheres are drawn in groups. */
#define OCTANT_GROUP 64
struct octant_group {
    int n;
    double distance[3][OCTANT_GROUP]; /* |nearest plane| of each axis, in radii from the centre, at most 1 */
    int64_t near[3][OCTANT_GROUP];    /* voxel on the centre's side of that plane, -1 to L */
    int64_t step[3][OCTANT_GROUP];    /* 1 or -1: the way to the voxel beyond it */
    double scale[OCTANT_GROUP];
    uint32_t channel_mask[OCTANT_GROUP];
};

static void octants_flush(struct octant_group *group, const struct image *image);

static void octants_push(struct octant_group *group, const struct sphere *sphere, const struct image *image)
{
    const double half_length = 0.5 * (double)image->length;
    const int slot = group->n;
    for (int axis = 0; axis < 3; axis++) {
        const double offset_A = sphere->offset_A[axis];
        /* The driver has left out whatever lies more than a radius outside: this is within 0 to L, but for rounding. */
        int64_t plane = (int64_t)(offset_A / image->resolution_A + half_length + 0.5);
        plane = plane < 0 ? 0 : plane > image->length ? image->length : plane;
        const double distance_A = ((double)plane - half_length) * image->resolution_A - offset_A;
        const double position = clamp_unit(distance_A / sphere->radius_A);
        group->distance[axis][slot] = fabs(position);
        group->step[axis][slot] = position < 0.0 ? -1 : 1;
        group->near[axis][slot] = position < 0.0 ? plane : plane - 1;
    }
    group->scale[slot] = sphere->occupancy * fill_unit(image, sphere->radius_A);
    group->channel_mask[slot] = sphere->channel_mask;
    group->n = slot + 1;
    if (group->n == OCTANT_GROUP)
        octants_flush(group, image);
}

/* Shares of all spheres of a group. Bit 0 of the first index: beyond the plane of x (1) or on the side of the centre
   (0); bit 1: of y; bit 2: of z. */
static void octant_shares(const struct octant_group *group, double shares[8][OCTANT_GROUP])
{
    const double(*distance)[OCTANT_GROUP] = group->distance;
    const int n = group->n;
    double q[3][OCTANT_GROUP];
    corners_q(n, distance[0], distance[1], q[0]);
    corners_q(n, distance[0], distance[2], q[1]);
    corners_q(n, distance[1], distance[2], q[2]);
    for (int i = 0; i < n; i++) {
        const double a = distance[0][i], b = distance[1][i], c = distance[2][i];
        const double a2 = a * a, b2 = b * b, c2 = c * c;
        const double pa = cap(a), pb = cap(b), pc = cap(c), qab = q[0][i], qac = q[1][i], qbc = q[2][i];
        const double inside = -6.0 / PI * (a * b * c);
        const double outside = pa + pb + pc - 1.0 - qab - qac - qbc;
        const double s = a2 + b2 + c2 < 1.0 ? inside : outside;
        /* On the near side of a plane its p counts +, beyond it -; q and s take the product of the signs. Sums and
           differences over x (0 near, 1 beyond), then y, then z. */
        const double e0 = 1.0 + pa, e1 = 1.0 - pa, y0 = pb + qab, y1 = pb - qab;
        const double z0 = pc + qac, z1 = pc - qac, w0 = qbc - s, w1 = qbc + s;
        const double v00 = e0 + y0, v10 = e1 + y1, v01 = e0 - y0, v11 = e1 - y1;
        const double u00 = z0 + w0, u10 = z1 + w1, u01 = z0 - w0, u11 = z1 - w1;
        const double v[8] = {v00 + u00, v10 + u10, v01 + u01, v11 + u11, v00 - u00, v10 - u10, v01 - u01, v11 - u11};
        /* Exactly 0 where the nearest point of the octant is not inside the sphere; rounding must not go below 0. */
        const double nearest2[8] = {0.0, a2, b2, a2 + b2, c2, a2 + c2, b2 + c2, a2 + b2 + c2};
        for (int octant = 0; octant < 8; octant++)
            shares[octant][i] = (nearest2[octant] < 1.0) & (v[octant] > 0.0) ? 0.125 * v[octant] : 0.0;
    }
}

/* Add the eight values of the sphere in a slot; those outside the image are lost. */
static void scatter_octants(const struct octant_group *group, int slot, const struct image *image,
                            const double values[8])
{
    const int64_t length = image->length;
    const int64_t stride[3] = {length * length, length, 1};
    int64_t steps[3], voxel = 0;
    int outside[8] = {0};
    for (int axis = 0; axis < 3; axis++) {
        const int64_t near = group->near[axis][slot], beyond = near + group->step[axis][slot];
        steps[axis] = group->step[axis][slot] * stride[axis];
        voxel += near * stride[axis];
        const int lost[2] = {near < 0 || near >= length, beyond < 0 || beyond >= length};
        for (int octant = 0; octant < 8; octant++)
            outside[octant] |= lost[octant >> axis & 1];
    }
    int whole = 1;
    for (int octant = 0; octant < 8; octant++)
        whole &= !outside[octant];
    if (whole) {
        scatter_cells(image, group->channel_mask[slot], voxel, steps, values);
        return;
    }
    for (int octant = 0; octant < 8; octant++)
        if (!outside[octant])
            scatter_row(image, group->channel_mask[slot],
                        voxel + (octant & 1) * steps[0] + (octant >> 1 & 1) * steps[1] + (octant >> 2) * steps[2], 1,
                        values + octant);
}

static void octants_flush(struct octant_group *group, const struct image *image)
{
    double shares[8][OCTANT_GROUP], values[8];
    octant_shares(group, shares);
    for (int slot = 0; slot < group->n; slot++) {
        for (int octant = 0; octant < 8; octant++)
            values[octant] = shares[octant][slot] * group->scale[slot];
        scatter_octants(group, slot, image, values);
    }
    group->n = 0;
}

#endif

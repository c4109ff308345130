/* Spheres of any radius. Planes cut to the image; q once per pair of planes, s once per corner, both shared by the
   voxels around; a voxel's share is the triple difference of s. */
#ifndef GENERAL_H
#define GENERAL_H

#include "scatter.h"
#include "sphere.h"

/* The planes that bound the voxels of one axis, in radii from the centre of the sphere. */
struct axis {
    int64_t first;    /* index of the first voxel in the image */
    int64_t n;        /* voxels; there are n + 1 planes */
    double *distance; /* |plane|, at most 1, (n + 1) */
    double *sign;     /* of the plane */
    double *p;        /* p(distance) */
    double *nearest2; /* squared distance of the nearest point of each voxel, (n) */
    double *farthest2;
};

struct block {
    struct axis axis[3];
    double *q_xy, *q_xz, *q_yz; /* (n + 1, n + 1) each, of distances */
    double *s[2];               /* s at the corners of two successive x planes, (ny + 1, nz + 1) each */
    double *values;             /* (nz) */
};

/* Pairs of planes whose q needs the full formula, evaluated in groups. */
#define PAIRS 128
struct pair_queue {
    int n;
    double a[PAIRS], b[PAIRS], q[PAIRS];
    double *target[PAIRS];
};

static double *take(double **work, int64_t n)
{
    double *taken = *work;
    *work += n;
    return taken;
}

static double clamp_to(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

/* Fill an axis; its n is 0 where the sphere misses the image. */
static void place_axis(struct axis *axis, double offset_A, double radius_A, const struct image *image, double **work)
{
    const double h = image->resolution_A, half_length = 0.5 * (double)image->length;
    /* Clamped as doubles: radius / h may exceed any integer. */
    const double first = clamp_to(floor((offset_A - radius_A) / h + half_length), 0.0, (double)image->length);
    const double end = clamp_to(ceil((offset_A + radius_A) / h + half_length), 0.0, (double)image->length);
    axis->first = (int64_t)first;
    axis->n = end > first ? (int64_t)end - axis->first : 0;
    axis->distance = take(work, axis->n + 1);
    axis->sign = take(work, axis->n + 1);
    axis->p = take(work, axis->n + 1);
    axis->nearest2 = take(work, axis->n + 1);
    axis->farthest2 = take(work, axis->n + 1);
    double lower = 0.0;
    for (int64_t i = 0; i <= axis->n; i++) {
        const double upper = (((double)(axis->first + i) - half_length) * h - offset_A) / radius_A;
        const double distance = fabs(upper);
        axis->distance[i] = distance < 1.0 ? distance : 1.0;
        axis->sign[i] = upper < 0.0 ? -1.0 : 1.0;
        axis->p[i] = 0.5 * axis->distance[i] * (3.0 - axis->distance[i] * axis->distance[i]);
        if (i > 0) {
            const double nearest = lower > 0.0 ? lower : upper < 0.0 ? -upper : 0.0;
            const double farthest = -lower > upper ? -lower : upper;
            axis->nearest2[i - 1] = nearest * nearest;
            axis->farthest2[i - 1] = farthest * farthest;
        }
        lower = upper;
    }
}

static void flush_pairs(struct pair_queue *queue)
{
    /* Lanes that nobody reads must hold numbers. */
    for (int i = queue->n; i < whole_vectors(queue->n); i++)
        queue->a[i] = queue->b[i] = 0.0;
    for (int i = 0; i < queue->n; i += LANES) {
        const vec a = load(&queue->a[i]), b = load(&queue->b[i]);
        store(&queue->q[i], wedge(a, b, cap(a), cap(b), other_leg(a), other_leg(b)));
    }
    for (int i = 0; i < queue->n; i++)
        *queue->target[i] = queue->q[i];
    queue->n = 0;
}

/* q of every pair of planes of two axes; only pairs whose edge cuts the sphere cost more than an addition. */
static void fill_q(const struct axis *u, const struct axis *v, double *q, struct pair_queue *queue)
{
    for (int64_t i = 0; i <= u->n; i++) {
        const double a = u->distance[i];
        for (int64_t j = 0; j <= v->n; j++, q++) {
            const double b = v->distance[j];
            *q = u->p[i] + v->p[j] - 1.0; /* includes q(1, b) = p(b) */
            if (a * a + b * b < 1.0) {
                queue->a[queue->n] = a;
                queue->b[queue->n] = b;
                queue->target[queue->n] = q;
                if (++queue->n == PAIRS)
                    flush_pairs(queue);
            }
        }
    }
}

/* s at the corners along z of the edge between x plane i and y plane j. */
static void fill_s_row(const struct block *block, int64_t i, int64_t j, double *restrict s)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const double *restrict q_xz = block->q_xz + i * (z->n + 1);
    const double *restrict q_yz = block->q_yz + j * (z->n + 1);
    const double *restrict c = z->distance, *restrict p = z->p, *restrict sign = z->sign;
    const double ab = x->distance[i] * y->distance[j], sign_ab = x->sign[i] * y->sign[j];
    const double c2_inside = 1.0 - x->distance[i] * x->distance[i] - y->distance[j] * y->distance[j];
    const double rest = x->p[i] + y->p[j] - 1.0 - block->q_xy[i * (y->n + 1) + j];
    for (int64_t k = 0; k <= z->n; k++) {
        const double inside = -6.0 / PI * (ab * c[k]);
        const double outside = rest + p[k] - q_xz[k] - q_yz[k];
        s[k] = sign_ab * sign[k] * (c[k] * c[k] < c2_inside ? inside : outside);
    }
}

/* Squared distance of the nearest of the voxels on both sides of plane i. */
static double nearest2_around(const struct axis *axis, int64_t i)
{
    const double below = i > 0 ? axis->nearest2[i - 1] : 1.0;
    const double above = i < axis->n ? axis->nearest2[i] : 1.0;
    return below < above ? below : above;
}

/* s at all corners of x plane i that some cut voxel needs. */
static void fill_s_plane(const struct block *block, int64_t i, double *s)
{
    const struct axis *y = &block->axis[1];
    const double nearest2_x = nearest2_around(&block->axis[0], i);
    for (int64_t j = 0; j <= y->n; j++)
        if (nearest2_x + nearest2_around(y, j) < 1.0)
            fill_s_row(block, i, j, s + j * (block->axis[2].n + 1));
}

/* Values of the voxels along z at (i, j), in units of the fill. The four rows of s surround them. */
static void fill_values(const struct block *block, int64_t i, int64_t j, int64_t start, int64_t end, double unit,
                        double whole_voxel)
{
    const struct axis *z = &block->axis[2];
    const double nearest2_xy = block->axis[0].nearest2[i] + block->axis[1].nearest2[j];
    const double farthest2_xy = block->axis[0].farthest2[i] + block->axis[1].farthest2[j];
    const double *restrict s00 = block->s[0] + j * (z->n + 1), *restrict s01 = s00 + z->n + 1;
    const double *restrict s10 = block->s[1] + j * (z->n + 1), *restrict s11 = s10 + z->n + 1;
    const double *restrict nearest2 = z->nearest2, *restrict farthest2 = z->farthest2;
    double *restrict values = block->values;
    for (int64_t k = start; k < end; k++) {
        const double upper = (s11[k + 1] - s10[k + 1]) - (s01[k + 1] - s00[k + 1]);
        const double lower = (s11[k] - s10[k]) - (s01[k] - s00[k]);
        const double share = 0.125 * unit * (lower - upper);
        const double at_most = share < whole_voxel ? share : whole_voxel;
        const double cut = (share > 0.0) & (nearest2_xy + nearest2[k] < 1.0) ? at_most : 0.0;
        values[k] = farthest2_xy + farthest2[k] <= 1.0 ? whole_voxel : cut;
    }
}

/* Value of a voxel that lies wholly in the sphere, in units of the fill. */
static double whole_voxel_value(const struct image *image, double radius_A)
{
    const double h = image->resolution_A, ratio = h / radius_A;
    return image->fill == 0 ? 0.75 / PI * ratio * ratio * ratio : image->fill == 1 ? h * h * h : 1.0;
}

static void draw_slab(const struct block *block, int64_t i, const struct sphere *sphere, const struct image *image)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const double unit = fill_unit(image, sphere->radius_A);
    const double whole_voxel = whole_voxel_value(image, sphere->radius_A);
    for (int64_t j = 0; j < y->n; j++) {
        const double left2 = 1.0 - x->nearest2[i] - y->nearest2[j];
        int64_t start = 0, end = z->n;
        while (start < end && z->nearest2[start] >= left2)
            start++;
        while (end > start && z->nearest2[end - 1] >= left2)
            end--;
        if (start == end)
            continue;
        fill_values(block, i, j, start, end, unit, whole_voxel);
        for (int64_t k = start; k < end; k++)
            block->values[k] *= sphere->occupancy;
        const int64_t voxel = ((x->first + i) * image->length + y->first + j) * image->length + z->first;
        scatter_row(image, sphere->channel_mask, voxel + start, end - start, block->values + start);
    }
}

static double largest_end(const struct axis *axis)
{
    const double first = axis->farthest2[0], last = axis->farthest2[axis->n - 1];
    return first > last ? first : last;
}

/* The part of the image in reach lies wholly in the sphere: no corner is needed. */
static void draw_inside(const struct block *block, const struct sphere *sphere, const struct image *image)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const double value = whole_voxel_value(image, sphere->radius_A) * sphere->occupancy;
    for (int64_t k = 0; k < z->n; k++)
        block->values[k] = value;
    for (int64_t i = x->first; i < x->first + x->n; i++)
        for (int64_t j = y->first; j < y->first + y->n; j++)
            scatter_row(image, sphere->channel_mask, (i * image->length + j) * image->length + z->first, z->n,
                        block->values);
}

static void fill_all_q(const struct block *block)
{
    struct pair_queue queue;
    queue.n = 0;
    fill_q(&block->axis[0], &block->axis[1], block->q_xy, &queue);
    fill_q(&block->axis[0], &block->axis[2], block->q_xz, &queue);
    fill_q(&block->axis[1], &block->axis[2], block->q_yz, &queue);
    flush_pairs(&queue);
}

static void general_draw(const struct sphere *sphere, const struct image *image, double *work)
{
    struct block block;
    struct axis *x = &block.axis[0], *y = &block.axis[1], *z = &block.axis[2];
    for (int i = 0; i < 3; i++) {
        place_axis(&block.axis[i], sphere->offset_A[i], sphere->radius_A, image, &work);
        if (block.axis[i].n == 0)
            return;
    }
    block.values = take(&work, z->n);
    if (largest_end(x) + largest_end(y) + largest_end(z) <= 1.0) {
        draw_inside(&block, sphere, image);
        return;
    }
    block.q_xy = take(&work, (x->n + 1) * (y->n + 1));
    block.q_xz = take(&work, (x->n + 1) * (z->n + 1));
    block.q_yz = take(&work, (y->n + 1) * (z->n + 1));
    block.s[0] = take(&work, (y->n + 1) * (z->n + 1));
    block.s[1] = take(&work, (y->n + 1) * (z->n + 1));
    fill_all_q(&block);
    fill_s_plane(&block, 0, block.s[0]);
    for (int64_t i = 0; i < x->n; i++) {
        fill_s_plane(&block, i + 1, block.s[1]);
        draw_slab(&block, i, sphere, image);
        double *spare = block.s[0];
        block.s[0] = block.s[1];
        block.s[1] = spare;
    }
}

#endif

/* Spheres of any radius. Planes cut to the image; q once per pair of planes, s once per corner, both shared by the
   voxels around; a voxel's share is the triple difference of s. Vectors run along z. */
#ifndef GENERAL_H
#define GENERAL_H

#include "scatter.h"
#include "sphere.h"

/* The planes that bound the voxels of one axis, and in the last vector some beyond the image. */
struct axis {
    int64_t first;    /* index of the first voxel in the image */
    int64_t n;        /* voxels; there are n + 1 planes */
    int64_t padded;   /* planes, rounded up to whole vectors: the length of these arrays */
    double *distance; /* |plane| in radii from the centre of the sphere, at most 1 */
    double *sign;     /* of the plane */
    double *p;        /* p(distance) */
    double *leg;      /* sqrt(1 - distance^2) */
    /* Of the voxel above each plane: squared distance of its nearest and of its farthest point; beyond the last voxel
       4, outside any sphere. */
    double *nearest2;
    double *farthest2;
};

struct block {
    struct axis axis[3];
    double *q_xy, *q_xz, *q_yz; /* (planes, padded) each: q of the distances */
    double *s;                  /* (y planes, z padded): s at the corners of an x plane */
    double *rise[2];            /* (z padded): s of an x plane less s of the one before, along two y planes */
};

static double *take(double **work, int64_t n)
{
    double *taken = *work;
    *work += n;
    return taken;
}

static double clamp_to(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

static const double COUNT[8] = {0, 1, 2, 3, 4, 5, 6, 7};

/* Fill an axis; its n is 0 where the sphere misses the image. */
static void place_axis(struct axis *axis, double offset_A, double radius_A, const struct image *image, double **work)
{
    const double h = image->resolution_A, half_length = 0.5 * (double)image->length;
    /* Clamped as doubles: radius / h may exceed any integer. */
    const double first = clamp_to(floor((offset_A - radius_A) / h + half_length), 0.0, (double)image->length);
    const double end = clamp_to(ceil((offset_A + radius_A) / h + half_length), 0.0, (double)image->length);
    axis->first = (int64_t)first;
    axis->n = end > first ? (int64_t)end - axis->first : 0;
    axis->padded = whole_vectors(axis->n + 1);
    double **const columns[] = {&axis->distance, &axis->sign,     &axis->p,
                                &axis->leg,      &axis->nearest2, &axis->farthest2};
    for (int i = 0; i < 6; i++)
        *columns[i] = take(work, axis->padded);
    /* Lower plane of each voxel; the upper one is computed as the lower of the next, so that both are the same. */
    const vec count = load(COUNT), one = all(1.0), zero = all(0.0);
    for (int64_t i = 0; i < axis->padded; i += LANES) {
        const vec index = count + (first + (double)i);
        const vec lower = ((index - half_length) * h - offset_A) / radius_A;
        const vec upper = ((index + 1.0 - half_length) * h - offset_A) / radius_A;
        const vec distance = smaller(absolute(lower), one);
        store(axis->distance + i, distance);
        store(axis->sign + i, if_less(lower, zero, -one, one));
        store(axis->p + i, cap(distance));
        store(axis->leg + i, other_leg(distance));
        const vec nearest = larger(larger(lower, -upper), zero), farthest = larger(-lower, upper);
        const vec last = all(end - 0.5);
        store(axis->nearest2 + i, if_less(index, last, nearest * nearest, all(4.0)));
        store(axis->farthest2 + i, if_less(index, last, farthest * farthest, all(4.0)));
    }
}

/* Pairs of planes whose edge cuts the sphere, from many rows of q: side by side they fill whole vectors. */
#define RUNS 32
struct run {
    double a2_left, p_a;   /* 1 - a^2 and p(a) of the row */
    const double *b, *p_b; /* the planes of the other axis */
    double *q;             /* where they go */
    const double *found;   /* q of the first lane, if it were in the queue */
};
struct pair_queue {
    int n, n_runs;
    struct run runs[RUNS];
    double a[RUNS * LANES], p_a[RUNS * LANES], leg_a[RUNS * LANES];
    double b[RUNS * LANES], p_b[RUNS * LANES], leg_b[RUNS * LANES];
    double q[LANES + RUNS * LANES]; /* the first lanes stay empty */
};

static void flush_pairs(struct pair_queue *queue)
{
    /* Rows are copied by the vector: beyond the last pair stand others of its row, valid as any. */
    for (int i = 0; i < queue->n; i += LANES)
        store(queue->q + LANES + i, wedge(load(queue->a + i), load(queue->b + i), load(queue->p_a + i),
                                          load(queue->p_b + i), load(queue->leg_a + i), load(queue->leg_b + i)));
    for (int i = 0; i < queue->n_runs; i++) {
        const struct run *run = &queue->runs[i];
        const vec b = load(run->b);
        /* Elsewhere p(a) + p(b) - 1, which includes q(1, b) = p(b). */
        store(run->q, if_less(b * b, all(run->a2_left), load(run->found), run->p_a - 1.0 + load(run->p_b)));
    }
    queue->n = queue->n_runs = 0;
}

/* q of every pair of planes of two axes, (u planes, v padded). */
static void fill_q(const struct axis *u, const struct axis *v, double *q, struct pair_queue *queue)
{
    for (int64_t i = 0; i <= u->n; i++) {
        const double a = u->distance[i], a2_left = 1.0 - a * a;
        for (int64_t j = 0; j < v->padded; j += LANES, q += LANES) {
            const vec b = load(v->distance + j);
            /* Distances fall towards the centre and rise beyond it: those that are small enough stand together. */
            int start, n;
            find_run(which_less(b * b, all(a2_left)), &start, &n);
            const int at = queue->n;
            store(queue->a + at, all(a));
            store(queue->p_a + at, all(u->p[i]));
            store(queue->leg_a + at, all(u->leg[i]));
            store(queue->b + at, load(v->distance + j + start));
            store(queue->p_b + at, load(v->p + j + start));
            store(queue->leg_b + at, load(v->leg + j + start));
            const struct run run = {a2_left, u->p[i], v->distance + j, v->p + j, q, queue->q + LANES + at - start};
            queue->runs[queue->n_runs++] = run;
            queue->n += n;
            if (queue->n_runs == RUNS)
                flush_pairs(queue);
        }
    }
}

static void fill_all_q(const struct block *block)
{
    struct pair_queue queue;
    queue.n = queue.n_runs = 0;
    fill_q(&block->axis[0], &block->axis[1], block->q_xy, &queue);
    fill_q(&block->axis[0], &block->axis[2], block->q_xz, &queue);
    fill_q(&block->axis[1], &block->axis[2], block->q_yz, &queue);
    flush_pairs(&queue);
}

/* What turns triple differences of s into the values of one sphere. */
struct value_rule {
    double eighth;      /* 1/8 of the volume of the sphere, in units of the fill */
    double whole_voxel; /* value of a voxel that lies wholly in the sphere, likewise */
    double occupancy;
    uint32_t channel_mask;
};

static struct value_rule value_rule_of(const struct sphere *sphere, const struct image *image)
{
    const double h = image->resolution_A, ratio = h / sphere->radius_A;
    const double whole = image->fill == 0   ? ratio * ratio * ratio / SPHERE_VOLUME
                         : image->fill == 1 ? h * h * h
                                            : 1.0;
    const struct value_rule rule = {
        0.125 * fill_unit(image, sphere->radius_A),
        whole,
        sphere->occupancy,
        sphere->channel_mask,
    };
    return rule;
}

static inline vec difference(const double *above, const double *below) { return load(above) - load(below); }

/* Add the values of the voxels along z at (i, j). above, below: s of x plane i + 1 less s of x plane i, along y planes
   j + 1 and j. */
static void draw_row(const struct block *block, int64_t i, int64_t j, const double *above, const double *below,
                     const struct value_rule *rule, const struct image *image)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const vec nearest2_xy = all(x->nearest2[i] + y->nearest2[j]), one = all(1.0), zero = all(0.0);
    const vec farthest2_xy = all(x->farthest2[i] + y->farthest2[j]), whole = all(rule->whole_voxel);
    const int64_t voxel = ((x->first + i) * image->length + y->first + j) * image->length + z->first;
    vec here = difference(above, below);
    for (int64_t k = 0; k < z->n; k += LANES) {
        const int is_last = k + LANES >= z->padded;
        const vec next = is_last ? here : difference(above + k + LANES, below + k + LANES);
        const vec share = rule->eighth * (here - shifted(here, next));
        /* Exactly 0 where the nearest point is not inside the sphere, and not below 0 by rounding. */
        const vec cut = if_less(nearest2_xy + load(z->nearest2 + k), one, smaller(larger(share, zero), whole), zero);
        const vec value = if_less(one, farthest2_xy + load(z->farthest2 + k), cut, whole) * rule->occupancy;
        scatter_vector(image, rule->channel_mask, voxel + k, z->n - k, value);
        here = next;
    }
}

/* s at the corners along z of the edge between x plane i and y plane j replaces that of x plane i - 1; rise: the
   difference of the two. */
static void fill_s_row(const struct block *block, int64_t i, int64_t j, double *restrict s, double *restrict rise)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const double *q_xz = block->q_xz + i * z->padded, *q_yz = block->q_yz + j * z->padded;
    const double a = x->distance[i], b = y->distance[j];
    const vec sign_ab = all(x->sign[i] * y->sign[j]), c2_inside = all(1.0 - a * a - b * b);
    const vec inside_per_c = all(-6.0 / PI * (a * b));
    const vec rest = all(x->p[i] + y->p[j] - 1.0 - block->q_xy[i * y->padded + j]);
    for (int64_t k = 0; k < z->padded; k += LANES) {
        const vec c = load(z->distance + k);
        const vec outside = rest + load(z->p + k) - load(q_xz + k) - load(q_yz + k);
        const vec s_here = if_less(c * c, c2_inside, inside_per_c * c, outside) * (sign_ab * load(z->sign + k));
        store(rise + k, s_here - load(s + k));
        store(s + k, s_here);
    }
}

static double largest_end(const struct axis *axis)
{
    const double first = axis->farthest2[0], last = axis->farthest2[axis->n - 1];
    return first > last ? first : last;
}

/* The part of the image in reach lies wholly in the sphere: no corner is needed. */
static void draw_inside(const struct block *block, const struct value_rule *rule, const struct image *image)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const vec value = all(rule->whole_voxel * rule->occupancy);
    for (int64_t i = x->first; i < x->first + x->n; i++)
        for (int64_t j = y->first; j < y->first + y->n; j++)
            for (int64_t k = 0; k < z->n; k += LANES)
                scatter_vector(image, rule->channel_mask, (i * image->length + j) * image->length + z->first + k,
                               z->n - k, if_less(load(COUNT), all((double)(z->n - k)), value, all(0.0)));
}

static void draw_cut(const struct block *block, const struct value_rule *rule, const struct image *image)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1];
    const int64_t padded = block->axis[2].padded;
    fill_all_q(block);
    for (int64_t j = 0; j <= y->n; j++)
        fill_s_row(block, 0, j, block->s + j * padded, block->rise[0]);
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t j = 0; j <= y->n; j++) {
            fill_s_row(block, i + 1, j, block->s + j * padded, block->rise[j & 1]);
            if (j > 0 && x->nearest2[i] + y->nearest2[j - 1] < 1.0)
                draw_row(block, i, j - 1, block->rise[j & 1], block->rise[~j & 1], rule, image);
        }
}

static void general_draw(const struct sphere *sphere, const struct image *image, double *work)
{
    struct block block;
    const struct axis *x = &block.axis[0], *y = &block.axis[1], *z = &block.axis[2];
    for (int i = 0; i < 3; i++) {
        place_axis(&block.axis[i], sphere->offset_A[i], sphere->radius_A, image, &work);
        if (block.axis[i].n == 0)
            return;
    }
    const struct value_rule rule = value_rule_of(sphere, image);
    if (largest_end(x) + largest_end(y) + largest_end(z) <= 1.0) {
        draw_inside(&block, &rule, image);
        return;
    }
    block.q_xy = take(&work, (x->n + 1) * y->padded);
    block.q_xz = take(&work, (x->n + 1) * z->padded);
    block.q_yz = take(&work, (y->n + 1) * z->padded);
    block.s = take(&work, (y->n + 1) * z->padded);
    block.rise[0] = take(&work, z->padded);
    block.rise[1] = take(&work, z->padded);
    draw_cut(&block, &rule, image);
}

#endif

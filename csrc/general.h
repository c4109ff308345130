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

/* In radii from the centre of the sphere. */
static inline vec plane_position(vec index, double offset_A, double radius_A, const struct image *image)
{
    return ((index - 0.5 * (double)image->length) * image->resolution_A - offset_A) / radius_A;
}

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
    const vec count = load(COUNT), one = all(1.0), zero = all(0.0);
    vec above = plane_position(count + first, offset_A, radius_A, image);
    for (int64_t i = 0; i < axis->padded; i += LANES) {
        const vec index = count + (first + (double)i), lower = above;
        if (i + LANES < axis->padded)
            above = plane_position(index + (double)LANES, offset_A, radius_A, image);
        const vec upper = shifted(lower, above);
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
    /* One vector more than there are pairs. */
    double a[(RUNS + 1) * LANES], p_a[(RUNS + 1) * LANES], leg_a[(RUNS + 1) * LANES];
    double b[(RUNS + 1) * LANES], p_b[(RUNS + 1) * LANES], leg_b[(RUNS + 1) * LANES];
    double q[LANES + RUNS * LANES]; /* the first lanes stay empty */
};

static void flush_pairs(struct pair_queue *queue)
{
    /* The rest of the last vector is computed and not used: it must hold numbers. */
    double *const columns[] = {queue->a, queue->p_a, queue->leg_a, queue->b, queue->p_b, queue->leg_b};
    for (int i = 0; i < 6; i++)
        store(columns[i] + queue->n, all(0.0));
    for (int i = 0; i < queue->n; i += LANES) {
        const vec a = load(queue->a + i), b = load(queue->b + i);
        store(queue->q + LANES + i, wedge(a, b, third_square(a, b), load(queue->p_a + i), load(queue->p_b + i),
                                          load(queue->leg_a + i), load(queue->leg_b + i)));
    }
    for (int i = 0; i < queue->n_runs; i++) {
        const struct run *run = &queue->runs[i];
        const vec b = load(run->b);
        /* Elsewhere p(a) + p(b) - 1, which includes q(1, b) = p(b). */
        store(run->q, if_less(b * b, all(run->a2_left), load(run->found), run->p_a - 1.0 + load(run->p_b)));
    }
    queue->n = queue->n_runs = 0;
}

/* q of the pairs of plane i of u with the vector of planes from j on of v, sooner or later. */
static inline void enqueue_pairs(const struct axis *u, int64_t i, const struct axis *v, int64_t j, double *q,
                                 struct pair_queue *queue)
{
    const double a = u->distance[i], a2_left = 1.0 - a * a;
    const vec b = load(v->distance + j);
    /* Distances fall towards the centre and rise beyond it: those that are small enough stand together. */
    const unsigned cut = which_less(b * b, all(a2_left));
    const int64_t from = j + lowest_bit(cut);
    const int at = queue->n;
    store(queue->a + at, all(a));
    store(queue->p_a + at, all(u->p[i]));
    store(queue->leg_a + at, all(u->leg[i]));
    store(queue->b + at, load(v->distance + from));
    store(queue->p_b + at, load(v->p + from));
    store(queue->leg_b + at, load(v->leg + from));
    const struct run run = {a2_left, u->p[i], v->distance + j, v->p + j, q, queue->q + LANES + at - (from - j)};
    queue->runs[queue->n_runs++] = run;
    queue->n += count_bits(cut);
    if (queue->n_runs == RUNS)
        flush_pairs(queue);
}

/* q of every pair of planes of two axes, (u planes, v padded). */
static void fill_q(const struct axis *u, const struct axis *v, double *q, struct pair_queue *queue)
{
    for (int64_t i = 0; i <= u->n; i++)
        for (int64_t j = 0; j < v->padded; j += LANES, q += LANES)
            if (u->distance[i] < 1.0)
                enqueue_pairs(u, i, v, j, q, queue);
            else
                store(q, load(v->p + j)); /* q(1, b) = p(b) */
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

static struct value_rule value_rule_of(const struct sphere *sphere, double unit, const struct image *image)
{
    const double h = image->resolution_A, ratio = h / sphere->radius_A;
    const double whole = image->fill == 0   ? ratio * ratio * ratio / SPHERE_VOLUME
                         : image->fill == 1 ? h * h * h
                                            : 1.0;
    const struct value_rule rule = {
        0.125 * unit,
        whole < 1e300 ? whole : 1e300, /* as fill_unit */
        sphere->occupancy,
        sphere->channel_mask,
    };
    return rule;
}

/* The corners along z of the edge between an x plane and a y plane: what they have in common. */
struct edge {
    double sign, inside_per_c, c2_inside, outside;
};

INLINE struct edge edge_of(const struct block *block, int64_t i, int64_t j)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1];
    const double a = x->distance[i], b = y->distance[j];
    const struct edge edge = {
        x->sign[i] * y->sign[j],
        -6.0 / PI * (a * b),
        1.0 - a * a - b * b,
        x->p[i] + y->p[j] - 1.0 - block->q_xy[i * y->padded + j],
    };
    return edge;
}

/* s at a vector of corners. sign, c, p: of their z planes; q_xz, q_yz: of these with the planes of the edge. */
INLINE vec s_of(struct edge edge, vec sign, vec c, vec p, vec q_xz, vec q_yz)
{
    const vec inside = edge.inside_per_c * c, outside = edge.outside + p - q_xz - q_yz;
    return if_less(c * c, all(edge.c2_inside), inside, outside) * (edge.sign * sign);
}

/* Values of a vector of voxels. lower, upper: double differences of s, over x and y, at their lower and upper z planes;
   nearest2, farthest2: squared distances of their nearest and farthest points. */
INLINE vec value_of(vec lower, vec upper, vec nearest2, vec farthest2, const struct value_rule *rule)
{
    const vec one = all(1.0), zero = all(0.0), whole = all(rule->whole_voxel);
    const vec share = rule->eighth * (lower - upper);
    /* Exactly 0 where the nearest point is not inside the sphere, and not below 0 by rounding. */
    const vec cut = if_less(nearest2, one, smaller(larger(share, zero), whole), zero);
    return if_less(one, farthest2, cut, whole) * rule->occupancy;
}

/* Index in the image of the first voxel of the row at (i, j). */
INLINE int64_t row_start(const struct block *block, int64_t i, int64_t j, const struct image *image)
{
    const struct axis *axis = block->axis;
    return ((axis[0].first + i) * image->length + axis[1].first + j) * image->length + axis[2].first;
}

/* s along the edge between x plane i and y plane j replaces that of x plane i - 1; rise: the difference of the two. */
INLINE void fill_s_row(const struct block *block, int64_t i, int64_t j, double *s, double *rise)
{
    const struct axis *z = &block->axis[2];
    const double *q_xz = block->q_xz + i * z->padded, *q_yz = block->q_yz + j * z->padded;
    const struct edge edge = edge_of(block, i, j);
    for (int64_t k = 0; k < z->padded; k += LANES) {
        const vec s_here = s_of(edge, load(z->sign + k), load(z->distance + k), load(z->p + k), load(q_xz + k),
                                load(q_yz + k));
        store(rise + k, s_here - load(s + k));
        store(s + k, s_here);
    }
}

/* Add the values of the voxels along z at (i, j). above, below: s of x plane i + 1 less s of x plane i, along y planes
   j + 1 and j. */
INLINE void draw_row(const struct block *block, int64_t i, int64_t j, const double *above, const double *below,
                     const struct value_rule *rule, const struct image *image)
{
    const struct axis *x = &block->axis[0], *y = &block->axis[1], *z = &block->axis[2];
    const double nearest2 = x->nearest2[i] + y->nearest2[j], farthest2 = x->farthest2[i] + y->farthest2[j];
    const int64_t voxel = row_start(block, i, j, image);
    vec lower = load(above) - load(below);
    for (int64_t k = 0; k < z->n; k += LANES) {
        const int64_t next_k = k + LANES < z->padded ? k + LANES : k;
        const vec next = load(above + next_k) - load(below + next_k);
        const vec values = value_of(lower, shifted(lower, next), nearest2 + load(z->nearest2 + k),
                                    farthest2 + load(z->farthest2 + k), rule);
        scatter_vector(image, rule->channel_mask, voxel + k, z->n - k, values);
        lower = next;
    }
}

INLINE void draw_rows(const struct block *block, const struct value_rule *rule, const struct image *image)
{
    const struct axis x = block->axis[0], y = block->axis[1];
    const int64_t padded = block->axis[2].padded;
    for (int64_t j = 0; j <= y.n; j++)
        fill_s_row(block, 0, j, block->s + j * padded, block->rise[0]);
    for (int64_t i = 0; i < x.n; i++) {
        double *above = block->rise[0], *below = block->rise[1];
        for (int64_t j = 0; j <= y.n; j++) {
            fill_s_row(block, i + 1, j, block->s + j * padded, above);
            if (j > 0 && x.nearest2[i] + y.nearest2[j - 1] < 1.0)
                draw_row(block, i, j - 1, above, below, rule, image);
            double *spare = below;
            below = above;
            above = spare;
        }
    }
}

/* draw_rows where one vector holds all planes of z: most of it stays in registers. */
INLINE void draw_short_rows(const struct block *block, const struct value_rule *rule, const struct image *image)
{
    const struct axis x = block->axis[0], y = block->axis[1], z = block->axis[2];
    const vec sign = load(z.sign), c = load(z.distance), p = load(z.p);
    const vec nearest2_z = load(z.nearest2), farthest2_z = load(z.farthest2);
    for (int64_t i = 0; i <= x.n; i++) {
        const vec q_xz = load(block->q_xz + i * LANES);
        vec below = all(0.0);
        for (int64_t j = 0; j <= y.n; j++) {
            double *const s = block->s + j * LANES;
            const vec s_here = s_of(edge_of(block, i, j), sign, c, p, q_xz, load(block->q_yz + j * LANES));
            if (i > 0) {
                const vec above = s_here - load(s), lower = above - below;
                const double nearest2 = x.nearest2[i - 1] + y.nearest2[j - (j > 0)];
                if (j > 0 && nearest2 < 1.0)
                    scatter_vector(image, rule->channel_mask, row_start(block, i - 1, j - 1, image), z.n,
                                   value_of(lower, shifted(lower, lower), nearest2 + nearest2_z,
                                            x.farthest2[i - 1] + y.farthest2[j - 1] + farthest2_z, rule));
                below = above;
            }
            store(s, s_here);
        }
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

static void draw_cut(const struct block *filled, const struct value_rule *same_rule, const struct image *same_image)
{
    fill_all_q(filled);
    /* Copies that nobody else can point to: they stay in registers. */
    const struct block block = *filled;
    const struct value_rule rule = *same_rule;
    const struct image image = *same_image;
    if (block.axis[2].padded == LANES)
        draw_short_rows(&block, &rule, &image);
    else
        draw_rows(&block, &rule, &image);
}

/* unit: fill_unit of the radius. */
static void general_draw(const struct sphere *sphere, double unit, const struct image *image, double *work)
{
    struct block block;
    const struct axis *x = &block.axis[0], *y = &block.axis[1], *z = &block.axis[2];
    for (int i = 0; i < 3; i++) {
        place_axis(&block.axis[i], sphere->offset_A[i], sphere->radius_A, image, &work);
        if (block.axis[i].n == 0)
            return;
    }
    const struct value_rule rule = value_rule_of(sphere, unit, image);
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

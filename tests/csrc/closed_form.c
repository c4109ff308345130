#include "closed_form.h"

#include <math.h>
#include <stdlib.h>

#define PI 3.14159265358979323846
/* Of a sphere: what csrc promises of kernels among each other, and what both sides here may lose against the truth. */
#define SPREAD (4 * 0x1p-52)
#define ERROR (8 * 0x1p-52)
#define FLOAT32_MATHS_ERROR 2e-7

/* The planes around the voxels of one axis that the sphere may reach. */
struct planes {
    int64_t first, n; /* voxels; there are n + 1 planes */
    double *position; /* in radii from the centre of the sphere, cut to -1 to 1 */
    double *nearest;  /* of each voxel: distance of its nearest point, in radii, 0 or more */
};

/* The sphere, in the units of its radius. */
struct ball {
    struct planes axis[3];
    double blur; /* what rounding may move a plane by: more than 1 where the sphere is tiny */
};

static double cap(double a) { return 0.5 * a * (3.0 - a * a); }

/* q, for 0 <= a, b <= 1. */
static double wedge(double a, double b)
{
    const double w2 = 1.0 - a * a - b * b;
    if (w2 <= 0.0)
        return cap(a) + cap(b) - 1.0;
    const double w = sqrt(w2);
    return 2.0 / PI * (a * b * w - atan2(a * b, w) + cap(a) * atan2(b, w) + cap(b) * atan2(a, w));
}

static double sign_of(double x) { return x < 0.0 ? -1.0 : 1.0; }

static double plane_position(const struct scene *scene, double index, double offset_A, double radius_A)
{
    return ((index - 0.5 * (double)scene->length_voxels) * scene->resolution_A - offset_A) / radius_A;
}

static struct planes planes_of(const struct scene *scene, double offset_A, double radius_A, double blur)
{
    struct planes planes = {0, 0, NULL, NULL};
    const int64_t length = scene->length_voxels;
    planes.position = malloc(((size_t)length + 1) * sizeof(double));
    planes.nearest = malloc((size_t)length * sizeof(double));
    for (int64_t i = 0; i < length; i++) {
        const double lower = plane_position(scene, (double)i, offset_A, radius_A);
        const double upper = plane_position(scene, (double)i + 1.0, offset_A, radius_A);
        const double nearest = fmax(fmax(lower, -upper), 0.0);
        if (nearest >= 1.0 + blur)
            continue;
        if (planes.n == 0)
            planes.first = i;
        planes.position[planes.n] = fmax(-1.0, fmin(lower, 1.0));
        planes.position[planes.n + 1] = fmax(-1.0, fmin(upper, 1.0));
        planes.nearest[planes.n++] = nearest;
    }
    return planes;
}

static double *wedges_of(const struct planes *u, const struct planes *v)
{
    double *q = malloc((size_t)((u->n + 1) * (v->n + 1)) * sizeof(double));
    for (int64_t i = 0; i <= u->n; i++)
        for (int64_t j = 0; j <= v->n; j++)
            q[i * (v->n + 1) + j] = wedge(fabs(u->position[i]), fabs(v->position[j]));
    return q;
}

/* s at every corner. */
static double *corners_of(const struct planes axis[3])
{
    const struct planes *x = &axis[0], *y = &axis[1], *z = &axis[2];
    double *q_xy = wedges_of(x, y), *q_xz = wedges_of(x, z), *q_yz = wedges_of(y, z);
    double *s = malloc((size_t)((x->n + 1) * (y->n + 1) * (z->n + 1)) * sizeof(double)), *at = s;
    for (int64_t i = 0; i <= x->n; i++)
        for (int64_t j = 0; j <= y->n; j++)
            for (int64_t k = 0; k <= z->n; k++) {
                const double a = x->position[i], b = y->position[j], c = z->position[k];
                const double outside = cap(fabs(a)) + cap(fabs(b)) + cap(fabs(c)) - 1.0 - q_xy[i * (y->n + 1) + j]
                                       - q_xz[i * (z->n + 1) + k] - q_yz[j * (z->n + 1) + k];
                const int is_inside = a * a + b * b + c * c < 1.0;
                *at++ = is_inside ? -6.0 / PI * a * b * c : sign_of(a) * sign_of(b) * sign_of(c) * outside;
            }
    free(q_xy);
    free(q_xz);
    free(q_yz);
    return s;
}

/* Share of the sphere in a voxel, given s at its lowest corner and the distances of neighbours along x and y. */
static double share_of(const double *s, int64_t x_step, int64_t y_step)
{
    const double low = (s[y_step + 1] - s[y_step]) - (s[1] - s[0]), *up = s + x_step;
    const double high = (up[y_step + 1] - up[y_step]) - (up[1] - up[0]);
    return fmax(0.0, -0.125 * (high - low));
}

/* share: of the sphere; weight: of the whole sphere in the image. */
static void add_to_cell(struct expectation *sum, int64_t cell, int is_max, double share, double weight, double error,
                        double spread)
{
    const double value = share * weight;
    sum->value[cell] = is_max ? fmax(sum->value[cell], value) : sum->value[cell] + value;
    sum->magnitude[cell] += fabs(value);
    sum->error[cell] += error * fabs(weight);
    sum->spread[cell] += spread * fabs(weight);
    sum->n_near[cell]++;
}

static void add_ball(struct expectation *sum, const struct scene *scene, const struct ball *ball, uint32_t mask,
                     double weight, double float32_error)
{
    /* Two kernels may be off to different sides. */
    const double error = ERROR + float32_error, spread = SPREAD + 2.0 * float32_error;
    const struct planes *x = &ball->axis[0], *y = &ball->axis[1], *z = &ball->axis[2];
    const int64_t y_step = z->n + 1, x_step = (y->n + 1) * y_step;
    double *s = corners_of(ball->axis);
    for (int64_t i = 0; i < x->n; i++)
        for (int64_t j = 0; j < y->n; j++)
            for (int64_t k = 0; k < z->n; k++) {
                const double near = hypot(hypot(x->nearest[i], y->nearest[j]), z->nearest[k]);
                if (near >= 1.0 + 2.0 * ball->blur)
                    continue;
                const double share = near < 1.0 ? share_of(s + i * x_step + j * y_step + k, x_step, y_step) : 0.0;
                for (int channel = 0; channel < scene->n_channels; channel++)
                    if (mask >> channel & 1)
                        add_to_cell(sum, cell_of(scene, channel, x->first + i, y->first + j, z->first + k),
                                    scene->is_max, share, weight, error + 3.0 * ball->blur, spread);
            }
    free(s);
}

static void add_atom(struct expectation *sum, const struct scene *scene, int64_t atom)
{
    const double half_length_A = 0.5 * (double)scene->length_voxels * scene->resolution_A;
    const double radius_A = scene->radii_A[atom];
    const int is_float32 = scene->is_float32_maths && radius_A <= 0.5 * scene->resolution_A;
    const double float32_error = is_float32 ? FLOAT32_MATHS_ERROR : 0.0;
    const double weight = (scene->occupancies ? scene->occupancies[atom] : 1.0) * sphere_unit(scene, radius_A);
    double offset_A[3], farthest_A = half_length_A;
    for (int axis = 0; axis < 3; axis++) {
        offset_A[axis] = scene->coords_A[3 * atom + axis] - scene->center_A[axis];
        if (!(fabs(offset_A[axis]) < half_length_A + radius_A))
            return;
        farthest_A = fmax(farthest_A, fabs(offset_A[axis]));
    }
    struct ball ball = {.blur = 4 * 0x1p-52 * fmin(farthest_A / radius_A + 1.0, 1e200) + 2.0 * float32_error};
    for (int axis = 0; axis < 3; axis++)
        ball.axis[axis] = planes_of(scene, offset_A[axis], radius_A, ball.blur);
    if (ball.axis[0].n && ball.axis[1].n && ball.axis[2].n)
        add_ball(sum, scene, &ball, scene->channel_masks[atom], weight, float32_error);
    for (int axis = 0; axis < 3; axis++) {
        free(ball.axis[axis].position);
        free(ball.axis[axis].nearest);
    }
}

struct expectation expectation_of(const struct scene *scene)
{
    const size_t n = (size_t)n_cells_of(scene);
    struct expectation sum = {
        .n_cells = (int64_t)n,
        .n_near = calloc(n, sizeof(int32_t)),
        .value = calloc(n, sizeof(double)),
        .magnitude = calloc(n, sizeof(double)),
        .error = calloc(n, sizeof(double)),
        .spread = calloc(n, sizeof(double)),
    };
    for (int64_t atom = 0; atom < scene->n_atoms; atom++)
        if (scene->channel_masks[atom])
            add_atom(&sum, scene, atom);
    return sum;
}

void release_expectation(struct expectation *expectation)
{
    free(expectation->n_near);
    free(expectation->value);
    free(expectation->magnitude);
    free(expectation->error);
    free(expectation->spread);
}

/* The body of a kernel; everything in it is static, and compiled anew in each file that includes it. */
#include "crowd.h"
#include "cull.h"
#include "general.h"
#include "octants.h"

/* Are they all finite? One NaN or infinity makes the sum NaN. */
static int all_finite(int64_t n, const double *x)
{
    vec sum = all(0.0);
    double rest = 0.0;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        sum = sum + (load(x + i) - load(x + i));
    for (; i < n; i++)
        rest += x[i] - x[i];
    double lanes[LANES];
    store(lanes, sum);
    for (int lane = 0; lane < LANES; lane++)
        rest += lanes[lane];
    return rest == 0.0;
}

/* The smallest of n numbers, none of them NaN; infinity where n is 0. */
static double smallest_of(int64_t n, const double *x)
{
    vec low = all(INFINITY);
    double lanes[LANES], smallest = INFINITY;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        low = smaller(low, load(x + i));
    for (; i < n; i++)
        smallest = x[i] < smallest ? x[i] : smallest;
    store(lanes, low);
    for (int lane = 0; lane < LANES; lane++)
        smallest = lanes[lane] < smallest ? lanes[lane] : smallest;
    return smallest;
}

/* Do all atoms pass the checks of check.c? */
static int atoms_are_fine(const struct atoms *atoms, uint32_t channels, int is_max)
{
    uint32_t used = 0;
    for (int64_t i = 0; i < atoms->n; i++)
        used |= atoms->channel_masks[i];
    if (used & ~channels || !all_finite(3 * atoms->n, atoms->coords_A) || !all_finite(atoms->n, atoms->radii_A)
        || smallest_of(atoms->n, atoms->radii_A) <= 0.0)
        return 0;
    return !atoms->occupancies
           || (all_finite(atoms->n, atoms->occupancies)
               && !(is_max && smallest_of(atoms->n, atoms->occupancies) < 0.0));
}

/* Does the bounding box of the sphere overlap the image by more than a touch? */
static inline int reaches_image(const struct sphere *sphere, double half_length_A)
{
    const double reach_A = half_length_A + sphere->radius_A;
    return (fabs(sphere->offset_A[0]) < reach_A) & (fabs(sphere->offset_A[1]) < reach_A)
           & (fabs(sphere->offset_A[2]) < reach_A) & (sphere->channel_mask != 0);
}

static void draw(const struct atoms *atoms, const struct image *image, double *work)
{
    const double half_length_A = 0.5 * (double)image->length * image->resolution_A;
    const double center_x_A = image->center_A[0], center_y_A = image->center_A[1], center_z_A = image->center_A[2];
    const double octants_A = largest_octants_A(image);
    /* Nearly all spheres of an image have one of few radii. */
    double radius_A = 0.0, unit = 0.0;
    struct octant_group group;
    octants_start(&group);
    for (int64_t i = 0; i < atoms->n; i++) {
        const double *x = atoms->coords_A + 3 * i;
        const struct sphere sphere = {
            {x[0] - center_x_A, x[1] - center_y_A, x[2] - center_z_A},
            atoms->radii_A[i],
            atoms->occupancies ? atoms->occupancies[i] : 1.0,
            atoms->channel_masks[i],
        };
        if (!reaches_image(&sphere, half_length_A))
            continue;
        if (sphere.radius_A != radius_A) {
            radius_A = sphere.radius_A;
            unit = fill_unit(image, radius_A);
        }
        if (radius_A <= octants_A) {
            octants_push(&group, &sphere, unit, image);
        } else {
            /* Atoms are added in their order: float sums depend on it. */
            octants_flush(&group, image);
            general_draw(&sphere, unit, image, work);
        }
    }
    octants_flush(&group, image);
}

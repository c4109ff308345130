/* The body of a kernel; everything in it is static, and compiled anew in each file that includes it. */
#include "general.h"
#include "octants.h"

/* Does the bounding box of the sphere overlap the image by more than a touch? */
static int reaches_image(const struct sphere *sphere, double half_length_A)
{
    const double reach_A = half_length_A + sphere->radius_A;
    return (fabs(sphere->offset_A[0]) < reach_A) & (fabs(sphere->offset_A[1]) < reach_A)
           & (fabs(sphere->offset_A[2]) < reach_A);
}

static void draw(const struct atoms *atoms, const struct image *image, double *work)
{
    const double half_length_A = 0.5 * (double)image->length * image->resolution_A;
    const double *center_A = image->center_A;
    struct octant_group group;
    octants_start(&group);
    for (int64_t i = 0; i < atoms->n; i++) {
        const double *x = atoms->coords_A + 3 * i;
        const struct sphere sphere = {
            {x[0] - center_A[0], x[1] - center_A[1], x[2] - center_A[2]},
            atoms->radii_A[i],
            atoms->occupancies ? atoms->occupancies[i] : 1.0,
            atoms->channel_masks[i],
        };
        if (!sphere.channel_mask || !reaches_image(&sphere, half_length_A))
            continue;
        if (sphere.radius_A <= 0.5 * image->resolution_A) {
            octants_push(&group, &sphere, image);
        } else {
            /* Atoms are added in their order: float sums depend on it. */
            octants_flush(&group, image);
            general_draw(&sphere, image, work);
        }
    }
    octants_flush(&group, image);
}

/* Images of structures that are rotated and moved into them: all views are culled and checked before one is drawn. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

static const double IDENTITY[12] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0};

static void *grown(void *column, int64_t capacity, size_t bytes_each)
{
    return realloc(column, (size_t)capacity * bytes_each);
}

/* Make room for n more spheres; 0 where there is no memory. */
static int reserve(struct spheres *spheres, int64_t n)
{
    if (spheres->n + n <= spheres->capacity)
        return 1;
    const int64_t capacity = 2 * spheres->capacity + n;
    double *coords_A = grown(spheres->coords_A, capacity, 3 * sizeof(double));
    spheres->coords_A = coords_A ? coords_A : spheres->coords_A;
    double *radii_A = grown(spheres->radii_A, capacity, sizeof(double));
    spheres->radii_A = radii_A ? radii_A : spheres->radii_A;
    double *occupancies = grown(spheres->occupancies, capacity, sizeof(double));
    spheres->occupancies = occupancies ? occupancies : spheres->occupancies;
    uint32_t *channel_masks = grown(spheres->channel_masks, capacity, sizeof(uint32_t));
    spheres->channel_masks = channel_masks ? channel_masks : spheres->channel_masks;
    if (!coords_A || !radii_A || !occupancies || !channel_masks)
        return 0;
    spheres->capacity = capacity;
    return 1;
}

static void release(struct spheres *spheres)
{
    free(spheres->coords_A);
    free(spheres->radii_A);
    free(spheres->occupancies);
    free(spheres->channel_masks);
}

/* Fill in what depends on the frame. */
static void aim(struct culling *culling, const struct voxelizer_view *view, const struct image *image)
{
    memcpy(culling->frame, view->frame ? view->frame : IDENTITY, sizeof culling->frame);
    double largest_A = 0.0;
    for (int axis = 0; axis < 3; axis++) {
        /* R is orthogonal: its transpose takes the image back. */
        double center_A = 0.0;
        for (int row = 0; row < 3; row++)
            center_A += culling->frame[4 * row + axis] * (image->center_A[row] - culling->frame[4 * row + 3]);
        culling->center_A[axis] = center_A;
        largest_A = fabs(center_A) > largest_A ? fabs(center_A) : largest_A;
    }
    const double half_length_A = 0.5 * (double)image->length * image->resolution_A;
    const double reach_A = sqrt(3.0) * half_length_A + culling->max_radius_A;
    const double slack_A = CULL_SLACK * (reach_A + largest_A);
    culling->ball_A = reach_A + slack_A;
    culling->box_A = half_length_A + culling->max_radius_A + slack_A;
}

/* Returns VOXELIZER_FINE, VOXELIZER_NO_MEMORY, or 0: an atom cannot be drawn. */
static int64_t cull_view(const struct kernel *kernel, struct voxelizer_view *view, const struct culling *culling,
                         const struct image *image, struct spheres *spheres)
{
    for (int64_t first = 0; first < view->n_atoms; first += CULL_BLOCK) {
        const int64_t left = view->n_atoms - first;
        if (!reserve(spheres, CULL_BLOCK))
            return VOXELIZER_NO_MEMORY;
        const int n_atoms = (int)(left < CULL_BLOCK ? left : CULL_BLOCK);
        view->bad_atom = kernel->cull(view, first, n_atoms, culling, image, spheres);
        if (view->bad_atom != VOXELIZER_FINE)
            return 0;
    }
    return VOXELIZER_FINE;
}

/* Cull all views into `spheres`; ends[i]: where those of view i end. Returns VOXELIZER_FINE, VOXELIZER_NO_MEMORY or the
   index of a view that cannot be drawn. */
static int64_t cull_views(const struct kernel *kernel, int64_t n_views, struct voxelizer_view *views,
                          struct culling *culling, const struct image *image, struct spheres *spheres,
                          int64_t *ends)
{
    if (!reserve(spheres, CULL_BLOCK))
        return VOXELIZER_NO_MEMORY;
    for (int64_t i = 0; i < n_views; i++) {
        aim(culling, &views[i], image);
        const int64_t result = cull_view(kernel, &views[i], culling, image, spheres);
        if (result != VOXELIZER_FINE)
            return result == VOXELIZER_NO_MEMORY ? result : i;
        ends[i] = spheres->n;
    }
    return VOXELIZER_FINE;
}

/* Draw the spheres of each view into the next image. */
static void draw_views(const struct kernel *kernel, int64_t n_views, const int64_t *ends,
                       const struct spheres *spheres, struct image image, double *work)
{
    const size_t bytes = bytes_of(&image);
    for (int64_t i = 0; i < n_views; i++) {
        const int64_t first = i > 0 ? ends[i - 1] : 0;
        const struct atoms atoms = {
            ends[i] - first,
            spheres->coords_A + 3 * first,
            spheres->radii_A + first,
            spheres->channel_masks + first,
            spheres->occupancies + first,
        };
        draw_image(kernel, &atoms, &image, work);
        image.data = (char *)image.data + bytes;
    }
}

int64_t voxelizer_fill_views(int64_t n_views, struct voxelizer_view *views, const uint32_t *channel_masks,
                             const double *radii_A, int may_drop, double max_radius_A, int n_channels, int is_max,
                             int64_t length_voxels, double resolution_A, double center_x_A, double center_y_A,
                             double center_z_A, int fill, int is_float32_maths, void *images, int is_float64)
{
    const struct kernel *const kernel = kernel_in_use();
    if (!kernel)
        return VOXELIZER_NO_KERNEL;
    const double center_A[3] = {center_x_A, center_y_A, center_z_A};
    const struct image image = image_of(images, n_channels, length_voxels, resolution_A, center_A, fill, is_max,
                                        is_float32_maths, is_float64);
    struct culling culling = {
        .channel_masks = channel_masks,
        .radii_A = radii_A,
        .max_radius_A = max_radius_A,
        .may_drop = may_drop,
    };
    struct spheres spheres = {0, 0, NULL, NULL, NULL, NULL};
    double *work = NULL;
    int64_t *ends = malloc((size_t)(n_views + 1) * sizeof(int64_t));
    int64_t result = ends ? cull_views(kernel, n_views, views, &culling, &image, &spheres, ends)
                          : VOXELIZER_NO_MEMORY;
    if (result == VOXELIZER_FINE && !allocate_work(spheres.n, spheres.radii_A, &image, &work))
        result = VOXELIZER_NO_MEMORY;
    if (result == VOXELIZER_FINE)
        draw_views(kernel, n_views, ends, &spheres, image, work);
    free(work);
    free(ends);
    release(&spheres);
    return result;
}

int64_t voxelizer_crowd(const struct voxelizer_view *structure, int n_places, const double *places_A, double radius_A,
                        double *counts)
{
    const struct kernel *const kernel = kernel_in_use();
    if (!kernel)
        return VOXELIZER_NO_KERNEL;
    kernel->crowd(structure, n_places, places_A, radius_A, counts);
    return VOXELIZER_FINE;
}

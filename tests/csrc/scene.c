#include "scene.h"

#include <math.h>
#include <string.h>

#include "expect.h"

#define UNTOUCHED 0xFF

int64_t n_cells_of(const struct scene *scene)
{
    return scene->n_channels * scene->length_voxels * scene->length_voxels * scene->length_voxels;
}

int64_t cell_of(const struct scene *scene, int channel, int64_t x, int64_t y, int64_t z)
{
    const int64_t length = scene->length_voxels;
    return ((channel * length + x) * length + y) * length + z;
}

double sphere_unit(const struct scene *scene, double radius_A)
{
    const double r = scene->fill == FRACTION_OF_VOXEL ? radius_A / scene->resolution_A : radius_A;
    return scene->fill == FRACTION_OF_ATOM ? 1.0 : 4.0 / 3.0 * 3.14159265358979323846 * r * r * r;
}

int64_t expected_status(const struct scene *scene)
{
    for (int64_t i = 0; i < scene->n_atoms; i++) {
        for (int axis = 0; axis < 3; axis++)
            if (!isfinite(scene->coords_A[3 * i + axis]))
                return i;
        if (!isfinite(scene->radii_A[i]) || scene->radii_A[i] <= 0.0)
            return i;
        if ((uint64_t)scene->channel_masks[i] >> scene->n_channels)
            return i;
        if (scene->occupancies && (!isfinite(scene->occupancies[i]) || (scene->is_max && scene->occupancies[i] < 0.0)))
            return i;
    }
    return VOXELIZER_FINE;
}

void *place_image(struct places *places, int64_t n_cells, int is_float64)
{
    const size_t item_bytes = is_float64 ? sizeof(double) : sizeof(float);
    void *image = place(places, (size_t)n_cells, item_bytes);
    if (n_cells)
        memset(image, UNTOUCHED, (size_t)n_cells * item_bytes);
    return image;
}

static int is_untouched(const void *image, size_t bytes)
{
    const unsigned char *at = image;
    size_t touched = 0;
    for (size_t i = 0; i < bytes; i++)
        touched += at[i] != UNTOUCHED;
    return touched == 0;
}

void read_image(int64_t status, const void *drawn, int64_t n_cells, int is_float64, double *image)
{
    if (status != VOXELIZER_FINE) {
        expect_true(is_untouched(drawn, (size_t)n_cells * (is_float64 ? sizeof(double) : sizeof(float))),
                    "a refused call writes nothing");
        return;
    }
    for (int64_t i = 0; i < n_cells; i++)
        image[i] = is_float64 ? ((const double *)drawn)[i] : (double)((const float *)drawn)[i];
}

int64_t draw_scene(const struct scene *scene, enum placement placement, int is_float64, double *image)
{
    struct places places = {.placement = placement, .n = 0};
    const size_t n = (size_t)scene->n_atoms;
    const double *coords_A = place_copy(&places, scene->coords_A, 3 * n, sizeof(double));
    const double *radii_A = place_copy(&places, scene->radii_A, n, sizeof(double));
    const uint32_t *channel_masks = place_copy(&places, scene->channel_masks, n, sizeof(uint32_t));
    const double *occupancies = place_copy(&places, scene->occupancies, n, sizeof(double));
    void *drawn = place_image(&places, n_cells_of(scene), is_float64);
    const int64_t status =
        voxelizer_fill(scene->n_atoms, coords_A, radii_A, channel_masks, occupancies, scene->n_channels, scene->is_max,
                       scene->length_voxels, scene->resolution_A, scene->center_A[0], scene->center_A[1],
                       scene->center_A[2], scene->fill, scene->is_float32_maths, drawn, is_float64);
    read_image(status, drawn, n_cells_of(scene), is_float64, image);
    release_places(&places);
    return status;
}

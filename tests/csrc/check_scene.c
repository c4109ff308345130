#include "check_scene.h"

#include <math.h>
#include <stdlib.h>

#include "expect.h"

int use_next_kernel(int *index)
{
    for (; voxelizer_kernel_name(*index); (*index)++)
        if (voxelizer_kernel_is_supported(*index)) {
            use_kernel(*index);
            begin_kernel(voxelizer_kernel_name(*index));
            return 1;
        }
    return 0;
}

void use_kernel(int index) { expect_true(voxelizer_use_kernel(index), "a supported kernel can be used"); }

/* What the type of the image may add to an error: each addition rounds once. */
static double rounding(const struct expectation *expected, int64_t cell, int is_float64)
{
    const double half_ulp = is_float64 ? 0x1p-53 : 0x1p-24, smallest = is_float64 ? 1e-300 : 1e-44;
    return (expected->n_near[cell] + 1) * (half_ulp * (expected->magnitude[cell] + expected->error[cell]) + smallest);
}

/* Is every sum on the way to this voxel in the range of the type? Beyond are infinities, and their differences. */
static int is_in_range(const struct expectation *expected, int64_t cell, int is_float64)
{
    const double largest = is_float64 ? 1e300 : 1e38;
    return expected->magnitude[cell] < largest && expected->spread[cell] < largest;
}

static int has_negative(const struct scene *scene)
{
    for (int64_t i = 0; scene->occupancies && i < scene->n_atoms; i++)
        if (scene->occupancies[i] < 0.0)
            return 1;
    return 0;
}

static void expect_voxels(const struct scene *scene, const struct expectation *expected, const double *image,
                          int is_float64)
{
    const int is_non_negative = !has_negative(scene);
    for (int64_t i = 0; i < expected->n_cells; i++) {
        if (expected->n_near[i] == 0) {
            if (image[i] != 0.0)
                expect_near(0.0, image[i], 0.0, "voxel %lld, which no sphere is near", (long long)i);
            continue;
        }
        if (!is_in_range(expected, i, is_float64))
            continue;
        if (is_non_negative && !(image[i] >= 0.0))
            expect_near(expected->value[i], image[i], 0.0, "voxel %lld, which must not be below 0", (long long)i);
        expect_near(expected->value[i], image[i], expected->error[i] + rounding(expected, i, is_float64),
                    "voxel %lld of a float%d image", (long long)i, is_float64 ? 64 : 32);
    }
}

/* No channel may hold more than all of its atoms. */
static void expect_bounded_sums(const struct scene *scene, const struct expectation *expected, const double *image,
                                int is_float64)
{
    const int64_t n_voxels = expected->n_cells / scene->n_channels;
    for (int channel = 0; channel < scene->n_channels; channel++) {
        double bound = 0.0, slack = 0.0, sum = 0.0;
        for (int64_t i = 0; i < scene->n_atoms; i++) {
            const double weight = (scene->occupancies ? scene->occupancies[i] : 1.0)
                                  * sphere_unit(scene, scene->radii_A[i]);
            bound += scene->channel_masks[i] >> channel & 1 ? fabs(weight) : 0.0;
        }
        for (int64_t i = channel * n_voxels; i < (channel + 1) * n_voxels; i++) {
            if (expected->n_near[i] == 0)
                continue;
            sum += image[i];
            slack += expected->spread[i] + rounding(expected, i, is_float64);
        }
        if (bound < (is_float64 ? 1e300 : 1e38) && fabs(sum) > bound * (1.0 + 1e-13) + slack)
            expect_near(bound, sum, 0.0, "sum of channel %d, at most", channel);
    }
}

void expect_image(const struct scene *scene, const struct expectation *expected, const double *image, int is_float64)
{
    expect_voxels(scene, expected, image, is_float64);
    expect_bounded_sums(scene, expected, image, is_float64);
}

void expect_same_image(const struct expectation *expected, const double *image, const double *other, int is_float64,
                       const char *what)
{
    for (int64_t i = 0; i < expected->n_cells; i++)
        if (image[i] != other[i] && is_in_range(expected, i, is_float64))
            expect_near(other[i], image[i], expected->spread[i] + 2.0 * rounding(expected, i, is_float64),
                        "voxel %lld of a float%d image, %s", (long long)i, is_float64 ? 64 : 32, what);
}

static void expect_as_baseline(const struct scene *scene, const struct expectation *expected, const double *image,
                               int kernel, int is_float64)
{
    double *baseline = malloc((size_t)expected->n_cells * sizeof(double));
    use_kernel(0);
    expect_equal(VOXELIZER_FINE, draw_scene(scene, ON_THE_HEAP, is_float64, baseline), "status of the baseline kernel");
    use_kernel(kernel);
    expect_same_image(expected, image, baseline, is_float64, "as the baseline kernel has it");
    free(baseline);
}

void check_scene(const struct scene *scene, const struct expectation *expected, int kernel, enum placement placement,
                 int is_float64, double *image)
{
    const int64_t status = expected_status(scene);
    double *drawn = image ? image : malloc((size_t)n_cells_of(scene) * sizeof(double));
    expect_equal(status, draw_scene(scene, placement, is_float64, drawn), "status");
    if (status == VOXELIZER_FINE) {
        expect_image(scene, expected, drawn, is_float64);
        if (kernel > 0)
            expect_as_baseline(scene, expected, drawn, kernel, is_float64);
    }
    if (!image)
        free(drawn);
}

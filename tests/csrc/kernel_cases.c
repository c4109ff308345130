/* Before any kernel was chosen, and about choosing one. */
#include <stddef.h>
#include <string.h>

#include "cases.h"
#include "expect.h"
#include "view_scene.h"

void run_kernel_cases(void)
{
    begin_case("no kernel was chosen");
    struct case_atoms atoms;
    struct scene scene = scene_of_atoms(&atoms, 2, 2);
    double image[8];
    expect_equal(VOXELIZER_NO_KERNEL, draw_scene(&scene, ON_THE_HEAP, 0, image), "status");
    const uint32_t masks[256] = {0};
    const double radii_A[256] = {0};
    const struct voxelizer_view view = {0};
    const struct view_scene views = {1, &view, masks, radii_A, 0, scene};
    expect_equal(VOXELIZER_NO_KERNEL, draw_views_scene(&views, ON_THE_HEAP, 0, image, NULL), "status of views");
    expect_equal(VOXELIZER_NO_KERNEL, voxelizer_crowd(&view, 0, NULL, 1.0, NULL), "status of a crowd");
    expect_equal(-1, voxelizer_kernel_in_use(), "no kernel is in use");

    begin_case("kernels that do not exist");
    int n = 0;
    while (voxelizer_kernel_name(n))
        n++;
    expect_true(strcmp(voxelizer_kernel_name(0), "baseline") == 0, "the first kernel is the baseline");
    expect_true(voxelizer_kernel_is_supported(0), "the baseline is supported");
    const int missing[] = {-1, n, n + 1, -2147483647 - 1, 2147483647};
    for (int i = 0; i < 5; i++) {
        expect_true(voxelizer_kernel_name(missing[i]) == NULL, "it has no name");
        expect_true(!voxelizer_kernel_is_supported(missing[i]), "it is not supported");
        expect_true(!voxelizer_use_kernel(missing[i]), "it cannot be used");
    }
    expect_equal(VOXELIZER_NO_KERNEL, draw_scene(&scene, ON_THE_HEAP, 0, image), "status after a choice that failed");
}

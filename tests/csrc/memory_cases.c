/* Every allocation fails once: VOXELIZER_NO_MEMORY, nothing written, nothing left behind, which LeakSanitizer sees. */
#include <stdlib.h>

#include "allocations.h"
#include "cases.h"
#include "expect.h"
#include "view_scene.h"

/* Expects the status of a call during which an allocation may have failed. Returns whether one did. */
static int expect_no_memory(int64_t status)
{
    const int failed = an_allocation_failed();
    let_allocation_fail(-1);
    expect_equal(failed ? VOXELIZER_NO_MEMORY : VOXELIZER_FINE, status, "status");
    return failed;
}

static void run_scene(void)
{
    struct case_atoms atoms;
    const struct scene scene = scene_of_atoms(&atoms, 2, 3);
    atoms.radii_A[1] = 1.5;
    double image[27];
    for (int n = 0, failed = 1; failed; n++) {
        begin_case("allocation %d of an image fails", n);
        let_allocation_fail(n);
        failed = expect_no_memory(draw_scene(&scene, ON_THE_HEAP, 1, image));
        expect_true(failed || n > 0, "there was an allocation");
    }
}

/* Enough atoms to let the columns of what is left grow more than once. */
#define N_ATOMS 5000

static void run_views(void)
{
    uint32_t masks[256];
    double radii_A[256], *images = malloc(2 * 27 * sizeof(double));
    float *coords_A = calloc(3 * N_ATOMS, sizeof(float)), *occupancies = calloc(N_ATOMS, sizeof(float));
    uint8_t *elements = calloc(N_ATOMS, 1);
    for (int element = 0; element < 256; element++) {
        masks[element] = 1;
        radii_A[element] = 0.7;
    }
    struct case_atoms none;
    const struct voxelizer_view view = {
        .n_atoms = N_ATOMS,
        .coords_A = coords_A,
        .elements = elements,
        .occupancies = occupancies,
    };
    const struct voxelizer_view views[] = {view, view};
    const struct view_scene scene = {2, views, masks, radii_A, 0, scene_of_atoms(&none, 0, 3)};
    for (int n = 0, failed = 1; failed; n++) {
        begin_case("allocation %d of two views fails", n);
        let_allocation_fail(n);
        failed = expect_no_memory(draw_views_scene(&scene, ON_THE_HEAP, 1, images, NULL));
        expect_true(failed || n > 4, "there were several allocations");
    }
    free(images);
    free(coords_A);
    free(occupancies);
    free(elements);
}

void run_memory_cases(void)
{
    run_scene();
    run_views();
}

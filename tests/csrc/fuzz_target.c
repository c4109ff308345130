/* One input of a fuzzer: decode it, draw it with every kernel, expect what holds for every image.

   clang's -fsanitize=fuzzer makes a program of it (`make fuzz`), as does that of AFL++'s afl-clang-fast; replay.c is a
   main function for all other compilers. Where an expectation fails it aborts. */
#include <math.h>
#include <stdlib.h>

#include "decode.h"
#include "expect.h"

_Noreturn void give_up(void) { abort(); }

static void try_scene(struct bytes *bytes, const struct decoded_head *head)
{
    static struct decoded_atoms atoms;
    const struct scene scene = decode_scene(bytes, &atoms);
    struct expectation expected = {0};
    begin_case("of %d atoms, %d^3 voxels", (int)scene.n_atoms, (int)scene.length_voxels);
    if (expected_status(&scene) == VOXELIZER_FINE)
        expected = expectation_of(&scene);
    for (int kernel = 0; use_next_kernel(&kernel); kernel++)
        check_scene(&scene, &expected, kernel, head->placement, head->is_float64, NULL);
    release_expectation(&expected);
}

/* Around the origin, the centre of the image and the first atom of each structure. */
static void try_crowds(const struct view_scene *scene, enum placement placement)
{
    const double *center_A = scene->image.center_A;
    const double radius_A = 0.5 * (double)scene->image.length_voxels * scene->image.resolution_A;
    for (int64_t i = 0; i < scene->n_views; i++) {
        const struct voxelizer_view *view = &scene->views[i];
        double places_A[9] = {0, 0, 0, center_A[0], center_A[1], center_A[2], 0, 0, 0};
        for (int axis = 0; axis < 3 && view->n_atoms > 0; axis++) {
            const double x = view->coords_are_float64 ? ((const double *)view->coords_A)[axis]
                                                      : (double)((const float *)view->coords_A)[axis];
            places_A[6 + axis] = isfinite(x) ? x : 0.0;
        }
        check_crowd(view, 3, places_A, radius_A, placement);
    }
}

static void try_views(struct bytes *bytes, const struct decoded_head *head)
{
    static struct decoded_views views;
    const struct view_scene scene = decode_views(bytes, &views);
    double *images = malloc((size_t)(scene.n_views * n_cells_of(&scene.image) + 1) * sizeof(double));
    begin_case("of %d views, %d^3 voxels", (int)scene.n_views, (int)scene.image.length_voxels);
    for (int kernel = 0; use_next_kernel(&kernel); kernel++) {
        try_crowds(&scene, head->placement);
        if (views.are_rigid)
            check_views(&scene, head->placement, head->is_float64, images);
        else /* callers refuse such frames: it may draw anything, but only into the images */
            draw_views_scene(&scene, head->placement, head->is_float64, images, NULL);
    }
    free(images);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    const struct decoded_head head = decode_head(&bytes);
    (head.has_views ? try_views : try_scene)(&bytes, &head);
    return 0;
}

/* Batches of structures: what is near, blocks of atoms, refusals, frames, both types of everything. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "expect.h"
#include "view_scene.h"

#define CARBON 6
#define NITROGEN 7
#define OXYGEN 8  /* has a mask of 0 */
#define SULFUR 16 /* has no radius */

/* One structure, in both types. */
struct structure {
    int64_t n;
    double *coords_A, *occupancies;
    float *coords_f32_A, *occupancies_f32;
    uint8_t *elements;
};

static uint64_t random_state = 1;

static double random_share(void)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(random_state >> 11) * 0x1p-53;
}

/* Most atoms far away, some near the origin. */
static struct structure structure_of(int64_t n, double spread_A)
{
    const size_t room = (size_t)n + 1;
    struct structure made = {n, malloc(24 * room), malloc(8 * room), malloc(12 * room), malloc(4 * room), malloc(room)};
    for (int64_t i = 0; i < n; i++) {
        for (int axis = 0; axis < 3; axis++) {
            made.coords_f32_A[3 * i + axis] = (float)((random_share() - 0.5) * (i % 3 ? spread_A : 8.0));
            made.coords_A[3 * i + axis] = made.coords_f32_A[3 * i + axis];
        }
        made.occupancies[i] = made.occupancies_f32[i] = (float)random_share();
        made.elements[i] = i % 2 ? CARBON : NITROGEN;
    }
    return made;
}

static void release_structure(struct structure *made)
{
    free(made->coords_A);
    free(made->occupancies);
    free(made->coords_f32_A);
    free(made->occupancies_f32);
    free(made->elements);
}

/* types: bit 0 float64 coordinates, bit 1 float64 occupancies. */
static struct voxelizer_view view_of(const struct structure *made, const double *frame, int types)
{
    const struct voxelizer_view view = {
        .n_atoms = made->n,
        .coords_A = types & 1 ? (const void *)made->coords_A : made->coords_f32_A,
        .elements = made->elements,
        .occupancies = types & 2 ? (const void *)made->occupancies : made->occupancies_f32,
        .frame = frame,
        .coords_are_float64 = types & 1,
        .occupancies_are_float64 = types >> 1 & 1,
    };
    return view;
}

static uint32_t masks[256];
static double radii_A[256];

static void fill_tables(double radius_A)
{
    for (int element = 0; element < 256; element++) {
        masks[element] = element == OXYGEN ? 0 : 4;
        radii_A[element] = element == SULFUR ? NAN : radius_A;
    }
    masks[CARBON] = 1;
    masks[NITROGEN] = 3;
    radii_A[NITROGEN] = 0.8 * radius_A;
}

static struct view_scene scene_of_views(int64_t n, const struct voxelizer_view *views, int64_t length, double radius_A)
{
    fill_tables(radius_A);
    const struct view_scene scene = {
        .n_views = n,
        .views = views,
        .masks_of_elements = masks,
        .radii_of_elements_A = radii_A,
        .image = {.n_channels = 3, .length_voxels = length, .resolution_A = 1.0},
    };
    return scene;
}

/* Every placement and both types of image; returns the status that draw_views_scene gave. */
static int64_t check_views_everywhere(const struct view_scene *scene)
{
    double *images = malloc((size_t)(scene->n_views * n_cells_of(&scene->image) + 1) * sizeof(double));
    for (int placement = 0; placement < N_PLACEMENTS; placement++)
        for (int is_float64 = 0; is_float64 < 2; is_float64++)
            check_views(scene, (enum placement)placement, is_float64, images);
    const int64_t status = draw_views_scene(scene, ON_THE_HEAP, 1, images, NULL);
    free(images);
    return status;
}

static const double QUARTER_TURN[16] = {0, -1, 0, 0.25, 1, 0, 0, -0.5, 0, 0, 1, 1.0, 0, 0, 0, 1};
/* Of a rotation by angles of 3-4-5 triangles. */
static const double SLANTED[16] = {0.6, -0.8, 0, 7, 0.48, 0.36, -0.8, -5, 0.64, 0.48, 0.6, 1.5, 0, 0, 0, 1};
static const double *const FRAMES[] = {NULL, QUARTER_TURN, SLANTED};

/* Atoms in every number that may leave part of a vector, and around the length of a block. */
static void run_lengths(void)
{
    static const int64_t long_ones[] = {63, 64, 65, 1023, 1024, 1025, 1040, 2048, 2051};
    for (int i = 0; i < 40 + 9; i++) {
        const int64_t n = i < 40 ? i : long_ones[i - 40];
        begin_case("a view of %d atoms", (int)n);
        struct structure made = structure_of(n, n < 100 ? 10.0 : 60.0);
        for (int types = 0; types < 4; types++) {
            const struct voxelizer_view view = view_of(&made, FRAMES[i % 3], types);
            struct view_scene scene = scene_of_views(1, &view, n < 100 ? 6 : 5, types & 1 ? 0.5 : 1.3);
            scene.image.is_max = types >> 1;
            scene.image.fill = i % 3;
            scene.image.is_float32_maths = i / 3 % 2;
            expect_equal(VOXELIZER_FINE, check_views_everywhere(&scene), "status of the view");
        }
        release_structure(&made);
    }
}

static void run_batches(void)
{
    struct structure one = structure_of(50, 10.0), other = structure_of(7, 10.0), none = structure_of(0, 1.0);
    const struct voxelizer_view views[] = {
        view_of(&one, NULL, 0),         view_of(&other, QUARTER_TURN, 1), view_of(&none, NULL, 2),
        view_of(&one, SLANTED, 3),      {0},                              view_of(&other, NULL, 0),
        view_of(&none, QUARTER_TURN, 0),
    };
    for (int64_t n = 0; n <= 7; n++)
        for (int64_t length = 1; length <= 4; length++) {
            begin_case("%d views of %d^3 voxels", (int)n, (int)length);
            struct view_scene scene = scene_of_views(n, views, length, 0.5);
            scene.image.center_A[0] = 0.25;
            expect_equal(VOXELIZER_FINE, check_views_everywhere(&scene), "status of the batch");
        }
    release_structure(&one);
    release_structure(&other);
    release_structure(&none);
}

/* Spoil one atom near the view in so many ways. Returns 1 where it must be refused, 0 where it may stand. */
#define N_VIEW_WAYS 12
static int spoil(struct structure *made, int64_t atom, int way, struct view_scene *scene)
{
    for (int axis = 0; axis < 3; axis++)
        made->coords_A[3 * atom + axis] = made->coords_f32_A[3 * atom + axis] = 0.5f;
    if (way < 6) {
        made->coords_f32_A[3 * atom + way % 3] = way < 3 ? (float)NAN : (float)-INFINITY;
        made->coords_A[3 * atom + way % 3] = way < 3 ? NAN : -INFINITY;
        return 1;
    }
    if (way == 6 || way == 7) {
        made->elements[atom] = OXYGEN;
        scene->may_drop = way == 7;
        return way == 6;
    }
    if (way == 8) {
        made->elements[atom] = SULFUR;
        return 1;
    }
    made->occupancies[atom] = made->occupancies_f32[atom] = way == 9 ? (float)NAN : way == 10 ? (float)INFINITY : -0.5f;
    scene->image.is_max = way == 11;
    return 1;
}

/* The second of two views is bad: neither is drawn. */
static void run_bad_views(void)
{
    static const int64_t places[][2] = {{1, 0},   {5, 2},   {8, 7},       {16, 15},
                                        {17, 16}, {31, 30}, {1024, 1023}, {1030, 1027}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        for (int way = 0; way < N_VIEW_WAYS; way++) {
            const int64_t n = places[i][0], atom = places[i][1];
            begin_case("atom %d of %d of a view is bad, way %d", (int)atom, (int)n, way);
            struct structure fine = structure_of(9, 6.0), bad = structure_of(n, 40.0);
            for (int types = 0; types < 4; types++) {
                const double *frame = FRAMES[i % 3];
                const struct voxelizer_view views[] = {view_of(&fine, NULL, types), view_of(&bad, frame, types)};
                struct view_scene scene = scene_of_views(2, views, 3, 0.5);
                scene.image.center_A[0] = i % 3 ? QUARTER_TURN[3] : 0.0;
                if (frame == SLANTED)
                    memcpy(scene.image.center_A, (double[]){7, -5, 1.5}, sizeof scene.image.center_A);
                const int is_bad = spoil(&bad, atom, way, &scene);
                expect_equal(is_bad ? 1 : VOXELIZER_FINE, check_views_everywhere(&scene), "status of the batch");
            }
            release_structure(&fine);
            release_structure(&bad);
        }
}

/* What is far away is not looked at, but for its coordinates. */
static void run_far_atoms(void)
{
    for (int way = 0; way < 8; way++) {
        begin_case("bad atoms that are far away, way %d", way);
        struct structure made = structure_of(33, 6.0);
        const int types = way % 4;
        made.elements[32] = way < 4 ? SULFUR : OXYGEN;
        made.occupancies[32] = made.occupancies_f32[32] = (float)NAN;
        made.coords_A[96] = way % 2 ? 1e300 : 500.0;
        made.coords_f32_A[96] = way % 2 ? 1e30f : 500.0f;
        const struct voxelizer_view view = view_of(&made, FRAMES[way % 3], types);
        struct view_scene scene = scene_of_views(1, &view, 4, 0.5);
        expect_equal(VOXELIZER_FINE, check_views_everywhere(&scene), "status of the view");
        release_structure(&made);
    }
}

/* Atoms that just reach into the corners of the image, through a frame, far from the origin. */
static void run_corners(void)
{
    for (int types = 0; types < 4; types++) {
        begin_case("atoms that reach into the corners, types %d", types);
        struct structure made = structure_of(8, 1.0);
        const double reach_A = 4.0 + 0.98 / sqrt(3.0), far_A = 700.0;
        double frame[16];
        memcpy(frame, SLANTED, sizeof frame);
        for (int corner = 0; corner < 8; corner++) {
            double in_view_A[3];
            for (int axis = 0; axis < 3; axis++)
                in_view_A[axis] = far_A + (corner >> axis & 1 ? reach_A : -reach_A) - frame[4 * axis + 3];
            for (int axis = 0; axis < 3; axis++) {
                double x = 0.0;
                for (int row = 0; row < 3; row++)
                    x += frame[4 * row + axis] * in_view_A[row];
                made.coords_A[3 * corner + axis] = x;
                made.coords_f32_A[3 * corner + axis] = (float)x;
            }
            made.elements[corner] = CARBON;
            made.occupancies[corner] = made.occupancies_f32[corner] = 1.0f;
        }
        const struct voxelizer_view view = view_of(&made, frame, types);
        struct view_scene scene = scene_of_views(1, &view, 8, 1.0);
        scene.image.center_A[0] = scene.image.center_A[1] = scene.image.center_A[2] = far_A;
        double *image = malloc((size_t)n_cells_of(&scene.image) * sizeof(double));
        check_views(&scene, ON_THE_HEAP, 1, image);
        for (int corner = 0; corner < 8; corner++) {
            const int x = 7 * (corner & 1), y = 7 * (corner >> 1 & 1), z = 7 * (corner >> 2);
            expect_true(image[cell_of(&scene.image, 0, x, y, z)] > 0.0, "the voxel in the corner holds something");
        }
        free(image);
        release_structure(&made);
    }
}

/* Places on atoms, at the distance of the radius from some, far away; atoms that are no numbers. */
static void run_crowds(void)
{
    const double places_A[] = {0, 0, 0, 1, 1, 1, -3, 0, 4, 0.25, 3, -4, 1e6, 0, 0};
    for (int64_t n = 0; n <= 70; n++) {
        begin_case("a crowd of %d atoms", (int)n);
        struct structure made = structure_of(n, 12.0);
        for (int64_t i = 0; i < 3 * n; i++)
            if (i / 3 % 5 == 0)
                made.coords_A[i] = made.coords_f32_A[i] = (float)(i % 4 * (i % 3 + 1));
        if (n > 12)
            made.coords_A[3 * n - 10] = made.coords_f32_A[3 * n - 10] = (float)(n % 2 ? NAN : INFINITY);
        for (int types = 0; types < 4; types++)
            for (int placement = 0; placement < N_PLACEMENTS; placement++) {
                const struct voxelizer_view view = view_of(&made, NULL, types);
                check_crowd(&view, (int)(n % 6), places_A, n % 3 ? 5.0 : 3.5, (enum placement)placement);
            }
        release_structure(&made);
    }
}

void run_view_cases(void)
{
    random_state = 1;
    run_crowds();
    run_lengths();
    run_batches();
    run_bad_views();
    run_far_atoms();
    run_corners();
}

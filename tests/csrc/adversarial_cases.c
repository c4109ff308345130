/* Numbers that break voxelizers: touches, extremes, far places, full groups. check_everywhere holds every image against
   the closed form; what stands here is what it could not tell. */
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "cases.h"
#include "expect.h"

#define SPHERE (4.0 / 3.0 * 3.14159265358979323846)
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static double sum_of(const struct scene *scene, const double *image)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n_cells_of(scene); i++)
        sum += image[i];
    return sum;
}

static int64_t n_above(const struct scene *scene, const double *image, double limit)
{
    int64_t n = 0;
    for (int64_t i = 0; i < n_cells_of(scene); i++)
        n += image[i] > limit;
    return n;
}

static struct scene one_atom(struct case_atoms *atoms, int64_t length, double x, double y, double z, double radius_A)
{
    const struct scene scene = scene_of_atoms(atoms, 1, length);
    atoms->coords_A[0] = x;
    atoms->coords_A[1] = y;
    atoms->coords_A[2] = z;
    atoms->radii_A[0] = radius_A;
    return scene;
}

/* The sphere is inside: expects its whole mass, and so many voxels above a limit; -1: any number. */
static void expect_mass(const struct scene *scene, int kernel, double mass, int64_t n_voxels, double limit)
{
    double *image = check_everywhere(scene, kernel);
    expect_near(mass, sum_of(scene, image), 1e-14 * mass, "sum of the image");
    if (n_voxels >= 0)
        expect_equal(n_voxels, n_above(scene, image, limit), "voxels that are not empty");
    free(image);
}

static void run_touches(int kernel)
{
    static const struct {
        double ratio2;
        int n_voxels;
    } touches[] = {{0.25, 1}, {0.5, 7}, {0.75, 19}, {2.25, 27}, {6.25, 117}};
    for (size_t i = 0; i < COUNT_OF(touches); i++) {
        begin_case("touch, r = sqrt(%g) h", touches[i].ratio2);
        struct case_atoms atoms;
        const struct scene scene = one_atom(&atoms, 7, 0, 0, 0, sqrt(touches[i].ratio2));
        expect_mass(&scene, kernel, 1.0, touches[i].n_voxels, 1e-15);
    }
    for (int steps = -1; steps <= 1; steps++)
        for (int n_axes = 1; n_axes <= 3; n_axes++) {
            begin_case("next to %d planes, %d ulp", n_axes, steps);
            struct case_atoms atoms;
            const double x = 0.5 * (1.0 + steps * 0x1p-52);
            const struct scene scene = one_atom(&atoms, 3, x, n_axes > 1 ? x : 0, n_axes > 2 ? x : 0, 0.5);
            expect_mass(&scene, kernel, 1.0, 1 << n_axes, 1e-3);
        }
}

static void run_tiny_spheres(int kernel)
{
    static const double radii_A[] = {1e-3, 1e-6, 1e-9, 1e-12, 1e-100, 1e-200, 1e-300, DBL_MIN, 4.9406564584124654e-324};
    /* And the number of voxels there. */
    static const double places_A[][4] = {
        {0, 0, 0, 1}, {0.5, 0, 0, 2}, {0.5, 0.5, 0, 4}, {0.5, 0.5, 0.5, 8}, {0.1, -0.2, 0.3, 1},
    };
    for (size_t i = 0; i < COUNT_OF(radii_A); i++)
        for (size_t j = 0; j < COUNT_OF(places_A); j++) {
            begin_case("r = %g at %g %g %g", radii_A[i], places_A[j][0], places_A[j][1], places_A[j][2]);
            struct case_atoms atoms;
            struct scene scene = one_atom(&atoms, 3, places_A[j][0], places_A[j][1], places_A[j][2], radii_A[i]);
            expect_mass(&scene, kernel, 1.0, (int64_t)places_A[j][3], 0.0);
            scene.occupancies = atoms.occupancies;
            atoms.occupancies[0] = 0.25;
            expect_mass(&scene, kernel, 0.25, (int64_t)places_A[j][3], 0.0);
        }
}

/* Every sphere that holds a voxel holds all of it. */
static void run_large_spheres(int kernel)
{
    static const double ratios[] = {1.5, 2.5, 100.0, 300.0, 1e6, 1e150, 1e300, DBL_MAX};
    static const int64_t lengths[] = {1, 2, 3, 9, 24};
    for (size_t i = 0; i < COUNT_OF(ratios); i++)
        for (int fill = 0; fill < 3; fill++)
            for (size_t j = 0; j < COUNT_OF(lengths); j++) {
                begin_case("r = %g h, fill %d, %d^3 voxels", ratios[i], fill, (int)lengths[j]);
                struct case_atoms atoms;
                struct scene scene = one_atom(&atoms, lengths[j], 0, 0, 0, ratios[i]);
                scene.fill = fill;
                double *image = check_everywhere(&scene, kernel);
                const double r3 = ratios[i] * ratios[i] * ratios[i];
                const double value = fill == FRACTION_OF_ATOM ? 1.0 / (SPHERE * r3) : 1.0;
                const double *middle = image + cell_of(&scene, 0, lengths[j] / 2, lengths[j] / 2, lengths[j] / 2);
                if (lengths[j] % 2 || ratios[i] > 2.0) /* else a corner of it sticks out */
                    expect_near(value, *middle, 1e-15 * value, "the voxel in the middle");
                free(image);
                /* And the surface through the image. */
                atoms.coords_A[0] = ratios[i];
                free(check_everywhere(&scene, kernel));
            }
}

static void run_far_atoms(int kernel)
{
    static const double far_A[] = {1e5, 3e9, 1e20, 1e300, -1e300, DBL_MAX, -DBL_MAX};
    for (size_t i = 0; i < COUNT_OF(far_A); i++)
        for (int axes = 1; axes < 8; axes++) {
            begin_case("atom at %g, axes %d", far_A[i], axes);
            struct case_atoms atoms;
            const struct scene scene = one_atom(&atoms, 3, axes & 1 ? far_A[i] : 0, axes & 2 ? far_A[i] : 0,
                                                axes & 4 ? far_A[i] : 0, 0.4);
            expect_mass(&scene, kernel, 0.0, 0, 0.0);
        }
    static const double centers_A[] = {1e6, 1e9, -1e9, 1e300, DBL_MAX};
    for (size_t i = 0; i < COUNT_OF(centers_A); i++) {
        begin_case("image around %g", centers_A[i]);
        struct case_atoms atoms;
        struct scene scene = one_atom(&atoms, 3, centers_A[i], centers_A[i], centers_A[i], 0.5);
        scene.center_A[0] = scene.center_A[1] = scene.center_A[2] = centers_A[i];
        expect_mass(&scene, kernel, 1.0, 1, 0.0);
        scene.center_A[2] = -centers_A[i]; /* the difference may overflow */
        expect_mass(&scene, kernel, 0.0, 0, 0.0);
    }
}

static void run_resolutions(int kernel)
{
    static const double resolutions_A[] = {1e-290, 1e-100, 1e-9, 0.1, 1e9, 1e100, 1e290};
    for (size_t i = 0; i < COUNT_OF(resolutions_A); i++)
        for (int n_axes = 0; n_axes <= 3; n_axes++)
            for (int is_large = 0; is_large < 2; is_large++) {
                const double h = resolutions_A[i];
                begin_case("voxels of %g A, %d planes, %s", h, n_axes, is_large ? "r = 0.9 h" : "r = h/2");
                struct case_atoms atoms;
                struct scene scene = one_atom(&atoms, 5, 0.5 * h * (n_axes > 0), 0.5 * h * (n_axes > 1),
                                              0.5 * h * (n_axes > 2), is_large ? 0.9 * h : 0.5 * h);
                scene.resolution_A = h;
                expect_mass(&scene, kernel, 1.0, is_large ? -1 : 1 << n_axes, 1e-15);
            }
}

/* Factors that float32 does not hold: spheres of float32 maths keep their mass. */
static void run_float32_maths(int kernel)
{
    static const double occupancies[] = {1e-300, 1e-200, 1e-44, 1e-40, 1e-30, 1.0, 1e30, 1e37, 1e40, 1e200};
    for (size_t i = 0; i < COUNT_OF(occupancies); i++)
        for (int n_axes = 0; n_axes <= 3; n_axes++) {
            begin_case("float32 maths, occupancy %g, %d planes", occupancies[i], n_axes);
            struct case_atoms atoms;
            struct scene scene = one_atom(&atoms, 3, 0.3 * (n_axes > 0), 0.2 * (n_axes > 1), 0.1 * (n_axes > 2), 0.45);
            scene.is_float32_maths = 1;
            scene.occupancies = atoms.occupancies;
            atoms.occupancies[0] = occupancies[i];
            double *image = check_everywhere(&scene, kernel);
            expect_near(occupancies[i], sum_of(&scene, image), 1e-6 * occupancies[i], "sum of the image");
            free(image);
        }
}

/* Work arrays as large as the image asks for; too large to be drawn everywhere. */
static void run_large_image(int kernel)
{
    begin_case("65^3 voxels");
    struct case_atoms atoms;
    const struct scene scene = one_atom(&atoms, 65, 0.1, 0.2, 0.3, 40.0);
    struct expectation expected = expectation_of(&scene);
    check_scene(&scene, &expected, kernel, ON_THE_HEAP, 0, NULL);
    release_expectation(&expected);
}

/* Pseudo-random numbers of this file, the same in every run: 0 to 1. */
static double random_share(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-53;
}

/* Spheres all over the image and beyond, of all sizes if asked, in every number that may leave part of a vector. */
static void run_crowds(int kernel)
{
    uint64_t state = 1;
    for (int n = 0; n <= 70; n++)
        for (int rules = 0; rules < 4; rules++) {
            const int64_t length = 1 + (n + rules) % 9;
            begin_case("%d atoms in %d^3 voxels, rules %d", n, (int)length, rules);
            struct case_atoms atoms;
            struct scene scene = scene_of_atoms(&atoms, n, length);
            scene.n_channels = 3;
            scene.occupancies = n % 2 ? atoms.occupancies : NULL;
            scene.is_max = rules & 1;
            scene.fill = n % 3;
            scene.is_float32_maths = n / 2 % 2;
            for (int i = 0; i < n; i++) {
                for (int axis = 0; axis < 3; axis++)
                    atoms.coords_A[3 * i + axis] = (random_share(&state) - 0.5) * (double)(length + 3);
                const double share = random_share(&state);
                atoms.radii_A[i] = rules & 2 ? exp2(4.0 * share - 2.0) : 0.499 * share + 1e-3;
                atoms.occupancies[i] = random_share(&state) - (scene.is_max ? 0.0 : 0.3);
                atoms.channel_masks[i] = (uint32_t)(8.0 * random_share(&state));
            }
            free(check_everywhere(&scene, kernel));
        }
}

/* Rows that end with the image, in every length: vectors must not reach behind it. */
static void run_rows(int kernel)
{
    for (int64_t length = 1; length <= 27; length++)
        for (int corner = 0; corner < 8; corner++) {
            begin_case("corner %d of %d^3 voxels", corner, (int)length);
            struct case_atoms atoms;
            const double half = 0.5 * (double)length;
            struct scene scene = one_atom(&atoms, length, corner & 1 ? half : -half, corner & 2 ? half : -half,
                                          corner & 4 ? half : -half, corner & 1 ? 1.7 : 0.6 * (double)length);
            scene.is_max = corner >> 1 & 1;
            free(check_everywhere(&scene, kernel));
        }
}

static void run_occupancies(int kernel)
{
    static const double radii_A[] = {0.5, 1.2};
    for (int i = 0; i < 2; i++) {
        begin_case("occupancies 0 and -1/2, r = %g", radii_A[i]);
        struct case_atoms atoms;
        struct scene scene = one_atom(&atoms, 5, 0.2, 0.1, 0.0, radii_A[i]);
        scene.occupancies = atoms.occupancies;
        atoms.occupancies[0] = 0.0;
        expect_mass(&scene, kernel, 0.0, 0, 0.0);
        atoms.occupancies[0] = -0.5;
        double *image = check_everywhere(&scene, kernel);
        expect_near(-0.5, sum_of(&scene, image), 1e-14, "sum of the image");
        free(image);
    }
    begin_case("a voxel whose volume overflows, and nothing in it");
    struct case_atoms atoms;
    struct scene scene = one_atom(&atoms, 3, 0, 0, 0, 1e130);
    scene.resolution_A = 1e120;
    scene.fill = OVERLAP_A3;
    scene.occupancies = atoms.occupancies;
    atoms.occupancies[0] = 0.0;
    double *image = check_everywhere(&scene, kernel);
    for (int64_t i = 0; i < n_cells_of(&scene); i++)
        expect_near(0.0, image[i], 0.0, "voxel %lld of a sphere of occupancy 0", (long long)i);
    free(image);
}

static void run_many_atoms_in_one_voxel(int kernel)
{
    begin_case("%d atoms of 0.1 in one voxel", MAX_CASE_ATOMS);
    struct case_atoms atoms;
    struct scene scene = scene_of_atoms(&atoms, MAX_CASE_ATOMS, 1);
    scene.occupancies = atoms.occupancies;
    for (int i = 0; i < MAX_CASE_ATOMS; i++)
        atoms.occupancies[i] = 0.1;
    expect_mass(&scene, kernel, 0.1 * MAX_CASE_ATOMS, 1, 0.0);
}

void run_adversarial_cases(int kernel)
{
    run_touches(kernel);
    run_tiny_spheres(kernel);
    run_large_spheres(kernel);
    run_far_atoms(kernel);
    run_resolutions(kernel);
    run_float32_maths(kernel);
    run_large_image(kernel);
    run_occupancies(kernel);
    run_many_atoms_in_one_voxel(kernel);
    run_rows(kernel);
    run_crowds(kernel);
}

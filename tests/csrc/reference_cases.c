/* Images whose values symmetry gives: the numbers stand here, and nothing that was drawn is taken for granted. */
#include <math.h>
#include <stdlib.h>

#include "cases.h"
#include "expect.h"

#define SPHERE_A3 (4.0 / 3.0 * 3.14159265358979323846)
#define ROUNDING 1e-15

/* A voxel that must hold a value. */
struct filled {
    int channel, x, y, z;
    double value;
};

/* Expects these values, and exactly 0 everywhere else. */
static void expect_only(const struct scene *scene, int kernel, int n, const struct filled *filled)
{
    double *image = check_everywhere(scene, kernel);
    for (int i = 0; i < n; i++) {
        const int64_t cell = cell_of(scene, filled[i].channel, filled[i].x, filled[i].y, filled[i].z);
        expect_near(filled[i].value, image[cell], ROUNDING * fmax(1.0, filled[i].value), "voxel (%d, %d, %d, %d)",
                    filled[i].channel, filled[i].x, filled[i].y, filled[i].z);
        image[cell] = 0.0;
    }
    for (int64_t cell = 0; cell < n_cells_of(scene); cell++)
        expect_near(0.0, image[cell], 0.0, "voxel %lld, one of the others", (long long)cell);
    free(image);
}

/* An atom of radius h/2 whose centre is moved along each axis by -1, 0 or 1 half voxel: on faces, edges, corners. */
static void run_shares(int kernel)
{
    for (int code = 0; code < 27 * 6; code++) {
        const int step[3] = {code % 3 - 1, code / 3 % 3 - 1, code / 9 % 3 - 1};
        const double h = code / 27 % 3 == 0 ? 1.0 : code / 27 % 3 == 1 ? 0.5 : 0.75, away_A = code / 81 ? 1.0 : 0.0;
        begin_case("share %d %d %d, voxels of %g A, centre %g", step[0], step[1], step[2], h, away_A);
        struct case_atoms atoms;
        struct scene scene = scene_of_atoms(&atoms, 1, 3);
        scene.resolution_A = h;
        atoms.radii_A[0] = 0.5 * h;
        int n_axes = 0;
        for (int axis = 0; axis < 3; axis++) {
            scene.center_A[axis] = away_A * (axis + 1);
            atoms.coords_A[axis] = scene.center_A[axis] + 0.5 * h * step[axis];
            n_axes += step[axis] != 0;
        }
        struct filled filled[8];
        int n = 0;
        for (int corner = 0; corner < 8; corner++)
            if ((step[0] || !(corner & 1)) && (step[1] || !(corner & 2)) && (step[2] || !(corner & 4))) {
                const struct filled one = {0, 1 + (corner & 1) * step[0], 1 + (corner >> 1 & 1) * step[1],
                                           1 + (corner >> 2) * step[2], ldexp(1.0, -n_axes)};
                filled[n++] = one;
            }
        expect_only(&scene, kernel, n, filled);
    }
}

static void run_channels_and_occupancies(int kernel)
{
    struct case_atoms atoms;
    struct scene scene = scene_of_atoms(&atoms, 1, 1);
    begin_case("channel 1 of 2");
    scene.n_channels = 2;
    atoms.channel_masks[0] = 2;
    expect_only(&scene, kernel, 1, (struct filled[]){{1, 0, 0, 0, 1.0}});
    begin_case("channels 0 and 2 of 3");
    scene.n_channels = 3;
    atoms.channel_masks[0] = 5;
    expect_only(&scene, kernel, 2, (struct filled[]){{0, 0, 0, 0, 1.0}, {2, 0, 0, 0, 1.0}});
    begin_case("channels 0 and 31 of 32");
    scene.n_channels = 32;
    atoms.channel_masks[0] = 0x80000001u;
    expect_only(&scene, kernel, 2, (struct filled[]){{0, 0, 0, 0, 1.0}, {31, 0, 0, 0, 1.0}});
    begin_case("no channel");
    atoms.channel_masks[0] = 0;
    expect_only(&scene, kernel, 0, NULL);
    begin_case("occupancy 1/2");
    scene = scene_of_atoms(&atoms, 1, 3);
    scene.occupancies = atoms.occupancies;
    atoms.occupancies[0] = 0.5;
    expect_only(&scene, kernel, 1, (struct filled[]){{0, 1, 1, 1, 0.5}});
}

static void run_fills(int kernel)
{
    const double values[3] = {1.0, SPHERE_A3, SPHERE_A3 / 8.0};
    for (int fill = 0; fill < 3; fill++) {
        begin_case("fill %d", fill);
        struct case_atoms atoms;
        struct scene scene = scene_of_atoms(&atoms, 1, 3);
        scene.resolution_A = 2.0;
        scene.fill = fill;
        atoms.radii_A[0] = 1.0;
        expect_only(&scene, kernel, 1, (struct filled[]){{0, 1, 1, 1, values[fill]}});
    }
}

/* Two atoms, or one at the border, in 2^3 voxels. */
struct pair {
    const char *name;
    int n_atoms;
    double coords_A[6];
    uint32_t masks[2];
    int is_max, n_filled;
    struct filled filled[4];
};

static const struct pair PAIRS[] = {
    {"one face, two channels", 2, {0, -0.5, -0.5, 0, -0.5, -0.5}, {1, 2}, 0, 4,
     {{0, 0, 0, 0, 0.5}, {0, 1, 0, 0, 0.5}, {1, 0, 0, 0, 0.5}, {1, 1, 0, 0, 0.5}}},
    {"disjoint", 2, {-0.5, -0.5, -0.5, 0.5, 0.5, 0.5}, {1, 1}, 0, 2, {{0, 0, 0, 0, 1.0}, {0, 1, 1, 1, 1.0}}},
    {"partly coincident", 2, {-0.5, -0.5, -0.5, 0, -0.5, -0.5}, {1, 1}, 0, 2, {{0, 0, 0, 0, 1.5}, {0, 1, 0, 0, 0.5}}},
    {"maximum", 2, {-0.5, -0.5, -0.5, 0, -0.5, -0.5}, {1, 1}, 1, 2, {{0, 0, 0, 0, 1.0}, {0, 1, 0, 0, 0.5}}},
    {"coincident", 2, {-0.5, -0.5, -0.5, -0.5, -0.5, -0.5}, {1, 1}, 0, 1, {{0, 0, 0, 0, 2.0}}},
    {"border", 1, {-1, -0.5, -0.5}, {1}, 0, 1, {{0, 0, 0, 0, 0.5}}},
    {"upper border", 1, {0.5, 1, 0.5}, {1}, 0, 1, {{0, 1, 1, 1, 0.5}}},
    {"corner of the image", 1, {-1, -1, 1}, {1}, 0, 1, {{0, 0, 0, 1, 0.125}}},
    {"touch from outside", 1, {-1.5, -0.5, -0.5}, {1}, 0, 0, {{0}}},
    {"touch from above", 1, {0.5, 0.5, 1.5}, {1}, 0, 0, {{0}}},
};

static void run_pairs(int kernel)
{
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++) {
        const struct pair *pair = &PAIRS[i];
        begin_case("%s", pair->name);
        struct case_atoms atoms;
        struct scene scene = scene_of_atoms(&atoms, pair->n_atoms, 2);
        scene.coords_A = pair->coords_A;
        scene.channel_masks = pair->masks;
        scene.n_channels = 2;
        scene.is_max = pair->is_max;
        expect_only(&scene, kernel, pair->n_filled, pair->filled);
    }
}

void run_reference_cases(int kernel)
{
    run_shares(kernel);
    run_channels_and_occupancies(kernel);
    run_fills(kernel);
    run_pairs(kernel);
}

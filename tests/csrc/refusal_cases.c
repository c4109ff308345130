/* What must be refused before anything is written, at every place of rows of every length; and images that share memory
   with what they are drawn from. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cases.h"
#include "expect.h"

/* Longer than every vector, and a tail. */
#define MAX_ROW 21

static const double BAD[] = {NAN, INFINITY, -INFINITY};

/* Spoil an atom in one of so many ways; returns 0 where the rules of the scene allow what it is now. */
#define N_WAYS 17
static int spoil(struct case_atoms *atoms, int64_t atom, int way, const struct scene *scene)
{
    if (way < 9)
        atoms->coords_A[3 * atom + way % 3] = BAD[way / 3];
    else if (way < 11)
        atoms->radii_A[atom] = BAD[way - 9];
    else if (way == 11)
        atoms->radii_A[atom] = -0.5;
    else if (way == 12)
        atoms->radii_A[atom] = 0.0;
    else if (way == 13)
        atoms->channel_masks[atom] = 1u << scene->n_channels;
    else if (way == 14)
        atoms->channel_masks[atom] = 0x80000000u;
    else if (way == 15)
        atoms->occupancies[atom] = NAN;
    else
        atoms->occupancies[atom] = -0.5;
    return way < 16 || scene->is_max;
}

static void run_bad_atoms(int kernel)
{
    for (int n = 1; n <= MAX_ROW; n++)
        for (int atom = 0; atom < n; atom++) {
            begin_case("atom %d of %d is bad", atom, n);
            for (int way = 0; way < N_WAYS; way++) {
                struct case_atoms atoms;
                struct scene scene = scene_of_atoms(&atoms, n, 2);
                scene.n_channels = 2;
                scene.occupancies = atoms.occupancies;
                scene.is_max = (n + way) % 2;
                const int is_bad = spoil(&atoms, atom, way, &scene);
                expect_equal(is_bad ? atom : VOXELIZER_FINE, expected_status(&scene), "what this file expects");
                double image[2 * 8];
                struct expectation expected = {0};
                if (!is_bad)
                    expected = expectation_of(&scene);
                check_scene(&scene, &expected, kernel, way % N_PLACEMENTS, way % 2, image);
                release_expectation(&expected);
            }
        }
}

static void run_empty_rows(int kernel)
{
    begin_case("no atoms");
    struct case_atoms atoms;
    struct scene scene = scene_of_atoms(&atoms, 0, 4);
    free(check_everywhere(&scene, kernel));
    begin_case("no atoms, and no arrays");
    scene.coords_A = scene.radii_A = NULL;
    scene.channel_masks = NULL;
    free(check_everywhere(&scene, kernel));
}

void run_refusal_cases(int kernel)
{
    run_bad_atoms(kernel);
    run_empty_rows(kernel);
}

/* The image, and behind or before it an array of one atom, overlapping by so many bytes. */
static void check_overlap(int column, int64_t shared_bytes, int is_before, int is_float64)
{
    double coords_A[3] = {0, 0, 0}, radius_A = 0.5, occupancy = 1.0;
    uint32_t mask = 1;
    void *const columns[] = {coords_A, &radius_A, &mask, &occupancy};
    const int64_t bytes_of[] = {sizeof coords_A, sizeof radius_A, sizeof mask, sizeof occupancy};
    const int64_t image_bytes = 8 * (is_float64 ? 8 : 4), total = image_bytes + bytes_of[column] - shared_bytes;
    char *memory = malloc((size_t)total), *image = memory + (is_before ? bytes_of[column] - shared_bytes : 0);
    char *moved = memory + (is_before ? 0 : image_bytes - shared_bytes), *untouched = malloc((size_t)total);
    memset(memory, 0, (size_t)total);
    memcpy(moved, columns[column], (size_t)bytes_of[column]);
    memcpy(untouched, memory, (size_t)total);
    const double *const given_A = column == 0 ? (double *)(void *)moved : coords_A;
    const double *const radii_A = column == 1 ? (double *)(void *)moved : &radius_A;
    const uint32_t *const masks = column == 2 ? (uint32_t *)(void *)moved : &mask;
    const double *const occupancies = column == 3 ? (double *)(void *)moved : &occupancy;
    const int64_t status = voxelizer_fill(1, given_A, radii_A, masks, occupancies, 1, 0, 2, 1.0, 0.0, 0.0, 0.0, 0, 0,
                                          image, is_float64);
    expect_equal(shared_bytes ? VOXELIZER_OVERLAP : VOXELIZER_FINE, status, "status of an image beside an array");
    if (shared_bytes)
        expect_true(memcmp(memory, untouched, (size_t)total) == 0, "a refused call writes nothing");
    else
        expect_near(0.125, is_float64 ? ((double *)(void *)image)[0] : ((float *)(void *)image)[0], 1e-15,
                    "the first voxel");
    free(memory);
    free(untouched);
}

void run_overlap_cases(void)
{
    for (int column = 0; column < 4; column++)
        for (int64_t shared_bytes = 0; shared_bytes <= (column == 2 ? 4 : 8); shared_bytes += column == 2 ? 4 : 8)
            for (int is_before = 0; is_before < 2; is_before++)
                for (int is_float64 = 0; is_float64 < 2; is_float64++) {
                    /* Doubles may not stand at odd fours. */
                    if (column == 2 && is_float64 && is_before)
                        continue;
                    begin_case("array %d shares %d bytes, %s a float%d image", column, (int)shared_bytes,
                               is_before ? "before" : "behind", is_float64 ? 64 : 32);
                    check_overlap(column, shared_bytes, is_before, is_float64);
                }
}

/* The cases, by what they are about; each function runs its own on the kernel in use. */
#ifndef CASES_H
#define CASES_H

#include "check_scene.h"

/* Images whose values symmetry gives. */
void run_reference_cases(int kernel);
/* Numbers that break voxelizers. */
void run_adversarial_cases(int kernel);
/* What must be refused, wherever it stands. */
void run_refusal_cases(int kernel);
/* Images that share memory with atoms. */
void run_overlap_cases(void);
/* Batches of structures. */
void run_view_cases(void);
/* No memory. */
void run_memory_cases(void);
/* Before any kernel was chosen, and about choosing one. */
void run_kernel_cases(void);

/* Atoms of a case, changed as it needs: n of them at the centre of the image, of radius 1/2, in channel 0. */
#define MAX_CASE_ATOMS 128
struct case_atoms {
    double coords_A[3 * MAX_CASE_ATOMS], radii_A[MAX_CASE_ATOMS], occupancies[MAX_CASE_ATOMS];
    uint32_t channel_masks[MAX_CASE_ATOMS];
};
/* L^3 voxels of 1 A around the origin, one channel, sums of fractions; occupancies NULL. */
struct scene scene_of_atoms(struct case_atoms *atoms, int64_t n, int64_t length_voxels);

/* check_scene with every placement and both types of image. Returns the float64 image: the caller frees it. */
double *check_everywhere(const struct scene *scene, int kernel);

#endif

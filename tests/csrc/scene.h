/* One call of voxelizer_fill: its arguments, what it must return, and the call itself in memory of exact size. */
#ifndef SCENE_H
#define SCENE_H

#include <stdint.h>

#include "placed.h"
#include "voxelizer.cdef.h"

enum fill { FRACTION_OF_ATOM, OVERLAP_A3, FRACTION_OF_VOXEL };

struct scene {
    int64_t n_atoms;
    const double *coords_A; /* (n_atoms, 3) */
    const double *radii_A;
    const uint32_t *channel_masks;
    const double *occupancies; /* NULL: all 1 */
    int n_channels, is_max;
    int64_t length_voxels;
    double resolution_A, center_A[3];
    int fill, is_float32_maths;
};

/* (n_channels, L, L, L) */
int64_t n_cells_of(const struct scene *scene);
int64_t cell_of(const struct scene *scene, int channel, int64_t x, int64_t y, int64_t z);

/* What an atom adds up to, where all of it is in the image: its volume in units of the fill. */
double sphere_unit(const struct scene *scene, double radius_A);

/* The index of the first atom that must be refused, or VOXELIZER_FINE: written down anew, not taken from csrc. */
int64_t expected_status(const struct scene *scene);

/* Draw with the kernel in use; image: (n_cells) doubles, whatever the type that was drawn. Where the scene is refused,
   expects that nothing was written, and leaves `image` alone. Returns the status. */
int64_t draw_scene(const struct scene *scene, enum placement placement, int is_float64, double *image);

/* Of images that the C code draws: bytes that are NaN in both types, so that a voxel that is not zeroed is seen. */
void *place_image(struct places *places, int64_t n_cells, int is_float64);
/* Read such an image, if the status says that it was drawn; else expect that it is untouched. */
void read_image(int64_t status, const void *drawn, int64_t n_cells, int is_float64, double *image);

#endif

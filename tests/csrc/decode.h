/* Bytes of a fuzzer to scenes. Any bytes will do; where they end zeros follow. Most scenes are ordinary, with atoms on
   planes and next to them: mutations of bytes that stand for raw doubles would hardly ever hit the image. */
#ifndef DECODE_H
#define DECODE_H

#include <stddef.h>
#include <stdint.h>

#include "view_scene.h"

struct bytes {
    const uint8_t *at;
    size_t left;
};

#define MAX_DECODED_ATOMS 48
#define MAX_DECODED_VIEWS 4
/* Of one view: more than csrc culls at a time. */
#define MAX_DECODED_VIEW_ATOMS 1100

struct decoded_atoms {
    double coords_A[3 * MAX_DECODED_ATOMS], radii_A[MAX_DECODED_ATOMS], occupancies[MAX_DECODED_ATOMS];
    uint32_t channel_masks[MAX_DECODED_ATOMS];
};

/* The arrays that a view points to. */
struct decoded_view {
    double coords_A[3 * MAX_DECODED_VIEW_ATOMS], occupancies[MAX_DECODED_VIEW_ATOMS], frame[16];
    float coords_f32_A[3 * MAX_DECODED_VIEW_ATOMS], occupancies_f32[MAX_DECODED_VIEW_ATOMS];
    uint8_t elements[MAX_DECODED_VIEW_ATOMS];
};

struct decoded_views {
    struct decoded_view of[MAX_DECODED_VIEWS];
    struct voxelizer_view views[MAX_DECODED_VIEWS];
    uint32_t masks[256];
    double radii_A[256];
    int are_rigid; /* else nothing is promised of the images */
};

/* What every input starts with. */
struct decoded_head {
    int has_views, is_float64;
    enum placement placement;
};

struct decoded_head decode_head(struct bytes *bytes);
/* A grid and its rules, then atoms; the scene points into `atoms`. */
struct scene decode_scene(struct bytes *bytes, struct decoded_atoms *atoms);
struct view_scene decode_views(struct bytes *bytes, struct decoded_views *views);

#endif

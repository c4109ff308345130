/* What an image must hold, by the formula of csrc/sphere.h taken corner by corner with the C library's atan2, and how
   far off a kernel may be. Nothing here is shared with csrc. */
#ifndef CLOSED_FORM_H
#define CLOSED_FORM_H

#include "scene.h"

/* One entry per voxel and channel. */
struct expectation {
    int64_t n_cells;
    int32_t *n_near;   /* spheres that come near: where it is 0 the voxel must be exactly 0 */
    double *value;     /* before it is rounded to the type of the image */
    double *magnitude; /* sum of the absolute values that go into it */
    double *error;     /* of a kernel against this */
    double *spread;    /* of one kernel against another */
};

/* The atoms must have passed the checks. */
struct expectation expectation_of(const struct scene *scene);
void release_expectation(struct expectation *expectation);

#endif

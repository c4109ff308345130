/* Draw a scene and hold the image against the closed form, and against that of the plainest kernel. */
#ifndef CHECK_SCENE_H
#define CHECK_SCENE_H

#include "closed_form.h"

/* The kernels that this processor runs: use the index-th from now on, here and in begin_kernel; 0 after the last. */
int use_next_kernel(int *index);
/* Return to a kernel after comparing with another. */
void use_kernel(int index);

/* Expects of an image what holds for every image of the scene. */
void expect_image(const struct scene *scene, const struct expectation *expected, const double *image, int is_float64);
/* Of two kernels, or of two ways to the same image. */
void expect_same_image(const struct expectation *expected, const double *image, const double *other, int is_float64,
                       const char *what);

/* Draw with the kernel in use, of this index: all of the above, and the status. expected: not looked at where the scene
   must be refused. image: (n_cells), or NULL; where it is given it receives what was drawn. */
void check_scene(const struct scene *scene, const struct expectation *expected, int kernel, enum placement placement,
                 int is_float64, double *image);

#endif

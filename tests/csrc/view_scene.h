/* One call of voxelizer_fill_views, and what it must give: the images that voxelizer_fill draws of the moved atoms. */
#ifndef VIEW_SCENE_H
#define VIEW_SCENE_H

#include "check_scene.h"

struct view_scene {
    int64_t n_views;
    const struct voxelizer_view *views;
    const uint32_t *masks_of_elements; /* (256) */
    const double *radii_of_elements_A; /* (256) */
    int may_drop;
    /* Of each image; its atoms are those of the views. */
    struct scene image;
};

/* The largest radius that is drawn: what callers pass. */
double max_radius_of_views_A(const struct view_scene *scene);

/* Draw with the kernel in use into memory of exact size; images: (n_views, n_cells). Returns the status; bad_atom, or
   NULL, receives the atom that is named where a view is refused. */
int64_t draw_views_scene(const struct view_scene *scene, enum placement placement, int is_float64, double *images,
                         int64_t *bad_atom);

/* Expects of the kernel in use the counts that the formula of voxelizer_crowd gives of a structure, of which neither
   elements nor frame matter. places_A: (n_places, 3). */
void check_crowd(const struct voxelizer_view *structure, int n_places, const double *places_A, double radius_A,
                 enum placement placement);

/* Expects of the kernel in use the right status, and images as those of voxelizer_fill. images: (n_views, n_cells). */
void check_views(const struct view_scene *scene, enum placement placement, int is_float64, double *images);

#endif

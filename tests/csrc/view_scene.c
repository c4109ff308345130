#include "view_scene.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"

double max_radius_of_views_A(const struct view_scene *scene)
{
    double largest_A = 0.0;
    for (int element = 0; element < 256; element++)
        if (scene->masks_of_elements[element] && scene->radii_of_elements_A[element] > largest_A)
            largest_A = scene->radii_of_elements_A[element];
    return largest_A;
}

static struct voxelizer_view place_view(struct places *places, const struct voxelizer_view *view)
{
    const size_t n = (size_t)view->n_atoms;
    struct voxelizer_view placed = *view;
    placed.coords_A = place_copy(places, view->coords_A, 3 * n, view->coords_are_float64 ? 8 : 4);
    placed.elements = place_copy(places, view->elements, n, 1);
    placed.occupancies = place_copy(places, view->occupancies, n, view->occupancies_are_float64 ? 8 : 4);
    placed.frame = place_copy(places, view->frame, 16, sizeof(double));
    return placed;
}

int64_t draw_views_scene(const struct view_scene *scene, enum placement placement, int is_float64, double *images,
                         int64_t *bad_atom)
{
    struct places places = {.placement = placement, .n = 0};
    const struct scene *image = &scene->image;
    const int64_t n_cells = scene->n_views * n_cells_of(image);
    struct voxelizer_view *views = place(&places, (size_t)scene->n_views, sizeof *views);
    for (int64_t i = 0; i < scene->n_views; i++) {
        views[i] = place_view(&places, &scene->views[i]);
        views[i].bad_atom = INT64_MIN;
    }
    const uint32_t *masks = place_copy(&places, scene->masks_of_elements, 256, sizeof(uint32_t));
    const double *radii_A = place_copy(&places, scene->radii_of_elements_A, 256, sizeof(double));
    void *drawn = place_image(&places, n_cells, is_float64);
    const int64_t status = voxelizer_fill_views(
        scene->n_views, views, masks, radii_A, scene->may_drop, max_radius_of_views_A(scene), image->n_channels,
        image->is_max, image->length_voxels, image->resolution_A, image->center_A[0], image->center_A[1],
        image->center_A[2], image->fill, image->is_float32_maths, drawn, is_float64);
    read_image(status, drawn, n_cells, is_float64, images);
    if (bad_atom)
        *bad_atom = status >= 0 && status < scene->n_views ? views[status].bad_atom : VOXELIZER_FINE;
    release_places(&places);
    return status;
}

static double number_of(const void *column, int is_float64, int64_t index)
{
    return is_float64 ? ((const double *)column)[index] : (double)((const float *)column)[index];
}

static const double IDENTITY[16] = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};

/* Where the frame puts an atom; returns whether it was at a finite place. */
static int move_atom(const struct voxelizer_view *view, int64_t atom, double moved_A[3])
{
    double x[3];
    for (int axis = 0; axis < 3; axis++)
        x[axis] = number_of(view->coords_A, view->coords_are_float64, 3 * atom + axis);
    for (int axis = 0; axis < 3; axis++) {
        const double *row = (view->frame ? view->frame : IDENTITY) + 4 * axis;
        moved_A[axis] = row[0] * x[0] + row[1] * x[1] + row[2] * x[2] + row[3];
    }
    return isfinite(x[0]) && isfinite(x[1]) && isfinite(x[2]);
}

/* The atoms of a view, moved: arrays that a scene points to. */
struct moved {
    double *coords_A, *radii_A, *occupancies;
    uint32_t *channel_masks;
    int64_t n;
    int is_bad;    /* some atom must be refused */
    int is_open;   /* some atom may be: where the frame is not rigid, which callers see to, culling may drop any */
    int64_t named; /* the atom that the C code named: is it one of those? */
    int is_named_rightly;
};

static int frame_is_rigid(const double *frame)
{
    if (!frame)
        return 1;
    double worst = 0.0;
    for (int row = 0; row < 3; row++)
        for (int other = 0; other < 3; other++) {
            double product = row == other ? -1.0 : 0.0;
            for (int axis = 0; axis < 3; axis++)
                product += frame[4 * row + axis] * frame[4 * other + axis];
            worst = isfinite(product) ? fmax(worst, fabs(product)) : INFINITY;
        }
    return worst < 1e-5 && isfinite(frame[3] + frame[7] + frame[11]);
}

/* Has the sphere some of the image in it? */
static int touches(const struct scene *image, const double moved_A[3], double radius_A)
{
    const double half_length_A = 0.5 * (double)image->length_voxels * image->resolution_A;
    double sum = 0.0;
    for (int axis = 0; axis < 3; axis++) {
        const double share = fmax(fabs(moved_A[axis] - image->center_A[axis]) - half_length_A, 0.0) / radius_A;
        sum += share * share;
    }
    return sum < 1.0;
}

static void add_moved(struct moved *moved, const struct view_scene *scene, const struct voxelizer_view *view,
                      int64_t atom)
{
    double *at_A = moved->coords_A + 3 * moved->n;
    const uint8_t element = view->elements[atom];
    const uint32_t mask = scene->masks_of_elements[element];
    const double radius_A = scene->radii_of_elements_A[element], max_radius_A = max_radius_of_views_A(scene);
    const double occupancy = number_of(view->occupancies, view->occupancies_are_float64, atom);
    if (!move_atom(view, atom, at_A)) {
        moved->is_bad = 1;
        moved->is_named_rightly |= atom == moved->named;
        return;
    }
    const int is_fine = (mask || scene->may_drop) && radius_A > 0.0 && isfinite(occupancy)
                        && !(scene->image.is_max && occupancy < 0.0);
    if (!is_fine) {
        const int is_bad = touches(&scene->image, at_A, mask && radius_A > 0.0 ? radius_A : max_radius_A);
        const int is_rigid = frame_is_rigid(view->frame);
        moved->is_bad |= is_rigid && is_bad;
        moved->is_open |= !is_rigid;
        moved->is_named_rightly |= (is_bad || !is_rigid) && atom == moved->named;
        return;
    }
    if (!mask || !isfinite(at_A[0]) || !isfinite(at_A[1]) || !isfinite(at_A[2]))
        return;
    moved->radii_A[moved->n] = radius_A;
    moved->occupancies[moved->n] = occupancy;
    moved->channel_masks[moved->n++] = mask;
}

static struct moved moved_of(const struct view_scene *scene, const struct voxelizer_view *view, int64_t named)
{
    const size_t n = (size_t)view->n_atoms + 1;
    struct moved moved = {
        malloc(3 * n * sizeof(double)),   malloc(n * sizeof(double)), malloc(n * sizeof(double)),
        malloc(n * sizeof(uint32_t)), 0, 0, 0, named, 0,
    };
    for (int64_t atom = 0; atom < view->n_atoms; atom++)
        add_moved(&moved, scene, view, atom);
    return moved;
}

static void release_moved(struct moved *moved)
{
    free(moved->coords_A);
    free(moved->radii_A);
    free(moved->occupancies);
    free(moved->channel_masks);
}

static struct scene scene_of(const struct view_scene *scene, const struct moved *moved)
{
    struct scene one = scene->image;
    one.n_atoms = moved->n;
    one.coords_A = moved->coords_A;
    one.radii_A = moved->radii_A;
    one.channel_masks = moved->channel_masks;
    one.occupancies = moved->occupancies;
    return one;
}

/* Expects the status of the first view that must be refused, and the name of an atom of it that stands in the way. */
static void expect_status(const struct view_scene *scene, int64_t status, int64_t bad_atom)
{
    for (int64_t i = 0; i < scene->n_views; i++) {
        struct moved moved = moved_of(scene, &scene->views[i], bad_atom);
        const int is_bad = moved.is_bad, is_open = moved.is_open;
        release_moved(&moved);
        if (is_bad || (is_open && status == i)) {
            expect_equal(i, status, "the view that is refused");
            expect_true(moved.is_named_rightly, "the atom that is named stands in the way");
            return;
        }
    }
    expect_equal(VOXELIZER_FINE, status, "status of the views");
}

static void expect_view(const struct view_scene *scene, const struct voxelizer_view *view, int is_float64,
                        const double *image)
{
    struct moved moved = moved_of(scene, view, -1);
    const struct scene one = scene_of(scene, &moved);
    struct expectation expected = expectation_of(&one);
    double *filled = malloc((size_t)expected.n_cells * sizeof(double));
    expect_equal(VOXELIZER_FINE, draw_scene(&one, ON_THE_HEAP, is_float64, filled), "status of the moved atoms");
    expect_same_image(&expected, image, filled, is_float64, "as voxelizer_fill has it");
    expect_image(&one, &expected, image, is_float64);
    free(filled);
    release_expectation(&expected);
    release_moved(&moved);
}

void check_views(const struct view_scene *scene, enum placement placement, int is_float64, double *images)
{
    int64_t bad_atom;
    const int64_t status = draw_views_scene(scene, placement, is_float64, images, &bad_atom);
    expect_status(scene, status, bad_atom);
    for (int64_t i = 0; status == VOXELIZER_FINE && i < scene->n_views; i++)
        expect_view(scene, &scene->views[i], is_float64, images + i * n_cells_of(&scene->image));
}

/* In the order of the atoms, as csrc does it: the sums are equal to the last bit. */
static double crowd_at(const struct voxelizer_view *structure, const double place_A[3], double radius_A)
{
    double count = 0.0;
    for (int64_t atom = 0; atom < structure->n_atoms; atom++) {
        double distance_A2 = 0.0;
        for (int axis = 0; axis < 3; axis++) {
            const double x = number_of(structure->coords_A, structure->coords_are_float64, 3 * atom + axis);
            distance_A2 += (x - place_A[axis]) * (x - place_A[axis]);
        }
        if (distance_A2 <= radius_A * radius_A)
            count += number_of(structure->occupancies, structure->occupancies_are_float64, atom);
    }
    return count;
}

void check_crowd(const struct voxelizer_view *structure, int n_places, const double *places_A, double radius_A,
                 enum placement placement)
{
    struct places places = {.placement = placement, .n = 0};
    const struct voxelizer_view placed = place_view(&places, structure);
    const double *given_A = place_copy(&places, places_A, 3 * (size_t)n_places, sizeof(double));
    double *counts = place_image(&places, n_places, 1);
    expect_equal(VOXELIZER_FINE, voxelizer_crowd(&placed, n_places, given_A, radius_A, counts), "status of the crowd");
    for (int i = 0; i < n_places; i++) {
        const double expected = crowd_at(structure, places_A + 3 * i, radius_A);
        if (!isnan(expected) || !isnan(counts[i]))
            expect_near(expected, counts[i], 0.0, "crowd of place %d", i);
    }
    release_places(&places);
}

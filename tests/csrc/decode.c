#include "decode.h"

#include <float.h>
#include <math.h>
#include <string.h>

static uint8_t take_byte(struct bytes *bytes)
{
    if (bytes->left == 0)
        return 0;
    bytes->left--;
    return *bytes->at++;
}

static int take_signed(struct bytes *bytes) { return (int)take_byte(bytes) - 128; }

/* Off by a few ulp. */
static double take_nearly_1(struct bytes *bytes) { return 1.0 + take_signed(bytes) * 0x1p-52; }

/* -1 to 1, in steps that are no binary fraction. */
static double take_share(struct bytes *bytes)
{
    const int low = take_byte(bytes);
    return (take_byte(bytes) * 256 + low) / 65535.0 * 2.0 - 1.0;
}

static double take_raw(struct bytes *bytes)
{
    uint8_t raw[8];
    double value;
    for (int i = 0; i < 8; i++)
        raw[i] = take_byte(bytes);
    memcpy(&value, raw, sizeof value);
    return value;
}

static const double HOSTILE[] = {
    NAN,    INFINITY, -INFINITY, 0.0,    -0.0,  DBL_MAX, -DBL_MAX, DBL_MIN, 4.9406564584124654e-324,
    1e-300, 1e300,    -1e300,    1e-155, 1e155, 1e20,    -1e20,    3e9,     -3e9,
    1e5,    -1e5,     1e-9,      1e-3,   1e38,  4e38,    0x1p31,   0x1p63,  1e-45,
};

static double take_hostile(struct bytes *bytes)
{
    const size_t which = take_byte(bytes), n = sizeof HOSTILE / sizeof HOSTILE[0];
    return which < n ? HOSTILE[which] : take_raw(bytes);
}

struct decoded_head decode_head(struct bytes *bytes)
{
    const int byte = take_byte(bytes);
    const struct decoded_head head = {byte & 1, byte >> 1 & 1, (enum placement)(byte >> 2 & 3)};
    return head;
}

static const double RESOLUTIONS_A[] = {1.0, 0.75, 0.5, 2.0, 0.1, 1.0 / 3.0, 1e-3, 1e3};

/* Positive, and such that the whole image and its planes are in range: what callers see to. */
static double take_resolution_A(struct bytes *bytes)
{
    const int kind = take_byte(bytes);
    if (kind < 248)
        return RESOLUTIONS_A[kind % 8];
    const double raw = fabs(take_raw(bytes));
    return raw > 1e-290 && raw < 1e290 ? raw : 1.0;
}

static double take_center_A(struct bytes *bytes)
{
    const int kind = take_byte(bytes);
    if (kind < 128)
        return 0.0;
    if (kind < 248)
        return 0.25 * take_signed(bytes);
    const double hostile = take_hostile(bytes);
    return isfinite(hostile) ? hostile : 0.0;
}

static struct scene decode_grid(struct bytes *bytes)
{
    static const int n_channels[] = {1, 2, 3, 4, 5, 31, 32, 1};
    const int rules = take_byte(bytes), size = take_byte(bytes);
    struct scene scene = {
        .is_max = rules & 1,
        .fill = rules >> 1 & 3,
        .is_float32_maths = rules >> 3 & 1,
        .n_channels = n_channels[rules >> 4 & 7],
        .length_voxels = size < 250 ? 1 + size % 8 : 12 + 3 * (size - 250), /* seldom up to 27 */
    };
    scene.fill = scene.fill == 3 ? 0 : scene.fill;
    if (scene.n_channels > 5 && scene.length_voxels > 3)
        scene.n_channels = 2;
    scene.resolution_A = take_resolution_A(bytes);
    for (int axis = 0; axis < 3; axis++)
        scene.center_A[axis] = take_center_A(bytes);
    return scene;
}

/* Relative to the centre of the image. */
static double take_offset_A(struct bytes *bytes, const struct scene *scene, int may_be_hostile)
{
    const double h = scene->resolution_A, length_A = (double)scene->length_voxels * h;
    const int half_voxels = (int)scene->length_voxels + 4;
    switch (take_byte(bytes) % (may_be_hostile ? 8 : 6)) {
    case 0:
        return 0.5 * h * (take_signed(bytes) % half_voxels);
    case 1:
        return 0.5 * h * (take_signed(bytes) % half_voxels) * take_nearly_1(bytes);
    case 2:
        return 0.125 * h * take_signed(bytes);
    case 3:
        return (take_signed(bytes) < 0 ? -0.5 : 0.5) * length_A + h * take_share(bytes);
    case 4:
    case 5:
        return (0.5 * length_A + h) * take_share(bytes);
    case 6:
        return h * ldexp(take_share(bytes), take_signed(bytes) * 8);
    default:
        return take_hostile(bytes);
    }
}

/* In voxels: where the geometry changes. */
static const double RATIOS[] = {0.5, 0.25, 0.70710678118654757, 0.8660254037844386, 1.0, 1.5, 1.7, 2.5, 0.01, 5, 20};

static double take_radius_A(struct bytes *bytes, double h, int may_be_hostile)
{
    switch (take_byte(bytes) % (may_be_hostile ? 8 : 6)) {
    case 0:
        return 0.5 * h;
    case 1:
        return h * RATIOS[take_byte(bytes) % (sizeof RATIOS / sizeof RATIOS[0])];
    case 2:
        return h * RATIOS[take_byte(bytes) % (sizeof RATIOS / sizeof RATIOS[0])] * take_nearly_1(bytes);
    case 3:
        return h * (take_byte(bytes) + 1) / 512.0;
    case 4:
        return h * (take_byte(bytes) + 1) / 64.0;
    case 5:
        return h * ldexp(1.1, take_signed(bytes) / 4);
    case 6:
        return h * ldexp(1.1, take_signed(bytes) * 8);
    default:
        return take_hostile(bytes);
    }
}

static double take_occupancy(struct bytes *bytes, int may_be_hostile, int is_max)
{
    const int kind = take_byte(bytes);
    if (may_be_hostile && kind >= 240)
        return take_hostile(bytes);
    return kind < 224 || is_max ? kind / 128.0 : -kind / 128.0;
}

/* An atom that is not hostile passes the checks. */
static void decode_atom(struct bytes *bytes, const struct scene *scene, struct decoded_atoms *atoms, int64_t i,
                        int may_be_hostile)
{
    const uint32_t channels = scene->n_channels < 32 ? (1u << scene->n_channels) - 1 : UINT32_MAX;
    for (int axis = 0; axis < 3; axis++)
        atoms->coords_A[3 * i + axis] = scene->center_A[axis] + take_offset_A(bytes, scene, may_be_hostile);
    atoms->radii_A[i] = take_radius_A(bytes, scene->resolution_A, may_be_hostile);
    atoms->occupancies[i] = take_occupancy(bytes, may_be_hostile, scene->is_max);
    const uint32_t mask = take_byte(bytes) * 0x01010101u;
    atoms->channel_masks[i] = may_be_hostile && mask > 0xF0000000u ? mask : mask & channels;
}

struct scene decode_scene(struct bytes *bytes, struct decoded_atoms *atoms)
{
    struct scene scene = decode_grid(bytes);
    const int kind = take_byte(bytes), n_hostile = kind >> 2 & 1 ? take_byte(bytes) : 0;
    scene.n_atoms = take_byte(bytes) % MAX_DECODED_ATOMS;
    for (int64_t i = 0; i < scene.n_atoms; i++)
        decode_atom(bytes, &scene, atoms, i, i % 16 < n_hostile % 16);
    scene.coords_A = atoms->coords_A;
    scene.radii_A = atoms->radii_A;
    scene.channel_masks = atoms->channel_masks;
    scene.occupancies = kind & 3 ? atoms->occupancies : NULL;
    return scene;
}

static const uint8_t ELEMENTS[] = {6, 7, 8, 16, 1, 34, 0, 255};

/* All elements alike but for eight. */
static void decode_tables(struct bytes *bytes, const struct scene *image, struct decoded_views *views)
{
    const uint32_t channels = image->n_channels < 32 ? (1u << image->n_channels) - 1 : UINT32_MAX;
    for (int element = 0; element < 256; element++) {
        views->masks[element] = 1;
        views->radii_A[element] = 0.5 * image->resolution_A;
    }
    for (int i = 0; i < 8; i++) {
        const int kind = take_byte(bytes);
        views->masks[ELEMENTS[i]] = (kind * 0x01010101u) & channels;
        if (kind >= 250)
            views->radii_A[ELEMENTS[i]] = NAN;
        else if (kind >= 128)
            views->radii_A[ELEMENTS[i]] = take_radius_A(bytes, image->resolution_A, 0);
    }
}

/* A rotation from a quaternion of four small numbers, and a way to go. */
static void decode_frame(struct bytes *bytes, const struct scene *image, double frame[16])
{
    double q[4], norm2 = 0.0;
    for (int i = 0; i < 4; i++) {
        q[i] = take_signed(bytes) / 16;
        norm2 += q[i] * q[i];
    }
    if (norm2 == 0.0)
        q[0] = norm2 = 1.0;
    const double w = q[0], x = q[1], y = q[2], z = q[3], s = 2.0 / norm2;
    const double rotation[9] = {
        1.0 - s * (y * y + z * z), s * (x * y - z * w),       s * (x * z + y * w),
        s * (x * y + z * w),       1.0 - s * (x * x + z * z), s * (y * z - x * w),
        s * (x * z - y * w),       s * (y * z + x * w),       1.0 - s * (x * x + y * y),
    };
    for (int axis = 0; axis < 3; axis++) {
        memcpy(frame + 4 * axis, rotation + 3 * axis, 3 * sizeof(double));
        frame[4 * axis + 3] = take_signed(bytes) * 0.25 * image->resolution_A;
    }
    memcpy(frame + 12, (const double[4]){0, 0, 0, 1}, 4 * sizeof(double));
}

/* Where an atom must stand in the structure for the frame to put it at `in_view_A`. */
static double taken_back_A(const struct voxelizer_view *view, const double in_view_A[3], int axis)
{
    if (!view->frame)
        return in_view_A[axis];
    double x = 0.0;
    for (int row = 0; row < 3; row++)
        x += view->frame[4 * row + axis] * (in_view_A[row] - view->frame[4 * row + 3]);
    return x;
}

static void decode_view_atom(struct bytes *bytes, const struct scene *image, const struct voxelizer_view *view,
                             struct decoded_view *arrays, int64_t i, int may_be_hostile)
{
    double in_view_A[3];
    for (int axis = 0; axis < 3; axis++)
        in_view_A[axis] = image->center_A[axis] + take_offset_A(bytes, image, may_be_hostile);
    for (int axis = 0; axis < 3; axis++) {
        arrays->coords_A[3 * i + axis] = taken_back_A(view, in_view_A, axis);
        arrays->coords_f32_A[3 * i + axis] = (float)arrays->coords_A[3 * i + axis];
    }
    arrays->occupancies[i] = take_occupancy(bytes, may_be_hostile, image->is_max);
    arrays->occupancies_f32[i] = (float)arrays->occupancies[i];
    arrays->elements[i] = ELEMENTS[take_byte(bytes) % 8];
}

/* Repeat the atoms from the first on until there are n. */
static void repeat_atoms(struct decoded_view *arrays, int64_t n_decoded, int64_t n)
{
    for (int64_t i = n_decoded; i < n; i++) {
        const int64_t from = i - n_decoded;
        memcpy(arrays->coords_A + 3 * i, arrays->coords_A + 3 * from, 3 * sizeof(double));
        memcpy(arrays->coords_f32_A + 3 * i, arrays->coords_f32_A + 3 * from, 3 * sizeof(float));
        arrays->occupancies[i] = arrays->occupancies[from];
        arrays->occupancies_f32[i] = arrays->occupancies_f32[from];
        arrays->elements[i] = arrays->elements[from];
    }
}

static void decode_view(struct bytes *bytes, const struct scene *image, struct decoded_views *views, int index)
{
    struct decoded_view *arrays = &views->of[index];
    struct voxelizer_view *view = &views->views[index];
    const int kind = take_byte(bytes), n_hostile = kind >> 6 == 1 ? 2 : 0, n_decoded = take_byte(bytes) % 40;
    memset(view, 0, sizeof *view);
    view->coords_are_float64 = kind & 1;
    view->occupancies_are_float64 = kind >> 1 & 1;
    if (kind & 4) {
        decode_frame(bytes, image, arrays->frame);
        view->frame = arrays->frame;
    }
    for (int i = 0; i < n_decoded; i++)
        decode_view_atom(bytes, image, view, arrays, i, i < n_hostile);
    view->n_atoms = n_decoded;
    if (kind >= 0xF8 && n_decoded > 0) {
        view->n_atoms = 1000 + take_byte(bytes) % 100;
        repeat_atoms(arrays, n_decoded, view->n_atoms);
    }
    /* Only now: the atoms were taken back by a frame that was rigid. */
    if (view->frame && n_hostile && kind & 8) {
        arrays->frame[take_byte(bytes) % 12] = take_hostile(bytes);
        views->are_rigid = 0;
    }
    view->coords_A = view->coords_are_float64 ? (const void *)arrays->coords_A : arrays->coords_f32_A;
    view->occupancies = view->occupancies_are_float64 ? (const void *)arrays->occupancies : arrays->occupancies_f32;
    view->elements = arrays->elements;
}

/* Culling squares lengths in the precision of the coordinates: float32 has no squares of more than 1e19. Small images,
   because there may be thousands of atoms. */
static struct scene decode_grid_of_views(struct bytes *bytes)
{
    struct scene image = decode_grid(bytes);
    if (image.length_voxels > 9)
        image.length_voxels = 9;
    if (image.resolution_A < 1e-6 || image.resolution_A > 1e6)
        image.resolution_A = 1.0;
    for (int axis = 0; axis < 3; axis++)
        if (fabs(image.center_A[axis]) > 1e9)
            image.center_A[axis] = 0.0;
    return image;
}

struct view_scene decode_views(struct bytes *bytes, struct decoded_views *views)
{
    const struct scene image = decode_grid_of_views(bytes);
    const int kind = take_byte(bytes), n_views = (kind >> 1) % (MAX_DECODED_VIEWS + 1);
    decode_tables(bytes, &image, views);
    views->are_rigid = 1;
    for (int i = 0; i < n_views; i++)
        decode_view(bytes, &image, views, i);
    const struct view_scene scene = {
        .n_views = n_views,
        .views = views->views,
        .masks_of_elements = views->masks,
        .radii_of_elements_A = views->radii_A,
        .may_drop = kind & 1,
        .image = image,
    };
    return scene;
}

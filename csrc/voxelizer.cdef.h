/* The whole interface between Python and C; build_voxelizer.py and every C file read it. */

#define VOXELIZER_FINE -1
#define VOXELIZER_NO_MEMORY -2
#define VOXELIZER_NO_KERNEL -3
#define VOXELIZER_OVERLAP -4

/* Zero the image, (n_channels, length_voxels ^ 3) float or double, and draw the atoms. occupancies may be NULL (all 1).
   Writes nothing if it returns anything but VOXELIZER_FINE; 0 or more: the index of the first atom that cannot be
   drawn; VOXELIZER_OVERLAP: the image shares memory with the atoms.
   fill: 0 fraction of atom, 1 overlap in A^3, 2 fraction of voxel. is_float32_maths: spheres of at most half a voxel in
   radius are computed in float32, to 2e-7 of a sphere. */
int64_t voxelizer_fill(int64_t n_atoms, const double *coords_A, const double *radii_A, const uint32_t *channel_masks,
                       const double *occupancies, int n_channels, int is_max, int64_t length_voxels,
                       double resolution_A, double center_x_A, double center_y_A, double center_z_A, int fill,
                       int is_float32_maths, void *image, int is_float64);

/* A structure and how it is rotated and moved into the image. */
struct voxelizer_view {
    int64_t n_atoms;
    const void *coords_A; /* (n_atoms, 3) float or double */
    const uint8_t *elements; /* atomic numbers */
    const void *occupancies; /* float or double */
    const double *frame; /* (4, 4), or NULL for the identity: x_view = R x + t */
    int coords_are_float64;
    int occupancies_are_float64;
    int64_t bad_atom; /* set where this view cannot be drawn: index of the atom that was found to stand in the way */
};

/* Zero n_views images, one after the other in memory, and draw the views. channel_masks, radii_A: of each of the 256
   atomic numbers; a radius of NaN, or a mask of 0 where may_drop is not set: atoms near a view must not have it.
   Writes nothing if it returns anything but VOXELIZER_FINE; 0 or more: the index of a view that cannot be drawn. The
   other arguments are those of voxelizer_fill. */
int64_t voxelizer_fill_views(int64_t n_views, struct voxelizer_view *views, const uint32_t *channel_masks,
                             const double *radii_A, int may_drop, double max_radius_A, int n_channels, int is_max,
                             int64_t length_voxels, double resolution_A, double center_x_A, double center_y_A,
                             double center_z_A, int fill, int is_float32_maths, void *images, int is_float64);

/* counts[i]: the occupancies of the atoms within radius_A (inclusive) of place i of places_A, (n_places, 3), summed.
   Uses neither elements nor frame of the structure. Returns VOXELIZER_FINE or VOXELIZER_NO_KERNEL. */
int64_t voxelizer_crowd(const struct voxelizer_view *structure, int n_places, const double *places_A, double radius_A,
                        double *counts);

/* The kernels of this build, from the plainest on: the name of the index-th, NULL after the last; whether this
   processor can run it; use it from now on, in all threads (0: not supported, nothing changed). Without a choice
   nothing is drawn. */
const char *voxelizer_kernel_name(int index);
int voxelizer_kernel_is_supported(int index);
int voxelizer_use_kernel(int index);
/* Index of the kernel in use, -1 before a choice. */
int voxelizer_kernel_in_use(void);

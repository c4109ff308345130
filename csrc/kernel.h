/* The kernel: everything that is done per atom. kernel_body.h holds it once; each kernel_*.c compiles it for one
   instruction set, and dispatch.c chooses among those at run time. */
#ifndef KERNEL_H
#define KERNEL_H

#include <stddef.h>

#include "voxelizer.h"

/* VOXELIZER_BASELINE_ONLY leaves the others out, as another architecture does. */
#if (defined(__x86_64__) || defined(__i386__)) && (defined(__GNUC__) || defined(__clang__)) \
    && !defined(VOXELIZER_BASELINE_ONLY) && !defined(VOXELIZER_PLAIN_C)
#define X86_KERNELS 1
#else
#define X86_KERNELS 0
#endif

struct kernel {
    const char *name;
    /* Can this processor, and the system on it, run it? */
    int (*is_supported)(void);
    /* Do all atoms pass the checks of check.c? channels: the bits that a mask may have. */
    int (*atoms_are_fine)(const struct atoms *atoms, uint32_t channels, int is_max);
    /* Append the spheres of a block of the atoms of a view; there is room for all. Returns VOXELIZER_FINE, or the index
       of an atom that cannot be drawn. */
    int64_t (*cull)(const struct voxelizer_view *view, int64_t first, int n_atoms, const struct culling *culling,
                    const struct image *image, struct spheres *spheres);
    /* Sum up the occupancies of the atoms within the radius of each place. */
    void (*crowd)(const struct voxelizer_view *structure, int n_places, const double *places_A, double radius_A,
                  double *counts);
    /* Draw atoms that the checks have passed into an image of zeros. work: general_work_doubles(...) of them. */
    void (*draw)(const struct atoms *atoms, const struct image *image, double *work);
};

extern const struct kernel kernel_baseline;
#if X86_KERNELS
extern const struct kernel kernel_avx2;
extern const struct kernel kernel_avx512;
#endif

/* check.c: index of the first atom that cannot be drawn, or VOXELIZER_FINE. */
int64_t first_bad_atom(const struct kernel *kernel, const struct atoms *atoms, int n_channels, int is_max);

/* draw.c: the image that the arguments of the interface describe. */
struct image image_of(void *data, int n_channels, int64_t length_voxels, double resolution_A, const double center_A[3],
                      int fill, int is_max, int is_float32_maths, int is_float64);
size_t bytes_of(const struct image *image);
/* Memory to draw spheres of such radii; *work is NULL where none is needed. Returns 0 where there is none. */
int allocate_work(int64_t n_atoms, const double *radii_A, const struct image *image, double **work);
/* Zero the image and draw atoms that have passed the checks. */
void draw_image(const struct kernel *kernel, const struct atoms *atoms, const struct image *image, double *work);

/* The one in use; NULL before one was chosen. Asked once a call: another thread may choose another meanwhile. */
const struct kernel *kernel_in_use(void);

#endif

/* Which kernels are in this build and run on this processor, and the one in use. No ifunc:
   musl and Windows have none. */
#include <stddef.h>

#include "kernel.h"

/* From the plainest to the one to prefer. */
static const struct kernel *const compiled[] = {
    &kernel_baseline,
#if X86_KERNELS
    &kernel_avx2,
    &kernel_avx512,
#endif
};
#define N_COMPILED ((int)(sizeof compiled / sizeof compiled[0]))

static const struct kernel *in_use = NULL;

const struct kernel *kernel_in_use(void) { return in_use; }

const char *voxelizer_kernel_name(int index)
{
    return index >= 0 && index < N_COMPILED ? compiled[index]->name : NULL;
}

int voxelizer_kernel_is_supported(int index)
{
    return index >= 0 && index < N_COMPILED && compiled[index]->is_supported();
}

int voxelizer_use_kernel(int index)
{
    if (!voxelizer_kernel_is_supported(index))
        return 0;
    in_use = compiled[index];
    return 1;
}

int voxelizer_kernel_in_use(void)
{
    for (int index = 0; index < N_COMPILED; index++)
        if (compiled[index] == in_use)
            return index;
    return -1;
}

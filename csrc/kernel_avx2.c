/* The kernel for AVX2 and FMA: most x86-64 processors since 2013. */
#include "kernel.h"

#if X86_KERNELS
#include <immintrin.h>
#include <math.h>

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,bmi,bmi2,popcnt")
#endif
#define KERNEL_AVX2
#include "kernel_body.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int is_supported(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
           && __builtin_cpu_supports("bmi2") && __builtin_cpu_supports("popcnt");
}

const struct kernel kernel_avx2 = {"avx2", is_supported, atoms_are_fine, cull, crowd, draw};
#else
typedef int not_for_this_architecture;
#endif

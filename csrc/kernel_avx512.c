/* The kernel for AVX-512 (F, DQ, BW, VL): server processors since 2017, desktop ones of AMD since 2022. */
#include "kernel.h"

#if X86_KERNELS
#include <immintrin.h>
#include <math.h>

/* Left to themselves, compilers use half of each register. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,bmi,bmi2,popcnt"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512bw,avx512vl,fma,bmi,bmi2,popcnt,prefer-vector-width=512")
#endif
#define KERNEL_AVX512
#include "kernel_body.h"
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

static int is_supported(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")
           && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
           && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
           && __builtin_cpu_supports("popcnt");
}

const struct kernel kernel_avx512 = {"avx512", is_supported, atoms_are_fine, cull, crowd, draw};
#else
typedef int not_for_this_architecture;
#endif

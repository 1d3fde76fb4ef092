// Compiles MG_BODY, the name of a header, once for each level of the CPU. Where target_clones leaves instructions to
// the vectoriser, a body names vectors and instructions itself; this gives it
//
//   LEVEL(name)       a name of its own for each level
//   FLOATS, DOUBLES   lanes of a register
//   MG_AVX512         1 or 0
//   SLEEF_F, SLEEF_D  the names of SLEEF's functions, where MG_SLEEF is 1
//
// and MG_PICK(name) the version for this machine. There is no guard: every includer has bodies of its own.

#ifndef MG_LEVELS_ONCE
#define MG_LEVELS_ONCE

#if defined(__x86_64__)
#define MG_SLEEF 1
#define MG_PICK(name) (mg_level() == 2 ? name##_v4 : mg_level() == 1 ? name##_v3 : name##_v1)
#else
#define MG_SLEEF 0
#define MG_PICK(name) name##_v1
#endif

/// 2 with AVX-512, 1 with AVX2 and FMA, 0 otherwise.
int mg_level(void);

// Vectors wider than a register are passed only between inlined functions, so how they would be passed is no matter.
#pragma clang diagnostic ignored "-Wpsabi"
#endif

#if defined(__x86_64__)
// Features instead of arch=x86-64-v4: at that level clang prefers 256 bits and would pass a vector in two halves.
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,fma"))), apply_to = function)
#define LEVEL(name) name##_v4
#define FLOATS 16
#define DOUBLES 8
#define MG_AVX512 1
#define SLEEF_F(name, accuracy) Sleef_##name##f16_##accuracy##avx512f
#define SLEEF_D(name, accuracy) Sleef_##name##d8_##accuracy##avx512f
#include MG_BODY
#undef LEVEL
#undef FLOATS
#undef DOUBLES
#undef MG_AVX512
#undef SLEEF_F
#undef SLEEF_D
#pragma clang attribute pop

#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#define LEVEL(name) name##_v3
#define FLOATS 8
#define DOUBLES 4
#define MG_AVX512 0
#define SLEEF_F(name, accuracy) Sleef_##name##f8_##accuracy##avx2
#define SLEEF_D(name, accuracy) Sleef_##name##d4_##accuracy##avx2
#include MG_BODY
#undef LEVEL
#undef FLOATS
#undef DOUBLES
#undef MG_AVX512
#undef SLEEF_F
#undef SLEEF_D
#pragma clang attribute pop
#endif

#define LEVEL(name) name##_v1
#define FLOATS 4
#define DOUBLES 2
#define MG_AVX512 0
#define SLEEF_F(name, accuracy) Sleef_##name##f4_##accuracy##sse2
#define SLEEF_D(name, accuracy) Sleef_##name##d2_##accuracy##sse2
#include MG_BODY
#undef LEVEL
#undef FLOATS
#undef DOUBLES
#undef MG_AVX512
#undef SLEEF_F
#undef SLEEF_D
#undef MG_BODY

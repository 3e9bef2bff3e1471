// SPDX-License-Identifier: MIT
// The order and the roundings of float operations are part of the contract. This header keeps them whatever flags a
// build passes: it refuses options that change results, and switches off the contraction of a * b + c, which gcc and
// clang do by default where the processor has a fused instruction. Every file of the runtime reads it before its first
// function. What no header can see, ttzo_open tries on numbers (number/self_test.h).
#ifndef TTZO_EXACT_H
#define TTZO_EXACT_H

#if defined(__has_include)
#if __has_include("ttzo_config.h") // of an exported library: which parts of the runtime it holds
#include "ttzo_config.h"
#endif
#endif

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) ||                               \
    defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__) || defined(__NO_SIGNED_ZEROS__)
#error "ttzo: -ffast-math and -Ofast change results; compile these files without them (-O2, or add -fno-fast-math)"
#endif
#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ < 0 || __FLT_EVAL_METHOD__ == 1 || __FLT_EVAL_METHOD__ == 2)
#error "ttzo: float is computed in a wider type here (x87); add -msse2 -mfpmath=sse"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ttzo: bundles and model.c hold little-endian numbers; a big-endian processor is not supported"
#endif

#if !defined(__cplusplus) // no function of a C++ file computes for the runtime
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off") // gcc ignores the standard's pragma
#endif
#endif

#endif

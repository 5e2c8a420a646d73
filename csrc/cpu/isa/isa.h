// The vectors of one instruction set: the unit that is compiled defines which, see avx2.cpp.
// Without a choice the plainest, so that every header can be read alone.
#pragma once

#if defined(NCG_FAST_AVX512)
#include "cpu/isa/vec_avx512.h"
#elif defined(NCG_FAST_AVX2)
#include "cpu/isa/vec_avx2.h"
#else
#include "cpu/isa/vec_base.h"
#endif

namespace ncg {
namespace {

// The scalar functions of numerics.h beside the vector functions of the same names.
using ncg::add;
using ncg::as_bits;
using ncg::as_float;
using ncg::fma;
using ncg::mul;
using ncg::round_even;

// The largest lane, or 0.
inline int32_t largest_lane(I values) {
  int32_t lanes[kLanes], most = 0;
  memcpy(lanes, &values, sizeof lanes);
  for (const int32_t lane : lanes) most = lane > most ? lane : most;
  return most;
}

}  // namespace
}  // namespace ncg

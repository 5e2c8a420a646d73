// <h> and <v> of data minus model: one warp a unit.
#pragma once
#include "cuda/phases.h"
#include "cuda/ptx.h"

namespace ncg::cuda {

// This lane's part of the sum of one plane's bytes.
__device__ __forceinline__ int64_t bytes_of_lane(const uint8_t* plane, int64_t words) {
  const uint32_t* fours = reinterpret_cast<const uint32_t*>(plane);
  int64_t sum = 0;
  for (int64_t i = threadIdx.x % 32; i < words * (kWord / 4); i += 32) {
    const uint32_t pairs = (fours[i] & 0x00FF00FFu) + (fours[i] >> 8 & 0x00FF00FFu);
    sum += (pairs & 0xFFFF) + (pairs >> 16);
  }
  return sum;
}

__device__ __forceinline__ int64_t levels_of_lane(const uint8_t* planes, int64_t n_units,
                                                  int64_t unit, int64_t words) {
  const int64_t stride = words * kWord;
  return bytes_of_lane(planes + unit * stride, words) +
         256 * bytes_of_lane(planes + (n_units + unit) * stride, words);
}

__device__ __forceinline__ int64_t visible_of_lane(const PhaseStates& phase, int64_t n_visible,
                                                   int64_t unit) {
  if (phase.levels) return levels_of_lane(phase.visible, n_visible, unit, phase.words);
  const uint64_t* bits = phase.visible_bits() + unit * phase.words;
  int64_t sum = 0;
  for (int64_t i = threadIdx.x % 32; i < phase.words; i += 32) sum += __popcll(bits[i]);
  return sum;
}

__device__ __forceinline__ int64_t sum_of_warp(int64_t part) {
  for (int other = 16; other > 0; other /= 2) part += __shfl_xor_sync(~0u, part, other);
  return part;
}

// The gradient of the bias of one hidden unit, or of one visible unit: hidden units come first.
__device__ __forceinline__ float bias_gradient(const PhasePair& both, const Scales& scales,
                                               int64_t unit) {
  if (unit < both.n_hidden) {
    const int64_t data = levels_of_lane(both.data.hidden, both.n_hidden, unit, both.data.words),
                  model = levels_of_lane(both.model.hidden, both.n_hidden, unit, both.model.words);
    return scales.hidden.of(sum_of_warp(data), sum_of_warp(model));
  }
  const int64_t i = unit - both.n_hidden;
  const int64_t data = visible_of_lane(both.data, both.n_visible, i),
                model = visible_of_lane(both.model, both.n_visible, i);
  return scales.visible.of(sum_of_warp(data), sum_of_warp(model) * both.visible_one());
}

}  // namespace ncg::cuda

// Sums of <h> and <v>, and the gradients of the biases: one warp a unit.
#pragma once
#include "cuda/ptx.h"
#include "cuda/update/phases.h"

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

// Of a gradient of the loss; where there is none -0, which added to x leaves it, also for zeros.
__device__ __forceinline__ float ascent(const float* gradient, int64_t at) {
  return gradient == nullptr ? -0.f : -gradient[at];
}

// Over the chains of a phase, in all lanes.
__device__ __forceinline__ int64_t hidden_sum(const PhaseStates& phase, int64_t n_hidden,
                                              int64_t unit) {
  return sum_of_warp(levels_of_lane(phase.hidden, n_hidden, unit, phase.words));
}
__device__ __forceinline__ int64_t visible_sum(const PhaseStates& phase, int64_t n_visible,
                                               int64_t unit) {
  return sum_of_warp(visible_of_lane(phase, n_visible, unit));
}

// The gradient of the bias of one hidden unit, or of one visible unit: hidden units come first.
__device__ __forceinline__ float bias_gradient(const PhasePair& both, int64_t unit) {
  if (unit < both.n_hidden)
    return difference(both.means.hidden, hidden_sum(both.data, both.n_hidden, unit),
                      hidden_sum(both.model, both.n_hidden, unit));
  const int64_t i = unit - both.n_hidden;
  return difference(both.means.visible, visible_sum(both.data, both.n_visible, i),
                    visible_sum(both.model, both.n_visible, i) * both.means.visible_one);
}
__device__ __forceinline__ float bias_gradient(const GivenSums& given, int64_t unit) {
  if (unit < given.n_hidden)
    return difference(given.means.hidden, given.data.hidden[unit], given.model.hidden[unit]);
  const int64_t i = unit - given.n_hidden;
  return difference(given.means.visible, given.data.visible[i],
                    given.model.visible[i] * given.means.visible_one);
}
__device__ __forceinline__ float bias_gradient(const GivenGradients& given, int64_t unit) {
  const bool hidden = unit < given.n_hidden;
  const float* by_bias = hidden ? given.gradients.by_hidden : given.gradients.by_visible;
  return ascent(by_bias, hidden ? unit : unit - given.n_hidden);
}

}  // namespace ncg::cuda

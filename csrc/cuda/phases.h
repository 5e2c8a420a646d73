// The states that G is summed from, as the kernels of training take them.
#pragma once
#include <cuda_runtime.h>

#include "common/layout.h"
#include "common/numerics.h"
#include "cuda/progress.h"
#include "ops.h"

namespace ncg::cuda {

constexpr int64_t kNarrowChains = 16384;  // sums of as many levels, and their difference, fit int32

// Level planes: uint8 [2][n_units][64 words], plane 0 the low bytes of levels, chains contiguous,
// padding 0.
constexpr int64_t planes_size(int64_t n_units, int64_t n_chains) {
  return 2 * n_units * kWord * ceil_div(n_chains, kWord);
}

// One phase: hidden level planes, visible packed bits or level planes.
struct PhaseStates {
  const uint8_t *hidden, *visible;
  int64_t n_chains;
  int words;
  bool levels;               // visible
  const Progress* progress;  // null: no batches
  int64_t batch_stride;      // bytes from one batch of packed visible states to the next

  __device__ __forceinline__ const uint64_t* visible_bits() const {
    const uint8_t* batch = visible;
    if (progress != nullptr) batch += progress->batch * batch_stride;
    return reinterpret_cast<const uint64_t*>(batch);
  }
};

// Level planes of the hidden units, with packed visible states or their level planes.
inline PhaseStates phase_of(const States& visible, const uint8_t* visible_planes,
                            const uint8_t* hidden) {
  const auto* packed = static_cast<const uint8_t*>(visible.data);
  return {hidden,
          visible.levels ? visible_planes : packed,
          visible.n_chains,
          static_cast<int>(ceil_div(visible.n_chains, kWord)),
          visible.levels,
          nullptr,
          0};
}

struct PhasePair {
  PhaseStates data, model;
  int64_t n_hidden, n_visible;

  bool narrow() const {
    return !data.levels && data.n_chains <= kNarrowChains && model.n_chains <= kNarrowChains;
  }
  constexpr int visible_one() const {
    return data.levels ? kLevels : 1;
  }  // what a visible 1 counts
};

// Difference of the means of two sums, as ops.h says.
struct MeanDifference {
  float data_scale, model_scale;
  bool equal;

  template <class Sum>
  __device__ __forceinline__ float of(Sum data, Sum model) const {
    if (equal) return mul(static_cast<float>(data - model), data_scale);
    return add(mul(static_cast<float>(data), data_scale),
               -mul(static_cast<float>(model), model_scale));
  }
};

inline MeanDifference mean_difference(int64_t one, int64_t n_rows, int64_t n_chains) {
  const auto scale = [&](int64_t n) {
    return static_cast<float>(1.0 / (static_cast<double>(one) * static_cast<double>(n)));
  };
  return {scale(n_rows), scale(n_chains), n_rows == n_chains};
}

// The three scales of one update: of G and of the gradients of the biases.
struct Scales {
  MeanDifference pair, visible, hidden;
};
inline Scales scales_of(const PhasePair& both) {
  const int64_t one = both.visible_one(), n_rows = both.data.n_chains,
                n_chains = both.model.n_chains;
  return {mean_difference(kLevels * one, n_rows, n_chains), mean_difference(one, n_rows, n_chains),
          mean_difference(kLevels, n_rows, n_chains)};
}

}  // namespace ncg::cuda

// Centred gradients: of a pair, of a bias, and sums of the terms that make the one of the other.
#pragma once
#include "common/centring.h"
#include "cuda/update/bias_sums.h"
#include "cuda/update/tile_sums.h"

namespace ncg::cuda {

__device__ __forceinline__ void add_term(int64_t* to, int64_t term) {
  if (term != 0)
    atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(term));
}

// The terms of a tile: of a row in registers, of the columns in the place of the model's sums.
template <class Source>
struct Terms {  // nothing is centred
  template <int kColumns, class Sum>
  __device__ __forceinline__ void add(const Source&, const Tile&, TileSums<kColumns, Sum>&, int,
                                      int, float) {}
  __device__ __forceinline__ void end_row(const Source&, int) {}
};
template <>
struct Terms<CentredPhases> {
  int64_t of_row = 0;

  // g: 0 where the connection is off.
  template <int kColumns, class Sum>
  __device__ __forceinline__ void add(const CentredPhases& both, const Tile& tile,
                                      TileSums<kColumns, Sum>& sums, int r, int c, float g) {
    of_row += bias_term(mul(g, both.offsets.visible[tile.column + c]));
    sums.model[r][c] = bias_term(mul(g, both.offsets.hidden[tile.row + r]));
  }
  __device__ __forceinline__ void end_row(const CentredPhases& both, int row) {
    const int64_t sum = sum_of_warp(of_row);
    if (threadIdx.x % 32 == 0 && row < both.n_hidden) add_term(both.terms + row, sum);
    of_row = 0;
  }
};

// After all rows; pairs that are not there have terms of 0.
template <class Source, int kColumns, class Sum>
__device__ __forceinline__ void add_column_terms(const Source&, const Tile&,
                                                 const TileSums<kColumns, Sum>&) {}
template <int kColumns, class Sum>
__device__ __forceinline__ void add_column_terms(const CentredPhases& both, const Tile& tile,
                                                 const TileSums<kColumns, Sum>& sums) {
  const int c = static_cast<int>(threadIdx.x);
  if (c >= kColumns || tile.column + c >= both.n_visible) return;
  int64_t sum = 0;
  for (int r = 0; r < kTileRows; ++r) sum += sums.model[r][c];
  add_term(both.terms + both.n_hidden + tile.column + c, sum);
}

__device__ __forceinline__ float bias_gradient(const CentredPhases& both, int64_t unit) {
  return bias_ascent(both.differences[unit], both.terms[unit]);
}

// Before an update, one warp a unit: the differences, the hidden offsets, terms that are 0.
__global__ void centring_kernel(const CentredPhases both, const Progress* progress) {
  if (progress != nullptr && progress->stopped) return;
  const int64_t unit = int64_t{blockIdx.x} * kTileWarps + threadIdx.x / 32;
  if (unit >= both.n_hidden + both.n_visible) return;
  const bool hidden = unit < both.n_hidden;
  const float difference = bias_gradient(static_cast<const PhasePair&>(both), unit);
  const int64_t sum = hidden ? hidden_sum(both.data, both.n_hidden, unit) : 0;
  if (threadIdx.x % 32 > 0) return;
  both.differences[unit] = difference;
  both.terms[unit] = 0;
  if (hidden)
    both.offsets.hidden[unit] = moved_offset(
        both.offsets.hidden[unit], mul(static_cast<float>(sum), both.means.hidden.data_scale));
}

}  // namespace ncg::cuda

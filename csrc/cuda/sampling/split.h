// Blocks of a cluster that share the inputs of one product and add up its sums.
#pragma once
#include "cuda/sampling/products.h"

namespace ncg::cuda {

// Blocks of inputs first .. last - 1.
struct Inputs {
  int64_t first, last;
};

// How the `n` blocks share the inputs and, in the end, their warps: warp w of each sends its sums
// to block w % n, which finishes it.
struct Split {
  int n, rank;
  uint32_t* received;  // [own warp][other block][sum][lane]

  __device__ bool finishes(int warp) const { return warp % n == rank; }
  __device__ Inputs inputs(int64_t blocks) const {
    return {blocks * rank / n, blocks * (rank + 1) / n};
  }

  // Makes the sums those of all blocks where this one finishes the warp. All blocks have begun.
  template <int kDigits>
  __device__ __forceinline__ void add_up(Sums<kDigits>& sums) const {
    constexpr int kSums = kDigits * kTiles;
    const int warp = static_cast<int>(threadIdx.x) / kWarp, owner = warp % n;
    const auto place = [&](int from, int sum) {
      const int other = warp / n * (n - 1) + (from - owner + n) % n - 1;
      return received + (other * kPairs * kSums * 4 + sum) * kWarp + lane_id();
    };
    const auto each = [&](auto visit) {
#pragma unroll
      for (int pair = 0; pair < kPairs; ++pair)
#pragma unroll
        for (int tile = 0; tile < kSums; ++tile)
#pragma unroll
          for (int i = 0; i < 4; ++i) visit(sums[pair][tile][i], (pair * kSums + tile) * 4 + i);
    };
    if (rank != owner)
      each([&](int32_t sum, int at) {
        store_remote(place(rank, at), static_cast<uint32_t>(owner), static_cast<uint32_t>(sum));
      });
    cluster_sync();
    if (rank != owner) return;
#pragma unroll 1
    for (int from = 0; from < n; ++from)
      if (from != rank)
        each([&](int32_t& sum, int at) { sum += static_cast<int32_t>(*place(from, at)); });
  }
};

constexpr int kMostSplit = 8;

// What a block receives.
constexpr size_t split_bytes(int n_digits, int n_warps, int n) {
  return size_t{kPairs * kTiles * 4 * kWarp * sizeof(int32_t)} * static_cast<size_t>(n_digits) *
         static_cast<size_t>(ceil_div(n_warps, n) * (n - 1));
}

}  // namespace ncg::cuda

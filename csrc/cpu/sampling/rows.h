// Sums of rows of weights: the rows of the inputs that are on, or that changed.
#pragma once
#include "cpu/sampling/chains.h"

namespace ncg {
namespace {

// x[64 outputs] of a block, in split order, from the block's rows.
inline void add_rows(const int16_t* rows, const List& list, int32_t* x) {
  constexpr int kVectors = kRowOutputs / (2 * kLanes);
  const I coefficient = splat(1 + list.sign * 65536);
  for (int part = 0; part < kBlock; part += kRowOutputs, rows += kRowOutputs, x += kRowOutputs) {
    I even[kPairsAtOnce][kVectors], odd[kPairsAtOnce][kVectors];
#pragma GCC unroll 4
    for (int u = 0; u < kPairsAtOnce; ++u)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) even[u][v] = odd[u][v] = splat(0);
    if (!list.fresh)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        even[0][v] = load(x + 2 * kLanes * v);
        odd[0][v] = load(x + 2 * kLanes * v + kLanes);
      }
    for (int32_t i = 0; i < list.n; i += kPairsAtOnce)
#pragma GCC unroll 4
      for (int u = 0; u < kPairsAtOnce; ++u) {
        const int16_t *a = rows + uint64_t{list.first[i + u]} * kBlock,
                      *b = rows + uint64_t{list.second[i + u]} * kBlock;
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          const I p = load_halves(a + 2 * kLanes * v), q = load_halves(b + 2 * kLanes * v);
          even[u][v] = dot2(even[u][v], even_fours(p, q), coefficient);
          odd[u][v] = dot2(odd[u][v], odd_fours(p, q), coefficient);
        }
      }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
      for (int u = 1; u < kPairsAtOnce; ++u) {
        even[0][v] = add(even[0][v], even[u][v]);
        odd[0][v] = add(odd[0][v], odd[u][v]);
      }
      store(x + 2 * kLanes * v, even[0][v]);
      store(x + 2 * kLanes * v + kLanes, odd[0][v]);
    }
  }
}

// The same from a plane of single digits, of which 255 fit int16.
inline void add_digit_rows(const int16_t* rows, const List& list, int32_t* x) {
  constexpr int kVectors = kRowOutputs / (2 * kLanes), kMost = 252;
  const I coefficient = splat(1 + list.sign * 65536);
  for (int part = 0; part < kBlock; part += kRowOutputs, rows += kRowOutputs, x += kRowOutputs) {
    I even[kVectors], odd[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      even[v] = list.fresh ? splat(0) : load(x + 2 * kLanes * v);
      odd[v] = list.fresh ? splat(0) : load(x + 2 * kLanes * v + kLanes);
    }
    for (int32_t i = 0; i < list.n;) {
      I first[kVectors], second[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) first[v] = second[v] = splat(0);
      for (const int32_t last = i + kMost < list.n ? i + kMost : list.n; i < last; ++i) {
        const int16_t *a = rows + uint64_t{list.first[i]} * kBlock,
                      *b = rows + uint64_t{list.second[i]} * kBlock;
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          first[v] = add_halves(first[v], load_halves(a + 2 * kLanes * v));
          second[v] = add_halves(second[v], load_halves(b + 2 * kLanes * v));
        }
      }
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        even[v] = dot2(even[v], even_fours(first[v], second[v]), coefficient);
        odd[v] = dot2(odd[v], odd_fours(first[v], second[v]), coefficient);
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      store(x + 2 * kLanes * v, even[v]);
      store(x + 2 * kLanes * v + kLanes, odd[v]);
    }
  }
}

}  // namespace
}  // namespace ncg

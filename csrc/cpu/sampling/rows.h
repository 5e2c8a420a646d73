// Sums of rows of weights: the rows of the inputs that are on, or that changed.
#pragma once
#include "cpu/sampling/chains.h"

namespace ncg {
namespace {

// x[64 outputs] of a block, in split order, from the block's rows; where these are single digits,
// up to kMostDigits of them are added before they are made 32 bits wide.
template <bool kDigits>
inline void add_rows(const int16_t* rows, const List& list, int32_t* x) {
  constexpr int kVectors = kRowOutputs / (2 * kLanes), kAtOnce = kDigits ? 1 : kPairsAtOnce;
  constexpr int32_t kMostDigits = 255;
  const I coefficient = splat(1 + list.sign * 65536);
  const auto row = [&](uint32_t input) { return rows + uint64_t{input} * kBlock; };
  for (int part = 0; part < kBlock; part += kRowOutputs, rows += kRowOutputs, x += kRowOutputs) {
    I even[kAtOnce][kVectors], odd[kAtOnce][kVectors];
#pragma GCC unroll 4
    for (int u = 0; u < kAtOnce; ++u)
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const bool from_x = u == 0 && !list.fresh;
        even[u][v] = from_x ? load(x + 2 * kLanes * v) : splat(0);
        odd[u][v] = from_x ? load(x + 2 * kLanes * v + kLanes) : splat(0);
      }
    const auto add_both = [&](int u, int v, I p, I q) {
      even[u][v] = dot2(even[u][v], even_fours(p, q), coefficient);
      odd[u][v] = dot2(odd[u][v], odd_fours(p, q), coefficient);
    };
    for (int32_t i = 0; i < list.n;) {
      if constexpr (kDigits) {
        I p[kVectors], q[kVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) p[v] = q[v] = splat(0);
        for (const int32_t end = i + kMostDigits < list.n ? i + kMostDigits : list.n; i < end; ++i)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v) {
            p[v] = add_halves(p[v], load_halves(row(list.first[i]) + 2 * kLanes * v));
            q[v] = add_halves(q[v], load_halves(row(list.second[i]) + 2 * kLanes * v));
          }
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) add_both(0, v, p[v], q[v]);
      } else {
#pragma GCC unroll 4
        for (int u = 0; u < kAtOnce; ++u, ++i)
#pragma GCC unroll 4
          for (int v = 0; v < kVectors; ++v)
            add_both(u, v, load_halves(row(list.first[i]) + 2 * kLanes * v),
                     load_halves(row(list.second[i]) + 2 * kLanes * v));
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
      for (int u = 1; u < kAtOnce; ++u) {
        even[0][v] = add(even[0][v], even[u][v]);
        odd[0][v] = add(odd[0][v], odd[u][v]);
      }
      store(x + 2 * kLanes * v, even[0][v]);
      store(x + 2 * kLanes * v + kLanes, odd[0][v]);
    }
  }
}

}  // namespace
}  // namespace ncg

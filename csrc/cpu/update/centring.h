// Centred gradients: G of a tile, and what the biases ascend by.
#pragma once
#include "common/centring.h"
#include "cpu/packing/row_strip.h"
#include "cpu/scratch.h"
#include "cpu/team/team.h"

namespace ncg {
namespace {

// Whole numbers of all int32 values as two sums of halves, each of which holds 2^15 of them.
struct TermSums {
  I low = splat(0), high = splat(0);

  void take(I terms) {
    const I raised = bit_xor(terms, splat(INT32_MIN));  // + 2^31, unsigned
    low = add(low, bit_and(raised, splat(0xFFFF)));
    high = add(high, shift_right<16>(raised));
  }
  // Of each lane, after `n` additions.
  void total(int64_t n, int64_t lanes[kLanes]) const {
    alignas(64) int32_t lows[kLanes], highs[kLanes];
    store(lows, low);
    store(highs, high);
    for (int i = 0; i < kLanes; ++i)
      lanes[i] = lows[i] + int64_t{65536} * highs[i] - n * (int64_t{1} << 31);
  }
};

// What centring needs beside the tensors of an update.
struct Centring {
  Offsets offsets;
  float* hidden_mean = nullptr;  // of the data; null: gradients are not centred
  int64_t* terms = nullptr;      // sums [n_workers][hidden units, then visible ones]
  int64_t n_units = 0;

  bool given() const { return hidden_mean != nullptr; }
};

inline Centring make_centring(const Offsets& offsets, int64_t n_hidden, int64_t n_visible,
                              int n_workers) {
  if (!offsets.given()) return {};
  const int64_t n_units = n_hidden + n_visible;
  Centring c{offsets, scratch<float>(n_hidden), scratch<int64_t>(n_workers * n_units), n_units};
  for (int64_t i = 0; i < n_workers * n_units; ++i) c.terms[i] = 0;
  return c;
}

inline void move_offsets(const Centring& c, int64_t n_hidden) {
  for (int64_t i = 0; i < n_hidden; ++i)
    c.offsets.hidden[i] = moved_offset(c.offsets.hidden[i], c.hidden_mean[i]);
}

// The gradients of the biases, hidden units first, from the terms of all workers.
inline void centre_biases(const Centring& c, int n_workers, int64_t first, int64_t n,
                          float* gradient) {
  for (int64_t i = 0; i < n; ++i) {
    int64_t sum = 0;
    for (int w = 0; w < n_workers; ++w) sum += c.terms[w * c.n_units + first + i];
    gradient[i] = bias_ascent(gradient[i], sum);
  }
}

// Where a tile lies.
struct TilePlace {
  int64_t block, strip;
};

// G[64][kStrip] of a tile becomes G'; the terms of its units are added to the worker's.
inline void centre_tile(const Worker& me, const Centring& c, const Parameters& p,
                        const TilePlace& at, const float* visible, const float* hidden, float* g) {
  constexpr int kVectors = kStrip / kLanes;
  const int64_t first = at.strip * kStrip, columns = p.n_visible - first,
                rows = p.n_hidden - at.block * kBlock;
  const int n_rows = static_cast<int>(rows < kBlock ? rows : kBlock),
            n_columns = static_cast<int>(columns < kStrip ? columns : kStrip);
  int64_t* terms = c.terms + me.id * c.n_units;
  int64_t lanes[kLanes];
  TermSums of_columns[kVectors];
  for (int r = 0; r < n_rows; ++r) {
    const int64_t i = at.block * kBlock + r;
    const float lambda = c.offsets.hidden[i];
    TermSums of_row;
    int n_added = 0;
    for (int u = 0; u < n_columns; u += kLanes, ++n_added) {
      const int n = n_columns - u < kLanes ? n_columns - u : kLanes;
      const F mu = load(c.offsets.visible + first + u, n);
      float* pairs = g + r * kStrip + u;
      const F centred = fma(splat(-lambda), load(visible + first + u, n),
                            fma(splat(-hidden[i]), mu, load(pairs)));
      store(pairs, centred);
      const M on = load_mask(p.mask + i * p.n_visible + first + u, n);
      const F active = select(on, centred, splat(0.f));
      const auto term = [&](F offset) {
        return quantise(mul(active, offset), splat(kTermOne), splat(kTermLimit));
      };
      of_row.take(term(mu));
      of_columns[u / kLanes].take(term(splat(lambda)));
    }
    of_row.total(n_added, lanes);
    for (int lane = 0; lane < kLanes; ++lane) terms[i] += lanes[lane];
  }
  for (int u = 0; u < n_columns; u += kLanes) {
    of_columns[u / kLanes].total(n_rows, lanes);
    for (int lane = 0; lane < kLanes && u + lane < n_columns; ++lane)
      terms[p.n_hidden + first + u + lane] += lanes[lane];
  }
}

}  // namespace
}  // namespace ncg

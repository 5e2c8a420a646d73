// The states of both phases: hidden probabilities as levels, side by side, so that one product adds
// a row of both; and the gradients of the biases.
#pragma once
#include "common/layout.h"
#include "common/means.h"
#include "cpu/sampling/preactivation.h"

namespace ncg {
namespace {

constexpr int32_t kCentre = 32768;  // levels less this are held, to fit int16

// int32 [blocks of 64 hidden units][rows][64]: in the low half the level of a data row, in the high
// half that of the chain with the same number.
struct PairedLevels {
  int32_t* pairs;
  int64_t n_hidden, n_rows;  // n_rows: the larger number of the two phases
  int64_t blocks() const { return ceil_div(n_hidden, kBlock); }
  int32_t* of(int64_t block, int64_t row) const { return pairs + (block * n_rows + row) * kBlock; }
};

inline PairedLevels make_paired_levels(int64_t n_hidden, int64_t n_rows) {
  return {scratch<int32_t>(ceil_div(n_hidden, kBlock) * kBlock * n_rows), n_hidden, n_rows};
}

// Those of the data first, which also write what then is the chains'.
enum class PhaseHalf { kData, kModel };

inline void store_half(int32_t* pairs, I level, PhaseHalf half) {
  const I centred = sub(level, splat(kCentre)), low = splat(0xFFFF);
  if (half == PhaseHalf::kData)
    store(pairs, bit_and(centred, low));
  else
    store(pairs, bit_or(bit_and(load(pairs), low), shift_left<16>(centred)));
}

// Levels round(65535 p) of the chains first .. of a group.
inline void store_levels(const Sums& sums, int64_t first, int64_t n, int64_t unit, int64_t n_units,
                         PhaseHalf half, const PairedLevels& levels) {
  for_each_pair(sums, n, n_units, [&](int64_t c, int at, const F x[2]) {
    int32_t* pairs = levels.of((unit + at) / kBlock, first + c) + at % kBlock;
    for (int i = 0; i < 2; ++i)
      store_half(pairs + i * kLanes, to_int(mul(mean_of(x[i]), splat(static_cast<float>(kLevels)))),
                 half);
  });
}

// The same from levels [n][n_hidden]. The work is shared; ends with a barrier.
inline void fill_levels(const Worker& me, const int32_t* given, int64_t n, PhaseHalf half,
                        const PairedLevels& levels) {
  me.share(levels.blocks(), [&](int64_t block) {
    const int64_t left = levels.n_hidden - block * kBlock;
    for (int64_t row = 0; row < n; ++row) {
      alignas(64) int32_t padded[kBlock] = {};
      memcpy(padded, given + row * levels.n_hidden + block * kBlock,
             sizeof(int32_t) * static_cast<size_t>(left < kBlock ? left : kBlock));
      for (int u = 0; u < kBlock; u += kLanes)
        store_half(levels.of(block, row) + u, load(padded + u), half);
    }
  });
}

// sums[64] of the levels of n rows of a block.
inline void level_sums(const PairedLevels& levels, int64_t block, int64_t n, PhaseHalf half,
                       int64_t* sums) {
  constexpr int64_t kRows = 32768;  // whose sums fit int32
  const I coefficient = splat(half == PhaseHalf::kData ? 1 : 65536);
  for (int u = 0; u < kBlock; ++u) sums[u] = n * kCentre;
  for (int64_t first = 0; first < n; first += kRows) {
    const int64_t last = first + kRows < n ? first + kRows : n;
    for (int u = 0; u < kBlock; u += kLanes) {
      I sum = splat(0);
      for (int64_t row = first; row < last; ++row)
        sum = dot2(sum, load(levels.of(block, row) + u), coefficient);
      alignas(64) int32_t lanes[kLanes];
      store(lanes, sum);
      for (int i = 0; i < kLanes; ++i) sums[u + i] += lanes[i];
    }
  }
}

constexpr int64_t kShortRows = 16384;  // of which sums of both phases fit int32

// Both phases.
struct PhasePair {
  PairedLevels levels;
  States data, model;  // model: packed
  int64_t n_rows() const { return data.n_chains; }
  int64_t n_chains() const { return model.n_chains; }
  bool equal() const { return n_rows() == n_chains(); }
  // Whether sums of both phases are one.
  bool joint() const { return equal() && !data.are_levels(); }
  PhaseMeans means() const { return phase_means(data.format, n_rows(), n_chains()); }
  bool short_sums() const {
    return !data.are_levels() && n_rows() <= kShortRows && n_chains() <= kShortRows;
  }
};

inline int64_t visible_sum(const States& states, int64_t unit) {
  int64_t sum = 0;
  if (states.are_levels()) {
    for (int64_t c = 0; c < states.n_chains; ++c) sum += states.levels()[c * states.n_units + unit];
    return sum;
  }
  const int64_t words = ceil_div(states.n_chains, kWord);
  for (int64_t w = 0; w < words; ++w)
    sum += __builtin_popcountll(states.packed()[unit * words + w]);
  return sum;
}

// Gradients of the biases; and P(h|v) of the data, where not null. The work is shared; ends with a
// barrier.
inline void bias_gradients(const Worker& me, const PhasePair& phases, float* visible, float* hidden,
                           float* hidden_mean = nullptr) {
  const PhaseMeans means = phases.means();
  me.share(phases.levels.blocks(), [&](int64_t block) {
    int64_t data[kBlock], model[kBlock];
    level_sums(phases.levels, block, phases.n_rows(), PhaseHalf::kData, data);
    level_sums(phases.levels, block, phases.n_chains(), PhaseHalf::kModel, model);
    for (int64_t i = 0; i < kBlock && block * kBlock + i < phases.levels.n_hidden; ++i) {
      hidden[block * kBlock + i] = difference(means.hidden, data[i], model[i]);
      if (hidden_mean != nullptr)
        hidden_mean[block * kBlock + i] = mul(static_cast<float>(data[i]), means.hidden.data_scale);
    }
  });
  me.share(phases.data.n_units, [&](int64_t j) {
    visible[j] = difference(means.visible, visible_sum(phases.data, j),
                            visible_sum(phases.model, j) * means.visible_one);
  });
}

// The levels of both phases' rows, filled by fill_phases.
inline PhasePair make_phase_pair(const Phases& given, int64_t n_hidden) {
  const int64_t n_rows = given.data.visible.n_chains, n_chains = given.model.visible.n_chains;
  return {make_paired_levels(n_hidden, n_rows > n_chains ? n_rows : n_chains), given.data.visible,
          given.model.visible};
}
inline void fill_phases(const Worker& me, const Phases& given, const PhasePair& phases) {
  fill_levels(me, given.data.hidden, phases.n_rows(), PhaseHalf::kData, phases.levels);
  fill_levels(me, given.model.hidden, phases.n_chains(), PhaseHalf::kModel, phases.levels);
}

}  // namespace
}  // namespace ncg

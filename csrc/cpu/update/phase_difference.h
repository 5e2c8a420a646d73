// G = <h v>_data - <h v>_model, and the gradients of the biases: kRows hidden units and a strip of
// visible blocks at a time, from states or from sums that were made before.
#pragma once
#include "common/means.h"
#include "cpu/packing/strips.h"
#include "cpu/update/phase_sums.h"

namespace ncg {
namespace {

// Of the model's visible bits as bytes: both phases then are one sum of products.
constexpr int kModelOne = kBinaryPlanes ? -1 : 1;

// What both kinds of gradients offer, PhasePair and GivenSums alike:
//   strip(unit, first, last, g): G of hidden units unit .. unit+kRows-1 and the visible blocks
//   first .. last-1, at most kStrip, as g[kRows / 4][block][4][64];
//   hidden(i), visible(j): the gradients of the biases.

// Where pair i of [kRows][64] lies in the strip: of visible block `block` of n_blocks.
inline int64_t place_in_strip(int i, int64_t block, int64_t n_blocks) {
  return (i / kTile * n_blocks + block) * kTile + i % kTile;
}

// From the states of both phases.
struct PhasePair {
  PhaseStates data, model;
  int64_t n_hidden, n_visible;
  PhaseMeans means;

  bool fits_int32() const {
    return !data.given.are_levels() && data.n_chains() <= kChains && model.n_chains() <= kChains;
  }
  float hidden(int64_t i) const {
    return difference(means.hidden, hidden_sum(data, i), hidden_sum(model, i));
  }
  float visible(int64_t j) const {
    return difference(means.visible, visible_sum(data.given, j),
                      visible_sum(model.given, j) * means.visible_one);
  }
  void strip(int64_t unit, int64_t first, int64_t last, float* g) const;
};

inline PhasePair make_phase_pair(int64_t n_hidden, const States& data, const States& model) {
  return {make_phase_states(n_hidden, data, 1), make_phase_states(n_hidden, model, kModelOne),
          n_hidden, data.n_units, phase_means(data.format, data.n_chains, model.n_chains)};
}

// strip() of sums that need 64 bits or real-valued data.
inline void wide_strip(const PhasePair& both, int64_t unit, int64_t first, int64_t last, float* g) {
  for (int64_t b = first; b < last; ++b) {
    int64_t data[kPairs], model[kPairs];
    wide_sums(both.data, unit, b, data);
    wide_sums(both.model, unit, b, model);
    for (int i = 0; i < kPairs; ++i)
      g[place_in_strip(i, b - first, last - first)] =
          difference(both.means.pair, data[i], model[i] * both.means.visible_one);
  }
}

// strip() from tables.
inline void lookup_strip(const PhasePair& both, int64_t unit, int64_t first, int64_t last,
                         float* g) {
  alignas(64) int32_t data[kStrip * kTile], model[kStrip * kTile];
  binary_sums(both.data, unit, first, last, 0, data);
  binary_sums(both.model, unit, first, last, 0, model);
  const MeanDifference& means = both.means.pair;
  const F data_scale = splat(means.data_scale), model_scale = splat(means.model_scale);
  for (int64_t i = 0; i < (last - first) * kTile; i += kLanes) {
    const I d = load(data + i), m = load(model + i);
    store(g + i, means.equal ? mul(to_float(sub(d, m)), data_scale)
                             : sub(mul(to_float(d), data_scale), mul(to_float(m), model_scale)));
  }
}

// strip() from planes: one sum for each plane of the hidden levels, or one for each phase, too.
inline void plane_strip(const PhasePair& both, int64_t unit, int64_t first, int64_t last,
                        float* g) {
  const MeanDifference& means = both.means.pair;
  const F data_scale = splat(means.data_scale), model_scale = splat(means.model_scale);
  for (int64_t b = first; b < last; ++b) {
    alignas(64) int32_t sums[2][2][kPairs];  // [plane][phase]
    for (int plane = 0; plane < 2; ++plane) {
      const ByteProduct phases[2] = {
          both.data.planes.product(unit, plane, 0, b, 0, both.data.planes.stride),
          both.model.planes.product(unit, plane, 0, b, 0, both.model.planes.stride)};
      byte_sums(phases, means.equal ? 2 : 1, sums[plane][0]);
      if (!means.equal) byte_sums(phases + 1, 1, sums[plane][1]);
    }
    const auto mean = [&](int phase, int at, F scale) {
      const I low = load(sums[0][phase] + at), high = load(sums[1][phase] + at);
      return mul(to_float(add(low, shift_left<8>(high))), scale);
    };
    for (int i = 0; i < kPairs; i += kLanes) {
      F found = mean(0, i, data_scale);
      if (!means.equal) found = add(found, mean(1, i, model_scale));  // whose ones are -1
      store(g + place_in_strip(i, b - first, last - first), found);
    }
  }
}

inline void PhasePair::strip(int64_t unit, int64_t first, int64_t last, float* g) const {
  if (!fits_int32())
    wide_strip(*this, unit, first, last, g);
  else if (kBinaryPlanes)
    plane_strip(*this, unit, first, last, g);
  else
    lookup_strip(*this, unit, first, last, g);
}

// From sums of both phases, those of the model in bits.
struct GivenSums {
  PhaseSums data, model;
  int64_t n_hidden, n_visible;
  PhaseMeans means;

  float hidden(int64_t i) const {
    return difference(means.hidden, data.hidden[i], model.hidden[i]);
  }
  float visible(int64_t j) const {
    return difference(means.visible, data.visible[j], model.visible[j] * means.visible_one);
  }
  void strip(int64_t unit, int64_t first, int64_t last, float* g) const {
    for (int64_t b = first; b < last; ++b)
      for (int i = 0; i < kPairs; ++i) {
        const int64_t row = unit + i / kBlock, column = b * kBlock + i % kBlock;
        const int64_t at = row * n_visible + column;
        g[place_in_strip(i, b - first, last - first)] =
            row < n_hidden && column < n_visible
                ? difference(means.pair, data.products[at], model.products[at] * means.visible_one)
                : 0.f;
      }
  }
};

// These share the work and end with a barrier.

inline void fill_phases(const Worker& me, const PhasePair& both, const Phases& phases) {
  fill_hidden(me, phases.data.hidden, both.n_hidden, both.data.hidden);
  fill_hidden(me, phases.model.hidden, both.n_hidden, both.model.hidden);
  fill_visible(me, both.data, both.n_hidden);
  fill_visible(me, both.model, both.n_hidden);
}

template <class Source>
inline void bias_gradients(const Worker& me, const Source& source, float* visible, float* hidden) {
  me.share(source.n_hidden, [&](int64_t i) { hidden[i] = source.hidden(i); });
  me.share(source.n_visible, [&](int64_t j) { visible[j] = source.visible(j); });
}

}  // namespace
}  // namespace ncg

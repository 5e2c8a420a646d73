// The whole parameter and mask update in one pass over W, S and A, with the digits of the new
// weights: the ops ncg_update and update_from_sums.
#pragma once
#include "cpu/packing/pack_weights.h"
#include "cpu/update/phase_difference.h"

namespace ncg {
namespace {

constexpr int32_t kInfinityBits = 0x7F800000;

// One thread's part of what an update reports.
struct Tally {
  // |W| and |S| as integers: NaN > infinity > finite, so nothing bad is lost.
  I magnitude = splat(0), strength = splat(0);
  int64_t on = 0, off = 0;

  // Of |W|; NaN where a strength is.
  int32_t max_bits() const {
    const int32_t weights = largest(magnitude), strengths = largest(strength);
    return strengths > kInfinityBits && strengths > weights ? strengths : weights;
  }
  static int32_t largest(I values) {
    alignas(64) int32_t lanes[kLanes];
    store(lanes, values);
    int32_t most = 0;
    for (int i = 0; i < kLanes; ++i) most = lanes[i] > most ? lanes[i] : most;
    return most;
  }
};

struct VectorRates {
  F lr, lr_strength, momentum, minus_decay, inverse_step, limit;
  bool decays;
};

// n <= kLanes pairs from `at` on, all in one row; `learned` of them have strengths. Returns the new
// q.
inline I update_lanes(const Parameters& p, const VectorRates& rates, int64_t at, int n, int learned,
                      F g, Tally& tally) {
  const F w = load(p.weight + at, n), zero = splat(0.f);
  const M on = load_mask(p.mask + at, n);
  F direction = rates.decays ? fma(rates.minus_decay, w, g) : g;
  if (p.weight_velocity != nullptr) {
    direction = select(on, fma(rates.momentum, load(p.weight_velocity + at, n), direction), zero);
    store(p.weight_velocity + at, direction, n);
  }
  const F moved = select(on, fma(rates.lr, direction, w), w);
  store(p.weight + at, moved, n);
  tally.magnitude = max(tally.magnitude, bit_and(as_bits(moved), splat(0x7FFFFFFF)));

  M now = on;
  if (p.strength != nullptr && learned > 0) {
    const F s = fma(rates.lr_strength, mul(w, g), load(p.strength + at, learned)),
            half = splat(0.5f), one = splat(1.f);
    tally.strength = max(tally.strength, bit_and(as_bits(s), splat(0x7FFFFFFF)));
    const uint32_t valid = (1u << learned) - 1;
    const M kept = mask_or(less(half, s), mask_and_not(on, less(s, half)));
    store_mask(p.mask + at, kept, learned);
    now = learned == n ? kept : load_mask(p.mask + at, n);
    tally.on += __builtin_popcount(bits(mask_and_not(kept, on)) & valid);
    tally.off += __builtin_popcount(bits(mask_and_not(on, kept)) & valid);
    store(p.strength + at, select(less(one, s), one, select(less(s, zero), zero, s)), learned);
  }
  return quantise(select(now, moved, zero), rates.inverse_step, rates.limit);
}

// Four hidden units from `unit` on and the visible blocks first .. last-1; g[block][4][64].
inline void update_rows(const Parameters& parameters, const float* g,
                        const VectorRates& vector_rates, int64_t unit, int64_t first, int64_t last,
                        DigitStrip& digits, Tally& found) {
  // Copies, which the compiler need not read again after each byte of the mask.
  const Parameters p = parameters;
  const VectorRates rates = vector_rates;
  Tally tally = found;
  const int quad = static_cast<int>(unit % kBlock / 4);
  for (int64_t vb = first; vb < last; ++vb, g += kTile)
    for (int u = 0; u < kBlock; u += kLanes) {
      const int64_t column = vb * kBlock + u, left = p.n_visible - column,
                    unlabelled = left - p.n_labels;
      const int n = static_cast<int>(left < 0 ? 0 : left < kLanes ? left : kLanes);
      const int learned = static_cast<int>(unlabelled < 0 ? 0 : unlabelled < n ? unlabelled : n);
      I q[4];
      for (int r = 0; r < 4; ++r) {
        q[r] = splat(0);
        if (unit + r < p.n_hidden && n > 0)
          q[r] = update_lanes(p, rates, (unit + r) * p.n_visible + column, n, learned,
                              load(g + r * kBlock + u), tally);
      }
      digits.put(quad, vb, u, q);
    }
  found = tally;
}

// Returns the bits of a bias that is NaN or infinite, else 0.
inline int32_t update_bias(float* bias, float* velocity, const float* gradient, int64_t n,
                           const Rates& rates) {
  int32_t bad = 0;
  for (int64_t i = 0; i < n; ++i) {
    float direction = gradient[i];
    if (velocity != nullptr) velocity[i] = direction = fma(rates.momentum, velocity[i], direction);
    bias[i] = fma(rates.lr, direction, bias[i]);
    const int32_t magnitude = as_bits(bias[i]) & 0x7FFFFFFF;
    if (magnitude >= kInfinityBits && magnitude > bad) bad = magnitude;
  }
  return bad;
}

// What a worker found.
struct Found {
  float max_abs;
  int64_t switched_on, switched_off;
};

// What an update works with beside its parameters.
struct UpdateScratch {
  float *visible_gradient, *hidden_gradient;
  Found* found;  // [n_workers]
  SparsePair sparse;
  int n_workers;
};

// Call outside parallel regions.
inline UpdateScratch make_update_scratch(const Parameters& p, int n_workers) {
  return {scratch<float>(p.n_visible), scratch<float>(p.n_hidden), scratch<Found>(n_workers),
          make_sparse_pair({p.weight, p.mask, p.n_hidden, p.n_visible, p.to_hidden, p.to_visible},
                           n_workers),
          n_workers};
}

inline Found total(const UpdateScratch& scratch) {
  Found sum{0.f, 0, 0};
  for (int i = 0; i < scratch.n_workers; ++i) {
    const Found& one = scratch.found[i];
    if (as_bits(one.max_abs) > as_bits(sum.max_abs)) sum.max_abs = one.max_abs;
    sum.switched_on += one.switched_on;
    sum.switched_off += one.switched_off;
  }
  return sum;
}

inline void report(const Found& sum, double* found) {
  found[0] = static_cast<double>(sum.max_abs);
  found[1] = static_cast<double>(sum.switched_on);
  found[2] = static_cast<double>(sum.switched_off);
}

// The update by a team; the source of gradients is filled. Ends with a barrier.
template <class Source>
inline void update_all(const Worker& me, const Parameters& p, const Source& source,
                       const Rates& rates, const UpdateScratch& scratch) {
  bias_gradients(me, source, scratch.visible_gradient, scratch.hidden_gradient);
  int32_t bad = 0;
  if (me.id == 0) {
    const int32_t visible = update_bias(p.visible_bias, p.visible_velocity,
                                        scratch.visible_gradient, p.n_visible, rates);
    const int32_t hidden =
        update_bias(p.hidden_bias, p.hidden_velocity, scratch.hidden_gradient, p.n_hidden, rates);
    bad = visible > hidden ? visible : hidden;
  }
  const VectorRates vector_rates{splat(rates.lr),
                                 splat(rates.lr_strength),
                                 splat(rates.momentum),
                                 splat(-rates.weight_decay),
                                 splat(p.to_hidden.inverse_step()),
                                 splat(digit_limit(p.to_hidden.n_digits)),
                                 rates.weight_decay != 0.f};
  const Strips strips{ceil_div(p.n_visible, kBlock)};
  DigitStrip digits(p.n_hidden, p.n_visible, p.to_hidden, p.to_visible);
  Tally tally;
  me.share(ceil_div(p.n_hidden, kBlock) * strips.count(), [&](int64_t task) {
    const int64_t hb = task / strips.count(), strip = task % strips.count();
    const int64_t first = strips.first(strip), last = strips.first(strip + 1);
    digits.start(hb, first);
    for (int64_t rows = hb * kBlock; rows < (hb + 1) * kBlock; rows += kRows) {
      alignas(64) float g[kStrip * kPairs];
      if (rows < p.n_hidden) source.strip(rows, first, last, g);
      for (int64_t i = 0; i < kRows; i += 4)
        update_rows(p, g + i * (last - first) * kBlock, vector_rates, rows + i, first, last, digits,
                    tally);
    }
    digits.finish(last);
  });
  if (p.to_hidden.sparse != nullptr) make_sparse(me, scratch.sparse);
  const int32_t largest = tally.max_bits();
  scratch.found[me.id] = {as_float(largest > bad ? largest : bad), tally.on, tally.off};
  if (me.id == 0)  // a team may be smaller than was asked for
    for (int i = me.n_workers; i < scratch.n_workers; ++i) scratch.found[i] = {0.f, 0, 0};
}

void ncg_update(const Update& op, double* found, const Run& run) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const States &data = op.phases.data.visible, &model = op.phases.model.visible;
  const PhasePair both = make_phase_pair(p.n_hidden, data, model);
  const int64_t work = p.n_hidden * p.n_visible * (data.n_chains + model.n_chains);
  const UpdateScratch scratch = make_update_scratch(p, threads_for(work, run.n_threads));
  run_team(scratch.n_workers, [&](const Worker& me) {
    fill_phases(me, both, op.phases);
    update_all(me, p, both, op.rates, scratch);
  });
  report(total(scratch), found);
}

void update_from_sums(const UpdateFromSums& op, double* found, const Run& run) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const GivenSums given{op.data, op.model, p.n_hidden, p.n_visible,
                        phase_means(op.data_format, op.n_rows, op.n_chains)};
  constexpr int64_t kPairWork = 16;  // multiply-adds that take as long as the update of a pair
  const int n_workers = threads_for(kPairWork * p.n_hidden * p.n_visible, run.n_threads);
  const UpdateScratch scratch = make_update_scratch(p, n_workers);
  run_team(n_workers, [&](const Worker& me) { update_all(me, p, given, op.rates, scratch); });
  report(total(scratch), found);
}

}  // namespace
}  // namespace ncg

// The whole parameter and mask update in one pass over W, S and A, with the digits of the new
// weights.
#pragma once
#include "cpu/digit_block.h"
#include "cpu/phase_difference.h"

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

// The sparse digits that an update makes anew; null where digits are dense.
inline SparsePair updated_sparse(const Parameters& p, int n_workers) {
  const bool sparse = p.sparse_to_hidden != nullptr;
  return {p.weight,           p.mask,
          p.n_hidden,         p.n_visible,
          p.n_digits,         p.exponent,
          p.sparse_to_hidden, p.sparse_to_visible,
          p.capacity,         sparse ? make_columns(p.n_visible, n_workers) : nullptr};
}

// What each worker found; total() adds it up.
inline UpdateResult* make_tallies(int n_workers) {
  UpdateResult* tallies = scratch<UpdateResult>(n_workers);
  for (int i = 0; i < n_workers; ++i) tallies[i] = {0.f, 0, 0};
  return tallies;
}

inline UpdateResult total(const UpdateResult* tallies, int n_workers) {
  UpdateResult sum{0.f, 0, 0};
  for (int i = 0; i < n_workers; ++i) {
    if (as_bits(tallies[i].max_abs) > as_bits(sum.max_abs)) sum.max_abs = tallies[i].max_abs;
    sum.switched_on += tallies[i].switched_on;
    sum.switched_off += tallies[i].switched_off;
  }
  return sum;
}

// The update by a team, after the planes were filled.
inline void update_all(const Worker& me, const Parameters& p, const PhaseSums& sums,
                       const Rates& rates, const float* visible_gradient,
                       const float* hidden_gradient, UpdateResult* tallies,
                       const SparsePair& sparse) {
  int32_t bad = 0;
  if (me.id == 0) {
    const int32_t visible =
        update_bias(p.visible_bias, p.visible_velocity, visible_gradient, p.n_visible, rates);
    const int32_t hidden =
        update_bias(p.hidden_bias, p.hidden_velocity, hidden_gradient, p.n_hidden, rates);
    bad = visible > hidden ? visible : hidden;
  }
  const VectorRates vector_rates{splat(rates.lr),
                                 splat(rates.lr_strength),
                                 splat(rates.momentum),
                                 splat(-rates.weight_decay),
                                 splat(power_of_two(8 * p.n_digits - 1 - p.exponent)),
                                 splat(digit_limit(p.n_digits)),
                                 rates.weight_decay != 0.f};
  const Strips strips{ceil_div(p.n_visible, kBlock)};
  DigitStrip digits(p.n_hidden, p.n_visible, p.n_digits, p.to_hidden, p.to_visible);
  Tally tally;
  me.share(ceil_div(p.n_hidden, kBlock) * strips.count(), [&](int64_t task) {
    const int64_t hb = task / strips.count(), strip = task % strips.count();
    const int64_t first = strips.first(strip), last = strips.first(strip + 1);
    digits.start(hb, first);
    for (int64_t rows = hb * kBlock; rows < (hb + 1) * kBlock; rows += kRows) {
      alignas(64) float g[kStrip * kPairs];
      if (rows < p.n_hidden) phase_strip(sums, rows, first, last, g);
      for (int64_t i = 0; i < kRows; i += 4)
        update_rows(p, g + i * (last - first) * kBlock, vector_rates, rows + i, first, last, digits,
                    tally);
    }
    digits.finish(last);
  });
  if (sparse.to_hidden != nullptr) make_sparse(me, sparse);
  const int32_t largest = tally.max_bits();
  tallies[me.id] = {as_float(largest > bad ? largest : bad), tally.on, tally.off};
}

UpdateResult ncg_update(const Update& op, int n_threads) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const PhaseSums sums = make_phase_sums(op.phases, p.n_hidden, p.n_visible);
  float* visible_gradient = scratch<float>(p.n_visible);
  float* hidden_gradient = scratch<float>(p.n_hidden);
  const int64_t n_states = sums.n_rows() + sums.n_chains();
  const int n_workers = threads_for(p.n_hidden * p.n_visible * n_states, n_threads);
  UpdateResult* tallies = make_tallies(n_workers);
  const SparsePair sparse = updated_sparse(p, n_workers);
  run_team(n_workers, [&](const Worker& me) {
    fill_phases(me, sums, op.phases);
    bias_gradients(me, sums, op.phases.visible_data, op.phases.visible_model, visible_gradient,
                   hidden_gradient);
    update_all(me, p, sums, op.rates, visible_gradient, hidden_gradient, tallies, sparse);
  });
  return total(tallies, n_workers);
}

}  // namespace
}  // namespace ncg

// The whole parameter and mask update in one pass over W, S and A, with the digits of the new
// weights.
#pragma once
#include "cpu/packing/pack_weights.h"
#include "cpu/update/centring.h"
#include "cpu/update/phase_strip.h"

namespace ncg {
namespace {

constexpr int32_t kInfinityBits = 0x7F800000;

// One thread's part of what an update reports.
struct Tally {
  // |W∘A| and |S| as integers: NaN > infinity > finite, so nothing bad is lost.
  I magnitude = splat(0), strength = splat(0);
  int64_t on = 0, off = 0;

  // Of |W∘A|; NaN where a strength is.
  int32_t max_bits() const {
    const int32_t weights = largest_lane(magnitude), strengths = largest_lane(strength);
    return strengths > kInfinityBits && strengths > weights ? strengths : weights;
  }
};

struct VectorRates {
  F lr, lr_strength, momentum, minus_decay, inverse_step, limit;
  bool decays;
};

// The first n lanes.
inline M first_of(int n) {
  uint8_t bytes[kLanes];
  memset(bytes, 1, sizeof bytes);
  return load_mask(bytes, n);
}
// What weights and strengths of a tile ascend by: G[64][kStrip], and W∘G. Gradients that are given
// answer the same for n pairs: those from `in_tile` on of the tile, from `at` on of all.
struct Differences {
  const float* g;
  F of_weights(int64_t in_tile, int64_t, int) const { return load(g + in_tile); }
  F of_strengths(F w, F weight_ascent, int64_t, int) const { return mul(w, weight_ascent); }
};

// n <= kLanes pairs from `at` on, all in one row; `learned` of them have strengths. Returns the new
// q. kWhole: both are kLanes, and strengths are learned.
template <bool kWhole, class Ascent>
[[gnu::always_inline]] inline I update_lanes(const Parameters& p, const VectorRates& rates,
                                             const Ascent& ascent, int64_t in_tile, int64_t at,
                                             int n, int learned, Tally& tally) {
  const auto some = [=](const float* from, int count) {
    return kWhole ? load(from) : load(from, count);
  };
  const auto put = [=](float* to, F values, int count) {
    kWhole ? store(to, values) : store(to, values, count);
  };
  const F w = some(p.weight + at, n), g = ascent.of_weights(in_tile, at, n), zero = splat(0.f);
  const M on = load_mask(p.mask + at, kWhole ? kLanes : n);
  F direction = rates.decays ? fma(rates.minus_decay, w, g) : g;
  if (p.weight_velocity != nullptr) {
    direction = select(on, fma(rates.momentum, some(p.weight_velocity + at, n), direction), zero);
    put(p.weight_velocity + at, direction, n);
  }
  const F moved = select(on, fma(rates.lr, direction, w), w);
  put(p.weight + at, moved, n);

  M now = on;
  if (kWhole || (p.strength != nullptr && learned > 0)) {
    const F change = ascent.of_strengths(w, g, at, learned),
            s = fma(rates.lr_strength, change, some(p.strength + at, learned)), half = splat(0.5f),
            one = splat(1.f);
    tally.strength = max(tally.strength, kWhole ? bit_and(as_bits(s), splat(0x7FFFFFFF))
                                                : magnitude_where(first_of(learned), as_bits(s)));
    const M kept = mask_or(less(half, s), mask_and_not(on, less(s, half)));
    const uint32_t valid = (1u << (kWhole ? kLanes : learned)) - 1;
    const uint32_t before = bits(on) & valid, after = bits(kept) & valid;
    if (kWhole) now = kept;
    if (__builtin_expect(before != after, 0)) {
      store_mask(p.mask + at, kept, kWhole ? kLanes : learned);
      tally.on += __builtin_popcount(after & ~before);
      tally.off += __builtin_popcount(before & ~after);
      if (!kWhole) now = load_mask(p.mask + at, n);
    }
    put(p.strength + at, select(less(one, s), one, select(less(s, zero), zero, s)), learned);
  }
  tally.magnitude = max(tally.magnitude, magnitude_where(now, as_bits(moved)));
  return quantise(select(now, moved, zero), rates.inverse_step, rates.limit);
}

// Two hidden units of a block and the columns of a strip.
template <class Ascent>
inline void update_rows(const Parameters& parameters, const Ascent& tile,
                        const VectorRates& vector_rates, int64_t block, int pair, int64_t strip,
                        RowStrip& rows, Tally& found) {
  // Copies, which the compiler need not read again after each byte of the mask.
  const Parameters p = parameters;
  const Ascent ascent = tile;
  const VectorRates rates = vector_rates;
  Tally tally = found;
  const int64_t unit = block * kBlock + 2 * pair,
                columns = ceil_div(p.n_visible, kBlock) * kBlock - strip * kStrip;
  for (int u = 0; u < kStrip && u < columns; u += kLanes) {
    const int64_t column = strip * kStrip + u, left = p.n_visible - column,
                  unlabelled = left - p.n_labels, at = unit * p.n_visible + column,
                  in_tile = 2 * pair * kStrip + u;
    I q[2];
    if (unlabelled >= kLanes && unit + 1 < p.n_hidden && p.strength != nullptr) {
      for (int r = 0; r < 2; ++r) {
        // Rows are short pieces of memory far apart: the next but one is asked for now.
        __builtin_prefetch(p.weight + at + (r + 2) * p.n_visible, 1);
        __builtin_prefetch(p.strength + at + (r + 2) * p.n_visible, 1);
        if (u % kBlock == 0) __builtin_prefetch(p.mask + at + (r + 2) * p.n_visible, 1);
        q[r] = update_lanes<true>(p, rates, ascent, in_tile + r * kStrip, at + r * p.n_visible,
                                  kLanes, kLanes, tally);
      }
      rows.put(pair, u, q[0], q[1]);
      continue;
    }
    const int n = static_cast<int>(left < 0 ? 0 : left < kLanes ? left : kLanes);
    const int learned = static_cast<int>(unlabelled < 0 ? 0 : unlabelled < n ? unlabelled : n);
    for (int r = 0; r < 2; ++r) {
      q[r] = splat(0);
      if (unit + r < p.n_hidden && n > 0)
        q[r] = update_lanes<false>(p, rates, ascent, in_tile + r * kStrip, at + r * p.n_visible, n,
                                   learned, tally);
    }
    rows.put(pair, u, q[0], q[1]);
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

// What an update needs beside its tensors: gradients of the biases, digits of each worker's tiles,
// and what each worker found.
struct UpdateMemory {
  float *visible_gradient, *hidden_gradient;
  RowStrip* rows;
  float* g;  // [n_workers][64][kStrip]
  Tally* tallies;
  int32_t* bad_bias;
  SparsePair sparse;
  Centring centring;
};

inline UpdateMemory make_update_memory(const Parameters& p, int n_workers,
                                       const Offsets& offsets = {}) {
  UpdateMemory m{
      scratch<float>(p.n_visible),
      scratch<float>(p.n_hidden),
      scratch<RowStrip>(n_workers),
      scratch<float>(n_workers * kTile),
      scratch<Tally>(n_workers),
      scratch<int32_t>(1),
      make_sparse_pair({p.weight, p.mask, p.n_hidden, p.n_visible, p.to_hidden, p.to_visible},
                       n_workers),
      make_centring(offsets, p.n_hidden, p.n_visible, n_workers)};
  for (int i = 0; i < n_workers; ++i) {
    new (m.rows + i) RowStrip(p.n_hidden, p.n_visible, p.to_hidden, p.to_visible);
    new (m.tallies + i) Tally();
  }
  *m.bad_bias = 0;
  return m;
}

// max |W∘A| or what is bad, connections switched on, and off.
inline void total(const UpdateMemory& m, int n_workers, double found[3]) {
  int32_t largest = *m.bad_bias;
  found[1] = found[2] = 0;
  for (int i = 0; i < n_workers; ++i) {
    const int32_t bits = m.tallies[i].max_bits();
    if (bits > largest) largest = bits;
    found[1] += static_cast<double>(m.tallies[i].on);
    found[2] += static_cast<double>(m.tallies[i].off);
  }
  found[0] = as_float(largest);
}

// The update by a team, after the gradients of the biases are known. ascent_of(strip, block) is
// what a tile ascends by.
template <class AscentOf>
inline void update_tiles(const Worker& me, const Parameters& p, const Rates& rates,
                         const UpdateMemory& memory, AscentOf ascent_of) {
  me.commit();
  const Centring& centring = memory.centring;
  if (centring.given()) me.once([&] { move_offsets(centring, p.n_hidden); });
  const VectorRates vector_rates{splat(rates.lr),
                                 splat(rates.lr_strength),
                                 splat(rates.momentum),
                                 splat(-rates.weight_decay),
                                 splat(p.to_hidden.inverse_step()),
                                 splat(digit_limit(p.to_hidden.n_digits)),
                                 rates.weight_decay != 0.f};
  RowStrip& rows = memory.rows[me.id];
  Tally& tally = memory.tallies[me.id];
  for_each_tile(me, p.n_hidden, p.n_visible, [&](int64_t block, int64_t strip) {
    rows.start(block, strip);
    const auto ascent = ascent_of(strip, block);
    for (int pair = 0; pair < kBlock / 2; ++pair)
      update_rows(p, ascent, vector_rates, block, pair, strip, rows, tally);
    rows.finish();
  });
  me.once([&] {
    if (centring.given()) {
      centre_biases(centring, me.n_workers, 0, p.n_hidden, memory.hidden_gradient);
      centre_biases(centring, me.n_workers, p.n_hidden, p.n_visible, memory.visible_gradient);
    }
    const int32_t visible = update_bias(p.visible_bias, p.visible_velocity, memory.visible_gradient,
                                        p.n_visible, rates);
    const int32_t hidden =
        update_bias(p.hidden_bias, p.hidden_velocity, memory.hidden_gradient, p.n_hidden, rates);
    *memory.bad_bias = visible > hidden ? visible : hidden;
  });
  if (memory.sparse.to_hidden() != nullptr) make_sparse(me, memory.sparse);
}

// The same where difference(strip, block, g) gives G of a tile.
template <class Difference>
inline void update_all(const Worker& me, const Parameters& p, const Rates& rates,
                       const UpdateMemory& memory, Difference difference) {
  float* g = memory.g + me.id * kTile;
  update_tiles(me, p, rates, memory, [&](int64_t strip, int64_t block) {
    difference(strip, block, g);
    if (memory.centring.given())
      centre_tile(me, memory.centring, p, {block, strip}, memory.visible_gradient,
                  memory.hidden_gradient, g);
    return Differences{g};
  });
}

inline int update_workers(const Parameters& p, int64_t n_states, int n_threads) {
  return threads_for(p.n_hidden * p.n_visible * (n_states + 64), n_threads);
}

void ncg_update(const Update& op, double* found, const Run& run) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const PhasePair phases = make_phase_pair(op.phases, p.n_hidden);
  const int n_workers = update_workers(p, phases.n_rows() + phases.n_chains(), run.n_threads);
  PhaseStrip* strips = make_phase_strips(phases, n_workers, !phases.short_sums());
  const UpdateMemory memory = make_update_memory(p, n_workers, op.offsets);
  run_team(run, n_workers, [&](const Worker& me) {
    fill_phases(me, op.phases, phases);
    bias_gradients(me, phases, memory.visible_gradient, memory.hidden_gradient,
                   memory.centring.hidden_mean);
    update_all(me, p, op.rates, memory, [&](int64_t strip, int64_t block, float* g) {
      strips[me.id].difference(strip, block, g);
    });
  });
  total(memory, n_workers, found);
}

}  // namespace
}  // namespace ncg

// F(v) in float64.
#pragma once
#include <cmath>

#include "cpu/sampling/half_step.h"

namespace ncg {
namespace {

// exp(-a) for a >= 0, to 1e-12 relative, in operations that the compiler turns into vectors; 0
// below the normal numbers.
inline double exp_minus(double a) {
  constexpr double kRound = 0x1.8p52;  // added, it leaves the nearest integer in the low bits
  constexpr double kLargest = 708;
  constexpr double kInverseFactorials[] = {1. / 3628800, 1. / 362880, 1. / 40320, 1. / 5040,
                                           1. / 720,     1. / 120,    1. / 24,    1. / 6,
                                           1. / 2,       1.,          1.};
  const double t = (a < kLargest ? a : kLargest) * -1.4426950408889634, rounded = t + kRound;
  const double f = (t - (rounded - kRound)) * 0.6931471805599453;
  double power = kInverseFactorials[0];
#pragma GCC unroll 10
  for (int i = 1; i < 11; ++i) power = power * f + kInverseFactorials[i];
  int64_t exponent;
  memcpy(&exponent, &rounded, 8);
  const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
  double scale;
  memcpy(&scale, &bits, 8);
  return a < kLargest ? power * scale : 0;
}

// sum of log(1 + exp(scale x)) over n <= kSuper units; x is readable to kSuper. The product of the
// factors 1 + exp(-|y|), in (1, 2], is kept less 1, so that one logarithm serves all and loses no
// digits.
inline double softplus_sum(const float* x, int n, double scale) {
  constexpr int kParts = 16;
  double sums[kParts] = {}, product_less_1[kParts] = {};
  for (int first = 0; first < n; first += kParts) {
    double share[kParts];  // 0 past the last unit
    for (int i = 0; i < kParts; ++i) share[i] = first + i < n ? 1 : 0;
    for (int i = 0; i < kParts; ++i) {
      const double y = scale * static_cast<double>(x[first + i]);
      const double e = share[i] * exp_minus(fabs(y));
      sums[i] += share[i] * (y > 0 ? y : 0);
      product_less_1[i] += e + product_less_1[i] * e;
    }
  }
  for (int half = kParts / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) {
      const double other = product_less_1[i + half];
      sums[i] += sums[i + half];
      product_less_1[i] += other + product_less_1[i] * other;
    }
  return sums[0] + log1p(product_less_1[0]);
}

// use(chain of the group, x of the n_units in order).
template <class Use>
inline void for_each_row(const Sums& sums, int64_t n_chains, int64_t n_units, Use use) {
  alignas(64) float row[kSuper] = {};
  for_each_pair(sums, n_chains, n_units, [&](int64_t c, int at, const F x[2]) {
    store(row + at, x[0]);
    store(row + at + kLanes, x[1]);
    if (at + kPair >= n_units) use(c, row);
  });
}

// Sum of b_j v_j of a chain, from its bits, or from levels. Terms are added in kParts parts.
inline double field_sum(const Given& given, int64_t chain, const uint64_t* bits,
                        const float* bias) {
  constexpr int kParts = 16, kInputs = 64;
  const States& states = given.states;
  double sums[kParts] = {}, sum = 0;
  for (int64_t first = 0; first < states.n_units; first += kInputs) {
    int32_t values[kInputs];
    if (given.are_levels())
      read_levels(states, chain, first, kInputs, values);
    else
      for (int i = 0; i < kInputs; ++i) values[i] = bits[first / kInputs] >> i & 1;
    const int64_t left = states.n_units - first;
    for (int at = 0; at < kInputs && at < left; at += kParts) {
      float biases[kParts] = {};
      const int64_t n = left - at < kParts ? left - at : kParts;
      memcpy(biases, bias + first + at, sizeof(float) * static_cast<size_t>(n));
      for (int i = 0; i < kParts; ++i) sums[i] += static_cast<double>(biases[i]) * values[at + i];
    }
  }
  for (const double part : sums) sum += part;
  return given.are_levels() ? sum / kLevels : sum;
}

void free_energy(const FreeEnergy& op, const Run& run) {
  scratch_reset();
  const Given given = read_states(op.visible, run);
  const int64_t n_chains = op.visible.n_chains;
  const Groups groups = half_step_groups(op.to_hidden, given, run.n_threads);
  HalfStep* steps = make_half_steps(groups, op.to_hidden, false, given.are_levels());
  const int64_t supers = ceil_div(op.to_hidden.n_out, kSuper);
  // Added in the same order whatever the threads.
  double* parts = scratch<double>(supers * n_chains);
  run_team(run, groups.n_workers, [&](const Worker& team) {
    for_each_group(team, groups, [&](const Worker& me, int memory, int64_t first, int64_t n) {
      const HalfStep& h = steps[memory];
      preactivations_of(me, h, given, first, n, [&](const Sums& sums, int64_t super) {
        const int64_t n_units = h.n_units(super);
        for_each_row(sums, n, n_units, [&](int64_t c, const float* x) {
          parts[(first + c) * supers + super] = softplus_sum(x, static_cast<int>(n_units), 1);
        });
      });
      const ChainBits bits = bits_of(given, h, first);
      me.share(n, [&](int64_t c) {
        double sum = field_sum(given, first + c, bits.of(c), op.visible_bias);
        for (int64_t super = 0; super < supers; ++super) sum += parts[(first + c) * supers + super];
        op.energy[first + c] = -sum;
      });
    });
  });
}

}  // namespace
}  // namespace ncg

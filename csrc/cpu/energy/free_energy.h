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

// sum over a tile's units of log(1 + exp(scale x)) for each chain. The product of the factors
// 1 + exp(-|y|), in (1, 2], is kept less 1, so that one logarithm serves all and loses no digits.
inline void softplus_sums(const Tile& tile, double scale, double sums[kWord]) {
  alignas(64) double product_less_1[kWord] = {};
  for (int c = 0; c < kWord; ++c) sums[c] = 0;
  const int width = tile.width;
  for (int r = 0; r < tile.n_units; ++r) {
    const float* x = tile.x + r * kWord;
    for (int c = 0; c < width; ++c) {
      const double y = scale * static_cast<double>(x[c]);
      const double e = exp_minus(fabs(y));
      sums[c] += y > 0 ? y : 0;
      product_less_1[c] += e + product_less_1[c] * e;
    }
  }
  for (int c = 0; c < tile.n_chains; ++c) sums[c] += log1p(product_less_1[c]);
}

inline double state_of(const States& states, int64_t chain, int64_t unit) {
  if (states.are_levels()) return states.levels()[chain * states.n_units + unit] / double{kLevels};
  const int64_t words = ceil_div(states.n_chains, kWord);
  return static_cast<double>(states.packed()[unit * words + chain / kWord] >> chain % kWord & 1);
}

void free_energy(const FreeEnergy& op, const Run& run) {
  scratch_reset();
  const Layer& layer = op.to_hidden;
  const States& states = op.visible;
  const Operand in = make_operand(layer, states.n_chains, states.format);
  const int64_t panels = ceil_div(layer.n_out, kPanel), n = states.n_chains;
  double* parts = scratch<double>(panels * n);  // added in the order of panels whatever the threads
  run_team(half_step_threads(layer, n, run.n_threads), [&](const Worker& me) {
    expand(me, states, in);
    for_each_tile(me, layer, in, [&](const Tile& tile) {
      double sums[kWord];
      softplus_sums(tile, 1, sums);
      for (int c = 0; c < tile.n_chains; ++c)
        parts[tile.unit / kPanel * n + tile.chain + c] = sums[c];
    });
    me.share(n, [&](int64_t c) {
      double sum = 0;
      for (int64_t j = 0; j < states.n_units; ++j)
        sum += op.visible_bias[j] * state_of(states, c, j);
      for (int64_t panel = 0; panel < panels; ++panel) sum += parts[panel * n + c];
      op.energy[c] = -sum;
    });
  });
}

}  // namespace
}  // namespace ncg

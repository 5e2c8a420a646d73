// F(v) in float64.
#pragma once
#include <cmath>

#include "cpu/half_step.h"

namespace ncg {
namespace {

// sum over a tile's units of log(1 + exp(scale x)) for each chain. The product of the factors
// 1 + exp(-|y|), in (1, 2], is kept less 1, so that one logarithm serves all and loses no digits.
inline void softplus_sums(const Tile& tile, double scale, double sums[kWord]) {
  for (int c = 0; c < tile.n_chains; ++c) {
    double linear = 0, product_less_1 = 0;
    for (int r = 0; r < tile.n_units; ++r) {
      const double y = scale * static_cast<double>(tile.x[r * kWord + c]);
      const double e = exp(-fabs(y));
      linear += y > 0 ? y : 0;
      product_less_1 += e + product_less_1 * e;
    }
    sums[c] = linear + log1p(product_less_1);
  }
}

inline double state_of(const States& states, int64_t chain, int64_t unit) {
  if (states.levels)
    return static_cast<const int32_t*>(states.data)[chain * states.n_units + unit] /
           double{kLevels};
  const int64_t words = ceil_div(states.n_chains, kWord);
  return static_cast<double>(
      static_cast<const uint64_t*>(states.data)[unit * words + chain / kWord] >> chain % kWord & 1);
}

void free_energy(const Layer& layer, const States& states, const float* visible_bias,
                 double* energy, int n_threads) {
  scratch_reset();
  const Operand in = make_operand(layer, states.n_chains, states.levels);
  const int64_t panels = ceil_div(layer.n_out, kPanel), n = states.n_chains;
  double* parts = scratch<double>(panels * n);  // added in the order of panels whatever the threads
  run_team(half_step_threads(layer, n, n_threads), [&](const Worker& me) {
    expand(me, states, in);
    for_each_tile(me, layer, in, [&](const Tile& tile) {
      softplus_sums(tile, 1, parts + tile.unit / kPanel * n + tile.chain);
    });
    me.share(n, [&](int64_t c) {
      double sum = 0;
      for (int64_t j = 0; j < states.n_units; ++j) sum += visible_bias[j] * state_of(states, c, j);
      for (int64_t panel = 0; panel < panels; ++panel) sum += parts[panel * n + c];
      energy[c] = -sum;
    });
  });
}

}  // namespace
}  // namespace ncg

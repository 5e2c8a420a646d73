// Annealed importance sampling: a ladder of sweeps with log-weights in float64, in one parallel
// region.
#pragma once
#include "cpu/energy/free_energy.h"

namespace ncg {
namespace {

void anneal(const Anneal& op, const Run& run) {
  scratch_reset();
  const int64_t n_visible = op.to_visible.n_out, n_hidden = op.to_hidden.n_out, n = op.n_chains;
  const int64_t words = ceil_div(n, kWord), panels = ceil_div(n_hidden, kPanel);
  const Operand v_in = make_operand(op.to_hidden, n), h_in = make_operand(op.to_visible, n);
  const States visible = packed_states(op.visible, n_visible, n);
  uint64_t* hidden = scratch<uint64_t>(n_hidden * words);
  double* parts = scratch<double>(panels * n);
  for (int64_t c = 0; c < n; ++c) op.log_weights[c] = 0;
  run_team(half_step_threads(op.to_hidden, n, run.n_threads), [&](const Worker& me) {
    for (int64_t t = 1; t < op.n_betas; ++t) {
      const double last = op.betas[t - 1], beta = op.betas[t];
      const float beta32 = static_cast<float>(beta), rest = add(1.f, -beta32);
      expand_packed(me, op.visible, n_visible, v_in);
      for_each_tile(me, op.to_hidden, v_in, [&](const Tile& tile) {
        double before[kWord], after[kWord];
        softplus_sums(tile, last, before);
        softplus_sums(tile, beta, after);
        for (int c = 0; c < tile.n_chains; ++c)
          parts[tile.unit / kPanel * n + tile.chain + c] = after[c] - before[c];
        draw_tile(tile, op.draw.of_hidden(t), hidden, words,
                  [&](F x, int, int) { return mul(splat(beta32), x); });
      });
      me.share(n, [&](int64_t c) {
        double lift = 0;
        for (int64_t j = 0; j < n_visible; ++j)
          lift += (static_cast<double>(op.to_visible.bias[j]) - op.base_bias[j]) *
                  state_of(visible, c, j);
        double gain = (beta - last) * lift;
        for (int64_t panel = 0; panel < panels; ++panel) gain += parts[panel * n + c];
        op.log_weights[c] += gain;
      });
      expand_packed(me, hidden, n_hidden, h_in);
      for_each_tile(me, op.to_visible, h_in, [&](const Tile& tile) {
        draw_tile(tile, op.draw.of_visible(t), op.visible, words, [&](F x, int r, int) {
          return fma(splat(beta32), x, splat(mul(rest, op.base_bias[tile.unit + r])));
        });
      });
    }
  });
}

}  // namespace
}  // namespace ncg

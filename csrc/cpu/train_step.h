// One mini-batch by one team of threads: positive phase, sweeps, negative phase, update.
#pragma once
#include "cpu/gibbs_steps.h"
#include "cpu/ncg_update.h"

namespace ncg {
namespace {

UpdateResult train_step(const TrainStep& op, int n_threads) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const int64_t n_rows = op.visible_data.n_chains, n_chains = op.n_chains,
                words = ceil_div(n_chains, kWord);
  const Layer to_hidden{p.to_hidden, p.hidden_bias, p.n_hidden,         p.n_visible,
                        p.n_digits,  p.exponent,    p.sparse_to_hidden, p.capacity};
  const Layer to_visible{p.to_visible, p.visible_bias, p.n_visible,         p.n_hidden,
                         p.n_digits,   p.exponent,     p.sparse_to_visible, p.capacity};
  const bool persistent = op.chains != nullptr;

  const Operand data_in = make_operand(to_hidden, n_rows, op.visible_data.levels);
  const Operand v_in = make_operand(to_hidden, n_chains, false);
  const Operand h_in = make_operand(to_visible, n_chains, false);
  uint64_t* hidden = scratch<uint64_t>(p.n_hidden * words);
  uint64_t* visible = persistent ? op.chains : scratch<uint64_t>(p.n_visible * words);
  const States model{visible, p.n_visible, n_chains, false};
  const PhaseSums sums =
      make_phase_sums(p.n_hidden, p.n_visible, n_rows, n_chains, op.visible_data.levels);
  float* visible_gradient = scratch<float>(p.n_visible);
  float* hidden_gradient = scratch<float>(p.n_hidden);

  const int n_workers =
      threads_for(p.n_hidden * p.n_visible * (n_rows + n_chains * op.n_steps), n_threads);
  UpdateResult* tallies = make_tallies(n_workers);
  const SparsePair sparse = updated_sparse(p, n_workers);
  run_team(n_workers, [&](const Worker& me) {
    Draw draw{op.seed, 0, op.step, kHiddenStream, nullptr};
    expand(me, op.visible_data, data_in);
    for_each_tile(me, to_hidden, data_in, [&](const Tile& tile) {
      store_levels(tile, sums.data.hidden);
      // CD: the first half step has the same pre-activations.
      if (!persistent) draw_tile(tile, draw, hidden, words);
    });
    for (int64_t t = 0; t < op.n_steps; ++t) {
      draw.step = op.step + t;
      if (persistent || t > 0) {
        expand_packed(me, visible, p.n_visible, v_in);
        draw.stream = kHiddenStream;
        sample_tiles(me, to_hidden, v_in, draw, hidden);
      }
      expand_packed(me, hidden, p.n_hidden, h_in);
      draw.stream = kVisibleStream;
      sample_tiles(me, to_visible, h_in, draw, visible);
    }
    expand_packed(me, visible, p.n_visible, v_in);
    for_each_tile(me, to_hidden, v_in,
                  [&](const Tile& tile) { store_levels(tile, sums.model.hidden); });
    fill_visible(me, sums, op.visible_data, model);
    bias_gradients(me, sums, op.visible_data, model, visible_gradient, hidden_gradient);
    update_all(me, p, sums, op.rates, visible_gradient, hidden_gradient, tallies, sparse);
  });
  return total(tallies, n_workers);
}

}  // namespace
}  // namespace ncg

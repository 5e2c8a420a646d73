// Mini-batches one after the other, each by one team of threads: positive phase, sweeps, negative
// phase, update.
#pragma once
#include "cpu/sampling/gibbs_steps.h"
#include "cpu/update/ncg_update.h"

namespace ncg {
namespace {

// The memory of one mini-batch after the other.
struct TrainScratch {
  Operand data_in, v_in, h_in;  // of the half steps
  uint64_t *hidden, *visible;
  PhasePair both;
  UpdateScratch update;
};

inline TrainScratch make_train_scratch(const TrainSteps& op, int n_threads) {
  const Parameters& p = op.parameters;
  const int64_t n_rows = op.visible_data.n_chains, n_chains = op.n_chains,
                words = ceil_div(n_chains, kWord);
  const Layer to_hidden = p.hidden_layer(), to_visible = p.visible_layer();
  uint64_t* hidden = scratch<uint64_t>(p.n_hidden * words);
  uint64_t* visible = op.chains != nullptr ? op.chains : scratch<uint64_t>(p.n_visible * words);
  const States model = packed_states(visible, p.n_visible, n_chains);
  const int64_t work = p.n_hidden * p.n_visible * (n_rows + n_chains * op.n_steps);
  return {make_operand(to_hidden, n_rows, op.visible_data.format),
          make_operand(to_hidden, n_chains),
          make_operand(to_visible, n_chains),
          hidden,
          visible,
          make_phase_pair(p.n_hidden, op.visible_data, model),
          make_update_scratch(p, threads_for(work, n_threads))};
}

// The mini-batch at both.data.given, whose first sweep is `sweep`.
inline void train_step(const Worker& me, const TrainSteps& op, const TrainScratch& s,
                       int64_t sweep) {
  const Parameters& p = op.parameters;
  const Layer to_hidden = p.hidden_layer(), to_visible = p.visible_layer();
  const bool persistent = op.chains != nullptr;
  expand(me, s.both.data.given, s.data_in);
  for_each_tile(me, to_hidden, s.data_in, [&](const Tile& tile) {
    store_levels(tile, s.both.data.hidden);
    // CD: the first half step has the same pre-activations.
    if (!persistent) draw_tile(tile, op.draw.of_hidden(sweep), s.hidden, s.v_in.words());
  });
  for (int64_t t = 0; t < op.n_steps; ++t) {
    if (persistent || t > 0) {
      expand_packed(me, s.visible, p.n_visible, s.v_in);
      sample_tiles(me, to_hidden, s.v_in, op.draw.of_hidden(sweep + t), s.hidden);
    }
    expand_packed(me, s.hidden, p.n_hidden, s.h_in);
    sample_tiles(me, to_visible, s.h_in, op.draw.of_visible(sweep + t), s.visible);
  }
  expand_packed(me, s.visible, p.n_visible, s.v_in);
  for_each_tile(me, to_hidden, s.v_in,
                [&](const Tile& tile) { store_levels(tile, s.both.model.hidden); });
  fill_visible(me, s.both.data, p.n_hidden);
  fill_visible(me, s.both.model, p.n_hidden);
  update_all(me, p, s.both, op.rates, s.update);
}

void train_steps(const TrainSteps& op, double* found, const Run& run) {
  scratch_reset();
  TrainScratch s = make_train_scratch(op, run.n_threads);
  const int32_t* sparse = op.parameters.to_hidden.sparse;
  Found sum{0.f, 0, 0};
  int64_t done = 0;
  for (bool goes_on = true; goes_on && done < op.n_batches; ++done) {
    s.both.data.given.data =
        static_cast<const char*>(op.visible_data.data) + done * op.batch_stride;
    run_team(s.update.n_workers,
             [&](const Worker& me) { train_step(me, op, s, done * op.n_steps); });
    const Found one = total(s.update);
    sum = {one.max_abs, sum.switched_on + one.switched_on, sum.switched_off + one.switched_off};
    const bool fit = sparse == nullptr || sparse[kSparseCount] >= 0;
    goes_on = fit && one.max_abs >= op.least && one.max_abs <= op.most;
  }
  report(sum, found);
  found[3] = static_cast<double>(done);
}

}  // namespace
}  // namespace ncg

// Mini-batches by one team of threads each: positive phase, sweeps, negative phase, update.
#pragma once
#include "cpu/sampling/gibbs_steps.h"
#include "cpu/update/ncg_update.h"

namespace ncg {
namespace {

// One mini-batch, of visible_data, whose first sweep draws by `draw`.
inline void train_step(const TrainSteps& op, const States& data, const Rates& rates,
                       const Draw& draw, const Run& run, double found[3]) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const Layer to_hidden = p.hidden_layer(), to_visible = p.visible_layer();
  const int64_t n_rows = data.n_chains, n_chains = op.n_chains, words = ceil_div(n_chains, kWord);
  const bool persistent = op.chains != nullptr, sparse = p.to_hidden.sparse != nullptr;
  const Groups groups = make_groups(p.n_hidden, p.n_visible, n_chains, 2 * op.n_steps + 1, sparse,
                                    data.are_levels(), run.n_threads);
  const int n_workers = groups.n_workers;
  const bool levels = data.are_levels();
  const ChainMemory chains = make_chain_memory(groups, to_hidden, to_visible, true, levels);
  // The rows of persistent chains are a layer's inputs apart from the chains.
  Groups row_groups = groups;
  HalfStep* row_steps = chains.to_hidden;
  if (persistent) {
    row_groups = make_groups(p.n_hidden, p.n_visible, n_rows, 1, sparse, levels, n_workers);
    row_groups.n_workers = n_workers;
    if (!row_groups.together()) row_groups.n_memories = n_workers;
    row_steps = make_half_steps(row_groups, to_hidden, false, levels);
  }
  uint64_t* visible = persistent ? op.chains : scratch<uint64_t>(p.n_visible * words);
  const PhasePair phases{make_paired_levels(p.n_hidden, n_rows > n_chains ? n_rows : n_chains),
                         data, packed_states(visible, p.n_visible, n_chains)};
  PhaseStrip* strips = make_phase_strips(phases, n_workers, !phases.short_sums());
  const UpdateMemory memory = make_update_memory(p, n_workers, op.offsets);
  run_team(run, n_workers, [&](const Worker& team) {
    if (persistent)
      for_each_group(team, row_groups, [&](const Worker& me, int m, int64_t first, int64_t n) {
        HalfStep& h = row_steps[m];
        preactivations_of(me, h, {data, {}}, first, n, [&](const Sums& sums, int64_t super) {
          store_levels(sums, first, n, super * kSuper, h.n_units(super), PhaseHalf::kData,
                       phases.levels);
        });
      });
    for_each_group(team, groups, [&](const Worker& me, int m, int64_t first, int64_t n) {
      const ChainGroup group = chains.group(m, first, n);
      const HalfStep& h = group.to_hidden;
      if (persistent)
        from_packed(me, visible, p.n_visible, n_chains, first, n, h.in.now);
      else if (!levels)
        from_packed(me, data.packed(), p.n_visible, n_chains, first, n, h.in.now);
      for (int64_t t = 0; t < op.n_steps; ++t) {
        const Drawing hidden = chains.draws.drawing(team, draw.of_hidden(t), first, n);
        const auto draw_into = drawing_into(h, hidden, group.to_visible.in.now);
        // CD: the first half step has the pre-activations of the data.
        const auto both = [&](const Sums& sums, int64_t super) {
          store_levels(sums, first, n, super * kSuper, h.n_units(super), PhaseHalf::kData,
                       phases.levels);
          draw_into(sums, super);
        };
        if (persistent || t > 0)
          preactivations(me, h, n, t == (levels && !persistent ? 1 : 0), draw_into);
        else if (levels)
          level_preactivations(me, h, data, first, n, both);
        else
          preactivations(me, h, n, true, both);
        draw_visible(me, group, chains.draws.drawing(team, draw.of_visible(t), first, n), t == 0);
      }
      const bool no_sums = levels && !persistent && op.n_steps == 1;
      preactivations(me, h, n, no_sums, [&](const Sums& sums, int64_t super) {
        store_levels(sums, first, n, super * kSuper, h.n_units(super), PhaseHalf::kModel,
                     phases.levels);
      });
    });
    team.commit();  // an interrupted batch leaves parameters and chains as they were
    to_packed(team, chains.visible, p.n_visible, n_chains, visible);
    bias_gradients(team, phases, memory.visible_gradient, memory.hidden_gradient,
                   memory.centring.hidden_mean);
    update_all(team, p, rates, memory, [&](int64_t strip, int64_t block, float* g) {
      strips[team.id].difference(strip, block, g);
    });
  });
  total(memory, n_workers, found);
}

// Whether digits hold all connections: sparse ones may lack the room.
inline bool digits_fit(const Digits& digits) {
  return digits.sparse == nullptr || digits.sparse[kSparseCount] >= 0;
}

void train_steps(const TrainSteps& op, double* found, const Run& run) {
  double last[3] = {};
  for (int i = 0; i < 4; ++i) found[i] = 0;
  States data = op.visible_data;
  Draw draw = op.draw;
  for (int64_t batch = 0; batch < op.n_batches; ++batch) {
    Rates rates = op.rates;
    if (op.lr_factors != nullptr) {
      rates.lr *= op.lr_factors[batch];
      rates.lr_strength *= op.lr_factors[batch];
    }
    train_step(op, data, rates, draw, run, last);
    found[0] = last[0];
    found[1] += last[1];
    found[2] += last[2];
    found[3] += 1;
    if (!(op.least <= last[0] && last[0] <= op.most && digits_fit(op.parameters.to_hidden))) break;
    data.data = static_cast<const char*>(data.data) + op.batch_stride;
    draw.step += op.n_steps;
  }
}

}  // namespace
}  // namespace ncg

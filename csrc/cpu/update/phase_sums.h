// The op phase_sums: exact sums of one phase, added to those given.
#pragma once
#include "cpu/update/phase_strip.h"

namespace ncg {
namespace {

void phase_sums(const AddPhase& op, const Run& run) {
  scratch_reset();
  const States& visible = op.phase.visible;
  const int64_t n = visible.n_chains;
  const PhasePair phases{make_paired_levels(op.n_hidden, n), visible,
                         packed_states(nullptr, visible.n_units, 0)};
  const int n_workers = threads_for(op.n_hidden * visible.n_units * n, run.n_threads);
  PhaseStrip* strips = make_phase_strips(phases, n_workers, true);
  run_team(run, n_workers, [&](const Worker& me) {
    fill_levels(me, op.phase.hidden, n, PhaseHalf::kData, phases.levels);
    me.commit();
    me.share(phases.levels.blocks(), [&](int64_t block) {
      int64_t sums[kBlock];
      level_sums(phases.levels, block, n, PhaseHalf::kData, sums);
      for (int64_t i = 0; i < kBlock && block * kBlock + i < op.n_hidden; ++i)
        op.sums.hidden[block * kBlock + i] += sums[i];
    });
    me.share(visible.n_units, [&](int64_t j) { op.sums.visible[j] += visible_sum(visible, j); });
    for_each_tile(me, op.n_hidden, visible.n_units, [&](int64_t block, int64_t strip) {
      strips[me.id].add_data(strip, block, visible.n_units, op.sums.products);
    });
  });
}

}  // namespace
}  // namespace ncg

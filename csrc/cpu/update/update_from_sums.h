// The op update_from_sums: the update from sums that phase_sums made.
#pragma once
#include "cpu/update/ncg_update.h"

namespace ncg {
namespace {

void update_from_sums(const UpdateFromSums& op, double* found, const Run& run) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const PhaseMeans means = phase_means(op.data_format, op.n_rows, op.n_chains);
  const int n_workers = update_workers(p, 0, run.n_threads);
  const UpdateMemory memory = make_update_memory(p, n_workers);
  for (int64_t j = 0; j < p.n_visible; ++j)
    memory.visible_gradient[j] =
        difference(means.visible, op.data.visible[j], op.model.visible[j] * means.visible_one);
  for (int64_t i = 0; i < p.n_hidden; ++i)
    memory.hidden_gradient[i] = difference(means.hidden, op.data.hidden[i], op.model.hidden[i]);
  run_team(run, n_workers, [&](const Worker& me) {
    update_all(me, p, op.rates, memory, [&](int64_t strip, int64_t block, float* g) {
      memset(g, 0, sizeof(float) * kTile);
      for (int64_t i = 0; i < kBlock && block * kBlock + i < p.n_hidden; ++i)
        for (int64_t u = 0; u < kStrip && strip * kStrip + u < p.n_visible; ++u) {
          const int64_t at = (block * kBlock + i) * p.n_visible + strip * kStrip + u;
          g[i * kStrip + u] = difference(means.pair, op.data.products[at],
                                         op.model.products[at] * means.visible_one);
        }
    });
  });
  total(memory, n_workers, found);
}

}  // namespace
}  // namespace ncg

// The op connection_gradient.
#pragma once
#include "cpu/update/phase_difference.h"

namespace ncg {
namespace {

// Writes G, A∘G and W∘G of four hidden units from `unit` on and the visible blocks first .. last-1.
inline void store_gradients(const Gradient& op, const float* g, int64_t unit, int64_t first,
                            int64_t last) {
  for (int64_t vb = first; vb < last; ++vb, g += kTile)
    for (int u = 0; u < kBlock; u += kLanes) {
      const int64_t column = vb * kBlock + u, left = op.n_visible - column;
      if (left <= 0) break;
      const int n = static_cast<int>(left < kLanes ? left : kLanes);
      for (int r = 0; r < 4 && unit + r < op.n_hidden; ++r) {
        const int64_t at = (unit + r) * op.n_visible + column;
        const F difference = load(g + r * kBlock + u);
        store(op.phase_difference + at, difference, n);
        if (op.mask != nullptr)
          store(op.weight_gradient + at, select(load_mask(op.mask + at, n), difference, splat(0.f)),
                n);
        if (op.weight != nullptr)
          store(op.connection_gradient + at, mul(load(op.weight + at, n), difference), n);
      }
    }
}

void connection_gradient(const Gradient& op, const Run& run) {
  scratch_reset();
  const States &data = op.phases.data.visible, &model = op.phases.model.visible;
  const PhasePair both = make_phase_pair(op.n_hidden, data, model);
  const Strips strips{ceil_div(op.n_visible, kBlock)};
  const int64_t work = op.n_hidden * op.n_visible * (data.n_chains + model.n_chains);
  run_team(threads_for(work, run.n_threads), [&](const Worker& me) {
    fill_phases(me, both, op.phases);
    bias_gradients(me, both, op.visible_gradient, op.hidden_gradient);
    me.share(ceil_div(op.n_hidden, kRows) * strips.count(), [&](int64_t task) {
      const int64_t rows = task / strips.count() * kRows, strip = task % strips.count();
      const int64_t first = strips.first(strip), last = strips.first(strip + 1);
      alignas(64) float g[kStrip * kPairs];
      both.strip(rows, first, last, g);
      for (int64_t i = 0; i < kRows; i += 4)
        store_gradients(op, g + i * (last - first) * kBlock, rows + i, first, last);
    });
  });
}

}  // namespace
}  // namespace ncg

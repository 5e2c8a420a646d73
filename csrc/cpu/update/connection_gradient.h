// The op connection_gradient.
#pragma once
#include "cpu/update/phase_strip.h"

namespace ncg {
namespace {

// Writes G, A∘G and W∘G of a tile.
inline void store_gradients(const Gradient& op, const float* g, int64_t block, int64_t strip) {
  for (int64_t i = 0; i < kBlock && block * kBlock + i < op.n_hidden; ++i)
    for (int64_t u = 0; u < kStrip; u += kLanes) {
      const int64_t column = strip * kStrip + u, left = op.n_visible - column,
                    at = (block * kBlock + i) * op.n_visible + column;
      if (left <= 0) break;
      const int n = static_cast<int>(left < kLanes ? left : kLanes);
      const F difference = load(g + i * kStrip + u);
      store(op.phase_difference + at, difference, n);
      if (op.mask != nullptr)
        store(op.weight_gradient + at, select(load_mask(op.mask + at, n), difference, splat(0.f)),
              n);
      if (op.weight != nullptr)
        store(op.connection_gradient + at, mul(load(op.weight + at, n), difference), n);
    }
}

void connection_gradient(const Gradient& op, const Run& run) {
  scratch_reset();
  const PhasePair phases = make_phase_pair(op.phases, op.n_hidden);
  const int64_t n_states = phases.n_rows() + phases.n_chains();
  const int n_workers = threads_for(op.n_hidden * op.n_visible * n_states, run.n_threads);
  PhaseStrip* strips = make_phase_strips(phases, n_workers, !phases.short_sums());
  float* tiles = scratch<float>(n_workers * kTile);
  run_team(run, n_workers, [&](const Worker& me) {
    fill_phases(me, op.phases, phases);
    bias_gradients(me, phases, op.visible_gradient, op.hidden_gradient);
    for_each_tile(me, op.n_hidden, op.n_visible, [&](int64_t block, int64_t strip) {
      float* g = tiles + me.id * kTile;
      strips[me.id].difference(strip, block, g);
      store_gradients(op, g, block, strip);
    });
  });
}

}  // namespace
}  // namespace ncg

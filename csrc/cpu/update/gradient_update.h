// The op gradient_update: the update by gradients as torch holds them.
#pragma once
#include "cpu/update/ncg_update.h"

namespace ncg {
namespace {

inline F negative(F a) { return sub(splat(-0.f), a); }

// Adds nothing where there is no gradient: x + -0 is x, also for zeros.
struct GivenAscent {
  Gradients gradients;
  F of_weights(int64_t, int64_t at, int n) const {
    const float* given = gradients.by_weight;
    return given == nullptr ? splat(-0.f) : negative(load(given + at, n));
  }
  F of_strengths(F, F, int64_t at, int n) const {
    return negative(load(gradients.by_strength + at, n));
  }
};

inline void bias_ascent(const float* given, int64_t n, float* ascent) {
  for (int64_t i = 0; i < n; ++i) ascent[i] = given == nullptr ? -0.f : -given[i];
}

void gradient_update(const UpdateByGradients& op, double* found, const Run& run) {
  scratch_reset();
  const Parameters& p = op.parameters;
  const int n_workers = update_workers(p, 0, run.n_threads);
  const UpdateMemory memory = make_update_memory(p, n_workers);
  bias_ascent(op.gradients.by_visible, p.n_visible, memory.visible_gradient);
  bias_ascent(op.gradients.by_hidden, p.n_hidden, memory.hidden_gradient);
  run_team(run, n_workers, [&](const Worker& me) {
    update_tiles(me, p, op.rates, memory,
                 [&](int64_t, int64_t) { return GivenAscent{op.gradients}; });
  });
  total(memory, n_workers, found);
}

}  // namespace
}  // namespace ncg

// Annealed importance sampling: a ladder of sweeps with log-weights in float64.
#pragma once
#include "cpu/energy/free_energy.h"
#include "cpu/sampling/gibbs_steps.h"

namespace ncg {
namespace {

// (visible_bias - base_bias) . v
inline double lift_of(const double* lift, const uint64_t* visible, int64_t n_words) {
  double sum = 0;
  for (int64_t k = 0; k < n_words; ++k)
    for (uint64_t left = visible[k]; left != 0; left &= left - 1)
      sum += lift[64 * k + __builtin_ctzll(left)];
  return sum;
}

void anneal(const Anneal& op, const Run& run) {
  scratch_reset();
  const int64_t n_visible = op.to_visible.n_out, n_hidden = op.to_hidden.n_out, n = op.n_chains,
                supers = ceil_div(n_hidden, kSuper);
  const Groups groups = make_groups(n_hidden, n_visible, n, 2 * op.n_betas,
                                    op.to_hidden.digits.sparse != nullptr, false, run.n_threads);
  const ChainMemory chains = make_chain_memory(groups, op.to_hidden, op.to_visible, true, false);
  double *parts = scratch<double>(supers * n), *lift = scratch<double>(n_visible);
  const float* base = split_order(op.base_bias, n_visible);
  float* scales = scratch<float>(groups.most * groups.n_workers);
  for (int64_t j = 0; j < n_visible; ++j)
    lift[j] = static_cast<double>(op.to_visible.bias[j]) - op.base_bias[j];
  for (int64_t c = 0; c < n; ++c) op.log_weights[c] = 0;
  run_team(groups.n_workers, [&](const Worker& team) {
    float* scale = scales + groups.most * team.id;
    for_each_group(team, groups, [&](const Worker& me, int memory, int64_t first, int64_t count) {
      const ChainGroup group = chains.group(memory, first, count);
      from_packed(me, op.visible, n_visible, n, first, count, group.to_hidden.in.now);
      for (int64_t t = 1; t < op.n_betas; ++t) {
        const double last = op.betas[t - 1], beta = op.betas[t];
        for (int64_t c = 0; c < count; ++c) scale[c] = static_cast<float>(beta);
        Drawing drawing = chains.draws.drawing(team, op.draw.of_hidden(t), first, count);
        drawing.scale = scale;
        const HalfStep& h = group.to_hidden;
        preactivations(me, h, count, t == 1, [&](const Sums& sums, int64_t super) {
          const int n_units = static_cast<int>(h.n_units(super));
          for_each_row(sums, count, n_units, [&](int64_t c, const float* x) {
            parts[(first + c) * supers + super] =
                softplus_sum(x, n_units, beta) - softplus_sum(x, n_units, last);
          });
          draw_units(sums, drawing, super * kSuper, n_units, group.to_visible.in.now);
        });
        me.share(count, [&](int64_t c) {
          double gain = (beta - last) * lift_of(lift, h.in.now.of(c), ceil_div(n_visible, 64));
          for (int64_t super = 0; super < supers; ++super)
            gain += parts[(first + c) * supers + super];
          op.log_weights[first + c] += gain;
        });
        drawing = chains.draws.drawing(team, op.draw.of_visible(t), first, count);
        drawing.scale = scale;
        drawing.shift = base;
        draw_visible(me, group, drawing, t == 1);
      }
    });
    to_packed(team, chains.visible, n_visible, n, op.visible);
  });
}

}  // namespace
}  // namespace ncg

// Full Gibbs sweeps in one parallel region.
#pragma once
#include "cpu/sampling/half_step.h"

namespace ncg {
namespace {

void gibbs_steps(const Gibbs& g, const Run& run) {
  scratch_reset();
  const int64_t n_visible = g.to_visible.n_out, n_hidden = g.to_hidden.n_out,
                n_chains = g.visible.n_chains, n_words = n_visible * ceil_div(n_chains, kWord);
  const Operand start_in = make_operand(g.to_hidden, n_chains, g.visible.format);
  const Operand v_in = g.visible.are_levels() ? make_operand(g.to_hidden, n_chains) : start_in;
  const Operand h_in = make_operand(g.to_visible, n_chains);
  run_team(half_step_threads(g.to_hidden, n_chains, run.n_threads), [&](const Worker& me) {
    expand(me, g.visible, start_in);
    for (int64_t t = 0; t < g.n_steps; ++t) {
      if (t > 0) expand_packed(me, g.visible_out, n_visible, v_in);
      sample_tiles(me, g.to_hidden, t == 0 ? start_in : v_in, g.draw.of_hidden(t), g.hidden_out);
      expand_packed(me, g.hidden_out, n_hidden, h_in);
      sample_tiles(me, g.to_visible, h_in, g.draw.of_visible(t), g.visible_out);
      if (g.clamped != nullptr) {
        const uint64_t* start = g.visible.packed();
        me.share(n_words, [&](int64_t i) {
          g.visible_out[i] = (g.visible_out[i] & ~g.clamped[i]) | (start[i] & g.clamped[i]);
        });
      }
    }
  });
}

}  // namespace
}  // namespace ncg

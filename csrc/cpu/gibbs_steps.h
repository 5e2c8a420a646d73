// Full Gibbs sweeps in one parallel region.
#pragma once
#include "cpu/half_step.h"

namespace ncg {
namespace {

// h ~ P(h|v) from the states expanded in v_in, then v ~ P(v|h).
inline void sweep(const Worker& me, const Layer& to_hidden, const Layer& to_visible,
                  const Operand& v_in, const Operand& h_in, Draw draw, uint64_t* hidden,
                  uint64_t* visible) {
  draw.stream = kHiddenStream;
  sample_tiles(me, to_hidden, v_in, draw, hidden);
  expand_packed(me, hidden, to_hidden.n_out, h_in);
  draw.stream = kVisibleStream;
  sample_tiles(me, to_visible, h_in, draw, visible);
}

void gibbs_steps(const Gibbs& g, int n_threads) {
  scratch_reset();
  const int64_t n_visible = g.to_visible.n_out, n_chains = g.visible.n_chains;
  const int64_t n_words = n_visible * ceil_div(n_chains, kWord);
  const Operand start_in = make_operand(g.to_hidden, n_chains, g.visible.levels);
  const Operand v_in = g.visible.levels ? make_operand(g.to_hidden, n_chains, false) : start_in;
  const Operand h_in = make_operand(g.to_visible, n_chains, false);
  const uint64_t* start = static_cast<const uint64_t*>(g.visible.data);
  run_team(half_step_threads(g.to_hidden, n_chains, n_threads), [&](const Worker& me) {
    expand(me, g.visible, start_in);
    for (int64_t t = 0; t < g.n_steps; ++t) {
      if (t > 0) expand_packed(me, g.visible_out, n_visible, v_in);
      Draw draw = g.draw;
      draw.step += t;
      sweep(me, g.to_hidden, g.to_visible, t == 0 ? start_in : v_in, h_in, draw, g.hidden_out,
            g.visible_out);
      if (g.clamped != nullptr) {
        me.share(n_words, [&](int64_t i) {
          g.visible_out[i] = (g.visible_out[i] & ~g.clamped[i]) | (start[i] & g.clamped[i]);
        });
      }
    }
  });
}

}  // namespace
}  // namespace ncg

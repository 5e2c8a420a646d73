// Full Gibbs sweeps: a group of chains does all of its sweeps before the next group begins.
#pragma once
#include "cpu/sampling/half_step.h"

namespace ncg {
namespace {

// Both directions of a group of chains, whose states are the inputs of each.
struct ChainGroup {
  HalfStep to_hidden, to_visible;
  int64_t first, n;
};

// Draws a layer of the group from the sums that `use` is called with.
inline auto drawing_into(const HalfStep& h, const Drawing& drawing, const ChainBits& out) {
  return [&h, drawing, out](const Sums& sums, int64_t super) {
    draw_units(sums, drawing, super * kSuper, h.n_units(super), out);
  };
}

inline void draw_hidden(const Worker& me, const ChainGroup& g, const Drawing& drawing,
                        bool first_of_group) {
  preactivations(me, g.to_hidden, g.n, first_of_group,
                 drawing_into(g.to_hidden, drawing, g.to_visible.in.now));
}
inline void draw_visible(const Worker& me, const ChainGroup& g, const Drawing& drawing,
                         bool first_of_group) {
  preactivations(me, g.to_visible, g.n, first_of_group,
                 drawing_into(g.to_visible, drawing, g.to_hidden.in.now));
}

// Both directions of an op whose chains are in `visible` and `hidden`.
struct ChainMemory {
  HalfStep *to_hidden, *to_visible;
  ChainBits visible, hidden;
  DrawMemory draws;

  ChainGroup group(int memory, int64_t first, int64_t n) const {
    ChainGroup g{to_hidden[memory], to_visible[memory], first, n};
    g.to_hidden.in.now = visible.from(first);
    g.to_visible.in.now = hidden.from(first);
    return g;
  }
};

inline ChainMemory make_chain_memory(const Groups& groups, const Layer& to_hidden,
                                     const Layer& to_visible, bool kept, bool levels) {
  const int64_t n = to_hidden.n_out > to_visible.n_out ? to_hidden.n_out : to_visible.n_out;
  return {make_half_steps(groups, to_hidden, kept, levels),
          make_half_steps(groups, to_visible, kept, false),
          make_bits(to_hidden.n_in, groups.n_chains), make_bits(to_visible.n_in, groups.n_chains),
          make_draw_memory(groups, n)};
}

// Packed states as bits of a group's chains, for clamps.
struct Clamps {
  ChainBits start, clamped;
};

void gibbs_steps(const Gibbs& g, const Run& run) {
  scratch_reset();
  const int64_t n_visible = g.to_visible.n_out, n_hidden = g.to_hidden.n_out,
                n_chains = g.visible.n_chains;
  const Groups groups =
      make_groups(n_hidden, n_visible, n_chains, 2 * g.n_steps,
                  g.to_hidden.digits.sparse != nullptr, g.visible.are_levels(), run.n_threads);
  const ChainMemory chains =
      make_chain_memory(groups, g.to_hidden, g.to_visible, g.n_steps > 1, g.visible.are_levels());
  Clamps clamps{};
  if (g.clamped != nullptr)
    clamps = {make_bits(n_visible, n_chains), make_bits(n_visible, n_chains)};
  run_team(run, groups.n_workers, [&](const Worker& team) {
    for_each_group(team, groups, [&](const Worker& me, int memory, int64_t first, int64_t n) {
      const ChainGroup group = chains.group(memory, first, n);
      const ChainBits visible = group.to_hidden.in.now, start = clamps.start.from(first),
                      clamped = clamps.clamped.from(first);
      if (!g.visible.are_levels())
        from_packed(me, g.visible.packed(), n_visible, n_chains, first, n, visible);
      if (g.clamped != nullptr) {
        from_packed(me, g.visible.packed(), n_visible, n_chains, first, n, start);
        from_packed(me, g.clamped, n_visible, n_chains, first, n, clamped);
      }
      for (int64_t t = 0; t < g.n_steps; ++t) {
        const Drawing hidden = chains.draws.drawing(team, g.draw.of_hidden(t), first, n);
        if (t == 0 && g.visible.are_levels())
          level_preactivations(me, group.to_hidden, g.visible, first, n,
                               drawing_into(group.to_hidden, hidden, group.to_visible.in.now));
        else
          draw_hidden(me, group, hidden, t == (g.visible.are_levels() ? 1 : 0));
        draw_visible(me, group, chains.draws.drawing(team, g.draw.of_visible(t), first, n), t == 0);
        if (g.clamped != nullptr)
          me.share(n, [&](int64_t c) {
            for (int64_t k = 0; k < visible.words; ++k)
              visible.of(c)[k] =
                  (visible.of(c)[k] & ~clamped.of(c)[k]) | (start.of(c)[k] & clamped.of(c)[k]);
          });
      }
    });
    to_packed(team, chains.visible, n_visible, n_chains, g.visible_out);
    to_packed(team, chains.hidden, n_hidden, n_chains, g.hidden_out);
  });
}

}  // namespace
}  // namespace ncg

// The ops mean and sample.
#pragma once
#include "cpu/sampling/groups.h"

namespace ncg {
namespace {

// Of a group from chain `first` on: those of rows, or the half step's own.
inline ChainBits bits_of(const Given& given, const HalfStep& h, int64_t first) {
  return given.bits.bits != nullptr ? given.bits.from(first) : h.in.now;
}

// x of the states of a group.
template <class Use>
inline void preactivations_of(const Worker& me, HalfStep h, const Given& given, int64_t first,
                              int64_t n, Use use) {
  const States& states = given.states;
  if (given.are_levels()) return level_preactivations(me, h, states, first, n, use);
  if (!states.are_rows())
    from_packed(me, states.packed(), states.n_units, states.n_chains, first, n, h.in.now);
  h.in.now = bits_of(given, h, first);
  preactivations(me, h, n, true, use);
}

inline Groups half_step_groups(const Layer& layer, const Given& given, int n_threads) {
  return make_groups(layer.n_out, layer.n_in, given.states.n_chains, 1,
                     layer.digits.sparse != nullptr, given.are_levels(), n_threads);
}

void mean(const Layer& layer, const States& states, float* means, const Run& run) {
  scratch_reset();
  const Given given = read_states(states, run);
  const Groups groups = half_step_groups(layer, given, run.n_threads);
  HalfStep* steps = make_half_steps(groups, layer, false, given.are_levels());
  run_team(run, groups.n_workers, [&](const Worker& team) {
    for_each_group(team, groups, [&](const Worker& me, int memory, int64_t first, int64_t n) {
      const HalfStep& h = steps[memory];
      preactivations_of(me, h, given, first, n, [&](const Sums& sums, int64_t super) {
        for_each_pair(sums, n, h.n_units(super), [&](int64_t c, int at, const F x[2]) {
          float* out = means + (first + c) * layer.n_out + super * kSuper + at;
          const int64_t left = layer.n_out - super * kSuper - at;
          for (int i = 0; i < 2; ++i)
            store_some(out + i * kLanes, mean_of(x[i]), left - i * kLanes);
        });
      });
    });
  });
}

void sample(const Layer& layer, const States& states, const Draw& draw, uint64_t* packed,
            const Run& run) {
  scratch_reset();
  const Given given{states, {}};
  const Groups groups = half_step_groups(layer, given, run.n_threads);
  HalfStep* steps = make_half_steps(groups, layer, false, states.are_levels());
  const ChainBits drawn = make_bits(layer.n_out, states.n_chains);
  const DrawMemory memories = make_draw_memory(groups, layer.n_out);
  run_team(run, groups.n_workers, [&](const Worker& team) {
    for_each_group(team, groups, [&](const Worker& me, int memory, int64_t first, int64_t n) {
      HalfStep& h = steps[memory];
      const Drawing drawing = memories.drawing(team, draw, first, n);
      preactivations_of(me, h, given, first, n, [&](const Sums& sums, int64_t super) {
        draw_units(sums, drawing, super * kSuper, h.n_units(super), drawn.from(first));
      });
    });
    to_packed(team, drawn, layer.n_out, states.n_chains, packed);
  });
}

}  // namespace
}  // namespace ncg

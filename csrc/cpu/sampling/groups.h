// How chains are shared out: threads take groups of chains, each for as many sweeps as an op has;
// where chains are few, threads share the units of each group.
#pragma once
#include "cpu/sampling/preactivation.h"

namespace ncg {
namespace {

struct Groups {
  int64_t n_chains, most;  // most: chains of a group
  int n_workers, n_memories;

  bool together() const { return n_memories == 1; }
  int64_t count() const { return ceil_div(n_chains, most); }
  int workers_of_one() const { return together() ? n_workers : 1; }
};

// Chains whose x and lists lie near beside a block of weights. Where weights come from afar more
// chains share their way, while the x of all take no more than kFarBytes; and where digits are cut.
constexpr int64_t kNearChains = 32, kNearBytes = 3 << 20, kFarChains = 512, kFarBytes = 64 << 20,
                  kLevelChains = 64;
constexpr int64_t kTurnedChains = 512;  // that share the turning of weights into tiles
constexpr int64_t kLeastChains = 8;     // for which a thread of its own is worth its start

// For an op of n_steps sweeps between layers of these sizes. Of levels, weights are cut into digits
// for each group.
inline Groups make_groups(int64_t n_out, int64_t n_in, int64_t n_chains, int64_t n_steps,
                          bool sparse, bool levels, int n_threads) {
  const auto preferred_chains = [&] {
    if (sparse) return int64_t{kWord};
    if (kTiles) return kTurnedChains;
    if (levels) return kLevelChains;
    if (2 * n_out * n_in <= kNearBytes) return kNearChains;
    const int64_t fit = kFarBytes / (4 * (n_out + n_in));
    return fit < kNearChains ? kNearChains : fit < kFarChains ? fit : kFarChains;
  };
  const int64_t preferred = preferred_chains();
  const int n_workers = threads_for(
      static_cast<double>(n_out * n_in) * static_cast<double>(n_chains * n_steps), n_threads);
  const int64_t fair = ceil_div(n_chains, n_workers);
  if (fair < kLeastChains && n_workers > 1)
    return {n_chains, n_chains < preferred ? n_chains : preferred, n_workers, 1};
  // As many groups for each worker, of the same size.
  const int64_t each = n_chains == 0 ? 1 : ceil_div(fair, preferred),
                size = ceil_div(n_chains, each * n_workers);
  return {n_chains, size < 1 ? 1 : size, n_workers, n_workers};
}

Way half_step_way(int64_t n_out, int64_t n_in, int64_t n_chains, bool sparse, int n_threads) {
  if (sparse) return Way::kConnections;
  const Groups groups = make_groups(n_out, n_in, n_chains, 1, sparse, false, n_threads);
  return kTiles && groups.most >= kTileChains ? Way::kTiles : Way::kRows;
}

// body(worker, number of its memory, first chain, number of chains) for each group.
template <class Body>
inline void for_each_group(const Worker& me, const Groups& groups, Body body) {
  const auto one = [&](const Worker& worker, int memory, int64_t g) {
    const int64_t first = g * groups.most, left = groups.n_chains - first;
    body(worker, memory, first, left < groups.most ? left : groups.most);
  };
  if (groups.together()) {
    for (int64_t g = 0; g < groups.count(); ++g) one(me, 0, g);
    return;
  }
  me.share(groups.count(), [&](int64_t g) { one(me.alone(), me.id, g); });
}

// One half step's memory for each group that is worked on at the same time.
inline HalfStep* make_half_steps(const Groups& groups, const Layer& layer, bool kept, bool levels) {
  const float* bias = split_order(layer.bias, layer.n_out);
  HalfStep* steps = scratch<HalfStep>(groups.n_memories);
  for (int i = 0; i < groups.n_memories; ++i)
    steps[i] = make_half_step(layer, bias, groups.most, groups.workers_of_one(), kept, levels);
  return steps;
}

// Where each worker keeps what its draws of a group take.
struct DrawMemory {
  ChainCounter* counters;  // [n_workers][most]
  int64_t most;
  float* zeros;  // as many as there are units; null without beta

  Drawing drawing(const Worker& team, const Draw& draw, int64_t first, int64_t n) const {
    ChainCounter* of_chain = counters + team.id * most;
    const bool tempered = draw.beta != nullptr;
    const Drawing d{
        draw, Keys(draw.seed), first, n, of_chain, tempered ? draw.beta + first : nullptr, zeros};
    for (int64_t c = 0; c < n; ++c)
      of_chain[c] = ChainCounter(d.keys, draw_counter(d.chain(c), 0, draw.step, draw.stream));
    return d;
  }
};

// For layers of at most n_units.
inline DrawMemory make_draw_memory(const Groups& groups, int64_t n_units) {
  const int64_t padded = ceil_div(n_units, kSuper) * kSuper;
  float* zeros = scratch<float>(padded);
  memset(zeros, 0, sizeof(float) * static_cast<size_t>(padded));
  return {scratch<ChainCounter>(groups.n_workers * groups.most), groups.most, zeros};
}

}  // namespace
}  // namespace ncg

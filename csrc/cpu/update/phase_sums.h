// Exact sums of one phase, kRows hidden units and blocks of visible ones at a time; and the op
// phase_sums.
#pragma once
#include "cpu/update/phase_states.h"

namespace ncg {
namespace {

constexpr int kTile = 4 * kBlock;   // pairs of four hidden units and a block: [4][64]
constexpr int64_t kChains = 32640;  // whole sets of tables; 65535 times as many still fit int32
constexpr int kPairs = kRows * kBlock;
constexpr int64_t kPlanes = 65536;  // chains whose products of bytes, up to 255 x 128, fit int32
static_assert(kBinaryPlanes || kRows == 4, "tables are of four hidden units");
static_assert(kChains % kTableTerms == 0, "whole sets");

// sums[block][4][64] of hidden units unit .. unit+3 and the visible blocks first .. last-1 over at
// most kChains chains from `chain` on.
inline void binary_sums(const PhaseStates& phase, int64_t unit, int64_t first, int64_t last,
                        int64_t chain, int32_t* sums) {
  memset(sums, 0, sizeof(int32_t) * static_cast<size_t>((last - first) * kTile));
  const int64_t left = phase.n_chains() - chain, end = chain + (left < kChains ? left : kChains);
  for (; chain < end; chain += kTableTerms) {
    const int64_t chains = end - chain < kTableTerms ? end - chain : kTableTerms;
    const int n_groups = static_cast<int>(ceil_div(chains, kLookupBits));
    Tables tables;
    for (int r = 0; r < 4; ++r)
      make_tables(phase.hidden.unit(unit + r) + chain, n_groups, tables.of[r]);
    for (int64_t b = first; b < last; ++b)
      add_lookups(tables, phase.visible.block(b) + chain / kIndexBits * kBlock, n_groups,
                  sums + (b - first) * kTile);
  }
}

// sums[4][64] in 64 bits, from tables.
inline void wide_binary_sums(const PhaseStates& phase, int64_t unit, int64_t block, int64_t* sums) {
  for (int i = 0; i < kTile; ++i) sums[i] = 0;
  for (int64_t chain = 0; chain < phase.n_chains(); chain += kChains) {
    alignas(64) int32_t part[kTile];
    binary_sums(phase, unit, block, block + 1, chain, part);
    for (int i = 0; i < kTile; ++i) sums[i] += part[i];
  }
}

// The same from planes.
inline void plane_sums(const BytePlanes& planes, int64_t unit, int64_t block, int64_t* sums) {
  const int less = planes.n_planes == 2 ? 128 : 0;
  for (int i = 0; i < kPairs; ++i) sums[i] = 0;
  for (int hp = 0; hp < 2; ++hp)
    for (int vp = 0; vp < planes.n_planes; ++vp)
      for (int64_t c = 0; c < planes.stride; c += kPlanes) {
        const int64_t chains = planes.stride - c < kPlanes ? planes.stride - c : kPlanes;
        const ByteProduct product = planes.product(unit, hp, vp, block, c, chains);
        alignas(64) int32_t part[kPairs];
        byte_sums(&product, 1, part);
        const int64_t place = planes.one * (int64_t{1} << (8 * (hp + vp)));
        for (int r = 0; r < kRows; ++r) {
          int64_t bytes = 0;
          for (int64_t i = 0; i < chains; ++i) bytes += product.hidden[r * product.stride + i];
          for (int u = 0; u < kBlock; ++u)
            sums[r * kBlock + u] += (part[r * kBlock + u] + less * bytes) * place;
        }
      }
}

// sums[kRows][64] in 64 bits.
inline void wide_sums(const PhaseStates& phase, int64_t unit, int64_t block, int64_t* sums) {
  if (phase.planes.n_planes == 0)
    wide_binary_sums(phase, unit, block, sums);
  else
    plane_sums(phase.planes, unit, block, sums);
}

inline int64_t hidden_sum(const PhaseStates& phase, int64_t unit) {
  int64_t sum = 0;
  for (int64_t c = 0; c < phase.n_chains(); ++c) sum += phase.hidden.unit(unit)[c];
  return sum;
}

inline int64_t visible_sum(const States& states, int64_t unit) {
  int64_t sum = 0;
  if (states.are_levels()) {
    for (int64_t c = 0; c < states.n_chains; ++c) sum += states.levels()[c * states.n_units + unit];
    return sum;
  }
  const int64_t words = ceil_div(states.n_chains, kWord);
  for (int64_t w = 0; w < words; ++w)
    sum += __builtin_popcountll(states.packed()[unit * words + w]);
  return sum;
}

// Of kRows hidden units from `unit` on and a visible block, added to the sums given.
inline void add_products(const AddPhase& op, const PhaseStates& phase, int64_t unit,
                         int64_t block) {
  const int64_t n_visible = phase.given.n_units, column = block * kBlock;
  int64_t sums[kPairs];
  wide_sums(phase, unit, block, sums);
  for (int r = 0; r < kRows && unit + r < op.n_hidden; ++r)
    for (int u = 0; u < kBlock && column + u < n_visible; ++u)
      op.sums.products[(unit + r) * n_visible + column + u] += sums[r * kBlock + u];
}

void phase_sums(const AddPhase& op, const Run& run) {
  scratch_reset();
  const States& visible = op.phase.visible;
  const int64_t n_hidden = op.n_hidden, n_visible = visible.n_units,
                blocks = ceil_div(n_visible, kBlock);
  const PhaseStates phase = make_phase_states(n_hidden, visible, 1);
  const int64_t work = n_hidden * n_visible * visible.n_chains;
  run_team(threads_for(work, run.n_threads), [&](const Worker& me) {
    fill_hidden(me, op.phase.hidden, n_hidden, phase.hidden);
    fill_visible(me, phase, n_hidden);
    me.share(ceil_div(n_hidden, kRows) * blocks,
             [&](int64_t task) { add_products(op, phase, task / blocks * kRows, task % blocks); });
    me.share(n_hidden, [&](int64_t i) { op.sums.hidden[i] += hidden_sum(phase, i); });
    me.share(n_visible, [&](int64_t j) { op.sums.visible[j] += visible_sum(visible, j); });
  });
}

}  // namespace
}  // namespace ncg

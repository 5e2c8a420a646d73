// What becomes of pre-activations: means, levels, or Bernoulli draws; and the ops mean and sample.
#pragma once
#include "cpu/sampling/preactivation.h"

namespace ncg {
namespace {

inline F one_plus_exp_neg(F x) {
  x = max(min(x, splat(80.f)), splat(-80.f));
  const F t = mul(x, splat(kMinusLog2E)), n = round_even(t), f = sub(t, n);
  F p = splat(exp2_coefficient(0));
#pragma GCC unroll 6
  for (int i = 1; i < 7; ++i) p = fma(p, f, splat(exp2_coefficient(i)));
  const F scale = as_float(shift_left<23>(add(to_int(n), splat(127))));
  return add(mul(p, scale), splat(1.f));
}

inline F mean_of(F x) { return div(splat(1.f), one_plus_exp_neg(x)); }

// Philox4x32-10 for the kLanes chains from `chain` on.
inline void philox_lanes(int64_t chain, uint32_t word1, int64_t step, uint32_t stream,
                         uint64_t seed, I out[4]) {
  const Words counter = draw_counter(chain, word1, step, stream);
  W x0[2] = {wide_index(counter.word[0]), wide_index(uint64_t{counter.word[0]} + kLanes / 2)},
    x1[2], x2[2], x3[2];
  for (int i = 0; i < 2; ++i) {
    x1[i] = wide(counter.word[1]);
    x2[i] = wide(counter.word[2]);
    x3[i] = wide(counter.word[3]);
  }
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u)
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      // The high halves of the 64-bit lanes hold rubbish, which wide_mul does not read.
      const W p0 = wide_mul(x0[i], wide(0xD2511F53u)), p1 = wide_mul(x2[i], wide(0xCD9E8D57u));
      x0[i] = wide_xor(wide_high(p1), x1[i], wide(k0));
      x2[i] = wide_xor(wide_high(p0), x3[i], wide(k1));
      x1[i] = p1;
      x3[i] = p0;
    }
  out[0] = narrow(x0[0], x0[1]);
  out[1] = narrow(x1[0], x1[1]);
  out[2] = narrow(x2[0], x2[1]);
  out[3] = narrow(x3[0], x3[1]);
}

// Bits of kLanes chains of one unit: u (1 + exp(-x)) < 1, further bits drawn where the first 16
// leave it open.
inline uint32_t decide(F x, I first, const Draw& draw, int64_t unit, int64_t chain) {
  const F y = one_plus_exp_neg(x), s = mul(y, splat(0x1p-16f)), u = to_float(first),
          one = splat(1.f);
  uint32_t on = bits(less_equal(mul(add(u, one), s), one));
  uint32_t open = bits(less(mul(u, s), one)) & ~on;
  if (__builtin_expect(open != 0, 0)) {
    alignas(64) float thresholds[kLanes];
    alignas(64) int32_t draws[kLanes];
    store(thresholds, y);
    store(draws, first);
    for (; open != 0; open &= open - 1) {
      const int lane = __builtin_ctz(open);
      const uint32_t further = further_bits(draw.seed, chain + lane, group_of(unit), slot_of(unit),
                                            draw.step, draw.stream);
      if (decide_open(static_cast<uint32_t>(draws[lane]), further, thresholds[lane]))
        on |= 1u << lane;
    }
  }
  return on;
}

// Draws a tile's units into packed [n_out][words]. adjust(x, unit of the tile, lane) may change the
// pre-activations.
template <class Adjust>
inline void draw_tile(const Tile& tile, const Draw& draw, uint64_t* packed, int64_t words,
                      Adjust adjust) {
  const int64_t unit = draw.unit_offset + tile.unit;
  uint64_t word[kPanel] = {};
  for (int l = 0; l < tile.width; l += kLanes) {
    const int64_t chain = draw.chain_offset + tile.chain + l;
    for (int pair = 0; pair < 4 && 2 * pair < tile.n_units; ++pair) {
      I blocks[4];
      philox_lanes(chain, group_of(unit + 2 * pair), draw.step, draw.stream, draw.seed, blocks);
#pragma GCC unroll 8
      for (int slot = 0; slot < 8; ++slot) {
        const int r = 8 * (slot / 2) + 2 * pair + slot % 2;
        if (r >= tile.n_units) break;
        const I block = blocks[slot / 2];
        const I first = slot % 2 ? shift_right<16>(block) : bit_and(block, splat(0xFFFF));
        const F x = adjust(load(tile.x + r * kWord + l), r, l);
        word[r] |= uint64_t{decide(x, first, draw, unit + r, chain)} << l;
      }
    }
  }
  const uint64_t valid = tile.n_chains == kWord ? ~uint64_t{0} : (uint64_t{1} << tile.n_chains) - 1;
  for (int r = 0; r < tile.n_units; ++r)
    packed[(tile.unit + r) * words + tile.chain / kWord] = word[r] & valid;
}

inline void draw_tile(const Tile& tile, const Draw& draw, uint64_t* packed, int64_t words) {
  if (draw.beta == nullptr)
    return draw_tile(tile, draw, packed, words, [](F x, int, int) { return x; });
  alignas(64) float beta[kWord] = {};
  memcpy(beta, draw.beta + tile.chain, sizeof(float) * static_cast<size_t>(tile.n_chains));
  draw_tile(tile, draw, packed, words, [&](F x, int, int l) { return mul(load(beta + l), x); });
}

// One half step: packed [n_out][words] from the expanded states.
inline void sample_tiles(const Worker& me, const Layer& layer, const Operand& in, const Draw& draw,
                         uint64_t* packed) {
  for_each_tile(me, layer, in,
                [&](const Tile& tile) { draw_tile(tile, draw, packed, in.words()); });
}

void sample(const Layer& layer, const States& states, const Draw& draw, uint64_t* packed,
            const Run& run) {
  scratch_reset();
  const Operand in = make_operand(layer, states.n_chains, states.format);
  run_team(half_step_threads(layer, states.n_chains, run.n_threads), [&](const Worker& me) {
    expand(me, states, in);
    sample_tiles(me, layer, in, draw, packed);
  });
}

void mean(const Layer& layer, const States& states, float* means, const Run& run) {
  scratch_reset();
  const Operand in = make_operand(layer, states.n_chains, states.format);
  run_team(half_step_threads(layer, states.n_chains, run.n_threads), [&](const Worker& me) {
    expand(me, states, in);
    for_each_tile(me, layer, in, [&](Tile& tile) {
      for (int r = 0; r < tile.n_units; ++r)
        for (int l = 0; l < tile.width; l += kLanes)
          store(tile.x + r * kWord + l, mean_of(load(tile.x + r * kWord + l)));
      for (int c = 0; c < tile.n_chains; ++c) {
        float* row = means + (tile.chain + c) * layer.n_out + tile.unit;
        for (int r = 0; r < tile.n_units; ++r) row[r] = tile.x[r * kWord + c];
      }
    });
  });
}

}  // namespace
}  // namespace ncg

// States of one layer as bytes, four inputs a lane: the right-hand side of the product of a half
// step.
#pragma once
#include "common/layout.h"
#include "cpu/scratch.h"
#include "cpu/team.h"
#include "ops.h"

namespace ncg {
namespace {

// The scalar functions of numerics.h beside the vector functions of the same names.
using ncg::add;
using ncg::as_bits;
using ncg::as_float;
using ncg::fma;
using ncg::mul;

constexpr int kLaneGroup = 16;  // chains are padded to whole groups

// uint8 [n_planes][words][n_quads][width of the word][4]: word w holds chains 64 w ..., inputs come
// in quads. Packed states give one plane of 0/1, levels two: low and high byte.
struct Operand {
  uint8_t* bytes;
  int64_t n_chains, n_lanes, n_quads;
  int n_planes;

  int64_t words() const { return ceil_div(n_chains, kWord); }
  int width(int64_t word) const {
    const int64_t left = n_lanes - kWord * word;
    return static_cast<int>(left < kWord ? left : kWord);
  }
  uint8_t* word_bytes(int plane, int64_t word) const {
    return bytes + 4 * n_quads * (n_lanes * plane + kWord * word);
  }
};

inline Operand make_operand(int64_t n_units, int64_t n_chains, bool levels) {
  Operand in;
  in.n_chains = n_chains;
  in.n_lanes = ceil_div(n_chains, kLaneGroup) * kLaneGroup;
  in.n_quads = ceil_div(n_units, kBlock) * (kBlock / 4);
  in.n_planes = levels ? 2 : 1;
  in.bytes = scratch<uint8_t>(4 * in.n_quads * in.n_lanes * in.n_planes);
  return in;
}

// These share the work and end with a barrier.
inline void expand_packed(const Worker& me, const uint64_t* packed, int64_t n_units,
                          const Operand& in) {
  const int64_t words = in.words();
  me.share(words * in.n_quads, [&](int64_t task) {
    const int64_t word = task / in.n_quads, quad = task % in.n_quads;
    uint64_t row[4];
    for (int i = 0; i < 4; ++i)
      row[i] = 4 * quad + i < n_units ? packed[(4 * quad + i) * words + word] : 0;
    const int width = in.width(word);
    int32_t* out = reinterpret_cast<int32_t*>(in.word_bytes(0, word)) + quad * width;
    for (int l = 0; l < width; l += kLanes) {
      const I low = bit_or(spread(static_cast<uint32_t>(row[0] >> l), 1),
                           spread(static_cast<uint32_t>(row[1] >> l), 1 << 8));
      const I high = bit_or(spread(static_cast<uint32_t>(row[2] >> l), 1 << 16),
                            spread(static_cast<uint32_t>(row[3] >> l), 1 << 24));
      store(out + l, bit_or(low, high));
    }
  });
}

inline void expand_levels(const Worker& me, const int32_t* levels, int64_t n_units,
                          const Operand& in) {
  const int64_t words = in.words();
  me.share(words * in.n_quads, [&](int64_t task) {
    const int64_t word = task / in.n_quads, quad = task % in.n_quads;
    const int width = in.width(word);
    uint8_t* low = in.word_bytes(0, word) + 4 * quad * width;
    uint8_t* high = in.word_bytes(1, word) + 4 * quad * width;
    for (int l = 0; l < width; ++l)
      for (int i = 0; i < 4; ++i) {
        const int64_t chain = kWord * word + l, unit = 4 * quad + i;
        const int32_t k =
            chain < in.n_chains && unit < n_units ? levels[chain * n_units + unit] : 0;
        low[4 * l + i] = static_cast<uint8_t>(k);
        high[4 * l + i] = static_cast<uint8_t>(k >> 8);
      }
  });
}

inline void expand(const Worker& me, const States& states, const Operand& in) {
  if (states.levels)
    expand_levels(me, static_cast<const int32_t*>(states.data), states.n_units, in);
  else
    expand_packed(me, static_cast<const uint64_t*>(states.data), states.n_units, in);
}

}  // namespace
}  // namespace ncg

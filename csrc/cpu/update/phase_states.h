// Hidden probabilities and visible states of the two phases, laid out for the sums of G.
#pragma once
#include "common/layout.h"
#include "cpu/sampling/half_step.h"
#include "cpu/sampling/sum_tables.h"

namespace ncg {
namespace {

// Hidden levels along the chains: int32 [n_hidden][stride].
struct HiddenLevels {
  int32_t* levels;
  int64_t n_chains, stride;  // stride: room for whole vectors and for the last group of chains
  int32_t* unit(int64_t i) const { return levels + i * stride; }
};

// Visible bits along the chains, 64 units a block: int32 [blocks][n_words][64 units], bit c of word
// w is chain 30 w + c, bits past the last are 0.
struct VisibleIndex {
  int32_t* words;
  int64_t n_units, n_chains;
  int64_t n_words() const { return ceil_div(n_chains, kIndexBits); }
  int32_t* block(int64_t b) const { return words + b * n_words() * kBlock; }
};

// Hidden levels and visible states as bytes, four chains a lane, for sums by products: of
// real-valued data, and of all where kBinaryPlanes. Hidden: uint8 [n_hidden][2][stride]. Visible:
// int8 [n_planes][blocks][stride / 4][64 units][4], padding 0. Plane 0 holds the low bytes. Two
// visible planes: levels, each byte less 128. One: `one` where a unit is on.
struct BytePlanes {
  uint8_t* hidden_bytes;
  int8_t* visible_bytes;
  int64_t blocks, stride;  // stride: chains padded to whole groups of quads
  int n_planes, one;       // n_planes: 0 where there are none
  uint8_t* hidden(int64_t unit, int p) const { return hidden_bytes + (2 * unit + p) * stride; }
  int8_t* visible(int p, int64_t b) const {
    return visible_bytes + (p * blocks + b) * kBlock * stride;
  }
  // Of hidden units unit ... and a visible block over n_chains chains from `chain` on.
  ByteProduct product(int64_t unit, int hidden_plane, int visible_plane, int64_t b, int64_t chain,
                      int64_t n_chains) const {
    return {hidden(unit, hidden_plane) + chain, 2 * stride,
            visible(visible_plane, b) + chain * kBlock, n_chains / 4};
  }
};

struct PhaseStates {
  HiddenLevels hidden;
  VisibleIndex visible;  // where there are no planes
  BytePlanes planes;
  States given;  // the visible states that index or planes are filled from

  int64_t n_chains() const { return hidden.n_chains; }
};

// Hidden units are padded to what the sums take at a time. The states may be given later.
inline PhaseStates make_phase_states(int64_t n_hidden, const States& visible, int one) {
  const int64_t n_chains = visible.n_chains, n_visible = visible.n_units;
  const int64_t padded = ceil_div(n_hidden, kRows) * kRows, blocks = ceil_div(n_visible, kBlock);
  const int64_t lanes = (ceil_div(n_chains, kLaneGroup) + 1) * kLaneGroup;
  PhaseStates phase{{scratch<int32_t>(padded * lanes), n_chains, lanes}, {}, {}, visible};
  if (visible.are_levels() || kBinaryPlanes) {
    const int64_t stride = ceil_div(n_chains, 4 * kQuadGroup) * 4 * kQuadGroup;
    const int n_planes = visible.are_levels() ? 2 : 1;
    phase.planes = {scratch<uint8_t>(2 * padded * stride),
                    scratch<int8_t>(n_planes * blocks * kBlock * stride),
                    blocks,
                    stride,
                    n_planes,
                    one};
  } else {
    phase.visible = {nullptr, n_visible, n_chains};
    phase.visible.words = scratch<int32_t>(blocks * kBlock * phase.visible.n_words());
  }
  return phase;
}

// Levels of a tile's means, round(65535 p). Lanes past the last chain hold what their tile held.
inline void store_levels(const Tile& tile, const HiddenLevels& hidden) {
  for (int r = 0; r < tile.n_units; ++r)
    for (int l = 0; l < tile.width; l += kLanes) {
      const F p = mean_of(load(tile.x + r * kWord + l));
      store(hidden.unit(tile.unit + r) + tile.chain + l,
            to_int(mul(p, splat(static_cast<float>(kLevels)))));
    }
}

// The rest share the work and end with a barrier.

// From levels [n_chains][n_hidden].
inline void fill_hidden(const Worker& me, const int32_t* levels, int64_t n_hidden,
                        const HiddenLevels& hidden) {
  constexpr int64_t kUnits = 64;  // of a row, so that memory delivers it in long pieces
  const int64_t whole = hidden.n_chains / kLanes * kLanes;
  me.share(ceil_div(n_hidden, kUnits), [&](int64_t task) {
    const int64_t first = kUnits * task, left = n_hidden - first,
                  last = first + (left < kUnits ? left : kUnits), fours = last - (last - first) % 4;
    for (int64_t c = 0; c < whole; c += kLanes)
      for (int64_t unit = first; unit < fours; unit += 4) {
        I columns[4];
        load_columns(levels + c * n_hidden + unit, n_hidden, columns);
        for (int i = 0; i < 4; ++i) store(hidden.unit(unit + i) + c, columns[i]);
      }
    for (int64_t c = 0; c < hidden.n_chains; ++c)
      for (int64_t unit = c < whole ? fours : first; unit < last; ++unit)
        hidden.unit(unit)[c] = levels[c * n_hidden + unit];
  });
}

inline void fill_index(const Worker& me, const uint64_t* packed, const VisibleIndex& index) {
  const int64_t words = ceil_div(index.n_chains, kWord);
  me.share(ceil_div(index.n_units, kBlock), [&](int64_t b) {
    int32_t* out = index.block(b);
    for (int64_t w = 0; w < index.n_words(); ++w) {
      const int64_t first = w * kIndexBits, from = first / kWord, shift = first % kWord;
      const bool split = shift > kWord - kIndexBits && from + 1 < words;
      for (int u = 0; u < kBlock; ++u, ++out) {
        const int64_t unit = b * kBlock + u;
        uint64_t bits = 0;
        if (unit < index.n_units) {
          bits = packed[unit * words + from] >> shift;
          if (split) bits |= packed[unit * words + from + 1] << (kWord - shift);
        }
        *out = static_cast<int32_t>(bits & ((1u << kIndexBits) - 1));
      }
    }
  });
}

inline void fill_hidden_bytes(const Worker& me, const PhaseStates& phase, int64_t n_hidden) {
  const BytePlanes& planes = phase.planes;
  const int64_t n_chains = phase.hidden.n_chains;
  me.share(n_hidden, [&](int64_t i) {
    const int32_t* levels = phase.hidden.unit(i);
    uint8_t *low = planes.hidden(i, 0), *high = planes.hidden(i, 1);
    for (int64_t c = 0; c < n_chains; ++c) {
      low[c] = static_cast<uint8_t>(levels[c]);
      high[c] = static_cast<uint8_t>(levels[c] >> 8);
    }
    const size_t padding = static_cast<size_t>(planes.stride - n_chains);
    memset(low + n_chains, 0, padding);
    memset(high + n_chains, 0, padding);
  });
}

inline void fill_level_bytes(const Worker& me, const int32_t* visible, const BytePlanes& planes,
                             int64_t n_chains, int64_t n_visible) {
  me.share(planes.blocks, [&](int64_t b) {
    for (int p = 0; p < 2; ++p)
      for (int64_t c = 0; c < planes.stride; ++c)
        for (int u = 0; u < kBlock; ++u) {
          const int64_t unit = b * kBlock + u;
          const bool real = c < n_chains && unit < n_visible;
          planes.visible(p, b)[(c / 4 * kBlock + u) * 4 + c % 4] =
              real ? static_cast<int8_t>((visible[c * n_visible + unit] >> (8 * p) & 255) - 128)
                   : int8_t{0};
        }
  });
}

// Bytes `one` (1 or -1) or 0 from the low four bits of each lane.
inline I bytes_of_bits(I bits, int one) {
  const I low = bit_and(bits, splat(15));
  const I copies =
      bit_or(bit_or(low, shift_left<7>(low)), bit_or(shift_left<14>(low), shift_left<21>(low)));
  const I ones = bit_and(copies, splat(0x01010101));
  return one == 1 ? ones : sub(shift_left<8>(ones), ones);
}

inline void fill_bit_bytes(const Worker& me, const uint64_t* packed, const BytePlanes& planes,
                           int64_t n_chains, int64_t n_visible) {
  constexpr int kHalfQuads = kWord / 8;  // quads of 32 chains
  const int64_t words = ceil_div(n_chains, kWord), n_quads = planes.stride / 4;
  me.share(planes.blocks * words, [&](int64_t task) {
    const int64_t b = task / words, word = task % words;
    int32_t* block = reinterpret_cast<int32_t*>(planes.visible(0, b));
    for (int half = 0; half < 2; ++half) {
      alignas(64) int32_t bits[kBlock];
      for (int u = 0; u < kBlock; ++u) {
        const int64_t unit = b * kBlock + u;
        bits[u] =
            unit < n_visible ? static_cast<int32_t>(packed[unit * words + word] >> 32 * half) : 0;
      }
      const int64_t first = (2 * word + half) * kHalfQuads, left = n_quads - first;
      for (int u = 0; u < kBlock; u += kLanes) {
        I four = load(bits + u);
        for (int q = 0; q < kHalfQuads && q < left; ++q, four = shift_right<4>(four))
          store(block + (first + q) * kBlock + u, bytes_of_bits(four, planes.one));
      }
    }
  });
}

// Visible states, and what else the sums take, after the hidden levels.
inline void fill_visible(const Worker& me, const PhaseStates& phase, int64_t n_hidden) {
  const States& given = phase.given;
  if (phase.planes.n_planes == 0) return fill_index(me, given.packed(), phase.visible);
  fill_hidden_bytes(me, phase, n_hidden);
  if (given.are_levels())
    fill_level_bytes(me, given.levels(), phase.planes, given.n_chains, given.n_units);
  else
    fill_bit_bytes(me, given.packed(), phase.planes, given.n_chains, given.n_units);
}

}  // namespace
}  // namespace ncg

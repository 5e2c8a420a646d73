// Hidden probabilities and visible states of the two phases, laid out for the sums of G.
#pragma once
#include "common/layout.h"
#include "cpu/half_step.h"

namespace ncg {
namespace {

constexpr int kIndexChains = 30;  // of an index word: whole groups of kLookupBits
static_assert(kIndexChains % kLookupBits == 0, "a group must not cross index words");

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
  int64_t n_words() const { return ceil_div(n_chains, kIndexChains); }
  int32_t* block(int64_t b) const { return words + b * n_words() * kBlock; }
};

// Real-valued visible data and its hidden levels as bytes, four chains a lane. Hidden: uint8
// [n_hidden][2][stride]. Visible: int8 [2][blocks][stride / 4][64 units][4], each less 128, padding
// 0. Plane 0 holds the low bytes.
struct BytePlanes {
  uint8_t* hidden_bytes;
  int8_t* visible_bytes;
  int64_t blocks, stride;  // stride: chains padded to whole quads; 0: no planes
  uint8_t* hidden(int64_t unit, int p) const { return hidden_bytes + (2 * unit + p) * stride; }
  int8_t* visible(int p, int64_t b) const {
    return visible_bytes + (p * blocks + b) * kBlock * stride;
  }
};

struct Phase {
  HiddenLevels hidden;
  VisibleIndex visible;  // unless real-valued
  BytePlanes planes;     // if real-valued
};

// Hidden units are padded to whole fours, which the sums take at a time.
inline Phase make_phase(int64_t n_hidden, int64_t n_visible, int64_t n_chains, bool real_valued) {
  const int64_t padded = ceil_div(n_hidden, 4) * 4, blocks = ceil_div(n_visible, kBlock);
  const int64_t lanes = (ceil_div(n_chains, kLaneGroup) + 1) * kLaneGroup;
  Phase phase{{scratch<int32_t>(padded * lanes), n_chains, lanes}, {}, {}};
  if (real_valued) {
    const int64_t stride = ceil_div(n_chains, 4) * 4;
    phase.planes = {scratch<uint8_t>(2 * padded * stride),
                    scratch<int8_t>(2 * blocks * kBlock * stride), blocks, stride};
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
  constexpr int kUnits = 128;  // of a row, so that memory delivers it in long pieces
  me.share(ceil_div(n_hidden, kUnits), [&](int64_t task) {
    const int64_t first = kUnits * task, left = n_hidden - first,
                  last = first + (left < kUnits ? left : kUnits);
    for (int64_t c = 0; c < hidden.n_chains; ++c)
      for (int64_t unit = first; unit < last; ++unit)
        hidden.unit(unit)[c] = levels[c * n_hidden + unit];
  });
}

inline void fill_index(const Worker& me, const uint64_t* packed, const VisibleIndex& index) {
  const int64_t words = ceil_div(index.n_chains, kWord);
  me.share(ceil_div(index.n_units, kBlock), [&](int64_t b) {
    int32_t* out = index.block(b);
    for (int64_t w = 0; w < index.n_words(); ++w) {
      const int64_t first = w * kIndexChains, from = first / kWord, shift = first % kWord;
      const bool split = shift > kWord - kIndexChains && from + 1 < words;
      for (int u = 0; u < kBlock; ++u, ++out) {
        const int64_t unit = b * kBlock + u;
        uint64_t bits = 0;
        if (unit < index.n_units) {
          bits = packed[unit * words + from] >> shift;
          if (split) bits |= packed[unit * words + from + 1] << (kWord - shift);
        }
        *out = static_cast<int32_t>(bits & ((1u << kIndexChains) - 1));
      }
    }
  });
}

// After the hidden levels are known.
inline void fill_planes(const Worker& me, const int32_t* visible, const Phase& phase,
                        int64_t n_hidden, int64_t n_visible) {
  const BytePlanes& planes = phase.planes;
  const int64_t n_chains = phase.hidden.n_chains;
  me.share(n_hidden, [&](int64_t i) {
    for (int p = 0; p < 2; ++p)
      for (int64_t c = 0; c < planes.stride; ++c)
        planes.hidden(i, p)[c] =
            c < n_chains ? static_cast<uint8_t>(phase.hidden.unit(i)[c] >> (8 * p)) : uint8_t{0};
  });
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

}  // namespace
}  // namespace ncg
